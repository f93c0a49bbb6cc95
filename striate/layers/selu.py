"""Layers that normalize themselves: SELU beside LeCun's first weights."""

from torch import Tensor, nn

from striate.layers.initialization import initialize, is_drawn, lecun_normal_
from striate.ops.arguments import check_number


class SELU(nn.SELU):
    """x -> 1.0507 * (x where x > 0, else 1.6733 * (e^x - 1)), for numbers of any shape.

    After a layer whose weights have variance 1 / fan_in (``lecun_normal_``) and whose biases are 0, it brings
    mean and variance of its input nearer to 0 and 1; so deep rows of such layers need no normalization.

    Source: Klambauer et al. 2017, "Self-normalizing neural networks", arXiv:1706.02515, equations 2 and 14.
    """


class SelfNormalizing(nn.Module):
    """A convolution or dense layer with LeCun's first weights and zero biases, SELU, and alpha dropout.

    Args:
        layer: the layer; its weights are drawn anew.
        dropout: the share of numbers set to SELU's negative limit in training, mean and variance restored.

    Raises:
        ValueError: ``dropout`` is no share in 0..1, or ``layer`` has no weights to draw.

    Source: as ``SELU``, and section "New dropout technique" there.
    """

    def __init__(self, layer: nn.Module, dropout: float = 0.0) -> None:
        super().__init__()
        check_number("dropout", dropout, 0, 1)
        if not isinstance(layer, nn.Module) or not any(map(is_drawn, layer.modules())):
            raise ValueError(f"layer has no weights to draw: {type(layer).__name__}")
        initialize(layer, lecun_normal_)
        self.layer = layer
        self.activation = SELU()
        self.dropout = nn.AlphaDropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        dropped: Tensor = self.dropout(self.activation(self.layer(x)))
        return dropped
