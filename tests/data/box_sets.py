"""Small sets of labelled boxes made by chance, written in any format, and compared object by object."""

import numpy as np
from faulty_pictures import encode, smooth_pixels

from striate.data.annotations import AnnotatedPicture, Annotation, AnnotationSet, RunLengths
from striate.data.convert_boxes import PATHS, WRITERS
from striate.data.formats.annotations import READERS
from striate.data.label_files import LabelFiles
from striate.ops.masks import fill_polygons, mask_to_runs

CLASSES = ("dog", "cat, wild", "Zürich no. 9", "no", "unseen class")
FLAGS = ("difficult", "truncated", "occluded")


def random_set(seed, splits=("train", "val", "test"), rich=True):
    """(Annotations, contents of pictures by path); ``rich`` with flags, attributes, outlines and masks."""
    rng = np.random.default_rng(seed)
    pictures, contents = [], {}
    for k in range(6):
        split = splits[k % len(splits)]
        height, width = (int(n) for n in rng.integers(20, 120, 2))
        path = f"{split or 'pool'}/{'deep/' * (k % 2)}picture {k // len(splits)}b.png"
        contents[path] = encode(smooth_pixels(height, width, seed=k), "PNG")
        count = 0 if k == 4 else int(rng.integers(1, 5))
        objects = tuple(_object(rng, height, width, f"{k}-{i}", rich) for i in range(count))
        own = {"weather": "wet, cold", "shot": 4} if rich and k % 2 else {}
        pictures.append(AnnotatedPicture(path, objects, f"picture {k}", width, height, split, own))
    pictures.sort(key=lambda picture: (picture.split or "", picture.path))
    return AnnotationSet(CLASSES, tuple(pictures)), contents


def _object(rng, height, width, place, rich):
    x1, x2 = np.sort(rng.uniform(0, width, 2))
    y1, y2 = np.sort(rng.uniform(0, height, 2))
    if rng.random() < 0.5:
        x1, y1, x2, y2 = np.floor(x1), np.floor(y1), np.floor(x2) + 1, np.floor(y2) + 1
    box = tuple(float(v) for v in (x1, y1, min(x2 + 0.5, width), min(y2 + 0.5, height)))
    label = CLASSES[rng.integers(4)]
    if not rich:
        return Annotation(label, box, place)
    flags = {name: bool(rng.integers(2)) for name in FLAGS if rng.random() < 0.6}
    everything = {"pose": 'Left, "so"', "score": 0.25, "count": 3, "is_good": True, "id": 17, "text": "007"}
    attributes = {name: value for name, value in everything.items() if rng.random() < 0.5}
    x1, y1, x2, y2 = box
    corners = (x1, y1, x2, (y1 + y2) / 2, (x1 + x2) / 2, y2)
    kind = rng.integers(4)
    polygons = ((), (corners,), (corners, (x1, y1, x2, y1, x2, y2)), ())[kind]
    mask = RunLengths(height, width, mask_to_runs(fill_polygons([corners], height, width)))
    return Annotation(
        label,
        box,
        place,
        crowd=bool(rng.random() < 0.2),
        polygons=polygons,
        mask=mask if kind == 3 else None,
        attributes=attributes,
        **flags,
    )


def write_set(name, annotations, contents, folder):
    """Write a set in a format; the notes of the writer."""
    folder.mkdir(parents=True)
    for picture, path in zip(annotations.pictures, PATHS[name](annotations), strict=True):
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(contents[picture.path])
    return WRITERS[name](annotations, folder)


def read_set(name, folder):
    return READERS[name](LabelFiles.open(folder))


def without_objects_order(picture):
    return sorted(picture.annotations, key=lambda a: (a.label, [round(v, 1) for v in a.box_xyxy]))


def assert_same(found, expected, notes, found_contents, contents):
    """Same pictures (by content and split), labels, boxes to 0.01 pixel; whatever else differs is noted."""
    said = " ".join(notes)
    by_content = {(found_contents[p.path], p.split): p for p in found.pictures}
    assert len(by_content) == len(found.pictures) == len(expected.pictures)
    for before in expected.pictures:
        after = by_content[contents[before.path], before.split]
        _assert_attributes(after.attributes, before.attributes, said)
        objects = list(zip(without_objects_order(after), without_objects_order(before), strict=True))
        for a, b in objects:
            assert a.label == b.label
            assert np.allclose(a.box_xyxy, b.box_xyxy, atol=0.01, rtol=0), (a, b)
            _assert_object(a, b, said)
    assert set(found.classes) == set(expected.classes) or "classes without objects" in said


def _assert_object(a, b, said):
    for flag in ("crowd", *FLAGS):
        before = getattr(b, flag)
        name = "is_crowd" if flag == "crowd" else flag
        if before:
            assert getattr(a, flag) == before or f"the attribute {name}" in said, (flag, a, b)
        elif before is False and flag != "crowd":
            assert not getattr(a, flag)
    if a.polygons != b.polygons:
        close = len(a.polygons) == len(b.polygons) and all(
            len(p) == len(q) and np.allclose(p, q, atol=0.01, rtol=0)
            for p, q in zip(a.polygons, b.polygons, strict=True)
        )
        assert close or "outlines" in said, (a.polygons, b.polygons)
    assert a.mask == b.mask or "masks" in said
    _assert_attributes(a.attributes, b.attributes, said)


def _assert_attributes(after, before, said):
    for name, value in before.items():
        kept = name in after and after[name] == value and type(after[name]) is type(value)
        assert kept or f"attribute {name}" in said, (name, value, after)


def contents_of(folder):
    """Bytes by path of all pictures below a folder."""
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*.png")}
