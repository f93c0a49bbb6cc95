"""The two data sets that come with scikit-learn: no file and no network is needed."""

import numpy as np
import torch

from striate.data.dataset import POOL, ArrayImages, Dataset, Split

_PHOTOGRAPHS = ("china", "flower")


def load_digits() -> Dataset:
    """1,797 handwritten digits, 8x8 grey, as one pool (Alpaydin and Kaynak 1998, the UCI test set).

    Their values 0..16 are scaled to 0..255 and rounded.
    """
    from sklearn.datasets import load_digits as load_sklearn_digits  # takes a second to import

    digits = load_sklearn_digits()
    pixels = torch.from_numpy(np.rint(digits.images * (255 / 16)).astype(np.uint8)).unsqueeze(1)
    split = Split(ArrayImages(pixels, "digits"), torch.from_numpy(digits.target.astype(np.int64)))
    return _built_in("digits", tuple("0123456789"), 1, split)


def load_photographs() -> Dataset:
    """Two photographs, 427x640 RGB: a temple ("china") and a dahlia ("flower").

    One picture per class is not for training: they are there to look at what a layer does.
    """
    from sklearn.datasets import load_sample_image

    pixels = np.stack([load_sample_image(f"{name}.jpg") for name in _PHOTOGRAPHS])
    images = ArrayImages(torch.from_numpy(pixels).permute(0, 3, 1, 2).contiguous(), "photographs")
    return _built_in("photographs", _PHOTOGRAPHS, 3, Split(images, torch.arange(len(_PHOTOGRAPHS))))


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
