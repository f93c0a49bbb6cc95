"""ResNet: residual learning (He et al. 2015, arXiv:1512.03385, figure 5, table 1; ILSVRC 2015 winner).

A residual unit learns the difference between its output and its input, h(x) = f(x) + x. An untrained
unit passes its input on, so the signal crosses the whole stack and hundreds of layers train.

    x ─┬─ conv 3x3 ─ BN ─ ReLU ─ conv 3x3 ─ BN ─(+)─ ReLU      BasicUnit: ResNet-18, -34
       └─ identity, or conv 1x1 / stride ─ BN ───┘

    x ─┬─ 1x1 ─ 3x3 ─ 1x1 (4 x wider) ───────(+)─ ReLU         BottleneckUnit: ResNet-50, -101, -152
       └─ identity, or conv 1x1 / stride ─ BN ┘

| variant      | depths        |     params | GMAC @224 | where a bottleneck unit strides   |
| resnet18     | 2, 2, 2, 2    | 11,689,512 |     1.814 |                                   |
| resnet34     | 3, 4, 6, 3    | 21,797,672 |     3.664 |                                   |
| resnet50     | 3, 4, 6, 3    | 25,557,032 |     4.089 | in its 3x3 ("v1.5"), as is usual  |
| resnet101    | 3, 4, 23, 3   | 44,549,160 |     7.801 | in its 3x3                        |
| resnet152    | 3, 8, 36, 3   | 60,192,808 |    11.514 | in its 3x3                        |
| resnet50_v1  | 3, 4, 6, 3    | 25,557,032 |     3.858 | in its first 1x1, as in the paper |
| resnet101_v1 | 3, 4, 23, 3   | 44,549,160 |     7.570 | in its first 1x1                  |
| resnet152_v1 | 3, 8, 36, 3   | 60,192,808 |    11.282 | in its first 1x1                  |

Shapes: N batch, C channels, H and W height and width of the input, K classes.
"""

from typing import Any

from torch import Tensor, nn

from striate.layers import ConvNormAct, global_average_pool
from striate.models.backbone import Backbone, FeatureInfo, scaled


class ResidualUnit(nn.Module):
    """The drawings above: (N, C_in, H, W) -> (N, C_out, H / stride, W / stride).

    Args:
        residual: the convolutions.
        in_channels, out_channels, stride: of the unit; they decide on the shortcut.
    """

    expansion: int  # C_out is this many times the width of the unit

    def __init__(self, residual: nn.Module, in_channels: int, out_channels: int, stride: int) -> None:
        super().__init__()
        self.residual = residual
        self.shortcut = shortcut(in_channels, out_channels, stride)
        self.activation = nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        summed = self.residual(x).add_(self.shortcut(x))  # in place: one large map less
        rectified: Tensor = self.activation(summed)
        return rectified


class BasicUnit(ResidualUnit):
    """Two 3x3 convolutions."""

    expansion = 1

    def __init__(self, in_channels: int, width: int, stride: int = 1) -> None:
        residual = nn.Sequential(
            ConvNormAct(in_channels, width, 3, stride=stride),
            ConvNormAct(width, width, 3, activation=None),
        )
        super().__init__(residual, in_channels, width, stride)


class BottleneckUnit(ResidualUnit):
    """1x1 narrows, 3x3 looks around, 1x1 widens: a deep unit at the price of a shallow one."""

    expansion = 4

    def __init__(self, in_channels: int, width: int, stride: int = 1) -> None:
        residual = nn.Sequential(
            ConvNormAct(in_channels, width, 1),
            ConvNormAct(width, width, 3, stride=stride),  # "v1.5": the stride sits in the 3x3
            ConvNormAct(width, 4 * width, 1, activation=None),
        )
        super().__init__(residual, in_channels, 4 * width, stride)


class BottleneckUnitV1(ResidualUnit):
    """As in the paper: the first 1x1 strides. The 3x3 is cheaper, but three of four pixels are skipped."""

    expansion = 4

    def __init__(self, in_channels: int, width: int, stride: int = 1) -> None:
        residual = nn.Sequential(
            ConvNormAct(in_channels, width, 1, stride=stride),
            ConvNormAct(width, width, 3),
            ConvNormAct(width, 4 * width, 1, activation=None),
        )
        super().__init__(residual, in_channels, 4 * width, stride)


Unit = type[BasicUnit] | type[BottleneckUnit] | type[BottleneckUnitV1]


def shortcut(in_channels: int, out_channels: int, stride: int) -> nn.Module:
    """The identity, or a 1x1 convolution where size or depth change."""
    if stride == 1 and in_channels == out_channels:
        return nn.Identity()
    return ConvNormAct(in_channels, out_channels, 1, stride=stride, activation=None)


class ResNet(Backbone):
    """Stem, four stages of residual units that halve the size and double the depth, one dense layer.

    Args:
        unit: the class of its residual units.
        depths: units in each stage.
        num_classes: K.
        in_channels: channels of the input pictures.
        width: multiplies the channels of every layer.
    """

    def __init__(
        self,
        unit: Unit,
        depths: tuple[int, ...],
        num_classes: int = 1000,
        in_channels: int = 3,
        width: float = 1.0,
    ) -> None:
        super().__init__()
        channels = scaled(64, width)
        self.stem = nn.Sequential(
            ConvNormAct(in_channels, channels, 7, stride=2),
            nn.MaxPool2d(3, stride=2, padding=1),
        )
        self.stages = nn.ModuleDict()
        self.feature_info = [FeatureInfo("stem", channels, stride=4)]
        for index, depth in enumerate(depths):
            units: list[nn.Module] = []
            for position in range(depth):
                stride = 2 if index > 0 and position == 0 else 1
                units.append(unit(channels, scaled(64 * 2**index, width), stride))
                channels = scaled(64 * 2**index, width) * unit.expansion
            self.stages[f"stage{index + 1}"] = nn.Sequential(*units)
            self.feature_info.append(FeatureInfo(f"stage{index + 1}", channels, stride=4 * 2**index))
        self.head = nn.Linear(channels, num_classes)

    def features(self, x: Tensor) -> dict[str, Tensor]:
        maps = {"stem": self.stem(x)}  # (N, C, H, W) -> (N, 64, H/4, W/4)
        x = maps["stem"]
        for name, stage in self.stages.items():
            x = maps[name] = stage(x)  # each stage after the first: half the size, twice the depth
        return maps

    def classify(self, features: dict[str, Tensor]) -> Tensor:
        logits: Tensor = self.head(global_average_pool(features["stage4"]))
        return logits  # (N, C, H/32, W/32) -> (N, C) -> (N, K)


def resnet18(**options: Any) -> ResNet:
    """18 layers, units of two convolutions."""
    return ResNet(BasicUnit, (2, 2, 2, 2), **options)


def resnet34(**options: Any) -> ResNet:
    """34 layers, units of two convolutions."""
    return ResNet(BasicUnit, (3, 4, 6, 3), **options)


def resnet50(**options: Any) -> ResNet:
    """50 layers, units with a bottleneck."""
    return ResNet(BottleneckUnit, (3, 4, 6, 3), **options)


def resnet101(**options: Any) -> ResNet:
    """101 layers, units with a bottleneck."""
    return ResNet(BottleneckUnit, (3, 4, 23, 3), **options)


def resnet152(**options: Any) -> ResNet:
    """152 layers, units with a bottleneck."""
    return ResNet(BottleneckUnit, (3, 8, 36, 3), **options)


def resnet50_v1(**options: Any) -> ResNet:
    """50 layers, with the stride where the paper has it."""
    return ResNet(BottleneckUnitV1, (3, 4, 6, 3), **options)


def resnet101_v1(**options: Any) -> ResNet:
    """101 layers, with the stride where the paper has it."""
    return ResNet(BottleneckUnitV1, (3, 4, 23, 3), **options)


def resnet152_v1(**options: Any) -> ResNet:
    """152 layers, with the stride where the paper has it."""
    return ResNet(BottleneckUnitV1, (3, 8, 36, 3), **options)
