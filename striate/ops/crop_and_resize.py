"""Cut boxes out of pictures, all brought to one size: what TensorFlow calls ``crop_and_resize``."""

import torch
from torch import Tensor

from striate.ops.arguments import (
    check_finite,
    check_ids,
    check_lengths,
    check_number,
    check_shape,
    check_size,
)


def crop_and_resize(
    images: Tensor,
    boxes_norm: Tensor,
    indices: Tensor,
    size: tuple[int, int],
    outside: float | None = 0.0,
) -> Tensor:
    """Sample each box on a grid whose corners are the box's corners, bilinearly, without antialiasing.

    A box (y1, x1, y2, x2) is measured from the centre of the first pixel, 0, to the centre of the last, 1, so
    (0, 0, 1, 1) at the picture's own size is the picture. y1 > y2 turns the picture upside down. Along a side
    of one pixel the middle of the box is sampled, else ``y1 (H - 1) + i ((y2 - y1) (H - 1) / (h - 1))`` for
    i = 0 .. h - 1, in single precision as TensorFlow computes it: the last sample of a box that ends at the
    picture's edge may be outside by a rounding.

    Args:
        images: (N, C, H, W), any real dtype.
        boxes_norm: (M, 4), y1, x1, y2, x2 as above, finite; they may reach beyond the picture.
        indices: int64 (M,), which picture each box is of, in 0..N - 1.
        size: h, w of the result in pixels.
        outside: the value of samples that lie outside their picture; None: that of the nearest pixel.

    Returns:
        float32 (M, C, h, w).

    Raises:
        ValueError: other shapes, lengths or types, a box that is not finite, a picture that there is not.

    Source: TensorFlow's ``tf.image.crop_and_resize`` with method "bilinear"
    (``crop_and_resize_op.cc``).
    """
    _check(images, boxes_norm, indices)
    check_size("size", size)
    if outside is not None:
        check_number("outside", outside)
    y1, x1, y2, x2 = boxes_norm.float().unbind(1)
    top, bottom, fraction_y, inside_y = _samples(y1, y2, images.shape[2], size[0])  # each (M, h)
    left, right, fraction_x, inside_x = _samples(x1, x2, images.shape[3], size[1])  # each (M, w)

    def pixels(rows: Tensor, columns: Tensor) -> Tensor:  # (M, h), (M, w) -> (M, h, w, C)
        return images[indices[:, None, None], :, rows[:, :, None], columns[:, None, :]].float()

    fraction_x = fraction_x[:, None, :, None]
    upper = _between(pixels(top, left), pixels(top, right), fraction_x)
    lower = _between(pixels(bottom, left), pixels(bottom, right), fraction_x)
    sampled = _between(upper, lower, fraction_y[:, :, None, None])
    if outside is not None:
        inside = inside_y[:, :, None, None] & inside_x[:, None, :, None]
        sampled = torch.where(inside, sampled, outside)
    return sampled.permute(0, 3, 1, 2)  # (M, h, w, C) -> (M, C, h, w)


def _check(images: Tensor, boxes_norm: Tensor, indices: Tensor) -> None:
    check_shape("images", images, ("N", "C", "H", "W"))
    check_shape("boxes_norm", boxes_norm, ("M", 4))
    check_shape("indices", indices, ("M",), "ids")
    check_lengths(boxes_norm=boxes_norm, indices=indices)
    check_size("the height and width of images", images.shape[2:])
    check_finite("boxes_norm", boxes_norm)
    check_ids("indices", indices, len(images))


def _between(first: Tensor, second: Tensor, fraction: Tensor) -> Tensor:
    """The order of TensorFlow's arithmetic, which is not that of ``torch.lerp``."""
    return first + (second - first) * fraction


def _samples(start: Tensor, end: Tensor, length: int, count: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Along one axis, for boxes (M,): pixels before and after each sample, fraction between, and inside."""
    if count > 1:
        step = (end - start) * (length - 1) / (count - 1)
        places = start[:, None] * (length - 1) + torch.arange(count, device=start.device) * step[:, None]
    else:
        places = 0.5 * (start + end)[:, None] * (length - 1)
    inside = (places >= 0) & (places <= length - 1)
    places = places.nan_to_num(0.0).clamp(0, length - 1)  # NaN: of a box so large that it is inf - inf
    before = places.floor()
    return before.long(), places.ceil().long(), places - before, inside
