"""MobileNet: a 3x3 convolution taken apart (Howard et al. 2017, arXiv:1704.04861).

A convolution looks around and mixes channels in one step. Here a depthwise convolution looks around in each
channel alone, and a 1x1 convolution mixes channels, for 1 / C_out + 1 / 9 of the arithmetic: eight to nine
times less. A width multiplier thins every layer alike, for the accuracy and speed that a device needs.

    x ─ depthwise 3x3 / stride ─ BN ─ ReLU6 ─ conv 1x1 ─ BN ─ ReLU6        SeparableUnit, 13 of them

| map    | units | channels | size @224 |
| stem   |       |       32 | 112       |  a full 3x3 convolution, stride 2
| stage1 |     1 |       64 | 112       |
| stage2 |     2 |      128 | 56        |
| stage3 |     2 |      256 | 28        |
| stage4 |     6 |      512 | 14        |
| stage5 |     2 |     1024 | 7         |

| mobilenet(width=) |    params | GMAC @224 |
| 1.0               | 4,231,976 |     0.569 |
| 0.75              | 2,585,560 |     0.325 |
| 0.5               | 1,331,592 |     0.149 |
| 0.25              |   470,072 |     0.041 |

Zeros around the picture, epsilon and dropout are as in Keras, whose weights fit.

Shapes: N batch, C channels, H and W height and width of the input, K classes.
"""

from functools import partial
from typing import Any

from torch import Tensor, nn

from striate.layers import ConvNormAct, global_average_pool, set_batch_norm_eps
from striate.models.backbone import Backbone, FeatureInfo, scaled

relu6 = partial(nn.ReLU6, inplace=True)  # outputs up to 6 need few bits


class SeparableUnit(nn.Module):
    """Look around, then mix channels: (N, C_in, H, W) -> (N, C_out, H // stride, W // stride)."""

    def __init__(self, in_channels: int, out_channels: int, stride: int = 1) -> None:
        super().__init__()
        # Keras puts its zeros at the right and bottom only; at even sizes that is SAME.
        self.pad = nn.Identity() if stride == 1 else nn.ZeroPad2d((0, 1, 0, 1))
        self.depthwise = ConvNormAct(
            in_channels,
            in_channels,
            3,
            stride=stride,
            padding="same" if stride == 1 else "valid",
            groups=in_channels,
            activation=relu6,
        )
        self.pointwise = ConvNormAct(in_channels, out_channels, 1, activation=relu6)

    def forward(self, x: Tensor) -> Tensor:
        mixed: Tensor = self.pointwise(self.depthwise(self.pad(x)))
        return mixed


class MobileNet(Backbone):
    """A full convolution, five stages of separable units that halve the size and double the depth.

    Args:
        num_classes: K.
        in_channels: channels of the input pictures.
        width: multiplies the channels of every layer; the paper's are 1.0, 0.75, 0.5 and 0.25.
        dropout: share of the last features dropped in training.
    """

    def __init__(
        self, num_classes: int = 1000, in_channels: int = 3, width: float = 1.0, dropout: float = 0.001
    ) -> None:
        super().__init__()
        channels = scaled(32, width)
        self.stem = ConvNormAct(in_channels, channels, 3, stride=2, padding="same", activation=relu6)
        self.stages = nn.ModuleDict()
        self.feature_info = [FeatureInfo("stem", channels, stride=2)]
        for index, depth in enumerate((1, 2, 2, 6, 2)):
            units: list[nn.Module] = []
            for position in range(depth):
                stride = 2 if index > 0 and position == 0 else 1
                units.append(SeparableUnit(channels, scaled(64 * 2**index, width), stride))
                channels = scaled(64 * 2**index, width)
            self.stages[f"stage{index + 1}"] = nn.Sequential(*units)
            self.feature_info.append(FeatureInfo(f"stage{index + 1}", channels, stride=2 * 2**index))
        self.head = nn.Sequential(nn.Dropout(dropout), nn.Linear(channels, num_classes))
        set_batch_norm_eps(self, 1e-3)

    def features(self, x: Tensor) -> dict[str, Tensor]:
        maps = {"stem": self.stem(x)}  # (N, C, H, W) -> (N, 32, H/2, W/2)
        x = maps["stem"]
        for name, stage in self.stages.items():
            x = maps[name] = stage(x)  # each stage after the first: half the size, twice the depth
        return maps

    def classify(self, features: dict[str, Tensor]) -> Tensor:
        logits: Tensor = self.head(global_average_pool(features["stage5"]))
        return logits  # (N, 1024, H/32, W/32) -> (N, 1024) -> (N, K)


def mobilenet(**options: Any) -> MobileNet:
    """The network of table 1."""
    return MobileNet(**options)
