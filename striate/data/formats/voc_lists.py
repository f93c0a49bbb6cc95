"""The lists of a Pascal VOC data set, which say what is in which split.

    ImageSets/Main/train.txt        else ImageSets/train.txt, else train.txt beside Annotations
    2008_000008                     the name of a label file

- Other programs write it with a suffix, with folders, with a number or the label file behind it:
  "JPEGImages/a.jpg", "a.xml", "a -1", "images/a.jpg labels/a.xml".
- Names are train, val, test, trainval, and what else names a split; lists of one class are not read.
"""

import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import PurePosixPath

from striate.data.annotations import Problem, quoted
from striate.data.images import IMAGE_SUFFIXES
from striate.data.label_files import LabelFiles
from striate.data.split_names import split_name
from striate.text_files import composed, decode_text

_LIST = re.compile(r"(?P<base>(?:.*?/)??)(?P<home>ImageSets/Main/|ImageSets/|)(?P<name>[^/]+)\.txt")
_HOMES = ("ImageSets/Main/", "ImageSets/", "")  # only the lists of the first that has some are read
_BOTH = "trainval"  # holds train and val


class SplitLists:
    """The lists by the folder above them; false if there are none."""

    def __init__(self, files: LabelFiles) -> None:
        self._labels = files.ending(".xml")
        self._split_of: dict[str, dict[str, str]] = {}  # folder -> name of a label file -> split
        self._problems: list[Problem] = []
        lists = [match for path in files.paths if (match := _LIST.fullmatch(path)) and _split(match["name"])]
        for base in sorted({match["base"] for match in lists}):
            own = [match for match in lists if match["base"] == base]
            home = next(home for home in _HOMES if any(match["home"] == home for match in own))
            names = _Names(base, self._labels)
            for match in sorted(own, key=lambda match: match["name"] == _BOTH):
                if match["home"] == home and names:
                    self._add(match, names, files)

    def __bool__(self) -> bool:
        return bool(self._split_of)

    def split(self, path: str) -> str | None:
        """The split of a label file."""
        for splits in self._split_of.values():
            if split := splits.get(path):
                return split
        return None

    def compare(self, problems: list[Problem]) -> None:
        """Add what lists and label files do not have of each other."""
        if not self:
            return
        problems += self._problems
        unlisted = [path for path in self._labels if self.split(path) is None]
        if unlisted:
            what = (
                f"{len(unlisted):,} label files are in none of the lists; the first is {quoted(unlisted[0])}"
            )
            problems.append(Problem("ImageSets/Main", what))

    def _add(self, match: re.Match[str], names: "_Names", files: LabelFiles) -> None:
        path, split = match.string, str(_split(match["name"]))
        text = decode_text(files.read(path), files.place(path))
        lines = [(k, line.strip()) for k, line in enumerate(text.splitlines(), start=1) if line.strip()]
        found = [(line, name, names.label(name)) for line, name in lines]
        missing = [(line, name) for line, name, label in found if label is None]
        if not match["home"] and 2 * len(missing) >= len(lines):
            return  # some other text
        splits = self._split_of.setdefault(match["base"], {})
        for line, name, label in found:
            first = splits.setdefault(label, split) if label else split
            if match["name"] != _BOTH and first != split:
                what = f"{quoted(name)} is also in the list {first}, which counts"
                self._problems.append(Problem(f"{path}, line {line}", what))
        if missing:
            line, name = missing[0]
            what = f"{len(missing):,} of its names have no label file; the first is {quoted(name)}"
            self._problems.append(Problem(f"{path}, line {line}", what))


class _Names:
    """The label files below a folder, by what lists call them; false if there are none."""

    def __init__(self, base: str, labels: list[str]) -> None:
        self._by_stem: defaultdict[str, list[str]] = defaultdict(list)
        for label in labels:
            if label.startswith(base):
                self._by_stem[composed(PurePosixPath(label).stem)].append(label)

    def __bool__(self) -> bool:
        return bool(self._by_stem)

    def label(self, entry: str) -> str | None:
        """The label file that a line of a list means; None if there is none, or several are as likely."""
        for name in _readings(composed(entry.replace("\\", "/"))):
            *folders, stem = name.split("/")
            alike = self._by_stem.get(stem, [])
            if len(alike) > 1:
                alike = _with_folders(alike, folders)
            if len(alike) == 1:
                return alike[0]
        return None


def _split(name: str) -> str | None:
    """The split that a list is of."""
    return "train" if name == _BOTH else split_name(re.sub(r"[-_.](list|ids|files)$", "", name))


def _readings(entry: str) -> Iterator[str]:
    """What name without suffix a line may hold, the likeliest first."""
    for text in (entry, re.sub(r"\s+-?[01]$", "", entry), *re.split(r"[\s,]+", entry)):
        yield text
        if PurePosixPath(text).suffix.lower() in (*IMAGE_SUFFIXES, ".xml"):
            yield str(PurePosixPath(text).with_suffix(""))


def _with_folders(labels: list[str], folders: list[str]) -> list[str]:
    """Those whose last folders are ``folders``; without any, those in Annotations itself or at the top."""
    ends = [composed(str(PurePosixPath(label).parent)).split("/") for label in labels]
    if folders:
        return [label for label, end in zip(labels, ends, strict=True) if end[-len(folders) :] == folders]
    return [label for label, end in zip(labels, ends, strict=True) if end[-1] in ("Annotations", ".")]
