"""The search space: which settings of the recipe are tried, and between which bounds.

optimizer.lr=1e-4:1e-1:log      any number of the range, its logarithm drawn evenly
train.batch_size=16:128         a setting that takes whole numbers gets whole numbers
optimizer.name=sgd,adamw        one of several values
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from striate.errors import InputError
from striate.recipe import Recipe, load_recipe, parse_override

RATES = {  # of learning, by optimizer
    "sgd": (1e-3, 1.0), "adam": (1e-4, 3e-2), "adamw": (1e-4, 3e-2), "nadam": (1e-4, 3e-2),
    "rmsprop": (1e-5, 1e-2),
}  # fmt: skip
DECAYS = {  # of weights: where it is decoupled it is multiplied by the learning rate, and so larger
    "sgd": (1e-5, 1e-2), "adam": (1e-6, 1e-3), "adamw": (1e-3, 0.3), "nadam": (1e-3, 0.3),
    "rmsprop": (1e-6, 1e-3),
}  # fmt: skip
FIXED = (  # what decides on which pictures the trials are compared, or makes luck a setting
    "data.source", "data.fractions", "data.val_fraction", "data.seed", "data.classes", "train.seed", "task",
)  # fmt: skip


@dataclass(frozen=True)
class Range:
    """Numbers from ``low`` to ``high``; ``log``: their logarithms are drawn evenly; ``whole`` ones only."""

    low: float
    high: float
    log: bool = False
    whole: bool = False


@dataclass(frozen=True)
class Choices:
    """One of several values: numbers, words, true or false."""

    values: tuple[Any, ...]


Space = dict[str, Range | Choices]  # by dotted name of the setting


def default_space(recipe: Recipe) -> Space:
    """What is worth trying first: learning rate, weight decay, strength of augmentation, and what the task
    adds.

    Boxes follow a zoom exactly, a rotation only roughly.
    """
    name, task = recipe.optimizer.name, recipe.task or "classification"
    space: Space = {
        "optimizer.lr": Range(*RATES[name], log=True),
        "optimizer.weight_decay": Range(*DECAYS[name], log=True),
        "augment.shift": Range(0.0, 0.15),
    }
    if task == "classification":
        space["augment.rotate"] = Range(0.0, 15.0)
    else:
        space["augment.rescale"] = Range(0.0, 0.5)
    if task == "classification" and recipe.loss.kind == "cross_entropy" and not recipe.tree.nodes:
        space["loss.label_smoothing"] = Range(0.0, 0.2)
    elif task == "localization":
        space["loss.box_weight"] = Range(0.5, 10.0, log=True)
    elif task == "detection":
        space["augment.mosaic"] = Range(0.0, 0.5)
    return space


def parse_space(texts: Sequence[str], recipe: Recipe) -> Space:
    """The space that texts such as ``"optimizer.lr=1e-4:1e-1:log"`` describe.

    Raises:
        InputError: a text that cannot be read, a setting that does not exist or is not to be tried, or a
            value outside what the recipe allows.
    """
    space: Space = {}
    for text in texts:
        key, equals, value = (part.strip() for part in text.partition("="))
        if not equals or not value or "." not in key:
            raise _refuse(text, "this is no setting with its range")
        if key in space:
            raise _refuse(text, f"{key} is there twice")
        space[key] = _parse_range(text, value) if ":" in value else _parse_choices(text, key, value)
    return {key: check(key, part, recipe) for key, part in space.items()}


def check(key: str, part: Range | Choices, recipe: Recipe) -> Range | Choices:
    """``part`` of the space, with ``whole`` set where the setting takes whole numbers only.

    Raises:
        InputError: the recipe does not allow the setting or one of its values.
    """
    where = f"the space of {key}"
    if key in FIXED:
        raise InputError(
            f"{key} cannot be tried: trials are compared on the same pictures and seed",
            where,
            "leave it out of the space, or set it for all trials with --set",
        )
    for value in outermost(part):
        try:
            load_recipe(recipe, {key: value})
        except InputError as error:
            raise InputError(error.what, where, error.what_to_do) from None
    if isinstance(part, Choices) or part.whole or not _only_whole(key, part, recipe):
        return part
    return Range(part.low, part.high, part.log, whole=True)


def outermost(part: Range | Choices) -> tuple[Any, ...]:
    """The bounds of a range, or all choices."""
    return part.values if isinstance(part, Choices) else (part.low, part.high)


def own_settings(space: Space, recipe: Recipe) -> dict[str, Any]:
    """The recipe's own values of those settings of the space that have one within it."""
    own: dict[str, Any] = {}
    for key, part in space.items():
        value: Any = recipe.model_dump(mode="json")
        for name in key.split("."):
            value = value.get(name) if isinstance(value, dict) else None
        if isinstance(part, Choices):
            inside = value in part.values
        else:
            inside = isinstance(value, int | float) and part.low <= value <= part.high
        if inside:
            own[key] = value
    return own


def _parse_range(text: str, value: str) -> Range:
    low, high, *rest = value.split(":")
    try:
        bounds = float(low), float(high)
    except ValueError:
        raise _refuse(text, "the bounds are not numbers") from None
    if rest not in ([], ["log"]):
        raise _refuse(text, f"{':'.join(rest)!r} after the bounds means nothing")
    if not (math.isfinite(bounds[0]) and bounds[0] < bounds[1] < math.inf):
        raise _refuse(text, "the bounds are not in order")
    if rest and bounds[0] <= 0:
        raise _refuse(text, "logarithms need bounds above 0")
    return Range(*bounds, log=bool(rest))


def _parse_choices(text: str, key: str, value: str) -> Choices:
    values = tuple(parse_override(f"{key}={word}")[1] for word in value.split(","))
    if len(values) < 2 or len(set(map(str, values))) < len(values):
        raise _refuse(text, "there is nothing to choose between")
    if not all(isinstance(choice, str | int | float | None) for choice in values):
        raise _refuse(text, "only numbers, words, true, false and none can be chosen from")
    return Choices(values)


def _refuse(text: str, what: str) -> InputError:
    return InputError(
        what, f"--space {text}", "write it as optimizer.lr=1e-4:1e-1:log or optimizer.name=sgd,adamw"
    )


def _only_whole(key: str, part: Range, recipe: Recipe) -> bool:
    """Whether the setting refuses a number between the bounds because it is not whole."""
    if not (part.low.is_integer() and part.high.is_integer()):
        return False
    try:
        load_recipe(recipe, {key: part.low + 0.5})
    except InputError:
        return True
    return False
