"""The folder of a study: text files that are written whole or not at all, and the run folders of its trials.

study.json       recipe, space, and the fingerprint of the data
trials.jsonl     one row per trial that is over
trial-0007/      its run folder; only the best trial so far keeps its weights, none its checkpoint
best.toml        the recipe of the best trial
history.png      results over trials
"""

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

from pydantic import TypeAdapter, ValidationError

from striate.errors import InputError
from striate.files import clear_temporaries, write_text
from striate.recipe import load_recipe
from striate.report.wording import counted, name_in_text
from striate.run_folder import RECIPE, WEIGHTS, unwritable
from striate.train.fit import goodness
from striate.tune.space import Choices, Space

OF_LENGTH = ("train.epochs", "train.phases")  # settings that say how long a run is
STUDY, TRIALS, BEST, HISTORY = "study.json", "trials.jsonl", "best.toml", "history.png"


@dataclass(frozen=True)
class Trial:
    """A trial that is over.

    Attributes:
        number: from 1.
        settings: the values tried, by dotted name.
        values: the task's monitored metric on the validation split after each epoch.
        value: of its best weights; where it was pruned, after its last epoch; None where it failed.
        loss: the task's loss between runs on the validation split, likewise.
        fault: why it failed.
    """

    number: int
    state: Literal["complete", "pruned", "failed"]
    settings: dict[str, Any]
    values: tuple[float, ...] = ()
    value: float | None = None
    loss: float | None = None
    seconds: float = 0.0
    fault: str = ""


@dataclass(frozen=True)
class StudyFacts:
    """What a study is: it cannot go on with anything else."""

    recipe: dict[str, Any]
    space: dict[str, Any]
    fingerprint: str
    format: Literal["striate-study"] = "striate-study"
    format_version: Literal[2] = 2


@dataclass(frozen=True)
class Length:
    """Epochs of a trial, and of a run with the settings that the study finds."""

    of_trials: int
    of_runs: int


def describe_space(space: Space) -> dict[str, Any]:
    """The space as JSON can hold it."""
    return {key: list(p.values) if isinstance(p, Choices) else asdict(p) for key, p in space.items()}


def trial_folder(folder: Path, number: int) -> Path:
    """The run folder of a trial."""
    return folder / f"trial-{number:04d}"


def best_trial(trials: list[Trial]) -> Trial | None:
    """The complete trial of the highest value; of equal ones that of the lowest loss, then the first."""
    complete = [trial for trial in trials if trial.state == "complete"]
    return max(complete, key=_goodness, default=None)


def ranked(trials: list[Trial]) -> list[Trial]:
    """The complete trials, the best first."""
    return sorted((t for t in trials if t.state == "complete"), key=_goodness, reverse=True)


def _goodness(trial: Trial) -> list[float]:
    assert trial.value is not None
    assert trial.loss is not None
    return [*goodness(trial.value, trial.loss), -trial.number]


@contextmanager
def opened(folder: Path, facts: StudyFacts) -> Iterator[list[Trial]]:
    """Begin the study in ``folder``, or go on with it: its trials so far, and nobody else works on it.

    Raises:
        InputError: the folder holds something else or another study, another process works on it, or it
            cannot be written.
    """
    path = folder / STUDY
    if not path.is_file():
        check_new(folder)
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise unwritable(folder, error) from None
        write_text(path, json.dumps(asdict(facts), indent=2) + "\n")
    with _alone(path) as text:
        _compare(path, text, facts)
        yield read_trials(folder)


def check_new(folder: Path) -> None:
    """Find out whether a study can begin in ``folder``.

    Raises:
        InputError: there is something already.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise InputError("there is something else of that name", folder, "choose another folder with --out")


@contextmanager
def _alone(path: Path) -> Iterator[str]:
    """The text of a file that this process has for itself until the end of the block, or its own."""
    try:
        import fcntl
    except ImportError:  # Windows: nobody watches
        yield path.read_text(encoding="utf-8")
        return
    with path.open("r+", encoding="utf-8") as file:
        try:
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)  # ends with the process, however that ends
        except OSError:
            raise InputError(
                "another process works on this study", path.parent, "wait for it, or choose another --out"
            ) from None
        yield file.read()


def _compare(path: Path, text: str, facts: StudyFacts) -> None:
    try:
        known = TypeAdapter(StudyFacts).validate_json(text)
    except ValidationError as error:
        fault = error.errors()[0]["msg"]
        raise InputError(
            f"the file is not a study's: {fault}", path, "choose another folder with --out"
        ) from None
    if known.fingerprint != facts.fingerprint:
        raise InputError(
            "the data changed since the study began, so its trials cannot be compared with new ones",
            path.parent,
            "restore the data, or begin another study with --out",
        )
    given = json.loads(json.dumps(asdict(facts)))
    for section in ("recipe", "space"):
        before, now = _flat(getattr(known, section)), _flat(given[section])
        for key in sorted(before.keys() | now.keys()):
            if before.get(key) != now.get(key):
                raise InputError(
                    f"the study began with {section} {key} = {before.get(key)}, now it is {now.get(key)}",
                    path.parent,
                    "go on with the command that it began with, or begin another study with --out",
                )


def _flat(values: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in values.items():
        found |= _flat(value, f"{prefix}{key}.") if isinstance(value, dict) else {f"{prefix}{key}": value}
    return found


def read_trials(folder: Path) -> list[Trial]:
    """The trials that are over.

    Raises:
        InputError: the file was altered beyond reading.
    """
    path = folder / TRIALS
    lines = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
    try:
        trials = [TypeAdapter(Trial).validate_json(line) for line in lines]
    except ValidationError as error:
        fault = error.errors()[0]["msg"]
        raise InputError(f"a row is not a trial's: {fault}", path, "restore the file, or use --out") from None
    if [trial.number for trial in trials] != list(range(1, len(trials) + 1)):
        raise InputError("trials are missing or out of order", path, "restore the file, or use --out")
    return trials


def write_trials(folder: Path, trials: list[Trial]) -> None:
    """All rows, whole or not at all."""
    write_text(folder / TRIALS, "".join(json.dumps(asdict(trial)) + "\n" for trial in trials))


def tidy(folder: Path, trials: list[Trial]) -> None:
    """Give up what no longer serves: checkpoints, weights of all but the best, what was half-written."""
    best = best_trial(trials)
    clear_temporaries(folder)
    for unfinished in folder.glob(".trial-*"):
        shutil.rmtree(unfinished, ignore_errors=True)
    for trial in trials:
        run = trial_folder(folder, trial.number)
        clear_temporaries(run)
        shutil.rmtree(run / "checkpoint", ignore_errors=True)
        if trial != best:
            (run / WEIGHTS).unlink(missing_ok=True)


def write_best(folder: Path, trials: list[Trial], monitor: str, length: Length) -> None:
    """best.toml: the recipe of the best trial, which trains as long as a run that is no trial, with a line
    that says which it is, and its ``monitor``."""
    best = best_trial(trials)
    if best is None:
        return
    recipe = load_recipe(trial_folder(folder, best.number) / RECIPE)
    after = ""
    if length.of_trials < length.of_runs and not any(key.startswith(OF_LENGTH) for key in best.settings):
        # Phases that a recipe names have their own lengths; those of the trial were chosen for its epochs.
        recipe = load_recipe(recipe, {"train.epochs": length.of_runs, "train.phases": []})
        after = f" after {counted(length.of_trials, 'epoch')}; this recipe trains for {length.of_runs}"
    value = f"{name_in_text(monitor)} {best.value:.4f}"
    head = f"# Trial {best.number} of {len(trials)}: {value} on the validation split{after}.\n\n"
    write_text(folder / BEST, head + recipe.to_toml())


def as_failed(number: int, settings: dict[str, Any], fault: str) -> Trial:
    """The row of a trial that gave no result."""
    return Trial(number, "failed", settings, fault=fault)


def with_seconds(trial: Trial, seconds: float) -> Trial:
    """``trial`` that took so long."""
    return replace(trial, seconds=round(seconds, 1))
