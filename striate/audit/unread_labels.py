"""Labels read as far as they can be read: one file that is no label file does not hide all others."""

from collections.abc import Callable, Iterable
from pathlib import PurePosixPath

from striate.data.annotations import AnnotationSet, Problem
from striate.data.json_reading import parse_json
from striate.data.label_files import LabelFiles
from striate.data.label_pictures import PictureFinder
from striate.data.xml_reading import parse_xml
from striate.errors import InputError

_PARSERS: dict[str, Callable[[bytes, str], object]] = {".xml": parse_xml, ".json": parse_json}


def read_as_far_as_possible(
    reader: Callable[[LabelFiles], AnnotationSet], files: LabelFiles
) -> tuple[AnnotationSet | InputError, tuple[Problem, ...]]:
    """The labels of all files that can be read, or why there are none; and a problem for each other file.

    Where a reader refuses a file, it reads again without; all files of the kind that are damaged in the same
    way are found at once.
    """
    unread: dict[str, InputError] = {}
    while True:
        try:
            return reader(_without(files, unread)), _problems(unread, files)
        except InputError as error:
            path = _file_of(error, files)
            if path is None or path in unread or path == files.file:
                return next(iter(unread.values()), error), _problems(unread, files)
            unread |= {path: error} | _damaged(files, PurePosixPath(path).suffix.lower(), unread)


def place_of(error: InputError, files: LabelFiles) -> str:
    """File and line of an error as problems name them, from the root of the data."""
    return error.where.removeprefix(f"{files.root}/")


def _file_of(error: InputError, files: LabelFiles) -> str | None:
    """The label file that an error is about; None if it is about none."""
    place = place_of(error, files)
    while place and place not in files:
        place = place.rpartition(", ")[0]  # "a.xml, line 3"
    return place or None


def _damaged(files: LabelFiles, suffix: str, known: Iterable[str]) -> dict[str, InputError]:
    """The files of a suffix that are no XML or no JSON, with what is wrong; of other suffixes none."""
    found: dict[str, InputError] = {}
    parse = _PARSERS.get(suffix)
    for path in set(files.ending(suffix)) - set(known) if parse else ():
        try:
            parse(files.read(path), files.place(path))  # type: ignore[misc]
        except InputError as error:
            found[path] = error
    return dict(sorted(found.items()))


def _without(files: LabelFiles, unread: Iterable[str]) -> LabelFiles:
    hidden = set(unread)
    paths = tuple(path for path in files.paths if path not in hidden)
    return LabelFiles(files.root, paths, files.read, files.file, files.folder)


def _problems(unread: dict[str, InputError], files: LabelFiles) -> tuple[Problem, ...]:
    finder = PictureFinder(files)
    problems = []
    for path, error in unread.items():
        pictures = finder.with_stem(PurePosixPath(path).stem, path)
        picture = pictures[0] if len(pictures) == 1 else ""
        place = place_of(error, files)
        problems.append(Problem(place, error.what, picture=picture, blocks_training=True))
    return tuple(problems)
