"""Pascal VOC XML, as the challenge lays it out and as LabelImg writes it: one file per picture.

    JPEGImages/a.jpg                     pictures/a.jpg
    Annotations/a.xml                    pictures/a.xml, or in any other folder
    ImageSets/Main/train.txt, ...

- Corners are whole pixels counted from 1, and both belong to the object: x1 = xmin - 1, x2 = xmax.
- The picture of a label file is the one with the same name; only without one does ``filename`` count.
- Without lists, folders named as splits give the splits.
- What else the file says is kept as attributes: ``pose`` as "pose", ``source/database`` as
  "source.database", the second of several ``part`` as "part[1].name", ...
"""

import re
from collections import Counter
from pathlib import PurePosixPath
from typing import Any

from striate.data.annotations import AnnotatedPicture, Annotation, AnnotationSet, Problem, quoted
from striate.data.label_files import LabelFiles
from striate.data.label_flags import take_flags
from striate.data.label_pictures import PictureFinder, annotation_set, split_of
from striate.data.xml_reading import Element, number, parse_xml, root_tag
from striate.errors import InputError, one_line
from striate.text_files import decode_text

_LIST = re.compile(r"(?P<base>(?:.*/)?)ImageSets/Main/(?P<list>train|val|test|trainval)\.txt")
_CORNERS = ("xmin", "ymin", "xmax", "ymax")
_FLAGS = ("difficult", "truncated", "occluded")
_OF_OBJECT = frozenset({"name", "bndbox", "attributes", *_FLAGS})
_OF_PICTURE = frozenset({"filename", "object", "size"})


def recognizes(files: LabelFiles) -> bool:
    """Whether there is a file in this format."""
    return any(root_tag(files.read(path)) == "annotation" for path in files.ending(".xml"))


def read(files: LabelFiles) -> AnnotationSet:
    """Read all labels.

    Raises:
        InputError: there are none, or a file is no XML.
    """
    reader = _Reader(files)
    paths = files.ending(".xml")
    pictures = [picture for path in paths if (picture := reader.picture(path))]
    if not pictures:
        where = files.place(paths[0]) if paths else files.root
        raise InputError("there are no Pascal VOC files", where, "give a folder with .xml label files")
    reader.lists.compare(paths, reader.problems)
    return annotation_set(pictures, reader.problems, finder=reader.finder)


class _Reader:
    """Reads one file after the other, and gathers what is wrong."""

    def __init__(self, files: LabelFiles) -> None:
        self.files = files
        self.finder = PictureFinder(files)
        self.lists = _SplitLists(files)
        self.problems: list[Problem] = []

    def picture(self, path: str) -> AnnotatedPicture | None:
        """The labels of one file; None if it holds something else."""
        root = parse_xml(self.files.read(path), self.files.place(path))
        if root.tag != "annotation":
            self._problem(path, root, f"the file is no Pascal VOC label: its root is {quoted(root.tag)}")
            return None
        picture = self._picture_path(root, path)
        width, height = self._size(root, path)
        objects = (self._object(element, path) for element in root.each("object"))
        attributes: dict[str, Any] = _leaves(root, _OF_PICTURE)
        if size := root.child("size"):
            attributes |= _leaves(size, frozenset({"width", "height"}))
        return AnnotatedPicture(
            picture,
            tuple(annotation for annotation in objects if annotation),
            path,
            width,
            height,
            self.lists.split(path) if self.lists else split_of(picture, path),
            attributes,
        )

    def _picture_path(self, root: Element, path: str) -> str:
        """The picture with the label file's name, else the one of its ``filename``, there or not."""
        filename = root.child("filename")
        written = filename.text if filename else ""
        name = PurePosixPath(written.replace("\\", "/")).name
        stem = PurePosixPath(path).stem
        alike = self.finder.with_stem(stem, path)
        exact = [picture for picture in alike if PurePosixPath(picture).name == name]
        usual = [picture for picture in alike if PurePosixPath(picture).parent.name == "JPEGImages"]
        if candidates := exact or usual or alike:
            if len(candidates) > 1:
                what = f"several pictures have the name of this file; {quoted(candidates[0])} is taken"
                self._problem(path, root, what)
            if filename and stem not in (name, PurePosixPath(name).stem):
                what = (
                    f"the filename is {quoted(written)}; {quoted(candidates[0])}, named as this file, counts"
                )
                self._problem(path, filename, what)
            return candidates[0]
        picture, fault = self.finder.find(written, path) if written else (None, "it names no picture")
        if fault:
            self._problem(path, filename or root, fault)
        if picture in self.finder:
            return str(picture)
        home = PurePosixPath(path).parent
        home = home.with_name("JPEGImages") if home.name == "Annotations" else home
        return (home / f"{stem}{PurePosixPath(picture or '').suffix}").as_posix()

    def _size(self, root: Element, path: str) -> tuple[int | None, int | None]:
        size = root.child("size")
        if not size:
            return None, None
        width, height = (number(size.text_of(side)) for side in ("width", "height"))
        if not (width and height and width >= 1 and height >= 1 and width % 1 == 0 and height % 1 == 0):
            self._problem(path, size, "the size is not given in whole pixels; the picture's own counts")
            return None, None
        return int(width), int(height)

    def _object(self, element: Element, path: str) -> Annotation | None:
        box = element.child("bndbox")
        if not box:
            self._problem(path, element, "the object has no bndbox and is left out", left_out=1)
            return None
        corners = []
        for corner in _CORNERS:
            text = box.text_of(corner)
            value = number(text)
            if value is None:
                fault = "missing" if text is None else f"{quoted(text)}, no number"
                self._problem(path, box, f"{corner} is {fault}; the object is left out", left_out=1)
                return None
            corners.append(value)
        x1, y1, x2, y2 = corners
        label = element.text_of("name") or ""
        if label != one_line(label):
            self._problem(path, element, f"the name {quoted(label)} holds control characters")
        attributes: dict[str, Any] = _leaves(element, _OF_OBJECT)
        attributes |= self._named_attributes(element, path)
        flags = {flag: text for flag in _FLAGS if (text := element.text_of(flag)) is not None}
        known = take_flags(flags)
        for flag, text in flags.items():
            self._problem(path, element, f"{flag} is {quoted(text)}, neither 0 nor 1; kept as an attribute")
        known |= {flag: value for flag, value in take_flags(attributes).items() if flag not in known}
        return Annotation(
            one_line(label),
            (x1 - 1, y1 - 1, x2, y2),
            f"{path}, line {element.line}",
            attributes=attributes | flags,
            **known,
        )

    def _named_attributes(self, element: Element, path: str) -> dict[str, str]:
        """Those of an ``attributes`` element, as CVAT writes them: pairs of name and value."""
        found: dict[str, str] = {}
        for group in element.each("attributes"):
            for entry in group.each("attribute"):
                name = entry.text_of("name")
                if name is None or name in found:
                    self._problem(path, entry, "the attribute has no name, or one that is there already")
                else:
                    found[name] = entry.text_of("value") or ""
        return found

    def _problem(self, path: str, element: Element, what: str, left_out: int = 0) -> None:
        self.problems.append(Problem(f"{path}, line {element.line}", what, left_out=left_out))


class _SplitLists:
    """The lists of ImageSets/Main, by the folder above; false if there are none."""

    def __init__(self, files: LabelFiles) -> None:
        self._split_of: dict[str, dict[str, str]] = {}  # folder -> name of a label file -> split
        self._missing: dict[str, dict[str, int]] = {}  # list -> name -> line
        self._twice: list[Problem] = []
        found = [match for path in files.paths if (match := _LIST.fullmatch(path))]
        for match in sorted(found, key=lambda match: match["list"] == "trainval"):  # it holds train and val
            self._add(match["base"], match["list"], match.string, files)

    def __bool__(self) -> bool:
        return bool(self._split_of)

    def split(self, path: str) -> str | None:
        """The split of a label file."""
        for base, name in self._names(path):
            if split := self._split_of[base].get(name):
                return split
        return None

    def compare(self, paths: list[str], problems: list[Problem]) -> None:
        """Add what lists and label files do not have of each other."""
        if not self:
            return
        problems += self._twice
        known = {(base, name) for path in paths for base, name in self._names(path)}
        for path, lines in self._missing.items():
            base = _LIST.fullmatch(path)["base"]  # type: ignore[index]
            missing = [name for name in lines if (base, name) not in known]
            if missing:
                what = f"{len(missing):,} of its names have no label file; the first is {quoted(missing[0])}"
                problems.append(Problem(f"{path}, line {lines[missing[0]]}", what))
        unlisted = [path for path in paths if self.split(path) is None]
        if unlisted:
            what = (
                f"{len(unlisted):,} label files are in none of the lists; the first is {quoted(unlisted[0])}"
            )
            problems.append(Problem("ImageSets/Main", what))

    def _add(self, base: str, split: str, path: str, files: LabelFiles) -> None:
        text = decode_text(files.read(path), files.place(path))
        splits = self._split_of.setdefault(base, {})
        lines = self._missing.setdefault(path, {})
        for line, name in enumerate(text.splitlines(), start=1):
            name = name.strip()
            if f"{base}Annotations/{name}.xml" not in files:
                name = re.sub(r"\s+-?[01]$", "", name)  # lists of one class have a number behind the name
            if not name:
                continue
            lines.setdefault(name, line)
            first = splits.setdefault(name, "train" if split == "trainval" else split)
            if split != "trainval" and first != split:
                what = f"{quoted(name)} is also in the list {first}, which counts"
                self._twice.append(Problem(f"{path}, line {line}", what))

    def _names(self, path: str) -> list[tuple[str, str]]:
        """(Folder, name in its lists) that a label file may have."""
        stem = path[: -len(".xml")]
        return [
            (base, stem[len(base) :].removeprefix("Annotations/"))
            for base in self._split_of
            if stem.startswith(base)
        ]


def _leaves(element: Element, without: frozenset[str]) -> dict[str, str]:
    """The texts below an element by their path, "a.b" or, where several have the same name, "a[1].b"."""
    found: dict[str, str] = {}
    children = [child for child in element.children if child.tag not in without]
    counts = Counter(child.tag for child in children)
    seen: Counter[str] = Counter()
    for child in children:
        name = f"{child.tag}[{seen[child.tag]}]" if counts[child.tag] > 1 else child.tag
        seen[child.tag] += 1
        if child.children:
            found |= {f"{name}.{rest}": text for rest, text in _leaves(child, frozenset()).items()}
        else:
            found[name] = child.text
    return found
