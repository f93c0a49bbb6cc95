"""Arithmetic of boxes: formats, areas, overlaps, and the offsets by which a network moves an anchor.

Boxes are in pixels from the outer corner of the top left pixel, so that a width is x2 - x1; everything but
``clip_boxes`` serves coordinates in 0..1 as well. Any number of boxes may be none. Results are float64 for
float64 boxes and float32 for all others: half precision does not hold a coordinate of a large picture.

Overlaps do not depend on the unit: they are right for boxes of 1e-12 as for such of 1e20. A coordinate that
is not a number makes every result that it enters not a number, so that a loss shows it; nothing here looks at
the coordinates themselves, for which an accelerator would have to be waited for.
"""

import math
from typing import Literal

import torch
from torch import Tensor

from striate.ops.arguments import (
    check_above_zero,
    check_number,
    check_pairs,
    check_shape,
    check_word,
    has_values,
)

MAX_LOG_SCALE = math.log(1000 / 16)
KINDS = ("iou", "giou", "diou", "ciou")
USUAL = 2.0**-30, 2.0**50  # of the largest coordinate; with others areas may be no numbers of their type
LEAST_SCALE = 1e-6  # of a box, in anchors: the logarithm of nothing is not a target

Weights = tuple[float, float, float, float]


def xyxy_to_cxcywh(boxes_xyxy: Tensor) -> Tensor:
    """Corners x1, y1, x2, y2 (..., 4) as centre, width and height (..., 4)."""
    x1, y1, x2, y2 = _real("boxes_xyxy", boxes_xyxy).unbind(-1)
    return torch.stack([(x1 + x2) / 2, (y1 + y2) / 2, x2 - x1, y2 - y1], dim=-1)


def cxcywh_to_xyxy(boxes_cxcywh: Tensor) -> Tensor:
    """Centre, width and height (..., 4) as corners x1, y1, x2, y2 (..., 4)."""
    x, y, width, height = _real("boxes_cxcywh", boxes_cxcywh).unbind(-1)
    return torch.stack([x - width / 2, y - height / 2, x + width / 2, y + height / 2], dim=-1)


def xyxy_to_xywh(boxes_xyxy: Tensor) -> Tensor:
    """Corners x1, y1, x2, y2 (..., 4) as the first corner, width and height (..., 4)."""
    x1, y1, x2, y2 = _real("boxes_xyxy", boxes_xyxy).unbind(-1)
    return torch.stack([x1, y1, x2 - x1, y2 - y1], dim=-1)


def xywh_to_xyxy(boxes_xywh: Tensor) -> Tensor:
    """First corner, width and height (..., 4) as corners x1, y1, x2, y2 (..., 4)."""
    x, y, width, height = _real("boxes_xywh", boxes_xywh).unbind(-1)
    return torch.stack([x, y, x + width, y + height], dim=-1)


def box_area(boxes_xyxy: Tensor) -> Tensor:
    """The areas (...) of boxes (..., 4), in squares of their unit; a box with x2 < x1 or y2 < y1 has none."""
    return _areas(_real("boxes_xyxy", boxes_xyxy))


def box_iou(boxes_xyxy: Tensor, others_xyxy: Tensor) -> Tensor:
    """Intersection over union of every box with every other.

    Args:
        boxes_xyxy: (M, 4).
        others_xyxy: (T, 4).

    Returns:
        (M, T) in 0..1: exactly 1 for a box with itself, 0 for boxes without area.

    Raises:
        ValueError: an argument of another shape.
    """
    boxes, others = _all_scaled(boxes_xyxy, others_xyxy)
    return broadcast_iou(boxes[:, None], others)


def broadcast_iou(boxes_xyxy: Tensor, others_xyxy: Tensor) -> Tensor:
    """Intersection over union of boxes (..., 4) and others (..., 4), one by one as they broadcast.

    Each number is to the bit the one that ``box_iou`` gives where areas are numbers of their type: in single
    precision with sides of 1e-18 to 1e18, beyond which it may be NaN or 0. In a loss, use ``paired_iou``.

    Raises:
        ValueError: shapes that do not broadcast.
    """
    boxes, others = _real("boxes_xyxy", boxes_xyxy), _real("others_xyxy", others_xyxy)
    check_pairs("boxes_xyxy", boxes, "others_xyxy", others)
    shared = _intersections(boxes, others)
    union = _areas(boxes) + _areas(others) - shared
    return shared / union.clamp(min=torch.finfo(union.dtype).tiny)


def box_iou_crowd(boxes_xyxy: Tensor, others_xyxy: Tensor) -> Tensor:
    """The share of every box that lies in every other: what COCO takes for IoU where the others are crowds.

    Args:
        boxes_xyxy: (M, 4).
        others_xyxy: (T, 4), the crowds.

    Returns:
        (M, T) in 0..1: 0 for boxes without area.

    Raises:
        ValueError: an argument of another shape.
    """
    boxes, others = _all_scaled(boxes_xyxy, others_xyxy)
    area = _areas(boxes)[:, None]
    return _intersections(boxes[:, None], others) / area.clamp(min=torch.finfo(area.dtype).tiny)


def paired_iou(
    boxes_xyxy: Tensor, others_xyxy: Tensor, kind: Literal["iou", "giou", "diou", "ciou"] = "iou"
) -> Tensor:
    """Intersection over union of each box with its own other, or one of its kin; for losses, 1 minus it.

    The gradient is finite for all finite boxes: equal, apart, without area. Boxes without area overlap
    nothing, not even themselves.

    Args:
        boxes_xyxy: (..., 4).
        others_xyxy: (..., 4).
        kind: "iou", in 0..1; "giou" takes off the empty share of the smallest box around both, in -1..1;
            "diou" the squared distance of the centres in squared diagonals of that box, in -1..1; "ciou"
            that and the difference of the aspect ratios, weighted by a factor without gradient, in -2..1.

    Returns:
        (...); NaN where a coordinate is.

    Raises:
        ValueError: shapes that do not broadcast, or another kind.

    Source: Rezatofighi et al., "Generalized Intersection over Union", 2019, algorithm 1; Zheng et al.,
    "Distance-IoU Loss", 2020, equations 7 and 10.
    """
    check_word("kind", kind, KINDS)
    boxes, others = _pairs_scaled(boxes_xyxy, others_xyxy)
    first, last = torch.maximum(boxes, others), torch.minimum(boxes, others)  # of what is shared
    shared = _product((last[..., 2:] - first[..., :2]).clamp(min=0))
    union = _areas(boxes) + _areas(others) - shared
    iou = _ratio(shared, union)
    if kind == "iou":
        return iou
    around = first[..., 2:] - last[..., :2]  # width and height
    if kind == "giou":
        whole = _product(around)
        return iou - _ratio(whole - union, whole)
    apart = (boxes[..., :2] + boxes[..., 2:] - others[..., :2] - others[..., 2:]) / 2
    diou = iou - _ratio(apart.square().sum(-1), around.square().sum(-1))
    if kind == "diou":
        return diou
    difference = (4 / math.pi**2) * (_aspect_angle(boxes) - _aspect_angle(others)) ** 2
    weight = _ratio(difference, 1 - iou + difference).detach()
    return diou - weight * difference


def clip_boxes(boxes_xyxy: Tensor, height: float, width: float) -> Tensor:
    """Boxes (..., 4) cut off at the borders of a picture of ``height`` x ``width`` pixels.

    A box outside the picture becomes one without area on its border.

    Raises:
        ValueError: an argument of another shape, or a size that is no number from 0 on.
    """
    check_number("height", height, 0)
    check_number("width", width, 0)
    boxes = _real("boxes_xyxy", boxes_xyxy)
    return torch.stack(
        [boxes[..., i].clamp(0, limit) for i, limit in enumerate((width, height, width, height))], dim=-1
    )


def encode_deltas(boxes_xyxy: Tensor, anchors_xyxy: Tensor, weights: Weights = (1, 1, 1, 1)) -> Tensor:
    """The offsets that move anchors onto boxes: what a network learns to predict.

    Args:
        boxes_xyxy: (..., 4).
        anchors_xyxy: (..., 4) with area. A side of a box counts as at least a millionth of its anchor's.
        weights: of centre x, centre y, width and height. SSD divides by variances instead, 0.1 and 0.2:
            its weights are 10, 10, 5, 5.

    Returns:
        (..., 4): the way between the centres in sides of the anchor, the logarithms of the scales.

    Raises:
        ValueError: shapes that do not broadcast, or weights that are not four numbers above 0.

    Source: Girshick et al., "Rich feature hierarchies", 2014, equations 6 to 9 of appendix C.
    """
    boxes, anchors = _real("boxes_xyxy", boxes_xyxy), _real("anchors_xyxy", anchors_xyxy)
    check_pairs("boxes_xyxy", boxes, "anchors_xyxy", anchors)
    _check_weights(weights)
    x, y, width, height = xyxy_to_cxcywh(boxes).unbind(-1)
    anchor_x, anchor_y, anchor_width, anchor_height = xyxy_to_cxcywh(anchors).unbind(-1)
    return torch.stack(
        [
            weights[0] * (x - anchor_x) / anchor_width,
            weights[1] * (y - anchor_y) / anchor_height,
            weights[2] * (width / anchor_width).clamp(min=LEAST_SCALE).log(),
            weights[3] * (height / anchor_height).clamp(min=LEAST_SCALE).log(),
        ],
        dim=-1,
    )


def decode_deltas(
    deltas: Tensor,
    anchors_xyxy: Tensor,
    weights: Weights = (1, 1, 1, 1),
    max_log_scale: float = MAX_LOG_SCALE,
) -> Tensor:
    """Anchors moved by the offsets of ``encode_deltas``, which it inverts.

    Args:
        deltas: (..., 4).
        anchors_xyxy: (..., 4).
        weights: as in ``encode_deltas``.
        max_log_scale: logarithms of scales are cut off here, so that an untrained network's boxes are finite.

    Returns:
        boxes_xyxy (..., 4), not clipped.

    Raises:
        ValueError: as ``encode_deltas``, or a limit that is no number.
    """
    offsets, anchors = _real("deltas", deltas), _real("anchors_xyxy", anchors_xyxy)
    check_pairs("deltas", offsets, "anchors_xyxy", anchors)
    _check_weights(weights)
    check_number("max_log_scale", max_log_scale)
    move_x, move_y, log_width, log_height = (offsets / offsets.new_tensor(weights)).unbind(-1)
    x, y, width, height = xyxy_to_cxcywh(anchors).unbind(-1)
    return cxcywh_to_xyxy(
        torch.stack(
            [
                x + move_x * width,
                y + move_y * height,
                width * log_width.clamp(max=max_log_scale).exp(),
                height * log_height.clamp(max=max_log_scale).exp(),
            ],
            dim=-1,
        )
    )


def _real(name: str, boxes: Tensor) -> Tensor:
    """The argument of this name, boxes (..., 4), in at least single precision."""
    check_shape(name, boxes, ("...", 4))
    return boxes if boxes.dtype == torch.float64 else boxes.float()


def _check_weights(weights: Weights) -> None:
    if not isinstance(weights, tuple | list) or len(weights) != 4:
        raise ValueError(f"weights must be four, of centre x, centre y, width and height, not {weights!r}")
    for weight in weights:
        check_above_zero("weights", weight)


def _all_scaled(boxes_xyxy: Tensor, others_xyxy: Tensor) -> tuple[Tensor, Tensor]:
    """Boxes (M, 4) and others (T, 4) times one power of two, so that no area is too large or small for its
    type; as it is a power of two, the overlaps are the same to the bit."""
    check_shape("boxes_xyxy", boxes_xyxy, ("M", 4))
    check_shape("others_xyxy", others_xyxy, ("T", 4))
    boxes, others = _real("boxes_xyxy", boxes_xyxy), _real("others_xyxy", others_xyxy)
    if not len(boxes) or not len(others):
        return boxes, others
    ends = [end for b in (boxes, others) for end in b.detach().aminmax()]
    if has_values(boxes) and USUAL[0] <= max(abs(float(end)) for end in ends) <= USUAL[1]:
        return boxes, others
    extent = torch.stack([_largest(boxes), _largest(others)]).amax()
    factor = power_of_two_over(extent) * USUAL[1]  # what is 2**-110 of the largest still has an area
    # Infinities less themselves are no numbers, as in ``paired_iou``; all else less itself is 0.
    return boxes * factor + (boxes - boxes), others * factor + (others - others)


def _largest(boxes: Tensor) -> Tensor:
    """Of the coordinates of (M, 4) that are finite, so that the others enter no result but their own, ()."""
    return boxes.detach().nan_to_num(0.0, 0.0, 0.0).abs().amax()


def _pairs_scaled(boxes_xyxy: Tensor, others_xyxy: Tensor) -> tuple[Tensor, Tensor]:
    """Each box and its own other, both (..., 4), times a power of two that brings them into -1..1."""
    boxes, others = _real("boxes_xyxy", boxes_xyxy), _real("others_xyxy", others_xyxy)
    check_pairs("boxes_xyxy", boxes, "others_xyxy", others)
    extent = torch.maximum(boxes.detach().abs(), others.detach().abs()).amax(-1, keepdim=True)
    factor = power_of_two_over(extent)
    return boxes * factor, others * factor


def power_of_two_over(extent: Tensor) -> Tensor:
    """The power of two (...) that brings each number of (...), not below 0, into 1/2..1; at most 2**70."""
    extent = extent.clamp(min=2.0**-70)
    return torch.frexp(extent).mantissa / extent  # exact, as the quotient is a power of two


def _areas(boxes: Tensor) -> Tensor:
    x1, y1, x2, y2 = boxes.unbind(-1)
    return (x2 - x1).clamp(min=0) * (y2 - y1).clamp(min=0)


def _product(sides: Tensor) -> Tensor:
    """Of width and height (..., 2), (...)."""
    return sides[..., 0] * sides[..., 1]


def _intersections(boxes: Tensor, others: Tensor) -> Tensor:
    """Shared areas of boxes (..., 4) and (..., 4), one by one as they broadcast."""
    width = torch.minimum(boxes[..., 2], others[..., 2]) - torch.maximum(boxes[..., 0], others[..., 0])
    height = torch.minimum(boxes[..., 3], others[..., 3]) - torch.maximum(boxes[..., 1], others[..., 1])
    return width.clamp(min=0) * height.clamp(min=0)


def _ratio(part: Tensor, whole: Tensor) -> Tensor:
    """``part / whole``; 0 with gradient 0 where there is no whole; NaN where it is NaN."""
    none = whole < _nothing(whole)
    return torch.where(none, 0, part / torch.where(none, 1, whole))


def _nothing(numbers: Tensor) -> float:
    """What is less than this counts as 0, so that one divided by it is still a number of its type."""
    return 64 * torch.finfo(numbers.dtype).tiny


def _aspect_angle(boxes: Tensor) -> Tensor:
    """The angle whose tangent is width / height, in 0..pi / 2; a side is at least 1e-9 of the other."""
    sides = boxes[..., 2:] - boxes[..., :2]
    longer = sides.detach().amax(-1, keepdim=True)
    longer = torch.where(longer < _nothing(longer), 1, longer)
    sides = (sides / longer).clamp(min=1e-9)
    return torch.atan2(sides[..., 0], sides[..., 1])
