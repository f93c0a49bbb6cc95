"""Generated pictures with boxes as files: every format gives the same pictures, boxes and splits back."""

import json

import pytest
import torch

from striate.data import builtin
from striate.data.convert_boxes import BOX_FORMATS, write_boxes
from striate.data.dataset import Dataset
from striate.data.load import load_data
from striate.errors import InputError


@pytest.fixture(autouse=True)
def _few_scenes(monkeypatch):
    monkeypatch.setattr(builtin, "SCENES", {"count_train": 6, "count_val": 3, "count_test": 2})


def rows(dataset: Dataset, split: str) -> list:
    """Pixels and named boxes of each picture, in an order that does not depend on names."""
    part = dataset.splits[split]
    found = []
    for index in range(len(part)):
        objects = part.objects[index]
        names = [dataset.classes[label] for label in objects.labels.tolist()]
        boxes = objects.boxes_xyxy.mul(100).round().tolist()  # formats keep a hundredth of a pixel
        found.append((part.images.read(index).numpy().tobytes(), sorted(zip(names, boxes, strict=True))))
    return sorted(found)


@pytest.mark.parametrize("name", BOX_FORMATS)
def test_generated_scenes_are_the_same_from_files(name, tmp_path):
    scenes = load_data("scenes")
    done = write_boxes(scenes, tmp_path / "out", name)
    assert done.counts == {"train": 6, "val": 3, "test": 2}
    assert done.objects == sum(len(split.objects.labels) for split in scenes.splits.values())
    read = load_data(tmp_path / "out")
    assert read.format == name
    assert read.splits.keys() == scenes.splits.keys()
    for split in scenes.splits:
        assert rows(read, split) == rows(scenes, split)


def test_pictures_without_objects_stay(tmp_path):
    windows = load_data("scenes-windows")
    write_boxes(windows, tmp_path / "out", "coco")
    read = load_data(tmp_path / "out")
    for split, part in windows.splits.items():
        assert torch.equal(read.splits[split].objects.counts.sort()[0], part.objects.counts.sort()[0])
        assert (part.objects.counts == 0).any()


def test_the_command_writes_them_and_says_how_to_train(run_cli, tmp_path):
    outcome = run_cli("data", "convert", "scenes", tmp_path / "out", "--to", "voc")
    assert outcome.code == 0, outcome.err
    assert f"striate train {tmp_path / 'out'}" in outcome.out
    facts = json.loads(run_cli("data", "info", tmp_path / "out", "--json").out)
    assert {name: split["pictures"] for name, split in facts["splits"].items()} == {
        "train": 6,
        "val": 3,
        "test": 2,
    }
    again = run_cli("data", "convert", "scenes", tmp_path / "out", "--to", "voc")
    assert (again.code, "there is something already" in again.err) == (2, True)
    assert "means nothing" in run_cli("data", "convert", "scenes", tmp_path / "b", "--to", "voc", "--fix").err


def test_digits_have_no_boxes(tmp_path):
    with pytest.raises(InputError, match="no boxes"):
        write_boxes(load_data("digits"), tmp_path / "out", "coco")
    assert not list(tmp_path.iterdir())
