"""ResNet for CIFAR: residual learning on 32x32 pictures (He et al. 2015, arXiv:1512.03385, section 4.2).

    32x32 ─ conv 3x3 16 ─ n units of 16@32 ─ n units of 32@16 ─ n units of 64@8 ─ global average ─ dense

    x ─┬─ conv 3x3 / stride ─ BN ─ ReLU ─ conv 3x3 ─ BN ─(+)─ ReLU
       └─ identity, or every second pixel and zeros ──────┘

No shortcut has a parameter (the paper's option A): where a unit halves the size and doubles the depth, its
shortcut leaves out every second row and column, and the new maps get nothing but the residual. A network
of n units per stage has 6 n + 2 layers with weights.

| variant  |  n |  params | MMAC @32 | paper  |
| resnet20 |  3 | 269,722 |     40.6 | 0.27 M |
| resnet56 |  9 | 853,018 |    125.5 | 0.85 M |

Shapes: N batch, C channels, H and W height and width of the input, K classes.
"""

from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn

from striate.layers import ConvNormAct, global_average_pool, he_normal_, initialize
from striate.models.backbone import Backbone, FeatureInfo, scaled


class ZeroPaddedShortcut(nn.Module):
    """The identity as far as it fits: (N, C_in, H, W) -> (N, C_in + added, H / stride, W / stride)."""

    def __init__(self, added_channels: int, stride: int) -> None:
        super().__init__()
        self.added_channels = added_channels
        self.stride = stride

    def forward(self, x: Tensor) -> Tensor:
        kept = x[:, :, :: self.stride, :: self.stride]
        return F.pad(kept, (0, 0, 0, 0, 0, self.added_channels))  # zeros after the last map

    def extra_repr(self) -> str:
        return f"added_channels={self.added_channels}, stride={self.stride}"


class Unit(nn.Module):
    """Two 3x3 convolutions beside a shortcut: (N, C_in, H, W) -> (N, C_out, H / stride, W / stride)."""

    def __init__(self, in_channels: int, out_channels: int, stride: int = 1) -> None:
        super().__init__()
        self.residual = nn.Sequential(
            ConvNormAct(in_channels, out_channels, 3, stride=stride),
            ConvNormAct(out_channels, out_channels, 3, activation=None),
        )
        same = stride == 1 and in_channels == out_channels
        self.shortcut = nn.Identity() if same else ZeroPaddedShortcut(out_channels - in_channels, stride)
        self.activation = nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        summed: Tensor = self.activation(self.residual(x) + self.shortcut(x))
        return summed


class CifarResNet(Backbone):
    """A full-size stem, three stages of residual units, one dense layer.

    Args:
        depth: units in each stage, n.
        num_classes: K.
        in_channels: channels of the input pictures.
        width: multiplies the channels of every layer.
    """

    def __init__(self, depth: int, num_classes: int = 10, in_channels: int = 3, width: float = 1.0) -> None:
        super().__init__()
        channels = scaled(16, width)
        self.stem = ConvNormAct(in_channels, channels, 3)
        self.stages = nn.ModuleDict()
        self.feature_info = [FeatureInfo("stem", channels, stride=1)]
        for index in range(3):
            units: list[nn.Module] = []
            for position in range(depth):
                stride = 2 if index > 0 and position == 0 else 1
                units.append(Unit(channels, scaled(16 * 2**index, width), stride))
                channels = scaled(16 * 2**index, width)
            self.stages[f"stage{index + 1}"] = nn.Sequential(*units)
            self.feature_info.append(FeatureInfo(f"stage{index + 1}", channels, stride=2**index))
        self.head = nn.Linear(channels, num_classes)
        initialize(self, he_normal_)  # section 3.4 of the paper

    def features(self, x: Tensor) -> dict[str, Tensor]:
        maps = {"stem": self.stem(x)}  # (N, C, H, W) -> (N, 16, H, W)
        x = maps["stem"]
        for name, stage in self.stages.items():
            x = maps[name] = stage(x)  # -> (N, 16, H, W) -> (N, 32, H/2, W/2) -> (N, 64, H/4, W/4)
        return maps

    def classify(self, features: dict[str, Tensor]) -> Tensor:
        logits: Tensor = self.head(global_average_pool(features["stage3"]))
        return logits  # (N, 64, H/4, W/4) -> (N, 64) -> (N, K)


def resnet20(**options: Any) -> CifarResNet:
    """Three units in each of three stages."""
    return CifarResNet(3, **options)


def resnet56(**options: Any) -> CifarResNet:
    """Nine units in each of three stages."""
    return CifarResNet(9, **options)
