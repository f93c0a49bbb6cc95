"""Mosaic: four training pictures become one, around a random point (Bochkovskiy et al. 2020, YOLOv4, 3.3).

    +-------+---------+     Each quarter shows a part of its picture that has the quarter's shape, shrunk to
    |   0   |    1    |     no less than half; so nothing is stretched and nothing is left empty.
    +-------+---------+
    |   2   |    3    |     An object is seen among others, off its usual place, smaller, and cut.
    +-------+---------+

Shapes: N mosaics, C channels, H and W height and width.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from striate.data.keyed_random import keyed_uniform
from striate.data.moving_objects import move_objects
from striate.data.streams import Stream
from striate.samples import Objects

CENTRE = (0.25, 0.75)  # where the quarters meet, as fractions of width and height
LEAST_SCALE = 0.5

_PART = 8  # mosaics made at a time: their pixels, as floats, stay in the cache, which makes it twice as fast


class Mosaic:
    """Puts training pictures together with three others of the same epoch.

    Args:
        probability: of a mosaic instead of the picture.
        seed: of the run.
    """

    def __init__(self, probability: float, seed: int) -> None:
        self.probability = probability
        self.seed = seed

    @property
    def is_on(self) -> bool:
        """Whether pictures need partners."""
        return self.probability > 0

    def partners(self, epoch: int, keys: Tensor) -> Tensor:
        """For each sample of an epoch the three that join it; all are equally likely.

        Args:
            epoch: the pass over the data.
            keys: int64 (n,) of all samples of the epoch, in its order.

        Returns:
            int64 (n, 3), some of ``keys``.
        """
        draws = keyed_uniform(self.seed, epoch, keys, 3, Stream.MOSAIC_PARTNERS)
        return keys[(draws * len(keys)).long()]

    def __call__(
        self,
        images: Tensor,
        objects: Objects,
        partner_images: Tensor,
        partner_objects: Objects,
        epoch: int,
        keys: Tensor,
    ) -> tuple[Tensor, Objects]:
        """Pictures, of which some have become mosaics, and their objects.

        Args:
            images: uint8 (N, C, H, W), network input, not augmented; not changed.
            objects: of these, in pixels of the network input.
            partner_images, partner_objects: the same of the 3 N partners, those of one picture after those
                of the picture before.
            epoch: the pass over the data.
            keys: int64 (N,) of the samples.
        """
        hit = keyed_uniform(self.seed, epoch, keys, 1, Stream.MOSAIC)[:, 0] < self.probability
        chosen, count = hit.nonzero()[:, 0], len(keys)
        fours = torch.cat([chosen[:, None], count + 3 * chosen[:, None] + torch.arange(3)], dim=1)
        others = partner_images.unflatten(0, (count, 3))
        put_together, theirs = mosaic(
            torch.cat([images[chosen, None], others[chosen]], dim=1),
            Objects.join([objects, partner_objects])[fours.flatten()],
            self.seed,
            epoch,
            keys[chosen],
        )
        rows = torch.arange(count)
        rows[chosen] = count + torch.arange(len(chosen))
        images = images.clone()
        images[chosen] = put_together
        return images, Objects.join([objects, theirs])[rows]


def mosaic(
    images: Tensor, objects: Objects, seed: int, epoch: int, indices: Tensor
) -> tuple[Tensor, Objects]:
    """Four pictures in one, and the objects that are seen there, as ``cut_objects`` leaves them.

    Args:
        images: uint8 (N, 4, C, H, W): top left, top right, bottom left, bottom right.
        objects: of the 4 N pictures in this order, in pixels.
        seed, epoch, indices: as in ``keyed_uniform``; one index for each mosaic.

    Returns:
        uint8 (N, C, H, W) and the objects of N pictures.
    """
    height, width = images.shape[-2:]
    matrices, quarters = draw_mosaic(seed, epoch, indices, height, width)
    parts = [part.split(_PART) for part in (images, matrices, quarters[:, 0, 2:])]
    pixels = torch.cat([_put_together(*part) for part in zip(*parts, strict=True)])
    moved = move_objects(objects, matrices.flatten(0, 1), quarters.flatten(0, 1))
    counts = moved.counts.view(-1, 4).sum(dim=1)
    return pixels, Objects(moved.boxes_xyxy, moved.labels, counts, moved.crowd, moved.difficult)


def draw_mosaic(seed: int, epoch: int, indices: Tensor, height: int, width: int) -> tuple[Tensor, Tensor]:
    """The layout of N mosaics.

    Returns:
        float64 (N, 4, 2, 3): from points of the mosaic to points of each picture, as in ``geometry``; and the
        quarters, float64 (N, 4, 4) x1, y1, x2, y2 in whole pixels.
    """
    draws = keyed_uniform(seed, epoch, indices, 2 + 4 * 3, Stream.MOSAIC_LAYOUT)
    size = torch.tensor([width, height], dtype=torch.float64)
    centre = ((CENTRE[0] + (CENTRE[1] - CENTRE[0]) * draws[:, :2]) * size).round()
    zero, full = torch.zeros_like(centre), size.expand_as(centre)
    bounds = torch.stack([zero, centre, full], dim=1)  # (N, 3, 2)
    sides = torch.tensor([[0, 0], [1, 0], [0, 1], [1, 1]])  # of each quarter: right, bottom
    begin, end = (bounds[:, sides + step, torch.arange(2)] for step in (0, 1))  # (N, 4, 2)
    share = ((end - begin) / size).amax(dim=2).clamp(min=LEAST_SCALE)  # at this scale the picture fills it
    drawn = draws[:, 2:].view(-1, 4, 3)
    scale = (share + (1 - share) * drawn[:, :, 0])[:, :, None]
    corner = (size - (end - begin) / scale) * drawn[:, :, 1:]  # of the part that is seen
    matrices = torch.zeros(len(indices), 4, 2, 3, dtype=torch.float64)
    matrices[:, :, :, :2] = torch.eye(2, dtype=torch.float64) / scale[:, :, :, None]
    matrices[:, :, :, 2] = corner - begin / scale
    return matrices, torch.cat([begin, end], dim=2)


def _put_together(images: Tensor, matrices: Tensor, centre: Tensor) -> Tensor:
    """One pass over the mosaics' pixels: the four pictures are laid side by side and sampled as one."""
    count, _, channels, height, width = images.shape
    sheet = torch.empty(count, channels, 2 * height, 2 * width, device=images.device)
    for number in range(4):
        part = sheet.unflatten(2, (2, height)).unflatten(4, (2, width))[:, :, number // 2, :, number % 2]
        part.copy_(images[:, number])
    scale = matrices[:, :, 0, 0].view(-1, 2, 2)  # (N, bottom, right)
    offsets = matrices[:, :, :, 2].view(-1, 2, 2, 2)
    columns = torch.arange(width, dtype=torch.float64) + 0.5
    rows = torch.arange(height, dtype=torch.float64) + 0.5
    right, bottom = (columns > centre[:, :1]).long(), (rows > centre[:, 1:]).long()  # (N, W), (N, H)
    every = torch.arange(len(images))[:, None]
    halves = torch.arange(2)
    # Points of the sheet: x for the top or bottom half and a column, y for the left or right half and a row.
    x = torch.stack([columns * scale[every, h, right] + offsets[every, h, right, 0] for h in halves], dim=1)
    y = torch.stack([rows * scale[every, bottom, h] + offsets[every, bottom, h, 1] for h in halves], dim=1)
    x = (x.clamp(0.5, width - 0.5) + width * right[:, None]) / width - 1  # not into the neighbour
    y = (y.clamp(0.5, height - 0.5) + height * bottom[:, None]) / height - 1
    planes = [x.float()[every, bottom], y.float()[every, right].transpose(1, 2)]
    grid = torch.stack(planes, dim=3).to(images.device)  # (N, H, W, 2)
    sampled = F.grid_sample(sheet, grid, padding_mode="border", align_corners=False)
    return sampled.round_().clamp_(0, 255).byte()
