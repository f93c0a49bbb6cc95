"""Writes COCO JSON: annotations/instances_SPLIT.json for the pictures in SPLIT/."""

import json
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path, PurePosixPath
from typing import Any

from striate.data.annotations import AnnotatedPicture, Annotation, AnnotationSet
from striate.data.formats.coco import FLAGS, OBJECT_KEYS, PICTURE_KEYS
from striate.data.json_reading import is_number
from striate.data.write.picture_layout import lay_out
from striate.data.write.unheld import Unheld
from striate.ops.masks import compress_runs


def picture_paths(annotations: AnnotationSet) -> list[str]:
    """Where each picture belongs: SPLIT/NAME, images/NAME where there are no splits; all names differ."""
    return lay_out(annotations, lambda split: split or "images", apart=True)


def write(annotations: AnnotationSet, folder: Path) -> list[str]:
    """Write a file for each split, or annotations/annotations.json.

    Args:
        annotations: the labels; pictures have width and height.
        folder: where ``picture_paths`` are.

    Returns:
        What COCO cannot hold, in sentences.
    """
    paths = picture_paths(annotations)
    above = _supercategories(annotations)
    categories = [
        {"id": k, "name": name} | ({"supercategory": above[name]} if name in above else {})
        for k, name in enumerate(annotations.classes, start=1)
    ]
    (folder / "annotations").mkdir()
    for split in dict.fromkeys(picture.split for picture in annotations.pictures):
        chosen = [
            (picture, path)
            for picture, path in zip(annotations.pictures, paths, strict=True)
            if picture.split == split
        ]
        document = _lists(chosen, annotations.classes, above) | {"categories": categories}
        name = f"instances_{split}.json" if split else "annotations.json"
        (folder / "annotations" / name).write_text(json.dumps(document) + "\n", encoding="utf-8")
    unheld = Unheld("COCO")
    for annotation in (a for picture in annotations.pictures for a in picture.annotations):
        if annotation.mask and annotation.polygons:
            unheld.add("outlines of an object that has a mask")
    return unheld.sentences()


def _lists(
    pictures: Iterable[tuple[AnnotatedPicture, str]], classes: tuple[str, ...], above: dict[str, str]
) -> dict[str, list[dict[str, Any]]]:
    """The pictures and objects of a file, numbered from 1."""
    numbers = {name: k for k, name in enumerate(classes, start=1)}
    images: list[dict[str, Any]] = []
    objects: list[dict[str, Any]] = []
    for picture, path in pictures:
        name = PurePosixPath(path).name
        entry = {"id": len(images) + 1, "file_name": name, "width": picture.width, "height": picture.height}
        images.append(entry | _further(picture.attributes, PICTURE_KEYS))
        for annotation in picture.annotations:
            ids = {
                "id": len(objects) + 1,
                "image_id": len(images),
                "category_id": numbers[annotation.label],
            }
            objects.append(ids | _object(annotation, annotation.label in above))
    return {"images": images, "annotations": objects}


def _object(annotation: Annotation, has_supercategory: bool) -> dict[str, Any]:
    x1, y1, x2, y2 = annotation.box_xyxy
    attributes = dict(annotation.attributes)
    if has_supercategory:
        del attributes["supercategory"]  # it is in the category
    area = attributes.pop("area") if is_number(attributes.get("area")) else _area(annotation)
    flags = {name: value for name in FLAGS if (value := getattr(annotation, name)) is not None}
    return {
        "bbox": [x1, y1, round(x2 - x1, 6), round(y2 - y1, 6)],
        "area": area,
        "iscrowd": int(annotation.crowd),
        "segmentation": _segmentation(annotation),
        **flags,
        **_further(attributes, OBJECT_KEYS | {"area", *FLAGS}),
    }


def _further(attributes: dict[str, Any], taken: frozenset[str]) -> dict[str, Any]:
    """Attributes as keys of their own; those whose names mean something else here, in "attributes"."""
    inner = {key: value for key, value in attributes.items() if key in taken}
    own = {key: value for key, value in attributes.items() if key not in taken}
    return own | ({"attributes": inner} if inner else {})


def _segmentation(annotation: Annotation) -> dict[str, Any] | list[list[float]]:
    if annotation.mask:
        mask = annotation.mask
        return {"size": [mask.height, mask.width], "counts": compress_runs(mask.counts)}
    return [list(polygon) for polygon in annotation.polygons]


def _area(annotation: Annotation) -> float:
    """The pixels of the mask, else what the outlines enclose, else the box."""
    if annotation.mask:
        return float(sum(annotation.mask.counts[1::2]))
    if annotation.polygons:
        return round(sum(map(_enclosed, annotation.polygons)), 6)
    x1, y1, x2, y2 = annotation.box_xyxy
    return round((x2 - x1) * (y2 - y1), 6)


def _enclosed(polygon: tuple[float, ...]) -> float:
    """The area of an outline (the shoelace formula)."""
    x, y = polygon[::2], polygon[1::2]
    corners = range(len(x))
    return abs(sum(x[i - 1] * y[i] - x[i] * y[i - 1] for i in corners)) / 2


def _supercategories(annotations: AnnotationSet) -> dict[str, str]:
    """The supercategory by class, of those classes whose objects all have the same."""
    found: defaultdict[str, set[Any]] = defaultdict(set)
    for picture in annotations.pictures:
        for annotation in picture.annotations:
            found[annotation.label].add(annotation.attributes.get("supercategory"))
    alike = {label: names.pop() for label, names in found.items() if len(names) == 1}
    return {label: name for label, name in alike.items() if isinstance(name, str)}
