"""Where YOLO's label files are: the one of each picture, and those of no picture.

images/train/a.jpg -> labels/train/a.txt     a.jpg -> a.txt     x/a.jpg -> x/labels/a.txt, labels/a.txt
"""

from collections import defaultdict
from collections.abc import Collection, Iterable
from pathlib import PurePosixPath

from striate.data.formats.yolo_files import lines_of
from striate.data.formats.yolo_lines import BOX, Line, parse_line
from striate.data.images import IMAGE_SUFFIXES
from striate.data.label_files import LabelFiles
from striate.data.xml_reading import number
from striate.errors import InputError
from striate.text_files import composed

_LABELS, _IMAGES, _SUFFIX = "labels", "images", ".txt"
_LOOKED_AT = 5  # label files that tell whether they are YOLO's


def label_paths(picture: str) -> list[str]:
    """Where the labels of a picture may be: in "labels" instead of the last "images" of its path, beside it,
    or in a folder "labels" beside its own folder or in it."""
    *folders, _ = picture.split("/")
    name = _stem(picture) + _SUFFIX
    places = [folders, [*folders, _LABELS], [*folders[:-1], _LABELS]]
    images = [k for k, folder in enumerate(folders) if folder.casefold() == _IMAGES]
    if images:
        places.insert(0, [*folders[: images[-1]], _LABELS, *folders[images[-1] + 1 :]])
    return list(dict.fromkeys("/".join([*place, name]) for place in places))


def label_files(pictures: Iterable[str], files: LabelFiles) -> dict[str, str]:
    """The label file by picture, of those pictures that have one.

    Upper and lower case, and how accents are written, count only where several files differ by no more.
    """
    found: dict[str, str] = {}
    others: list[tuple[str, list[str]]] = []
    for picture in pictures:
        candidates = label_paths(picture)
        own = next((path for name in candidates if (path := files.named(name))), None)
        if own:
            found[picture] = own
        else:
            others.append((picture, candidates))
    alike = _by_folded_path(files) if others else {}
    taken = set(found.values())
    for picture, candidates in others:
        close = [path for name in candidates for path in alike.get(_folded(name), ()) if path not in taken]
        if len(close) == 1:
            found[picture] = close[0]
    return found


def unused(
    files: LabelFiles, used: Collection[str], others: Collection[str], pictures: Iterable[str]
) -> dict[str, tuple[int, str]]:
    """The text files beside label files, in folders called "labels", or named as a picture, that hold lines
    as YOLO has them and are those of no picture.

    Args:
        used: the label files of pictures.
        others: further files that are known.
        pictures: all of them.

    Returns:
        By path, how many lines they hold, and why they cannot be read ("" if they can).
    """
    beside = {_folder(path) for path in used}
    stems = {_folded(_stem(path)) for path in pictures}
    found = {}
    for path in files.paths:
        if path in used or path in others or not path.casefold().endswith(_SUFFIX):
            continue
        is_own = _LABELS in _folder(path).casefold().split("/") or _folded(_stem(path)) in stems
        if is_own or _folder(path) in beside:
            try:
                lines, fault = parsed_lines(files, path), ""
            except InputError as error:
                lines, fault = [], error.what
            if (count := sum(map(_is_label, lines))) or (fault and is_own):
                found[path] = (count, fault)
    return found


def without_labels(pictures: Collection[str], orphans: Collection[str]) -> dict[str, str]:
    """The pictures of which it is not sure that they have no objects, by path, with a label file that may be
    theirs: one of their name in another place, or one of no picture's name in their place, or where those of
    the pictures beside them are.

    Args:
        pictures: those without a label file.
        orphans: the label files of no picture.
    """
    by_stem = {_folded(_stem(path)): path for path in orphans}
    by_folder = {_folded(_folder(path)): path for path in orphans}
    doubtful: dict[str, str] = {}
    beside: dict[str, str] = {}  # folders of pictures -> where a picture there may have its labels
    for picture in pictures if orphans else ():
        places = (_folded(_folder(path)) for path in label_paths(picture))
        own = by_stem.get(_folded(_stem(picture)))
        near = own or next((by_folder[place] for place in places if place in by_folder), None)
        if near:
            doubtful[picture] = beside[_folder(picture)] = near
    for picture in pictures:
        if _folder(picture) in beside:
            doubtful.setdefault(picture, beside[_folder(picture)])
    return doubtful


def unnamed_labels(files: LabelFiles) -> str | None:
    """A label file, where some lie as YOLO has them and hold what YOLO's hold; None elsewhere."""
    stems = {
        _folded(path.rpartition(".")[0])
        for path in files.paths
        if PurePosixPath(path).suffix.lower() in IMAGE_SUFFIXES
    }
    first, looked_at = None, 0
    for path in files.paths:
        folded = _folded(path)
        if not folded.endswith(_SUFFIX):
            continue
        if _LABELS not in folded.split("/")[:-1] and folded[: -len(_SUFFIX)] not in stems:
            continue
        try:
            lines = parsed_lines(files, path)
        except InputError:
            return None
        if not all(map(_is_usual, lines)):
            return None
        if lines:
            first = first or path
            looked_at += 1
        if looked_at == _LOOKED_AT:
            break
    return first


def parsed_lines(files: LabelFiles, path: str) -> list[Line]:
    """The lines of a label file that are not empty. Raises InputError as ``decode_text`` does."""
    return [line for row in lines_of(files, path) if (line := parse_line(row))]


def _is_label(line: Line) -> bool:
    """Whether a line is meant to be an object, whatever is wrong with its values."""
    return len(line.values) >= BOX or number(line.label) is not None


def _is_usual(line: Line) -> bool:
    """Whether a line holds the number of a class, and fractions."""
    return (
        line.label.isdecimal() and len(line.values) >= BOX and all(0 <= v <= 1.5 for v in line.values[:BOX])
    )


def _by_folded_path(files: LabelFiles) -> dict[str, list[str]]:
    found: defaultdict[str, list[str]] = defaultdict(list)
    for path in files.paths:
        if path.casefold().endswith(_SUFFIX):
            found[_folded(path)].append(path)
    return found


def _folder(path: str) -> str:
    return path.rpartition("/")[0]


def _stem(path: str) -> str:
    return path.rpartition("/")[2].rpartition(".")[0]


def _folded(path: str) -> str:
    """The same for paths that differ by case, or by how accents are written, only."""
    return composed(path).casefold()
