"""Cut boxes out of pictures, all brought to one size: what TensorFlow calls ``crop_and_resize``."""

import torch
from torch import Tensor


def crop_and_resize(
    images: Tensor, boxes_norm: Tensor, indices: Tensor, size: tuple[int, int], outside: float = 0.0
) -> Tensor:
    """Sample each box on a grid whose corners are the box's corners, bilinearly, without antialiasing.

    A box (y1, x1, y2, x2) is measured from the centre of the first pixel, 0, to the centre of the last, 1;
    its corners are sampled exactly, so (0, 0, 1, 1) at the picture's own size is the picture. y1 > y2 turns
    the picture upside down. Along a side of one pixel the middle of the box is sampled.

    Args:
        images: (N, C, H, W), any dtype.
        boxes_norm: float (M, 4), y1, x1, y2, x2 as above; they may reach beyond the picture.
        indices: int64 (M,), which picture each box is of.
        size: h, w of the result in pixels.
        outside: the value of samples that lie outside their picture.

    Returns:
        float32 (M, C, h, w).

    Source: TensorFlow's ``tf.image.crop_and_resize`` with method "bilinear".
    """
    y1, x1, y2, x2 = boxes_norm.float().unbind(1)
    top, bottom, fraction_y, inside_y = _samples(y1, y2, images.shape[2], size[0])  # each (M, h)
    left, right, fraction_x, inside_x = _samples(x1, x2, images.shape[3], size[1])  # each (M, w)

    def pixels(rows: Tensor, columns: Tensor) -> Tensor:  # (M, h), (M, w) -> (M, h, w, C)
        return images[indices[:, None, None], :, rows[:, :, None], columns[:, None, :]].float()

    fraction_y, fraction_x = fraction_y[:, :, None, None], fraction_x[:, None, :, None]
    upper = torch.lerp(pixels(top, left), pixels(top, right), fraction_x)
    lower = torch.lerp(pixels(bottom, left), pixels(bottom, right), fraction_x)
    sampled = torch.lerp(upper, lower, fraction_y)
    inside = inside_y[:, :, None, None] & inside_x[:, None, :, None]
    return torch.where(inside, sampled, outside).permute(0, 3, 1, 2)  # (M, h, w, C) -> (M, C, h, w)


def _samples(start: Tensor, end: Tensor, length: int, count: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Along one axis, for boxes (M,): pixels before and after each sample, fraction between, and inside."""
    if count > 1:
        steps = torch.arange(count, device=start.device) / (count - 1)
        places = torch.lerp(start[:, None], end[:, None], steps) * (length - 1)
    else:
        places = (start + end)[:, None] / 2 * (length - 1)
    inside = (places >= 0) & (places <= length - 1)
    places = places.clamp(0, length - 1)
    before = places.floor()
    return before.long(), places.ceil().long(), places - before, inside
