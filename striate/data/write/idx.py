"""Writes the four IDX files of MNIST, and classes.txt where the classes are more than their numbers."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from striate.data.class_names import CLASSES_FILE, class_names_text
from striate.data.dataset import Images
from striate.data.formats.idx import MAX_VALUES, PARTS, write_idx
from striate.data.write.pictures import Source
from striate.errors import InputError

_OTHERS = "--to image-folder or --to tar-shards"


def write_idx_files(source: Source, folder: Path) -> list[str]:
    """Write train-images-idx3-ubyte and the other three files, uncompressed.

    Args:
        source: grey pictures of one size, in the splits train and test.
        folder: an empty folder.

    Returns:
        What a person should know of the result: nothing.

    Raises:
        InputError: other pictures, other splits, or more than 256 classes.
        OSError: the disk is full, or refuses.
    """
    dataset = source.dataset
    if set(dataset.splits) != set(PARTS):
        raise InputError(
            f"IDX files are for train and test, the data have {', '.join(dataset.splits)}",
            dataset.source,
            "striate data split DATA OUT --to idx --fractions 0.85,0,0.15",
        )
    if dataset.channels != 1:
        raise InputError("IDX files hold grey pictures, these have colour", dataset.source, _OTHERS)
    if len(dataset.classes) > 256:
        raise InputError("IDX files hold at most 256 classes", dataset.source, _OTHERS)
    facts = dataset.splits["train"].images.facts(0)
    size = facts.height, facts.width
    most = 0
    for split, part in PARTS.items():
        images, labels = _read(source, split, size)
        write_idx(folder / f"{part}-images-idx3-ubyte", images)
        write_idx(folder / f"{part}-labels-idx1-ubyte", labels)
        most = max(most, int(labels.max(initial=0)))
    if dataset.classes != tuple(str(k) for k in range(most + 1)):
        (folder / CLASSES_FILE).write_text(class_names_text(dataset.classes), encoding="utf-8", newline="\n")
    return []


def _read(source: Source, split: str, size: tuple[int, int]) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Pictures uint8 (n, H, W) and labels uint8 (n,)."""
    samples = source.dataset.splits[split]
    if len(samples) * size[0] * size[1] > MAX_VALUES:
        raise InputError("the pictures are too many for an IDX file", source.dataset.source, _OTHERS)
    values = np.empty((len(samples), *size), dtype=np.uint8)
    kept: list[int] = []
    for index, pixels in source.each(split, _read_pixels):
        if pixels.shape[1:] != size:
            raise InputError(
                f"IDX files hold pictures of one size: this has {pixels.shape[2]}x{pixels.shape[1]} pixels, "
                f"the first {size[1]}x{size[0]}",
                samples.images.name(index),
                f"make all of one size, or use {_OTHERS}",
            )
        values[len(kept)] = pixels[0].numpy()
        kept.append(index)
    return values[: len(kept)], samples.targets[kept].numpy().astype(np.uint8)


def _read_pixels(images: Images, index: int) -> Tensor:
    return images.read(index)
