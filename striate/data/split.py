"""Splitting labelled pictures so that every split has every class in the same proportion.

The splits depend on the labels, the fractions and the seed alone, on any platform and with any version
of NumPy: the random order comes from the raw 64-bit numbers of PCG64 (O'Neill 2014), whose stream is
fixed for ever, and counts are settled with sorting and whole numbers.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from striate.data.dataset import POOL, Dataset, Split
from striate.errors import InputError, counted


def stratified_split(
    targets: Tensor, fractions: Sequence[float] = (0.75, 0.15, 0.10), seed: int = 0
) -> tuple[Tensor, ...]:
    """Divide samples at random, each class in proportion.

    The sizes of the splits are the fractions of all samples, rounded by largest remainder; so are those of
    each class, as far as that leaves the sizes right. A class with at least as many samples as there are
    splits is in every one of them, even at the cost of the sizes.

    Args:
        targets: class ids, int64 (n,).
        fractions: of each split; their sum is 1. A split with fraction 0 stays empty.
        seed: another seed gives another choice of samples, with the same counts.

    Returns:
        For each fraction, indices int64 in ascending order: disjoint, and together all of 0..n-1.

    Raises:
        InputError: the fractions are negative or do not sum to 1.
    """
    if min(fractions) < 0 or abs(sum(fractions) - 1) > 1e-6:
        raise InputError(
            f"the fractions {tuple(fractions)} are negative or do not sum to 1",
            "data.fractions",
            "give fractions such as 0.75, 0.15 and 0.10",
        )
    labels = targets.numpy()
    _, class_sizes = np.unique(labels, return_counts=True)
    counts = _counts(class_sizes, np.array(fractions) / sum(fractions))
    shuffled = np.lexsort((np.random.PCG64(seed).random_raw(len(labels)), labels))  # by class, then by chance
    splits: list[list[NDArray[np.int64]]] = [[] for _ in fractions]
    members = np.split(shuffled, np.cumsum(class_sizes)[:-1])
    for class_members, class_counts in zip(members, counts, strict=True):
        for split, chosen in zip(splits, np.split(class_members, np.cumsum(class_counts)[:-1]), strict=True):
            split.append(chosen)
    return tuple(torch.from_numpy(np.sort(np.concatenate(split))) for split in splits)


def split_dataset(
    dataset: Dataset,
    fractions: Sequence[float] = (0.75, 0.15, 0.10),
    seed: int = 0,
    val_fraction: float = 0.1,
) -> Dataset:
    """Give a data set the splits that it lacks; those it has stay as they are.

    | it has           | it gets                                                    |
    | ---------------- | ---------------------------------------------------------- |
    | no test, no val  | train, val, test by ``fractions``                          |
    | test, no val     | val, cut from train by ``val_fraction`` (0: none)          |
    | val              | nothing                                                    |

    Raises:
        InputError: the fractions are not fractions, a split would have no pictures, or there are splits and
            none to train on.
    """
    if not {"train", POOL} & dataset.splits.keys():
        raise InputError(
            f"the data have no train split, only {' and '.join(dataset.splits)}",
            dataset.source,
            "add pictures to train on",
        )
    if "val" in dataset.splits:
        return dataset
    if "test" in dataset.splits:
        whole, kept = dataset.splits["train"], {"test": dataset.splits["test"]}
        parts = {"train": 1 - val_fraction, "val": val_fraction}
    else:
        (whole,), kept = dataset.splits.values(), {}
        parts = dict(zip(("train", "val", "test"), fractions, strict=True))
    if not parts["train"] > 0:
        raise InputError(
            "no pictures are left to train on", "data.fractions", "give train a fraction above 0"
        )
    splits: dict[str, Split] = {}
    for name, chosen in zip(parts, stratified_split(whole.targets, tuple(parts.values()), seed), strict=True):
        if parts[name] > 0 and len(chosen) == 0:
            raise InputError(
                f"{counted(len(whole), 'picture')}: too few for a {name} split of {parts[name]:.0%}",
                dataset.source,
                "add pictures, or set its fraction to 0",
            )
        if parts[name] > 0:
            splits[name] = whole.select(chosen)
    return replace(dataset, splits={**splits, **kept}, whole=dataset)


def choose_classes(dataset: Dataset, names: Sequence[str]) -> Dataset:
    """The pictures of some classes only, whose ids are their places in ``names``.

    Raises:
        InputError: a class is unknown or named twice, or fewer than two are left.
    """
    if unknown := [name for name in names if name not in dataset.classes]:
        raise InputError(
            f"the data have no class {unknown[0]!r}",
            "data.classes",
            f"they have {', '.join(dataset.classes)}",
        )
    if len(set(names)) != len(names) or len(names) < 2:
        raise InputError("classes are named twice, or fewer than two", "data.classes", "name each class once")
    own = torch.full((len(dataset.classes),), -1)
    own[[dataset.classes.index(name) for name in names]] = torch.arange(len(names))
    splits = {}
    for split_name, split in dataset.splits.items():
        kept = (own[split.targets] >= 0).nonzero()[:, 0]
        if len(kept) == 0:
            raise InputError(
                f"the {split_name} split has no pictures of these classes", dataset.source, "name others"
            )
        chosen = split.select(kept)
        splits[split_name] = Split(chosen.images, own[chosen.targets])
    return replace(dataset, classes=tuple(names), splits=splits, whole=dataset)


def rename_classes(dataset: Dataset, names: Sequence[str]) -> Dataset:
    """The same pictures with the classes ``names``, among which are all of their own."""
    splits = {name: relabel(split, dataset.classes, names) for name, split in dataset.splits.items()}
    return replace(dataset, classes=tuple(names), splits=splits, whole=dataset)


def relabel(split: Split, classes: Sequence[str], names: Sequence[str]) -> Split:
    """The same pictures with labels that are places in ``names`` instead of ``classes``."""
    ids = {name: label for label, name in enumerate(names)}
    labels = torch.tensor([*(ids[name] for name in classes), len(names)])  # the last one is "none"
    objects = split.objects and replace(split.objects, labels=labels[split.objects.labels])
    return Split(split.images, labels[split.targets], objects)


def choose_per_class(split: Split, most: int, seed: int = 0) -> Split:
    """At most ``most`` pictures of each class, in their own order; another seed chooses others."""
    labels = split.targets.numpy()
    shuffled = np.lexsort((np.random.PCG64(seed).random_raw(len(labels)), labels))  # by class, then by chance
    _, starts, counts = np.unique(labels[shuffled], return_index=True, return_counts=True)
    places = np.arange(len(labels)) - np.repeat(starts, counts)  # within the class
    return split.select(torch.from_numpy(np.sort(shuffled[places < most])))


def _counts(class_sizes: NDArray[np.int64], fractions: NDArray[np.float64]) -> NDArray[np.int64]:
    """How many samples of each class go to each split, (K, number of splits)."""
    quotas = np.outer(class_sizes, fractions).round(9)  # so that 0.1 * 30 is 3 on any machine
    counts: NDArray[np.int64] = np.floor(quotas).astype(np.int64)
    used = fractions > 0
    least = np.outer(class_sizes >= used.sum(), used).astype(np.int64)
    counts = np.maximum(counts, least)
    for size, row in zip(class_sizes, counts, strict=True):
        while row.sum() > size:
            row[row.argmax()] -= 1
    wanted = _largest_remainder(int(class_sizes.sum()), fractions) - counts.sum(axis=0)  # per split
    left = class_sizes - counts.sum(axis=1)  # per class
    # What is left of each class goes where most was rounded off, as long as that split wants more ...
    for cell in np.argsort(counts - quotas, axis=None, kind="stable"):
        k, split = np.unravel_index(cell, counts.shape)
        if left[k] > 0 and wanted[split] > 0 and used[split]:
            counts[k, split] += 1
            left[k] -= 1
            wanted[split] -= 1
    # ... and else to the split that wants most.
    for k in np.repeat(np.arange(len(left)), left):
        split = np.where(used, wanted, wanted.min() - 1).argmax()
        counts[k, split] += 1
        wanted[split] -= 1
    _balance(counts, quotas, least, wanted)
    return counts


def _balance(
    counts: NDArray[np.int64],
    quotas: NDArray[np.float64],
    least: NDArray[np.int64],
    wanted: NDArray[np.int64],
) -> None:
    """Move samples from splits that have too many to those that want more, where it distorts least."""
    while wanted.min() < 0:
        over, under = wanted.argmin(), wanted.argmax()
        excess = counts - quotas
        gain = np.where(counts[:, over] > least[:, over], excess[:, over] - excess[:, under], -np.inf)
        k = gain.argmax()
        if gain[k] == -np.inf:
            return  # every class has but its one place there
        counts[k, over] -= 1
        counts[k, under] += 1
        wanted[over] += 1
        wanted[under] -= 1


def _largest_remainder(total: int, fractions: NDArray[np.float64]) -> NDArray[np.int64]:
    """``total`` in whole parts that are proportional to the fractions (Hamilton's method)."""
    quotas = (total * fractions).round(9)
    parts: NDArray[np.int64] = np.floor(quotas).astype(np.int64)
    parts[np.argsort(parts - quotas, kind="stable")[: total - parts.sum()]] += 1
    return parts
