"""Run folders of earlier releases: they load, are measured, predict and go on.

``old_runs/`` holds one of each task, stopped after the first of two epochs, as the commit f5a1b51 wrote it
(format_version 1): small networks on built-in data, in fp32; the dense layers of the localizers began at zero
so that they pack small.
"""

import json
import tarfile
from pathlib import Path

import pytest
import torch

import striate

TASKS = ("classification", "hierarchy", "localization", "objectness", "detection")
ON_DATA = [
    *TASKS[:2],
    *(pytest.param(name, marks=pytest.mark.slow) for name in TASKS[2:]),
]


@pytest.fixture
def old_run(request, tmp_path) -> Path:
    name = request.param
    with tarfile.open(Path(__file__).parent / "old_runs" / f"{name}.tar.xz") as archive:
        archive.extractall(tmp_path, filter="data")
    return tmp_path / name


@pytest.mark.parametrize("old_run", TASKS, indirect=True)
def test_it_loads_and_predicts(old_run):
    run = striate.load_run(old_run)
    channels = run.config.input.channels
    found = run.predict([torch.zeros(channels, 40, 50, dtype=torch.uint8), torch.ones(channels, 8, 8).byte()])
    assert len(found) == 2
    assert all(prediction.label in run.classes for one in found for prediction in one)


@pytest.mark.parametrize("old_run", ON_DATA, indirect=True)
def test_it_is_measured_on_its_own_pictures_as_then(old_run):
    row = json.loads((old_run / "metrics.jsonl").read_text().splitlines()[-1])
    metrics = striate.load_run(old_run).evaluate(split="val")["metrics"]
    assert metrics.keys() >= row["val"].keys() - {"loss"}
    for name in metrics.keys() & row["val"].keys() - {"loss"}:
        assert metrics[name] == pytest.approx(row["val"][name], abs=0.02), name  # some pictures in a hundred


@pytest.mark.parametrize("old_run", ON_DATA, indirect=True)
def test_it_goes_on(old_run):
    run = striate.resume(old_run)
    rows = [json.loads(line) for line in (old_run / "metrics.jsonl").read_text().splitlines()]
    assert [row["epoch"] for row in rows] == [1, 2]
    assert json.loads((old_run / "results.json").read_text())["results"]
    assert run.evaluate(split="test")["num_samples"] > 0
