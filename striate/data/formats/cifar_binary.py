"""CIFAR-10's binary version (Krizhevsky 2009): six files of 10,000 records, in a folder or .tar.gz.

record: class id (1 byte) │ 1,024 red │ 1,024 green │ 1,024 blue values, row by row, 32x32
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from striate.data.archive import Archive, is_archive, open_archive
from striate.data.dataset import ArrayImages, Dataset, Split
from striate.errors import InputError

CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
FIRST_FILE = "data_batch_1.bin"

_RECORD = 1 + 3 * 32 * 32
_MAX_RECORDS = 100_000  # per file; the published ones have 10,000
_FILES = {"train": tuple(f"data_batch_{i}.bin" for i in range(1, 6)), "test": ("test_batch.bin",)}


def is_cifar_binary(files: Sequence[str]) -> bool:
    """Whether the first of CIFAR-10's binary files is among these file names."""
    return any(Path(name).name == FIRST_FILE for name in files)


def load(path: Path, archive: Archive | None = None) -> Dataset:
    """Load CIFAR-10 from the folder of its .bin files, a folder that holds that, or an archive
    (``archive``, where it is already open).

    Returns:
        Splits "train" and "test" of 32x32 RGB pictures.

    Raises:
        InputError: a file is missing, has another length than whole records, or a class id above 9.
    """
    if is_archive(path):
        archive = archive or open_archive(path)
    names = archive.files if archive else [str(file.relative_to(path)) for file in path.rglob("*.bin")]
    places = {Path(name).name: name for name in names}
    splits = {}
    for split, files in _FILES.items():
        records = []
        for file in files:
            if file not in places:
                raise InputError(f"{file} is missing", path, "put all six .bin files there")
            content = archive.read(places[file]) if archive else _content(path / places[file])
            records.append(_parse(content, f"{path}/{places[file]}"))
        values = torch.cat(records)
        images = values[:, 1:].reshape(-1, 3, 32, 32).contiguous()
        splits[split] = Split(ArrayImages(images, split), values[:, 0].long())
    return Dataset(
        name="cifar10",
        source=str(path),
        format="cifar-binary",
        why="it holds the files of CIFAR-10's binary version (data_batch_1.bin, ...)",
        task="classification",
        classes=CLASSES,
        channels=3,
        splits=splits,
    )


def _content(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(_MAX_RECORDS * _RECORD + 1)
    except OSError as error:
        raise InputError(f"the file cannot be read: {error.strerror}", path, "check the path") from error


def _parse(content: bytes, place: str) -> torch.Tensor:
    """Records uint8 (n, 3073)."""
    if not content or len(content) % _RECORD:
        raise InputError(f"the file is not whole records of {_RECORD:,} bytes", place, "get the file again")
    records = torch.from_numpy(np.frombuffer(content, dtype=np.uint8).reshape(-1, _RECORD).copy())
    if int(records[:, 0].max()) >= len(CLASSES):
        raise InputError("the file has class ids above 9", place, "get the file again")
    return records
