"""What a report and a model card are made from: plain records of what was measured."""

from dataclasses import dataclass
from typing import Any

from PIL import Image
from torch import Tensor

from striate.metrics.average_precision import ClassDetections
from striate.metrics.conventions import Convention
from striate.metrics.detection_errors import DetectionErrors
from striate.metrics.precision_recall import Balance, Curve


@dataclass(frozen=True)
class Mistake:
    """A picture the model got wrong.

    ``image`` uint8 (C, H, W), C = 1 or 3; ``name`` tells a person which picture it is; ``truth`` and
    ``guess`` are class names; ``score`` is the probability the model gave its guess, in [0, 1].
    """

    image: Tensor
    name: str
    truth: str
    guess: str
    score: float


@dataclass(frozen=True)
class BoxPicture:
    """A picture with the boxes found and the true ones drawn into it, and in words how they agree."""

    drawing: Image.Image
    name: str  # tells a person which picture it is
    verdict: str


@dataclass(frozen=True)
class BoxSizes:
    """How large the training boxes are, in pixels of the network input, and the anchors for them."""

    sizes: Tensor  # float32 (T, 2), width and height, of some of the boxes
    anchors: list[tuple[float, float]]  # width and height; none for a network without
    fit: float | None  # the IoU of a box with its best anchor, both with one centre: mean over the boxes


@dataclass(frozen=True)
class BoxFacts:
    """What was measured of boxes on the split of ``ReportFacts.results_split``.

    What only detectors have is left empty for localization, and the other way round.
    """

    worst: list[BoxPicture]  # the worst first
    best: list[BoxPicture]  # the best first
    sizes: BoxSizes
    objects: int  # to be found
    per_class: list[ClassDetections]  # of a detector, in class order
    curves: list[Curve]  # at IoU 0.5, in class order
    balance: Balance | None  # the score with the best F1 of all classes together; None: nothing is right
    errors: DetectionErrors | None
    conventions: list[Convention]
    places: list[tuple[float, float, int]]  # of a localizer: mean IoU, localized, pictures, in class order


@dataclass(frozen=True)
class ReportFacts:
    """Everything measured in one run; K classes.

    Rates are fractions in [0, 1]. What was not measured is left empty or None, and its section out.
    """

    title: str  # "fashion_cnn on fashion-mnist"
    task: str
    model: str
    params: int
    classes: tuple[str, ...]
    history: list[dict[str, Any]]  # the rows of metrics.jsonl
    results: dict[str, dict[str, float]]  # split -> metric -> value, of the best weights
    results_split: str  # the split that confusion, per_class, reliability and mistakes are of
    confusion: Tensor | None  # int64 (K, K), rows truth, columns prediction
    per_class: list[tuple[float, float, float, int]]  # precision, recall, F1, pictures; in class order
    reliability: list[tuple[float, float, int]]  # mean confidence, accuracy, pictures of each bin
    mistakes: list[Mistake]  # most confident first
    settings: dict[str, Any]  # the resolved recipe, nested
    data: dict[str, Any]  # source, format, splits (name -> pictures), fingerprint, classes, faults
    faults: list[tuple[str, str]]  # (file, fault) of each skipped picture
    seconds: float  # wall time of training
    versions: dict[str, str]
    precision: str
    seed: int
    command: str
    boxes: BoxFacts | None = None  # of detection and localization
