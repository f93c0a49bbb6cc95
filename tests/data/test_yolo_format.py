"""YOLO's text files: hand-worked cases, every way to name classes and splits, faults with their line."""

import pytest
import yaml
from box_sets import random_set, write_set
from faulty_pictures import encode, smooth_pixels, write_files

from striate.data.formats import yolo
from striate.data.label_checks import with_sizes
from striate.data.label_files import LabelFiles
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
        ("dog 0.5 0.5 0.1 0.1", "'dog' is no number"),
        ("0 0.5 nan 0.1 0.1", "'nan' is no number"),
        ("0 0.5 0.5 0.1 1_0", "'1_0' is no number"),
        ("0 0.5 0.5 0.1", "has 4 values"),
        ("0 0.5 0.5 0.1 0.1 0.9", "has 6 values"),
        ("0 0.1 0.1 0.2 0.2 0.3 0.3 0.4", "has 8 values"),
        ("0,0.5,0.5,0.1,0.1", "is no number"),
    ],
)
def test_a_line_that_cannot_be_used_is_a_problem_with_its_number(tmp_path, line, message):
    found = read_lines(tmp_path, "0 0.5 0.5 1 1", line)
    assert len(found.pictures[0].annotations) == 1
    [problem] = found.problems
    assert message in problem.what
    assert (problem.place, problem.left_out) == ("labels/a.txt, line 2", 1)


def test_poses_are_not_taken_for_outlines(tmp_path):
    found = read_lines(tmp_path, "0 0.5 0.5 1 1 0.1 0.2 0.3 0.4", names="kpt_shape: [2, 2]\nnames: [dog]")
    assert found.pictures[0].annotations == ()
    assert found.problems[0].left_out == 1


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
    found = read(tmp_path / "data", {"data.yaml": names + "\ntest: images"}, ["images/a.png"])
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
