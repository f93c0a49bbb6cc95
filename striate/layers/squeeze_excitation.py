"""Squeeze-and-excitation: recalibrate maps by what the whole picture shows."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from striate.layers.pooling import global_average_pool
from striate.ops.padding import check_counts


class SqueezeExcitation(nn.Module):
    """Scale each map by a number in (0, 1) that all maps together decide: (N, C, H, W) -> (N, C, H, W).

    x ─┬─ global average ─ dense C/r ─ ReLU ─ dense C ─ sigmoid ─(×)─
       └──────────────────────────────────────────────────────────┘

    Maps that usually fire together are learned to be expected together: where a mouth and a nose are
    seen, the eyes' map is raised and others lowered.

    Args:
        channels: C.
        reduction: r, how much the middle layer narrows; it keeps the block small and makes it general.

    Raises:
        ValueError: fewer channels than ``reduction``, or a number below 1; in ``forward``, x of another
            shape.

    Source: Hu et al. 2017, "Squeeze-and-excitation networks", arXiv:1709.01507, section 3.
    """

    def __init__(self, channels: int, reduction: int = 16) -> None:
        super().__init__()
        check_counts(channels=channels, reduction=reduction)
        if channels < reduction:
            raise ValueError(f"{channels} channels cannot be reduced {reduction} times")
        self.reduce = nn.Linear(channels, channels // reduction)
        self.expand = nn.Linear(channels // reduction, channels)

    def forward(self, x: Tensor) -> Tensor:
        if x.ndim != 4:
            raise ValueError(f"x must be (N, C, H, W), not {tuple(x.shape)}")
        hidden = F.relu(self.reduce(global_average_pool(x)))  # (N, C, H, W) -> (N, C) -> (N, C/r)
        scales = torch.sigmoid(self.expand(hidden))  # (N, C/r) -> (N, C)
        return x * scales[:, :, None, None]
