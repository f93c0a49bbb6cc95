"""Which pictures of a folder are masks of others: none of them is ever a picture to learn from.

images/ masks/      flower/ images/ masks/      train/ train_masks/      benign/ 1.png 1_mask.png
input/1.png truth/1_segmentation.png
"""

import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path, PurePosixPath

from striate.data.archive import plain_name
from striate.data.split_names import split_name
from striate.errors import InputError, counted, one_line

_SPLITS = "train(?:ing)?|test(?:ing)?|val(?:id|idation)?"
_IMAGES = (
    "images?|imgs?|pictures?|photos?|jpegimages|pngimages|frames?|rgb|inputs?|originals?|leftimg8bit|scans?"
)
_MASKS = (
    "(?:images?)?masks?(?:images?|png)?|seg(?:mentations?|mented|s)?(?:class|objects?|masks?|labels?|maps?|raw)?"
    "|groundtruths?|gts?|gtfine|gtcoarse|annot(?:ations?|s)?|labels?|labelmaps?|trimaps?|targets?|mattes?|alphas?"
    "|(?:1st|2nd)?manuals?"
)
_FOLDER = re.compile(rf"(?:{_SPLITS})?(?:(?P<image>{_IMAGES})|(?P<mask>{_MASKS}))(?:{_SPLITS})?[0-9]{{0,4}}")
_MASK_FILE = re.compile(
    r"(.+?)[-_ ](?:masks?|seg|segmentation|gt|labels?|l)(?:[-_ ]?[0-9]{1,2})?", re.IGNORECASE
)


@dataclass(frozen=True)
class Masks:
    """The masks among pictures.

    Attributes:
        paths: of the masks.
        folders: the folders that hold nothing else.
        homes: the folders of others, which lie beside their pictures; "" is the root.
        beside: for the first of them, where the pictures are that it masks.
    """

    paths: frozenset[str] = frozenset()
    folders: tuple[str, ...] = ()
    homes: tuple[str, ...] = ()
    beside: str = ""

    def remarks(self) -> list[str]:
        """What a person should know of masks that are left aside."""
        if not self.paths:
            return []
        folders = (*self.folders, *self.homes)
        shown = ", ".join(one_line(folder) or "." for folder in folders[:3])
        more = ", ..." if len(folders) > 3 else ""
        return [f"{shown}{more}: {counted(len(self.paths), 'mask')} of pictures left aside"]

    def refusal(self, path: Path) -> InputError:
        """That there are pictures with masks, and nothing else to learn."""
        folder = (*self.folders, *self.homes)[0] or plain_name(path)
        beside = f" beside {self.beside}" if self.beside else ""
        return InputError(
            f"there are pictures with masks ({counted(len(self.paths), 'mask')}, as in {folder}{beside}), "
            "and segmentation is not read yet",
            path,
            "a classifier needs a folder of pictures for each of two or more classes",
        )


def find_masks(pictures: Sequence[str]) -> Masks:
    """The masks among pictures: those in a folder named as of masks, beside one named as of pictures or
    beside pictures, if most are called like these; those of a folder that are all called like one in the
    folder beside it and "_mask"; and those called like another beside them and "_mask"."""
    folders = [
        (f"{parent}/{child}".lstrip("/"), beside)
        for parent, children in _around_masks(pictures).items()
        for child in sorted(children)
        if (beside := _masked(child, children)) is not None
    ]
    folders += _called_as_masks(pictures, tuple(f"{folder}/" for folder, _ in folders))
    inside = tuple(f"{folder}/" for folder, _ in folders)
    paths = {picture for picture in pictures if inside and picture.startswith(inside)}
    alone = _beside_their_pictures([picture for picture in pictures if picture not in paths])
    homes = {PurePosixPath(path).parent.as_posix().removeprefix(".") for path in alone}
    beside = folders[0][1] if folders else ""
    return Masks(
        frozenset(paths | alone), tuple(folder for folder, _ in folders), tuple(sorted(homes)), beside
    )


def _around_masks(pictures: Sequence[str]) -> dict[str, dict[str, list[str]]]:
    """For each folder that holds one named as of masks: the pictures by the folder in it that has them."""
    parents = set()
    for folder in {PurePosixPath(picture).parent for picture in pictures}:
        for k, part in enumerate(folder.parts):
            if _kind(part) == "mask":
                parents.add("/".join(folder.parts[:k]))
    around: dict[str, dict[str, list[str]]] = {parent: defaultdict(list) for parent in sorted(parents)}
    for picture in pictures if parents else ():
        parts = picture.split("/")
        for k in range(len(parts)):
            if (parent := "/".join(parts[:k])) in around:
                around[parent][parts[k] if k + 1 < len(parts) else ""].append(picture)
    return around


def _called_as_masks(pictures: Sequence[str], known: tuple[str, ...]) -> list[tuple[str, str]]:
    """Folders all of whose pictures are called as those of the folder beside them and "_mask", and these."""
    stems: dict[str, set[str]] = defaultdict(set)
    for picture in pictures:
        if not (known and picture.startswith(known)):
            home, _, name = picture.rpartition("/")
            stems[home].add(PurePosixPath(name).stem.casefold())
    beside: dict[str, list[str]] = defaultdict(list)
    for folder in sorted(filter(None, stems)):
        beside[folder.rpartition("/")[0]].append(folder)
    found = []
    for folder in sorted(filter(None, stems)):
        masked = {match[1] if (match := _MASK_FILE.fullmatch(stem)) else "" for stem in stems[folder]}
        others = () if "" in masked else beside[folder.rpartition("/")[0]]
        if home := next((other for other in others if other != folder and masked <= stems[other]), ""):
            found.append((folder, home.rpartition("/")[2]))
    return found


def _masked(child: str, children: dict[str, list[str]]) -> str | None:
    """The folder beside ``child`` whose pictures it masks, "" for the one around; None if it masks none."""
    if _kind(child) != "mask":
        return None
    images = [name for name in children if _kind(name) == "image" or (name and split_name(name)) or not name]
    if images and all(name and _kind(name) for name in children):
        return max(images, key=lambda name: len(children[name]))
    for name in images:
        stems = {PurePosixPath(path).stem.casefold() for path in children[name]}
        if 2 * sum(_names_one_of(stems, path) for path in children[child]) >= len(children[child]):
            return name
    return None


@cache
def _kind(folder: str) -> str:
    """ "image" or "mask" as the name of a folder says, else ""."""
    found = _FOLDER.fullmatch(re.sub(r"[\W_]+", "", folder).casefold())
    return (found.lastgroup or "") if found else ""


def _names_one_of(stems: set[str], mask: str) -> bool:
    """Whether a mask's name is one of ``stems``, perhaps with "_mask" behind it."""
    stem = PurePosixPath(mask).stem.casefold()
    found = _MASK_FILE.fullmatch(stem)
    return stem in stems or bool(found and found[1] in stems)


def _beside_their_pictures(pictures: Iterable[str]) -> set[str]:
    """Those whose name is that of a picture in the same folder and "_mask"."""
    stems = {str(PurePosixPath(path).with_suffix("")) for path in pictures}
    return {
        path
        for path in pictures
        if (found := _MASK_FILE.fullmatch(str(PurePosixPath(path).with_suffix("")))) and found[1] in stems
    }
