"""Finding the learning rate of a run before it is trained: the range test on its own network and pictures."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from striate.data.dataset import Dataset
from striate.data.load import load_data
from striate.device import choose_device, place_model
from striate.feed import phase_feed
from striate.files import write_atomically
from striate.network import build
from striate.prepared import Reading, prepare_data, unwatched
from striate.recipe import Recipe
from striate.settle import choose_task, resolve_recipe, settle
from striate.start import find_start
from striate.tasks.task import Task
from striate.train.checkpoint import TrainingState
from striate.train.determinism import seed_everything, use_exact_kernels
from striate.train.fit import Feed
from striate.train.optimizer import build_optimizer
from striate.train.precision import Precision, resolve_precision
from striate.train.range_test import Ramp, RangeTest, range_test
from striate.train.transfer import choose_phases, enter_phase
from striate.training_run import class_weights

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["Ramp", "RangeTest", "find_learning_rate", "save_range_test"]


def find_learning_rate(
    data: str | Path | Dataset = "",
    *,
    model: str | None = None,
    config: str | Path | Recipe | None = None,
    settings: dict[str, Any] | None = None,
    ramp: Ramp | None = None,
    reading: Reading = unwatched,
    after_step: Callable[[float, float], None] = lambda rate, loss: None,
) -> RangeTest:
    """The learning rate that suits a run, found by training it a little while the rate rises.

    Network, optimizer, order of the pictures and augmentation are those of ``striate.train`` with the same
    arguments. Where a run has phases, its first one is tested. Nothing is kept.

    Args:
        data, model, config, settings, reading: as for ``striate.train``.
        ramp: the learning rates to try; None: from 1e-6 to 10 in 100 steps.
        after_step: is told the learning rate and the loss of each step.

    Raises:
        InputError: what was given cannot be trained on.
        RunError: the loss falls at no learning rate.
    """
    recipe = resolve_recipe(data, model, config, settings)
    dataset = data if isinstance(data, Dataset) else load_data(recipe.data.source, recipe.data.format)
    state, task, feed, recipe, precision = _begin(dataset, recipe, reading)
    clip_value, clip_norm, seed = recipe.train.clip_value, recipe.train.clip_norm, recipe.train.seed
    return range_test(state, task, feed, ramp or Ramp(), precision, clip_value, clip_norm, seed, after_step)


def _begin(
    dataset: Dataset, recipe: Recipe, reading: Reading
) -> tuple[TrainingState, Task, Feed, Recipe, Precision]:
    """A run at its first step, as ``striate.train`` begins it, without a folder."""
    device = choose_device(recipe.train.device)
    recipe = choose_task(recipe, dataset)
    prepared = prepare_data(dataset, recipe, reading)
    recipe = settle(recipe, prepared)
    seed_everything(recipe.train.seed)
    if recipe.train.deterministic:
        use_exact_kernels(device)
    classes, look = prepared.dataset.classes, prepared.preprocessing
    weights = class_weights(recipe, prepared.pictures["train"].targets, len(classes))
    model, task = build(recipe, classes, look.channels, look.size, weights, find_start(recipe))
    model = place_model(model, device)
    state = TrainingState(
        model, build_optimizer(model, recipe.optimizer), micro_batches=recipe.train.accumulate
    )
    enter_phase(state, choose_phases(recipe.train, recipe.optimizer.lr)[0], recipe.optimizer)
    precision = resolve_precision(recipe.train.precision, device)
    return state, task, phase_feed(state, task, recipe, prepared, precision, reading), recipe, precision


def save_range_test(test: RangeTest, path: Path, title: str = "") -> None:
    """Draw losses over learning rates, with the suggestion marked, as a picture file (.png, .svg, .pdf).

    Raises:
        InputError: the file cannot be written.
    """
    figure = _draw(test, title)
    write_atomically(path, lambda temporary: figure.savefig(temporary, dpi=150))


def _draw(test: RangeTest, title: str) -> "Figure":
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7.0, 4.2), layout="constrained")
    axes = figure.subplots()
    axes.plot(test.rates, test.losses, color="0.75", linewidth=1, label="loss of each batch")
    axes.plot(test.rates, test.smoothed, color="tab:blue", linewidth=2, label="smoothed")
    for name, rate, line in (("falls fastest", test.steepest, ":"), ("lowest", test.bound, "--")):
        axes.axvline(rate, color="0.4", linewidth=1, linestyle=line, label=f"{name} {rate:.1e}")
    axes.axvline(test.suggestion, color="tab:orange", linewidth=2, label=f"suggestion {test.suggestion:.1e}")
    lowest, first = min(test.smoothed), test.smoothed[0]
    axes.set(xscale="log", xlabel="learning rate", ylabel="loss")
    axes.set_ylim(
        max(0.0, lowest - 0.1 * first), lowest + 1.5 * (first - lowest)
    )  # the fall, not the blow-up
    axes.set_title(title, loc="left", parse_math=False)
    axes.legend(frameon=False, fontsize="small")
    axes.spines[["top", "right"]].set_visible(False)
    return figure
