"""Transposed convolution: a learned enlargement.

Each input pixel stamps the kernel, times its value, on the output; the stamps of neighbours lie a stride
apart and add up. It is the gradient of a convolution with respect to its input, hence the name, and SAME
and VALID mean that convolution's: SAME gives exactly ``in * stride`` pixels, VALID every pixel stamped on
(and zeros up to ``in * stride``, where the stride is larger than the kernel).

Shapes: N batch, C channels, H height, W width.
"""

from torch import Tensor, nn

from striate.ops.padding import Padding, check_padding, per_axis


class ConvTranspose2d(nn.ConvTranspose2d):
    """Transposed convolution of pictures: (N, C_in, H, W) -> (N, C_out, H', W').

    Started with ``bilinear_`` and ``kernel_size = 2 * stride - stride % 2`` it interpolates.

    Args:
        in_channels, out_channels, groups, bias: as in ``torch.nn.ConvTranspose2d``.
        kernel_size, stride: one number, or (height, width).
        padding: "same": H' = H * stride; "valid": H' = (H - 1) * stride + max(kernel_size, stride); or
            the pixels to cut from both sides of both axes or of (height, width).

    Raises:
        ValueError: padding is an unknown word.
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
    ) -> None:
        super().__init__(in_channels, out_channels, kernel_size, stride, groups=groups, bias=bias)
        overlap = [k - s for k, s in zip(self.kernel_size, self.stride, strict=True)]
        self.drops_last = False
        if not isinstance(padding, str):
            self.padding = per_axis(padding, 2)
            return
        self.output_padding = tuple(max(-extra, 0) for extra in overlap)
        if check_padding(padding) == "same":
            self.padding = tuple(max(extra, 0) // 2 for extra in overlap)
            # torch cuts both sides alike; of an odd number the second half is one pixel larger
            self.drops_last = any(extra > 0 and extra % 2 == 1 for extra in overlap)

    def forward(self, x: Tensor) -> Tensor:  # type: ignore[override]  # the size follows from the padding
        y = super().forward(x)
        if self.drops_last:
            y = y[:, :, : x.shape[2] * self.stride[0], : x.shape[3] * self.stride[1]]
        return y
