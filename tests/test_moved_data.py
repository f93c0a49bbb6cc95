"""Runs whose data were moved: they go on to the same bits, remember the new place, and refuse other data."""

import shutil
import signal

import pytest
from small_data import contents, draw_shapes

import striate
from striate.data.load import load_data
from striate.errors import InputError, Interrupted
from striate.recipe import load_recipe
from striate.run_folder import read_config

SETTINGS = {"train.epochs": 2, "train.batch_size": 8, "train.precision": "fp32", "augment.flip": True}


class StopAt:
    """Watches a run, and interrupts it after so many steps."""

    def __init__(self, step: int) -> None:
        self.last = step

    def start(self, state, epochs, steps_per_epoch, note):
        pass

    def phase(self, state, note):
        pass

    def epoch(self, row):
        pass

    def step(self, state, loss):
        if state.step == self.last:
            signal.raise_signal(signal.SIGINT)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A run that was never stopped, its data still in place. Not to be changed."""
    folder = tmp_path_factory.mktemp("whole")
    data = draw_shapes(folder / "shapes", 12)
    return striate.train(data, model="lenet5", out=folder / "run", settings=SETTINGS)


@pytest.fixture
def stopped(tmp_path, whole):
    """The same run, stopped in its first epoch: the folder of its data and that of the run."""
    data = draw_shapes(tmp_path / "shapes", 12)
    with pytest.raises(Interrupted):
        striate.train(data, model="lenet5", out=tmp_path / "run", settings=SETTINGS, watchers=[StopAt(2)])
    return data, tmp_path / "run"


def assert_ended_alike(run, whole):
    for name in ("model.safetensors", "metrics.jsonl"):
        assert (run / name).read_bytes() == (whole.path / name).read_bytes()


@pytest.mark.parametrize("as_dataset", [False, True])
def test_a_run_goes_on_where_its_data_are_now_to_the_same_bits(stopped, whole, tmp_path, as_dataset):
    data, run = stopped
    moved = data.rename(tmp_path / "elsewhere")
    resumed = striate.resume(run, data=load_data(moved) if as_dataset else moved)
    assert_ended_alike(run, whole)
    assert resumed.results == whole.results
    config = read_config(run)
    assert config.data.source == config.recipe.data.source == str(moved)
    assert load_recipe(run / "recipe.toml").data.source == str(moved)
    assert config.data.name == "shapes"  # what the report calls them
    measured = striate.load_run(run).evaluate()["metrics"]  # it remembers the new place
    assert measured == whole.evaluate()["metrics"]


def test_the_command_line_says_what_it_takes_and_takes_it(stopped, whole, run_cli, tmp_path, monkeypatch):
    data, run = stopped
    monkeypatch.chdir(tmp_path)
    shutil.make_archive("packed", "zip", data.parent, data.name)
    data.rename(tmp_path / "elsewhere")
    before = contents(run)
    outcome = run_cli("train", "--resume", "run")
    assert outcome.code == 2
    assert outcome.err.splitlines()[1:] == [
        f"  in: {data}",
        "  try: where they are now, say with: striate train NEWPATH --resume run",
    ]
    assert contents(run) == before
    outcome = run_cli("train", "elsewhere", "--resume", "run")
    assert outcome.code == 0, outcome.err
    assert_ended_alike(run, whole)
    assert read_config(run).data.source == str(tmp_path / "elsewhere")  # found from any folder


def test_a_stopped_run_remembers_the_place_too(stopped, whole, tmp_path):
    data, run = stopped
    moved = data.rename(tmp_path / "elsewhere")
    with pytest.raises(Interrupted):
        striate.resume(run, [StopAt(3)], data=moved)
    striate.resume(run)
    assert_ended_alike(run, whole)


def test_other_data_are_refused_and_nothing_is_changed(stopped, tmp_path):
    data, run = stopped
    other = shutil.copytree(data, tmp_path / "other")
    (other / "disc" / "3.png").write_bytes((other / "disc" / "4.png").read_bytes())
    before = contents(run)
    with pytest.raises(InputError, match="not the data that the run began with") as caught:
        striate.resume(run, data=other)
    assert caught.value.where == str(other)
    with pytest.raises(InputError, match="no such folder"):
        striate.resume(run, data=tmp_path / "nowhere")
    assert contents(run) == before


def test_a_resumed_run_takes_no_other_setting(stopped, run_cli):
    data, run = stopped
    outcome = run_cli("train", data, "--resume", run, "--epochs", 3)
    assert outcome.code == 2
    assert outcome.err.splitlines()[-1] == f"  try: striate train {data} --resume {run}"


def test_evaluating_a_run_whose_data_are_gone_names_a_command_that_works(stopped, run_cli, tmp_path):
    data, run = stopped
    striate.resume(run)
    moved = data.rename(tmp_path / "elsewhere")
    outcome = run_cli("evaluate", run)
    assert outcome.code == 2
    hint = f"striate evaluate {run} NEWPATH"
    assert outcome.err.rstrip().endswith(hint)
    assert run_cli(*hint.replace("NEWPATH", str(moved)).split()[1:]).code == 0
