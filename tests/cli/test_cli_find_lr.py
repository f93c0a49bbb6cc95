"""``striate find-lr`` as a user sees it, and its suggestions on real pictures."""

import json
import os
import re
import shlex
import signal
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from PIL import Image
from small_data import contents

import striate
from striate.cli.progress import TrainingProgress
from striate.data.dataset import Dataset, Split
from striate.learning_rate import Ramp, find_learning_rate

QUICK = ("--model", "lenet5", "--set", "train.precision=fp32")
FP32 = {"train.precision": "fp32"}


def test_it_ends_with_the_line_to_run_next(run_cli, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    outcome = run_cli("find-lr", "digits", *QUICK, "--batch-size", "32", "--seed", "3")
    assert outcome.code == 0, outcome.err
    *table, empty, suggestion, picture, command = outcome.out.splitlines()
    assert table[0].split() == ["learning", "rate", "loss", "smoothed"]
    assert sum("falls fastest" in line for line in table) == sum("lowest" in line for line in table) == 1
    rate = re.fullmatch(r"suggestion   (\S+)", suggestion)[1]
    assert (empty, picture) == ("", "picture      learning-rate.png")
    expected = (
        f"striate train digits --model lenet5 --batch-size 32 --seed 3 --set train.precision=fp32 --lr {rate}"
    )
    assert command == expected
    assert 1e-4 < float(rate) < 1e-1
    assert [path.name for path in tmp_path.iterdir()] == ["learning-rate.png"]
    with Image.open("learning-rate.png") as drawn:
        assert drawn.size[0] > 600
    trained = run_cli(*shlex.split(command)[1:], "--epochs", "1", "--out", "run")
    assert trained.code == 0, trained.err
    assert striate.load_run("run").config.recipe.optimizer.lr == float(rate)


def test_json_holds_the_curve_and_equals_the_function(run_cli, tmp_path):
    options = ("--low", "1e-4", "--high", "1", "--steps", "30", "--plot", tmp_path / "curve.svg")
    outcome = run_cli("find-lr", "digits", *QUICK, *options, "--json")
    assert (outcome.code, outcome.err) == (0, "")
    result = json.loads(outcome.out)
    found = find_learning_rate("digits", model="lenet5", settings=FP32, ramp=Ramp(1e-4, 1.0, 30))
    for name in ("rates", "losses", "smoothed", "steepest", "bound", "suggestion"):
        assert result[name] == getattr(found, name), name
    assert result["plot"] == str(tmp_path / "curve.svg")
    assert result["command"].endswith(f"--lr {found.suggestion:g}")
    assert (tmp_path / "curve.svg").read_text().startswith("<?xml")


def test_out_is_a_folder_that_is_made_and_holds_picture_and_numbers(run_cli, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    quick = ("digits", *QUICK, "--low", "1e-4", "--high", "1", "--steps", "20")
    outcome = run_cli("find-lr", *quick, "--out", "rates/first", "--json")
    assert outcome.code == 0, outcome.err
    made = {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*") if path.is_file()}
    assert made == {"rates/first/learning-rate.png", "rates/first/learning-rate.json"}
    result = json.loads(outcome.out)
    assert result == json.loads(Path("rates/first/learning-rate.json").read_text())
    assert result["plot"] == "rates/first/learning-rate.png"
    before = contents(tmp_path)
    again = run_cli("find-lr", *quick, "--out", "rates/first")
    assert (again.code, contents(tmp_path)) == (2, before)
    assert "rates/first/learning-rate.json" in again.err
    other = run_cli("find-lr", *quick, "--out", "rates", "--plot", "curve.svg")
    assert other.code == 0, other.err
    assert "picture      rates/curve.svg" in other.out.splitlines()
    assert Path("rates/curve.svg").is_file()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--out", "old.png"], "file of that name"),
        (["--out", "new", "--plot", "nowhere/curve.png"], "no such folder"),
        (["--plot", "old.png"], "exists already"),
        (["--plot", "curve.txt"], ".png, .svg or .pdf"),
        (["--plot", "nowhere/curve.png"], "no such folder"),
        (["--low", "1", "--high", "0.1"], "cannot rise"),
        (["--steps", "3"], "show nothing"),
        (["--model", "lenet6"], "lenet6"),
        (["--set", "optimizer.speed=3"], "unknown setting"),
    ],
)
def test_what_cannot_be_tested_is_told_in_three_lines_and_nothing_is_written(
    run_cli, tmp_path, monkeypatch, arguments, said
):
    monkeypatch.chdir(tmp_path)
    Path("old.png").write_bytes(b"mine")
    before = contents(tmp_path)
    outcome = run_cli("find-lr", "digits", *QUICK, *arguments)
    assert (outcome.code, outcome.out) == (2, "")
    assert said in outcome.err
    assert len(outcome.err.splitlines()) <= 3
    assert contents(tmp_path) == before


def test_rates_that_are_all_too_low_suggest_nothing(run_cli, tmp_path):
    """The loss stays where it is."""
    outcome = run_cli("find-lr", "digits", *QUICK, "--high", "2e-6", "--plot", tmp_path / "a.png")
    assert outcome.code == 1
    assert "falls at no learning rate" in outcome.err
    assert not (tmp_path / "a.png").exists()


class First:
    """A watcher that remembers the loss of the first step."""

    def __init__(self) -> None:
        self.loss: float | None = None

    def start(self, state, epochs, steps_per_epoch, note) -> None: ...

    def phase(self, state, note) -> None: ...

    def step(self, state, loss) -> None:
        self.loss = loss if self.loss is None else self.loss

    def epoch(self, row) -> None: ...


def test_it_begins_as_the_run_does_with_the_same_weights_pictures_and_augmentation(tmp_path):
    settings = FP32 | {"train.epochs": 1, "train.seed": 5, "augment.rotate": 10, "loss.label_smoothing": 0.1}
    first = First()
    striate.train("digits", model="lenet5", out=tmp_path / "run", settings=settings, watchers=[first])
    found = find_learning_rate("digits", model="lenet5", settings=settings, ramp=Ramp(steps=60))
    assert found.losses[0] == first.loss


def accuracies(out: Path, data: str | Dataset, settings: dict) -> tuple[float, float]:
    """On the validation split, trained with the recipe's own learning rate and with the one found."""
    found = find_learning_rate(data, model="lenet5", settings=settings)
    own = striate.train(data, model="lenet5", out=out / "own", settings=settings)
    other = settings | {"optimizer.lr": found.suggestion}
    suggested = striate.train(data, model="lenet5", out=out / "suggested", settings=other)
    return own.results["val"]["accuracy"], suggested.results["val"]["accuracy"]


@pytest.mark.parametrize(
    "others",
    [
        pytest.param({}, id="adamw", marks=pytest.mark.slow),
        pytest.param(
            {"optimizer.name": "sgd", "optimizer.lr": 0.1, "optimizer.weight_decay": 5e-4}, id="sgd"
        ),
    ],
)
def test_the_suggestion_trains_as_well_as_a_learning_rate_chosen_by_hand(tmp_path, others):
    own, suggested = accuracies(tmp_path, "digits", FP32 | {"train.epochs": 4} | others)
    assert own > 0.9
    assert suggested > own - 0.02


@pytest.mark.slow
@pytest.mark.skipif(
    not (Path(os.environ.get("STRIATE_DATA", "")) / "fashion-mnist").is_dir(),
    reason="STRIATE_DATA names no folder with fashion-mnist",
)
def test_the_suggestion_trains_as_well_on_pictures_of_clothes(tmp_path):
    whole = striate.load_data("fashion-mnist")
    sizes = {"train": ("train", 2000), "val": ("test", 1000)}
    splits = {
        name: Split(
            whole.splits[source].images.select(torch.arange(count)), whole.splits[source].targets[:count]
        )
        for name, (source, count) in sizes.items()
    }
    settings = FP32 | {"train.epochs": 4, "optimizer.name": "sgd", "optimizer.lr": 0.1}
    own, suggested = accuracies(tmp_path, replace(whole, splits=splits), settings)
    assert own > 0.7
    assert suggested > own - 0.02


def test_it_tests_a_run_that_starts_from_weights_and_says_so_in_the_command(run_cli, digits_run, tmp_path):
    start = ("--weights", digits_run.path, "--freeze", "backbone")
    plot = ("--plot", tmp_path / "a.png")
    outcome = run_cli("find-lr", "digits", *start, "--set", "train.precision=fp32", *plot, "--json")
    assert outcome.code == 0, outcome.err
    result = json.loads(outcome.out)
    assert result["losses"][0] < 1.5  # of a network that knows the digits
    expected = (
        f"striate train digits --weights {digits_run.path} --freeze backbone --set train.precision=fp32"
    )
    assert result["command"].startswith(f"{expected} --lr ")


def test_a_first_phase_with_its_own_rate_is_where_the_suggestion_belongs(run_cli, tmp_path):
    recipe = tmp_path / "phases.toml"
    recipe.write_text('[model]\nname = "lenet5"\n[[train.phases]]\nepochs = 1\nlr = 1e-3\n')
    outcome = run_cli("find-lr", "digits", "--config", recipe, "--plot", tmp_path / "a.png")
    assert outcome.code == 0, outcome.err
    suggestion, _, hint, command = outcome.out.splitlines()[-4:]
    assert f"write lr = {suggestion.split()[1]} there" in hint
    assert command == f"striate train digits --config {recipe}"


def test_ctrl_c_where_nothing_is_to_be_saved_says_stopped_and_leaves_nothing(run_cli, tmp_path, monkeypatch):
    def interrupt(progress, *arguments):
        signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(TrainingProgress, "reading", interrupt)
    outcome = run_cli("find-lr", "digits", *QUICK, "--plot", tmp_path / "a.png")
    assert (outcome.code, outcome.out, outcome.err) == (130, "", "stopped\n")
    assert not list(tmp_path.iterdir())
