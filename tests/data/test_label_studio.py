import itertools
import json
import re

import pytest
from faulty_pictures import encode, smooth_pixels
from label_cases import VARIED, a_set, assert_same_objects, box, files_of, outlined, picture

from striate.data.annotations import RunLengths
from striate.data.formats import label_studio
from striate.data.label_files import LabelFiles
from striate.data.write import label_studio as writer
from striate.errors import InputError
from striate.ops.masks import runs_to_mask


def region(kind="rectanglelabels", labels=("dog",), size=(200, 100), region_id="r", **value):
    value = value or {"x": 10, "y": 20, "width": 30, "height": 40, "rotation": 0}
    width, height = size
    return {
        "id": region_id, "type": kind, "from_name": "label", "to_name": "image",
        "original_width": width, "original_height": height, "value": {**value, kind: list(labels)},
    }  # fmt: skip


def task(*results, image="/data/upload/1/a.jpg", **more):
    return {
        "data": {"image": image},
        "annotations": [{"result": list(results), "was_cancelled": False, **more}],
    }


def read(*tasks, pictures=("a.jpg",), name="labels.json", **files):
    return label_studio.read(
        files_of({name: json.dumps(list(tasks)), **dict.fromkeys(pictures, ""), **files})
    )


def only(annotations):
    """The one object."""
    ((found,),) = [picture.annotations for picture in annotations.pictures]
    return found


def test_boxes_are_percent_of_the_picture():
    annotations = read(task(region()))
    found = only(annotations)
    assert (found.label, found.box_xyxy) == ("dog", (20, 20, 80, 60))
    assert found.place == "labels.json, [0].annotations.result[0]"
    assert (annotations.pictures[0].width, annotations.pictures[0].height) == (200, 100)
    assert annotations.problems == ()


def test_polygons_are_percent_of_the_picture():
    found = only(read(task(region("polygonlabels", points=[[10, 20], [50, 20], [30, 80]]))))
    assert found.polygons == ((20, 20, 100, 20, 60, 80),)
    assert found.box_xyxy == (20, 20, 100, 80)


def test_a_turned_box_is_turned_in_pixels_around_its_top_left_corner():
    found = only(
        read(task(region(x=50, y=20, width=10, height=10, rotation=90)))
    )  # 20 x 10 pixels at 100, 20
    assert found.polygons[0] == pytest.approx((100, 20, 100, 40, 90, 40, 90, 20))
    assert found.box_xyxy == pytest.approx((90, 20, 100, 40))
    assert found.attributes == {"rotation": 90}


def test_further_results_of_a_region_are_its_attributes_and_others_the_pictures():
    results = [
        {"id": "r", "type": "textarea", "from_name": "note", "value": {"text": ["left", "ear"]}},
        {"id": "r", "type": "choices", "from_name": "is_crowd", "value": {"choices": ["true"]}},
        {"id": "r", "type": "number", "from_name": "age", "value": {"number": 7}},
        {"id": "other", "type": "choices", "from_name": "weather", "value": {"choices": ["rain"]}},
        {"type": "rating", "from_name": "stars", "value": {"rating": 4}},
    ]
    annotations = read(task(region(), *results))
    assert only(annotations).attributes == {"note": "left, ear", "age": 7}
    assert only(annotations).crowd
    assert annotations.pictures[0].attributes == {"weather": "rain", "stars": 4}
    assert annotations.problems == ()


def test_the_first_annotator_who_did_not_cancel_counts_and_the_others_are_counted():
    several = task(region(labels=["cancelled"]))
    several["annotations"][0]["was_cancelled"] = True
    several["annotations"] += task(region(labels=["first"]))["annotations"]
    several["annotations"] += task(region(), region())["annotations"]
    annotations = read(several)
    assert only(annotations).label == "first"
    (problem,) = annotations.problems
    assert problem.what == "2 more annotations of this task are left aside, 1 of them cancelled"
    assert problem.left_out == 3


def test_tasks_without_an_annotation_are_unlabelled_not_empty():
    waiting = {"data": {"image": "b.jpg"}, "annotations": []}
    empty = task(image="c.jpg")
    annotations = read(task(region()), waiting, empty)
    assert {p.path: len(p.annotations) for p in annotations.pictures} == {"a.jpg": 1, "c.jpg": 0}
    (problem,) = annotations.problems
    assert problem.what.startswith("tasks without an annotation that was not cancelled")
    assert annotations.unread == {}


@pytest.mark.parametrize(
    ("address", "files", "found"),
    [
        ("/data/upload/1/0a1b2c3d-a.jpg", ("a.jpg",), "a.jpg"),
        ("/data/upload/1/0a1b2c3d-a.jpg", ("images/0a1b2c3d-a.jpg", "a.jpg"), "images/0a1b2c3d-a.jpg"),
        ("/data/upload/1/0a1b2c3d-a%20b.jpg", ("p/a b.jpg",), "p/a b.jpg"),
        ("/data/local-files/?d=pictures/a%20b.jpg", ("pictures/a b.jpg", "a b.jpg"), "pictures/a b.jpg"),
        ("/data/local-files/?d=home/me/pictures/a.jpg", ("a.jpg",), "a.jpg"),
        ("s3://bucket/deep/a.jpg", ("deep/a.jpg", "a.jpg"), "deep/a.jpg"),
        ("https://host/x/a.jpg?sign=1", ("y/a.jpg",), "y/a.jpg"),
        ("0a1b2c3d-a.jpg", (), "a.jpg"),
        ("/data/local-files/?d=../../etc/a.jpg", (), "a.jpg"),
        ("/data/local-files/?d=/etc/a.jpg", (), "etc/a.jpg"),
        ("C:\\secret\\a.jpg", (), "a.jpg"),
        ("/data/upload/1/..%2f..%2fa.jpg", (), "a.jpg"),
    ],
)
def test_pictures_are_found_by_their_address(address, files, found):
    annotations = read(task(region(), image=address), pictures=files)
    assert annotations.pictures[0].path == found


def test_the_picture_is_the_data_that_name_one():
    one = task(region())
    one["data"] = {"text": "hello", "photo": "a.jpg"}
    assert read(one).pictures[0].path == "a.jpg"
    two = task(region(), region())
    two["data"] = {"left": "a.jpg", "right": "b.jpg"}
    annotations = read(task(region()), two)
    assert [(problem.place, problem.left_out) for problem in annotations.problems] == [
        ("labels.json, [1]", 2)
    ]


@pytest.mark.parametrize(
    ("wrong", "fault", "left_out"),
    [
        (region("brushlabels", rle=[1]), "the brush is cut off", 1),
        (region("brushlabels", rle=["1"]), "rle is no list of bytes", 1),
        (region("brushlabels", rle=[0] * 7), "the brush has 0 values, the picture needs 80,000", 1),
        (region("videolabels"), "'video' is no box", 1),
        (region("ellipselabels", x=1, y=1, radiusX=3), "radiusY is missing", 1),
        (region(x="1", y=1, width=1, height=1), "x is '1', no number", 1),
        (region(x=1, y=1, width=1), "height is missing", 1),
        (region(x=1, y=1, width=1, height=1, rotation=[]), "rotation is 'list'", 1),
        (region(size=(0, 100)), "original_width", 1),
        (region(size=(10**400, 100)), "original_width", 1),
        (region("polygonlabels", points=[[1, 1], [2, 2]]), "three or more", 1),
        (region("polygonlabels", points=[[1, 1], [2, 2], [3]]), "a point", 1),
        (region(labels=[7]), "no list of names", 1),
        (7, "no value", 1),
        ({"type": "rectanglelabels"}, "no value", 1),
        ({"type": "number", "from_name": "n"}, "no value", 0),
        ({"type": "number", "from_name": "n", "value": {}}, "no name or no value", 0),
        (region(labels=["a", "b"]), "2 labels", 0),
        ({**region(), "image_rotation": 90}, "was turned", 0),
        ({**region(), "id": []}, None, 0),
        (region(labels=[]), None, 0),
    ],
)
def test_faults_of_a_region_are_named_by_entry(wrong, fault, left_out):
    annotations = read(task(region(), wrong, region()))
    problems = annotations.problems
    assert len(problems) == (fault is not None)
    for problem in problems:
        assert fault in problem.what
        assert problem.place == "labels.json, [0].annotations.result[1]"
        assert problem.left_out == left_out
        assert problem.picture == ("a.jpg" if left_out else "")


def test_a_region_and_its_labels_may_be_two_results():
    shapes = {
        "rectangle": {"x": 10, "y": 20, "width": 30, "height": 40},
        "polygon": {"points": [[10, 20], [50, 20], [30, 80]]},
        "ellipse": {"x": 50, "y": 50, "radiusX": 10, "radiusY": 5},
    }
    results = []
    for kind, value in shapes.items():
        sizes = {"original_width": 200, "original_height": 100, "id": kind}
        results.append({"type": "labels", "value": {**value, "labels": [f"a {kind}"]}, **sizes})
        results.append({"type": kind, "value": value, **sizes})
    results.append(results[0] | {"id": "alone"})
    annotations = read(task(*results))
    assert [(a.label, a.box_xyxy) for a in annotations.pictures[0].annotations] == [
        ("a rectangle", (20, 20, 80, 60)), ("a polygon", (20, 20, 100, 80)),
        ("a ellipse", (80, 45, 120, 55)), ("a rectangle", (20, 20, 80, 60)),
    ]  # fmt: skip
    assert annotations.problems == ()


def test_an_ellipse_is_the_box_around_it_and_turns_in_pixels():
    found = only(read(task(region("ellipselabels", x=50, y=50, radiusX=10, radiusY=5, rotation=90))))
    assert found.box_xyxy == (95, 30, 105, 70)  # radii of 20 and 5 pixels, upright
    assert found.attributes == {"shape": "ellipse"}


def packed(pixels, repeats):
    """A brush of (H, W) alphas, packed by hand: its values one by one, or as runs of values that repeat."""
    values = [channel for row in pixels for alpha in row for channel in (7, 7, 7, alpha)]
    bits = f"{len(values):032b}{7:05b}" + "".join(f"{length - 1:04b}" for length in (1, 3, 4, 8))
    if repeats:
        runs = ((value, len(list(group))) for value, group in itertools.groupby(values))
        bits += "".join(f"110{count - 1:04b}{value:08b}" for value, count in runs)
    else:
        bits += f"011{len(values) - 1:08b}" + "".join(f"{value:08b}" for value in values)
    bits += "0" * (-len(bits) % 8)
    return [int(bits[k : k + 8], 2) for k in range(0, len(bits), 8)]


@pytest.mark.parametrize("repeats", [False, True])
def test_a_brush_is_its_mask(repeats):
    pixels = [[0, 0, 0, 0], [0, 255, 128, 0], [0, 0, 7, 7]]
    annotations = read(task(region("brushlabels", size=(4, 3), rle=packed(pixels, repeats), format="rle")))
    found = only(annotations)
    mask = runs_to_mask(found.mask.counts, found.mask.height, found.mask.width)
    assert mask.tolist() == [[bool(alpha) for alpha in row] for row in pixels]
    assert found.box_xyxy == (1, 1, 4, 3)
    assert annotations.problems == ()


def test_keypoints_are_left_aside_and_alone_say_nothing_of_the_picture():
    point = region("keypointlabels", x=1, y=2, width=0.5)
    beside = read(task(region(), point, point))
    (problem,) = beside.problems
    assert (problem.place, problem.left_out) == ("labels.json, [0].annotations.result[1]", 2)
    assert beside.unread == {}
    assert set(read(task(point)).unread) == {"a.jpg"}


def test_the_ground_truth_counts_before_the_first():
    several = task(region(labels=["first"]))
    several["annotations"] += task(region(labels=["true"]), ground_truth=True)["annotations"]
    annotations = read(several)
    assert only(annotations).label == "true"
    assert annotations.unread == {}


@pytest.mark.parametrize(("is_truth", "unread"), [(True, set()), (False, {"a.jpg"})])
def test_annotators_who_differ_on_whether_there_is_anything_leave_the_picture_out(is_truth, unread):
    several = task(ground_truth=is_truth)
    several["annotations"] += task(region())["annotations"]
    assert set(read(several).unread) == unread


def test_predictions_are_no_labels():
    waiting = {"data": {"image": "b.jpg"}, "annotations": [], "predictions": [{"result": [region()]}]}
    annotations = read(task(region()), waiting)
    assert [one.path for one in annotations.pictures] == ["a.jpg"]
    assert any("with predictions" in problem.what for problem in annotations.problems)


def test_one_task_alone_and_the_short_form_are_read():
    alone = label_studio.read(files_of({"labels.json": json.dumps(task(region())), "a.jpg": ""}))
    value = {"x": 10, "y": 20, "width": 30, "height": 40, "rotation": 0, "rectanglelabels": ["dog"]}
    sizes = {"original_width": 200, "original_height": 100}
    short = {"image": "/data/upload/1/0a1b2c3d-a.jpg", "id": 7, "label": [value | sizes], "annotator": 1}
    for annotations in (alone, read(short), read(short, {"image": "b.jpg", "id": 8})):
        found = only(annotations)
        assert (found.label, found.box_xyxy) == ("dog", (20, 20, 80, 60))
        assert annotations.unread == {}
    assert label_studio.recognizes(files_of({"labels.json": json.dumps(task(region()))}))
    assert label_studio.recognizes(files_of({"labels.json": json.dumps([short]).encode("utf-16")}))


def test_a_size_that_is_not_said_is_that_of_the_picture():
    bare = {key: value for key, value in region().items() if not key.startswith("original")}
    text = json.dumps([task(bare, image="a.png")])
    picture = encode(smooth_pixels(100, 200), "PNG")
    assert only(label_studio.read(files_of({"l.json": text, "a.png": picture}))).box_xyxy == (20, 20, 80, 60)
    written = region() | {"original_width": "200", "original_height": 100.0}
    assert only(read(task(written))).box_xyxy == (20, 20, 80, 60)


def test_relations_are_no_objects():
    relation = {"type": "relation", "from_id": "r", "to_id": "r", "direction": "right"}
    annotations = read(task(region(), relation))
    assert len(annotations.pictures[0].annotations) == 1
    assert [(problem.left_out, problem.picture) for problem in annotations.problems] == [(0, "")]


def test_the_name_of_a_file_gives_the_split():
    annotations = label_studio.read(
        files_of(
            {
                f"{split}.json": json.dumps([task(region(), image=f"{split}.jpg")])
                for split in ("train", "test")
            }
        )
    )
    assert [(p.split, p.path) for p in annotations.pictures] == [("test", "test.jpg"), ("train", "train.jpg")]


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("", "no JSON"),
        ("[{", "no JSON"),
        ("{}", "no list of tasks"),
        ('[{"image": "a.jpg", "label": [{"rectanglelabels": ["dog"]}]}]', "no list of tasks"),
        ('[{"data": {}, "annotations": []}]', "no task of Label Studio"),
    ],
)
def test_what_cannot_be_read_is_an_error_with_the_file(text, fault):
    with pytest.raises(InputError, match=fault) as error:
        label_studio.read(files_of({"a.json": text}))
    assert error.value.where.startswith("data/a.json")


def test_recognizes_its_own_files_only():
    assert label_studio.recognizes(files_of({"a.json": json.dumps([task(region())])}))
    assert not label_studio.recognizes(
        files_of({"a.json": '{"images": [], "annotations": []}', "b.xml": "<a/>"})
    )


def test_read_inverts_write(tmp_path):
    assert writer.write(VARIED, tmp_path) == [
        "Label Studio has no place for the sizes of pictures without objects (pictures: 1)"
    ]
    annotations = label_studio.read(LabelFiles.open(tmp_path))
    assert_same_objects(annotations, VARIED)
    assert annotations.problems == ()
    assert [p.path for p in annotations.pictures] == writer.picture_paths(VARIED)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["test.json", "train.json"]


def test_outlines_turned_boxes_and_attributes_come_back(tmp_path):
    corners = (15.0, -5.0, 15.0, 15.0, 5.0, 15.0, 5.0, -5.0)
    written = a_set(
        picture(
            "a b.png",
            outlined("dog", 0.25, 0.0, 5.0, 0.0, 5.0, 5.125),
            outlined("dog", *corners, attributes={"rotation": 90.0, "n": 7, "x": 2.5, "wet": True, "t": "7"}),
            attributes={"weather": "rain"},
        ),
        classes=("dog",),
    )
    assert writer.write(written, tmp_path) == []
    annotations = label_studio.read(LabelFiles.open(tmp_path))
    assert_same_objects(annotations, written)
    assert annotations.pictures[0].path == "images/a b.png"
    assert annotations.pictures[0].attributes == {"weather": "rain"}
    for mine, theirs in zip(
        annotations.pictures[0].annotations, written.pictures[0].annotations, strict=True
    ):
        assert mine.polygons[0] == pytest.approx(theirs.polygons[0])


def test_what_label_studio_cannot_hold_is_listed_with_counts(tmp_path):
    triangle = (0.0, 0.0, 5.0, 0.0, 5.0, 5.0)
    mask = RunLengths(100, 200, (20000,))
    written = a_set(picture("a.png", box("dog", 0.0, 0.0, 9.0, 9.0, polygons=(triangle,), mask=mask)))
    assert [
        re.sub("Label Studio has no place for ", "", note) for note in writer.write(written, tmp_path)
    ] == [
        "classes without objects (classes: 1)",
        "masks (objects: 1)",
        "outlines, beside the boxes (objects: 1)",
    ]


def test_percent_need_the_size_of_the_picture(tmp_path):
    with pytest.raises(InputError, match=r"the size of a\.png is not known"):
        writer.write(a_set(picture("a.png", box("dog", 0.0, 0.0, 9.0, 9.0), width=None)), tmp_path)
