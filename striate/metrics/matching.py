"""Which detection found which object: pairs that overlap, then COCO's rule or PASCAL VOC's.

Shapes: D detections and G objects of all pictures, P pairs of one of each, K classes, T thresholds.
"""

from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ids = NDArray[np.int64]
Flags = NDArray[np.bool_]

BLOCK = 4_000_000  # pairs that are measured at once: about 400 MB


class Found(NamedTuple):
    """The detections of all pictures by class, the surest of each class first.

    Of equal scores the one of the earlier picture comes first, and within a picture the one given first.
    """

    boxes_xyxy: Floats  # (D, 4)
    scores: Floats  # (D,)
    labels: Ids  # (D,)
    pictures: Ids  # (D,)
    ranks: Ids  # (D,) how many of the same picture and class are surer


class Sought(NamedTuple):
    """The objects of all pictures."""

    boxes_xyxy: Floats  # (G, 4)
    labels: Ids  # (G,)
    pictures: Ids  # (G,)
    crowd: Flags  # (G,)
    difficult: Flags  # (G,)
    areas: Floats  # (G,) as the labels say, or of the boxes


class Pairs(NamedTuple):
    """Detections and objects that overlap, by detection, and the pairs of one by object."""

    found: Ids  # (P,) ascending, in 0..D-1
    sought: Ids  # (P,) in 0..G-1
    iou: Floats  # (P,)
    inside: Floats  # (P,) the part of the detection's area that lies in the object: IoU at least

    def where(self, chosen: "Flags | Ids") -> "Pairs":
        """The pairs at ``chosen``: bool (P,) or positions."""
        return Pairs._make(column[chosen] for column in self)


def sort_found(boxes_xyxy: Floats, scores: Floats, labels: Ids, pictures: Ids) -> Found:
    """Detections (D, 4), (D,), (D,), (D,), given picture by picture, in the order of ``Found``."""
    order = np.lexsort((-scores, labels))
    labels, pictures = labels[order], pictures[order]
    return Found(boxes_xyxy[order], scores[order], labels, pictures, places(groups_of(pictures, labels)))


def groups_of(pictures: Ids, labels: Ids) -> Ids:
    """One number for each picture and class: what detections and objects must share to be matched."""
    return pictures << 32 | labels


def places(groups: Ids) -> Ids:
    """The place of each of (D,) members within its group, from 0, in the order they are given."""
    order = np.argsort(groups, kind="stable")
    ordered = groups[order]
    starts = np.flatnonzero(np.diff(ordered, prepend=-1))
    sizes = np.diff(starts, append=len(groups))
    found = np.empty(len(groups), dtype=np.int64)
    found[order] = np.arange(len(groups)) - starts.repeat(sizes)
    return found


def box_areas(boxes_xyxy: Floats) -> Floats:
    """Areas (D,) of boxes (D, 4), in square pixels; a box turned inside out has none."""
    sides = (boxes_xyxy[:, 2:] - boxes_xyxy[:, :2]).clip(min=0)
    areas: Floats = sides[:, 0] * sides[:, 1]
    return areas


def intersections(boxes_xyxy: Floats, others_xyxy: Floats) -> Floats:
    """What each of (P, 4) boxes shares with the other of its pair, (P,), in square pixels."""
    least, most = np.maximum(boxes_xyxy, others_xyxy), np.minimum(boxes_xyxy, others_xyxy)
    width, height = most[:, 2] - least[:, 0], most[:, 3] - least[:, 1]
    shared: Floats = width.clip(min=0) * height.clip(min=0)
    return shared


def parts(shares: Floats, wholes: Floats) -> Floats:
    """``shares / wholes``, and 0 where nothing is shared, as with boxes without area."""
    return np.divide(shares, wholes, out=np.zeros_like(shares), where=shares > 0)


def overlapping(
    boxes_xyxy: Floats, groups: Ids, others_xyxy: Floats, other_groups: Ids, least: float
) -> Pairs:
    """All pairs within a group of which ``inside``, and so possibly the IoU, is ``least`` or more.

    Args:
        boxes_xyxy: (D, 4) detections, and their ``groups`` (D,).
        others_xyxy: (G, 4) objects, and their ``other_groups`` (G,).
        least: above 0.
    """
    order = np.argsort(other_groups, kind="stable")
    ordered = other_groups[order]
    first = np.searchsorted(ordered, groups, side="left")
    counts = np.searchsorted(ordered, groups, side="right") - first
    cuts = np.flatnonzero(np.diff(counts.cumsum() // BLOCK)) + 1
    areas, other_areas = box_areas(boxes_xyxy), box_areas(others_xyxy)
    blocks = []
    for rows in np.split(np.arange(len(groups)), cuts):
        sizes = counts[rows]
        found = rows.repeat(sizes)
        offsets = (first[rows] - (sizes.cumsum() - sizes)).repeat(sizes)
        sought = order[offsets + np.arange(len(found))]
        shared = intersections(boxes_xyxy[found], others_xyxy[sought])
        inside = parts(shared, areas[found])
        near = np.flatnonzero(inside >= least * (1 - 1e-9))  # a rounded IoU may be larger than this
        found, sought, shared = found[near], sought[near], shared[near]
        iou = parts(shared, areas[found] + other_areas[sought] - shared)
        blocks.append(Pairs(found, sought, iou, inside[near]))
    return Pairs._make(np.concatenate(column) for column in zip(*blocks, strict=True))


def nearest(pairs: Pairs) -> Pairs:
    """Of each detection's pairs the one with the largest IoU, and of equal ones the first object's."""
    starts = np.flatnonzero(np.diff(pairs.found, prepend=-1))
    largest = np.maximum.reduceat(pairs.iou, starts).repeat(np.diff(starts, append=len(pairs.iou)))
    best = pairs.where(np.flatnonzero(pairs.iou == largest))
    return best.where(np.flatnonzero(np.diff(best.found, prepend=-1)))


class Turns(NamedTuple):
    """Pairs in the order in which COCO's rule looks at them.

    Pictures and classes are independent, so the n-th detections of all of them have their turn together.
    """

    found: Ids  # (P,) ascending within a turn
    sought: Ids  # (P,)
    overlap: Floats  # (P,) ascending within a detection
    edges: list[int]  # where each turn begins, and P


def take_turns(pairs: Pairs, overlap: Floats, found: Found) -> Turns:
    """Order the pairs of one picture and class each, by what has to reach the threshold, ``overlap`` (P,)."""
    detections, segment = np.unique(pairs.found, return_inverse=True)
    turns = places(groups_of(found.pictures[detections], found.labels[detections]))[segment]
    order = np.lexsort((overlap, turns * len(found.scores) + pairs.found))
    edges = np.flatnonzero(np.diff(turns[order], prepend=-1, append=-1))
    return Turns(pairs.found[order], pairs.sought[order], overlap[order], edges.tolist())


def match_in_turn(turns: Turns, ignored: Flags, crowd: Flags, thresholds: Floats, num_found: int) -> Ids:
    """COCO's rule: each detection in turn, the surest first, takes the best object that is left.

    An object can be taken once, a crowd any number of times. Objects that count go before ignored ones,
    then a larger overlap before a smaller one; of equal ones the object that was given last is taken.

    Args:
        turns: the P pairs.
        ignored: (G,) objects that do not count.
        crowd: (G,).
        thresholds: (T,).
        num_found: D.

    Returns:
        (T, D): the object that each detection has taken, -1 for none.
    """
    size = len(turns.sought)
    merit = np.arange(size) + size * ~ignored[turns.sought]
    enough, reusable = turns.overlap >= thresholds[:, None], crowd[turns.sought]
    taken = np.zeros((len(thresholds), len(ignored)), dtype=bool)
    matched = np.full((len(thresholds), num_found), -1, dtype=np.int64)
    for begin, end in pairwise(turns.edges):
        now = slice(begin, end)
        found, sought = turns.found[now], turns.sought[now]
        free = enough[:, now] & (reusable[now] | ~taken[:, sought])
        starts = np.flatnonzero(np.diff(found, prepend=-1))
        best = np.maximum.reduceat(np.where(free, merit[now], -1), starts, axis=1)
        rows, columns = np.nonzero(best >= 0)
        objects = turns.sought[best[rows, columns] % size]
        taken[rows, objects] = True
        matched[rows, found[starts[columns]]] = objects
    return matched
