"""What a report and a model card are made from: plain records of what was measured."""

from dataclasses import dataclass
from typing import Any

from torch import Tensor


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
