"""YOLO: a text file for each picture, a line for each object, in fractions of the picture.

    data.yaml      path: .                      images/train/a.jpg      labels/train/a.txt
                   train: images/train          train/images/a.jpg      train/labels/a.txt
                   names: [dog, cat]            pictures/a.jpg          pictures/a.txt

    0 0.5 0.5 0.2 0.1                class, then centre x, centre y, width, height
    1 0.1 0.1 0.3 0.1 0.3 0.4        class, then the corners of an outline

- Class names come from a .yaml file with ``names`` (a list, or names by id), from ``obj.names`` beside
  Darknet's ``obj.data``, or from LabelImg's ``classes.txt``.
- ``train``, ``val`` and ``test`` name folders, lists of pictures, or several of them; without them folders
  that are named as splits give the splits. Where a folder is not where the file says, the folder of the
  same name inside the data is meant: files from elsewhere often hold paths of another machine.
- A picture whose label file is empty or absent has no objects.
"""

from collections import Counter
from collections.abc import Iterable
from pathlib import PurePosixPath

from striate.data.annotations import AnnotatedPicture, Annotation, AnnotationSet, Box, Problem, quoted
from striate.data.formats.yolo_files import DataFile, find_data_file, lines_of, read_data_file
from striate.data.label_files import LabelFiles
from striate.data.label_pictures import PictureFinder, annotation_set, split_of
from striate.data.picture_sizes import PictureSizes
from striate.data.xml_reading import number
from striate.errors import InputError

_BOX = 5  # values in a line: class, centre x, centre y, width, height
_OUTLINE = 7  # at least: class and three corners
_LABEL_FOLDER = "labels"


def recognizes(files: LabelFiles) -> bool:
    """Whether there is a file with class names, as YOLO's data have, and a label file or folder."""
    return find_data_file(files) is not None


def read(files: LabelFiles) -> AnnotationSet:
    """Read all labels. The header of every labelled picture is read: boxes are fractions of its size.

    Returns:
        Labels in pixels. Lines and files that cannot be used are problems, each with its place.

    Raises:
        InputError: no class names, or files of names or lists that are not what they must be.
    """
    path = find_data_file(files)
    if path is None:
        raise InputError("there is no file with class names", files.root, "add data.yaml with names")
    data = read_data_file(files, path)
    reader = _Reader(files, data)
    pictures = [reader.picture(picture, split) for picture, split in reader.splits()]
    reader.report_unused_labels()
    found = [picture for picture in pictures if picture]
    if not found:
        raise InputError("no picture that the labels are for can be read", files.place(path), "add them")
    return annotation_set(found, reader.problems, tuple(data.names.values()))


class _Reader:
    """Reads the label file of one picture after the other, and gathers what is wrong."""

    def __init__(self, files: LabelFiles, data: DataFile) -> None:
        self.files = files
        self.data = data
        self.finder = PictureFinder(files)
        self.sizes = PictureSizes(files)
        self.problems = list(data.problems)
        self.used: set[str] = set()

    def splits(self) -> Iterable[tuple[str, str | None]]:
        """(Picture, split) as the file of names says, else all pictures and the splits of their folders."""
        if not self.data.splits:
            for path in self.finder.paths:
                yield path, split_of(path)
            return
        split_of_picture: dict[str, str] = {}
        again: Counter[tuple[str, str]] = Counter()
        for split, entries in self.data.splits.items():
            for path in (path for entry in entries for path in self._pictures_of(entry, split)):
                if (first := split_of_picture.setdefault(path, split)) != split:
                    again[first, split] += 1
        yield from split_of_picture.items()
        for (first, split), count in again.items():
            what = f"{count:,} pictures of {split} are also in {first}, which counts"
            self.problems.append(Problem(self.data.path, what))
        if rest := [path for path in self.finder.paths if path not in split_of_picture]:
            what = f"{len(rest):,} pictures are in no split and are left out; one is {quoted(rest[0])}"
            self.problems.append(Problem(self.data.path, what))

    def picture(self, path: str, split: str | None) -> AnnotatedPicture | None:
        """A picture and its labels; None if its size cannot be known, or it is missing."""
        label_path = next((p for p in label_paths(path) if p in self.files), None)
        place = label_path or path
        text = lines_of(self.files, label_path) if label_path else []
        lines = [(k, line.split()) for k, line in enumerate(text, start=1) if line.strip()]
        if label_path in self.used:
            what = f"its objects are also those of {quoted(path)}, which has the same name"
            self.problems.append(Problem(place, what))
        elif label_path:
            self.used.add(label_path)
        size = self.sizes(path)
        if size is None:
            fault = f"the picture {quoted(path)} cannot be read: {self.sizes.fault(path)}"
            what = f"{fault}; its {len(lines):,} objects are left out"
            self.problems.append(Problem(place, what, left_out=len(lines)))
            return None
        objects = [self._object(words, f"{place}, line {k}", size) for k, words in lines]
        return AnnotatedPicture(path, tuple(o for o in objects if o), place, split=split)

    def report_unused_labels(self) -> None:
        """Problems for label files that are those of no picture, or not of the one beside them."""
        stems = {str(PurePosixPath(path).with_suffix("")) for path in self.finder.paths}
        beside = {PurePosixPath(used).parent for used in self.used}
        for path in self.files.paths:
            own = PurePosixPath(path)
            if path in self.used or path in self.data.files or own.suffix != ".txt":
                continue
            if own.parent in beside or _LABEL_FOLDER in own.parts[:-1] or str(own.with_suffix("")) in stems:
                lines = [line.split() for line in lines_of(self.files, path)]
                if count := sum(len(words) >= _BOX and number(words[0]) is not None for words in lines):
                    what = f"the file is that of no picture; its {count:,} objects are left out"
                    self.problems.append(Problem(path, what, left_out=count))

    def _object(self, words: list[str], place: str, size: tuple[int, int]) -> Annotation | None:
        try:
            return self._annotation(words, place, size)
        except ValueError as error:
            self.problems.append(Problem(place, f"{error}; the object is left out", left_out=1))
            return None

    def _annotation(self, words: list[str], place: str, size: tuple[int, int]) -> Annotation:
        values = [number(word) for word in words]
        if None in values:
            raise ValueError(f"{quoted(words[values.index(None)])} is no number")
        label, *coordinates = (value for value in values if value is not None)
        name = self.data.names.get(int(label)) if label % 1 == 0 else None
        if name is None:
            raise ValueError(f"there is no class {quoted(words[0])}: names has {len(self.data.names)}")
        if len(words) == _BOX:
            return Annotation(name, _box(coordinates, size), place)
        if len(words) < _OUTLINE or len(words) % 2 == 0 or self.data.has_keypoints:
            raise ValueError(f"the line has {len(words)} values: neither a box nor an outline")
        outline = tuple(round(value * size[k % 2], 6) for k, value in enumerate(coordinates))
        x, y = outline[::2], outline[1::2]
        return Annotation(name, (min(x), min(y), max(x), max(y)), place, polygons=(outline,))

    def _pictures_of(self, entry: str, split: str) -> list[str]:
        """The pictures of an entry of a split: of a folder, or of a list of pictures."""
        for candidate in self.data.places(entry):
            if candidate in self.files:
                return self._listed(candidate)
            inner = [p for p in self.finder.paths if candidate in ("", ".") or p.startswith(f"{candidate}/")]
            if inner:
                return inner
        what = f"there are no pictures in {quoted(entry)}, which it names as {split}"
        self.problems.append(Problem(self.data.path, what))
        return []

    def _listed(self, path: str) -> list[str]:
        """The pictures that a list names; those that are not there stay, to be told when they are read."""
        if path in self.finder:
            return [path]
        pictures = []
        for k, line in enumerate(lines_of(self.files, path), start=1):
            if not (written := line.strip()):
                continue
            place = f"{path}, line {k}"
            found = next((p for p in self.data.places(written) if p in self.finder), None)
            fault = ""
            if found is None:
                found, fault = self.finder.find(written, path)
            if fault:
                self.problems.append(Problem(place, fault))
            if found is not None:
                pictures.append(found)
        return pictures


def label_paths(picture: str) -> list[str]:
    """Where the labels of a picture may be: in "labels" instead of the last "images" of its path, beside it,
    or in a folder "labels" beside its own folder or in it."""
    own = PurePosixPath(picture).with_suffix(".txt")
    folders = list(own.parts[:-1])
    paths = []
    if "images" in folders:
        last = len(folders) - 1 - folders[::-1].index("images")
        paths.append(PurePosixPath(*folders[:last], _LABEL_FOLDER, *folders[last + 1 :], own.name))
    paths += [own, own.parent / _LABEL_FOLDER / own.name, own.parent.parent / _LABEL_FOLDER / own.name]
    return list(dict.fromkeys(map(str, paths)))


def _box(fractions: list[float], size: tuple[int, int]) -> Box:
    x, y, box_width, box_height = fractions
    width, height = size
    return (
        round((x - box_width / 2) * width, 6),
        round((y - box_height / 2) * height, 6),
        round((x + box_width / 2) * width, 6),
        round((y + box_height / 2) * height, 6),
    )
