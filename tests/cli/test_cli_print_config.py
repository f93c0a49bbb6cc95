"""``striate train --print-config``: the printed recipe trains the run that the same command would train."""

import tomllib

import pytest

from striate import api
from striate.data import builtin
from striate.data.load import load_data
from striate.errors import RunError
from striate.models.published import WEIGHTS
from striate.recipe import Recipe, load_recipe
from striate.run_folder import read_config
from striate.settle import spelled_out
from striate.start import find_start, fitting
from striate.tasks.detection.published import DETECTOR_WEIGHTS
from striate.train.transfer import choose_phases

PARITY = "even\nodd\n" + "".join(f"{digit} {('even', 'odd')[digit % 2]}\n" for digit in range(10))
SMALL = ("--image-size", 64, "--batch-size", 8)


@pytest.fixture(autouse=True, scope="module")
def _few_scenes():
    counts = {"count_train": 12, "count_val": 4, "count_test": 4}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(builtin, "SCENES", counts)
        yield


@pytest.fixture
def begun(run_cli, tmp_path, monkeypatch):
    """The config.json that a command begins a run with: all that decides what is trained."""

    def stop(*arguments):
        raise RunError("far enough")

    monkeypatch.setattr(api, "run_training", stop)

    def begin(name, *arguments):
        outcome = run_cli("train", *arguments, "--out", tmp_path / name)
        assert "far enough" in outcome.err, outcome.err
        return read_config(tmp_path / name)

    return begin


@pytest.mark.parametrize(
    "arguments",
    [
        ["digits"],
        ["digits", "--tree", "parity.txt", "--model", "lenet5"],
        ["digits", "--batch-size", "auto", "--model", "lenet5"],
        ["scenes-one", "--task", "localization"],
        ["scenes", *SMALL],
        ["scenes", *SMALL, "--tree", "parity.txt"],
        ["scenes", *SMALL, "--model", "faster_rcnn_light"],
        ["shapes", "--weights", "start"],
    ],
    ids=lambda arguments: " ".join(map(str, arguments)),
)
def test_the_printed_recipe_means_the_same_run(
    run_cli, begun, arguments, tmp_path, monkeypatch, shapes_folder, shapes_run
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "parity.txt").write_text(PARITY)
    (tmp_path / "shapes").symlink_to(shapes_folder)
    (tmp_path / "start").symlink_to(shapes_run.path)
    printed = run_cli("train", *arguments, "--print-config")
    assert printed.code == 0, printed.err
    (tmp_path / "r.toml").write_text(printed.out)
    assert run_cli("train", "--config", "r.toml", "--print-config").out == printed.out
    expected, found = begun("plain", *arguments), begun("printed", "--config", "r.toml")
    assert found == expected
    assert tomllib.loads(printed.out)["task"] == expected.task
    assert tomllib.loads(printed.out)["model"]["name"] == expected.model


def test_a_start_keeps_its_margin_and_its_fit(run_cli, begun, digits_run, tmp_path):
    """The run was trained on 28 pixels within a black margin; the defaults are another look."""
    arguments = ("digits", "--weights", digits_run.path)
    (tmp_path / "r.toml").write_text(run_cli("train", *arguments, "--print-config").out)
    found = begun("printed", "--config", tmp_path / "r.toml")
    assert found.input.margin == digits_run.config.input.margin == 2
    assert found == begun("plain", *arguments)


@pytest.mark.parametrize("task", ["classification", "localization", "detection"])
def test_published_weights_are_used_as_without_the_detour(task, tmp_path):
    """What decides is compared, for every card: nothing is downloaded."""
    dataset = load_data(
        {"classification": "digits", "localization": "scenes-one", "detection": "scenes"}[task]
    )
    names = DETECTOR_WEIGHTS if task == "detection" else WEIGHTS
    for name in names:
        recipe = load_recipe(None, {"model.name": name, "model.pretrained": True, "task": task})
        (tmp_path / "r.toml").write_text(spelled_out(recipe, dataset).to_toml())
        printed = load_recipe(tmp_path / "r.toml")
        looks = [fitting(find_start(one), one, dataset.channels) for one in (recipe, printed)]
        if task == "localization":
            assert printed.input.fit == "letterbox"  # whole pictures, whatever the weights have seen
        else:
            assert looks[0] == looks[1]
        phases = [choose_phases(one.train, one.optimizer.lr, transfers=True) for one in (recipe, printed)]
        assert phases[0] == phases[1]


def test_without_data_the_defaults_are_printed(run_cli):
    assert run_cli("train", "--print-config").out == Recipe().to_toml()
    printed = tomllib.loads(run_cli("train", "--task", "detection", "--print-config").out)
    assert (printed["model"]["name"], printed["input"]["fit"]) == ("yolo_light", "letterbox")


def test_data_that_are_not_there_are_an_error(run_cli):
    outcome = run_cli("train", "nowhere", "--print-config")
    assert (outcome.code, outcome.out) == (2, "")
