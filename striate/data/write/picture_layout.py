"""Where the pictures of a labelled data set go when it is written: folders by split, names that differ."""

from collections import defaultdict
from collections.abc import Callable
from pathlib import PurePosixPath

from striate.data.annotations import AnnotationSet
from striate.data.write.names import UniqueNames, safe_name

_LONGEST_STEM = 200  # bytes; leaves room for a number and a suffix


def lay_out(
    annotations: AnnotationSet, folder_of: Callable[[str | None], str], apart: bool = False
) -> list[str]:
    """The path of each picture in the new folder.

    Names stay where they can: folders that not all pictures of a split share become part of the name, as
    "deep/1.jpg" becomes "deep-1.jpg", and what two pictures would be called gets a number. Names differ also
    without their suffix, since formats with a label file for each picture name it by that.

    Args:
        annotations: the pictures.
        folder_of: the folder for a split, "" for the uppermost.
        apart: whether names differ over all folders, not only within each.
    """
    shared = _shared_folders(annotations)
    names: defaultdict[str, UniqueNames] = defaultdict(UniqueNames)
    paths = []
    for picture in annotations.pictures:
        folder = folder_of(picture.split)
        own = PurePosixPath(picture.path)
        stem = safe_name("-".join((*own.parts[shared[picture.split] : -1], own.stem)), _LONGEST_STEM)
        name = names["" if apart else folder].claim(stem) + own.suffix
        paths.append(f"{folder}/{name}" if folder else name)
    return paths


def _shared_folders(annotations: AnnotationSet) -> dict[str | None, int]:
    """How many leading folders the pictures of each split have in common."""
    folders: defaultdict[str | None, set[tuple[str, ...]]] = defaultdict(set)
    for picture in annotations.pictures:
        folders[picture.split].add(PurePosixPath(picture.path).parts[:-1])
    return {split: _shared(sorted(found)) for split, found in folders.items()}


def _shared(folders: list[tuple[str, ...]]) -> int:
    first, last = folders[0], folders[-1]  # in order, the others lie between
    return next(
        (k for k, (a, b) in enumerate(zip(first, last, strict=False)) if a != b), min(len(first), len(last))
    )
