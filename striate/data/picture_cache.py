"""Scaled pictures kept on disk, so that a picture is decoded once and not in every epoch and every run.

    <folder>/pictures/<settings>/<pack>.pixels, <pack>.index           picture_packs.py

What a picture looks like follows from the content of its file and from settings and programs. The first
is looked up by its SHA-256, the others name the folder; so a changed picture, another size or a new
decoder is never taken for what was kept. All runs share the folder. A record is checked before its first
use in a run, and one that is damaged counts as missing.
"""

import hashlib
import json
import os
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import PIL
import simplejpeg
import torch
from numpy.typing import NDArray
from torch import Tensor

from striate.data.picture_packs import (
    MAX_PACK_BYTES,
    PIXELS,
    RECORD_BYTES,
    NotKept,
    PackWriter,
    Place,
    checksum,
    make_room,
    read_indexes,
    reason_of,
    touch,
)
from striate.data.preprocessing import Preprocessing

FORMAT = 3  # of the packs; another number leaves older ones to be removed
BLOCK = 2**26  # bytes that a process writes before it looks again at what all packs take
_BEGAN = time.time() - 1.0  # what this run uses it does not remove; clocks of file systems are coarse


class DamagedRecord(Exception):  # noqa: N818 - no fault of the user's: the picture is decoded anew
    """A record whose pixels are not those that were written."""


class PictureCache:
    """The kept pictures of one preprocessing.

    A worker process has a copy of its own, which writes packs of its own.

    Args:
        folder: of all caches.
        preprocessing: decides how pictures are scaled.
        budget: bytes on disk that the pictures of all settings together may take.
        writers: how many processes of this run fill it at once.
    """

    def __init__(self, folder: Path, preprocessing: Preprocessing, budget: float, writers: int = 1) -> None:
        self.root = folder / "pictures"
        self.folder = self.root / _settings_key(preprocessing)
        self.channels = preprocessing.channels
        self.budget = budget
        self.writers = writers
        self.records = read_indexes(self.folder)
        self.allowance = 0.0  # bytes that may be written before looking again
        self.closed = ""  # why nothing more is kept
        self.began = _BEGAN
        self._maps: dict[str, NDArray[np.uint8]] = {}
        self._writer: PackWriter | None = None

    def find(self, digest: bytes) -> Place | None:
        """Where the picture is whose file has this SHA-256, after checking its pixels; None if nowhere.

        Raises:
            DamagedRecord: it was kept, but is not what was written any more.
        """
        if digest not in self.records:
            return None
        place, expected = self.records[digest]
        if place.pack not in self._maps:
            touch(self.folder / f"{place.pack}{PIXELS}")
        try:
            found = checksum(digest, place, self._bytes(place).data)
        except OSError:  # another run has removed the pack, say
            return None
        if found != expected:
            raise DamagedRecord
        return place

    def add(self, digest: bytes, size: Sequence[int], scaled: Tensor) -> Place:
        """Keep ``scaled``, uint8 (C, h, w), of the picture whose file has this SHA-256 and which has there
        ``size``, height and width.

        Raises:
            NotKept: it cannot be kept, for the reason given, nor can anything after it.
        """
        if self.closed:
            raise NotKept(self.closed)
        pixels = scaled.permute(1, 2, 0).contiguous().numpy().data.cast("B")
        try:
            self._reserve(len(pixels) + RECORD_BYTES)
            if self._writer is None or self._writer.size >= MAX_PACK_BYTES:
                self._close_writer()
                self._writer = PackWriter(self.folder)
            self.records[digest] = self._writer.append(digest, size, scaled.shape[-2:], pixels)
        except (NotKept, OSError) as error:
            self.closed = reason_of(error) if isinstance(error, OSError) else str(error)
            raise NotKept(self.closed) from error
        return self.records[digest][0]

    def pixels(self, place: Place) -> NDArray[np.uint8]:
        """The scaled picture at ``place``, uint8 (h, w, C), as it lies on disk.

        Raises:
            OSError: the pack is not there any more, or cannot be read.
            DamagedRecord: the pack ends before it.
        """
        shape = place.scaled_height, place.scaled_width, self.channels
        return self._bytes(place).reshape(shape)

    def finish(self) -> None:
        """Nothing more is added or looked up by this process."""
        self.records = {}  # of all data sets that the settings were used with
        self._close_writer()

    def holds(self, place: Place) -> bool:
        """Whether the pixels at ``place`` can be had; from then on they can until the process ends."""
        try:
            return self.pixels(place) is not None
        except (OSError, DamagedRecord):
            return False

    def expect(self, place: Place) -> None:
        """Have the system read what is at ``place`` from the disk while something else is done."""
        if hasattr(os, "posix_fadvise"):
            with suppress(OSError), (self.folder / f"{place.pack}{PIXELS}").open("rb") as file:
                os.posix_fadvise(file.fileno(), place.offset, self._length(place), os.POSIX_FADV_WILLNEED)

    def _bytes(self, place: Place) -> NDArray[np.uint8]:
        """As ``pixels``, in one dimension."""
        end = place.offset + self._length(place)
        pack = self._maps.get(place.pack)
        if pack is None or len(pack) < end:  # it may have grown
            pack = self._maps[place.pack] = _map_file(self.folder / f"{place.pack}{PIXELS}")
        if len(pack) < end:
            raise DamagedRecord
        return pack[place.offset : end]

    def _length(self, place: Place) -> int:
        return self.channels * place.scaled_height * place.scaled_width

    def _reserve(self, length: int) -> None:
        if self.allowance < length:
            self.folder.mkdir(parents=True, exist_ok=True)
            block = min(BLOCK, self.budget / 16 / self.writers)
            others = block * (self.writers - 1)  # what the other writers may yet write, unseen
            room = make_room(self.root, length + others, self.budget, self.began)
            self.allowance = max(length, min(block, room - others))
        self.allowance -= length

    def _close_writer(self) -> None:
        if self._writer:
            self._writer.close()
            self._writer = None

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_maps": {}, "_writer": None}


def _map_file(path: Path) -> NDArray[np.uint8]:
    """A file's bytes as they lie on disk. The file is not open: there may be more packs than open files."""
    size = path.stat().st_size
    if size == 0:  # cannot be mapped
        raise DamagedRecord
    try:
        return torch.from_file(str(path), shared=False, size=size, dtype=torch.uint8).numpy()
    except (RuntimeError, UnicodeError) as error:  # the first is torch's OSError
        raise OSError(f"the file cannot be mapped: {error}") from error


def _settings_key(preprocessing: Preprocessing) -> str:
    """Everything beside a file's content that decides its scaled pixels, as a name."""
    crop_first = preprocessing.fit == "crop" and preprocessing.resize is not None
    decisive = {
        "format": FORMAT,
        "fit": preprocessing.fit,
        "size": preprocessing.resize if crop_first else preprocessing.inner_size(),
        "channels": preprocessing.channels,
        "interpolation": preprocessing.interpolation,
        "white": preprocessing.white,
        "simplejpeg": simplejpeg.__version__,
        "pillow": PIL.__version__,
        "torch": torch.__version__,
        "kernels": torch.backends.cpu.get_cpu_capability(),  # other instructions round otherwise
    }
    return hashlib.sha256(json.dumps(decisive).encode()).hexdigest()[:16]
