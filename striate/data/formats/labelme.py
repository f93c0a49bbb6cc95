"""LabelMe JSON: a file for each picture, with its shapes.

    a.jpg      {"version": "5.4.1", "flags": {}, "imagePath": "a.jpg", "imageData": null,
    a.json      "imageHeight": 480, "imageWidth": 640,
                "shapes": [{"label": "dog", "shape_type": "rectangle", "points": [[10, 20], [40, 60]],
                            "group_id": null, "flags": {}, "description": ""}]}

- Polygons and masks of one label and one ``group_id`` are the parts of one object.
- Points and lines are no objects with a box: beside others they are left aside, and a picture that has
  nothing else is left out.
- ``flags``, ``description``, "attributes" and other keys of a shape are its attributes; the flags of a file
  are those of the picture.
- Pictures without a file are unlabelled; a file without shapes says that there is nothing. A picture that is
  only embedded in its file (``imageData``) is not read.
"""

import posixpath
from collections import defaultdict
from dataclasses import dataclass, field, replace
from pathlib import PurePosixPath
from typing import Any

from striate.data.annotations import AnnotatedPicture, Annotation, AnnotationSet, Problem, quoted
from striate.data.formats.labelme_shapes import NO_AREAS, SHAPE, Area, area_of, kind_of, united
from striate.data.images import MAX_PIXELS
from striate.data.json_reading import as_whole, is_number, parse_json
from striate.data.label_files import LabelFiles
from striate.data.label_flags import take_flags
from striate.data.label_pictures import PictureFinder, annotation_set, nothing_left, split_of
from striate.data.picture_sizes import PictureSizes
from striate.errors import InputError, one_line
from striate.text_files import as_utf8

_FILE_KEYS = frozenset(
    {"version", "flags", "shapes", "imagePath", "imageData", "imageHeight", "imageWidth", "attributes"}
    | {"lineColor", "fillColor"}  # of old versions: how the program drew
)
_SHAPE_KEYS = frozenset({"label", "points", "shape_type", "group_id", "flags", "attributes", "mask"})
_DRAWN = frozenset({"line_color", "fill_color"})
_GROUP = "group_id"


def recognizes(files: LabelFiles) -> bool:
    """Whether there is a file in this format."""
    return any(_is_labelme(files.read(path)) for path in files.ending(".json"))


def read(files: LabelFiles) -> AnnotationSet:
    """Read all labels.

    Raises:
        InputError: there are none, or none that can be read.
    """
    reader = _Reader(files)
    candidates = files.ending(".json")
    for path in candidates:
        content = files.read(path)
        if not _is_labelme(content) and len(candidates) > 1:
            reader.tell(path, "the file is not of LabelMe and is left aside")
            continue
        try:
            reader.add(path, content)
        except InputError as error:
            reader.errors.append(error)
            where = error.where.removeprefix(files.place(""))
            reader.tell(where, f"{error.what}; its picture is left out", picture=reader.beside(path))
    reader.tell_of_many()
    if not reader.pictures and len(reader.errors) == len(candidates) == 1:
        raise reader.errors[0]
    if not reader.pictures:
        where = files.place(candidates[0] if candidates else "")
        raise nothing_left("no file of LabelMe can be read", where, reader.problems, "save them again")
    return annotation_set(reader.pictures, reader.problems, finder=reader.finder)


def _is_labelme(content: bytes) -> bool:
    content = as_utf8(content)
    start = content[:100].lstrip()
    return start.startswith(b"{") and b'"shapes"' in content and b'"image' in content


@dataclass(frozen=True)
class _Part:
    """A shape: what it covers, and what is said of it."""

    label: str
    area: Area
    place: str
    group: int | str | None
    attributes: dict[str, Any] = field(default_factory=dict)


class _Reader:
    """Reads one file after the other, and gathers pictures and what is wrong."""

    def __init__(self, files: LabelFiles) -> None:
        self.files = files
        self.finder = PictureFinder(files)
        self.sizes = PictureSizes(files)
        self.pictures: list[AnnotatedPicture] = []
        self.problems: list[Problem] = []
        self.errors: list[InputError] = []
        self.unread: defaultdict[str, list[str]] = defaultdict(list)  # places of keys that are not kept
        self.no_areas: list[str] = []  # places of points and lines

    def tell(self, where: str, what: str, left_out: int = 0, picture: str = "") -> None:
        self.problems.append(Problem(where, what, left_out=left_out, picture=picture))

    def tell_of_many(self) -> None:
        """Problems, one of each kind, for what is left aside in many files."""
        if self.no_areas:
            what = f"points and lines, which have no box and are left aside: {len(self.no_areas):,}"
            self.tell(self.no_areas[0], what, len(self.no_areas))
        for key, places in sorted(self.unread.items()):
            self.tell(places[0], f"{quoted(key)} is not kept, here and elsewhere: {len(places):,}")

    def beside(self, path: str) -> str:
        """The picture with the name of a label file; "" if there is none, or not just one."""
        found = self.finder.with_stem(PurePosixPath(path).stem, path)
        return found[0] if len(found) == 1 else ""

    def add(self, path: str, content: bytes) -> None:
        """Add the picture of a file.

        Raises:
            InputError: it is no JSON, or has no list of shapes.
        """
        document = parse_json(content, self.files.place(path))
        shapes = document.get("shapes") if isinstance(document, dict) else None
        if not isinstance(shapes, list):
            raise InputError(
                'it has no list "shapes", as files of LabelMe have', self.files.place(path), "save it again"
            )
        self._tell_later(path, {key for key, value in document.items() if key not in _FILE_KEYS and value})
        picture = self._picture_path(path, document, len(shapes))
        if picture is None:
            return
        size = self._size(path, document)
        objects = self._objects(path, shapes, size or self.sizes(picture), picture)
        width, height = size or (None, None)
        attributes = self._attributes(document, path)
        split = split_of(picture, path)
        self.pictures.append(AnnotatedPicture(picture, objects, path, width, height, split, attributes))

    def _picture_path(self, path: str, document: dict[str, Any], count: int) -> str | None:
        """The picture that a file is of; None if it names none that can be used."""
        written = document.get("imagePath")
        if not isinstance(written, str):
            what = f"imagePath is {quoted(written)}, no name of a picture; its {count:,} shapes are left out"
            self.tell(path, what, count, self.beside(path))
            return None
        picture, fault = self._find(written, path)
        if picture is None:
            self.tell(path, f"{fault}; its {count:,} shapes are left out", count, self.beside(path))
        elif picture not in self.finder and document.get("imageData"):
            what = f"there is no picture {quoted(written)}; the one embedded as imageData is not read"
            self.tell(path, what, picture=picture)
        elif fault:
            self.tell(path, fault)
        own = self.beside(path)
        if own and picture in self.finder and PurePosixPath(str(picture)).stem != PurePosixPath(own).stem:
            what = f"it names {quoted(written)}, but has the name of {quoted(own)}; neither is sure"
            self.tell(path, what, picture=str(picture))
        return picture

    def _find(self, written: str, path: str) -> tuple[str | None, str]:
        """As ``PictureFinder.find``; ".." leads from folder to folder within the data."""
        name = written.strip().replace("\\", "/")
        if ".." not in name.split("/"):
            return self.finder.find(written, path)
        whole = posixpath.normpath(f"{PurePosixPath(path).parent}/{name}")
        if (found := self.files.named(whole)) in self.finder:
            return found, ""
        while name.startswith(("../", "./")):  # the files lay elsewhere
            name = name.partition("/")[2]
        return self.finder.find(name, path)

    def _size(self, path: str, document: dict[str, Any]) -> tuple[int, int] | None:
        """Width and height of the picture, as the file says."""
        said = [document.get("imageWidth"), document.get("imageHeight")]
        width, height = map(as_whole, said)
        if width and height and min(width, height) > 0 and max(width, height) <= MAX_PIXELS:
            return width, height
        if said != [None, None]:
            what = f"imageWidth {quoted(said[0])} and imageHeight {quoted(said[1])} are no numbers of pixels"
            self.tell(path, what)
        return None

    def _objects(
        self, path: str, shapes: list[Any], size: tuple[int, int] | None, picture: str
    ) -> tuple[Annotation, ...]:
        """The objects of a picture, in the order of their first shapes."""
        parts: list[_Part] = []
        passed_over = 0
        for k, shape in enumerate(shapes):
            place = f"{path}, shapes[{k}]"
            if isinstance(shape, dict) and kind_of(shape) in NO_AREAS:
                self.no_areas.append(place)
                passed_over += 1
                continue
            try:
                parts.append(self._part(shape, place, size))
            except ValueError as error:
                self.tell(place, f"{error}; the object is left out", 1, picture)
        if passed_over == len(shapes) > 0:
            what = f"its {passed_over:,} shapes are points and lines; nothing else is known of the picture"
            self.tell(path, what, picture=picture)
        groups: defaultdict[object, list[_Part]] = defaultdict(list)
        for k, part in enumerate(parts):
            is_part = part.group is not None and (part.area.outlines or part.area.mask)
            groups[(part.label, part.group) if is_part else k].append(part)
        return tuple(map(self._annotation, groups.values()))

    def _part(self, shape: Any, place: str, size: tuple[int, int] | None) -> _Part:
        """A shape. Raises ValueError if it cannot be used."""
        label = shape.get("label") if isinstance(shape, dict) else None
        label = str(label) if is_number(label) else label
        if not isinstance(label, str):
            raise ValueError("the shape has no label")
        if label != one_line(label):
            self.tell(place, f"the label {quoted(label)} holds control characters")
        group = shape.get(_GROUP)
        attributes = self._attributes(shape, place)
        if kind_of(shape) == "circle":
            attributes.setdefault(SHAPE, "circle")
        attributes |= {
            key: value
            for key, value in shape.items()
            if key not in _SHAPE_KEYS and isinstance(value, str | int | float) and value != ""
        }
        further = shape.keys() - _SHAPE_KEYS - _DRAWN - attributes.keys()
        self._tell_later(place, {key for key in further if shape[key]})
        is_group = isinstance(group, int | str) and not isinstance(group, bool) and group != ""
        group = group if is_group else None
        return _Part(one_line(label), area_of(shape, size), place, group, attributes)

    def _annotation(self, parts: list[_Part]) -> Annotation:
        """The object that shapes are the parts of."""
        first = parts[0]
        attributes = dict(first.attributes)
        if len(parts) == 1 and first.group is not None:
            attributes.setdefault(_GROUP, first.group)
        if any(part.attributes != first.attributes for part in parts):
            what = f"its {len(parts)} parts have different attributes; those of the first count"
            self.tell(first.place, what)
        area = united([part.area for part in parts]) if len(parts) > 1 else first.area
        flags = take_flags(attributes)
        found = Annotation(first.label, area.box, first.place, polygons=area.outlines, mask=area.mask)
        return replace(found, attributes=attributes, **flags)

    def _attributes(self, entry: dict[str, Any], place: str) -> dict[str, Any]:
        """The flags and attributes of a file or a shape."""
        found: dict[str, Any] = {}
        for key in ("flags", "attributes"):
            own = entry.get(key)
            if not isinstance(own, dict | None):
                self.tell(place, f"{key} is {quoted(own)}, no names and values, and is not kept")
            for name, value in (own or {}).items() if isinstance(own, dict | None) else ():
                if isinstance(value, str | int | float):
                    found[name] = value
                elif value is not None:
                    self._tell_later(place, {name})
        return found

    def _tell_later(self, place: str, keys: set[str]) -> None:
        for key in keys:
            self.unread[key].append(place)
