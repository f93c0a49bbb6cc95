import json
import math
import re

import pytest
from label_cases import VARIED, a_set, assert_same_objects, box, files_of, outlined, picture

from striate.data.annotations import RunLengths
from striate.data.formats import via
from striate.data.label_files import LabelFiles
from striate.data.write import via as writer
from striate.errors import InputError


def rect(x=1, y=2, width=30, height=40):
    return {"name": "rect", "x": x, "y": y, "width": width, "height": height}


def polygon(xs, ys):
    return {"name": "polygon", "all_points_x": xs, "all_points_y": ys}


def region(shape=None, **attributes):
    return {"shape_attributes": shape or rect(), "region_attributes": attributes}


def exported(*regions, name="a.jpg", **more):
    return {f"{name}123": {"filename": name, "size": 123, "regions": list(regions), "file_attributes": more}}


def read(document, **files):
    return via.read(files_of({"via.json": json.dumps(document), "a.jpg": "", **files}))


def only(annotations):
    """The one object."""
    ((found,),) = [picture.annotations for picture in annotations.pictures]
    return found


def test_exported_regions_are_read():
    annotations = read(exported(region(**{"class": "dog", "age": "7", "is_crowd": "true"}), night="yes"))
    found = only(annotations)
    assert (found.label, found.box_xyxy) == ("dog", (1, 2, 31, 42))
    assert (found.crowd, found.attributes) == (True, {"age": "7"})
    assert found.place == "via.json, ['a.jpg123'].regions[0]"
    assert annotations.pictures[0].attributes == {"night": "yes"}
    assert annotations.pictures[0].width is None
    assert annotations.problems == ()


def test_fractions_are_no_pixels():
    found = read(exported(region(rect(0.1, 0.2, 0.5, 0.8), **{"class": "dog"})))
    ((path, problem),) = found.unread.items()
    assert path == found.pictures[0].path
    assert problem.place == found.pictures[0].annotations[0].place


def test_projects_name_the_classes_in_order():
    listed = {"type": "dropdown", "options": {"cat": "", "dog": ""}}
    annotations = read(
        {
            "_via_settings": {},
            "_via_img_metadata": exported(region(kind="dog")),
            "_via_attributes": {"region": {"kind": listed}, "file": {}},
        }
    )
    assert annotations.classes == ("cat", "dog")
    assert only(annotations).place == "via.json, _via_img_metadata['a.jpg123'].regions[0]"


def test_regions_of_version_1_are_numbered():
    document = exported()
    document["a.jpg123"]["regions"] = {"0": region(type="dog"), "1": region(type="cat")}
    assert read(document).classes == ("cat", "dog")


def test_shapes_have_the_box_around_them():
    shapes = [
        polygon([1, 30.5, 7], [2, 4, 50]),
        {"name": "circle", "cx": 50, "cy": 40, "r": 10},
        {"name": "ellipse", "cx": 50, "cy": 40, "rx": 20, "ry": 10, "theta": math.pi / 2},
    ]
    annotations = read(exported(*(region(shape, label="x") for shape in shapes)))
    outline, circle, ellipse = annotations.pictures[0].annotations
    assert outline.polygons == ((1, 2, 30.5, 4, 7, 50),)
    assert outline.box_xyxy == (1, 2, 30.5, 50)
    assert circle.box_xyxy == (40, 30, 60, 50)
    assert circle.attributes == {"shape": "circle"}
    assert ellipse.box_xyxy == pytest.approx((40, 20, 60, 60))


@pytest.mark.parametrize(
    ("attributes", "label"),
    [
        ({"anything": "a"}, "a"),
        ({"anything": "a", "difficult": "true"}, "a"),
        ({"colour": "red", "Label": "a"}, "a"),
        ({"name": "x", "class": "a"}, "a"),
        ({"type": "x", "name": "a"}, "a"),
        ({"class": {"a": True, "b": False}}, "a"),
        ({"class": 7}, "7"),
        ({"class": " a "}, "a"),
    ],
)
def test_the_class_is_the_only_attribute_or_the_one_named_so(attributes, label):
    assert only(read(exported(region(**attributes)))).label == label


def test_an_unclear_class_is_an_error_that_names_the_choices():
    with pytest.raises(InputError, match="'colour', 'kind'"):
        read(exported(region(colour="red", kind="a")))
    with pytest.raises(InputError, match="no region has an attribute"):
        read(exported(region()))


def test_a_region_without_the_class_is_kept():
    annotations = read(exported(region(kind="a"), region()))
    assert [found.label for found in annotations.pictures[0].annotations] == ["a", ""]


def test_ticks_are_attributes():
    found = only(read(exported(region(label="a", colour={"red": True, "blue": False}))))
    assert found.attributes == {"colour.red": True, "colour.blue": False}


@pytest.mark.parametrize(
    ("wrong", "fault"),
    [
        (region({"name": "point", "cx": 1, "cy": 2}, label="a"), "'point' is no box"),
        (region({"name": "rect", "x": 1}, label="a"), "y is missing"),
        (region(rect(x="1"), label="a"), "x is '1', no number"),
        (region(rect(x=True), label="a"), "x is 'True', no number"),
        (region(rect(x=10**400), label="a"), "no number"),
        (region(polygon([1, 2], [1, 2]), label="a"), "three or more"),
        (region(polygon([1, 2, []], [1, 2, 3]), label="a"), "a point"),
        (region(label={"a": True, "b": True}), "2 classes are ticked"),
        (region(label=["a"]), "the class is 'list'"),
        ({"shape_attributes": 7}, "no shape"),
        (7, "no shape"),
    ],
)
def test_faults_of_a_region_are_named_by_entry(wrong, fault):
    annotations = read(exported(region(label="a"), wrong, region(label="a")))
    (problem,) = annotations.problems
    assert fault in problem.what
    assert problem.place == "via.json, ['a.jpg123'].regions[1]"
    assert problem.left_out == 1
    assert len(annotations.pictures[0].annotations) == 2
    assert set(annotations.unread) == (set() if "'point' is no box" in fault else {"a.jpg"})


@pytest.mark.parametrize("name", ["../../etc/passwd", "/etc/passwd", "C:\\a\\passwd", "..\\passwd"])
def test_paths_never_lead_out(name):
    annotations = read(exported(region(label="a"), name=name))
    assert annotations.pictures[0].path == "passwd"
    assert "leads out" in annotations.problems[0].what


def test_an_entry_that_is_no_picture_is_left_out_with_its_objects():
    annotations = read({**exported(region(label="a")), "x": {"regions": [1, 2]}, "y": 7})
    assert [(p.place, p.left_out) for p in annotations.problems] == [
        ("via.json, ['x']", 2),
        ("via.json, ['y']", 0),
    ]


def test_folders_give_the_splits():
    text = {split: json.dumps(exported(region(label="a"))) for split in ("train", "val")}
    files = {f"{split}/via_region_data.json": text[split] for split in text}
    annotations = via.read(files_of({**files, "train/a.jpg": "", "val/a.jpg": ""}))
    assert [(p.split, p.path) for p in annotations.pictures] == [
        ("train", "train/a.jpg"),
        ("val", "val/a.jpg"),
    ]


@pytest.mark.parametrize(
    ("text", "fault", "place"),
    [
        ("", "no JSON", "line 1"),
        ('{"a":\n1,,}', "no JSON", "line 2"),
        ("[" * 10**5, "nested too deeply", ""),
        ("[NaN]", "it holds NaN", ""),
        ("[1e999]", "too large", ""),
        ("[" + "9" * 5000 + "]", "no JSON", ""),
        (b'["\xff"]', "not UTF-8", ""),
        ('{"a": 1, "b": 2, "a": 3}', "the key 'a' is there twice", ""),
        ("[]", "not of VIA", ""),
        ("{}", "no file of VIA", ""),
        ('{"_via_img_metadata": 7}', "not of VIA", ""),
    ],
)
def test_what_cannot_be_read_is_an_error_with_the_file(text, fault, place):
    with pytest.raises(InputError, match=fault) as error:
        via.read(files_of({"via.json": text}))
    assert error.value.where.startswith("data/via.json")
    assert place in error.value.where


def test_other_json_is_named():
    annotations = read(exported(region(label="a")), **{"package.json": "{}"})
    assert [problem.place for problem in annotations.problems] == ["package.json"]


def test_recognizes_its_own_files_only():
    assert via.recognizes(files_of({"a.json": json.dumps(exported())}))
    assert not via.recognizes(files_of({"a.json": '{"images": [], "annotations": []}', "b.xml": "<a/>"}))


def test_read_inverts_write(tmp_path):
    assert writer.write(VARIED, tmp_path) == ["VIA has no place for the sizes of pictures (pictures: 3)"]
    annotations = via.read(LabelFiles.open(tmp_path))
    assert_same_objects(annotations, VARIED)
    assert annotations.problems == ()
    assert annotations.classes == VARIED.classes
    assert {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*.json")} == {
        "train/via.json", "test/via.json",
    }  # fmt: skip


def test_pictures_are_found_where_they_belong(tmp_path):
    writer.write(VARIED, tmp_path)
    paths = writer.picture_paths(VARIED)
    for path in paths:
        (tmp_path / path).touch()
    assert [p.path for p in via.read(LabelFiles.open(tmp_path)).pictures] == paths


def test_outlines_turned_boxes_and_attributes_come_back(tmp_path):
    corners = (15.0, -5.0, 15.0, 15.0, 5.0, 15.0, 5.0, -5.0)
    written = a_set(
        picture(
            "a.png",
            outlined("dog", 0.25, 0.0, 5.0, 0.0, 5.0, 5.125),
            outlined("dog", *corners, attributes={"rotation": 90.0, "n": 7, "wet": True, "t": "7"}),
            attributes={"weather": "rain"},
            width=None,
            height=None,
        )
    )
    assert writer.write(written, tmp_path) == []
    annotations = via.read(LabelFiles.open(tmp_path))
    assert_same_objects(annotations, written)
    assert annotations.pictures[0].attributes == {"weather": "rain"}
    assert [a.polygons for a in annotations.pictures[0].annotations] == [
        a.polygons for a in written.pictures[0].annotations
    ]


def test_what_via_cannot_hold_is_listed_with_counts(tmp_path):
    written = a_set(
        picture(
            "a.png",
            box("dog", 0.0, 0.0, 5.0, 5.0, mask=RunLengths(100, 200, (20000,)), attributes={"class": "x"}),
        )
    )
    assert [re.sub("VIA has no place for ", "", note) for note in writer.write(written, tmp_path)] == [
        "an attribute that is called class as well (objects: 1)",
        "masks (objects: 1)",
        "the sizes of pictures (pictures: 1)",
    ]
