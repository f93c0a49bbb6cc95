"""Darknet: the backbones of YOLO (Redmon and Farhadi; 2016, "YOLO9000", arXiv:1612.08242, table 6; 2018,
"YOLOv3", arXiv:1804.02767, table 1).

Made for detectors: 3x3 convolutions look around and double the depth where the size halves, 1x1
convolutions between them narrow the maps, as in VGG and Network in Network; every one is followed by batch
normalization and a leaky ReLU of slope 0.1. Darknet-53 adds residual units and strides instead of pooling.

    Darknet-19   pool ─ 3x3 ─ 1x1 ─ 3x3 ─ ... ─ 3x3              a stage; 1x1 has half the maps of 3x3

    Darknet-53   3x3 / 2 ─┬─ 1x1 ─ 3x3 ─(+)─┬─ 1x1 ─ 3x3 ─(+)─   a stage; nothing follows the sum
                          └─────────────┘   └─────────────┘

| variant   | depths        |     params | GMAC         | head                                |
| darknet19 | 1, 3, 3, 5, 5 | 20,842,376 |  2.791 @224  | 1x1 convolution, global average     |
| darknet53 | 1, 2, 8, 8, 4 | 41,609,928 |  9.285 @256  | global average, dense               |

A stage begins where the size halves, so that its output is the last map of its stride: 8, 16 and 32 of
Darknet-53 are what YOLOv3 detects on, 16 of Darknet-19 is what YOLOv2 passes through.

Shapes: N batch, C channels, H and W height and width of the input, K classes.
"""

from functools import partial
from typing import Any

from torch import Tensor, nn

from striate.layers import Conv2d, ConvNormAct, global_average_pool
from striate.models.backbone import Backbone, FeatureInfo, scaled

Convolution = partial(ConvNormAct, activation=partial(nn.LeakyReLU, 0.1, inplace=True))


class Darknet19(Backbone):
    """A first convolution, five stages of pooling and convolutions, and a convolution that classifies.

    Args:
        depths: convolutions in each stage, alternately 3x3 and 1x1.
        num_classes: K.
        in_channels: channels of the input pictures.
        width: multiplies the channels of every layer.
    """

    def __init__(
        self,
        depths: tuple[int, ...],
        num_classes: int = 1000,
        in_channels: int = 3,
        width: float = 1.0,
    ) -> None:
        super().__init__()
        channels = scaled(32, width)
        self.stem = Convolution(in_channels, channels, 3)
        self.stages = nn.ModuleDict()
        self.feature_info = [FeatureInfo("stem", channels, stride=1)]
        for index, depth in enumerate(depths):
            wide, narrow = scaled(64 * 2**index, width), scaled(32 * 2**index, width)
            layers: list[nn.Module] = [nn.MaxPool2d(2)]
            for position in range(depth):
                filters, kernel_size = (wide, 3) if position % 2 == 0 else (narrow, 1)
                layers.append(Convolution(channels, filters, kernel_size))
                channels = filters
            self.stages[f"stage{index + 1}"] = nn.Sequential(*layers)
            self.feature_info.append(FeatureInfo(f"stage{index + 1}", channels, stride=2 * 2**index))
        self.head = Conv2d(channels, num_classes, 1)

    def features(self, x: Tensor) -> dict[str, Tensor]:
        maps = {"stem": self.stem(x)}  # (N, C, H, W) -> (N, 32, H, W)
        x = maps["stem"]
        for name, stage in self.stages.items():
            x = maps[name] = stage(x)  # each stage: half the size, twice the depth
        return maps

    def classify(self, features: dict[str, Tensor]) -> Tensor:
        scores = self.head(features["stage5"])  # (N, 1024, H/32, W/32) -> (N, K, H/32, W/32)
        return global_average_pool(scores)  # -> (N, K)


class ResidualUnit(nn.Module):
    """1x1 halves the depth, 3x3 restores it, the input is added: (N, C, H, W) -> (N, C, H, W)."""

    def __init__(self, channels: int, narrow: int) -> None:
        super().__init__()
        self.residual = nn.Sequential(Convolution(channels, narrow, 1), Convolution(narrow, channels, 3))

    def forward(self, x: Tensor) -> Tensor:
        summed: Tensor = x + self.residual(x)
        return summed


class Darknet53(Backbone):
    """A first convolution, five stages of a strided convolution and residual units, and a dense layer.

    Args:
        depths: residual units in each stage.
        num_classes: K.
        in_channels: channels of the input pictures.
        width: multiplies the channels of every layer.
    """

    def __init__(
        self,
        depths: tuple[int, ...],
        num_classes: int = 1000,
        in_channels: int = 3,
        width: float = 1.0,
    ) -> None:
        super().__init__()
        channels = scaled(32, width)
        self.stem = Convolution(in_channels, channels, 3)
        self.stages = nn.ModuleDict()
        self.feature_info = [FeatureInfo("stem", channels, stride=1)]
        for index, depth in enumerate(depths):
            wide, narrow = scaled(64 * 2**index, width), scaled(32 * 2**index, width)
            self.stages[f"stage{index + 1}"] = nn.Sequential(
                Convolution(channels, wide, 3, stride=2),
                nn.Sequential(*[ResidualUnit(wide, narrow) for _ in range(depth)]),
            )
            channels = wide
            self.feature_info.append(FeatureInfo(f"stage{index + 1}", channels, stride=2 * 2**index))
        self.head = nn.Linear(channels, num_classes)

    def features(self, x: Tensor) -> dict[str, Tensor]:
        maps = {"stem": self.stem(x)}  # (N, C, H, W) -> (N, 32, H, W)
        x = maps["stem"]
        for name, stage in self.stages.items():
            x = maps[name] = stage(x)  # each stage: half the size, twice the depth
        return maps

    def classify(self, features: dict[str, Tensor]) -> Tensor:
        logits: Tensor = self.head(global_average_pool(features["stage5"]))
        return logits  # (N, 1024, H/32, W/32) -> (N, 1024) -> (N, K)


def darknet19(**options: Any) -> Darknet19:
    """19 convolutions, the network of YOLOv2."""
    return Darknet19((1, 3, 3, 5, 5), **options)


def darknet53(**options: Any) -> Darknet53:
    """53 layers with shortcuts, the network of YOLOv3."""
    return Darknet53((1, 2, 8, 8, 4), **options)
