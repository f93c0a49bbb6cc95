"""Boxes between a picture and the network input that it became.

Shapes: N pictures, T objects of all pictures, D boxes of one picture.
"""

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from striate.samples import Frame, Objects

LEAST_VISIBLE = 0.3  # of a box's area: what is cut further is too little to be named for sure
NEARLY_WHOLE = 0.9  # of a box's area: a window that sees less shows no object, where another sees it whole


def objects_in_input(objects: Objects, frames: Sequence[Frame]) -> Objects:
    """The objects at their places in the network input, wherever those lie: in pixels, not clipped.

    Args:
        objects: of N pictures, in pixels of the pictures.
        frames: how the N pictures became input.
    """
    return objects.moved(objects.boxes_xyxy * _scales(objects, frames) + _offsets(objects, frames))


def cut_objects(objects: Objects, windows_xyxy: Tensor, least: float = LEAST_VISIBLE) -> Objects:
    """The objects within windows of their pictures: boxes end where the window ends.

    An object of which no part is seen is left out. One of which less than ``least`` is seen becomes a crowd:
    finding it is no mistake, and neither is missing it.

    Args:
        objects: of N pictures, in pixels.
        windows_xyxy: (N, 4) or (1, 4), in the same pixels.
        least: part of a box's area.
    """
    boxes, windows = objects.boxes_xyxy, windows_xyxy.to(objects.boxes_xyxy)
    windows = windows.expand(len(objects), 4)[objects.pictures]
    corner, end = boxes[:, :2].maximum(windows[:, :2]), boxes[:, 2:].minimum(windows[:, 2:])
    seen = (corner <= end) & (boxes[:, :2] < windows[:, 2:]) & (boxes[:, 2:] > windows[:, :2])
    whole_area = (boxes[:, 2:] - boxes[:, :2]).prod(dim=1)
    hardly = (end - corner).prod(dim=1) < least * whole_area
    cut = replace(objects, boxes_xyxy=torch.cat([corner, end], dim=1), crowd=objects.crowd | hardly)
    return cut.where(seen.all(dim=1))


def boxes_in_picture(boxes_xyxy: Tensor, frame: Frame) -> Tensor:
    """Boxes (D, 4) in pixels of the network input -> float32 (D, 4) in its picture's, cut at its edge."""
    scale = boxes_xyxy.new_tensor([frame.scale_x, frame.scale_y] * 2, dtype=torch.float32)
    offset = boxes_xyxy.new_tensor([frame.offset_x, frame.offset_y] * 2, dtype=torch.float32)
    edge = boxes_xyxy.new_tensor([frame.width, frame.height] * 2, dtype=torch.float32)
    return ((boxes_xyxy.float() - offset) / scale).clamp_min(0).minimum(edge)


def _scales(objects: Objects, frames: Sequence[Frame]) -> Tensor:
    rows = [(frame.scale_x, frame.scale_y) * 2 for frame in frames]
    return objects.boxes_xyxy.new_tensor(rows).reshape(-1, 4)[objects.pictures]


def _offsets(objects: Objects, frames: Sequence[Frame]) -> Tensor:
    rows = [(frame.offset_x, frame.offset_y) * 2 for frame in frames]
    return objects.boxes_xyxy.new_tensor(rows).reshape(-1, 4)[objects.pictures]
