"""What is wrong with detections, by kind, and what mending each kind would gain.

After TIDE (Bolya et al. 2020, arXiv:2008.08115, sections 2.2 and 2.3), at an overlap of 0.5 to be right and
of 0.1 to concern an object at all. A wrong detection is of the first kind that fits:

    localization    an object of its class overlaps by 0.1 or more, and none by 0.5
    classification  an object of another class overlaps by 0.5 or more
    duplicate       an object of its class overlaps by 0.5, and a surer detection has found it
    background      no object overlaps by 0.1
    both            what is left: an object of another class overlaps by 0.1, and none by 0.5

    missed          an object that was not found, and that no error of the first two kinds could find

Shapes: D detections and G objects of all pictures, P pairs of both, K classes.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from striate.metrics.matching import Flags, Floats, Ids, Pairs, nearest, overlapping
from striate.metrics.precision_recall import hundred_and_one_points, staircase
from striate.metrics.verdicts import Evidence

RIGHT, NEAR = 0.5, 0.1
KINDS = ("classification", "localization", "both", "duplicate", "background", "missed")


class ErrorKind(NamedTuple):
    """How many errors are of one kind, and how much larger ``map_50`` would be without them."""

    kind: str
    number: int
    gain: float


class DetectionErrors(NamedTuple):
    """The breakdown of ``map_50``; gains do not add up to what is missing, for one error hides another."""

    map_50: float
    kinds: list[ErrorKind]  # in the order of KINDS


class Faults(NamedTuple):
    """What is wrong, and which object each wrong detection is near to."""

    kinds: NDArray[np.str_]  # (D,) empty where a detection is right or not counted
    own: Ids  # (D,) the object of the detection's class that overlaps most, -1 for none
    other: Ids  # (D,) and of the other classes
    taken: Flags  # (G,) found by a right detection
    missed: Flags  # (G,)


def break_down(evidence: Evidence) -> DetectionErrors:
    """Count every kind of error, and mend each alone.

    A detection with the wrong class is given the right one, and one in the wrong place is moved onto its
    object: the surest of those for one object, if that was not found. The others and all errors of the
    other kinds are removed. Missed objects are no longer to be found, and a class of which all were missed
    counts 1.
    """
    found, sought, faults = evidence.found, evidence.sought, find_faults(evidence)
    correct, counted, objects = evidence.half.correct[0], evidence.half.counted[0], evidence.half.objects

    def mean(labels: Ids, correct: Flags, counted: Flags, left: Ids) -> float:
        order = np.lexsort((-found.scores, labels))
        values = []
        for label in np.flatnonzero(objects).tolist():
            rows = order[slice(*np.searchsorted(labels, [label, label + 1], sorter=order))]
            steps = staircase(correct[None, rows], counted[None, rows], int(left[label]))
            values.append(float(hundred_and_one_points(steps)[0]) if left[label] else 1.0)
        return float(np.mean(values))

    before = mean(found.labels, correct, counted, objects)
    after = {}
    for kind, target in (("classification", faults.other), ("localization", faults.own)):
        wrong = faults.kinds == kind
        mended = surest(wrong, target, faults.taken, found.scores)
        labels = np.where(mended, sought.labels[target], found.labels)
        after[kind] = mean(labels, correct | mended, counted & (mended | ~wrong), objects)
    for kind in ("both", "duplicate", "background"):
        after[kind] = mean(found.labels, correct, counted & (faults.kinds != kind), objects)
    left = objects - np.bincount(sought.labels[faults.missed], minlength=len(objects))
    after["missed"] = mean(found.labels, correct, counted, left)
    numbers = {kind: int((faults.kinds == kind).sum()) for kind in KINDS}
    numbers["missed"] = int(faults.missed.sum())
    return DetectionErrors(before, [ErrorKind(kind, numbers[kind], after[kind] - before) for kind in KINDS])


def find_faults(evidence: Evidence) -> Faults:
    """The kind of every wrong detection, and the objects missed."""
    found, sought, verdicts = evidence.found, evidence.sought, evidence.half
    wrong = verdicts.counted[0] & ~verdicts.correct[0]
    rows, columns = np.flatnonzero(wrong), np.flatnonzero(~sought.crowd)
    near = overlapping(
        found.boxes_xyxy[rows],
        found.pictures[rows],
        sought.boxes_xyxy[columns],
        sought.pictures[columns],
        NEAR,
    )
    pairs = Pairs(rows[near.found], columns[near.sought], near.iou, near.inside)
    same = found.labels[pairs.found] == sought.labels[pairs.sought]
    own_iou, own = best_of(pairs, same, len(wrong))
    other_iou, other = best_of(pairs, ~same, len(wrong))
    conditions = {  # the first that holds
        "": ~wrong,
        "localization": (own_iou >= NEAR) & (own_iou < RIGHT),
        "classification": other_iou >= RIGHT,
        "duplicate": own_iou >= RIGHT,
        "background": np.maximum(own_iou, other_iou) < NEAR,
    }
    kinds = np.select(list(conditions.values()), list(conditions), default="both")
    taken = np.zeros(len(sought.labels), dtype=bool)
    taken[verdicts.matched[0, verdicts.correct[0]]] = True
    missed = ~taken & ~sought.crowd
    missed[own[kinds == "localization"]] = False
    missed[other[kinds == "classification"]] = False
    return Faults(kinds, own, other, taken, missed)


def best_of(pairs: Pairs, chosen: Flags, size: int) -> tuple[Floats, Ids]:
    """The largest IoU of each detection in the ``chosen`` of P pairs and its object: (D,) each."""
    best = nearest(pairs.where(chosen))
    iou, objects = np.zeros(size), np.full(size, -1, dtype=np.int64)
    iou[best.found], objects[best.found] = best.iou, best.sought
    return iou, objects


def surest(wrong: Flags, target: Ids, taken: Flags, scores: Floats) -> Flags:
    """Of the ``wrong`` detections, bool (D,), for one object the surest, if the object was not ``taken``."""
    candidates = np.flatnonzero(wrong)
    candidates = candidates[~taken[target[candidates]]]
    candidates = candidates[np.argsort(-scores[candidates], kind="stable")]
    _, first = np.unique(target[candidates], return_index=True)
    chosen = np.zeros_like(wrong)
    chosen[candidates[first]] = True
    return chosen
