"""Convolutions with SAME and VALID padding, and the layers made of them.

    z[i, j, k] = b[k] + sum_u sum_v sum_c x[i * s_h + u * d_h, j * s_w + v * d_w, c] * w[u, v, c, k]

with strides s and dilations d.

The convolutions are torch's own with one more word: ``padding="same"`` is TensorFlow's for any stride and
dilation (see ``striate.ops.padding``). It costs nothing where the zeros are known at construction, and one
copy of the input only where they are lopsided.

Shapes: N batch, C channels, L length, D depth, H height, W width.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from striate.ops.padding import Padding, check_counts, constant_padding, pad_lopsided, per_axis

_relu = partial(nn.ReLU, inplace=True)  # batch norm keeps its input for its gradient, not its output


def check_convolution(
    in_channels: int,
    out_channels: int,
    kernel_size: int | tuple[int, ...],
    stride: int | tuple[int, ...],
    dilation: int | tuple[int, ...],
    groups: int,
    *,
    num_axes: int,
) -> None:
    """The arguments of a convolution along ``num_axes`` axes.

    Raises:
        ValueError: one of them, which is named, is below 1, or has numbers for other axes, or ``groups`` does
            not divide the channels.
    """
    check_counts(in_channels=in_channels, out_channels=out_channels, groups=groups)
    for name, value in (("kernel_size", kernel_size), ("stride", stride), ("dilation", dilation)):
        check_counts(**{name: per_axis(value, num_axes, name)})
    if in_channels % groups or out_channels % groups:
        raise ValueError(f"groups={groups} does not divide {in_channels} and {out_channels} channels")


class Conv1d(nn.Conv1d):
    """Convolution along one axis: (N, C_in, L) -> (N, C_out, L').

    Args:
        in_channels, out_channels, kernel_size, stride, dilation, groups, bias: as in ``torch.nn.Conv1d``.
        padding: "same", "valid", the number of zeros on both sides, or "causal": all zeros of SAME at stride
            1 come before the axis, so that no output sees what comes after it (van den Oord et al. 2016,
            "WaveNet", arXiv:1609.03499, section 2.1).

    Raises:
        ValueError: padding is an unknown word or negative, or another number is below 1.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int | tuple[int],
        stride: int | tuple[int] = 1,
        padding: Padding | Literal["causal"] = "valid",
        dilation: int | tuple[int] = 1,
        groups: int = 1,
        bias: bool = True,
    ) -> None:
        check_convolution(in_channels, out_channels, kernel_size, stride, dilation, groups, num_axes=1)
        super().__init__(in_channels, out_channels, kernel_size, stride, 0, dilation, groups, bias)
        self.before = 0
        if padding == "causal":
            self.before = self.dilation[0] * (self.kernel_size[0] - 1)
            padding = "valid"
        self.padding = constant_padding(padding, self.kernel_size, self.stride, self.dilation)

    def forward(self, x: Tensor) -> Tensor:
        if self.before:
            return super().forward(F.pad(x, (self.before, 0)))
        if self.padding != "same":
            return super().forward(x)
        x, zeros = pad_lopsided(x, self.kernel_size, self.stride, self.dilation)
        return F.conv1d(x, self.weight, self.bias, self.stride, zeros, self.dilation, self.groups)


class Conv2d(nn.Conv2d):
    """Convolution of pictures: (N, C_in, H, W) -> (N, C_out, H', W').

    Args:
        in_channels, out_channels, groups, bias: as in ``torch.nn.Conv2d``.
        kernel_size, stride, dilation: one number, or (height, width).
        padding: "same", "valid", or the zeros on both sides of both axes or of (height, width).

    Raises:
        ValueError: padding is an unknown word or negative, or another number is below 1.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int | tuple[int, int],
        stride: int | tuple[int, int] = 1,
        padding: Padding = "valid",
        dilation: int | tuple[int, int] = 1,
        groups: int = 1,
        bias: bool = True,
    ) -> None:
        check_convolution(in_channels, out_channels, kernel_size, stride, dilation, groups, num_axes=2)
        super().__init__(in_channels, out_channels, kernel_size, stride, 0, dilation, groups, bias)
        self.padding = constant_padding(padding, self.kernel_size, self.stride, self.dilation)

    def forward(self, x: Tensor) -> Tensor:
        if self.padding != "same":
            return super().forward(x)
        x, zeros = pad_lopsided(x, self.kernel_size, self.stride, self.dilation)
        return F.conv2d(x, self.weight, self.bias, self.stride, zeros, self.dilation, self.groups)


class Conv3d(nn.Conv3d):
    """Convolution of volumes: (N, C_in, D, H, W) -> (N, C_out, D', H', W').

    Args:
        in_channels, out_channels, groups, bias: as in ``torch.nn.Conv3d``.
        kernel_size, stride, dilation: one number, or (depth, height, width).
        padding: "same", "valid", or the zeros on both sides of all axes or of (depth, height, width).

    Raises:
        ValueError: padding is an unknown word or negative, or another number is below 1.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int | tuple[int, int, int],
        stride: int | tuple[int, int, int] = 1,
        padding: Padding = "valid",
        dilation: int | tuple[int, int, int] = 1,
        groups: int = 1,
        bias: bool = True,
    ) -> None:
        check_convolution(in_channels, out_channels, kernel_size, stride, dilation, groups, num_axes=3)
        super().__init__(in_channels, out_channels, kernel_size, stride, 0, dilation, groups, bias)
        self.padding = constant_padding(padding, self.kernel_size, self.stride, self.dilation)

    def forward(self, x: Tensor) -> Tensor:
        if self.padding != "same":
            return super().forward(x)
        x, zeros = pad_lopsided(x, self.kernel_size, self.stride, self.dilation)
        return F.conv3d(x, self.weight, self.bias, self.stride, zeros, self.dilation, self.groups)


class DepthwiseConv1d(Conv1d):
    """One filter, or ``depth_multiplier`` of them, for each input channel and for no other.

    (N, C, L) -> (N, C * depth_multiplier, L'); the outputs of one input channel lie side by side. Other
    arguments as in ``Conv1d``.
    """

    def __init__(
        self,
        in_channels: int,
        kernel_size: int | tuple[int],
        depth_multiplier: int = 1,
        stride: int | tuple[int] = 1,
        padding: Padding | Literal["causal"] = "valid",
        dilation: int | tuple[int] = 1,
        bias: bool = True,
    ) -> None:
        check_counts(in_channels=in_channels, depth_multiplier=depth_multiplier)
        out_channels = in_channels * depth_multiplier
        super().__init__(in_channels, out_channels, kernel_size, stride, padding, dilation, in_channels, bias)


class DepthwiseConv2d(Conv2d):
    """One spatial filter, or ``depth_multiplier`` of them, for each input channel and for no other.

    (N, C, H, W) -> (N, C * depth_multiplier, H', W'); the maps of one input channel lie side by side.
    Other arguments as in ``Conv2d``.
    """

    def __init__(
        self,
        in_channels: int,
        kernel_size: int | tuple[int, int],
        depth_multiplier: int = 1,
        stride: int | tuple[int, int] = 1,
        padding: Padding = "valid",
        dilation: int | tuple[int, int] = 1,
        bias: bool = True,
    ) -> None:
        check_counts(in_channels=in_channels, depth_multiplier=depth_multiplier)
        out_channels = in_channels * depth_multiplier
        super().__init__(in_channels, out_channels, kernel_size, stride, padding, dilation, in_channels, bias)


class SeparableConv1d(nn.Module):
    """Place first, then depth: ``SeparableConv2d`` along one axis, (N, C_in, L) -> (N, C_out, L').

    Arguments as in ``DepthwiseConv1d`` and ``SeparableConv2d``.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int | tuple[int],
        stride: int | tuple[int] = 1,
        padding: Padding | Literal["causal"] = "valid",
        dilation: int | tuple[int] = 1,
        depth_multiplier: int = 1,
        bias: bool = True,
    ) -> None:
        super().__init__()
        self.depthwise = DepthwiseConv1d(
            in_channels, kernel_size, depth_multiplier, stride, padding, dilation, bias=False
        )
        self.pointwise = Conv1d(in_channels * depth_multiplier, out_channels, 1, bias=bias)

    def forward(self, x: Tensor) -> Tensor:
        pointwise: Tensor = self.pointwise(self.depthwise(x))
        return pointwise


class SeparableConv2d(nn.Module):
    """Space first, then depth: a depthwise convolution, and a 1x1 convolution over its maps.

    (N, C_in, H, W) -> (N, C_out, H', W'). It takes far fewer parameters than a full convolution, and
    should not follow a layer of few channels (such as the input), where it has little to work with.
    ``stride``, ``padding`` and ``dilation`` are the depthwise convolution's; only the 1x1 convolution has
    biases, as the first would be absorbed in them. Other arguments as in ``DepthwiseConv2d``.

    Source: Chollet 2016, "Xception", arXiv:1610.02357, section 1.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int | tuple[int, int],
        stride: int | tuple[int, int] = 1,
        padding: Padding = "valid",
        dilation: int | tuple[int, int] = 1,
        depth_multiplier: int = 1,
        bias: bool = True,
    ) -> None:
        super().__init__()
        self.depthwise = DepthwiseConv2d(
            in_channels, kernel_size, depth_multiplier, stride, padding, dilation, bias=False
        )
        self.pointwise = Conv2d(in_channels * depth_multiplier, out_channels, 1, bias=bias)

    def forward(self, x: Tensor) -> Tensor:
        pointwise: Tensor = self.pointwise(self.depthwise(x))
        return pointwise


class PartiallyConnectedConv2d(nn.Module):
    """A convolution in which each output map sees chosen input maps only.

    (N, C_in, H, W) -> (N, C_out, H', W'). ``weight`` (connections, kernel height, kernel width) holds the
    kernels that exist, in the reading order of the table, and nothing else; for each pass they are set
    into a dense weight whose other kernels are zero, so that it runs as one convolution.

    Args:
        connections: table (C_out, C_in) of 0 and 1, as rows or as a tensor. To build on the meta device,
            give rows: a meta tensor has no values.
        kernel_size, stride: one number, or (height, width).
        padding: as in ``Conv2d``.

    Raises:
        ValueError: there are no rows, they differ in length, or an output map sees no input map; or another
            argument is as ``Conv2d`` refuses it.

    Source: LeCun et al. 1998, "Gradient-based learning applied to document recognition", layer C3.
    """

    positions: Tensor

    def __init__(
        self,
        connections: Sequence[Sequence[int]] | Tensor,
        kernel_size: int | tuple[int, int],
        stride: int | tuple[int, int] = 1,
        padding: Padding = "valid",
    ) -> None:
        super().__init__()
        table = connections.tolist() if isinstance(connections, Tensor) else connections
        self.out_channels, self.in_channels = len(table), len(table[0]) if table else 0
        check_counts(**{"rows of connections": self.out_channels, "columns of connections": self.in_channels})
        if any(len(row) != self.in_channels for row in table):
            raise ValueError("every row of the connection table needs one entry for each input map")
        if not all(any(row) for row in table):
            raise ValueError("every output map must see an input map: a row of the table is all zeros")
        cells = [bool(cell) for row in table for cell in row]
        self.kernel_size, self.stride = per_axis(kernel_size, 2, "kernel_size"), per_axis(stride, 2, "stride")
        self.padding = constant_padding(padding, self.kernel_size, self.stride, (1, 1))
        # Where each kernel lies in the dense weight. It is saved with the weights that it gives meaning to.
        self.register_buffer("positions", torch.tensor([i for i, cell in enumerate(cells) if cell]))
        self.weight = nn.Parameter(torch.empty(sum(cells), *self.kernel_size))
        self.bias = nn.Parameter(torch.empty(self.out_channels))
        self._reset_parameters([sum(map(bool, row)) for row in table])

    @torch.no_grad()
    def _reset_parameters(self, inputs_of_map: list[int]) -> None:
        """Uniform within 1 / sqrt(fan in), like torch's convolutions, with each map's own fan in."""
        area = self.kernel_size[0] * self.kernel_size[1]
        bounds = [(inputs * area) ** -0.5 for inputs in inputs_of_map]
        of_kernels = [b for b, inputs in zip(bounds, inputs_of_map, strict=True) for _ in range(inputs)]
        self.weight.uniform_(-1, 1).mul_(torch.tensor(of_kernels)[:, None, None])
        self.bias.uniform_(-1, 1).mul_(torch.tensor(bounds))

    def dense_weight(self) -> Tensor:
        """The weight (C_out, C_in, kernel height, kernel width) with zeros where there is no connection."""
        dense = self.weight.new_zeros(self.out_channels * self.in_channels, *self.kernel_size)
        dense = dense.index_copy(0, self.positions, self.weight)
        return dense.view(self.out_channels, self.in_channels, *self.kernel_size)

    def forward(self, x: Tensor) -> Tensor:
        if self.padding == "same":
            x, zeros = pad_lopsided(x, self.kernel_size, self.stride, (1, 1))
        else:
            zeros = self.padding
        return F.conv2d(x, self.dense_weight(), self.bias, self.stride, zeros)


class ConvNormAct(nn.Module):
    """Convolution without bias, batch normalization (which brings one), activation.

    (N, C_in, H, W) -> (N, C_out, H', W').

    Args:
        in_channels, out_channels, kernel_size, stride, groups: as in ``Conv2d``.
        padding: as in ``Conv2d``; None is half the kernel on both sides, PyTorch's habit, which differs
            from "same" where a stride meets an even size.
        activation: builds the activation, by default a ReLU that works in place; None for none.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int | tuple[int, int],
        stride: int | tuple[int, int] = 1,
        padding: Padding | None = None,
        groups: int = 1,
        activation: Callable[[], nn.Module] | None = _relu,
    ) -> None:
        super().__init__()
        if padding is None:
            padding = tuple(size // 2 for size in per_axis(kernel_size, 2, "kernel_size"))
        self.conv = Conv2d(in_channels, out_channels, kernel_size, stride, padding, groups=groups, bias=False)
        self.norm = nn.BatchNorm2d(out_channels)
        self.activation = nn.Identity() if activation is None else activation()

    def forward(self, x: Tensor) -> Tensor:
        activated: Tensor = self.activation(self.norm(self.conv(x)))
        return activated
