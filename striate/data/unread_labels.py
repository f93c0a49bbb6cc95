"""Label files in a format that is not read, which must be named: their pictures are no classes."""

import csv
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import PurePosixPath

from striate.data.formats.annotations import READERS
from striate.data.formats.image_folder import NoClassFoldersError
from striate.data.images import IMAGE_SUFFIXES
from striate.data.label_files import LabelFiles
from striate.errors import InputError

_TEXT = (".json", ".jsonl", ".ndjson", ".geojson", ".xml", ".csv", ".tsv", ".txt")
_BINARY = (
    ".mat", ".tfrecord", ".tfrecords", ".record", ".rec", ".lst", ".odgt", ".manifest", ".parquet", ".arrow",
    ".h5", ".hdf5", ".npy", ".npz", ".pkl", ".pickle", ".db", ".sqlite", ".xlsx", ".xls",
)  # fmt: skip
_ABOUT = re.compile(r"(?i)(read.?me|licen[cs]e|notice|changelog|citation|requirements|about|copying)")
_NAMED_AS_LABELS = re.compile(r"(?i)annot|label|bbox|boxes|coco|ground.?truth|\bgt\b|instances|via")
_BOXES = re.compile(
    rb'(?i)b(?:nd|ounding_?)?_?box|polygon|"(?:shapes|regions|points|keypoints|segmentation|annotations)"|<object>'
    rb'|x_?min|"coordinates"\s*:\s*\{\s*"(?:x|y|width|height)"|"[xy]"\s*:\s*"?[0-9.]+"?\s*,'
)
_FRACTION = rb"-?(?:[01]?\.[0-9]+|[01]|[0-9](?:\.[0-9]*)?[eE]-[0-9]+)"  # of a picture's side
_YOLO_LINE = re.compile(rb"[0-9]+(?:[ \t,]+%b){4}(?:[ \t,]+-?[0-9.]+(?:[eE]-?[0-9]+)?)*[ \t\r]*" % _FRACTION)
_PICTURE_COLUMNS = frozenset({
    "path", "filename", "file_name", "file", "image", "image_path", "image_name", "imageid", "image_id",
    "img", "picture", "id", "name",
})  # fmt: skip
_CLASS_COLUMNS = frozenset({
    "class", "label", "class_name", "category", "target", "labels", "classes", "breed", "species",
    "diagnosis",
})  # fmt: skip
_PLACES = frozenset({
    "x", "y", "x1", "y1", "left", "top", "cx", "cy", "x_center", "y_center", "xcenter", "ycenter", "center_x",
    "center_y", "x_c", "y_c", "xc", "yc",
})  # fmt: skip
_CLASSES = "a folder of pictures for each of two or more classes"
_AS_CLASSES = "--from image-folder, if the folders are classes all the same"
_MOST_READ = 200  # label files that are looked at
_ASKED = 20  # pictures, whether a label file names them


def refuse_unread_labels(files: LabelFiles) -> None:
    """Find out whether pictures have boxes or outlines in a format that is not read.

    Raises:
        InputError: they have; their folders would else be taken for classes.
    """
    pictures = [path for path in files.paths if PurePosixPath(path).suffix.lower() in IMAGE_SUFFIXES]
    stems = {str(PurePosixPath(path).with_suffix("")) for path in pictures}
    texts = [path for path in _candidates(files) if path.lower().endswith(_TEXT)]
    for path, content in _first_of_each(files, texts):
        beside = str(PurePosixPath(path).with_suffix("")) in stems
        if path.lower().endswith(".txt") and beside and _is_yolo(content):
            raise _nameless(path, files)
        if _BOXES.search(content) and (beside or _names_a_picture(content, path, pictures)):
            several = len({PurePosixPath(picture).parent for picture in pictures}) > 1
            raise _unread(path, files, _AS_CLASSES if several else _CLASSES)


def explained(error: NoClassFoldersError, files: LabelFiles) -> InputError:
    """The error of an image folder, or that there are label files which are not read, if there are any."""
    inside = f"/{error.folder}/" if error.folder else ""
    candidates = [path for path in _candidates(files) if inside in f"/{path}"]
    if not candidates:
        return error
    for path, content in _first_of_each(
        files, [path for path in candidates if path.lower().endswith(".txt")]
    ):
        if _is_yolo(content):
            return _nameless(path, files)
    path = min(candidates, key=_unlikeliness)
    if path.lower().endswith((".csv", ".tsv")) and _is_class_table(files.read(path)):
        return InputError(
            "the file is a table of pictures and their classes, which is not read yet",
            files.place(path),
            "put the pictures of each class in a folder",
        )
    return _unread(path, files, _CLASSES)


def _unread(path: str, files: LabelFiles, otherwise: str) -> InputError:
    return InputError(
        f"the labels in {path} are in no format that is read",
        files.place(path),
        f"labels as {', '.join(READERS)} write them; or {otherwise}",
    )


def _nameless(path: str, files: LabelFiles) -> InputError:
    home = PurePosixPath(path).parent.name or "the folder"
    return InputError(
        f"{home} looks like labels of YOLO ({path}), but no file names the classes",
        files.root,
        "add data.yaml with a line as names: [cat, dog], or classes.txt with a name per line",
    )


def _candidates(files: LabelFiles) -> list[str]:
    """Files that may be labels, by their suffix."""
    return [
        path
        for path in files.paths
        if path.lower().endswith(_TEXT + _BINARY) and not _ABOUT.match(PurePosixPath(path).name)
    ]


def _first_of_each(files: LabelFiles, paths: Iterable[str]) -> Iterator[tuple[str, bytes]]:
    """The first file of each folder and suffix that holds something, and its content; some only of very many.

    Bytes of zero are left out: UTF-16 is UTF-8 then, as far as it is asked for here."""
    seen: set[tuple[str, str]] = set()
    reads = 0
    for path in paths:
        kind = (path.rpartition("/")[0], PurePosixPath(path).suffix.lower())
        if kind in seen or reads == _MOST_READ:
            continue
        reads += 1
        if (content := files.read(path).replace(b"\0", b"")).strip():
            seen.add(kind)
            yield path, content


def _unlikeliness(path: str) -> tuple[bool, int, int, str]:
    suffix = PurePosixPath(path).suffix.lower()
    return not _NAMED_AS_LABELS.search(path), (_TEXT + _BINARY).index(suffix), path.count("/"), path


def _is_yolo(content: bytes) -> bool:
    """Whether all lines are a class id, four fractions and perhaps more; an empty file tells nothing."""
    lines = [line for line in content.split(b"\n") if line.strip()]
    return bool(lines) and all(_YOLO_LINE.fullmatch(line.strip()) for line in lines[:100])


def _names_a_picture(content: bytes, path: str, pictures: Sequence[str]) -> bool:
    """Whether a label file names one of the pictures in or below its folder, of which some are asked."""
    home = path.rpartition("/")[0]
    own = [picture for picture in pictures if not home or picture.startswith(f"{home}/")]
    asked = own[:: -(-len(own) // _ASKED) or 1]
    return any(PurePosixPath(picture).name.encode(errors="surrogateescape") in content for picture in asked)


def _is_class_table(content: bytes) -> bool:
    """Whether a table has a column of pictures and one of classes, and no boxes."""
    text = content[:10_000].replace(b"\0", b"").decode("utf-8-sig", "replace")
    first = text.splitlines()[:1]
    delimiter = max(",;\t|", key=lambda mark: first[0].count(mark)) if first else ","
    columns = [column.strip().casefold() for row in csv.reader(first, delimiter=delimiter) for column in row]
    if _BOXES.search(content[:1000]) or _PLACES & set(columns) or not columns:
        return False
    headed = _PICTURE_COLUMNS & set(columns) and _CLASS_COLUMNS & set(columns)
    return bool(headed) or (len(columns) == 2 and columns[0].endswith(tuple(IMAGE_SUFFIXES)))
