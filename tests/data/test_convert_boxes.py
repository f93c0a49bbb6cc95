"""Boxes from one format to another: every pair keeps what it can and tells the rest; whole or not there."""

import errno
import json
import zipfile

import pytest
from box_sets import assert_same, contents_of, random_set, read_set, write_set
from faulty_pictures import encode, smooth_pixels, write_files

from striate.data.convert_boxes import BOX_FORMATS, convert_boxes
from striate.data.formats.annotations import format_of
from striate.data.label_files import LabelFiles
from striate.errors import InputError


def all_contents(folder):
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


# --- round trips ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", BOX_FORMATS)
@pytest.mark.parametrize("splits", [("train", "val", "test"), (None,)])
def test_what_is_written_is_read_again_and_what_is_not_is_told(tmp_path, name, splits):
    for seed in range(4):
        annotations, contents = random_set(seed, splits, rich=seed != 3)
        folder = tmp_path / str(seed)
        notes = write_set(name, annotations, contents, folder)
        assert format_of(LabelFiles.open(folder)) == name
        found = read_set(name, folder)
        assert found.problems == ()
        assert_same(found, annotations, notes, contents_of(folder), contents)


@pytest.mark.parametrize("to", BOX_FORMATS)
@pytest.mark.parametrize("name", BOX_FORMATS)
def test_every_pair_of_formats_keeps_boxes_and_tells_what_it_loses(tmp_path, name, to):
    seed = 10 * BOX_FORMATS.index(name) + BOX_FORMATS.index(to)
    annotations, contents = random_set(seed, ("train", "val") if seed % 2 else (None,))
    source, out = tmp_path / "source", tmp_path / "out"
    write_set(name, annotations, contents, source)
    before = all_contents(source)
    done = convert_boxes(source, out, to)
    assert all_contents(source) == before
    assert (done.source_format, done.format) == (name, to)
    assert done.objects == sum(len(picture.annotations) for picture in annotations.pictures)
    assert_same(read_set(to, out), read_set(name, source), done.notes, contents_of(out), contents_of(source))
    assert sorted(contents_of(out).values()) == sorted(contents.values())
    if to in ("coco", "yolo", "csv"):  # those that number classes
        assert read_set(to, out).classes == read_set(name, source).classes


def test_what_a_format_loses_is_listed_once_with_its_count(tmp_path):
    annotations, contents = random_set(1)
    write_set("coco", annotations, contents, tmp_path / "coco")
    notes = convert_boxes(tmp_path / "coco", tmp_path / "yolo", "yolo").notes
    masks = sum(o.mask is not None for picture in annotations.pictures for o in picture.annotations)
    assert masks
    assert f"YOLO has no place for masks (objects: {masks})" in notes
    assert len(set(notes)) == len(notes)


def test_there_and_back_again_changes_nothing(tmp_path):
    annotations, contents = random_set(5)
    write_set("coco", annotations, contents, tmp_path / "coco")
    convert_boxes(tmp_path / "coco", tmp_path / "again", "coco")
    assert all_contents(tmp_path / "again") == all_contents(tmp_path / "coco")


# --- problems and their mending ------------------------------------------------------------------------


def faulty_csv(folder, picture=None):
    """A set whose third box reaches over the edge and whose fourth has no area."""
    lines = "a.png,1,2,5,6,cat\na.png,2,2,8,8,dog\na.png,2,2,30,8,dog\na.png,3,3,3,9,dog\n"
    write_files(
        folder, {"boxes.csv": lines.encode(), "a.png": picture or encode(smooth_pixels(10, 20), "PNG")}
    )
    return folder


def test_without_fix_boxes_stay_as_they_are_and_problems_name_file_and_line(tmp_path):
    done = convert_boxes(faulty_csv(tmp_path / "in"), tmp_path / "out", "coco")
    assert [(p.place, bool(p.mend)) for p in done.problems] == [
        ("boxes.csv, line 3", True),
        ("boxes.csv, line 4", True),
    ]
    boxes = [a.box_xyxy for a in read_set("coco", tmp_path / "out").pictures[0].annotations]
    assert boxes == [(1, 2, 5, 6), (2, 2, 8, 8), (2, 2, 30, 8), (3, 3, 3, 9)]
    assert not done.fixed


def test_fix_mends_in_the_new_folder_only(tmp_path):
    source = faulty_csv(tmp_path / "in")
    before = all_contents(source)
    done = convert_boxes(source, tmp_path / "out", "coco", fix_problems=True)
    boxes = [a.box_xyxy for a in read_set("coco", tmp_path / "out").pictures[0].annotations]
    assert boxes == [(1, 2, 5, 6), (2, 2, 8, 8), (2, 2, 20, 8)]
    assert len(done.problems) == 2
    assert all_contents(source) == before
    assert convert_boxes(tmp_path / "out", tmp_path / "again", "csv").problems == ()


def test_an_area_is_that_of_the_mended_box(tmp_path):
    convert_boxes(faulty_csv(tmp_path / "in"), tmp_path / "coco", "coco")
    convert_boxes(tmp_path / "coco", tmp_path / "fixed", "coco", fix_problems=True)
    document = json.loads((tmp_path / "fixed/annotations/annotations.json").read_text())
    assert [entry["area"] for entry in document["annotations"]] == [16, 36, 18 * 6]


def test_labels_of_a_picture_that_exif_turns_are_told_and_turned(tmp_path):
    """Orientation 6: the camera's top left is the upright picture's top right."""
    from PIL import Image

    exif = Image.Exif()
    exif[0x0112] = 6
    lying = encode(smooth_pixels(10, 20), "JPEG", exif=exif.tobytes())
    table = b"filename,width,height,xmin,ymin,xmax,ymax,class\n"
    table += b"a.jpg,20,10,1,2,5,9,cat\nb.jpg,10,20,1,2,9,19,cat\n"
    write_files(tmp_path / "in", {"boxes.csv": table, "a.jpg": lying, "b.jpg": lying})
    done = convert_boxes(tmp_path / "in", tmp_path / "out", "csv", fix_problems=True)
    assert ["EXIF" in problem.what for problem in done.problems] == [True]
    turned, upright = read_set("csv", tmp_path / "out").pictures
    assert (turned.width, turned.height) == (10, 20)
    assert turned.annotations[0].box_xyxy == (10 - 9, 1, 10 - 2, 5)
    assert upright.annotations[0].box_xyxy == (1, 2, 9, 19)


@pytest.mark.parametrize("fix", [False, True])
def test_a_missing_picture_is_an_error_that_only_fix_leaves_out(tmp_path, fix):
    faulty_csv(tmp_path / "in")
    with (tmp_path / "in/boxes.csv").open("a") as file:
        file.write("gone.png,1,1,2,2,cat\n")
    if not fix:
        with pytest.raises(InputError, match=r"gone.png cannot be read") as caught:
            convert_boxes(tmp_path / "in", tmp_path / "out", "yolo")
        assert caught.value.where == "boxes.csv, line 5"
        assert not (tmp_path / "out").exists()
        return
    done = convert_boxes(tmp_path / "in", tmp_path / "out", "yolo", fix_problems=True)
    assert done.counts == {"all": 1}
    assert any(p.place == "boxes.csv, line 5" for p in done.problems)


# --- whole or not there --------------------------------------------------------------------------------


def test_a_full_disk_leaves_nothing_behind(tmp_path, monkeypatch):
    annotations, contents = random_set(2)
    write_set("voc", annotations, contents, tmp_path / "in")

    def full(*arguments, **options):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("striate.data.write.coco.json.dumps", full)
    with pytest.raises(InputError, match="No space left"):
        convert_boxes(tmp_path / "in", tmp_path / "out", "coco")
    assert [path.name for path in tmp_path.iterdir()] == ["in"]


def test_places_that_are_taken_or_inside_the_data_are_refused(tmp_path):
    source = faulty_csv(tmp_path / "in")
    write_files(tmp_path / "full", {"x": b""})
    for out, message in [(tmp_path / "full", "something already"), (source / "out", "inside the data")]:
        with pytest.raises(InputError, match=message):
            convert_boxes(source, out, "coco")
    (tmp_path / "empty").mkdir()
    assert convert_boxes(source, tmp_path / "empty", "coco").files == 2


def test_an_archive_is_converted_like_its_folder(tmp_path):
    source = faulty_csv(tmp_path / "in")
    with zipfile.ZipFile(tmp_path / "in.zip", "w") as archive:
        for path in source.iterdir():
            archive.write(path, f"data/{path.name}")
    convert_boxes(source, tmp_path / "a", "yolo")
    convert_boxes(tmp_path / "in.zip", tmp_path / "b", "yolo")
    assert all_contents(tmp_path / "a") == all_contents(tmp_path / "b")


def test_pictures_of_one_name_stay_apart_and_are_told(tmp_path):
    files = {f"{folder}/a.png": encode(smooth_pixels(8, 8, seed=k), "PNG") for k, folder in enumerate("xy")}
    files["boxes.csv"] = b"x/a.png,1,1,3,3,cat\ny/a.png,2,2,4,4,cat\n"
    write_files(tmp_path / "in", files)
    done = convert_boxes(tmp_path / "in", tmp_path / "out", "voc")
    assert set(contents_of(tmp_path / "out")) == {"JPEGImages/x-a.png", "JPEGImages/y-a.png"}
    assert done.notes == ("2 pictures have another name, as x/a.png, which is JPEGImages/x-a.png",)


def test_several_formats_or_none_are_refused_and_from_decides(tmp_path):
    source = faulty_csv(tmp_path / "in")
    write_files(source, {"annotations.json": b'{"images": [], "annotations": [], "categories": []}'})
    with pytest.raises(InputError, match="several formats: coco, csv"):
        convert_boxes(source, tmp_path / "out", "yolo")
    assert convert_boxes(source, tmp_path / "out", "yolo", source_format="csv").objects == 4
    write_files(tmp_path / "none", {"a.png": encode(smooth_pixels(4, 4), "PNG")})
    with pytest.raises(InputError, match="no labels in a format that is known"):
        convert_boxes(tmp_path / "none", tmp_path / "other", "yolo")
    for option in ({"to": "jpeg"}, {"to": "coco", "source_format": "xml"}):
        with pytest.raises(InputError, match="is no format of boxes"):
            convert_boxes(source, tmp_path / "third", **option)


def test_facts_are_plain_json(tmp_path):
    done = convert_boxes(faulty_csv(tmp_path / "in"), tmp_path / "out", "yolo")
    facts = json.loads(json.dumps(done.facts()))
    assert (facts["objects"], facts["splits"], facts["classes"]) == (4, {"all": 1}, ["cat", "dog"])
    assert facts["problems"][0]["place"] == "boxes.csv, line 3"
