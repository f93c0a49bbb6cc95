"""Which detections are right, wrong or left out of account, and the precision that follows.

Shapes: D detections and G objects of all pictures, P pairs of both, K classes, T thresholds of overlap.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import NamedTuple

import numpy as np

from striate.metrics.matching import (
    Flags,
    Floats,
    Found,
    Ids,
    Pairs,
    Sought,
    Turns,
    box_areas,
    groups_of,
    match_in_turn,
    nearest,
    overlapping,
    take_turns,
)
from striate.metrics.precision_recall import staircase

HALF = np.array([0.5])
THRESHOLDS = np.linspace(0.5, 0.95, 10)  # COCO's
LIMIT = 100  # detections that COCO looks at, of each picture and class
NEARLY_ONE = 1 - 1e-10  # a threshold of 1 is this, as in COCO: equal boxes may fall short by a rounding
EVERY = (0.0, 1e10)  # square pixels, both ends included, as in COCO
AREAS = {"small": (0.0, 32.0**2), "medium": (32.0**2, 96.0**2), "large": (96.0**2, 1e10)}


class Verdicts(NamedTuple):
    """What became of the detections at each threshold; one that is not counted is no mistake."""

    correct: Flags  # (T, D) found an object
    counted: Flags  # (T, D) right or wrong
    matched: Ids  # (T, D) the object taken, -1 for none
    objects: Ids  # (K,) to be found


@dataclass(frozen=True)
class Evidence:
    """All detections and objects since the last reset, of K classes, and how COCO's rules pair them."""

    found: Found
    sought: Sought
    num_classes: int
    thresholds: Floats = field(default_factory=lambda: THRESHOLDS)  # (T,) of overlap, ascending, above 0
    limit: int = LIMIT
    crowd_by_inside: bool = True  # overlap with a crowd is the part of the detection that lies in it, not IoU

    @cached_property
    def pairs(self) -> Pairs:
        """Detections and objects of one picture and class that overlap by half or the least threshold."""
        found, sought = self.found, self.sought
        groups = groups_of(found.pictures, found.labels), groups_of(sought.pictures, sought.labels)
        return overlapping(found.boxes_xyxy, groups[0], sought.boxes_xyxy, groups[1], self._least)

    @cached_property
    def turns(self) -> Turns:
        """The pairs in the order of COCO's rule."""
        pairs = self.pairs
        overlap = np.where(self.sought.crowd[pairs.sought] & self.crowd_by_inside, pairs.inside, pairs.iou)
        kept = np.flatnonzero((self.found.ranks[pairs.found] < self.limit) & (overlap >= self._least))
        return take_turns(pairs.where(kept), overlap[kept], self.found)

    @property
    def _least(self) -> float:
        return min(0.5, float(self.thresholds[0]))

    @cached_property
    def coco(self) -> Verdicts:
        """COCO's verdicts at the thresholds, on objects of every area."""
        return coco_verdicts(self, self.thresholds)

    @cached_property
    def half(self) -> Verdicts:
        """COCO's verdicts at an overlap of 0.5."""
        return self.at(0.5)

    def at(self, threshold: float) -> Verdicts:
        """COCO's verdicts at one threshold, 0.5 at least, on objects of every area."""
        for row in np.flatnonzero(self.thresholds == threshold):
            one = slice(row, row + 1)
            return Verdicts(
                self.coco.correct[one], self.coco.counted[one], self.coco.matched[one], self.coco.objects
            )
        return coco_verdicts(self, np.array([threshold]))

    @cached_property
    def voc(self) -> Verdicts:
        """PASCAL VOC's verdicts."""
        return voc_verdicts(self, self.sought.difficult | self.sought.crowd)

    def rows(self, label: int) -> slice:
        """Where the detections of one class stand among ``found``."""
        begin, end = np.searchsorted(self.found.labels, [label, label + 1]).tolist()
        return slice(begin, end)


def coco_verdicts(evidence: Evidence, thresholds: Floats, area: tuple[float, float] = EVERY) -> Verdicts:
    """The verdicts by COCO's rules.

    Objects outside the area range and crowds are ignored: what finds them is not counted, and neither is a
    detection outside the area range that finds nothing. Difficult objects are as any others.

    Args:
        evidence: detections and objects.
        thresholds: (T,) of overlap, none below both 0.5 and those of the evidence.
        area: least and largest area of an object, as the labels say, and of a detection's box, in square
            pixels.
    """
    found, sought = evidence.found, evidence.sought
    sizes, found_sizes = sought.areas, box_areas(found.boxes_xyxy)
    ignored = sought.crowd | (sizes < area[0]) | (sizes > area[1])
    reached = np.minimum(thresholds, NEARLY_ONE)
    matched = match_in_turn(evidence.turns, ignored, sought.crowd, reached, len(found.scores))
    correct = np.append(~ignored, False)[matched]  # the last for those without an object
    fitting = (found.ranks < evidence.limit) & (found_sizes >= area[0]) & (found_sizes <= area[1])
    objects = np.bincount(sought.labels[~ignored], minlength=evidence.num_classes)
    return Verdicts(correct, correct | (fitting & (matched < 0)), matched, objects)


def voc_verdicts(evidence: Evidence, left_out: Flags) -> Verdicts:
    """The verdicts by PASCAL VOC's rule, at the one threshold 0.5.

    Each detection is judged by the object that it overlaps most: right if it is the surest of those that
    found this object, wrong if another was surer, not counted if the object is ``left_out``, bool (G,).
    """
    pairs = nearest(evidence.pairs.where(evidence.pairs.iou >= 0.5))
    matched = np.full((1, len(evidence.found.scores)), -1, dtype=np.int64)
    taken, first = np.unique(pairs.sought, return_index=True)
    matched[0, pairs.found[first]] = taken
    counted = np.ones_like(matched, dtype=bool)
    counted[0, pairs.found[left_out[pairs.sought]]] = False
    objects = np.bincount(evidence.sought.labels[~left_out], minlength=evidence.num_classes)
    return Verdicts((matched >= 0) & counted, counted, matched, objects)


def average_precisions(
    evidence: Evidence, verdicts: Verdicts, definition: Callable[[Floats], Floats]
) -> Floats:
    """Average precision by one of the definitions of ``precision_recall``: (T, K), NaN without objects."""
    values = np.full((len(verdicts.correct), evidence.num_classes), np.nan)
    for label in np.flatnonzero(verdicts.objects).tolist():
        rows = evidence.rows(label)
        correct, counted = verdicts.correct[:, rows], verdicts.counted[:, rows]
        values[:, label] = definition(staircase(correct, counted, int(verdicts.objects[label])))
    return values


def limits_of(evidence: Evidence) -> list[int]:
    """How many detections recall is told for: 1, 10 and the limit."""
    return [*(few for few in (1, 10) if few < evidence.limit), evidence.limit]


def recalls(evidence: Evidence, verdicts: Verdicts, limit: int) -> Floats:
    """The part of the objects that the ``limit`` surest detections of each picture and class find: (T, K)."""
    within = evidence.found.ranks < limit
    values = np.full((len(verdicts.correct), evidence.num_classes), np.nan)
    for label in np.flatnonzero(verdicts.objects).tolist():
        rows = evidence.rows(label)
        hits = (verdicts.correct[:, rows] & within[rows]).sum(axis=1)
        values[:, label] = hits / verdicts.objects[label]
    return values


def mean_over_classes(values: Floats) -> float | None:
    """The mean of (T, K) over the thresholds and the classes with objects; None if there are none."""
    values = values[:, ~np.isnan(values).any(axis=0)]
    return float(values.mean()) if values.size else None
