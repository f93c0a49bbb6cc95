"""Receptive fields: how much of the picture a unit sees, and how far apart neighbouring units look.

A window of k pixels (d apart) that moves by s, on a map whose units see r pixels and look j pixels apart:

    r' = r + (k - 1) d j        j' = j s

These are the sizes by theory, as in the literature: they may exceed the picture, and a unit is moved by
the middle of its field more than by the rim (Luo et al. 2016, arXiv:1701.04128). Where maps meet, the larger
field counts. Normalization is not counted as seeing. A matrix product is taken to be a dense layer, which
sees the whole picture.

Source: Araujo et al. 2019, "Computing receptive fields of convolutional neural networks", Distill.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch._ops import OpOverload

aten = torch.ops.aten


@dataclass(frozen=True)
class Field:
    """What one unit of a map sees, along each axis of the picture.

    Attributes:
        size: pixels seen; infinite where it is the whole picture, by a dense layer or global pooling.
        stride: pixels between what neighbours see; a fraction after an enlargement.
    """

    size: tuple[float, ...]
    stride: tuple[float, ...]

    def window(self, size: Sequence[float], stride: Sequence[float]) -> "Field":
        """The field of a window that spans ``size`` units of this map and moves by ``stride`` of them."""
        seen = (r + (k - 1) * j for r, k, j in zip(self.size, size, self.stride, strict=True))
        steps = (j * s for j, s in zip(self.stride, stride, strict=True))
        return Field(tuple(seen), tuple(steps))

    def whole(self, axes: Sequence[int]) -> "Field":
        """The field of a sum over all units along ``axes``."""
        sizes = (math.inf if axis in axes else r for axis, r in enumerate(self.size))
        return Field(tuple(sizes), self.stride)


def pixel(num_axes: int) -> Field:
    """The field of the picture's own pixels."""
    return Field((1.0,) * num_axes, (1.0,) * num_axes)


def field_after(
    function: OpOverload, args: Sequence[Any], fields: Sequence[Field | None], result: Tensor
) -> Field:
    """The field of ``result``.

    Args:
        fields: of the tensors among ``args``, in order; None for those that do not depend on the picture.
    """
    seen = [field for field in fields if field is not None]
    field = Field(
        tuple(map(max, zip(*(field.size for field in seen), strict=True))),
        tuple(map(max, zip(*(field.stride for field in seen), strict=True))),
    )
    rule = RULES.get(function.overloadpacket)
    return rule(field, args, result) if rule and field.size else field


def convolution(field: Field, args: Sequence[Any], result: Tensor) -> Field:
    """Convolutions, transposed ones too."""
    kernel, stride, dilation, transposed = args[1].shape[2:], args[3], args[5], args[6]
    axes = len(field.size)
    if len(kernel) != axes:  # along something else than the picture
        return field.whole(range(axes))
    spans = [(k - 1) * d + 1 for k, d in zip(kernel, per_axis(dilation, axes), strict=True)]
    steps = per_axis(stride, axes)
    if transposed:  # each output pixel is reached by the input pixels whose stamp covers it
        return field.window(
            [math.ceil(k / s) for k, s in zip(spans, steps, strict=True)], [1 / s for s in steps]
        )
    return field.window(spans, steps)


def pooling(field: Field, args: Sequence[Any], result: Tensor) -> Field:
    """Average pooling."""
    axes = len(field.size)
    kernel = per_axis(args[1], axes)
    stride = per_axis(args[2], axes) if len(args) > 2 and args[2] else kernel
    return field.window(kernel, stride)


def max_pooling(field: Field, args: Sequence[Any], result: Tensor) -> Field:
    """Max pooling, dilated too."""
    dilation = per_axis(args[4] if len(args) > 4 else 1, len(field.size))
    kernel = per_axis(args[1], len(field.size))
    spans = [(k - 1) * d + 1 for k, d in zip(kernel, dilation, strict=True)]
    return pooling(field, (args[0], spans, args[2] if len(args) > 2 and args[2] else kernel), result)


def adaptive_pooling(field: Field, args: Sequence[Any], result: Tensor) -> Field:
    """Pooling to a given size: the largest of its windows."""
    axes = len(field.size)
    sizes = list(zip(args[0].shape[-axes:], result.shape[-axes:], strict=True))  # (before, after)
    whole = [axis for axis, (n, m) in enumerate(sizes) if m == 1 < n]
    windows = [max(-(-(i + 1) * n // m) - i * n // m for i in range(m)) for n, m in sizes]
    steps = [1 if axis in whole else n / m for axis, (n, m) in enumerate(sizes)]
    return field.window(windows, steps).whole(whole)


def reduction(field: Field, args: Sequence[Any], result: Tensor) -> Field:
    """Sums and means over axes: over one of the picture's, all of it is seen."""
    x, axes = args[0], len(field.size)
    if x.ndim < axes + 2:  # the axes of the picture are gone already
        return field
    chosen = args[1] if len(args) > 1 and args[1] is not None else range(x.ndim)
    dims = {dim % x.ndim for dim in ([chosen] if isinstance(chosen, int) else chosen)}
    first = x.ndim - axes
    return field.whole([axis for axis in range(axes) if first + axis in dims and x.shape[first + axis] > 1])


def norm_reduction(field: Field, args: Sequence[Any], result: Tensor) -> Field:
    """A norm over axes."""
    return reduction(field, (args[0], *args[2:3]), result)  # args[1] is the norm's order


def dense(field: Field, args: Sequence[Any], result: Tensor) -> Field:
    """Every output sees the whole picture."""
    return field.whole(range(len(field.size)))


def repetition(field: Field, args: Sequence[Any], result: Tensor) -> Field:
    """Nearest neighbours: one pixel each."""
    return resampling(field, args[0], result, between=1)


def interpolation(field: Field, args: Sequence[Any], result: Tensor) -> Field:
    """Linear interpolation: between two pixels along each axis."""
    return resampling(field, args[0], result, between=2)


def cubic_interpolation(field: Field, args: Sequence[Any], result: Tensor) -> Field:
    """Cubic interpolation: between four pixels along each axis."""
    return resampling(field, args[0], result, between=4)


def resampling(field: Field, x: Tensor, result: Tensor, between: int) -> Field:
    """A change of size whose units each come from ``between`` neighbours along each axis."""
    axes = len(field.size)
    steps = [n / m for n, m in zip(x.shape[-axes:], result.shape[-axes:], strict=True)]
    return field.window([between] * axes, steps)


def per_axis(value: Any, axes: int) -> list[int]:
    """A number, or a list of one or of at least ``axes`` numbers, as a list of ``axes`` numbers."""
    values = [value] if isinstance(value, int) else list(value)
    return values * axes if len(values) == 1 else values[-axes:]  # 1-D pooling runs as 2-D


Rule = Callable[[Field, Sequence[Any], Tensor], Field]
# What is not here works on each unit by itself, or joins units of several maps at one place.
RULES: dict[Any, Rule] = {
    aten.convolution: convolution,
    aten.avg_pool1d: pooling,
    aten.avg_pool2d: pooling,
    aten.avg_pool3d: pooling,
    aten.max_pool2d_with_indices: max_pooling,
    aten.max_pool3d_with_indices: max_pooling,
    aten._adaptive_avg_pool2d: adaptive_pooling,
    aten._adaptive_avg_pool3d: adaptive_pooling,
    aten.adaptive_max_pool2d: adaptive_pooling,
    aten.adaptive_max_pool3d: adaptive_pooling,
    aten.mean: reduction,
    aten.sum: reduction,
    aten.amax: reduction,
    aten.amin: reduction,
    aten.max: reduction,
    aten.min: reduction,
    aten.argmax: reduction,
    aten.logsumexp: reduction,
    aten.linalg_vector_norm: norm_reduction,
    aten.mm: dense,
    aten.bmm: dense,
    aten.mv: dense,
    aten.addmm: dense,
    aten.baddbmm: dense,
    aten._scaled_dot_product_flash_attention_for_cpu: dense,
    aten.upsample_nearest1d: repetition,
    aten.upsample_nearest2d: repetition,
    aten.upsample_nearest3d: repetition,
    aten._upsample_nearest_exact1d: repetition,
    aten._upsample_nearest_exact2d: repetition,
    aten._upsample_nearest_exact3d: repetition,
    aten.pixel_shuffle: repetition,
    aten.upsample_linear1d: interpolation,
    aten.upsample_bilinear2d: interpolation,
    aten.upsample_trilinear3d: interpolation,
    aten.upsample_bicubic2d: cubic_interpolation,
}
