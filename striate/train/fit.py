"""Training from the first step to the last: epochs, validation, checkpoints, early stopping, Ctrl-C."""

import json
import shlex
import signal
import threading
import time
from collections.abc import Callable, Generator, Iterator, Sized
from contextlib import closing, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from torch import nn

from striate.errors import Interrupted
from striate.files import write_text
from striate.recipe import PhaseSettings, Recipe
from striate.samples import Batch
from striate.train.checkpoint import TrainingState, save_checkpoint
from striate.train.distributed import Processes
from striate.train.loop import StepSettings, train_one_epoch
from striate.train.precision import Precision
from striate.train.schedule import build_momentum, build_schedule
from striate.train.transfer import choose_phases, describe_phase, next_phase

if TYPE_CHECKING:
    from striate.tasks.task import Task


CHECKPOINT = Path("checkpoint", "state.safetensors")  # in the run folder


class TrainBatches(Sized, Protocol):
    """A loader: so many batches per epoch, the rest of one from any batch on."""

    def batches(self, epoch: int, start: int) -> Generator[Batch, None, None]: ...


class Watcher(Protocol):
    """Is told how training goes: a progress bar, plain lines, TensorBoard."""

    def start(self, state: TrainingState, epochs: int, steps_per_epoch: int, note: str) -> None: ...

    def phase(self, state: TrainingState, note: str) -> None: ...

    def step(self, state: TrainingState, loss: float) -> None: ...

    def epoch(self, row: dict[str, Any]) -> None: ...


@dataclass(frozen=True)
class Feed:
    """What a phase trains on: batches, and an epoch and a batch of it -> network input and targets."""

    loader: TrainBatches
    prepare: Callable[[int, Batch], tuple[Any, Any]]


@dataclass(frozen=True)
class Job:
    """What is trained, on what, and where the results go.

    Attributes:
        feed: what the state's phase trains on; may set the state's ``network``.
        validate: metrics of a network on the validation split; None where there is none.
        keep_best: writes the weights that are the best so far.
        join: a network -> what computes its outputs together with the other processes.
    """

    task: "Task"
    feed: Callable[[TrainingState], Feed]
    precision: Precision
    validate: Callable[[Any], dict[str, float]] | None
    keep_best: Callable[[Any], None]
    folder: Path
    watchers: list[Watcher]
    join: Callable[[nn.Module], nn.Module] = lambda network: network

    @property
    def checkpoint(self) -> Path:
        """The file of the last training state."""
        return self.folder / CHECKPOINT


def fit(state: TrainingState, job: Job, recipe: Recipe) -> None:
    """Train phase after phase; a phase ends after its epochs, or ``patience`` epochs without improvement.

    The state, which has entered its phase, is saved at the start, at each epoch's end, every
    ``checkpoint_minutes``, and on Ctrl-C.

    Raises:
        Interrupted: Ctrl-C was pressed; the state is saved.
        RunError: a loss or gradient is not finite.
    """
    settings = recipe.train
    phases = choose_phases(settings, recipe.optimizer.lr)
    saver = _Saver(state, job, settings.checkpoint_minutes)
    if state.step == 0:
        saver.save()  # a run always has a state to go back to
    with _interrupt_flag() as interrupted:
        while True:
            _train_phase(state, job, recipe, phases, saver, interrupted)
            if state.phase + 1 == len(phases):
                return
            next_phase(state, phases, recipe.optimizer)


def _train_phase(
    state: TrainingState,
    job: Job,
    recipe: Recipe,
    phases: tuple[PhaseSettings, ...],
    saver: "_Saver",
    interrupted: threading.Event,
) -> None:
    """The rest of the state's phase, from the batch that the state is at."""

    def after_step(state: TrainingState, loss: float) -> None:
        for watcher in job.watchers:
            watcher.step(state, loss)
        stop, due = agreed(state.processes, interrupted.is_set(), saver.is_due())
        if stop or due:
            saver.save()
        if stop:
            raise _stopped(state, job)

    phase = phases[state.phase]
    if state.epoch - state.phase_epoch >= phase.epochs or out_of_patience(state, recipe.train.patience):
        return  # it was resumed at the phase's end
    if len(phases) > 1 or state.frozen:
        for watcher in job.watchers:
            watcher.phase(state, describe_phase(state, phases))
    feed = job.feed(state)
    state.network = job.join(state.network or state.model)
    steps = _step_settings(recipe, phase, len(feed.loader), job.precision)
    while state.epoch - state.phase_epoch < phase.epochs:
        # Closed whatever happens: an error that is kept, as notebooks do, would keep its worker processes.
        with closing(feed.loader.batches(state.epoch, start=state.batch)) as batches:
            train_one_epoch(state, job.task, batches, partial(feed.prepare, state.epoch), steps, after_step)
        row = finish_epoch(state, job, steps)
        saver.save()
        write_history(job.folder, state)
        for watcher in job.watchers:
            watcher.epoch(row)
        if agreed(state.processes, interrupted.is_set())[0]:  # it came while the epoch was being finished
            raise _stopped(state, job)
        if out_of_patience(state, recipe.train.patience):
            return


def _step_settings(
    recipe: Recipe, phase: PhaseSettings, steps_per_epoch: int, precision: Precision
) -> StepSettings:
    schedule = build_schedule(recipe.schedule, steps_per_epoch, phase.epochs)
    lr = phase.lr or recipe.optimizer.lr
    settings = recipe.train
    momentum = build_momentum(recipe.schedule, steps_per_epoch, phase.epochs)
    clipping = settings.clip_value, settings.clip_norm
    return StepSettings(lr, schedule, precision, *clipping, settings.seed, momentum)


def finish_epoch(state: TrainingState, job: Job, settings: StepSettings) -> dict[str, Any]:
    """Validate, keep the weights if they are the best, and move the state to the next epoch.

    Returns:
        The epoch's row of the history.
    """
    pictures = state.sums.pop("pictures")
    row: dict[str, Any] = {
        "epoch": state.epoch + 1,
        "step": state.step,
        "phase": state.phase + 1,
        "lr": settings.lr * settings.schedule(state.step - 1 - state.phase_step),
        "train": {name: total / pictures for name, total in state.sums.items()},
    }
    better = True  # without validation the last weights are the ones to keep
    if job.validate:
        row["val"] = job.validate(state.judged_model)
        value = goodness(row["val"][job.task.monitor], row["val"]["loss"])
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


def goodness(value: float, loss: float) -> list[float]:
    """What makes one validation result better than another, to be compared: small validation splits tie
    often, and of equal results the lower loss is the surer one.

    Args:
        value: of the task's monitored metric.
        loss: on the same pictures.
    """
    return [value, -loss]


def agreed(processes: Processes, *flags: bool) -> list[bool]:
    """Each flag, up where it is up on any process: what one has to do, all have to do at the same step."""
    if processes.size == 1:
        return list(flags)
    return [bool(flag) for flag in processes.gather(flags).any(0).tolist()]


def out_of_patience(state: TrainingState, patience: int | None) -> bool:
    """True when validation has not improved for ``patience`` epochs."""
    return patience is not None and state.stale >= patience


def write_history(folder: Path, state: TrainingState) -> None:
    """metrics.jsonl: one row per completed epoch, whole or not at all; the first process writes it."""
    if not state.processes.is_first:
        return
    rows = "".join(json.dumps(row) + "\n" for row in state.history)
    write_text(folder / "metrics.jsonl", rows)


def _stopped(state: TrainingState, job: Job) -> Interrupted:
    return Interrupted(
        f"stopped after step {state.step}; the state is saved",
        job.folder,
        shlex.join(["striate", "train", "--resume", str(job.folder)]),
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

    def is_due(self) -> bool:
        return time.monotonic() - self.last >= self.interval


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
