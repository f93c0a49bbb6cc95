"""Views of a training picture that look at its objects: zooming in on them, and out.

Both are drawn as crops (``geometry``): a corner and a size as fractions of the picture, where a view
wider than the picture shows what lies around it. Liu et al. 2016, "SSD: single shot multibox detector",
sections 2.2 (sampling patches) and 3.6 (zooming out).

Shapes: N pictures, T objects of all of them.
"""

import torch
from torch import Tensor

from striate.data.geometry import crops_of
from striate.data.keyed_random import keyed_uniform
from striate.data.streams import Stream
from striate.samples import Objects

View = tuple[Tensor, Tensor]  # corner and size, x before y: float64 (N, 2) each

LEAST_IOU = (0.0, 0.1, 0.3, 0.5, 0.7, 0.9)  # of a patch and some object; one more choice is the whole picture
AREA = (0.1, 1.0)  # of a patch, as a fraction of the picture
ASPECT = (1 / 2, 2.0)  # relative to the picture's own
TRIES = 50
ZOOM_OUT = 0.5  # the share of pictures


def draw_view(
    objects: Objects,
    box_crop: bool,
    expand: float,
    seed: int,
    epoch: int,
    indices: Tensor,
    height: int,
    width: int,
) -> View:
    """What the network is shown of pictures: zoomed out first (``expand`` above 1), then a patch of that.

    Args:
        objects: of N pictures, in pixels, on the CPU.
        box_crop: whether to take patches, as ``draw_box_crop`` does.
        expand: as of ``draw_expand``.
        seed, epoch, indices: as in ``keyed_uniform``.
        height, width: of the pictures, in pixels.
    """
    view = draw_expand(expand, seed, epoch, indices)
    if not box_crop:
        return view
    corner, size = (part.repeat(1, 2)[objects.pictures] for part in view)
    scale = torch.tensor([width, height] * 2, dtype=torch.float64)
    seen = objects.moved((objects.boxes_xyxy - corner * scale) / size)
    return within(view, draw_box_crop(seen, seed, epoch, indices, height, width))


def within(outer: View, inner: View) -> View:
    """A crop of a crop: ``inner`` in fractions of ``outer``."""
    return outer[0] + inner[0] * outer[1], inner[1] * outer[1]


def draw_expand(largest: float, seed: int, epoch: int, indices: Tensor) -> View:
    """Zooming out: every other picture lies anywhere on a background up to ``largest`` times as wide.

    Args:
        largest: 4 in the paper; 1 leaves pictures as they are.
        seed, epoch, indices: as in ``keyed_uniform``.
    """
    draws = keyed_uniform(seed, epoch, indices, 4, Stream.EXPAND)
    ratio = 1 + (largest - 1) * draws[:, 1:2] * (draws[:, :1] < ZOOM_OUT)
    return (1 - ratio) * draws[:, 2:], ratio.expand(-1, 2)


def draw_box_crop(objects: Objects, seed: int, epoch: int, indices: Tensor, height: int, width: int) -> View:
    """Patches that show an object: its centre is inside, and its IoU with the patch is not too small.

    For each picture one of seven is chosen, all equally likely: the whole picture, or a patch whose IoU with
    some object is at least 0, 0.1, 0.3, 0.5, 0.7 or 0.9. Of ``TRIES`` patches of uniform area and position
    and log-uniform aspect the first such counts; where none is, the picture stays whole. Crowds do not
    count. In a picture without objects every patch will do.

    Args:
        objects: of N pictures, in pixels, on the CPU.
        seed, epoch, indices: as in ``keyed_uniform``.
        height, width: of the pictures, in pixels.
    """
    draws = keyed_uniform(seed, epoch, indices, 1 + 4 * TRIES, Stream.BOX_CROP)
    choice = (draws[:, 0] * (1 + len(LEAST_IOU))).long()  # the last is the whole picture
    least = torch.tensor([*LEAST_IOU, torch.inf], dtype=torch.float64)[choice]
    corner, size = crops_of(draws[:, 1:].view(-1, TRIES, 4), AREA, ASPECT)  # (N, TRIES, 2)
    objects = objects.where(~objects.crowd)
    scale = torch.tensor([width, height] * 2, dtype=torch.float64)
    shown = _shown(objects.boxes_xyxy / scale, corner[objects.pictures], size[objects.pictures])
    rows = objects.pictures[:, None].expand(-1, TRIES)
    best = torch.full(corner.shape[:2], -1.0, dtype=torch.float64).scatter_reduce_(0, rows, shown, "amax")
    good = (best >= least[:, None]) | ((objects.counts == 0) & least.isfinite())[:, None]
    first = good.byte().argmax(dim=1)
    every, found = torch.arange(len(indices)), good.any(dim=1, keepdim=True)
    return torch.where(found, corner[every, first], 0.0), torch.where(found, size[every, first], 1.0)


def _shown(boxes_norm: Tensor, corner: Tensor, size: Tensor) -> Tensor:
    """IoU of boxes (T, 4) and patches (T, TRIES, 2), -1 where the centre is outside: (T, TRIES)."""
    start, end = boxes_norm[:, None, :2], boxes_norm[:, None, 2:]
    centre = (start + end) / 2
    holds = ((centre >= corner) & (centre < corner + size)).all(dim=2)
    shared = (end.minimum(corner + size) - start.maximum(corner)).clamp(min=0).prod(dim=2)
    union = (end - start).prod(dim=2) + size.prod(dim=2) - shared
    return torch.where(holds, shared / union, -1.0)
