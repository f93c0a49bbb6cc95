"""What a recipe leaves open, settled before a run begins: data, network, phases, batch size.

What was chosen is written into the run's recipe, so that a resumed run need not choose again.
"""

from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch

from striate.batch_size import SHARE, choose_batch_size
from striate.data.catalog import CATALOG as DATA_SETS
from striate.data.dataset import Dataset
from striate.device import choose_device, place_model
from striate.errors import InputError
from striate.models.backbone import Backbone
from striate.network import build, check_size
from striate.ops.frames import objects_in_input
from striate.prepared import PreparedData
from striate.recipe import Recipe, load_recipe
from striate.run import apply_split
from striate.start import find_start, fitting, like_its_start
from striate.tasks.classification import check_mixing
from striate.tasks.detection.anchors import find_anchors
from striate.tasks.detection.catalog import DEFAULT_DETECTOR, detector_facts
from striate.tasks.wordtree import read_tree
from striate.train.precision import resolve_precision
from striate.train.transfer import check_freeze, choose_phases

UNKNOWN_TO_TREES = (("loss", "kind"), ("loss", "label_smoothing"))
MEASURED = 5000  # training pictures whose boxes tell their usual shapes
OF_CLASSIFICATION = (
    ("augment", "mixup"),
    ("augment", "cutmix"),
    ("data", "sampling"),
    ("data", "per_class"),
    ("data", "classes"),
    ("loss", "kind"),
    ("loss", "label_smoothing"),
    ("loss", "class_weights"),
)
OF_LOCALIZATION = (("loss", "objectness"),)
OF_DETECTION = (("augment", "box_crop"), ("augment", "expand"), ("augment", "mosaic"), ("augment", "sizes"))


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
    if source := findable(data):
        overrides["data.source"] = source
    recipe = load_recipe(Path(config) if isinstance(config, str) else config, overrides)
    source = recipe.data.source
    if not source:
        raise InputError("which pictures?", "the recipe names no data.source", "striate train DATA")
    return load_recipe(recipe, {"data.source": findable(source)})


def findable(data: str | Path | Dataset) -> str:
    """What names ``data`` from any folder: a name of the catalogue, an address, or an absolute path."""
    source = data.source if isinstance(data, Dataset) else str(data)
    is_path = isinstance(data, Path) or (source not in DATA_SETS and bool(source) and Path(source).exists())
    return str(Path(source).absolute()) if is_path else source


def choose_task(recipe: Recipe, dataset: Dataset) -> Recipe:
    """The recipe with its task: what the data are for, unless it says another one.

    Raises:
        InputError: the data are not for that task, or a setting is not.
    """
    task = recipe.task or dataset.task
    has_boxes = all(split.objects is not None for split in dataset.splits.values())
    if has_boxes != (task != "classification"):
        known = "have boxes" if has_boxes else "have one class per picture and no boxes"
        raise InputError(
            f"the data {known}: they are not for {task}",
            dataset.source,
            "--task detection or --task localization" if has_boxes else "--task classification",
        )
    recipe = of_task(recipe, task)
    check_settings(recipe)
    if task == "localization":
        _check_single(dataset, recipe.loss.objectness)
    return load_recipe(recipe, _tree_of(recipe, dataset) if recipe.tree.file or recipe.tree.nodes else {})


def of_task(recipe: Recipe, task: str) -> Recipe:
    """The recipe with its task, and with the network and the fit that are usual for it, where it has none.

    Raises:
        InputError: the run or the file of weights that it starts from is not there.
    """
    recipe = like_its_start(load_recipe(recipe, {"task": task}))
    changes: dict[str, Any] = {}
    if task == "detection" and "name" not in recipe.model.model_fields_set:
        changes["model.name"] = DEFAULT_DETECTOR
    if task != "classification" and "fit" not in recipe.input.model_fields_set:
        changes["input.fit"] = "letterbox"
    return load_recipe(recipe, changes)


def spelled_out(recipe: Recipe, dataset: Dataset) -> Recipe:
    """The recipe with everything that it leaves to the data and to the first weights, but for what is
    measured on the pictures: written down and read again, it means the same run.

    Raises:
        InputError: as ``choose_task`` and ``find_start``.
    """
    recipe = choose_task(recipe, dataset)
    start = find_start(recipe)
    if start is None:
        return recipe
    look = fitting(start, recipe, dataset.channels)
    return load_recipe(recipe, {"input.fit": look.fit, "input.margin": look.margin})


def check_settings(recipe: Recipe) -> None:
    """Find out whether the settings are for the recipe's task.

    Raises:
        InputError: one is not.
    """
    task = recipe.task
    if task != "classification" and recipe.augment.fill == "reflect":
        raise InputError(
            "mirrored borders show objects that have no box", "augment.fill", "take zero, or edge"
        )
    others = {
        "classification": OF_CLASSIFICATION,
        "localization": OF_LOCALIZATION,
        "detection": OF_DETECTION,
    }
    foreign = [setting for owner, settings in others.items() if owner != task for setting in settings]
    foreign += (
        [("evaluate", "mirror")] if task == "detection" else []
    )  # boxes of mirror images are not joined
    foreign += [("tree", "file"), ("tree", "nodes")] if task == "localization" else []
    _refuse(recipe, foreign, str(task))
    if recipe.tree.file or recipe.tree.nodes:
        _refuse(recipe, UNKNOWN_TO_TREES, "a tree of classes")


def _refuse(recipe: Recipe, settings: Iterable[tuple[str, str]], owner: str) -> None:
    """Raise InputError if one of the settings, each a section and a name, is not as it is left."""
    for section, name in settings:
        own = getattr(recipe, section)
        if getattr(own, name) != type(own).model_fields[name].default:
            raise InputError(f"{section}.{name} is not for {owner}", "the settings given", "leave it out")


def _tree_of(recipe: Recipe, dataset: Dataset) -> dict[str, Any]:
    """The settings of the tree that leads to the classes of the data.

    Raises:
        InputError: it cannot be read, is no tree, or does not have the classes.
    """
    classes, names = recipe.data.classes or dataset.classes, {name for name, _ in recipe.tree.nodes}
    if recipe.tree.file:
        tree = read_tree(Path(recipe.tree.file), classes=classes)
        parents = [tree.names[parent] if parent >= 0 else "" for parent in tree.parents]
        nodes = [list(row) for row in zip(tree.names, parents, strict=True)]
        changes: dict[str, Any] = {"tree.nodes": nodes, "tree.file": ""}
    elif missing := [name for name in classes if name not in names]:
        raise InputError(f"class {missing[0]!r} is not in the tree", "tree.nodes", "name the data's tree")
    else:
        changes = {}
    if recipe.task == "detection" and "across_classes" not in recipe.evaluate.model_fields_set:
        changes["evaluate.across_classes"] = True  # what is a dog to one cell is a poodle to the next
    return changes


def _check_single(dataset: Dataset, objectness: bool) -> None:
    """Raise InputError if a picture has not exactly one object, or with objectness more than one."""
    allowed, fault = ("at most one box", "more than one") if objectness else ("one box", "not one")
    for split in dataset.splits.values():
        assert split.objects is not None
        counts = split.objects.counts
        wrong = (counts > 1 if objectness else counts != 1).nonzero()[:, 0].tolist()
        if wrong:
            count = int(counts[wrong[0]])
            more = f", and {len(wrong) - 1} more pictures have {fault}" if len(wrong) > 1 else ""
            advice = "--task detection finds any number"
            if not (objectness or bool((counts > 1).any())):
                advice = f"--set loss.objectness=true learns from pictures without an object, {advice}"
            raise InputError(
                f"localization{' with objectness' if objectness else ''} wants {allowed} in each picture, "
                f"this one has {count}{more}",
                split.images.name(wrong[0]),
                advice,
            )


def check_network(dataset: Dataset, recipe: Recipe) -> None:
    """Build what will be trained, so that what cannot be built, loaded or frozen is known at once.

    Raises:
        InputError: as ``build``, or a stage that the network does not have.
    """
    dataset = apply_split(dataset, recipe)
    start = find_start(recipe)
    preprocessing = fitting(start, recipe, dataset.channels)
    check_size(recipe, preprocessing.size, preprocessing.margin)
    model, _ = build(recipe, dataset.classes, preprocessing.channels, preprocessing.size, start=start)
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
    if recipe.task == "detection":
        settled["model.arguments"] = _with_anchors(recipe, prepared)
        recipe = load_recipe(recipe, settled)
    if recipe.train.batch_size == "auto":
        settled["train.batch_size"] = _largest_batch(recipe, prepared, share)
    return load_recipe(recipe, settled)


def _with_anchors(recipe: Recipe, prepared: PreparedData) -> dict[str, Any]:
    """The detector's arguments, with the shapes of the training boxes where it wants to know them."""
    arguments, facts = recipe.model.arguments, detector_facts(recipe.model.name)
    count = facts.anchors * len(arguments.get("strides", facts.strides))
    if not count or "anchors" in arguments:
        return arguments
    split = prepared.dataset.splits["train"]
    assert split.objects is not None
    step = -(-len(split) // MEASURED)
    frames, chosen = [], []
    for index in range(0, len(split), step):
        with suppress(InputError):  # of a picture that cannot be read, which was told
            picture = split.images.facts(index)
            frames.append(prepared.preprocessing.frame(picture.height, picture.width))
            chosen.append(index)
    objects = objects_in_input(split.objects[torch.tensor(chosen, dtype=torch.int64)], frames)
    sizes = (objects.boxes_xyxy[:, 2:] - objects.boxes_xyxy[:, :2])[~objects.crowd]
    anchors = find_anchors(sizes, count)
    return arguments | {"anchors": [[round(w, 1), round(h, 1)] for w, h in anchors.tolist()]}


def _largest_batch(recipe: Recipe, prepared: PreparedData, share: float) -> int:
    look, device = prepared.preprocessing, choose_device(recipe.train.device)
    model, task = build(recipe, prepared.dataset.classes, look.channels, look.size)
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
