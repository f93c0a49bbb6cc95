"""Boxes between a picture and the network input that it, or a part of it, became.

Shapes: N pictures, T objects of all pictures, D boxes of one picture.
"""

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from striate.ops.arguments import check_number, check_shape, check_whole
from striate.samples import Frame, Objects

LEAST_VISIBLE = 0.3  # of a box's area: what is cut further is too little to be named for sure
NEARLY_WHOLE = 0.9  # of a box's area: a window that sees less shows no object, where another sees it whole


def objects_in_input(objects: Objects, frames: Sequence[Frame]) -> Objects:
    """The objects at their places in the network input, wherever those lie: in pixels, not clipped.

    Args:
        objects: of N pictures, in pixels of the pictures.
        frames: how the N pictures became input.

    Raises:
        ValueError: another number of frames.
    """
    if len(frames) != len(objects):
        raise ValueError(f"frames must be {len(objects)}, one for each picture of objects, not {len(frames)}")
    corners = _of_each(objects, [(frame.left, frame.top) for frame in frames])
    scales = _of_each(objects, [(frame.scale_x, frame.scale_y) for frame in frames])
    offsets = _of_each(objects, [(frame.offset_x, frame.offset_y) for frame in frames])
    return objects.moved((objects.boxes_xyxy - corners) * scales + offsets)


def cut_objects(objects: Objects, windows_xyxy: Tensor, least: float = LEAST_VISIBLE) -> Objects:
    """The objects within windows of their pictures: boxes end where the window ends.

    An object of which no part is seen is left out. One of which less than ``least`` is seen becomes a crowd:
    finding it is no mistake, and neither is missing it.

    Args:
        objects: of N pictures, in pixels.
        windows_xyxy: (N, 4) or (1, 4), in the same pixels.
        least: part of a box's area, in 0..1.

    Raises:
        ValueError: windows of another shape, or a part that is none.
    """
    check_shape("windows_xyxy", windows_xyxy, ("N", 4))
    if len(windows_xyxy) not in (1, len(objects)):
        raise ValueError(f"windows_xyxy must be 1 or {len(objects)}, not {len(windows_xyxy)}")
    check_number("least", least, 0, 1)
    boxes, windows = objects.boxes_xyxy, windows_xyxy.to(objects.boxes_xyxy)
    windows = windows.expand(len(objects), 4)[objects.pictures]
    corner, end = boxes[:, :2].maximum(windows[:, :2]), boxes[:, 2:].minimum(windows[:, 2:])
    seen = (corner <= end) & (boxes[:, :2] < windows[:, 2:]) & (boxes[:, 2:] > windows[:, :2])
    whole_area = (boxes[:, 2:] - boxes[:, :2]).prod(dim=1)
    hardly = (end - corner).prod(dim=1) < least * whole_area
    cut = replace(objects.moved(torch.cat([corner, end], dim=1)), crowd=objects.crowd | hardly)
    return cut.where(seen.all(dim=1))


def boxes_in_picture(boxes_xyxy: Tensor, frame: Frame) -> Tensor:
    """Boxes (D, 4) in pixels of the network input -> float32 (D, 4) in its picture's, cut at the edge of it,
    or of the part that was looked at.

    Raises:
        ValueError: boxes of another shape.
    """
    check_shape("boxes_xyxy", boxes_xyxy, ("...", 4))
    scale = boxes_xyxy.new_tensor([frame.scale_x, frame.scale_y] * 2, dtype=torch.float32)
    offset = boxes_xyxy.new_tensor([frame.offset_x, frame.offset_y] * 2, dtype=torch.float32)
    edge = boxes_xyxy.new_tensor([frame.width, frame.height] * 2, dtype=torch.float32)
    corner = boxes_xyxy.new_tensor([frame.left, frame.top] * 2, dtype=torch.float32)
    return ((boxes_xyxy.float() - offset) / scale).clamp_min(0).minimum(edge) + corner


def part_of(box_norm: tuple[float, float, float, float], height: int, width: int) -> tuple[slice, slice]:
    """The rows and columns of a picture that a box covers, to the nearest whole pixel and at least one.

    Args:
        box_norm: y1, x1, y2, x2 as fractions of height and width, in 0..1, from the outer corner of the first
            pixel.
        height, width: of the picture, in pixels.

    Raises:
        ValueError: a box whose sides are not in that range and order, or a picture without pixels.
    """
    check_whole("height", height, 1)
    check_whole("width", width, 1)
    if len(box_norm) != 4:
        raise ValueError(f"box_norm must be y1, x1, y2, x2, not {box_norm!r}")
    for side in box_norm:
        check_number("box_norm", side, 0, 1)
    y1, x1, y2, x2 = box_norm
    if y1 > y2 or x1 > x2:
        raise ValueError(f"box_norm must have y1 <= y2 and x1 <= x2, not {box_norm!r}")
    top, left = min(round(y1 * height), height - 1), min(round(x1 * width), width - 1)
    return slice(top, max(round(y2 * height), top + 1)), slice(left, max(round(x2 * width), left + 1))


def _of_each(objects: Objects, rows: Sequence[tuple[float, float]]) -> Tensor:
    """For each object, for both corners of its box, the (x, y) that ``rows`` have for its picture: (T, 4)."""
    return objects.boxes_xyxy.new_tensor([row * 2 for row in rows]).reshape(-1, 4)[objects.pictures]
