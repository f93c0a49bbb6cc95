"""The results of operations on meta tensors, which have a shape but no values.

PyTorch works them out by rules in Python. These are slow, so each is asked once for each combination of
shapes. And most are built on the compiler, whose loading takes most of a second, so for the operations that
every network is made of the rules are here. They only answer for what they are sure of.
"""

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch._ops import OpOverload
from torch.utils._pytree import tree_leaves

aten = torch.ops.aten


class Results:
    """The results of operations, remembered: ResNet-152 takes 117 different ones two thousand times."""

    def __init__(self) -> None:
        self.known: dict[Any, Any] = {}

    def of(self, function: OpOverload, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
        """The result of ``function``: new tensors, except where it works in place or gives views."""
        if not kwargs and args and isinstance(args[0], Tensor) and args[0].is_meta:
            rule = RULES.get(function.overloadpacket)
            result = None if rule is None else rule(*args)
            if result is not None:
                return result
        if shares_memory(function):
            return function(*args, **kwargs)
        call = function, described(args), described(tuple(kwargs.items()))
        if call in self.known:
            return remade(self.known[call])
        result = function(*args, **kwargs)
        tensors, given = tensors_in(result), {storage_key(tensor) for tensor in tensors_in(args)}
        if all(tensor.is_meta and storage_key(tensor) not in given for tensor in tensors):
            self.known[call] = described(result)
        return result


def tensors_in(tree: Any) -> list[Tensor]:
    """All tensors in nested tuples, lists and dictionaries."""
    return [leaf for leaf in tree_leaves(tree) if isinstance(leaf, Tensor)]


def storage_key(tensor: Tensor) -> int:
    """The same number for all tensors that share this one's memory, as long as one of them lives."""
    return int(tensor.untyped_storage()._cdata)


@functools.cache
def shares_memory(function: OpOverload) -> bool:
    """Whether ``function`` says that what it gives may be one of its arguments or a view of one."""
    return any(result.alias_info for result in function._schema.returns)


class Form(NamedTuple):
    """All there is to know of a meta tensor."""

    shape: tuple[int, ...]
    strides: tuple[int, ...]
    dtype: torch.dtype


def described(value: Any) -> Any:
    """``value`` with tensors as their forms, to compare calls by."""
    if isinstance(value, Tensor):
        return Form(value.shape, value.stride(), value.dtype)
    if isinstance(value, list | tuple):
        return tuple(map(described, value))
    return type(value), value  # 1, 1.0 and True are different


def remade(description: Any) -> Any:
    """A new meta tensor, or tuple of them, of this description."""
    if isinstance(description, Form):
        return torch.empty_strided(
            description.shape, description.strides, dtype=description.dtype, device="meta"
        )
    if description and isinstance(description[0], type):
        return description[1]
    return tuple(map(remade, description))


def like(x: Tensor, dtype: torch.dtype | None = None) -> Tensor:
    """A new meta tensor of the shape and order of ``x``, without gaps where that is a part of another."""
    if is_channels_last(x):
        n, c, h, w = x.shape
        return torch.empty(n, h, w, c, dtype=dtype or x.dtype, device="meta").permute(0, 3, 1, 2)
    return torch.empty(x.shape, dtype=dtype or x.dtype, device="meta")


def is_channels_last(x: Tensor) -> bool:
    """Whether the channels of a pixel lie together, then pixels, then rows, perhaps with gaps."""
    if x.ndim != 4:
        return False
    _, channels, _, width = x.shape
    by_picture, by_channel, by_row, by_pixel = x.stride()
    return by_picture > 0 and by_channel == 1 and by_pixel >= channels and by_row >= by_pixel * width


def is_spread(x: Tensor) -> bool:
    """Whether all pixels of a map share one number, as in the gradient of a mean."""
    outer, pixels = x.stride()[:2], x.stride()[2:]
    return 0 in x.stride() and not any(pixels) and (outer[0] == 0 or outer[0] >= outer[-1])


def in_place(x: Tensor, *others: Any) -> Tensor | None:
    """The result of arithmetic that overwrites ``x``."""
    spread = 0 in x.stride()  # which cannot be written to
    return x if x.is_floating_point() and not spread and all(fits(other, x) for other in others) else None


def as_first(x: Tensor, *others: Any) -> Tensor | None:
    """The result of elementwise arithmetic, where nothing but ``x`` decides on its form."""
    if not x.is_floating_point() or x.ndim == 0 or not all(fits(other, x) for other in others):
        return None
    if is_spread(x):  # then another tensor decides on the order
        tensors = [other for other in others if isinstance(other, Tensor) and other.ndim]
        if not tensors:
            return like(x)
        x = tensors[0] if tensors[0].shape == x.shape else x
    return like(x) if x.is_contiguous() or is_channels_last(x) else None


def fits(other: Any, x: Tensor) -> bool:
    """Whether ``other``, a number or a tensor, can be repeated to the shape of ``x`` and is of its type."""
    if not isinstance(other, Tensor) or other.ndim == 0:
        return True
    repeated = all(n in (1, m) for n, m in zip(other.shape[::-1], x.shape[::-1], strict=False))
    return other.dtype == x.dtype and other.ndim <= x.ndim and repeated


def as_second(gradient: Tensor, x: Tensor, *others: Any) -> Tensor | None:
    """The result of a derivative that has the form of the saved ``x``."""
    return as_first(x, gradient, *others) if x.shape == gradient.shape else None


def contiguous(x: Tensor, *others: Any) -> Tensor | None:
    """A tensor of the shape of ``x``, with its numbers in order."""
    return torch.empty(x.shape, dtype=x.dtype, device="meta") if x.is_floating_point() else None


def reduction(x: Tensor, dims: Any = None, keepdim: bool = False) -> Tensor | None:
    """Sums and means over axes."""
    if (dims is not None and not isinstance(dims, list | tuple)) or not x.is_floating_point():
        return None
    if any(not -x.ndim <= dim < x.ndim for dim in dims or ()):
        return None
    gone = {dim % x.ndim for dim in dims} if dims else set(range(x.ndim))
    if dims and len(gone) < len(dims):
        return None
    sizes = [1 if dim in gone else size for dim, size in enumerate(x.shape) if keepdim or dim not in gone]
    return torch.empty(sizes, dtype=x.dtype, device="meta")


def product(left: Tensor, right: Tensor, num_axes: int = 2) -> Tensor | None:
    """A product of matrices, or of batches of them."""
    if not left.ndim == right.ndim == num_axes or left.dtype != right.dtype:
        return None
    if left.shape[-1] != right.shape[-2] or left.shape[:-2] != right.shape[:-2]:
        return None
    return torch.empty(*left.shape[:-1], right.shape[-1], dtype=left.dtype, device="meta")


def sum_and_product(bias: Tensor, left: Tensor, right: Tensor) -> Tensor | None:
    """A product of matrices with something added."""
    result = product(left, right)
    return result if result is not None and fits(bias, result) else None


def convolution(
    x: Tensor,
    weight: Tensor,
    bias: Any,
    stride: Sequence[int],
    padding: Sequence[int],
    dilation: Sequence[int],
    transposed: bool,
    output_padding: Sequence[int],
    groups: int,
) -> Tensor | None:
    """Convolutions in two dimensions; others are left to PyTorch."""
    if transposed or x.ndim != 4 or x.dtype != weight.dtype or x.shape[1] != weight.shape[1] * groups:
        return None
    return windowed(x, weight.shape[0], weight.shape[2:], stride, padding, dilation)


def convolution_backward(
    gradient: Tensor, x: Tensor, weight: Tensor, bias_shape: Sequence[int] | None, *others: Any
) -> tuple[Tensor | None, ...]:
    """The gradients of input, weights and bias, as far as they are wanted."""
    for_x, for_weight, for_bias = others[-1]
    return (
        like(x) if for_x else None,
        like(weight) if for_weight else None,
        torch.empty(gradient.shape[1], dtype=gradient.dtype, device="meta") if for_bias else None,
    )


def max_pool(
    x: Tensor,
    kernel: Sequence[int],
    stride: Sequence[int] = (),
    padding: Sequence[int] = (0, 0),
    dilation: Sequence[int] = (1, 1),
    ceil_mode: bool = False,
) -> tuple[Tensor, Tensor] | None:
    """The largest of each window, and where it was."""
    if ceil_mode or x.ndim != 4 or not len(kernel) == len(padding) == len(dilation) == 2:
        return None
    largest = windowed(x, x.shape[1], kernel, stride or kernel, padding, dilation)
    return None if largest is None else (largest, like(largest, torch.int64))


def max_pool_backward(gradient: Tensor, x: Tensor, *others: Any) -> Tensor:
    """The gradient of the input."""
    return like(x)


def windowed(
    x: Tensor,
    channels: int,
    kernel: Sequence[int],
    stride: Sequence[int],
    padding: Sequence[int],
    dilation: Sequence[int],
) -> Tensor | None:
    """Maps (N, channels, H', W') of a window that moves over ``x`` (N, C, H, W).

    They are channels_last like the pictures. (PyTorch's own rules forget that; real operations keep it.)
    """
    geometry = zip(x.shape[2:], kernel, stride, padding, dilation, strict=True)
    height, width = ((n + 2 * p - d * (k - 1) - 1) // s + 1 for n, k, s, p, d in geometry)
    if min(height, width) < 1:
        return None
    maps = torch.empty(x.shape[0], height, width, channels, dtype=x.dtype, device="meta")
    return maps.permute(0, 3, 1, 2)


def batch_norm(x: Tensor, *others: Any) -> tuple[Tensor, ...] | None:
    """Normalized maps, and the statistics that are kept for the backward pass."""
    if x.dtype != torch.float32:
        return None
    return (like(x), *(torch.empty(x.shape[1], device="meta") for _ in range(2)))


def batch_norm_backward(gradient: Tensor, x: Tensor, weight: Any, *others: Any) -> tuple[Tensor, ...] | None:
    """The gradients of input, scale and shift."""
    if x.dtype != torch.float32 or weight is None or not all(others[-1]):
        return None
    return like(x), like(weight), like(weight)


RULES: dict[Any, Callable[..., Any]] = {
    aten.convolution: convolution,
    aten.convolution_backward: convolution_backward,
    aten.max_pool2d_with_indices: max_pool,
    aten.max_pool2d_with_indices_backward: max_pool_backward,
    aten.native_batch_norm: batch_norm,
    aten._native_batch_norm_legit: batch_norm,
    aten.native_batch_norm_backward: batch_norm_backward,
    aten.mean: reduction,
    aten.sum: reduction,
    aten.mm: product,
    aten.bmm: functools.partial(product, num_axes=3),
    aten.addmm: sum_and_product,
    aten.relu_: in_place,
    aten.hardtanh_: in_place,
    aten.leaky_relu_: in_place,
    aten.add_: in_place,
    aten.add: as_first,
    aten.sub: as_first,
    aten.mul: as_first,
    aten.div: as_first,
    aten.relu: as_first,
    aten.threshold_backward: as_second,
    aten.hardtanh: as_first,
    aten.hardtanh_backward: as_first,
    aten.leaky_relu: as_first,
    aten.leaky_relu_backward: as_second,
    aten.sigmoid: as_first,
    aten.sigmoid_backward: as_first,
    aten.tanh: as_first,
    aten.tanh_backward: as_first,
    aten._softmax: contiguous,
    aten._softmax_backward_data: contiguous,
    aten._log_softmax: contiguous,
    aten._log_softmax_backward_data: contiguous,
}
