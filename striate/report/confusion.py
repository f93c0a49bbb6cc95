"""What a confusion matrix tells: int64 (K, K), rows truth, columns prediction."""

import math
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor


class ConfusedPair(NamedTuple):
    """So many pictures of class ``truth`` were taken for ``guess``: ``share`` of those of ``truth``."""

    truth: int
    guess: int
    pictures: int
    share: float


def row_shares(confusion: Tensor) -> Tensor:
    """Each count as the share of its true class: float64 (K, K); an empty class has zeros."""
    return confusion.double() / confusion.sum(1, keepdim=True).clamp(min=1)


def most_confused(confusion: Tensor, limit: int) -> list[ConfusedPair]:
    """The ``limit`` most frequent (truth, guess) mistakes, most frequent first, none that never happened."""
    num_classes = confusion.shape[0]
    shares = row_shares(confusion).flatten()
    mistakes = confusion.clone().fill_diagonal_(0).flatten()
    order = mistakes.argsort(descending=True, stable=True)[:limit]
    return [
        ConfusedPair(cell // num_classes, cell % num_classes, int(mistakes[cell]), float(shares[cell]))
        for cell in order.tolist()
        if mistakes[cell] > 0
    ]


def accuracy_interval(correct: int, total: int) -> tuple[float, float]:
    """The 95 % interval of an accuracy measured on ``total`` >= 1 pictures, as fractions.

    Source: the score interval of Wilson 1927, "Probable inference, the law of succession, and statistical
    inference", JASA 22.
    """
    z = 1.959963984540054  # the normal distribution holds 95 % within z standard deviations
    rate, spread = correct / total, z * z / total
    centre = (rate + spread / 2) / (1 + spread)
    half = z * math.sqrt(rate * (1 - rate) / total + spread / (4 * total)) / (1 + spread)
    return max(0.0, centre - half), min(1.0, centre + half)


def block_side(num_classes: int, limit: int) -> int:
    """The side of the square blocks of classes that leave at most ``limit`` cells along a matrix."""
    return math.ceil(num_classes / limit)


def largest_of_blocks(shares: Tensor, limit: int) -> Tensor:
    """A matrix of at most ``limit`` x ``limit`` cells, each the largest of its block of (K, K)."""
    return F.max_pool2d(shares[None, None], block_side(len(shares), limit), ceil_mode=True)[0, 0]


def split_diagonal(shares: Tensor) -> tuple[Tensor, Tensor]:
    """What was right (the diagonal) and what was wrong (the rest), each (K, K) with zeros elsewhere."""
    right = torch.diag(torch.diag(shares))
    return right, shares - right
