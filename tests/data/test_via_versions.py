"""VIA 3 projects and the CSV of VIA: hand-worked cases, and faults with their place."""

import csv
import io
import json

import pytest
from label_cases import files_of

from striate.data.formats import csv_boxes, via
from striate.errors import InputError

HEAD = "filename,file_size,file_attributes,region_count,region_id,region_shape_attributes,region_attributes"
PICTURES = dict.fromkeys(("images/a.jpg", "images/b.jpg"), "")


def table(*rows):
    """A CSV file of VIA: rows are (name, count, shape, attributes)."""
    text = io.StringIO()
    csv.writer(text).writerows(
        (name, 7, "{}", count, k, json.dumps(shape), json.dumps(said))
        for k, (name, count, shape, said) in enumerate(rows)
    )
    return f"{HEAD}\n{text.getvalue()}"


def read(files):
    return via.read(files_of({**PICTURES, **files}))


def objects(found):
    return [(p.path, a.label, a.box_xyxy) for p in found.pictures for a in p.annotations]


RECT = {"name": "rect", "x": 1, "y": 2, "width": 3, "height": 4}
CIRCLE = {"name": "circle", "cx": 50, "cy": 40, "r": 10}
SAID = {"class": "dog"}


def test_the_csv_of_via_has_a_line_for_each_region():
    text = table(("a.jpg", 2, RECT, SAID), ("a.jpg", 2, CIRCLE, {"class": "cat"}), ("b.jpg", 0, {}, {}))
    found = read({"via.csv": text})
    assert objects(found) == [
        ("images/a.jpg", "dog", (1, 2, 4, 6)), ("images/a.jpg", "cat", (40, 30, 60, 50)),
    ]  # fmt: skip
    assert found.pictures[0].annotations[1].place == "via.csv, line 3"
    assert [picture.path for picture in found.pictures] == ["images/a.jpg", "images/b.jpg"]
    assert found.problems == ()
    files = files_of({"via.csv": text})
    assert via.recognizes(files)
    assert not csv_boxes.recognizes(files)


@pytest.mark.parametrize(
    ("row", "fault"),
    [
        (("a.jpg", 1, {"name": "rect", "x": 1}, SAID), "y is missing"),
        (("a.jpg", 1, {}, SAID), "is no box"),
        (("a.jpg", 1, None, SAID), "no shape"),
        (("a.jpg", 2, RECT, SAID), "region_count is 2, and it has 1"),
        (("a.jpg", 1, RECT, {"class": None}), "no text"),
    ],
)
def test_a_line_that_cannot_be_read_leaves_its_picture_out(row, fault):
    found = read({"via.csv": table(("b.jpg", 1, RECT, SAID), row)})
    assert set(found.unread) == {"images/a.jpg"}
    assert found.unread["images/a.jpg"].place == "via.csv, line 3"
    assert fault in found.unread["images/a.jpg"].what
    assert [p.path for p in found.without(found.unread).pictures] == ["images/b.jpg"]


def test_a_line_with_another_number_of_values_is_named():
    found = read({"via.csv": table(("b.jpg", 1, RECT, SAID)) + 'a.jpg,7,{},1,0,"{}"\n'})
    assert found.unread["images/a.jpg"].place == "via.csv, line 3"


@pytest.mark.parametrize(
    ("text", "place", "fault"),
    [
        ("# Exported using VGG Image Annotator\n# x\na,b\n", "via.csv", "no names of classes"),
        ("filename,region_shape_attributes\n", "via.csv, line 1", "does not name the columns"),
        (f'{HEAD}\na.jpg,7,"{{\n', "via.csv, line 2", "no CSV"),
    ],
)
def test_a_csv_that_is_not_whole_is_an_error_with_its_place(text, place, fault):
    with pytest.raises(InputError, match=fault) as error:
        read({"via.csv": text})
    assert error.value.where == f"data/{place}"


def project(*labels, **more):
    """A project of VIA 3 with two pictures; labels are of the first."""

    def attribute(name, anchor, kind, **options):
        return {"aname": name, "anchor_id": f"FILE1_Z0_{anchor}", "type": kind, "options": options}

    return {
        "project": {"vid_list": ["v0", "v1"]},
        "config": {},
        "attribute": {
            "1": {**attribute("class", "XY1", 4), "options": {"0": "dog", "1": "cat"}},
            "2": attribute("colour", "XY1", 2, r="red", g="grey"),
            "3": attribute("weather", "XY0", 1),
        },
        "file": {
            str(k): {"fid": str(k), "fname": name, "type": 2} for k, name in enumerate(("a.jpg", "b.jpg"))
        },
        "view": {"v0": {"fid_list": ["0"]}, "v1": {"fid_list": ["1"]}},
        "metadata": {f"m{k}": {"vid": "v0", "flg": 0, "z": [], **label} for k, label in enumerate(labels)},
        **more,
    }


def label(*xy, **av):
    return {"xy": list(xy), "av": {"1": "0", **{name[1:]: value for name, value in av.items()}}}


def read3(*labels, **more):
    return read({"via.json": json.dumps(project(*labels, **more))})


def test_projects_of_version_3_hold_shapes_classes_and_attributes():
    found = read3(
        label(2, 10, 20, 30, 40),
        label(7, 1, 2, 30.5, 4, 7, 50, a1="1", a2="r,g"),
        label(3, 50, 40, 10),
        label(4, 50, 40, 20, 10),
        label(8, 3, 4, 9, 6, 5, 20),
        {"xy": [], "av": {"3": "rain"}},
    )
    assert [box for _, _, box in objects(found)] == [
        (10, 20, 40, 60), (1, 2, 30.5, 50), (40, 30, 60, 50), (30, 30, 70, 50), (3, 4, 9, 20),
    ]  # fmt: skip
    polygon = found.pictures[0].annotations[1]
    assert (polygon.label, polygon.attributes) == ("cat", {"colour.red": True, "colour.grey": True})
    assert polygon.polygons == ((1, 2, 30.5, 4, 7, 50),)
    assert polygon.place == "via.json, metadata['m1']"
    assert found.pictures[0].attributes == {"weather": "rain"}
    assert [len(picture.annotations) for picture in found.pictures] == [5, 0]
    assert found.classes == ("dog", "cat")
    assert found.problems == ()


@pytest.mark.parametrize(
    "wrong",
    [
        label(2, 10, 20, 30), label(2, 10, "20", 30, 40), label(9, 1, 2, 3, 4, 5, 6), label(7, 1, 2, 3, 4),
        label(2, 1, 2, 3, 4, a1="7"), {"xy": None, "av": {}}, {"xy": [[2]], "av": {}},
        {"xy": [2, 1, 2, 3, 4], "z": [1.5], "av": {"1": "0"}},
    ],
)  # fmt: skip
def test_a_label_that_cannot_be_read_leaves_its_picture_out(wrong):
    found = read3(label(2, 10, 20, 30, 40), wrong)
    assert found.unread["images/a.jpg"].place == "via.json, metadata['m1']"
    assert [picture.path for picture in found.without(found.unread).pictures] == ["images/b.jpg"]


def test_points_and_lines_beside_boxes_are_only_named():
    found = read3(label(2, 10, 20, 30, 40), label(1, 5, 5), label(6, 1, 2, 3, 4))
    assert (len(objects(found)), found.unread) == (1, {})
    assert [problem.left_out for problem in found.problems] == [1, 1]
    assert set(read3(label(1, 5, 5)).unread) == {"images/a.jpg"}


def test_a_view_of_several_files_and_a_label_of_no_view_are_named():
    two = read3(label(2, 10, 20, 30, 40), view={"v0": {"fid_list": ["0", "1"]}})
    assert set(two.unread) == {"images/a.jpg", "images/b.jpg"}
    lost = read3({**label(2, 1, 2, 3, 4), "vid": "v9"}, label(2, 10, 20, 30, 40))
    assert [(problem.place, problem.left_out) for problem in lost.problems] == [
        ("via.json, metadata['m0']", 1)
    ]
