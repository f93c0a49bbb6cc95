"""A data set ready to train on: split, read, and measured."""

from collections.abc import Callable
from dataclasses import dataclass, replace

from striate.data.dataset import Dataset, Fault
from striate.data.loader import Pictures, measure_pixels, prepare_pictures
from striate.data.preprocessing import Preprocessing
from striate.errors import InputError
from striate.network import check_size
from striate.recipe import Recipe
from striate.run import apply_split
from striate.start import find_start, fitting

Reading = Callable[[str, int], Callable[[int], None]]  # split name, pictures -> told how many were read


def unwatched(split: str, count: int) -> Callable[[int], None]:
    """Nobody is told of the reading."""
    return lambda read: None


@dataclass(frozen=True)
class PreparedData:
    """A data set ready to train on."""

    dataset: Dataset
    preprocessing: Preprocessing
    pictures: dict[str, Pictures]
    faults: list[Fault]


def prepare_data(
    dataset: Dataset, recipe: Recipe, reading: Reading = unwatched, known: Preprocessing | None = None
) -> PreparedData:
    """Split, read and measure the pictures.

    Args:
        known: the preprocessing of a run that goes on; None finds out what the recipe means.

    Raises:
        InputError: a size the network cannot take, or (with ``train.strict``) a picture that cannot be read.
    """
    dataset = apply_split(dataset, recipe)
    preprocessing = known or fitting(find_start(recipe), recipe, dataset.channels)
    check_size(recipe, preprocessing.size, preprocessing.margin)
    faults = list(dataset.faults)
    pictures = {}
    for name, split in dataset.splits.items():
        progress = reading(name, len(split))
        pictures[name], unreadable = prepare_pictures(
            split,
            preprocessing,
            recipe.data.memory_mb * 2**20,
            recipe.data.workers,
            progress,
            cache_bytes=recipe.data.cache_mb * 2**20,
            timeout=recipe.data.worker_timeout,
        )
        faults += unreadable
    _check_faults(faults, pictures, dataset, recipe)
    mean, std = preprocessing.mean, preprocessing.std
    if not (mean and std):
        measured = measure_pixels(pictures["train"])
        mean, std = mean or measured[0], std or measured[1]
    channels = preprocessing.channels
    if len(mean) != channels or len(std) != channels:
        raise InputError(
            f"the pictures have {channels} channels, input.mean {len(mean)} and input.std {len(std)}",
            "the settings given",
            "give one number per channel, or leave them out to have them measured",
        )
    return PreparedData(dataset, replace(preprocessing, mean=mean, std=std), pictures, faults)


def _check_faults(
    faults: list[Fault], pictures: dict[str, Pictures], dataset: Dataset, recipe: Recipe
) -> None:
    if faults and recipe.train.strict:
        more = f", and {len(faults) - 1} more" if len(faults) > 1 else ""
        raise InputError(
            f"{faults[0].what}{more}",
            faults[0].name,
            "mend the pictures, or leave --strict (train.strict) out",
        )
    least = {"train": 2, "val": 2, "test": 1}
    if missing := [name for name in pictures if len(pictures[name]) < least[name]]:
        raise InputError(
            f"too few pictures can be read for the {missing[0]} split", dataset.source, "add pictures"
        )
