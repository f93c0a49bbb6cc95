"""``striate tune`` as a user sees it: what it prints, Ctrl-C, kill -9, and the recipe that comes of it."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from rich.console import Console
from small_data import contents

pytest.importorskip("optuna", reason="the extra tune is not installed")

import striate
from striate.cli.progress import TrainingProgress, fold
from striate.cli.tune import short_names
from striate.recipe import Recipe, load_recipe
from striate.tune.record import read_trials

SPACE = ("--space", "optimizer.lr=1e-4:1e-1:log", "--space", "augment.shift=0:0.2")
QUICK = (
    "--model",
    "lenet5",
    "--epochs",
    "1",
    "--set",
    "train.precision=fp32",
    "--set",
    "data.per_class=20",
    *SPACE,
)
ROOT = Path(__file__).parents[2]


def test_it_ends_with_the_line_that_trains_the_best(run_cli, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    outcome = run_cli("tune", "digits", *QUICK, "--trials", "3")
    assert outcome.code == 0, outcome.err
    header, *rows = outcome.out.splitlines()
    assert header.split() == ["trial", "val", "accuracy", "log", "loss", "lr", "shift"]
    shown = [float(row.split()[1]) for row in rows[:3]]
    assert shown == sorted(shown, reverse=True)
    assert rows[3:5] == ["", "3 trials"]
    folder = Path("tune/digits-lenet5")
    assert rows[-2:] == [f"history      {folder}/history.png", f"striate train --config {folder}/best.toml"]
    assert (folder / "history.png").is_file()
    lines = outcome.err.splitlines()
    assert [line.split()[:2] for line in lines] == [["trial", f"{number}/3"] for number in (1, 2, 3)]
    assert load_recipe(folder / "best.toml").train.epochs == Recipe().train.epochs  # trials were short
    trained = run_cli("train", "--config", folder / "best.toml", "--epochs", "1", "--out", "run")
    assert trained.code == 0, trained.err
    assert f"val accuracy {shown[0]:.2f} %" in trained.out


@pytest.mark.parametrize(
    ("arguments", "epochs"),
    [
        (["--epochs", "1", "--set", "train.epochs=7"], (1, 7)),
        (["--set", "train.epochs=2"], (2, 2)),
        (["--epochs", "1", "--config", "r.toml"], (1, 9)),
    ],
)
def test_epochs_are_those_of_a_trial_and_the_recipe_says_how_long_the_best_is_trained(
    run_cli, tmp_path, monkeypatch, arguments, epochs
):
    monkeypatch.chdir(tmp_path)
    Path("r.toml").write_text("[train]\nepochs = 9\n")
    quick = ("--model", "lenet5", "--set", "data.per_class=5", *SPACE, "--trials", "1", "--out", "study")
    outcome = run_cli("tune", "digits", *quick, *arguments)
    assert outcome.code == 0, outcome.err
    recipes = (load_recipe(Path("study") / name) for name in ("trial-0001/recipe.toml", "best.toml"))
    assert tuple(recipe.train.epochs for recipe in recipes) == epochs


def test_json_is_all_that_is_printed(run_cli, tmp_path):
    outcome = run_cli("tune", "digits", *QUICK, "--trials", "2", "--out", tmp_path / "study", "--json")
    assert outcome.code == 0
    result = json.loads(outcome.out)
    assert result.keys() == {"task", "monitor", "best", "recipe", "history", "importance", "trials"}
    assert (result["task"], result["monitor"]) == ("classification", "accuracy")
    assert [trial["number"] for trial in result["trials"]] == [1, 2]
    assert result["best"] in result["trials"]
    assert result["best"]["settings"].keys() == {"optimizer.lr", "augment.shift"}
    assert Path(result["recipe"]).is_file()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--space", "optimizer.speed=1:2"], "unknown setting optimizer.speed"),
        (["--space", "augment.flip=0:9"], "augment.flip"),
        (["--trials", "0"], "finds nothing"),
        (["--set", "train.epochs=none"], "train.epochs"),
        (["--model", "lenet6"], "lenet6"),
        (["--device", "abacus"], "abacus"),
    ],
)
def test_bad_input_is_told_in_three_lines_before_anything_runs(run_cli, tmp_path, arguments, said):
    outcome = run_cli("tune", "digits", *QUICK, "--out", tmp_path / "study", *arguments)
    assert (outcome.code, outcome.out) == (2, "")
    assert said in outcome.err
    assert len(outcome.err.splitlines()) <= 3
    assert not (tmp_path / "study").exists()


def test_ctrl_c_keeps_what_is_done_and_the_same_command_goes_on(run_cli, tmp_path, monkeypatch):
    def command(out: Path) -> tuple[object, ...]:
        return "tune", "digits", *QUICK, "--trials", "3", "--out", out

    whole, stopped = tmp_path / "whole", tmp_path / "stopped"
    assert run_cli(*command(whole)).code == 0
    steps = 0

    def interrupt(progress, state, loss):
        nonlocal steps
        steps += 1
        if steps == 6:  # in the second trial
            signal.raise_signal(signal.SIGINT)

    with monkeypatch.context() as patch:
        patch.setattr(TrainingProgress, "step", interrupt)
        outcome = run_cli(*command(stopped))
    assert outcome.code == 130
    assert outcome.err.splitlines()[-3:] == [
        "stopped: stopped in trial 2; 1 are over and kept",
        f"  in: {stopped}",
        "  try: the same command goes on",
    ]
    assert outcome.out == ""
    assert run_cli(*command(stopped)).code == 0
    tried = [[trial.settings | {"value": trial.value} for trial in read_trials(p)] for p in (whole, stopped)]
    assert tried[0] == tried[1]
    assert {path.name for path in whole.iterdir()} == {path.name for path in stopped.iterdir()}


@pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGKILL")
def test_a_killed_trial_has_failed_and_the_same_command_goes_on(run_cli, tmp_path):
    out = tmp_path / "study"
    arguments = ["tune", "digits", *QUICK, "--epochs", "40", "--trials", "2", "--out", str(out)]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    process = subprocess.Popen(
        [sys.executable, "-m", "striate", *arguments], env=environment, stderr=subprocess.DEVNULL
    )
    deadline = time.monotonic() + 120
    while not (out / "trial-0001" / "metrics.jsonl").exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    process.kill()
    assert process.wait() == -signal.SIGKILL
    assert (out / "trial-0001" / "checkpoint").is_dir()
    assert not (out / "trials.jsonl").exists()
    outcome = run_cli(*arguments)
    assert outcome.code == 0, outcome.err
    first, second = read_trials(out)
    assert (first.state, second.state) == ("failed", "complete")
    assert "process ended" in first.fault
    assert not (out / "trial-0001" / "checkpoint").exists()
    assert outcome.out.splitlines()[3] == "2 trials, 1 failed"


def test_a_study_of_something_else_is_refused_and_stays_as_it_is(run_cli, tmp_path):
    out = tmp_path / "study"
    assert run_cli("tune", "digits", *QUICK, "--trials", "1", "--out", out).code == 0
    before = contents(out)
    outcome = run_cli("tune", "digits", *QUICK, "--trials", "2", "--seed", "7", "--out", out)
    assert outcome.code == 2
    assert "train.seed = 0, now it is 7" in outcome.err
    assert contents(out) == before
    assert striate.load_run(out / "trial-0001").config.recipe.train.seed == 0


def test_the_help_names_the_extra_in_full(run_cli):
    assert "pip install 'striate[tune]'" in run_cli("tune", "--help").out


def test_settings_are_called_by_their_last_name_unless_two_share_it():
    assert short_names(["optimizer.lr", "augment.shift"]) == {"optimizer.lr": "lr", "augment.shift": "shift"}
    assert short_names(["optimizer.name", "model.name"]) == {
        "optimizer.name": "optimizer.name",
        "model.name": "model.name",
    }


def test_a_long_line_is_folded_between_words_in_a_terminal_and_whole_in_a_log():
    line = "trial   2/20   88.48 %   " + "  ".join(f"setting_{i}=1.5e-05" for i in range(6))
    folded = fold(line, Console(force_terminal=True, width=80))
    assert len(folded.splitlines()) == 2
    assert max(map(len, folded.splitlines())) <= 80
    assert folded.split() == line.split()
    assert fold(line, Console(force_terminal=False, width=80)) == line
