"""First weights: random with the variance that keeps signals alive, or an interpolation.

    Glorot   variance 1 / fan_avg    for none, tanh, sigmoid, softmax
    He       variance 2 / fan_in     for ReLU and its kin, which drop half of the signal
    LeCun    variance 1 / fan_in     for SELU

fan_in counts the inputs of one output, fan_out the outputs of one input, fan_avg is their mean. A uniform
distribution has that variance within r = sqrt(3 * variance).
"""

import functools
import math
from collections.abc import Callable

import torch
from torch import Generator, Tensor, nn

from striate.layers.convolution import PartiallyConnectedConv2d
from striate.ops.padding import check_counts


def fans(weight: Tensor, groups: int = 1) -> tuple[int, int]:
    """(fan_in, fan_out) of a dense (out, in) or convolution (out, in / groups, *kernel) weight.

    Raises:
        ValueError: the weight has other axes or none of a size, or ``groups`` does not divide its outputs.
    """
    if weight.ndim < 2 or not weight.numel():
        raise ValueError(f"weight must be (out, in, *kernel), not {tuple(weight.shape)}")
    check_counts(groups=groups)
    if weight.shape[0] % groups:
        raise ValueError(f"groups={groups} does not divide the {weight.shape[0]} outputs of the weight")
    area = math.prod(weight.shape[2:])
    return weight.shape[1] * area, weight.shape[0] // groups * area


def glorot_uniform_(weight: Tensor, groups: int = 1, *, generator: Generator | None = None) -> Tensor:
    """Fill with uniform numbers of variance 1 / fan_avg (Glorot and Bengio 2010, equation 16).

    Args:
        weight: dense (out, in) or convolution (out, in / groups, *kernel), changed in place.
        groups: of the convolution; for a depthwise one its input channels.
        generator: source of randomness; None is torch's own.
    """
    return _uniform(weight, 2 / sum(fans(weight, groups)), generator)


def glorot_normal_(weight: Tensor, groups: int = 1, *, generator: Generator | None = None) -> Tensor:
    """Fill with normal numbers of variance 1 / fan_avg (Glorot and Bengio 2010, equation 12).

    Arguments as in ``glorot_uniform_``.
    """
    return _normal(weight, 2 / sum(fans(weight, groups)), generator)


def he_uniform_(weight: Tensor, *, generator: Generator | None = None) -> Tensor:
    """Fill with uniform numbers of variance 2 / fan_in (He et al. 2015, arXiv:1502.01852, equation 10).

    Args:
        weight: dense (out, in) or convolution (out, in / groups, *kernel), changed in place.
        generator: source of randomness; None is torch's own.
    """
    return _uniform(weight, 2 / fans(weight)[0], generator)


def he_normal_(weight: Tensor, *, generator: Generator | None = None) -> Tensor:
    """Fill with normal numbers of variance 2 / fan_in (He et al. 2015, arXiv:1502.01852, equation 10).

    Arguments as in ``he_uniform_``.
    """
    return _normal(weight, 2 / fans(weight)[0], generator)


def lecun_uniform_(weight: Tensor, *, generator: Generator | None = None) -> Tensor:
    """Fill with uniform numbers of variance 1 / fan_in (LeCun et al. 1998, "Efficient backprop", eq. 16).

    Arguments as in ``he_uniform_``.
    """
    return _uniform(weight, 1 / fans(weight)[0], generator)


def lecun_normal_(weight: Tensor, *, generator: Generator | None = None) -> Tensor:
    """Fill with normal numbers of variance 1 / fan_in (LeCun et al. 1998, "Efficient backprop", eq. 16).

    Arguments as in ``he_uniform_``.
    """
    return _normal(weight, 1 / fans(weight)[0], generator)


def _uniform(weight: Tensor, variance: float, generator: Generator | None) -> Tensor:
    bound = math.sqrt(3 * variance)
    with torch.no_grad():
        return weight.uniform_(-bound, bound, generator=generator)


def _normal(weight: Tensor, variance: float, generator: Generator | None) -> Tensor:
    with torch.no_grad():
        return weight.normal_(0, math.sqrt(variance), generator=generator)


def bilinear_(weight: Tensor) -> Tensor:
    """Fill a transposed convolution's weight so that each channel is interpolated linearly.

    With ``kernel_size = 2 * stride - stride % 2`` and SAME padding the layer enlarges by its stride, pixel
    centres as in ``F.interpolate(mode="bilinear")``; near the border it fades to zero.

    Args:
        weight: (C, C, *kernel), or (C, 1, *kernel) where each channel is its own group; changed in place.

    Raises:
        ValueError: the weight has neither shape.

    Source: Long et al. 2014, "Fully convolutional networks", arXiv:1411.4038, section 4.3.
    """
    if weight.ndim < 3:
        raise ValueError(f"weight must be (C, C or 1, *kernel), not {tuple(weight.shape)}")
    channels, outputs = weight.shape[:2]
    if outputs not in (1, channels):
        raise ValueError(f"interpolation keeps the channels, a weight {tuple(weight.shape)} does not")
    tents = [_tent(size).to(weight) for size in weight.shape[2:]]
    kernel = functools.reduce(lambda left, right: left[..., None] * right, tents)
    with torch.no_grad():
        if outputs == 1:
            return weight.copy_(kernel.expand_as(weight))
        weight.zero_().diagonal().copy_(kernel[..., None].expand(*kernel.shape, channels))
        return weight


def _tent(size: int) -> Tensor:
    """Linear interpolation's weights: they fall from the middle to zero just past half the kernel."""
    reach = (size + 1) // 2
    places = torch.arange(size) - (size - 1) / 2
    return 1 - places.abs() / reach


def initialize(module: nn.Module, weight_init: Callable[[Tensor], object]) -> None:
    """Give every convolution and dense layer in a module new weights, and zero biases.

    Args:
        module: any module; its other layers (normalization, ...) are left alone.
        weight_init: fills a weight (out, in, *kernel) in place: one of this file, of ``torch.nn.init``, or
            such with options, as ``functools.partial(nn.init.normal_, std=0.01)``. Each group of a grouped
            convolution is filled as the convolution that it is; transposed ones are seen as (out, in,
            *kernel); a partially connected one is filled as the dense one in which it lies.

    Raises:
        ValueError: ``weight_init`` cannot be called.
    """
    if not callable(weight_init):
        raise ValueError(f"weight_init must fill a weight in place, {weight_init!r} cannot be called")
    with torch.no_grad():
        for layer in module.modules():
            if any(parameter.is_meta for parameter in layer.parameters(recurse=False)):
                continue  # it has no values yet; pretending to draw them costs seconds
            if isinstance(layer, PartiallyConnectedConv2d):
                dense = layer.dense_weight()
                weight_init(dense)
                layer.weight.copy_(dense.flatten(0, 1)[layer.positions])
                layer.bias.zero_()
            elif isinstance(layer, nn.Linear | _Convolution | _TransposedConvolution):
                for weight in _weights_of_groups(layer):
                    weight_init(weight)
                if layer.bias is not None:
                    layer.bias.zero_()


def is_drawn(layer: nn.Module) -> bool:
    """Whether it is one of the layers whose weights ``initialize`` draws."""
    kinds = nn.Linear | _Convolution | _TransposedConvolution | PartiallyConnectedConv2d
    return isinstance(layer, kinds)


_Convolution = nn.Conv1d | nn.Conv2d | nn.Conv3d
_TransposedConvolution = nn.ConvTranspose1d | nn.ConvTranspose2d | nn.ConvTranspose3d


def _weights_of_groups(layer: nn.Linear | _Convolution | _TransposedConvolution) -> list[Tensor]:
    """Views (out / groups, in / groups, *kernel) of the layer's weight, one for each group."""
    if isinstance(layer, nn.Linear):
        return [layer.weight]
    weights = layer.weight.chunk(layer.groups)
    return [w.transpose(0, 1) if isinstance(layer, _TransposedConvolution) else w for w in weights]
