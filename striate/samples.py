"""What passes between data, tasks and metrics: small frozen records of tensors.

Shapes: N pictures of a batch, C channels, H and W height and width, K classes, T objects of all pictures,
D detections of one picture.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, TypeVar, overload

import torch
from torch import Tensor

Item = TypeVar("Item")


@dataclass(frozen=True)
class Frame:
    """How one picture, or a part of it, became network input: predictions come back in the picture's pixels.

    A point (x, y) of the picture lies at ``((x - left) * scale_x + offset_x,
    (y - top) * scale_y + offset_y)`` of the input; both are measured in pixels from the outer corner of the
    top left pixel.
    """

    height: int  # of the picture, or of the part that is looked at, in pixels
    width: int
    scale_y: float = 1.0
    scale_x: float = 1.0
    offset_y: float = 0.0
    offset_x: float = 0.0
    top: int = 0  # where the part begins that is looked at, in pixels of the picture
    left: int = 0

    def __post_init__(self) -> None:
        try:  # their sum is quicker than each of them, in a loader that makes a frame for every picture
            sides = self.height + self.width + self.top + self.left
            finite = math.isfinite(sides + self.scale_y + self.scale_x + self.offset_y + self.offset_x)
        except TypeError:
            finite = False
        if not finite:
            raise ValueError(f"a frame must be of finite numbers, not {self}")
        if min(self.height, self.width) < 0:
            raise ValueError(f"height and width must be 0 at least, not {self.height} and {self.width}")
        if not (0 < self.scale_x < math.inf and 0 < self.scale_y < math.inf):
            raise ValueError(f"scale_y and scale_x must be above 0, not {self.scale_y} and {self.scale_x}")


class Selection(Sequence[Item]):
    """Some of ``items``, at ``positions`` int64 (n,), looked up when asked for: most batches never ask."""

    def __init__(self, items: Sequence[Item], positions: Tensor) -> None:
        self.items = items
        self.positions = positions

    def __len__(self) -> int:
        return len(self.positions)

    @overload
    def __getitem__(self, index: int) -> Item: ...

    @overload
    def __getitem__(self, index: slice) -> "Selection[Item]": ...

    def __getitem__(self, index: int | slice) -> "Item | Selection[Item]":
        if isinstance(index, slice):
            return Selection(self.items, self.positions[index])
        return self.items[int(self.positions[index])]


@dataclass(frozen=True)
class Objects:
    """The labelled boxes of N pictures, those of one picture after those of the picture before.

    A sequence over pictures: ``len``, indexing by int64 (m,), a slice or a number, and ``tensor_split`` act
    on pictures, and pictures without any object count.

    Attributes:
        boxes_xyxy: float32 (T, 4), corners x1, y1, x2, y2 in pixels, measured from the outer corner of the
            top left pixel: a box around the first pixel alone is 0, 0, 1, 1.
        labels: int64 (T,) class ids.
        counts: int64 (N,) how many objects each picture has; they sum to T.
        crowd: bool (T,), regions of many objects: not learned, and what is found in them is no mistake.
        difficult: bool (T,), objects that PASCAL VOC leaves out of account.
        areas: float64 (T,), in square pixels of the picture, where the labels say more of them than boxes do,
            as COCO's say the areas of masks; NaN for an object of which they do not, None where of none.

    Raises:
        ValueError: tensors of other shapes, lengths or types, or counts that do not sum to T.
    """

    boxes_xyxy: Tensor
    labels: Tensor
    counts: Tensor
    crowd: Tensor
    difficult: Tensor
    areas: Tensor | None = None

    def __post_init__(self) -> None:
        number = len(self.boxes_xyxy) if isinstance(self.boxes_xyxy, Tensor) else 0
        _check("boxes_xyxy", self.boxes_xyxy, (number, 4), _REAL)
        _check("labels", self.labels, (number,), _INT64)
        _check("crowd", self.crowd, (number,), _BOOL)
        _check("difficult", self.difficult, (number,), _BOOL)
        if self.areas is not None:
            _check("areas", self.areas, (number,), _FLOATS)
        _check("counts", self.counts, (len(self.counts),), _INT64)
        if _has_values(self.counts) and len(self.counts) and int(self.counts.min()) < 0:
            raise ValueError(f"counts must not be below 0, as {int(self.counts.min())} is")
        if _has_values(self.counts) and int(self.counts.sum()) != number:
            raise ValueError(f"counts sum to {int(self.counts.sum())}, but boxes_xyxy are {number}")

    @staticmethod
    def of(boxes_xyxy: Tensor, labels: Tensor, counts: Tensor | None = None) -> "Objects":
        """Objects that are neither crowds nor difficult; without ``counts`` those of one picture.

        Raises:
            ValueError: as ``Objects``; a box that is not finite, a class id or a count below 0.
        """
        is_list = isinstance(boxes_xyxy, Tensor) and (boxes_xyxy.shape[-1:] == (4,) or not boxes_xyxy.numel())
        if not is_list or not isinstance(labels, Tensor):
            raise ValueError("boxes_xyxy and labels must be tensors (T, 4) and (T,)")
        _check_finite("boxes_xyxy", boxes_xyxy)
        boxes_xyxy = boxes_xyxy.reshape(-1, 4).float()
        labels = labels if labels.numel() else labels.long()  # an empty list becomes a tensor of floats
        no = torch.zeros(len(boxes_xyxy), dtype=torch.bool, device=boxes_xyxy.device)
        if counts is None:
            counts = torch.tensor([len(boxes_xyxy)], device=boxes_xyxy.device)
        if _has_values(labels) and labels.numel() and int(labels.min()) < 0:
            raise ValueError(f"labels must not be below 0, as {int(labels.min())} is")
        return Objects(boxes_xyxy, labels, counts, no, no)

    @staticmethod
    def join(parts: "Sequence[Objects]") -> "Objects":
        """The pictures of all ``parts``, of which there is at least one, in order."""
        joined = Objects(*(torch.cat([getattr(part, name) for part in parts]) for name in _TENSORS))
        if all(part.areas is None for part in parts):
            return joined
        areas = [
            torch.full_like(part.labels, math.nan, dtype=torch.float64) if part.areas is None else part.areas
            for part in parts
        ]
        return replace(joined, areas=torch.cat(areas))

    def __len__(self) -> int:
        return len(self.counts)

    @cached_property
    def starts(self) -> Tensor:
        """int64 (N,): where the objects of each picture begin."""
        return self.counts.cumsum(0) - self.counts

    @cached_property
    def pictures(self) -> Tensor:
        """int64 (T,): the position of each object's picture, ascending."""
        return torch.arange(len(self), device=self.counts.device).repeat_interleave(self.counts)

    def __getitem__(self, index: "int | slice | Tensor") -> "Objects":
        every = torch.arange(len(self), device=self.counts.device)
        chosen = every[index].reshape(-1)
        counts = self.counts[chosen]
        first = self.starts[chosen] - (counts.cumsum(0) - counts)
        rows = first.repeat_interleave(counts) + torch.arange(int(counts.sum()), device=counts.device)
        return self._rows(rows, counts)

    def where(self, keep: Tensor) -> "Objects":
        """The objects where ``keep``, bool (T,), is true; all pictures stay.

        Raises:
            ValueError: another shape or type.
        """
        _check("keep", keep, (len(self.labels),), _BOOL)
        counts = torch.zeros_like(self.counts).index_add_(0, self.pictures, keep.long())
        return self._rows(keep, counts)

    def moved(self, boxes_xyxy: Tensor) -> "Objects":
        """The same objects at other places; what their areas are there, nothing says."""
        return replace(self, boxes_xyxy=boxes_xyxy, areas=None)

    def tensor_split(self, parts: int) -> "list[Objects]":
        """As ``Tensor.tensor_split``: ``parts`` runs of pictures of nearly equal number."""
        return [self[rows] for rows in torch.arange(len(self), device=self.counts.device).tensor_split(parts)]

    def to(self, device: "torch.device | str", non_blocking: bool = False) -> "Objects":
        """On another device."""
        moved = Objects(*(getattr(self, name).to(device, non_blocking=non_blocking) for name in _TENSORS))
        return moved if self.areas is None else replace(moved, areas=self.areas.to(device))

    def _rows(self, rows: Tensor, counts: Tensor) -> "Objects":
        """The objects at ``rows`` (int64 or bool), so many of each picture."""
        return Objects(
            self.boxes_xyxy[rows],
            self.labels[rows],
            counts,
            self.crowd[rows],
            self.difficult[rows],
            None if self.areas is None else self.areas[rows],
        )


_TENSORS = ("boxes_xyxy", "labels", "counts", "crowd", "difficult")


@dataclass(frozen=True)
class Batch:
    """One loader item.

    ``images`` are uint8 (N, C, H, W) at network input size; ``targets`` is what the task's loss
    receives (classification: int64 (N,) class ids; boxes: ``Objects``, in pixels of the pictures as they
    were before they became network input, as ``frames`` tell); ``indices`` int64 (N,) are positions in the
    split; ``names`` tell a person which pictures these are. ``showings`` int64 (N,) is there where an epoch
    may show a picture several times: its index, and the size of the split for each earlier time. ``partners``
    are the samples that these are to be put together with, the k of the first one first. ``whole`` is the
    number of pictures of the batch where several processes share it, and these are one's part.
    """

    images: Tensor
    targets: Any
    indices: Tensor
    names: Sequence[str]
    frames: Sequence[Frame]
    showings: Tensor | None = None
    partners: "Batch | None" = None
    whole: int | None = None

    @property
    def size(self) -> int:
        """Pictures of the batch, those of other processes among them."""
        return len(self.indices) if self.whole is None else self.whole

    @property
    def keys(self) -> Tensor:
        """What random changes are keyed on, int64 (N,): no two of an epoch are equal."""
        return self.indices if self.showings is None else self.showings


@dataclass(frozen=True)
class Classification:
    """The prediction of a classifier for one picture: ``probs`` float32 (K,), summing to one."""

    probs: Tensor

    def top(self, count: int) -> list[tuple[int, float]]:
        """The ``count`` most probable (class id, probability), best first."""
        scores, labels = self.probs.topk(min(count, self.probs.numel()))
        return list(zip(labels.tolist(), scores.tolist(), strict=True))

    def is_right(self, label: int) -> bool:
        """Whether the most probable class is the true one."""
        return self.top(1)[0][0] == label


@dataclass(frozen=True)
class TreeClassification:
    """The prediction of a classifier whose classes are the V nodes of a tree, for one picture.

    Attributes:
        probs: float32 (V,), of each node; those of a node's children sum to its own.
        path: int64 (d,), node ids from a root down to what was predicted.
    """

    probs: Tensor
    path: Tensor

    @property
    def label(self) -> int:
        """The node that was predicted."""
        return int(self.path[-1])

    def is_right(self, label: int) -> bool:
        """Whether the true label is the predicted node or above it."""
        return label in self.path.tolist()

    def top(self, count: int) -> list[tuple[int, float]]:
        """The prediction, and then the most probable (node id, probability) of those not on its path."""
        others = self.probs.clone()
        others[self.path] = -1.0
        scores, labels = others.topk(max(0, min(count - 1, others.numel() - len(self.path))))
        best = (self.label, float(self.probs[self.label]))
        return [best, *zip(labels.tolist(), scores.tolist(), strict=True)]


@dataclass(frozen=True)
class Detections:
    """The objects found in one picture, the surest first.

    Attributes:
        boxes_xyxy: float32 (D, 4), corners x1, y1, x2, y2 in pixels, as in ``Objects``.
        scores: float32 (D,) in 0..1, descending.
        labels: int64 (D,) class ids.

    Raises:
        ValueError: tensors of other shapes, lengths or types, or a box or score that is not a number.
    """

    boxes_xyxy: Tensor
    scores: Tensor
    labels: Tensor

    def __post_init__(self) -> None:
        number = len(self.scores) if isinstance(self.scores, Tensor) and self.scores.dim() else 0
        _check("scores", self.scores, (number,), _REAL)
        _check("boxes_xyxy", self.boxes_xyxy, (number, 4), _REAL)
        _check("labels", self.labels, (number,), _INT64)
        _check_finite("boxes_xyxy", self.boxes_xyxy)
        _check_finite("scores", self.scores)

    def __len__(self) -> int:
        return len(self.scores)

    def surer_than(self, score: float) -> "Detections":
        """Those of at least this score."""
        sure = self.scores >= score
        return Detections(self.boxes_xyxy[sure], self.scores[sure], self.labels[sure])


@dataclass(frozen=True)
class Localization:
    """The one object of a picture: ``probs`` float32 (K,) and ``box_xyxy`` float32 (4,), in pixels."""

    probs: Tensor
    box_xyxy: Tensor

    def __post_init__(self) -> None:
        _check("box_xyxy", self.box_xyxy, (4,), _REAL)


_FLOATS = frozenset({torch.float16, torch.bfloat16, torch.float32, torch.float64})
_REAL = _FLOATS | {torch.int8, torch.int16, torch.int32, torch.int64, torch.uint8}
_INT64, _BOOL = frozenset({torch.int64}), frozenset({torch.bool})


def _check(name: str, tensor: Tensor, shape: tuple[int, ...], types: frozenset[torch.dtype]) -> None:
    """What costs nothing to look at, in a record as in a batch of thousands."""
    if not isinstance(tensor, Tensor) or tensor.shape != shape or tensor.dtype not in types:
        found = f"{tuple(tensor.shape)}, {tensor.dtype}" if isinstance(tensor, Tensor) else type(tensor)
        wanted = " or ".join(sorted(str(one) for one in types))
        raise ValueError(f"{name} must be a tensor {shape}, {wanted}, not {found}")


def _has_values(tensor: Tensor) -> bool:
    """Whether they can be looked at without waiting for an accelerator."""
    return type(tensor) is Tensor and tensor.device.type == "cpu"


def _check_finite(name: str, tensor: Tensor) -> None:
    if _has_values(tensor) and tensor.numel() and not all(end.isfinite() for end in tensor.aminmax()):
        raise ValueError(f"{name}: a box or score is not a number")
