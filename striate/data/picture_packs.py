"""Packs: pixels of pictures on disk, one behind the other, in files that only grow.

    <name>.pixels   pixels │ pixels │ pixels │ ...
    <name>.index    record │ record │ record │ ...     whose pixels, where, and their checksum

A record is written after its pixels are, so a writer that is killed leaves pixels that no record names, or
a part of a record at the end of the index; neither is ever read. What a loss of power leaves (records
whose pixels never reached the disk) the checksum finds. A pack has one writer: the process that began it.
"""

import os
import shutil
import struct
import time
import zlib
from collections.abc import Sequence
from contextlib import suppress
from io import RawIOBase
from pathlib import Path
from typing import NamedTuple

from striate.errors import one_line

PIXELS, INDEX = ".pixels", ".index"
MAX_PACK_BYTES = 2**28  # then a new one is begun, so that old ones can be removed one by one
KEPT_FREE = 2**30  # bytes of the disk that are left for checkpoints and everything else

_RECORD = struct.Struct("<32sQIIIII")  # digest, offset, sizes as in Place, checksum
RECORD_BYTES = _RECORD.size


class Place(NamedTuple):
    """Where the pixels of a picture are."""

    pack: str
    offset: int
    height: int  # of the picture in its file
    width: int
    scaled_height: int  # of the pixels
    scaled_width: int


class NotKept(Exception):  # noqa: N818 - no fault: the picture is decoded each time
    """There is no room for a picture, or no permission to write it."""


class PackWriter:
    """A new pack in ``folder``, and what is appended to it.

    Raises:
        OSError: the folder cannot be written, or the disk is full; no record was written then.
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.name = f"{time.time_ns():020d}-{os.getpid()}"  # names sort by age: of two records the newer wins
        self.size = 0
        self._pixels = (folder / f"{self.name}{PIXELS}").open("xb", buffering=0)
        self._index = (folder / f"{self.name}{INDEX}").open("xb", buffering=0)

    def append(
        self, digest: bytes, size: Sequence[int], scaled_size: Sequence[int], pixels: memoryview
    ) -> tuple[Place, int]:
        """Write the pixels, bytes in one dimension, of the picture whose file has this SHA-256.

        Returns:
            Where they are, and their checksum.
        """
        place = Place(self.name, self.size, *size, *scaled_size)
        check = checksum(digest, place, pixels)
        record = _RECORD.pack(digest, *place[1:], check)
        _write(self._pixels, pixels)
        _write(self._index, memoryview(record))
        self.size += len(pixels)
        return place, check

    def close(self) -> None:
        """Nothing more is appended."""
        self._pixels.close()
        self._index.close()


def read_indexes(folder: Path) -> dict[bytes, tuple[Place, int]]:
    """All records in ``folder``: SHA-256 of a picture's file -> the place of its pixels, their checksum."""
    records = {}
    for path in sorted(folder.glob(f"*{INDEX}")):
        with suppress(OSError):  # another run is removing it
            content = path.read_bytes()
            whole = content[: len(content) // _RECORD.size * _RECORD.size]
            name = path.stem
            for digest, *place, check in _RECORD.iter_unpack(whole):
                records[digest] = Place(name, *place), check
    return records


def checksum(digest: bytes, place: Place, pixels: memoryview) -> int:
    """CRC-32 of a record and its pixels."""
    return zlib.crc32(pixels, zlib.crc32(_RECORD.pack(digest, *place[1:], 0)))


def make_room(root: Path, needed: float, budget: float, since: float) -> float:
    """Remove packs below ``root`` until ``needed`` bytes more are within the budget and on the disk.

    Args:
        root: the folder of all folders of packs.
        budget: bytes that all packs together may take.
        since: packs that were used after this time, in seconds, stay; of others the oldest use goes first.

    Returns:
        How many bytes may be written now, at least ``needed``.

    Raises:
        NotKept: there is not that much room.
        OSError: a folder cannot be read.
    """
    packs = sorted(filter(None, map(_last_use_and_size, root.glob(f"*/*{PIXELS}"))))
    used = sum(size for _, size, _ in packs)
    while (room := min(budget - used, shutil.disk_usage(root).free - KEPT_FREE)) < needed:
        if not packs or packs[0][0] >= since:
            limit = "is full" if budget - used < needed else "leaves the last of the disk free"
            raise NotKept(f"the picture cache {limit}")
        _, size, path = packs.pop(0)
        path.with_suffix(INDEX).unlink(missing_ok=True)  # first, so that no record outlives its pixels
        path.unlink(missing_ok=True)
        used -= size
    return room


def touch(path: Path) -> None:
    """Note that a pack is in use now."""
    with suppress(OSError):  # another user's, say: then it may be removed sooner
        os.utime(path)


def reason_of(error: OSError) -> str:
    """Why a cache cannot be written, in one line."""
    return one_line(f"the picture cache cannot be written ({error.strerror or error})")


def _write(file: RawIOBase, content: memoryview) -> None:
    while content:  # a disk that gets full takes a part of it, and says so at the next attempt
        content = content[file.write(content) :]


def _last_use_and_size(path: Path) -> tuple[float, int, Path] | None:
    try:
        pixels, index = path.stat(), path.with_suffix(INDEX)
        return pixels.st_mtime, pixels.st_size + (index.stat().st_size if index.exists() else 0), path
    except FileNotFoundError:  # another run has removed it
        return None
