"""Networks by name: what there is, and how to build it."""

import difflib
import fnmatch
import inspect
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from striate.errors import InputError
from striate.models.backbone import Backbone
from striate.models.facts import CATALOG, ModelFacts
from striate.models.pretrained import with_published_weights, with_weights_of_file

__all__ = ["CATALOG", "ModelFacts", "create_model", "list_models", "model_facts"]


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
    name: str,
    num_classes: int | None = None,
    in_channels: int | None = None,
    *,
    pretrained: bool = False,
    weights: str | Path | None = None,
    fresh_head: bool = False,
    **arguments: Any,
) -> Backbone:
    """A network of the catalogue, with fresh weights or others.

    Args:
        name: as in ``list_models``.
        num_classes: K, at least 2; None takes what the network was drawn for. Where it is given and is not
            that of the weights asked for, the last layer is fresh and everything else has them.
        in_channels: of the input pictures; None takes what the network was drawn for.
        pretrained: with the published weights (``striate.models.published``), downloaded once.
        weights: instead, a local file (.safetensors, .pth, .pt, .h5) in Striate's names or in those of the
            library that the network is compared with, or a folder that holds ``model.safetensors``, as a run.
            The first layer of a grey network is widened where ``in_channels`` is 3.
        fresh_head: the last layer is fresh in any case, because the classes are others.
        arguments: further arguments of the family's builder.

    Raises:
        InputError: an unknown name or argument, a value that nothing can be built with, fewer than two
            classes, or weights that cannot be had, are damaged or do not fit.
    """
    facts = model_facts(name)
    if num_classes is not None and num_classes < 2:
        raise InputError(f"a classifier needs at least 2 classes, got {num_classes}", name)
    if pretrained and in_channels not in (None, facts.input[0]):
        raise InputError(
            f"the published weights of {name} are for pictures of {facts.input[0]} channels",
            f"in_channels = {in_channels}",
            "give it colour pictures, or train it without them",
        )
    known = options(facts.build)
    if unknown := set(arguments) - known:
        raise InputError(
            f"{name} takes no argument {', '.join(sorted(unknown))}",
            "model.arguments",
            f"it takes {', '.join(sorted(known)) or 'none'}",
        )
    build = partial(_build, name, in_channels=in_channels or facts.input[0], **arguments)
    if weights is not None:
        return with_weights_of_file(name, build, num_classes, facts.num_classes, Path(weights), fresh_head)
    if pretrained:
        return with_published_weights(name, build, num_classes, facts.build, fresh_head)
    return build(num_classes=num_classes or facts.num_classes)


def _build(name: str, num_classes: int, in_channels: int, **arguments: Any) -> Backbone:
    try:
        return CATALOG[name].build(num_classes=num_classes, in_channels=in_channels, **arguments)
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
