"""The pictures of a data set, read to be written elsewhere: each is decoded, and faulty ones are left out."""

import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

from torch import Tensor

from striate.data.dataset import Dataset, Fault, Images
from striate.data.images import ImageFacts, decode_image
from striate.errors import InputError

Item = TypeVar("Item")
Reading = Callable[[str, int], Callable[[int], None]]  # split name, pictures -> told how many were read

_THREADS = min(8, os.cpu_count() or 1)  # decoders and disks work without Python's lock
_AT_ONCE = 4 * _THREADS


@dataclass(frozen=True)
class PictureFile:
    """A picture as a file: its content, its suffix as ".jpg", and what its pixels are."""

    content: bytes
    suffix: str
    facts: ImageFacts


class Source:
    """What is converted.

    Args:
        dataset: the pictures.
        strict: whether a picture that cannot be read is an error, instead of left out.
        reading: is told of the reading of each split.

    Attributes:
        left_out: the faults of the data set, and those found since.
        counts: pictures that could be read, by split.
    """

    def __init__(self, dataset: Dataset, strict: bool, reading: Reading) -> None:
        self.dataset = dataset
        self.strict = strict
        self.reading = reading
        self.left_out: list[Fault] = []
        self.counts: dict[str, int] = {}
        for fault in dataset.faults:
            self._leave_out(fault)

    def each(
        self, split: str, get: Callable[[Images, int], Item], order: Tensor | None = None
    ) -> Iterator[tuple[int, Item]]:
        """(Index, what ``get`` makes of the picture) for every picture of a split that can be read.

        Args:
            split: its name.
            get: raises InputError for a picture that cannot be read.
            order: indices int64 (n,); by default the pictures' own.

        Raises:
            InputError: a picture cannot be read and the source is strict; or, after the last one, none of
                the split or of a class to train on could be read.
        """
        images = self.dataset.splits[split].images
        indices = range(len(images)) if order is None else order.tolist()
        progress = self.reading(split, len(images))

        def attempt(index: int) -> Item | Fault:
            try:
                return get(images, index)
            except InputError as error:
                return Fault(images.name(index), error.what)

        kept = []
        with ThreadPoolExecutor(_THREADS) as pool:
            for start in range(0, len(indices), _AT_ONCE):
                chunk = indices[start : start + _AT_ONCE]
                for index, result in zip(chunk, pool.map(attempt, chunk), strict=True):
                    if isinstance(result, Fault):
                        self._leave_out(result)
                    else:
                        kept.append(index)
                        yield index, result
                progress(len(chunk))
        self.counts[split] = len(kept)
        self._check_classes(split, kept)

    def _check_classes(self, split: str, kept: list[int]) -> None:
        targets = self.dataset.splits[split].targets
        lost = set(targets.tolist()) - set(targets[kept].tolist())
        if kept and (not lost or split in ("val", "test")):
            return
        name = f"class {self.dataset.classes[min(lost)]}" if kept else split
        raise InputError(
            f"no picture of {name} can be read: {self.left_out[-1].what}",
            self.dataset.source,
            "mend the pictures, or remove it from the data",
        )

    def _leave_out(self, fault: Fault) -> None:
        if self.strict:
            raise InputError(fault.what, fault.name, "mend or remove the picture, or leave --strict out")
        self.left_out.append(fault)


def read_file(images: Images, index: int) -> PictureFile:
    """A picture as a file, after finding out that it can be decoded. Raises InputError if it cannot."""
    content, suffix = images.as_file(index)
    channels, height, width = decode_image(content, images.name(index)).shape
    return PictureFile(content, suffix, ImageFacts(width, height, channels))
