"""CSV: a line for each object, with the picture, the class and the box.

    filename,width,height,class,xmin,ymin,xmax,ymax     a line of names, in any order
    a.jpg,640,480,dog,10,20,110,220

    a.jpg,10,20,110,220,dog                             without it, as RetinaNet's programs read
    b.jpg,,,,,                                          a picture without objects

- Columns are known by their usual names: a picture, a class, and corners or x, y, w, h; if there are any, the
  size of the picture, its split, and flags. Others become attributes of the object.
- Commas, semicolons, tabs or bars are between the values.
- Where all corners of a file lie in 0..1 they are fractions of the picture, unless a column "unit" says
  "pixel". Pixels count from the outer corner of the first: a box around it alone is 0,0,1,1.
- ``classes.csv`` or ``class_list.csv``, with lines name,id, gives the order of classes.
- Splits come from a column, else from the name or folder of the file, else from the picture's folder.
"""

from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any

from striate.data.annotations import AnnotatedPicture, Annotation, AnnotationSet, Box, Problem, quoted
from striate.data.formats.csv_table import (
    CLASS_LISTS,
    SIDES,
    Table,
    is_class_list,
    looks_like_table,
    read_classes,
    read_table,
)
from striate.data.formats.image_folder import SPLIT_FOLDERS
from striate.data.images import MAX_PIXELS
from striate.data.json_reading import parse_json
from striate.data.label_files import LabelFiles
from striate.data.label_flags import take_flags
from striate.data.label_pictures import PictureFinder, annotation_set, split_of
from striate.data.picture_sizes import PictureSizes
from striate.data.xml_reading import number
from striate.errors import InputError, one_line

OBJECT_ATTRIBUTES = "attributes"
PICTURE_ATTRIBUTES = "picture_attributes"
_OWN = frozenset({"path", "label", "width", "height", "split", "unit", PICTURE_ATTRIBUTES, OBJECT_ATTRIBUTES})
_UNITS = {"pixel": False, "normalized": True}


@dataclass
class _Picture:
    """A picture while its rows are read."""

    place: str
    split: str | None
    empty: str = ""  # where it is said to have no objects
    sides: dict[str, int] = field(default_factory=dict)
    annotations: list[Annotation] = field(default_factory=list)
    attributes: dict[str, Any] = field(default_factory=dict)


def recognizes(files: LabelFiles) -> bool:
    """Whether there is a CSV file of boxes."""
    return any(looks_like_table(files.read(path)) for path in files.ending(".csv"))


def read(files: LabelFiles) -> AnnotationSet:
    """Read all CSV files of a data set.

    Returns:
        Labels in pixels. Lines that cannot be used are problems, and so is the remark that a file's boxes are
        fractions of the pictures.

    Raises:
        InputError: there are none, or one is no table of boxes.
    """
    paths = files.ending(".csv")
    homes = {PurePosixPath(path).parent for path in paths}
    lists = [(home / name).as_posix() for home in sorted(homes) for name in CLASS_LISTS]
    classes = [name for path in lists if path in files for name in read_classes(files, path)]
    reader = _Reader(files, frozenset(classes))
    pictures = []
    for path in paths:
        if is_class_list(path):
            continue
        if len(paths) > 1 and not looks_like_table(files.read(path)):
            reader.problems.append(Problem(path, "the file is no table of boxes and is left aside"))
            continue
        pictures += reader.read(read_table(files, path))
    if not pictures:
        raise InputError("there are no pictures in CSV files", files.root, "add annotations.csv")
    return annotation_set(pictures, reader.problems, classes, reader.finder)


class _Reader:
    """Reads one table after the other, and gathers what is wrong."""

    def __init__(self, files: LabelFiles, classes: frozenset[str]) -> None:
        self.files = files
        self.classes = classes
        self.finder = PictureFinder(files)
        self.sizes = PictureSizes(files)
        self.problems: list[Problem] = []

    def read(self, table: Table) -> list[AnnotatedPicture]:
        """The pictures of a table."""
        pictures: dict[str, _Picture] = {}
        rows = self._complete_rows(table)
        is_normalized = self._is_normalized(table, [row for _, row in rows])
        for place, row in rows:
            try:
                self._read_row(row, table, place, is_normalized, pictures)
            except ValueError as error:
                self.problems.append(Problem(place, f"{error}; the line is left out", left_out=1))
        for picture in pictures.values():
            if picture.empty and picture.annotations:
                self.problems.append(Problem(picture.empty, "the picture has objects in other lines"))
        return [
            AnnotatedPicture(
                path,
                tuple(picture.annotations),
                picture.place,
                picture.sides.get("width"),
                picture.sides.get("height"),
                picture.split,
                picture.attributes,
            )
            for path, picture in pictures.items()
        ]

    def _complete_rows(self, table: Table) -> list[tuple[str, dict[str, str]]]:
        """(Place, values by column) of the rows that have a value for each column."""
        rows = []
        for line, values in table.rows:
            place = f"{table.path}, line {line}"
            if len(values) == len(table.columns):
                rows.append((place, dict(zip(table.columns, values, strict=True))))
            else:
                what = f"the line has {len(values)} values, not {len(table.columns)}; it is left out"
                self.problems.append(Problem(place, what, left_out=1))
        return rows

    def _is_normalized(self, table: Table, rows: list[dict[str, str]]) -> bool:
        """Whether the boxes are fractions of the pictures."""
        units = {row["unit"].strip() for row in rows if "unit" in row} - {""}
        if units:
            if len(units) > 1 or not units <= _UNITS.keys():
                shown = ", ".join(map(quoted, sorted(units)[:3]))
                where = self.files.place(table.path)
                raise InputError(f"the unit is {shown}", where, "write pixel or normalized everywhere")
            return _UNITS[units.pop()]
        values = [value for row in rows for side in table.box if (value := number(row[side])) is not None]
        if not values or min(values) < 0 or max(values) > 1:
            return False
        self.problems.append(
            Problem(table.path, "all boxes lie in 0..1 and are taken as fractions of their pictures")
        )
        return True

    def _read_row(
        self,
        row: dict[str, str],
        table: Table,
        place: str,
        is_normalized: bool,
        pictures: dict[str, _Picture],
    ) -> None:
        path, fault = self.finder.find(row["path"], table.path)
        if path is None:
            raise ValueError(fault)
        if path not in pictures:
            pictures[path] = _Picture(place, self._split(row, path, table, place))
            self._note(fault, place)
        picture = pictures[path]
        self._read_picture(row, picture, place)
        if not any(row[side].strip() for side in (*table.box, "label")):
            picture.empty = picture.empty or place
            return
        box = _box(row, table.box)
        label = row["label"] if row["label"] in self.classes else row["label"].strip()
        if not label or label != one_line(label):
            raise ValueError(f"the class {quoted(label)} is no readable text")
        if is_normalized:
            if (size := self.sizes(path)) is None:
                raise ValueError(f"the picture cannot be read: {self.sizes.fault(path)}")
            width, height = size
            box = (box[0] * width, box[1] * height, box[2] * width, box[3] * height)
        attributes = {
            name: text for name, text in row.items() if text and name not in _OWN and name not in table.box
        }
        self._add_attributes(attributes, row.get(OBJECT_ATTRIBUTES, ""), OBJECT_ATTRIBUTES, place)
        x1, y1, x2, y2 = (round(value, 6) for value in box)
        flags = take_flags(attributes)
        picture.annotations.append(Annotation(label, (x1, y1, x2, y2), place, attributes=attributes, **flags))

    def _split(self, row: dict[str, str], path: str, table: Table, place: str) -> str | None:
        written = row.get("split", "").strip()
        if not written:
            return split_of(table.path, path)
        if written.casefold() not in SPLIT_FOLDERS:
            self._note(f"the split {quoted(written)} is not train, val or test; the picture has none", place)
        return SPLIT_FOLDERS.get(written.casefold())

    def _read_picture(self, row: dict[str, str], picture: _Picture, place: str) -> None:
        """What a row says of its picture."""
        for side in ("width", "height"):
            if not (text := row.get(side, "").strip()):
                continue
            value = number(text)
            if value is None or value % 1 or not 0 < value <= MAX_PIXELS:
                self._note(f"the {side} {quoted(text)} of the picture is no number of pixels", place)
            elif picture.sides.setdefault(side, int(value)) != int(value):
                self._note(
                    f"the {side} of the picture is another one in {picture.place}, which counts", place
                )
        split = SPLIT_FOLDERS.get(row.get("split", "").strip().casefold(), picture.split)
        if split != picture.split:
            self._note(f"the split of the picture is another one in {picture.place}, which counts", place)
        if not picture.attributes:
            text = row.get(PICTURE_ATTRIBUTES, "")
            self._add_attributes(picture.attributes, text, PICTURE_ATTRIBUTES, place)

    def _add_attributes(self, attributes: dict[str, Any], text: str, name: str, place: str) -> None:
        """Add those of a JSON object; other text is an attribute itself."""
        if not text:
            return
        try:
            found = parse_json(text.encode(), place)
        except InputError:
            found = None
        if not isinstance(found, dict) or not all(isinstance(v, str | int | float) for v in found.values()):
            found = {name: text}
        for key in found.keys() & attributes.keys():
            self._note(f"it has two values of {quoted(key)}; that in {name} is taken", place)
        attributes.update(found)

    def _note(self, what: str, place: str) -> None:
        if what:
            self.problems.append(Problem(place, what))


def _box(row: dict[str, str], sides: tuple[str, ...]) -> Box:
    """The corners, in the unit of the file. Raises ValueError for what is no number."""
    values = []
    for side in sides:
        value = number(row[side])
        if value is None:
            raise ValueError(
                f"{side} is {quoted(row[side])}, no number" if row[side] else f"{side} is missing"
            )
        values.append(value)
    a, b, c, d = values
    return (a, b, a + c, b + d) if sides == SIDES else (a, b, c, d)
