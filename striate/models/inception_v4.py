"""Inception-v4: Inception made uniform and deep (Szegedy et al. 2016, arXiv:1602.07261).

Three kinds of modules, each repeated unchanged, with a reduction between them; even the stem has branches.
The paper asks whether inception modules need residual connections, and this is its network without them.

    x ─┬─ 1x1 ──────────────────────────────────┐
       ├─ 1x1 ─ 3x3 ────────────────────────────┤
       ├─ 1x1 ─ 3x3 ─ 3x3 ──────────────────────┼─ concatenate     ModuleA, at 35x35 (figure 4)
       └─ average 3x3 ─ 1x1 ────────────────────┘

    x ─┬─ 1x1 ──────────────────────────────────┐
       ├─ 1x1 ─ 1x7 ─ 7x1 ──────────────────────┤
       ├─ 1x1 ─ 7x1 ─ 1x7 ─ 7x1 ─ 1x7 ──────────┼─ concatenate     ModuleB, at 17x17 (figure 5)
       └─ average 3x3 ─ 1x1 ────────────────────┘

    x ─┬─ 1x1 ──────────────────────────────────┐
       ├─ 1x1 ─┬─ 1x3 ──────────────────────────┤
       │       └─ 3x1 ──────────────────────────┤
       ├─ 1x1 ─ 3x1 ─ 1x3 ─┬─ 1x3 ──────────────┼─ concatenate     ModuleC, at 8x8 (figure 6)
       │                   └─ 3x1 ──────────────┤
       └─ average 3x3 ─ 1x1 ────────────────────┘

    stem ─ 4 x A ─ ReductionA ─ 7 x B ─ ReductionB ─ 3 x C ─ average ─ dropout ─ dense (figure 9)

| variant      |     params | GMAC @299 |
| inception_v4 | 42,679,816 |    12.254 |

1xn and nx1 come in the order of the published weights, which is not everywhere that of the figures. There is
no padding where maps shrink: 299x299 ends as 8x8.

Shapes: N batch, C channels, H and W height and width of the input, K classes.
"""

from collections.abc import Callable
from typing import Any

from torch import Tensor, nn

from striate.layers import (
    AvgPool2d,
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


class Stem(nn.Sequential):
    """Figure 3: (N, C, 299, 299) -> (N, 384, 35, 35), three times halved, twice by two branches."""

    def __init__(self, in_channels: int, width: float) -> None:
        c32, c64, c96, c192 = (scaled(channels, width) for channels in (32, 64, 96, 192))
        narrow = convolutions(c64 + c96, (c64, 1))
        wide = convolutions(c64 + c96, (c64, 1), (c64, (1, 7)), (c64, (7, 1)))
        super().__init__(
            halving(in_channels, c32),  # 299 -> 149
            ConvNormAct(c32, c32, 3, padding="valid"),  # -> 147
            ConvNormAct(c32, c64, 3),
            Branches({"pool": nn.MaxPool2d(3, stride=2), "3x3": halving(c64, c96)}),  # -> 160@73
            Branches(
                {
                    "3x3": nn.Sequential(*narrow, ConvNormAct(c64, c96, 3, padding="valid")),
                    "7x7_3x3": nn.Sequential(*wide, ConvNormAct(c64, c96, 3, padding="valid")),
                }
            ),  # -> 192@71
            Branches({"3x3": halving(2 * c96, c192), "pool": nn.MaxPool2d(3, stride=2)}),  # -> 384@35
        )
        self.out_channels = c192 + 2 * c96


class ModuleA(Branches):
    """1x1, 3x3, two 3x3 and pooling side by side: (N, C_in, H, W) -> (N, C_out, H, W)."""

    def __init__(self, in_channels: int, width: float) -> None:
        c64, c96 = scaled(64, width), scaled(96, width)
        super().__init__(
            {
                "1x1": convolutions(in_channels, (c96, 1)),
                "3x3": convolutions(in_channels, (c64, 1), (c96, 3)),
                "3x3_3x3": convolutions(in_channels, (c64, 1), (c96, 3), (c96, 3)),
                "pool": nn.Sequential(average(), *convolutions(in_channels, (c96, 1))),
            }
        )
        self.out_channels = 4 * c96


class ReductionA(Branches):
    """3x3, two 3x3 and pooling, all with stride 2: (N, C_in, H, W) -> (N, C_out, (H-1)/2, (W-1)/2)."""

    def __init__(self, in_channels: int, width: float) -> None:
        c192, c224, c256, c384 = (scaled(channels, width) for channels in (192, 224, 256, 384))
        super().__init__(
            {
                "3x3": halving(in_channels, c384),
                "3x3_3x3": nn.Sequential(
                    *convolutions(in_channels, (c192, 1), (c224, 3)), halving(c224, c256)
                ),
                "pool": nn.MaxPool2d(3, stride=2),
            }
        )
        self.out_channels = c384 + c256 + in_channels


class ModuleB(Branches):
    """1x1, a factorized 7x7, two of them, and pooling: (N, C_in, H, W) -> (N, C_out, H, W)."""

    def __init__(self, in_channels: int, width: float) -> None:
        c128, c192, c224, c256, c384 = (scaled(channels, width) for channels in (128, 192, 224, 256, 384))
        flat, tall = (1, 7), (7, 1)
        twice = (c192, 1), (c192, tall), (c224, flat), (c224, tall), (c256, flat)
        super().__init__(
            {
                "1x1": convolutions(in_channels, (c384, 1)),
                "7x7": convolutions(in_channels, (c192, 1), (c224, flat), (c256, tall)),
                "7x7_7x7": convolutions(in_channels, *twice),
                "pool": nn.Sequential(average(), *convolutions(in_channels, (c128, 1))),
            }
        )
        self.out_channels = c384 + c256 + c256 + c128


class ReductionB(Branches):
    """3x3, 7x7 and 3x3, and pooling, all with stride 2: (N, C_in, H, W) -> (N, C_out, (H-1)/2, (W-1)/2)."""

    def __init__(self, in_channels: int, width: float) -> None:
        c192, c256, c320 = (scaled(channels, width) for channels in (192, 256, 320))
        wide = convolutions(in_channels, (c256, 1), (c256, (1, 7)), (c320, (7, 1)))
        super().__init__(
            {
                "3x3": nn.Sequential(*convolutions(in_channels, (c192, 1)), halving(c192, c192)),
                "7x7_3x3": nn.Sequential(*wide, halving(c320, c320)),
                "pool": nn.MaxPool2d(3, stride=2),
            }
        )
        self.out_channels = c192 + c320 + in_channels


class ModuleC(Branches):
    """Branches that fork once more, for many coarse maps: (N, C_in, H, W) -> (N, C_out, H, W)."""

    def __init__(self, in_channels: int, width: float) -> None:
        c256, c384, c448, c512 = (scaled(channels, width) for channels in (256, 384, 448, 512))
        factorized = convolutions(in_channels, (c384, 1), (c448, (3, 1)), (c512, (1, 3)))
        super().__init__(
            {
                "1x1": convolutions(in_channels, (c256, 1)),
                "3x3": nn.Sequential(*convolutions(in_channels, (c384, 1)), fork(c384, c256)),
                "3x3_3x3": nn.Sequential(*factorized, fork(c512, c256)),
                "pool": nn.Sequential(average(), *convolutions(in_channels, (c256, 1))),
            }
        )
        self.out_channels = 6 * c256


def average() -> AvgPool2d:
    """3x3 means of the maps alone: at the border over fewer places (Inception-v3 here counts zeros there)."""
    return AvgPool2d(3, stride=1, padding="same")


Module = ModuleA | ReductionA | ModuleB | ReductionB | ModuleC


def modules(depths: tuple[int, int, int]) -> list[tuple[str, Callable[..., Module], int]]:
    """Name, class and stride of each module of a network with so many of A, B and C."""
    a, b, c = depths
    return [
        *((f"inception_a{index + 1}", ModuleA, 8) for index in range(a)),
        ("reduction_a", ReductionA, 16),
        *((f"inception_b{index + 1}", ModuleB, 16) for index in range(b)),
        ("reduction_b", ReductionB, 32),
        *((f"inception_c{index + 1}", ModuleC, 32) for index in range(c)),
    ]


class InceptionV4(Backbone):
    """A stem, fourteen modules and two reductions, one dense layer.

    Args:
        depths: how many modules A, B and C.
        num_classes: K.
        in_channels: channels of the input pictures.
        width: multiplies the channels of every layer.
        dropout: share of the pooled features that is dropped in training; the paper keeps 0.8.
    """

    def __init__(
        self,
        depths: tuple[int, int, int] = (4, 7, 3),
        num_classes: int = 1000,
        in_channels: int = 3,
        width: float = 1.0,
        dropout: float = 0.2,
    ) -> None:
        super().__init__()
        stem = Stem(in_channels, width)
        self.stem, channels = stem, stem.out_channels
        self.stages = nn.ModuleDict()
        self.feature_info = [FeatureInfo("stem", channels, stride=8)]
        for name, build, stride in modules(depths):
            module = build(channels, width)
            channels = module.out_channels
            self.stages[name] = module
            self.feature_info.append(FeatureInfo(name, channels, stride))
        self.head = nn.Sequential(nn.Dropout(dropout), nn.Linear(channels, num_classes))
        initialize(self, he_normal_)  # keeps the signal's size through ReLUs
        set_batch_norm_eps(self, 1e-3)

    def features(self, x: Tensor) -> dict[str, Tensor]:
        maps = {"stem": self.stem(x)}  # (N, C, 299, 299) -> (N, 384, 35, 35)
        x = maps["stem"]
        for name, stage in self.stages.items():  # -> 384@35 -> 1024@17 -> 1536@8
            x = maps[name] = stage(x)
        return maps

    def classify(self, features: dict[str, Tensor]) -> Tensor:
        logits: Tensor = self.head(global_average_pool(features[self.feature_info[-1].name]))
        return logits  # (N, 1536, 8, 8) -> (N, 1536) -> (N, K)


def inception_v4(**options: Any) -> InceptionV4:
    """The network of figure 9, as timm has it."""
    return InceptionV4(**options)
