"""CSV files as tables of boxes: what is between the values, and which column means what."""

import csv
import io
import re
from dataclasses import dataclass
from pathlib import PurePosixPath

from striate.data.annotations import quoted
from striate.data.images import IMAGE_SUFFIXES
from striate.data.label_files import LabelFiles
from striate.data.xml_reading import number
from striate.errors import InputError, one_line
from striate.text_files import as_utf8, decode_text

CLASS_LISTS = ("classes.csv", "class_list.csv")
CORNERS = ("x1", "y1", "x2", "y2")
SIDES = ("x", "y", "w", "h")

# Usual names of columns, by what they mean; of several in a file the first counts.
_NAMES = {
    "path": ("path", "filename", "file_name", "file", "image", "image_path", "image_name", "img", "picture"),
    "label": ("class", "label", "class_name", "category", "name"),
    "x1": ("xmin", "x1", "x_min", "left"),
    "y1": ("ymin", "y1", "y_min", "top"),
    "x2": ("xmax", "x2", "x_max", "right"),
    "y2": ("ymax", "y2", "y_max", "bottom"),
    "x": ("x", "bbox_x", "box_x"),
    "y": ("y", "bbox_y", "box_y"),
    "w": ("w", "bbox_width", "box_width"),
    "h": ("h", "bbox_height", "box_height"),
    "width": ("image_width", "img_width", "width"),
    "height": ("image_height", "img_height", "height"),
    "split": ("split", "set", "subset"),
    "unit": ("unit",),
    "is_crowd": ("is_crowd", "iscrowd"),
}
_RETINANET = ("path", *CORNERS, "label")
_DELIMITERS = ",;\t|"


@dataclass(frozen=True)
class Table:
    """A CSV file of boxes.

    Attributes:
        path: the file.
        columns: what each column means: keys of the columns that are known, else the name as written.
        box: ``CORNERS`` or ``SIDES``, whichever the columns are.
        rows: line number and values; there may be more or fewer values than columns.
    """

    path: str
    columns: tuple[str, ...]
    box: tuple[str, ...]
    rows: tuple[tuple[int, tuple[str, ...]], ...]


def is_class_list(path: str) -> bool:
    """Whether a file is named as a list of classes."""
    return PurePosixPath(path).name in CLASS_LISTS


def looks_like_table(content: bytes) -> bool:
    """Whether the first line of a file is that of a table of boxes."""
    first = as_utf8(content[:10_000]).decode("utf-8", "replace").lstrip("\r\n").partition("\n")[0]
    return any(_columns(_split(first, delimiter)) for delimiter in _DELIMITERS)


def read_table(files: LabelFiles, path: str) -> Table:
    """Read a CSV file.

    Raises:
        InputError: not text, not CSV, or without a column that is needed.
    """
    rows = _rows(files, path)
    first = rows[0][1] if rows else ()
    columns = _columns(first)
    if columns is None:
        raise InputError(
            "the first line names no columns for picture, class and box",
            f"{files.place(path)}, line {rows[0][0] if rows else 1}",
            "write filename,xmin,ymin,xmax,ymax,class",
        )
    box = CORNERS if set(CORNERS) <= set(columns) else SIDES
    return Table(path, columns, box, tuple(rows if _is_retinanet(first) else rows[1:]))


def read_classes(files: LabelFiles, path: str) -> list[str]:
    """The class names of lines "name,id", in the order of ids.

    Raises:
        InputError: another line, or a name or id that is there twice.
    """
    names: dict[int, str] = {}
    for line, row in _rows(files, path):
        name, key = row if len(row) == 2 else ("", "")
        if not name or name != one_line(name) or not re.fullmatch(r"\s*[0-9]{1,9}\s*", key):
            raise InputError("the line is no name,id", f"{files.place(path)}, line {line}", "mend it")
        if name in names.values() or int(key) in names:
            raise InputError(
                f"the class {quoted(name)} or its id is there twice",
                f"{files.place(path)}, line {line}",
                "list each class once",
            )
        names[int(key)] = name
    return [name for _, name in sorted(names.items())]


def _rows(files: LabelFiles, path: str) -> list[tuple[int, tuple[str, ...]]]:
    """Line number and values of every line that is not empty."""
    text = decode_text(files.read(path), files.place(path))
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=_delimiter(text), strict=True)
    try:
        return [(reader.line_num, tuple(row)) for row in reader if row]
    except csv.Error as error:
        where = f"{files.place(path)}, line {reader.line_num}"
        raise InputError(f"the file is no CSV: {error}", where, "mend the line") from None


def _delimiter(text: str) -> str:
    first = text.lstrip("\r\n").partition("\n")[0]
    known = [delimiter for delimiter in _DELIMITERS if _columns(_split(first, delimiter))]
    return known[0] if known else max(_DELIMITERS, key=first.count)


def _split(line: str, delimiter: str) -> tuple[str, ...]:
    try:
        return tuple(next(csv.reader([line], delimiter=delimiter), ()))
    except csv.Error:
        return ()


def _columns(first: tuple[str, ...]) -> tuple[str, ...] | None:
    """What the columns mean; None if the first line is not that of a table of boxes."""
    if _is_retinanet(first):
        return _RETINANET
    names = [name.strip().casefold().replace(" ", "_") for name in first]
    columns = [name.strip() for name in first]
    for meaning, usual in _NAMES.items():
        if found := next((name for name in usual if name in names), None):
            columns[names.index(found)] = meaning
    if set("xy") <= set(columns) and not set(CORNERS) <= set(columns) and not set("wh") & set(columns):
        turned = {"width": "w", "height": "h"}  # beside x and y alone they are those of the box
        columns = [turned.get(column, column) for column in columns]
    is_table = {"path", "label"} <= set(columns) and any(set(box) <= set(columns) for box in (CORNERS, SIDES))
    return tuple(columns) if is_table and len(set(names)) == len(set(columns)) == len(columns) else None


def _is_retinanet(row: tuple[str, ...]) -> bool:
    """Whether a line is path,x1,y1,x2,y2,class, with numbers or with nothing behind the path."""
    if len(row) != 6 or PurePosixPath(row[0].strip()).suffix.lower() not in IMAGE_SUFFIXES:
        return False
    return all(number(text) is not None for text in row[1:5]) or not any(text.strip() for text in row[1:])
