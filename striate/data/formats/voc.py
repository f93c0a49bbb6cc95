"""Pascal VOC XML, as the challenge lays it out and as LabelImg writes it: one file per picture.

    JPEGImages/a.jpg                     pictures/a.jpg
    Annotations/a.xml                    pictures/a.xml, or in any other folder
    ImageSets/Main/train.txt, ...

- Corners are whole pixels counted from 1, and both belong to the object: x1 = xmin - 1, x2 = xmax.
- The picture of a label file is the one with the same name, of several the one in the folders most like its
  own; of these ``filename``, ``path`` and ``folder`` choose. Only without one does ``filename`` count.
- ``polygon``, as x1, y1, x2, ... or as points ``pt`` of x and y, is the outline; without a bndbox the box is
  around it. ``robndbox``, as roLabelImg writes it (cx, cy, w, h, and the angle in radians, clockwise), is
  the turned box, and the upright box is around that. Both are in pixels from the edge of the picture.
- Without lists (see ``voc_lists``), folders named as splits give the splits.
- A picture of which an object, or the file, cannot be read is left out, with file and line.
- What else the file says is kept as attributes: ``pose`` as "pose", ``source/database`` as
  "source.database", the second of several ``part`` as "part[1].name", ...
"""

import math
from collections import Counter
from collections.abc import Sequence
from pathlib import PurePosixPath
from typing import Any

from striate.data.annotations import AnnotatedPicture, Annotation, AnnotationSet, Box, Problem, quoted
from striate.data.formats.voc_lists import SplitLists
from striate.data.label_files import LabelFiles
from striate.data.label_flags import take_flags
from striate.data.label_pictures import (
    PictureFinder,
    annotation_set,
    doubtful,
    fractions_for_pixels,
    nothing_left,
    split_of,
)
from striate.data.outlines import ROTATION, Outline, outline_box, turned_corners
from striate.data.xml_reading import Element, number, parse_xml, root_tag
from striate.errors import InputError, one_line
from striate.text_files import composed

_CORNERS = ("xmin", "ymin", "xmax", "ymax")
_TURNED = ("cx", "cy", "w", "h", "angle")
_FLAGS = ("difficult", "truncated", "occluded")
_OF_OBJECT = frozenset({"name", "bndbox", "robndbox", "polygon", "attributes", *_FLAGS})
_OF_PICTURE = frozenset({"filename", "object", "size"})


def recognizes(files: LabelFiles) -> bool:
    """Whether there is a file in this format."""
    return any(root_tag(files.read(path)) == "annotation" for path in files.ending(".xml"))


def read(files: LabelFiles) -> AnnotationSet:
    """Read all labels.

    Raises:
        InputError: there are none, or none that can be read.
    """
    reader = _Reader(files)
    paths = files.ending(".xml")
    pictures = [picture for path in paths if (picture := reader.picture(path))]
    if not pictures and len(reader.errors) == len(paths) == 1:
        raise reader.errors[0]
    if not pictures:
        where = files.place(paths[0]) if paths else files.root
        mend = "give a folder with .xml label files"
        raise nothing_left("there are no Pascal VOC files", where, reader.problems, mend)
    reader.lists.compare(reader.problems)
    reader.problems += fractions_for_pixels(pictures, first_pixel=1)
    return annotation_set(pictures, reader.problems, finder=reader.finder)


class _Reader:
    """Reads one file after the other, and gathers what is wrong."""

    def __init__(self, files: LabelFiles) -> None:
        self.files = files
        self.finder = PictureFinder(files)
        self.lists = SplitLists(files)
        self.problems: list[Problem] = []
        self.errors: list[InputError] = []

    def picture(self, path: str) -> AnnotatedPicture | None:
        """The labels of one file; None if it holds something else, or cannot be read."""
        try:
            root = parse_xml(self.files.read(path), self.files.place(path))
        except InputError as error:
            self.errors.append(error)
            place = error.where.removeprefix(self.files.place(""))
            for picture in self.finder.with_stem(PurePosixPath(path).stem, path) or [""]:
                what = f"{error.what}; its picture is left out"
                self.problems.append(Problem(place, what, picture=picture))
            return None
        if root.tag != "annotation":
            self._problem(path, root, f"the file is no Pascal VOC label: its root is {quoted(root.tag)}")
            return None
        picture = self._picture_path(root, path)
        width, height = self._size(root, path)
        objects = [self._object(element, path, picture) for element in root.each("object")]
        attributes: dict[str, Any] = _leaves(root, _OF_PICTURE)
        for child in root.children:
            if child.tag not in _OF_PICTURE and _has_box(child):
                what = f"a bndbox in {quoted(child.tag)}, which is no object; the picture is left out"
                self._problem(path, child, what, picture=picture)
        if size := root.child("size"):
            attributes |= _leaves(size, frozenset({"width", "height"}))
        return AnnotatedPicture(
            picture,
            tuple(annotation for annotation in objects if annotation),
            path,
            width,
            height,
            self.lists.split(path) if self.lists else split_of(picture, path),
            attributes,
        )

    def _picture_path(self, root: Element, path: str) -> str:
        """The picture with the label file's name, else the one of its ``filename``, there or not."""
        filename = root.child("filename")
        written = filename.text if filename else ""
        name = PurePosixPath(written.replace("\\", "/")).name
        stem = PurePosixPath(path).stem
        alike = _chosen(self.finder.with_stem(stem, path), root, name)
        doubt = doubtful(alike, stem, "" if alike and _folder_said(root, alike[0]) else path)
        if alike and not doubt:
            if filename and composed(stem) not in map(composed, (name, PurePosixPath(name).stem)):
                what = f"the filename is {quoted(written)}; {quoted(alike[0])}, named as this file, counts"
                self._problem(path, filename, what)
            return alike[0]
        found, fault = None, doubt
        if not doubt:
            found, fault = self.finder.find(written, path) if written else (None, "it names no picture")
        is_found = found is not None and found in self.finder
        home = PurePosixPath(path).parent
        home = home.with_name("JPEGImages") if home.name == "Annotations" else home
        missing = (home / f"{stem}{PurePosixPath(found or '').suffix}").as_posix()
        picture = found if found is not None and is_found else missing
        if fault:
            self._problem(path, filename or root, fault, picture="" if is_found else picture)
        return picture

    def _size(self, root: Element, path: str) -> tuple[int | None, int | None]:
        size = root.child("size")
        if not size:
            return None, None
        width, height = (number(size.text_of(side)) for side in ("width", "height"))
        if not (width and height and width >= 1 and height >= 1 and width % 1 == 0 and height % 1 == 0):
            self._problem(path, size, "the size is not given in whole pixels; the picture's own counts")
            return None, None
        return int(width), int(height)

    def _object(self, element: Element, path: str, picture: str) -> Annotation | None:
        if element.text_of("deleted") == "1":
            self._problem(path, element, "the object is marked as deleted", left_out=1)
            return None
        try:
            box, outlines, turned = _geometry(element)
        except ValueError as error:
            what = f"{error}; the picture is left out"
            self._problem(path, element, what, left_out=1, picture=picture)
            return None
        label = element.text_of("name") or ""
        if label != one_line(label):
            self._problem(path, element, f"the name {quoted(label)} holds control characters")
        attributes: dict[str, Any] = _leaves(element, _OF_OBJECT)
        attributes |= self._named_attributes(element, path) | turned
        flags = {flag: text for flag in _FLAGS if (text := element.text_of(flag)) is not None}
        known = take_flags(flags)
        for flag, text in flags.items():
            self._problem(path, element, f"{flag} is {quoted(text)}, neither 0 nor 1; kept as an attribute")
        known |= {flag: value for flag, value in take_flags(attributes).items() if flag not in known}
        return Annotation(
            one_line(label),
            box,
            f"{path}, line {element.line}",
            polygons=outlines,
            attributes=attributes | flags,
            **known,
        )

    def _named_attributes(self, element: Element, path: str) -> dict[str, str]:
        """Those of an ``attributes`` element, as CVAT writes them: pairs of name and value."""
        found: dict[str, str] = {}
        for group in element.each("attributes"):
            for entry in group.each("attribute"):
                name = entry.text_of("name")
                if name is None or name in found:
                    self._problem(path, entry, "the attribute has no name, or one that is there already")
                else:
                    found[name] = entry.text_of("value") or ""
        return found

    def _problem(self, path: str, element: Element, what: str, left_out: int = 0, picture: str = "") -> None:
        place = f"{path}, line {element.line}"
        self.problems.append(Problem(place, what, left_out=left_out, picture=picture))


def _chosen(alike: list[str], root: Element, name: str) -> list[str]:
    """Of several pictures, those that ``filename``, ``path`` and ``folder`` mean, as far as they mean any."""
    for chosen in (
        [picture for picture in alike if PurePosixPath(picture).name == name],
        [picture for picture in alike if _folder_said(root, picture)],
    ):
        both = [picture for picture in alike if picture in chosen]
        alike = both if len(alike) > 1 and both else alike
    return alike


def _folder_said(root: Element, picture: str) -> bool:
    """Whether ``path``, ``filename`` or ``folder`` name the folder of a picture."""
    own = PurePosixPath(picture).parent.name
    written = [PurePosixPath((root.text_of(tag) or "").replace("\\", "/")) for tag in ("path", "filename")]
    said = [path.parent.name for path in written]
    said.append(PurePosixPath((root.text_of("folder") or "").replace("\\", "/")).name)
    return own != "" and own in said


def _geometry(element: Element) -> tuple[Box, tuple[Outline, ...], dict[str, Any]]:
    """(Box, outlines, attributes) of an object. Raises ValueError if it has no box, or several."""
    boxes = [child for child in element.children if child.tag in ("bndbox", "robndbox")]
    if len(boxes) > 1:
        raise ValueError(f"the object has {len(boxes)} boxes")
    outlines = tuple(map(_outline, element.each("polygon")))
    if not boxes and not outlines:
        raise ValueError("the object has no bndbox")
    if not boxes:
        return outline_box([value for outline in outlines for value in outline]), outlines, {}
    if boxes[0].tag == "bndbox":
        x1, y1, x2, y2 = _numbers(boxes[0], _CORNERS)
        return (x1 - 1, y1 - 1, x2, y2), outlines, {}
    cx, cy, width, height, angle = _numbers(boxes[0], _TURNED)
    upright = (cx - width / 2, cy - height / 2, cx + width / 2, cy + height / 2)
    degrees = round(math.degrees(angle), 6)
    corners = turned_corners(upright, degrees, (cx, cy))
    return outline_box(corners), (corners, *outlines), {ROTATION: degrees}


def _outline(polygon: Element) -> Outline:
    """The points of a polygon. Raises ValueError if they are none."""
    points = list(polygon.each("pt"))
    if points:
        outline = [value for point in points for value in _numbers(point, ("x", "y"))]
    else:
        count = sum(child.tag.startswith("x") for child in polygon.children)
        outline = _numbers(polygon, [f"{axis}{k}" for k in range(1, count + 1) for axis in "xy"])
        if len(outline) != len(polygon.children):
            raise ValueError("the polygon is no list of x1, y1, x2, y2, ...")
    if len(outline) < 6:
        raise ValueError("the polygon has fewer than three points")
    return tuple(outline)


def _numbers(element: Element, tags: Sequence[str]) -> list[float]:
    values = []
    for tag in tags:
        text = element.text_of(tag)
        value = number(text)
        if value is None:
            raise ValueError(f"{tag} is missing" if text is None else f"{tag} is {quoted(text)}, no number")
        values.append(value)
    return values


def _has_box(element: Element) -> bool:
    """Whether there is a box in an element, however it is spelled."""
    return element.tag.casefold() in ("bndbox", "robndbox") or any(map(_has_box, element.children))


def _leaves(element: Element, without: frozenset[str]) -> dict[str, str]:
    """The texts below an element by their path, "a.b" or, where several have the same name, "a[1].b"."""
    found: dict[str, str] = {}
    children = [child for child in element.children if child.tag not in without]
    counts = Counter(child.tag for child in children)
    seen: Counter[str] = Counter()
    for child in children:
        name = f"{child.tag}[{seen[child.tag]}]" if counts[child.tag] > 1 else child.tag
        seen[child.tag] += 1
        if child.children:
            found |= {f"{name}.{rest}": text for rest, text in _leaves(child, frozenset()).items()}
        else:
            found[name] = child.text
    return found
