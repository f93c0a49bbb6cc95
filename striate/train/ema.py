"""Exponential moving average of the weights (Polyak and Juditsky 1992; decay as in Tarvainen 2017)."""

import copy

import torch
from torch import Tensor, nn


class ExponentialMovingAverage:
    """A second set of weights that follows the trained ones slowly, and generalizes a little better.

    Args:
        model: the network being trained.
        decay: the share kept at each step. The first steps keep less, min(decay, (1 + step) / (10 + step)),
            so that the random start is forgotten.
    """

    def __init__(self, model: nn.Module, decay: float) -> None:
        self.decay = decay
        self.model = copy.deepcopy(model).requires_grad_(False).eval()

    @torch.no_grad()
    def update(self, model: nn.Module, step: int) -> None:
        """Moves the average towards ``model`` after optimizer step number ``step`` (from 1)."""
        weight = 1 - min(self.decay, (1 + step) / (10 + step))
        averages: list[Tensor] = list(self.model.parameters())
        values: list[Tensor] = list(model.parameters())
        for average, value in zip(self.model.buffers(), model.buffers(), strict=True):
            if average.is_floating_point():
                averages.append(average)
                values.append(value)
            else:
                average.copy_(value)  # a count, not an average
        torch._foreach_lerp_(averages, values, weight)
