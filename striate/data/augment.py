"""Batched augmentation: random changes to training pictures, as a pure function of their keys.

What happens to a picture depends on the settings, the seed, the epoch, the sample's key and the picture
itself, and on nothing else: not on the batch, its order or the worker. Each kind of change draws from its
own stream, so turning one on does not change what the others do.

    crop ─ flip ─ shear ─ zoom ─ rotate ─ shift        geometry.py: one matrix per picture, one pass
    brightness ─ contrast ─ lighting ─ clamp           colour.py: one gain and offset per channel, one pass
    random erasing                                     erase.py: noise in a rectangle

Objects follow by the same matrices (moving_objects.py); crops may be drawn by what they show (box_crop.py).

Shapes: N pictures, C channels, H and W height and width, J components of the colour noise.
"""

from dataclasses import replace

import torch
from torch import Tensor

from striate.data.box_crop import View, draw_view, within
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
    Geometry,
    changes_geometry,
    draw_geometry,
    looks_outside,
    move_whole_pixels,
    moves_whole_pixels,
    resample,
)
from striate.data.moving_objects import move_masks, move_objects
from striate.ops.frames import LEAST_VISIBLE
from striate.recipe import AugmentSettings
from striate.samples import Objects


class Augment:
    """Random changes to a batch of training pictures.

    Args:
        settings: what may change, and how far.
        seed: of the run.
        colour_components: float64 (C, J), for ``lighting``: the columns of the colour noise, as
            ``colour_components`` measures them; None: ImageNet's for three channels, and for any other
            number one change of intensity, as strong as ImageNet's noise is on average.
        least_visible: part of a box's area; an object of which less is left in sight becomes a crowd.
    """

    def __init__(
        self,
        settings: AugmentSettings,
        seed: int,
        colour_components: Tensor | None = None,
        least_visible: float = LEAST_VISIBLE,
    ) -> None:
        self.settings = settings
        self.seed = seed
        self.colour_components = colour_components
        self.least_visible = least_visible

    @property
    def is_identity(self) -> bool:
        """Nothing is on: pictures pass as they are."""
        settings = self.settings
        moves = changes_geometry(settings) or self.looks_at_objects
        return not (moves or changes_colour(settings) or settings.erase)

    @property
    def looks_at_objects(self) -> bool:
        """Whether what is seen of a picture depends on its objects: then use ``with_objects``."""
        return self.settings.box_crop or self.settings.expand > 1

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
        return self._change(images, epoch, indices, None)

    def with_objects(
        self, images: Tensor, objects: Objects, epoch: int, indices: Tensor
    ) -> tuple[Tensor, Objects]:
        """The pictures as this epoch shows them, and their objects, as ``move_objects`` moves them; with
        ``box_crop`` or ``expand`` pictures are first zoomed as ``draw_view`` draws it.

        Args:
            images, epoch, indices: as in the call.
            objects: of the N pictures, in pixels of ``images``, on the CPU.
        """
        height, width = images.shape[-2:]
        settings, view = self.settings, None
        if self.looks_at_objects:
            how = settings.box_crop, settings.expand, self.seed
            view = draw_view(objects, *how, epoch, indices, height, width)
        moved = self.move_objects(objects, epoch, indices, height, width, view)
        return self._change(images, epoch, indices, view), moved

    def move_objects(
        self,
        objects: Objects,
        epoch: int,
        indices: Tensor,
        height: int,
        width: int,
        view: View | None = None,
    ) -> Objects:
        """The objects of the pictures that the call makes, in its pixels, as
        ``striate.data.moving_objects.move_objects`` moves and cuts them.

        Args:
            objects: of N pictures, in pixels before the changes.
            epoch, indices: as in the call.
            height, width: of the pictures, in pixels.
            view: what pictures were first zoomed to, if they were.
        """
        matrices = self._geometry(epoch, indices, height, width, view).matrices(height, width)
        frame = torch.tensor([[0, 0, width, height]])
        return move_objects(objects, matrices, frame, self.least_visible)

    def move_masks(
        self, masks: Tensor, pictures: Tensor, epoch: int, indices: Tensor, view: View | None = None
    ) -> Tensor:
        """The masks of objects in the pictures that the call makes: bool or uint8 (T, H, W) -> the same.

        Args:
            masks: of the objects before the changes.
            pictures: int64 (T,), as ``Objects.pictures``.
            epoch, indices, view: as in ``move_objects``.
        """
        height, width = masks.shape[-2:]
        matrices = self._geometry(epoch, indices, height, width, view).matrices(height, width)
        return move_masks(masks, pictures, matrices)

    def _geometry(self, epoch: int, indices: Tensor, height: int, width: int, view: View | None) -> Geometry:
        geometry = draw_geometry(self.settings, self.seed, epoch, indices, height, width)
        if view is None:
            return geometry
        corner, size = within(view, (geometry.crop_corner, geometry.crop_size))
        return replace(geometry, crop_corner=corner, crop_size=size)

    def _change(self, images: Tensor, epoch: int, indices: Tensor, view: View | None) -> Tensor:
        settings, moved = self.settings, images
        if changes_geometry(settings) or view is not None:
            height, width = images.shape[-2:]
            geometry = self._geometry(epoch, indices, height, width, view)
            if view is None and moves_whole_pixels(settings):
                moved = move_whole_pixels(images, geometry.mirror, geometry.shift, settings.fill)
            else:
                outside = looks_outside(settings) or (view is not None and settings.expand > 1)
                fill = settings.fill if outside else "edge"
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
