"""Label files mutated by chance: labels or an error that names the file, and no object without a word."""

import csv
import json
import random
import re

import pytest
from box_sets import random_set, read_set, write_set

from striate.data.convert_boxes import convert_boxes
from striate.data.label_checks import check
from striate.data.label_files import LabelFiles
from striate.data.picture_sizes import PictureSizes
from striate.errors import InputError

MUTATIONS = {"coco": 200, "yolo": 170, "csv": 130}
LABELS = {"coco": "*.json", "yolo": "[!i]*.[ty]*", "csv": "*.csv"}
TOKENS = [
    "{",
    "}",
    "[",
    "]",
    '"',
    ",",
    ":",
    "-",
    "\n",
    " ",
    "null",
    "NaN",
    "1e999",
    "9" * 30,
    "../x",
    "\0",
    "é",
    "1",
    "&a",
    "*a",
]


def mutate(content, rng):
    """The bytes with one to three pieces removed, doubled, changed or put in, or cut off."""
    for _ in range(rng.randint(1, 3)):
        start = rng.randrange(len(content) + 1)
        end = min(len(content), start + rng.choice([1, 1, 2, 8, 60]))
        piece = content[start:end]
        kind = rng.randrange(6)
        if kind == 0:
            piece = b""
        elif kind == 1:
            piece = piece * 2
        elif kind == 2:
            piece = bytes([rng.randrange(256)]) + piece[1:]
        elif kind == 3:
            piece = rng.choice(TOKENS).encode() + piece
        elif kind == 4:
            piece = rng.choice(TOKENS).encode()
        else:
            end = len(content)
            piece = b"" if rng.random() < 0.3 else piece
        content = content[:start] + piece + content[end:]
    return content


def as_text(path):
    """The text of a file; None if it is none, and its picture is left out."""
    try:
        return path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError:
        return None


def objects_in(name, folder):
    """How many objects plain readers see: entries, lines, or rows with something of a box or a class."""
    if name == "coco":
        documents = [json.loads(path.read_bytes()) for path in folder.rglob("*.json")]
        return sum(len(document.get("annotations", ())) for document in documents)
    if name == "yolo":
        texts = [text for path in folder.rglob("*.txt") if (text := as_text(path)) is not None]
        return sum(bool(line.strip()) for text in texts for line in re.split(r"[\r\n]", text))
    with (folder / "annotations.csv").open(newline="", encoding="utf-8-sig") as file:
        head, *rows = [row for row in csv.reader(file) if "".join(row).strip()]
    rows = [row[: len(head)] if not "".join(row[len(head) :]).strip() else row for row in rows]
    return sum(len(row) != len(head) or any(value.strip() for value in row[3:8]) for row in rows)


@pytest.mark.parametrize("name", MUTATIONS)
def test_mutated_labels_give_labels_or_an_error_that_names_the_file(tmp_path, name):
    rng = random.Random(5)
    annotations, contents = random_set(21, ("train", "val"))
    folder = tmp_path / "set"
    write_set(name, annotations, contents, folder)
    labels = sorted(path for path in folder.rglob(LABELS[name]) if path.suffix != ".png" and path.is_file())
    sizes = PictureSizes(LabelFiles.open(folder))
    read = refused = 0
    places = []
    for _ in range(MUTATIONS[name]):
        path = rng.choice(labels)
        good = path.read_bytes()
        path.write_bytes(mutate(good, rng))
        try:
            found = read_set(name, folder)
            check(found, sizes, sizes.orientation)
        except InputError as error:
            refused += 1
            places.append((error.where, path))
        else:
            read += 1
            kept = sum(len(picture.annotations) for picture in found.pictures)
            left_out = sum(problem.left_out for problem in found.problems)
            assert kept + left_out == objects_in(name, folder), (path.read_bytes(), found.problems)
            for problem in found.problems:
                assert problem.place
                assert problem.what == "".join(c for c in problem.what if c.isprintable())
            for picture in found.pictures:
                assert ".." not in picture.path.split("/")
                assert not picture.path.startswith("/")
        finally:
            path.write_bytes(good)
    assert all(path.name in where or where == str(folder) for where, path in places)
    assert read > 20
    assert refused > (0 if name == "yolo" else 20)


@pytest.mark.parametrize("name", MUTATIONS)
def test_mutated_labels_are_converted_whole_or_not_at_all(tmp_path, name):
    rng = random.Random(6)
    annotations, contents = random_set(22, ("train",))
    folder = tmp_path / "set"
    write_set(name, annotations, contents, folder)
    labels = sorted(path for path in folder.rglob(LABELS[name]) if path.suffix != ".png" and path.is_file())
    for k in range(20):
        path = rng.choice(labels)
        good = path.read_bytes()
        path.write_bytes(mutate(good, rng))
        to = ("coco", "yolo", "csv", "voc")[k % 4]
        out = tmp_path / str(k)
        try:
            done = convert_boxes(folder, out, to, source_format=name, fix_problems=k % 2 == 0)
        except InputError:
            assert not out.exists()
        else:
            written = sum(len(picture.annotations) for picture in read_set(to, out).pictures)
            assert written == done.objects
        finally:
            path.write_bytes(good)
