"""Random numbers without state: a pure function of seed, epoch, sample index, stream and slot.

A generator that carries state gives a picture other numbers when the batch, the order, the number of
workers or the point of resumption changes. Here each number is a hash of its key: the words of the key
go one after the other through the finalizer of SplitMix64 (Steele, Lea, Flood 2014, "Fast splittable
pseudorandom number generators", fig. 14), whose 64 output bits each depend on all 64 input bits; the
slots of one sample are then the successive outputs of SplitMix64 started at the sample's hash.

Shapes: N samples, S slots.
"""

import math
from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

_Words = NDArray[np.uint64]

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)  # 2^64 / golden ratio, the increment of SplitMix64
_FIRST = np.uint64(0xBF58476D1CE4E5B9)
_SECOND = np.uint64(0x94D049BB133111EB)


def keyed_uniform(seed: int, epoch: int, indices: Tensor, count: int, stream: int = 0) -> Tensor:
    """Uniform numbers that depend on the key alone, to the last bit, on every platform.

    Args:
        seed: of the run; its lowest 64 bits count.
        epoch: the pass over the data.
        indices: int64 (N,) positions of the samples in their split.
        count: S, the numbers for each sample; a larger count does not change the first ones.
        stream: separates uses that must not share numbers.

    Returns:
        float64 (N, S) in [0, 1), multiples of 2^-53, on the CPU.
    """
    state = _absorb(_key(seed, epoch, stream), indices.cpu().numpy().astype(np.uint64))  # (N,)
    slots = np.arange(1, count + 1, dtype=np.uint64) * _GOLDEN
    bits = _mix(state[:, None] + slots)  # (N, S)
    return torch.from_numpy((bits >> np.uint64(11)) * 2.0**-53)


def keyed_normal(seed: int, epoch: int, indices: Tensor, count: int, stream: int = 0) -> Tensor:
    """Standard normal numbers that depend on the key alone (Box and Muller 1958).

    They are made of the uniform numbers of the same stream, so each stream serves one of the two
    functions. The logarithm and cosine of another platform may differ in the last bit.

    Args:
        seed, epoch, indices, count, stream: as in ``keyed_uniform``.

    Returns:
        float64 (N, S), on the CPU.
    """
    pairs = keyed_uniform(seed, epoch, indices, 2 * count, stream).view(len(indices), count, 2)
    radius = torch.sqrt(-2 * torch.log1p(-pairs[..., 0]))  # 1 - u lies in (0, 1]: the logarithm is finite
    return radius * torch.cos(2 * math.pi * pairs[..., 1])


@lru_cache(maxsize=64)
def _key(seed: int, epoch: int, stream: int) -> _Words:
    """What all samples of an epoch have in common, (1,)."""
    state = np.zeros(1, dtype=np.uint64)
    for word in (seed, epoch, stream):
        state = _absorb(state, np.array([word % 2**64], dtype=np.uint64))
    return state


def _absorb(state: _Words, word: _Words) -> _Words:
    return _mix((state ^ word) + _GOLDEN)  # the sum keeps zero, a fixed point of the finalizer, out of it


def _mix(words: _Words) -> _Words:
    words = (words ^ (words >> np.uint64(30))) * _FIRST
    words = (words ^ (words >> np.uint64(27))) * _SECOND
    return words ^ (words >> np.uint64(31))
