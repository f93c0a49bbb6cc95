"""Precision and recall of one class, and the three definitions of average precision.

All three rest on the same staircase: the largest precision at a recall of r or more. PASCAL VOC 2007
takes its mean at eleven values of r, COCO at 101, and PASCAL VOC 2010 the area under it.

Shapes: D detections of the class, the surest first, n objects to be found, T thresholds of overlap.
"""

from typing import NamedTuple

import numpy as np

from striate.metrics.matching import Flags, Floats

ELEVEN = np.arange(11) / 10  # tenths rounded once, as recalls are: 3 of 10 reach 0.3
HUNDRED_AND_ONE = np.linspace(0, 1, 101)


class Curve(NamedTuple):
    """Precision and recall of one class, one point for each detection that counts, the surest first."""

    recall: list[float]
    precision: list[float]
    scores: list[float]  # a threshold here gives this point


class Balance(NamedTuple):
    """Where F1, the harmonic mean of precision and recall, is largest."""

    f1: float
    threshold: float  # of the score
    precision: float
    recall: float


def staircase(correct: Flags, counted: Flags, num_objects: int) -> Floats:
    """The largest precision with j objects found or more, for j = 0 .. n.

    Args:
        correct: (T, D) detections that found an object.
        counted: (T, D) detections that are right or wrong, and not left out of account.
        num_objects: n, above 0.

    Returns:
        (T, n + 1): column j is the largest precision at a recall of j / n or more, 0 if none reaches it.
    """
    hits, seen = correct.cumsum(axis=1), counted.cumsum(axis=1)
    steps = np.zeros((len(correct), num_objects + 1))
    row, detection = np.nonzero(correct)  # between two hits precision only falls
    steps[row, hits[row, detection]] = hits[row, detection] / seen[row, detection]
    return np.maximum.accumulate(steps[:, ::-1], axis=1)[:, ::-1]


def at_recalls(steps: Floats, recalls: Floats) -> Floats:
    """The staircase (T, n + 1) at the given recalls (R,): (T, R)."""
    num_objects = steps.shape[1] - 1
    return steps[:, np.searchsorted(np.arange(num_objects + 1) / num_objects, recalls)]


def eleven_points(steps: Floats) -> Floats:
    """PASCAL VOC 2007: the mean of the staircase (T, n + 1) at recall 0, 0.1, .. 1, (T,)."""
    return at_recalls(steps, ELEVEN).mean(axis=1)  # type: ignore[no-any-return]


def area_under(steps: Floats) -> Floats:
    """PASCAL VOC 2010: the area under the staircase (T, n + 1), each step 1 / n wide, (T,)."""
    return steps[:, 1:].mean(axis=1)  # type: ignore[no-any-return]


def hundred_and_one_points(steps: Floats) -> Floats:
    """COCO: the mean of the staircase (T, n + 1) at recall 0, 0.01, .. 1, (T,)."""
    return at_recalls(steps, HUNDRED_AND_ONE).mean(axis=1)  # type: ignore[no-any-return]


def curve(correct: Flags, counted: Flags, scores: Floats, num_objects: int) -> Curve:
    """The curve of one class at one threshold of overlap; recall is 0 where there are no objects.

    Args:
        correct: (D,) as for ``staircase``.
        counted: (D,).
        scores: (D,) descending.
        num_objects: n.
    """
    hits = correct[counted].cumsum()
    precision = hits / np.arange(1, len(hits) + 1)
    return Curve((hits / max(num_objects, 1)).tolist(), precision.tolist(), scores[counted].tolist())


def best_balance(points: Curve) -> Balance | None:
    """The threshold of the score with the best F1, of equal ones the highest; None without any hit.

    A threshold keeps all detections of equal score or none, so only the last of them is looked at.
    """
    recall, precision, scores = (np.array(column) for column in points)
    if not recall.any():
        return None
    f1 = 2 * precision * recall / np.maximum(precision + recall, np.finfo(float).tiny)
    f1[:-1][scores[:-1] == scores[1:]] = 0
    best = int(f1.argmax())
    return Balance(*(float(values[best]) for values in (f1, scores, precision, recall)))
