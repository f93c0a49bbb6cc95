"""Detectors with first weights: random, a backbone's, or a whole detector's.

| the recipe says               | weights                                                            |
| ----------------------------- | ------------------------------------------------------------------ |
| nothing                       | random                                                             |
| model.pretrained              | published for the detector; where there are none, for its backbone |
| model.weights = detection run | of that detector, its last layers fresh if the classes are others  |
| model.weights = another run   | of that network, as backbone                                       |
| model.weights = file          | as ``pretrained`` means, from a file                               |
"""

from functools import partial
from inspect import signature
from pathlib import Path
from typing import Any

from torch import nn

from striate.models.catalog import create_model
from striate.models.pretrained import with_published_weights, with_weights_of_file
from striate.recipe import ModelSettings
from striate.run_folder import CONFIG, read_config
from striate.tasks.detection.catalog import create_detector, detector_facts
from striate.tasks.detection.published import DETECTOR_WEIGHTS
from striate.tasks.detection.rules import DetectionRules


def backbone_of(model: ModelSettings) -> tuple[str | None, dict[str, Any]]:
    """A detector's backbone, by its name in the catalogue, or None if it has no choice; and its arguments."""
    given = signature(detector_facts(model.name).build).parameters.get("backbone")
    name = model.arguments.get("backbone", given.default if given else None)
    return name, dict(model.arguments.get("arguments") or {})


def starts_whole(model: ModelSettings) -> bool:
    """Whether the weights that the recipe names are a detector's, not only its backbone's."""
    path = Path(model.weights)
    if model.weights and (path / CONFIG).is_file():
        return read_config(path).task == "detection"
    return model.name in DETECTOR_WEIGHTS or backbone_of(model)[0] is None


def start_detector(
    model: ModelSettings, num_classes: int, channels: int, fresh_head: bool
) -> tuple[nn.Module, DetectionRules]:
    """A detector with the weights that the recipe names, and its rules.

    Args:
        num_classes: K.
        channels: of the input pictures.
        fresh_head: the classes are others than those of the weights.

    Raises:
        InputError: the weights cannot be had, are damaged or do not fit.
    """
    options = dict(model.arguments)
    if not starts_whole(model):
        name, arguments = backbone_of(model)
        assert name is not None
        options["backbone"] = create_model(
            name, None, channels, pretrained=model.pretrained, weights=model.weights or None, **arguments
        )
        options.pop("arguments", None)
        return create_detector(model.name, num_classes, channels, **options)
    build = partial(_module, model.name, channels, options)
    rules = create_detector(model.name, num_classes, channels, **options)[1]  # with values: not on "meta"
    if model.pretrained:
        standard = partial(_published, model.name)
        return with_published_weights(
            model.name, build, num_classes, standard, fresh_head, DETECTOR_WEIGHTS
        ), rules
    path = Path(model.weights)
    return with_weights_of_file(
        model.name, build, num_classes, num_classes, path, fresh_head, DETECTOR_WEIGHTS
    ), rules


def _module(name: str, channels: int, options: dict[str, Any], num_classes: int) -> nn.Module:
    return create_detector(name, num_classes, channels, **options)[0]


def _published(name: str, num_classes: int, **options: Any) -> nn.Module:
    return create_detector(name, num_classes, 3, **options)[0]
