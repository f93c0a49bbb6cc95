"""What passes between data, tasks and metrics: small frozen records of tensors.

Shapes: N pictures of a batch, C channels, H and W height and width, K classes.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeVar, overload

from torch import Tensor

Item = TypeVar("Item")


@dataclass(frozen=True)
class Frame:
    """How one picture became network input, so that predictions come back in its own pixels.

    A point (x, y) of the picture lies at ``(x * scale_x + offset_x, y * scale_y + offset_y)`` of the
    input; both are measured in pixels from the outer corner of the top left pixel.
    """

    height: int  # of the picture, in pixels
    width: int
    scale_y: float = 1.0
    scale_x: float = 1.0
    offset_y: float = 0.0
    offset_x: float = 0.0


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
class Batch:
    """One loader item.

    ``images`` are uint8 (N, C, H, W) at network input size; ``targets`` is what the task's loss
    receives (classification: int64 (N,) class ids); ``indices`` int64 (N,) are positions in the split;
    ``names`` tell a person which pictures these are. ``showings`` int64 (N,) is there where an epoch may
    show a picture several times: its index, and the size of the split for each earlier time. ``partners``
    are the N samples that these are to be mixed with. ``whole`` is the number of pictures of the batch where
    several processes share it, and these are one's part.
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
