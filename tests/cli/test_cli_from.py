"""``--from FORMAT`` wherever data are read, and counts in the singular."""

import json
import shutil
from types import SimpleNamespace

import pytest
from faulty_pictures import write_files
from small_data import draw_shapes

import striate
from striate.data.load import load_data
from striate.recipe import load_recipe
from striate.run_folder import read_config

QUICK = ("--epochs", 1, "--batch-size", 16, "--image-size", 32, "--device", "cpu")


@pytest.fixture(scope="module")
def outlined(tmp_path_factory):
    """Class folders with outlines beside each picture in a format that is not read."""
    folder = draw_shapes(tmp_path_factory.mktemp("data") / "outlined", 15)
    pictures = [path.relative_to(folder) for path in sorted(folder.rglob("*.png"))]
    outlines = b'{"outline": "traced", "points": [[1, 2], [3, 4], [5, 1]], "of": "%s"}'
    write_files(
        folder,
        {str(path.with_suffix(".json")): outlines % path.name.encode() for path in pictures},
    )
    return folder


@pytest.fixture(scope="module")
def run(outlined, tmp_path_factory):
    """A run on these data that was stopped and went on."""
    place = tmp_path_factory.mktemp("runs") / "run"

    def stop(state, loss):
        if state.step == 2:
            raise KeyboardInterrupt

    watcher = SimpleNamespace(start=lambda *_: None, phase=lambda *_: None, step=stop, epoch=lambda row: None)
    settings = {"data.format": "image-folder", "train.epochs": 2, "train.batch_size": 16, "input.size": 32}
    with pytest.raises(KeyboardInterrupt):
        striate.train(outlined, out=place, settings=settings, watchers=[watcher])
    return striate.api.resume(place)


def test_without_it_these_data_are_refused_with_this_mend(run_cli, outlined):
    outcome = run_cli("data", "info", outlined)
    assert outcome.code == 2
    assert "--from image-folder" in outcome.err


def test_a_run_keeps_it_and_goes_on_with_it(run, outlined):
    assert read_config(run.path).recipe.data.format == "image-folder"
    assert load_recipe(run.path / "recipe.toml").data.format == "image-folder"
    assert run.evaluate()["num_samples"] == run.config.data.splits["test"]


def test_train_tune_and_find_lr_take_it(run_cli, outlined, tmp_path):
    from striate.cli.find_lr import next_command

    outcome = run_cli("train", outlined, "--from", "image-folder", "--out", tmp_path / "run", *QUICK)
    assert outcome.code == 0, outcome.err
    assert 'format = "image-folder"' in (tmp_path / "run/recipe.toml").read_text()
    for command in ("train", "tune", "find-lr"):
        refused = run_cli(command, outlined, "--from", "yolov9")
        assert refused.code == 2
        assert "yolov9" in refused.err
        assert "image-folder" in refused.err
    given = {"data": "x", "from_": "coco", "change": []}
    assert next_command(given, None) == "striate train x --from coco"


def test_info_audit_evaluate_split_and_convert_take_it(run_cli, outlined, run, tmp_path):
    named = ("--from", "image-folder")
    assert json.loads(run_cli("data", "info", outlined, *named, "--json").out)["format"] == "image-folder"
    audited = json.loads(run_cli("data", "audit", outlined, *named, "--workers", 0, "--json").out)
    assert "refused" not in {finding["kind"] for finding in audited["findings"]}
    measured = run_cli("evaluate", run.path, outlined, *named, "--split", "all", "--json")
    assert json.loads(measured.out)["num_samples"] == 30
    assert run_cli("data", "split", outlined, tmp_path / "split", *named).code == 0
    assert {*load_data(tmp_path / "split").splits} == {"train", "val", "test"}
    assert run_cli("data", "convert", outlined, tmp_path / "shards", *named, "--to", "tar-shards").code == 0
    assert len(load_data(tmp_path / "shards").splits["all"]) == 30


def test_one_is_one_class_and_one_picture(run_cli, tmp_path):
    folder = draw_shapes(tmp_path / "shapes", 1)
    for picture in sorted(folder.rglob("*.png"))[1:]:
        picture.unlink()
    (picture,) = folder.rglob("*.png")
    shutil.move(picture, tmp_path / "shapes" / "0.png")
    write_files(folder, {"0.txt": b"0 0.5 0.5 0.25 0.25\n", "data.yaml": b"names: [cat]\n"})
    outcome = run_cli("data", "convert", folder, tmp_path / "out", "--to", "csv")
    assert "1 picture; 1 object of 1 class, " in outcome.out
    audited = run_cli("data", "audit", folder, "--workers", 0)
    assert "1 picture with 1 object of 1 class, yolo" in audited.out
