"""Label files as other programs save them, and damaged ones: the right objects, or the picture is left out.

A set is written in each format, and one to three things of it are changed: encodings, how numbers are
written, what is null or missing, how pictures are called, where files lie, what stands behind a box. Pictures
are known by their content, so that labels which move to another picture are seen.
"""

import json
import random
import re
import unicodedata
from collections import Counter
from pathlib import Path

import pytest
from box_sets import random_set, write_set

from striate.data.convert_boxes import PATHS
from striate.data.formats.annotations import READERS, format_of
from striate.data.formats.boxes import as_dataset
from striate.data.label_files import LabelFiles
from striate.data.picture_sizes import PictureSizes
from striate.errors import InputError

MUTATIONS = {"coco": 300, "yolo": 300, "label-studio": 200, "labelme": 200}
ENCODINGS = ("utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "cp1252", "shift_jis")


def clean_set(name, folder):
    """(Files by path, objects by the content of their picture)."""
    annotations, contents = random_set(31, (None,), rich=False)
    write_set(name, annotations, contents, folder)
    files = {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}
    paths = PATHS[name](annotations)
    return files, {
        files[path]: Counter(map(described, one.annotations))
        for one, path in zip(annotations.pictures, paths, strict=True)
    }


def described(annotation):
    return annotation.label, tuple(round(corner, 1) + 0.0 for corner in annotation.box_xyxy)


# --- faults of any label file --------------------------------------------------------------------------


def is_label(path):
    return not path.lower().endswith(".png")


def one_label(files, rng):
    return rng.choice(sorted(filter(is_label, files)))


def reencoded(files, rng):
    path = one_label(files, rng)
    return files | {path: files[path].decode().encode(rng.choice(ENCODINGS))}


def other_line_ends(files, rng):
    end = rng.choice([b"\r\n", b"\n\n", b" \n"])
    return {path: text.replace(b"\n", end) if is_label(path) else text for path, text in files.items()}


def cut_off(files, rng):
    """The beginning of a file; of YOLO's, which are lines, it may be as good as the whole."""
    path = one_label(files, rng)
    return files | {path: files[path][: rng.randrange(len(files[path]) + 1)]}


def decomposed_names(files, rng):
    """File names of a Mac, and those of label files with accents."""
    form = rng.choice(["NFC", "NFD"])
    named = {path.replace("picture", "é"): text for path, text in files.items()}
    return {
        unicodedata.normalize("NFD", path): text
        if not is_label(path)
        else unicodedata.normalize(form, text.decode().replace("picture", "é")).encode()
        for path, text in named.items()
    }


def other_case(files, rng):
    """A folder or a suffix in another case."""
    old, new = rng.choice(
        [("images/", "Images/"), ("labels/", "Labels/"), (".png", ".PNG"), (".txt", ".TXT")]
    )
    return {path.replace(old, new): text for path, text in files.items()}


def moved_pictures(files, rng):
    folder = rng.choice(["deep/", "pictures/", "train/"])
    return {f"{folder}{path}" if not is_label(path) else path: text for path, text in files.items()}


def renamed_picture(files, rng):
    path = rng.choice(sorted(path for path in files if not is_label(path)))
    rest = {other: text for other, text in files.items() if other != path}
    return rest | {path.replace(".png", rng.choice([".jpg", " (1).png", "_.png"])): files[path]}


COMMON = (
    reencoded, reencoded, other_line_ends, decomposed_names, other_case, moved_pictures, renamed_picture,
)  # fmt: skip


# --- faults of JSON ------------------------------------------------------------------------------------


def holders(value):
    """All lists and mappings in a value."""
    found = [value]
    for holder in found:
        inner = holder.values() if isinstance(holder, dict) else holder
        found += [v for v in inner if isinstance(v, dict | list)]
    return found


def another_value(files, rng):
    """One value as text, as another type, null, in a list, or not there."""
    path = rng.choice([path for path in sorted(files) if path.endswith(".json")])
    document = json.loads(files[path])
    holder = rng.choice([holder for holder in holders(document) if holder])
    is_mapping = isinstance(holder, dict)
    key = rng.choice(sorted(holder)) if is_mapping else rng.randrange(len(holder))
    old = holder[key]
    kinds = [lambda v: None, lambda v: [v], str, lambda v: {"a": v}]
    if isinstance(old, int | float):
        kinds = [str, str, str, lambda v: f" {v} ", float, float, lambda v: None, lambda v: f"{v} px", bool]
        kinds = kinds[: -1 if old not in (0, 1) or is_mapping is False else None]
    if is_mapping and rng.random() < 0.2:
        del holder[key]
    else:
        holder[key] = rng.choice(kinds)(old)
    return files | {path: json.dumps(document).encode()}


def all_values(files, rng):
    """Every value of a key in another way: ids as text, flags as null."""
    path = rng.choice([path for path in sorted(files) if path.endswith(".json")])
    document = json.loads(files[path])
    mappings = [holder for holder in holders(document) if isinstance(holder, dict)]
    key = rng.choice(sorted({key for holder in mappings for key in holder}))
    change = rng.choice([str, float, lambda v: None])
    for holder in mappings:
        if isinstance(holder.get(key), int | float):
            holder[key] = change(holder[key])
    return files | {path: json.dumps(document).encode()}


def another_address(files, rng):
    """Pictures as label files call them, from another machine or an address."""
    change = rng.choice(
        [
            lambda name: f"C:\\data\\{name}", lambda name: f"/home/me/images/{name}",
            lambda name: f"images\\{name}", lambda name: f"../images/{name}", lambda name: f"./{name}",
            lambda name: name.replace(" ", "%20"), lambda name: name.upper(),
            lambda name: name.removesuffix(".png"), lambda name: name.replace(".png", ".jpg"),
        ]
    )  # fmt: skip
    changed = {}
    for path, text in files.items():
        if path.endswith(".json"):
            text = _NAMES.sub(
                lambda found: found[1] + json.dumps(change(found[2].decode()))[1:-1].encode(), text
            )
        changed[path] = text
    return changed


_NAMES = re.compile(rb'("(?:file_name|imagePath)": ")([^"]*)')


def apart(files, rng):
    """Label Studio's regions and their labels as two results; a task alone; the short form."""
    (path,) = (path for path in files if path.endswith(".json"))
    tasks = json.loads(files[path])
    if rng.random() < 0.5:
        short = [
            {"image": task["data"]["image"]}
            | {
                "label": [
                    r["value"] | {k: r[k] for k in ("original_width", "original_height")} for r in results
                ]
            }
            for task in tasks
            if (results := task["annotations"][0]["result"])
        ]
        return files | {path: json.dumps(short).encode()}
    for task in tasks:
        results = task["annotations"][0]["result"]
        for result in list(results):
            bare = {k: v for k, v in result["value"].items() if k != "rectanglelabels"}
            results.append({**result, "type": "rectangle", "value": bare})
            result["type"] = "labels"
            result["value"]["labels"] = result["value"].pop("rectanglelabels")
    return files | {path: json.dumps(tasks).encode()}


# --- faults of YOLO's lines ----------------------------------------------------------------------------


def with_lines(files, change, rng, only_one=False):
    """The set with each line of its label files, or of one of them, changed. Raises ValueError if a fault
    before has parted them otherwise."""
    paths = [path for path in sorted(files) if path.endswith(".txt") and files[path].strip()]
    changed = dict(files)
    for path in [rng.choice(paths)] if only_one and paths else paths:
        lines = [line.split() for line in files[path].decode().splitlines()]
        if any(len(words) < 4 for words in lines):
            raise ValueError
        changed[path] = "".join(f"{change(words, k)}\n" for k, words in enumerate(lines)).encode()
    return changed


def parted_otherwise(files, rng):
    mark = rng.choice([",", ";", "\t", ", ", "  "])
    return with_lines(files, lambda words, k: mark.join(words), rng, rng.random() < 0.5)


def decimal_commas(files, rng):
    mark = rng.choice([" ", ";", ","])
    return with_lines(files, lambda words, k: mark.join(words).replace(".", ","), rng, rng.random() < 0.5)


def further_columns(files, rng):
    further = rng.choice(
        [
            lambda k: "0.9", lambda k: f"0.9 {k + 1}", lambda k: "0.9 1", lambda k: f"{k}",
            lambda k: "0.5 0.5 2",
            lambda k: "0.5 0.5 2 0.4 0.4 0", lambda k: "0.5 0.5 1 0.4 0.4 0", lambda k: "45.5", lambda k: "x",
        ]
    )  # fmt: skip
    return with_lines(files, lambda words, k: " ".join([*words, further(k)]), rng, rng.random() < 0.5)


def fewer_columns(files, rng):
    return with_lines(files, lambda words, k: " ".join(words[:-1]), rng, True)


def rounded(files, rng):
    """Boxes whose edges are beyond the picture by less than a thousandth."""
    return with_lines(
        files, lambda words, k: " ".join([words[0], *(f"{float(v):.6f}" for v in words[1:])]), rng
    )


def other_classes(files, rng):
    change = rng.choice([lambda word: f"{word}.0", lambda word: "99", lambda word: "elk", lambda word: "-1"])
    return with_lines(files, lambda words, k: " ".join([change(words[0]), *words[1:]]), rng, True)


def in_pixels(files, rng):
    return with_lines(
        files, lambda words, k: " ".join([words[0], *(str(float(v) * 90) for v in words[1:])]), rng, True
    )


def moved_labels(files, rng):
    folder = rng.choice(["annotations/", "labels/deep/", "", "images/"])
    return {path.replace("labels/", folder): text for path, text in files.items()}


def renamed_labels(files, rng):
    paths = [path for path in sorted(files) if path.endswith(".txt")]
    if not paths:
        return files
    path = rng.choice(paths)
    rest = {other: text for other, text in files.items() if other != path}
    return rest | {path.replace(".txt", rng.choice([".png.txt", "_1.txt", " .txt"])): files[path]}


JSON_FAULTS = (cut_off, another_value, another_value, another_value, all_values, another_address)
FAULTS = {
    "coco": (*COMMON, *JSON_FAULTS),
    "label-studio": (*COMMON, *JSON_FAULTS, apart),
    "labelme": (*COMMON, *JSON_FAULTS),
    "yolo": (
        *COMMON, parted_otherwise, decimal_commas, further_columns, further_columns, fewer_columns, rounded,
        other_classes, in_pixels, moved_labels, renamed_labels,
    ),
}  # fmt: skip


# --- what must hold ------------------------------------------------------------------------------------


def loaded(name, files):
    """The data set of files in memory."""
    data = LabelFiles(Path("data"), tuple(sorted(files)), files.__getitem__)
    assert format_of(data) == name
    return as_dataset(READERS[name](data), PictureSizes(data), "data", name)


def objects_by_content(dataset, files):
    """(Class, box) of the objects by the content of their picture."""
    found = {}
    for split in dataset.splits.values():
        counts = split.objects.counts.tolist()
        rows = zip(split.objects.labels.tolist(), split.objects.boxes_xyxy.tolist(), strict=True)
        objects = [(dataset.classes[label], tuple(round(v, 1) + 0.0 for v in box)) for label, box in rows]
        for path, count in zip(split.images.paths, counts, strict=True):
            own, objects = objects[:count], objects[count:]
            assert files[path] not in found
            found[files[path]] = Counter(own)
    return found


def agree(found, expected):
    """Whether objects are the same, their boxes to a tenth of a pixel."""
    if found.total() != expected.total():
        return False
    for label, box in found:
        near = [other for name, other in expected if name == label]
        if not any(max(abs(a - b) for a, b in zip(box, other, strict=True)) < 0.15 for other in near):
            return False
    return True


def with_faults(name, files, rng):
    """(Files with one to three faults, what they are); None where one leaves nothing for the next."""
    faults = list(dict.fromkeys(rng.choices(FAULTS[name], k=rng.choice([1, 1, 2, 3]))))  # each once
    try:
        for fault in faults:
            files = fault(files, rng)
    except (ValueError, KeyError, TypeError, AttributeError, IndexError):
        return None
    return files, [fault.__name__ for fault in faults]


@pytest.mark.parametrize("name", MUTATIONS)
def test_faulty_labels_give_the_right_objects_or_leave_their_pictures_out(tmp_path, name):
    rng = random.Random(11)
    clean, expected = clean_set(name, tmp_path / "set")
    assert objects_by_content(loaded(name, clean), clean) == expected
    seen = Counter()
    while seen.total() < MUTATIONS[name]:
        if (mutated := with_faults(name, clean, rng)) is None:
            continue
        files, what = mutated
        error = dataset = None
        try:
            dataset = loaded(name, files)
        except InputError as caught:
            error = caught
        if dataset is None:
            assert error.where.startswith("data"), (what, error)
            seen["refused"] += 1
            continue
        found = objects_by_content(dataset, files)
        told = " ".join([*(f"{fault.name} {fault.what}" for fault in dataset.faults), *dataset.remarks])
        lost = expected.keys() - found.keys()
        seen["in part" if lost else "whole"] += 1
        assert told or not lost, what
        for content, objects in found.items():
            # An object of no picture is told; nobody can know which picture lacks it.
            is_right = agree(objects, expected[content]) or (objects and "is that of no picture" in told)
            assert is_right, (what, objects, expected[content], told)
    assert seen["whole"] > MUTATIONS[name] // 8
    assert min(seen["in part"], seen["refused"]) > 0
