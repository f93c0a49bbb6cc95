"""LeNet-5: the first convolutional network in daily use (LeCun et al. 1998, "Gradient-based learning
applied to document recognition", section II.B and figure 2; read millions of bank cheques).

    32x32 ─ C1 6@28 ─ S2 6@14 ─ C3 16@10 ─ S4 16@5 ─ C5 120@1 ─ F6 84 ─ output 10

Convolutions are 5x5 without padding: a 28x28 digit is set in 32x32, so that strokes near the border
reach the middle of a filter.

| variant     | params | what                                                                          |
| lenet5_1998 | 60,000 | C3 sees chosen maps only (table I), pooling has a weight and a bias per map,  |
|             |        | scaled tanh, the output is the distance to a drawing of each class            |
| lenet5      | 61,706 | full C3, average pooling, tanh, a dense output: how it is usually built today |

Shapes: N batch, C channels, H and W height and width of the input, K classes.
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from striate.layers import Conv2d, PartiallyConnectedConv2d, RadialBasis, ScaledAvgPool2d, global_average_pool
from striate.models.backbone import Backbone, FeatureInfo

# Table I of the paper: which of the six S2 maps (columns) each of the sixteen C3 maps (rows) sees.
C3_CONNECTIONS = [
    [0, 1, 2], [1, 2, 3], [2, 3, 4], [3, 4, 5], [0, 4, 5], [0, 1, 5],
    [0, 1, 2, 3], [1, 2, 3, 4], [2, 3, 4, 5], [0, 3, 4, 5], [0, 1, 4, 5], [0, 1, 2, 5],
    [0, 1, 3, 4], [1, 2, 4, 5], [0, 2, 3, 5],
    [0, 1, 2, 3, 4, 5],
]  # fmt: skip

# The targets of the output layer: each digit drawn in 7x12 pixels, in the manner of the paper's figure 3.
DIGITS = """
.#####. ...##.. .#####. ####### ....##. ####### ..####. ####### .#####. .#####.
##...## ..###.. ##...## .....## ...###. ##..... .##.... ##...## ##...## ##...##
##...## .####.. .....## ....##. ..####. ##..... ##..... .....## ##...## ##...##
##...## ...##.. .....## ...##.. .##.##. ##..... ##..... .....## ##...## ##...##
##...## ...##.. ....##. ..####. ##..##. ######. ######. ....##. .##.##. ##...##
##...## ...##.. ...##.. .....## ##..##. ##...## ##...## ....##. ..###.. .######
##...## ...##.. ..##... .....## ####### .....## ##...## ...##.. .##.##. .....##
##...## ...##.. .##.... .....## ....##. .....## ##...## ...##.. ##...## .....##
##...## ...##.. ##..... .....## ....##. .....## ##...## ..##... ##...## .....##
##...## ...##.. ##..... ##...## ....##. ##...## ##...## ..##... ##...## ....##.
##...## ...##.. ##..... ##...## ....##. ##...## ##...## ..##... ##...## ...##..
.#####. .###### ####### .#####. ....##. .#####. .#####. ..##... .#####. .###...
"""


class LeNet5(Backbone):
    """Two convolution and pooling pairs, a convolution that sees all that is left, and two dense layers.

    Args:
        sixth: F6 and what follows it, (N, 120) -> (N, K).
        third: C3, from 6 to 16 maps.
        pool: builds the subsampling of so many maps.
        activation: builds the activation.
        in_channels: channels of the input pictures.
    """

    def __init__(
        self,
        third: nn.Module,
        pool: Callable[[int], nn.Module],
        activation: Callable[[], nn.Module],
        head: nn.Module,
        in_channels: int,
    ) -> None:
        super().__init__()
        self.stem = nn.Sequential(Conv2d(in_channels, 6, 5, padding="valid"), activation())  # C1
        self.stages = nn.ModuleDict(
            {
                "stage1": nn.Sequential(pool(6), activation()),  # S2
                "stage2": nn.Sequential(third, activation()),  # C3
                "stage3": nn.Sequential(pool(16), activation()),  # S4
                "stage4": nn.Sequential(Conv2d(16, 120, 5, padding="valid"), activation()),  # C5
            }
        )
        self.head = head
        self.feature_info = [
            FeatureInfo("stem", channels=6, stride=1),
            FeatureInfo("stage1", channels=6, stride=2),
            FeatureInfo("stage2", channels=16, stride=2),
            FeatureInfo("stage3", channels=16, stride=4),
            FeatureInfo("stage4", channels=120, stride=4),
        ]

    def features(self, x: Tensor) -> dict[str, Tensor]:
        maps = {"stem": self.stem(x)}  # (N, C, 32, 32) -> (N, 6, 28, 28)
        x = maps["stem"]
        for name, stage in self.stages.items():  # -> 6@14 -> 16@10 -> 16@5 -> 120@1
            x = maps[name] = stage(x)
        return maps

    def classify(self, features: dict[str, Tensor]) -> Tensor:
        # At 32x32 there is one position to average; larger pictures are seen at several.
        logits: Tensor = self.head(global_average_pool(features["stage4"]))  # (N, 120) -> (N, K)
        return logits


class ScaledTanh(nn.Module):
    """A tanh(S x) with A = 1.7159 and S = 2/3, so that f(1) = 1 and f(-1) = -1 (paper, appendix A)."""

    def forward(self, x: Tensor) -> Tensor:
        return 1.7159 * torch.tanh(x * (2 / 3))


class Distances(nn.Module):
    """The output of 1998: minus the squared distance of F6 to a fixed +1 / -1 drawing of each class.

    Minus the distances are logits: cross-entropy on them is the paper's discriminative loss (eq. 9)
    without its constant for rubbish.
    """

    def __init__(self, num_classes: int) -> None:
        super().__init__()
        self.basis = RadialBasis(84, num_classes, trainable=False)
        self.basis.weight.copy_(class_codes(num_classes))

    def forward(self, x: Tensor) -> Tensor:
        distances: Tensor = self.basis(x)
        return -distances  # (N, 84) -> (N, K)


def class_codes(num_classes: int) -> Tensor:
    """Targets (K, 84) of +1 and -1: drawn digits for up to ten classes, else fixed random codes."""
    if num_classes <= 10:
        rows = [line.split() for line in DIGITS.strip().splitlines()]
        drawings = ["".join(row[digit] for row in rows) for digit in range(num_classes)]
        return torch.tensor([[1.0 if pixel == "#" else -1.0 for pixel in drawing] for drawing in drawings])
    bits = torch.randint(0, 2, (num_classes, 84), generator=torch.Generator().manual_seed(1998))
    return bits.float() * 2 - 1


def connection_table() -> list[list[int]]:
    """Table I as 16 rows of six zeros and ones."""
    return [[int(column in columns) for column in range(6)] for columns in C3_CONNECTIONS]


def lenet5_1998(num_classes: int = 10, in_channels: int = 1) -> LeNet5:
    """The network of the paper."""
    return LeNet5(
        third=PartiallyConnectedConv2d(connection_table(), 5),
        pool=ScaledAvgPool2d,
        activation=ScaledTanh,
        head=nn.Sequential(nn.Linear(120, 84), ScaledTanh(), Distances(num_classes)),
        in_channels=in_channels,
    )


def lenet5(num_classes: int = 10, in_channels: int = 1) -> LeNet5:
    """The network as it is usually built today."""
    return LeNet5(
        third=Conv2d(6, 16, 5, padding="valid"),
        pool=lambda channels: nn.AvgPool2d(2),
        activation=nn.Tanh,
        head=nn.Sequential(nn.Linear(120, 84), nn.Tanh(), nn.Linear(84, num_classes)),
        in_channels=in_channels,
    )
