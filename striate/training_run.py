"""One training run, from its folder's last saved state, or from the start, to the report."""

import shlex
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from striate.data.loader import Loader
from striate.device import choose_device, place_model, to_input
from striate.errors import InputError, counted
from striate.feed import batch_size_of, phase_feed
from striate.files import UnwrittenError
from striate.judge import judge
from striate.layers.synchronized_batch_norm import synchronize_batch_norm
from striate.network import build
from striate.prepared import PreparedData, Reading
from striate.recipe import Recipe
from striate.run import Run, load_run
from striate.run_folder import RunConfig, resume_command, save_weights
from striate.samples import Batch
from striate.start import find_start
from striate.tasks.classification import balanced_class_weights
from striate.tasks.task import Task
from striate.train.checkpoint import TrainingState, load_checkpoint, save_checkpoint
from striate.train.determinism import seed_everything, use_exact_kernels
from striate.train.distributed import Processes
from striate.train.ema import ExponentialMovingAverage
from striate.train.fit import CHECKPOINT, Job, Watcher, fit, write_history
from striate.train.logging import TensorBoardLogger
from striate.train.loop import evaluate, predict_batches
from striate.train.optimizer import build_optimizer
from striate.train.replicas import gather_whole, replicate, shard
from striate.train.transfer import choose_phases, enter_phase


def run_training(
    folder: Path,
    config: RunConfig,
    prepared: PreparedData,
    processes: Processes,
    watchers: Sequence[Watcher] = (),
    reading: Reading | None = None,
    note: str = "",
) -> Run:
    """Train what ``config`` describes and measure it; the first of the ``processes`` writes the folder.

    Args:
        note: what watchers are told beside what is about to be trained.
    """
    recipe = config.recipe
    device = processes.device(choose_device(recipe.train.device))
    seed_everything(recipe.train.seed)
    if recipe.train.deterministic:
        use_exact_kernels(device)
    num_batches = count_batches(recipe, prepared, processes)
    with _told_to_resume(folder):
        state, task = _begin(folder, config, prepared, processes, device)
        job = _job(folder, config, prepared, task, state, watchers, reading)
        announcement = "\n".join(filter(None, [_announce(config, prepared, processes, device), note]))
        for watcher in job.watchers:
            watcher.start(state, recipe.train.epochs, num_batches, announcement)
        fit(state, job, recipe)
        if processes.is_first:
            judge(load_run(folder, str(device)), prepared.pictures, prepared.faults, state)
        state.finished = True
        save_checkpoint(job.checkpoint, state)
    processes.wait()
    return load_run(folder, str(device))


def count_batches(recipe: Recipe, prepared: PreparedData, processes: Processes) -> int:
    """The batches of an epoch.

    Raises:
        InputError: they are too small to be divided among the processes.
    """
    pictures = len(prepared.pictures["train"])
    count = -(-pictures // batch_size_of(recipe))
    processes.check_batches(pictures // count)
    return count


@contextmanager
def _told_to_resume(folder: Path) -> Iterator[None]:
    """Where the run folder cannot be written any more: the run can go on from its last saved state."""
    try:
        yield
    except UnwrittenError as error:
        mend = f"free some space, then: {resume_command(folder)}"
        raise UnwrittenError(error.what, error.where, mend) from error


def _begin(
    folder: Path, config: RunConfig, prepared: PreparedData, processes: Processes, device: torch.device
) -> tuple[TrainingState, Task]:
    """The state that the folder's checkpoint holds, or that of a new run, and the task."""
    recipe, checkpoint = config.recipe, folder / CHECKPOINT
    weights = class_weights(recipe, prepared.pictures["train"].targets, len(config.classes))
    start = None if checkpoint.exists() else find_start(recipe)
    shape = config.input.channels, config.input.size
    model, task = build(recipe, config.classes, *shape, weights, start)
    model, ema = _placed(model, recipe, processes, device)
    state = TrainingState(
        model,
        build_optimizer(model, recipe.optimizer),
        ema,
        micro_batches=recipe.train.accumulate,
        processes=processes,
    )
    phases = choose_phases(recipe.train, recipe.optimizer.lr)

    def enter(state: TrainingState) -> None:
        enter_phase(state, phases[state.phase], recipe.optimizer)

    if checkpoint.exists():
        load_checkpoint(checkpoint, state, enter)
        write_history(folder, state)  # the run may have been killed between its two files
    else:
        enter(state)
    return state, task


def _placed(
    model: nn.Module, recipe: Recipe, processes: Processes, device: torch.device
) -> tuple[nn.Module, ExponentialMovingAverage | None]:
    """The network on its device, equal on all processes or divided among them, and its average."""
    processes.align([*model.parameters(), *model.buffers()])
    if recipe.train.sync_batch_norm and processes.size > 1:
        synchronize_batch_norm(model)
    sharded = recipe.train.shard and processes.size > 1
    if not sharded:
        model = place_model(model, device)
    ema = ExponentialMovingAverage(model, recipe.train.ema_decay) if recipe.train.ema_decay else None
    if sharded:  # the average is a copy made before, because shards cannot be copied
        shard(model, processes, device)
        if ema:
            shard(ema.model, processes, device)
    return model, ema


def _job(
    folder: Path,
    config: RunConfig,
    prepared: PreparedData,
    task: Task,
    state: TrainingState,
    watchers: Sequence[Watcher],
    reading: Reading | None,
) -> Job:
    """What is trained on what, how it is validated, and where the weights go."""
    recipe, processes = config.recipe, state.processes
    device = next(state.model.parameters()).device
    val_pictures = prepared.pictures.get("val")
    sharded = recipe.train.shard and processes.size > 1

    def prepare(batch: Batch) -> Tensor:
        return prepared.preprocessing.normalize(to_input(batch.images.to(device, non_blocking=True)))

    def validate(judged: nn.Module) -> dict[str, float]:
        assert val_pictures is not None
        processes.align(judged.buffers())  # those of the first process count
        batches = Loader(val_pictures, recipe.evaluate.batch_size).batches()
        mirror = recipe.evaluate.mirror
        predicted = predict_batches(judged, task, batches, prepare, config.precision, mirror, processes)
        return evaluate(predicted, task, task.metrics())

    def keep_best(judged: nn.Module) -> None:
        tensors = gather_whole(judged.state_dict(), processes)
        if processes.is_first:
            save_weights(folder, tensors)

    boards = [TensorBoardLogger(folder / "tensorboard")] if recipe.train.tensorboard else []
    return Job(
        task=task,
        feed=lambda state: phase_feed(state, task, recipe, prepared, config.precision, reading),
        precision=config.precision,
        validate=validate if val_pictures is not None else None,
        keep_best=keep_best,
        folder=folder,
        watchers=[*watchers, *boards] if processes.is_first else [],
        join=lambda network: network if sharded else replicate(network, processes),
    )


def _announce(config: RunConfig, prepared: PreparedData, processes: Processes, device: torch.device) -> str:
    """What is about to be trained, and below it what a person should know of the pictures."""
    splits = ", ".join(f"{count:,} {name}" for name, count in config.data.splits.items())
    shared = f", {processes.size} processes" if processes.size > 1 else ""
    size = counted(batch_size_of(config.recipe), "picture")
    batches = f"{config.precision} on {device}, {size} a step{shared}"
    line = f"{config.model} on {config.data.name} ({splits}), {batches}"
    notes = [f"{name}: {note}" for name, pictures in prepared.pictures.items() for note in pictures.notes]
    if remarks := prepared.dataset.remarks:
        data = config.recipe.data
        named = ["--from", data.format] if data.format else []
        command = shlex.join(["striate", "data", "info", data.source, *named])
        notes.append(f"{counted(len(remarks), 'note')} on the data: `{command}`")
    return "\n".join([line, *_origin(config.recipe), *notes])


def _origin(recipe: Recipe) -> list[str]:
    """Where the weights come from, if from anywhere; a warning if random ones are held still."""
    if recipe.model.weights or recipe.model.pretrained:
        return [f"starting from {recipe.model.weights or 'the published weights'}"]
    if choose_phases(recipe.train, recipe.optimizer.lr)[0].freeze != "none":
        return ["what is held still has random weights; --pretrained or --weights give it others"]
    return []


def class_weights(recipe: Recipe, targets: Tensor, num_classes: int) -> Tensor | None:
    """The weights of the classes in the loss, with mean 1 over the training pictures; None: all are equal.

    Raises:
        InputError: there is not one for each class, or no picture would count.
    """
    given: Any = recipe.loss.class_weights
    if given == "none" or recipe.task != "classification":
        return None
    if given == "balanced":
        return balanced_class_weights(targets, num_classes)
    if len(given) != num_classes:
        raise InputError(
            f"{len(given)} weights for {num_classes} classes", "loss.class_weights", "give one per class"
        )
    weights = torch.tensor(given, dtype=torch.float32)
    if not weights[targets].any():
        raise InputError("all weights are zero", "loss.class_weights", "give some class a weight above 0")
    return weights / weights[targets].mean()
