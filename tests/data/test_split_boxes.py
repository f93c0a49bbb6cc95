"""Labelled boxes divided into splits: as training divides them, with all that conversion keeps and tells."""

import json
import shutil
from collections import Counter
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
from box_sets import contents_of, random_set, write_set
from faulty_pictures import encode, smooth_pixels, write_files
from small_data import contents

from striate.data.convert import with_splits
from striate.data.convert_boxes import BOX_FORMATS, convert_boxes
from striate.data.load import load_data
from striate.data.split import split_dataset
from striate.errors import InputError

FRACTIONS = (0.5, 0.25, 0.25)


def boxes_in(name, folder, count=6, splits=(None,)):
    """``count`` times six pictures in a format; their contents differ."""
    pictures, files = [], {}
    for seed in range(count):
        annotations, own = random_set(seed, splits, rich=False)
        for picture in annotations.pictures:
            path = f"{picture.split}/{seed}-{picture.path.replace('/', '-')}"
            files[path] = own[picture.path] + bytes([seed])  # bytes behind a PNG's end change no pixel
            pictures.append(replace(picture, path=path))
    pictures.sort(key=lambda picture: (picture.split or "", picture.path))
    write_set(name, replace(annotations, pictures=tuple(pictures)), files, folder)
    return folder


def divide(fractions=FRACTIONS, seed=3):
    return partial(with_splits, fractions=fractions, seed=seed)


def labelled(dataset):
    """The multiset of (split, bytes of the picture, its classes and boxes to 0.01 pixels)."""
    found = Counter()
    for name, split in dataset.splits.items():
        for i in range(len(split)):
            one = split.objects[i]
            boxes = [tuple(round(v, 2) for v in box) for box in one.boxes_xyxy.tolist()]
            objects = sorted(zip((dataset.classes[k] for k in one.labels.tolist()), boxes, strict=True))
            found[name, split.images.content(i), tuple(objects)] += 1
    return found


@pytest.mark.parametrize("name", BOX_FORMATS)
def test_splits_are_those_of_training_and_are_read_back_with_all_boxes(tmp_path, name):
    source = boxes_in(name, tmp_path / "in")
    before = contents(source)
    done = convert_boxes(source, tmp_path / "out", None, divide=divide())
    trained_on = split_dataset(load_data(source), FRACTIONS, 3)
    found = load_data(tmp_path / "out")
    assert labelled(found) == labelled(trained_on)
    assert done.format == found.format == name
    assert done.counts == {name: len(split) for name, split in trained_on.splits.items()}
    assert set(found.classes) == set(trained_on.classes)
    assert contents(source) == before
    other = convert_boxes(source, tmp_path / "other", None, divide=divide(seed=4))
    assert other.counts == done.counts
    assert labelled(load_data(tmp_path / "other")) != labelled(found)


def test_another_format_holds_the_same_splits_and_tells_what_it_loses(tmp_path):
    annotations, files = random_set(1, (None,))
    write_set("coco", annotations, files, tmp_path / "in")
    done = convert_boxes(tmp_path / "in", tmp_path / "out", "yolo", divide=divide())
    expected = split_dataset(load_data(tmp_path / "in"), FRACTIONS, 3)
    assert labelled(load_data(tmp_path / "out")) == labelled(expected)
    assert any("masks" in note for note in done.notes)


def test_a_test_split_stays_and_val_is_cut_from_train(tmp_path):
    boxes_in("csv", tmp_path / "in", splits=("train", "train", "test"))
    convert_boxes(tmp_path / "in", tmp_path / "out", None, divide=divide(None, 0))
    before, after = load_data(tmp_path / "in"), load_data(tmp_path / "out")
    assert labelled(after) == labelled(split_dataset(before))
    counts = {name: len(split) for name, split in after.splits.items()}
    assert counts == {"train": 19, "val": 5, "test": 12}  # val has one of each class, and one without objects


def test_links_are_the_same_files_and_archives_are_copied(tmp_path):
    source = boxes_in("voc", tmp_path / "in", 2)
    linked = convert_boxes(source, tmp_path / "out", None, divide=divide(), link=True)
    inodes = {path.stat().st_ino for path in source.rglob("*.png")}
    assert {path.stat().st_ino for path in (tmp_path / "out").rglob("*.png")} == inodes
    assert not any("copies" in note for note in linked.notes)
    packed = shutil.make_archive(tmp_path / "packed", "zip", source)
    copied = convert_boxes(Path(packed), tmp_path / "b", "coco", link=True)
    assert copied.notes[-1].startswith("12 pictures are copies")
    assert all(path.stat().st_nlink == 1 for path in (tmp_path / "b").rglob("*.png"))
    assert sorted(contents_of(tmp_path / "b").values()) == sorted(contents_of(source).values())


# --- as a user meets it --------------------------------------------------------------------------------


@pytest.fixture
def faulty(tmp_path):
    """Twelve pictures; a box of the first is beyond the edge."""
    table = ["0.png,2,2,30,8,dog", *(f"{k}.png,1,2,5,6,{'cat' if k % 2 else 'dog'}" for k in range(12))]
    files = {f"{k}.png": encode(smooth_pixels(10, 20, seed=k), "PNG") for k in range(12)}
    write_files(tmp_path / "in", files | {"boxes.csv": "\n".join(table).encode()})
    return tmp_path / "in"


def test_wrong_labels_are_refused_by_name_or_mended(run_cli, faulty, tmp_path):
    outcome = run_cli("data", "split", faulty, tmp_path / "out")
    assert outcome.code == 2
    assert "boxes.csv, line 1: the box 2, 2, 30, 8 reaches beyond" in outcome.err
    assert "--fix" in outcome.err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in"]
    outcome = run_cli("data", "split", faulty, tmp_path / "out", "--fix", "--fractions", "0.5,0.25,0.25")
    assert (outcome.code, outcome.err) == (0, "")
    lines = outcome.out.splitlines()
    assert lines[0] == f"{tmp_path / 'out'}: csv, from csv"
    assert lines[1].startswith("6 train, 3 val, 3 test; 13 objects of 2 classes, ")
    assert "pixels: it is cut at the edge" in outcome.out
    assert lines[-1] == f"striate train {tmp_path / 'out'}"
    assert run_cli("data", "split", tmp_path / "out", tmp_path / "again").code == 2  # split already
    convert_boxes(faulty, tmp_path / "mended", None, fix_problems=True)
    expected = split_dataset(load_data(tmp_path / "mended"), (0.5, 0.25, 0.25), 0)
    assert labelled(load_data(tmp_path / "out")) == labelled(expected)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--to", "image-folder"], "'image-folder' is no format of boxes"),
        (["--strict"], "--strict means nothing"),
        (["--from", "voc"], "there are no Pascal VOC files"),
        (["--fix", "--fractions", "1,0.2,0"], "do not sum to 1"),
        (["--fix", "--fractions", "0,0.5,0.5"], "left to train on"),
    ],
)
def test_what_cannot_be_is_refused_in_three_lines_and_leaves_nothing(
    run_cli, faulty, tmp_path, options, message
):
    outcome = run_cli("data", "split", faulty, tmp_path / "out", *options)
    assert (outcome.code, outcome.out) == (2, "")
    assert message in outcome.err
    assert len(outcome.err.splitlines()) == 3
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in"]


def test_boxes_are_never_dropped_by_a_format_of_classes(run_cli, faulty, tmp_path):
    convert_boxes(faulty, tmp_path / "mended", None, fix_problems=True)
    outcome = run_cli("data", "convert", tmp_path / "mended", tmp_path / "out", "--to", "image-folder")
    assert outcome.code == 2
    assert "no boxes" in outcome.err
    assert not (tmp_path / "out").exists()


def test_data_with_nothing_to_train_on_are_refused(faulty):
    table = (faulty / "boxes.csv").read_text().splitlines()[1:]
    rows = ["filename,xmin,ymin,xmax,ymax,class,split", *(f"{row},test" for row in table)]
    (faulty / "boxes.csv").write_text("\n".join(rows))
    with pytest.raises(InputError, match="no train split, only test"):
        split_dataset(load_data(faulty))


def test_data_of_the_catalogue_are_found_by_name_and_read_in_their_format(run_cli, tmp_path, monkeypatch):
    boxes_in("voc", tmp_path / "own" / "bccd", 3)
    table = b"a.png,1,1,3,3,cat\n"  # which, by its looks, could be meant as well
    write_files(tmp_path / "own" / "bccd", {"boxes.csv": table, "a.png": encode(smooth_pixels(8, 8), "PNG")})
    monkeypatch.setenv("STRIATE_DATA", str(tmp_path / "own"))
    monkeypatch.chdir(tmp_path)
    for command in ("split", "convert"):
        outcome = run_cli("data", command, "bccd", tmp_path / command, "--json")
        assert (outcome.code, outcome.err) == (0, "")
        facts = json.loads(outcome.out)
        assert (facts["source_format"], facts["format"], sum(facts["splits"].values())) == ("voc", "voc", 18)
