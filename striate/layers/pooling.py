"""Pooling: over windows of space, over groups of channels, over everything.

Shapes: N batch, C channels, L length, D depth, H height, W width; "axes" are all after C.
"""

import functools
from abc import ABC, abstractmethod

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from striate.errors import InputError
from striate.ops.padding import (
    Padding,
    check_counts,
    constant_padding,
    per_axis,
    same_padding,
    sizes_of_axes,
)


class Pool(nn.Module, ABC):
    """Pooling over windows: (N, C, *axes) -> (N, C, *smaller axes), for the number of axes in its name.

    Padding never takes part: a maximum ignores it, an average divides by the pixels of the picture that
    lie in the window.

    Args:
        kernel_size: one number, or one for each axis.
        stride: likewise; None is the kernel size.
        padding: "valid" drops what does not fill a window, "same" is TensorFlow's, numbers are the padding
            on both sides of all axes or of each axis (at most half the kernel).

    Raises:
        ValueError: padding is an unknown word, negative or more than half the kernel, or another number is
            below 1.
    """

    num_axes: int

    def __init__(
        self,
        kernel_size: int | tuple[int, ...],
        stride: int | tuple[int, ...] | None = None,
        padding: Padding = "valid",
    ) -> None:
        super().__init__()
        self.kernel_size = per_axis(kernel_size, self.num_axes, "kernel_size")
        self.stride = self.kernel_size if stride is None else per_axis(stride, self.num_axes, "stride")
        self.padding = constant_padding(padding, self.kernel_size, self.stride, (1,) * self.num_axes)
        if self.padding != "same" and any(
            2 * zeros > size for zeros, size in zip(self.padding, self.kernel_size, strict=True)
        ):
            raise ValueError(f"padding may be half the kernel {self.kernel_size} at most, not {padding!r}")

    @abstractmethod
    def pool(self, x: Tensor, padding: tuple[int, ...], ceil_mode: bool) -> Tensor:
        """torch's pooling with this layer's windows."""

    def forward(self, x: Tensor) -> Tensor:
        if self.padding != "same":
            return self.pool(x, self.padding, ceil_mode=False)
        # No copy of the input: where torch lacks a pixel after the picture, ceil_mode lets the last window
        # hang over the edge. At stride 1 it does not: pad one more on both sides and drop the first window.
        padding, first = [], []
        sizes = sizes_of_axes(x, self.num_axes)
        for size, kernel_size, stride in zip(sizes, self.kernel_size, self.stride, strict=True):
            before, after = same_padding(size, kernel_size, stride)
            padding.append(after if stride == 1 else before)
            first.append(padding[-1] - before)
        y = self.pool(x, tuple(padding), ceil_mode=True)
        for axis, surplus in enumerate(first, start=x.ndim - self.num_axes):
            if surplus:
                y = y.narrow(axis, surplus, y.shape[axis] - surplus)
        return y

    def extra_repr(self) -> str:
        return f"{self.kernel_size}, stride={self.stride}, padding={self.padding!r}"


class MaxPool1d(Pool):
    """Maximum of each window: (N, C, L). Arguments as in ``Pool``."""

    num_axes = 1

    def pool(self, x: Tensor, padding: tuple[int, ...], ceil_mode: bool) -> Tensor:
        return F.max_pool1d(x, self.kernel_size, self.stride, padding, ceil_mode=ceil_mode)


class MaxPool2d(Pool):
    """Maximum of each window: (N, C, H, W). Arguments as in ``Pool``."""

    num_axes = 2

    def pool(self, x: Tensor, padding: tuple[int, ...], ceil_mode: bool) -> Tensor:
        return F.max_pool2d(x, self.kernel_size, self.stride, padding, ceil_mode=ceil_mode)


class MaxPool3d(Pool):
    """Maximum of each window: (N, C, D, H, W). Arguments as in ``Pool``."""

    num_axes = 3

    def pool(self, x: Tensor, padding: tuple[int, ...], ceil_mode: bool) -> Tensor:
        return F.max_pool3d(x, self.kernel_size, self.stride, padding, ceil_mode=ceil_mode)


class AvgPool1d(Pool):
    """Mean of each window, without padding: (N, C, L). Arguments as in ``Pool``."""

    num_axes = 1

    def pool(self, x: Tensor, padding: tuple[int, ...], ceil_mode: bool) -> Tensor:
        return F.avg_pool1d(x, self.kernel_size, self.stride, padding, ceil_mode, count_include_pad=False)


class AvgPool2d(Pool):
    """Mean of each window, without padding: (N, C, H, W). Arguments as in ``Pool``."""

    num_axes = 2

    def pool(self, x: Tensor, padding: tuple[int, ...], ceil_mode: bool) -> Tensor:
        return F.avg_pool2d(x, self.kernel_size, self.stride, padding, ceil_mode, count_include_pad=False)


class AvgPool3d(Pool):
    """Mean of each window, without padding: (N, C, D, H, W). Arguments as in ``Pool``."""

    num_axes = 3

    def pool(self, x: Tensor, padding: tuple[int, ...], ceil_mode: bool) -> Tensor:
        wide = x.float() if x.dtype in (torch.bfloat16, torch.float16) else x  # torch's CPU kernel needs it
        y = F.avg_pool3d(wide, self.kernel_size, self.stride, padding, ceil_mode, count_include_pad=False)
        return y.to(x.dtype)


class ChannelMaxPool(nn.Module):
    """Maximum over groups of neighbouring channels: (N, C, *axes) -> (N, C / pool_size, *axes).

    Maps that show one pattern in several poses become one map that does not mind the pose.

    Raises:
        ValueError: ``pool_size`` is below 1.
        InputError: in ``forward``, when ``pool_size`` does not divide the channels.
    """

    def __init__(self, pool_size: int) -> None:
        super().__init__()
        check_counts(pool_size=pool_size)
        self.pool_size = pool_size

    def forward(self, x: Tensor) -> Tensor:
        return functools.reduce(torch.maximum, channels_by_place(x, self.pool_size))


class ChannelAvgPool(nn.Module):
    """Mean over groups of neighbouring channels: (N, C, *axes) -> (N, C / pool_size, *axes).

    Raises:
        ValueError: ``pool_size`` is below 1.
        InputError: in ``forward``, when ``pool_size`` does not divide the channels.
    """

    def __init__(self, pool_size: int) -> None:
        super().__init__()
        check_counts(pool_size=pool_size)
        self.pool_size = pool_size

    def forward(self, x: Tensor) -> Tensor:
        return functools.reduce(torch.add, channels_by_place(x, self.pool_size)) / self.pool_size


def channels_by_place(x: Tensor, pool_size: int) -> tuple[Tensor, ...]:
    """The first channels of all groups, the second ones, ...: ``pool_size`` views (N, C / pool_size, *axes).

    Reducing these views is several times faster than reducing an axis of the group's length, and keeps
    channels_last.
    """
    if x.ndim < 2:
        raise ValueError(f"x must be (N, C, *axes), not {tuple(x.shape)}")
    channels = x.shape[1]
    if channels % pool_size:
        raise InputError(
            f"channel pooling by {pool_size} does not divide {channels} channels",
            "",
            f"choose a pool size that divides {channels}",
        )
    return torch.unflatten(x, 1, (channels // pool_size, pool_size)).unbind(2)


def global_average_pool(x: Tensor) -> Tensor:
    """The mean of each map: (N, C, *axes) -> (N, C).

    Raises:
        ValueError: x has no axes after its channels.
    """
    return x.mean(dim=axes_of_maps(x))


def global_max_pool(x: Tensor) -> Tensor:
    """The maximum of each map: (N, C, *axes) -> (N, C).

    Raises:
        ValueError: x has no axes after its channels.
    """
    return x.amax(dim=axes_of_maps(x))


def axes_of_maps(x: Tensor) -> tuple[int, ...]:
    """The axes of x (N, C, *axes) after channels; ValueError where one is empty, or there is none."""
    if x.ndim < 3:
        raise ValueError(f"x must be (N, C) and axes of its maps more, not {tuple(x.shape)}")
    if 0 in x.shape[2:]:
        raise ValueError(f"x must have maps of a size, not {tuple(x.shape)}")
    return tuple(range(2, x.ndim))


class GlobalPool(nn.Module, ABC):
    """One number of each map: (N, C, *axes) -> (N, C), for the number of axes in its name.

    Raises:
        ValueError: in ``forward``, when x has another number of axes.
    """

    num_axes: int

    @abstractmethod
    def pool(self, x: Tensor) -> Tensor:
        """x (N, C, *axes) -> (N, C)."""

    def forward(self, x: Tensor) -> Tensor:
        if x.ndim != self.num_axes + 2:
            raise ValueError(f"x must be (N, C) and {self.num_axes} axes more, not {tuple(x.shape)}")
        return self.pool(x)


class GlobalAvgPool1d(GlobalPool):
    """The mean of each line: (N, C, L) -> (N, C)."""

    num_axes = 1

    def pool(self, x: Tensor) -> Tensor:
        return global_average_pool(x)


class GlobalAvgPool2d(GlobalPool):
    """The mean of each map: (N, C, H, W) -> (N, C).

    Source: Lin et al. 2013, "Network in network", arXiv:1312.4400, section 3.2.
    """

    num_axes = 2

    def pool(self, x: Tensor) -> Tensor:
        return global_average_pool(x)


class GlobalAvgPool3d(GlobalPool):
    """The mean of each volume: (N, C, D, H, W) -> (N, C)."""

    num_axes = 3

    def pool(self, x: Tensor) -> Tensor:
        return global_average_pool(x)


class GlobalMaxPool1d(GlobalPool):
    """The maximum of each line: (N, C, L) -> (N, C)."""

    num_axes = 1

    def pool(self, x: Tensor) -> Tensor:
        return global_max_pool(x)


class GlobalMaxPool2d(GlobalPool):
    """The maximum of each map: (N, C, H, W) -> (N, C): whether it sees its pattern anywhere.

    Source: Oquab et al. 2015, "Is object localization for free?", section 3.
    """

    num_axes = 2

    def pool(self, x: Tensor) -> Tensor:
        return global_max_pool(x)


class GlobalMaxPool3d(GlobalPool):
    """The maximum of each volume: (N, C, D, H, W) -> (N, C)."""

    num_axes = 3

    def pool(self, x: Tensor) -> Tensor:
        return global_max_pool(x)


class ScaledAvgPool2d(nn.Module):
    """LeNet-5's subsampling: the mean of each window, times a learned coefficient, plus a learned bias.

    (N, C, H, W) -> (N, C, H // kernel_size, W // kernel_size). ``weight`` and ``bias`` (C,) have one entry
    for each map; the activation that follows in the paper is not part of it.

    Source: LeCun et al. 1998, "Gradient-based learning applied to document recognition", layer S2. (The
    paper takes the window's sum; the coefficient differs by the window's area.)

    Raises:
        ValueError: a number below 1.
    """

    def __init__(self, channels: int, kernel_size: int = 2) -> None:
        super().__init__()
        check_counts(channels=channels, kernel_size=kernel_size)
        self.kernel_size = kernel_size
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor) -> Tensor:
        means = F.avg_pool2d(x, self.kernel_size)
        return torch.addcmul(self.bias[:, None, None], means, self.weight[:, None, None])
