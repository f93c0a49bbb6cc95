"""Writes projects of the VGG Image Annotator 2: via.json beside the pictures, in a folder per split."""

import json
from collections import defaultdict
from pathlib import Path, PurePosixPath
from typing import Any

from striate.data.annotations import AnnotatedPicture, Annotation, AnnotationSet
from striate.data.formats.via import CLASS_NAMES
from striate.data.label_flags import with_flags
from striate.data.outlines import sole_outline
from striate.data.write.picture_layout import lay_out
from striate.data.write.unheld import Unheld

_NAME = "via.json"


def picture_paths(annotations: AnnotationSet) -> list[str]:
    """Where each picture belongs in the folder."""
    return lay_out(annotations, lambda split: split or "")


def write(annotations: AnnotationSet, folder: Path) -> list[str]:
    """Write the labels into an empty folder.

    Returns:
        What the format could not hold, one sentence each.

    Raises:
        OSError: the disk is full, or refuses.
    """
    unheld = Unheld("VIA")
    files: defaultdict[str, dict[str, Any]] = defaultdict(dict)
    region_names: dict[str, None] = {}  # an ordered set
    file_names: dict[str, None] = {}
    for picture, path in zip(annotations.pictures, picture_paths(annotations), strict=True):
        name = PurePosixPath(path).name
        entry = _entry(picture, name, unheld)
        files[PurePosixPath(path).parent.as_posix()][f"{name}-1"] = entry
        file_names |= dict.fromkeys(entry["file_attributes"])
        for region in entry["regions"]:
            region_names |= dict.fromkeys(region["region_attributes"])
    declared = {
        "region": _declared(annotations.classes, region_names),
        "file": dict.fromkeys(file_names, _TEXT),
    }
    for home, entries in files.items():
        (folder / home).mkdir(exist_ok=True)
        text = json.dumps(_project(entries, declared), indent=1)
        (folder / home / _NAME).write_text(text + "\n", encoding="utf-8")
    return unheld.sentences()


_TEXT = {"type": "text", "description": "", "default_value": ""}


def _declared(classes: tuple[str, ...], names: dict[str, None]) -> dict[str, Any]:
    choice = {
        "type": "dropdown",
        "description": "",
        "options": dict.fromkeys(classes, ""),
        "default_options": {},
    }
    return {CLASS_NAMES[0]: choice} | {name: _TEXT for name in names if name != CLASS_NAMES[0]}


def _project(entries: dict[str, Any], declared: dict[str, Any]) -> dict[str, Any]:
    return {
        "_via_settings": {
            "ui": {},
            "core": {"buffer_size": 18, "filepath": {}, "default_filepath": ""},
            "project": {"name": "striate"},
        },
        "_via_img_metadata": entries,
        "_via_attributes": declared,
        "_via_data_format_version": "2.0.10",
        "_via_image_id_list": list(entries),
    }


def _entry(picture: AnnotatedPicture, name: str, unheld: Unheld) -> dict[str, Any]:
    if picture.width or picture.height:
        unheld.add("the sizes of pictures", "pictures")
    return {
        "filename": name,
        "size": -1,  # of the file in bytes, which VIA takes for unknown
        "regions": [_region(annotation, unheld) for annotation in picture.annotations],
        "file_attributes": picture.attributes,
    }


def _region(annotation: Annotation, unheld: Unheld) -> dict[str, Any]:
    outline = sole_outline(annotation)
    unheld.note_object(annotation, outline_written=outline is not None)
    shape: dict[str, Any]
    if outline:
        shape = {"name": "polygon", "all_points_x": outline[0::2], "all_points_y": outline[1::2]}
    else:
        x1, y1, x2, y2 = annotation.box_xyxy
        width, height = round(x2 - x1, 6), round(y2 - y1, 6)
        shape = {"name": "rect", "x": x1, "y": y1, "width": width, "height": height}
    attributes = with_flags(annotation)
    own = attributes.pop(CLASS_NAMES[0], None)
    if own is not None:
        unheld.add(f"an attribute that is called {CLASS_NAMES[0]} as well")
    return {
        "shape_attributes": shape,
        "region_attributes": {CLASS_NAMES[0]: annotation.label, **attributes},
    }
