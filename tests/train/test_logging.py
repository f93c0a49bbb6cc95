"""TensorBoard events, read back by TensorBoard's own reader."""

import sys

import pytest

from striate.errors import InputError
from striate.train.logging import TensorBoardLogger

ROWS = [
    {"epoch": 1, "step": 118, "lr": 0.01, "train": {"loss": 0.51, "accuracy": 0.83}, "val": {"loss": 0.4}},
    {"epoch": 2, "step": 236, "lr": 0.005, "train": {"loss": 0.25, "accuracy": 0.9}},
]


def read_back(folder) -> dict[str, list[tuple[int, float]]]:
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    events = accumulator.EventAccumulator(str(folder)).Reload()
    return {
        tag: [(event.step, event.value) for event in events.Scalars(tag)] for tag in events.Tags()["scalars"]
    }


def test_every_number_of_a_row_comes_back_at_its_step(tmp_path):
    logger = TensorBoardLogger(tmp_path)
    for row in ROWS:
        logger.log(row)
    logger.close()
    expected = {
        "epoch": [(118, 1), (236, 2)],
        "lr": [(118, 0.01), (236, 0.005)],
        "train/loss": [(118, 0.51), (236, 0.25)],
        "train/accuracy": [(118, 0.83), (236, 0.9)],
        "val/loss": [(118, 0.4)],
    }
    found = read_back(tmp_path)
    assert found.keys() == expected.keys()
    for tag, points in expected.items():
        assert [step for step, _ in found[tag]] == [step for step, _ in points]
        assert [value for _, value in found[tag]] == pytest.approx([value for _, value in points], rel=1e-6)


def test_a_row_is_on_disk_before_the_logger_is_closed(tmp_path):
    logger = TensorBoardLogger(tmp_path)
    logger.epoch(ROWS[0])
    assert read_back(tmp_path)["epoch"] == [(118, 1.0)]
    logger.close()


def test_a_resumed_run_goes_on_in_the_same_folder(tmp_path):
    for row in ROWS:
        logger = TensorBoardLogger(tmp_path)
        logger.log(row)
        logger.close()
    assert [step for step, _ in read_back(tmp_path)["epoch"]] == [118, 236]


def test_without_tensorboard_the_mend_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with pytest.raises(InputError) as caught:
        TensorBoardLogger(tmp_path / "events")
    assert caught.value.what_to_do == "pip install 'striate[logging]'"
    assert not (tmp_path / "events").exists()
