"""The four numbers of a localizer's box: its centre, and the roots of its height and width.

An error of some pixels changes the root of a small length more than that of a large one, so it counts more on
a small box. All four are fractions of the picture.

Shapes: T boxes.
"""

import torch
from torch import Tensor

from striate.ops.arguments import check_above_zero, check_shape
from striate.ops.boxes import cxcywh_to_xyxy, xyxy_to_cxcywh


def encode_boxes(boxes_xyxy: Tensor, height: int, width: int) -> Tensor:
    """Boxes float (T, 4) in pixels of a picture of that size -> what is learned, float (T, 4): centre x,
    centre y, root of the height, root of the width, all in 0..1.

    Raises:
        ValueError: boxes of another shape, or a size that is not above 0.
    """
    _check("boxes_xyxy", boxes_xyxy, height, width)
    x, y, w, h = xyxy_to_cxcywh(boxes_xyxy).unbind(1)
    return torch.stack([x / width, y / height, (h / height).sqrt(), (w / width).sqrt()], dim=1)


def decode_boxes(boxes_norm: Tensor, height: int, width: int) -> Tensor:
    """The inverse of ``encode_boxes``; boxes may reach over the picture's border.

    Raises:
        ValueError: as ``encode_boxes``.
    """
    _check("boxes_norm", boxes_norm, height, width)
    x, y, root_h, root_w = boxes_norm.unbind(1)
    boxes_cxcywh = [x * width, y * height, root_w.square() * width, root_h.square() * height]
    return cxcywh_to_xyxy(torch.stack(boxes_cxcywh, dim=1))


def _check(name: str, boxes: Tensor, height: int, width: int) -> None:
    check_shape(name, boxes, ("T", 4))
    check_above_zero("height", height)
    check_above_zero("width", width)
