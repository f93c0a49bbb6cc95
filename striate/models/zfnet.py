"""ZF-Net: AlexNet mended by looking at what its layers see (Zeiler and Fergus 2013, "Visualizing and
understanding convolutional networks", arXiv:1311.2901, figure 3; its descendants won ILSVRC 2013).

Pictures of AlexNet's features, projected back to pixels, showed two faults: 11x11 filters caught very high
and very low frequencies and little between, and their stride of 4 left aliasing in the second layer. So the
first filters became 7x7 with stride 2, and the second layer took the other half of the stride.

    224 ─ conv 7x7 / 2 ─ pool ─ norm ─ conv 5x5 / 2 ─ pool ─ norm ─ 3 x conv 3x3 ─ pool ─ 4096 ─ 4096 ─ K
          96@110         @55           256@26         @13           384, 384, 256    @6

| variant |     params | GMAC @224 |
| zfnet   | 62,357,608 |     1.168 |

The parameters are those of AlexNet without groups, less 96 x 3 x (11 x 11 - 7 x 7).

Shapes: N batch, C channels, H and W height and width of the input, K classes.
"""

from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn

from striate.layers import Conv2d, LocalResponseNorm, dense_head, he_normal_, initialize
from striate.models.backbone import Backbone, FeatureInfo, scaled

GRID = 6  # the dense layers see 6x6 positions


class ZFNet(Backbone):
    """Five convolutions, each with what follows it, and three dense layers.

    Args:
        num_classes: K.
        in_channels: channels of the input pictures.
        width: multiplies the channels of every layer, and the units of the dense ones.
        dropout: share of the dense layers' outputs that is dropped in training.
    """

    def __init__(
        self, num_classes: int = 1000, in_channels: int = 3, width: float = 1.0, dropout: float = 0.5
    ) -> None:
        super().__init__()
        c1, c2, c3, c4, c5 = (scaled(channels, width) for channels in (96, 256, 384, 384, 256))
        units = scaled(4096, width)
        self.stem = nn.Sequential(
            Conv2d(in_channels, c1, 7, stride=2, padding=1),
            nn.ReLU(inplace=True),
            overlapping_pool(),
            LocalResponseNorm(),  # "contrast normalized across feature maps", after pooling, not before
        )
        self.stages = nn.ModuleDict(
            {
                "stage1": nn.Sequential(
                    Conv2d(c1, c2, 5, stride=2, padding="valid"),
                    nn.ReLU(inplace=True),
                    overlapping_pool(),
                    LocalResponseNorm(),
                ),
                "stage2": nn.Sequential(Conv2d(c2, c3, 3, padding="same"), nn.ReLU(inplace=True)),
                "stage3": nn.Sequential(Conv2d(c3, c4, 3, padding="same"), nn.ReLU(inplace=True)),
                "stage4": nn.Sequential(
                    Conv2d(c4, c5, 3, padding="same"), nn.ReLU(inplace=True), overlapping_pool()
                ),
            }
        )
        self.head = dense_head(c5 * GRID * GRID, units, num_classes, dropout)
        self.feature_info = [
            FeatureInfo("stem", c1, stride=4),
            FeatureInfo("stage1", c2, stride=16),
            FeatureInfo("stage2", c3, stride=16),
            FeatureInfo("stage3", c4, stride=16),
            FeatureInfo("stage4", c5, stride=32),
        ]
        initialize(self, he_normal_)  # keeps the signal's size; the paper sets all weights to about 0.01

    def features(self, x: Tensor) -> dict[str, Tensor]:
        maps = {"stem": self.stem(x)}  # (N, C, 224, 224) -> (N, 96, 55, 55)
        x = maps["stem"]
        for name, stage in self.stages.items():  # -> 256@13 -> 384@13 -> 384@13 -> 256@6
            x = maps[name] = stage(x)
        return maps

    def classify(self, features: dict[str, Tensor]) -> Tensor:
        # Leaves 6x6 maps as they are; brings those of other input sizes to the size of the dense layer.
        grid = F.adaptive_avg_pool2d(features["stage4"], GRID)
        logits: Tensor = self.head(grid.flatten(1))  # (N, 256, 6, 6) -> (N, 9216) -> (N, K)
        return logits


def overlapping_pool() -> nn.MaxPool2d:
    """3x3 windows in steps of 2, the last of which may hang over the edge: 110 -> 55, 26 -> 13, 13 -> 6."""
    return nn.MaxPool2d(3, stride=2, ceil_mode=True)


def zfnet(**options: Any) -> ZFNet:
    """The network of figure 3."""
    return ZFNet(**options)
