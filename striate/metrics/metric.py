"""The contract of every metric: update with predictions and targets, compute, reset."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from striate.metrics.average_precision import AveragePrecision


class Metric(ABC):
    """Numbers gathered over batches."""

    @abstractmethod
    def update(self, predictions: Sequence[Any], targets: Any) -> None:
        """Take in one batch: the task's predictions, one per picture, and its targets."""

    @abstractmethod
    def compute(self) -> dict[str, float]:
        """The named results over everything since the last reset."""

    @abstractmethod
    def reset(self) -> None:
        """Forget everything taken in."""

    def average_precision(self) -> "AveragePrecision | None":
        """What of it measures boxes by class; None where it measures something else."""
        return None
