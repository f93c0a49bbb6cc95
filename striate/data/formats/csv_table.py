"""CSV files as tables of boxes: what is between the values, and which column means what."""

import csv
import io
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import PurePosixPath
from typing import Any

from striate.data.annotations import quoted
from striate.data.images import IMAGE_SUFFIXES
from striate.data.label_files import LabelFiles
from striate.data.xml_reading import number
from striate.errors import InputError, one_line
from striate.text_files import as_utf8, decode_text

CLASS_LISTS = ("classes.csv", "class_list.csv")
CORNERS = ("x1", "y1", "x2", "y2")
SIDES = ("x", "y", "w", "h")
_BOX = "bbox"  # a column with all four, as "[10, 20, 30, 40]"
_ONLY_CLASS = "object"

# Usual names of columns, by what they mean; of several in a file the first counts.
_NAMES = {
    "path": (
        "path", "filename", "file_name", "file", "filepath", "file_path", "image", "image_path", "image_name",
        "image_file", "image_filename", "img", "img_path", "picture", "image_id", "imageid", "img_id",
    ),
    "label": (
        "class", "label", "class_name", "classname", "class_label", "category", "category_name", "label_name",
        "labelname", "name",
    ),
    "x1": ("xmin", "x1", "x_min", "left", "bbox_xmin", "bbox_x1"),
    "y1": ("ymin", "y1", "y_min", "top", "bbox_ymin", "bbox_y1"),
    "x2": ("xmax", "x2", "x_max", "right", "bbox_xmax", "bbox_x2"),
    "y2": ("ymax", "y2", "y_max", "bottom", "bbox_ymax", "bbox_y2"),
    "x": ("x", "bbox_x", "box_x"),
    "y": ("y", "bbox_y", "box_y"),
    "w": ("w", "bbox_width", "box_width"),
    "h": ("h", "bbox_height", "box_height"),
    "width": ("image_width", "img_width", "width"),
    "height": ("image_height", "img_height", "height"),
    "split": ("split", "set", "subset"),
    "unit": ("unit",),
    "is_crowd": ("is_crowd", "iscrowd", "isgroupof"),
    "difficult": ("difficult",),
    "occluded": ("occluded", "isoccluded"),
    "truncated": ("truncated", "istruncated"),
    _BOX: ("bbox",),
}  # fmt: skip
_RETINANET = ("path", *CORNERS, "label")
_DELIMITERS = ",;\t|"
_FIRST_LINE_OF_EXCEL = re.compile(r"[\r\n]*\"?sep=(?P<delimiter>[,;\t|])\"?[,;\t|]*(\r\n|\r|\n)", re.I)
_OPEN_IMAGES = frozenset({"imageid", "labelname", "xmin", "xmax", "ymin", "ymax"})


@dataclass(frozen=True)
class Table:
    """A CSV file of boxes.

    Attributes:
        path: the file.
        columns: what each column means: keys of the columns that are known, else the name as written.
        box: ``CORNERS`` or ``SIDES``, whichever the columns are.
        rows: line number and values; there may be more or fewer values than columns.
        delimiter: what is between the values.
        notes: what is to be told of how the columns are read.
    """

    path: str
    columns: tuple[str, ...]
    box: tuple[str, ...]
    rows: tuple[tuple[int, tuple[str, ...]], ...]
    delimiter: str
    notes: tuple[str, ...] = ()


def is_class_list(path: str) -> bool:
    """Whether a file is named as a list of classes."""
    return PurePosixPath(path).name in CLASS_LISTS


def looks_like_table(content: bytes) -> bool:
    """Whether the first line of a file is that of a table of boxes."""
    return _heading(content, _columns) is not None


def looks_like_open_images(content: bytes) -> bool:
    """Whether the first line of a file is that of the boxes of Open Images."""
    return bool(_heading(content, lambda names: {name.strip().casefold() for name in names} >= _OPEN_IMAGES))


def read_table(files: LabelFiles, path: str) -> Table:
    """Read a CSV file.

    Raises:
        InputError: not text, not CSV, or without a column that is needed.
    """
    rows, delimiter = read_lines(files, path)
    first = rows[0][1] if rows else ()
    columns = _columns(first)
    if columns is None:
        raise InputError(
            "the first line names no columns for picture, class and box",
            f"{files.place(path)}, line {rows[0][0] if rows else 1}",
            "write filename,xmin,ymin,xmax,ymax,class",
        )
    box = CORNERS if set(CORNERS) <= set(columns) else SIDES
    rows = [(line, _without_surplus(row, len(columns))) for line, row in rows]
    table = Table(path, columns, box, tuple(rows if _is_retinanet(first) else rows[1:]), delimiter)
    return _with_sides(table) if _BOX in columns and not set(box) <= set(columns) else table


def _with_sides(table: Table) -> Table:
    """A table with a column of four numbers as one with four columns, and a class if it names none."""
    k, width = table.columns.index(_BOX), len(table.columns)
    notes = ["the column bbox is taken as x, y, width, height"]
    columns = (*table.columns[:k], *SIDES, *table.columns[k + 1 :])
    is_unnamed = "label" not in table.columns
    if is_unnamed:
        notes.append(f"no column names a class; all objects are of the class {quoted(_ONLY_CLASS)}")
        columns = (*columns, "label")
    rows = []
    for line, row in table.rows:
        if len(row) == width:
            sides = _four_values(row[k])
            label = (_ONLY_CLASS if any(sides) else "",) if is_unnamed else ()
            row = (*row[:k], *sides, *row[k + 1 :], *label)
        rows.append((line, row))
    return replace(table, columns=columns, rows=tuple(rows), notes=tuple(notes))


def _four_values(text: str) -> tuple[str, ...]:
    """The values of "[10, 20, 30, 40]"; what is no four values stays in the first, where it is a fault."""
    values = re.split(r"[,;\s]+", text.strip(" []()"))
    if values == [""]:
        return ("", "", "", "")
    return tuple(values) if len(values) == 4 else (text, "", "", "")


def _without_surplus(row: tuple[str, ...], width: int) -> tuple[str, ...]:
    """A row without the empty values that are behind its last column."""
    return row if len(row) <= width or any(map(str.strip, row[width:])) else row[:width]


def read_classes(files: LabelFiles, path: str) -> list[str]:
    """The class names of lines "name,id", in the order of ids.

    Raises:
        InputError: another line, or a name or id that is there twice.
    """
    names: dict[int, str] = {}
    for line, row in read_lines(files, path)[0]:
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


def read_lines(files: LabelFiles, path: str) -> tuple[list[tuple[int, tuple[str, ...]]], str]:
    """Line number and values of every line that holds something, and what is between the values.

    Raises:
        InputError: not text, or not CSV.
    """
    text, delimiter, skipped = _start(decode_text(files.read(path), files.place(path)))
    spaced = re.search(f'{re.escape(delimiter)} +"(?!")', text) is not None  # a quotation may follow a space
    reader = csv.reader(
        io.StringIO(text, newline=""), delimiter=delimiter, strict=True, skipinitialspace=spaced
    )
    try:
        rows = [
            (reader.line_num + skipped, tuple(row)) for row in reader if any(value.strip() for value in row)
        ]
    except csv.Error as error:
        where = f"{files.place(path)}, line {reader.line_num + skipped}"
        raise InputError(f"the file is no CSV: {error}", where, "mend the line") from None
    return rows, delimiter


def _heading(content: bytes, found: Callable[[tuple[str, ...]], Any]) -> Any:
    """What ``found`` says of the first line of a file, cut at the delimiter with which it says something."""
    text, *_ = _start(as_utf8(content[:10_000]).decode("utf-8", "replace"))
    first = _first_line(text)
    return next((said for delimiter in _DELIMITERS if (said := found(_split(first, delimiter)))), None)


def _start(text: str) -> tuple[str, str, int]:
    """The text behind a first line "sep=;" of Excel, its delimiter, and how many lines are before it."""
    if match := _FIRST_LINE_OF_EXCEL.match(text):
        return text[match.end() :], match["delimiter"], len(match[0].splitlines())
    first = _first_line(text)
    known = [delimiter for delimiter in _DELIMITERS if _columns(_split(first, delimiter))]
    return text, known[0] if known else max(_DELIMITERS, key=first.count), 0


def _first_line(text: str) -> str:
    return re.split(r"[\r\n]", text.lstrip("\r\n"), maxsplit=1)[0]


def _split(line: str, delimiter: str) -> tuple[str, ...]:
    try:
        return tuple(next(csv.reader([line], delimiter=delimiter), ()))
    except csv.Error:
        return ()


def _columns(first: tuple[str, ...]) -> tuple[str, ...] | None:
    """What the columns mean; None if the first line is not that of a table of boxes."""
    while first and not first[-1].strip() and len(first) > len(_RETINANET):
        first = first[:-1]
    if _is_retinanet(first):
        return _RETINANET
    names = [name.strip().casefold().replace(" ", "_") for name in first]
    columns = [name.strip() for name in first]
    for meaning, usual in _NAMES.items():
        if found := next((name for name in usual if name in names), None):
            columns[names.index(found)] = meaning
    if {"x1", "y1"} <= set(columns) and not {"x2", "y2", "x", "y"} & set(columns):
        columns = [{"x1": "x", "y1": "y"}.get(column, column) for column in columns]  # xmin,ymin,width,height
    if set("xy") <= set(columns) and not set(CORNERS) <= set(columns) and not set("wh") & set(columns):
        turned = {"width": "w", "height": "h"}  # beside x and y alone they are those of the box
        columns = [turned.get(column, column) for column in columns]
    known = set(columns)
    is_table = {"path", "label"} <= known and any(set(box) <= known for box in (CORNERS, SIDES))
    is_table = is_table or {"path", _BOX} <= known
    return tuple(columns) if is_table and len(set(names)) == len(known) == len(columns) else None


def _is_retinanet(row: tuple[str, ...]) -> bool:
    """Whether a line is path,x1,y1,x2,y2,class, with numbers or with nothing behind the path."""
    row = _without_surplus(row, len(_RETINANET))
    if len(row) != len(_RETINANET) or PurePosixPath(row[0].strip()).suffix.lower() not in IMAGE_SUFFIXES:
        return False
    return all(decimal(text) is not None for text in row[1:5]) or not any(text.strip() for text in row[1:])


def decimal(text: str) -> float | None:
    """The number that a text is, with a point or a comma before its fraction; None if it is none."""
    value = number(text)
    return number(text.strip().replace(",", ".", 1)) if value is None and "." not in text else value
