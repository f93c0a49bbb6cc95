"""CVAT 1.1 XML for images: all pictures of a job, task or project in one file.

    <annotations>
      <meta> ... <labels><label><name>dog</name><attributes>...</attributes></label></labels> ... </meta>
      <image id="0" name="a.jpg" subset="train" width="640" height="480">
        <box label="dog" xtl="1.5" ytl="2.0" xbr="30.0" ybr="40.0" rotation="15.0" occluded="0">
          <attribute name="age">7</attribute>
        </box>
        <polygon label="dog" points="1.0,2.0;3.0,4.0;1.0,5.0" occluded="0"/>
        <tag label="night"/>
      </image>
    </annotations>

- Boxes, polygons, ellipses and masks are read, the last two as the boxes around them, with the kind of shape
  as the attribute "shape". Other shapes are named as left out; a picture with no shapes but these is left out
  itself, as is one of which a shape cannot be read. A picture without shapes is known to have none.
- A frame of a film, name="frame_000000", is the picture with this name and any suffix.
- A turned box becomes its outline and the upright box around that; "rotation" is kept as an attribute.
- A tag becomes the attribute "tag.NAME" of the picture, with the attributes of the tag as "tag.NAME.x".
- Attributes are numbers, booleans or text, as ``meta`` declares them.
"""

import itertools
import math
import re
from collections.abc import Iterator
from typing import Any

from striate.data.annotations import AnnotatedPicture, Annotation, AnnotationSet, Box, Problem, quoted
from striate.data.label_files import LabelFiles
from striate.data.label_flags import take_flags
from striate.data.label_pictures import (
    PictureFinder,
    annotation_set,
    fractions_for_pixels,
    nothing_left,
    split_of,
)
from striate.data.outlines import ROTATION, ellipse_box, outline_box, turned_corners
from striate.data.split_names import split_name
from striate.data.xml_reading import Element, number, parse_xml, root_tag
from striate.errors import InputError, one_line

_SHAPES = ("box", "polygon", "ellipse", "mask")
_OTHER_SHAPES = ("polyline", "points", "cuboid", "skeleton")
_OF_MASK = ("rle", "left", "top", "width", "height")
_GEOMETRY = frozenset(
    {"label", "xtl", "ytl", "xbr", "ybr", "points", "cx", "cy", "rx", "ry", "rotation", "occluded", *_OF_MASK}
)
_USUAL = frozenset({("source", "manual"), ("z_order", "0")})  # say nothing
_OF_IMAGE = frozenset({"id", "name", "width", "height"})


def recognizes(files: LabelFiles) -> bool:
    """Whether there is a file in this format."""
    return any(root_tag(files.read(path)) == "annotations" for path in files.ending(".xml"))


def read(files: LabelFiles) -> AnnotationSet:
    """Read all labels.

    Raises:
        InputError: there are none, a file is no XML, or holds the tracks of a video.
    """
    finder = PictureFinder(files)
    pictures: list[AnnotatedPicture] = []
    problems: list[Problem] = []
    classes: list[str] = []
    candidates = files.ending(".xml")
    for path in candidates:
        root = parse_xml(files.read(path), files.place(path))
        if root.tag != "annotations":
            what = f"the file is not of CVAT: its root is {quoted(root.tag)}"
            problems.append(Problem(f"{path}, line {root.line}", what))
            continue
        if track := root.child("track"):
            raise InputError(
                "the file holds the tracks of a video",
                f"{files.place(path)}, line {track.line}",
                'export it as "CVAT for images 1.1"',
            )
        reader = _Reader(path, finder, _Declarations(root), problems)
        classes += reader.declared.classes
        pictures += filter(None, map(reader.picture, root.each("image")))
        for child in root.children:
            if child.tag not in ("version", "meta", "image"):
                reader.leave_out(child)
    if not pictures:
        where = files.place(candidates[0]) if candidates else files.root
        what = "there are no pictures in CVAT files"
        raise nothing_left(what, where, problems, "export CVAT for images 1.1")
    problems += fractions_for_pixels(pictures)
    return annotation_set(pictures, problems, classes, finder)


class _Declarations:
    """What ``meta`` says of classes and of the kinds of their attributes."""

    def __init__(self, root: Element) -> None:
        self.classes: list[str] = []
        self._kinds: dict[tuple[str, str], str] = {}
        for label in _labels(root.child("meta")):
            name = one_line(label.text_of("name") or "")
            self.classes.append(name)
            for group in label.each("attributes"):
                for attribute in group.each("attribute"):
                    self._kinds[name, attribute.text_of("name") or ""] = attribute.text_of("input_type") or ""

    def value(self, label: str, name: str, text: str) -> Any:
        """The value of an attribute."""
        kind = self._kinds.get((label, name))
        if kind == "checkbox" and text.lower() in ("true", "false"):
            return text.lower() == "true"
        if kind == "number" and (value := number(text, limit=math.inf)) is not None:
            return int(value) if value.is_integer() and "." not in text else value
        return text


def _labels(element: Element | None) -> Iterator[Element]:
    """The ``label`` elements below, wherever a job, a task or a project has them."""
    for child in element.children if element else ():
        if child.tag == "labels":
            yield from child.each("label")
        else:
            yield from _labels(child)


class _Reader:
    """Reads the pictures of one file, and gathers what is wrong."""

    def __init__(
        self, path: str, finder: PictureFinder, declared: _Declarations, problems: list[Problem]
    ) -> None:
        self.path = path
        self.finder = finder
        self.declared = declared
        self.problems = problems

    def picture(self, image: Element) -> AnnotatedPicture | None:
        """The labels of one picture; None if its name cannot be used."""
        shapes = [child for child in image.children if child.tag in _SHAPES + _OTHER_SHAPES]
        picture, fault = self._find(image)
        if picture is None:
            self._problem(image, f"{fault}; it is left out", left_out=len(shapes))
            return None
        if fault:
            self._problem(image, fault, picture="" if picture in self.finder else picture)
        width, height = (self._side(image, side) for side in ("width", "height"))
        attributes: dict[str, Any] = {k: v for k, v in image.attributes.items() if k not in _OF_IMAGE}
        subset = split_name(attributes.get("subset", ""))
        if subset:
            del attributes["subset"]
        for tag in image.each("tag"):
            name = f"tag.{tag.attributes.get('label', '')}"
            inner = {f"{name}.{key}": value for key, value in self._attributes(tag).items()}
            attributes |= {name: True, **inner}
        for child in image.children:
            if child.tag not in (*_SHAPES, *_OTHER_SHAPES, "tag"):
                what = f"{quoted(child.tag)} is no shape of CVAT; the picture is left out"
                self._problem(child, what, left_out=1, picture=picture)
        has_boxes = any(shape.tag in _SHAPES for shape in shapes)
        return AnnotatedPicture(
            picture,
            tuple(filter(None, (self._annotation(shape, picture, has_boxes) for shape in shapes))),
            f"{self.path}, line {image.line}",
            width,
            height,
            subset or split_of(picture, self.path),
            attributes,
        )

    def _find(self, image: Element) -> tuple[str | None, str]:
        """As ``PictureFinder.find``; of several with this name, the one in the folder of the subset."""
        name, subset = (image.attributes.get(key, "") for key in ("name", "subset"))
        if subset:
            picture, fault = self.finder.find(f"{subset}/{name}", self.path)
            if picture in self.finder and not fault:
                return picture, ""
        return self.finder.find(name, self.path)

    def leave_out(self, element: Element) -> None:
        """Say that an element beside the pictures is not read, nor what is in it."""
        what = f"{quoted(element.tag)} is no picture and is left out"
        self._problem(element, what, left_out=sum(child.tag != "tag" for child in element.children))

    def _side(self, image: Element, side: str) -> int | None:
        text = image.attributes.get(side)
        value = number(text)
        if text is not None and (value is None or value < 1 or value % 1):
            self._problem(
                image, f"the {side} {quoted(text)} is no number of pixels; the picture's own counts"
            )
            return None
        return None if value is None else int(value)

    def _annotation(self, shape: Element, picture: str, has_boxes: bool) -> Annotation | None:
        if shape.tag in _OTHER_SHAPES:
            what = f"a {shape.tag} is no box; the {'object' if has_boxes else 'picture'} is left out"
            self._problem(shape, what, left_out=1, picture="" if has_boxes else picture)
            return None
        try:
            box, polygons = _geometry(shape)
        except ValueError as error:
            self._problem(shape, f"{error}; the picture is left out", left_out=1, picture=picture)
            return None
        label = shape.attributes.get("label", "")
        if label != one_line(label):
            self._problem(shape, f"the label {quoted(label)} holds control characters")
        label = one_line(label)
        if label not in self.declared.classes and self.declared.classes:
            self._problem(shape, f"the label {quoted(label)} is not among those that the file declares")
        attributes = self._attributes(shape)
        flags = take_flags(attributes)
        occluded = {"occluded": shape.attributes["occluded"]} if "occluded" in shape.attributes else {}
        flags |= take_flags(occluded)
        if occluded:
            self._problem(shape, f"occluded is {quoted(occluded['occluded'])}, neither 0 nor 1")
        if degrees := number(shape.attributes.get("rotation")):
            attributes[ROTATION] = degrees
        return Annotation(
            label,
            box,
            f"{self.path}, line {shape.line}",
            polygons=polygons,
            attributes=attributes,
            **flags,
        )

    def _attributes(self, shape: Element) -> dict[str, Any]:
        """What a shape or tag says beyond its label and geometry."""
        found: dict[str, Any] = {
            key: value
            for key, value in shape.attributes.items()
            if key not in _GEOMETRY and (key, value) not in _USUAL
        }
        if shape.tag in ("ellipse", "mask"):
            found["shape"] = shape.tag
        label = shape.attributes.get("label", "")
        for attribute in shape.each("attribute"):
            name = attribute.attributes.get("name", "")
            if not name or name in found:
                self._problem(attribute, "the attribute has no name, or one that is there already")
            else:
                found[name] = self.declared.value(label, name, attribute.text)
        return found

    def _problem(self, element: Element, what: str, left_out: int = 0, picture: str = "") -> None:
        place = f"{self.path}, line {element.line}"
        self.problems.append(Problem(place, what, left_out=left_out, picture=picture))


def _geometry(shape: Element) -> tuple[Box, tuple[tuple[float, ...], ...]]:
    """The upright box of a shape, and its outlines. Raises ValueError if it has none."""
    if shape.tag == "polygon":
        outline = _points(shape.attributes.get("points", ""))
        return outline_box(outline), (outline,)
    if shape.tag == "mask":
        return _box_of_mask(shape), ()
    degrees = _number(shape, "rotation") if "rotation" in shape.attributes else 0.0
    if shape.tag == "ellipse":
        cx, cy, rx, ry = (_number(shape, key) for key in ("cx", "cy", "rx", "ry"))
        return ellipse_box(cx, cy, rx, ry, math.radians(degrees)), ()
    x1, y1, x2, y2 = (_number(shape, key) for key in ("xtl", "ytl", "xbr", "ybr"))
    if not degrees:
        return (x1, y1, x2, y2), ()
    corners = turned_corners((x1, y1, x2, y2), degrees, ((x1 + x2) / 2, (y1 + y2) / 2))
    return outline_box(corners), (corners,)


def _box_of_mask(shape: Element) -> Box:
    """The box around a mask: runs of pixels outside and inside in turn, row by row from its top left."""
    left, top, width, height = (_number(shape, key) for key in ("left", "top", "width", "height"))
    texts = shape.attributes.get("rle", "").split(",")
    runs = [int(text) for text in texts if re.fullmatch(r"\s*[0-9]{1,9}\s*", text)]
    columns = int(width)
    if len(runs) != len(texts) or columns < 1 or columns != width or sum(runs) != width * height:
        raise ValueError(f"the runs of the mask are not {width:g} x {height:g} pixels")
    ends = list(itertools.accumulate(runs))
    inside = [(start, end) for start, end in zip(ends[0::2], ends[1::2], strict=False) if start < end]
    if not inside:
        raise ValueError("the mask has no pixels")
    if any(start // columns != (end - 1) // columns for start, end in inside):
        x1, x2 = 0, columns  # a run goes on in the next row
    else:
        x1 = min(start % columns for start, _ in inside)
        x2 = max((end - 1) % columns + 1 for _, end in inside)
    y1, y2 = inside[0][0] // columns, (inside[-1][1] - 1) // columns + 1
    return left + x1, top + y1, left + x2, top + y2


def _points(text: str) -> tuple[float, ...]:
    outline: list[float] = []
    for point in text.split(";"):
        x, separator, y = point.partition(",")
        values = number(x), number(y)
        if not separator or values[0] is None or values[1] is None:
            raise ValueError(f"the point {quoted(point)} is not x,y")
        outline += [values[0], values[1]]
    if len(outline) < 6:
        raise ValueError("a polygon has fewer than three points")
    return tuple(outline)


def _number(shape: Element, key: str) -> float:
    text = shape.attributes.get(key)
    value = number(text)
    if value is None:
        raise ValueError(f"{key} is missing" if text is None else f"{key} is {quoted(text)}, no number")
    return value
