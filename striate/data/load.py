"""From a name, a folder or an archive to a data set: which format it is, and where named data lie."""

import difflib
import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import NamedTuple

from striate.data import builtin
from striate.data.archive import ARCHIVE_SUFFIXES, Archive, TarArchive, is_archive, open_archive
from striate.data.catalog import CATALOG, CatalogEntry
from striate.data.dataset import Dataset
from striate.data.formats import boxes, cifar_binary, idx, image_folder, tar_shards
from striate.data.formats.annotations import READERS as BOX_READERS
from striate.data.formats.image_folder import NoClassFoldersError
from striate.data.images import IMAGE_SUFFIXES
from striate.data.label_files import LabelFiles
from striate.data.shards.index import INDEX_NAME, is_address
from striate.data.unread_labels import explained, refuse_unread_labels
from striate.download import cache_folder, fetch, is_offline
from striate.errors import InputError, counted, one_line

_BUILT_IN: dict[str, Callable[[], Dataset]] = {
    "digits": builtin.load_digits,
    "photographs": builtin.load_photographs,
    "scenes": builtin.load_scenes,
    "scenes-one": builtin.load_single_scenes,
    "scenes-windows": builtin.load_scene_windows,
}
_READERS: dict[str, Callable[..., Dataset]] = {
    "idx": idx.load,
    "cifar-binary": cifar_binary.load,
    "image-folder": image_folder.load,
    "tar-shards": tar_shards.load,
}
FORMATS = (*_READERS, *BOX_READERS)


def load_data(source: str | Path, format: str | None = None) -> Dataset:
    """Load a data set.

    Args:
        source: a name of the catalogue, a folder, an archive (.zip, .tar, .tar.gz, .tar.bz2, .tar.xz), or an
            index of tar shards (shards.json) or its http(s) address. A plain name of the catalogue means the
            catalogue, even where a folder has this name; "./mnist", or any ``Path``, means the folder.
        format: how it is to be read, one of ``FORMATS``; None: as what is there tells.

    A catalogue name is looked for in the folder that ``STRIATE_DATA`` names, then in the cache
    (``STRIATE_CACHE``, else ~/.cache/striate), then downloaded there unless ``STRIATE_OFFLINE`` is 1.

    Raises:
        InputError: no such data, a format that is unknown or cannot be told, or faults that make it unusable.
    """
    _check_format(source, format)
    if isinstance(source, str) and source in CATALOG:
        try:
            return _load_named(source)
        except InputError as error:
            if not Path(source).exists():
                raise
            mend = f"{error.what_to_do}; the {source} that is here is meant by ./{source}"
            raise InputError(error.what, error.where, mend) from error
    if isinstance(source, str) and is_address(source):
        return tar_shards.load_remote(source)
    path = Path(source)
    is_folder, exists = _look(path)
    if not exists:
        raise _unknown(str(source))
    if format:
        return _load_as(path, format)
    if is_folder:
        return _load_folder(path)
    if path.name == INDEX_NAME:
        return tar_shards.load(path)
    if is_archive(path):
        archive = open_archive(path)
        if isinstance(archive, TarArchive) and tar_shards.is_shard(archive.files):
            return tar_shards.load(path)
        return _load_archive(path, archive)
    if files := _labels_at(path):
        return boxes.load(path, files)
    if path.suffix.lower() in IMAGE_SUFFIXES:
        raise InputError("one picture is no data set", path, "give a folder with a folder per class")
    raise InputError(
        f"{path.suffix or 'this'} is no kind of file that holds a data set",
        path,
        f"give a folder, or an archive ({', '.join(ARCHIVE_SUFFIXES)})",
    )


def _load_archive(path: Path, archive: Archive) -> Dataset:
    """The data of an archive, with a remark where names in it may be read wrongly."""
    format_name = _format_of_files(archive.files)
    try:
        if format_name == "image-folder":
            dataset = _load_pictures(path, archive)
        else:
            dataset = _READERS[format_name](path, archive)
    except InputError as error:
        if not archive.doubtful:
            raise
        raise InputError(f"{error.what}; {_doubts(archive)}", error.where, error.what_to_do) from None
    if not archive.doubtful:
        return dataset
    return replace(dataset, remarks=(*dataset.remarks, f"{archive.path}: {_doubts(archive)}"))


def _doubts(archive: Archive) -> str:
    """That names in an archive may be read wrongly, and what to do where they are."""
    count = len(archive.doubtful)
    names = f"{counted(count, 'name')} {'is' if count == 1 else 'are'}"
    return (
        f"{names} in an unknown old encoding, as {one_line(archive.doubtful[0])}; "
        "if labels name them otherwise, pack it anew with names in UTF-8"
    )


class LabelSource(NamedTuple):
    """Where labelled boxes are: ``path`` is the folder, archive or label file; ``format`` is "" where the
    files have to tell it."""

    path: Path
    files: LabelFiles
    format: str = ""


def find_labels(source: str | Path, format: str | None = None) -> LabelSource | None:
    """The label files of what ``load_data`` would read as pictures with boxes, whatever is wrong with them;
    None for all other data, for those made in memory, and where there is nothing.

    Raises:
        InputError: an archive or folder cannot be read, the format is unknown, or data cannot be downloaded.
    """
    _check_format(source, format)
    if isinstance(source, str) and source in CATALOG:
        entry = CATALOG[source]
        if source in _BUILT_IN or entry.format not in BOX_READERS:
            return None
        path = _find(source, entry)
        return LabelSource(path, LabelFiles.open(path), entry.format)
    path = Path(source)
    if isinstance(source, str) and is_address(source):
        return None
    is_folder, exists = _look(path)
    if not exists or format in _READERS:
        return None
    if format:
        return LabelSource(path, LabelFiles.open(path), format)
    if is_folder:
        files = _labels_at(path, _format_of_folder(path))
    elif is_archive(path):
        archive = open_archive(path)
        is_shard = isinstance(archive, TarArchive) and tar_shards.is_shard(archive.files)
        files = None if is_shard else _labels_at(path, _format_of_files(archive.files))
    else:
        files = _labels_at(path)
    return LabelSource(path, files) if files else None


def _load_named(name: str) -> Dataset:
    if name in _BUILT_IN:
        return _BUILT_IN[name]()
    entry = CATALOG[name]
    path = _find(name, entry)
    read = _READERS.get(entry.format) or partial(boxes.load, name=entry.format)
    dataset = read(path)
    # IDX files hold no names; the names of other formats are those of the data that were found.
    named = entry.format == "idx" and len(dataset.classes) == len(entry.classes)
    return replace(
        dataset,
        name=name,
        source=name,
        why=f"{name} is a name of the catalogue, found at {path}; {dataset.why}",
        classes=entry.classes if named else dataset.classes,
    )


def _find(name: str, entry: CatalogEntry) -> Path:
    """The folder or archive that holds a named data set, after downloading it if need be."""
    single = entry.files[0].name if len(entry.files) == 1 else ""
    if own := os.environ.get("STRIATE_DATA"):
        for candidate in filter(None, (f"{name}/{single}", name, f"{name}.zip", single)):
            if (Path(own) / candidate).exists():
                return Path(own) / candidate
    folder = cache_folder() / "datasets" / name
    fetch(entry.files, folder, offline=is_offline())
    return folder / single


def _check_format(source: str | Path, format: str | None) -> None:
    """Raise InputError for a format that is unknown, or other than that of data of the catalogue."""
    if format and format not in FORMATS:
        raise InputError(f"there is no format called {format!r}", "--from", f"one of {', '.join(FORMATS)}")
    known = format
    if isinstance(source, str) and source in CATALOG:
        known = CATALOG[source].format
    elif isinstance(source, str) and is_address(source):
        known = "tar-shards"
    if format and format != known:
        raise InputError(f"{source} is read as {known}, not as {format}", "--from", "leave it out")


def _refuse_pipes(paths: Sequence[Path]) -> None:
    """Raise InputError for what is there but neither a folder nor a file: reading it would wait for ever."""
    for path in paths:
        if path.exists() and not (path.is_dir() or path.is_file()):
            raise InputError("this is no file, but a pipe or a device", path, "remove it")


def _look(path: Path) -> tuple[bool, bool]:
    """Whether this is a folder, and whether there is anything: a folder or a file, no pipe and no device."""
    try:
        _refuse_pipes([path])
        return path.is_dir(), path.exists()
    except OSError as error:  # a name too long, a folder above that is closed
        raise InputError(f"the path cannot be read: {error.strerror}", path, "check the path") from error


def _load_folder(path: Path) -> Dataset:
    format_name = _format_of_folder(path)
    if format_name == "image-folder":
        return _load_pictures(path)
    _refuse_pipes([*path.iterdir(), *path.glob("*/*")])
    return _READERS[format_name](path)


def _load_as(path: Path, format: str) -> Dataset:
    if format in BOX_READERS:
        return boxes.load(path, name=format)
    if format == "image-folder":
        return image_folder.load(path, doubtful=False)
    return _READERS[format](path)


def _load_pictures(path: Path, archive: Archive | None = None) -> Dataset:
    """Pictures with boxes, if there are labels that are read, else class folders."""
    files = LabelFiles.open(path)
    if boxes.recognizes(files):
        return boxes.load(path, files)
    refuse_unread_labels(files)
    try:
        return image_folder.load(path, archive)
    except NoClassFoldersError as error:
        raise explained(error, files) from None


def _labels_at(path: Path, format_name: str = "") -> LabelFiles | None:
    """The files of pictures with boxes: of a folder or archive that would else be taken for class folders, or
    beside a label file; None where there are no boxes."""
    if format_name not in ("", "image-folder"):
        return None
    if not format_name and (path.name == INDEX_NAME or path.suffix.lower() not in boxes.LABEL_SUFFIXES):
        return None
    files = LabelFiles.open(path)
    return files if boxes.recognizes(files) else None


def _format_of_folder(path: Path) -> str:
    try:
        if tar_shards.is_tar_shards(path):
            return "tar-shards"
        files = [file.name for file in path.iterdir()]
    except OSError as error:
        raise InputError(
            f"the folder cannot be read: {error.strerror}", path, "check its permissions"
        ) from error
    return _format_of_files([*files, *map(str, path.glob(f"*/{cifar_binary.FIRST_FILE}"))])


def _format_of_files(files: Sequence[str]) -> str:
    """Which of ``_READERS`` takes a folder or archive with these files."""
    if idx.is_idx(files):
        return "idx"
    return "cifar-binary" if cifar_binary.is_cifar_binary(files) else "image-folder"


def _unknown(source: str) -> InputError:
    close = difflib.get_close_matches(source.lower(), CATALOG, n=3)
    advice = f"did you mean {' or '.join(close)}? " if close else ""
    return InputError(
        "there is no such folder, archive or data set",
        source,
        f"{advice}the catalogue has {', '.join(CATALOG)}",
    )
