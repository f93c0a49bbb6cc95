"""VIA CSV: a line for each region, as VIA 1 and 2 export it, its cells with JSON.

    filename,file_size,file_attributes,region_count,region_id,region_shape_attributes,region_attributes
    a.jpg,123,"{}",1,0,"{""name"":""rect"",""x"":1,""y"":2,""width"":3,""height"":4}","{""class"":""dog""}"
    b.jpg,456,"{}",0,0,"{}","{}"

- A line with no region and the count 0 is a picture without objects.
- Where a picture has more or fewer lines than ``region_count`` says, its labels are not complete.
- The CSV of VIA 3 holds no names of classes, so that it is refused; its project file holds them.
"""

from dataclasses import replace
from typing import Any

from striate.data.annotations import Problem
from striate.data.formats.csv_table import read_lines
from striate.data.formats.via_documents import ViaDocument, ViaEntry
from striate.data.json_reading import parse_json
from striate.data.label_files import LabelFiles
from striate.errors import InputError
from striate.text_files import as_utf8

_SHAPE, _ATTRIBUTES = "region_shape_attributes", "region_attributes"
_NEEDED = frozenset({"filename", _SHAPE, _ATTRIBUTES})
_OF_VERSION_3 = (b"# Exported using VGG Image Annotator", b"# CSV_HEADER = metadata_id,")


def is_via_csv(content: bytes) -> bool:
    """Whether a CSV file is of VIA, of any version."""
    start = as_utf8(content[:10_000])
    return _SHAPE.encode() in start or any(mark in start for mark in _OF_VERSION_3)


def document(files: LabelFiles, path: str) -> ViaDocument:
    """The pictures of a file.

    Raises:
        InputError: no CSV, without the columns that are needed, or of VIA 3.
    """
    if any(mark in as_utf8(files.read(path)[:10_000]) for mark in _OF_VERSION_3):
        what = "the CSV files of VIA 3 hold no names of classes"
        raise InputError(what, files.place(path), "save the project of VIA 3, and give its .json")
    rows, _ = read_lines(files, path)
    (first, names), *rest = rows or [(1, ())]
    columns = [name.strip().removeprefix("#") for name in names]
    if not set(columns) >= _NEEDED or len(set(columns)) < len(columns):
        what = "the first line does not name the columns of VIA"
        raise InputError(what, f"{files.place(path)}, line {first}", "export the annotations again")
    entries: dict[tuple[str, str], ViaEntry] = {}  # by name and size, since names may be of several folders
    counts: dict[tuple[str, str], str] = {}
    problems = []
    for line, values in rest:
        row = dict(zip(columns, values, strict=False))
        name, where = row.get("filename", ""), f"line {line}"
        fault = ""
        if len(values) != len(columns):
            fault = f"the line has {len(values)} values, not {len(columns)}"
        if not name.strip():
            what = f"{fault or 'the line names no picture'}; it is left out"
            problems.append(Problem(f"{path}, {where}", what, left_out=1))
            continue
        key = name, row.get("file_size", "")
        entry = entries.get(key) or ViaEntry(where, {"filename": name, "file_attributes": _json(row)})
        count = counts.setdefault(key, row.get("region_count", "").strip())
        is_empty = not fault and count == "0" and row[_SHAPE].strip() in ("", "{}")
        regions = () if is_empty else ((where, fault or _region(row)),)
        entries[key] = replace(entry, regions=(*entry.regions, *regions), fault=entry.fault or fault)
    return ViaDocument(path, tuple(_complete(e, counts[n]) for n, e in entries.items()), {}, tuple(problems))


def _complete(entry: ViaEntry, count: str) -> ViaEntry:
    """The entry, with what is wrong if it has another number of regions than the file says."""
    if entry.fault or not count.isdecimal() or int(count) == len(entry.regions):
        return entry
    return replace(entry, fault=f"its region_count is {int(count)}, and it has {len(entry.regions)} lines")


def _region(row: dict[str, str]) -> dict[str, Any]:
    """The region of a line; what is no JSON is None in it."""
    return {"shape_attributes": _json(row, _SHAPE), "region_attributes": _json(row, _ATTRIBUTES)}


def _json(row: dict[str, str], column: str = "file_attributes") -> Any:
    try:
        return parse_json(row.get(column, "").encode(), column)
    except InputError:
        return None
