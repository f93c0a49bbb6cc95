"""One folder per class, in a folder or an archive, with or without a folder per split above them.

    flowers/                    flowers/
      daisy/  1.jpg ...           train/  daisy/ ...  rose/ ...
      rose/   deep/er/2.jpg       test/   daisy/ ...  rose/ ...

- A single folder around everything is skipped. Folders inside a class belong to that class.
- Splits are "train", "val", "test", in the spellings of ``split_name``: "training_set", "dev", "val2017".
  A split's folder may lie in another of its name. Folders that hold the same classes and are not named as
  splits are refused: nothing learns to tell splits from each other.
- Hidden files and what operating systems leave behind are no part of the data.
- Text beside the pictures is left aside and named in ``Dataset.why``; every other file that is not a
  readable picture is a ``Fault``, named and left out.
- A link is followed if it names a file inside the folder; every other link is refused.
"""

import os
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import torch

from striate.data.archive import Archive, is_archive, open_archive, plain_name
from striate.data.dataset import POOL, ArchiveImages, Dataset, Fault, FolderImages, Images, Split
from striate.data.formats.folder_splits import FolderSplits, folder_splits, is_lone_split
from striate.data.images import IMAGE_SUFFIXES
from striate.data.split_names import SPLIT_FOLDERS as SPLIT_FOLDERS  # for those who read other formats
from striate.data.split_names import split_name as split_name
from striate.errors import InputError, one_line

_TEXT_SUFFIXES = frozenset({".txt", ".md", ".csv", ".json", ".xml"})
LEFT_BEHIND = frozenset({"__MACOSX", "Thumbs.db", "desktop.ini"})

MakeImages = Callable[[str, Sequence[str], int | None], Images]  # (folder inside, paths in it, channels)


@dataclass(frozen=True)
class Listing:
    """Relative paths, with "/", of all files and all folders."""

    files: tuple[str, ...]
    folders: tuple[str, ...]


@dataclass(frozen=True)
class Sample:
    """A picture's path, split and class name."""

    path: str
    split: str
    label: str


def load(path: Path, archive: Archive | None = None) -> Dataset:
    """Load class folders from a folder or an archive; every picture's header is read.

    Args:
        path: the folder or archive.
        archive: the archive, where it is already open.

    Returns:
        Splits as the folders say, or ``POOL`` alone. Classes are in natural order ("2" before "10"),
        pictures in the order of their paths. ``channels`` is 1 if all pictures are grey, else 3.

    Raises:
        InputError: nothing there, fewer than two classes, a class without pictures, pictures but no
            class folders, a split without pictures, a class outside "train" that is not in it, or a
            link that leads outside.
    """
    listing, make_images = _open(path, archive)
    root, listing = _without_wrappers(listing)
    pictures, text_files, faults = _sort_files(listing)
    layout = folder_splits(_top_folders(listing), pictures, path)
    samples, stray = _samples(pictures, layout, path)
    images = make_images(root, [sample.path for sample in samples], None)
    samples, channels, unreadable = _read_headers(samples, images)
    classes = _classes(samples, listing, layout, path)
    class_id = {label: k for k, label in enumerate(classes)}
    splits = {}
    for split in dict.fromkeys(layout.split_of.values()) or [POOL]:
        chosen = [sample for sample in samples if sample.split == split]
        if not chosen:
            raise InputError(f"there are no pictures for {split}", path, "fill its folder or remove it")
        targets = torch.tensor([class_id[sample.label] for sample in chosen], dtype=torch.int64)
        splits[split] = Split(make_images(root, [sample.path for sample in chosen], channels), targets)
    return Dataset(
        name=plain_name(path),
        source=str(path),
        format="image-folder",
        why=_why(layout.split_of, text_files),
        task="classification",
        classes=classes,
        channels=channels,
        splits=splits,
        faults=tuple(faults + stray + unreadable),
    )


def _open(path: Path, archive: Archive | None) -> tuple[Listing, MakeImages]:
    if is_archive(path):
        opened = archive or open_archive(path)
        return (
            Listing(*(tuple(sorted(filter(_is_data, names))) for names in (opened.files, opened.folders))),
            lambda root, paths, channels: ArchiveImages(opened, root, paths, channels),
        )
    return list_folder(path), lambda root, paths, channels: FolderImages(path / root, paths, channels)


def list_folder(path: Path) -> Listing:
    """The data below ``path``, sorted. Raises InputError for a link that leads out or to a folder."""
    files, folders, home = [], [], path.resolve()
    for folder, folder_names, file_names in os.walk(path, onerror=_unreadable):
        folder_names[:] = filter(_is_data, folder_names)  # the walk goes on into these
        file_names = list(filter(_is_data, file_names))
        for name in folder_names + file_names:
            entry = Path(folder, name)
            if entry.is_symlink() and (name in folder_names or not _target(entry).is_relative_to(home)):
                raise InputError(
                    "the folder holds a link to a folder or to a place outside",
                    entry,
                    "copy the files there, or remove the link",
                )
        inside = Path(folder).relative_to(path).as_posix()
        prefix = "" if inside == "." else f"{inside}/"
        files += [prefix + name for name in file_names]
        folders += [prefix + name for name in folder_names]
    return Listing(tuple(sorted(files)), tuple(sorted(folders)))


def _target(link: Path) -> Path:
    return Path(os.path.realpath(link))  # unlike Path.resolve, it bears links that lead to themselves


def _unreadable(error: OSError) -> None:
    raise InputError(
        f"the folder cannot be read: {error.strerror}", str(error.filename), "check its permissions"
    ) from error


def _is_data(path: str) -> bool:
    """Whether a path is neither hidden nor left behind by an operating system."""
    return not any(part.startswith(".") or part in LEFT_BEHIND for part in path.split("/"))


def _without_wrappers(listing: Listing) -> tuple[str, Listing]:
    """The folder below which the data begin, and the listing from there on."""
    root: list[str] = []
    while True:
        paths = listing.files + listing.folders
        tops = {path.split("/")[0] for path in paths if "/" in path or path in listing.folders}
        top = min(tops, default="")
        below = [path.split("/", 1)[1] for path in paths if path.startswith(top + "/")]
        holds_folders = any("/" in path or f"{top}/{path}" in listing.folders for path in below)
        beside = [path for path in listing.files if "/" not in path] + [p for p in below if "/" not in p]
        pictures = any(_suffix(path) in IMAGE_SUFFIXES for path in beside)
        if len(tops) != 1 or not holds_folders or pictures or is_lone_split(top):
            return "/".join(root), listing
        root.append(top)
        listing = Listing(
            tuple(path.removeprefix(top + "/") for path in listing.files if "/" in path),
            tuple(path.removeprefix(top + "/") for path in listing.folders if "/" in path),
        )


def _top_folders(listing: Listing) -> list[str]:
    deep = [name for name in listing.files if "/" in name]
    return sorted({name.split("/")[0] for name in (*deep, *listing.folders)})


def _sort_files(listing: Listing) -> tuple[list[str], list[str], list[Fault]]:
    """Pictures and text files by their suffix, and a fault for everything else."""
    pictures, text_files, faults = [], [], []
    for path in listing.files:
        if _suffix(path) in IMAGE_SUFFIXES:
            pictures.append(path)
        elif _suffix(path) in _TEXT_SUFFIXES:
            text_files.append(path)
        else:
            faults.append(Fault(one_line(path), f"{_suffix(path) or 'no suffix'} is no suffix of a picture"))
    return pictures, text_files, faults


def _samples(pictures: list[str], layout: FolderSplits, path: Path) -> tuple[list[Sample], list[Fault]]:
    """The pictures that lie in a class folder, and a fault for each of the others."""
    samples, stray = [], []
    for picture in pictures:
        split, folders = layout.place(picture.split("/")[:-1])
        if folders:
            samples.append(Sample(picture, split, folders[0]))
        else:
            stray.append(Fault(one_line(picture), "the picture lies in no class folder"))
    if not samples:
        if stray:
            raise InputError(
                "there are pictures, but no class folders", path, "put the pictures of each class in a folder"
            )
        raise InputError("there are no pictures", path, "give a folder or archive with a folder per class")
    return samples, stray


def _read_headers(samples: list[Sample], images: Images) -> tuple[list[Sample], int, list[Fault]]:
    """The samples whose header can be read, the channels of them all, and a fault for each other."""
    readable, faults, channels = [], [], 1
    for i, sample in enumerate(samples):
        try:
            channels = max(channels, images.facts(i).channels)
            readable.append(sample)
        except InputError as error:
            faults.append(Fault(one_line(sample.path), error.what))
    return readable, channels, faults


def _classes(samples: list[Sample], listing: Listing, layout: FolderSplits, path: Path) -> tuple[str, ...]:
    """The class names in natural order, after checking that there are pictures of each."""
    held = {(sample.split, sample.label) for sample in samples}
    parts = [name.split("/") for name in listing.folders] + [name.split("/")[:-1] for name in listing.files]
    for folders in sorted(parts):
        split, below = layout.place(folders)
        if below and (split, below[0]) not in held:
            folder = "/".join(folders[: len(folders) - len(below) + 1])
            raise InputError(
                f"the class folder {folder} has no readable picture", path, "fill it or remove it"
            )
    first = "train" if layout.split_of else POOL
    classes = sorted({sample.label for sample in samples if sample.split == first}, key=natural_order)
    for name in classes:
        if name != one_line(name):
            raise InputError(f"a class folder's name is not readable text: {name}", path, "rename it")
    unknown = sorted({sample.label for sample in samples} - set(classes), key=natural_order)
    if unknown:
        where = next(sample.split for sample in samples if sample.label == unknown[0])
        raise InputError(
            f"{where} has a class that train has not: {', '.join(unknown)}",
            path,
            "add pictures of it to train, or remove it",
        )
    if len(classes) < 2:
        raise InputError(
            f"there is only one class, {classes[0]}" if classes else "train has no classes",
            path,
            "a classifier needs a folder for each of two or more classes",
        )
    return tuple(classes)


def natural_order(name: str) -> tuple[list[str | int], str]:
    """A sorting key that puts "class 2" before "class 10"."""
    pieces = re.split(r"([0-9]+)", name)
    return [int(piece) if i % 2 else piece for i, piece in enumerate(pieces)], name


def _why(split_of: dict[str, str], text_files: list[str]) -> str:
    why = "it has a folder per class"
    if split_of:
        why += f" in a folder per split ({', '.join(split_of)})"
    if text_files:
        shown = ", ".join(text_files[:3]) + (", ..." if len(text_files) > 3 else "")
        why += f"; text files left aside: {len(text_files)} ({shown})"
    return why


def _suffix(path: str) -> str:
    return PurePosixPath(path).suffix.lower()
