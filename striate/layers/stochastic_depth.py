"""Stochastic depth: residual branches that are left out at random in training."""

from typing import Literal

import torch
from torch import Tensor, nn

from striate.ops.arguments import check_number, check_word


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
        check_number("p", p, 0, 1)
        check_word("mode", mode, ("row", "batch"))
        self.p = p
        self.mode = mode

    def forward(self, x: Tensor) -> Tensor:
        if not self.training or self.p == 0:
            return x
        if not x.ndim:
            raise ValueError("x must be (N, ...), not a single number")
        count = x.shape[0] if self.mode == "row" else 1
        kept = torch.empty(count, *[1] * (x.ndim - 1), dtype=x.dtype, device=x.device).bernoulli_(1 - self.p)
        return x * (kept / (1 - self.p) if self.p < 1 else kept)

    def extra_repr(self) -> str:
        return f"p={self.p}, mode={self.mode!r}"
