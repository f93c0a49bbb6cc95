"""Training from the first step to the last: which weights are kept, when it stops, what is on disk."""

import json
import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from striate.data.loader import Loader, MemoryPictures
from striate.errors import Interrupted, RunError
from striate.files import read_tensors
from striate.recipe import OptimizerSettings, Recipe, ScheduleSettings, TrainSettings
from striate.samples import Batch, Frame
from striate.tasks.classification import ClassificationTask
from striate.train.checkpoint import TrainingState, load_checkpoint
from striate.train.ema import ExponentialMovingAverage
from striate.train.fit import Feed, Job, fit, out_of_patience, write_history
from striate.train.optimizer import build_optimizer

COUNT, BATCH_SIZE, STEPS = 22, 8, 3  # 3 steps per epoch
OPTIMIZER = OptimizerSettings(name="adamw", lr=0.01)
ROOT = Path(__file__).parents[2]


class Network(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Dropout(0.3), nn.Flatten(), nn.Linear(64, 2)
        )

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        return {"logits": self.body(images)}


class Witness:
    """A watcher that writes down what it is told, and acts at a step or an epoch."""

    def __init__(self, at_step: int | None = None, at_epoch: int | None = None, act=lambda: None) -> None:
        self.at_step, self.at_epoch, self.act = at_step, at_epoch, act
        self.steps: list[int] = []
        self.losses: list[float] = []
        self.rows: list[dict] = []

    def start(self, state, epochs, steps_per_epoch, note) -> None: ...

    def phase(self, state, note) -> None: ...

    def step(self, state: TrainingState, loss: float) -> None:
        self.steps.append(state.step)
        self.losses.append(loss)
        if state.step == self.at_step:
            self.act()

    def epoch(self, row: dict) -> None:
        self.rows.append(row)
        if row["epoch"] == self.at_epoch:
            self.act()


class Setup:
    """A small job in ``folder``; ``values`` are the validation results of the epochs to come."""

    optimizer = OPTIMIZER
    schedule = ScheduleSettings(name="exponential", step_epochs=2, factor=0.5, warmup_epochs=0)

    def __init__(
        self, folder: Path, values: list[float] | None = None, witness: Witness | None = None
    ) -> None:
        torch.manual_seed(0)
        model = Network().to(memory_format=torch.channels_last)
        self.state = TrainingState(
            model,
            build_optimizer(model, self.optimizer),
            ExponentialMovingAverage(model, 0.9),
        )
        generator = torch.Generator().manual_seed(1)
        pixels = torch.randint(0, 256, (COUNT, 1, 6, 6), generator=generator, dtype=torch.uint8)
        targets = torch.randint(0, 2, (COUNT,), generator=generator)
        names = [f"{i}.png" for i in range(COUNT)]
        self.pictures = MemoryPictures(pixels, [Frame(6, 6)] * COUNT, names, targets)
        self.values = values
        self.kept: list[tuple[int, dict[str, Tensor]]] = []  # epoch, weights
        self.witness = witness or Witness()
        folder.mkdir(exist_ok=True)
        self.job = Job(
            task=ClassificationTask(("a", "b")),
            feed=lambda state: Feed(Loader(self.pictures, BATCH_SIZE, seed=0), self.prepare),
            precision="fp32",
            validate=self.validate if values is not None else None,
            keep_best=self.keep,
            folder=folder,
            watchers=[self.witness],
        )

    def prepare(self, epoch: int, batch: Batch) -> tuple[Tensor, Tensor]:
        return batch.images.float() / 255 + 0.01 * epoch, batch.targets

    def validate(self, judged: nn.Module) -> dict[str, float]:
        assert judged is self.state.judged_model
        return {"loss": 1.0, "accuracy": self.values[self.state.epoch]}

    def keep(self, judged: nn.Module) -> None:
        weights = {name: value.clone() for name, value in judged.state_dict().items()}
        self.kept.append((self.state.epoch + 1, weights))

    def run(self, epochs: int = 3, **settings) -> None:
        if self.job.checkpoint.exists():
            load_checkpoint(self.job.checkpoint, self.state)
        train = TrainSettings(epochs=epochs, **settings)
        fit(self.state, self.job, Recipe(train=train, optimizer=self.optimizer, schedule=self.schedule))

    def saved(self) -> tuple[dict[str, Tensor], dict]:
        tensors, facts = read_tensors(self.job.checkpoint)
        return tensors, {**facts, "seconds": 0}

    def history(self) -> list[dict]:
        return [json.loads(line) for line in (self.job.folder / "metrics.jsonl").read_text().splitlines()]


def assert_same_end(setup: Setup, reference: Setup) -> None:
    tensors, facts = setup.saved()
    expected, expected_facts = reference.saved()
    assert facts == expected_facts
    assert tensors.keys() == expected.keys()
    assert [name for name, value in expected.items() if not torch.equal(tensors[name], value)] == []
    files = [(part.job.folder / "metrics.jsonl").read_bytes() for part in (setup, reference)]
    assert files[0] == files[1]


@pytest.mark.parametrize(
    ("values", "patience", "epochs", "best"),
    [
        ([0.1, 0.2, 0.3, 0.4, 0.5], None, 5, [1, 2, 3, 4, 5]),
        ([0.5, 0.4, 0.6, 0.5, 0.5], None, 5, [1, 3]),
        ([0.5, 0.5, 0.5, 0.5, 0.5], None, 5, [1]),  # a full tie keeps the earlier
        ([0.5, 0.4, 0.4, 0.9, 0.9], 2, 3, [1]),
        ([0.5, 0.4, 0.6, 0.5, 0.5], 2, 5, [1, 3]),
        ([0.5, 0.5, 0.9, 0.9, 0.9], 1, 2, [1]),
        ([0.0, 0.0, 0.0, 0.0, 0.0], 4, 5, [1]),
    ],
)
def test_the_best_weights_are_kept_and_patience_ends_the_run(tmp_path, values, patience, epochs, best):
    setup = Setup(tmp_path, values)
    setup.run(epochs=5, patience=patience)
    assert setup.state.epoch == epochs
    assert [epoch for epoch, _ in setup.kept] == best
    assert setup.state.best == [max(values[:epochs]), -1.0]
    assert out_of_patience(setup.state, patience) == (patience is not None and epochs - best[-1] == patience)


def test_of_equal_results_the_one_with_the_lower_loss_is_better(tmp_path):
    setup = Setup(tmp_path, [0.5, 0.5, 0.5, 0.4])
    losses = [0.9, 0.7, 0.8, 0.1]
    setup.job = replace(
        setup.job,
        validate=lambda judged: setup.validate(judged) | {"loss": losses[setup.state.epoch]},
    )
    setup.run(epochs=4)
    assert [epoch for epoch, _ in setup.kept] == [1, 2]
    assert setup.state.best == [0.5, -0.7]


def test_the_weights_kept_are_the_averages_of_that_epoch(tmp_path):
    setup = Setup(tmp_path / "a", [0.1, 0.9, 0.5])
    setup.run(epochs=3)
    short = Setup(tmp_path / "b", [0.1, 0.9])
    short.run(epochs=2)
    (epoch, weights), expected = setup.kept[-1], short.state.ema.model.state_dict()
    assert epoch == 2
    assert all(torch.equal(weights[name], value) for name, value in expected.items())


def test_without_validation_the_last_weights_are_kept_and_patience_means_nothing(tmp_path):
    setup = Setup(tmp_path)
    setup.run(epochs=4, patience=1)
    assert [epoch for epoch, _ in setup.kept] == [1, 2, 3, 4]
    assert setup.state.best is None
    assert all("val" not in row for row in setup.history())


def test_each_epoch_has_a_row_of_what_was_measured(tmp_path):
    setup = Setup(tmp_path, [0.25, 0.75])
    setup.run(epochs=2)
    rows = setup.history()
    assert rows == setup.state.history == setup.witness.rows
    assert [row["epoch"] for row in rows] == [1, 2]
    assert [row["step"] for row in rows] == [3, 6]
    rates = [0.01 * 0.5 ** (2 / 6), 0.01 * 0.5 ** (5 / 6)]  # of the epochs' last steps
    assert [row["lr"] for row in rows] == pytest.approx(rates)
    assert [row["val"] for row in rows] == [{"loss": 1.0, "accuracy": v} for v in (0.25, 0.75)]
    sizes = [8, 7, 7]
    for row, losses in zip(rows, (setup.witness.losses[:3], setup.witness.losses[3:]), strict=True):
        mean = sum(size * loss for size, loss in zip(sizes, losses, strict=True)) / COUNT
        assert row["train"]["loss"] == pytest.approx(mean)
        assert 0 <= row["train"]["accuracy"] <= 1


def test_an_interval_of_zero_saves_each_step(tmp_path):
    seen = []
    setup = Setup(tmp_path)
    setup.witness.step = lambda state, loss: seen.append(read_tensors(setup.job.checkpoint)[1]["step"])
    setup.run(epochs=2, checkpoint_minutes=0)
    assert seen == [0, 1, 2, 3, 4, 5]  # at each step the one before it is on disk


def test_a_long_interval_saves_at_the_ends_of_epochs_only(tmp_path):
    setup = Setup(tmp_path)
    setup.run(epochs=1)
    assert setup.saved()[1]["step"] == 3
    setup.witness.at_step, setup.witness.act = 5, lambda: seen.append(setup.saved()[1]["step"])
    seen = []
    setup.run(epochs=2)
    assert seen == [3]
    assert setup.saved()[1]["step"] == 6


@pytest.mark.parametrize("steps", range(1, 3 * STEPS))
def test_a_run_left_after_any_step_goes_on_exactly(tmp_path, steps):
    class LeftError(Exception): ...

    def leave() -> None:
        raise LeftError

    values = [0.5, 0.4, 0.6]
    reference = Setup(tmp_path / "whole", values)
    reference.run(checkpoint_minutes=0)
    broken = Setup(tmp_path / "broken", values, Witness(at_step=steps + 1, act=leave))
    with pytest.raises(LeftError):
        broken.run(checkpoint_minutes=0)
    assert broken.saved()[1]["step"] == steps
    resumed = Setup(tmp_path / "broken", values)
    resumed.run(checkpoint_minutes=0)
    assert resumed.witness.steps == list(range(steps + 1, 10))
    assert_same_end(resumed, reference)


@pytest.mark.parametrize("name", ["sgd", "adamw"])
@pytest.mark.parametrize("steps", [1, 4, 8])
def test_with_a_moving_momentum_and_l1_it_goes_on_exactly_too(tmp_path, monkeypatch, name, steps):
    settings = OptimizerSettings(name=name, lr=0.01, l1=1e-3)
    cycle = ScheduleSettings(name="one_cycle", momentum=(0.8, 0.95))
    monkeypatch.setattr(Setup, "optimizer", settings)
    monkeypatch.setattr(Setup, "schedule", cycle)
    reference = Setup(tmp_path / "whole")
    reference.run(checkpoint_minutes=0)
    group = reference.state.optimizer.param_groups[0]
    last = group["betas"][0] if name == "adamw" else group["momentum"]
    assert last == pytest.approx(0.8 + 0.15 * (8 / 9 - 0.25) / 0.75)  # of the last of nine steps
    assert group["l1"] == 1e-3

    def leave() -> None:
        raise KeyError("left")

    broken = Setup(tmp_path / "broken", witness=Witness(at_step=steps, act=leave))
    with pytest.raises(KeyError, match="left"):
        broken.run(checkpoint_minutes=0)
    resumed = Setup(tmp_path / "broken")
    resumed.run(checkpoint_minutes=0)
    assert_same_end(resumed, reference)


@pytest.mark.parametrize("last", ["patience", "epochs"])
def test_a_run_that_is_over_does_nothing_more(tmp_path, last):
    settings = {"epochs": 5, "patience": 1} if last == "patience" else {"epochs": 2}
    setup = Setup(tmp_path, [0.5, 0.4, 0.9, 0.9, 0.9])
    setup.run(**settings)
    again = Setup(tmp_path, [0.5, 0.4, 0.9, 0.9, 0.9])
    again.run(**settings)
    assert again.witness.steps == []
    assert again.kept == []
    assert again.state.epoch == 2


def test_a_loss_that_is_not_finite_is_never_saved(tmp_path):
    setup = Setup(tmp_path, [0.5, 0.6, 0.7])
    good = setup.prepare

    def prepare(epoch: int, batch: Batch) -> tuple[Tensor, Tensor]:
        images, targets = good(epoch, batch)
        return images * (float("nan") if setup.state.step == 4 else 1.0), targets

    setup.prepare = prepare
    with pytest.raises(RunError, match="at step 5"):
        setup.run(checkpoint_minutes=0)
    assert setup.saved()[1]["step"] == 4
    assert all(value.isfinite().all() for value in setup.saved()[0].values() if value.is_floating_point())
    resumed = Setup(tmp_path, [0.5, 0.6, 0.7])
    resumed.run(checkpoint_minutes=0)
    reference = Setup(tmp_path / "whole", [0.5, 0.6, 0.7])
    reference.run(checkpoint_minutes=0)
    assert_same_end(resumed, reference)


def press_ctrl_c() -> None:
    os.kill(os.getpid(), signal.SIGINT)


@pytest.mark.parametrize("step", [1, 3, 5])
def test_ctrl_c_ends_the_step_saves_and_can_be_resumed_exactly(tmp_path, step):
    values = [0.5, 0.4, 0.6]
    reference = Setup(tmp_path / "whole", values)
    reference.run()
    before = signal.getsignal(signal.SIGINT)
    stopped = Setup(tmp_path / "stopped", values, Witness(at_step=step, act=press_ctrl_c))
    with pytest.raises(Interrupted, match=f"after step {step}; the state is saved") as caught:
        stopped.run()
    assert signal.getsignal(signal.SIGINT) is before
    assert caught.value.exit_code == 130
    assert str(stopped.job.folder) in caught.value.what_to_do
    assert stopped.saved()[1]["step"] == step
    resumed = Setup(tmp_path / "stopped", values)
    resumed.run()
    assert_same_end(resumed, reference)


@pytest.mark.parametrize("epoch", [1, 3])
def test_ctrl_c_in_validation_stops_at_the_end_of_the_epoch(tmp_path, epoch):
    reference = Setup(tmp_path / "whole", [0.5, 0.4, 0.6])
    reference.run()
    stopped = Setup(tmp_path / "stopped", [0.5, 0.4, 0.6])
    judge = stopped.validate

    def validate(judged: nn.Module) -> dict[str, float]:
        if stopped.state.epoch + 1 == epoch:
            press_ctrl_c()
        return judge(judged)

    object.__setattr__(stopped.job, "validate", validate)
    with pytest.raises(Interrupted, match=f"after step {STEPS * epoch};"):
        stopped.run()
    assert len(stopped.history()) == epoch
    resumed = Setup(tmp_path / "stopped", [0.5, 0.4, 0.6])
    resumed.run()
    assert_same_end(resumed, reference)


@pytest.fixture
def heard():
    """Python's own answer to Ctrl-C, also where the tests were started in the background, deaf to it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def test_a_second_ctrl_c_ends_at_once(tmp_path, heard):
    def press_twice() -> None:
        press_ctrl_c()
        press_ctrl_c()
        pytest.fail("the second Ctrl-C was not heard")

    before = signal.getsignal(signal.SIGINT)
    setup = Setup(tmp_path, witness=Witness(at_step=2, act=press_twice))
    with pytest.raises(KeyboardInterrupt):
        setup.run()
    assert signal.getsignal(signal.SIGINT) is before
    assert setup.saved()[1]["step"] == 0  # the state from before the first step


def test_the_time_of_all_resumes_is_added_up(tmp_path, monkeypatch):
    clock = iter(range(0, 10_000, 10))
    monkeypatch.setattr("time.monotonic", lambda: next(clock))
    setup = Setup(tmp_path)
    setup.run(epochs=1)
    first = setup.state.seconds
    again = Setup(tmp_path)
    again.run(epochs=2)
    assert again.state.seconds > first > 0


def test_the_history_can_be_written_again(tmp_path):
    setup = Setup(tmp_path, [0.5, 0.6])
    setup.run(epochs=2)
    before = (tmp_path / "metrics.jsonl").read_bytes()
    (tmp_path / "metrics.jsonl").unlink()
    write_history(tmp_path, setup.state)
    assert (tmp_path / "metrics.jsonl").read_bytes() == before


@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGINT for one process")
@pytest.mark.parametrize("presses", [1, 2])
def test_the_command_line_ends_with_130_after_ctrl_c(tmp_path, presses):
    """Two at once end the process wherever it is; the folder can be resumed in both cases."""
    command = [sys.executable, "-m", "striate", "train"]
    environment = os.environ | {"STRIATE_THREADS": "1", "PYTHONPATH": str(ROOT)}
    options = ["digits", "--model=fashion_cnn", "--image-size=8", "--epochs=500", f"--out={tmp_path / 'run'}"]
    small = ["--set=model.arguments.width=2", "--set=train.checkpoint_minutes=0"]
    process = subprocess.Popen(
        [*command, *options, *small], cwd=ROOT, env=environment, stderr=subprocess.PIPE, text=True
    )
    try:
        for line in process.stderr:
            if line.startswith("epoch"):
                break
        for _ in range(presses):
            process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 130, errors
    assert "Traceback" not in errors
    if presses == 1:
        assert "the state is saved" in errors
        assert f"striate train --resume {tmp_path / 'run'}" in errors
    _, facts = read_tensors(tmp_path / "run" / "checkpoint" / "state.safetensors")
    assert facts["step"] > 0
    assert not list((tmp_path / "run").rglob("*.tmp"))
