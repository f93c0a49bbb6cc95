"""Every network by name: how to build it, and the facts about it that the tests prove."""

import difflib
import fnmatch
import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from striate.errors import InputError
from striate.models.backbone import Backbone
from striate.models.compact import compact_cnn
from striate.models.fashion_cnn import fashion_cnn
from striate.models.lenet import lenet5, lenet5_1998


@dataclass(frozen=True)
class ModelFacts:
    """What is known of a network at its own input size.

    Attributes:
        build: takes ``num_classes`` and ``in_channels``, and further arguments of the family.
        year: of publication.
        params: trainable values.
        macs: multiply-accumulates of convolutions and dense layers, for one picture.
        input: C, H, W that the counts hold for.
        minimum: the smallest H and W it accepts.
        summary: one line for a list.
    """

    build: Callable[..., Backbone]
    year: int
    params: int
    macs: int
    input: tuple[int, int, int]
    minimum: int
    summary: str


CATALOG: dict[str, ModelFacts] = {
    "compact_cnn": ModelFacts(
        compact_cnn, 2026, 1_165_930, 63_339_520, (1, 28, 28), 8, "small pictures, learns fast on a processor"
    ),
    "fashion_cnn": ModelFacts(
        fashion_cnn, 2019, 1_413_834, 89_466_496, (1, 28, 28), 8, "the classic first CNN for Fashion-MNIST"
    ),
    "lenet5": ModelFacts(
        lenet5, 1998, 61_706, 416_520, (1, 32, 32), 32, "LeNet-5 as it is usually built today"
    ),
    "lenet5_1998": ModelFacts(
        lenet5_1998, 1998, 60_000, 325_680, (1, 32, 32), 32, "LeNet-5 as in the paper: partial C3, RBF output"
    ),
}


def list_models(pattern: str = "*") -> list[str]:
    """Names of the catalogue that match a shell pattern such as ``"lenet*"``, in the catalogue's order."""
    return [name for name in CATALOG if fnmatch.fnmatchcase(name, pattern)]


def model_facts(name: str) -> ModelFacts:
    """The catalogue's entry.

    Raises:
        InputError: there is no such network.
    """
    if name not in CATALOG:
        close = difflib.get_close_matches(name, CATALOG, n=3)
        hint = f"did you mean {' or '.join(close)}?" if close else "`striate models` lists all of them"
        raise InputError(f"there is no network called {name!r}", "--model", hint)
    return CATALOG[name]


def create_model(
    name: str, num_classes: int = 10, in_channels: int | None = None, **arguments: Any
) -> Backbone:
    """A network of the catalogue with fresh weights.

    Args:
        name: as in ``list_models``.
        num_classes: K, at least 2.
        in_channels: of the input pictures; None takes what the network was drawn for.
        arguments: further arguments of the family's builder.

    Raises:
        InputError: an unknown name or argument, a value that nothing can be built with, or fewer than two
            classes.
    """
    facts = model_facts(name)
    if num_classes < 2:
        raise InputError(f"a classifier needs at least 2 classes, got {num_classes}", name)
    known = set(inspect.signature(facts.build).parameters) - {"num_classes", "in_channels"}
    if unknown := set(arguments) - known:
        raise InputError(
            f"{name} takes no argument {', '.join(sorted(unknown))}",
            "model.arguments",
            f"it takes {', '.join(sorted(known)) or 'none'}",
        )
    try:
        return facts.build(num_classes=num_classes, in_channels=in_channels or facts.input[0], **arguments)
    except (TypeError, ValueError, RuntimeError) as error:
        if not arguments:
            raise
        given = ", ".join(f"{key}={value!r}" for key, value in arguments.items())
        raise InputError(f"{name} cannot be built with {given}: {error}", "model.arguments") from error
