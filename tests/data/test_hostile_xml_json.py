"""Damaged and malicious XML and JSON labels: read whole, or refused with an error that names the file."""

import json
import math
import re
import tracemalloc
from xml.etree import ElementTree

import numpy as np
import pytest
from label_cases import VARIED, a_set, box, files_of, outlined, picture

from striate.data.formats import cvat, label_studio, labelme, via, voc
from striate.data.label_checks import check, fix
from striate.data.write import cvat as write_cvat
from striate.data.write import label_studio as write_label_studio
from striate.data.write import labelme as write_labelme
from striate.data.write import via as write_via
from striate.data.write import voc as write_voc
from striate.errors import InputError

MUTATIONS = 250  # of each format

FORMATS = {
    "voc": (voc, write_voc),
    "cvat": (cvat, write_cvat),
    "via": (via, write_via),
    "label_studio": (label_studio, write_label_studio),
    "labelme": (labelme, write_labelme),
}

# fmt: off
NUMBERS = ["1e308", "-1e400", "NaN", "Infinity", "9" * 400, "-0", "0x10", "1_0", "", "null", "[]", "{}"]
TEXTS = [
    "", "../../etc/passwd", "/etc/passwd", "C:\\\\x", "\\u0000", "&bomb;", "&#0;", "\\ud800", "ß" * 70,
    "\x00", "7", "<a/>",
]
VALUES = [
    None, True, -1, 0, 3.5, 10**400, 1e300, "", "12", "NaN", "../../etc/passwd", "\0", "\ud800", "ß" * 99, [],
    {}, [[]], [1, 2], {"a": 1}, {"0": {}},
]
# fmt: on
BOMB = (
    '<!DOCTYPE x [<!ENTITY a "ha">'
    + "".join(f'<!ENTITY {n} "{f"&{m};" * 10}">' for m, n in zip("abcdefgh", "bcdefghi", strict=True))
    + "]>"
)

SAMPLE = a_set(
    picture(
        "a.png",
        *VARIED.pictures[1].annotations,
        outlined("dog", 0.0, 0.0, 5.0, 0.0, 5.0, 5.0, attributes={"age": 7, "wet": True}),
        attributes={"tag.night": True, "weather": "rain"},
    ),
    picture("b.png", box("dog", 1.0, 2.0, 3.0, 4.0)),
)


@pytest.fixture(scope="module", params=FORMATS)
def valid(request, tmp_path_factory):
    """(Format, its name, a valid label file)."""
    module, writer = FORMATS[request.param]
    folder = tmp_path_factory.mktemp(request.param)
    writer.write(SAMPLE, folder)
    path = min(path for path in folder.rglob("*.*") if path.suffix in (".xml", ".json"))
    return module, request.param, path.read_bytes().decode()


def mutated(text: str, rng: np.random.Generator) -> bytes:
    """A file with one to three faults; half of them are in what it says and not in how it is written."""
    if rng.random() < 0.5:
        for _ in range(rng.integers(1, 4)):
            text = with_another_element(text, rng) if text.startswith("<") else with_another_value(text, rng)
        return text.encode("utf-8", "surrogatepass")
    content = text
    for _ in range(rng.integers(1, 4)):
        content = MUTATORS[rng.integers(len(MUTATORS))](content, rng) if content else content
    raw = bytearray(content.encode("utf-8", "surrogatepass"))
    if rng.random() < 0.3 and raw:
        for position in rng.integers(0, len(raw), rng.integers(1, 5)):
            raw[position] ^= 1 << rng.integers(0, 8)
    return bytes(raw)


def with_another_value(text: str, rng: np.random.Generator) -> str:
    """JSON with one value, wherever it stands, changed, removed or there twice."""
    document = json.loads(text)
    holders = [document]
    for holder in holders:
        inner = holder.values() if isinstance(holder, dict) else holder
        holders += [value for value in inner if isinstance(value, dict | list) and value]
    holder = holders[rng.integers(len(holders))]
    keys = list(holder) if isinstance(holder, dict) else list(range(len(holder)))
    if not keys:
        return text
    key = keys[rng.integers(len(keys))]
    if (choice := rng.integers(3)) == 0:
        del holder[key]
    elif choice == 1:
        holder[key] = VALUES[rng.integers(len(VALUES))]
    elif isinstance(holder, dict):
        holder[f"{key}2"] = holder[key]
    else:
        holder.append(holder[key])
    return json.dumps(document)


def with_another_element(text: str, rng: np.random.Generator) -> str:
    """XML with one element, wherever it stands, changed, renamed, removed or there twice."""
    root = ElementTree.fromstring(text)
    parents = [element for element in root.iter() if len(element)]
    if not parents:
        return text
    parent = parents[rng.integers(len(parents))]
    child = parent[rng.integers(len(parent))]
    match rng.integers(4):
        case 0:
            parent.remove(child)
        case 1:
            parent.append(child)
        case 2:
            child.tag = str(rng.choice(["object", "image", "box", "tag", "bndbox", "x"]))
        case 3:
            wrong = [
                "",
                "1e308",
                "NaN",
                "-7",
                "3.5",
                "..",
                "../../a.png",
                "/b.png",
                "C:\\x",
                "\x85",
                "ß" * 99,
            ]
            value = wrong[rng.integers(len(wrong))]
            if child.attrib and rng.random() < 0.8:
                child.set(list(child.attrib)[rng.integers(len(child.attrib))], value)
            else:
                child.text = value
    return ElementTree.tostring(root, encoding="unicode")


def cut_off(text, rng):
    return text[: rng.integers(0, len(text))]


def without_a_piece(text, rng):
    start = rng.integers(0, len(text))
    return text[:start] + text[start + rng.integers(1, 80) :]


def another_number(text, rng):
    return replaced(text, r"-?\d+(\.\d+)?", NUMBERS, rng)


def another_text(text, rng):
    return replaced(text, r'(?<=")[^"<>]*(?=")|(?<=>)[^<>\s]+(?=<)', TEXTS, rng)


def string_for_a_number(text, rng):
    return replaced(text, r"(?<=: )-?\d+(\.\d+)?", ['"12"', '"dog"', "true"], rng)


def without_a_tag(text, rng):
    return replaced(text, r"</?\w+[^<>]*>|[\[\]{},]", [""], rng)


def another_tag(text, rng):
    return replaced(text, r"(?<=<)\w+|(?<=</)\w+|\"\w+\"(?=:)", ["object", "image", "x", '"x"'], rng)


def twice(text, rng):
    start, end = sorted(rng.integers(0, len(text), 2))
    return text[:end] + text[start:end] + text[end:]


def nested(text, rng):
    depth = int(rng.choice([5, 100, 20_000]))
    start = rng.integers(0, len(text))
    opening = "<part>" if "<" in text[:40] else "["
    return text[:start] + opening * depth + text[start:]


def bombed(text, rng):
    start = text.find("<annotation")
    return text if start < 0 else text[:start] + BOMB + text[start:].replace("dog", "&i;", 1)


def replaced(text, pattern, choices, rng):
    """``text`` with one of the matches of ``pattern`` changed."""
    matches = list(re.finditer(pattern, text))
    if not matches:
        return text
    match = matches[rng.integers(len(matches))]
    return text[: match.start()] + choices[rng.integers(len(choices))] + text[match.end() :]


MUTATORS = [
    cut_off, without_a_piece, another_number, another_number, another_text, another_text, string_for_a_number,
    without_a_tag, another_tag, twice, nested, bombed,
]  # fmt: skip


def count_objects(name: str, content: bytes) -> int | None:
    """How many objects a file holds, by other means; None where it is of another format."""
    if name == "voc":
        root = ElementTree.fromstring(content)
        return len(root.findall("object")) if root.tag == "annotation" else None
    if name == "cvat":
        root = ElementTree.fromstring(content)
        parts = [child for child in root if child.tag not in ("version", "meta")]
        return sum(child.tag != "tag" for part in parts for child in part)
    document = json.loads(content)
    if name == "labelme":
        shapes = document.get("shapes") if isinstance(document, dict) else None
        return len(shapes) if isinstance(shapes, list) else None
    if name == "via":
        entries = document.get("_via_img_metadata", document).values()
        regions = [entry.get("regions") for entry in entries if isinstance(entry, dict)]
        return sum(len(found) for found in regions if isinstance(found, list | dict))
    total = 0
    for task in document:
        annotations = task.get("annotations") if isinstance(task, dict) else None
        for annotation in annotations if isinstance(annotations, list) else ():
            results = annotation.get("result") if isinstance(annotation, dict) else None
            total += sum(
                not (isinstance(r, dict) and r.get("type") in ("textarea", "choices", "number", "rating"))
                for r in (results if isinstance(results, list) else ())
            )
    return total


def test_mutated_files_are_read_whole_or_refused_by_name(valid):
    module, name, text = valid
    path = "labels/a.xml" if text.startswith("<") else "labels/a.json"
    rng = np.random.default_rng(7)
    read, refused = 0, 0
    for _ in range(MUTATIONS):
        content = mutated(text, rng)
        annotations = read_or_refuse(module, files_of({path: content, "labels/a.png": b""}))
        if isinstance(annotations, InputError):
            assert annotations.where.startswith(f"data/{path}"), str(annotations)
            assert len(str(annotations)) < 1000
            refused += 1
            continue
        read += 1
        assert_sound(annotations, path)
        known = sum(len(p.annotations) for p in annotations.pictures)
        left_out = sum(problem.left_out for problem in annotations.problems)
        expected = count_objects(name, content)
        assert expected is None or known + left_out == expected, content
    assert min(read, refused) > MUTATIONS // 10  # both happen


def read_or_refuse(module, files):
    """The labels, or the error."""
    try:
        return module.read(files)
    except InputError as error:
        return error


def assert_sound(annotations, path):
    """What was read is what later steps rely on."""
    for one in annotations.pictures:
        assert one.path
        assert not one.path.startswith("/")
        assert "\\" not in one.path
        assert not re.match("[A-Za-z]:", one.path)
        assert ".." not in one.path.split("/")
        for annotation in one.annotations:
            assert all(map(math.isfinite, annotation.box_xyxy))
            assert annotation.label in annotations.classes
            assert annotation.label.isprintable()
            assert annotation.place.startswith(path)
            assert all(isinstance(value, str | int | float) for value in annotation.attributes.values())
    for problem in annotations.problems:
        assert problem.place.startswith(("labels", path))
        assert len(problem.place + problem.what) < 600
    fixed = fix(annotations, lambda path: (200, 100))
    remaining = check(fixed, lambda path: (200, 100))
    assert not [problem for problem in remaining if problem.mend], remaining


@pytest.mark.parametrize("module", [voc, cvat])
def test_entities_are_never_expanded(module):
    root = "annotation" if module is voc else "annotations"
    content = f"{BOMB}<{root}>&i;</{root}>"
    tracemalloc.start()
    with pytest.raises(InputError, match="entities"):
        module.read(files_of({"a.xml": content}))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2**20  # expanded, it would be 200 MB


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize(
    "content",
    [b"", b"\0" * 999, b"\xff\xfe\xfd", b"[" * 10**6, b"<a>" * 10**6, b'{"a":' * 10**6, b"<", b"null", b'""'],
    ids=range(9),
)
def test_files_of_other_kinds_are_refused_by_name(name, content):
    path = "a.xml" if name in ("voc", "cvat") else "a.json"
    with pytest.raises(InputError) as error:
        FORMATS[name][0].read(files_of({path: content}))
    assert error.value.where.startswith("data/a.")


@pytest.mark.parametrize("name", FORMATS)
def test_data_without_label_files_are_refused(name):
    module, _ = FORMATS[name]
    assert not module.recognizes(files_of({"a.png": b""}))
    with pytest.raises(InputError):
        module.read(files_of({"a.png": b""}))
