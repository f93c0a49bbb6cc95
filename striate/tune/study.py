"""The study: trial after trial until there are enough, with every result on disk as soon as it is known."""

import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from striate import api
from striate.data.dataset import Dataset
from striate.data.load import load_data
from striate.device import choose_device
from striate.errors import InputError, Interrupted, RunError
from striate.network import task_of
from striate.prepared import Reading, unwatched
from striate.recipe import Recipe, load_recipe
from striate.run import apply_split
from striate.settle import check_network, check_settings, choose_task, resolve_recipe
from striate.tasks.task import Task
from striate.train.checkpoint import TrainingState
from striate.train.fit import Watcher
from striate.tune import record
from striate.tune.picture import save_history
from striate.tune.proposal import check_optuna, importance, propose
from striate.tune.record import Length, StudyFacts, Trial
from striate.tune.space import Space, check, default_space, outermost, own_settings, parse_space

if TYPE_CHECKING:
    import optuna

KILLED = "the process ended before the trial did"


@dataclass(frozen=True)
class Study:
    """What a study found.

    Attributes:
        task: what the trials train for.
        trials: all that are over, in their order.
        importance: the share of each setting in the spread of results; empty while there are few trials.
    """

    folder: Path
    task: type[Task]
    trials: list[Trial]
    importance: dict[str, float]

    @property
    def best(self) -> Trial:
        """The trial with the best validation result; of equal ones that with the lower loss.

        Raises:
            RunError: there is none: every trial failed.
        """
        best = record.best_trial(self.trials)
        if best is None:
            faults = [trial.fault for trial in self.trials if trial.fault]
            raise RunError(
                f"no trial of {len(self.trials)} came to its end",
                faults[-1] if faults else self.folder,
                "narrow the space down with --space, or find a learning rate with `striate find-lr`",
            )
        return best

    @property
    def recipe(self) -> Path:
        """The file of the best trial's recipe."""
        return self.folder / record.BEST


def tune(
    data: str | Path = "",
    *,
    model: str | None = None,
    out: str | Path | None = None,
    config: str | Path | Recipe | None = None,
    settings: dict[str, Any] | None = None,
    space: Space | Sequence[str] = (),
    trials: int = 20,
    watchers: Sequence[Watcher] = (),
    reading: Reading = unwatched,
    after_trial: Callable[[Trial, str], None] = lambda trial, monitor: None,
) -> Study:
    """Search for better settings of a recipe: train with different ones, and compare on the validation split.

    A study that was stopped or killed goes on with the same call, and so does one that is to have more
    trials. Trials that are worse than most at the same epoch are pruned. The test split has no say. Where
    ``settings`` shorten the epochs of the recipe, the best trial's recipe trains as long as without.

    Args:
        data, model, config, settings, watchers, reading: as for ``striate.train``, for every trial.
        out: the folder of the study; None makes tune/<data>-<model>.
        space: which settings to try, as ``Space`` or as ``parse_space`` reads them; empty: ``default_space``.
        trials: how many the study shall have, those that failed or were pruned included.
        after_trial: is told of each trial that is over, and by which metric it is judged.

    Raises:
        InputError: what was given cannot be trained on or tried, or the folder holds another study.
        Interrupted: Ctrl-C; the trials that are over are kept.
    """
    check_optuna()
    if trials < 1:
        raise InputError(f"a study of {trials} trials finds nothing", "--trials", "take 1 or more")
    recipe = resolve_recipe(data, model, config, settings)
    parts = _read_space(space, recipe)
    choose_device(recipe.train.device)  # to know now what would stop the first trial
    dataset = load_data(recipe.data.source, recipe.data.format)
    recipe = choose_task(recipe, dataset)
    _check(dataset, recipe, parts := parts or default_space(recipe))
    folder = Path(out) if out else Path("tune") / f"{dataset.name}-{recipe.model.name}"
    facts = StudyFacts(recipe.model_dump(mode="json"), record.describe_space(parts), dataset.fingerprint())
    with record.opened(folder, facts) as done:
        length = _length(config, settings, recipe)
        search = _Search(folder, recipe, dataset, parts, watchers, reading, length)
        search.clean_up(done)
        while len(done) < trials:
            done.append(search.trial(done))
            search.keep(done)
            after_trial(done[-1], search.task.monitor)
        return Study(folder, search.task, done, importance(done, parts))


class _Search:
    """Runs the trials of one study."""

    def __init__(
        self,
        folder: Path,
        recipe: Recipe,
        dataset: Dataset,
        space: Space,
        watchers: Sequence[Watcher],
        reading: Reading,
        length: Length,
    ) -> None:
        self.folder, self.recipe, self.dataset, self.space = folder, recipe, dataset, space
        self.watchers, self.reading, self.length = watchers, reading, length
        self.own = own_settings(space, recipe)
        self.task = task_of(recipe)

    def propose(self, done: list[Trial]) -> "tuple[optuna.trial.Trial, dict[str, Any]]":
        return propose(done, self.space, self.own, self.recipe.train.seed)

    def trial(self, done: list[Trial]) -> Trial:
        """Train with the next settings."""
        number = len(done) + 1
        proposal, settings = self.propose(done)
        pruning = Pruning(proposal, self.task)
        run = record.trial_folder(self.folder, number)
        started = time.monotonic()
        try:
            results = api.train(
                self.dataset,
                out=run,
                config=self.recipe,
                settings=settings,
                watchers=[*self.watchers, pruning],
                reading=self.reading,
            ).results["val"]
            value, loss = results[self.task.monitor], results[self.task.loss_between_runs]
            trial = Trial(number, "complete", settings, tuple(pruning.values), value, loss)
        except PrunedError:
            values = tuple(pruning.values)
            trial = Trial(number, "pruned", settings, values, values[-1], pruning.loss)
        except RunError as error:
            trial = record.as_failed(number, settings, error.what)
        except (KeyboardInterrupt, Interrupted):
            shutil.rmtree(run, ignore_errors=True)  # the same settings come again
            raise Interrupted(
                f"stopped in trial {number}; {number - 1} are over and kept",
                self.folder,
                "the same command goes on",
            ) from None
        return record.with_seconds(trial, time.monotonic() - started)

    def keep(self, done: list[Trial]) -> None:
        """Write down the trials, and give up what no longer serves."""
        record.write_trials(self.folder, done)
        record.write_best(self.folder, done, self.task.monitor, self.length)
        record.tidy(self.folder, done)
        save_history(done, self.folder / record.HISTORY, self.task.monitor)

    def clean_up(self, done: list[Trial]) -> None:
        """Put in order what a process left that was killed: a trial it was in has failed."""
        number = len(done) + 1
        if record.trial_folder(self.folder, number).exists():
            done.append(record.as_failed(number, self.propose(done)[1], KILLED))
        if done:
            self.keep(done)


class PrunedError(Exception):
    """The trial is worse than most at this epoch."""


class Pruning:
    """Watches a trial: reports validation results, and stops it when it is worse than most."""

    def __init__(self, trial: "optuna.trial.Trial", task: type[Task]) -> None:
        self.trial = trial
        self.task = task
        self.epochs = 0
        self.values: list[float] = []
        self.loss = 0.0

    def start(self, state: TrainingState, epochs: int, steps_per_epoch: int, note: str) -> None:
        """Remembers which epoch is the last: a trial that is nearly over is not stopped."""
        self.epochs = epochs

    def phase(self, state: TrainingState, note: str) -> None:
        """Phases are all alike here."""

    def step(self, state: TrainingState, loss: float) -> None:
        """Single steps say too little."""

    def epoch(self, row: dict[str, Any]) -> None:
        """Compare with the other trials.

        Raises:
            PrunedError: it is not worth going on.
        """
        self.values.append(row["val"][self.task.monitor])
        self.loss = row["val"][self.task.loss_between_runs]
        self.trial.report(self.values[-1], row["epoch"])
        if row["epoch"] < self.epochs and self.trial.should_prune():
            raise PrunedError


def _length(config: str | Path | Recipe | None, settings: dict[str, Any] | None, recipe: Recipe) -> Length:
    """How long trials are by their ``recipe``, and a run that is no trial: longer if ``settings`` shorten."""
    others = {key: value for key, value in (settings or {}).items() if key != "train.epochs"}
    whole = load_recipe(Path(config) if isinstance(config, str) else config, others)
    return Length(recipe.train.epochs, max(recipe.train.epochs, whole.train.epochs))


def _check(dataset: Dataset, recipe: Recipe, space: Space) -> None:
    check_network(dataset, recipe)
    if "val" not in apply_split(dataset, recipe).splits:
        raise InputError(
            "without a validation split trials cannot be compared", "data.val_fraction", "such as 0.1"
        )
    _check_space(dataset, recipe, space)


def _read_space(space: Space | Sequence[str], recipe: Recipe) -> Space:
    if isinstance(space, dict):
        return {key: check(key, part, recipe) for key, part in space.items()}
    return parse_space(space, recipe)


def _check_space(dataset: Dataset, recipe: Recipe, space: Space) -> None:
    """Find out before the first trial whether the task allows what is to be tried, one setting at a time.

    Raises:
        InputError: it does not, or no such network can be built.
    """
    for key, part in space.items():
        builds = key.split(".")[0] in ("model", "input")
        for value in outermost(part):
            tried = load_recipe(recipe, {key: value})
            try:
                check_settings(tried)
                if builds:
                    check_network(dataset, tried)
            except InputError as error:
                raise InputError(
                    f"{key}={value}: {error.what}", f"the space of {key}", error.what_to_do
                ) from None
