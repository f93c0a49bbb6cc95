"""COCO JSON: pictures, categories and annotations of a split in one file, joined by ids.

    annotations/instances_train2017.json          train/_annotations.coco.json
    train2017/000000000009.jpg                    train/a.jpg

    {"images":      [{"id": 9, "file_name": "000000000009.jpg", "width": 640, "height": 480}],
     "categories":  [{"id": 18, "name": "dog", "supercategory": "animal"}],
     "annotations": [{"id": 7, "image_id": 9, "category_id": 18, "bbox": [x, y, width, height], "iscrowd": 0,
                      "segmentation": outlines or runs, "area": 120.0}]}

- Classes are the categories by name, in the order of their ids, which may have gaps.
- ``instances_*.json``, ``annotations.json`` and ``_annotations.coco.json`` are read where there are any, else
  every JSON file of this form. The split is the one that the file's name or folder names.
- Ids and numbers may be written as 3, 3.0 or "3"; "iscrowd" is also true or false, and null says nothing.
- A picture of which an annotation cannot be used is left out, since its object would count as background.
  So are pictures without objects in a file with annotations of no picture, and all pictures of a file that
  has no annotations, as those of test pictures have none.
- What else an annotation says becomes attributes: area, the supercategory of its category, other keys, and
  those in "attributes", as CVAT writes them. Ids only join the lists, and are numbered anew when written.
  "info" and "licenses" describe the file and are not read.
"""

import re
from collections import Counter, defaultdict
from dataclasses import dataclass, field, replace
from pathlib import PurePosixPath
from typing import Any
from urllib.parse import unquote

from striate.data.annotations import (
    AnnotatedPicture,
    Annotation,
    AnnotationSet,
    Problem,
    quoted,
)
from striate.data.formats.coco_shapes import box_of, segmentation_of
from striate.data.formats.image_folder import natural_order
from striate.data.images import MAX_PIXELS
from striate.data.json_reading import as_number, as_whole, is_number, parse_json
from striate.data.label_files import LabelFiles
from striate.data.label_pictures import PictureFinder, annotation_set, nothing_left, split_of
from striate.errors import InputError, counted, one_line
from striate.text_files import as_utf8

PICTURE_KEYS = frozenset({"id", "file_name", "width", "height", "attributes"})
OBJECT_KEYS = frozenset(
    {"id", "image_id", "category_id", "bbox", "segmentation", "iscrowd", "supercategory", "attributes"}
)
FLAGS = ("difficult", "truncated", "occluded")
_FILE_KEYS = frozenset({"images", "annotations", "categories", "info", "licenses", "type"})
_CATEGORY_KEYS = frozenset({"id", "name", "supercategory"})
_NAMED = re.compile(r"instances_.*\.json|annotations\.json|_annotations\.coco\.json")
_OWN = re.compile(r"instances_.*\.json|_annotations\.coco\.json")  # names that no other format has

_WHOLE = re.compile(r"-?(0|[1-9][0-9]{0,17})")  # "007" is no number, but a name

Id = int | str


@dataclass
class _File:
    """A file that is being read: its path, what it is called, and what is found on the way."""

    path: str
    place: str
    split: str | None
    problems: list[Problem] = field(default_factory=list)
    unread: Counter[str] = field(default_factory=Counter)  # keys whose values are no attributes

    def tell(self, entry: str, what: str, left_out: int = 0, picture: str = "") -> None:
        self.problems.append(Problem(f"{self.path}, {entry}", what, left_out=left_out, picture=picture))

    def refuse(self, entry: str, what: str) -> InputError:
        return InputError(what, f"{self.place}, {entry}", "mend the entry, or export the labels again")


@dataclass(frozen=True)
class _Category:
    label: str
    supercategory: str | None


def recognizes(files: LabelFiles) -> bool:
    """Whether there are COCO files."""
    return bool(_label_files(files))


def read(files: LabelFiles) -> AnnotationSet:
    """Read all COCO files of a data set.

    Returns:
        Labels of all of them; a class that several files name is one. Objects and pictures that cannot be
        used are problems, each with its file and entry.

    Raises:
        InputError: no such file, no JSON, or lists and ids that are not what they must be.
    """
    paths = _label_files(files) or ([files.file] if files.file else [])
    if not paths:
        raise InputError("there is no COCO file", files.root, "add annotations/instances_train.json")
    finder = PictureFinder(files)
    pictures: list[AnnotatedPicture] = []
    problems: list[Problem] = []
    classes: list[str] = []
    for path in paths:
        file = _File(path, files.place(path), split_of(_without_year(path)))
        lists = _lists(parse_json(files.read(path), file.place), file)
        categories = _categories(lists["categories"], file)
        classes += [category.label for category in categories.values()]
        own = _pictures(lists["images"], finder, file)
        if lists["annotations"] is not None:
            pictures += _with_objects(own, _objects(lists["annotations"], categories, own, file), file)
        problems += file.problems
        problems += [
            Problem(path, f"{key} of {count:,} entries is no string, number or boolean, and is not kept")
            for key, count in sorted(file.unread.items())
        ]
    if not pictures:
        raise nothing_left(
            "no COCO file has annotations of pictures", files.root, problems, "export them again"
        )
    return annotation_set(pictures, problems, classes, finder)


def _label_files(files: LabelFiles) -> list[str]:
    found = [
        path
        for path in files.ending(".json")
        if _OWN.fullmatch(PurePosixPath(path).name) or _has_lists(files, path)
    ]
    named = [path for path in found if _NAMED.fullmatch(PurePosixPath(path).name)]
    return named or found


def _has_lists(files: LabelFiles, path: str) -> bool:
    """Whether a file looks like COCO; it may hold 300 MB, so that it is not parsed for this."""
    content = as_utf8(files.read(path))
    return (
        content[:100].lstrip().startswith(b"{")
        and b'"images"' in content
        and b'"annotations"' in content
        and b'"_via_' not in content
        and b'"shape_attributes"' not in content
    )


def _without_year(path: str) -> str:
    return re.sub(r"(?<=[a-z])\d+", "", path)  # train2017 is train


def _lists(document: Any, file: _File) -> dict[str, Any]:
    """The three lists of a file; None in place of annotations where there are none, as of test pictures."""
    lists: dict[str, Any] = {}
    for key in ("images", "categories", "annotations"):
        value = document.get(key) if isinstance(document, dict) else None
        if not isinstance(value, list) and not (value is None and key == "annotations" and lists["images"]):
            raise InputError(f'it has no list "{key}", as COCO files have', file.place, "export it again")
        lists[key] = value
    if lists["annotations"] is None:
        count = f"{len(lists['images']):,}"
        what = f'it has no "annotations"; its {count} pictures count as unlabelled and are left out'
        file.problems.append(Problem(file.path, what))
    file.problems += [
        Problem(file.path, f"{quoted(key)} is not kept") for key in document if key not in _FILE_KEYS
    ]
    return lists


def _categories(entries: list[Any], file: _File) -> dict[Id, _Category]:
    """The categories by id, in the order of ids."""
    categories: dict[Id, _Category] = {}
    for k, entry in enumerate(entries):
        number, name = _id(entry, "id"), entry.get("name") if isinstance(entry, dict) else None
        name = str(name) if is_number(name) else name
        if number is None or not isinstance(name, str) or not name or name != one_line(name):
            raise file.refuse(f"categories[{k}]", "the category has no id, or no name that is readable text")
        if number in categories:
            raise file.refuse(f"categories[{k}]", f"the category id {quoted(number)} is there twice")
        if name in {category.label for category in categories.values()}:
            what = f"several categories are named {quoted(name)}; they are one class"
            file.problems.append(Problem(f"{file.path}, categories[{k}]", what))
        above = entry.get("supercategory")
        categories[number] = _Category(name, above if isinstance(above, str) else None)
        file.unread.update(entry.keys() - _CATEGORY_KEYS)
    return dict(sorted(categories.items(), key=lambda item: natural_order(str(item[0]))))


def _objects(
    entries: list[Any],
    categories: dict[Id, _Category],
    pictures: dict[Id, AnnotatedPicture | None],
    file: _File,
) -> dict[Id, list[Annotation]]:
    """The annotations by picture id.

    Problems name the pictures that may lack objects: where an annotation is that of no picture, all those
    without any.
    """
    objects: defaultdict[Id, list[Annotation]] = defaultdict(list)
    stray = ""  # the first annotation of no picture
    for k, entry in enumerate(entries):
        where = f"annotations[{k}]"
        number = _id(entry, "image_id")
        picture = pictures.get(number) if number is not None else None
        try:
            if number is None or number not in pictures:
                stray = stray or where
                raise ValueError(_no_picture(entry))
            size = (picture.width, picture.height) if picture else (None, None)
            objects[number].append(_annotation(entry, f"{file.path}, {where}", categories, file, size))
        except ValueError as error:
            file.tell(where, f"{error}; the object is left out", 1, picture.path if picture else "")
    if stray:
        empty = [picture for number, picture in pictures.items() if picture and number not in objects]
        for picture in empty:
            file.tell(
                stray, f"it is that of no picture, and may be that of {quoted(picture.path)}", 0, picture.path
            )
    return objects


def _no_picture(entry: Any) -> str:
    if _id(entry, "image_id") is None:
        return "the annotation has no image_id"
    return f"the image_id {quoted(entry['image_id'])} is that of no picture"


def _annotation(
    entry: dict[str, Any],
    place: str,
    categories: dict[Id, _Category],
    file: _File,
    size: tuple[int | None, int | None],
) -> Annotation:
    """An annotation. Raises ValueError if it cannot be used."""
    number = _id(entry, "category_id")
    if number is None or number not in categories:
        raise ValueError(f"the category_id {quoted(entry.get('category_id'))} is that of no category")
    said = entry.get("iscrowd")
    crowd = False if said in (None, "") else _flag(said)
    if crowd is None:
        raise ValueError(f"iscrowd is {quoted(entry['iscrowd'])}, neither 0 nor 1")
    polygons: tuple[tuple[float, ...], ...] = ()
    mask = None
    try:
        polygons, mask = segmentation_of(entry.get("segmentation"), size)
    except ValueError as error:
        file.problems.append(Problem(place, f"{error}; the segmentation is left out"))
    category = categories[number]
    attributes = _attributes(entry, OBJECT_KEYS, place, file)
    if category.supercategory is not None:
        attributes.setdefault("supercategory", category.supercategory)
    flags = {name: _flag(attributes[name]) for name in FLAGS if name in attributes}
    known = {name: value for name, value in flags.items() if value is not None}
    return Annotation(
        label=category.label,
        box_xyxy=box_of(entry.get("bbox"), polygons, mask),
        place=place,
        crowd=crowd,
        polygons=polygons,
        mask=mask,
        attributes={name: value for name, value in attributes.items() if name not in known},
        **known,
    )


def _pictures(entries: list[Any], finder: PictureFinder, file: _File) -> dict[Id, AnnotatedPicture | None]:
    """The pictures of a file by id, without their objects; None for one whose name cannot be used."""
    home = _picture_folder(finder, file)
    pictures: dict[Id, AnnotatedPicture | None] = {}
    for k, entry in enumerate(entries):
        number, name = _id(entry, "id"), _file_name(entry)
        if number is None or name is None:
            raise file.refuse(f"images[{k}]", "the picture has no id or no file_name")
        if number in pictures:
            raise file.refuse(f"images[{k}]", f"the picture id {quoted(number)} is there twice")
        path, fault = finder.find(name, home)
        if "%" in name and path not in finder:
            decoded, other = finder.find(unquote(name), home)
            path, fault = (decoded, other) if decoded in finder else (path, fault)
        if fault:
            file.tell(f"images[{k}]", fault)
        pictures[number] = None
        if path:
            place = f"{file.path}, images[{k}]"
            width, height = (_side(entry, key, place, file) for key in ("width", "height"))
            attributes = _attributes(entry, PICTURE_KEYS, place, file)
            pictures[number] = AnnotatedPicture(path, (), place, width, height, file.split, attributes)
    return pictures


def _file_name(entry: Any) -> str | None:
    """What an entry calls its picture, by name or else by address; None if it does not."""
    name = entry.get("file_name") if isinstance(entry, dict) else None
    if name is None and isinstance(entry, dict) and isinstance(address := entry.get("coco_url"), str):
        return unquote(address.rpartition("/")[2])
    return name if isinstance(name, str) else None


def _with_objects(
    pictures: dict[Id, AnnotatedPicture | None], objects: dict[Id, list[Annotation]], file: _File
) -> list[AnnotatedPicture]:
    """The pictures of a file with their annotations; a problem for annotations of those without a name."""
    found = []
    for k, (number, picture) in enumerate(pictures.items()):
        own = tuple(objects.get(number, ()))
        if picture:
            found.append(replace(picture, annotations=own))
        elif own:
            what = f"the picture has no usable name; left out with it: {counted(len(own), 'object')}"
            file.tell(f"images[{k}]", what, len(own))
    return found


def _picture_folder(finder: PictureFinder, file: _File) -> str:
    """A path in the folder where the pictures of a file are looked for first: the one folder that is named
    as its split, else the file's own."""
    folders = {
        folder
        for path in finder.paths
        for folder in map(str, PurePosixPath(path).parents)
        if file.split and split_of(_without_year(f"{folder}/")) == file.split
    }
    uppermost = {folder for folder in folders if str(PurePosixPath(folder).parent) not in folders}
    return f"{uppermost.pop()}/{PurePosixPath(file.path).name}" if len(uppermost) == 1 else file.path


def _side(entry: dict[str, Any], key: str, place: str, file: _File) -> int | None:
    value = entry.get(key)
    side = as_whole(value)
    if value is None or (side is not None and 0 < side <= MAX_PIXELS):
        return side
    file.problems.append(Problem(place, f"the {key} {quoted(value)} is no number of pixels"))
    return None


def _attributes(entry: dict[str, Any], known: frozenset[str], place: str, file: _File) -> dict[str, Any]:
    """What an entry says beyond ``known``, and in "attributes"; what is null says nothing."""
    inner = entry.get("attributes")
    if not isinstance(inner, dict | None):
        file.unread["attributes"] += 1
    attributes: dict[str, Any] = {}
    own = [(key, value) for key, value in entry.items() if key not in known]
    for key, value in own + (list(inner.items()) if isinstance(inner, dict) else []):
        if key in attributes and value != attributes[key]:
            file.problems.append(Problem(place, f"it has two values of {quoted(key)}; the first is taken"))
        elif isinstance(value, str | int | float):
            attributes[key] = value
        elif value is not None:
            file.unread[key] += 1
    return attributes


def _flag(value: Any) -> bool | None:
    """Whether a flag is set; None if it is neither 0 nor 1, true nor false, however written."""
    if isinstance(value, str):
        value = {"true": 1, "false": 0}.get(value.strip().lower(), as_number(value))
    return bool(value) if isinstance(value, int | float) and value in (0, 1) else None


def _id(entry: Any, key: str) -> Id | None:
    """An id, the same for 3, 3.0 and "3"; None if there is none."""
    value = entry.get(key) if isinstance(entry, dict) else None
    if type(value) is int:
        return value
    if isinstance(value, str):
        return int(value) if _WHOLE.fullmatch(value) else value
    return int(value) if isinstance(value, float) and value % 1 == 0 else None
