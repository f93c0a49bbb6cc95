"""Data sets that need no file: scikit-learn's digits and photographs, and scenes made of the digits."""

import numpy as np
import torch
from torch import Tensor

from striate.data.dataset import POOL, ArrayImages, Dataset, Split, dominant_labels
from striate.samples import Objects

DIGITS = tuple("0123456789")
SCENES = {"count_train": 2000, "count_val": 250, "count_test": 250}
_PHOTOGRAPHS = ("china", "flower")


def load_digits() -> Dataset:
    """1,797 handwritten digits, 8x8 grey, as one pool (Alpaydin and Kaynak 1998, the UCI test set).

    Their values 0..16 are scaled to 0..255 and rounded.
    """
    from sklearn.datasets import load_digits as load_sklearn_digits  # takes a second to import

    digits = load_sklearn_digits()
    pixels = torch.from_numpy(np.rint(digits.images * (255 / 16)).astype(np.uint8)).unsqueeze(1)
    split = Split(ArrayImages(pixels, "digits"), torch.from_numpy(digits.target.astype(np.int64)))
    return _built_in("digits", DIGITS, 1, split)


def load_photographs() -> Dataset:
    """Two photographs, 427x640 RGB: a temple ("china") and a dahlia ("flower").

    One picture per class is not for training: they are there to look at what a layer does.
    """
    from sklearn.datasets import load_sample_image

    pixels = np.stack([load_sample_image(f"{name}.jpg") for name in _PHOTOGRAPHS])
    images = ArrayImages(torch.from_numpy(pixels).permute(0, 3, 1, 2).contiguous(), "photographs")
    return _built_in("photographs", _PHOTOGRAPHS, 3, Split(images, torch.arange(len(_PHOTOGRAPHS))))


def load_scenes() -> Dataset:
    """2,500 scenes of 160x160 with three to eight digits each, drawn when they are asked for."""
    return _scenes("scenes", "detection", (3, 8))


def load_single_scenes() -> Dataset:
    """2,500 scenes of 160x160 with one digit each."""
    return _scenes("scenes-one", "localization", (1, 1))


def load_scene_windows() -> Dataset:
    """10,000 windows of the scenes, 64x64, of which some show a digit and the others none."""
    from striate.data.scene_windows import PER_SCENE, make_windows

    counts = {name.removeprefix("count_"): PER_SCENE * count for name, count in SCENES.items()}
    made = {split: make_windows(count, split=split) for split, count in counts.items()}
    return _with_objects("scenes-windows", "localization", made)


def _scenes(name: str, task: str, objects: tuple[int, int]) -> Dataset:
    from striate.data.scenes import scenes  # which takes its digits from here

    return _with_objects(name, task, scenes(**SCENES, objects=objects))


def _with_objects(name: str, task: str, made: dict[str, tuple[Tensor, Objects]]) -> Dataset:
    splits = {}
    for split, (pixels, found) in made.items():
        labels = dominant_labels(found, len(DIGITS))
        splits[split] = Split(ArrayImages(pixels, f"{name}-{split}"), labels, found)
    return Dataset(
        name=name,
        source=name,
        format="built-in",
        why=f"{name} is a name of the catalogue",
        task=task,
        classes=DIGITS,
        channels=3,
        splits=splits,
    )


def _built_in(name: str, classes: tuple[str, ...], channels: int, split: Split) -> Dataset:
    return Dataset(
        name=name,
        source=name,
        format="built-in",
        why=f"{name} is a name of the catalogue",
        task="classification",
        classes=classes,
        channels=channels,
        splits={POOL: split},
    )
