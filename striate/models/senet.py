"""SENet: squeeze-and-excitation (Hu et al. 2017, arXiv:1709.01507; ILSVRC 2017 winner).

After the convolutions of a residual unit, a small block looks at the whole picture and scales each map by
how much it matters there. ResNet-50 grows by a tenth, its arithmetic by less than a thousandth.

    x ─┬─ residual ─┬───────────────────────────────────────────────────────(×)─(+)─ ReLU
       │            └─ global average ─ dense C/16 ─ ReLU ─ dense C ─ sigmoid┘   │
       └─ identity, or convolution / stride ─ BN ────────────────────────────────┘

| variant      | depths       | residual of the first stage                    |      params | GMAC @224 |
| se_resnet18  | 2, 2, 2, 2   | 3x3 64 / stride, 3x3 64 with ReLU              |  11,778,592 |     1.814 |
| se_resnet34  | 3, 4, 6, 3   | as se_resnet18                                 |  21,958,868 |     3.664 |
| se_resnet50  | 3, 4, 6, 3   | 1x1 64 / stride, 3x3 64, 1x1 256               |  28,088,024 |     3.860 |
| se_resnet101 | 3, 4, 23, 3  | as se_resnet50                                 |  49,326,872 |     7.575 |
| se_resnet152 | 3, 8, 36, 3  | as se_resnet50                                 |  66,821,848 |    11.289 |
| senet154     | 3, 8, 36, 3  | 1x1 128, 3x3 256 / stride, 64 groups, 1x1 256  | 115,088,984 |    20.688 |

The published weights are of these networks: bottleneck units stride in their first 1x1, the pooling of the
stem has no border but lets its last windows hang over the edge, and the two shallow ones, which are not in
the paper, keep the ReLU before the squeeze.

Shapes: N batch, C channels, H and W height and width of the input, K classes.
"""

import math
from collections.abc import Callable
from typing import Any

from torch import Tensor, nn

from striate.layers import ConvNormAct, SqueezeExcitation, global_average_pool
from striate.models.backbone import Backbone, FeatureInfo, scaled


class SEUnit(nn.Module):
    """The drawing above: (N, C_in, H, W) -> (N, channels, H / stride, W / stride).

    Args:
        residual: the convolutions, (N, C_in, H, W) -> (N, channels, H / stride, W / stride).
        shortcut: likewise, or the identity.
        channels: of the output.
    """

    expansion: int

    def __init__(self, residual: nn.Module, shortcut: nn.Module, channels: int) -> None:
        super().__init__()
        self.residual = residual
        self.excitation = SqueezeExcitation(channels, reduction=16)
        # Maps fresh from normalization are 0 on average: without a bias every hidden unit begins alive.
        nn.init.zeros_(self.excitation.reduce.bias)
        self.shortcut = shortcut
        self.activation = nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        recalibrated = self.excitation(self.residual(x))
        summed: Tensor = self.activation(recalibrated + self.shortcut(x))
        return summed


class SEBasicUnit(SEUnit):
    """Two 3x3 convolutions: SE-ResNet-18 and -34."""

    expansion = 1

    def __init__(self, in_channels: int, width: int, stride: int = 1) -> None:
        residual = nn.Sequential(
            ConvNormAct(in_channels, width, 3, stride=stride),
            ConvNormAct(width, width, 3),
        )
        super().__init__(residual, shortcut(in_channels, width, stride), width)


class SEBottleneckUnit(SEUnit):
    """1x1 narrows and strides, 3x3 looks around, 1x1 widens: SE-ResNet-50, -101 and -152."""

    expansion = 4

    def __init__(self, in_channels: int, width: int, stride: int = 1) -> None:
        out_channels = width * self.expansion
        residual = nn.Sequential(
            ConvNormAct(in_channels, width, 1, stride=stride),
            ConvNormAct(width, width, 3),
            ConvNormAct(width, out_channels, 1, activation=None),
        )
        super().__init__(residual, shortcut(in_channels, out_channels, stride), out_channels)


class SEGroupedUnit(SEUnit):
    """A 3x3 convolution in 64 groups, four times as wide, and a first 1x1 of half of it: SENet-154."""

    expansion = 4

    def __init__(self, in_channels: int, width: int, stride: int = 1) -> None:
        out_channels = width * self.expansion
        groups = math.gcd(64, 2 * width)  # 64; in a slim network as many of them as it can have
        residual = nn.Sequential(
            ConvNormAct(in_channels, 2 * width, 1),
            ConvNormAct(2 * width, out_channels, 3, stride=stride, groups=groups),
            ConvNormAct(out_channels, out_channels, 1, activation=None),
        )
        kernel_size = 1 if stride == 1 else 3  # a strided 1x1 would skip three of four pixels
        super().__init__(residual, shortcut(in_channels, out_channels, stride, kernel_size), out_channels)


Unit = type[SEBasicUnit] | type[SEBottleneckUnit] | type[SEGroupedUnit]


def shortcut(in_channels: int, out_channels: int, stride: int, kernel_size: int = 1) -> nn.Module:
    """The identity, or a convolution where size or depth change."""
    if stride == 1 and in_channels == out_channels:
        return nn.Identity()
    return ConvNormAct(in_channels, out_channels, kernel_size, stride=stride, activation=None)


def one_convolution(in_channels: int, width: float) -> list[ConvNormAct]:
    """The stem of ResNet: (N, C, H, W) -> (N, 64, H/2, W/2)."""
    return [ConvNormAct(in_channels, scaled(64, width), 7, stride=2)]


def three_convolutions(in_channels: int, width: float) -> list[ConvNormAct]:
    """The stem of SENet-154: (N, C, H, W) -> (N, 128, H/2, W/2)."""
    narrow, wide = scaled(64, width), scaled(128, width)
    return [
        ConvNormAct(in_channels, narrow, 3, stride=2),
        ConvNormAct(narrow, narrow, 3),
        ConvNormAct(narrow, wide, 3),
    ]


class SENet(Backbone):
    """Stem, four stages of recalibrated residual units, dropout and one dense layer.

    Args:
        unit: the class of its residual units.
        depths: units in each stage.
        first: builds the convolutions of the stem, for so many input channels and a width.
        num_classes: K.
        in_channels: channels of the input pictures.
        width: multiplies the channels of every layer. A squeeze needs at least 16 maps.
        dropout: share of the values that is dropped before the dense layer.
    """

    def __init__(
        self,
        unit: Unit,
        depths: tuple[int, ...],
        first: Callable[[int, float], list[ConvNormAct]],
        num_classes: int = 1000,
        in_channels: int = 3,
        width: float = 1.0,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        convolutions = first(in_channels, width)
        channels = convolutions[-1].conv.out_channels
        self.stem = nn.Sequential(*convolutions, nn.MaxPool2d(3, stride=2, ceil_mode=True))
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
        self.head = nn.Sequential(nn.Dropout(dropout), nn.Linear(channels, num_classes))

    def features(self, x: Tensor) -> dict[str, Tensor]:
        maps = {"stem": self.stem(x)}  # (N, C, H, W) -> (N, 64, H/4, W/4)
        x = maps["stem"]
        for name, stage in self.stages.items():
            x = maps[name] = stage(x)  # each stage after the first: half the size, twice the depth
        return maps

    def classify(self, features: dict[str, Tensor]) -> Tensor:
        logits: Tensor = self.head(global_average_pool(features["stage4"]))
        return logits  # (N, C, H/32, W/32) -> (N, C) -> (N, K)


def se_resnet18(**options: Any) -> SENet:
    """ResNet-18, each unit with a squeeze-and-excitation block."""
    return SENet(SEBasicUnit, (2, 2, 2, 2), one_convolution, **options)


def se_resnet34(**options: Any) -> SENet:
    """ResNet-34, each unit with a squeeze-and-excitation block."""
    return SENet(SEBasicUnit, (3, 4, 6, 3), one_convolution, **options)


def se_resnet50(**options: Any) -> SENet:
    """ResNet-50, each unit with a squeeze-and-excitation block."""
    return SENet(SEBottleneckUnit, (3, 4, 6, 3), one_convolution, **options)


def se_resnet101(**options: Any) -> SENet:
    """ResNet-101, each unit with a squeeze-and-excitation block."""
    return SENet(SEBottleneckUnit, (3, 4, 23, 3), one_convolution, **options)


def se_resnet152(**options: Any) -> SENet:
    """ResNet-152, each unit with a squeeze-and-excitation block."""
    return SENet(SEBottleneckUnit, (3, 8, 36, 3), one_convolution, **options)


def senet154(dropout: float = 0.2, **options: Any) -> SENet:
    """The network that won in 2017: 154 layers, grouped convolutions, a stem of three."""
    return SENet(SEGroupedUnit, (3, 8, 36, 3), three_convolutions, dropout=dropout, **options)
