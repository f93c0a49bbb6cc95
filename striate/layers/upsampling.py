"""Transposed convolutions: a learned enlargement.

Each input pixel stamps the kernel, times its value, on the output; the stamps of neighbours lie a stride
apart and add up. It is the gradient of a convolution with respect to its input, hence the name, and SAME
and VALID mean that convolution's: SAME gives exactly ``in * stride`` pixels, VALID every pixel stamped on
(and zeros up to ``in * stride``, where the stride is larger than the stamp). A stamp is as wide as the kernel
is with its dilation: ``dilation * (kernel_size - 1) + 1``.

Shapes: N batch, C channels, L length, D depth, H height, W width.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor, nn

from striate.layers.convolution import check_convolution
from striate.ops.padding import Padding, check_padding, per_axis


@dataclass(frozen=True)
class Cut:
    """What is cut from the sum of all stamps, and added to it; one number for each axis.

    Attributes:
        both: pixels cut from both sides.
        added: pixels added at the end.
        last: pixels cut from the end alone, where torch, which cuts both sides alike, cannot.
    """

    both: tuple[int, ...]
    added: tuple[int, ...]
    last: tuple[int, ...]

    def end(self, y: Tensor) -> Tensor:
        """y, (N, C, *axes) or (C, *axes), without what is cut from its ends alone."""
        for axis, pixels in enumerate(self.last, start=y.ndim - len(self.last)):
            if pixels:
                y = y.narrow(axis, 0, y.shape[axis] - pixels)
        return y


def cut(
    padding: Padding,
    output_padding: int | Sequence[int] | None,
    stride: tuple[int, ...],
    dilation: tuple[int, ...],
    kernel_size: tuple[int, ...],
) -> Cut:
    """What the words mean, where stamps of ``kernel_size`` lie ``stride`` apart.

    Raises:
        ValueError: padding or output_padding is none of those that ``ConvTranspose2d`` takes.
    """
    word, axes = check_padding(padding), len(kernel_size)
    none = (0,) * axes
    stamps = [d * (k - 1) + 1 for k, d in zip(kernel_size, dilation, strict=True)]
    if output_padding is not None:
        given = per_axis(output_padding, axes, "output_padding")
    elif word == "same":
        given = tuple(step - stamp % 2 for step, stamp in zip(stride, stamps, strict=True))
    elif word == "valid":
        given = tuple(max(step - stamp, 0) for step, stamp in zip(stride, stamps, strict=True))
    else:
        given = none
    if word == "same":
        most = [step - stamp % 2 for step, stamp in zip(stride, stamps, strict=True)]
    else:
        most = [max(step, d) - 1 for step, d in zip(stride, dilation, strict=True)]
    if any(not 0 <= pixels <= limit for pixels, limit in zip(given, most, strict=True)):
        raise ValueError(f"output_padding must lie in 0..{max(most)} here, not {output_padding!r}")
    if word != "same":
        return Cut(none if word == "valid" else per_axis(word, axes, "padding"), given, none)
    surplus = [stamp - stamp % 2 - pixels for stamp, pixels in zip(stamps, given, strict=True)]
    return Cut(
        both=tuple(max(pixels, 0) // 2 for pixels in surplus),
        added=tuple(max(-pixels, 0) for pixels in surplus),
        last=tuple(max(pixels, 0) % 2 for pixels in surplus),
    )


class ConvTranspose1d(nn.ConvTranspose1d):
    """Transposed convolution along one axis: (N, C_in, L) -> (N, C_out, L').

    Arguments as in ``ConvTranspose2d``.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int | tuple[int],
        stride: int | tuple[int] = 1,
        padding: Padding = "valid",
        groups: int = 1,
        bias: bool = True,
        output_padding: int | tuple[int] | None = None,
        dilation: int | tuple[int] = 1,
    ) -> None:
        check_convolution(in_channels, out_channels, kernel_size, stride, dilation, groups, num_axes=1)
        super().__init__(
            in_channels, out_channels, kernel_size, stride, groups=groups, bias=bias, dilation=dilation
        )
        self.cut = cut(padding, output_padding, self.stride, self.dilation, self.kernel_size)
        self.padding, self.output_padding = self.cut.both, self.cut.added

    def forward(self, x: Tensor) -> Tensor:  # type: ignore[override]  # the size follows from the padding
        return self.cut.end(super().forward(x))


class ConvTranspose2d(nn.ConvTranspose2d):
    """Transposed convolution of pictures: (N, C_in, H, W) -> (N, C_out, H', W').

    Started with ``bilinear_`` and ``kernel_size = 2 * stride - stride % 2`` it interpolates.

    Args:
        in_channels, out_channels, groups, bias: as in ``torch.nn.ConvTranspose2d``.
        kernel_size, stride, dilation: one number, or (height, width).
        padding: "same": H' = H * stride; "valid": H' = (H - 1) * stride + max(stamp, stride); or
            the pixels to cut from both sides of both axes or of (height, width).
        output_padding: how many pixels larger, at the bottom and right; None: as above. "same": H' =
            (H - 1) * stride + stamp % 2 + output_padding, as in Keras, at most H * stride; otherwise below
            stride or dilation.

    Raises:
        ValueError: padding is an unknown word, or one of the numbers cannot be; it is named.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int | tuple[int, int],
        stride: int | tuple[int, int] = 1,
        padding: Padding = "valid",
        groups: int = 1,
        bias: bool = True,
        output_padding: int | tuple[int, int] | None = None,
        dilation: int | tuple[int, int] = 1,
    ) -> None:
        check_convolution(in_channels, out_channels, kernel_size, stride, dilation, groups, num_axes=2)
        super().__init__(
            in_channels, out_channels, kernel_size, stride, groups=groups, bias=bias, dilation=dilation
        )
        self.cut = cut(padding, output_padding, self.stride, self.dilation, self.kernel_size)
        self.padding, self.output_padding = self.cut.both, self.cut.added

    def forward(self, x: Tensor) -> Tensor:  # type: ignore[override]  # the size follows from the padding
        return self.cut.end(super().forward(x))


class ConvTranspose3d(nn.ConvTranspose3d):
    """Transposed convolution of volumes: (N, C_in, D, H, W) -> (N, C_out, D', H', W').

    Arguments as in ``ConvTranspose2d``.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int | tuple[int, int, int],
        stride: int | tuple[int, int, int] = 1,
        padding: Padding = "valid",
        groups: int = 1,
        bias: bool = True,
        output_padding: int | tuple[int, int, int] | None = None,
        dilation: int | tuple[int, int, int] = 1,
    ) -> None:
        check_convolution(in_channels, out_channels, kernel_size, stride, dilation, groups, num_axes=3)
        super().__init__(
            in_channels, out_channels, kernel_size, stride, groups=groups, bias=bias, dilation=dilation
        )
        self.cut = cut(padding, output_padding, self.stride, self.dilation, self.kernel_size)
        self.padding, self.output_padding = self.cut.both, self.cut.added

    def forward(self, x: Tensor) -> Tensor:  # type: ignore[override]  # the size follows from the padding
        return self.cut.end(super().forward(x))
