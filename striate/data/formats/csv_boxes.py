"""CSV: a line for each object, with the picture, the class and the box.

    filename,width,height,class,xmin,ymin,xmax,ymax     a line of names, in any order
    a.jpg,640,480,dog,10,20,110,220

    a.jpg,10,20,110,220,dog                             without it, as RetinaNet's programs read
    b.jpg,,,,,                                          a picture without objects

- Columns are known by their usual names: a picture, a class, and corners or x, y, w, h, or all four of these
  in one column "bbox"; if there are any, the size of the picture, its split, and flags. Others become
  attributes of the object.
- Commas, semicolons, tabs or bars are between the values, as the line "sep=;" of Excel or the line of names
  shows; with any but commas between them, numbers may have a decimal comma.
- Where all corners of a file lie in 0..1, or a hair beyond by rounding, they are fractions of the picture,
  unless a column "unit" says "pixel" (see ``csv_rows``). Pixels count from the outer corner of the first: a
  box around it alone is 0,0,1,1.
- A picture of which a line cannot be read is left out, with file and line.
- ``classes.csv`` or ``class_list.csv``, with lines name,id, gives the order of classes.
- Splits come from a column, else from the name or folder of the file, else from the picture's folder.
"""

from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any

from striate.data.annotations import AnnotatedPicture, Annotation, AnnotationSet, Box, Problem, quoted
from striate.data.formats.csv_rows import (
    Row,
    are_fractions,
    are_in_fractions,
    cut_at_edge,
    is_within_a_pixel,
    read_rows,
)
from striate.data.formats.csv_table import (
    CLASS_LISTS,
    SIDES,
    Table,
    is_class_list,
    looks_like_open_images,
    looks_like_table,
    read_classes,
    read_table,
)
from striate.data.images import IMAGE_SUFFIXES, MAX_PIXELS
from striate.data.json_reading import parse_json
from striate.data.label_files import LabelFiles
from striate.data.label_flags import take_flags
from striate.data.label_pictures import PictureFinder, annotation_set, nothing_left, split_of
from striate.data.picture_sizes import PictureSizes
from striate.data.split_names import split_name
from striate.errors import InputError, one_line

OBJECT_ATTRIBUTES = "attributes"
PICTURE_ATTRIBUTES = "picture_attributes"
_OWN = frozenset(
    {"", "path", "label", "width", "height", "split", "unit", PICTURE_ATTRIBUTES, OBJECT_ATTRIBUTES}
)


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
    contents = map(files.read, files.ending(".csv"))
    return any(looks_like_table(content) and not looks_like_open_images(content) for content in contents)


def read(files: LabelFiles) -> AnnotationSet:
    """Read all CSV files of a data set.

    Returns:
        Labels in pixels. Lines that cannot be used are problems, and so is the remark that a file's boxes are
        fractions of the pictures.

    Raises:
        InputError: there are none, one is no table of boxes, or it is not clear whether boxes are fractions.
    """
    paths = files.ending(".csv")
    homes = {PurePosixPath(path).parent for path in paths}
    lists = [(home / name).as_posix() for home in sorted(homes) for name in CLASS_LISTS]
    classes = [name for path in lists if path in files for name in read_classes(files, path)]
    reader = TableReader(files, frozenset(classes))
    pictures = []
    for path in paths:
        if is_class_list(path):
            continue
        if len(paths) > 1 and not looks_like_table(files.read(path)):
            reader.problems.append(Problem(path, "the file is no table of boxes and is left aside"))
            continue
        pictures += reader.read(read_table(files, path))
    if not pictures:
        what = "there are no pictures in CSV files"
        raise nothing_left(what, files.root, reader.problems, "mend the labels, or add annotations.csv")
    return annotation_set(pictures, reader.problems, classes, reader.finder)


class TableReader:
    """Reads one table after the other, and gathers what is wrong."""

    def __init__(self, files: LabelFiles, classes: frozenset[str]) -> None:
        self.files = files
        self.classes = classes
        self.finder = PictureFinder(files)
        self.sizes = PictureSizes(files)
        self.problems: list[Problem] = []

    def read(self, table: Table, in_fractions: bool | None = None) -> list[AnnotatedPicture]:
        """The pictures of a table; ``in_fractions`` says whether boxes are, None: as they look."""
        for note in table.notes:
            self._problem(table.path, note)
        rows = self._rows(table)
        is_told = "unit" in table.columns or in_fractions is not None
        if in_fractions is None:
            in_fractions = are_in_fractions(rows, table, self.files.place(table.path))
            if in_fractions and not is_told:
                what = "all boxes lie in 0..1 and are taken as fractions of their pictures"
                self._problem(table.path, what)
        pictures: dict[str, _Picture] = {}
        for row in rows:
            if not is_told and not in_fractions and row.box and are_fractions(row.box):
                row.fault = "the box is a fraction of the picture, and others of the file are in pixels"
            self._read_row(row, table, in_fractions, pictures)
        for path, picture in pictures.items():
            if picture.empty and picture.annotations:
                self._problem(picture.empty, "the picture has objects in other lines")
            if (
                not is_told
                and picture.annotations
                and all(is_within_a_pixel(a.box_xyxy) for a in picture.annotations)
            ):
                what = 'its boxes are less than a pixel wide; say the "unit" in a column'
                self._problem(picture.annotations[0].place, what, picture=path)
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

    def _rows(self, table: Table) -> list[Row]:
        """The rows that have a value for each column."""
        rows, incomplete = read_rows(table)
        for place, values in incomplete:
            what = f"the line has {len(values)} values, not {len(table.columns)}"
            self._leave_out(place, what, self._picture_in(values, table))
        if line := next((row.place for row in rows if row.has_decimal_comma), ""):
            self._problem(line, "numbers have a decimal comma: 10,5 is ten and a half")
        return rows

    def _picture_in(self, values: tuple[str, ...], table: Table) -> str:
        """The picture that an incomplete row is of, as far as it names one that is there; else ""."""
        k = table.columns.index("path")
        names = [text for text in values if PurePosixPath(text.strip()).suffix.lower() in IMAGE_SUFFIXES]
        for name in (*values[k : k + 1], *names, *values[max(k - 1, 0) : k + 2]):
            path, _ = self.finder.find(name, table.path)
            if path in self.finder:
                return str(path)
        return ""

    def _read_row(self, row: Row, table: Table, in_fractions: bool, pictures: dict[str, _Picture]) -> None:
        path, fault = self.finder.take(row.values["path"], table.path)
        if path is None:
            self._leave_out(row.place, fault, "")
            return
        if path not in pictures:
            pictures[path] = _Picture(row.place, self._split(row, path, table))
            if fault:
                self._problem(row.place, fault, picture="" if path in self.finder else path)
        picture = pictures[path]
        self._read_picture(row, picture)
        if row.box is None and not row.fault and not row.values["label"].strip():
            picture.empty = picture.empty or row.place
            return
        try:
            picture.annotations.append(self._object(row, table, path, in_fractions))
        except ValueError as error:
            self._leave_out(row.place, str(error), path)

    def _object(self, row: Row, table: Table, path: str, in_fractions: bool) -> Annotation:
        """The object of a row. Raises ValueError if it cannot be read."""
        values = row.values
        if row.box is None or row.fault:
            raise ValueError(row.fault or f"{table.box[0]} is missing")
        label = values["label"] if values["label"] in self.classes else values["label"].strip()
        if not label or label != one_line(label):
            raise ValueError(f"the class {quoted(label)} is no readable text")
        a, b, c, d = row.box
        box: Box = (a, b, a + c, b + d) if table.box == SIDES else row.box
        if in_fractions:
            if (size := self.sizes(path)) is None:
                raise ValueError(f"the picture cannot be read: {self.sizes.fault(path)}")
            box, told = cut_at_edge(box)
            if told:
                self._problem(row.place, told)
            width, height = size
            box = (box[0] * width, box[1] * height, box[2] * width, box[3] * height)
        attributes: dict[str, Any] = {
            name: text for name, text in values.items() if text and name not in _OWN and name not in table.box
        }
        self._add_attributes(attributes, values.get(OBJECT_ATTRIBUTES, ""), OBJECT_ATTRIBUTES, row.place)
        x1, y1, x2, y2 = (round(value, 6) for value in box)
        flags = take_flags(attributes)
        return Annotation(label, (x1, y1, x2, y2), row.place, attributes=attributes, **flags)

    def _split(self, row: Row, path: str, table: Table) -> str | None:
        written = row.values.get("split", "").strip()
        if not written:
            return split_of(table.path, path)
        if split_name(written) is None:
            what = f"the split {quoted(written)} is not train, val or test; the picture has none"
            self._problem(row.place, what)
        return split_name(written)

    def _read_picture(self, row: Row, picture: _Picture) -> None:
        """What a row says of its picture."""
        for side in ("width", "height"):
            if not (text := row.values.get(side, "").strip()):
                continue
            value = row.number(text)
            if value is None or value % 1 or not 0 < value <= MAX_PIXELS:
                self._problem(row.place, f"the {side} {quoted(text)} of the picture is no number of pixels")
            elif picture.sides.setdefault(side, int(value)) != int(value):
                what = f"the {side} of the picture is another one in {picture.place}, which counts"
                self._problem(row.place, what)
        written = row.values.get("split", "").strip()
        if written and (split_name(written) or picture.split) != picture.split:
            what = f"the split of the picture is another one in {picture.place}, which counts"
            self._problem(row.place, what)
        if not picture.attributes:
            text = row.values.get(PICTURE_ATTRIBUTES, "")
            self._add_attributes(picture.attributes, text, PICTURE_ATTRIBUTES, row.place)

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
            self._problem(place, f"it has two values of {quoted(key)}; that in {name} is taken")
        attributes.update(found)

    def _leave_out(self, place: str, fault: str, picture: str) -> None:
        """Tell that a line cannot be read, and that its picture, if that is known, is left out."""
        what = f"{fault}; the {'picture' if picture else 'line'} is left out"
        self.problems.append(Problem(place, what, left_out=1, picture=picture))

    def _problem(self, place: str, what: str, picture: str = "") -> None:
        self.problems.append(Problem(place, what, picture=picture))
