"""Where a network's first weights come from, and for which pictures they were made.

| the recipe says    | weights                   | preprocessing, unless the recipe has a wish |
| ------------------ | ------------------------- | ------------------------------------------- |
| nothing            | random                    | measured on the training pictures           |
| model.pretrained   | published for the network | what they were published with               |
| model.weights RUN  | of a run folder           | the run's                                   |
| model.weights FILE | of a file                 | what the network's published weights want   |
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from striate.data.preprocessing import Preprocessing
from striate.detectors import backbone_of, starts_whole
from striate.errors import InputError
from striate.models.catalog import model_facts
from striate.models.imagenet import imagenet_classes
from striate.models.published import WEIGHTS
from striate.recipe import Recipe, load_recipe
from striate.run_folder import CONFIG, read_config
from striate.run_folder import WEIGHTS as WEIGHTS_FILE
from striate.tasks.detection.catalog import detector_facts
from striate.tasks.detection.published import DETECTOR_WEIGHTS


@dataclass(frozen=True)
class Start:
    """What is known of weights before training goes on from them.

    Attributes:
        preprocessing: of the pictures that they know; None if nobody says.
        classes: what their outputs mean; None if nobody says.
    """

    preprocessing: Preprocessing | None
    classes: tuple[str, ...] | None


def find_start(recipe: Recipe) -> Start | None:
    """What the recipe starts from; None for random weights.

    Raises:
        InputError: nothing is published for the network, or the run is none or another network's.
    """
    settings = recipe.model
    if recipe.task == "detection" and (settings.pretrained or settings.weights):
        return _of_detector(recipe)
    if settings.weights and (Path(settings.weights) / CONFIG).is_file():
        return _of_run(recipe)
    if not (settings.pretrained or settings.weights):
        return None
    model_facts(settings.name)
    if settings.name in WEIGHTS:
        card = WEIGHTS[settings.name]
        size = (card.size, card.size)
        channels = len(card.channels)
        look = Preprocessing(
            size, channels, card.fit, 0, card.mean, card.std, card.resize, card.interpolation
        )
        classes = tuple(entry.name for entry in imagenet_classes())
        return Start(look, classes if settings.pretrained else None)
    if settings.pretrained:
        raise InputError(
            f"no weights of {settings.name} are published",
            "model.pretrained",
            f"give --weights RUN or FILE, or take one of {', '.join(WEIGHTS)}",
        )
    return Start(None, None)


def _of_run(recipe: Recipe) -> Start:
    settings = recipe.model
    config = read_config(settings.weights)
    if config.model != settings.name or config.arguments != settings.arguments:
        arguments = "".join(f", {key}={value!r}" for key, value in config.arguments.items())
        raise InputError(
            f"the run is a {config.model}{arguments}, the recipe wants a {settings.name}",
            settings.weights,
            "leave --model and model.arguments out, to take those of the run",
        )
    return Start(Preprocessing(**dict(config.input)), config.classes)


def _of_detector(recipe: Recipe) -> Start:
    """What a detector's weights, or those of its backbone, are for: the colours at least."""
    settings = recipe.model
    whole = starts_whole(settings)
    if settings.weights and (Path(settings.weights) / CONFIG).is_file():
        if whole:
            return _of_run(recipe)
        known = Preprocessing(**dict(read_config(settings.weights).input))
        look = _for_boxes(recipe, known.channels, known.mean, known.std)
        return Start(replace(look, white=known.white), None)
    name = settings.name if whole else str(backbone_of(settings)[0])
    cards: Mapping[str, Any] = DETECTOR_WEIGHTS if whole else WEIGHTS
    if name in cards:
        classes = cards[name].classes if whole and settings.pretrained else None
        return Start(_for_boxes(recipe, 3, cards[name].mean, cards[name].std), classes)
    if settings.pretrained:
        raise InputError(
            f"no weights of {name} are published",
            "model.pretrained",
            f"give --weights RUN or FILE, or as model.arguments.backbone one of {', '.join(WEIGHTS)}",
        )
    return Start(None, None)


def _for_boxes(
    recipe: Recipe, channels: int, mean: tuple[float, ...], std: tuple[float, ...]
) -> Preprocessing:
    """Whole pictures at the detector's size, in the colours that the weights know."""
    return Preprocessing(detector_facts(recipe.model.name).size, channels, "letterbox", 0, mean, std)


def like_its_start(recipe: Recipe) -> Recipe:
    """``recipe`` with the network of the run that it starts from, where it names none itself."""
    settings = recipe.model
    if not settings.weights:
        return recipe
    path = Path(settings.weights)
    if not path.exists():
        raise InputError("there is no such run or file of weights", path, "check the path")
    if path.name == WEIGHTS_FILE and (path.parent / CONFIG).is_file():
        path = path.parent  # the run knows more of the file
    changes: dict[str, Any] = {"model.weights": str(path.absolute())}  # to be found from another folder
    if (path / CONFIG).is_file():
        config = read_config(path)
        if recipe.task == "detection" and config.task != "detection":  # the run is the detector's backbone
            own = {"backbone": config.model, "arguments": config.arguments}
            changes["model.arguments"] = own | settings.arguments
            return load_recipe(recipe, changes)
        if "name" not in settings.model_fields_set:
            changes["model.name"] = config.model
        if "arguments" not in settings.model_fields_set:
            changes["model.arguments"] = config.arguments
    return load_recipe(recipe, changes)


def fitting(start: Start | None, recipe: Recipe, channels: int) -> Preprocessing:
    """How pictures of ``channels`` channels become input: as the start wants, changed as the recipe says.

    Mean and deviation are blank where neither says them: they are measured later.
    """
    wish, known = recipe.input, start.preprocessing if start else None
    if known is None:
        size = wish.size or usual_size(recipe)
        mean, std = wish.mean or (), wish.std or ()
        return Preprocessing(size, channels, wish.fit, wish.margin, mean, std, white=wish.white)
    channels = max(channels, known.channels)  # grey pictures are repeated for a colour network
    size, resize = wish.size or known.size, known.resize
    if resize is not None:
        resize = round(resize * min(size) / min(known.size))
    if wish.fit != "crop" or size[0] != size[1]:
        resize = None
    margin = wish.margin if "margin" in wish.model_fields_set else known.margin
    fit = wish.fit if "fit" in wish.model_fields_set else known.fit
    repeats = channels // known.channels
    mean, std = wish.mean or known.mean * repeats, wish.std or known.std * repeats
    white = wish.white if "white" in wish.model_fields_set else known.white
    return Preprocessing(size, channels, fit, margin, mean, std, resize, known.interpolation, white)


def usual_size(recipe: Recipe) -> tuple[int, int]:
    """H, W of the pictures that a network was drawn for.

    Raises:
        InputError: there is no such network.
    """
    if recipe.task == "detection":
        return detector_facts(recipe.model.name).size
    return model_facts(recipe.model.name).input[1:]
