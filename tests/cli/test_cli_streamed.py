"""Commands on pictures that do not fit in memory: what the cache has to say is told, and a run that workers
have stopped goes on without them."""

import json
import multiprocessing

import pytest

from striate.data.dataset import FolderImages
from striate.run_folder import read_config
from striate.train.fit import CHECKPOINT

STREAMED = ("--model", "lenet5", "--epochs", "1", "--precision", "fp32", "--set", "data.memory_mb=0")
SMALL_CACHE = ("--set", "data.cache_mb=0.01")  # it has room for a few pictures of 24 pixels


@pytest.fixture
def _own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("STRIATE_CACHE", str(tmp_path / "cache"))


@pytest.mark.usefixtures("_own_cache")
def test_notes_on_the_cache_are_told_before_training_and_evaluation(run_cli, shapes_folder, tmp_path):
    run = tmp_path / "run"
    outcome = run_cli("train", shapes_folder, *STREAMED, *SMALL_CACHE, "--out", run, "--json")
    assert outcome.code == 0, outcome.err
    lines = outcome.err.splitlines()
    place = f"({tmp_path / 'cache' / 'pictures'}, data.cache_mb)"
    told = "pictures will be decoded each time: the picture cache is full"
    assert lines[0].startswith("lenet5 on shapes (")
    assert [line.split(":")[0] for line in lines[1:4]] == ["train", "val", "test"]
    assert all(told in line and line.endswith(place) for line in lines[1:4])
    assert lines[4].startswith("epoch   1/1")
    outcome = run_cli("evaluate", run, "--split", "val", "--json")
    assert outcome.code == 0
    assert told in outcome.err
    assert outcome.err.endswith(place + "\n")
    assert json.loads(outcome.out)["split"] == "val"


@pytest.mark.usefixtures("_own_cache")
def test_nothing_is_told_where_all_pictures_have_room(run_cli, shapes_folder, tmp_path):
    outcome = run_cli("train", shapes_folder, *STREAMED, "--out", tmp_path / "run")
    assert len(outcome.err.splitlines()) == 2
    assert run_cli("evaluate", tmp_path / "run").err == ""


@pytest.mark.usefixtures("_own_cache")
def test_a_run_that_a_worker_stopped_goes_on_without_workers(run_cli, shapes_folder, tmp_path, monkeypatch):
    arguments = ("train", shapes_folder, *STREAMED, "--set", "data.cache_mb=0", "--epochs", "2")
    whole, run = tmp_path / "whole", tmp_path / "run"
    assert run_cli(*arguments, "--out", whole).code == 0
    decode = FolderImages.decode

    def fail_in_workers(images, index, content):
        if multiprocessing.parent_process() and (run / CHECKPOINT).exists():
            raise AttributeError("a decoder that fails")
        return decode(images, index, content)

    monkeypatch.setattr(FolderImages, "decode", fail_in_workers)
    stopped = run_cli(*arguments, "--workers", "2", "--out", run)
    assert stopped.code == 1
    assert "a worker that reads pictures failed: AttributeError: a decoder that fails" in stopped.err
    assert "--workers 0" in stopped.err
    assert run_cli("train", "--resume", run).code == 1  # as many as before
    resumed = run_cli("train", "--resume", run, "--workers", "0")
    assert resumed.code == 0, resumed.err
    for name in ("model.safetensors", "metrics.jsonl"):
        assert (run / name).read_bytes() == (whole / name).read_bytes()
    assert read_config(run).recipe.data.workers == 2
    assert run_cli("evaluate", run).code == 1
    assert run_cli("evaluate", run, "--workers", "0").code == 0


def test_resume_takes_no_other_setting_beside_workers(run_cli, shapes_run):
    refused = run_cli("train", "--resume", shapes_run.path, "--workers", "0", "--epochs", "3")
    assert refused.code == 2
    assert "a resumed run keeps its settings" in refused.err
