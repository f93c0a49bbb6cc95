"""What a recipe leaves open, settled before a run begins: data, network, phases, batch size.

What was chosen is written into the run's recipe, so that a resumed run need not choose again.
"""

from pathlib import Path
from typing import Any

from striate.batch_size import SHARE, choose_batch_size
from striate.data.catalog import CATALOG as DATA_SETS
from striate.data.dataset import Dataset
from striate.device import choose_device, place_model
from striate.errors import InputError
from striate.models.backbone import Backbone
from striate.prepared import PreparedData
from striate.recipe import Recipe, load_recipe
from striate.run import apply_split, build, check_size
from striate.start import find_start, fitting, like_its_start
from striate.tasks.classification import check_mixing
from striate.train.precision import resolve_precision
from striate.train.transfer import check_freeze, choose_phases


def resolve_recipe(
    data: str | Path | Dataset,
    model: str | None,
    config: str | Path | Recipe | None,
    settings: dict[str, Any] | None,
) -> Recipe:
    """The recipe that the arguments of ``striate.train`` mean, with the data and the network named.

    Raises:
        InputError: a setting that there is not, no data, or a start that is not there.
    """
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
    return like_its_start(recipe)


def check_network(dataset: Dataset, recipe: Recipe) -> None:
    """Build what will be trained, so that what cannot be built, loaded or frozen is known at once.

    Raises:
        InputError: as ``build``, or a stage that the network does not have.
    """
    dataset = apply_split(dataset, recipe)
    start = find_start(recipe)
    preprocessing = fitting(start, recipe, dataset.channels)
    check_size(recipe.model.name, preprocessing.size, preprocessing.margin)
    model, _ = build(recipe, dataset.classes, preprocessing.channels, start=start)
    assert isinstance(model.backbone, Backbone)
    check_mixing(model.backbone, recipe.augment)
    for phase in choose_phases(recipe.train, recipe.optimizer.lr, start is not None):
        check_freeze(model, phase.freeze)


def settle(recipe: Recipe, prepared: PreparedData, share: float = 1.0) -> Recipe:
    """The recipe with all that was left to be chosen.

    Args:
        share: of this machine's memory, where others need as much.
    """
    look, start = prepared.preprocessing, find_start(recipe)
    phases = choose_phases(recipe.train, recipe.optimizer.lr, start is not None)
    settled: dict[str, Any] = {}
    if start:
        settled |= {"input.fit": look.fit, "input.margin": look.margin}
    if len(phases) > 1:
        settled["train.phases"] = [phase.model_dump() for phase in phases]
        settled["train.epochs"] = sum(phase.epochs for phase in phases)
    if recipe.train.batch_size == "auto":
        settled["train.batch_size"] = _largest_batch(recipe, prepared, share)
    return load_recipe(recipe, settled)


def _largest_batch(recipe: Recipe, prepared: PreparedData, share: float) -> int:
    look, device = prepared.preprocessing, choose_device(recipe.train.device)
    model, task = build(recipe, prepared.dataset.classes, look.channels)
    choice = choose_batch_size(
        place_model(model, device),
        task,
        recipe.optimizer,
        (look.channels, *look.size),
        resolve_precision(recipe.train.precision, device),
        len(prepared.pictures["train"]),
        device,
        share=SHARE * share,
    )
    return choice.size
