"""Balanced sampling: an epoch in which every class is shown equally often, however many pictures it has.

Shapes: n pictures, K classes that have some.
"""

import torch
from torch import Tensor

from striate.data.keyed_random import keyed_uniform
from striate.data.loader import epoch_order
from striate.data.streams import Stream


class BalancedOrder:
    """Which pictures an epoch shows, and in which order; like the plain order it shows n.

    The classes take turns, and within a class its pictures do, in a fixed order, which goes on from epoch to
    epoch: a class with many pictures shows others in each epoch until all were seen, one with few repeats
    them. Counts of classes, and of the pictures of a class, so differ by one at most, within an epoch and
    over all epochs so far.

    Args:
        targets: int64 (n,) class ids.
        seed: of the run.
    """

    def __init__(self, targets: Tensor, seed: int) -> None:
        self.seed = seed
        _, classes, self.counts = targets.unique(return_inverse=True, return_counts=True)
        self.starts = self.counts.cumsum(0) - self.counts
        shuffled = keyed_uniform(seed, 0, torch.arange(len(targets)), 1, Stream.TURN)[:, 0].argsort(
            stable=True
        )
        self.by_class = shuffled[classes[shuffled].argsort(stable=True)]  # class after class

    def __call__(self, epoch: int) -> Tensor:
        """The keys of the epoch, int64 (n,): a picture's index, and n more for each time it was shown before
        in this epoch, so that each time it is augmented otherwise."""
        size, num_classes = len(self.by_class), len(self.counts)
        turns = epoch * size + torch.arange(size)  # of all classes, since the first epoch
        classes, turns = turns % num_classes, turns // num_classes  # of this class
        counts = self.counts[classes]
        indices = self.by_class[self.starts[classes] + turns % counts]
        first = torch.empty_like(turns[:num_classes])
        first[classes[:num_classes]] = turns[:num_classes]
        repeats = (turns - first[classes]) // counts
        keys: Tensor = indices + size * repeats
        return keys[epoch_order(size, self.seed, epoch)]
