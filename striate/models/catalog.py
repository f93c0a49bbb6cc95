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
from striate.models.resnet import (
    resnet18,
    resnet34,
    resnet50,
    resnet50_v1,
    resnet101,
    resnet101_v1,
    resnet152,
    resnet152_v1,
)


@dataclass(frozen=True)
class ModelFacts:
    """What is known of a network at its own input size.

    Attributes:
        build: takes ``num_classes`` and ``in_channels``, and further arguments of the family.
        year: of publication.
        params: trainable values, with ``num_classes`` classes.
        macs: multiply-accumulates of convolutions and dense layers, for one picture.
        input: C, H, W that the counts hold for.
        minimum: the smallest H and W it accepts.
        summary: one line for a list.
        num_classes: K that it was drawn for.
        peer: whose outputs it gives with the same weights, or what its layers are compared with.
    """

    build: Callable[..., Backbone]
    year: int
    params: int
    macs: int
    input: tuple[int, int, int]
    minimum: int
    summary: str
    num_classes: int = 10
    peer: str = "the paper's table"


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
    "resnet18": ModelFacts(
        resnet18,
        2015,
        11_689_512,
        1_814_073_344,
        (3, 224, 224),
        32,
        "residual learning: two 3x3 convolutions beside a shortcut",
        1000,
        "torchvision",
    ),
    "resnet34": ModelFacts(
        resnet34,
        2015,
        21_797_672,
        3_663_761_408,
        (3, 224, 224),
        32,
        "as ResNet-18, twice as deep",
        1000,
        "torchvision",
    ),
    "resnet50": ModelFacts(
        resnet50,
        2015,
        25_557_032,
        4_089_184_256,
        (3, 224, 224),
        32,
        "bottleneck units: the usual choice for photographs",
        1000,
        "torchvision",
    ),
    "resnet101": ModelFacts(
        resnet101,
        2015,
        44_549_160,
        7_801_405_440,
        (3, 224, 224),
        32,
        "as ResNet-50, twice as deep",
        1000,
        "torchvision",
    ),
    "resnet152": ModelFacts(
        resnet152,
        2015,
        60_192_808,
        11_513_626_624,
        (3, 224, 224),
        32,
        "the winner of ILSVRC 2015",
        1000,
        "torchvision",
    ),
    "resnet50_v1": ModelFacts(
        resnet50_v1,
        2015,
        25_557_032,
        3_857_973_248,
        (3, 224, 224),
        32,
        "ResNet-50 as in the paper: strides in the first 1x1",
        1000,
        "torchvision, strides moved",
    ),
    "resnet101_v1": ModelFacts(
        resnet101_v1,
        2015,
        44_549_160,
        7_570_194_432,
        (3, 224, 224),
        32,
        "ResNet-101 as in the paper",
        1000,
        "torchvision, strides moved",
    ),
    "resnet152_v1": ModelFacts(
        resnet152_v1,
        2015,
        60_192_808,
        11_282_415_616,
        (3, 224, 224),
        32,
        "ResNet-152 as in the paper",
        1000,
        "torchvision, strides moved",
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
    name: str, num_classes: int | None = None, in_channels: int | None = None, **arguments: Any
) -> Backbone:
    """A network of the catalogue with fresh weights.

    Args:
        name: as in ``list_models``.
        num_classes: K, at least 2; None takes what the network was drawn for.
        in_channels: of the input pictures; None takes what the network was drawn for.
        arguments: further arguments of the family's builder.

    Raises:
        InputError: an unknown name or argument, a value that nothing can be built with, or fewer than two
            classes.
    """
    facts = model_facts(name)
    if num_classes is None:
        num_classes = facts.num_classes
    if num_classes < 2:
        raise InputError(f"a classifier needs at least 2 classes, got {num_classes}", name)
    known = options(facts.build)
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


def options(build: Callable[..., Backbone]) -> set[str]:
    """The arguments that may be chosen beside classes and channels: those of the builder with a default.

    A variant that hands its options on (``**options``) takes those of the class that it returns.
    """
    parameters = inspect.signature(build).parameters.values()
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters):
        parameters = inspect.signature(
            inspect.signature(build, eval_str=True).return_annotation
        ).parameters.values()
    chosen = {parameter.name for parameter in parameters if parameter.default is not parameter.empty}
    return chosen - {"num_classes", "in_channels"}
