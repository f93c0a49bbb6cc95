"""The file that names the classes and splits of YOLO's data: data.yaml, Darknet's obj.data, classes.txt."""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import PurePosixPath

import yaml

from striate.data.annotations import Problem, quoted
from striate.data.class_names import CLASSES_FILE, parse_class_names
from striate.data.images import IMAGE_SUFFIXES
from striate.data.label_files import LabelFiles
from striate.data.label_pictures import split_of
from striate.errors import InputError, one_line
from striate.text_files import as_utf8, decode_text

_SPLITS = {"train": "train", "val": "val", "valid": "val", "validation": "val", "test": "test"}
_YAML_SUFFIXES = (".yaml", ".yml")
_HAS_NAMES = re.compile(rb"(?m)(?:^|[{,\r])\s*[\"']?names[\"']?\s*:")
_HAS_SPLITS = re.compile(rb"(?m)(?:^|[{,\r])\s*[\"']?(?:nc|train|val)[\"']?\s*:")
_DARKNET = ".data"
_NAMES = "obj.names"
_NAMES_LINE = re.compile(rb"(?m)^\s*names\s*=")
_FRACTION = rb"-?(?:[01]?\.[0-9]+|[01]|[0-9](?:\.[0-9]*)?[eE]-[0-9]+)"
_LABEL_LINE = re.compile(rb"\s*[^\s,]+(?:[ \t,]+%b){4}(?=[\s,]|\Z)" % _FRACTION)
_NAME_LISTS = (".names", ".labels")  # Darknet's, and those that Roboflow writes for it


@dataclass(frozen=True)
class DataFile:
    """What such a file says.

    Attributes:
        path: the file.
        names: class names by class id, in the order of ids.
        splits: for each split the folders and lists of pictures, as written; empty if it says nothing.
        base: the folder that they are relative to, as written.
        files: this and others that it is made of.
        points: how many points each pose has, and how many values each point; None where there are no poses.
        problems: what is wrong with it.
    """

    path: str
    names: dict[int, str]
    splits: dict[str, list[str]]
    base: str = ""
    files: frozenset[str] = frozenset()
    points: tuple[int, int] | None = None
    problems: tuple[Problem, ...] = ()

    def places(self, entry: str) -> Iterator[str]:
        """Where in the data an entry may be, the most literal first: relative to ``base`` in the folder of
        the file, to that folder, to the root; then without its first folders, one after the other."""
        home = PurePosixPath(self.path).parent
        for start in (home / self.base.replace("\\", "/"), home, PurePosixPath()):
            if (found := _normal(start / entry.replace("\\", "/"))) is not None:
                yield found
        parts = [part for part in re.split(r"[/\\]", entry) if part not in ("", ".", "..")]
        split = split_of("/".join([*parts, ""]))
        for k in range(len(parts)):
            if (
                split is None or split_of("/".join([*parts[k:], ""])) == split
            ):  # "images" is not "test/images"
                for start in (home, PurePosixPath()):
                    yield (start / PurePosixPath(*parts[k:])).as_posix()


def find_data_file(files: LabelFiles) -> str | None:
    """The file to begin with: the uppermost .yaml with names, else obj.data, obj.names or classes.txt."""
    candidates = [files.file] if files.file else sorted(files.paths, key=lambda path: (path.count("/"), path))
    for path in candidates:
        if path.lower().endswith(_YAML_SUFFIXES) and _HAS_NAMES.search(as_utf8(files.read(path))):
            return path
    kinds: tuple[Callable[[str], bool], ...] = (
        lambda path: _is_darknet(files, path),
        lambda path: path.lower().endswith(_NAME_LISTS),
        lambda path: _is_classes(path) and _has_labels(files, path),
    )
    return next((path for is_kind in kinds for path in candidates if is_kind(path)), None)


def read_data_file(files: LabelFiles, path: str) -> DataFile:
    """Read the file that ``find_data_file`` found.

    Raises:
        InputError: it is not what its name says, or names no classes or one class in two ways.
    """
    if path.lower().endswith(_YAML_SUFFIXES):
        return _read_yaml(files, path)
    if path.lower().endswith(_DARKNET):
        return _read_darknet(files, path)
    names = dict(enumerate(parse_class_names(files.read(path), files.place(path))))
    return DataFile(path, names, {}, files=frozenset([path]))


def unnamed(files: LabelFiles, label_file: str | None) -> InputError:
    """The error that no file names the classes.

    Args:
        label_file: one that looks like YOLO's; None where there is none.
    """
    mend = "add data.yaml with names: [first class, second class], or classes.txt with a name in each line"
    bare = [
        path
        for path in files.paths
        if path.lower().endswith(_YAML_SUFFIXES) and _HAS_SPLITS.search(as_utf8(files.read(path)))
    ]
    if bare:
        return InputError(
            "the file has no names", files.place(bare[0]), "add names: [first class, second class]"
        )
    if label_file is None:
        return InputError("there is no file with class names", files.root, mend)
    what = f"{label_file} looks like a label file of YOLO, but no file says the names of its classes"
    return InputError(what, files.root, mend)


def lines_of(files: LabelFiles, path: str) -> list[str]:
    """The lines of a text file. Raises InputError as ``decode_text`` does."""
    return re.split(r"\r\n|\n|\r", decode_text(files.read(path), files.place(path)))


def _normal(path: PurePosixPath) -> str | None:
    """A path without ".."; None if it is absolute or leads out of the data."""
    parts: list[str] = []
    for part in path.parts:
        if part == "..":
            if not parts:
                return None
            parts.pop()
        elif part == "/":
            return None
        else:
            parts.append(part)
    return "/".join(parts)


def _is_classes(path: str) -> bool:
    return PurePosixPath(path).name.lower() in (CLASSES_FILE, "predefined_classes.txt")


def _is_darknet(files: LabelFiles, path: str) -> bool:
    """Whether this is Darknet's file of names and lists, whatever comes before ".data"."""
    return path.lower().endswith(_DARKNET) and _NAMES_LINE.search(as_utf8(files.read(path))) is not None


def _has_labels(files: LabelFiles, path: str) -> bool:
    """Whether there are text files in a folder of labels, or beside classes.txt some that are named as
    pictures or hold a label: IDX files have a classes.txt too, and folders of classes listed by number."""
    home = PurePosixPath(path).parent
    texts = [other for other in files.paths if other != path and other.lower().endswith(".txt")]
    if any("labels" in text.lower().split("/") for text in texts):
        return True
    beside = [text for text in texts if PurePosixPath(text).parent == home]
    stems = {
        PurePosixPath(picture).stem.casefold()
        for picture in files.paths
        if beside and PurePosixPath(picture).suffix.lower() in IMAGE_SUFFIXES
    }
    return any(PurePosixPath(text).stem.casefold() in stems for text in beside) or any(
        _LABEL_LINE.match(as_utf8(files.read(text))) for text in beside
    )


def _read_yaml(files: LabelFiles, path: str) -> DataFile:
    place = files.place(path)
    entries = _mapping(_compose(files, path), place)
    if "names" not in entries:
        raise InputError("the file has no names", place, "add names: [first class, second class]")
    names = _names_in_yaml(entries["names"], place)
    problems = tuple(
        Problem(
            path, f"the class ids {ids[0]} and {ids[1]} are both named {quoted(name)}; they are one class"
        )
        for name in dict.fromkeys(names.values())
        if len(ids := [k for k, other in names.items() if other == name]) > 1
    )
    if "nc" in entries and (nc := _scalar(entries["nc"], place)) != str(len(names)):
        raise InputError(f"nc is {quoted(nc)}, but there are {len(names)} names", place, "mend either")
    splits: dict[str, list[str]] = {}
    for key, split in _SPLITS.items():
        if key in entries and (found := _texts(entries[key], place)):
            if split in splits:
                raise InputError(f"it names the split {split} twice", place, "keep one")
            splits[split] = found
    base = _scalar(entries["path"], place) if "path" in entries else ""
    points = _points(entries["kpt_shape"], place) if "kpt_shape" in entries else None
    return DataFile(path, names, splits, base, frozenset([path]), points, problems)


def _points(node: yaml.Node, place: str) -> tuple[int, int]:
    """How many points a pose has, and how many values each of them."""
    numbers = _texts(node, place)
    if len(numbers) != 2 or not all(re.fullmatch(r"[0-9]{1,4}", text) for text in numbers):
        raise InputError("kpt_shape is not two numbers", _at(node, place), "write it as kpt_shape: [17, 3]")
    return int(numbers[0]), int(numbers[1])


def _compose(files: LabelFiles, path: str) -> yaml.Node | None:
    """The nodes of a YAML file: texts stay texts, so that a class may be named "no"."""
    place = files.place(path)
    try:
        text = decode_text(files.read(path), place).expandtabs(4)  # which YAML has not between words
        return yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.MarkedYAMLError as error:
        line = f", line {error.problem_mark.line + 1}" if error.problem_mark else ""
        raise InputError(f"the file is no YAML: {error.problem}", f"{place}{line}", "mend it") from None
    except (yaml.YAMLError, ValueError) as error:
        raise InputError(f"the file is no YAML: {error}", place, "save it as UTF-8 text") from None
    except RecursionError:
        raise InputError("the YAML is nested too deeply", place, "mend it") from None


def _mapping(node: yaml.Node | None, place: str) -> dict[str, yaml.Node]:
    if not isinstance(node, yaml.MappingNode):
        raise InputError("the file holds no keys and values", place, "write it as names: [dog, cat]")
    entries: dict[str, yaml.Node] = {}
    for key, value in node.value:
        name = _scalar(key, place)
        if name in entries:
            raise InputError(f"the key {quoted(name)} is there twice", _at(key, place), "keep one")
        entries[name] = value
    return entries


def _names_in_yaml(node: yaml.Node, place: str) -> dict[int, str]:
    """Names by id, of a list or of a mapping."""
    if isinstance(node, yaml.SequenceNode):
        return {k: _class_name(entry, place) for k, entry in enumerate(node.value)}
    if not isinstance(node, yaml.MappingNode):
        raise InputError("names is no list", _at(node, place), "write it as names: [dog, cat]")
    names = {}
    for key, value in _mapping(node, place).items():
        if not re.fullmatch(r"[0-9]{1,9}", key):
            raise InputError(f"the class id {quoted(key)} is no number", _at(node, place), "number it from 0")
        names[int(key)] = _class_name(value, place)
    if len(names) < len(node.value):
        raise InputError("a class id is there twice", _at(node, place), "number each class once")
    return dict(sorted(names.items()))


def _class_name(node: yaml.Node, place: str) -> str:
    name = _scalar(node, place)
    if not name or name != one_line(name):
        raise InputError("a class name is empty or no readable text", _at(node, place), "name the class")
    return name


def _scalar(node: yaml.Node, place: str) -> str:
    if not isinstance(node, yaml.ScalarNode):
        raise InputError("there is a list or mapping where a text must be", _at(node, place), "mend it")
    return str(node.value)


def _texts(node: yaml.Node, place: str) -> list[str]:
    """The texts of a list, or the one text; none for an empty one."""
    nodes = node.value if isinstance(node, yaml.SequenceNode) else [node]
    return [text for entry in nodes if (text := _scalar(entry, place)) not in ("", "null", "~")]


def _at(node: yaml.Node, place: str) -> str:
    return f"{place}, line {node.start_mark.line + 1}"


def _read_darknet(files: LabelFiles, path: str) -> DataFile:
    """obj.data: lines "key = value"; the names are in the file that "names" names."""
    place = files.place(path)
    entries: dict[str, str] = {}
    for k, line in enumerate(lines_of(files, path), start=1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        key, equals, value = (part.strip() for part in line.partition("="))
        if not equals or key in entries:
            fault = f"the key {quoted(key)} is there twice" if equals else "the line has no ="
            raise InputError(fault, f"{place}, line {k}", "write key = value, each key once")
        entries[key] = value
    splits = {_SPLITS[key]: [value] for key, value in entries.items() if key in _SPLITS}
    bare = DataFile(path, {}, splits)
    candidates = map(files.named, bare.places(entries.get("names", _NAMES)))
    names_path = next(filter(None, candidates), None)
    if names_path is None:
        raise InputError("there is no file with class names", place, "write names = obj.names")
    names = dict(enumerate(parse_class_names(files.read(names_path), files.place(names_path))))
    if (count := entries.get("classes", str(len(names)))) != str(len(names)):
        raise InputError(
            f"classes is {quoted(count)}, but there are {len(names)} names", place, "mend either"
        )
    return DataFile(path, names, splits, files=frozenset([path, names_path]))
