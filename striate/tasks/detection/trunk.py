"""A backbone of the catalogue as a detector uses it: its feature maps, without its classifier."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn

from striate.errors import InputError
from striate.models.backbone import Backbone, FeatureInfo
from striate.models.catalog import create_model

PLACE = "model.arguments.backbone"


def network(
    backbone: str | Backbone, in_channels: int, arguments: Mapping[str, Any] | None = None
) -> Backbone:
    """A network by name, or one that somebody has built, with its weights.

    Args:
        backbone: a name of the catalogue, or the network.
        in_channels: of the pictures; a network that is built already has its own.
        arguments: of its builder, beside classes and channels; a network that is built already has its own.

    Raises:
        InputError: there is no such network, or it takes no such argument.
    """
    if not isinstance(backbone, str):
        return backbone
    return create_model(backbone, in_channels=in_channels, **arguments or {})


def without_classifier(backbone: Backbone) -> Backbone:
    """The network, whose ``head`` is the identity from now on."""
    backbone.head = nn.Identity()
    return backbone


def last_maps(backbone: Backbone, strides: Sequence[int]) -> list[FeatureInfo]:
    """For each of the ``strides`` that the network has, the last of its feature maps, fine ones first.

    Raises:
        InputError: it has none of them.
    """
    last = {info.stride: info for info in backbone.feature_info}
    if maps := [last[stride] for stride in sorted(strides) if stride in last]:
        return maps
    raise InputError(
        f"the feature maps of this network have steps of {', '.join(map(str, sorted(last)))} pixels",
        PLACE,
        f"take one with steps of {' or '.join(map(str, strides))} pixels, such as resnet18",
    )


class FrozenBatchNorm2d(nn.Module):
    """Batch normalization by fixed statistics, scale and offset: (N, C, H, W) -> (N, C, H, W).

    Detectors learn from few large pictures at a time, whose statistics say little.

    Args:
        layer: whose values it takes over.
        eps: added to the variances; None is the layer's.
    """

    weight: Tensor
    bias: Tensor
    running_mean: Tensor
    running_var: Tensor

    def __init__(self, layer: nn.BatchNorm2d, eps: float | None = None) -> None:
        super().__init__()
        self.eps = layer.eps if eps is None else eps
        for name in ("weight", "bias", "running_mean", "running_var"):
            self.register_buffer(name, getattr(layer, name).detach().clone())

    def forward(self, x: Tensor) -> Tensor:
        return F.batch_norm(x, self.running_mean, self.running_var, self.weight, self.bias, eps=self.eps)

    def extra_repr(self) -> str:
        return f"{len(self.weight)}, eps={self.eps}"


def freeze_batch_norm(module: nn.Module, eps: float | None = None) -> None:
    """Put a ``FrozenBatchNorm2d`` in the place of every batch normalization inside ``module``."""
    for name, child in module.named_children():
        if isinstance(child, nn.BatchNorm2d):
            setattr(module, name, FrozenBatchNorm2d(child, eps))
        else:
            freeze_batch_norm(child, eps)
