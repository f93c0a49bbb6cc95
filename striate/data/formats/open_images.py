"""Open Images: the CSV files of boxes of the data set, and what is made of them.

    ImageID,Source,LabelName,Confidence,XMin,XMax,YMin,YMax,IsOccluded,IsTruncated,IsGroupOf,IsDepiction, ...
    000002b66c9c498e,xclick,/m/01g317,1,0.012,0.195,0.148,0.587,0,1,0,0, ...

- The picture is ImageID with any suffix. Values are fractions of it.
- ``class-descriptions-boxable.csv``, or any file with "class-descriptions" in its name, names the classes by
  lines "/m/01g317,Person"; without it they keep their ids.
- IsGroupOf is a crowd; -1 is not known. What has no place of its own is an attribute, as written.
- Splits come from the names or folders of the files: train-annotations-bbox.csv.
- Only what is written is known: a picture without a line has no labels, and is left out.
"""

from collections import Counter
from dataclasses import replace
from pathlib import PurePosixPath

from striate.data.annotations import AnnotatedPicture, AnnotationSet, Problem, quoted
from striate.data.formats.csv_boxes import TableReader
from striate.data.formats.csv_table import Table, looks_like_open_images, read_lines, read_table
from striate.data.label_files import LabelFiles
from striate.data.label_pictures import annotation_set, nothing_left
from striate.errors import InputError, one_line

_DESCRIPTIONS = "class-descriptions"


def recognizes(files: LabelFiles) -> bool:
    """Whether there is a CSV file of the boxes of Open Images."""
    return any(looks_like_open_images(files.read(path)) for path in files.ending(".csv"))


def read(files: LabelFiles) -> AnnotationSet:
    """Read all labels.

    Raises:
        InputError: there are none, a file is no CSV, or a description of classes is no list of ids and names.
    """
    reader = TableReader(files, frozenset())
    names = _class_names(files)
    pictures: list[AnnotatedPicture] = []
    for path in files.ending(".csv"):
        if looks_like_open_images(files.read(path)):
            table = read_table(files, path)
            reader.problems += _nameless(table, names)
            pictures += reader.read(_named(table, names), in_fractions=True)
        elif not _is_description(path):
            reader.problems.append(Problem(path, "the file has no boxes of Open Images and is left aside"))
    if not pictures:
        what, mend = "there are no boxes of Open Images", "add train-annotations-bbox.csv"
        raise nothing_left(what, files.root, reader.problems, mend)
    return annotation_set(pictures, reader.problems, (), reader.finder)


def _is_description(path: str) -> bool:
    return _DESCRIPTIONS in PurePosixPath(path).name


def _class_names(files: LabelFiles) -> dict[str, str]:
    """The names of classes by their ids; two of the same name are told apart by their ids."""
    names: dict[str, str] = {}
    for path in files.paths:
        if not (_is_description(path) and path.lower().endswith(".csv")):
            continue
        for line, row in read_lines(files, path)[0]:
            if len(row) < 2 or not row[0].strip() or not row[1].strip():
                where = f"{files.place(path)}, line {line}"
                raise InputError("the line is no id and name of a class", where, "mend it")
            names.setdefault(row[0].strip(), one_line(row[1].strip()))
    counts = Counter(names.values())
    return {key: f"{name} ({key})" if counts[name] > 1 else name for key, name in names.items()}


def _nameless(table: Table, names: dict[str, str]) -> list[Problem]:
    """That classes have no names, with the first of them."""
    k = table.columns.index("label")
    for line, row in table.rows:
        if len(row) > k and row[k].strip() and row[k].strip() not in names:
            what = f"no {_DESCRIPTIONS} file names the class {quoted(row[k])}; such classes keep their ids"
            return [Problem(f"{table.path}, line {line}", what)]
    return []


def _named(table: Table, names: dict[str, str]) -> Table:
    """The table with names of classes in place of ids, as far as they are known."""
    k = table.columns.index("label")
    rows = (
        (line, (*row[:k], names.get(row[k].strip(), row[k]), *row[k + 1 :]) if len(row) > k else row)
        for line, row in table.rows
    )
    return replace(table, rows=tuple(rows))
