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
        """Feature maps -> logits (N, K)."""

    def forward(self, x: Tensor) -> Tensor:
        """Pictures (N, C, H, W), float -> logits (N, K)."""
        return self.classify(self.features(x))
