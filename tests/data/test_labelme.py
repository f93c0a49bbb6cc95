"""LabelMe's files: shapes worked by hand, how pictures are found, faults by shape, what is written."""

import base64
import io
import json
from dataclasses import replace

import numpy as np
import pytest
from label_cases import VARIED, a_set, assert_same_objects, box, files_of, outlined, picture
from PIL import Image

from striate.data.annotations import RunLengths
from striate.data.formats import coco, labelme, via
from striate.data.label_files import LabelFiles
from striate.data.write import labelme as writer
from striate.errors import InputError
from striate.ops.masks import runs_to_mask


def shape(kind="rectangle", points=((10, 20), (40, 60)), label="dog", **further):
    points = [list(point) for point in points]
    return {"label": label, "shape_type": kind, "points": points, "group_id": None, "flags": {}} | further


def document(*shapes, name="a.jpg", **further):
    facts = {"version": "5.4.1", "flags": {}, "shapes": list(shapes), "imagePath": name, "imageData": None}
    return facts | {"imageHeight": 100, "imageWidth": 200} | further


def read(*shapes, pictures=("a.jpg",), path="a.json", **further):
    text = json.dumps(document(*shapes, **further))
    return labelme.read(files_of({path: text, **dict.fromkeys(pictures, "")}))


def only(annotations):
    """The one object."""
    ((found,),) = [one.annotations for one in annotations.pictures]
    return found


def png(mask):
    stream = io.BytesIO()
    Image.fromarray(np.array(mask, np.uint8)).save(stream, "PNG")
    return base64.b64encode(stream.getvalue()).decode()


# --- shapes --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "points",
    [
        [(10, 20), (40, 60)], [(40, 60), (10, 20)], [(40, 20), (10, 60)], [("10", "20"), (40.0, 60)],
        [(10, 20), (40, 20), (40, 60), (10, 60)],
    ],
)  # fmt: skip
def test_a_rectangle_has_two_corners_in_any_order_or_four(points):
    annotations = read(shape(points=points))
    found = only(annotations)
    assert (found.label, found.box_xyxy, found.polygons) == ("dog", (10, 20, 40, 60), ())
    assert found.place == "a.json, shapes[0]"
    assert (annotations.pictures[0].width, annotations.pictures[0].height) == (200, 100)
    assert annotations.problems == ()


@pytest.mark.parametrize("kind", ["polygon", None, "rotation"])
def test_polygons_are_outlines_also_where_the_kind_is_not_said(kind):
    found = only(read(shape(kind, [(10, 20), (50, 20), (30, 80)])))
    assert found.polygons == ((10, 20, 50, 20, 30, 80),)
    assert found.box_xyxy == (10, 20, 50, 80)


def test_a_circle_is_the_box_around_it():
    found = only(read(shape("circle", [(50, 40), (53, 44)])))
    assert found.box_xyxy == (45, 35, 55, 45)
    assert found.attributes == {"shape": "circle"}


@pytest.mark.parametrize("value", [1, 255])
def test_a_mask_is_its_pixels_from_the_first_to_the_last_of_its_box(value):
    part = np.array([[0, 1, 0], [1, 1, 1]]) * value
    found = only(read(shape("mask", [(10, 20), (12, 21)], mask=png(part))))
    pixels = runs_to_mask(found.mask.counts, 100, 200).numpy()
    assert np.argwhere(pixels).tolist() == [[20, 11], [21, 10], [21, 11], [21, 12]]
    assert found.box_xyxy == (10, 20, 13, 22)


def test_polygons_of_one_group_and_label_are_one_object():
    left, right = [(10, 20), (20, 20), (15, 40)], [(60, 30), (80, 30), (70, 90)]
    shapes = [shape("polygon", left, group_id=1), shape("polygon", right, label="cat", group_id=1)]
    shapes += [
        shape("polygon", right, group_id=1),
        shape("polygon", left, group_id=2),
        shape("polygon", left),
    ]
    found = read(*shapes).pictures[0].annotations
    assert [(a.label, len(a.polygons), a.box_xyxy) for a in found] == [
        ("dog", 2, (10, 20, 80, 90)), ("cat", 1, (60, 30, 80, 90)),
        ("dog", 1, (10, 20, 20, 40)), ("dog", 1, (10, 20, 20, 40)),
    ]  # fmt: skip


def test_masks_of_one_group_are_one_object_and_rectangles_are_not():
    mask = png([[1]])
    shapes = [shape("mask", [(x, 20), (x, 20)], mask=mask, group_id="a") for x in (10, 30)]
    shapes += [shape(group_id="a"), shape(group_id="a")]
    found = read(*shapes).pictures[0].annotations
    assert [a.box_xyxy for a in found] == [(10, 20, 31, 21), (10, 20, 40, 60), (10, 20, 40, 60)]
    assert sum(found[0].mask.counts[1::2]) == 2
    assert found[1].attributes == {"group_id": "a"}


def test_flags_description_and_attributes_of_shapes_and_files_are_kept():
    more = {"flags": {"wet": True, "is_crowd": True}, "description": "left ear", "attributes": {"age": 7}}
    annotations = read(shape(**more, difficult=False, score=None, kie_linking=[]), flags={"night": True})
    found = only(annotations)
    assert found.attributes == {"wet": True, "description": "left ear", "age": 7}
    assert (found.crowd, found.difficult) == (True, False)
    assert annotations.pictures[0].attributes == {"night": True}
    assert annotations.problems == ()


# --- pictures ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "name", "pictures", "found"),
    [
        ("a.json", "a.jpg", ("a.jpg",), "a.jpg"),
        ("labels/a.json", "../images/a.jpg", ("images/a.jpg", "other/a.jpg"), "images/a.jpg"),
        ("labels/a.json", "..\\images\\a.jpg", ("images/a.jpg",), "images/a.jpg"),
        ("a.json", "../../images/a.jpg", ("images/a.jpg",), "images/a.jpg"),
        ("a.json", "C:\\photos\\a.jpg", ("a.jpg",), "a.jpg"),
        ("a.json", "e\u0301.jpg", ("é.jpg",), "é.jpg"),
        ("a.json", "../../etc/passwd.jpg", ("a.jpg",), "etc/passwd.jpg"),
    ],
)
def test_pictures_are_found_by_their_path(path, name, pictures, found):
    annotations = read(shape(), name=name, path=path, pictures=pictures)
    assert [one.path for one in annotations.pictures] == [found]


def test_pictures_without_a_file_are_unlabelled_and_files_without_shapes_say_that_there_is_nothing():
    files = {"a.json": json.dumps(document(shape())), "b.json": json.dumps(document(name="b.jpg"))}
    annotations = labelme.read(files_of(files | dict.fromkeys(("a.jpg", "b.jpg", "c.jpg"), "")))
    assert {one.path: len(one.annotations) for one in annotations.pictures} == {"a.jpg": 1, "b.jpg": 0}
    assert "one is 'c.jpg'" in annotations.problems[0].what
    assert annotations.unread == {}


def test_an_embedded_picture_is_told_and_not_read():
    annotations = read(shape(), pictures=(), imageData=png([[1]]))
    assert "embedded as imageData" in annotations.unread["a.jpg"].what


def test_a_file_that_names_another_picture_than_its_own_is_doubtful():
    annotations = read(shape(), name="b.jpg", pictures=("a.jpg", "b.jpg"))
    assert "has the name of 'a.jpg'" in annotations.unread["b.jpg"].what


def test_folders_named_as_splits_give_the_splits():
    texts = {f"{split}/a.json": json.dumps(document(shape())) for split in ("train", "test")}
    annotations = labelme.read(files_of(texts | dict.fromkeys(("train/a.jpg", "test/a.jpg"), "")))
    assert [(one.split, one.path) for one in annotations.pictures] == [
        ("test", "test/a.jpg"), ("train", "train/a.jpg"),
    ]  # fmt: skip


# --- faults --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("wrong", "fault"),
    [
        (shape("star"), "shape_type 'star'"),
        (shape(points=[(1, 2)]), "a rectangle has 1 points"),
        (shape("polygon", [(1, 2), (3, 4)]), "a polygon has 2 points"),
        (shape("circle", [(1, 2)]), "a circle has 1 points"),
        (shape(points=[(1, 2), (3, "4 px")]), "is not two numbers"),
        (shape(points=[(1, 2), (3,)]), "is not two numbers"),
        (shape() | {"points": None}, "points is no list"),
        (shape() | {"label": None}, "no label"),
        (7, "no label"),
        (shape("mask", [(1, 2), (3, 4)]), "the mask cannot be read"),
        (shape("mask", [(1, 2), (3, 4)], mask="ß"), "no base64"),
        (shape("mask", [(1, 2), (3, 4)], mask=png([[1]])), "1 x 1 pixels, its points say 3 x 3"),
        (shape("mask", [(1, 2), (1, 2)], mask=png([[0]])), "no pixels"),
        (shape("mask", [(200, 2), (200, 2)], mask=png([[1]])), "beyond the picture"),
    ],
)
def test_a_shape_that_cannot_be_read_leaves_its_picture_out(wrong, fault):
    annotations = read(shape(), wrong, shape())
    (problem,) = annotations.problems
    assert fault in problem.what
    assert (problem.place, problem.left_out, problem.picture) == ("a.json, shapes[1]", 1, "a.jpg")
    assert len(annotations.pictures[0].annotations) == 2


@pytest.mark.parametrize("key", ["text", "checked", "id"])
def test_what_else_a_file_says_is_told_whatever_it_is_called(key):
    annotations = read(shape(), **{key: "further"})
    (problem,) = annotations.problems
    assert (problem.place, key in problem.what) == ("a.json", True)
    assert only(annotations).box_xyxy == (10, 20, 40, 60)


def test_an_empty_group_unites_nothing():
    three = [(10, 20), (40, 20), (40, 60)], [(100, 20), (140, 20), (140, 60)]
    ((first, second),) = [
        one.annotations for one in read(*(shape("polygon", points, group_id="") for points in three)).pictures
    ]
    assert (first.box_xyxy, second.box_xyxy) == ((10, 20, 40, 60), (100, 20, 140, 60))


def test_kinds_of_shapes_are_known_in_any_case():
    assert only(read(shape("Rectangle"))).box_xyxy == (10, 20, 40, 60)


def test_points_and_lines_are_left_aside_and_alone_say_nothing_of_the_picture():
    lines = [shape(kind, [(1, 2), (3, 4)]) for kind in ("point", "line", "linestrip")]
    beside = read(shape(), *lines)
    (problem,) = beside.problems
    assert (problem.place, problem.left_out, beside.unread) == ("a.json, shapes[1]", 3, {})
    assert set(read(*lines).unread) == {"a.jpg"}


@pytest.mark.parametrize(
    "text", ['{"shapes": [', '{"shapes": 7, "imagePath": "b.jpg"}', '{"imagePath": "b.jpg", "shapes": []']
)
def test_a_file_that_cannot_be_read_leaves_its_picture_out(text):
    files = {"a.json": json.dumps(document(shape())), "b.json": text}
    annotations = labelme.read(files_of(files | {"a.jpg": "", "b.jpg": ""}))
    assert [one.path for one in annotations.pictures] == ["a.jpg"]
    assert any(problem.place.startswith("b.json") for problem in annotations.problems)
    with pytest.raises(InputError) as caught:
        labelme.read(files_of({"b.json": text, "b.jpg": ""}))
    assert caught.value.where.startswith("data/b.json")


def test_recognizes_its_own_files_only():
    files = files_of({"a.json": json.dumps(document(shape())), "a.jpg": ""})
    assert labelme.recognizes(files)
    assert not coco.recognizes(files)
    assert not via.recognizes(files)
    assert labelme.recognizes(files_of({"a.json": json.dumps(document(shape())).encode("utf-16")}))
    assert not labelme.recognizes(files_of({"a.json": '{"images": [], "annotations": []}', "b.xml": "<a/>"}))


# --- what is written -----------------------------------------------------------------------------------


def test_read_inverts_write(tmp_path):
    pictures = (replace(one, annotations=one.annotations[:4]) for one in VARIED.pictures)
    written = a_set(*pictures)  # without the box whose corners are in the wrong order: here none is wrong
    assert writer.write(written, tmp_path) == []
    annotations = labelme.read(LabelFiles.open(tmp_path))
    assert_same_objects(annotations, written)
    names = [path.with_suffix(".png").name for path in sorted(tmp_path.rglob("*.json"))]
    assert [one.path for one in annotations.pictures] == names == ["b.png", "a.png", "deep-a.png"]


def test_outlines_masks_and_attributes_come_back(tmp_path):
    triangle, other = (0.25, 0.0, 5.0, 0.0, 5.0, 5.125), (50.0, 60.0, 70.0, 60.0, 60.0, 90.0)
    mask = RunLengths(100, 200, (305, 4, 96, 4, 20000 - 409))
    written = a_set(
        picture(
            "a.png",
            outlined("dog", *triangle, attributes={"n": 7, "x": 2.5, "wet": True, "t": "7", "group_id": 3}),
            box("dog", 0.25, 0.0, 70.0, 90.0, polygons=(triangle, other)),
            box("dog", 3.0, 5.0, 5.0, 9.0, mask=mask),
            attributes={"weather": "rain", "night": True},
        ),
        classes=("dog",),
    )
    assert writer.write(written, tmp_path) == []
    annotations = labelme.read(LabelFiles.open(tmp_path))
    assert_same_objects(annotations, written)
    assert annotations.pictures[0].attributes == {"weather": "rain", "night": True}
    for mine, theirs in zip(
        annotations.pictures[0].annotations, written.pictures[0].annotations, strict=True
    ):
        assert (mine.polygons, mine.mask) == (theirs.polygons, theirs.mask)


def test_what_labelme_shows_is_in_its_own_keys(tmp_path):
    writer.write(a_set(picture("deep/a.png", box("dog", 1.0, 2.0, 3.0, 4.0, difficult=True))), tmp_path)
    written = json.loads((tmp_path / "a.json").read_text())
    assert written["imagePath"] == "a.png"
    assert (written["imageWidth"], written["imageHeight"], written["imageData"]) == (200, 100, None)
    assert written["shapes"] == [
        {
            "label": "dog", "flags": {"difficult": True}, "shape_type": "rectangle",
            "points": [[1.0, 2.0], [3.0, 4.0]], "group_id": None,
        }
    ]  # fmt: skip


def test_what_labelme_cannot_hold_is_listed_with_counts(tmp_path):
    mask = RunLengths(100, 200, (20000,))
    one = box("dog", 0.0, 0.0, 9.0, 9.0, polygons=((0.0, 0.0, 5.0, 0.0, 5.0, 5.0),), mask=mask)
    assert writer.write(a_set(picture("a.png", one)), tmp_path) == [
        "LabelMe has no place for classes without objects (classes: 1)",
        "LabelMe has no place for masks (objects: 1)",
        "LabelMe has no place for outlines, beside the boxes (objects: 1)",
    ]
