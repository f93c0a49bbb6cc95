"""Inception-v3: wide filters factorized into narrow ones (Szegedy et al. 2015, arXiv:1512.00567).

Two 3x3 convolutions see what one 5x5 sees and cost 18/25 of it; 1x7 and 7x1 in a row see what 7x7 sees
and cost 2/7. Where the maps become smaller, a strided convolution and pooling work side by side, so that
neither their cost nor their loss of detail is a bottleneck. The paper also brought label smoothing.

    x ─┬─ 1x1 ──────────────────────────────────┐
       ├─ 1x1 ─ 5x5 ────────────────────────────┤
       ├─ 1x1 ─ 3x3 ─ 3x3 ──────────────────────┼─ concatenate     ModuleA, at 35x35 (figure 5)
       └─ average 3x3 ─ 1x1 ────────────────────┘

    x ─┬─ 1x1 ──────────────────────────────────┐
       ├─ 1x1 ─ 1x7 ─ 7x1 ──────────────────────┤
       ├─ 1x1 ─ 7x1 ─ 1x7 ─ 7x1 ─ 1x7 ──────────┼─ concatenate     ModuleB, at 17x17 (figure 6)
       └─ average 3x3 ─ 1x1 ────────────────────┘

    x ─┬─ 1x1 ──────────────────────────────────┐
       ├─ 1x1 ─┬─ 1x3 ──────────────────────────┤
       │       └─ 3x1 ──────────────────────────┤
       ├─ 1x1 ─ 3x3 ─┬─ 1x3 ────────────────────┼─ concatenate     ModuleC, at 8x8 (figure 7)
       │             └─ 3x1 ────────────────────┤
       └─ average 3x3 ─ 1x1 ────────────────────┘

| variant                       |     params | GMAC @299 |
| inception_v3                  | 23,834,568 |     5.713 |
| inception_v3, auxiliary=True  | 27,161,264 |     5.713 |

The auxiliary head, on the last 17x17 maps (figure 8), works in training only and is not counted in GMAC.
The paper's figures and table 1 are a sketch; widths, and the 5x5 that ModuleA keeps, are those of the
published network, in torchvision's form. Without padding where maps shrink: 299x299 ends as 8x8.

Shapes: N batch, C channels, H and W height and width of the input, K classes.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

from torch import Tensor, nn

from striate.layers import (
    Branches,
    ConvNormAct,
    convolutions,
    fork,
    global_average_pool,
    halving,
    he_normal_,
    initialize,
    set_batch_norm_eps,
)
from striate.models.backbone import Backbone, FeatureInfo, scaled


def average() -> nn.AvgPool2d:
    """3x3 means; the zeros around the maps count, as in torchvision (they do not in TensorFlow)."""
    return nn.AvgPool2d(3, stride=1, padding=1)


class ModuleA(Branches):
    """1x1, 5x5, two 3x3 and pooling side by side: (N, C_in, H, W) -> (N, C_out, H, W)."""

    def __init__(self, in_channels: int, pooled: int, width: float) -> None:
        c48, c64, c96, pooled = (scaled(channels, width) for channels in (48, 64, 96, pooled))
        super().__init__(
            {
                "1x1": convolutions(in_channels, (c64, 1)),
                "5x5": convolutions(in_channels, (c48, 1), (c64, 5)),
                "3x3_3x3": convolutions(in_channels, (c64, 1), (c96, 3), (c96, 3)),
                "pool": nn.Sequential(average(), *convolutions(in_channels, (pooled, 1))),
            }
        )
        self.out_channels = c64 + c64 + c96 + pooled


class ReductionA(Branches):
    """3x3, two 3x3 and pooling, all with stride 2: (N, C_in, H, W) -> (N, C_out, (H-1)/2, (W-1)/2)."""

    def __init__(self, in_channels: int, width: float) -> None:
        c64, c96, c384 = (scaled(channels, width) for channels in (64, 96, 384))
        super().__init__(
            {
                "3x3": halving(in_channels, c384),
                "3x3_3x3": nn.Sequential(*convolutions(in_channels, (c64, 1), (c96, 3)), halving(c96, c96)),
                "pool": nn.MaxPool2d(3, stride=2),
            }
        )
        self.out_channels = c384 + c96 + in_channels


class ModuleB(Branches):
    """1x1, a factorized 7x7, two of them, and pooling: (N, C_in, H, W) -> (N, C_out, H, W)."""

    def __init__(self, in_channels: int, narrow: int, width: float) -> None:
        c, c192 = scaled(narrow, width), scaled(192, width)
        flat, tall = (1, 7), (7, 1)
        super().__init__(
            {
                "1x1": convolutions(in_channels, (c192, 1)),
                "7x7": convolutions(in_channels, (c, 1), (c, flat), (c192, tall)),
                "7x7_7x7": convolutions(in_channels, (c, 1), (c, tall), (c, flat), (c, tall), (c192, flat)),
                "pool": nn.Sequential(average(), *convolutions(in_channels, (c192, 1))),
            }
        )
        self.out_channels = 4 * c192


class ReductionB(Branches):
    """3x3, 7x7 and 3x3, and pooling, all with stride 2: (N, C_in, H, W) -> (N, C_out, (H-1)/2, (W-1)/2)."""

    def __init__(self, in_channels: int, width: float) -> None:
        c192, c320 = scaled(192, width), scaled(320, width)
        wide = convolutions(in_channels, (c192, 1), (c192, (1, 7)), (c192, (7, 1)))
        super().__init__(
            {
                "3x3": nn.Sequential(*convolutions(in_channels, (c192, 1)), halving(c192, c320)),
                "7x7_3x3": nn.Sequential(*wide, halving(c192, c192)),
                "pool": nn.MaxPool2d(3, stride=2),
            }
        )
        self.out_channels = c320 + c192 + in_channels


class ModuleC(Branches):
    """Branches that fork once more, for many coarse maps: (N, C_in, H, W) -> (N, C_out, H, W)."""

    def __init__(self, in_channels: int, width: float) -> None:
        c192, c320, c384, c448 = (scaled(channels, width) for channels in (192, 320, 384, 448))
        super().__init__(
            {
                "1x1": convolutions(in_channels, (c320, 1)),
                "3x3": nn.Sequential(*convolutions(in_channels, (c384, 1)), fork(c384, c384)),
                "3x3_3x3": nn.Sequential(*convolutions(in_channels, (c448, 1), (c384, 3)), fork(c384, c384)),
                "pool": nn.Sequential(average(), *convolutions(in_channels, (c192, 1))),
            }
        )
        self.out_channels = c320 + 2 * c384 + 2 * c384 + c192


def auxiliary_head(in_channels: int, num_classes: int, width: float) -> nn.Sequential:
    """A second classifier halfway, which regularizes in training: (N, C_in, 17, 17) -> (N, K)."""
    c128, c768 = scaled(128, width), scaled(768, width)
    return nn.Sequential(
        nn.AdaptiveAvgPool2d(17),  # changes nothing at 299x299; lets other sizes in
        nn.AvgPool2d(5, stride=3),  # (N, 768, 17, 17) -> (N, 768, 5, 5)
        ConvNormAct(in_channels, c128, 1),
        ConvNormAct(c128, c768, 5, padding="valid"),  # (N, 128, 5, 5) -> (N, 768, 1, 1)
        nn.Flatten(),
        nn.Linear(c768, num_classes),  # (N, 768) -> (N, K)
    )


Module = ModuleA | ReductionA | ModuleB | ReductionB | ModuleC

MODULES: tuple[tuple[str, Callable[..., Module], int], ...] = (  # name, what builds it, stride of its maps
    ("mixed5b", partial(ModuleA, pooled=32), 8),
    ("mixed5c", partial(ModuleA, pooled=64), 8),
    ("mixed5d", partial(ModuleA, pooled=64), 8),
    ("mixed6a", ReductionA, 16),
    ("mixed6b", partial(ModuleB, narrow=128), 16),
    ("mixed6c", partial(ModuleB, narrow=160), 16),
    ("mixed6d", partial(ModuleB, narrow=160), 16),
    ("mixed6e", partial(ModuleB, narrow=192), 16),
    ("mixed7a", ReductionB, 32),
    ("mixed7b", ModuleC, 32),
    ("mixed7c", ModuleC, 32),
)


class InceptionV3(Backbone):
    """A stem, eleven modules at three scales, one dense layer.

    Args:
        num_classes: K.
        in_channels: channels of the input pictures.
        width: multiplies the channels of every layer.
        dropout: share of the pooled features that is dropped in training.
        auxiliary: with a second classifier on ``mixed6e``, for training only.
    """

    def __init__(
        self,
        num_classes: int = 1000,
        in_channels: int = 3,
        width: float = 1.0,
        dropout: float = 0.5,
        auxiliary: bool = False,
    ) -> None:
        super().__init__()
        c32, c64, c80, channels = (scaled(channels, width) for channels in (32, 64, 80, 192))
        self.stem = nn.Sequential(
            halving(in_channels, c32),  # 299 -> 149
            ConvNormAct(c32, c32, 3, padding="valid"),  # -> 147
            ConvNormAct(c32, c64, 3),
            nn.MaxPool2d(3, stride=2),  # -> 73
            ConvNormAct(c64, c80, 1),
            ConvNormAct(c80, channels, 3, padding="valid"),  # -> 71
            nn.MaxPool2d(3, stride=2),  # -> 35
        )
        self.stages = nn.ModuleDict()
        self.feature_info = [FeatureInfo("stem", channels, stride=8)]
        for name, build, stride in MODULES:
            module = build(channels, width=width)
            channels = module.out_channels
            self.stages[name] = module
            self.feature_info.append(FeatureInfo(name, channels, stride))
        self.head = nn.Sequential(nn.Dropout(dropout), nn.Linear(channels, num_classes))
        halfway = next(info.channels for info in self.feature_info if info.name == "mixed6e")
        self.auxiliary_head = auxiliary_head(halfway, num_classes, width) if auxiliary else None
        initialize(self, he_normal_)  # keeps the signal's size through ReLUs
        set_batch_norm_eps(self, 1e-3)

    def features(self, x: Tensor) -> dict[str, Tensor]:
        maps = {"stem": self.stem(x)}  # (N, C, 299, 299) -> (N, 192, 35, 35)
        x = maps["stem"]
        for name, stage in self.stages.items():  # -> 288@35 -> 768@17 -> 2048@8
            x = maps[name] = stage(x)
        return maps

    def classify(self, features: dict[str, Tensor]) -> Tensor:
        logits: Tensor = self.head(global_average_pool(features["mixed7c"]))
        return logits  # (N, 2048, 8, 8) -> (N, 2048) -> (N, K)

    def auxiliary(self, images: Tensor, features: dict[str, Tensor]) -> dict[str, Tensor]:
        if self.auxiliary_head is None:
            return {}
        return {"auxiliary1": self.auxiliary_head(features["mixed6e"])}


def inception_v3(**options: Any) -> InceptionV3:
    """The network as torchvision has it."""
    return InceptionV3(**options)
