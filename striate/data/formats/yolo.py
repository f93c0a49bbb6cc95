"""YOLO: a text file for each picture, a line for each object, in fractions of the picture.

    data.yaml      path: .                      images/train/a.jpg      labels/train/a.txt
                   train: images/train          train/images/a.jpg      train/labels/a.txt
                   names: [dog, cat]            pictures/a.jpg          pictures/a.txt

    0 0.5 0.5 0.2 0.1                class, then centre x, centre y, width, height
    1 0.1 0.1 0.3 0.1 0.3 0.4        class, then the corners of an outline

- Class names come from a .yaml file with ``names`` (a list, or names by id), from ``obj.names`` beside
  Darknet's ``obj.data``, or from LabelImg's ``classes.txt``. A line may have the name in place of the id.
- ``train``, ``val`` and ``test`` name folders, lists of pictures, or several of them; without them folders
  that are named as splits give the splits. Where a folder is not where the file says, the folder of the
  same name inside the data is meant: files from elsewhere often hold paths of another machine.
- A picture whose label file is empty or absent has no objects, unless label files are left that are those of
  no picture and may be its own. The pictures of a split without label files, beside one that has
  some, are unlabelled and left out.
- Confidences and tracks behind a box become attributes; points of poses are left aside.
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from striate.data.annotations import AnnotatedPicture, Annotation, AnnotationSet, Box, Problem, quoted
from striate.data.formats.yolo_files import DataFile, find_data_file, lines_of, read_data_file, unnamed
from striate.data.formats.yolo_lines import BOX, Family, Layout, Line, parse_line
from striate.data.formats.yolo_places import label_files, label_paths, unnamed_labels, unused, without_labels
from striate.data.label_files import LabelFiles
from striate.data.label_pictures import PictureFinder, annotation_set, nothing_left, split_of
from striate.data.picture_finder import folder_of
from striate.data.picture_sizes import PictureSizes
from striate.data.xml_reading import number
from striate.errors import InputError, counted
from striate.text_files import composed

_LEAST, _MOST = (
    -1.0,
    2.0,
)  # between these a number may be a fraction, of a box that reaches beyond the picture


def recognizes(files: LabelFiles) -> bool:
    """Whether there is a file with class names, as YOLO's data have, and a label file or folder."""
    return find_data_file(files) is not None


def lacks_names(files: LabelFiles) -> bool:
    """Whether there are label files as YOLO has them, and no file with class names."""
    return find_data_file(files) is None and unnamed_labels(files) is not None


def read(files: LabelFiles) -> AnnotationSet:
    """Read all labels. The header of every labelled picture is read: boxes are fractions of its size.

    Returns:
        Labels in pixels. Lines and files that cannot be used are problems, each with its place.

    Raises:
        InputError: no class names, no picture that can be read, or files of names or lists that are not what
            they must be.
    """
    path = find_data_file(files)
    if path is None:
        raise unnamed(files, unnamed_labels(files))
    data = read_data_file(files, path)
    reader = _Reader(files, data)
    pictures = reader.pictures()
    if not pictures and not any(problem.picture for problem in reader.problems):
        what = "no picture that the labels are for can be read"
        raise nothing_left(what, files.place(path), reader.problems, "add the pictures, or mend the paths")
    return annotation_set(pictures, reader.problems, tuple(data.names.values()))


@dataclass(frozen=True)
class _Labels:
    """A picture, its split, its label file if it has one, and the lines of that with their numbers."""

    picture: str
    split: str | None
    file: str | None
    lines: list[tuple[int, Line]]


class _Reader:
    """Reads the label file of one picture after the other, and gathers what is wrong."""

    def __init__(self, files: LabelFiles, data: DataFile) -> None:
        self.files = files
        self.data = data
        self.finder = PictureFinder(files)
        self.sizes = PictureSizes(files)
        self.problems = list(data.problems)
        self.names = {name: name for name in map(composed, data.names.values())}
        self.named: list[str] = []  # places of lines that name their class

    def pictures(self) -> list[AnnotatedPicture]:
        """All pictures that can be read, with their labels."""
        split_of_picture = dict(self._splits())
        own = label_files(split_of_picture, self.files)
        if split_of_picture and not own:
            mend = "add labels/NAME.txt for each picture; an empty file says that it shows nothing"
            raise nothing_left(
                "no picture has a label file", self.files.place(self.data.path), self.problems, mend
            )
        labelled = [
            labels
            for picture, split in self._of_labelled_splits(split_of_picture, own)
            if (labels := self._labels(picture, split, own.get(picture)))
        ]
        lines = (line for labels in labelled for _, line in labels.lines)
        self.layout = Layout(lines, self.data.points)
        found = [picture for labels in labelled if (picture := self._picture(labels))]
        self._tell_of_lines(labelled)
        self._tell_of_files(split_of_picture, own)
        return found

    def _splits(self) -> Iterable[tuple[str, str | None]]:
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
            self._problem(self.data.path, what)
        if rest := [path for path in self.finder.paths if path not in split_of_picture]:
            what = f"left out, because in no split: {counted(len(rest), 'picture')}; one is {quoted(rest[0])}"
            self._problem(self.data.path, what)

    def _of_labelled_splits(
        self, split_of_picture: dict[str, str | None], own: dict[str, str]
    ) -> list[tuple[str, str | None]]:
        """(Picture, split) without the splits that have no label files where theirs would be, as the pictures
        of a test have none: nothing says what these show."""
        folders = set(map(folder_of, own.values()))
        labelled = {
            split
            for picture, split in split_of_picture.items()
            if picture in own
            or picture not in self.finder
            or not folders.isdisjoint(map(folder_of, label_paths(picture)))
        }
        bare = Counter(split for split in split_of_picture.values() if own and split not in labelled)
        for split, count in bare.items():
            what = f"{split} has no label files; its pictures count as unlabelled and are left out: {count:,}"
            self._problem(self.data.path, what)
        return [one for one in split_of_picture.items() if one[1] not in bare]

    def _labels(self, picture: str, split: str | None, file: str | None) -> _Labels | None:
        """The lines of a picture's label file; None if it is no text."""
        try:
            rows = lines_of(self.files, file) if file else []
        except InputError as error:
            self._problem(error.where.removeprefix(self.files.place("")), error.what, picture=picture)
            return None
        parsed = ((k, parse_line(row, self.names)) for k, row in enumerate(rows, start=1))
        return _Labels(picture, split, file, [(k, line) for k, line in parsed if line])

    def _picture(self, labels: _Labels) -> AnnotatedPicture | None:
        """A picture and its labels; None if its size cannot be known, or it is missing."""
        path, place = labels.picture, labels.file or labels.picture
        size = self.sizes(path)
        if size is None:
            fault = f"the picture {quoted(path)} cannot be read: {self.sizes.fault(path)}"
            what = f"{fault}; left out with it: {counted(len(labels.lines), 'object')}"
            self._problem(place, what, left_out=len(labels.lines))
            return None
        objects = []
        for k, line in labels.lines:
            try:
                objects.append(self._annotation(line, f"{place}, line {k}", size))
            except ValueError as error:
                what = f"{error}; the object is left out"
                self._problem(f"{place}, line {k}", what, left_out=1, picture=path)
        return AnnotatedPicture(path, tuple(objects), place, split=labels.split)

    def _annotation(self, line: Line, place: str, size: tuple[int, int]) -> Annotation:
        """An object. Raises ValueError if the line cannot be used."""
        if line.fault:
            raise ValueError(line.fault)
        name = self._class_of(line, place)
        values = line.values
        if len(values) != BOX and (refusal := self.layout.refusal(line)):
            raise ValueError(refusal)
        is_outline = len(values) > BOX and self.layout.family is Family.OUTLINES
        used = values if is_outline else values[:BOX]
        for k, value in enumerate(used):
            if not _LEAST < value < _MOST:
                raise ValueError(f"{quoted(line.words[k])} is no fraction of the picture's side")
        if not is_outline:
            attributes = self.layout.attributes(line) if len(values) > BOX else {}
            return Annotation(name, _box(values, size), place, attributes=attributes)
        outline = tuple(round(value * size[k % 2], 6) for k, value in enumerate(values))
        x, y = outline[::2], outline[1::2]
        return Annotation(name, (min(x), min(y), max(x), max(y)), place, polygons=(outline,))

    def _class_of(self, line: Line, place: str) -> str:
        """The class name of a line. Raises ValueError if there is no such class."""
        label = number(line.label)
        if label is None:
            self.named.append(place)
            return self.names[line.label]
        name = self.data.names.get(int(label)) if label % 1 == 0 else None
        if name is None:
            raise ValueError(f"there is no class {quoted(line.label)}: names has {len(self.data.names)}")
        return name

    def _tell_of_lines(self, labelled: list[_Labels]) -> None:
        """Problems, one of each kind, for what is left aside of many lines."""
        longer = [
            f"{labels.file}, line {k}"
            for labels in labelled
            for k, line in labels.lines
            if len(line.values) > BOX and not self.layout.refusal(line)
        ]
        if longer and self.layout.family is Family.POSES:
            self._problem(longer[0], f"boxes with points of a pose, which are left aside: {len(longer):,}")
        if longer and self.layout.family is Family.TRACKS:
            what = f"boxes with a confidence or the number of a track, kept as attributes: {len(longer):,}"
            self._problem(longer[0], what)
        if self.named:
            self._problem(
                self.named[0], f"lines with the name of the class in place of its id: {len(self.named):,}"
            )

    def _tell_of_files(self, pictures: Iterable[str], own: dict[str, str]) -> None:
        """Problems for label files that are those of several pictures, of none, or not of the one beside
        them."""
        first: dict[str, str] = {}
        for picture, file in own.items():
            if first.setdefault(file, picture) != picture:
                what = f"its objects are also those of {quoted(picture)}, which has the same name"
                self._problem(file, what)
        orphans = unused(self.files, set(first), self.data.files, self.finder.paths)
        for path, (count, fault) in orphans.items():
            what = (
                f"{fault or 'the file is that of no picture'}; left out with it: {counted(count, 'object')}"
            )
            self._problem(path, what, left_out=count)
        unlabelled = [path for path in pictures if path not in own and path in self.finder]
        for picture, file in without_labels(unlabelled, orphans).items():
            what = f"the file is that of no picture, and may be that of {quoted(picture)}, which has none"
            self._problem(file, what, picture=picture)

    def _problem(self, place: str, what: str, left_out: int = 0, picture: str = "") -> None:
        self.problems.append(Problem(place, what, left_out=left_out, picture=picture))

    def _pictures_of(self, entry: str, split: str) -> list[str]:
        """The pictures of an entry of a split: of a folder, or of a list of pictures."""
        for candidate in self.data.places(entry):
            if (listed := self.files.named(candidate)) is not None:
                return self._listed(listed)
            if inner := self._inside(candidate):
                return inner
        what = f"there are no pictures in {quoted(entry)}, which it names as {split}"
        self.problems.append(Problem(self.data.path, what))
        return []

    def _inside(self, folder: str) -> list[str]:
        """The pictures in a folder, which may be written in another case; none if there is no such folder."""
        if folder in ("", "."):
            return self.finder.paths
        start = f"{composed(folder)}/"
        inner = [path for path in self.finder.paths if composed(path).startswith(start)]
        start = start.casefold()
        return inner or [path for path in self.finder.paths if composed(path).casefold().startswith(start)]

    def _listed(self, path: str) -> list[str]:
        """The pictures that a list names; those that are not there stay, to be told when they are read."""
        if path in self.finder:
            return [path]
        pictures = []
        for k, line in enumerate(lines_of(self.files, path), start=1):
            if not (written := line.strip()):
                continue
            place = f"{path}, line {k}"
            named = map(self.files.named, self.data.places(written))
            found = next((path for path in named if path in self.finder), None)
            fault = ""
            if found is None:
                found, fault = self.finder.find(written, path)
            if fault:
                self.problems.append(Problem(place, fault))
            if found is not None:
                pictures.append(found)
        return pictures


def _box(fractions: tuple[float, ...], size: tuple[int, int]) -> Box:
    x, y, box_width, box_height = fractions[:BOX]
    width, height = size
    return (
        round((x - box_width / 2) * width, 6),
        round((y - box_height / 2) * height, 6),
        round((x + box_width / 2) * width, 6),
        round((y + box_height / 2) * height, 6),
    )
