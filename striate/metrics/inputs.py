"""What the metrics of classifiers and localizers ask of what they are given.

Shapes: N pictures, K classes.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

SUM_TOLERANCE = 0.02  # how far a row may be from summing to one: bf16 has 8 bits


def stacked(rows: Sequence[Tensor], shape: tuple[int, ...], name: str) -> Tensor:
    """Rows of one shape as one tensor (N, *shape).

    Raises:
        ValueError: a row has another shape; it is called by its ``name``.
    """
    for row in rows:
        if not isinstance(row, Tensor) or tuple(row.shape) != shape:
            found = tuple(row.shape) if isinstance(row, Tensor) else type(row).__name__
            raise ValueError(f"expected {name} of shape {shape}, got {found}")
    return torch.stack(list(rows)) if rows else torch.zeros(0, *shape)


def checked_ids(targets: Tensor, num_classes: int) -> Tensor:
    """Class ids as int64 (N,).

    Raises:
        ValueError: they are no whole numbers, have other axes, or lie outside 0..K-1.
    """
    if not isinstance(targets, Tensor) or targets.ndim != 1:
        found = tuple(targets.shape) if isinstance(targets, Tensor) else type(targets).__name__
        raise ValueError(f"expected targets (N,), got {found}")
    if targets.is_floating_point() or targets.is_complex() or targets.dtype == torch.bool:
        raise ValueError(f"targets must be class ids, whole numbers, not {targets.dtype}")
    ids = targets.long()  # first: to uint8, 300 classes are 44
    if len(ids) and (ids.min() < 0 or ids.max() >= num_classes):
        raise ValueError(f"class ids must lie in 0..{num_classes - 1}")
    return ids


def check_probabilities(probs: Tensor, sum_to_one: bool) -> None:
    """Rows (N, K) are probabilities, and ``sum_to_one`` where classes exclude one another.

    Raises:
        ValueError: they are not floating point, not numbers, outside 0..1, or do not sum to one, as logits do
            not.
    """
    if not probs.is_floating_point():
        raise ValueError(f"probs must be floating point, not {probs.dtype}")
    if probs.isnan().any():
        raise ValueError("a probability is not a number")
    if len(probs) and (probs.min() < 0 or probs.max() > 1 + SUM_TOLERANCE):
        raise ValueError("probs must lie in 0..1: of logits give their softmax")
    if sum_to_one and ((probs.double().sum(dim=1) - 1).abs() > SUM_TOLERANCE).any():
        raise ValueError("each row of probs must sum to one: of logits give their softmax")
