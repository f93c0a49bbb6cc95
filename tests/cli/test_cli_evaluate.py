"""``striate evaluate``: its JSON, its splits, and other data than the run's own."""

import json
import shutil

import pytest
from small_data import contents, write_digits

METRICS = {
    "loss", "accuracy", "top5_accuracy", "balanced_accuracy", "macro_precision", "macro_recall",
    "macro_f1", "calibration_error", "log_loss",
}  # fmt: skip


def test_json_is_split_number_and_metrics_of_the_test_split(run_cli, digits_run):
    outcome = run_cli("evaluate", digits_run.path, "--json")
    assert (outcome.code, outcome.err) == (0, "")
    result = json.loads(outcome.out)
    assert list(result) == ["split", "num_samples", "metrics"]
    assert (result["split"], result["num_samples"]) == ("test", 180)
    assert result["metrics"].keys() == METRICS
    assert all(type(value) is float for value in result["metrics"].values())
    assert result["metrics"] == digits_run.results["test"]
    assert result["metrics"]["accuracy"] > 0.8


@pytest.mark.parametrize(("split", "count"), [("train", 1348), ("val", 269), ("test", 180), ("all", 1797)])
def test_every_split_can_be_asked_for(run_cli, digits_run, split, count):
    result = json.loads(run_cli("evaluate", digits_run.path, "--split", split, "--json").out)
    assert (result["split"], result["num_samples"]) == (split, count)
    if split in digits_run.results:
        assert result["metrics"] == digits_run.results[split]


def test_the_table_says_the_same_to_a_person(run_cli, digits_run):
    outcome = run_cli("evaluate", digits_run.path)
    lines = outcome.out.splitlines()
    assert lines[0] == "180 pictures of the test split"
    rows = dict(line.split() for line in lines[1:])
    assert rows["accuracy"] == f"{digits_run.results['test']['accuracy']:.4f}"
    assert rows.keys() - {"metric"} == METRICS


def test_labels_of_other_data_are_mapped_by_their_names(run_cli, digits_run, tmp_path):
    paths = write_digits(tmp_path / "some", range(400))
    for digit in set("0123456789") - set("397"):
        shutil.rmtree(tmp_path / "some" / digit)  # class ids 0, 1, 2 of the data are 3, 7, 9 of the run
    paths = [path for path in paths if path.exists()]
    right = [digits_run.predict(path)[0].label == path.parent.name for path in paths]
    assert sum(right) > len(right) / 2
    result = json.loads(run_cli("evaluate", digits_run.path, tmp_path / "some", "--json").out)
    assert (result["split"], result["num_samples"]) == ("all", len(paths))
    assert result["metrics"]["accuracy"] == pytest.approx(sum(right) / len(right))


def test_data_with_splits_of_their_own_keep_them(run_cli, digits_run, tmp_path):
    for split, pictures in {"train": range(50), "test": range(50, 80)}.items():
        write_digits(tmp_path / "data" / split, pictures)
    result = json.loads(run_cli("evaluate", digits_run.path, tmp_path / "data", "--json").out)
    assert (result["split"], result["num_samples"]) == ("test", 30)
    outcome = run_cli("evaluate", digits_run.path, tmp_path / "data", "--split", "val")
    assert outcome.code == 2
    assert "--split train, test, all" in outcome.err


def test_own_data_at_another_place_are_split_as_they_were(run_cli, shapes_run, shapes_folder, tmp_path):
    moved = shutil.copytree(shapes_folder, tmp_path / "elsewhere")
    result = json.loads(run_cli("evaluate", shapes_run.path, moved, "--json").out)
    assert (result["split"], result["metrics"]) == ("test", shapes_run.results["test"])


def test_a_class_that_the_run_does_not_know_is_an_error(run_cli, digits_run, shapes_folder):
    before = contents(shapes_folder)
    outcome = run_cli("evaluate", digits_run.path, shapes_folder)
    assert (outcome.code, outcome.out) == (2, "")
    assert "disc, square" in outcome.err
    assert str(shapes_folder) in outcome.err
    assert contents(shapes_folder) == before


def test_other_data_with_a_picture_that_cannot_be_read_are_an_error(run_cli, digits_run, tmp_path):
    write_digits(tmp_path / "data", range(20))
    (tmp_path / "data" / "3" / "notes.pdf").write_bytes(b"%PDF")  # no picture, and none was to be measured
    assert run_cli("evaluate", digits_run.path, tmp_path / "data").code == 0
    good = (tmp_path / "data" / "3" / "3.png").read_bytes()
    for content in (b"", good[:-30]):  # found out by the header, and by the pixels
        (tmp_path / "data" / "3" / "bad.png").write_bytes(content)
        outcome = run_cli("evaluate", digits_run.path, tmp_path / "data")
        assert outcome.code == 2
        assert "3/bad.png" in outcome.err


@pytest.mark.parametrize("flags", [("--iou", "0.5"), ("--max-detections", "10")])
def test_what_is_for_boxes_is_an_error_where_there_are_none(run_cli, digits_run, flags):
    outcome = run_cli("evaluate", digits_run.path, *flags)
    assert outcome.code == 2
    assert flags[0] in outcome.err
