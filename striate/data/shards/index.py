"""shards.json, the index of a set of tar shards: what lies where, so that no shard is read to know it.

    {"format": "striate-shards", "version": 1, "classes": ["daisy", "rose"], "channels": 3,
     "splits": {"train": [{"file": "train-000000.tar", "bytes": 268430336, "sha256": "...", "samples": 2100,
                           "names": ["rose/1.jpg", ...], "labels": [1, ...], "offsets": [512, ...],
                           "sizes": [101316, ...], "widths": [500, ...], "heights": [333, ...]}, ...], ...}}

A shard is named by its path, relative to the index and below it, or by an http(s) address.
"""

import json
import os
from pathlib import Path, PurePosixPath
from tarfile import BLOCKSIZE
from typing import Annotated, Literal, Self
from urllib.parse import quote, urljoin

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from striate.data.dataset import POOL
from striate.data.images import IMAGE_SUFFIXES, MAX_FILE_BYTES
from striate.errors import InputError, one_line

INDEX_NAME = "shards.json"

_ADDRESSES = ("http://", "https://")
_SUFFIXES = tuple(IMAGE_SUFFIXES)
_Name = Annotated[str, Field(min_length=1)]
_Count = Annotated[int, Field(ge=0, lt=2**63)]
_Positive = Annotated[int, Field(ge=1, lt=2**31)]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class Samples(_Part):
    """The samples of one shard, in the order of the file; all lists have the same length.

    Attributes:
        names: of the pictures in the archive, "key.suffix".
        labels: class ids.
        offsets: where a picture's bytes begin in the shard.
        sizes: how many they are.
        widths, heights: of the pictures, upright, in pixels.
    """

    names: list[_Name] = []
    labels: list[_Count] = []
    offsets: list[_Count] = []
    sizes: list[_Count] = []
    widths: list[_Positive] = []
    heights: list[_Positive] = []


class IndexedShard(Samples):
    """One .tar file: where it is, what it must be, and its samples."""

    file: str
    bytes: _Count
    sha256: Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
    samples: _Positive

    @model_validator(mode="after")
    def _check(self) -> Self:
        columns = (self.names, self.labels, self.offsets, self.sizes, self.widths, self.heights)
        if any(len(column) != self.samples for column in columns):
            raise ValueError(f"the lists are not all of {self.samples} samples")
        if min(self.offsets) < BLOCKSIZE or max(self.sizes) > MAX_FILE_BYTES:
            raise ValueError("a picture lies where none can be")
        if any(start + size > self.bytes for start, size in zip(self.offsets, self.sizes, strict=True)):
            raise ValueError("a picture lies beyond the end of its shard")
        return self


class ShardIndex(_Part):
    """The whole of shards.json."""

    format: Literal["striate-shards"] = "striate-shards"
    version: Literal[1] = 1
    classes: list[_Name]
    channels: Literal[1, 3]
    splits: dict[str, list[IndexedShard]]

    @model_validator(mode="after")
    def _check(self) -> Self:
        if len(set(self.classes)) != len(self.classes):
            raise ValueError("a class is named twice")
        if not _is_readable("".join(self.classes)):
            raise ValueError("a class name is no readable text")
        if set(self.splits) != {POOL} and not {"train"} <= set(self.splits) <= {"train", "val", "test"}:
            raise ValueError(f"splits are train, val and test, or {POOL!r} alone")
        for split, shards in self.splits.items():
            if not shards:
                raise ValueError(f"the split {split} has no shards")
            names = [name for shard in shards for name in shard.names]
            if not all(name.lower().endswith(_SUFFIXES) for name in names):
                raise ValueError(f"the split {split} has a name that is no picture's")
            if len(set(names)) < len(names) or not _is_readable("".join(names)):
                raise ValueError(f"the split {split} has a name twice, or one that is no readable text")
            if max(max(shard.labels) for shard in shards) >= len(self.classes):
                raise ValueError(f"the split {split} has a class id above {len(self.classes) - 1}")
        return self


def _is_readable(text: str) -> bool:
    return text.isprintable() or text == one_line(text)  # the first is quick, and true of most


def parse_index(content: bytes, place: str) -> ShardIndex:
    """The index that a file holds.

    Raises:
        InputError: not JSON, of another version, or facts that contradict one another.
    """
    try:
        return ShardIndex.model_validate_json(content)
    except ValidationError as error:
        fault = error.errors()[0]
        where = ".".join(map(str, fault["loc"]))
        what = fault["msg"].removeprefix("Value error, ")
        raise InputError(
            f"the index of shards is not right: {where + ': ' if where else ''}{what}",
            place,
            "make it anew with striate data convert, or remove it to read the .tar files alone",
        ) from None


def index_text(index: ShardIndex) -> str:
    """The content of shards.json."""
    return json.dumps(index.model_dump(), separators=(",", ":")) + "\n"


def is_address(place: str) -> bool:
    """Whether ``place`` is an http or https address."""
    return place.lower().startswith(_ADDRESSES)


def place_of(file: str, index_place: str) -> str:
    """Where a shard lies: a path, or an address.

    Args:
        file: as the index has it.
        index_place: the path or address of the index.

    Raises:
        InputError: the name leads out of the folder of the index.
    """
    if is_address(file):
        return file
    parts = PurePosixPath(file).parts
    escapes = not parts or ".." in parts or parts[0].endswith(":") or file[0] == "/" or "\\" in file
    if not escapes and is_address(index_place):
        return urljoin(index_place, quote(file))
    home = Path(index_place).parent
    if escapes or not Path(os.path.realpath(home / file)).is_relative_to(home.resolve()):
        raise InputError(
            f"the index names a shard outside its folder: {file}",
            index_place,
            "put the shards beside the index",
        )
    return str(home / file)
