"""Boxes between a picture and the network input that it became.

Shapes: N pictures, T objects of all pictures, D boxes of one picture.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from striate.samples import Frame, Objects


def objects_in_input(objects: Objects, frames: Sequence[Frame]) -> Objects:
    """The objects at their places in the network input, wherever those lie: in pixels, not clipped.

    Args:
        objects: of N pictures, in pixels of the pictures.
        frames: how the N pictures became input.
    """
    return objects.moved(objects.boxes_xyxy * _scales(objects, frames) + _offsets(objects, frames))


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
