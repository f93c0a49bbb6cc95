"""Label Studio JSON: a list of tasks, each with what one or more annotators drew on its picture.

    [{"data": {"image": "/data/upload/1/0a1b2c3d-a.jpg"},
      "annotations": [{"was_cancelled": false,
                       "result": [{"id": "x1", "type": "rectanglelabels",
                                   "original_width": 640, "original_height": 480,
                                   "value": {"x": 10.0, "y": 20.0, "width": 30.0, "height": 40.0,
                                             "rotation": 0, "rectanglelabels": ["dog"]}}]}]}]

- A region and its labels may be two results with the same "id". Boxes, polygons and brushes become boxes,
  outlines and masks; keypoints have no box: beside others they are left aside, and a picture that has nothing
  else is left out. A turned box becomes its outline and the upright box around that; "rotation" is kept.
- Of several annotators the one that is marked as ground truth counts, else the first who did not cancel; how
  many others there are is said. Predictions are no labels. Tasks without annotations are unlabelled.
- "JSON-MIN", which has the regions of a task in a list beside its picture, is read as well.
- Text, numbers, choices and ratings of a region are its attributes; those of no region are the picture's.
- Pictures are found by the name in the address, also without the eight digits that an upload puts before it.
"""

import re
from collections import defaultdict
from pathlib import PurePosixPath
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from striate.data.annotations import AnnotatedPicture, Annotation, AnnotationSet, Problem, quoted
from striate.data.formats.label_studio_shapes import kind_of, shape_of
from striate.data.images import IMAGE_SUFFIXES, MAX_PIXELS
from striate.data.json_reading import as_whole, parse_json
from striate.data.label_files import LabelFiles
from striate.data.label_flags import take_flags
from striate.data.label_pictures import PictureFinder, annotation_set, nothing_left, split_of
from striate.data.outlines import ROTATION
from striate.data.picture_sizes import PictureSizes
from striate.errors import InputError, one_line
from striate.text_files import as_utf8

_SHAPES = ("rectangle", "polygon", "ellipse", "brush", "keypoint")
_MARKS = (b'"original_width"', b'"was_cancelled"', *(f'"{shape}labels"'.encode() for shape in _SHAPES))
_ATTRIBUTES = ("textarea", "number", "choices", "rating")  # results that are no regions
_OTHERS = ("relation", "taxonomy", "pairwise", "ranker", "datetime")  # no regions either, and not kept
_VALUE_KEYS = {"textarea": "text"}  # where the value of such a result is, if not under its type
_NO_AREAS = ("keypoint", "vector")
_SIZE_KEYS = ("original_width", "original_height")
_SHAPE = "shape"  # the attribute that says which shape a box was
_UPLOAD_DIGITS = re.compile(r"[0-9a-f]{8}-")


def recognizes(files: LabelFiles) -> bool:
    """Whether there is a file in this format."""
    return any(_is_label_studio(files.read(path)) for path in files.ending(".json"))


def read(files: LabelFiles) -> AnnotationSet:
    """Read all labels.

    Raises:
        InputError: there are none, or a file is no JSON or of another kind of export.
    """
    finder, sizes = PictureFinder(files), PictureSizes(files)
    problems: list[Problem] = []
    pictures: list[AnnotatedPicture] = []
    candidates = files.ending(".json")
    for path in candidates:
        content = files.read(path)
        if not _is_label_studio(content) and len(candidates) > 1:
            problems.append(Problem(path, "the file is not of Label Studio and is left aside"))
            continue
        document = parse_json(content, files.place(path))
        tasks = document if isinstance(document, list) else [document]
        if not any(map(_has_annotations, tasks)):
            tasks = list(map(_of_short_form, tasks))
        if not any(map(_has_annotations, tasks)):
            raise InputError(
                "the file is no list of tasks with annotations", files.place(path), 'export it as "JSON"'
            )
        pictures += _Reader(path, finder, sizes, problems).pictures(tasks)
    if not pictures:
        where = files.place(candidates[0] if candidates else "")
        what = "no task of Label Studio has annotations and a picture"
        raise nothing_left(what, where, problems, 'export "JSON"')
    return annotation_set(pictures, problems, finder=finder)


def _is_label_studio(content: bytes) -> bool:
    content = as_utf8(content)
    start = content[:100].lstrip()
    is_one = start.startswith(b"{") and b'"result"' in content and b'"annotations"' in content
    return (is_one or start.startswith(b"[")) and any(mark in content for mark in _MARKS)


def _has_annotations(task: Any) -> bool:
    return isinstance(task, dict) and isinstance(task.get("annotations"), list)


def _of_short_form(task: Any) -> Any:
    """A task of "JSON-MIN" as one of "JSON"; what has no regions stays as it is."""
    if not isinstance(task, dict) or "data" in task:
        return task
    results: list[Any] = []
    for name, entries in task.items():
        if isinstance(entries, list) and any(map(_is_region, entries)):
            results += (_of_short_region(name, region) for region in entries)
    data = {key: value for key, value in task.items() if isinstance(value, str)}
    return {"data": data, "annotations": [{"result": results}]} if results else task


def _is_region(value: Any) -> bool:
    return isinstance(value, dict) and not {"original_width", "x", "points", "rle"}.isdisjoint(value)


def _of_short_region(name: str, region: Any) -> Any:
    """A region of "JSON-MIN" as a result of "JSON"."""
    if not isinstance(region, dict):
        return region
    kind = next((key for key in region if str(key).removesuffix("labels") in _SHAPES), "labels")
    sizes = {key: region[key] for key in _SIZE_KEYS if key in region}
    return {"type": kind, "from_name": name, "value": region, **sizes}


class _Reader:
    """Reads the tasks of one file, and gathers what is wrong."""

    def __init__(
        self, path: str, finder: PictureFinder, sizes: PictureSizes, problems: list[Problem]
    ) -> None:
        self.path = path
        self.finder = finder
        self.sizes = sizes
        self.problems = problems
        self.unlabelled: list[str] = []  # places of tasks
        self.predicted: list[str] = []
        self.no_areas: list[str] = []  # places of regions

    def pictures(self, tasks: list[Any]) -> list[AnnotatedPicture]:
        """The labelled pictures."""
        pictures = [picture for k, task in enumerate(tasks) if (picture := self._picture(f"[{k}]", task))]
        self._tell_of(
            self.unlabelled, "tasks without an annotation that was not cancelled, which are left out"
        )
        self._tell_of(self.predicted, "tasks with predictions, which are not read")
        what = "keypoints and lines, which have no box and are left aside"
        self._tell_of(self.no_areas, what, len(self.no_areas))
        return pictures

    def _tell_of(self, places: list[str], what: str, left_out: int = 0) -> None:
        if places:
            self._problem(places[0], f"{what}: {len(places):,}", left_out)

    def _picture(self, where: str, task: Any) -> AnnotatedPicture | None:
        if not _has_annotations(task):
            self._problem(where, "it is no task with annotations and is left out")
            return None
        if isinstance(predictions := task.get("predictions"), list) and predictions:
            self.predicted.append(where)
        path = self._path(where, task)
        chosen = self._chosen(where, task["annotations"], path)
        if path is None or chosen is None:
            return None
        results = chosen["result"]
        attributes: defaultdict[str | None, dict[str, Any]] = defaultdict(dict)
        regions: list[tuple[str, dict[str, Any]]] = []
        ids = {_id(result) for result in results if not _is_attribute(result)}
        for k, result in enumerate(results):
            place = f"{where}.annotations.result[{k}]"
            if isinstance(result, dict) and result.get("type") in _OTHERS:
                self._problem(place, f"a result of type {quoted(result['type'])} is not kept")
            elif not isinstance(result, dict) or not isinstance(result.get("value"), dict):
                is_object = not _is_attribute(result)
                what = "it has no value and is left out"
                self._problem(place, what, int(is_object), path if is_object else "")
            elif _is_attribute(result):
                self._add_attribute(place, result, attributes[_id(result) if _id(result) in ids else None])
            else:
                regions.append((place, result))
        found = self._annotations(regions, attributes, path)
        width, height = next(filter(None, (_size(result) for _, result in regions)), (None, None))
        split = split_of(path, self.path)
        place = f"{self.path}, {where}"
        return AnnotatedPicture(path, found, place, width, height, split, attributes[None])

    def _path(self, where: str, task: dict[str, Any]) -> str | None:
        """The picture of a task; None if it names none that can be used."""
        data = task.get("data")
        texts = (
            {key: text for key, text in data.items() if isinstance(text, str)}
            if isinstance(data, dict)
            else {}
        )
        names = {key: _names(text) for key, text in texts.items()}
        pictures = [key for key in names if PurePosixPath(names[key][0]).suffix.lower() in IMAGE_SUFFIXES]
        key = "image" if "image" in names else pictures[0] if len(pictures) == 1 else None
        if key is None:
            self._problem(
                where, "its data name no picture; it is left out", _count_results(task["annotations"])
            )
            return None
        found = [self.finder.find(name, self.path) for name in names[key]]
        present = next((path for path, fault in found if path in self.finder and not fault), None)
        if present:
            return present
        path, fault = found[-1]
        if fault:
            self._problem(where, fault, 0 if path else _count_results(task["annotations"]))
        return path

    def _chosen(self, where: str, annotations: list[Any], path: str | None) -> dict[str, Any] | None:
        """The annotation that counts: the ground truth, or the first that was not cancelled. What the others
        hold is a problem, unless the task has no picture and all of them are left out already."""
        whole = [a for a in annotations if isinstance(a, dict) and isinstance(a.get("result"), list)]
        kept = [a for a in whole if not a.get("was_cancelled")]
        chosen = next((a for a in kept if a.get("ground_truth") is True), kept[0] if kept else None)
        if path is None:
            return chosen
        where = f"{where}.annotations"
        if len(whole) < len(annotations):
            self._problem(where, "an annotation has no list of results and is left out")
        others = [annotation for annotation in whole if annotation is not chosen]
        if others:
            cancelled = sum(bool(annotation.get("was_cancelled")) for annotation in others)
            what = (
                f"{len(others)} more annotations of this task are left aside, {cancelled} of them cancelled"
            )
            self._problem(where, what, _count_results(others))
        if chosen is None:
            self.unlabelled.append(where.removesuffix(".annotations"))
        elif not (_count_results([chosen]) or chosen.get("ground_truth") is True) and _count_results(kept):
            what = "one annotator found nothing, and another did; none of them is marked as ground truth"
            self._problem(where, what, picture=path)
        return chosen

    def _annotations(
        self,
        regions: list[tuple[str, dict[str, Any]]],
        attributes: dict[str | None, dict[str, Any]],
        path: str,
    ) -> tuple[Annotation, ...]:
        """The objects of a picture."""
        shapes = {_id(result) for _, result in regions if result.get("type") != "labels"} - {None}
        labels = {
            _id(result): result["value"].get("labels")
            for _, result in regions
            if result.get("type") == "labels" and _id(result) in shapes
        }
        found, passed_over = [], 0
        own = [(place, r) for place, r in regions if not (r.get("type") == "labels" and _id(r) in labels)]
        for place, result in own:
            if kind_of(result.get("type"), result["value"]) in _NO_AREAS:
                self.no_areas.append(place)
                passed_over += 1
                continue
            try:
                found.append(self._annotation(place, result, labels.get(_id(result)), attributes, path))
            except ValueError as error:
                self._problem(place, f"{error}; the object is left out", 1, path)
        if passed_over == len(own) > 0:
            what = f"its {passed_over:,} regions are keypoints and lines; nothing else is known of it"
            self._problem(own[0][0], what, picture=path)
        return tuple(found)

    def _annotation(
        self,
        where: str,
        result: dict[str, Any],
        labels: Any,
        attributes: dict[str | None, dict[str, Any]],
        path: str,
    ) -> Annotation:
        """An object. Raises ValueError if it cannot be used."""
        value = result["value"]
        kind = kind_of(result.get("type"), value)
        size = _size(result) or self.sizes(path)
        box, polygons, mask = shape_of(kind, value, size)
        key = next((key for key in (f"{kind}labels", "labels") if key in value), "labels")
        labels = value.get(key, []) if labels is None else labels
        if not (isinstance(labels, list) and all(isinstance(label, str) for label in labels)):
            raise ValueError(f"{key} is no list of names")
        own = dict(attributes.get(_id(result), {})) if _id(result) else {}
        flags = take_flags(own)
        if len(labels) > 1:
            own["labels"] = ", ".join(labels)
            self._problem(
                where, f"it has {len(labels)} labels; the first counts, and all are kept as an attribute"
            )
        label = labels[0] if labels else ""
        if label != one_line(label):
            self._problem(where, f"the label {quoted(label)} holds control characters")
        if kind == "ellipse":
            own.setdefault(_SHAPE, kind)
        if polygons and kind == "rectangle":
            own[ROTATION] = float(value[ROTATION])
        if result.get("image_rotation"):
            self._problem(where, "the picture was turned while this was drawn; check the object's place")
        place = f"{self.path}, {where}"
        return Annotation(one_line(label), box, place, polygons=polygons, mask=mask, attributes=own, **flags)

    def _add_attribute(self, where: str, result: dict[str, Any], attributes: dict[str, Any]) -> None:
        kind, name = result["type"], result.get("from_name")
        value = result["value"].get(_VALUE_KEYS.get(kind, kind))
        if isinstance(value, list) and all(isinstance(text, str) for text in value):
            value = ", ".join(value)
            value = {"true": True, "false": False}.get(value, value) if kind == "choices" else value
        if isinstance(name, str) and name not in attributes and isinstance(value, str | int | float):
            attributes[name] = value
        else:
            self._problem(where, "the attribute has no name or no value, or is there already")

    def _problem(self, where: str, what: str, left_out: int = 0, picture: str = "") -> None:
        self.problems.append(Problem(f"{self.path}, {where}", what, left_out=left_out, picture=picture))


def _names(address: str) -> list[str]:
    """What the picture file may be called, by its address; the last holds if there is no such file."""
    try:
        parts = urlsplit(address)
        path = parse_qs(parts.query)["d"][0] if "d=" in parts.query else unquote(parts.path)
    except (ValueError, KeyError):
        path = address
    if re.match(r"[A-Za-z]:[\\/]", address):  # a drive, not a scheme
        path = address
    name = re.split(r"[/\\]", path)[-1]
    if "/data/upload/" in path or path == name:
        return [name, _UPLOAD_DIGITS.sub("", name, count=1) if _UPLOAD_DIGITS.match(name) else name]
    path = path.lstrip("/") if path.startswith("/") and ".." not in path else path
    return [path, name, path]


def _is_attribute(result: Any) -> bool:
    return isinstance(result, dict) and result.get("type") in _ATTRIBUTES


def _id(result: Any) -> str | None:
    found = result.get("id") if isinstance(result, dict) else None
    return found if isinstance(found, str) else None


def _count_results(annotations: list[Any]) -> int:
    """How many objects annotations hold."""
    return sum(
        not (_is_attribute(result) or (isinstance(result, dict) and result.get("type") in _OTHERS))
        for annotation in annotations
        if isinstance(annotation, dict) and isinstance(annotation.get("result"), list)
        for result in annotation["result"]
    )


def _size(result: dict[str, Any]) -> tuple[int, int] | None:
    """Width and height of the picture that a result was drawn on, as the result says."""
    width, height = as_whole(result.get("original_width")), as_whole(result.get("original_height"))
    if width and height and min(width, height) > 0 and max(width, height) <= MAX_PIXELS:
        return width, height
    return None
