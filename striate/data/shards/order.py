"""The order of an epoch over shards: mostly one shard after the other, and yet mixed.

A plain random order would jump between all shards of a set, which is slow where each must be fetched
first. Here the shards come in a random order, a window of them at a time, and the samples of a window are
shuffled together:

    shards 0 1 2 3 4 5 ─► 4 1 0 │ 5 3 2 ─► all samples of 4, 1 and 0, shuffled │ all of 5, 3 and 2, shuffled

Both draws are functions of (seed, epoch, index), so the order is the same for any number of workers and
processes, and needs no state to be resumed.
"""

import torch
from torch import Tensor

from striate.data.keyed_random import keyed_uniform
from striate.data.loader import ORDER

WINDOW = 8  # shards whose samples are shuffled together

_SHARD_ORDER = 101  # the stream of random numbers of the order of shards


def shard_order(shard_ids: Tensor, seed: int, epoch: int, window: int = WINDOW) -> Tensor:
    """The order of an epoch: shards in a random order, samples shuffled among ``window`` shards at a time.

    With no more shards than ``window`` it is ``epoch_order``, that of any other data set.

    Args:
        shard_ids: int64 (n,), in which shard each sample lies.
        seed: of the run.
        epoch: the pass over the data.
        window: shards that are read at the same time.

    Returns:
        A permutation of 0..n-1, int64 (n,).
    """
    shards, own_shard = shard_ids.unique(return_inverse=True)
    draws = keyed_uniform(seed, epoch, shards, 1, _SHARD_ORDER)[:, 0]
    turns = torch.empty_like(shards)
    turns[draws.argsort(stable=True)] = torch.arange(len(shards))
    shuffled = keyed_uniform(seed, epoch, torch.arange(len(shard_ids)), 1, ORDER)[:, 0].argsort(stable=True)
    return shuffled[(turns // window)[own_shard[shuffled]].argsort(stable=True)]
