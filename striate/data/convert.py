"""From any data set that can be loaded to a folder of another format, whole or not at all."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from striate.data.dataset import POOL, Dataset, Fault
from striate.data.split import split_dataset
from striate.data.write.idx import write_idx_files
from striate.data.write.image_folder import write_image_folder
from striate.data.write.pictures import Reading, Source
from striate.data.write.tar_shards import write_tar_shards
from striate.data.write.whole import check_place, write_whole
from striate.errors import InputError
from striate.recipe import DataSettings

FORMATS = ("image-folder", "idx", "tar-shards")
SHARD_BYTES = 256 << 20


@dataclass(frozen=True)
class Conversion:
    """What was written.

    Attributes:
        out: the folder.
        format: one of ``FORMATS``.
        classes: the class names, by class id of the data that were read.
        counts: pictures by split.
        files, bytes: of the folder.
        left_out: pictures that cannot be read.
        notes: what else a person should know, in sentences.
    """

    out: Path
    format: str
    classes: tuple[str, ...]
    counts: dict[str, int]
    files: int
    bytes: int
    left_out: tuple[Fault, ...]
    notes: tuple[str, ...]

    def facts(self) -> dict[str, Any]:
        """Plain values that JSON can hold."""
        return {
            "out": str(self.out),
            "format": self.format,
            "classes": list(self.classes),
            "splits": self.counts,
            "files": self.files,
            "bytes": self.bytes,
            "left_out": [[fault.name, fault.what] for fault in self.left_out],
            "notes": list(self.notes),
        }


def convert(
    dataset: Dataset,
    out: Path,
    to: str,
    *,
    shard_bytes: int = SHARD_BYTES,
    link: bool = False,
    strict: bool = False,
    reading: Reading = lambda split, count: lambda read: None,
) -> Conversion:
    """Write a data set in another format. Its own files are only read.

    Args:
        dataset: the pictures; each is decoded once, and what cannot be read is left out and named.
        out: the folder to make; nothing, or an empty folder, is there.
        to: one of ``FORMATS``. Where it keeps files as they are, their bytes do not change.
        shard_bytes: the size of tar shards.
        link: make hard links instead of copies where that is possible (image folders).
        strict: a picture that cannot be read is an error.
        reading: is told of the reading of each split.

    Raises:
        InputError: ``out`` is not empty or cannot be written, the format cannot hold these data, as none of
            them can hold boxes, or nothing of a class can be read. Nothing is left behind.
    """
    out = out.resolve()
    _check_format(to, link)
    _check_boxes(dataset, to)
    check_place(out, Path(dataset.source))
    _check_classes(dataset)
    source = Source(dataset, strict, reading)
    write: dict[str, Callable[[Path], list[str]]] = {
        "image-folder": lambda folder: write_image_folder(source, folder, link),
        "idx": lambda folder: write_idx_files(source, folder),
        "tar-shards": lambda folder: write_tar_shards(source, folder, shard_bytes),
    }
    notes, sizes = write_whole(out, write[to])
    return Conversion(
        out=out,
        format=to,
        classes=dataset.classes,
        counts=source.counts,
        files=len(sizes),
        bytes=sum(sizes),
        left_out=tuple(source.left_out),
        notes=tuple(notes),
    )


def only_split(dataset: Dataset, name: str) -> Dataset:
    """The pictures of one split, as a data set without splits.

    Raises:
        InputError: there is no such split.
    """
    if name not in dataset.splits:
        known = "striate data split gives them splits"
        if POOL not in dataset.splits:
            known = f"they have {', '.join(dataset.splits)}"
        raise InputError(f"the data have no split {name!r}", dataset.source, known)
    return replace(dataset, splits={POOL: dataset.splits[name]}, whole=dataset)


def with_splits(dataset: Dataset, fractions: tuple[float, float, float] | None, seed: int) -> Dataset:
    """Give a data set the splits that training gives it with the same settings.

    Args:
        dataset: without splits, or with train and test, whose train then gives some to val.
        fractions: of train, val and test; None takes those of training.
        seed: of the choice, ``data.seed`` of training.

    Raises:
        InputError: the data have all splits, the fractions do not apply, or pictures are too few.
    """
    settings = DataSettings()
    if "val" in dataset.splits:
        raise InputError("the data are split already", dataset.source, "striate data convert keeps splits")
    if "test" in dataset.splits and fractions:
        raise InputError(
            "the data have a test split already, so fractions of the whole do not apply",
            "--fractions",
            f"leave it out: {settings.val_fraction:.0%} of train become val",
        )
    return split_dataset(dataset, fractions or settings.fractions, seed, settings.val_fraction)


def _check_format(to: str, link: bool) -> None:
    if to not in FORMATS:
        raise InputError(f"{to!r} is no format that is written", "--to", f"one of: {', '.join(FORMATS)}")
    if link and to != "image-folder":
        raise InputError(f"{to} cannot hold links", "--link", "leave it out, or use --to image-folder")


def _check_boxes(dataset: Dataset, to: str) -> None:
    if any(split.objects is not None for split in dataset.splits.values()):
        raise InputError(
            f"{to} holds a class for each picture and no boxes",
            dataset.source,
            "leave --to out to keep their format, or name another one of boxes",
        )


def _check_classes(dataset: Dataset) -> None:
    first, *others = dataset.splits
    known = set(dataset.splits[first].targets.tolist())
    if len(known) < 2:
        raise InputError(f"{first} has pictures of one class only", dataset.source, "add another class")
    for split in others:
        if unknown := sorted(set(dataset.splits[split].targets.tolist()) - known):
            raise InputError(
                f"{split} has a class that {first} has not: {dataset.classes[unknown[0]]}",
                dataset.source,
                "add pictures of it",
            )
