"""Batches of a split: which pictures in which order, from memory or decoded on the way.

The order of an epoch and every random change are functions of (seed, epoch, index). Nothing here has a
state, so a resumed run, any number of workers and any batch size of evaluation see the same pixels.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from math import prod

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from striate.data.dataset import ArrayImages, Fault, Split
from striate.data.images import with_channels
from striate.data.keyed_random import keyed_uniform
from striate.data.picture_cache import PictureCache
from striate.data.preprocessing import Preprocessing
from striate.data.reading import CachedReader, Decoder, Outcome
from striate.data.survey import CHUNK, CHUNK_BYTES, Progress, Survey, chunks, survey_pictures
from striate.data.workers import TIMEOUT, read_lists
from striate.download import cache_folder
from striate.errors import InputError
from striate.samples import Batch, Frame, Objects, Selection

ORDER = 100  # the stream of random numbers of an epoch's order, apart from those of streams.Stream


class Pictures(ABC):
    """The pictures of a split at network input size, uint8.

    Args:
        names: of the pictures.
        targets: int64 (n,).
        objects: as of ``Split``.

    Attributes:
        notes: what a person should be told of them, one sentence each.
    """

    notes: tuple[str, ...] = ()

    def __init__(self, names: Sequence[str], targets: Tensor, objects: Objects | None = None) -> None:
        self.names = names
        self.targets = targets
        self.objects = objects

    def __len__(self) -> int:
        return len(self.names)

    @abstractmethod
    def batches(self, index_lists: list[Tensor]) -> Iterator[tuple[Tensor, Sequence[Frame]]]:
        """For each list of indices: pictures uint8 (N, C, H, W) and their frames."""

    def epoch_order(self, seed: int, epoch: int) -> Tensor:
        """The order in which an epoch shows them: a permutation int64 (n,)."""
        return epoch_order(len(self), seed, epoch)


class MemoryPictures(Pictures):
    """All of them in one uint8 tensor: a batch is one indexing operation."""

    def __init__(
        self,
        pixels: Tensor,
        frames: Sequence[Frame],
        names: Sequence[str],
        targets: Tensor,
        objects: Objects | None = None,
    ) -> None:
        super().__init__(names, targets, objects)
        self.pixels = pixels  # uint8 (n, C, H, W)
        self.frames = frames

    def batches(self, index_lists: list[Tensor]) -> Iterator[tuple[Tensor, Sequence[Frame]]]:
        for indices in index_lists:
            yield self.pixels.index_select(0, indices), Selection(self.frames, indices)


class StreamedPictures(Pictures):
    """Copied from the cache, or decoded when they are needed, by worker processes if there are any."""

    def __init__(
        self, split: Split, preprocessing: Preprocessing, survey: Survey, workers: int, timeout: float
    ) -> None:
        kept = split.select(survey.kept)
        super().__init__(kept.names, kept.targets, kept.objects)
        self.images = split.images
        self.preprocessing = preprocessing
        self.shape = *preprocessing.size, preprocessing.channels  # as decoders write and convolutions read
        self.survey = survey
        self.notes = survey.notes
        self.cached = CachedReader(split.images, preprocessing, survey)
        self.workers = workers
        self.timeout = timeout

    def batches(self, index_lists: list[Tensor]) -> Iterator[tuple[Tensor, Sequence[Frame]]]:
        lists = [self.survey.kept[indices].tolist() for indices in index_lists]
        with closing(self._decoded(lists)) as decoded:
            for indices, upcoming in zip(lists, [*lists[1:], []], strict=False):
                self.cached.expect(upcoming)
                images = torch.empty(len(indices), *self.shape, dtype=torch.uint8)
                outcomes = [self._copied(i, row) for i, row in zip(indices, images.numpy(), strict=True)]
                absent = [row for row, outcome in enumerate(outcomes) if outcome is None]
                if absent:
                    images[absent], others = next(decoded)
                    for row, outcome in zip(absent, others, strict=True):
                        outcomes[row] = outcome
                yield images.permute(0, 3, 1, 2), [_frame(outcome) for outcome in outcomes]

    def epoch_order(self, seed: int, epoch: int) -> Tensor:
        order = self.images.epoch_order(seed, epoch, self.survey.kept)
        return super().epoch_order(seed, epoch) if order is None else order

    def _decoded(self, lists: list[list[int]]) -> Generator[tuple[Tensor, list[Outcome]], None, None]:
        """For each list that has pictures which are not in the cache, those."""
        decoder = Decoder(self.images, self.preprocessing, self.survey.digests)
        absent = [[i for i in indices if i not in self.survey.places] for indices in lists]
        return read_lists(
            decoder, list(filter(None, absent)), self.shape, self.workers, self.timeout, self.images.name
        )

    def _copied(self, index: int, out: NDArray[np.uint8]) -> Outcome | None:
        return self.cached(index, out) if index in self.survey.places else None


def _frame(outcome: Outcome | None) -> Frame:
    """Raises InputError for a picture that cannot be read any more, or is another one now."""
    if isinstance(outcome, Fault):
        raise InputError(outcome.what, outcome.name, "put the picture back and resume the run")
    assert outcome
    return outcome


def prepare_pictures(
    split: Split,
    preprocessing: Preprocessing,
    memory_bytes: float,
    workers: int = 0,
    progress: Progress = lambda count: None,
    cache_bytes: float = 0.0,
    timeout: float = TIMEOUT,
) -> tuple[Pictures, list[Fault]]:
    """Read every picture of a split once: keep it if the split fits in ``memory_bytes``, else keep its
    scaled pixels on disk, as far as ``cache_bytes`` go, and remember which ones can be read.

    Args:
        workers: processes that read; 0: this one.
        progress: is told how many pictures were just read.
        cache_bytes: what the cache of all data sets may take on disk; 0: decode each time.
        timeout: seconds after which a worker that is still at the same picture has hung.

    Returns:
        The readable pictures, and a fault for each of the others. ``notes`` of the pictures are for a person.

    Raises:
        RunError: a worker died, hung or failed.
    """
    height, width = preprocessing.size
    if len(split) * preprocessing.channels * height * width <= memory_bytes:
        if isinstance(split.images, ArrayImages):
            return _place_array(split, split.images.pixels, preprocessing, progress), []
        return _read_into_memory(split, preprocessing, workers, timeout, progress)
    cache = PictureCache(cache_folder(), preprocessing, cache_bytes, max(1, workers)) if cache_bytes else None
    survey = survey_pictures(split.images, preprocessing, cache, workers, timeout, progress)
    return StreamedPictures(split, preprocessing, survey, workers, timeout), survey.faults


def _read_into_memory(
    split: Split, preprocessing: Preprocessing, workers: int, timeout: float, progress: Progress
) -> tuple[Pictures, list[Fault]]:
    shape = *preprocessing.size, preprocessing.channels
    pixels = torch.empty(len(split), preprocessing.channels, *preprocessing.size, dtype=torch.uint8)
    frames: list[Frame] = []
    kept: list[int] = []
    faults: list[Fault] = []
    lists = chunks(len(split), max(1, min(CHUNK, CHUNK_BYTES // prod(shape))))
    decoder = Decoder(split.images, preprocessing)
    with closing(read_lists(decoder, lists, shape, workers, timeout, split.images.name)) as read:
        for indices, (images, outcomes) in zip(lists, read, strict=True):
            for index, image, outcome in zip(indices, images, outcomes, strict=True):
                if isinstance(outcome, Fault):
                    faults.append(outcome)
                    continue
                pixels[len(kept)] = image.permute(2, 0, 1)
                frames.append(outcome)
                kept.append(index)
            progress(len(indices))
    chosen = split.select(torch.tensor(kept, dtype=torch.int64))
    return MemoryPictures(pixels[: len(kept)], frames, chosen.names, chosen.targets, chosen.objects), faults


def _place_array(split: Split, pixels: Tensor, preprocessing: Preprocessing, progress: Progress) -> Pictures:
    placed = []
    frame = preprocessing.frame(*pixels.shape[-2:])
    for chunk in pixels.split(4096):
        placed.append(
            preprocessing.place(with_channels(chunk, preprocessing.channels, split.images.name(0)))[0]
        )
        progress(len(chunk))
    return MemoryPictures(torch.cat(placed), [frame] * len(split), split.names, split.targets, split.objects)


def epoch_order(count: int, seed: int, epoch: int) -> Tensor:
    """The order of an epoch: a permutation int64 (count,), the same for the same seed and epoch."""
    return keyed_uniform(seed, epoch, torch.arange(count), 1, ORDER)[:, 0].argsort(stable=True)


class Loader:
    """Batches of nearly equal size, so that no picture is left out and no batch is tiny.

    Args:
        pictures: the split.
        batch_size: the largest batch.
        seed: of the order; None keeps the pictures in their own order.
        order: an epoch -> its ``Batch.keys``, int64 (n,); None shows every picture once.
        partners: an epoch and its keys -> those of the samples that each is to be put together with, int64
            (n,) or (n, k).
        part: the keys of a batch -> those that this process computes; None: all.
    """

    def __init__(
        self,
        pictures: Pictures,
        batch_size: int,
        seed: int | None = None,
        order: Callable[[int], Tensor] | None = None,
        partners: Callable[[int, Tensor], Tensor] | None = None,
        part: Callable[[Tensor], Tensor] | None = None,
    ) -> None:
        self.pictures = pictures
        self.batch_size = batch_size
        self.seed = seed
        self.order = order or self._every_picture_once
        self.partners = partners
        self.part = part or (lambda keys: keys)

    def __len__(self) -> int:
        return -(-len(self.pictures) // self.batch_size)

    def batches(self, epoch: int = 0, start: int = 0) -> Generator[Batch, None, None]:
        """The batches of an epoch, from batch number ``start`` on."""
        order = self.order(epoch)
        whole = order.tensor_split(len(self))[start:]
        key_lists = [self.part(keys) for keys in whole]
        if self.partners:
            partners = self.partners(epoch, order).tensor_split(len(self))[start:]
            pairs = zip(key_lists, map(self.part, partners), strict=True)
            key_lists = [torch.cat([keys, others.flatten()]) for keys, others in pairs]
        read = self.pictures.batches([keys % len(self.pictures) for keys in key_lists])
        for batch_keys, keys, (images, frames) in zip(whole, key_lists, read, strict=True):
            own = len(self.part(batch_keys))
            batch = replace(self._batch(keys[:own], images[:own], frames[:own]), whole=len(batch_keys))
            if self.partners:
                batch = replace(batch, partners=self._batch(keys[own:], images[own:], frames[own:]))
            yield batch

    def _every_picture_once(self, epoch: int) -> Tensor:
        if self.seed is None:
            return torch.arange(len(self.pictures))
        return self.pictures.epoch_order(self.seed, epoch)

    def _batch(self, keys: Tensor, images: Tensor, frames: Sequence[Frame]) -> Batch:
        indices = keys % len(self.pictures)
        names = Selection(self.pictures.names, indices)
        known = self.pictures.targets if self.pictures.objects is None else self.pictures.objects
        return Batch(images, known[indices], indices, names, frames, keys)


def measure_pixels(pictures: Pictures, sample: int = 10_000) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation per channel of pixels in 0..1, over at most ``sample`` pictures.

    The pictures are chosen by a fixed order, and the values are rounded to six digits.
    """
    chosen = pictures.epoch_order(seed=0, epoch=0)[:sample]
    counts = torch.zeros(1, 256, dtype=torch.int64)  # of each value, by channel: exact, and small
    for images, _ in pictures.batches(list(chosen.split(256))):
        channels = [channel.flatten() for channel in images.unbind(1)]
        counts = counts + torch.stack([channel.bincount(minlength=256) for channel in channels])
    shares, values = counts.double() / counts[0].sum(), torch.arange(256, dtype=torch.float64) / 255
    mean = (shares * values).sum(1)
    variance = (shares * values.square()).sum(1) - mean.square()
    std = variance.clamp_min(0).sqrt().clamp_min(1e-3)  # blank pictures have none
    return tuple(round(v, 6) for v in mean.tolist()), tuple(round(v, 6) for v in std.tolist())
