"""The contract of every metric: update with predictions and targets, compute, reset."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any


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
