"""Training from pictures to report: the parts put together, once.

    data -> preprocessing -> network -> fit -> judge -> report

``train`` is that line, once; ``resume`` enters it where a run was left.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from striate.data.augment import Augment
from striate.data.catalog import CATALOG as DATA_SETS
from striate.data.dataset import Dataset, Fault
from striate.data.load import load_data
from striate.data.loader import Loader, Pictures, measure_pixels, prepare_pictures
from striate.data.preprocessing import Preprocessing
from striate.device import choose_device, place_model, to_input
from striate.errors import InputError
from striate.files import clear_temporaries, read_tensors
from striate.judge import judge
from striate.models.catalog import model_facts
from striate.recipe import Recipe, load_recipe
from striate.run import Run, apply_split, build, check_size, load_run
from striate.run_folder import (
    RESULTS,
    DataFacts,
    RunConfig,
    check_run_folder,
    current_versions,
    input_facts,
    read_config,
    save_weights,
    start_run_folder,
)
from striate.samples import Batch
from striate.tasks.classification import balanced_class_weights
from striate.tasks.task import Task
from striate.train.checkpoint import TrainingState, load_checkpoint, save_checkpoint
from striate.train.determinism import seed_everything, use_exact_kernels
from striate.train.ema import ExponentialMovingAverage
from striate.train.fit import Job, Watcher, fit, write_history
from striate.train.logging import TensorBoardLogger, check_tensorboard
from striate.train.loop import StepSettings, evaluate, predict_batches
from striate.train.optimizer import build_optimizer
from striate.train.precision import resolve_precision
from striate.train.schedule import build_schedule

__all__ = ["resume", "train"]

Reading = Callable[[str, int], Callable[[int], None]]  # split name, pictures -> told how many were read


@dataclass(frozen=True)
class PreparedData:
    """A data set ready to train on."""

    dataset: Dataset
    preprocessing: Preprocessing
    pictures: dict[str, Pictures]
    faults: list[Fault]


def train(
    data: str | Path | Dataset = "",
    *,
    model: str | None = None,
    out: str | Path | None = None,
    config: str | Path | Recipe | None = None,
    settings: dict[str, Any] | None = None,
    watchers: Sequence[Watcher] = (),
    reading: Reading = lambda split, count: lambda read: None,
) -> Run:
    """Train a network on pictures, measure it, and write its run folder.

    Args:
        data: what ``load_data`` takes, or a ``Dataset``; empty takes the recipe's.
        model: a name of the catalogue; None takes the recipe's.
        out: the run folder; None makes runs/<data>-<model>.
        config: a recipe, or the file of one.
        settings: changes to it by dotted name, such as ``{"train.epochs": 3}``.
        watchers: are told of each step and epoch.
        reading: is told of the reading of each split.

    Raises:
        InputError: what was given cannot be trained on; no run folder is made.
        RunError: the loss was not finite; the run folder has the last good state.
        Interrupted: Ctrl-C; the run folder has the state.
    """
    recipe = _resolve_recipe(data, model, config, settings)
    choose_device(recipe.train.device)  # to know now, not when all pictures have been read
    if recipe.train.tensorboard:
        check_tensorboard()
    dataset = data if isinstance(data, Dataset) else load_data(recipe.data.source)
    folder = Path(out) if out else Path("runs") / f"{dataset.name}-{recipe.model.name}"
    check_run_folder(folder)
    prepared = prepare_data(dataset, recipe, reading)
    run_config = _describe(prepared, recipe)
    # Before the folder is made: what cannot be built leaves nothing behind.
    build(run_config, _class_weights(recipe, prepared.pictures["train"].targets, len(run_config.classes)))
    start_run_folder(folder, run_config)
    return _run(folder, run_config, prepared, watchers)


def resume(
    path: str | Path,
    watchers: Sequence[Watcher] = (),
    reading: Reading = lambda split, count: lambda read: None,
) -> Run:
    """Go on with a run that was stopped or killed, exactly where its last saved state is.

    Raises:
        InputError: the folder is no run, the run is finished, or its data changed.
    """
    path = Path(path)
    config = read_config(path)
    checkpoint = path / "checkpoint" / "state.safetensors"
    clear_temporaries(path)
    clear_temporaries(checkpoint.parent)
    if read_tensors(checkpoint)[1].get("finished") if checkpoint.exists() else (path / RESULTS).exists():
        raise InputError("the run is finished, there is nothing to resume", path, f"striate evaluate {path}")
    prepared = prepare_data(load_data(config.data.source), config.recipe, reading)
    if prepared.dataset.fingerprint() != config.data.fingerprint:
        raise InputError(
            "the data changed since the run began, so it cannot go on exactly",
            config.data.source,
            "restore the data, or train again with --out",
        )
    return _run(path, config, prepared, watchers)


def prepare_data(dataset: Dataset, recipe: Recipe, reading: Reading) -> PreparedData:
    """Split, read and measure the pictures.

    Raises:
        InputError: a size the network cannot take, or (with ``train.strict``) a picture that cannot be read.
    """
    dataset = apply_split(dataset, recipe)
    facts = model_facts(recipe.model.name)
    size = recipe.input.size or facts.input[1:]
    check_size(recipe.model.name, size, recipe.input.margin)
    blank = (0.0,) * dataset.channels, (1.0,) * dataset.channels
    preprocessing = Preprocessing(size, dataset.channels, recipe.input.fit, recipe.input.margin, *blank)
    faults = list(dataset.faults)
    pictures = {}
    for name, split in dataset.splits.items():
        progress = reading(name, len(split))
        budget = recipe.data.memory_mb * 2**20
        pictures[name], unreadable = prepare_pictures(
            split, preprocessing, budget, recipe.data.workers, progress
        )
        faults += unreadable
    if faults and recipe.train.strict:
        more = f", and {len(faults) - 1} more" if len(faults) > 1 else ""
        raise InputError(
            f"{faults[0].what}{more}", faults[0].name, "mend the pictures, or leave --strict out"
        )
    if missing := [name for name in ("train", "val") if name in pictures and len(pictures[name]) < 2]:
        raise InputError(
            f"too few pictures can be read for the {missing[0]} split", dataset.source, "add pictures"
        )
    mean, std = recipe.input.mean, recipe.input.std
    if mean is None or std is None:
        measured = measure_pixels(pictures["train"])
        mean, std = mean or measured[0], std or measured[1]
    if len(mean) != dataset.channels or len(std) != dataset.channels:
        raise InputError(
            f"the pictures have {dataset.channels} channels, input.mean {len(mean)} and input.std {len(std)}",
            "the settings given",
            "give one number per channel, or leave them out to have them measured",
        )
    preprocessing = Preprocessing(size, dataset.channels, recipe.input.fit, recipe.input.margin, mean, std)
    return PreparedData(dataset, preprocessing, pictures, faults)


def _resolve_recipe(
    data: str | Path | Dataset,
    model: str | None,
    config: str | Path | Recipe | None,
    settings: dict[str, Any] | None,
) -> Recipe:
    overrides = dict(settings or {})
    if model:
        overrides["model.name"] = model
    source = data.source if isinstance(data, Dataset) else str(data)
    if source:
        overrides["data.source"] = source
    recipe = load_recipe(Path(config) if isinstance(config, str) else config, overrides)
    source = recipe.data.source
    if not source:
        raise InputError("which pictures?", "the recipe names no data.source", "striate train DATA")
    if isinstance(data, Path) or (source not in DATA_SETS and Path(source).exists()):
        # A run must find its data again from another folder.
        recipe = load_recipe(recipe, {"data.source": str(Path(source).absolute())})
    return recipe


def _describe(prepared: PreparedData, recipe: Recipe) -> RunConfig:
    dataset = prepared.dataset
    return RunConfig(
        task=recipe.task,
        model=recipe.model.name,
        arguments=recipe.model.arguments,
        classes=dataset.classes,
        input=input_facts(prepared.preprocessing),
        data=DataFacts(
            name=dataset.name,
            source=recipe.data.source,
            format=dataset.format,
            fingerprint=dataset.fingerprint(),
            splits={name: len(pictures) for name, pictures in prepared.pictures.items()},
            faults=tuple((fault.name, fault.what) for fault in prepared.faults),
        ),
        seed=recipe.train.seed,
        precision=resolve_precision(recipe.train.precision, choose_device(recipe.train.device)),
        versions=current_versions(),
        recipe=recipe,
    )


def _run(folder: Path, config: RunConfig, prepared: PreparedData, watchers: Sequence[Watcher]) -> Run:
    """Train from the folder's last saved state, or from the start, to the report."""
    recipe = config.recipe
    device = choose_device(recipe.train.device)
    seed_everything(recipe.train.seed)
    if recipe.train.deterministic:
        use_exact_kernels(device)
    model, task = build(
        config, _class_weights(recipe, prepared.pictures["train"].targets, len(config.classes))
    )
    model = place_model(model, device)
    ema = ExponentialMovingAverage(model, recipe.train.ema_decay) if recipe.train.ema_decay else None
    optimizer = build_optimizer(model, recipe.optimizer)
    state = TrainingState(model, optimizer, ema, micro_batches=recipe.train.accumulate)
    job = _job(folder, config, prepared, task, device, watchers)
    if job.checkpoint.exists():
        load_checkpoint(job.checkpoint, state)
        write_history(folder, state)  # the run may have been killed between its two files
    steps_per_epoch = len(job.loader)
    schedule = build_schedule(recipe.schedule, steps_per_epoch, recipe.train.epochs)
    steps = StepSettings(
        recipe.optimizer.lr, schedule, config.precision, recipe.train.clip_value, recipe.train.clip_norm
    )
    for watcher in job.watchers:
        watcher.start(state, recipe.train.epochs, steps_per_epoch, _announce(config, device))
    fit(state, job, recipe.train, steps)
    run = load_run(folder, str(device))
    judge(run, prepared.pictures, prepared.faults, state)
    state.finished = True
    save_checkpoint(job.checkpoint, state)
    return run


def _job(
    folder: Path,
    config: RunConfig,
    prepared: PreparedData,
    task: Task,
    device: torch.device,
    watchers: Sequence[Watcher],
) -> Job:
    """What is trained on what: batches, augmentation, validation, and where the weights go."""
    recipe = config.recipe
    val_pictures = prepared.pictures.get("val")
    augment = Augment(recipe.augment, recipe.train.seed)

    def prepare(epoch: int, batch: Batch) -> Tensor:
        images = augment(batch.images.to(device, non_blocking=True), epoch, batch.indices)
        return to_input(prepared.preprocessing.normalize(images))

    def prepare_plain(batch: Batch) -> Tensor:
        return to_input(prepared.preprocessing.normalize(batch.images.to(device, non_blocking=True)))

    def validate(judged: Any) -> dict[str, float]:
        assert val_pictures is not None
        batches = Loader(val_pictures, recipe.evaluate.batch_size).batches()
        predicted = predict_batches(
            judged, task, batches, prepare_plain, config.precision, recipe.evaluate.mirror
        )
        return evaluate(predicted, task, task.metrics())

    boards = [TensorBoardLogger(folder / "tensorboard")] if recipe.train.tensorboard else []
    return Job(
        task=task,
        loader=Loader(prepared.pictures["train"], recipe.train.batch_size, recipe.train.seed),
        prepare=prepare,
        validate=validate if val_pictures is not None else None,
        keep_best=lambda judged: save_weights(folder, judged),
        folder=folder,
        watchers=[*watchers, *boards],
    )


def _announce(config: RunConfig, device: torch.device) -> str:
    splits = ", ".join(f"{count:,} {name}" for name, count in config.data.splits.items())
    return f"{config.model} on {config.data.name} ({splits}), {config.precision} on {device}"


def _class_weights(recipe: Recipe, targets: Tensor, num_classes: int) -> Tensor | None:
    given = recipe.loss.class_weights
    if given == "none":
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
