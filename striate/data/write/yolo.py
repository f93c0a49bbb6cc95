"""Writes YOLO's text files, in fractions of each picture, and data.yaml, which names classes and splits."""

from pathlib import Path

import yaml

from striate.data.annotations import AnnotatedPicture, Annotation, AnnotationSet
from striate.data.formats.yolo_places import label_paths
from striate.data.label_flags import with_flags
from striate.data.outlines import sole_outline
from striate.data.write.picture_layout import lay_out
from striate.data.write.unheld import Unheld
from striate.errors import InputError


def picture_paths(annotations: AnnotationSet) -> list[str]:
    """Where each picture belongs: images/SPLIT/NAME, images/NAME where there are no splits."""
    return lay_out(annotations, lambda split: f"images/{split}" if split else "images")


def write(annotations: AnnotationSet, folder: Path) -> list[str]:
    """Write data.yaml, and a label file for each picture, also where it has no objects.

    Outlines are written if each object has just one, and its box is the box around it: programs that read
    these files take the lines of a data set for either boxes or outlines.

    Args:
        annotations: the labels; pictures have width and height.
        folder: where ``picture_paths`` are.

    Raises:
        InputError: the size of a picture with objects is not known.

    Returns:
        What YOLO's files cannot hold, in sentences.
    """
    objects = [o for picture in annotations.pictures for o in picture.annotations]
    unheld = Unheld("YOLO")
    outlines = bool(objects) and all(map(_has_outline, objects))
    ids = {name: k for k, name in enumerate(annotations.classes)}
    for picture, path in zip(annotations.pictures, picture_paths(annotations), strict=True):
        if picture.annotations and not (picture.width and picture.height):
            what = f"the size of {picture.path} is not known, and YOLO's coordinates are fractions of it"
            raise InputError(what, picture.place, "add the picture")
        _note(picture, outlines, unheld)
        place = folder / label_paths(path)[0]
        place.parent.mkdir(parents=True, exist_ok=True)
        lines = [
            " ".join([str(ids[annotation.label]), *map(_fraction, _values(annotation, picture, outlines))])
            for annotation in picture.annotations
        ]
        place.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8", newline="\n")
    found = {picture.split for picture in annotations.pictures}
    splits = [split for split in ("train", "val", "test") if split in found]
    document = {"path": "."} | {split: f"images/{split}" for split in splits}
    text = yaml.safe_dump(
        document | {"names": dict(enumerate(annotations.classes))}, allow_unicode=True, sort_keys=False
    )
    (folder / "data.yaml").write_text(text, encoding="utf-8", newline="\n")
    without_split = sum(picture.split is None for picture in annotations.pictures)
    if splits and without_split:
        unheld.add(
            "pictures without a split beside splits: data.yaml does not lead to them",
            "pictures",
            without_split,
        )
    return unheld.sentences()


def _note(picture: AnnotatedPicture, outlines: bool, unheld: Unheld) -> None:
    unheld.note_picture(picture)
    for annotation in picture.annotations:
        unheld.note_object(annotation, outline_written=outlines)
        for name in with_flags(annotation):
            unheld.add(f"the attribute {name}")


def _values(annotation: Annotation, picture: AnnotatedPicture, outlines: bool) -> list[float]:
    """The numbers behind the class, in fractions of the picture."""
    width, height = picture.width or 1, picture.height or 1
    if outlines:
        return [value / (height if k % 2 else width) for k, value in enumerate(annotation.polygons[0])]
    x1, y1, x2, y2 = annotation.box_xyxy
    return [(x1 + x2) / 2 / width, (y1 + y2) / 2 / height, (x2 - x1) / width, (y2 - y1) / height]


def _fraction(value: float) -> str:
    """To a thousandth of a pixel for the largest pictures, without zeros at the end."""
    return f"{value:.9f}".rstrip("0").rstrip(".")


def _has_outline(annotation: Annotation) -> bool:
    outline = sole_outline(annotation)
    return outline is not None and len(outline) >= 6
