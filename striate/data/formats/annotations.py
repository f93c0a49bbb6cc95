"""The formats of labelled boxes by name, and which of them a data set is in."""

from collections.abc import Callable

from striate.data.annotations import AnnotationSet
from striate.data.formats import coco, csv_boxes, cvat, label_studio, labelme, open_images, via, voc, yolo
from striate.data.label_files import LabelFiles
from striate.errors import InputError

READERS: dict[str, Callable[[LabelFiles], AnnotationSet]] = {
    "voc": voc.read,
    "coco": coco.read,
    "yolo": yolo.read,
    "via": via.read,
    "label-studio": label_studio.read,
    "labelme": labelme.read,
    "cvat": cvat.read,
    "csv": csv_boxes.read,
    "open-images": open_images.read,
}
_RECOGNIZERS: dict[str, Callable[[LabelFiles], bool]] = {
    "voc": voc.recognizes,
    "coco": coco.recognizes,
    "yolo": yolo.recognizes,
    "via": via.recognizes,
    "label-studio": label_studio.recognizes,
    "labelme": labelme.recognizes,
    "cvat": cvat.recognizes,
    "csv": csv_boxes.recognizes,
    "open-images": open_images.recognizes,
}


def recognizers() -> tuple[Callable[[LabelFiles], bool], ...]:
    """Whether files are labels of a format, for each format."""
    return (*_RECOGNIZERS.values(), yolo.lacks_names)


def format_of(files: LabelFiles) -> str:
    """The format of labels: one of ``READERS``.

    Raises:
        InputError: there are labels in none of the formats, or in several.
    """
    found = [name for name, recognizes in _RECOGNIZERS.items() if recognizes(files)]
    where = files.place(files.file) if files.file else files.root
    if not found and yolo.lacks_names(files):
        return "yolo"  # whose reader says what is missing
    if not found:
        raise InputError(
            "there are no labels in a format that is known", where, f"one of {', '.join(READERS)}"
        )
    if len(found) > 1:
        raise InputError(
            f"there are labels in several formats: {', '.join(found)}",
            where,
            "say with --from which is meant",
        )
    return found[0]
