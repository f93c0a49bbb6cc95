"""Writes Label Studio tasks: labels.json, or a file per split, and pictures in images/ for local storage."""

import json
from collections import defaultdict
from pathlib import Path
from typing import Any
from urllib.parse import quote

from striate.data.annotations import AnnotatedPicture, Annotation, AnnotationSet
from striate.data.label_flags import with_flags
from striate.data.outlines import ROTATION, sole_outline, turned_box
from striate.data.write.picture_layout import lay_out
from striate.data.write.unheld import Unheld
from striate.errors import InputError


def picture_paths(annotations: AnnotationSet) -> list[str]:
    """Where each picture belongs in the folder."""
    return lay_out(annotations, lambda split: f"images/{split}" if split else "images")


def write(annotations: AnnotationSet, folder: Path) -> list[str]:
    """Write the labels into an empty folder.

    Returns:
        What the format could not hold, one sentence each.

    Raises:
        InputError: the size of a picture with objects is not known, of which coordinates are percent.
        OSError: the disk is full, or refuses.
    """
    unheld = Unheld("Label Studio")
    unheld.note_classes(annotations)
    files: defaultdict[str, list[dict[str, Any]]] = defaultdict(list)
    for picture, path in zip(annotations.pictures, picture_paths(annotations), strict=True):
        tasks = files[picture.split or "labels"]
        tasks.append(_task(picture, path, len(tasks) + 1, unheld))
    for name, tasks in files.items():
        (folder / f"{name}.json").write_text(json.dumps(tasks, indent=1) + "\n", encoding="utf-8")
    return unheld.sentences()


def _task(picture: AnnotatedPicture, path: str, number: int, unheld: Unheld) -> dict[str, Any]:
    if picture.annotations and not (picture.width and picture.height):
        raise InputError(
            f"the size of {picture.path} is not known, and Label Studio's coordinates are percent of it",
            picture.place,
            "add the picture",
        )
    if not picture.annotations and picture.width:
        unheld.add("the sizes of pictures without objects", "pictures")
    results: list[dict[str, Any]] = []
    for annotation in picture.annotations:
        region = f"region{len(results)}"
        results.append(_region(annotation, picture, region, unheld))
        attributes = with_flags(annotation)
        if turned_box(annotation):
            del attributes[ROTATION]
        results += (_attribute(name, value, region) for name, value in attributes.items())
    results += (_attribute(name, value, None) for name, value in picture.attributes.items())
    return {
        "id": number,
        "data": {"image": f"/data/local-files/?d={quote(path)}"},
        "annotations": [{"result": results, "was_cancelled": False}],
    }


def _region(annotation: Annotation, picture: AnnotatedPicture, region: str, unheld: Unheld) -> dict[str, Any]:
    width, height = picture.width or 1, picture.height or 1
    turned, outline = turned_box(annotation), sole_outline(annotation)
    unheld.note_object(annotation, outline_written=outline is not None)
    value: dict[str, Any]
    if outline and not turned:
        kind = "polygonlabels"
        points = zip(outline[0::2], outline[1::2], strict=True)
        value = {"points": [[x * 100 / width, y * 100 / height] for x, y in points]}
    else:
        kind = "rectanglelabels"
        x1, y1, x2, y2 = annotation.box_xyxy
        wide, high, degrees = x2 - x1, y2 - y1, 0.0
        if turned and outline:
            (left, top, right, bottom), degrees = turned
            wide, high = right - left, bottom - top
            x1, y1 = outline[0], outline[1]  # around which it is turned
        value = {
            "x": x1 * 100 / width,
            "y": y1 * 100 / height,
            "width": wide * 100 / width,
            "height": high * 100 / height,
            ROTATION: degrees,
        }
    return {
        "id": region,
        "type": kind,
        "from_name": "label",
        "to_name": "image",
        "original_width": width,
        "original_height": height,
        "image_rotation": 0,
        "value": {**value, kind: [annotation.label] if annotation.label else []},
    }


def _attribute(name: str, value: Any, region: str | None) -> dict[str, Any]:
    """A result that says something of a region, or of the whole picture."""
    if isinstance(value, bool):
        kind, content = "choices", {"choices": [str(value).lower()]}
    elif isinstance(value, str):
        kind, content = "textarea", {"text": [value]}
    else:
        kind, content = "number", {"number": value}
    result = {"type": kind, "from_name": name, "to_name": "image", "value": content}
    return result if region is None else {"id": region, **result}
