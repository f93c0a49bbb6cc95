"""GoogLeNet: inception modules (Szegedy et al. 2014, arXiv:1409.4842; ILSVRC 2014 winner).

An inception module looks at one map in four ways side by side, and leaves it to the next layer which of
them to use. 1x1 convolutions narrow the map before the costly 3x3 and 5x5 ones: 22 layers take a ninth of
AlexNet's parameters.

        ┌─ 1x1 ────────────────┐
    x ──┼─ 1x1 ─ 3x3 ──────────┼── channels joined
        ├─ 1x1 ─ 5x5 ──────────┤
        └─ max pool 3x3 ─ 1x1 ─┘

    7x7/2 ─ pool ─ 1x1 ─ 3x3 ─ pool ─ 3a ─ 3b ─ pool ─ 4a ─ 4b ─ 4c ─ 4d ─ 4e ─ pool ─ 5a ─ 5b ─ dense
                                                       └ auxiliary1   └ auxiliary2

Auxiliary heads bring a gradient to the middle of the network. They work in training only, each with a
weight of 0.3 in the loss.

|                       | googlenet_2014                     | googlenet                              |
| what                  | the network of the paper           | as it is usual today (torchvision's)   |
| params                | 6,998,552                          | 6,624,904                              |
| with auxiliary heads  | 13,378,280                         | 13,004,888                             |
| GMAC @224             | 1.583                              | 1.498                                  |
| convolutions          | SAME, with biases                  | padded by half, batch normalization    |
| between stem's layers | local response normalization       | nothing                                |
| "5x5" branch          | 5x5                                | 3x3, a slip that the weights have kept |
| pooling               | 3x3/2, SAME                        | windows may overhang; 2x2/2 before 5a  |
| auxiliary pooling     | 5x5/3                              | over a grid of 4x4                     |
| dropout of the head   | 0.4                                | 0.2                                    |

Shapes: N batch, C channels, H and W height and width of the input, K classes.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from striate.layers import (
    Conv2d,
    ConvNormAct,
    LocalResponseNorm,
    MaxPool2d,
    global_average_pool,
    he_normal_,
    initialize,
    set_batch_norm_eps,
)
from striate.models.backbone import Backbone, FeatureInfo, scaled

# Filters: 1x1 | 3x3 reduce, 3x3 | 5x5 reduce, 5x5 | pool projection (paper, table 1)
MODULES = {
    "inception3a": (64, 96, 128, 16, 32, 32),
    "inception3b": (128, 128, 192, 32, 96, 64),
    "inception4a": (192, 96, 208, 16, 48, 64),
    "inception4b": (160, 112, 224, 24, 64, 64),
    "inception4c": (128, 128, 256, 24, 64, 64),
    "inception4d": (112, 144, 288, 32, 64, 64),
    "inception4e": (256, 160, 320, 32, 128, 128),
    "inception5a": (256, 160, 320, 32, 128, 128),
    "inception5b": (384, 192, 384, 48, 128, 128),
}
AUXILIARY = {"auxiliary1": "inception4a", "auxiliary2": "inception4d"}  # head -> the module that it sees


@dataclass(frozen=True)
class Parts:
    """What the network is made of; its plan is the same for all.

    Attributes:
        convolution: (in_channels, out_channels, kernel_size, stride=1) -> a convolution with its ReLU.
        normalization: builds what follows the stem's pooling and its last convolution.
        pool: kernel_size -> a maximum pooling of stride 2.
        pool_sizes: module -> kernel size of the pooling before it.
        large: kernel size of the branch called 5x5.
        auxiliary_pool: builds what auxiliary heads begin with, (N, C, H/16, W/16) -> (N, C, 4, 4).
    """

    convolution: Callable[..., nn.Module]
    normalization: Callable[[], nn.Module]
    pool: Callable[[int], nn.Module]
    pool_sizes: dict[str, int]
    large: int
    auxiliary_pool: Callable[[], nn.Module]


class Inception(nn.Module):
    """1x1, 3x3, 5x5 and pooling side by side: (N, C_in, H, W) -> (N, C_out, H, W).

    ``filters`` as in ``MODULES``; C_out is the sum of those that end a branch.
    """

    def __init__(self, in_channels: int, filters: list[int], parts: Parts) -> None:
        super().__init__()
        convolution = parts.convolution
        one, three_reduce, three, five_reduce, five, projection = filters
        self.branch1 = convolution(in_channels, one, 1)
        self.branch2 = nn.Sequential(
            convolution(in_channels, three_reduce, 1), convolution(three_reduce, three, 3)
        )
        self.branch3 = nn.Sequential(
            convolution(in_channels, five_reduce, 1), convolution(five_reduce, five, parts.large)
        )
        self.branch4 = nn.Sequential(
            MaxPool2d(3, stride=1, padding="same"), convolution(in_channels, projection, 1)
        )
        self.out_channels = one + three + five + projection

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([self.branch1(x), self.branch2(x), self.branch3(x), self.branch4(x)], dim=1)


class GoogLeNet(Backbone):
    """Stem, nine inception modules, one dense layer, and two auxiliary heads if wanted.

    Args:
        parts: what it is made of.
        num_classes: K.
        in_channels: channels of the input pictures.
        width: multiplies the channels of every layer.
        dropout: share of the averaged maps that the head does not see in training.
        auxiliary: whether it has auxiliary heads.
    """

    def __init__(
        self,
        parts: Parts,
        num_classes: int = 1000,
        in_channels: int = 3,
        width: float = 1.0,
        dropout: float = 0.4,
        auxiliary: bool = False,
    ) -> None:
        super().__init__()
        narrow, channels, stride = scaled(64, width), scaled(192, width), 4
        self.stem = nn.Sequential(
            parts.convolution(in_channels, narrow, 7, stride=2),  # (N, C, H, W) -> (N, 64, H/2, W/2)
            parts.pool(3),  # -> (N, 64, H/4, W/4)
            parts.normalization(),
            parts.convolution(narrow, narrow, 1),
            parts.convolution(narrow, channels, 3),  # -> (N, 192, H/4, W/4)
            parts.normalization(),
        )
        self.feature_info = [FeatureInfo("stem", channels, stride)]
        self.stages = nn.ModuleDict()
        self.auxiliary_heads = nn.ModuleDict()
        for name, filters in MODULES.items():
            module = Inception(channels, [scaled(count, width) for count in filters], parts)
            self.stages[name] = module
            if name in parts.pool_sizes:
                self.stages[name] = nn.Sequential(parts.pool(parts.pool_sizes[name]), module)
                stride *= 2
            channels = module.out_channels
            self.feature_info.append(FeatureInfo(name, channels, stride))
        depths = {info.name: info.channels for info in self.feature_info}
        for head, seen in AUXILIARY.items() if auxiliary else ():
            self.auxiliary_heads[head] = auxiliary_head(depths[seen], num_classes, width, parts)
        self.head = nn.Sequential(nn.Dropout(dropout), nn.Linear(channels, num_classes))
        initialize(self, he_normal_)  # keeps the signal's size through ReLUs

    def features(self, x: Tensor) -> dict[str, Tensor]:
        x = self.stem(x)  # (N, C, H, W) -> (N, 192, H/4, W/4)
        maps = {"stem": x}
        for name, stage in self.stages.items():  # 3a, 4a and 5a halve the size
            x = maps[name] = stage(x)
        return maps

    def classify(self, features: dict[str, Tensor]) -> Tensor:
        logits: Tensor = self.head(global_average_pool(features["inception5b"]))
        return logits  # (N, 1024, H/32, W/32) -> (N, 1024) -> (N, K)

    def auxiliary(self, images: Tensor, features: dict[str, Tensor]) -> dict[str, Tensor]:
        """Logits (N, K) of the auxiliary heads: "auxiliary1" and "auxiliary2", or nothing without them."""
        return {name: head(features[AUXILIARY[name]]) for name, head in self.auxiliary_heads.items()}


def auxiliary_head(in_channels: int, num_classes: int, width: float, parts: Parts) -> nn.Sequential:
    """A small classifier of a map in the middle: (N, C, H/16, W/16) -> (N, K) (paper, section 5)."""
    channels, units = scaled(128, width), scaled(1024, width)
    return nn.Sequential(
        parts.auxiliary_pool(),  # (N, C, H/16, W/16) -> (N, C, 4, 4)
        parts.convolution(in_channels, channels, 1),  # -> (N, 128, 4, 4)
        nn.Flatten(),  # -> (N, 2048)
        nn.Linear(channels * 4 * 4, units),
        nn.ReLU(inplace=True),
        nn.Dropout(0.7),
        nn.Linear(units, num_classes),
    )


def conv_relu(in_channels: int, out_channels: int, kernel_size: int, stride: int = 1) -> nn.Sequential:
    """A SAME convolution with biases, and its ReLU."""
    return nn.Sequential(
        Conv2d(in_channels, out_channels, kernel_size, stride, padding="same"), nn.ReLU(inplace=True)
    )


def pool_from_14() -> nn.Sequential:
    """The paper's 5x5/3 averages of a 14x14 map, which is what 224x224 gives; others are brought to it."""
    return nn.Sequential(nn.AdaptiveAvgPool2d(14), nn.AvgPool2d(5, stride=3))


PAPER = Parts(
    convolution=conv_relu,
    normalization=LocalResponseNorm,
    pool=partial(MaxPool2d, stride=2, padding="same"),
    pool_sizes={"inception3a": 3, "inception4a": 3, "inception5a": 3},
    large=5,
    auxiliary_pool=pool_from_14,
)
TODAY = Parts(
    convolution=ConvNormAct,
    normalization=nn.Identity,
    pool=partial(nn.MaxPool2d, stride=2, ceil_mode=True),
    pool_sizes={"inception3a": 3, "inception4a": 3, "inception5a": 2},
    large=3,
    auxiliary_pool=partial(nn.AdaptiveAvgPool2d, 4),
)


def googlenet_2014(**options: Any) -> GoogLeNet:
    """The network of the paper, with local response normalization."""
    return GoogLeNet(PAPER, **options)


def googlenet(**options: Any) -> GoogLeNet:
    """With batch normalization instead, as torchvision has it."""
    network = GoogLeNet(TODAY, **{"dropout": 0.2, **options})
    set_batch_norm_eps(network, 1e-3)
    return network
