"""Multi-scale training: whole batches at sizes drawn in turn (Redmon and Farhadi 2016, section 2)."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from striate.data.keyed_random import keyed_uniform
from striate.data.streams import Stream
from striate.samples import Objects

STEPS = 10  # for which a size stays


def resize_batch(
    images: Tensor, objects: Objects, sizes: Sequence[tuple[int, int]], seed: int, step: int
) -> tuple[Tensor, Objects]:
    """Pictures and their objects at the size of this step.

    Args:
        images: (N, C, H, W) in 0..255, uint8 or float32.
        objects: of the N pictures, in their pixels.
        sizes: heights and widths, in pixels, of which each serves for ``STEPS`` steps.
        seed: of the run.
        step: of the run, from 0.

    Returns:
        float32 (N, C, h, w) in 0..255, and the objects in those pixels; as given where the size is that.
    """
    draw = keyed_uniform(seed, step // STEPS, torch.zeros(1, dtype=torch.int64), 1, Stream.BATCH_SIZE)
    height, width = sizes[int(draw * len(sizes))]
    old_height, old_width = images.shape[-2:]
    if (height, width) == (old_height, old_width):
        return images, objects
    resized = F.interpolate(
        images.float(), (height, width), mode="bilinear", antialias=True, align_corners=False
    ).clamp_(0, 255)
    factors = [width / old_width, height / old_height] * 2
    return resized, objects.moved(objects.boxes_xyxy * objects.boxes_xyxy.new_tensor(factors))
