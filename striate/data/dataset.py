"""What every format becomes: named splits of pictures with a class id each."""

import hashlib
from abc import ABC, abstractmethod
from bisect import bisect_right
from collections.abc import Sequence
from copy import copy
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import accumulate
from pathlib import Path, PurePosixPath
from typing import Self

import torch
from torch import Tensor

from striate.data.archive import Archive
from striate.data.images import ImageFacts, decode_image, encode_png, inspect_image
from striate.data.stamps import Stamp, file_stamp, unreadable
from striate.errors import one_line
from striate.samples import Objects

POOL = "all"  # the split of a data set that comes without splits


class Images(ABC):
    """Pictures in a fixed order; they can be pickled, so that worker processes read them too."""

    white: float | None = None  # the value of more than 8 bits that becomes 255; None: the largest

    @abstractmethod
    def __len__(self) -> int:
        """How many pictures there are."""

    @abstractmethod
    def read(self, index: int) -> Tensor:
        """The picture as uint8 (C, H, W). Raises InputError if it cannot be read."""

    @abstractmethod
    def name(self, index: int) -> str:
        """What tells a person which picture this is."""

    @abstractmethod
    def facts(self, index: int) -> ImageFacts:
        """Size and channels of what ``read`` returns. Raises InputError if the header cannot be read."""

    @abstractmethod
    def content(self, index: int) -> bytes:
        """The stored bytes of the picture, for fingerprints."""

    @abstractmethod
    def select(self, indices: Tensor) -> "Images":
        """The pictures at ``indices``, int64 (m,), in that order, with their names."""

    def stamp(self, index: int) -> Stamp | None:
        """What differs after the picture's file was changed; None for pictures that lie in memory.

        Raises InputError if the file is gone."""
        return None

    def decode(self, index: int, content: bytes) -> Tensor:
        """What ``read`` returns if ``content`` is what is stored."""
        return decode_image(content, self.name(index), white=self.white)

    def with_white(self, white: float | None) -> Self:
        """These pictures, read with another ``white``."""
        other = copy(self)
        other.white = white
        return other

    def as_file(self, index: int) -> tuple[bytes, str]:
        """The picture as a file: its content, stored bytes where it is one, and its suffix, as ".jpg"."""
        return self.content(index), PurePosixPath(self.name(index)).suffix

    def epoch_order(self, seed: int, epoch: int, positions: Tensor) -> Tensor | None:
        """The order in which an epoch should read the pictures at ``positions``, int64 (m,): a permutation
        of 0..m-1, or None where any order is as good as another."""
        return None


class ArrayImages(Images):
    """Pictures of one size in memory.

    Args:
        stored: uint8 (m, C, H, W), C = 1 or 3.
        label: the first part of the pictures' names, as in "train/00042".
        positions: which of ``stored``, int64 (n,), in this order; by default all.
    """

    def __init__(self, stored: Tensor, label: str, positions: Tensor | None = None) -> None:
        self.stored = stored
        self.label = label
        self.positions = positions

    @property
    def pixels(self) -> Tensor:
        """All pictures, uint8 (n, C, H, W); a copy where only some are chosen."""
        return self.stored if self.positions is None else self.stored[self.positions]

    def __len__(self) -> int:
        return len(self.stored if self.positions is None else self.positions)

    def read(self, index: int) -> Tensor:
        return self.stored[self._position(index)]

    def name(self, index: int) -> str:
        return f"{self.label}/{self._position(index):05d}"

    def facts(self, index: int) -> ImageFacts:
        _, channels, height, width = self.stored.shape
        return ImageFacts(width, height, channels)

    def content(self, index: int) -> bytes:
        return self.read(index).numpy().tobytes()

    def as_file(self, index: int) -> tuple[bytes, str]:
        return encode_png(self.read(index)), ".png"

    def select(self, indices: Tensor) -> "ArrayImages":
        positions = indices if self.positions is None else self.positions[indices]
        return ArrayImages(self.stored, self.label, positions)

    def _position(self, index: int) -> int:
        return index if self.positions is None else int(self.positions[index])


class FolderImages(Images):
    """Picture files in a folder.

    Args:
        root: the folder.
        paths: the files, relative to it, with "/".
        channels: 1 or 3 to read every picture with that many, None to read each as it is.
    """

    def __init__(self, root: Path, paths: Sequence[str], channels: int | None = None) -> None:
        self.root = root
        self.paths = tuple(paths)
        self.channels = channels

    def __len__(self) -> int:
        return len(self.paths)

    def read(self, index: int) -> Tensor:
        return decode_image(self.root / self.paths[index], channels=self.channels, white=self.white)

    def decode(self, index: int, content: bytes) -> Tensor:
        return decode_image(content, str(self.root / self.paths[index]), self.channels, self.white)

    def stamp(self, index: int) -> Stamp:
        return file_stamp(self.root / self.paths[index])

    def name(self, index: int) -> str:
        return one_line(self.paths[index])

    def facts(self, index: int) -> ImageFacts:
        facts = inspect_image(self.root / self.paths[index])
        return replace(facts, channels=self.channels or facts.channels)

    def content(self, index: int) -> bytes:
        path = self.root / self.paths[index]
        try:
            return path.read_bytes()
        except OSError as error:
            raise unreadable(path, error) from error

    def select(self, indices: Tensor) -> "FolderImages":
        paths = [self.paths[i] for i in indices.tolist()]
        return FolderImages(self.root, paths, self.channels).with_white(self.white)


class ArchiveImages(Images):
    """Picture files in an archive, read where they are.

    Args:
        archive: the archive, shared by all splits.
        root: the folder inside it that names are relative to; "" for the archive itself.
        paths: the files, relative to ``root``.
        channels: as for ``FolderImages``.
    """

    def __init__(
        self, archive: Archive, root: str, paths: Sequence[str], channels: int | None = None
    ) -> None:
        self.archive = archive
        self.root = root
        self.paths = tuple(paths)
        self.channels = channels

    def __len__(self) -> int:
        return len(self.paths)

    def read(self, index: int) -> Tensor:
        return self.decode(index, self.content(index))

    def decode(self, index: int, content: bytes) -> Tensor:
        return decode_image(content, self._place(index), self.channels, self.white)

    def stamp(self, index: int) -> Stamp:
        return file_stamp(self.archive.path)

    def name(self, index: int) -> str:
        return one_line(self.paths[index])

    def facts(self, index: int) -> ImageFacts:
        facts = inspect_image(self.content(index), self._place(index))
        return replace(facts, channels=self.channels or facts.channels)

    def content(self, index: int) -> bytes:
        return self.archive.read(self._member(index))

    def select(self, indices: Tensor) -> "ArchiveImages":
        paths = [self.paths[i] for i in indices.tolist()]
        return ArchiveImages(self.archive, self.root, paths, self.channels).with_white(self.white)

    def _member(self, index: int) -> str:
        return f"{self.root}/{self.paths[index]}" if self.root else self.paths[index]

    def _place(self, index: int) -> str:
        return f"{self.archive.path}/{self._member(index)}"


class JoinedImages(Images):
    """The pictures of several ``parts``, one part after the other."""

    def __init__(self, parts: Sequence[Images]) -> None:
        self.parts = tuple(parts)
        self.starts = [0, *accumulate(len(part) for part in parts)]

    def with_white(self, white: float | None) -> "JoinedImages":
        return JoinedImages([part.with_white(white) for part in self.parts])

    def __len__(self) -> int:
        return self.starts[-1]

    def read(self, index: int) -> Tensor:
        part, i = self._find(index)
        return part.read(i)

    def name(self, index: int) -> str:
        part, i = self._find(index)
        return part.name(i)

    def facts(self, index: int) -> ImageFacts:
        part, i = self._find(index)
        return part.facts(i)

    def content(self, index: int) -> bytes:
        part, i = self._find(index)
        return part.content(i)

    def stamp(self, index: int) -> Stamp | None:
        part, i = self._find(index)
        return part.stamp(i)

    def decode(self, index: int, content: bytes) -> Tensor:
        part, i = self._find(index)
        return part.decode(i, content)

    def as_file(self, index: int) -> tuple[bytes, str]:
        part, i = self._find(index)
        return part.as_file(i)

    def select(self, indices: Tensor) -> "JoinedImages":
        return JoinedImages([part.select(torch.tensor([i])) for part, i in map(self._find, indices.tolist())])

    def _find(self, index: int) -> tuple[Images, int]:
        number = bisect_right(self.starts, index) - 1
        return self.parts[number], index - self.starts[number]


@dataclass(frozen=True, eq=False)
class Split:
    """Pictures and what is in them.

    Attributes:
        images: n pictures.
        targets: int64 (n,), the class id of each; of pictures with boxes that of the largest one, or the
            number of classes where there is none: by these they are split.
        objects: the boxes of each, in pixels of the picture; None where whole pictures have labels.
    """

    images: Images
    targets: Tensor
    objects: Objects | None = None

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        """The picture uint8 (C, H, W) and its class id, int64 ()."""
        return self.images.read(index), self.targets[index]

    @property
    def names(self) -> list[str]:
        """The name of every picture."""
        return [self.images.name(i) for i in range(len(self))]

    def select(self, indices: Tensor) -> "Split":
        """The samples at ``indices``, int64 (m,), in that order."""
        objects = None if self.objects is None else self.objects[indices]
        return Split(self.images.select(indices), self.targets[indices], objects)


@dataclass(frozen=True)
class Fault:
    """A file that was left out: its ``name``, and ``what`` is wrong with it."""

    name: str
    what: str


@dataclass(frozen=True, eq=False)
class Dataset:
    """Labelled pictures.

    Attributes:
        name: what to call it.
        source: the folder, archive or catalogue name it was loaded from.
        format: how it was read: "image-folder", "idx", "cifar-binary", "tar-shards", "built-in", or for boxes
            a key of ``READERS`` in ``formats/annotations.py``, as "coco".
        why: why that format was chosen, and what was left aside, in one or two sentences.
        task: what can be learned from it.
        classes: class id k is ``classes[k]``.
        channels: of every picture: 1 if all of them are grey, else 3.
        splits: "train", "val", "test" as far as they exist, or ``POOL`` alone.
        faults: files that were left out because something is wrong with them.
        remarks: what a person should know of the labels, each with its place.
        whole: the data set that this one was split from, if it was.
    """

    name: str
    source: str
    format: str
    why: str
    task: str
    classes: tuple[str, ...]
    channels: int
    splits: dict[str, Split]
    faults: tuple[Fault, ...] = ()
    remarks: tuple[str, ...] = ()
    whole: "Dataset | None" = None

    def fingerprint(self) -> str:
        """SHA-256 over class names, splits, names, targets and stored bytes of all pictures.

        The same data have the same fingerprint wherever they lie, in a folder or in an archive; any
        changed byte, label or name gives another. Splitting keeps it: it tells which data these are,
        not how they are used. Every file is read once, at the first call.
        """
        return self.whole.fingerprint() if self.whole else self._fingerprint

    @cached_property
    def _fingerprint(self) -> str:
        digest = hashlib.sha256()

        def add(part: bytes) -> None:
            digest.update(len(part).to_bytes(8, "little"))  # so that "ab", "c" differs from "a", "bc"
            digest.update(part)

        add(str(len(self.classes)).encode())
        for class_name in self.classes:
            add(class_name.encode("utf-8", "surrogateescape"))  # file names need not be Unicode
        for split_name, split in sorted(self.splits.items()):
            add(split_name.encode())
            add(str(len(split)).encode())
            for i, target in enumerate(split.targets.tolist()):
                add(split.images.name(i).encode("utf-8", "surrogateescape"))
                add(str(target).encode() if split.objects is None else _described(split.objects[i]))
                add(split.images.content(i))
        return digest.hexdigest()


def _described(objects: Objects) -> bytes:
    """All that is known of the objects of a picture, in one line."""
    flags = torch.stack([objects.crowd, objects.difficult], dim=1).tolist()
    return repr([objects.boxes_xyxy.tolist(), objects.labels.tolist(), flags]).encode()


def dominant_labels(objects: Objects, num_classes: int) -> Tensor:
    """The class id of the largest object of each picture, int64 (n,); ``num_classes`` where there is none."""
    width, height = (objects.boxes_xyxy[:, 2:] - objects.boxes_xyxy[:, :2]).unbind(1)
    order = (width * height).argsort(stable=True)  # what is written last is the largest
    labels = torch.full((len(objects),), num_classes)
    for picture, label in zip(objects.pictures[order].tolist(), objects.labels[order].tolist(), strict=True):
        labels[picture] = label
    return labels


def join_splits(parts: Sequence[Split]) -> Split:
    """All pictures of ``parts``, of which there is at least one, one part after the other."""
    images = JoinedImages([part.images for part in parts])
    objects = [part.objects for part in parts if part.objects is not None]
    targets = torch.cat([part.targets for part in parts])
    return Split(images, targets, Objects.join(objects) if objects else None)
