"""Feature pyramid: every map as wise as the coarsest (Lin et al. 2016, "Feature pyramid networks for object
detection", arXiv:1612.03144, figure 3).

    coarse map ─ 1x1 ─┬──────────── 3x3 ─ P5 ─ every second place ─ P6
                      │ twice as large
    finer map ── 1x1 ─(+)─┬──────── 3x3 ─ P4
                          │ twice as large
    ...

Shapes: N pictures, C channels, H and W height and width.
"""

from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor, nn

from striate.layers import initialize, lecun_uniform_


class FeaturePyramid(nn.Module):
    """Maps of a backbone, fine ones first -> as many maps of equal depth, and one more, half as large.

    Args:
        in_channels: of the backbone's maps.
        channels: of every map that comes out.
    """

    def __init__(self, in_channels: Sequence[int], channels: int = 256) -> None:
        super().__init__()
        self.laterals = nn.ModuleList(nn.Conv2d(count, channels, 1) for count in in_channels)
        self.outputs = nn.ModuleList(nn.Conv2d(channels, channels, 3, padding=1) for _ in in_channels)
        initialize(self, lecun_uniform_)

    def forward(self, maps: Sequence[Tensor]) -> list[Tensor]:
        """[(N, C_1, H, W), (N, C_2, H/2, W/2), ...] -> [(N, C, H, W), (N, C, H/2, W/2), ...]."""
        merged = self.laterals[-1](maps[-1])
        pyramid = [self.outputs[-1](merged)]
        for level in reversed(range(len(maps) - 1)):
            lateral = self.laterals[level](maps[level])
            merged = lateral + F.interpolate(merged, size=lateral.shape[-2:], mode="nearest")
            pyramid.insert(0, self.outputs[level](merged))
        return [*pyramid, F.max_pool2d(pyramid[-1], 1, stride=2)]
