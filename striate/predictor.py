"""From pictures to class names and boxes, with a network that was trained here or published elsewhere."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, overload

import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn

from striate.data.images import to_image
from striate.data.preprocessing import Preprocessing
from striate.device import choose_device, place_model, to_input
from striate.drawn_files import drawing_names, save_drawing
from striate.errors import InputError
from striate.models.catalog import create_model
from striate.models.imagenet import imagenet_classes
from striate.models.published import WEIGHTS
from striate.ops.crop_and_resize import crop_and_resize
from striate.ops.frames import part_of
from striate.samples import Batch, Classification, Detections, Frame, Localization
from striate.tasks.classification import ClassificationTask
from striate.tasks.task import Task
from striate.tasks.wordtree import WordTree
from striate.train.loop import predict_batches

DARKER = 3  # what was not looked at is drawn so many times darker
KEPT_BYTES = 2**29  # of whole pictures in memory, where they are to be drawn into

Picture = str | Path | bytes | bytearray | Image.Image | NDArray[Any] | Tensor  # as ``to_image`` takes it
PictureList = list[Any] | tuple[Any, ...]  # of ``Picture``, of several kinds maybe


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


class Asked(NamedTuple):
    """A picture that is to be predicted: what it is called, and how it is read, as uint8 (C, H, W)."""

    name: str
    read: Callable[[], Tensor]


class Seen(NamedTuple):
    """A picture uint8 (C, H, W), if it was kept, and what the task predicts for it."""

    pixels: Tensor | None
    prediction: Any


class _Placed(NamedTuple):
    image: Tensor  # network input
    frame: Frame
    pixels: Tensor | None


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

    @overload
    def predict(self, picture: Picture, count: int = 5) -> list[LabelScore]: ...

    @overload
    def predict(self, picture: PictureList, count: int = 5) -> list[list[LabelScore]]: ...

    def predict(self, picture: Picture | PictureList, count: int = 5) -> Any:
        """What is in one picture, the surest first: its most probable classes, or boxes (``FoundBox``). For a
        list of pictures, a list of that.

        Args:
            picture: a file, a file's content, a Pillow image of any mode, an array (H, W) or (H, W, C) of
                uint8, uint16, bool or floats in 0..1, or a tensor uint8 (C, H, W); or a list of these. The
                colours are RGB: of an array in BGR, as OpenCV's are, give ``array[:, :, ::-1]``.
            count: how many classes, or for localization those of the one box; of boxes all are given.

        Raises:
            InputError: the file is no picture, what is given holds none, or the channels are not the
                network's. Of a list, the path or the index is named.
        """
        if isinstance(picture, list | tuple):
            return self.predict_all(picture, count)
        (prediction,) = self._all_of([Asked(name_of(picture), partial(self.pixels, picture))])
        return self.named(prediction, count)

    def predict_all(self, pictures: Iterable[Picture], count: int = 5) -> list[list[LabelScore]]:
        """``predict`` for several pictures, computed in batches; they may be of different sizes."""
        return [self.named(prediction, count) for prediction in self.predictions(pictures)]

    def draw_all(self, pictures: Sequence[Path], folder: Path, predictions: Iterable[Any] = ()) -> None:
        """Write a copy of each picture, with its prediction drawn into it, into ``folder``.

        Args:
            pictures: files; ``drawing_names`` says what their copies are called.
            folder: made if absent.
            predictions: what ``predictions`` gave for them; if left out it is asked.

        Raises:
            InputError: two pictures have the same name, a file of that name is there already, or the
                folder cannot be written.
        """
        names = drawing_names([picture.name for picture in pictures], folder)
        found = predictions or self.predictions(pictures)
        for picture, name, prediction in zip(pictures, names, found, strict=True):
            save_drawing(self.draw(self.pixels(picture), prediction), folder, name)

    def draw(self, image: Tensor, prediction: Any) -> Image.Image:
        """The picture uint8 (C, H, W) with its prediction drawn into it; what was not looked at is dark."""
        if self.box_norm is not None:
            rows, columns = part_of(self.box_norm, *image.shape[1:])
            dark = image // DARKER
            dark[:, rows, columns] = image[:, rows, columns]
            image = dark
        return self.task.draw(image, prediction)

    def predicted(self, batches: Iterable[Batch]) -> Iterator[tuple[Batch, dict[str, Tensor], list[Any]]]:
        """Batch, outputs and predictions for each batch; exact fp32."""
        return predict_batches(self.model, self.task, batches, self.prepare, "fp32", self.mirror)

    def prepare(self, batch: Batch) -> Tensor:
        """Network input (N, C, H, W), float32, on the device."""
        return self.preprocessing.normalize(to_input(batch.images.to(self.device)))

    def pixels(self, picture: Picture, name: str = "") -> Tensor:
        """One picture as uint8 (C, H, W), with the network's channels unless it is a tensor.

        Args:
            picture: as for ``predict``.
            name: what an error calls it; by default the path.

        Raises:
            InputError: as ``predict``.
        """
        if not isinstance(picture, Tensor):
            return to_image(picture, name, self.preprocessing.channels, self.preprocessing.white)
        check_pixels(picture, name)
        return picture

    def place(self, picture: Picture) -> tuple[Tensor, Frame]:
        """One picture as uint8 (C, H, W) of the network's input size, and its frame."""
        if not isinstance(picture, Tensor):
            pixels = self.pixels(picture)
            try:
                return self.place(pixels)
            except InputError as error:
                raise InputError(error.what, name_of(picture), error.what_to_do) from None
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

    def predictions(self, pictures: Iterable[Picture]) -> Iterator[Any]:
        """What the task predicts for each picture, in its own pixels: what ``task.draw`` takes.

        Raises:
            InputError: as ``predict``, when it is the picture's turn.
        """
        return self._all_of(
            Asked(name, partial(self.pixels, picture, name))
            for picture, name in ((picture, name_of(picture, i)) for i, picture in enumerate(pictures))
        )

    def attempts(self, pictures: Iterable[Asked], keep: bool = False) -> Iterator[Seen | InputError]:
        """For each picture what is predicted, or why it cannot be: one that is bad does not hinder others.

        No more than one batch of them is in memory.

        Args:
            pictures: read when it is their turn.
            keep: whether the pictures themselves are given too; batches may be smaller then.
        """
        batch: list[_Placed | InputError] = []
        size = 0
        for asked in pictures:
            try:
                pixels = asked.read()
                batch.append(_Placed(*self.place(pixels), pixels if keep else None))
                size += pixels.numel() if keep else 0
            except InputError as error:
                batch.append(InputError(error.what, error.where or asked.name, error.what_to_do))
            if len(batch) == self.batch_size or size >= KEPT_BYTES:
                yield from self._seen(batch)
                batch, size = [], 0
        yield from self._seen(batch)

    def _all_of(self, pictures: Iterable[Asked]) -> Iterator[Any]:
        """The predictions, up to the first picture that has none, which raises InputError."""
        for seen in self.attempts(pictures):
            if isinstance(seen, InputError):
                raise seen
            yield seen.prediction

    def _seen(self, placed: list[_Placed | InputError]) -> Iterator[Seen | InputError]:
        """The pictures of one batch; those that could not be read stay in their places."""
        good = [entry for entry in placed if not isinstance(entry, InputError)]
        found = iter(self._decoded(good) if good else ())
        for entry in placed:
            yield entry if isinstance(entry, InputError) else Seen(entry.pixels, next(found))

    def _decoded(self, placed: list[_Placed]) -> Iterator[Any]:
        batch = Batch(
            images=torch.stack([entry.image for entry in placed]),
            targets=None,
            indices=torch.arange(len(placed)),
            names=[],
            frames=[entry.frame for entry in placed],
        )
        for _, _, predictions in self.predicted([batch]):
            for prediction in predictions:
                is_many = isinstance(prediction, Detections)
                yield prediction.surer_than(self.score) if is_many else prediction


def name_of(picture: Picture, index: int | None = None) -> str:
    """What an error calls a picture, or the one at ``index`` of a list."""
    if isinstance(picture, str | Path):
        return str(picture)
    return "" if index is None else f"picture {index} of the list"


def check_pixels(picture: Tensor, name: str = "") -> None:
    """Raise InputError if the tensor is not uint8 (C, H, W)."""
    if picture.dtype != torch.uint8 or picture.ndim != 3 or not picture.numel():
        kind = f"{picture.dtype} {tuple(picture.shape)}".removeprefix("torch.")
        raise InputError(
            f"a picture is uint8 (C, H, W), got {kind}", name or "the tensor", "convert it, or give an array"
        )


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
