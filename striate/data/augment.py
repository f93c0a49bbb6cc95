"""Batched augmentation: random changes to training pictures, as a pure function of their keys.

What happens to a picture depends on the settings, the seed, the epoch, the sample's key and the picture
itself, and on nothing else: not on the batch, its order or the worker. Each kind of change draws from its
own stream, so turning one on does not change what the others do.

    crop ─ flip ─ shear ─ zoom ─ rotate ─ shift        geometry.py: one matrix per picture, one pass
    brightness ─ contrast ─ lighting ─ clamp           colour.py: one gain and offset per channel, one pass
    random erasing                                     erase.py: noise in a rectangle

Shapes: N pictures, C channels, H and W height and width, J components of the colour noise.
"""

import torch
from torch import Tensor

from striate.data.colour import (
    IMAGENET_COLOURS,
    INTENSITY,
    changes_colour,
    draw_light,
    draw_lighting,
    mean_values,
    recolour,
)
from striate.data.erase import blot_out, draw_noise, draw_rectangles
from striate.data.geometry import (
    changes_geometry,
    draw_geometry,
    looks_outside,
    move_whole_pixels,
    moves_whole_pixels,
    resample,
)
from striate.recipe import AugmentSettings


class Augment:
    """Random changes to a batch of training pictures.

    Args:
        settings: what may change, and how far.
        seed: of the run.
        colour_components: float64 (C, J), for ``lighting``: the columns of the colour noise, as
            ``colour_components`` measures them; None: ImageNet's for three channels, and for any other
            number one change of intensity, as strong as ImageNet's noise is on average.
    """

    def __init__(self, settings: AugmentSettings, seed: int, colour_components: Tensor | None = None) -> None:
        self.settings = settings
        self.seed = seed
        self.colour_components = colour_components

    @property
    def is_identity(self) -> bool:
        """Nothing is on: pictures pass as they are."""
        settings = self.settings
        return not (changes_geometry(settings) or changes_colour(settings) or settings.erase)

    def __call__(self, images: Tensor, epoch: int, indices: Tensor) -> Tensor:
        """The pictures as this epoch shows them.

        Args:
            images: uint8 (N, C, H, W); not changed.
            epoch: the pass over the data.
            indices: int64 (N,) positions of the pictures in their split, or ``striate.samples.Batch.keys``.

        Returns:
            (N, C, H, W) on the device of ``images``: uint8 where only exact operations are on (shift,
            flips and erasing, or nothing: then ``images`` itself), else float32 in 0..255. Contrast keeps
            the mean of the picture as it was given, so that fill and crop have no say in it.
        """
        settings, moved = self.settings, images
        if changes_geometry(settings):
            height, width = images.shape[-2:]
            geometry = draw_geometry(settings, self.seed, epoch, indices, height, width)
            if moves_whole_pixels(settings):
                moved = move_whole_pixels(images, geometry.mirror, geometry.shift, settings.fill)
            else:
                fill = settings.fill if looks_outside(settings) else "edge"
                moved = resample(images, geometry.matrices(height, width), fill)
        if changes_colour(settings):
            channels = images.shape[1]
            noise = draw_lighting(settings, self.seed, epoch, indices, self._components(channels))
            brightness, contrast = draw_light(settings, self.seed, epoch, indices)
            means = mean_values(images) if settings.contrast else torch.zeros(1, dtype=torch.float64)
            moved = recolour(moved, brightness, contrast, means, noise)
        if settings.erase:
            rectangles = draw_rectangles(settings.erase, self.seed, epoch, indices)
            hit = rectangles[:, 2] > 0
            noise = draw_noise(self.seed, epoch, indices[hit], images.shape[1:])
            moved = blot_out(moved, hit, rectangles[hit], noise)
        return moved

    def _components(self, channels: int) -> Tensor:
        if self.colour_components is not None:
            return self.colour_components
        return IMAGENET_COLOURS if channels == 3 else INTENSITY.expand(channels, 1)
