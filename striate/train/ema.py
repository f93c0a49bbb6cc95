"""Exponential moving average of the weights (Polyak and Juditsky 1992; decay as in Tarvainen 2017)."""

import copy

import torch
from torch import nn


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
        torch._foreach_lerp_(list(self.model.parameters()), list(model.parameters()), weight)
        pairs = list(zip(self.model.buffers(), model.buffers(), strict=True))
        floats = [(average, value) for average, value in pairs if average.is_floating_point()]
        if floats:
            averages, values = zip(*floats, strict=True)
            torch._foreach_lerp_(averages, values, weight)
        for count, value in ((a, v) for a, v in pairs if not a.is_floating_point()):
            count.copy_(value)  # not an average
