"""Which uppermost folders of an image folder are splits, from their names and from what they hold."""

import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

from striate.data.dataset import POOL
from striate.data.split_names import SPLIT_FOLDERS, has_number, split_name
from striate.errors import InputError, one_line

_RENAME = "name them train, val and test if they are splits, or say --from image-folder if they are classes"


def is_lone_split(folder: str) -> bool:
    """Whether a single folder around everything is a split, not a wrapper to be skipped."""
    return folder.lower() in SPLIT_FOLDERS or split_name(folder) == "train"


@dataclass(frozen=True)
class FolderSplits:
    """Which of the uppermost folders are splits.

    Attributes:
        split_of: the split of each; empty where they are classes.
        repeated: those that hold all their pictures in one folder of the same name, as
            "training_set/training_set/cats", which is skipped.
    """

    split_of: dict[str, str]
    repeated: frozenset[str] = frozenset()

    def place(self, folders: Sequence[str]) -> tuple[str, tuple[str, ...]]:
        """The split of a path of folders, and what of it lies below the split."""
        if not self.split_of or not folders:
            return POOL, tuple(folders)
        skipped = 2 if folders[0] in self.repeated else 1
        return self.split_of.get(folders[0], POOL), tuple(folders[skipped:])

    def without(self, tops: Iterable[str]) -> "FolderSplits":
        """The splits but for these folders."""
        left = set(tops)
        kept = {top: split for top, split in self.split_of.items() if top not in left}
        return FolderSplits(kept, self.repeated)


def folder_splits(
    tops: Sequence[str], pictures: Sequence[str], path: Path, doubtful: bool = True
) -> FolderSplits:
    """The splits among the uppermost folders; none where these are classes.

    Args:
        tops: the uppermost folders.
        pictures: the paths of all pictures, with "/".
        path: the data set, for messages.
        doubtful: whether folders that are not named as splits may be some all the same.

    Raises:
        InputError: only some of them are splits, several mean the same, none is for training, or folders
            that hold the same classes are not named as splits.
    """
    inside = _folders_inside(pictures)
    found = {top: split for top in tops if (split := split_name(top))}
    others = [top for top in tops if top not in found]
    surely = sum(top.lower() in SPLIT_FOLDERS for top in found)
    if others and len(found) > 1 and ("train" in found.values() or surely > 1):
        raise InputError(
            f"folders for splits ({', '.join(found)}) lie beside other folders ({', '.join(others)})",
            path,
            "keep either splits or classes there",
        )
    numbered = len(set(found.values())) == 1 and all(map(has_number, found))  # "test 1", "test 2": classes
    if found and not others and (len(found) == 1 or not numbered):
        return FolderSplits(_checked(found, path), _repeated(found, pictures))
    if doubtful:
        _refuse_unnamed_splits(tops, others, inside, path)
    return FolderSplits({})  # among other folders, a single "train" may well be a class of vehicles


def _repeated(found: dict[str, str], pictures: Sequence[str]) -> frozenset[str]:
    inside = defaultdict(set)
    for picture in pictures:
        top, *below = picture.split("/")
        inside[top].add(below[0] if len(below) > 2 else "")
    return frozenset(
        top
        for top, split in found.items()
        if len(inside[top]) == 1 and split in map(split_name, _with_words(min(inside[top])))
    )


def _with_words(name: str) -> list[str]:
    """A name and the words in it: "seg_train" is a train once more, inside of train."""
    return [name, *re.split(r"[\W_]+", name)]


def _checked(found: dict[str, str], path: Path) -> dict[str, str]:
    """Splits in their order, each once, "train" among them."""
    for split in set(found.values()):
        same = [top for top in found if found[top] == split]
        if len(same) > 1:
            raise InputError(
                f"several folders mean the same split: {', '.join(same)}", path, "join them, or rename one"
            )
    if "train" not in found.values():
        raise InputError(
            f"there is no train folder beside {', '.join(found)}", path, "add one, or rename what is a class"
        )
    order = ("train", "val", "test")
    return dict(sorted(found.items(), key=lambda item: order.index(item[1])))


def _refuse_unnamed_splits(
    tops: Sequence[str], others: Sequence[str], inside: dict[str, set[str]], path: Path
) -> None:
    """Folders that hold the same classes are splits, whatever they are called."""
    alike = sorted({top for pair in combinations(sorted(inside), 2) if _alike(*pair, inside) for top in pair})
    if alike and all(all(map(split_name, inside[top])) for top in alike):
        raise InputError(
            f"the folders of classes hold the splits: {_listed(alike)} hold {_listed(inside[alike[0]])}",
            path,
            f"turn it round, as {one_line(sorted(inside[alike[0]])[-1])}/{one_line(alike[0])}",
        )
    if alike:
        raise InputError(
            f"these folders hold the same folders, as splits would, not classes: {_listed(alike)} hold "
            f"{_listed(set.intersection(*(inside[top] for top in alike[:2])))}",
            path,
            _RENAME,
        )
    trains = [top for top in tops if top not in others and len(inside.get(top, ())) > 1]
    if len(trains) == len(others) == 1 and others[0] not in inside:
        raise InputError(
            f"{one_line(trains[0])} holds folders as a split would, and {one_line(others[0])} beside it none",
            path,
            _RENAME,
        )


def _folders_inside(pictures: Sequence[str]) -> dict[str, set[str]]:
    """The folders inside each uppermost folder that hold pictures at any depth; single folders around all of
    them are skipped, as in "seg_train/seg_train/cats"."""
    folders_of: dict[str, set[tuple[str, ...]]] = defaultdict(set)
    for picture in pictures:
        top, *folders = picture.split("/")[:-1] or [""]
        folders_of[top].add(tuple(unicodedata.normalize("NFC", folder) for folder in folders))
    inside = {}
    for top, paths in folders_of.items():
        while all(len(path) > 1 for path in paths) and len({path[0] for path in paths}) == 1:
            paths = {path[1:] for path in paths}
        if found := {path[0] for path in paths if path}:
            inside[top] = found
    return inside


def _alike(one: str, other: str, inside: dict[str, set[str]]) -> bool:
    shared = len(inside[one] & inside[other])
    return shared > 1 and 2 * shared >= min(len(inside[one]), len(inside[other]))


def _listed(names: Sequence[str] | set[str], most: int = 4) -> str:
    shown = [one_line(name) for name in sorted(names)[:most]]
    return ", ".join(shown) + (", ..." if len(names) > most else "")
