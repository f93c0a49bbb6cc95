"""The boxes of Open Images: hand-worked cases, and faults with their line."""

import pytest
from faulty_pictures import encode, smooth_pixels
from label_cases import files_of

from striate.data.convert_boxes import convert_boxes
from striate.data.formats import csv_boxes, open_images
from striate.data.formats.annotations import format_of
from striate.data.load import load_data
from striate.errors import InputError

PNG = encode(smooth_pixels(50, 100), "PNG")  # 100 wide, 50 high
HEAD = "ImageID,Source,LabelName,Confidence,XMin,XMax,YMin,YMax,IsOccluded,IsTruncated,IsGroupOf,IsDepiction"
ROWS = """
a1,xclick,/m/01,1,0.1,0.5,0.2,0.6,0,1,0,0
a1,xclick,/m/02,1,0,1,0,1,-1,-1,1,0
"""
NAMES = "/m/01,Dog\n/m/02,Traffic light\n"


def read(rows=ROWS, **more):
    files = {"train-annotations-bbox.csv": HEAD + rows, "class-descriptions-boxable.csv": NAMES}
    return open_images.read(files_of({**files, "train/a1.png": PNG, "train/b2.png": PNG, **more}))


def test_boxes_are_fractions_of_pictures_and_classes_have_names():
    found = read()
    first, second = found.pictures[0].annotations
    assert found.pictures[0].path == "train/a1.png"
    assert found.pictures[0].split == "train"
    assert (first.label, first.box_xyxy, first.place) == (
        "Dog", (10, 10, 50, 30), "train-annotations-bbox.csv, line 2",
    )  # fmt: skip
    assert (first.crowd, first.occluded, first.truncated) == (False, False, True)
    assert (second.label, second.box_xyxy, second.crowd) == ("Traffic light", (0, 0, 100, 50), True)
    assert (second.occluded, second.attributes["occluded"]) == (None, "-1")
    assert found.classes == ("Dog", "Traffic light")
    assert [problem.what[:39] for problem in found.problems] == ["left out, because without labels: 1 pic"]


def test_the_format_is_told_from_other_tables():
    files = files_of({"x.csv": HEAD + ROWS})
    assert format_of(files) == "open-images"
    assert not csv_boxes.recognizes(files)
    assert not open_images.recognizes(files_of({"x.csv": "filename,class,xmin,ymin,xmax,ymax\n"}))


def test_classes_without_a_name_keep_their_ids_and_two_of_one_name_are_apart():
    found = read(**{"class-descriptions-boxable.csv": "LabelName,DisplayName\n/m/01,Dog\n"})
    assert found.classes == ("/m/02", "Dog")
    assert [problem.place for problem in found.problems] == ["train-annotations-bbox.csv, line 3", "train"]
    found = read(**{"class-descriptions-boxable.csv": "/m/01,Dog\n/m/02,Dog\n"})
    assert found.classes == ("Dog (/m/01)", "Dog (/m/02)")


@pytest.mark.parametrize(
    "row",
    [
        "a1,xclick,/m/01,1,0.1,0.5,0.2,,0,1,0,0",
        "a1,xclick,/m/01,1,0.1,x,0.2,0.6,0,1,0,0",
        "a1,xclick,/m/01,1,0.1,0.5,0.2",
        "a1,xclick,,1,0.1,0.5,0.2,0.6,0,1,0,0",
    ],
)
def test_the_picture_of_a_line_that_cannot_be_read_is_left_out(row):
    found = read(f"{ROWS}{row}\n")
    assert found.unread["train/a1.png"].place == "train-annotations-bbox.csv, line 4"


def test_a_value_a_hair_beyond_the_edge_is_cut_and_told():
    found = read("\na1,xclick,/m/01,1,0.1,1.0004,0.2,0.6,0,1,0,0\n")
    assert found.pictures[0].annotations[0].box_xyxy == (10, 10, 100, 30)
    assert "0.04 %" in found.problems[0].what


def test_a_description_that_is_none_is_refused():
    with pytest.raises(InputError) as error:
        read(**{"class-descriptions-boxable.csv": "/m/01\n"})
    assert error.value.where == "data/class-descriptions-boxable.csv, line 1"


def test_the_data_are_loaded_and_converted_and_the_format_is_only_read(tmp_path):
    source = tmp_path / "data"
    (source / "train").mkdir(parents=True)
    (source / "train/a1.png").write_bytes(PNG)
    (source / "train-annotations-bbox.csv").write_text(HEAD + ROWS)
    (source / "class-descriptions-boxable.csv").write_text(NAMES)
    dataset = load_data(source)
    assert (dataset.format, dataset.classes, len(dataset.splits["train"])) == (
        "open-images", ("Dog", "Traffic light"), 1,
    )  # fmt: skip
    assert convert_boxes(source, tmp_path / "out", "coco").objects == 2
    with pytest.raises(InputError, match="open-images is only read"):
        convert_boxes(source, tmp_path / "again", None)
