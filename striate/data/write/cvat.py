"""Writes CVAT 1.1 XML for images: annotations.xml, and pictures in images/."""

from collections import defaultdict
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from striate.data.annotations import AnnotatedPicture, Annotation, AnnotationSet
from striate.data.label_flags import with_flags
from striate.data.outlines import ROTATION, sole_outline, turned_box
from striate.data.write.picture_layout import lay_out
from striate.data.write.unheld import Unheld
from striate.data.write.xml_text import add, legal, number_text, write_xml

_OWN_PLACE = ("source", "z_order", "group_id")  # attributes of the shape itself
_TAG = "tag."


def picture_paths(annotations: AnnotationSet) -> list[str]:
    """Where each picture belongs in the folder."""
    return lay_out(annotations, lambda split: f"images/{split}" if split else "images")


def write(annotations: AnnotationSet, folder: Path) -> list[str]:
    """Write the labels into an empty folder.

    Returns:
        What the format could not hold, one sentence each.

    Raises:
        OSError: the disk is full, or refuses.
    """
    unheld = Unheld("CVAT")
    root = ElementTree.Element("annotations")
    add(root, "version", "1.1")
    _declare(add(root, "meta"), annotations)
    paths = picture_paths(annotations)
    for number, (picture, path) in enumerate(zip(annotations.pictures, paths, strict=True)):
        _add_image(root, number, picture, path.removeprefix("images/"), unheld)
    write_xml(folder / "annotations.xml", root)
    return unheld.sentences()


def _declare(meta: ElementTree.Element, annotations: AnnotationSet) -> None:
    """Say which classes there are, and of which kind their attributes are."""
    kinds: defaultdict[str, defaultdict[str, set[str]]] = defaultdict(lambda: defaultdict(set))
    for picture in annotations.pictures:
        for annotation in picture.annotations:
            for name, value in _attributes(annotation).items():
                kinds[annotation.label][name].add(_kind(value))
    labels = add(add(meta, "task"), "labels")
    for label in annotations.classes:
        element = add(labels, "label")
        add(element, "name", label)
        group = add(element, "attributes")
        for name, found in kinds[label].items():
            attribute = add(group, "attribute")
            add(attribute, "name", name)
            add(attribute, "mutable", "False")
            add(attribute, "input_type", found.pop() if len(found) == 1 else "text")
            add(attribute, "default_value", "")
            add(attribute, "values", "")


def _kind(value: Any) -> str:
    if isinstance(value, bool):
        return "checkbox"
    return "number" if isinstance(value, int | float) else "text"


def _attributes(annotation: Annotation) -> dict[str, Any]:
    """What is written as attributes declared for the class."""
    attributes = with_flags(annotation)
    attributes.pop("occluded", None) if annotation.occluded is not None else None
    own = {name for name in _OWN_PLACE if isinstance(attributes.get(name), str)}
    if turned_box(annotation):
        own.add(ROTATION)
    return {name: value for name, value in attributes.items() if name not in own}


def _add_image(
    root: ElementTree.Element, number: int, picture: AnnotatedPicture, name: str, unheld: Unheld
) -> None:
    image = add(root, "image")
    image.attrib |= {"id": str(number), "name": name}
    if picture.split:
        image.set("subset", picture.split)
    for side, value in (("width", picture.width), ("height", picture.height)):
        if value:
            image.set(side, str(value))
    for annotation in picture.annotations:
        _add_shape(image, annotation, unheld)
    unheld.note_picture(picture, _add_tags(image, picture.attributes))


def _add_tags(image: ElementTree.Element, attributes: dict[str, Any]) -> list[str]:
    """Write what ``read`` made of tags; the names of those attributes."""
    held: list[str] = []
    for name, value in attributes.items():
        if not (name.startswith(_TAG) and value is True) or name in held:
            continue
        tag = add(image, "tag")
        tag.set("label", legal(name.removeprefix(_TAG)))
        held.append(name)
        for inner, text in attributes.items():
            if inner.startswith(f"{name}.") and isinstance(text, str):
                add(tag, "attribute", text).set("name", legal(inner.removeprefix(f"{name}.")))
                held.append(inner)
    return held


def _add_shape(image: ElementTree.Element, annotation: Annotation, unheld: Unheld) -> None:
    turned, outline = turned_box(annotation), sole_outline(annotation)
    if outline and not turned:
        shape = add(image, "polygon")
        points = zip(outline[0::2], outline[1::2], strict=True)
        shape.set("points", ";".join(f"{number_text(x)},{number_text(y)}" for x, y in points))
    else:
        shape = add(image, "box")
        box, degrees = turned or (annotation.box_xyxy, 0.0)
        for key, value in zip(("xtl", "ytl", "xbr", "ybr"), box, strict=True):
            shape.set(key, number_text(value))
        if turned:
            shape.set("rotation", repr(degrees))
    unheld.note_object(annotation, outline_written=outline is not None)
    shape.set("label", legal(annotation.label))
    if annotation.occluded is not None:
        shape.set("occluded", str(int(annotation.occluded)))
    for name in _OWN_PLACE:
        if isinstance(text := annotation.attributes.get(name), str):
            shape.set(name, legal(text))
    for name, value in _attributes(annotation).items():
        add(shape, "attribute", value).set("name", legal(name))
