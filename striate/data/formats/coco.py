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
- What else an annotation says becomes attributes: area, the supercategory of its category, other keys, and
  those in "attributes", as CVAT writes them. Ids only join the lists, and are numbered anew when written.
  "info" and "licenses" describe the file and are not read.
"""

import re
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any

from striate.data.annotations import (
    AnnotatedPicture,
    Annotation,
    AnnotationSet,
    Box,
    Problem,
    RunLengths,
    quoted,
)
from striate.data.formats.image_folder import natural_order
from striate.data.images import MAX_PIXELS
from striate.data.json_reading import is_number, parse_json
from striate.data.label_files import LabelFiles
from striate.data.label_pictures import PictureFinder, annotation_set, split_of
from striate.errors import InputError, one_line
from striate.ops.masks import decompress_runs, masks_to_boxes, runs_to_mask
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

Id = int | str


@dataclass
class _File:
    """A file that is being read: its path, what it is called, and what is found on the way."""

    path: str
    place: str
    split: str | None
    problems: list[Problem] = field(default_factory=list)
    unread: Counter[str] = field(default_factory=Counter)  # keys whose values are no attributes

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
        document = parse_json(files.read(path), file.place)
        lists = _lists(document, file)
        categories = _categories(lists["categories"], file)
        classes += [category.label for category in categories.values()]
        objects = _objects(lists["annotations"], categories, file)
        pictures += _pictures(lists["images"], objects, finder, file)
        problems += file.problems
        problems += [
            Problem(path, f"{key} of {count:,} entries is no string, number or boolean, and is not kept")
            for key, count in sorted(file.unread.items())
        ]
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


def _lists(document: Any, file: _File) -> dict[str, list[Any]]:
    """The three lists of a file."""
    lists = {}
    for key in ("images", "categories", "annotations"):
        value = document.get(key) if isinstance(document, dict) else None
        if not isinstance(value, list):
            raise InputError(f'it has no list "{key}", as COCO files have', file.place, "export it again")
        lists[key] = value
    file.problems += [
        Problem(file.path, f"{quoted(key)} is not kept") for key in document if key not in _FILE_KEYS
    ]
    return lists


def _categories(entries: list[Any], file: _File) -> dict[Id, _Category]:
    """The categories by id, in the order of ids."""
    categories: dict[Id, _Category] = {}
    for k, entry in enumerate(entries):
        number, name = _id(entry, "id"), entry.get("name") if isinstance(entry, dict) else None
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
    entries: list[Any], categories: dict[Id, _Category], file: _File
) -> dict[Id, list[tuple[int, Annotation]]]:
    """Places in the list, and annotations, by picture id."""
    objects: defaultdict[Id, list[tuple[int, Annotation]]] = defaultdict(list)
    for k, entry in enumerate(entries):
        place = f"{file.path}, annotations[{k}]"
        picture = _id(entry, "image_id")
        try:
            if picture is None:
                raise ValueError("the annotation has no image_id")
            objects[picture].append((k, _annotation(entry, place, categories, file)))
        except ValueError as error:
            file.problems.append(Problem(place, f"{error}; the object is left out", left_out=1))
    return objects


def _annotation(
    entry: dict[str, Any], place: str, categories: dict[Id, _Category], file: _File
) -> Annotation:
    """An annotation. Raises ValueError if it cannot be used."""
    number = _id(entry, "category_id")
    if number is None or number not in categories:
        raise ValueError(f"the category_id {quoted(entry.get('category_id'))} is that of no category")
    crowd = _flag(entry.get("iscrowd", False))
    if crowd is None:
        raise ValueError(f"iscrowd is {quoted(entry['iscrowd'])}, neither 0 nor 1")
    polygons: tuple[tuple[float, ...], ...] = ()
    mask = None
    try:
        polygons, mask = _segmentation(entry.get("segmentation"))
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
        box_xyxy=_box(entry.get("bbox"), polygons, mask),
        place=place,
        crowd=crowd,
        polygons=polygons,
        mask=mask,
        attributes={name: value for name, value in attributes.items() if name not in known},
        **known,
    )


def _box(value: Any, polygons: tuple[tuple[float, ...], ...], mask: RunLengths | None) -> Box:
    """The box, or that around the segmentation where there is none."""
    if value in (None, []) and polygons:
        x, y = ([v for polygon in polygons for v in polygon[k::2]] for k in (0, 1))
        return min(x), min(y), max(x), max(y)
    if value in (None, []) and mask is not None:
        pixels = runs_to_mask(mask.counts, mask.height, mask.width)
        x1, y1, x2, y2 = masks_to_boxes(pixels[None])[0].tolist()
        return x1, y1, x2, y2
    if not (isinstance(value, list) and len(value) == 4 and all(map(is_number, value))):
        raise ValueError("the bbox is not x, y, width and height")
    left, top, width, height = map(float, value)
    return (
        left,
        top,
        round(left + width, 6),
        round(top + height, 6),
    )  # sums of decimal fractions are not exact


def _segmentation(value: Any) -> tuple[tuple[tuple[float, ...], ...], RunLengths | None]:
    """Outlines, or a mask. Raises ValueError if it is neither."""
    if value is None:
        return (), None
    if isinstance(value, dict):
        return (), _runs(value)
    if not isinstance(value, list):
        raise ValueError("the segmentation is neither outlines nor runs")
    for outline in value:
        if not (isinstance(outline, list) and all(map(is_number, outline))):
            raise ValueError("an outline is no list of numbers")
        if len(outline) % 2 or len(outline) < 6:
            raise ValueError(f"an outline has {len(outline)} numbers, not three or more pairs")
    return tuple(tuple(map(float, outline)) for outline in value), None


def _runs(value: dict[str, Any]) -> RunLengths:
    size, counts = value.get("size"), value.get("counts")
    if not (isinstance(size, list) and len(size) == 2 and all(type(n) is int and n > 0 for n in size)):
        raise ValueError("the size of a mask is not height and width")
    height, width = size
    if height * width > MAX_PIXELS:
        raise ValueError(f"a mask has more than {MAX_PIXELS:,} pixels")
    if isinstance(counts, str):
        lengths = decompress_runs(counts)
    elif isinstance(counts, list) and all(type(n) is int and n >= 0 for n in counts):
        lengths = tuple(counts)
    else:
        raise ValueError("the counts of a mask are neither lengths nor text")
    if sum(lengths) != height * width:
        raise ValueError(f"the runs of a mask have {sum(lengths):,} pixels, its size {height * width:,}")
    return RunLengths(height, width, lengths)


def _pictures(
    entries: list[Any], objects: dict[Id, list[tuple[int, Annotation]]], finder: PictureFinder, file: _File
) -> list[AnnotatedPicture]:
    """The pictures of a file with their annotations; problems for annotations of no picture."""
    home = _picture_folder(finder, file)
    ids: set[Id] = set()
    pictures = []
    for k, entry in enumerate(entries):
        place = f"{file.path}, images[{k}]"
        number = _id(entry, "id")
        if number is None or not isinstance(entry.get("file_name"), str):
            raise file.refuse(f"images[{k}]", "the picture has no id or no file_name")
        if number in ids:
            raise file.refuse(f"images[{k}]", f"the picture id {quoted(number)} is there twice")
        ids.add(number)
        path, fault = finder.find(entry["file_name"], home)
        found = tuple(annotation for _, annotation in objects.get(number, ()))
        if fault:
            file.problems.append(Problem(place, fault, left_out=0 if path else len(found)))
        if path:
            width, height = (_side(entry, key, place, file) for key in ("width", "height"))
            attributes = _attributes(entry, PICTURE_KEYS, place, file)
            pictures.append(AnnotatedPicture(path, found, place, width, height, file.split, attributes))
    for number in objects.keys() - ids:
        what = f"the image_id {quoted(number)} is that of no picture; the object is left out"
        file.problems += [
            Problem(f"{file.path}, annotations[{k}]", what, left_out=1) for k, _ in objects[number]
        ]
    return pictures


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
    if value is None or (type(value) is int and 0 < value <= MAX_PIXELS):
        return value
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
    return bool(value) if value in (0, 1) and isinstance(value, int) else None


def _id(entry: Any, key: str) -> Id | None:
    value = entry.get(key) if isinstance(entry, dict) else None
    return value if isinstance(value, int | str) and not isinstance(value, bool) else None
