"""Writes tar shards in the layout of WebDataset, their index and classes.txt.

The samples of a split are shuffled once, because an epoch mixes only a few shards at a time: shards that
were filled class after class would give batches of one class. The same data give the same bytes: times,
owners and order are fixed. Python's own tarfile is used, so that what is written depends on no library.
"""

import io
import re
import tarfile
from pathlib import Path
from typing import Literal

import torch

from striate.data.class_names import CLASSES_FILE, class_names_text
from striate.data.keyed_random import keyed_uniform
from striate.data.shards.index import INDEX_NAME, IndexedShard, Samples, ShardIndex, index_text
from striate.data.write.names import UniqueNames, file_stem, safe_name
from striate.data.write.pictures import PictureFile, Source, read_file
from striate.download import checksum_of

_SHUFFLE = 102  # the stream of random numbers of the order in which samples are written


class _ShardWriter:
    """One .tar file that is being written, and the samples in it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.file = path.open("xb")
        self.tar = tarfile.open(fileobj=self.file, mode="w", format=tarfile.PAX_FORMAT)  # noqa: SIM115
        self.samples = Samples()

    def has_room(self, size: int, limit: int) -> bool:
        """Whether a picture of ``size`` bytes may still come into a shard of ``limit`` bytes."""
        return not self.samples.names or self.tar.offset + size <= limit

    def add(self, key: str, label: int, picture: PictureFile) -> None:
        name, size = key + picture.suffix.lower(), len(picture.content)
        self._add_file(name, picture.content)
        self.samples.offsets.append(self.tar.offset - -(-size // tarfile.BLOCKSIZE) * tarfile.BLOCKSIZE)
        self._add_file(f"{key}.cls", str(label).encode())
        self.samples.names.append(name)
        self.samples.labels.append(label)
        self.samples.sizes.append(size)
        self.samples.widths.append(picture.facts.width)
        self.samples.heights.append(picture.facts.height)

    def close(self) -> None:
        self.tar.close()
        self.file.close()

    def indexed(self) -> IndexedShard:
        """Closes the shard; what the index says of it."""
        self.close()
        return IndexedShard(
            file=self.path.name,
            bytes=self.path.stat().st_size,
            sha256=checksum_of(self.path, "sha256").removeprefix("sha256:"),
            samples=len(self.samples.names),
            **self.samples.model_dump(),
        )

    def _add_file(self, name: str, content: bytes) -> None:
        info = tarfile.TarInfo(name)  # no owner, mode 0644, the time 0
        info.size = len(content)
        self.tar.addfile(info, io.BytesIO(content))


def write_tar_shards(source: Source, folder: Path, shard_bytes: int) -> list[str]:
    """Write shards of about ``shard_bytes``, named <split>-000000.tar and so on, and shards.json.

    Args:
        source: the pictures; files keep their bytes, pictures from memory become PNG.
        folder: an empty folder.
        shard_bytes: a shard is closed before the picture that would make it larger.

    Returns:
        What a person should know of the result.

    Raises:
        OSError: the disk is full, or refuses.
    """
    dataset = source.dataset
    splits = {split: _write_split(source, split, folder, shard_bytes) for split in dataset.splits}
    channels: Literal[1, 3] = 1 if dataset.channels == 1 else 3
    (folder / CLASSES_FILE).write_text(class_names_text(dataset.classes), encoding="utf-8", newline="\n")
    index = ShardIndex(classes=list(dataset.classes), channels=channels, splits=splits)
    (folder / INDEX_NAME).write_text(index_text(index), encoding="utf-8", newline="\n")
    return ["the samples of a split are in a fixed random order, so that every shard is a fair sample"]


def _write_split(source: Source, split: str, folder: Path, limit: int) -> list[IndexedShard]:
    samples, classes = source.dataset.splits[split], source.dataset.classes
    positions = torch.arange(len(samples))
    order = samples.images.epoch_order(0, 0, positions)  # shards are read one after the other here, too
    if order is None:
        order = keyed_uniform(0, 0, positions, 1, _SHUFFLE)[:, 0].argsort(stable=True)
    shards: list[IndexedShard] = []
    names = UniqueNames()
    writer: _ShardWriter | None = None
    try:
        for index, picture in source.each(split, read_file, order):
            if writer is None or not writer.has_room(len(picture.content), limit):
                if writer is not None:
                    shards.append(writer.indexed())
                writer = _ShardWriter(folder / f"{split}-{len(shards):06d}.tar")
            label = int(samples.targets[index])
            writer.add(names.claim(_key(samples.images.name(index), split, classes[label])), label, picture)
        if writer is not None:
            shards.append(writer.indexed())
    finally:
        if writer is not None:
            writer.file.close()  # Windows removes no open file
    return shards


def _key(name: str, split: str, label: str) -> str:
    """A sample's key: WebDataset ends it at the first dot, and skips names that begin with "__"; a colon
    could make it a drive of Windows."""
    folder, stem = safe_name(label).replace(":", "_"), file_stem(name, split, label).replace(".", "_")
    return re.sub("^_+", "_", f"{folder}/{stem}")
