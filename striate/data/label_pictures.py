"""Which picture a label file means, which split it is of, and all pictures as one set, each once."""

import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import PurePosixPath

from striate.data.annotations import AnnotatedPicture, AnnotationSet, Problem, quoted
from striate.data.formats.image_folder import SPLIT_FOLDERS, natural_order
from striate.data.images import IMAGE_SUFFIXES
from striate.data.label_files import LabelFiles
from striate.errors import one_line


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
        self._by_name: defaultdict[str, list[str]] = defaultdict(list)
        self._by_stem: defaultdict[str, list[str]] = defaultdict(list)
        for path in self.paths:
            self._by_name[PurePosixPath(path).name.casefold()].append(path)
            self._by_stem[PurePosixPath(path).stem].append(path)

    def __contains__(self, path: object) -> bool:
        return path in self._known

    def find(self, written: str, label_path: str) -> tuple[str | None, str]:
        """The picture that a label file calls ``written``.

        Args:
            written: its name or path there.
            label_path: the label file, among the same files.

        Returns:
            Its path, and what is wrong with the name ("" if nothing). Where there is no such file the path is
            as written; where the name leads out of the data it is that of the file of this name within; None
            if nothing of the name can be used.
        """
        path, fault = inside(written), ""
        if path is None:
            path = inside(re.split(r"[/\\]", written.strip())[-1])
            fault = f"the picture's path {quoted(written)} leads out of the data; only its name counts"
            if path is None:
                return None, f"{quoted(written)} is no usable name of a picture"
        for whole in ((PurePosixPath(label_path).parent / path).as_posix(), path):
            if whole in self._known:
                return whole, fault
        named = self._by_name[PurePosixPath(path).name.casefold()]
        ending = [p for p in named if f"/{p}".endswith(f"/{path}")]
        same_case = [p for p in named if PurePosixPath(p).name == PurePosixPath(path).name]
        nearest = _nearest(ending or same_case or named, label_path)
        if len(nearest) > 1:
            shown = ", ".join(nearest[:2])
            return path, f"several pictures could be meant by {quoted(written)}: {shown}"
        if not nearest:
            return path, fault
        if not ending and not fault:
            fault = f"there is no picture {quoted(written)}; {quoted(nearest[0])} is taken"
        return nearest[0], fault

    def with_stem(self, stem: str, label_path: str) -> list[str]:
        """The pictures whose name without suffix is ``stem``; of several those nearest to the label file."""
        return _nearest(self._by_stem[stem], label_path)


def _nearest(paths: list[str], label_path: str) -> list[str]:
    """Those of ``paths`` that share the most leading folders with a label file."""
    folders = PurePosixPath(label_path).parts[:-1]

    def shared(path: str) -> int:
        count = 0
        for mine, other in zip(folders, PurePosixPath(path).parts[:-1], strict=False):
            if mine != other:
                break
            count += 1
        return count

    most = max(map(shared, paths), default=0)
    return [path for path in paths if shared(path) == most]


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
    for picture in pictures:
        first = kept.setdefault(picture.path, picture)
        if first is not picture:
            what = (
                f"the picture {quoted(picture.path)} is labelled already in {first.place}; this is left out"
            )
            found.append(Problem(picture.place, what, left_out=len(picture.annotations)))
    if finder and (unlabelled := _unlabelled(finder, kept)):
        what = f"{len(unlabelled):,} pictures have no labels and are left out; one is {quoted(unlabelled[0])}"
        found.append(Problem(PurePosixPath(unlabelled[0]).parent.as_posix(), what))
    used = {annotation.label for picture in kept.values() for annotation in picture.annotations}
    return AnnotationSet(
        tuple(dict.fromkeys([*classes, *sorted(used, key=natural_order)])),
        tuple(sorted(kept.values(), key=lambda picture: (picture.split or "", picture.path))),
        tuple(found),
    )


def _unlabelled(finder: PictureFinder, labelled: Iterable[str]) -> list[str]:
    """The pictures without labels in folders where others have some."""
    known = set(labelled)
    folders = {PurePosixPath(path).parent for path in known}
    return [path for path in finder.paths if path not in known and PurePosixPath(path).parent in folders]
