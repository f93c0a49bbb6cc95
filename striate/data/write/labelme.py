"""Writes LabelMe's files: one beside each picture, in a folder per split."""

import base64
import json
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

import torch

from striate.data.annotations import AnnotatedPicture, Annotation, AnnotationSet, RunLengths
from striate.data.images import encode_png
from striate.data.label_flags import with_flags
from striate.data.outlines import outline_box
from striate.data.write.picture_layout import lay_out
from striate.data.write.unheld import Unheld
from striate.ops.masks import masks_to_boxes, runs_to_mask

_NEAR = 0.005  # pixels between a box and that around its outlines or its mask, which take its place


def picture_paths(annotations: AnnotationSet) -> list[str]:
    """Where each picture belongs in the folder."""
    return lay_out(annotations, lambda split: split or "")


def write(annotations: AnnotationSet, folder: Path) -> list[str]:
    """Write the labels into an empty folder, or one that holds the pictures.

    Returns:
        What the format could not hold, one sentence each.

    Raises:
        OSError: the disk is full, or refuses.
    """
    unheld = Unheld("LabelMe")
    unheld.note_classes(annotations)
    for picture, path in zip(annotations.pictures, picture_paths(annotations), strict=True):
        place = (folder / path).with_suffix(".json")
        place.parent.mkdir(parents=True, exist_ok=True)
        text = json.dumps(_document(picture, PurePosixPath(path).name, unheld), ensure_ascii=False, indent=2)
        place.write_text(text + "\n", encoding="utf-8")
    return unheld.sentences()


def _document(picture: AnnotatedPicture, name: str, unheld: Unheld) -> dict[str, Any]:
    shapes: list[dict[str, Any]] = []
    groups = 0
    for annotation in picture.annotations:
        own = list(_shapes(annotation, unheld))
        groups += len(own) > 1
        shapes += (shape | {"group_id": groups if len(own) > 1 else None} for shape in own)
    return {
        "version": "5.4.1",
        **_said(picture.attributes),
        "shapes": shapes,
        "imagePath": name,
        "imageData": None,
        "imageHeight": picture.height,
        "imageWidth": picture.width,
    }


def _shapes(annotation: Annotation, unheld: Unheld) -> Iterator[dict[str, Any]]:
    """The shapes of an object: its mask, its outlines or its box."""
    said = {"label": annotation.label, **_said(with_flags(annotation))}
    mask = annotation.mask if annotation.mask and _fits(annotation, _mask_box(annotation.mask)) else None
    corners = [corner for outline in annotation.polygons for corner in outline]
    outlined = mask is None and bool(corners) and _fits(annotation, outline_box(corners))
    unheld.note_object(annotation, outlined, mask is not None)
    if mask:
        yield said | _masked(mask)
        return
    for outline in annotation.polygons if outlined else ():
        yield said | {"shape_type": "polygon", "points": _points(outline)}
    if not outlined:
        yield said | {"shape_type": "rectangle", "points": _points(annotation.box_xyxy)}


def _said(attributes: dict[str, Any]) -> dict[str, Any]:
    """Attributes as LabelMe shows them, which are true or false, and the others as it keeps them."""
    flags = {name: value for name, value in attributes.items() if isinstance(value, bool)}
    others = {name: value for name, value in attributes.items() if name not in flags}
    return {"flags": flags} | ({"attributes": others} if others else {})


def _points(flat: tuple[float, ...]) -> list[list[float]]:
    return [list(point) for point in zip(flat[0::2], flat[1::2], strict=True)]


def _fits(annotation: Annotation, box: tuple[float, ...]) -> bool:
    """Whether a box is that of the object, so that what it is around can stand for both."""
    return all(abs(a - b) < _NEAR for a, b in zip(annotation.box_xyxy, box, strict=True))


def _mask_box(mask: RunLengths) -> tuple[float, ...]:
    """The box around the pixels of a mask; around nothing, one that is that of no object."""
    if not any(mask.counts[1::2]):
        return (-1.0,) * 4
    return tuple(masks_to_boxes(runs_to_mask(mask.counts, mask.height, mask.width)[None])[0].tolist())


def _masked(mask: RunLengths) -> dict[str, Any]:
    """A mask as its pixels within its box, whose first and last pixel are given."""
    x1, y1, x2, y2 = map(int, _mask_box(mask))
    part = runs_to_mask(mask.counts, mask.height, mask.width)[y1:y2, x1:x2]
    png = encode_png(part[None].to(torch.uint8) * 255)
    points = [[x1, y1], [x2 - 1, y2 - 1]]
    return {"shape_type": "mask", "points": points, "mask": base64.b64encode(png).decode()}
