"""One folder per class, in a folder or an archive, with or without a folder per split above them.

    flowers/                    flowers/
      daisy/  1.jpg ...           train/  daisy/ ...  rose/ ...
      rose/   deep/er/2.jpg       test/   daisy/ ...  rose/ ...

- A single folder around everything is skipped. Folders inside a class belong to that class.
- Splits are "train", "val", "test", in the spellings of ``split_name``: "training_set", "dev", "val2017".
  A split's folder may lie in another of its name. Folders that hold the same classes and are not named as
  splits are refused: nothing learns to tell splits from each other.
- Below train, a split whose pictures lie in no class folders has no labels: it is left aside with a remark.
- Masks beside their pictures are never pictures to learn from: they are left aside with a remark.
- Names are compared, and become class names, as composed Unicode (NFC), as which a Mac's are not written.
- Hidden files and what operating systems leave behind are no part of the data.
- Text beside the pictures is left aside and named in ``Dataset.why``; every other file that is not a
  readable picture is a ``Fault``, named and left out.
- Links in a folder are followed, in an archive refused.
"""

import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import torch

from striate.data.archive import Archive, is_archive, open_archive, plain_name
from striate.data.dataset import POOL, ArchiveImages, Dataset, Fault, FolderImages, Images, Split
from striate.data.formats.folder_splits import FolderSplits, folder_splits, is_lone_split
from striate.data.formats.masks import Masks, find_masks
from striate.data.images import IMAGE_SUFFIXES
from striate.data.listing import LEFT_BEHIND as LEFT_BEHIND  # these for readers of other formats
from striate.data.listing import Listing, list_archive, list_folder
from striate.data.split_names import SPLIT_FOLDERS as SPLIT_FOLDERS
from striate.data.split_names import split_name
from striate.errors import InputError, counted, one_line

_TEXT_SUFFIXES = frozenset({".txt", ".md", ".csv", ".json", ".xml"})
_UNLABELLED = frozenset({"unknown", "unlabeled", "unlabelled", "images", "image", "imgs", "all"})
_STRAY = "the picture lies in no class folder"

MakeImages = Callable[[str, Sequence[str], int | None], Images]  # (folder inside, paths in it, channels)


class NoClassFoldersError(InputError):
    """There are pictures, but not in folders of two or more classes: they may have labels of another kind.

    Attributes:
        folder: the one folder that is at fault, where others hold classes; "" where it is all of them.
    """

    folder = ""


@dataclass(frozen=True)
class Sample:
    """A picture's path, split and class name."""

    path: str
    split: str
    label: str


def load(path: Path, archive: Archive | None = None, doubtful: bool = True) -> Dataset:
    """Load class folders from a folder or an archive; every picture's header is read.

    Args:
        path: the folder or archive.
        archive: the archive, where it is already open.
        doubtful: whether folders that hold the same folders are refused; False where a person said that the
            uppermost ones are classes.

    Returns:
        Splits as the folders say, or ``POOL`` alone. Classes are in natural order ("2" before "10"),
        pictures in the order of their paths. ``channels`` is 1 if all pictures are grey, else 3.

    Raises:
        NoClassFoldersError: pictures, but fewer than two classes or a folder of none.
        InputError: nothing there, a class without pictures, folders that may be splits or classes, a split
            without pictures, or a class outside "train" that is not in it.
    """
    listing, make_images = _open(path, archive)
    masks = find_masks(_pictures(listing))
    root, listing = _without_wrappers(_left_over(listing, masks.folders, masks.paths))
    layout = folder_splits(_top_folders(listing), _pictures(listing), path, doubtful)
    unlabelled = _unlabelled_splits(_pictures(listing), layout)
    layout, listing = layout.without(unlabelled), _left_over(listing, tuple(unlabelled))
    pictures, text_files, faults = _sort_files(listing)
    samples, stray = _samples(pictures, layout)
    if not samples:
        raise _nothing_to_learn(masks, stray or faults, path)
    images = make_images(root, [sample.path for sample in samples], None)
    samples, channels, unreadable = _read_headers(samples, images)
    _check_class_folders(samples, listing, layout, [*faults, *unreadable], path)
    classes = _classes(samples, layout, masks, path)
    class_id = {label: k for k, label in enumerate(classes)}
    splits = {}
    for split, chosen in _by_split(samples, layout, path).items():
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
        faults=(*faults, *stray, *unreadable),
        remarks=(*masks.remarks(), *_remarks(unlabelled, path, root)),
    )


def _open(path: Path, archive: Archive | None) -> tuple[Listing, MakeImages]:
    if is_archive(path):
        opened = archive or open_archive(path)
        return (
            list_archive(opened),
            lambda root, paths, channels: ArchiveImages(opened, root, paths, channels),
        )
    return list_folder(path), lambda root, paths, channels: FolderImages(path / root, paths, channels)


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
            tuple((path.removeprefix(top + "/"), what) for path, what in listing.faults if "/" in path),
        )


def _left_over(listing: Listing, folders: tuple[str, ...], paths: frozenset[str] = frozenset()) -> Listing:
    """The listing without these folders, what is in them, and these files."""
    if not folders and not paths:
        return listing
    below = tuple(f"{folder}/" for folder in folders)
    return Listing(
        tuple(path for path in listing.files if path not in paths and not path.startswith(below)),
        tuple(path for path in listing.folders if path not in folders and not path.startswith(below)),
        tuple(fault for fault in listing.faults if not fault[0].startswith(below)),
    )


def _unlabelled_splits(pictures: list[str], layout: FolderSplits) -> dict[str, int]:
    """The folders of splits, but for train, whose pictures lie in no class folder, or in one that says so,
    and how many these are."""
    held: dict[str, Counter[str]] = {top: Counter() for top in layout.split_of}
    for picture in pictures:
        if layout.split_of and "/" in picture:
            _, folders = layout.place(picture.split("/")[:-1])
            held[picture.split("/")[0]][folders[0] if folders else ""] += 1
    learned = {folder for top in held if layout.split_of[top] == "train" for folder in held[top]} - {""}
    return {
        top: sum(folders.values())
        for top, folders in held.items()
        if layout.split_of[top] != "train" and learned and len(folders) == 1 and not folders.keys() & learned
        and _says_nothing(min(folders), layout.split_of[top])
    }  # fmt: skip


def _says_nothing(folder: str, split: str) -> bool:
    """Whether a folder inside a split names no class."""
    return not folder or folder.casefold() in _UNLABELLED or split_name(folder) == split


def _remarks(unlabelled: dict[str, int], path: Path, root: str) -> list[str]:
    """What a person should know of splits that are left aside."""
    where = f"the unpacked {path.name}" if is_archive(path) else str(path)
    return [
        one_line(
            f"{top}: {counted(count, 'picture')} without class folders left aside; "
            f"`striate predict RUN {'/'.join(filter(None, (where, root, top)))}` predicts them"
        )
        for top, count in unlabelled.items()
    ]


def _pictures(listing: Listing) -> list[str]:
    return [path for path in listing.files if _suffix(path) in IMAGE_SUFFIXES]


def _top_folders(listing: Listing) -> list[str]:
    deep = [name for name in listing.files if "/" in name]
    return sorted({name.split("/")[0] for name in (*deep, *listing.folders)})


def _sort_files(listing: Listing) -> tuple[list[str], list[str], list[Fault]]:
    """Pictures and text files by their suffix, and a fault for everything else."""
    pictures, text_files = [], []
    faults = [Fault(one_line(path), what) for path, what in listing.faults]
    for path in listing.files:
        if _suffix(path) in IMAGE_SUFFIXES:
            pictures.append(path)
        elif _suffix(path) in _TEXT_SUFFIXES:
            text_files.append(path)
        else:
            faults.append(Fault(one_line(path), f"{_suffix(path) or 'no suffix'} is no suffix of a picture"))
    return pictures, text_files, faults


def _samples(pictures: list[str], layout: FolderSplits) -> tuple[list[Sample], list[Fault]]:
    """The pictures that lie in a class folder, and a fault for each of the others."""
    samples, stray = [], []
    for picture in pictures:
        split, folders = layout.place(picture.split("/")[:-1])
        if folders:
            samples.append(Sample(picture, split, composed(folders[0])))
        else:
            stray.append(Fault(one_line(picture), _STRAY))
    return samples, stray


def composed(name: str) -> str:
    """A name as one sequence of characters, however its accents are written."""
    return unicodedata.normalize("NFC", name)


def _nothing_to_learn(masks: Masks, faults: list[Fault], path: Path) -> InputError:
    if masks.paths:
        return masks.refusal(path)
    if faults and faults[0].what == _STRAY:
        return NoClassFoldersError(
            "there are pictures, but no class folders", path, "put the pictures of each class in a folder"
        )
    return NoClassFoldersError(
        f"there are no pictures{_reason(faults)}", path, "give a folder or archive with a folder per class"
    )


def _reason(faults: list[Fault], folder: str = "") -> str:
    """The first fault in a folder, for the message that nothing is left."""
    own = [fault for fault in faults if fault.name.startswith(folder)]
    return f" ({own[0].name}: {own[0].what})" if own else ""


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


def _check_class_folders(
    samples: list[Sample], listing: Listing, layout: FolderSplits, faults: list[Fault], path: Path
) -> None:
    """Every folder where one per class belongs holds pictures."""
    held = {(sample.split, sample.label) for sample in samples}
    parts = [name.split("/") for name in listing.folders] + [name.split("/")[:-1] for name in listing.files]
    for folders in sorted(parts):
        split, below = layout.place(folders)
        if below and (split, composed(below[0])) not in held:
            folder = "/".join(folders[: len(folders) - len(below) + 1])
            error = NoClassFoldersError(
                f"the class folder {folder} has no readable picture{_reason(faults, one_line(folder) + '/')}",
                path,
                "fill it or remove it",
            )
            error.folder = folder if len({sample.label for sample in samples}) > 1 else ""
            raise error


def _classes(samples: list[Sample], layout: FolderSplits, masks: Masks, path: Path) -> tuple[str, ...]:
    """The class names in natural order: those of train, where there are splits."""
    first = "train" if layout.split_of else POOL
    classes = sorted({sample.label for sample in samples if sample.split == first}, key=natural_order)
    for name in classes:
        if name != one_line(name):
            raise InputError(f"a class folder's name is not readable text: {name}", path, "rename it")
    if len(classes) < 2 and masks.paths:
        raise masks.refusal(path)
    unknown = sorted({sample.label for sample in samples} - set(classes), key=natural_order)
    if unknown:
        where = next(sample.split for sample in samples if sample.label == unknown[0])
        raise InputError(
            f"{where} has a class that train has not: {', '.join(unknown)}",
            path,
            "add pictures of it to train, or remove it",
        )
    if len(classes) < 2:
        raise NoClassFoldersError(
            f"there is only one class, {classes[0]}" if classes else "train has no classes",
            path,
            "a classifier needs a folder for each of two or more classes",
        )
    return tuple(classes)


def _by_split(samples: list[Sample], layout: FolderSplits, path: Path) -> dict[str, list[Sample]]:
    splits: dict[str, list[Sample]] = {split: [] for split in layout.split_of.values()} or {POOL: []}
    for sample in samples:
        splits[sample.split].append(sample)
    for split, chosen in splits.items():
        if not chosen:
            raise InputError(f"there are no pictures for {split}", path, "fill its folder or remove it")
    return splits


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
