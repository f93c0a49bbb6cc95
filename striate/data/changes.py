"""All that random changes do to a training batch: its pictures, and its labels or objects.

labels    augment ─ mixup, CutMix
objects   mosaic ─ augment ─ another size of the whole batch
"""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from striate.data.augment import Augment
from striate.data.batch_sizes import resize_batch
from striate.data.mixing import Mixer
from striate.data.mosaic import Mosaic
from striate.ops.frames import LEAST_VISIBLE
from striate.recipe import AugmentSettings
from striate.samples import Batch, Frame, Objects


class Changes:
    """Random changes to training batches.

    Args:
        settings: what may change, and how far.
        seed: of the run.
        num_classes: K.
        in_input: targets of pictures and the pictures' frames -> the same targets in network input.
        least_visible: part of a box's area; an object of which less is left in sight becomes a crowd.
    """

    def __init__(
        self,
        settings: AugmentSettings,
        seed: int,
        num_classes: int,
        in_input: Callable[[Any, Sequence[Frame]], Any],
        least_visible: float = LEAST_VISIBLE,
    ) -> None:
        self.augment = Augment(settings, seed, least_visible=least_visible)
        self.mixer = Mixer(settings, seed, num_classes)
        self.mosaic = Mosaic(settings.mosaic, seed)
        self.sizes = settings.sizes
        self.seed = seed
        self.in_input = in_input

    @property
    def is_on(self) -> bool:
        """Whether anything changes."""
        return not self.augment.is_identity or self.partners is not None or bool(self.sizes)

    @property
    def partners(self) -> Callable[[int, Tensor], Tensor] | None:
        """Who is put together with whom, as ``Loader`` takes it."""
        if self.mixer.is_on:
            return self.mixer.partners
        return self.mosaic.partners if self.mosaic.is_on else None

    def __call__(self, batch: Batch, epoch: int, step: int, device: torch.device) -> tuple[Tensor, Any]:
        """Pictures (N, C, H, W) in 0..255 on ``device``, and what is in them, in pixels of these."""
        images = batch.images.to(device, non_blocking=True)
        if isinstance(batch.targets, Objects):
            return self._change_objects(images, epoch, step, batch)
        images = self.augment(images, epoch, batch.keys)
        if not (other := batch.partners):
            return images, batch.targets
        others = self.augment(other.images.to(device, non_blocking=True), epoch, other.keys)
        return self.mixer(images, batch.targets, others, other.targets, epoch, batch.keys)

    def _change_objects(self, images: Tensor, epoch: int, step: int, batch: Batch) -> tuple[Tensor, Objects]:
        objects = self.in_input(batch.targets, batch.frames)
        if other := batch.partners:
            others = other.images.to(images.device), self.in_input(other.targets, other.frames)
            images, objects = self.mosaic(images, objects, *others, epoch, batch.keys)
        images, objects = self.augment.with_objects(images, objects, epoch, batch.keys)
        return resize_batch(images, objects, self.sizes, self.seed, step) if self.sizes else (images, objects)
