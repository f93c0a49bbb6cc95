"""AlexNet: deep learning enters vision (Krizhevsky et al. 2012, "ImageNet classification with deep
convolutional neural networks", figure 2; winner of ILSVRC 2012 with 15.3 % top-5 error, the next had 26.2 %).

It brought ReLUs, which train several times faster than tanh, dropout in the dense layers, pooling windows
that overlap, and local response normalization. Two GPUs held half of the maps each and talked only before
C5 and the dense layers; today these are convolutions of two groups.

    C1 48@55 ─ S2 @27 ─ C3 128@27 ─ S4 @13 ─┬─ C5 192@13 ─ C6 192@13 ─ C7 128@13 ─ S8 @6 ─┬─ 4096 ─ 4096 ─ K
    C1 48@55 ─ S2 @27 ─ C3 128@27 ─ S4 @13 ─┴─ C5 192@13 ─ C6 192@13 ─ C7 128@13 ─ S8 @6 ─┘

| variant                |     params | GMAC  | input | what                                              |
| alexnet_2012           | 60,965,224 | 0.724 |   227 | as drawn                                          |
| alexnet_2012_ungrouped | 62,378,344 | 1.135 |   227 | every map sees all maps before it                 |
| alexnet                | 61,100,840 | 0.714 |   224 | for one GPU: 64, 192, 384, 256, 256 maps, no LRN  |

The paper says 224, but its own 55x55 maps need 227. The third form is of Krizhevsky 2014, "One weird trick
for parallelizing convolutional neural networks", arXiv:1404.5997, as the author's program and most libraries
have it; a footnote of the paper gives the fourth convolution 384 maps.

Shapes: N batch, C channels, H and W height and width of the input, K classes.
"""

from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn

from striate.layers import Conv2d, LocalResponseNorm, dense_head, he_normal_, initialize
from striate.models.backbone import Backbone, FeatureInfo, scaled

GRID = 6  # the dense layers see 6x6 positions


class AlexNet2012(Backbone):
    """The network of the paper: five convolutions, each with what follows it, and three dense layers.

    Args:
        groups: of C3, C6 and C7: 2 as on two GPUs, 1 for full convolutions.
        num_classes: K.
        in_channels: channels of the input pictures.
        width: multiplies the channels of every layer, and the units of the dense ones.
        dropout: share of the dense layers' outputs that is dropped in training.
    """

    def __init__(
        self,
        groups: int,
        num_classes: int = 1000,
        in_channels: int = 3,
        width: float = 1.0,
        dropout: float = 0.5,
    ) -> None:
        super().__init__()
        c1, c3, c5, c6, c7 = (scaled(channels, width) for channels in (96, 256, 384, 384, 256))
        units = scaled(4096, width)
        self.stem = nn.Sequential(
            Conv2d(in_channels, c1, 11, stride=4, padding="valid"),  # C1
            nn.ReLU(inplace=True),
            LocalResponseNorm(),  # with the usual constants; the paper's are k = 2, alpha = 1e-4
            nn.MaxPool2d(3, stride=2),  # S2: windows of 3 in steps of 2 overlap
        )
        self.stages = nn.ModuleDict(
            {
                "stage1": nn.Sequential(
                    Conv2d(c1, c3, 5, padding="same", groups=groups),  # C3
                    nn.ReLU(inplace=True),
                    LocalResponseNorm(),
                    nn.MaxPool2d(3, stride=2),  # S4
                ),
                "stage2": nn.Sequential(Conv2d(c3, c5, 3, padding="same"), nn.ReLU(inplace=True)),  # C5
                "stage3": nn.Sequential(
                    Conv2d(c5, c6, 3, padding="same", groups=groups),  # C6
                    nn.ReLU(inplace=True),
                ),
                "stage4": nn.Sequential(
                    Conv2d(c6, c7, 3, padding="same", groups=groups),  # C7
                    nn.ReLU(inplace=True),
                    nn.MaxPool2d(3, stride=2),  # S8
                ),
            }
        )
        self.head = dense_head(c7 * GRID * GRID, units, num_classes, dropout)
        self.feature_info = feature_info((c1, c3, c5, c6, c7))
        # The paper draws all weights with deviation 0.01, which lets the signal fade from layer to layer, and
        # lifts it by biases of 1 in C3, C6, C7 and the dense layers. He's deviation keeps its size instead.
        initialize(self, he_normal_)

    def features(self, x: Tensor) -> dict[str, Tensor]:
        maps = {"stem": self.stem(x)}  # (N, C, 227, 227) -> (N, 96, 27, 27)
        x = maps["stem"]
        for name, stage in self.stages.items():  # -> 256@13 -> 384@13 -> 384@13 -> 256@6
            x = maps[name] = stage(x)
        return maps

    def classify(self, features: dict[str, Tensor]) -> Tensor:
        # Leaves 6x6 maps as they are; brings those of other input sizes to the size of the dense layer.
        grid = F.adaptive_avg_pool2d(features["stage4"], GRID)
        logits: Tensor = self.head(grid.flatten(1))  # (N, 256, 6, 6) -> (N, 9216) -> (N, K)
        return logits


class AlexNet(Backbone):
    """The form for one GPU: fewer maps in three of the five convolutions, no groups, no normalization.

    Args:
        num_classes: K.
        in_channels: channels of the input pictures.
        width: multiplies the channels of every layer, and the units of the dense ones.
        dropout: share of the dense layers' inputs that is dropped in training.
    """

    def __init__(
        self, num_classes: int = 1000, in_channels: int = 3, width: float = 1.0, dropout: float = 0.5
    ) -> None:
        super().__init__()
        c1, c3, c5, c6, c7 = (scaled(channels, width) for channels in (64, 192, 384, 256, 256))
        units = scaled(4096, width)
        self.stem = nn.Sequential(
            Conv2d(in_channels, c1, 11, stride=4, padding=2),
            nn.ReLU(inplace=True),
            nn.MaxPool2d(3, stride=2),
        )
        self.stages = nn.ModuleDict(
            {
                "stage1": nn.Sequential(
                    Conv2d(c1, c3, 5, padding="same"), nn.ReLU(inplace=True), nn.MaxPool2d(3, stride=2)
                ),
                "stage2": nn.Sequential(Conv2d(c3, c5, 3, padding="same"), nn.ReLU(inplace=True)),
                "stage3": nn.Sequential(Conv2d(c5, c6, 3, padding="same"), nn.ReLU(inplace=True)),
                "stage4": nn.Sequential(
                    Conv2d(c6, c7, 3, padding="same"), nn.ReLU(inplace=True), nn.MaxPool2d(3, stride=2)
                ),
            }
        )
        self.head = nn.Sequential(
            nn.Dropout(dropout),  # here it drops what the dense layers see, not what they say
            nn.Linear(c7 * GRID * GRID, units),
            nn.ReLU(inplace=True),
            nn.Dropout(dropout),
            nn.Linear(units, units),
            nn.ReLU(inplace=True),
            nn.Linear(units, num_classes),
        )
        self.feature_info = feature_info((c1, c3, c5, c6, c7))
        initialize(self, he_normal_)

    def features(self, x: Tensor) -> dict[str, Tensor]:
        maps = {"stem": self.stem(x)}  # (N, C, 224, 224) -> (N, 64, 27, 27)
        x = maps["stem"]
        for name, stage in self.stages.items():  # -> 192@13 -> 384@13 -> 256@13 -> 256@6
            x = maps[name] = stage(x)
        return maps

    def classify(self, features: dict[str, Tensor]) -> Tensor:
        grid = F.adaptive_avg_pool2d(features["stage4"], GRID)
        logits: Tensor = self.head(grid.flatten(1))  # (N, 256, 6, 6) -> (N, 9216) -> (N, K)
        return logits


def feature_info(channels: tuple[int, ...]) -> list[FeatureInfo]:
    """Both forms shrink alike: 4 and 2 in the stem, 2 after C3, 2 after C7."""
    names, strides = ("stem", "stage1", "stage2", "stage3", "stage4"), (8, 16, 16, 16, 32)
    return [FeatureInfo(*info) for info in zip(names, channels, strides, strict=True)]


def alexnet_2012(**options: Any) -> AlexNet2012:
    """The network of the 2012 paper, on two GPUs: two of its convolutions see half of the maps each."""
    return AlexNet2012(groups=2, **options)


def alexnet_2012_ungrouped(**options: Any) -> AlexNet2012:
    """The same on one GPU, with convolutions that see all maps."""
    return AlexNet2012(groups=1, **options)


def alexnet(**options: Any) -> AlexNet:
    """The slimmer network of 2014, without normalization, as torchvision has it."""
    return AlexNet(**options)
