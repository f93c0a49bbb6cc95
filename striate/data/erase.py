"""Random erasing: noise over a rectangle of a training picture (Zhong et al. 2017, arXiv:1708.04896).

A network that must do without any one part of an object learns to look at all of them.

Shapes: N pictures, M of them with a rectangle, C channels, H and W height and width.
"""

import math

import torch
from torch import Tensor

from striate.data.keyed_random import keyed_uniform
from striate.data.streams import Stream

AREA = (0.02, 0.4)  # of a rectangle, as a fraction of the picture (section 4: s_l, s_h)
ASPECT = (0.3, 1 / 0.3)  # its height over its width, relative to the picture's own (r_1, r_2)
TRIES = 64  # a try lies inside the picture with probability 0.27: in 64 all but 2 of 10^9 pictures find one

_BYTES = 6  # of the eight of a number of 53 random bits, those that are random through and through


def draw_rectangles(probability: float, seed: int, epoch: int, indices: Tensor) -> Tensor:
    """Where pictures are blotted out (algorithm 1).

    Area and aspect are uniform, and so is the corner over the whole picture; of the rectangles drawn so, the
    first that lies inside counts, which favours small ones: 14 % of the picture on average.

    Args:
        probability: of a rectangle.
        seed, epoch, indices: as in ``keyed_uniform``.

    Returns:
        float64 (N, 4): left, top, width, height, as fractions of the picture's width and height; zeros where
        a picture stays whole.
    """
    rectangles = torch.zeros(len(indices), 4, dtype=torch.float64)
    hit = keyed_uniform(seed, epoch, indices, 1, Stream.ERASE)[:, 0] < probability
    draws = keyed_uniform(seed, epoch, indices[hit], 4 * TRIES, Stream.ERASE_RECTANGLE)
    area, aspect, left, top = draws.view(-1, TRIES, 4).unbind(dim=2)  # each (M, TRIES)
    area = AREA[0] + (AREA[1] - AREA[0]) * area
    aspect = ASPECT[0] + (ASPECT[1] - ASPECT[0]) * aspect
    width, height = (area / aspect).sqrt(), (area * aspect).sqrt()
    fits = (left + width <= 1) & (top + height <= 1)
    first = fits.byte().argmax(dim=1)
    tries = torch.stack([left, top, width, height], dim=2)
    rectangles[hit] = tries[torch.arange(len(tries)), first]
    return rectangles


def draw_noise(seed: int, epoch: int, indices: Tensor, shape: tuple[int, ...]) -> Tensor:
    """A random value for each value of each picture, each of 0..255 equally often: uint8 (M, *shape).

    Of the four fillings in the paper (section 4.1) noise and the mean do best; noise needs no mean.
    """
    size = math.prod(shape)
    count = -(-size // _BYTES)
    words = (keyed_uniform(seed, epoch, indices, count, Stream.ERASE_NOISE) * 2**53).long()
    values = words.view(torch.uint8).view(-1, count, 8)[:, :, :_BYTES]
    return values.flatten(1)[:, :size].reshape(-1, *shape)


def blot_out(images: Tensor, hit: Tensor, rectangles: Tensor, noise: Tensor) -> Tensor:
    """Noise in the pixels whose centre lies in a picture's rectangle.

    Args:
        images: (N, C, H, W) in 0..255, uint8 or float32; not changed.
        hit: bool (N,), the M pictures with a rectangle.
        rectangles: float64 (M, 4), as ``draw_rectangles`` gives them.
        noise: uint8 (M, C, H, W).

    Returns:
        (N, C, H, W) of the same dtype, equal to ``images`` outside.
    """
    device, hit = images.device, hit.to(images.device)
    left, top, width, height = rectangles[:, :, None].unbind(dim=1)  # each (M, 1)
    columns = inside(left, left + width, images.shape[3]).to(device)
    rows = inside(top, top + height, images.shape[2]).to(device)
    erased = (rows[:, :, None] & columns[:, None, :])[:, None]  # (M, 1, H, W)
    result = images.clone()
    result[hit] = torch.where(erased, noise.to(device, images.dtype), images[hit])
    return result


def inside(start: Tensor, end: Tensor, count: int) -> Tensor:
    """Which of ``count`` pixels in a row have their centre in [start, end), fractions (N, 1): (N, count)."""
    centres = (torch.arange(count, dtype=torch.float64) + 0.5) / count
    return (start <= centres) & (centres < end)
