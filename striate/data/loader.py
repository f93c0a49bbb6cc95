"""Batches of a split: which pictures in which order, from memory or decoded on the way.

The order of an epoch and every random change are functions of (seed, epoch, index). Nothing here has a
state, so a resumed run, any number of workers and any batch size of evaluation see the same pixels.
"""

import multiprocessing
import os
import signal
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from striate.data.dataset import ArrayImages, Fault, Images, Split
from striate.data.images import with_channels
from striate.data.keyed_random import keyed_uniform
from striate.data.preprocessing import Preprocessing
from striate.errors import InputError
from striate.samples import Batch, Frame, Selection

ORDER = 100  # the stream of random numbers of an epoch's order, apart from those of augment.Stream
Progress = Callable[[int], None]  # told how many pictures were just read


class Pictures(ABC):
    """The pictures of a split at network input size, uint8."""

    def __init__(self, names: Sequence[str], targets: Tensor) -> None:
        self.names = names
        self.targets = targets  # int64 (n,)

    def __len__(self) -> int:
        return len(self.names)

    @abstractmethod
    def batches(self, index_lists: list[Tensor]) -> Iterator[tuple[Tensor, Sequence[Frame]]]:
        """For each list of indices: pictures uint8 (N, C, H, W) and their frames."""


class MemoryPictures(Pictures):
    """All of them in one uint8 tensor: a batch is one indexing operation."""

    def __init__(
        self, pixels: Tensor, frames: Sequence[Frame], names: Sequence[str], targets: Tensor
    ) -> None:
        super().__init__(names, targets)
        self.pixels = pixels  # uint8 (n, C, H, W)
        self.frames = frames

    def batches(self, index_lists: list[Tensor]) -> Iterator[tuple[Tensor, Sequence[Frame]]]:
        for indices in index_lists:
            yield self.pixels.index_select(0, indices), Selection(self.frames, indices)


class StreamedPictures(Pictures):
    """Decoded when they are needed, by worker processes if there are any."""

    def __init__(self, reader: "Reader", kept: Tensor, split: Split, workers: int) -> None:
        super().__init__([split.images.name(i) for i in kept.tolist()], split.targets[kept])
        self.reader = reader
        self.kept = kept  # positions in the split of the pictures that can be read
        self.workers = workers

    def batches(self, index_lists: list[Tensor]) -> Iterator[tuple[Tensor, Sequence[Frame]]]:
        lists = [self.kept[indices].tolist() for indices in index_lists]
        for images, frames, faults in read_in_order(self.reader, lists, self.workers):
            for fault in filter(None, faults):  # it could be read when the run began
                raise InputError(fault.what, fault.name, "put the picture back and resume the run")
            yield images, frames


class Reader(Dataset[tuple[Tensor, Frame, Fault | None]]):
    """Decodes and places one picture; one that cannot be read comes back black, with its fault."""

    def __init__(self, images: Images, preprocessing: Preprocessing) -> None:
        self.images = images
        self.preprocessing = preprocessing

    def __getitem__(self, index: int) -> tuple[Tensor, Frame, Fault | None]:
        try:
            image = with_channels(self.images.read(index), self.preprocessing.channels)
            return *self.preprocessing.place(image), None
        except InputError as error:
            black = torch.zeros(self.preprocessing.channels, *self.preprocessing.size, dtype=torch.uint8)
            return black, Frame(0, 0), Fault(self.images.name(index), error.what)


def read_in_order(
    reader: Reader, index_lists: list[list[int]], workers: int
) -> Iterator[tuple[Tensor, Sequence[Frame], Sequence[Fault | None]]]:
    """The pictures of each list, in order, by ``workers`` processes (0: by this one)."""
    yield from DataLoader(
        reader,
        batch_sampler=index_lists,
        num_workers=workers,
        collate_fn=_stack,
        worker_init_fn=_begin_work,
        generator=torch.Generator(),  # its own, so that reading does not move the run's random state
    )


def _stack(
    items: list[tuple[Tensor, Frame, Fault | None]],
) -> tuple[Tensor, Sequence[Frame], Sequence[Fault | None]]:
    """One tensor for the whole list: each one that leaves a worker holds a file descriptor."""
    images, frames, faults = zip(*items, strict=True)
    return torch.stack(images), frames, faults


def _begin_work(worker: int) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the main process's to handle
    parent = multiprocessing.parent_process()
    if parent and parent.pid != os.getppid():
        os._exit(1)  # killed while this worker started: torch would take another process for the parent


def prepare_pictures(
    split: Split,
    preprocessing: Preprocessing,
    memory_bytes: float,
    workers: int = 0,
    progress: Progress = lambda count: None,
) -> tuple[Pictures, list[Fault]]:
    """Read every picture of a split once: keep it if the split fits in ``memory_bytes``, else remember
    which ones can be read.

    Returns:
        The readable pictures, and a fault for each of the others.
    """
    height, width = preprocessing.size
    in_memory = len(split) * preprocessing.channels * height * width <= memory_bytes
    if in_memory and isinstance(split.images, ArrayImages):
        return _place_array(split, split.images.pixels, preprocessing, progress), []
    reader = Reader(split.images, preprocessing)
    pixels = torch.empty(len(split) if in_memory else 0, preprocessing.channels, height, width).byte()
    frames: list[Frame] = []
    kept: list[int] = []
    faults: list[Fault] = []
    lists = [list(range(i, min(i + 64, len(split)))) for i in range(0, len(split), 64)]
    for indices, read in zip(lists, read_in_order(reader, lists, workers), strict=True):
        for index, image, frame, fault in zip(indices, *read, strict=True):
            if fault:
                faults.append(fault)
                continue
            if in_memory:
                pixels[len(kept)] = image
            frames.append(frame)
            kept.append(index)
        progress(len(indices))
    positions = torch.tensor(kept, dtype=torch.int64)
    if not in_memory:
        return StreamedPictures(reader, positions, split, workers), faults
    names = [split.images.name(i) for i in kept]
    return MemoryPictures(pixels[: len(kept)], frames, names, split.targets[positions]), faults


def _place_array(split: Split, pixels: Tensor, preprocessing: Preprocessing, progress: Progress) -> Pictures:
    placed = []
    frame = preprocessing.frame(*pixels.shape[-2:])
    for chunk in pixels.split(4096):
        placed.append(
            preprocessing.place(with_channels(chunk, preprocessing.channels, split.images.name(0)))[0]
        )
        progress(len(chunk))
    return MemoryPictures(torch.cat(placed), [frame] * len(split), split.names, split.targets)


def epoch_order(count: int, seed: int, epoch: int) -> Tensor:
    """The order of an epoch: a permutation int64 (count,), the same for the same seed and epoch."""
    return keyed_uniform(seed, epoch, torch.arange(count), 1, ORDER)[:, 0].argsort(stable=True)


class Loader:
    """Batches of nearly equal size, so that no picture is left out and no batch is tiny.

    Args:
        pictures: the split.
        batch_size: the largest batch.
        seed: of the order; None keeps the pictures in their own order.
    """

    def __init__(self, pictures: Pictures, batch_size: int, seed: int | None = None) -> None:
        self.pictures = pictures
        self.batch_size = batch_size
        self.seed = seed

    def __len__(self) -> int:
        return -(-len(self.pictures) // self.batch_size)

    def batches(self, epoch: int = 0, start: int = 0) -> Iterator[Batch]:
        """The batches of an epoch, from batch number ``start`` on."""
        count = len(self.pictures)
        order = torch.arange(count) if self.seed is None else epoch_order(count, self.seed, epoch)
        index_lists = list(order.tensor_split(len(self)))[start:]
        read = self.pictures.batches(index_lists)
        for indices, (images, frames) in zip(index_lists, read, strict=True):
            names = Selection(self.pictures.names, indices)
            yield Batch(images, self.pictures.targets[indices], indices, names, frames)


def measure_pixels(pictures: Pictures, sample: int = 10_000) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation per channel of pixels in 0..1, over at most ``sample`` pictures.

    The pictures are chosen by a fixed order, and the values are rounded to six digits.
    """
    chosen = epoch_order(len(pictures), seed=0, epoch=0)[:sample]
    count, total, squares = 0, torch.zeros(1), torch.zeros(1)
    for images, _ in pictures.batches(list(chosen.split(256))):
        pixels = images.double() / 255
        count += pixels.numel() // pixels.shape[1]
        total = total + pixels.sum((0, 2, 3))
        squares = squares + pixels.square().sum((0, 2, 3))
    mean = total / count
    std = (squares / count - mean.square()).clamp_min(0).sqrt().clamp_min(1e-3)  # blank pictures have none
    return tuple(round(v, 6) for v in mean.tolist()), tuple(round(v, 6) for v in std.tolist())
