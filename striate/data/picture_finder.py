"""Which picture a label file means by a name.

Labels on another picture are wrong labels. Where it is not sure which picture is meant, none is.
"""

import re
from collections import Counter, defaultdict
from collections.abc import Container
from dataclasses import dataclass

from striate.data.annotations import Problem, quoted
from striate.data.images import IMAGE_SUFFIXES
from striate.data.label_files import LabelFiles
from striate.data.split_names import has_number, split_name, split_of
from striate.errors import one_line
from striate.text_files import composed

_PICTURE_FOLDERS = ("jpegimages", "images", "image", "imgs", "img")  # the first that is there counts


def inside(written: str) -> str | None:
    """A file name of a label file as a relative path with "/"; None if it leads out of the data or is no
    readable text: "..", absolute, a drive letter, empty."""
    path = written.replace("\\", "/").strip()
    parts = [part for part in path.split("/") if part not in ("", ".")]
    if not parts or path.startswith("/") or ".." in parts or ":" in parts[0] or path != one_line(path):
        return None
    return "/".join(parts)


@dataclass(frozen=True)
class _Answer:
    """Which picture a name means.

    Attributes:
        path, fault: as ``PictureFinder.find`` returns them.
        is_certain: whether the folders that are written are those of the picture.
        candidates: the pictures that may be meant where none surely is.
    """

    path: str | None
    fault: str
    is_certain: bool = True
    candidates: tuple[str, ...] = ()


class PictureFinder:
    """Finds the pictures of a data set by what label files call them."""

    def __init__(self, files: LabelFiles) -> None:
        self.paths = [path for path in files.paths if _suffix(path) in IMAGE_SUFFIXES]
        self._known = frozenset(self.paths)
        self._named = files.named
        self._folders = {_keys(path) for path in self.paths}
        self._above = {folder[:k] for folder in self._folders for k in range(1, len(folder) + 1)}
        self._by_name: defaultdict[str, list[str]] = defaultdict(list)
        self._by_stem: defaultdict[str, list[str]] = defaultdict(list)
        for path in self.paths:
            self._by_name[_key(_name(path))].append(path)
            self._by_stem[_key(_stem(path))].append(path)
        self._answers: dict[tuple[str, str], _Answer] = {}
        self._names: defaultdict[str, dict[str, bool]] = defaultdict(dict)  # path -> name -> is it certain
        self._doubts: dict[str, Problem] = {}  # of pictures that an unclear name may mean
        self._beside: Counter[tuple[str, str]] = Counter()  # folders that hold pictures of the same names

    def __contains__(self, path: object) -> bool:
        return path in self._known

    def find(self, written: str, label_path: str) -> tuple[str | None, str]:
        """The picture that a label file calls ``written``.

        Args:
            written: its name or path there; a name without a suffix counts for one with any.
            label_path: the label file, among the same files.

        Returns:
            Its path, and what is wrong with the name ("" if nothing). Where there is no such file, or it is
            not sure which one is meant, the path is as written; where the name leads out of the data it is
            that of the file of this name within; None if nothing of the name can be used.
        """
        answer = self._answer(written, label_path)
        return answer.path, answer.fault

    def take(self, written: str, label_path: str) -> tuple[str | None, str]:
        """As ``find``, where a picture has its labels in several places of a file, each with its name.

        ``notes`` tells which pictures may lack labels then, or may have those of others.
        """
        answer = self._answer(written, label_path)
        if answer.path in self._known and answer.path is not None:
            self._names[answer.path][_key(inside(written) or _inner_part(written) or written)] = (
                answer.is_certain
            )
        for path in answer.candidates:
            self._doubts.setdefault(path, Problem(label_path, answer.fault, picture=path))
        return answer.path, answer.fault

    def _answer(self, written: str, label_path: str) -> "_Answer":
        if (written, label_path) not in self._answers:
            self._answers[written, label_path] = self._find(written, label_path)
        return self._answers[written, label_path]

    def _find(self, written: str, label_path: str) -> "_Answer":
        path, fault = inside(written), ""
        if path is None:
            path = _inner_part(written)
            fault = f"the picture's path {quoted(written)} leads out of the data; only its end counts"
            if path is None:
                return _Answer(None, f"{quoted(written)} is no usable name of a picture")
        else:
            for whole in (_beside(label_path, path), path):
                if (found := self._named(whole)) in self._known and found is not None:
                    return _Answer(found, "")
        unfound = _name(path) if fault else path
        alike, shared = _same_end(self._alike(_name(path)), path)
        nearest = self._nearest(alike, label_path)
        is_ending = shared == len(_keys(path))
        doubt = doubtful(nearest, written, "" if shared and is_ending else label_path)
        if doubt:
            return _Answer(unfound, doubt, candidates=tuple(nearest) if len(nearest) > 1 else ())
        if not nearest:
            others = self._nearest(self._of_stem(_stem(path)), label_path)
            hint = f"there is no picture {quoted(path)}; there is {others[0]}" if others else ""
            return _Answer(unfound, fault or hint, candidates=tuple(others))
        if not is_ending and (doubt := self._elsewhere(nearest[0], path, shared)):
            return _Answer(unfound, doubt)
        if not fault and not (is_ending and _same_case(nearest, _name(path))):
            fault = f"there is no picture {quoted(written)}; {quoted(nearest[0])} is taken"
        return _Answer(nearest[0], fault, is_certain=is_ending)

    def with_stem(self, stem: str, label_path: str) -> list[str]:
        """The pictures whose name without suffix is ``stem``; of several those nearest to the label file."""
        return self._nearest(self._of_stem(stem), label_path)

    def notes(self, labelled: Container[str]) -> list[Problem]:
        """What is to be told of labelled pictures: names that are not clear, and folders beside theirs.

        A name that may mean one of several pictures has labels that each of them may lack. Two names that may
        mean the same picture, as cam1/a.jpg and cam2/a.jpg where there is but one a.jpg, would put the labels
        of one picture onto another.
        """
        notes = [problem for path, problem in self._doubts.items() if path in labelled]
        for (chosen, other), count in self._beside.items():
            what = f"{count:,} pictures have the names of pictures in {quoted(chosen)}, which count"
            notes.append(Problem(other, what))
        for path, names in self._names.items():
            longest = max(names, key=len)
            others = [name for name in names if not f"/{longest}".endswith(f"/{name}")]
            if others and not all(names.values()):
                what = (
                    f"several names mean this picture: {quoted(longest)}, {quoted(others[0])}; it is left out"
                )
                notes.append(Problem(path, what, picture=path))
        return notes

    def _alike(self, name: str) -> list[str]:
        """The pictures of this name, be it written in another case or, if it has no suffix, without."""
        found = self._by_name.get(_key(name), [])
        if not found and _suffix(name) not in IMAGE_SUFFIXES:
            return self._of_stem(name)
        return _same_case(found, name) or found

    def _of_stem(self, stem: str) -> list[str]:
        found = self._by_stem.get(_key(stem), [])
        return [path for path in found if composed(_stem(path)) == composed(stem)] or found

    def _nearest(self, paths: list[str], label_path: str) -> list[str]:
        """Those of ``paths`` whose folders have most in common with those of a label file.

        Labels in "Annotations" are of the pictures in the "JPEGImages" beside it, and of no others.
        """
        home = _keys(label_path)
        if "annotations" in home:
            usual = (*home[: home.index("annotations")], "jpegimages")
            if usual in self._above:
                paths = [path for path in paths if _keys(path)[: len(usual)] == usual]
        if len(paths) < 2:
            return paths
        common = {path: _common(path, label_path) for path in paths}
        most = max(common.values())
        return self._not_drawn_on([path for path in paths if common[path] == most])

    def _not_drawn_on(self, paths: list[str]) -> list[str]:
        """Of pictures in images/ and, say, vis/ beside it, the one in images/."""
        for usual in _PICTURE_FOLDERS:
            chosen = [path for path in paths if _lies_beside(usual, path, paths)]
            if len(chosen) == 1 and len(paths) > 1:
                for other in paths:
                    if other != chosen[0]:
                        self._beside[folder_of(chosen[0]), folder_of(other)] += 1
                return chosen
        return paths

    def _elsewhere(self, found: str, path: str, shared: int) -> str:
        """Why ``found``, whose folders are not those of ``path``, is not the picture; "" if it may be.

        The folder that is written is there and has no such picture, or the two are in different splits.
        """
        folders = _keys(path)
        end = folders[len(folders) - shared - 1 :]
        if any(folder[-len(end) :] == end for folder in self._folders) or (
            len({split for one in (path, found) if (split := split_of(f"{folder_of(one)}/"))}) > 1
        ):
            return f"there is no picture {quoted(path)}; the one of this name lies elsewhere: {found}"
        return ""


def doubtful(nearest: list[str], written: str, label_path: str) -> str:
    """Why it is not sure that a label file means the one picture of ``nearest``; "" if it is.

    Labels on another picture are wrong labels. None is taken where several pictures are as near as each
    other, or the only one lies in other folders throughout, as cam1/frames/a.jpg does for cam2/labels/a.xml.
    """
    if len(nearest) > 1:
        return f"several pictures could be meant by {quoted(written)}: {', '.join(nearest[:2])}"
    if (
        nearest
        and min(map(len, map(_folders, (nearest[0], label_path)))) > 1
        and not _common(nearest[0], label_path)[0]
    ):
        return f"the only picture named {quoted(written)} lies elsewhere: {nearest[0]}"
    return ""


def _common(path: str, label_path: str) -> tuple[int, int]:
    """How many folders two paths have in common in the same order, and how many of them from the start on."""
    mine, other = _folders(path), _folders(label_path)
    lengths = [0] * (len(other) + 1)  # of the longest common subsequence with each beginning of ``other``
    for folder in mine:
        before = lengths
        lengths = [0]
        for k, name in enumerate(other):
            lengths.append(before[k] + 1 if folder == name else max(before[k + 1], lengths[k]))
    leading = next((k for k, (a, b) in enumerate(zip(mine, other, strict=False)) if a != b), len(mine))
    return lengths[-1], min(leading, len(other))


def _inner_part(written: str) -> str | None:
    """What of a path that leads out of the data may lie within them: "cam/a.jpg" of "C:\\cam\\a.jpg"."""
    parts = re.split(r"[/\\]", written.strip())
    outer = [k for k, part in enumerate(parts) if part in ("", "..") or ":" in part]
    start = outer[-1] + 1 if outer and outer[-1] + 1 < len(parts) else len(parts) - 1
    return inside("/".join(parts[start:])) or inside(parts[-1])


def _same_end(paths: list[str], path: str) -> tuple[list[str], int]:
    """Those of ``paths`` of which most folders, from the last one on, are those of ``path``, and how many."""
    mine = _keys(path)[::-1]
    shared = {}
    for one in paths:
        other = _keys(one)[::-1]
        shared[one] = next(
            (k for k, (a, b) in enumerate(zip(mine, other, strict=False)) if a != b),
            min(len(mine), len(other)),
        )
    most = max(shared.values(), default=0)
    return [one for one in paths if shared[one] == most], most


def _same_case(paths: list[str], name: str) -> list[str]:
    """Those of ``paths`` whose name is ``name``, with or without its suffix, case included."""
    names = {composed(name)}
    return [p for p in paths if {composed(_name(p)), composed(_stem(p))} & names]


def _lies_beside(usual: str, path: str, paths: list[str]) -> bool:
    """Whether a picture is in a folder called ``usual``, and the others only in others in place of that."""
    mine = _keys(path)
    if usual not in mine:
        return False
    k = mine.index(usual)
    rests = {(len(own), own[:k], own[k + 1 :]) for own in map(_keys, paths)}
    return rests == {(len(mine), mine[:k], mine[k + 1 :])}


def _name(path: str) -> str:
    return path.rsplit("/", 1)[-1]


def _stem(path: str) -> str:
    """The name without its suffix, as ``PurePath.stem``, which takes many times longer."""
    stem, _, suffix = _name(path).rpartition(".")
    return stem if stem and suffix else _name(path)


def _suffix(path: str) -> str:
    return _name(path)[len(_stem(path)) :].lower()


def folder_of(path: str) -> str:
    """The folder of a path, "." for the top."""
    return path.rpartition("/")[0] or "."


def _beside(label_path: str, path: str) -> str:
    """A path as seen from the folder of a label file."""
    folder, separator, _ = label_path.rpartition("/")
    return f"{folder}{separator}{path}"


def _folders(path: str) -> list[str]:
    """The folders of a path; those named as splits by the name of the split."""
    return [(not has_number(name) and split_name(name)) or name for name in _keys(path)]


def _keys(path: str) -> tuple[str, ...]:
    """The folders of a path, whatever their case."""
    return tuple(_key(path).split("/")[:-1])


def _key(name: str) -> str:
    """The same for names that differ by case, or by how accents are written, only."""
    return composed(name).casefold()
