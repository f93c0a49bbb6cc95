"""Keyed random numbers: the same for the same key, and random over every part of the key."""

import numpy as np
import pytest
import torch
from scipy import stats
from torch import Tensor

from striate.data.keyed_random import keyed_normal, keyed_uniform

MASK = 2**64 - 1
GOLDEN = 0x9E3779B97F4A7C15

FROZEN_UNIFORM = [  # seed 42, epoch 3, stream 1; samples 0, 1, 1000; slots 0, 1
    [0.06993293498814668, 0.5679473497222881],
    [0.7551154431702414, 0.8399992327321353],
    [0.2195816131849171, 0.48723683704630205],
]
FROZEN_NORMAL = [
    [-0.34660681998267306, 1.6697813026758237],
    [0.8988315209830204, -0.994382723978036],
]


def finalized(word: int) -> int:
    """The finalizer of SplitMix64 on a Python integer."""
    word = (word ^ (word >> 30)) * 0xBF58476D1CE4E5B9 & MASK
    word = (word ^ (word >> 27)) * 0x94D049BB133111EB & MASK
    return word ^ (word >> 31)


def literal_uniform(seed: int, epoch: int, index: int, slot: int, stream: int) -> float:
    state = 0
    for word in (seed, epoch, stream, index):
        state = finalized(((state ^ (word & MASK)) + GOLDEN) & MASK)
    return (finalized((state + (slot + 1) * GOLDEN) & MASK) >> 11) / 2**53


def test_the_finalizer_is_that_of_splitmix64() -> None:
    # The published first outputs of SplitMix64 from the state 1234567.
    outputs = [finalized((1234567 + step * GOLDEN) & MASK) for step in (1, 2, 3)]
    assert outputs == [6457827717110365317, 3203168211198807973, 9817491932198370423]


def test_numbers_equal_the_definition_in_python_integers() -> None:
    for seed, epoch, stream in [(0, 0, 0), (1, 2, 3), (2**63, 10**6, 9), (-5, 0, 1)]:
        indices = torch.tensor([0, 1, 77, 2**40])
        numbers = keyed_uniform(seed, epoch, indices, 3, stream)
        for row, index in zip(numbers.tolist(), indices.tolist(), strict=True):
            assert row == [literal_uniform(seed, epoch, index, slot, stream) for slot in range(3)]


def test_numbers_never_change() -> None:
    # A resumed run must see the same pixels, also after an update of Striate: these values stay.
    uniform = keyed_uniform(42, 3, torch.tensor([0, 1, 1000]), 2, stream=1)
    assert uniform.tolist() == FROZEN_UNIFORM
    normal = keyed_normal(42, 3, torch.tensor([0, 1]), 2, stream=1)
    assert torch.allclose(normal, torch.tensor(FROZEN_NORMAL, dtype=torch.float64), rtol=0, atol=1e-14)


@pytest.mark.parametrize("draw", [keyed_uniform, keyed_normal])
def test_batch_order_and_count_do_not_matter(draw) -> None:
    indices = torch.arange(1000)
    whole = draw(7, 2, indices, 4, 5)
    order = torch.randperm(1000, generator=torch.Generator().manual_seed(0))
    assert torch.equal(draw(7, 2, order, 4, 5), whole[order])
    assert torch.equal(draw(7, 2, indices, 2, 5), whole[:, :2])
    assert all(torch.equal(draw(7, 2, indices[n : n + 1], 4, 5)[0], whole[n]) for n in (0, 1, 17, 999))


def test_drawing_touches_no_global_random_state() -> None:
    before, numpy_before = torch.get_rng_state(), np.random.get_state()[1].copy()
    keyed_normal(1, 2, torch.arange(10), 2)
    assert torch.equal(torch.get_rng_state(), before)
    assert np.array_equal(np.random.get_state()[1], numpy_before)


def along(part: str) -> Tensor:
    """20,000 numbers of keys that differ in one part alone, which counts up from zero."""
    zero, count = torch.zeros(1, dtype=torch.int64), 20_000
    if part == "index":
        return keyed_uniform(3, 1, torch.arange(count), 1).flatten()
    if part == "slot":
        return keyed_uniform(3, 1, zero, count).flatten()
    keys = {
        "seed": lambda n: keyed_uniform(n, 1, zero, 1),
        "epoch": lambda n: keyed_uniform(3, n, zero, 1),
        "stream": lambda n: keyed_uniform(3, 1, zero, 1, stream=n),
    }
    return torch.cat([keys[part](n) for n in range(count // 10)]).flatten()


@pytest.mark.parametrize("part", ["index", "slot", "seed", "epoch", "stream"])
def test_numbers_are_uniform_and_uncorrelated_along_every_part_of_the_key(part: str) -> None:
    numbers = along(part).numpy()
    count = len(numbers)
    assert numbers.min() >= 0
    assert numbers.max() < 1
    assert stats.kstest(numbers, "uniform").pvalue > 0.001
    assert stats.chisquare(np.bincount((numbers * 100).astype(int), minlength=100)).pvalue > 0.001
    low_bits = (numbers * 2**53).astype(np.int64) % 64
    assert stats.chisquare(np.bincount(low_bits, minlength=64)).pvalue > 0.001
    for lag in (1, 2, 3, 8, 64):  # a correlation of independent numbers has a deviation of 1 / sqrt(count)
        correlation = np.corrcoef(numbers[:-lag], numbers[lag:])[0, 1]
        assert abs(correlation) < 4 / np.sqrt(count)
    cells = (numbers[:-1] * 10).astype(int) * 10 + (numbers[1:] * 10).astype(int)
    assert stats.chisquare(np.bincount(cells[::2], minlength=100)).pvalue > 0.001  # neighbours as pairs


@pytest.mark.parametrize(
    "other", [(4, 1, 0), (3, 2, 0), (1, 3, 0), (3, 1, 1), (3, 0, 1)], ids=lambda key: str(key)
)
def test_neighbouring_keys_give_unrelated_sequences(other: tuple[int, int, int]) -> None:
    indices = torch.arange(20_000)
    first = keyed_uniform(3, 1, indices, 1, stream=0).flatten().numpy()
    second = keyed_uniform(other[0], other[1], indices, 1, stream=other[2]).flatten().numpy()
    for lag in (0, 1, 2):
        assert abs(np.corrcoef(first[lag:], second[: 20_000 - lag])[0, 1]) < 4 / np.sqrt(20_000)
    assert not np.isin(first, second).any()


def test_numbers_do_not_repeat_over_a_grid_of_keys() -> None:
    numbers = [
        keyed_uniform(seed, epoch, torch.arange(100), 3, stream)
        for seed in range(5)
        for epoch in range(10)
        for stream in range(10)
    ]
    assert torch.cat(numbers).unique().numel() == 5 * 10 * 10 * 100 * 3


def test_normal_numbers_are_normal_and_independent() -> None:
    numbers = keyed_normal(0, 0, torch.arange(20_000), 3, stream=2).numpy()
    assert np.isfinite(numbers).all()
    for column in numbers.T:
        assert stats.kstest(column, "norm").pvalue > 0.001
    assert abs(np.corrcoef(numbers.T) - np.eye(3)).max() < 4 / np.sqrt(20_000)
    assert abs(np.corrcoef(numbers.T**2) - np.eye(3)).max() < 4 / np.sqrt(20_000)
