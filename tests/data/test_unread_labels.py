"""Labels in a format that is not read are named, and their pictures' folders are never classes."""

import json
import os

import pytest
from faulty_pictures import write_files
from test_image_folder import pack

from striate.data.dataset import POOL
from striate.data.formats.annotations import READERS
from striate.data.load import FORMATS, find_labels, load_data
from striate.errors import InputError

SQUARE = {"label": "a", "coordinates": {"x": 4, "y": 4, "width": 3, "height": 3}}
CREATE_ML = json.dumps([{"image": f"{i}.png", "annotations": [SQUARE]} for i in range(3)])
KITTI = b"Car 0.00 0 0.0 10.0 10.0 30.0 30.0 0 0 0 0 0 0 0\n"
YOLO = b"0 0.5 0.5 0.25 0.25\n"
UNKNOWN = {
    "images/_annotations.createml.json": CREATE_ML.encode(),
    "annotations.json": CREATE_ML.encode("utf-16"),
    "labels/0.txt": KITTI,
    "labels.mat": b"MATLAB 5.0 MAT-file\0\1",
    "train.tfrecord": b"\0\1\2",
    "boxes.parquet": b"PAR1",
    "annotations/0.json": b'{"strange": []}',
    "train.csv": b"filename,x_center,y_center,width,height,class\n0.png,1,2,3,4,cat\n",
}


@pytest.mark.parametrize("suffix", ["", ".zip"])
@pytest.mark.parametrize("name", UNKNOWN)
def test_the_file_that_is_not_understood_is_named_and_the_formats_that_are(make_classes, name, suffix):
    folder = make_classes({"images": 3})
    write_files(folder, {name: UNKNOWN[name]})
    path = pack(folder, suffix) if suffix else folder
    with pytest.raises(InputError) as caught:
        load_data(path)
    assert name in caught.value.what
    assert caught.value.where == f"{path}/{name}"
    assert all(reader in caught.value.what_to_do for reader in READERS)


@pytest.mark.parametrize("home", ["", "train/"])
@pytest.mark.parametrize(
    "labels", [{"labels/0.txt": YOLO}, {"labels/0.txt": b"", "labels/1.txt": YOLO}, {"images/0.txt": YOLO}]
)
def test_yolo_without_names_is_told_as_such_and_the_mend_works(make_classes, home, labels):
    folder = make_classes({f"{home}images": 3})
    write_files(folder, {f"{home}{name}": content for name, content in labels.items()})
    with pytest.raises(InputError, match="YOLO") as caught:
        load_data(folder)
    assert "data.yaml" in caught.value.what_to_do
    write_files(folder, {"data.yaml": b"names: [cat]\n"})
    dataset = load_data(folder)
    assert (dataset.format, dataset.classes) == ("yolo", ("cat",))
    assert sum(len(split.objects.labels) for split in dataset.splits.values()) == 1


@pytest.mark.parametrize("suffix", ["", ".zip"])
@pytest.mark.parametrize("inside", ["", "images/"])
def test_a_table_of_classes_is_told_as_such(make_classes, suffix, inside):
    folder = make_classes({inside or ".": 3})
    write_files(folder, {"train.csv": b"\xef\xbb\xbfFilename;Label\r\n0.png;cat\r\n1.png;dog\r\n"})
    with pytest.raises(InputError, match="table of pictures and their classes") as caught:
        load_data(pack(folder, suffix) if suffix else folder)
    assert caught.value.where.endswith("/train.csv")


@pytest.mark.parametrize(
    "labels",
    [
        {
            "cam1/_annotations.createml.json": CREATE_ML.encode(),
            "cam2/_annotations.createml.json": CREATE_ML.encode(),
        },
        {"cam1/0.txt": YOLO, "cam2/1.txt": YOLO},
        {
            "cam1/0.xml": b"<frame><polygon>1,2 3,4</polygon></frame>",
            "cam2/0.xml": b"<frame><polygon/></frame>",
        },
        {"labels.json": CREATE_ML.encode("utf-16")},
    ],
)
def test_two_folders_of_labelled_pictures_are_no_classes_unless_a_person_says_so(make_classes, labels):
    folder = make_classes({"cam1": 3, "cam2": 3})
    write_files(folder, labels)
    with pytest.raises(InputError) as caught:
        load_data(folder)
    assert min(labels) in caught.value.what
    dataset = load_data(folder, "image-folder")
    assert (dataset.classes, len(dataset.splits[POOL])) == (("cam1", "cam2"), 6)


def test_what_is_no_label_file_keeps_no_classes_from_being_read(make_classes):
    folder = make_classes({"a": 2, "b": 2})
    texts = {
        "README.txt": b"boxes, polygons, annotations of 0.png", "a/0.txt": b"a dog in the rain",
        "b/0.json": b'{"iso": 100}',
        "labels.csv": b"file,class\n0.png,a\n", "b/notes.txt": b"1 2 3 4 5",
    }  # fmt: skip
    write_files(folder, texts)
    dataset = load_data(folder)
    assert (dataset.format, dataset.classes) == ("image-folder", ("a", "b"))
    assert f"text files left aside: {len(texts)}" in dataset.why


def test_an_empty_class_folder_is_no_matter_of_labels_elsewhere(make_classes):
    folder = make_classes({"a": 2, "b": 2})
    write_files(folder, {"notes.json": b"{}"})
    (folder / "c").mkdir()
    with pytest.raises(InputError, match="class folder c has no readable picture"):
        load_data(folder)


def test_the_format_that_a_person_names_is_taken(make_classes, tmp_path):
    folder = make_classes({"images": 3})
    write_files(folder, {"labels/0.txt": YOLO, "classes.txt": b"cat\n", "boxes.csv": b"0.png,1,1,4,4,dog\n"})
    with pytest.raises(InputError, match="several formats"):
        load_data(folder)
    assert load_data(folder, "yolo").classes == ("cat",)
    assert load_data(folder, "csv").classes == ("dog",)
    assert load_data(pack(folder, ".zip"), format="csv").classes == ("dog",)
    assert find_labels(folder, "csv").format == "csv"
    assert find_labels(folder, "image-folder") is None
    for source, word in ((folder, "yolov5"), ("digits", "yolo"), ("http://localhost:1/shards.json", "idx")):
        with pytest.raises(InputError) as caught:
            load_data(source, word)
        assert caught.value.where == "--from"
    with pytest.raises(InputError) as caught:
        load_data(folder, "yolov5")
    assert all(name in caught.value.what_to_do for name in FORMATS)


@pytest.mark.parametrize("name", FORMATS)
def test_naming_the_right_format_changes_nothing_and_a_wrong_one_is_an_input_error(make_classes, name):
    folder = make_classes({"a": 2, "b": 2})
    if name == "image-folder":
        assert load_data(folder, name).fingerprint() == load_data(folder).fingerprint()
    else:
        with pytest.raises(InputError):
            load_data(folder, name)


def test_a_pipe_is_no_data_set(tmp_path):
    for name in ("data.zip", "labels.json", "shards.json", "data"):
        os.mkfifo(tmp_path / name)
        with pytest.raises(InputError, match="pipe"):
            load_data(tmp_path / name)


@pytest.mark.parametrize("name", ["shards.json", "train-000.tar", "train-images-idx3-ubyte"])
def test_a_pipe_in_a_folder_is_not_waited_for(tmp_path, name):
    os.mkfifo(tmp_path / name)
    with pytest.raises(InputError) as caught:
        load_data(tmp_path)
    assert str(tmp_path) in caught.value.where


def test_label_files_that_are_no_files_are_no_empty_labels(make_classes):
    folder = make_classes({"images": 2})
    write_files(folder, {"labels/0.txt": YOLO, "data.yaml": b"names: [cat]\n"})
    (folder / "labels/1.txt").symlink_to("gone.txt")
    for make in (None, os.mkfifo):
        if make:
            (folder / "labels/1.txt").unlink()
            make(folder / "labels/1.txt")
        dataset = load_data(folder)
        assert [fault.name for fault in dataset.faults] == ["images/1.png"]
        assert "labels/1.txt" in dataset.faults[0].what
        assert sum(len(split.images) for split in dataset.splits.values()) == 1
