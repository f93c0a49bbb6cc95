"""VGG: depth from nothing but 3x3 convolutions (Simonyan and Zisserman 2014, "Very deep convolutional
networks for large-scale image recognition", arXiv:1409.1556, table 1; second in ILSVRC 2014, first in
localization).

Two 3x3 convolutions in a row see 5x5 pixels, three see 7x7, with fewer weights than one large filter and
with a ReLU after each. So the whole network is one rule, repeated: 3x3 convolutions, then a 2x2 pooling,
then twice the filters.

    224 ─ [conv 3x3] ─ pool ─ [conv 3x3] ─ pool ─ [conv 3x3] ─ pool ─ [conv 3x3] ─ pool ─ [conv 3x3] ─ pool
           64@224      @112   128@112      @56    256@56       @28    512@28       @14    512@14       @7
                                                                             ─ 4096 ─ 4096 ─ K

| variant  | depths        |      params | GMAC @224 | table 1   |
| vgg11    | 1, 1, 2, 2, 2 | 132,863,336 |     7.609 | column A  |
| vgg13    | 2, 2, 2, 2, 2 | 133,047,848 |    11.308 | column B  |
| vgg16    | 2, 2, 3, 3, 3 | 138,357,544 |    15.470 | column D  |
| vgg19    | 2, 2, 4, 4, 4 | 143,667,240 |    19.632 | column E  |
| vgg11_bn | 1, 1, 2, 2, 2 | 132,868,840 |     7.609 |           |
| vgg13_bn | 2, 2, 2, 2, 2 | 133,053,736 |    11.308 |           |
| vgg16_bn | 2, 2, 3, 3, 3 | 138,365,992 |    15.470 |           |
| vgg19_bn | 2, 2, 4, 4, 4 | 143,678,248 |    19.632 |           |

The last four have batch normalization after each convolution, which the paper came too early for: they
train faster and end better.

Shapes: N batch, C channels, H and W height and width of the input, K classes.
"""

from collections.abc import Callable
from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn

from striate.layers import Conv2d, dense_head, he_normal_, initialize
from striate.models.backbone import Backbone, FeatureInfo, scaled

GRID = 7  # the dense layers see 7x7 positions


def convolution(in_channels: int, out_channels: int) -> list[nn.Module]:
    """A 3x3 convolution and its ReLU: (N, C_in, H, W) -> (N, C_out, H, W)."""
    return [Conv2d(in_channels, out_channels, 3, padding="same"), nn.ReLU(inplace=True)]


def normalized_convolution(in_channels: int, out_channels: int) -> list[nn.Module]:
    """The same with batch normalization between. Published weights keep the bias, which it makes idle."""
    conv, activation = convolution(in_channels, out_channels)
    return [conv, nn.BatchNorm2d(out_channels), activation]


class VGG(Backbone):
    """Five stages of 3x3 convolutions, each ended by a pooling, then three dense layers.

    Args:
        layer: the layers of one convolution, with or without batch normalization.
        depths: convolutions in each stage.
        num_classes: K.
        in_channels: channels of the input pictures.
        width: multiplies the channels of every layer, and the units of the dense ones.
        dropout: share of the dense layers' outputs that is dropped in training.
    """

    def __init__(
        self,
        layer: Callable[[int, int], list[nn.Module]],
        depths: tuple[int, ...],
        num_classes: int = 1000,
        in_channels: int = 3,
        width: float = 1.0,
        dropout: float = 0.5,
    ) -> None:
        super().__init__()
        self.stem = nn.Identity()  # the rule holds from the first pixel on
        self.stages = nn.ModuleDict()
        self.feature_info = []
        channels = in_channels
        for index, (filters, depth) in enumerate(zip((64, 128, 256, 512, 512), depths, strict=True)):
            layers: list[nn.Module] = []
            for _ in range(depth):
                layers += layer(channels, scaled(filters, width))
                channels = scaled(filters, width)
            self.stages[f"stage{index + 1}"] = nn.Sequential(*layers, nn.MaxPool2d(2))
            self.feature_info.append(FeatureInfo(f"stage{index + 1}", channels, stride=2 ** (index + 1)))
        units = scaled(4096, width)
        self.head = dense_head(channels * GRID * GRID, units, num_classes, dropout)
        # The paper draws vgg11's weights with variance 0.01, and starts the deeper ones from layers of the
        # trained vgg11 because they would not learn otherwise. He's variance lets each start on its own.
        initialize(self, he_normal_)

    def features(self, x: Tensor) -> dict[str, Tensor]:
        maps: dict[str, Tensor] = {}
        x = self.stem(x)  # (N, C, H, W)
        for name, stage in self.stages.items():
            x = maps[name] = stage(x)  # half the size: (N, 64, H/2, W/2) ... (N, 512, H/32, W/32)
        return maps

    def classify(self, features: dict[str, Tensor]) -> Tensor:
        # Leaves 7x7 maps as they are; brings those of other input sizes to the size of the dense layer.
        grid = F.adaptive_avg_pool2d(features["stage5"], GRID)
        logits: Tensor = self.head(grid.flatten(1))  # (N, 512, 7, 7) -> (N, 25088) -> (N, K)
        return logits


def vgg11(**options: Any) -> VGG:
    """Configuration A of the paper's table 1."""
    return VGG(convolution, (1, 1, 2, 2, 2), **options)


def vgg13(**options: Any) -> VGG:
    """Configuration B of the paper's table 1."""
    return VGG(convolution, (2, 2, 2, 2, 2), **options)


def vgg16(**options: Any) -> VGG:
    """Configuration D of the paper's table 1."""
    return VGG(convolution, (2, 2, 3, 3, 3), **options)


def vgg19(**options: Any) -> VGG:
    """Configuration E of the paper's table 1."""
    return VGG(convolution, (2, 2, 4, 4, 4), **options)


def vgg11_bn(**options: Any) -> VGG:
    """Configuration A, with batch normalization."""
    return VGG(normalized_convolution, (1, 1, 2, 2, 2), **options)


def vgg13_bn(**options: Any) -> VGG:
    """Configuration B, with batch normalization."""
    return VGG(normalized_convolution, (2, 2, 2, 2, 2), **options)


def vgg16_bn(**options: Any) -> VGG:
    """Configuration D, with batch normalization."""
    return VGG(normalized_convolution, (2, 2, 3, 3, 3), **options)


def vgg19_bn(**options: Any) -> VGG:
    """Configuration E, with batch normalization."""
    return VGG(normalized_convolution, (2, 2, 4, 4, 4), **options)
