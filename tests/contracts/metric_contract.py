"""What every metric keeps: a new one says how to make it and its samples, and inherits these tests."""

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

import pytest
import torch

from striate.metrics.metric import Metric


class MetricContract(ABC):
    """The tests of one metric."""

    @abstractmethod
    def metric(self) -> Metric:
        """A fresh one."""

    @abstractmethod
    def samples(self, count: int, seed: int) -> tuple[Sequence[Any], Any]:
        """Predictions, partly right, and their targets."""

    @abstractmethod
    def choose(self, targets: Any, indices: list[int]) -> Any:
        """The targets at ``indices``, in that order."""

    def computed(
        self, predictions: Sequence[Any], targets: Any, batches: list[list[int]]
    ) -> dict[str, float]:
        """The results after updates with these batches of indices."""
        metric = self.metric()
        for batch in batches:
            metric.update([predictions[i] for i in batch], self.choose(targets, batch))
        return metric.compute()

    def test_results_are_finite_numbers_with_names(self) -> None:
        predictions, targets = self.samples(40, seed=0)
        results = self.computed(predictions, targets, [list(range(40))])
        assert results
        for name, value in results.items():
            assert name == name.lower()
            assert type(value) is float, f"{name} is a {type(value)}, which JSON may not hold"
            assert math.isfinite(value), name

    def test_batches_do_not_matter(self) -> None:
        predictions, targets = self.samples(40, seed=0)
        whole = self.computed(predictions, targets, [list(range(40))])
        for size in (1, 7, 39):
            batches = [list(range(start, min(start + size, 40))) for start in range(0, 40, size)]
            assert self.computed(predictions, targets, batches) == pytest.approx(whole, abs=1e-9)

    def test_order_does_not_matter(self) -> None:
        predictions, targets = self.samples(40, seed=0)
        whole = self.computed(predictions, targets, [list(range(40))])
        for seed in range(3):
            order = torch.randperm(40, generator=torch.Generator().manual_seed(seed)).tolist()
            found = self.computed(predictions, targets, [order[:11], order[11:]])
            assert found == pytest.approx(whole, abs=1e-9)

    def test_computing_twice_is_the_same_and_does_not_end_the_updates(self) -> None:
        predictions, targets = self.samples(40, seed=0)
        metric, first, rest = self.metric(), list(range(15)), list(range(15, 40))
        metric.update(predictions[:15], self.choose(targets, first))
        assert metric.compute() == metric.compute() == self.computed(predictions, targets, [first])
        metric.update(predictions[15:], self.choose(targets, rest))
        assert metric.compute() == self.computed(predictions, targets, [first, rest])

    def test_reset_forgets_everything(self) -> None:
        metric = self.metric()
        metric.update(*self.samples(40, seed=0))
        metric.compute()
        metric.reset()
        predictions, targets = self.samples(30, seed=1)
        metric.update(predictions, targets)
        assert metric.compute() == self.computed(predictions, targets, [list(range(30))])

    def test_other_samples_give_other_results(self) -> None:
        first, second = self.metric(), self.metric()
        first.update(*self.samples(40, seed=0))
        second.update(*self.samples(40, seed=1))
        assert first.compute() != second.compute()

    def test_updating_does_not_change_what_it_is_given(self) -> None:
        (predictions, targets), (same, equal) = self.samples(40, seed=0), self.samples(40, seed=0)
        self.metric().update(predictions, targets)
        assert repr(predictions) == repr(same)
        assert repr(targets) == repr(equal)
