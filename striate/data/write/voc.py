"""Writes Pascal VOC XML: Annotations/a.xml for JPEGImages/a.jpg, and the lists of ImageSets/Main.

Corners that are whole pixels are written as VOC writes them, counted from 1; others keep their fraction.
"""

from collections import defaultdict
from pathlib import Path, PurePosixPath
from xml.etree import ElementTree

from striate.data.annotations import AnnotatedPicture, Annotation, AnnotationSet
from striate.data.label_flags import with_flags
from striate.data.write.picture_layout import lay_out
from striate.data.write.unheld import Unheld
from striate.data.write.xml_text import add, number_text, write_xml

_FLAGS = ("truncated", "difficult", "occluded")
_OF_PICTURE = ("folder", "path", "segmented", "depth", "source.database", "source.annotation", "source.image")


def picture_paths(annotations: AnnotationSet) -> list[str]:
    """Where each picture belongs in the folder."""
    return lay_out(annotations, lambda split: "JPEGImages", apart=True)


def write(annotations: AnnotationSet, folder: Path) -> list[str]:
    """Write labels and lists into an empty folder.

    Returns:
        What the format could not hold, one sentence each.

    Raises:
        OSError: the disk is full, or refuses.
    """
    unheld = Unheld("Pascal VOC")
    unheld.note_classes(annotations)
    home = folder / "Annotations"
    home.mkdir()
    lists: defaultdict[str, list[str]] = defaultdict(list)
    fractions = 0
    for picture, path in zip(annotations.pictures, picture_paths(annotations), strict=True):
        file = PurePosixPath(path)
        write_xml(home / f"{file.stem}.xml", _picture(picture, file.name, unheld))
        fractions += sum(any(v % 1 for v in annotation.box_xyxy) for annotation in picture.annotations)
        if picture.split:
            lists[picture.split].append(file.stem)
            if picture.split in ("train", "val"):
                lists["trainval"].append(file.stem)
    _write_lists(lists, folder)
    notes = unheld.sentences()
    if fractions:
        notes.append(
            f"corners keep fractions of pixels, which some readers of VOC round (objects: {fractions:,})"
        )
    return notes


def _write_lists(lists: dict[str, list[str]], folder: Path) -> None:
    if lists:
        home = folder / "ImageSets" / "Main"
        home.mkdir(parents=True)
        for name, stems in lists.items():
            (home / f"{name}.txt").write_text("".join(f"{stem}\n" for stem in stems), encoding="utf-8")


def _picture(picture: AnnotatedPicture, name: str, unheld: Unheld) -> ElementTree.Element:
    attributes = picture.attributes
    unheld.note_picture(picture, _OF_PICTURE)
    root = ElementTree.Element("annotation")
    add(root, "folder", "JPEGImages")
    add(root, "filename", name)
    if "path" in attributes:
        add(root, "path", attributes["path"])
    source = add(root, "source")
    add(source, "database", attributes.get("source.database", "Unknown"))
    for part in ("annotation", "image"):
        if f"source.{part}" in attributes:
            add(source, part, attributes[f"source.{part}"])
    if picture.width and picture.height:
        size = add(root, "size")
        add(size, "width", picture.width)
        add(size, "height", picture.height)
        add(size, "depth", attributes.get("depth", 3))
    add(root, "segmented", attributes.get("segmented", 0))
    for annotation in picture.annotations:
        _add_object(root, annotation, unheld)
    return root


def _add_object(root: ElementTree.Element, annotation: Annotation, unheld: Unheld) -> None:
    unheld.note_object(annotation, outline_written=False)
    element = add(root, "object")
    add(element, "name", annotation.label)
    attributes = with_flags(annotation)
    add(element, "pose", attributes.pop("pose", "Unspecified"))
    for flag in _FLAGS:
        if flag in attributes:
            known = getattr(annotation, flag)
            value = attributes.pop(flag)
            add(element, flag, value if known is None else int(known))
    box = add(element, "bndbox")
    x1, y1, x2, y2 = annotation.box_xyxy
    for corner, value in (("xmin", x1 + 1), ("ymin", y1 + 1), ("xmax", x2), ("ymax", y2)):
        add(box, corner, number_text(value))
    if attributes:
        group = add(element, "attributes")
        for name, value in attributes.items():
            entry = add(group, "attribute")
            add(entry, "name", name)
            add(entry, "value", value)
            if not isinstance(value, str):
                unheld.add(f"the kind of the attribute {name}, a number or yes and no: it is text")
