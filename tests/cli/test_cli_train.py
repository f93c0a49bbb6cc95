"""``striate train`` as a user sees it: what it prints, exit codes, what lies in the run folder."""

import json
import re
import signal
import sys
import tomllib
from pathlib import Path

import pytest
from small_data import contents

import striate
from striate.cli.progress import TrainingProgress
from striate.recipe import Recipe, load_recipe
from striate.run_folder import free_folder, read_config, unfinished_folder

QUICK = ("--model", "lenet5", "--epochs", "1", "--precision", "fp32")


@pytest.mark.parametrize(
    ("arguments", "section", "key", "value"),
    [
        (["--model", "lenet5"], "model", "name", "lenet5"),
        (["--epochs", "7"], "train", "epochs", 7),
        (["--batch-size", "3"], "train", "batch_size", 3),
        (["--lr", "0.5"], "optimizer", "lr", 0.5),
        (["--image-size", "40"], "input", "size", [40, 40]),
        (["--precision", "bf16"], "train", "precision", "bf16"),
        (["--device", "cpu"], "train", "device", "cpu"),
        (["--workers", "2"], "data", "workers", 2),
        (["--seed", "9"], "train", "seed", 9),
        (["--strict"], "train", "strict", True),
        (["--pretrained"], "model", "pretrained", True),
        (["--weights", "runs/a"], "model", "weights", "runs/a"),
        (["--freeze", "stage2"], "train", "freeze", "stage2"),
        (["--batch-size", "auto"], "train", "batch_size", "auto"),
        (["--class-weights", "balanced"], "loss", "class_weights", "balanced"),
        (["--sampling", "balanced"], "data", "sampling", "balanced"),
        (["--mixup", "0.2"], "augment", "mixup", 0.2),
        (["--cutmix", "1"], "augment", "cutmix", 1.0),
        (["--erase", "0.25"], "augment", "erase", 0.25),
        (["--set", "augment.flip=true"], "augment", "flip", True),
        (["--set", "input.size=[20, 30]"], "input", "size", [20, 30]),
        (["--set", "optimizer.name=sgd", "--set", "optimizer.name=adam"], "optimizer", "name", "adam"),
        (["--epochs", "7", "--set", "train.epochs=8"], "train", "epochs", 8),
    ],
)
def test_a_flag_changes_its_setting_and_nothing_else(run_cli, arguments, section, key, value):
    outcome = run_cli("train", *arguments, "--print-config")
    assert (outcome.code, outcome.err) == (0, "")
    expected = Recipe().model_dump(mode="json", exclude_none=True)
    expected[section][key] = value
    assert tomllib.loads(outcome.out) == expected


def test_a_flag_of_zero_overrides_a_recipe(run_cli, tmp_path):
    recipe = tmp_path / "recipe.toml"
    recipe.write_text("[train]\nseed = 5\nepochs = 3\n[data]\nworkers = 4\n")
    outcome = run_cli("train", "--config", recipe, "--seed", "0", "--workers", "0", "--print-config")
    printed = tomllib.loads(outcome.out)
    assert (printed["train"]["seed"], printed["data"]["workers"], printed["train"]["epochs"]) == (0, 0, 3)


def test_the_printed_recipe_is_the_one_that_the_run_keeps(run_cli, tmp_path):
    arguments = ("digits", *QUICK, "--seed", "4", "--set", "input.margin=2", "--set", "augment.rotate=5.5")
    printed = run_cli("train", *arguments, "--print-config").out
    (tmp_path / "recipe.toml").write_text(printed)
    assert run_cli("train", "--config", tmp_path / "recipe.toml", "--print-config").out == printed
    outcome = run_cli("train", "--config", tmp_path / "recipe.toml", "--out", tmp_path / "run")
    assert outcome.code == 0, outcome.err
    kept = json.loads((tmp_path / "run" / "config.json").read_text())["recipe"]
    settled = load_recipe(tmp_path / "recipe.toml", {"task": "classification"})
    assert Recipe.model_validate(kept) == settled
    assert (tmp_path / "run" / "recipe.toml").read_text() == settled.to_toml()
    again = run_cli("train", "--config", tmp_path / "run" / "recipe.toml", "--out", tmp_path / "again")
    assert again.code == 0, again.err
    weights = [(tmp_path / run / "model.safetensors").read_bytes() for run in ("run", "again")]
    assert weights[0] == weights[1]


def test_json_is_all_that_is_printed_and_progress_goes_to_standard_error(run_cli, tmp_path):
    outcome = run_cli("train", "digits", *QUICK, "--out", tmp_path / "run", "--json")
    assert outcome.code == 0
    result = json.loads(outcome.out)
    assert result.keys() == {"run", "results"}
    assert result["run"] == str(tmp_path / "run")
    assert result["results"] == json.loads((tmp_path / "run" / "results.json").read_text())["results"]
    assert result["results"].keys() == {"val", "test"}
    start, epoch = outcome.err.splitlines()
    assert start == "lenet5 on digits (1,348 train, 269 val, 180 test), fp32 on cpu, 64 pictures a step"
    assert epoch.startswith("epoch   1/1   train loss ")
    assert len(epoch) <= 80 - len("0")  # a loss may have a digit more


def test_without_out_the_run_is_named_after_data_and_network(run_cli, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    outcome = run_cli("train", "digits", *QUICK)
    assert outcome.code == 0, outcome.err
    lines = outcome.out.splitlines()
    folder = Path("runs/digits-lenet5")
    accuracy = json.loads((folder / "results.json").read_text())["results"]["test"]["accuracy"]
    assert f"test accuracy {100 * accuracy:.2f} %" in lines
    assert f"run folder   {folder}" in lines
    assert f"report       {folder / 'report.html'}" in lines
    assert (folder / "report.html").is_file()


def test_the_same_again_makes_a_numbered_folder_and_leaves_the_others_alone(
    run_cli, tmp_path, monkeypatch, shapes_folder
):
    monkeypatch.chdir(tmp_path)
    first = Path("runs/shapes-lenet5")
    for folder in (first, Path("runs/shapes-lenet5-2"), Path("runs/shapes-lenet5-3")):
        before = contents(tmp_path)
        outcome = run_cli("train", shapes_folder, *QUICK)
        assert outcome.code == 0, outcome.err
        assert f"run folder   {folder}" in outcome.out.splitlines()
        assert (str(folder) in outcome.err) == (folder != first)  # told before it begins, too
        assert (folder / "report.html").is_file()
        after = contents(tmp_path)
        assert {path: after[path] for path in before} == before
    before = contents(tmp_path)
    outcome = run_cli("train", shapes_folder, *QUICK, "--out", first)  # what a person names is never another
    assert outcome.code == 2
    assert f"  in: {first}" in outcome.err.splitlines()
    assert contents(tmp_path) == before


def test_a_folder_that_is_taken_while_pictures_are_read_is_left_alone(tmp_path, monkeypatch, shapes_folder):
    monkeypatch.chdir(tmp_path)
    taken = Path("runs/shapes-lenet5/notes.txt")

    def take(split, count):
        taken.parent.mkdir(parents=True, exist_ok=True)
        taken.write_text("mine")
        return lambda read: None

    run = striate.train(shapes_folder, model="lenet5", settings={"train.epochs": 1}, reading=take)
    assert run.path == Path("runs/shapes-lenet5-2")
    assert contents(taken.parent) == {str(taken.parent): b"a folder", str(taken): b"mine"}


def test_a_job_that_is_started_again_finds_the_folder_that_it_has_made(tmp_path):
    usual = tmp_path / "digits-lenet5"
    assert free_folder(usual) == unfinished_folder(usual) == usual
    for folder in (usual, tmp_path / "digits-lenet5-2"):
        folder.mkdir()
        (folder / "config.json").touch()
    assert unfinished_folder(usual) == tmp_path / "digits-lenet5-2"
    (tmp_path / "digits-lenet5-2" / "results.json").touch()  # that one is over: it is another's
    assert free_folder(usual) == unfinished_folder(usual) == tmp_path / "digits-lenet5-3"


def test_an_empty_folder_is_filled_and_not_replaced(run_cli, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    before = tmp_path.stat().st_ino
    outcome = run_cli("train", "digits", *QUICK, "--out", ".")
    assert outcome.code == 0, outcome.err
    assert tmp_path.stat().st_ino == before
    assert run_cli("evaluate", ".").code == 0
    assert not list(tmp_path.rglob(".*"))


def test_a_folder_with_the_name_of_a_data_set_does_not_get_in_its_way(run_cli, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "digits").mkdir()
    outcome = run_cli("train", "digits", *QUICK, "--out", "run")
    assert outcome.code == 0, outcome.err
    assert read_config("run").data.source == "digits"
    assert read_config("run").recipe.data.source == "digits"


def test_a_run_finds_its_data_again_from_another_folder(run_cli, tmp_path, shapes_folder, monkeypatch):
    monkeypatch.chdir(shapes_folder.parent)
    for given, arguments in {
        "as an argument": ["shapes"],
        "as a setting": ["--set", "data.source=shapes"],
    }.items():
        out = tmp_path / given
        assert run_cli("train", *arguments, *QUICK, "--out", out).code == 0
        assert read_config(out).data.source == str(shapes_folder)
        assert read_config(out).recipe.data.source == str(shapes_folder)


def test_ctrl_c_saves_the_state_and_resume_needs_nothing_else(run_cli, tmp_path, monkeypatch):
    arguments = ("train", "digits", *QUICK, "--epochs", "2")
    whole, stopped = tmp_path / "whole", tmp_path / "stopped"
    assert run_cli(*arguments, "--out", whole).code == 0

    def interrupt(progress, state, loss):
        if state.step == 30:
            signal.raise_signal(signal.SIGINT)

    with monkeypatch.context() as patch:
        patch.setattr(TrainingProgress, "step", interrupt)
        outcome = run_cli(*arguments, "--out", stopped)
    assert outcome.code == 130
    assert outcome.err.splitlines()[-3:] == [
        "stopped: stopped after step 30; the state is saved",
        f"  in: {stopped}",
        f"  try: striate train --resume {stopped}",
    ]
    assert outcome.out == ""
    assert not (stopped / "report.html").exists()
    outcome = run_cli("train", "--resume", stopped)
    assert outcome.code == 0, outcome.err
    for name in ("model.safetensors", "metrics.jsonl"):
        assert (stopped / name).read_bytes() == (whole / name).read_bytes()
    assert {path.name for path in stopped.iterdir()} == {path.name for path in whole.iterdir()}


def test_bars_fit_into_80_columns_and_give_the_cursor_back(run_cli, tmp_path, monkeypatch):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("TERM", "xterm")
    outcome = run_cli("train", "digits", *QUICK, "--out", tmp_path / "run")
    assert outcome.code == 0
    shown = re.split(r"[\r\n]+", re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", outcome.err))
    bars = [line for line in shown if "━" in line]
    assert any(line.startswith("reading train") for line in bars)
    assert any(line.startswith("epoch 1/1") and "loss" in line for line in bars)
    assert all(len(line) <= 80 for line in bars)
    assert outcome.err.rindex("\x1b[?25h") > outcome.err.rindex("\x1b[?25l")
    assert "━" not in outcome.out
