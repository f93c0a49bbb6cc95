"""From picture files to class names, with a network that was trained here or published elsewhere."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor, nn

from striate.data.images import decode_image
from striate.data.preprocessing import Preprocessing
from striate.device import choose_device, place_model, to_input
from striate.errors import InputError
from striate.files import write_atomically
from striate.models.catalog import create_model
from striate.models.imagenet import imagenet_classes
from striate.models.published import WEIGHTS
from striate.ops.crop_and_resize import crop_and_resize
from striate.ops.frames import part_of
from striate.run_folder import unwritable
from striate.samples import Batch, Classification, Detections, Frame, Localization
from striate.tasks.classification import ClassificationTask
from striate.tasks.task import Task
from striate.tasks.wordtree import WordTree
from striate.train.loop import predict_batches

DARKER = 3  # what was not looked at is drawn so many times darker


@dataclass(frozen=True)
class LabelScore:
    """A class name and its probability; for ImageNet's classes, two of which are cranes, the WordNet id."""

    label: str
    score: float
    wnid: str | None = field(default=None, repr=False)
    path: tuple[str, ...] = field(default=(), repr=False)  # in a tree of classes: from its root down

    @property
    def facts(self) -> dict[str, Any]:
        """What JSON says of it."""
        known = ({"wnid": self.wnid} if self.wnid else {}) | {"class": self.label, "score": self.score}
        return known | ({"path": self.path} if self.path else {})


@dataclass(frozen=True)
class FoundBox(LabelScore):
    """A class name, how sure the network is of it, and where: corners x1, y1, x2, y2 in pixels."""

    box_xyxy: tuple[float, float, float, float] = (0.0, 0.0, 0.0, 0.0)

    @property
    def facts(self) -> dict[str, Any]:
        """What JSON says of it."""
        return super().facts | {"box_xyxy": self.box_xyxy}


@dataclass(frozen=True)
class Predictor:
    """A network with all that it takes to predict.

    Attributes:
        model: on ``device``.
        task: decodes what the model gives.
        preprocessing: from picture to network input.
        device: where it computes.
        classes: the K names, in the order of the outputs.
        batch_size: pictures that are computed together.
        mirror: whether each picture's mirror image is looked at too.
        wnids: the K WordNet ids, or none.
        box_norm: what to look at of each picture, (y1, x1, y2, x2) in 0..1; None is all of it. A classifier
            gets it stretched to its input, as ``crop_and_resize`` does. Where there are boxes to be found it
            is cut out at whole pixels and treated as any picture is; they are told in pixels of the whole.
        score: boxes that a detector, or a localizer with objectness, is less sure of are left out.
        tree: of the classes, where they are its nodes.
    """

    model: nn.Module
    task: Task
    preprocessing: Preprocessing
    device: torch.device
    classes: tuple[str, ...]
    batch_size: int = 32
    mirror: bool = False
    wnids: tuple[str, ...] = ()
    box_norm: tuple[float, float, float, float] | None = None
    score: float = 0.5
    tree: WordTree | None = None

    def predict(self, picture: str | Path | Tensor, count: int = 5) -> list[LabelScore]:
        """What is in one picture, the surest first: its most probable classes, or boxes (``FoundBox``).

        Args:
            picture: a file, or pixels uint8 (C, H, W).
            count: how many classes, or for localization those of the one box; of boxes all are given.

        Raises:
            InputError: the file is no picture, the tensor is not of that form, or the channels are not
                the network's.
        """
        return self.predict_all([picture], count)[0]

    def predict_all(self, pictures: Sequence[str | Path | Tensor], count: int = 5) -> list[list[LabelScore]]:
        """``predict`` for several pictures, computed in batches; they may be of different sizes."""
        return [self.named(prediction, count) for prediction in self.predictions(pictures)]

    def draw_all(self, pictures: Sequence[Path], folder: Path, predictions: Iterable[Any] = ()) -> None:
        """Write a copy of each picture, with its prediction drawn into it, as PNG into ``folder``.

        Args:
            pictures: files.
            folder: made if absent.
            predictions: what ``predictions`` gave for them; if left out it is asked.

        Raises:
            InputError: two pictures have the same name, a file of that name is there already, or the
                folder cannot be written.
        """
        names = self.drawing_names(pictures, folder)
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise unwritable(folder, error, "--draw") from None
        found = predictions or self.predictions(pictures)
        for picture, name, prediction in zip(pictures, names, found, strict=True):
            image = decode_image(picture, channels=self.preprocessing.channels)
            drawn = self.draw(image, prediction)
            write_atomically(folder / name, lambda path, drawn=drawn: drawn.save(path, "PNG"))  # type: ignore[misc]

    def draw(self, image: Tensor, prediction: Any) -> Image.Image:
        """The picture uint8 (C, H, W) with its prediction drawn into it; what was not looked at is dark."""
        if self.box_norm is not None:
            rows, columns = part_of(self.box_norm, *image.shape[1:])
            dark = image // DARKER
            dark[:, rows, columns] = image[:, rows, columns]
            image = dark
        return self.task.draw(image, prediction)

    def drawing_names(self, pictures: Sequence[Path], folder: Path) -> list[str]:
        """What ``draw_all`` calls the copies.

        Raises:
            InputError: two pictures have the same name, or a file of that name is there already.
        """
        names = [f"{picture.stem}.png" for picture in pictures]
        if repeated := [name for name in names if names.count(name) > 1]:
            raise InputError(f"two pictures would both be drawn as {repeated[0]}", folder, "draw them apart")
        if there := [name for name in names if (folder / name).exists()]:
            raise InputError(
                "the file exists already", folder / there[0], "choose another folder with --draw"
            )
        return names

    def predicted(self, batches: Iterable[Batch]) -> Iterator[tuple[Batch, dict[str, Tensor], list[Any]]]:
        """Batch, outputs and predictions for each batch; exact fp32."""
        return predict_batches(self.model, self.task, batches, self.prepare, "fp32", self.mirror)

    def prepare(self, batch: Batch) -> Tensor:
        """Network input (N, C, H, W), float32, on the device."""
        return self.preprocessing.normalize(to_input(batch.images.to(self.device)))

    def place(self, picture: str | Path | Tensor) -> tuple[Tensor, Frame]:
        """One picture as uint8 (C, H, W) of the network's input size, and its frame."""
        if not isinstance(picture, Tensor):
            pixels = decode_image(Path(picture), channels=self.preprocessing.channels)
            try:
                return self.place(pixels)
            except InputError as error:
                raise InputError(error.what, picture, error.what_to_do) from None
        check_pixels(picture)
        if self.box_norm is None:
            return self.preprocessing.place(picture)
        if self.task.name != "classification":
            rows, columns = part_of(self.box_norm, *picture.shape[1:])
            placed, frame = self.preprocessing.place(picture[:, rows, columns])
            return placed, replace(frame, top=rows.start, left=columns.start)
        boxes_norm, first = torch.tensor([self.box_norm]), torch.tensor([0])
        cut = crop_and_resize(picture[None], boxes_norm, first, self.preprocessing.inner_size(), None)[0]
        return replace(self.preprocessing, fit="stretch").place(cut.round().byte())  # only the margin is left

    def named(self, prediction: Any, count: int = 5) -> list[LabelScore]:
        """What the task predicts for a picture, in words; as ``predict`` gives it."""
        if isinstance(prediction, Detections):
            rows = zip(
                prediction.labels.tolist(),
                prediction.scores.tolist(),
                prediction.boxes_xyxy.tolist(),
                strict=True,
            )
            return [FoundBox(**self._named(label, score), box_xyxy=tuple(box)) for label, score, box in rows]
        if isinstance(prediction, Localization):
            box = tuple(prediction.box_xyxy.tolist())
            top = Classification(prediction.probs).top(count)
            return [FoundBox(**self._named(label, score), box_xyxy=box) for label, score in top]
        return [LabelScore(**self._named(label, score)) for label, score in prediction.top(count)]

    def _named(self, label: int, score: float) -> dict[str, Any]:
        """A class id in words, as fields of ``LabelScore``."""
        wnid = self.wnids[label] if self.wnids else None
        path = tuple(self.classes[node] for node in self.tree.path(label)) if self.tree else ()
        return {"label": self.classes[label], "score": score, "wnid": wnid, "path": path}

    def predictions(self, pictures: Sequence[str | Path | Tensor]) -> Iterator[Any]:
        """What the task predicts for each picture, in its own pixels: what ``task.draw`` takes."""
        for start in range(0, len(pictures), self.batch_size):
            placed = [self.place(picture) for picture in pictures[start : start + self.batch_size]]
            batch = Batch(
                images=torch.stack([image for image, _ in placed]),
                targets=None,
                indices=torch.arange(len(placed)),
                names=[],
                frames=[frame for _, frame in placed],
            )
            for _, _, predictions in self.predicted([batch]):
                for prediction in predictions:
                    is_many = isinstance(prediction, Detections)
                    yield prediction.surer_than(self.score) if is_many else prediction


def check_pixels(picture: Tensor) -> None:
    """Raise InputError if the tensor is not uint8 (C, H, W)."""
    if picture.dtype != torch.uint8 or picture.ndim != 3:
        kind = f"{picture.dtype} {tuple(picture.shape)}".removeprefix("torch.")
        raise InputError(f"a picture is uint8 (C, H, W), got {kind}", "the tensor", "convert it")


def load_pretrained(name: str, device: str = "auto", weights: Path | None = None) -> Predictor:
    """A network of the catalogue with its published weights, which names ImageNet's classes.

    Args:
        name: in the catalogue.
        device: "auto", "cpu", "cuda", ...
        weights: a local file or folder instead of the download, as for ``create_model``.

    Raises:
        InputError: nothing is published for it, or as ``create_model``.
    """
    place = choose_device(device)
    backbone = create_model(name, pretrained=True, weights=weights)
    if name not in WEIGHTS:
        raise InputError(
            f"what {name} wants its pictures to be like is not known", weights or "", "name a run folder"
        )
    facts, table = WEIGHTS[name], imagenet_classes()
    classes = tuple(entry.name for entry in table)
    task = ClassificationTask(classes)
    preprocessing = Preprocessing(
        size=(facts.size, facts.size),
        channels=len(facts.channels),
        fit=facts.fit,
        margin=0,
        mean=facts.mean,
        std=facts.std,
        resize=facts.resize,
        interpolation=facts.interpolation,
    )
    model = place_model(task.build(backbone, classes), place).eval()
    return Predictor(model, task, preprocessing, place, classes, wnids=tuple(entry.wnid for entry in table))
