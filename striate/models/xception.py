"""Xception: Inception taken to its extreme (Chollet 2016, arXiv:1610.02357, figure 5).

An Inception module looks at space and depth apart, in a few branches of channels each. With one branch for
each channel it is a separable convolution. Xception is a stack of those with residual shortcuts, nothing
else: 2 regular convolutions, then 34 separable ones (S: depthwise 3x3, conv 1x1, BN, all SAME).

    x ─┬─ ReLU ─ S ─ ReLU ─ S ─ max pool 3x3 / 2 ─(+)─      entry flow, 3 units; exit flow, 1 unit
       └─ conv 1x1 / 2 ─ BN ──────────────────────┘
    x ─┬─ ReLU ─ S ─ ReLU ─ S ─ ReLU ─ S ─(+)─              middle flow, 8 units
       └─ identity ───────────────────────┘

| map    | layers                                | channels | size @299 |
| stem   | conv 3x3 / 2, 32; conv 3x3, 64; VALID |       64 | 147       |
| entry1 | unit of S 128, S 128                  |      128 | 74        |
| entry2 | unit of S 256, S 256                  |      256 | 37        |
| entry3 | unit of S 728, S 728                  |      728 | 19        |
| middle | 8 units of S 728, S 728, S 728        |      728 | 19        |
| exit   | unit of S 728, S 1024; then S 1536,   |     2048 | 10        |
|        | ReLU, S 2048, ReLU                    |          |           |

| variant  |     params | GMAC @299 |
| xception | 22,855,952 |     8.357 |

Shapes: N batch, C channels, H and W height and width of the input, K classes.
"""

from itertools import pairwise
from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn

from striate.layers import ConvNormAct, MaxPool2d, SeparableConv2d, global_average_pool, set_batch_norm_eps
from striate.models.backbone import Backbone, FeatureInfo, scaled


class SeparableConvNormAct(nn.Module):
    """Separable 3x3 convolution, batch normalization, ReLU or none: (N, C_in, H, W) -> (N, C_out, H, W).

    Between its two convolutions there is no activation; the paper found that one harms (section 4.7).
    """

    def __init__(self, in_channels: int, out_channels: int, activation: bool = True) -> None:
        super().__init__()
        self.conv = SeparableConv2d(in_channels, out_channels, 3, padding="same", bias=False)
        self.norm = nn.BatchNorm2d(out_channels)
        self.activation = nn.ReLU(inplace=True) if activation else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        activated: Tensor = self.activation(self.norm(self.conv(x)))
        return activated


class XceptionUnit(nn.Module):
    """Separable convolutions beside a shortcut: (N, C_in, H, W) -> (N, C_out, ceil(H / stride), ...).

    Args:
        in_channels: C_in.
        widths: output channels of each separable convolution; the last is C_out.
        stride: 2 for a max pooling at the end, and a 1x1 convolution as shortcut; else 1.
        rectified: whether x has been through a ReLU already, as the stem's map has.
    """

    def __init__(
        self, in_channels: int, widths: tuple[int, ...], stride: int = 1, rectified: bool = False
    ) -> None:
        super().__init__()
        self.rectified = rectified
        self.residual = nn.Sequential()
        for index, (before, after) in enumerate(pairwise((in_channels, *widths)), start=1):
            self.residual.append(SeparableConvNormAct(before, after, activation=index < len(widths)))
        self.shortcut: nn.Module = nn.Identity()
        if stride == 2:
            self.residual.append(MaxPool2d(3, stride=2, padding="same"))
            self.shortcut = ConvNormAct(in_channels, widths[-1], 1, stride=2, activation=None)

    def forward(self, x: Tensor) -> Tensor:
        positive = x if self.rectified else F.relu(x)  # not in place: the shortcut takes x as it is
        summed: Tensor = self.residual(positive) + self.shortcut(x)
        return summed


class Xception(Backbone):
    """Two convolutions, entry flow, middle flow, exit flow, one dense layer.

    Args:
        num_classes: K.
        in_channels: channels of the input pictures.
        width: multiplies the channels of every layer.
        dropout: share of the last features dropped in training; the paper's is 0.5 on ImageNet.
    """

    def __init__(
        self, num_classes: int = 1000, in_channels: int = 3, width: float = 1.0, dropout: float = 0.0
    ) -> None:
        super().__init__()
        c32, c64, c128, c256, c728, c1024, c1536, c2048 = (
            scaled(channels, width) for channels in (32, 64, 128, 256, 728, 1024, 1536, 2048)
        )
        self.stem = nn.Sequential(
            ConvNormAct(in_channels, c32, 3, stride=2, padding="valid"),
            ConvNormAct(c32, c64, 3, padding="valid"),
        )
        self.stages = nn.ModuleDict(
            {
                "entry1": XceptionUnit(c64, (c128, c128), stride=2, rectified=True),
                "entry2": XceptionUnit(c128, (c256, c256), stride=2),
                "entry3": XceptionUnit(c256, (c728, c728), stride=2),
                "middle": nn.Sequential(*(XceptionUnit(c728, (c728, c728, c728)) for _ in range(8))),
                "exit": nn.Sequential(
                    XceptionUnit(c728, (c728, c1024), stride=2),
                    SeparableConvNormAct(c1024, c1536),
                    SeparableConvNormAct(c1536, c2048),
                ),
            }
        )
        self.feature_info = [
            FeatureInfo("stem", c64, stride=2),
            FeatureInfo("entry1", c128, stride=4),
            FeatureInfo("entry2", c256, stride=8),
            FeatureInfo("entry3", c728, stride=16),
            FeatureInfo("middle", c728, stride=16),
            FeatureInfo("exit", c2048, stride=32),
        ]
        self.head = nn.Sequential(nn.Dropout(dropout), nn.Linear(c2048, num_classes))
        set_batch_norm_eps(self, 1e-3)

    def features(self, x: Tensor) -> dict[str, Tensor]:
        maps = {"stem": self.stem(x)}  # (N, C, H, W) -> (N, 64, ~H/2, ~W/2)
        x = maps["stem"]
        for name, stage in self.stages.items():
            x = maps[name] = stage(x)  # half the size in each, but for the middle flow
        return maps

    def classify(self, features: dict[str, Tensor]) -> Tensor:
        logits: Tensor = self.head(global_average_pool(features["exit"]))
        return logits  # (N, 2048, ~H/32, ~W/32) -> (N, 2048) -> (N, K)


def xception(**options: Any) -> Xception:
    """The network of figure 5, as Keras has it."""
    return Xception(**options)
