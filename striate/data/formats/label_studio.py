"""Label Studio JSON: a list of tasks, each with what one or more annotators drew on its picture.

    [{"data": {"image": "/data/upload/1/0a1b2c3d-a.jpg"},
      "annotations": [{"was_cancelled": false,
                       "result": [{"id": "x1", "type": "rectanglelabels",
                                   "original_width": 640, "original_height": 480,
                                   "value": {"x": 10.0, "y": 20.0, "width": 30.0, "height": 40.0,
                                             "rotation": 0, "rectanglelabels": ["dog"]}}]}]}]

- x, y, width and height are percent of the picture's sides. A box is turned around its top left corner; it
  becomes its outline and the upright box around that, and "rotation" is kept as an attribute.
- Of several annotators the first who did not cancel counts; how many others there are is said.
- Text, numbers, choices and ratings of a region are its attributes; those of no region are the picture's.
- Pictures are found by the name in the address, also without the eight digits that an upload puts before it.
"""

import re
from collections import defaultdict
from pathlib import PurePosixPath
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from striate.data.annotations import AnnotatedPicture, Annotation, AnnotationSet, Box, Problem, quoted
from striate.data.images import IMAGE_SUFFIXES, MAX_PIXELS
from striate.data.json_reading import is_number, parse_json
from striate.data.label_files import LabelFiles
from striate.data.label_flags import take_flags
from striate.data.label_pictures import PictureFinder, annotation_set, split_of
from striate.data.outlines import ROTATION, outline_box, turned_corners
from striate.errors import InputError, one_line
from striate.text_files import as_utf8

_MARKS = (b'"rectanglelabels"', b'"polygonlabels"', b'"original_width"', b'"was_cancelled"')
_SHAPES = ("rectanglelabels", "polygonlabels")
_ATTRIBUTES = (
    "textarea",
    "number",
    "choices",
    "rating",
)  # results that are no regions, and their values' keys
_VALUE_KEYS = {"textarea": "text"}
_UPLOAD_DIGITS = re.compile(r"[0-9a-f]{8}-")


def recognizes(files: LabelFiles) -> bool:
    """Whether there is a file in this format."""
    return any(_is_label_studio(files.read(path)) for path in files.ending(".json"))


def read(files: LabelFiles) -> AnnotationSet:
    """Read all labels.

    Raises:
        InputError: there are none, or a file is no JSON or of another kind of export.
    """
    finder = PictureFinder(files)
    problems: list[Problem] = []
    pictures: list[AnnotatedPicture] = []
    candidates = files.ending(".json")
    for path in candidates:
        content = files.read(path)
        if not _is_label_studio(content) and len(candidates) > 1:
            problems.append(Problem(path, "the file is not of Label Studio and is left aside"))
            continue
        document = parse_json(content, files.place(path))
        if not isinstance(document, list) or not any(_has_annotations(task) for task in document):
            raise InputError(
                "the file is no list of tasks with annotations", files.place(path), 'export it as "JSON"'
            )
        pictures += _Reader(path, finder, problems).pictures(document)
    if not pictures:
        where = files.place(candidates[0]) if candidates else files.root
        raise InputError("no task of Label Studio has annotations and a picture", where, 'export "JSON"')
    return annotation_set(pictures, problems, finder=finder)


def _is_label_studio(content: bytes) -> bool:
    content = as_utf8(content)
    return content[:100].lstrip().startswith(b"[") and any(mark in content for mark in _MARKS)


def _has_annotations(task: Any) -> bool:
    return isinstance(task, dict) and isinstance(task.get("annotations"), list)


class _Reader:
    """Reads the tasks of one file, and gathers what is wrong."""

    def __init__(self, path: str, finder: PictureFinder, problems: list[Problem]) -> None:
        self.path = path
        self.finder = finder
        self.problems = problems
        self.unlabelled: list[str] = []  # places of tasks

    def pictures(self, tasks: list[Any]) -> list[AnnotatedPicture]:
        """The labelled pictures."""
        pictures = [picture for k, task in enumerate(tasks) if (picture := self._picture(f"[{k}]", task))]
        if self.unlabelled:
            what = (
                f"{len(self.unlabelled):,} tasks have no annotation that was not cancelled; they are left out"
            )
            self._problem(self.unlabelled[0], what)
        return pictures

    def _picture(self, where: str, task: Any) -> AnnotatedPicture | None:
        if not _has_annotations(task):
            self._problem(where, "it is no task with annotations and is left out")
            return None
        path = self._path(where, task)
        chosen = self._chosen(where, task["annotations"], counted=path is not None)
        if path is None or chosen is None:
            return None
        results = chosen["result"]
        attributes: defaultdict[str | None, dict[str, Any]] = defaultdict(dict)
        regions: list[tuple[str, dict[str, Any]]] = []
        ids = {_id(result) for result in results if not _is_attribute(result)}
        for k, result in enumerate(results):
            place = f"{where}.annotations.result[{k}]"
            if not isinstance(result, dict) or not isinstance(result.get("value"), dict):
                self._problem(place, "it has no value and is left out", int(not _is_attribute(result)))
            elif _is_attribute(result):
                self._add_attribute(place, result, attributes[_id(result) if _id(result) in ids else None])
            else:
                regions.append((place, result))
        found = [self._annotation(place, result, attributes) for place, result in regions]
        width, height = next(filter(None, (_size(result) for _, result in regions)), (None, None))
        return AnnotatedPicture(
            path,
            tuple(annotation for annotation in found if annotation),
            f"{self.path}, {where}",
            width,
            height,
            split_of(path, self.path),
            attributes[None],
        )

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

    def _chosen(self, where: str, annotations: list[Any], counted: bool) -> dict[str, Any] | None:
        """The first annotation that was not cancelled; what the others hold is a problem."""
        whole = [a for a in annotations if isinstance(a, dict) and isinstance(a.get("result"), list)]
        chosen = next((a for a in whole if not a.get("was_cancelled")), None)
        if not counted:  # all of them are left out already
            return chosen
        if len(whole) < len(annotations):
            self._problem(f"{where}.annotations", "an annotation has no list of results and is left out")
        others = [annotation for annotation in whole if annotation is not chosen]
        if others:
            cancelled = sum(bool(annotation.get("was_cancelled")) for annotation in others)
            what = (
                f"{len(others)} more annotations of this task are left aside, {cancelled} of them cancelled"
            )
            self._problem(f"{where}.annotations", what, _count_results(others))
        if chosen is None:
            self.unlabelled.append(where)
        return chosen

    def _annotation(
        self, where: str, result: dict[str, Any], attributes: dict[str | None, dict[str, Any]]
    ) -> Annotation | None:
        kind = result.get("type")
        try:
            if kind not in _SHAPES:
                raise ValueError(f"a result of type {quoted(kind)} is no box or polygon")
            box, polygons = _geometry(result, kind)
            labels = result["value"].get(kind, [])
            if not (isinstance(labels, list) and all(isinstance(label, str) for label in labels)):
                raise ValueError(f"{kind} is no list of names")
        except ValueError as error:
            self._problem(where, f"{error}; the object is left out", 1)
            return None
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
        if polygons and kind == "rectanglelabels":
            own[ROTATION] = float(result["value"][ROTATION])
        if result.get("image_rotation"):
            self._problem(where, "the picture was turned while this was drawn; check the object's place")
        place = f"{self.path}, {where}"
        return Annotation(one_line(label), box, place, polygons=polygons, attributes=own, **flags)

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

    def _problem(self, where: str, what: str, left_out: int = 0) -> None:
        self.problems.append(Problem(f"{self.path}, {where}", what, left_out=left_out))


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
        not _is_attribute(result)
        for annotation in annotations
        if isinstance(annotation, dict) and isinstance(annotation.get("result"), list)
        for result in annotation["result"]
    )


def _size(result: dict[str, Any]) -> tuple[int, int] | None:
    """Width and height of the picture that a result was drawn on."""
    width, height = result.get("original_width"), result.get("original_height")
    if (
        type(width) is int
        and type(height) is int
        and 0 < min(width, height) <= max(width, height) <= MAX_PIXELS
    ):
        return width, height
    return None


def _geometry(result: dict[str, Any], kind: str) -> tuple[Box, tuple[tuple[float, ...], ...]]:
    """The upright box of a region, and its outlines. Raises ValueError if it has none."""
    value, size = result["value"], _size(result)
    if size is None:
        raise ValueError("original_width and original_height are no numbers of pixels")
    width, height = size
    if kind == "polygonlabels":
        points = value.get("points")
        if not (isinstance(points, list) and len(points) >= 3):
            raise ValueError("the polygon has no list of three or more points")
        if not all(
            isinstance(point, list) and len(point) == 2 and all(map(is_number, point)) for point in points
        ):
            raise ValueError("a point of the polygon is not two numbers")
        outline = tuple(
            _pixels(coordinate, side)
            for point in points
            for coordinate, side in zip(point, size, strict=True)
        )
        return outline_box(outline), (outline,)
    for key in ("x", "y", "width", "height", ROTATION):
        if not is_number(value.get(key, 0 if key == ROTATION else None)):
            raise ValueError(
                f"{key} is {quoted(value[key])}, no number" if key in value else f"{key} is missing"
            )
    x1, y1 = _pixels(value["x"], width), _pixels(value["y"], height)
    x2, y2 = _pixels(value["x"] + value["width"], width), _pixels(value["y"] + value["height"], height)
    if not value.get(ROTATION):
        return (x1, y1, x2, y2), ()
    corners = turned_corners((x1, y1, x2, y2), value[ROTATION], (x1, y1))
    return outline_box(corners), (corners,)


def _pixels(percent: float, side: int) -> float:
    return round(percent * side / 100, 6)  # what was drawn on whole pixels is on whole pixels again
