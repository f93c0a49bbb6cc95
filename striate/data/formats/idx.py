"""IDX, the format of MNIST (LeCun, Cortes and Burges 1998): one file of pictures, one of labels.

A file is a header of big-endian numbers, then the values:

    0, 0, type (8 = unsigned byte), d │ d sizes of 4 bytes │ values, the last dimension fastest

A data set is four such files, plain or gzip-compressed, "-" or "." before "idx", in a folder or archive:

    train-images-idx3-ubyte  train-labels-idx1-ubyte  t10k-images-idx3-ubyte  t10k-labels-idx1-ubyte

The names of the classes may lie beside them in classes.txt, one per line.
"""

import gzip
import io
import math
import re
import struct
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO

import numpy as np
import torch
from numpy.typing import NDArray

from striate.data.archive import Archive, is_archive, open_archive, plain_name
from striate.data.class_names import CLASSES_FILE, parse_class_names
from striate.data.dataset import ArrayImages, Dataset, Split
from striate.errors import InputError, counted

MAX_VALUES = 2**31  # 2 GiB; also what a compressed file may unpack to

_UNSIGNED_BYTE = 8
_GZIP_MAGIC = b"\x1f\x8b"
PARTS = {"train": "train", "test": "t10k"}  # our name of the split: the files' name
_FILE_NAME = re.compile(r"(train|t10k)-(images[-.]idx3|labels[-.]idx1)-ubyte(\.gz)?")


def read_idx(path: Path) -> NDArray[np.uint8]:
    """Read an IDX file of unsigned bytes, plain or gzip-compressed.

    Returns:
        uint8, of the shape that the header states; read-only.

    Raises:
        InputError: missing or damaged file, another type of values, or a length other than stated.
    """
    try:
        with path.open("rb") as file:
            return _read(file, str(path))
    except OSError as error:
        raise InputError(f"the file cannot be read: {error.strerror}", path, "check the path") from error


def write_idx(path: Path, values: NDArray[np.uint8]) -> None:
    """Write uint8 values of any shape as an IDX file, gzip-compressed if ``path`` ends in ".gz"."""
    header = struct.pack(f">HBB{values.ndim}I", 0, _UNSIGNED_BYTE, values.ndim, *values.shape)
    content = header + values.tobytes()
    path.write_bytes(gzip.compress(content, mtime=0) if path.suffix == ".gz" else content)


def is_idx(files: Sequence[str]) -> bool:
    """Whether one of these file names is one of MNIST's."""
    return any(_FILE_NAME.fullmatch(Path(name).name) for name in files)


def load(path: Path, archive: Archive | None = None) -> Dataset:
    """Load the four files of ``path``, a folder or an archive (``archive``, where it is already open).

    Returns:
        Splits "train" and "test"; the classes are the numbers from 0 to the largest label, or named by
        classes.txt.

    Raises:
        InputError: a file is missing, twice there or damaged, numbers of pictures and labels differ, the
            test labels have a class that the training labels have not, or classes.txt names too few.
    """
    if is_archive(path):
        archive = archive or open_archive(path)
    names = list(archive.files) if archive else sorted(entry.name for entry in path.iterdir())
    found = _find_files(names, path)
    splits = {split: _load_split(split, found, archive, path) for split in PARTS}
    unknown = set(splits["test"].targets.tolist()) - set(splits["train"].targets.tolist())
    if unknown:
        raise InputError(
            f"the test labels have classes that the training labels have not: {sorted(unknown)}",
            path,
            "check that the files belong together",
        )
    return Dataset(
        name=plain_name(path),
        source=str(path),
        format="idx",
        why=f"it holds IDX files with MNIST's names ({Path(found['train', 'images']).name}, ...)",
        task="classification",
        classes=_classes(names, int(splits["train"].targets.max()) + 1, archive, path),
        channels=1,
        splits=splits,
    )


def _classes(names: list[str], count: int, archive: Archive | None, path: Path) -> tuple[str, ...]:
    """The class names of ``CLASSES_FILE`` if it is there, else the numbers below ``count``."""
    file = next((name for name in names if Path(name).name == CLASSES_FILE), None)
    if file is None:
        return tuple(str(k) for k in range(count))
    content = archive.read(file) if archive else (path / file).read_bytes()
    classes = parse_class_names(content, f"{path}/{file}")
    if len(classes) < count:
        raise InputError(
            f"there are labels up to {count - 1}, and {counted(len(classes), 'name')} of classes",
            f"{path}/{file}",
            "name them all",
        )
    return classes


def _find_files(names: list[str], path: Path) -> dict[tuple[str, str], str]:
    """(split, "images" or "labels") -> file name."""
    found: dict[tuple[str, str], str] = {}
    for name in names:
        match = _FILE_NAME.fullmatch(Path(name).name)
        if match is None:
            continue
        key = ("train" if match[1] == "train" else "test", match[2][:6])
        if key in found:
            raise InputError(f"{found[key]} and {name} are the same part", path, "keep one of them")
        found[key] = name
    for split, part in PARTS.items():
        for kind, dimensions in (("images", 3), ("labels", 1)):
            if (split, kind) not in found:
                raise InputError(
                    f"{part}-{kind}-idx{dimensions}-ubyte is missing", path, "put all four IDX files there"
                )
    return found


def _load_split(split: str, found: dict[tuple[str, str], str], archive: Archive | None, path: Path) -> Split:
    arrays = {}
    for kind in ("images", "labels"):
        name = found[split, kind]
        content = (
            _read(io.BytesIO(archive.read(name)), f"{path}/{name}") if archive else read_idx(path / name)
        )
        arrays[kind] = torch.from_numpy(content.copy())  # torch wants memory that it may write
    images, labels = arrays["images"], arrays["labels"]
    if images.ndim != 3 or labels.ndim != 1 or 0 in images.shape or len(images) != len(labels):
        raise InputError(
            f"pictures {tuple(images.shape)} and labels {tuple(labels.shape)} do not fit together",
            path / found[split, "images"],
            "check that both files are of the same data set",
        )
    return Split(ArrayImages(images.unsqueeze(1), split), labels.long())


def _read(file: BinaryIO, place: str) -> NDArray[np.uint8]:
    compressed = file.read(2) == _GZIP_MAGIC
    file.seek(0)
    try:
        return _parse(gzip.GzipFile(fileobj=file) if compressed else file, place)
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise _wrong(f"the compressed file is damaged: {error}", place) from error


def _parse(file: BinaryIO | gzip.GzipFile, place: str) -> NDArray[np.uint8]:
    header = file.read(4)
    if len(header) < 4 or header[:2] != b"\0\0" or header[3] == 0:
        raise _wrong("this is not an IDX file: its header is wrong", place)
    if header[2] != _UNSIGNED_BYTE:
        raise _wrong(f"the values are of IDX type {header[2]:#04x}, not unsigned bytes (0x08)", place)
    dimensions = file.read(4 * header[3])
    if len(dimensions) < 4 * header[3]:
        raise _wrong("the file ends within its header", place)
    shape = struct.unpack(f">{header[3]}I", dimensions)
    count = math.prod(shape)
    if count > MAX_VALUES:
        raise _wrong(f"the header states {count:,} values, more than {MAX_VALUES:,}", place)
    values = file.read(count)
    if len(values) < count or file.read(1):
        fault = "fewer" if len(values) < count else "more"
        raise _wrong(f"the file holds {fault} values than the {count:,} that its header states", place)
    return np.frombuffer(values, dtype=np.uint8).reshape(shape)


def _wrong(what: str, place: str) -> InputError:
    return InputError(what, place, "get the file again")
