"""Writes annotations.csv, a line for each object, and classes.csv, which numbers the classes."""

import csv
import json
from pathlib import Path
from typing import Any

from striate.data.annotations import AnnotatedPicture, Annotation, AnnotationSet
from striate.data.formats.csv_boxes import OBJECT_ATTRIBUTES, PICTURE_ATTRIBUTES
from striate.data.formats.csv_rows import are_fractions, is_within_a_pixel
from striate.data.label_flags import FLAG_NAMES, with_flags
from striate.data.write.picture_layout import lay_out
from striate.data.write.unheld import Unheld

_ALWAYS = ("filename", "width", "height", "xmin", "ymin", "xmax", "ymax", "class")
_FLAGS = tuple(sorted(FLAG_NAMES))
_SOMETIMES = ("split", *_FLAGS, OBJECT_ATTRIBUTES, PICTURE_ATTRIBUTES, "unit")  # where a line has a value


def picture_paths(annotations: AnnotationSet) -> list[str]:
    """Where each picture belongs: images/SPLIT/NAME, images/NAME where there are no splits."""
    return lay_out(annotations, lambda split: f"images/{split}" if split else "images")


def write(annotations: AnnotationSet, folder: Path) -> list[str]:
    """Write both files. Attributes are written as JSON, so that numbers stay numbers and texts texts.

    Args:
        annotations: the labels; pictures have width and height.
        folder: where ``picture_paths`` are.

    Returns:
        What CSV cannot hold, in sentences.
    """
    unheld = Unheld("CSV")
    rows: list[dict[str, Any]] = []
    for picture, path in zip(annotations.pictures, picture_paths(annotations), strict=True):
        facts = _picture(picture, path)
        rows += [facts | _object(annotation) for annotation in picture.annotations] or [facts]
        for annotation in picture.annotations:
            unheld.note_object(annotation, outline_written=False)
    boxes = [annotation.box_xyxy for picture in annotations.pictures for annotation in picture.annotations]
    if max(map(max, boxes), default=0) <= 2 or any(
        are_fractions(box) or is_within_a_pixel(box) for box in boxes
    ):
        rows = [row | {"unit": "pixel"} for row in rows]  # else they would be taken for fractions
    present = {key for row in rows for key in row}
    columns = [*_ALWAYS, *(key for key in _SOMETIMES if key in present)]
    with (folder / "annotations.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, columns, restval="", lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    with (folder / "classes.csv").open("w", encoding="utf-8", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows(
            (name, k) for k, name in enumerate(annotations.classes)
        )
    return unheld.sentences()


def _picture(picture: AnnotatedPicture, path: str) -> dict[str, Any]:
    facts: dict[str, Any] = {"filename": path, "width": picture.width, "height": picture.height}
    if picture.split:
        facts["split"] = picture.split
    if picture.attributes:
        facts[PICTURE_ATTRIBUTES] = json.dumps(picture.attributes)
    return facts


def _object(annotation: Annotation) -> dict[str, Any]:
    x1, y1, x2, y2 = annotation.box_xyxy
    entry = {"xmin": x1, "ymin": y1, "xmax": x2, "ymax": y2, "class": annotation.label}
    known = with_flags(annotation)
    entry |= {flag: str(known.pop(flag)).lower() for flag in _FLAGS if flag in known}
    return entry | ({OBJECT_ATTRIBUTES: json.dumps(known)} if known else {})
