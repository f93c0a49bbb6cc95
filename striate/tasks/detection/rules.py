"""What the outputs of a detector mean: the contract between a detection network and the detection task.

A network gives a dictionary of named tensors, each with the pictures of the batch as its first dimension.
Its rules, which have no parameters, turn these and the true objects into a loss, and these alone into boxes.

Shapes: N pictures, H and W height and width of the network input, T true objects of all pictures.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from striate.samples import Detections, Objects
from striate.tasks.task import Outputs


@dataclass(frozen=True)
class Choice:
    """Which boxes count as found.

    Attributes:
        score: the least score.
        iou: of two boxes of a class that overlap by more, the surer one stays.
        most: how many boxes of a picture are kept, the surest.
        across_classes: whether boxes of different classes suppress each other too.
    """

    score: float = 0.05
    iou: float = 0.5
    most: int = 100
    across_classes: bool = False


class DetectionRules(ABC):
    """Loss and decoding of one kind of detector."""

    def inputs(self, images: Tensor, objects: Objects, seeds: Tensor | None = None) -> tuple[Any, ...]:
        """What the network is called with in training: the pictures; a network that samples by the true
        objects also takes those, and a seed for each picture, int64 (N,)."""
        return (images,)

    @abstractmethod
    def loss(self, outputs: Outputs, objects: Objects) -> dict[str, Tensor]:
        """Named scalar terms; "loss" is their weighted sum.

        It is a mean over the pictures of the batch of what each gives alone, so that a batch can be computed
        in parts. Crowds are not learned: what overlaps them is left out of account.

        Args:
            objects: of N pictures, in pixels of the network input.
        """

    @abstractmethod
    def decode(self, outputs: Outputs, choice: Choice) -> list[Detections]:
        """The boxes found in each picture, in pixels of the network input, after suppression."""
