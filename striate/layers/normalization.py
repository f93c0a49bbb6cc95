"""Local response normalization. (Batch normalization is torch's: ``nn.BatchNorm2d``.)"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from striate.layers.box_head import exactly
from striate.ops.arguments import check_above_zero, check_number
from striate.ops.padding import is_whole


class LocalResponseNorm(nn.Module):
    """Strongly active maps inhibit their neighbours: (N, C, H, W) -> (N, C, H, W).

        b_i = a_i * (k + alpha * sum_{j = max(0, i - r)}^{min(i + r, C - 1)} a_j^2) ^ -beta

    with r = ``depth_radius``, at each pixel. This is TensorFlow's meaning of alpha; torch's own layer
    divides it by its window, so that it needs ``size = 2 r + 1`` and ``alpha * (2 r + 1)``. The defaults
    are the usual ones for AlexNet.

    Args:
        depth_radius: how many maps before and after count as neighbours.
        alpha: weight of their squares, at least 0.
        beta: exponent.
        k: keeps the base away from zero.

    Numbers of 16 bits are computed in float32, under autocast too, and rounded at the end: there the base,
    which is hardly more than k, would lose what distinguishes it from k.

    Raises:
        ValueError: a number that cannot be, or, in ``forward``, x of another shape.

    Source: Krizhevsky et al. 2012, "ImageNet classification with deep convolutional neural networks",
    section 3.3.
    """

    def __init__(
        self, depth_radius: int = 2, alpha: float = 2e-5, beta: float = 0.75, k: float = 1.0
    ) -> None:
        super().__init__()
        if not is_whole(depth_radius) or depth_radius < 0:
            raise ValueError(f"depth_radius must be whole and at least 0, not {depth_radius!r}")
        check_number("alpha", alpha, 0)
        check_number("beta", beta)
        check_above_zero("k", k)
        self.depth_radius = depth_radius
        self.alpha = alpha
        self.beta = beta
        self.k = k

    def forward(self, x: Tensor) -> Tensor:
        # The sum over neighbours is a 1x1 convolution with a band of ones and k for its bias: two to three
        # times faster than torch's 3-D average pooling in either memory format, as exact as convolutions are.
        # Alpha goes in before squaring, so that large activations do not overflow.
        if x.ndim != 4:
            raise ValueError(f"x must be (N, C, H, W), not {tuple(x.shape)}")
        channels, r = x.shape[1], self.depth_radius
        with exactly(x.device.type):
            wide = x.float() if x.dtype in (torch.bfloat16, torch.float16) else x
            squares = (wide * math.sqrt(self.alpha)).square()
            band = wide.new_ones(channels, channels).triu(-r).tril(r)
            base = F.conv2d(squares, band[:, :, None, None], wide.new_full((channels,), self.k))
            return (wide * base.pow(-self.beta)).to(x.dtype)

    def extra_repr(self) -> str:
        return f"depth_radius={self.depth_radius}, alpha={self.alpha}, beta={self.beta}, k={self.k}"


def set_batch_norm_eps(module: nn.Module, eps: float) -> None:
    """Give every batch normalization in ``module`` this epsilon (torch's is 1e-5, TensorFlow's 1e-3).

    Raises:
        ValueError: ``eps`` is not above 0 and finite.
    """
    check_above_zero("eps", eps)
    for layer in module.modules():
        if isinstance(layer, nn.BatchNorm2d):
            layer.eps = eps
