"""The contract of a vision task: what it adds to a backbone.

Model, loss and decoding are three things joined by a dictionary of named tensors. Training, evaluation,
reports and servers know a task only through this page.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar, Self

import torch
from PIL import Image
from torch import Tensor

from striate.metrics.metric import Metric
from striate.ops.frames import LEAST_VISIBLE
from striate.samples import Frame

Outputs = dict[str, Tensor]  # what a task's module returns; each task documents its keys


class Task(ABC):
    """What training, evaluation, prediction and reports need to know of one vision task.

    Attributes:
        name: the word for it on the command line.
        monitor: the metric that tells the best weights; higher is better.
        loss_between_runs: the measure of an evaluation that decides between runs whose ``monitor`` is equal;
            lower is better. Accuracies often are, overlaps hardly ever, so a setting that changes what the
            loss measures matters for the former only.
        least_visible: of an object's box; one of which augmentation leaves less in sight becomes a crowd.
        may_find_nothing: whether it may find nothing in a picture: its boxes have scores to be chosen by.
    """

    name: ClassVar[str]
    monitor: ClassVar[str]
    loss_between_runs: ClassVar[str] = "loss"
    least_visible: ClassVar[float] = LEAST_VISIBLE
    may_find_nothing: ClassVar[bool] = False

    def examples(self, count: int) -> Any:
        """Targets of ``count`` black pictures, to try a step with."""
        return torch.zeros(count, dtype=torch.int64)

    def in_input(self, targets: Any, frames: Sequence[Frame]) -> Any:
        """The targets of a batch as the loss receives them: boxes in pixels of the network input."""
        return targets

    def inputs(self, images: Tensor, targets: Any, seeds: Tensor | None = None) -> tuple[Any, ...]:
        """What the module is called with in training; some choose what they compute by the targets.

        Args:
            seeds: int64 (N,), of what is drawn at random for each picture by itself.
        """
        return (images,)

    @abstractmethod
    def loss(self, outputs: Outputs, targets: Any) -> dict[str, Tensor]:
        """Named scalar terms; "loss" is their weighted sum, a mean over the pictures."""

    @abstractmethod
    def scores(self, outputs: Outputs, targets: Any) -> dict[str, Tensor]:
        """Cheap scalar measures of a training batch, for the log only."""

    @abstractmethod
    def decode(self, outputs: Outputs, frames: Sequence[Frame]) -> list[Any]:
        """One prediction per picture, in pixels of the picture itself."""

    @abstractmethod
    def metrics(self) -> Metric:
        """A fresh metric for predictions and targets of this task."""

    def keeping(self, most: int) -> Self:
        """The same task, which keeps at least so many boxes of a picture where it finds any number."""
        return self

    @abstractmethod
    def mirror(self, outputs: Outputs, mirrored: Outputs) -> Outputs:
        """Joins the outputs for pictures with the outputs for their mirror images."""

    @abstractmethod
    def draw(self, image: Tensor, prediction: Any, target: Any = None) -> Image.Image:
        """The picture uint8 (C, H, W) with what was predicted, and what is true, drawn into it."""
