"""Training from the first step to the last: epochs, validation, checkpoints, early stopping, Ctrl-C."""

import json
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sized
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from striate.errors import Interrupted
from striate.files import write_text
from striate.recipe import TrainSettings
from striate.samples import Batch
from striate.train.checkpoint import TrainingState, save_checkpoint
from striate.train.loop import StepSettings, train_one_epoch

if TYPE_CHECKING:
    from striate.tasks.task import Task


class TrainBatches(Sized, Protocol):
    """A loader: so many batches per epoch, the rest of one from any batch on."""

    def batches(self, epoch: int, start: int) -> Iterator[Batch]: ...


class Watcher(Protocol):
    """Is told how training goes: a progress bar, plain lines, TensorBoard."""

    def start(self, state: TrainingState, epochs: int, steps_per_epoch: int, note: str) -> None: ...

    def step(self, state: TrainingState, loss: float) -> None: ...

    def epoch(self, row: dict[str, Any]) -> None: ...


@dataclass(frozen=True)
class Job:
    """What is trained, on what, and where the results go.

    Attributes:
        validate: metrics of a network on the validation split; None where there is none.
        prepare: an epoch and a batch of it -> network input.
        keep_best: writes the weights that are the best so far.
    """

    task: "Task"
    loader: TrainBatches
    prepare: Callable[[int, Batch], Any]
    validate: Callable[[Any], dict[str, float]] | None
    keep_best: Callable[[Any], None]
    folder: Path
    watchers: list[Watcher]

    @property
    def checkpoint(self) -> Path:
        """The file of the last training state."""
        return self.folder / "checkpoint" / "state.safetensors"


def fit(state: TrainingState, job: Job, settings: TrainSettings, step_settings: StepSettings) -> None:
    """Train until ``settings.epochs`` are done or validation has not improved for ``patience`` epochs.

    The state is saved at the start, at each epoch's end, every ``checkpoint_minutes``, and on Ctrl-C.

    Raises:
        Interrupted: Ctrl-C was pressed; the state is saved.
        RunError: a loss or gradient is not finite.
    """
    saver = _Saver(state, job, settings.checkpoint_minutes)
    if state.step == 0:
        saver.save()  # a run always has a state to go back to
    with _interrupt_flag() as interrupted:

        def after_step(state: TrainingState, loss: float) -> None:
            for watcher in job.watchers:
                watcher.step(state, loss)
            if interrupted.is_set():
                saver.save()
                raise _stopped(state, job)
            saver.save_if_due()

        while state.epoch < settings.epochs and not out_of_patience(state, settings.patience):
            batches = job.loader.batches(state.epoch, start=state.batch)
            prepare = partial(job.prepare, state.epoch)
            train_one_epoch(state, job.task, batches, prepare, step_settings, after_step)
            row = finish_epoch(state, job, step_settings)
            saver.save()
            write_history(job.folder, state)
            for watcher in job.watchers:
                watcher.epoch(row)
            if interrupted.is_set():  # it came while the epoch was being finished
                raise _stopped(state, job)


def finish_epoch(state: TrainingState, job: Job, settings: StepSettings) -> dict[str, Any]:
    """Validate, keep the weights if they are the best, and move the state to the next epoch.

    Returns:
        The epoch's row of the history.
    """
    pictures = state.sums.pop("pictures")
    row: dict[str, Any] = {
        "epoch": state.epoch + 1,
        "step": state.step,
        "lr": settings.lr * settings.schedule(state.step - 1),
        "train": {name: total / pictures for name, total in state.sums.items()},
    }
    better = True  # without validation the last weights are the ones to keep
    if job.validate:
        row["val"] = job.validate(state.judged_model)
        # Small validation splits tie often; of equal results the lower loss is the surer one.
        value = [row["val"][job.task.monitor], -row["val"]["loss"]]
        better = state.best is None or value > state.best
        state.best = value if better else state.best
    if better:
        job.keep_best(state.judged_model)
    state.stale = 0 if better else state.stale + 1
    state.history.append(row)
    state.sums = {}
    state.epoch += 1
    state.batch = 0
    return row


def out_of_patience(state: TrainingState, patience: int | None) -> bool:
    """True when validation has not improved for ``patience`` epochs."""
    return patience is not None and state.stale >= patience


def write_history(folder: Path, state: TrainingState) -> None:
    """metrics.jsonl: one row per completed epoch, whole or not at all."""
    rows = "".join(json.dumps(row) + "\n" for row in state.history)
    write_text(folder / "metrics.jsonl", rows)


def _stopped(state: TrainingState, job: Job) -> Interrupted:
    return Interrupted(
        f"stopped after step {state.step}; the state is saved",
        job.folder,
        f"striate train --resume {job.folder}",
    )


class _Saver:
    """Saves the state, with the time that training took in this process and before."""

    def __init__(self, state: TrainingState, job: Job, minutes: float) -> None:
        self.state, self.path, self.interval = state, job.checkpoint, 60 * minutes
        self.start = time.monotonic() - state.seconds
        self.last = time.monotonic()

    def save(self) -> None:
        self.state.seconds = time.monotonic() - self.start
        save_checkpoint(self.path, self.state)
        self.last = time.monotonic()

    def save_if_due(self) -> None:
        if time.monotonic() - self.last >= self.interval:
            self.save()


@contextmanager
def _interrupt_flag() -> Iterator[threading.Event]:
    """Turns the first Ctrl-C into a flag, so that the step under way is finished; the second one stops."""
    flag = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield flag  # only the main thread hears signals
        return

    def remember(number: int, frame: Any) -> None:
        flag.set()
        signal.signal(signal.SIGINT, before)

    before = signal.getsignal(signal.SIGINT)
    signal.signal(signal.SIGINT, remember)
    try:
        yield flag
    finally:
        signal.signal(signal.SIGINT, before)
