"""What inception modules are made of (Szegedy et al. 2015, arXiv:1512.00567): branches side by side.

Shapes: N batch, C channels, H height, W width.
"""

import torch
from torch import Tensor, nn

from striate.layers.convolution import ConvNormAct


class Branches(nn.ModuleDict):
    """Modules side by side, their maps concatenated: (N, C_in, H, W) -> (N, sum of theirs, H', W').

    Raises:
        ValueError: in ``forward``, when there are no modules.
    """

    def forward(self, x: Tensor) -> Tensor:
        if not len(self):
            raise ValueError("branches are needed, none are there")
        return torch.cat([branch(x) for branch in self.values()], dim=1)


def convolutions(in_channels: int, *layers: tuple[int, int | tuple[int, int]]) -> nn.Sequential:
    """One after the other, each (channels, kernel size) and of its input's height and width."""
    row = []
    for channels, kernel_size in layers:
        row.append(ConvNormAct(in_channels, channels, kernel_size))
        in_channels = channels
    return nn.Sequential(*row)


def halving(in_channels: int, out_channels: int) -> ConvNormAct:
    """A 3x3 convolution that halves height and width: (N, C_in, H, W) -> (N, C_out, (H-1)/2, (W-1)/2)."""
    return ConvNormAct(in_channels, out_channels, 3, stride=2, padding="valid")


def fork(in_channels: int, out_channels: int) -> Branches:
    """1x3 and 3x1 beside each other, not in a row: (N, C_in, H, W) -> (N, 2 * C_out, H, W)."""
    flat = ConvNormAct(in_channels, out_channels, (1, 3))
    tall = ConvNormAct(in_channels, out_channels, (3, 1))
    return Branches({"1x3": flat, "3x1": tall})
