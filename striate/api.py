"""Training from pictures to report: the parts put together, once.

    data -> preprocessing -> network -> fit -> judge -> report

``train`` is that line, once; ``resume`` enters it where a run was left. Under torchrun each process does so,
and the first one writes.
"""

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from striate.data.dataset import Dataset
from striate.data.load import load_data
from striate.data.preprocessing import Preprocessing
from striate.device import choose_device
from striate.errors import InputError
from striate.files import clear_temporaries, read_tensors
from striate.prepared import PreparedData, Reading, prepare_data, unwatched
from striate.recipe import Recipe, load_recipe
from striate.run import Run, load_again
from striate.run_folder import (
    CONFIG,
    RESULTS,
    DataFacts,
    RunConfig,
    check_run_folder,
    current_versions,
    free_folder,
    input_facts,
    read_config,
    remember_source,
    resume_command,
    start_numbered_folder,
    start_run_folder,
    unfinished_folder,
)
from striate.settle import check_network, choose_task, findable, resolve_recipe, settle
from striate.train.distributed import Processes, join_processes, restarted
from striate.train.fit import CHECKPOINT, Watcher
from striate.train.logging import check_tensorboard
from striate.train.precision import resolve_precision
from striate.training_run import class_weights, count_batches, run_training

__all__ = ["resume", "train"]


def train(
    data: str | Path | Dataset = "",
    *,
    model: str | None = None,
    out: str | Path | None = None,
    config: str | Path | Recipe | None = None,
    settings: dict[str, Any] | None = None,
    watchers: Sequence[Watcher] = (),
    reading: Reading = unwatched,
) -> Run:
    """Train a network on pictures, measure it, and write its run folder.

    Args:
        data: what ``load_data`` takes, or a ``Dataset``; empty takes the recipe's.
        model: a name of the catalogue; None takes the recipe's.
        out: the run folder; None makes runs/<data>-<model>, or if there is one, runs/<data>-<model>-2, ...
        config: a recipe, or the file of one.
        settings: changes to it by dotted name, such as ``{"train.epochs": 3}``.
        watchers: are told of each step and epoch.
        reading: is told of the reading of each split.

    Raises:
        InputError: what was given cannot be trained on; no run folder is made.
        RunError: the loss was not finite; the run folder has the last good state.
        Interrupted: Ctrl-C; the run folder has the state.
    """
    with join_processes() as processes:
        recipe = resolve_recipe(data, model, config, settings)
        choose_device(recipe.train.device)  # to know now, not when all pictures have been read
        if recipe.train.tensorboard:
            check_tensorboard()
        with processes.first_goes_first():  # it downloads what there is to download
            dataset = data if isinstance(data, Dataset) else load_data(recipe.data.source, recipe.data.format)
            recipe = choose_task(recipe, dataset)
            folder = _choose_folder(out, dataset, recipe)
            if processes.is_first and not restarted():
                check_run_folder(folder)
            check_network(dataset, recipe)  # before the pictures are read and the folder is made
        with processes.first_goes_first():  # and fills the cache
            prepared = prepare_data(dataset, recipe, reading if processes.is_first else unwatched)
        recipe = settle(_as_begun(recipe, folder), prepared, 1 / processes.size)
        chosen = _describe(prepared, recipe).model_dump(mode="json")  # others may have found less memory
        run_config = RunConfig.model_validate(processes.broadcast(chosen))
        class_weights(run_config.recipe, prepared.pictures["train"].targets, len(run_config.classes))
        count_batches(run_config.recipe, prepared, processes)
        folder = _begin_together(processes, folder, run_config, is_named=bool(out))
        note = "" if out else _told_where(folder, run_config)
        return run_training(folder, run_config, prepared, processes, watchers, reading, note)


def _choose_folder(out: str | Path | None, dataset: Dataset, recipe: Recipe) -> Path:
    """The run folder that is named, or a free one; that of the job, where it was started again."""
    if out:
        return Path(out)
    usual = _usual_folder(dataset.name, recipe.model.name)
    return unfinished_folder(usual) if restarted() else free_folder(usual)


def _usual_folder(data: str, model: str) -> Path:
    return Path("runs") / f"{data}-{model}"


def _told_where(folder: Path, config: RunConfig) -> str:
    """Which folder it is, where it is not the usual one."""
    usual = _usual_folder(config.data.name, config.model)
    return "" if folder == usual else f"{usual} is there already: this run is {folder}"


def _as_begun(recipe: Recipe, folder: Path) -> Recipe:
    """``recipe`` with the batch size that was chosen before the job was started again."""
    if recipe.train.batch_size != "auto" or not (restarted() and (folder / CONFIG).exists()):
        return recipe
    return load_recipe(recipe, {"train.batch_size": read_config(folder).recipe.train.batch_size})


def _begin_together(processes: Processes, folder: Path, config: RunConfig, is_named: bool) -> Path:
    """The run folder, which the first process makes, on every process; as ``_begin_folder``."""
    if processes.is_first:
        folder = _begin_folder(folder, config, is_named)
    if not is_named:
        return Path(processes.broadcast(str(folder)))
    processes.wait()
    return folder


def _begin_folder(folder: Path, config: RunConfig, is_named: bool) -> Path:
    """Make the run folder; where the job was started again, go on with the one that it has made.

    Args:
        is_named: whether a person chose it; if not, another number will do where it is taken meanwhile.

    Raises:
        InputError: the folder is not empty, and is not that of this job.
    """
    own = restarted() and (folder / CONFIG).exists()
    if own and read_config(folder) != config:
        if is_named:
            raise InputError("the folder holds another run", folder, "choose another one with --out")
        own = False
    if own:
        clear_temporaries(folder)
        clear_temporaries((folder / CHECKPOINT).parent)
    elif is_named:
        start_run_folder(folder, config)
    else:
        return start_numbered_folder(_usual_folder(config.data.name, config.model), config)
    return folder


def resume(
    path: str | Path,
    watchers: Sequence[Watcher] = (),
    reading: Reading = unwatched,
    workers: int | None = None,
    data: str | Path | Dataset | None = None,
) -> Run:
    """Go on with a run that was stopped or killed, exactly where its last saved state is.

    Args:
        path: the run folder.
        watchers, reading: as for ``train``.
        workers: processes that decode pictures, which changes no result; None: as many as before.
        data: where the pictures are now, which the run remembers; None: where they were.

    Raises:
        InputError: the folder is no run, the run is finished, or its data changed or are gone.
    """
    path = Path(path)
    checkpoint = path / CHECKPOINT
    with join_processes() as processes:
        config = read_config(path)
        with processes.first_goes_first():
            if processes.is_first:
                clear_temporaries(path)
                clear_temporaries(checkpoint.parent)
            _check_unfinished(path)
            dataset = _find_again(path, config, data)
        known = Preprocessing(**dict(config.input))
        recipe = config.recipe if workers is None else load_recipe(config.recipe, {"data.workers": workers})
        with processes.first_goes_first():
            prepared = prepare_data(dataset, recipe, reading if processes.is_first else unwatched, known)
        if prepared.dataset.fingerprint() != config.data.fingerprint:
            raise _other_data(path, config, dataset, data is not None)
        if data is not None and processes.is_first:
            config = remember_source(path, config, findable(data))
        return run_training(path, config, prepared, processes, watchers, reading)


def _find_again(path: Path, config: RunConfig, data: str | Path | Dataset | None) -> Dataset:
    if data is None:
        return load_again(config.data.source, config.recipe.data.format, resume_command(path, "NEWPATH"))
    return data if isinstance(data, Dataset) else load_data(data, config.recipe.data.format)


def _other_data(path: Path, config: RunConfig, dataset: Dataset, moved: bool) -> InputError:
    """The error of data whose fingerprint is not that of the run."""
    if moved:
        return InputError(
            f"these are not the data that the run began with, which were at {config.data.source}: "
            "a name, a label or a byte differs",
            dataset.source,
            f"name the data that were moved: {resume_command(path, 'NEWPATH')}; or train again with --out",
        )
    return InputError(
        "the data changed since the run began, so it cannot go on exactly",
        config.data.source,
        f"restore the data; if they were moved: {resume_command(path, 'NEWPATH')}; or train again with --out",
    )


def _check_unfinished(path: Path) -> None:
    """Find out whether a run has something left to do.

    Raises:
        InputError: it is finished.
    """
    checkpoint = path / CHECKPOINT
    if read_tensors(checkpoint)[1].get("finished") if checkpoint.exists() else (path / RESULTS).exists():
        raise InputError(
            "the run is finished, there is nothing to resume",
            path,
            shlex.join(["striate", "evaluate", str(path)]),
        )


def _describe(prepared: PreparedData, recipe: Recipe) -> RunConfig:
    dataset = prepared.dataset
    return RunConfig(
        task=recipe.task or "classification",
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
