import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from striate.data.dataset import POOL, ArrayImages, Dataset, Split
from striate.data.split import split_dataset, stratified_split
from striate.errors import InputError

fractions_of = st.sampled_from(
    [
        (0.75, 0.15, 0.10),
        (0.9, 0.1),
        (0.5, 0.5),
        (0.6, 0.2, 0.2),
        (1.0, 0.0),
        (0.8, 0.0, 0.2),
        (1 / 3, 1 / 3, 1 / 3),
    ]
)


@settings(deadline=None)
@given(
    class_sizes=st.lists(st.integers(1, 60), min_size=1, max_size=12),
    fractions=fractions_of,
    seed=st.integers(0, 2**32 - 1),
)
def test_splits_are_disjoint_complete_and_in_proportion(class_sizes, fractions, seed):
    targets = torch.repeat_interleave(torch.arange(len(class_sizes)), torch.tensor(class_sizes))
    targets = targets[torch.randperm(len(targets), generator=torch.Generator().manual_seed(seed))]
    splits = stratified_split(targets, fractions, seed)
    assert sorted(torch.cat(splits).tolist()) == list(range(len(targets)))
    assert all(split.dtype == torch.int64 and (split.diff() > 0).all() for split in splits)
    counts = np.array(
        [torch.bincount(targets[split], minlength=len(class_sizes)).tolist() for split in splits]
    ).T
    used = np.array(fractions) > 0
    assert (counts[:, ~used] == 0).all()
    for size, row in zip(class_sizes, counts, strict=True):
        if size >= used.sum():
            assert (row[used] > 0).all()
    if min(class_sizes) * min(f for f in fractions if f > 0) >= 1:  # nobody needs a place out of proportion
        quotas = len(targets) * np.array(fractions)
        assert (np.abs(counts.sum(axis=0) - quotas) < 1).all()
        assert (np.abs(counts - np.outer(class_sizes, fractions)) < 2).all()


def test_the_digits_divide_into_1348_269_and_180():
    class_sizes = torch.tensor([178, 182, 177, 183, 181, 182, 181, 179, 174, 180])
    targets = torch.repeat_interleave(torch.arange(10), class_sizes)
    splits = stratified_split(targets)
    assert [len(split) for split in splits] == [1348, 269, 180]  # 1347.75, 269.55, 179.7
    for split, fraction in zip(splits, (0.75, 0.15, 0.10), strict=True):
        assert ((torch.bincount(targets[split]) - class_sizes * fraction).abs() < 1).all()


def test_three_samples_of_a_class_reach_three_splits():
    targets = torch.tensor([0] * 100 + [1] * 3 + [2] * 2)
    train, val, test = (targets[split].bincount(minlength=3).tolist() for split in stratified_split(targets))
    assert (train[1], val[1], test[1]) == (1, 1, 1)
    assert [sum(counts) for counts in (train, val, test)] == [79, 16, 10]  # 78.75, 15.75, 10.5


def test_the_choice_is_the_same_for_ever():
    """Worked from PCG64's published stream: seed 0 gives 64-bit numbers whose order is fixed."""
    numbers = np.random.PCG64(0).random_raw(8)
    assert [int(number) for number in numbers[:2]] == [11749869230777074271, 4976686463289251617]
    train, test = stratified_split(torch.zeros(8, dtype=torch.int64), (0.5, 0.5), seed=0)
    order = sorted(range(8), key=lambda i: int(numbers[i]))
    assert train.tolist() == sorted(order[:4])
    assert test.tolist() == sorted(order[4:])


def test_another_seed_chooses_others_in_the_same_numbers():
    targets = torch.arange(300) % 7
    first, again, other = (stratified_split(targets, seed=seed) for seed in (5, 5, 6))
    assert all(map(torch.equal, first, again))
    assert [len(split) for split in first] == [len(split) for split in other]
    assert not torch.equal(first[0], other[0])


@pytest.mark.parametrize("fractions", [(0.5, 0.4), (1.2, -0.2), (0.75, 0.15, 0.2)])
def test_fractions_that_are_none_are_refused(fractions):
    with pytest.raises(InputError, match="negative or do not sum to 1"):
        stratified_split(torch.zeros(10, dtype=torch.int64), fractions)


def dataset_with(**sizes):
    splits = {
        name: Split(ArrayImages(torch.zeros(size, 1, 2, 2).byte(), name), torch.arange(size) % 2)
        for name, size in sizes.items()
    }
    return Dataset("d", "d", "built-in", "", "classification", ("a", "b"), 1, splits)


def sizes_of(dataset):
    return {name: len(split) for name, split in dataset.splits.items()}


@pytest.mark.parametrize("pool", [POOL, "train"])
def test_a_pool_is_divided_in_three(pool):
    divided = split_dataset(dataset_with(**{pool: 200}))
    assert sizes_of(divided) == {"train": 150, "val": 30, "test": 20}
    names = [name for split in divided.splits.values() for name in split.names]
    assert sorted(names) == [f"{pool}/{i:05d}" for i in range(200)]


def test_targets_stay_with_their_pictures():
    for split in split_dataset(dataset_with(all=60)).splits.values():
        assert split.targets.tolist() == [int(name[-5:]) % 2 for name in split.names]


def test_val_is_cut_from_train_where_there_is_only_test():
    dataset = dataset_with(train=100, test=10)
    assert sizes_of(split_dataset(dataset)) == {"train": 90, "val": 10, "test": 10}
    assert sizes_of(split_dataset(dataset, val_fraction=0)) == {"train": 100, "test": 10}
    assert split_dataset(dataset).splits["test"] is dataset.splits["test"]


def test_given_splits_stay():
    for sizes in ({"train": 8, "val": 4}, {"train": 8, "val": 4, "test": 4}):
        dataset = dataset_with(**sizes)
        assert split_dataset(dataset) is dataset


def test_a_fraction_of_zero_makes_no_split():
    assert sizes_of(split_dataset(dataset_with(all=100), (0.8, 0.2, 0))) == {"train": 80, "val": 20}


def test_splitting_keeps_the_fingerprint():
    dataset = dataset_with(all=40)
    assert split_dataset(dataset, seed=3).fingerprint() == dataset.fingerprint()


@pytest.mark.parametrize(
    ("sizes", "options", "fault"),
    [
        ({"all": 2}, {}, "too few for a val split"),
        ({"train": 100, "test": 10}, {"val_fraction": 1}, "no pictures are left to train on"),
        ({"all": 100}, {"fractions": (0, 0.5, 0.5)}, "no pictures are left to train on"),
    ],
)
def test_splits_without_pictures_are_refused(sizes, options, fault):
    with pytest.raises(InputError, match=fault):
        split_dataset(dataset_with(**sizes), **options)
