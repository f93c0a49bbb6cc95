"""VIA: projects of the VGG Image Annotator, and the regions that it exports.

    {"a.jpg12345": {"filename": "a.jpg", "size": 12345,
                    "regions": [{"shape_attributes": {"name": "rect", "x": 1, "y": 2, "width": 3, ...},
                                 "region_attributes": {"class": "dog"}}],
                    "file_attributes": {}}}

- In a project the same is below "_via_img_metadata", and "_via_attributes" says which attributes there are.
  Files of VIA 1 number their regions: {"0": {...}, "1": {...}}.
- The CSV that it exports is in ``via_csv``, projects of VIA 3 are in ``via3``.
- Rectangles and polygons; circles and ellipses become their boxes, with the shape as the attribute "shape".
- The region attribute that is the class: the only one there is, else "class", "label", "name" or "type".
- Ticks of a checkbox become one attribute for each: "colour.red".
- Points and lines are named as left out; a picture with nothing else is left out itself, as is one of which a
  region cannot be read. A picture without regions is known to have no objects.
"""

from typing import Any

from striate.data.annotations import AnnotatedPicture, Annotation, AnnotationSet, Box, Problem, quoted
from striate.data.formats import via3, via_csv
from striate.data.formats.via_documents import ViaDocument, ViaEntry, document_of, is_document
from striate.data.json_reading import is_number, parse_json
from striate.data.label_files import LabelFiles
from striate.data.label_flags import FLAG_NAMES, take_flags
from striate.data.label_pictures import (
    PictureFinder,
    annotation_set,
    fractions_for_pixels,
    nothing_left,
    split_of,
)
from striate.data.outlines import ellipse_box, outline_box
from striate.errors import InputError, one_line
from striate.text_files import as_utf8

CLASS_NAMES = ("class", "label", "name", "type")

_MARKS = (b'"_via_img_metadata"', b'"shape_attributes"', b'"file_attributes"')
_SHAPE = "shape"
_NO_AREA = ("point", "line", "polyline")


def recognizes(files: LabelFiles) -> bool:
    """Whether there is a file in this format."""
    return any(_is_via(files.read(path)) for path in files.ending(".json")) or bool(_tables(files))


def read(files: LabelFiles) -> AnnotationSet:
    """Read all labels.

    Raises:
        InputError: there are none, a file is no JSON or CSV, or no one attribute is the class.
    """
    finder = PictureFinder(files)
    problems: list[Problem] = []
    documents = [via_csv.document(files, path) for path in _tables(files)]
    candidates = files.ending(".json")
    for path in candidates:
        content = files.read(path)
        if not _is_via(content) and len(candidates) > 1:
            problems.append(Problem(path, "the file is not of VIA and is left aside"))
            continue
        documents.append(_document(path, parse_json(content, files.place(path)), files))
    problems += (problem for document in documents for problem in document.problems)
    if not any(document.entries for document in documents):
        where = files.place(candidates[0]) if candidates else files.root
        mend = "export the annotations as JSON"
        raise nothing_left("no file of VIA has pictures", where, problems, mend)
    name, classes = _class_attribute(documents, files)
    pictures: list[AnnotatedPicture] = []
    for document in documents:
        reader = _Reader(document.path, finder, name, problems)
        pictures += filter(None, map(reader.picture, document.entries))
    problems += fractions_for_pixels(pictures)
    return annotation_set(pictures, problems, classes, finder)


def _tables(files: LabelFiles) -> list[str]:
    """The CSV files that are of VIA."""
    return [path for path in files.ending(".csv") if via_csv.is_via_csv(files.read(path))]


def _document(path: str, document: Any, files: LabelFiles) -> ViaDocument:
    if via3.is_project(document):
        return via3.document(path, document)
    if not is_document(document):
        raise InputError("the file is not of VIA", files.place(path), "export the annotations as JSON")
    return document_of(path, document)


def _is_via(content: bytes) -> bool:
    content = as_utf8(content)
    return via3.is_via3(content) or any(mark in content for mark in _MARKS)


def _class_attribute(documents: list[ViaDocument], files: LabelFiles) -> tuple[str, list[str]]:
    """The region attribute that is the class, and the classes that projects list for it."""
    choices: dict[str, None] = {}  # an ordered set
    options: dict[str, list[str]] = {}
    for document in documents:
        for name, facts in document.declared.items():
            choices[name] = None
            listed = facts.get("options") if isinstance(facts, dict) else None
            options.setdefault(name, []).extend(listed if isinstance(listed, dict) else ())
        for entry in document.entries:
            for _, region in entry.regions:
                attributes = region.get("region_attributes") if isinstance(region, dict) else None
                choices |= dict.fromkeys(attributes if isinstance(attributes, dict) else ())
    candidates = [name for name in choices if name not in FLAG_NAMES and name != _SHAPE]
    if len(candidates) == 1:
        name = candidates[0]
    else:
        by_name = {candidate.casefold(): candidate for candidate in reversed(candidates)}
        found = [by_name[usual] for usual in CLASS_NAMES if usual in by_name]
        if not found:
            shown = ", ".join(quoted(candidate) for candidate in candidates[:5])
            raise InputError(
                f"it is not clear which region attribute is the class: {shown}"
                if shown
                else "no region has an attribute that says its class",
                files.place(documents[0].path),
                'name it "class" in VIA',
            )
        name = found[0]
    return name, [one_line(option) for option in options.get(name, ()) if option]


class _Reader:
    """Reads the pictures of one file, and gathers what is wrong."""

    def __init__(self, path: str, finder: PictureFinder, name: str, problems: list[Problem]) -> None:
        self.path = path
        self.finder = finder
        self.name = name
        self.problems = problems

    def picture(self, entry: ViaEntry) -> AnnotatedPicture | None:
        """The labels of one picture; None if its entry or name cannot be used."""
        where, facts, regions = entry.where, entry.facts, entry.regions
        name = facts.get("filename") if isinstance(facts, dict) else None
        if not isinstance(name, str):
            self._problem(where, "it is no picture: it has no filename; it is left out", len(regions))
            return None
        picture, fault = self.finder.find(name, self.path)
        if picture is None:
            self._problem(where, f"{fault}; it is left out", len(regions))
            return None
        if fault:
            self._problem(where, fault, picture="" if picture in self.finder else picture)
        if entry.fault:
            self._problem(where, f"{entry.fault}; the picture is left out", picture=picture)
        has_area = any(_shape_name(region) not in _NO_AREA for _, region in regions)
        found = (self._annotation(place, region, picture, has_area) for place, region in regions)
        return AnnotatedPicture(
            picture,
            tuple(annotation for annotation in found if annotation),
            f"{self.path}, {where}",
            split=split_of(picture, self.path),
            attributes=self._plain(facts.get("file_attributes"), where),
        )

    def _annotation(self, where: str, region: Any, picture: str, has_area: bool) -> Annotation | None:
        shape = region.get("shape_attributes") if isinstance(region, dict) else None
        said = region.get("region_attributes", {}) if isinstance(region, dict) else None
        if not isinstance(shape, dict) or not isinstance(said, dict):
            what = "the region has no shape or no attributes; the picture is left out"
            self._problem(where, what, 1, picture)
            return None
        if has_area and _shape_name(region) in _NO_AREA:
            what = f"a shape {quoted(shape['name'])} is no box; the object is left out"
            self._problem(where, what, 1)
            return None
        try:
            box, polygons = _geometry(shape)
            label = _label(said.get(self.name, ""))
        except ValueError as error:
            self._problem(where, f"{error}; the picture is left out", 1, picture)
            return None
        if label != one_line(label):
            self._problem(where, f"the class {quoted(label)} holds control characters")
        attributes = self._plain({key: value for key, value in said.items() if key != self.name}, where)
        flags = take_flags(attributes)
        if shape["name"] in ("circle", "ellipse"):
            attributes.setdefault(_SHAPE, shape["name"])
        place = f"{self.path}, {where}"
        return Annotation(one_line(label), box, place, polygons=polygons, attributes=attributes, **flags)

    def _plain(self, attributes: Any, where: str) -> dict[str, Any]:
        """Attributes with one value each."""
        found: dict[str, Any] = {}
        for key, value in attributes.items() if isinstance(attributes, dict) else ():
            inner = {f"{key}.{name}": tick for name, tick in value.items()} if isinstance(value, dict) else {}
            for name, single in (inner or {key: value}).items():
                if isinstance(single, str | int | float):
                    found[name] = single
                elif single not in (None, {}):
                    self._problem(where, f"the attribute {quoted(name)} is no text or number and is left out")
        return found

    def _problem(self, where: str, what: str, left_out: int = 0, picture: str = "") -> None:
        self.problems.append(Problem(f"{self.path}, {where}", what, left_out=left_out, picture=picture))


def _shape_name(region: Any) -> Any:
    shape = region.get("shape_attributes") if isinstance(region, dict) else None
    return shape.get("name") if isinstance(shape, dict) else None


def _label(value: Any) -> str:
    """The class that a region attribute says. Raises ValueError if it says none or several."""
    if isinstance(value, dict):
        ticked = [str(name) for name, tick in value.items() if tick is True]
        if len(ticked) != 1:
            raise ValueError(f"{len(ticked)} classes are ticked, not one")
        return ticked[0]
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise ValueError(f"the class is {quoted(value)}, no text")
    return str(value).strip()


def _geometry(shape: dict[str, Any]) -> tuple[Box, tuple[tuple[float, ...], ...]]:
    """The upright box of a shape, and its outlines. Raises ValueError if it has none."""
    name = shape.get("name")
    if name == "rect":
        x, y, width, height = _numbers(shape, "x", "y", "width", "height")
        return (
            x,
            y,
            round(x + width, 6),
            round(y + height, 6),
        ), ()  # sums of decimal fractions are not exact
    if name == "circle":
        cx, cy, r = _numbers(shape, "cx", "cy", "r")
        return ellipse_box(cx, cy, r, r), ()
    if name == "ellipse":
        cx, cy, rx, ry = _numbers(shape, "cx", "cy", "rx", "ry")
        radians = _numbers(shape, "theta")[0] if "theta" in shape else 0.0
        return ellipse_box(cx, cy, rx, ry, radians), ()
    if name == "polygon":
        xs, ys = shape.get("all_points_x"), shape.get("all_points_y")
        if not (isinstance(xs, list) and isinstance(ys, list) and len(xs) == len(ys) >= 3):
            raise ValueError("the polygon has no lists of three or more x and y")
        if not all(map(is_number, xs + ys)):
            raise ValueError("a point of the polygon is not two numbers")
        outline = tuple(float(value) for point in zip(xs, ys, strict=True) for value in point)
        return outline_box(outline), (outline,)
    raise ValueError(f"a shape {quoted(name)} is no box")


def _numbers(shape: dict[str, Any], *keys: str) -> tuple[float, ...]:
    for key in keys:
        if key not in shape or not is_number(shape[key]):
            raise ValueError(
                f"{key} is {quoted(shape[key])}, no number" if key in shape else f"{key} is missing"
            )
    return tuple(float(shape[key]) for key in keys)
