"""Non-maximum suppression: of boxes that overlap, the surest stays.

Greedy suppression goes through the boxes from the surest to the least sure and keeps each that no kept one
overlaps by more than a threshold. ``nms`` gives exactly that result, but neither goes box by box nor compares
all boxes with all. Boxes that overlap by much have their centres near each other: the centres are sorted into
the cells of a grid, and a box is compared with those in the cells that it reaches. This happens for a portion
of the surest boxes at once, and in portions, so that memory stays small.

Soft suppression lowers scores instead, after which the order is another: it does go box by box.
"""

import math
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from striate.errors import RunError
from striate.ops.arguments import check_above_zero, check_lengths, check_number, check_shape, check_word
from striate.ops.boxes import USUAL, box_area, broadcast_iou, power_of_two_over

PAIRS = 1 << 16  # compared at a time, as many as fit in the cache
PAIRS_PER_BOX = 8  # or so many, where boxes are so many that sorting them into cells costs more
SUREST = 4096  # boxes that are compared with others at a time, at most
ROWS, COLUMNS = 2, 8  # cells that the mean box covers; a row of cells costs, a column does not
SLACK = 1 / 64  # of a side, added to a box's reach: far more than what rounding may hide
METHODS = ("linear", "gaussian")


class NotNumbersError(RunError, ValueError):
    """Boxes or scores that are not numbers: a run that failed, or an argument that was wrong."""


def nms(boxes_xyxy: Tensor, scores: Tensor, iou: float) -> Tensor:
    """Greedy non-maximum suppression, whatever the classes.

    Args:
        boxes_xyxy: (M, 4), finite.
        scores: (M,), not NaN; of equal scores the first in order counts as surer.
        iou: in 0..1; a box that overlaps a kept one by more than this is dropped.

    Returns:
        int64, the indices of the kept boxes, surest first.

    Raises:
        ValueError: other shapes or lengths, or a threshold that is none.
        NotNumbersError: a box is not finite or a score is NaN, as from a network that has diverged.
    """
    boxes = _checked(boxes_xyxy, scores)
    check_number("iou", iou, 0, 1)
    return _greedy(boxes, scores, torch.zeros_like(scores, dtype=torch.int64), iou)


def nms_per_class(boxes_xyxy: Tensor, scores: Tensor, labels: Tensor, iou: float) -> Tensor:
    """Greedy non-maximum suppression in which a box drops only boxes of its own class.

    Args:
        boxes_xyxy: (M, 4), finite.
        scores: (M,), not NaN; of equal scores the first in order counts as surer.
        labels: int64 (M,), any numbers.
        iou: in 0..1; a box that overlaps a kept one of its class by more than this is dropped.

    Returns:
        int64, the indices of the kept boxes of all classes, surest first.

    Raises:
        ValueError: other shapes or lengths, labels that are not int64, or a threshold that is none.
        NotNumbersError: a box is not finite or a score is NaN, as from a network that has diverged.
    """
    check_shape("labels", labels, ("M",), "ids")
    boxes = _checked(boxes_xyxy, scores, labels=labels)
    check_number("iou", iou, 0, 1)
    return _greedy(boxes, scores, labels.unique(return_inverse=True)[1], iou)


def soft_nms(
    boxes_xyxy: Tensor,
    scores: Tensor,
    iou: float = 0.3,
    method: Literal["linear", "gaussian"] = "linear",
    sigma: float = 0.5,
    least: float = 0.001,
) -> tuple[Tensor, Tensor]:
    """Suppression that lowers the scores of boxes instead of dropping them, the more the more they overlap.

    The surest box is taken, the scores of all others are multiplied by a factor, and so on with these.

    Args:
        boxes_xyxy: (M, 4), finite.
        scores: (M,), not NaN; of equal scores the first in order counts as surer.
        iou: in 0..1; "linear": boxes that overlap a taken one by more than this keep 1 - IoU of their score.
        method: "gaussian" lets every box keep exp(-IoU² / sigma) of its score.
        sigma: above 0; "gaussian": the smaller, the more scores fall.
        least: boxes whose score is or falls below this are dropped.

    Returns:
        int64, the indices of the taken boxes, surest first, and float (as many), their scores then.

    Raises:
        ValueError: other shapes or lengths, another method, or a number outside its range.
        NotNumbersError: a box is not finite or a score is NaN, as from a network that has diverged.

    Source: Bodla et al., "Soft-NMS: improving object detection with one line of code", 2017, equations 1, 3.
    """
    boxes = _checked(boxes_xyxy, scores)
    check_number("iou", iou, 0, 1)
    check_word("method", method, METHODS)
    check_above_zero("sigma", sigma)
    check_number("least", least)
    rest = (scores >= least).nonzero()[:, 0]
    left = scores[rest] if scores.dtype == torch.float64 else scores[rest].float()
    taken, taken_scores = [rest[:0]], [left[:0]]
    while len(rest):
        best = left.argmax()[None]  # the first of equal ones
        taken.append(rest[best])
        taken_scores.append(left[best])
        overlap = broadcast_iou(boxes[rest[best]], boxes[rest])
        if method == "linear":
            left = torch.where(overlap > iou, left * (1 - overlap), left)
        else:
            left = left * torch.exp(-(overlap**2) / sigma)
        stays = left >= least
        stays[best] = False
        rest, left = rest[stays], left[stays]
    return torch.cat(taken), torch.cat(taken_scores)


def _greedy(boxes_xyxy: Tensor, scores: Tensor, groups: Tensor, iou: float) -> Tensor:
    """Suppression within each of the groups 0, 1, ..."""
    rest = scores.argsort(descending=True, stable=True)
    kept = []
    while len(rest):
        surer, other, portion = _overlaps(boxes_xyxy[rest], groups[rest], iou)
        keep = _undropped(surer, other, len(rest))
        kept.append(rest[:portion][keep[:portion]])
        rest = rest[portion:][keep[portion:]]
    return torch.cat(kept) if kept else rest


def _overlaps(boxes_xyxy: Tensor, groups: Tensor, iou: float) -> tuple[Tensor, Tensor, int]:
    """Who would drop whom, of boxes in descending order of their scores, for a portion of the surest.

    Returns:
        two int64 vectors of positions, the surer box of a pair and the other, and the size of the portion:
        the pairs are all those whose surer box is in it.
    """
    starts, lengths, by_cell = _near(boxes_xyxy, groups, iou)
    ends = lengths.sum(1).cumsum(0)
    portion = max(int((ends <= max(PAIRS, PAIRS_PER_BOX * len(boxes_xyxy))).sum()), 1)
    pairs = int(ends[portion - 1])
    starts, lengths = starts[:portion], lengths[:portion]
    position = torch.arange(max(pairs, portion), device=ends.device)
    surer = position[:portion].repeat_interleave(lengths.sum(1), output_size=pairs)
    starts, lengths = starts.flatten(), lengths.flatten()
    moves = (starts - (lengths.cumsum(0) - lengths)).repeat_interleave(lengths, output_size=pairs)
    other = by_cell.index_select(0, moves.add_(position[:pairs]))
    coordinates = boxes_xyxy.T.contiguous()  # gathering from rows, and reading rows, is several times faster
    overlap = broadcast_iou(coordinates.index_select(1, surer).T, coordinates.index_select(1, other).T)
    found = ((overlap > iou) & (other > surer)).nonzero()[:, 0]
    return surer.index_select(0, found), other.index_select(0, found), portion


def _near(boxes_xyxy: Tensor, groups: Tensor, iou: float) -> tuple[Tensor, Tensor, Tensor]:
    """Where to look for the boxes that overlap each of the first m, up to ``SUREST``, by more than ``iou``.

    Returns:
        starts and lengths, int64 (m, R), of ranges of the third, the positions of all boxes by cells. There
        is a range for each row of cells that a box reaches.
    """
    boxes = boxes_xyxy.double()  # so that a centre is exact
    num_groups = int(groups.max()) + 1
    most = math.ceil(2 * (len(boxes) / num_groups) ** 0.5)  # cells along an axis: a few for each box
    x, y = (_axis(boxes[:, i], boxes[:, i + 2], iou, n, most) for i, n in ((0, COLUMNS), (1, ROWS)))
    first_row = groups * y.length
    cells = (first_row + y.cell) * x.length + x.cell
    bounds = torch.zeros(num_groups * y.length * x.length + 1, dtype=torch.int64, device=boxes.device)
    bounds[1:] = cells.bincount(minlength=len(bounds) - 1).cumsum(0)
    left, right, top, bottom = (c[:SUREST, None] for c in (x.first, x.last, y.first, y.last))
    rows = top + torch.arange(int((bottom - top).max()) + 1, device=boxes.device)
    begin = (first_row[:SUREST, None] + rows.clamp(max=y.length - 1)) * x.length
    starts, ends = bounds[begin + left], bounds[begin + right + 1]
    some = box_area(boxes_xyxy[:SUREST, None]) > 0  # a box without area overlaps none, and they may be many
    return starts, (ends - starts) * (some & (rows <= bottom)), cells.argsort()


class _Axis(NamedTuple):
    """Boxes in the cells of one axis, int64 (M,): the centre's, the first and the last within reach."""

    cell: Tensor
    first: Tensor
    last: Tensor
    length: int  # in cells


def _axis(low: Tensor, high: Tensor, iou: float, per_box: int, most: int) -> _Axis:
    """Boxes from ``low`` to ``high`` (M,) in up to ``most`` cells, ``per_box`` to the mean box.

    A box reaches the centres of all that it overlaps by more than ``iou``. Two such boxes overlap by as much
    along the axis alone: of the length u that they cover together, they share s > iou * u. Their centres
    are no farther apart than (u - s) / 2, and neither side is shorter than s.
    """
    centre, side = (low + high) / 2, (high - low).clamp(min=0)
    farthest = (side + side.max()) / 2  # where boxes share anything
    reach = torch.minimum(side * (1 / max(iou, 1e-9) - 1) / 2, farthest) + SLACK * side
    start = centre.min()
    extent = float(centre.max() - start)
    count = min(max(int(extent * per_box / max(float(side.mean()), 1e-30)), 1), most)
    per_unit = count / max(extent, 1e-30)
    cell, first, last = (
        ((place - start) * per_unit).clamp(0, count - 1).long()
        for place in (centre, centre - reach, centre + reach)
    )
    return _Axis(cell, first, last, count)


def _undropped(surer: Tensor, other: Tensor, count: int) -> Tensor:
    """bool (count,): the boxes that no box of these drops.

    Each round takes from the one before who is there to drop others. What becomes of a box depends on surer
    ones alone, so that each round settles at least one more, and the answer that repeats is the greedy one.
    """
    keep = torch.ones(count, dtype=torch.bool, device=surer.device)
    while True:
        before, keep = keep, torch.ones_like(keep)
        keep[other[before[surer]]] = False
        if torch.equal(keep, before):
            return keep


def _checked(boxes_xyxy: Tensor, scores: Tensor, **more: Tensor) -> Tensor:
    """The boxes, times a power of two where areas would be too small or large for their type.

    Raises:
        ValueError: other shapes, or as many boxes as there are not scores and ``more``.
        NotNumbersError: a box is not finite or a score is NaN.
    """
    check_shape("boxes_xyxy", boxes_xyxy, ("M", 4))
    check_shape("scores", scores, ("M",))
    check_lengths(boxes_xyxy=boxes_xyxy, scores=scores, **more)
    if not len(scores):
        return boxes_xyxy
    largest = max(abs(end) for end in torch.stack(boxes_xyxy.aminmax()).tolist())
    for name, wrong in (("boxes_xyxy", not math.isfinite(largest)), ("scores", bool(scores.isnan().any()))):
        if wrong:
            raise NotNumbersError(
                f"the network gives {name} that are not numbers", "", "train it with a lower learning rate"
            )
    if largest == 0 or USUAL[0] <= largest <= USUAL[1]:
        return boxes_xyxy
    boxes = boxes_xyxy.double() if boxes_xyxy.dtype == torch.float64 else boxes_xyxy.float()
    return boxes * (power_of_two_over(boxes.abs().amax()) * USUAL[1])
