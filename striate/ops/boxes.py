"""Arithmetic of boxes: formats, areas, overlaps, and the offsets by which a network moves an anchor.

Boxes are in pixels from the outer corner of the top left pixel, so that a width is x2 - x1; everything but
``clip_boxes`` serves coordinates in 0..1 as well. Any number of boxes may be none. Results are float64 for
float64 boxes and float32 for all others: half precision does not hold a coordinate of a large picture.
"""

import math
from typing import Literal

import torch
from torch import Tensor

MAX_LOG_SCALE = math.log(1000 / 16)
EPSILON = 1e-9  # areas and lengths up to this count as none where something is divided by them
LEAST_SCALE = 1e-6  # of a box, in anchors: the logarithm of nothing is not a target

Weights = tuple[float, float, float, float]


def xyxy_to_cxcywh(boxes_xyxy: Tensor) -> Tensor:
    """Corners x1, y1, x2, y2 (..., 4) as centre, width and height (..., 4)."""
    x1, y1, x2, y2 = _real(boxes_xyxy).unbind(-1)
    return torch.stack([(x1 + x2) / 2, (y1 + y2) / 2, x2 - x1, y2 - y1], dim=-1)


def cxcywh_to_xyxy(boxes_cxcywh: Tensor) -> Tensor:
    """Centre, width and height (..., 4) as corners x1, y1, x2, y2 (..., 4)."""
    x, y, width, height = _real(boxes_cxcywh).unbind(-1)
    return torch.stack([x - width / 2, y - height / 2, x + width / 2, y + height / 2], dim=-1)


def xyxy_to_xywh(boxes_xyxy: Tensor) -> Tensor:
    """Corners x1, y1, x2, y2 (..., 4) as the first corner, width and height (..., 4)."""
    x1, y1, x2, y2 = _real(boxes_xyxy).unbind(-1)
    return torch.stack([x1, y1, x2 - x1, y2 - y1], dim=-1)


def xywh_to_xyxy(boxes_xywh: Tensor) -> Tensor:
    """First corner, width and height (..., 4) as corners x1, y1, x2, y2 (..., 4)."""
    x, y, width, height = _real(boxes_xywh).unbind(-1)
    return torch.stack([x, y, x + width, y + height], dim=-1)


def box_area(boxes_xyxy: Tensor) -> Tensor:
    """The areas (...) of boxes (..., 4), in squares of their unit; a box with x2 < x1 or y2 < y1 has none."""
    x1, y1, x2, y2 = _real(boxes_xyxy).unbind(-1)
    return (x2 - x1).clamp(min=0) * (y2 - y1).clamp(min=0)


def box_iou(boxes_xyxy: Tensor, others_xyxy: Tensor) -> Tensor:
    """Intersection over union of every box with every other.

    Args:
        boxes_xyxy: (M, 4).
        others_xyxy: (T, 4).

    Returns:
        (M, T) in 0..1: exactly 1 for a box with itself, 0 for boxes without area.
    """
    return broadcast_iou(boxes_xyxy[:, None], others_xyxy)


def broadcast_iou(boxes_xyxy: Tensor, others_xyxy: Tensor) -> Tensor:
    """Intersection over union of boxes (..., 4) and others (..., 4), one by one as they broadcast.

    Each number is to the bit the one that ``box_iou`` gives. In a loss, use ``paired_iou``.
    """
    boxes, others = _real(boxes_xyxy), _real(others_xyxy)
    shared = _intersections(boxes, others)
    union = box_area(boxes) + box_area(others) - shared
    return shared / union.clamp(min=torch.finfo(union.dtype).tiny)


def box_iou_crowd(boxes_xyxy: Tensor, others_xyxy: Tensor) -> Tensor:
    """The share of every box that lies in every other: what COCO takes for IoU where the others are crowds.

    Args:
        boxes_xyxy: (M, 4).
        others_xyxy: (T, 4), the crowds.

    Returns:
        (M, T) in 0..1: 0 for boxes without area.
    """
    boxes, others = _real(boxes_xyxy), _real(others_xyxy)
    area = box_area(boxes)[:, None]
    return _intersections(boxes[:, None], others) / area.clamp(min=torch.finfo(area.dtype).tiny)


def paired_iou(
    boxes_xyxy: Tensor, others_xyxy: Tensor, kind: Literal["iou", "giou", "diou", "ciou"] = "iou"
) -> Tensor:
    """Intersection over union of each box with its own other, or one of its kin; for losses, 1 minus it.

    The gradient is finite for all finite boxes: equal, apart, without area.

    Args:
        boxes_xyxy: (..., 4).
        others_xyxy: (..., 4).
        kind: "iou", in 0..1; "giou" takes off the empty share of the smallest box around both, in -1..1;
            "diou" the squared distance of the centres in squared diagonals of that box, in -1..1; "ciou"
            that and the difference of the aspect ratios, weighted by a factor without gradient, in -2..1.

    Returns:
        (...).

    Source: Rezatofighi et al., "Generalized Intersection over Union", 2019, algorithm 1; Zheng et al.,
    "Distance-IoU Loss", 2020, equations 7 and 10.
    """
    boxes, others = _real(boxes_xyxy), _real(others_xyxy)
    shared = _intersections(boxes, others)
    union = box_area(boxes) + box_area(others) - shared
    iou = _ratio(shared, union)
    if kind == "iou":
        return iou
    width = torch.maximum(boxes[..., 2], others[..., 2]) - torch.minimum(boxes[..., 0], others[..., 0])
    height = torch.maximum(boxes[..., 3], others[..., 3]) - torch.minimum(boxes[..., 1], others[..., 1])
    if kind == "giou":
        return iou - _ratio(width * height - union, width * height)
    apart = xyxy_to_cxcywh(boxes) - xyxy_to_cxcywh(others)
    diou = iou - _ratio(apart[..., 0] ** 2 + apart[..., 1] ** 2, width**2 + height**2)
    if kind == "diou":
        return diou
    difference = (4 / math.pi**2) * (_aspect_angle(boxes) - _aspect_angle(others)) ** 2
    weight = _ratio(difference, 1 - iou + difference).detach()
    return diou - weight * difference


def clip_boxes(boxes_xyxy: Tensor, height: float, width: float) -> Tensor:
    """Boxes (..., 4) cut off at the borders of a picture of ``height`` x ``width`` pixels.

    A box outside the picture becomes one without area on its border.
    """
    boxes = _real(boxes_xyxy)
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

    Source: Girshick et al., "Rich feature hierarchies", 2014, equations 6 to 9 of appendix C.
    """
    x, y, width, height = xyxy_to_cxcywh(boxes_xyxy).unbind(-1)
    anchor_x, anchor_y, anchor_width, anchor_height = xyxy_to_cxcywh(anchors_xyxy).unbind(-1)
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
    """
    move_x, move_y, log_width, log_height = (_real(deltas) / _real(deltas).new_tensor(weights)).unbind(-1)
    x, y, width, height = xyxy_to_cxcywh(anchors_xyxy).unbind(-1)
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


def _real(boxes: Tensor) -> Tensor:
    """At least single precision."""
    return boxes if boxes.dtype == torch.float64 else boxes.float()


def _intersections(boxes: Tensor, others: Tensor) -> Tensor:
    """Shared areas of boxes (..., 4) and (..., 4), one by one as they broadcast."""
    width = torch.minimum(boxes[..., 2], others[..., 2]) - torch.maximum(boxes[..., 0], others[..., 0])
    height = torch.minimum(boxes[..., 3], others[..., 3]) - torch.maximum(boxes[..., 1], others[..., 1])
    return width.clamp(min=0) * height.clamp(min=0)


def _ratio(part: Tensor, whole: Tensor) -> Tensor:
    """``part / whole``, and 0 with gradient 0 where there is no whole."""
    some = whole > EPSILON
    return torch.where(some, part / torch.where(some, whole, 1), 0)


def _aspect_angle(boxes: Tensor) -> Tensor:
    """The angle whose tangent is width / height, in 0..pi / 2."""
    sides = (boxes[..., 2:] - boxes[..., :2]).clamp(min=EPSILON)
    return torch.atan2(sides[..., 0], sides[..., 1])
