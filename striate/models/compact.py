"""CompactCNN: a small network for small pictures, made to learn fast on a processor.

    x ─ conv 3x3 ─ BN ─ ReLU                                                    stem, full size
      ─ conv 3x3 ─ max pool 2x2 ─ BN ─ ReLU ─┬─ conv 3x3 ─ BN ─ ReLU ─(+)─ ...  three stages
                                             └────────────────────────┘
      ─ global max pool ─ dense

The ideas are those of fast CIFAR training (Page 2018, "How to train your ResNet"; Jordan 2024,
arXiv:2404.00498): pooling comes before normalization and activation, so that these run on a quarter
of the positions, and one residual convolution per stage adds depth at the smaller size.

| variant       | widths             |    params | MMAC      | for                      |
| compact_cnn   | 32, 64, 128, 256   | 1,165,930 |  63.3 @28 | grey pictures of 28x28   |
| compact_cifar | 64, 128, 256, 512  | 4,655,434 | 341.5 @32 | colour pictures of 32x32 |

Shapes: N batch, C channels, H and W height and width of the input, K classes.
"""

from itertools import pairwise
from typing import Any

from torch import Tensor, nn

from striate.layers import ConvNormAct
from striate.models.backbone import Backbone, FeatureInfo, scaled


class Stage(nn.Module):
    """Halve the size, widen, then refine: (N, C_in, H, W) -> (N, C_out, H/2, W/2)."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.widen = nn.Conv2d(in_channels, out_channels, 3, padding=1, bias=False)
        self.pool = nn.MaxPool2d(2)
        self.norm = nn.BatchNorm2d(out_channels)
        self.activation = nn.ReLU(inplace=True)
        self.residual = ConvNormAct(out_channels, out_channels, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.activation(self.norm(self.pool(self.widen(x))))
        refined: Tensor = self.residual(x)
        return x + refined


class CompactCNN(Backbone):
    """A full-size stem, stages that halve the size, and a dense layer on each channel's maximum.

    Args:
        widths: channels of the stem and of each stage.
        num_classes: K.
        in_channels: channels of the input pictures.
        width: multiplies the channels of every layer.
    """

    def __init__(
        self, widths: tuple[int, ...], num_classes: int = 10, in_channels: int = 3, width: float = 1.0
    ) -> None:
        super().__init__()
        widths = tuple(scaled(channels, width) for channels in widths)
        self.stem = ConvNormAct(in_channels, widths[0], 3)
        self.stages = nn.ModuleDict()
        self.feature_info = [FeatureInfo("stem", channels=widths[0], stride=1)]
        for index, (narrow, wide) in enumerate(pairwise(widths), start=1):
            self.stages[f"stage{index}"] = Stage(narrow, wide)
            self.feature_info.append(FeatureInfo(f"stage{index}", channels=wide, stride=2**index))
        self.head = nn.Linear(widths[-1], num_classes)

    def features(self, x: Tensor) -> dict[str, Tensor]:
        maps = {"stem": self.stem(x)}  # (N, C, H, W) -> (N, 32, H, W)
        x = maps["stem"]
        for name, stage in self.stages.items():  # each: half the size, twice the depth
            x = maps[name] = stage(x)
        return maps

    def classify(self, features: dict[str, Tensor]) -> Tensor:
        last = features[self.feature_info[-1].name]  # (N, 256, H/8, W/8)
        logits: Tensor = self.head(last.amax((2, 3)))
        return logits  # (N, K)


def compact_cnn(num_classes: int = 10, in_channels: int = 1, width: float = 1.0) -> CompactCNN:
    """Three stages, for 28x28 pictures."""
    return CompactCNN((32, 64, 128, 256), num_classes, in_channels, width)


def compact_cifar(**options: Any) -> CompactCNN:
    """Three wider stages, for 32x32 pictures."""
    return CompactCNN((64, 128, 256, 512), **options)
