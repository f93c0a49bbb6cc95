"""Whether two pictures that look alike show nearly the same objects, where objects are labelled.

Frames of a fixed camera are alike to any measure of the whole picture: the board is the same, the pieces are
elsewhere. They are no copies. A copy has the same objects in the same places, or, where it is a crop, in the
places where the motion that lays one picture on the other takes them.
"""

from collections.abc import Iterator
from dataclasses import replace

import torch
import torch.nn.functional as F
from torch import Tensor

from striate.audit.likeness import PAIRS, Likeness, edge_likeness, lay_on, move
from striate.ops.boxes import box_area, broadcast_iou
from striate.samples import Objects

SAME_PLACE = 0.5  # IoU from which on two boxes are around the same thing
ROUNDING = 0.02  # by which boxes are enlarged before, in halves of a picture: motions are estimated
SHARE = 0.9  # of the objects of each picture that must be in the other, too
SEEN = 0.5  # of an object that must lie where both pictures look, to count
COMBINATIONS = 2**21  # of objects that are compared at a time


def with_same_objects(links: Likeness, copies: Tensor, objects: Objects, mirrored: bool = False) -> Likeness:
    """The pairs of alike pictures that show nearly the same objects.

    Args:
        links: as ``find_alike`` tells them.
        copies: grey, uint8 (n, 32, 32), in which it found them.
        objects: of these n pictures, boxes in halves from the middle (``in_halves``).
        mirrored: whether the mirror images of the second pictures are meant.
    """
    others = mirror_images(objects) if mirrored else objects
    kept = torch.zeros(len(links.first), dtype=torch.bool)
    for rows in _portions(objects.counts[links.first] * objects.counts[links.second]):
        first, second = links.first[rows], links.second[rows]
        own, other = copies[first].float(), copies[second].float()
        motion = _motion(own, other.flip(2) if mirrored else other)
        kept[rows] = nearly_same(objects[first], others[second], motion)
    return Likeness(links.first[kept], links.second[kept], links.likeness[kept])


def _portions(costs: Tensor) -> Iterator[slice]:
    """Consecutive pairs that together cost no more than ``COMBINATIONS``, or single ones that do."""
    start = total = 0
    for i, cost in enumerate(costs.tolist()):
        if i > start and (total + cost > COMBINATIONS or i - start == PAIRS):
            yield slice(start, i)
            start, total = i, 0
        total += cost
    if start < len(costs):
        yield slice(start, len(costs))


def _motion(own: Tensor, other: Tensor) -> Tensor:
    """What lays the other copies on the own ones, float32 (m, 32, 32) both: (m, 4), 0 where that makes them
    no more alike than they are: the camera stood still, and what moved were objects."""
    motion = lay_on(F.avg_pool2d(own, 2), F.avg_pool2d(other, 2))
    better = edge_likeness(own, move(other, motion)) > edge_likeness(own, other)
    return motion.where(better[:, None], 0.0)


def in_halves(objects: Objects, sizes: Tensor) -> Objects:
    """Objects with boxes in halves of their picture from its middle, -1..1.

    Args:
        objects: in pixels.
        sizes: width and height of each picture in pixels, (n, 2).
    """
    whole = sizes.float().clamp_min(1).repeat(1, 2)[objects.pictures]
    return replace(objects, boxes_xyxy=2 * objects.boxes_xyxy / whole - 1)


def mirror_images(objects: Objects) -> Objects:
    """Objects of the mirror images, both in halves."""
    x1, y1, x2, y2 = objects.boxes_xyxy.unbind(1)
    return replace(objects, boxes_xyxy=torch.stack([-x2, y1, -x1, y2], dim=1))


def nearly_same(first: Objects, second: Objects, motion: Tensor) -> Tensor:
    """Whether nearly all objects of each picture have a counterpart in its partner, bool (m,).

    A counterpart is of the same class, and in the same place. Crowds may have one or not, and so may what
    the partner does not show.

    Args:
        first, second: the objects of m pictures and of their partners, boxes in halves.
        motion: of the partners, (m, 4) as ``likeness.move`` takes it.
    """
    view = _moved(torch.tensor([[-1.0, -1.0, 1.0, 1.0]]).expand(len(motion), 4), motion).clamp(-1, 1)
    ours, ours_count = _within(_moved(first.boxes_xyxy, motion[first.pictures]), view[first.pictures])
    theirs, theirs_count = _within(second.boxes_xyxy, view[second.pictures])
    i, j = _combinations(first, second)
    alike = (broadcast_iou(_enlarged(ours)[i], _enlarged(theirs)[j]) >= SAME_PLACE) & (
        first.labels[i] == second.labels[j]
    )
    same = torch.ones(len(motion), dtype=torch.bool)
    for objects, rows, counts in ((first, i, ours_count), (second, j, theirs_count)):
        met = torch.zeros(len(objects.labels), dtype=torch.bool)
        met[rows[alike]] = True
        counts = counts & ~objects.crowd
        known, found = (
            objects.pictures[chosen].bincount(minlength=len(motion)) for chosen in (counts, counts & met)
        )
        same &= found >= SHARE * known
    return same


def _combinations(first: Objects, second: Objects) -> tuple[Tensor, Tensor]:
    """Each object of a picture with each of its partner: rows of the first and of the second objects."""
    numbers = first.counts * second.counts
    pair = torch.arange(len(numbers)).repeat_interleave(numbers)
    place = torch.arange(len(pair)) - (numbers.cumsum(0) - numbers)[pair]
    width = second.counts[pair]
    return first.starts[pair] + place // width, second.starts[pair] + place % width


def _moved(boxes: Tensor, motion: Tensor) -> Tensor:
    """Where the partner shows boxes (T, 4), by its motion (T, 4)."""
    shift, scale = motion[:, [0, 2, 0, 2]], motion[:, [1, 3, 1, 3]]
    return boxes + shift + scale * boxes


def _within(boxes: Tensor, view: Tensor) -> tuple[Tensor, Tensor]:
    """Boxes (T, 4) cut where both pictures look, (T, 4), and whether enough of each is left, bool (T,)."""
    cut = torch.cat([boxes[:, :2].maximum(view[:, :2]), boxes[:, 2:].minimum(view[:, 2:])], dim=1)
    return cut, box_area(cut) >= SEEN * box_area(boxes)


def _enlarged(boxes: Tensor) -> Tensor:
    return boxes + torch.tensor([-ROUNDING, -ROUNDING, ROUNDING, ROUNDING])
