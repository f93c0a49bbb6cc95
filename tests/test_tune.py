"""Hyper-parameter search: the space, what is proposed, and studies that are stopped, killed and go on."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
from small_data import contents

pytest.importorskip("optuna", reason="the extra tune is not installed")

import striate
from striate import api
from striate.data import builtin
from striate.errors import InputError, Interrupted, RunError
from striate.files import read_tensors
from striate.network import task_of
from striate.recipe import Recipe, load_recipe
from striate.settle import check_settings
from striate.tune import Choices, Range, Trial, default_space, parse_space, tune
from striate.tune.proposal import importance, propose
from striate.tune.record import best_trial, ranked, read_trials
from striate.tune.space import own_settings

SPACE = ["optimizer.lr=1e-4:1e-1:log", "augment.shift=0:0.2"]
SHORT = {"train.epochs": 4, "train.precision": "fp32"}
ROOT = Path(__file__).parents[1]


# The space ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "key", "part"),
    [
        ("optimizer.lr=1e-4:1e-1:log", "optimizer.lr", Range(1e-4, 0.1, log=True)),
        ("augment.shift = 0 : 0.2", "augment.shift", Range(0.0, 0.2)),
        ("augment.rotate=0:15", "augment.rotate", Range(0.0, 15.0)),
        ("train.batch_size=16:128:log", "train.batch_size", Range(16, 128, log=True, whole=True)),
        ("optimizer.name=sgd,adamw", "optimizer.name", Choices(("sgd", "adamw"))),
        ("augment.flip=true,false", "augment.flip", Choices((True, False))),
        ("train.clip_norm=none,1.0", "train.clip_norm", Choices((None, 1.0))),
        ("input.size=28,32", "input.size", Choices((28, 32))),
    ],
)
def test_a_text_describes_a_range_or_choices(text, key, part):
    assert parse_space([text], Recipe()) == {key: part}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("optimizer.speed=1:2", "unknown setting"),
        ("nothing.lr=1:2", "unknown setting"),
        ("optimizer.lr=0:1", "greater than 0"),
        ("augment.shift=0:1.5", "less than or equal to 1"),
        ("optimizer.name=sgd,lion", "lion"),
        ("train.batch_size=16.5:128", "integer"),
        ("optimizer.lr=0.1:0.1", "not in order"),
        ("optimizer.lr=0.1:0.01", "not in order"),
        ("optimizer.lr=nan:1", "not in order"),
        ("optimizer.lr=1:inf", "not in order"),
        ("optimizer.lr=low:high", "not numbers"),
        ("optimizer.lr=1e-3:1e-1:exp", "means nothing"),
        ("optimizer.lr=1e-3:1e-1:log:log", "means nothing"),
        ("augment.shift=0:0.2:log", "above 0"),
        ("optimizer.lr", "no setting with its range"),
        ("optimizer.lr=", "no setting with its range"),
        ("lr=1:2", "no setting with its range"),
        ("optimizer.name=sgd", "nothing to choose"),
        ("optimizer.name=sgd,sgd", "nothing to choose"),
        ("data.seed=0:9", "same pictures"),
        ("train.seed=0:9", "same pictures"),
    ],
)
def test_a_space_that_cannot_be_tried_is_an_input_error_before_anything_runs(tmp_path, text, said):
    with pytest.raises(InputError, match=said) as caught:
        tune("digits", model="lenet5", out=tmp_path / "study", space=[text])
    assert text.partition("=")[0] in caught.value.where
    assert not (tmp_path / "study").exists()


def test_the_same_setting_twice_is_an_input_error():
    with pytest.raises(InputError, match="twice"):
        parse_space(["optimizer.lr=1e-3:1e-2", "optimizer.lr=1e-2:1e-1"], Recipe())


@pytest.mark.parametrize("name", ["sgd", "adam", "adamw", "nadam", "rmsprop"])
def test_the_default_space_is_one_that_the_recipe_allows(name):
    recipe = load_recipe(None, {"optimizer.name": name})
    space = default_space(recipe)
    assert {"optimizer.lr", "optimizer.weight_decay", "loss.label_smoothing"} < space.keys()
    for key, part in space.items():
        for value in (part.low, part.high):
            load_recipe(recipe, {key: value})
    margin = load_recipe(recipe, {"loss.kind": "margin"})
    assert "loss.label_smoothing" not in default_space(margin)


@pytest.mark.parametrize(
    ("task", "own"),
    [
        ("classification", {"augment.rotate", "loss.label_smoothing"}),
        ("localization", {"augment.rescale", "loss.box_weight"}),
        ("detection", {"augment.rescale", "augment.mosaic"}),
    ],
)
def test_the_default_space_of_a_task_has_what_is_for_it(task, own):
    recipe = load_recipe(None, {"task": task})
    space = default_space(recipe)
    assert space.keys() == {"optimizer.lr", "optimizer.weight_decay", "augment.shift"} | own
    for key, part in space.items():
        for value in (part.low, part.high):
            check_settings(load_recipe(recipe, {key: value}))


def test_own_settings_are_those_that_lie_within_the_space():
    recipe = load_recipe(None, {"optimizer.lr": 0.5, "augment.shift": 0.1})
    space = parse_space([*SPACE, "optimizer.name=sgd,adamw", "input.size=28,32"], recipe)
    assert own_settings(space, recipe) == {"augment.shift": 0.1, "optimizer.name": "adamw"}


# Proposals ----------------------------------------------------------------------------------------------


def finished(number: int, lr: float, value: float, state="complete", values=()) -> Trial:
    return Trial(number, state, {"optimizer.lr": lr, "augment.shift": 0.1}, values, value, 1.0)


def test_a_proposal_follows_from_the_trials_and_the_seed_alone():
    space = parse_space(SPACE, Recipe())
    trials = [finished(i, 10 ** (-4 + i / 4), i / 12) for i in range(1, 12)]
    (_, first), (_, again) = (propose(trials, space, {}, 3) for _ in range(2))
    assert first == again
    assert propose(trials, space, {}, 4)[1] != first
    assert propose(trials[:-1], space, {}, 3)[1] != first


def test_the_first_proposal_is_the_recipe_itself():
    space = parse_space(SPACE, Recipe())
    own = own_settings(space, Recipe())
    assert propose([], space, own, 0)[1] == own == {"optimizer.lr": 2e-3, "augment.shift": 0.07}


def test_proposals_stay_in_the_space():
    space = parse_space([*SPACE, "train.batch_size=16:17", "optimizer.name=sgd,adamw"], Recipe())
    for seed in range(20):
        _, settings = propose([], space, {}, seed)
        assert list(settings) == list(space)
        assert 1e-4 <= settings["optimizer.lr"] <= 1e-1
        assert settings["train.batch_size"] in (16, 17)
        assert isinstance(settings["train.batch_size"], int)
        assert settings["optimizer.name"] in ("sgd", "adamw")


def test_proposals_go_where_results_are_good():
    """After twenty trials whose results fall with the distance from 0.01, most proposals lie near it."""
    space = parse_space(["optimizer.lr=1e-4:1:log"], Recipe())
    trials = [
        Trial(i, "complete", {"optimizer.lr": 10 ** (-4 + i / 5)}, (), 1 - abs(-2 - (-4 + i / 5)) / 4, 1.0)
        for i in range(1, 21)
    ]
    rates = [propose(trials, space, {}, seed)[1]["optimizer.lr"] for seed in range(20)]
    assert sum(1e-3 < rate < 1e-1 for rate in rates) > 15


def test_importance_names_the_setting_that_decides():
    space = parse_space(SPACE, Recipe())
    trials = [
        Trial(i, "complete", {"optimizer.lr": 10 ** (-4 + i / 11), "augment.shift": 0.2 * (i * 7 % 32) / 32},
              (), 1 - abs(i - 20) / 40, 1.0)
        for i in range(1, 33)
    ]  # fmt: skip
    found = importance(trials, space)
    assert next(iter(found)) == "optimizer.lr"
    assert found["optimizer.lr"] > 0.7
    assert importance(trials[:9], space) == {}
    assert importance([replace(trial, value=0.5) for trial in trials], space) == {}


def test_of_equal_trials_the_one_with_the_lower_loss_is_best_then_the_first():
    trials = [
        replace(finished(1, 0.1, 0.9), loss=0.5), replace(finished(2, 0.1, 0.9), loss=0.4),
        replace(finished(3, 0.1, 0.9), loss=0.4), finished(4, 0.1, 0.99, state="pruned"),
        finished(5, 0.1, 0.8),
    ]  # fmt: skip
    assert best_trial(trials).number == 2
    assert [trial.number for trial in ranked(trials)] == [2, 3, 1, 5]
    assert best_trial(trials[3:4]) is None


# Studies, with a training that only pretends ------------------------------------------------------------


class Pretence:
    """Stands in for ``striate.train``: the result is a function of the settings, higher near 0.01.

    Measures by which the task is not judged are 9.

    ``faults`` are raised in the trials of those numbers (counted over this object's life), after an epoch.
    """

    def __init__(self, faults=None) -> None:
        self.faults = faults or {}
        self.seen: list[dict] = []

    def __call__(self, data, *, out, config, settings, watchers, reading):
        self.seen.append(settings)
        recipe = load_recipe(config, settings)
        (out / "checkpoint").mkdir(parents=True)
        (out / "checkpoint" / "state.safetensors").write_bytes(b"large")
        (out / "model.safetensors").write_bytes(b"large")
        (out / "recipe.toml").write_text(recipe.to_toml())
        lr = recipe.optimizer.lr
        final = max(0.0, 1 - abs(lr - 0.01) * 10)
        task = task_of(recipe)

        def measured(value: float) -> dict[str, float]:
            others = dict.fromkeys(("accuracy", "mean_iou", "map", "loss", "log_loss"), 9.0)
            return others | {task.monitor: value, task.loss_between_runs: 1 - value}

        for watcher in watchers:
            watcher.start(None, recipe.train.epochs, 10, "")
        for epoch in range(1, recipe.train.epochs + 1):
            value = final * epoch / recipe.train.epochs
            for watcher in watchers:
                watcher.epoch({"epoch": epoch, "val": measured(value)})
            if fault := self.faults.get(len(self.seen)):
                raise fault
        return SimpleNamespace(results={"val": measured(final), "test": {task.monitor: lr}})


@pytest.fixture
def pretend(monkeypatch):
    def start(faults=None) -> Pretence:
        pretence = Pretence(faults)
        monkeypatch.setattr(api, "train", pretence)
        return pretence

    return start


def search(out: Path, trials: int = 6, **others):
    others = {"space": SPACE, "settings": SHORT} | others
    return tune("digits", model="lenet5", out=out, trials=trials, **others)


def without_time(study) -> list[Trial]:
    return [replace(trial, seconds=0.0) for trial in study.trials]


def test_a_study_that_was_stopped_goes_on_as_if_it_had_not_been(tmp_path, pretend):
    pretend()
    whole = search(tmp_path / "whole", 14)
    pretend({3: KeyboardInterrupt()})
    with pytest.raises(Interrupted, match="stopped in trial 3; 2 are over and kept") as caught:
        search(tmp_path / "stopped", 14)
    assert caught.value.exit_code == 130
    assert not (tmp_path / "stopped" / "trial-0003").exists()
    pretend({8: Interrupted("stopped after step 7; the state is saved")})
    with pytest.raises(Interrupted, match="stopped in trial 10"):
        search(tmp_path / "stopped", 14)
    pretend()
    assert without_time(search(tmp_path / "stopped", 14)) == without_time(whole)
    names = [{path.relative_to(part) for path in part.rglob("*")} for part in tmp_path.iterdir()]
    assert names[0] == names[1]


def test_more_trials_go_on_with_the_study_and_enough_do_nothing(tmp_path, pretend):
    pretend()
    whole = search(tmp_path / "whole", 9)
    first = pretend()
    search(tmp_path / "more", 4)
    assert len(first.seen) == 4
    second = pretend()
    assert without_time(search(tmp_path / "more", 9)) == without_time(whole)
    assert len(second.seen) == 5
    nothing = pretend()
    assert len(search(tmp_path / "more", 3).trials) == 9
    assert nothing.seen == []


def test_a_trial_that_fails_counts_and_the_study_goes_on(tmp_path, pretend):
    pretend({2: RunError("the loss is nan at step 5")})
    study = search(tmp_path / "study")
    assert [trial.state for trial in study.trials][1] == "failed"
    assert study.trials[1].fault == "the loss is nan at step 5"
    assert study.trials[1].value is None
    assert len(study.trials) == 6
    assert study.best.number != 2
    assert read_trials(tmp_path / "study") == study.trials


def test_a_trial_whose_process_was_killed_has_failed(tmp_path, pretend):
    pretend({3: InputError("as a kill: no row, but a folder")})
    with pytest.raises(InputError):
        search(tmp_path / "study")
    assert (tmp_path / "study" / "trial-0003" / "checkpoint").exists()
    assert len(read_trials(tmp_path / "study")) == 2
    going_on = pretend()
    study = search(tmp_path / "study")
    assert study.trials[2].state == "failed"
    assert "process ended" in study.trials[2].fault
    assert study.trials[2].settings.keys() == study.trials[3].settings.keys()
    assert len(going_on.seen) == 3
    assert len(study.trials) == 6
    assert not list((tmp_path / "study").rglob("checkpoint"))


def test_a_study_of_failures_says_so(tmp_path, pretend):
    pretend({1: RunError("the loss is nan"), 2: RunError("the loss is inf")})
    study = search(tmp_path / "study", 2)
    with pytest.raises(RunError, match="no trial of 2") as caught:
        _ = study.best
    assert "the loss is inf" in caught.value.where
    assert not (tmp_path / "study" / "best.toml").exists()


def test_the_choice_is_by_validation_and_not_by_test(tmp_path, pretend):
    """The pretended accuracy on test is the learning rate itself, on validation it is best at 0.01."""
    pretend()
    study = search(tmp_path / "study", 12)
    complete = [trial for trial in study.trials if trial.state == "complete"]
    nearest = min(complete, key=lambda trial: abs(trial.settings["optimizer.lr"] - 0.01))
    assert study.best == nearest
    assert study.best != max(complete, key=lambda trial: trial.settings["optimizer.lr"])
    assert "test" not in (tmp_path / "study" / "trials.jsonl").read_text()


def test_the_best_trial_keeps_its_weights_and_no_trial_its_checkpoint(tmp_path, pretend):
    pretend({4: RunError("the loss is nan")})
    study = search(tmp_path / "study", 8)
    kept = [path.parent.name for path in (tmp_path / "study").rglob("model.safetensors")]
    assert kept == [f"trial-{study.best.number:04d}"]
    assert not list((tmp_path / "study").rglob("checkpoint"))
    assert len(list((tmp_path / "study").glob("trial-*/recipe.toml"))) == 8
    best = load_recipe(tmp_path / "study" / "best.toml")
    assert best.optimizer.lr == study.best.settings["optimizer.lr"]


@pytest.mark.parametrize(
    ("config", "settings", "epochs"),
    [
        (None, {"train.epochs": 4}, Recipe().train.epochs),
        ({"train.epochs": 9}, {"train.epochs": 4}, 9),
        ({"train.epochs": 9}, {}, 9),
        (None, {"train.epochs": 30}, 30),  # longer than the recipe: so long is a run that gives the result
        ({"train.epochs": 9}, {"train.epochs": 4, "space": "train.epochs=2,3,4"}, None),  # it was sought
    ],
)
def test_the_best_recipe_trains_as_long_as_the_recipe_that_was_shortened(
    tmp_path, pretend, config, settings, epochs
):
    pretend()
    space = [*SPACE, *filter(None, [settings.pop("space", None)])]
    study = tune("digits", model="lenet5", out=tmp_path / "study", trials=2, space=space, settings=settings,
                 config=config and load_recipe(None, config))  # fmt: skip
    best = load_recipe(study.recipe)
    assert best.train.epochs == (epochs or study.best.settings["train.epochs"])
    assert best.optimizer.lr == study.best.settings["optimizer.lr"]
    head = study.recipe.read_text().splitlines()[0]
    shortened = settings.get("train.epochs", 99) < best.train.epochs
    assert (f"after 4 epochs; this recipe trains for {epochs}." in head) == shortened


def test_phases_of_the_best_recipe_are_as_long_as_it_is(tmp_path, digits_run):
    """A trial from given weights has phases; those of the recipe are chosen for its own length."""
    settings = {"train.epochs": 2, "model.weights": str(digits_run.path), "data.per_class": 10}
    study = tune("digits", out=tmp_path / "study", trials=1, space=SPACE, settings=settings)
    trial = load_recipe(tmp_path / "study" / "trial-0001" / "recipe.toml")
    assert [phase.epochs for phase in trial.train.phases] == [1, 1]
    best = load_recipe(study.recipe)
    assert (best.train.epochs, best.train.phases) == (Recipe().train.epochs, ())
    assert best.model.weights == str(digits_run.path)


def test_a_trial_worse_than_most_is_pruned(tmp_path, pretend):
    pretend()
    space = {"optimizer.lr": Choices((0.01, 0.02, 0.2))}  # 0.2 is worth nothing from the first epoch on
    study = search(tmp_path / "study", 25, space=space)
    bad = [trial for trial in study.trials[10:] if trial.settings["optimizer.lr"] == 0.2]
    assert bad
    for trial in bad:
        assert (trial.state, trial.values, trial.value) == ("pruned", (0.0, 0.0), 0.0)
    assert all(trial.state == "complete" for trial in study.trials[:5])


def test_no_trial_is_pruned_in_its_last_epoch(tmp_path, pretend):
    pretend()
    space = {"optimizer.lr": Choices((0.01, 0.02, 0.2))}
    study = search(tmp_path / "study", 15, space=space, settings=SHORT | {"train.epochs": 2})
    assert all(trial.state == "complete" for trial in study.trials)
    assert any(trial.value == 0 for trial in study.trials[5:])


@pytest.mark.parametrize(
    ("others", "said"),
    [
        ({"settings": SHORT | {"train.epochs": 5}}, "train.epochs = 4, now it is 5"),
        ({"space": ["optimizer.lr=1e-4:1:log"]}, "space"),
    ],
)
def test_another_study_in_the_same_folder_is_an_input_error(tmp_path, pretend, others, said):
    pretend()
    search(tmp_path / "study", 2)
    before = {path: path.read_bytes() for path in (tmp_path / "study").rglob("*") if path.is_file()}
    with pytest.raises(InputError, match=said):
        search(tmp_path / "study", 4, **others)
    assert before == {path: path.read_bytes() for path in (tmp_path / "study").rglob("*") if path.is_file()}


@pytest.fixture
def few_scenes(monkeypatch):
    monkeypatch.setattr(builtin, "SCENES", {"count_train": 8, "count_val": 4, "count_test": 2})


@pytest.mark.parametrize(
    ("data", "task", "monitor"), [("scenes-one", "localization", "mean IoU"), ("scenes", "detection", "mAP")]
)
def test_a_study_of_boxes_is_judged_by_its_metric_and_goes_on(
    tmp_path, pretend, few_scenes, data, task, monitor
):
    def study(out: Path, count: int):
        return tune(data, out=out, trials=count, settings=SHORT)

    pretend()
    whole = study(tmp_path / "whole", 3)
    for trial in whole.trials:
        final = max(0.0, 1 - abs(trial.settings["optimizer.lr"] - 0.01) * 10)
        assert (trial.value, trial.loss) == (final, 1 - final)
    assert whole.best.value == max(trial.value for trial in whole.trials)
    assert f" {monitor} {whole.best.value:.4f} on" in whole.recipe.read_text().splitlines()[0]
    assert load_recipe(whole.recipe).task == whole.task.name == task
    pretend({3: KeyboardInterrupt()})
    with pytest.raises(Interrupted):
        study(tmp_path / "stopped", 3)
    pretend()
    assert without_time(study(tmp_path / "stopped", 3)) == without_time(whole)


def test_a_study_of_another_task_is_refused_and_stays_as_it_is(tmp_path, pretend, few_scenes):
    pretend()
    options = {"out": tmp_path / "study", "space": SPACE}
    tune("scenes-one", trials=1, settings=SHORT | {"model.name": "compact_cnn"}, **options)
    before = contents(tmp_path)
    with pytest.raises(InputError, match=r"began with recipe model\.name = compact_cnn"):
        tune("scenes-one", trials=2, settings=SHORT | {"task": "detection"}, **options)
    assert contents(tmp_path) == before


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("loss.label_smoothing=0:0.2", "loss.label_smoothing is not for detection"),
        ("augment.fill=zero,reflect", "mirrored borders"),
        ("input.size=64,70", "input.size=70: the sides of yolo_light's pictures are multiples of 32"),
        ("model.name=yolo_light,resnet18", "no detector is called 'resnet18'"),
    ],
)
def test_what_the_task_does_not_allow_is_told_before_anything_runs(tmp_path, pretend, few_scenes, text, said):
    pretence = pretend()
    with pytest.raises(InputError, match=said) as caught:
        tune("scenes", out=tmp_path / "study", space=[text], settings=SHORT)
    assert text.partition("=")[0] in caught.value.where
    assert pretence.seen == []
    assert not (tmp_path / "study").exists()


def test_data_that_changed_are_an_input_error(tmp_path, pretend, shapes_folder):
    import shutil

    pretend()
    data = shutil.copytree(shapes_folder, tmp_path / "shapes")
    options = {"model": "lenet5", "out": tmp_path / "study", "space": SPACE, "settings": SHORT}
    tune(data, trials=1, **options)
    next(data.rglob("*.png")).unlink()
    with pytest.raises(InputError, match="data changed"):
        tune(data, trials=2, **options)


def test_a_folder_with_something_else_is_an_input_error_and_stays_as_it_is(tmp_path, pretend):
    pretend()
    (tmp_path / "study").mkdir()
    (tmp_path / "study" / "notes.txt").write_text("mine")
    with pytest.raises(InputError, match="something else"):
        search(tmp_path / "study")
    assert [path.name for path in (tmp_path / "study").iterdir()] == ["notes.txt"]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("trials.jsonl", "{"), ("trials.jsonl", '{"number": 1}\n'), ("study.json", "[]"),
        ("trials.jsonl", '{"number": 2, "state": "failed", "settings": {}}\n'),
    ],
)  # fmt: skip
def test_a_damaged_study_is_an_input_error_that_names_the_file(tmp_path, pretend, name, text):
    pretend()
    search(tmp_path / "study", 2)
    (tmp_path / "study" / name).write_text(text)
    with pytest.raises(InputError) as caught:
        search(tmp_path / "study", 3)
    assert caught.value.where.endswith(name)


@pytest.mark.skipif(sys.platform == "win32", reason="no lock there")
def test_two_processes_do_not_work_on_one_study(tmp_path, pretend):
    pretend()
    search(tmp_path / "study", 1)
    holding = (
        "import fcntl, sys; file = open(sys.argv[1], 'r+'); fcntl.lockf(file, fcntl.LOCK_EX)\n"
        "print('held', flush=True); sys.stdin.read()"
    )
    command = [sys.executable, "-c", holding, str(tmp_path / "study" / "study.json")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout.readline() == "held\n"
        with pytest.raises(InputError, match="another process"):
            search(tmp_path / "study", 2)
        other.stdin.close()
    assert len(search(tmp_path / "study", 2).trials) == 2


def test_without_validation_there_is_nothing_to_compare(tmp_path, pretend):
    pretend()
    with pytest.raises(InputError, match="without a validation split"):
        search(tmp_path / "study", settings=SHORT | {"data.fractions": [0.9, 0.0, 0.1]})
    assert not (tmp_path / "study").exists()


def test_without_optuna_the_error_names_the_extra(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(InputError) as caught:
        search(tmp_path / "study")
    assert caught.value.what_to_do == "pip install 'striate[tune]'"


@pytest.mark.parametrize("others", [{"trials": 0}, {"settings": {"model.arguments": {"wings": 2}}}])
def test_what_cannot_be_trained_is_an_input_error_before_anything_runs(tmp_path, others):
    with pytest.raises(InputError):
        search(tmp_path / "study", **others)
    assert not (tmp_path / "study").exists()


# Studies, with training ---------------------------------------------------------------------------------


def test_the_best_recipe_trains_the_best_trial_again(tmp_path):
    quick = {"train.epochs": 1, "train.precision": "fp32"}
    study = search(tmp_path / "study", 3, settings=quick)
    assert all(trial.state == "complete" for trial in study.trials)
    assert len({trial.value for trial in study.trials}) > 1
    best = tmp_path / "study" / f"trial-{study.best.number:04d}"
    again = striate.train(config=study.recipe, out=tmp_path / "again", settings={"train.epochs": 1})
    assert again.results["val"]["accuracy"] == study.best.value
    tensors, others = (read_tensors(path / "model.safetensors")[0] for path in (best, again.path))
    assert all((tensors[name] == others[name]).all() for name in tensors)
    assert striate.load_run(best).evaluate()["metrics"]["accuracy"] == again.results["test"]["accuracy"]


def test_trials_of_a_detector_are_compared_by_what_their_runs_measured(tmp_path, few_scenes):
    tiny = {"backbone": "compact_cnn", "arguments": {"width": 0.125}}
    quick = {"train.epochs": 1, "train.precision": "fp32", "input.size": 64, "model.arguments": tiny}
    study = tune("scenes", out=tmp_path / "study", trials=2, settings=quick | {"evaluate.score": 0.0})
    for trial in study.trials:
        rows = json.loads((tmp_path / f"study/trial-{trial.number:04d}/results.json").read_text())
        assert (trial.value, trial.loss) == (rows["results"]["val"]["map"], rows["results"]["val"]["loss"])
    assert study.trials[0].settings["augment.mosaic"] == 0.0
    assert study.trials[1].settings["augment.mosaic"] > 0.0


def test_a_learning_rate_that_explodes_fails_its_trial_only(tmp_path):
    space = {"optimizer.lr": Choices((1e-3, 1e30))}
    settings = {"train.epochs": 1, "train.precision": "fp32", "optimizer.name": "sgd"}
    study = search(tmp_path / "study", 5, space=space, settings=settings)
    assert {trial.state for trial in study.trials if trial.settings["optimizer.lr"] == 1e30} == {"failed"}
    assert {trial.state for trial in study.trials if trial.settings["optimizer.lr"] == 1e-3} == {"complete"}
    assert "at step" in next(trial.fault for trial in study.trials if trial.fault)


def test_the_folder_of_a_study_holds_text_pictures_and_tensors_only(tmp_path):
    search(tmp_path / "study", 1, settings={"train.epochs": 1, "train.precision": "fp32"})
    files = [path for path in (tmp_path / "study").rglob("*") if path.is_file()]
    kinds = {".json", ".jsonl", ".toml", ".png", ".safetensors", ".html", ".md"}
    assert {path.suffix for path in files} <= kinds
    json.loads((tmp_path / "study" / "study.json").read_text())
    assert (tmp_path / "study" / "history.png").read_bytes().startswith(b"\x89PNG")
