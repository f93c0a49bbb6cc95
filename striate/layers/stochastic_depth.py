"""Stochastic depth: residual branches that are left out at random in training."""

from typing import Literal

import torch
from torch import Tensor, nn


class StochasticDepth(nn.Module):
    """Drop a residual branch in training: (N, ...) -> (N, ...), to stand at its end, before the sum.

    In training it is zero with probability ``p``, and otherwise divided by ``1 - p``, so that its mean is the
    same; in evaluation it is left as it is.

    Args:
        p: probability, in 0..1.
        mode: "row": each sample of a batch is decided by itself; "batch": all are at once.

    Raises:
        ValueError: ``p`` is no probability, or ``mode`` an unknown word.

    Source: Huang et al. 2016, "Deep networks with stochastic depth", arXiv:1603.09382, section 3.
    """

    def __init__(self, p: float, mode: Literal["row", "batch"] = "row") -> None:
        super().__init__()
        if not 0 <= p <= 1:
            raise ValueError(f"p must be a probability, in 0..1, not {p!r}")
        if mode not in ("row", "batch"):
            raise ValueError(f'mode is "row" or "batch", not {mode!r}')
        self.p = p
        self.mode = mode

    def forward(self, x: Tensor) -> Tensor:
        if not self.training or self.p == 0:
            return x
        count = x.shape[0] if self.mode == "row" else 1
        kept = torch.empty(count, *[1] * (x.ndim - 1), dtype=x.dtype, device=x.device).bernoulli_(1 - self.p)
        return x * (kept / (1 - self.p) if self.p < 1 else kept)

    def extra_repr(self) -> str:
        return f"p={self.p}, mode={self.mode!r}"
