"""Pictures in tar shards, read from where they lie."""

import tarfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import torch
from torch import Tensor

from striate.data.dataset import Images
from striate.data.images import ImageFacts, decode_image
from striate.data.shards.cache import open_shard
from striate.data.shards.index import Samples, is_address
from striate.data.shards.order import shard_order
from striate.data.stamps import Stamp, file_stamp
from striate.errors import InputError


@dataclass(frozen=True)
class Shard:
    """A .tar file: its path or address, its size in bytes, and the digest that a download must have."""

    place: str
    size: int
    sha256: str = ""

    def open(self) -> BinaryIO:
        """The file, fetched if need be. Raises OSError, or RunError if it cannot be fetched."""
        if is_address(self.place):
            return open_shard(self.place, self.sha256, self.size)
        return Path(self.place).open("rb")


class ShardTable:
    """All samples of a split, one row each, in tensors: they cross to worker processes as shared memory.

    Args:
        parts: each shard with its samples.
    """

    def __init__(self, parts: Sequence[tuple[Shard, Samples]]) -> None:
        def column(name: str) -> Tensor:
            return torch.cat(
                [torch.tensor(getattr(samples, name), dtype=torch.int64) for _, samples in parts]
            )

        self.shards = tuple(shard for shard, _ in parts)
        counts = torch.tensor([len(samples.names) for _, samples in parts])
        self.shard_ids = torch.arange(len(parts)).repeat_interleave(counts)
        self.labels = column("labels")
        self.offsets, self.sizes = column("offsets"), column("sizes")
        self.widths, self.heights = column("widths"), column("heights")
        names = [name.encode() for _, samples in parts for name in samples.names]
        self.name_bytes = torch.frombuffer(bytearray(b"".join(names)), dtype=torch.uint8)
        self.name_ends = torch.tensor([len(name) for name in names]).cumsum(0)

    def name(self, row: int) -> str:
        """The name of a sample's picture."""
        start = int(self.name_ends[row - 1]) if row else 0
        return self.name_bytes[start : int(self.name_ends[row])].numpy().tobytes().decode()


class ShardImages(Images):
    """Pictures in tar shards.

    Args:
        table: where they lie.
        channels: 1 or 3, of every picture.
        rows: which of the table's, int64 (n,), in this order; by default all.
    """

    def __init__(self, table: ShardTable, channels: int, rows: Tensor | None = None) -> None:
        self.table = table
        self.channels = channels
        self.rows = torch.arange(len(table.labels)) if rows is None else rows

    def __len__(self) -> int:
        return len(self.rows)

    def read(self, index: int) -> Tensor:
        return self.decode(index, self.content(index))

    def decode(self, index: int, content: bytes) -> Tensor:
        return decode_image(content, self._place(index), self.channels, self.white)

    def stamp(self, index: int) -> Stamp:
        shard = self._shard(index)
        if is_address(shard.place):
            return shard.size, 0, 0, 0  # its digest is verified whenever it is fetched
        return file_stamp(Path(shard.place))

    def name(self, index: int) -> str:
        return self.table.name(int(self.rows[index]))

    def facts(self, index: int) -> ImageFacts:
        row = self.rows[index]
        return ImageFacts(int(self.table.widths[row]), int(self.table.heights[row]), self.channels)

    def content(self, index: int) -> bytes:
        row = self.rows[index]
        offset, size = int(self.table.offsets[row]), int(self.table.sizes[row])
        try:
            with self._shard(index).open() as file:
                file.seek(offset - tarfile.BLOCKSIZE)
                block = file.read(tarfile.BLOCKSIZE + size)
            # A file's header lies right before it: a shard that the index does not describe is found out.
            header = tarfile.TarInfo.frombuf(block[: tarfile.BLOCKSIZE], "utf-8", "surrogateescape")
        except OSError as error:
            raise self._error(f"the shard cannot be read: {error.strerror}", index) from error
        except tarfile.TarError as error:
            raise self._error("the shard is cut off, or not the one that was loaded", index) from error
        if header.size != size or len(block) < tarfile.BLOCKSIZE + size:
            raise self._error("the shard is cut off, or not the one that was loaded", index)
        return block[tarfile.BLOCKSIZE :]

    def select(self, indices: Tensor) -> "ShardImages":
        return ShardImages(self.table, self.channels, self.rows[indices])

    def epoch_order(self, seed: int, epoch: int, positions: Tensor) -> Tensor:
        return shard_order(self.table.shard_ids[self.rows[positions]], seed, epoch)

    def _shard(self, index: int) -> Shard:
        return self.table.shards[int(self.table.shard_ids[self.rows[index]])]

    def _place(self, index: int) -> str:
        return f"{self._shard(index).place}/{self.name(index)}"

    def _error(self, what: str, index: int) -> InputError:
        return InputError(what, self._place(index), "restore the shard, or load the data set again")
