"""The network and the task that a recipe means."""

from typing import Any

from torch import Tensor, nn

from striate.detectors import start_detector
from striate.errors import InputError
from striate.models.catalog import create_model, model_facts
from striate.recipe import EvaluateSettings, ModelSettings, Recipe
from striate.start import Start
from striate.tasks.classification import ClassificationTask
from striate.tasks.detection.catalog import create_detector, detector_facts, learns_trees
from striate.tasks.detection.rules import Choice
from striate.tasks.detection.task import DetectionTask
from striate.tasks.hierarchy import HierarchicalTask
from striate.tasks.localization.sparse import SparseLocalizationTask
from striate.tasks.localization.task import LocalizationTask
from striate.tasks.task import Task
from striate.tasks.wordtree import WordTree

SETTLED = {"name", "num_classes", "classes", "in_channels", "pretrained", "weights", "fresh_head"}


def build(
    recipe: Recipe,
    classes: tuple[str, ...],
    channels: int,
    size: tuple[int, int],
    class_weights: Tensor | None = None,
    start: Start | None = None,
) -> tuple[nn.Module, Task]:
    """The network and the task of a run; with fresh weights, or those that the recipe starts from.

    Args:
        channels, size: of the network's input; H, W in pixels.
        start: what is known of the recipe's first weights; None leaves them aside.

    Raises:
        InputError: there is no such network, it takes no such arguments, or the weights cannot be had.
    """
    model, tree = recipe.model, word_tree(recipe)
    _check_given(model, tree, classes)
    fresh_head = start is not None and start.classes != classes
    if recipe.task == "detection":
        if tree:
            model = _with_tree(model, tree)
        if start:
            module, rules = start_detector(model, len(classes), channels, fresh_head)
        else:
            module, rules = create_detector(model.name, len(classes), channels, **model.arguments)
        return module, DetectionTask(classes, rules, size, _choice(recipe.evaluate), tree)
    origin: dict[str, Any] = {}
    if start:
        origin = {
            "pretrained": model.pretrained, "weights": model.weights or None, "fresh_head": fresh_head
        }  # fmt: skip
    backbone = create_model(
        model.name, num_classes=len(classes), in_channels=channels, **origin, **model.arguments
    )
    task: ClassificationTask | HierarchicalTask | LocalizationTask | SparseLocalizationTask
    loss = recipe.loss
    if recipe.task == "localization":
        kind = SparseLocalizationTask if loss.objectness else LocalizationTask
        task = kind(classes, size, loss.box, loss.box_weight)
    elif tree:
        task = HierarchicalTask(tree, class_weights)
    else:
        task = ClassificationTask(classes, loss.label_smoothing, class_weights, loss.kind)
    return task.build(backbone, classes), task


def _check_given(model: ModelSettings, tree: WordTree | None, classes: tuple[str, ...]) -> None:
    if given := SETTLED & model.arguments.keys():
        raise InputError(
            f"{min(given)} is no argument to choose: it follows from the data or another setting",
            "model.arguments",
            "leave it out",
        )
    if tree and tree.names != classes:
        raise InputError("the classes are not the nodes of the tree", "tree.nodes", "name each class once")


def task_of(recipe: Recipe) -> type[Task]:
    """The kind of task that a recipe means."""
    if recipe.task == "detection":
        return DetectionTask
    if recipe.task == "localization":
        return SparseLocalizationTask if recipe.loss.objectness else LocalizationTask
    return HierarchicalTask if recipe.tree.nodes else ClassificationTask


def _choice(settings: EvaluateSettings) -> Choice:
    return Choice(settings.score, settings.iou, settings.most, settings.across_classes)


def _with_tree(model: ModelSettings, tree: WordTree) -> ModelSettings:
    """The detector, whose classes are the nodes of a tree."""
    if not learns_trees(model.name):
        raise InputError(f"{model.name} does not learn trees of classes", "tree", "yolo_light does")
    return model.model_copy(update={"arguments": model.arguments | {"classes": tree}})


def word_tree(recipe: Recipe) -> WordTree | None:
    """The tree of the recipe's classes, or None.

    Raises:
        InputError: the nodes are no tree.
    """
    nodes = recipe.tree.nodes
    ids = {name: node for node, (name, _) in enumerate(nodes)} | {"": -1}
    if unknown := [parent for _, parent in nodes if parent not in ids]:
        raise InputError(f"parent {unknown[0]!r} is no node", "tree.nodes", f'add ["{unknown[0]}", ""]')
    return WordTree(list(ids)[:-1], [ids[p] for _, p in nodes], recipe.tree.threshold) if nodes else None


def check_size(recipe: Recipe, size: tuple[int, int], margin: int) -> None:
    """Find out whether a network can take pictures of ``size`` (H, W) with a black ``margin`` inside it.

    Raises:
        InputError: it cannot, or there is no such network.
    """
    name, multiple = recipe.model.name, 1
    if recipe.task == "detection":
        facts = detector_facts(name)
        minimum, multiple = facts.minimum, facts.multiple
    else:
        minimum = model_facts(name).minimum
    if min(size) < minimum:
        raise InputError(
            f"{name} needs pictures of at least {minimum} pixels, got {min(size)}",
            "--image-size",
            f"--image-size {minimum}",
        )
    if size[0] % multiple or size[1] % multiple:
        nearest = max(minimum, round(min(size) / multiple) * multiple)
        raise InputError(
            f"the sides of {name}'s pictures are multiples of {multiple}, got {size[0]}x{size[1]}",
            "--image-size",
            f"--image-size {nearest}",
        )
    if 2 * margin >= min(size):
        raise InputError(
            f"a margin of {margin} leaves nothing of {min(size)} pixels", "input.margin", "make it smaller"
        )
