"""The contract of every network: named feature maps first, class scores from them second."""

from abc import ABC, abstractmethod
from dataclasses import dataclass

from torch import Tensor, nn


@dataclass(frozen=True)
class FeatureInfo:
    """One named feature map: its channels, and how many input pixels one of its steps covers."""

    name: str
    channels: int
    stride: int


class Backbone(nn.Module, ABC):
    """A convolutional network whose intermediate feature maps have names.

    ``features`` gives them in order, ``classify`` turns them into class scores, ``forward`` is the two
    in a row. Probing, explaining, detection and segmentation all start from the same dictionary.

    Attributes:
        feature_info: name, channels and stride of each feature map, in the order of ``features``.
    """

    feature_info: list[FeatureInfo]

    @abstractmethod
    def features(self, x: Tensor) -> dict[str, Tensor]:
        """Pictures (N, C, H, W), float -> feature maps by name, each (N, channels, ~H/stride, ~W/stride)."""

    @abstractmethod
    def classify(self, features: dict[str, Tensor]) -> Tensor:
        """Feature maps -> logits (N, K); the last map is enough."""

    def auxiliary(self, images: Tensor, features: dict[str, Tensor]) -> dict[str, Tensor]:
        """What only the loss in training needs, by name; most networks have nothing.

        Names that begin with "auxiliary" are logits (N, K) of heads on earlier feature maps; "logits" stand
        in for those of ``classify``, where they come out on the way.
        """
        return {}

    def forward(self, x: Tensor) -> Tensor:
        """Pictures (N, C, H, W), float -> logits (N, K)."""
        return self.classify(self.features(x))


def scaled(channels: int, width: float) -> int:
    """``channels`` times a width multiplier: 1.0 is the network of the paper, 0.25 a slim one for tests."""
    return max(1, round(channels * width))
