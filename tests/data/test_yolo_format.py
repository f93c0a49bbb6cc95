"""YOLO's text files: hand-worked cases, every way to name classes and splits, faults with their line."""

import pytest
import yaml
from box_sets import random_set, write_set
from faulty_pictures import encode, smooth_pixels, write_files

from striate.data.convert_boxes import convert_boxes
from striate.data.formats import yolo
from striate.data.label_checks import with_sizes
from striate.data.label_files import LabelFiles
from striate.data.load import load_data
from striate.errors import InputError

PNG = encode(smooth_pixels(50, 100), "PNG")  # 100 wide, 50 high


def read(folder, texts, pictures):
    files = {name: text.encode() for name, text in texts.items()}
    write_files(folder, files | dict.fromkeys(pictures, PNG))
    return yolo.read(LabelFiles.open(folder))


def read_lines(folder, *lines, names="names: [dog, cat]\n"):
    texts = {"data.yaml": names, "labels/a.txt": "\n".join(lines)}
    return read(folder, texts, ["images/a.png"])


# --- what is read --------------------------------------------------------------------------------------


def test_a_box_worked_by_hand(tmp_path):
    found = read_lines(tmp_path, "1 0.5 0.5 0.2 0.1", "", "0 0.05 0.1 0.1 0.2")
    first, second = found.pictures[0].annotations
    assert (first.label, first.box_xyxy) == ("cat", (40, 22.5, 60, 27.5))
    assert (second.label, second.box_xyxy) == ("dog", (0, 0, 10, 10))
    assert (first.place, second.place) == ("labels/a.txt, line 1", "labels/a.txt, line 3")
    assert found.classes == ("dog", "cat")
    assert found.problems == ()


def test_an_outline_worked_by_hand(tmp_path):
    annotation = read_lines(tmp_path, "0 0.1 0.2 0.5 0.2 0.5 0.8").pictures[0].annotations[0]
    assert annotation.polygons == ((10, 10, 50, 10, 50, 40),)
    assert annotation.box_xyxy == (10, 10, 50, 40)


def test_a_split_without_any_label_file_is_unlabelled_and_left_out(tmp_path):
    texts = {
        "data.yaml": "names: [dog]\ntrain: a/images\ntest: b/images\n",
        "a/labels/1.txt": "0 .5 .5 .2 .2",
    }
    pictures = ["a/images/1.png", "a/images/2.png", "b/images/1.png", "b/images/2.png"]
    found = read(tmp_path / "x", texts, pictures)
    assert [picture.path for picture in found.pictures] == ["a/images/1.png", "a/images/2.png"]
    (problem,) = found.problems
    assert problem.place == "data.yaml"
    assert problem.what.startswith("test has no label files")
    assert problem.what.endswith(": 2")
    empty = read(tmp_path / "y", texts | {"b/labels/1.txt": ""}, pictures)  # which says that there is nothing
    assert len(empty.pictures) == 4


@pytest.mark.parametrize("end", ["\n\n", "\r\n \r\n\r\n", "\n\t"])
def test_empty_lines_at_the_end_of_class_names_name_none(tmp_path, end):
    found = read(tmp_path, {"classes.txt": f"dog\ncat{end}", "a.txt": "1 .5 .5 .2 .2"}, ["a.png"])
    assert found.classes == ("dog", "cat")


@pytest.mark.parametrize("text", [None, "", "\n\n"])
def test_an_empty_or_absent_file_says_that_there_is_nothing(tmp_path, text):
    texts = {"data.yaml": "names: [dog]", "labels/a.txt": "0 0.5 0.5 1 1"}
    found = read(
        tmp_path, texts | ({} if text is None else {"labels/b.txt": text}), ["images/a.png", "images/b.png"]
    )
    assert [len(picture.annotations) for picture in found.pictures] == [1, 0]
    assert found.problems == ()


@pytest.mark.parametrize(
    "names",
    [
        "names: [dog, 'no', 12]",
        "names:\n- dog\n- no\n- 12\n",
        "names:\n  0: dog\n  2: 12\n  1: no\nnc: 3\n",
        "{names: {0: dog, 1: no, 2: '12'}}",
        '"names" : ["dog", "no", "12"]',
    ],
)
def test_names_are_a_list_or_numbered_and_stay_text(tmp_path, names):
    assert read_lines(tmp_path, "2 0.5 0.5 1 1", names=names).classes == ("dog", "no", "12")


def test_ids_with_gaps_are_classes_by_name(tmp_path):
    found = read_lines(tmp_path, "7 0.5 0.5 1 1", names="names: {3: dog, 7: cat}")
    assert found.classes == ("dog", "cat")
    assert found.pictures[0].annotations[0].label == "cat"


_ROBOFLOW = "train: ../train/images\nval: ../valid/images\ntest: ../test/images\n"
_ELSEWHERE = "path: /home/me/set\ntrain: [C:\\set\\train]\nval: set/val/\n"
LAYOUTS = {
    "ultralytics": ("path: .\ntrain: images/train\nval: images/val\n", "images/{}/a.png", "labels/{}/a.txt"),
    "roboflow": (_ROBOFLOW, "{}/images/a.png", "{}/labels/a.txt"),
    "elsewhere": (_ELSEWHERE, "{}/a.png", "{}/a.txt"),
    "folders": ("", "{}/images/a.png", "{}/labels/a.txt"),
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_splits_of_usual_layouts(tmp_path, layout):
    start, picture, label = LAYOUTS[layout]
    folders = ("train", "valid" if layout in ("roboflow", "folders") else "val")
    texts = {label.format(folder): f"{k} 0.5 0.5 1 1" for k, folder in enumerate(folders)}
    texts["data.yaml"] = start + "names: [dog, cat]\n"
    found = read(tmp_path, texts, [picture.format(folder) for folder in folders])
    assert [(p.split, p.annotations[0].label) for p in found.pictures] == [("train", "dog"), ("val", "cat")]
    missing = [problem.what for problem in found.problems]
    assert missing == (
        ["there are no pictures in '../test/images', which it names as test"] * (layout == "roboflow")
    )


def test_a_list_of_pictures_is_a_split(tmp_path):
    texts = {
        "data.yaml": "train: train.txt\nval: val.txt\nnames: [dog]",
        "train.txt": "./images/a.png\n\nimages/gone.png\n",
        "val.txt": "/elsewhere/images/b.png\n",
        "labels/a.txt": "0 0.5 0.5 1 1",
        "labels/gone.txt": "0 0.5 0.5 1 1\n0 0.1 0.1 0.1 0.1",
    }
    found = read(tmp_path, texts, ["images/a.png", "images/b.png", "images/c.png"])
    assert [(p.path, p.split) for p in found.pictures] == [("images/a.png", "train"), ("images/b.png", "val")]
    told = {problem.place: (problem.what, problem.left_out) for problem in found.problems}
    assert told["labels/gone.txt"][1] == 2
    assert "'images/c.png'" in told["data.yaml"][0]


def test_darknet_and_labelimg(tmp_path):
    texts = {
        "obj.data": "classes = 2\ntrain = data/train.txt\nnames = data/obj.names\nbackup = x/\n",
        "obj.names": "dog\ncat\n",
        "train.txt": "data/obj_train_data/a.png\n",
        "obj_train_data/a.txt": "1 0.5 0.5 1 1\n",
    }
    found = read(tmp_path / "darknet", texts, ["obj_train_data/a.png"])
    assert (found.pictures[0].split, found.pictures[0].annotations[0].label) == ("train", "cat")
    texts = {"classes.txt": "dog\ncat\n", "a.txt": "1 0.5 0.5 1 1\n"}
    found = read(tmp_path / "labelimg", texts, ["a.png"])
    assert (found.pictures[0].split, found.pictures[0].annotations[0].label) == (None, "cat")
    assert found.problems == ()


def test_a_picture_of_two_splits_counts_once_and_is_told(tmp_path):
    names = "train: images\nval: images\nnames: [dog, cat]"
    found = read_lines(tmp_path, "0 0.5 0.5 1 1", names=names)
    assert [picture.split for picture in found.pictures] == ["train"]
    assert [problem.what for problem in found.problems] == [
        "1 pictures of val are also in train, which counts"
    ]


# --- faults --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("2 0.5 0.5 0.1 0.1", "there is no class '2'"),
        ("-1 0.5 0.5 0.1 0.1", "there is no class '-1'"),
        ("0.5 0.5 0.5 0.1 0.1", "there is no class '0.5'"),
        ("elk 0.5 0.5 0.1 0.1", "'elk' is no number"),
        ("0 0.5 nan 0.1 0.1", "'nan' is no number"),
        ("0 0.5 0.5 0.1 1_0", "'1_0' is no number"),
        ("0 0.5 0.5 0.1", "has 4 values"),
        ("0 0.5 0.5 0.1 0.1 1.57", "the last is neither a confidence nor"),
        ("0 0.5 0.5 0.1 0.1 -0.2", "the last is neither a confidence nor"),
        ("0 0.1 0.1 0.2 0.2 0.3 0.3 0.4", "has 8 values"),
        ("0 0,5 0,5 0,1 0,1", "parted in two ways"),
        ("0;0,5;0,5;0,1;0,1", "parted in two ways"),
        ("0,0,5,0,5,0,1,0,1", "'5' is no fraction"),
        ("0,0.5,,0.1,0.1", "missing between two commas"),
        ("0 32 25 16 12", "'32' is no fraction"),
        ("0 0.1 0.1 0.2 2 0.3 0.3", "'2' is no fraction"),
    ],
)
def test_a_line_that_cannot_be_used_is_a_problem_with_its_number(tmp_path, line, message):
    found = read_lines(tmp_path, "0 0.5 0.5 1 1", line)
    assert len(found.pictures[0].annotations) == 1
    [problem] = found.problems
    assert message in problem.what
    assert (problem.place, problem.left_out, problem.picture) == ("labels/a.txt, line 2", 1, "images/a.png")


@pytest.mark.parametrize(
    "line",
    [
        "1,0.5,0.5,0.2,0.1", "1;0.5;0.5;0.2;0.1", "1, 0.5, 0.5, 0.2, 0.1,", "1\t0.5\t0.5\t0.2\t0.1",
        "1.0 0.5 0.5 0.2 0.1", "cat 0.5 0.5 0.2 0.1", "cat,0.5,0.5,0.2,0.1",
    ],
)  # fmt: skip
def test_values_parted_in_any_way_are_the_same_box(tmp_path, line):
    found = read_lines(tmp_path, line)
    (annotation,) = found.pictures[0].annotations
    assert (annotation.label, annotation.box_xyxy) == ("cat", (40, 22.5, 60, 27.5))
    assert [problem.what for problem in found.problems] == [
        "lines with the name of the class in place of its id: 1"
    ] * line.startswith("cat")


def test_names_of_several_words_stand_in_place_of_ids(tmp_path):
    found = read_lines(tmp_path, "traffic light 0.5 0.5 1 1", names="names: [dog, traffic light]")
    assert [a.label for a in found.pictures[0].annotations] == ["traffic light"]


BOX, TRACKED = "0 0.5 0.5 0.2 0.1", "0 0.5 0.5 0.2 0.1 0.91 1"
TRIANGLE, TRIANGLE_TO_THE_EDGE = "0 0.1 0.2 0.5 0.2 0.5 0.8", "0 0.4 0.5 0.2 0.1 0.91 1"
POSE = "0 0.5 0.5 0.2 0.1 0.45 0.5 2 0.55 0.5 0"
POSE_OR_OUTLINE = "0 0.5 0.5 0.2 0.1 0.45 0.5 1 0.55 0.5 0"


def boxes_and_outlines(found):
    return [(a.box_xyxy, bool(a.polygons)) for a in found.pictures[0].annotations]


BOXED = ((40, 22.5, 60, 27.5), False)
OUTLINED = ((10, 10, 50, 40), True)


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        ([BOX, BOX + " 0.91"], [BOXED, BOXED]),
        ([BOX + " 0.91"], [BOXED]),
        ([BOX + " 1", BOX + " 2"], [BOXED, BOXED]),
        ([BOX, TRACKED], [BOXED, BOXED]),
        ([BOX + " 0.5", TRACKED], [BOXED, BOXED]),
        ([TRACKED, BOX + " 0.4 12"], [BOXED, BOXED]),
        ([TRIANGLE, BOX], [OUTLINED, BOXED]),
        ([TRIANGLE, TRIANGLE_TO_THE_EDGE], [OUTLINED, ((20, 5, 91, 50), True)]),
        ([POSE, BOX], [BOXED, BOXED]),
        ([POSE, POSE_OR_OUTLINE], [BOXED, BOXED]),
        ([BOX + " 0.4 0.5 1", BOX], [BOXED, BOXED]),  # as many values as no outline has
        ([BOX + " 0.45 0.5 2.000000"], [BOXED]),
        (["0 0.1 0.2 0.5 0.2 0.5 0.8 0.1 0.8"], [OUTLINED]),  # the corners of a turned box
    ],
)
def test_what_is_behind_a_box_is_told_by_all_lines(tmp_path, lines, expected):
    found = read_lines(tmp_path, *lines)
    assert boxes_and_outlines(found) == expected
    assert found.unread == {}


@pytest.mark.parametrize(
    ("lines", "kept", "refused"),
    [
        ([BOX + " 0.9 1.000000", BOX + " 0.8 1.000000"], [], [1, 2]),
        ([TRACKED], [], [1]),  # a triangle that touches the edge, or track 1
        ([POSE_OR_OUTLINE, BOX], [BOXED], [1]),
        ([TRACKED, TRACKED, TRIANGLE], [], [1, 2, 3]),  # one of them is wrong, and nobody knows which
        ([TRACKED, TRACKED + "2", BOX + " 0.4 1.5"], [BOXED, BOXED], [3]),
        ([TRIANGLE, TRIANGLE, BOX + " 0.4 12"], [OUTLINED, OUTLINED], [3]),
        ([TRIANGLE, TRIANGLE, BOX + " 0.9"], [OUTLINED, OUTLINED], [3]),  # a triangle that lacks a value
        ([POSE, POSE, BOX + " 0.45 0.5"], [BOXED, BOXED], [3]),  # a pose that was cut off
        ([BOX + " 0.9", BOX + " 12"], [], [1, 2]),
    ],
)
def test_lines_that_may_be_two_things_are_refused(tmp_path, lines, kept, refused):
    found = read_lines(tmp_path, *lines)
    assert boxes_and_outlines(found) == kept
    assert [p.place for p in found.problems if p.left_out] == [f"labels/a.txt, line {k}" for k in refused]
    assert set(found.unread) == {"images/a.png"}


def test_confidence_and_track_are_attributes_and_told_once(tmp_path):
    found = read_lines(tmp_path, BOX, BOX + " 0.5", TRACKED)
    assert [a.attributes for a in found.pictures[0].annotations] == [
        {}, {"confidence": 0.5}, {"confidence": 0.91, "track_id": 1},
    ]  # fmt: skip
    (problem,) = found.problems
    assert (problem.place, problem.picture) == ("labels/a.txt, line 2", "")
    assert read_lines(tmp_path / "ids", BOX + " 7").pictures[0].annotations[0].attributes == {"track_id": 7}


def test_poses_are_boxes_whose_points_are_left_aside(tmp_path):
    names = "kpt_shape: [2, 2]\nnames: [dog]"
    found = read_lines(tmp_path, BOX + " 0.1 0.2 0.3 0.4", BOX, BOX + " 0.1 0.2", names=names)
    assert boxes_and_outlines(found) == [BOXED, BOXED]
    assert [(p.place, p.left_out) for p in found.problems] == [
        ("labels/a.txt, line 3", 1),
        ("labels/a.txt, line 1", 0),
    ]
    assert "not 9 for a box and its points" in found.problems[0].what
    with pytest.raises(InputError, match="kpt_shape"):
        read_lines(tmp_path, BOX, names="kpt_shape: 17\nnames: [dog]")


def test_a_picture_whose_label_cannot_be_read_is_left_out_by_name(tmp_path):
    texts = {"data.yaml": "names: [dog]", "labels/a.txt": f"{BOX}\n7 0.5 0.5 0.2 0.1", "labels/b.txt": BOX}
    write_files(tmp_path / "set", {"labels/c.txt": "ß 0.5".encode("latin-1"), "images/c.png": PNG})
    read(tmp_path / "set", texts, ["images/a.png", "images/b.png"])
    dataset = load_data(tmp_path / "set")
    assert {fault.name: fault.what.split(": ")[0] for fault in dataset.faults} == {
        "images/a.png": "labels/a.txt, line 2",
        "images/c.png": "labels/c.txt, line 1",
    }
    (split,) = dataset.splits.values()
    assert split.objects.counts.tolist() == [1]
    done = convert_boxes(tmp_path / "set", tmp_path / "out", "coco", fix_problems=True)
    assert (done.objects, done.counts) == (1, {"all": 1})


@pytest.mark.parametrize(
    ("picture", "label"),
    [
        ("Images/a.png", "Labels/a.txt"),
        ("images/train/a.png", "labels/train/a.TXT"),
        ("IMAGES/a.PNG", "labels/A.txt"),
        ("images/e\u0301.png", "labels/é.txt"),
    ],
)
def test_case_and_accents_do_not_part_a_picture_from_its_labels(tmp_path, picture, label):
    found = read(tmp_path, {"data.yaml": "names: [dog]", label: BOX}, [picture])
    assert [(p.path, len(p.annotations)) for p in found.pictures] == [(picture, 1)]
    assert found.problems == ()


def test_files_that_differ_by_case_only_keep_their_own_labels(tmp_path):
    texts = {"data.yaml": "names: [dog]", "labels/a.txt": BOX, "labels/A.txt": f"{BOX}\n{BOX}"}
    found = read(tmp_path / "a", texts, ["images/a.png", "images/A.png"])
    assert {p.path: len(p.annotations) for p in found.pictures} == {"images/a.png": 1, "images/A.png": 2}
    found = read(
        tmp_path / "b", {k: v for k, v in texts.items() if "A" not in k}, ["images/a.png", "images/A.png"]
    )
    assert {p.path: len(p.annotations) for p in found.pictures} == {"images/a.png": 1, "images/A.png": 0}


@pytest.mark.parametrize(
    "label", ["labels/lost.txt", "annotations/b.txt", "labels/b.png.txt", "labels/deep/b.txt"]
)
def test_a_picture_whose_labels_may_be_those_of_no_picture_is_no_negative(tmp_path, label):
    texts = {"data.yaml": "names: [dog]", "labels/a.txt": BOX, label: BOX}
    found = read(tmp_path, texts, ["images/a.png", "images/b.png"])
    assert set(found.unread) == {"images/b.png"}
    assert found.unread["images/b.png"].place == label
    assert sum(problem.left_out for problem in found.problems) == 1


def test_labels_without_names_are_recognized_and_what_is_missing_is_said(tmp_path):
    folder, out = tmp_path / "set", tmp_path / "out"
    write_files(folder, {"labels/a.txt": BOX.encode(), "images/a.png": PNG})
    for act in (lambda: load_data(folder), lambda: convert_boxes(folder, out, "voc", source_format="yolo")):
        with pytest.raises(InputError, match=r"labels/a\.txt looks like a label file of YOLO") as caught:
            act()
        assert "data.yaml" in caught.value.what_to_do
        assert "classes.txt" in caught.value.what_to_do
    write_files(folder, {"data.yaml": b"train: images\nnc: 1\n"})
    with pytest.raises(InputError, match="the file has no names") as caught:
        load_data(folder)
    assert caught.value.where.endswith("data.yaml")
    kitti = b"Car 0.00 0 0.0 10.0 10.0 30.0 30.0"
    write_files(tmp_path / "kitti", {"labels/a.txt": kitti, "images/a.png": PNG})
    assert not yolo.lacks_names(LabelFiles.open(tmp_path / "kitti"))


def test_other_formats_beside_label_files_without_names_count_alone(tmp_path):
    annotations, contents = random_set(2)
    write_set("coco", annotations, contents, tmp_path / "set")
    write_files(tmp_path / "set", {"labels/a.txt": BOX.encode()})
    assert load_data(tmp_path / "set").format == "coco"


def test_where_nothing_is_left_the_reason_is_said(tmp_path):
    texts = {"data.yaml": "train: ../train/images\nnames: [dog]", "labels/a.txt": BOX}
    with pytest.raises(InputError, match=r"there are no pictures in '\.\./train/images'"):
        read(tmp_path, texts, ["images/a.png"])


@pytest.mark.parametrize("mark", ["\ufeff", ""])
@pytest.mark.parametrize(
    "text",
    [
        "names: [dog, cat]\r\ntrain: images\r\n",
        "names:\t[dog,\tcat]\ntrain:\timages\n",
        "names:\n  0: dog\n  1: cat\ntrain: ./images/\n",
        "names: ['dog', \"cat\"]\ntrain:\n  - C:\\data\\images\n",
        "path: D:/elsewhere\nnames: [dog, cat]\ntrain: Images\n",
    ],
)
def test_files_of_names_as_other_programs_save_them(tmp_path, mark, text):
    found = read(tmp_path, {"data.yaml": mark + text, "labels/a.txt": "1 0.5 0.5 1 1"}, ["images/a.png"])
    assert found.classes == ("dog", "cat")
    assert [(p.split, p.annotations[0].label) for p in found.pictures] == [("train", "cat")]
    assert found.problems == ()


@pytest.mark.parametrize("mark", ["\ufeff", ""])
@pytest.mark.parametrize(
    "line", ["./images/a.png", "images\\a.png", "C:\\x\\images\\a.png", "/home/x/images/a.png"]
)
def test_lists_of_pictures_as_other_programs_save_them(tmp_path, mark, line):
    texts = {
        "data.yaml": "train: train.txt\nnames: [dog]",
        "train.txt": f"{mark}{line}\r\n",
        "labels/a.txt": BOX,
    }
    found = read(tmp_path, texts, ["images/a.png"])
    assert [(p.path, p.split, len(p.annotations)) for p in found.pictures] == [("images/a.png", "train", 1)]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("obj.names", "dog\ncat\n"), ("voc.names", "dog\ncat\n"), ("_darknet.labels", "dog\ncat\n"),
        ("Classes.txt", "\ufeffdog\r\ncat\r\n"), ("predefined_classes.txt", "dog\ncat"),
    ],
)  # fmt: skip
def test_files_of_names_of_other_tools(tmp_path, name, text):
    found = read(tmp_path, {name: text, "a.txt": "1 0.5 0.5 1 1"}, ["a.png"])
    assert (found.classes, found.pictures[0].annotations[0].label) == (("dog", "cat"), "cat")
    assert found.problems == ()


def test_labels_of_no_picture_and_pictures_that_cannot_be_read_are_told(tmp_path):
    write_files(tmp_path, {"images/broken.png": b"no picture"})
    texts = {
        f"labels/{name}.txt": "0 0.5 0.5 1 1\n" * k for k, name in enumerate(["", "a", "broken", "lost"]) if k
    }
    found = read(
        tmp_path, texts | {"data.yaml": "names: [dog]", "images/a.txt": "0 1 1 1 1"}, ["images/a.png"]
    )
    assert [picture.path for picture in found.pictures] == ["images/a.png"]
    assert {(problem.place, problem.left_out) for problem in found.problems} == {
        ("labels/broken.txt", 2),
        ("labels/lost.txt", 3),
        ("images/a.txt", 1),
    }


@pytest.mark.parametrize(
    ("names", "message", "where"),
    [
        ("names: dog", "names is no list", "line 1"),
        ("names: [dog, [cat]]", "list or mapping where a text", "line 1"),
        ("nc: 3\nnames: [dog, cat]", "nc is '3', but there are 2 names", "data.yaml"),
        ("names: [dog, '']", "empty or no readable text", "line 1"),
        ("names: {0: dog, 00: cat}", "a class id is there twice", "line 1"),
        ("names: {0: dog, 0: cat}", "'0' is there twice", "line 1"),
        ("names: {a: dog}", "'a' is no number", "line 1"),
        ("nc: 1\nnames: [dog]\nnames: [cat]", "'names' is there twice", "line 3"),
        ("x: 1\nnames: [dog", "no YAML", "line 2"),
        ("train: a\nnames: [dog]\nval: {a: b}", "list or mapping where a text", "line 3"),
        ("names: &a [*a]", "list or mapping where a text", "line 1"),
        ("x: " + "[" * 5000 + "\nnames: [a]", "nested too deeply", "data.yaml"),
        ("names: [a]\nval: a\nvalid: b", "split val twice", "data.yaml"),
    ],
)  # fmt: skip
def test_a_file_of_names_that_is_none_is_refused(tmp_path, names, message, where):
    with pytest.raises(InputError, match=message) as caught:
        read_lines(tmp_path, "0 0.5 0.5 1 1", names=names)
    assert where in caught.value.where


def test_entries_of_splits_never_lead_out(tmp_path):
    write_files(tmp_path, {"out/a.png": PNG, "list.txt": b"0"})
    names = "path: ../out\ntrain: ../out\nval: ../list.txt\nnames: [dog]"
    found = read(
        tmp_path / "data", {"data.yaml": names + "\ntest: images", "labels/a.txt": ""}, ["images/a.png"]
    )
    assert [(picture.path, picture.split) for picture in found.pictures] == [("images/a.png", "test")]
    assert [problem.what[:31] for problem in found.problems] == [
        "there are no pictures in '../ou",
        "there are no pictures in '../li",
    ]


# --- what is written -----------------------------------------------------------------------------------


def test_what_is_written_is_as_others_read_it(tmp_path):
    annotations, contents = random_set(8, ("train", "val"))
    write_set("yolo", annotations, contents, tmp_path / "out")
    facts = yaml.safe_load((tmp_path / "out/data.yaml").read_text())
    assert facts["names"] == dict(enumerate(annotations.classes))
    assert (facts["path"], facts["train"], facts["val"]) == (".", "images/train", "images/val")
    for split in ("train", "val"):
        pictures = sorted(path.stem for path in (tmp_path / "out/images" / split).iterdir())
        assert pictures == sorted(path.stem for path in (tmp_path / "out/labels" / split).iterdir())
    lines = [line.split() for path in (tmp_path / "out/labels").rglob("*.txt") for line in path.open()]
    assert len(lines) == sum(len(picture.annotations) for picture in annotations.pictures)
    assert {len(line) for line in lines} == {5}
    assert all(0 <= float(value) <= 1 for line in lines for value in line[1:])


def test_outlines_are_written_for_all_objects_or_for_none(tmp_path):
    outline = "0 0.1 0.2 0.5 0.2 0.5 0.8"
    for name, lines in (("all", [outline] * 2), ("some", [outline, "0 0.5 0.5 1 1"])):
        found = with_sizes(read_lines(tmp_path / name, *lines), lambda path: (100, 50))
        notes = write_set("yolo", found, {"images/a.png": PNG}, tmp_path / f"{name} written")
        written = (tmp_path / f"{name} written/labels/a.txt").read_text().splitlines()
        assert {len(line.split()) for line in written} == ({7} if name == "all" else {5})
        assert bool(notes) == (name == "some")


def test_a_picture_of_unknown_size_cannot_be_written(tmp_path):
    found = read_lines(tmp_path / "in", "0 0.5 0.5 1 1")
    assert found.pictures[0].width is None
    with pytest.raises(InputError, match="fractions of it"):
        write_set("yolo", found, {"images/a.png": PNG}, tmp_path / "out")


BIRDS = {
    "classes.txt": b"1 001.Albatross\n2 002.Auklet\n",
    "bounding_boxes.txt": b"1 60.0 27.0 325.0 304.0\n2 139.0 30.0 153.0 264.0\n",
    "image_class_labels.txt": b"1 1\n2 2\n",
    "images/001.Albatross/0.png": PNG,
    "images/002.Auklet/1.png": PNG,
}


def test_a_list_of_classes_beside_folders_of_classes_makes_no_pictures_without_objects(tmp_path):
    write_files(tmp_path, BIRDS)
    dataset = load_data(tmp_path)
    assert dataset.format == "image-folder"
    assert dataset.classes == ("001.Albatross", "002.Auklet")


def test_boxes_in_pixels_listed_by_number_are_not_told_as_of_yolo(tmp_path):
    write_files(tmp_path, {**BIRDS, "attributes/certainties.txt": b"1 not visible\n"})
    with pytest.raises(InputError) as caught:
        load_data(tmp_path)
    assert "YOLO" not in caught.value.what


@pytest.mark.parametrize("line", ["0 0.5 0.5 0.2 0.2", "dog,.5,.5,1,1", "0 9.1e-05 0.5 1.0 0.25 0.9"])
def test_labels_of_missing_pictures_beside_a_list_of_classes_are_still_told(tmp_path, line):
    write_files(tmp_path, {"classes.txt": b"dog\n", "gone.txt": line.encode(), "a.png": PNG})
    assert yolo.recognizes(LabelFiles.open(tmp_path))


def test_without_any_label_file_nothing_is_known_of_the_pictures(tmp_path):
    with pytest.raises(InputError, match="no picture has a label file") as caught:
        read(tmp_path, {"data.yaml": "names: [a, b]"}, ["images/a.png", "images/b.png"])
    assert caught.value.where.endswith("data.yaml")
