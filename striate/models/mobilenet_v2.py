"""MobileNetV2: inverted residuals and linear bottlenecks (Sandler et al. 2018, arXiv:1801.04381).

A ResNet's bottleneck goes wide - narrow - wide, and its shortcut joins the wide ends. Here it is the other
way round: the shortcut joins thin maps, and the unit widens in between, where a depthwise convolution is
cheap. The thin end has no activation: a ReLU there would destroy what so few channels have to carry.

    x ─┬─ conv 1x1 (6 x wider) ─ BN ─ ReLU6 ─ depthwise 3x3 / stride ─ BN ─ ReLU6 ─ conv 1x1 ─ BN ─(+)─
       └─ identity, where size and channels stay ──────────────────────────────────────────────────┘

| map    | expansion | units | channels | size @224 |
| stem   |           |       |       32 | 112       |  a full 3x3 convolution, stride 2
| stage1 |         1 |     1 |       16 | 112       |
| stage2 |         6 |     2 |       24 | 56        |
| stage3 |         6 |     3 |       32 | 28        |
| stage4 |         6 |     4 |       64 | 14        |
| stage5 |         6 |     3 |       96 | 14        |
| stage6 |         6 |     3 |      160 | 7         |
| stage7 |         6 |     1 |      320 | 7         |
| stage8 |           |       |     1280 | 7         |  a 1x1 convolution

| mobilenet_v2(width=) |    params | GMAC @224 |
| 1.4                  | 6,108,776 |     0.582 |
| 1.0                  | 3,504,872 |     0.301 |
| 0.5                  | 1,968,680 |     0.097 |

Shapes: N batch, C channels, H and W height and width of the input, K classes.
"""

from functools import partial
from typing import Any

from torch import Tensor, nn

from striate.layers import ConvNormAct, global_average_pool
from striate.models.backbone import Backbone, FeatureInfo

STAGES = (  # expansion, channels, units, stride of the first (table 2 of the paper)
    (1, 16, 1, 1),
    (6, 24, 2, 2),
    (6, 32, 3, 2),
    (6, 64, 4, 2),
    (6, 96, 3, 1),
    (6, 160, 3, 2),
    (6, 320, 1, 1),
)

relu6 = partial(nn.ReLU6, inplace=True)


def in_eights(channels: float) -> int:
    """The nearest multiple of 8 (half way: the larger), at least 8 and at least nine tenths of ``channels``.

    Processors work on eight channels at a time. Source: the authors' implementation.
    """
    nearest = max(8, int(channels + 4) // 8 * 8)
    return nearest if nearest >= 0.9 * channels else nearest + 8


class InvertedResidual(nn.Module):
    """Widen, look around, narrow: (N, C_in, H, W) -> (N, C_out, H / stride, W / stride), no activation last.

    Args:
        in_channels, out_channels: of the thin maps at both ends.
        stride: of the depthwise convolution.
        expansion: how many times wider it is in between; at 1 there is nothing to widen.
    """

    def __init__(self, in_channels: int, out_channels: int, stride: int, expansion: int) -> None:
        super().__init__()
        wide = in_channels * expansion
        widen = [ConvNormAct(in_channels, wide, 1, activation=relu6)] if expansion > 1 else []
        self.residual = nn.Sequential(
            *widen,
            ConvNormAct(wide, wide, 3, stride=stride, groups=wide, activation=relu6),
            ConvNormAct(wide, out_channels, 1, activation=None),
        )
        self.has_shortcut = stride == 1 and in_channels == out_channels

    def forward(self, x: Tensor) -> Tensor:
        residual: Tensor = self.residual(x)
        return x + residual if self.has_shortcut else residual


class MobileNetV2(Backbone):
    """A full convolution, seven stages of inverted residuals, a 1x1 convolution and one dense layer.

    Args:
        num_classes: K.
        in_channels: channels of the input pictures.
        width: multiplies the channels of every layer, in multiples of 8; those of the 1x1 convolution at
            the end only above 1.0, as a thin network needs them all the same.
        dropout: share of the last features dropped in training.
    """

    def __init__(
        self, num_classes: int = 1000, in_channels: int = 3, width: float = 1.0, dropout: float = 0.2
    ) -> None:
        super().__init__()
        channels, total_stride = in_eights(32 * width), 2
        self.stem = ConvNormAct(in_channels, channels, 3, stride=2, activation=relu6)
        self.stages = nn.ModuleDict()
        self.feature_info = [FeatureInfo("stem", channels, total_stride)]
        for index, (expansion, full_channels, depth, first_stride) in enumerate(STAGES, start=1):
            units: list[nn.Module] = []
            for position in range(depth):
                stride = first_stride if position == 0 else 1
                units.append(InvertedResidual(channels, in_eights(full_channels * width), stride, expansion))
                channels = in_eights(full_channels * width)
            total_stride *= first_stride
            self.stages[f"stage{index}"] = nn.Sequential(*units)
            self.feature_info.append(FeatureInfo(f"stage{index}", channels, total_stride))
        last_channels = in_eights(1280 * max(1.0, width))
        self.stages["stage8"] = ConvNormAct(channels, last_channels, 1, activation=relu6)
        self.feature_info.append(FeatureInfo("stage8", last_channels, total_stride))
        self.head = nn.Sequential(nn.Dropout(dropout), nn.Linear(last_channels, num_classes))

    def features(self, x: Tensor) -> dict[str, Tensor]:
        maps = {"stem": self.stem(x)}  # (N, C, H, W) -> (N, 32, H/2, W/2)
        x = maps["stem"]
        for name, stage in self.stages.items():
            x = maps[name] = stage(x)  # (N, C, H/stride, W/stride), as in the table
        return maps

    def classify(self, features: dict[str, Tensor]) -> Tensor:
        logits: Tensor = self.head(global_average_pool(features["stage8"]))
        return logits  # (N, 1280, H/32, W/32) -> (N, 1280) -> (N, K)


def mobilenet_v2(**options: Any) -> MobileNetV2:
    """The network of table 2."""
    return MobileNetV2(**options)
