"""Metrics of a classifier, from exact counts and float64 sums, whatever the batches were.

Shapes: N pictures, K classes, M confidence bins.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from striate.metrics.inputs import check_probabilities, checked_ids, stacked
from striate.metrics.metric import Metric
from striate.ops.arguments import is_whole
from striate.samples import Classification

SMALLEST_PROB = float(torch.finfo(torch.float32).eps)  # where the logarithm stops, as in scikit-learn


class ClassScore(NamedTuple):
    """How one class fared; a ratio with nothing in its denominator is 0."""

    precision: float  # of the pictures said to be of this class, the part that are
    recall: float  # of the pictures of this class, the part found
    f1: float  # the harmonic mean of both
    support: int  # pictures of this class


class ClassificationMetric(Metric):
    """Accuracy, top-k accuracy, precision, recall, F1, calibration and log loss.

    A picture's prediction is its most probable class, and of equal ones the class with the lowest id. The
    same order decides top-k: a class counts as ahead of another if its probability is larger, or equal
    with a lower id.

    Args:
        num_classes: K.
        top_k: the k of the top-k accuracies; 1 is always there, and a k that is not below K is left out,
            since its accuracy would be 1.
        bins: M, of the calibration error.

    Raises:
        ValueError: a number below 1.
    """

    def __init__(self, num_classes: int, top_k: Sequence[int] = (1, 5), bins: int = 15) -> None:
        numbers = (num_classes, bins, *(top_k if isinstance(top_k, Sequence) else (top_k,)))
        if not isinstance(top_k, Sequence) or not all(is_whole(number, 1) for number in numbers):
            raise ValueError(f"expected whole numbers from 1 on: {num_classes=}, {top_k=}, {bins=}")
        self.num_classes = num_classes
        self.top_k = tuple(k for k in top_k if 1 < k < num_classes)
        self.bins = bins
        self.reset()

    def reset(self) -> None:
        """Forget everything taken in."""
        self._confusion = torch.zeros(self.num_classes, self.num_classes, dtype=torch.int64)
        self._hits = torch.zeros(len(self.top_k), dtype=torch.int64)  # target among the first k
        self._bin_count = torch.zeros(self.bins, dtype=torch.int64)  # pictures by confidence
        self._bin_correct = torch.zeros(self.bins, dtype=torch.int64)
        self._bin_confidence = torch.zeros(self.bins, dtype=torch.float64)
        self._log_loss = 0.0

    def update(self, predictions: Sequence[Classification], targets: Tensor) -> None:
        """Take in one batch: predictions and their int64 (N,) class ids; raises as ``update_probs``."""
        self.update_probs(stacked([p.probs for p in predictions], (self.num_classes,), "probs"), targets)

    def update_probs(self, probs: Tensor, targets: Tensor) -> None:
        """Take in one batch as one tensor.

        Args:
            probs: floating point (N, K), each row summing to one.
            targets: (N,) class ids, of any integer type.

        Raises:
            ValueError: another number of classes or pictures, a class id that is no whole number or outside
                0..K-1, or rows that are no probabilities, as logits are none: a number outside 0..1, or a sum
                that is not one.
        """
        self._check_shapes(probs, targets)
        check_probabilities(probs, sum_to_one=True)
        self._take_in(probs, checked_ids(targets, self.num_classes))

    def update_parts(self, probs: Tensor, targets: Tensor) -> None:
        """As ``update_probs``, of rows that need not sum to one: what of them counts, the rest being 0."""
        self._check_shapes(probs, targets)
        check_probabilities(probs, sum_to_one=False)
        self._take_in(probs, checked_ids(targets, self.num_classes))

    def _check_shapes(self, probs: Tensor, targets: Tensor) -> None:
        if not isinstance(probs, Tensor) or not isinstance(targets, Tensor):
            raise ValueError("probs and targets must be tensors")
        if probs.ndim != 2 or probs.shape[1] != self.num_classes or targets.shape != probs.shape[:1]:
            expected = f"probs (N, {self.num_classes}) and targets (N,)"
            raise ValueError(f"expected {expected}, got {tuple(probs.shape)} and {tuple(targets.shape)}")

    def _take_in(self, probs: Tensor, targets: Tensor) -> None:
        if not len(targets):
            return
        targets = targets.to(probs.device)
        confidence, predicted = probs.max(dim=1)  # of equal values the first
        target_probs = probs.gather(1, targets[:, None])  # (N, 1)
        if self.top_k:
            self._count_hits(probs, targets, target_probs)
        self._log_loss -= float(target_probs.double().clamp(min=SMALLEST_PROB).log().sum())
        self._count_predictions(confidence.double().cpu(), predicted.cpu(), targets.cpu())

    def _count_hits(self, probs: Tensor, targets: Tensor, target_probs: Tensor) -> None:
        ids = torch.arange(self.num_classes, device=probs.device)
        ahead = (probs > target_probs) | ((probs == target_probs) & (ids < targets[:, None]))  # (N, K)
        ranks = ahead.sum(dim=1)
        self._hits += torch.stack([(ranks < k).sum() for k in self.top_k]).cpu()

    def _count_predictions(self, confidence: Tensor, predicted: Tensor, targets: Tensor) -> None:
        size = self.num_classes
        self._confusion += (targets * size + predicted).bincount(minlength=size * size).view(size, size)
        edges = torch.arange(1, self.bins, dtype=torch.float64) / self.bins
        bins = torch.bucketize(confidence, edges)  # bin m holds m / M < confidence <= (m + 1) / M
        self._bin_count += bins.bincount(minlength=self.bins)
        self._bin_correct += bins[predicted == targets].bincount(minlength=self.bins)
        self._bin_confidence += bins.bincount(weights=confidence, minlength=self.bins)

    @property
    def confusion(self) -> Tensor:
        """int64 (K, K): pictures by true class (row) and predicted class (column)."""
        return self._confusion.clone()

    def per_class(self) -> list[ClassScore]:
        """Precision, recall, F1 and support of every class, by class id."""
        precision, recall, f1 = (values.tolist() for values in self._ratios())
        support = self._confusion.sum(dim=1).tolist()
        return [ClassScore(*score) for score in zip(precision, recall, f1, support, strict=True)]

    def reliability(self) -> list[tuple[float, float, int]]:
        """Mean confidence, accuracy and pictures of each of the M bins; an empty bin has 0, 0, 0."""
        divisor = self._bin_count.clamp(min=1)
        columns = (self._bin_confidence / divisor, self._bin_correct / divisor.double(), self._bin_count)
        return list(zip(*(column.tolist() for column in columns), strict=True))

    def _ratios(self) -> tuple[Tensor, Tensor, Tensor]:
        """Precision, recall and F1 of every class, each float64 (K,)."""
        found = self._confusion.diagonal().double()
        support, predicted = self._confusion.sum(dim=1), self._confusion.sum(dim=0)
        recall, precision = found / support.clamp(min=1), found / predicted.clamp(min=1)
        return precision, recall, 2 * found / (support + predicted).clamp(min=1)

    def compute(self) -> dict[str, float]:
        """The results over everything since the last reset.

        Returns:
            - accuracy, and top5_accuracy for 5 of ``top_k`` and so on: the part of pictures whose class is
              the first, or among the first k;
            - balanced_accuracy: mean recall over the classes that have pictures;
            - macro_precision, macro_recall, macro_f1: means over the classes that have pictures or were
              predicted;
            - calibration_error: sum over the bins of |correct - sum of confidence| / pictures, bins of
              equal width in the predicted class's probability (Guo et al. 2017, eq. 3);
            - log_loss: mean of -ln(probability of the true class), which counts as 1.2e-7 at least.

        Raises:
            ValueError: no samples were taken in.
        """
        support, predicted = self._confusion.sum(dim=1), self._confusion.sum(dim=0)
        count = int(support.sum())
        if count == 0:
            raise ValueError("no samples")
        results = {"accuracy": int(self._confusion.diagonal().sum()) / count}
        for k, hits in zip(self.top_k, self._hits.tolist(), strict=True):
            results[f"top{k}_accuracy"] = hits / count
        precision, recall, f1 = self._ratios()
        occurs = (support + predicted) > 0
        gaps = (self._bin_correct - self._bin_confidence).abs()
        return results | {
            "balanced_accuracy": float(recall[support > 0].mean()),
            "macro_precision": float(precision[occurs].mean()),
            "macro_recall": float(recall[occurs].mean()),
            "macro_f1": float(f1[occurs].mean()),
            "calibration_error": float(gaps.sum()) / count,
            "log_loss": self._log_loss / count,
        }
