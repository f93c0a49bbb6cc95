"""Which picture a label file means, which split it is of, and all pictures as one set, each once."""

import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath

from striate.data.annotations import AnnotatedPicture, AnnotationSet, Problem, quoted
from striate.data.formats.image_folder import SPLIT_FOLDERS, natural_order
from striate.data.images import IMAGE_SUFFIXES
from striate.data.label_files import LabelFiles
from striate.errors import InputError, one_line
from striate.text_files import composed


def inside(written: str) -> str | None:
    """A file name of a label file as a relative path with "/"; None if it leads out of the data or is no
    readable text: "..", absolute, a drive letter, empty."""
    path = written.replace("\\", "/").strip()
    parts = [part for part in path.split("/") if part not in ("", ".")]
    if not parts or path.startswith("/") or ".." in parts or ":" in parts[0] or path != one_line(path):
        return None
    return "/".join(parts)


class PictureFinder:
    """Finds the pictures of a data set by what label files call them."""

    def __init__(self, files: LabelFiles) -> None:
        self.paths = [path for path in files.paths if PurePosixPath(path).suffix.lower() in IMAGE_SUFFIXES]
        self._known = frozenset(self.paths)
        self._named = files.named
        self._by_name: defaultdict[str, list[str]] = defaultdict(list)
        self._by_stem: defaultdict[str, list[str]] = defaultdict(list)
        for path in self.paths:
            self._by_name[_key(PurePosixPath(path).name)].append(path)
            self._by_stem[composed(PurePosixPath(path).stem)].append(path)

    def __contains__(self, path: object) -> bool:
        return path in self._known

    def find(self, written: str, label_path: str) -> tuple[str | None, str]:
        """The picture that a label file calls ``written``.

        Args:
            written: its name or path there.
            label_path: the label file, among the same files.

        Returns:
            Its path, and what is wrong with the name ("" if nothing). Where there is no such file, or it is
            not sure which one is meant, the path is as written; where the name leads out of the data it is
            that of the file of this name within; None if nothing of the name can be used.
        """
        path, fault = inside(written), ""
        if path is None:
            path = inside(re.split(r"[/\\]", written.strip())[-1])
            fault = f"the picture's path {quoted(written)} leads out of the data; only its name counts"
            if path is None:
                return None, f"{quoted(written)} is no usable name of a picture"
        for whole in ((PurePosixPath(label_path).parent / path).as_posix(), path):
            if (found := self._named(whole)) in self._known:
                return found, fault
        path = composed(path)
        named = self._by_name[_key(PurePosixPath(path).name)]
        ending = [p for p in named if f"/{composed(p)}".endswith(f"/{path}")]
        same_case = [p for p in named if composed(PurePosixPath(p).name) == PurePosixPath(path).name]
        nearest = _nearest(ending or same_case or named, label_path)
        if doubt := doubtful(nearest, written, "" if "/" in path and ending else label_path):
            return path, doubt
        if not nearest:
            return path, fault
        if not ending and not fault:
            fault = f"there is no picture {quoted(written)}; {quoted(nearest[0])} is taken"
        return nearest[0], fault

    def with_stem(self, stem: str, label_path: str) -> list[str]:
        """The pictures whose name without suffix is ``stem``; of several those nearest to the label file."""
        return _nearest(self._by_stem[composed(stem)], label_path)


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


def nothing_left(what: str, where: str | Path, problems: Sequence[Problem], mend: str) -> InputError:
    """The error that no picture with labels is left, with the first reason."""
    reason = f"; first, {problems[0].place}: {problems[0].what}" if problems else ""
    return InputError(f"{what}{reason}", where, mend)


def _nearest(paths: list[str], label_path: str) -> list[str]:
    """Those of ``paths`` whose folders have most in common with those of a label file."""
    if len(paths) < 2:
        return paths
    common = {path: _common(path, label_path) for path in paths}
    most = max(common.values())
    return [path for path in paths if common[path] == most]


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


def _folders(path: str) -> list[str]:
    """The folders of a path; those named as splits by the name of the split."""
    return [SPLIT_FOLDERS.get(name, name) for name in map(_key, PurePosixPath(path).parts[:-1])]


def _key(name: str) -> str:
    """The same for names that differ by case, or by how accents are written, only."""
    return composed(name).casefold()


def split_of(*paths: str) -> str | None:
    """The split that paths name, as "instances_train.json" or "valid/a.jpg" do; the first that names one.

    A path that names two different splits names none.
    """
    for path in paths:
        *folders, name = path.casefold().split("/")
        words = (
            re.split(r"[\W_]+", name.rsplit(".", 1)[0]) if name.endswith((".json", ".xml", ".csv")) else []
        )
        splits = {SPLIT_FOLDERS[word] for word in (*folders, *words) if word in SPLIT_FOLDERS}
        if len(splits) == 1:
            return splits.pop()
    return None


def annotation_set(
    pictures: Iterable[AnnotatedPicture],
    problems: Sequence[Problem],
    classes: Sequence[str] = (),
    finder: PictureFinder | None = None,
) -> AnnotationSet:
    """The labels of a data set.

    Args:
        pictures: in any order. Of those with the same path the first counts; the others become problems.
        problems: found so far.
        classes: in the order of their ids, where the format says it; other classes follow in natural order.
        finder: of the pictures; those without labels, in the folders of those with labels, are a problem.
    """
    kept: dict[str, AnnotatedPicture] = {}
    found = list(problems)
    for picture in map(_with_composed_labels, pictures):
        first = kept.setdefault(picture.path, picture)
        if first is not picture:
            found.append(_labelled_twice(first, picture))
    if finder and (unlabelled := _unlabelled(finder, kept)):
        what = f"{len(unlabelled):,} pictures have no labels and are left out; one is {quoted(unlabelled[0])}"
        found.append(Problem(PurePosixPath(unlabelled[0]).parent.as_posix(), what))
    used = {annotation.label for picture in kept.values() for annotation in picture.annotations}
    return AnnotationSet(
        tuple(dict.fromkeys([*map(composed, classes), *sorted(used, key=natural_order)])),
        tuple(sorted(kept.values(), key=lambda picture: (picture.split or "", picture.path))),
        tuple(found),
    )


def _with_composed_labels(picture: AnnotatedPicture) -> AnnotatedPicture:
    """The picture with class names in Unicode's composed form: accents written apart make no other class."""
    if all(composed(a.label) == a.label for a in picture.annotations):
        return picture
    annotations = tuple(replace(a, label=composed(a.label)) for a in picture.annotations)
    return replace(picture, annotations=annotations)


def _labelled_twice(first: AnnotatedPicture, second: AnnotatedPicture) -> Problem:
    """What to say of a picture that has labels in two places. Where they differ, nobody can tell which are
    complete."""
    mine, other = (sorted((a.label, a.box_xyxy) for a in one.annotations) for one in (first, second))
    what = f"the picture {quoted(second.path)} is labelled already in {first.place}"
    if mine == other:
        return Problem(second.place, f"{what}, in the same way", left_out=len(other))
    what = f"{what}, in another way; the picture is left out"
    return Problem(second.place, what, left_out=len(other), picture=second.path)


def _unlabelled(finder: PictureFinder, labelled: Iterable[str]) -> list[str]:
    """The pictures without labels in folders where others have some."""
    known = set(labelled)
    folders = {PurePosixPath(path).parent for path in known}
    return [path for path in finder.paths if path not in known and PurePosixPath(path).parent in folders]
