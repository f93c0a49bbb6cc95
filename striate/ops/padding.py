"""SAME and VALID: how many zeros go around a picture, and how many positions a window then takes.

    in         1 2 3 4 5 6 7 8 9 10 11 12 13            width 13, window 6, stride 5
    VALID     |1 2 3 4 5 6|
                        |6 7 8 9 10 11| 12 13 dropped    2 positions
    SAME    |0 1 2 3 4 5|
                      |5 6 7 8 9 10|
                                |10 11 12 13 0 0|        3 positions = ceil(13 / 5)

SAME is TensorFlow's: as few zeros as give ``ceil(in / stride)`` positions, shared evenly, and the odd
one after the picture (at its bottom or right). VALID adds none and drops what does not fill a window.
"""

from collections.abc import Sequence
from numbers import Integral
from typing import Literal, TypeGuard

import torch
import torch.nn.functional as F
from torch import Tensor

Padding = Literal["same", "valid"] | int | tuple[int, ...]
"""A word, or so many zeros on both sides of every axis (int) or of each axis (tuple)."""


def same_padding(size: int, kernel_size: int, stride: int = 1, dilation: int = 1) -> tuple[int, int]:
    """The zeros (before, after) that SAME puts around one axis.

    All in positions of that axis; ``after`` is ``before`` or one more. Source: the padding notes of
    TensorFlow's ``tf.nn`` module.

    Raises:
        ValueError: a number below 1.
    """
    if min(size, kernel_size, stride, dilation) < 1:
        check_counts(size=size, kernel_size=kernel_size, stride=stride, dilation=dilation)
    extent = dilation * (kernel_size - 1) + 1
    positions = -(-size // stride)
    total = max((positions - 1) * stride + extent - size, 0)
    return total // 2, total - total // 2


def output_size(
    size: int,
    kernel_size: int,
    stride: int = 1,
    dilation: int = 1,
    padding: Literal["same", "valid"] | int = "valid",
) -> int:
    """The number of positions that a window takes along one axis of ``size``.

    Raises:
        ValueError: the padding is an unknown word or negative, another number is below 1, or the window is
            larger than the padded axis.
    """
    check_counts(size=size, kernel_size=kernel_size, stride=stride, dilation=dilation)
    if check_padding(padding) == "same":
        return -(-size // stride)
    zeros = padding if isinstance(padding, int) else 0
    extent = dilation * (kernel_size - 1) + 1
    room = size + 2 * zeros - extent
    if room < 0:
        raise ValueError(f"a window of {extent} does not fit an axis of {size} with padding {padding!r}")
    return room // stride + 1


def check_padding(padding: Padding) -> Padding:
    """The padding as given; ValueError if it is no number of zeros and another word than these two."""
    if padding in ("same", "valid"):
        return padding
    if not isinstance(padding, str):
        numbers: object = (padding,) if is_whole(padding) else padding
        if isinstance(numbers, Sequence) and all(is_whole(zeros) and zeros >= 0 for zeros in numbers):
            return padding
    raise ValueError(f'padding is "same", "valid" or numbers of zeros, not {padding!r}')


def check_counts(**counts: int | Sequence[int]) -> None:
    """ValueError, naming it, where one of these is not a whole number, or numbers, of 1 or more."""
    for name, value in counts.items():
        numbers = value if isinstance(value, Sequence) else (value,)
        if not all(is_whole(number) and number >= 1 for number in numbers):
            raise ValueError(f"{name} must be whole and at least 1, not {value!r}")


def is_whole(number: object) -> TypeGuard[int]:
    """Whether it is a whole number, torch's symbolic ones included, and no bool."""
    return isinstance(number, Integral | torch.SymInt) and not isinstance(number, bool)


def per_axis(value: int | Sequence[int], num_axes: int, name: str = "value") -> tuple[int, ...]:
    """One number for each axis: an int is repeated, a sequence must have ``num_axes`` entries, all whole.

    Raises:
        ValueError: it is neither; it is called by its ``name``.
    """
    values = tuple(value) if isinstance(value, Sequence) else (value,) * num_axes
    if len(values) != num_axes or not all(map(is_whole, values)):
        raise ValueError(
            f"{name}: one whole number or {num_axes} are needed, one for each axis, not {value!r}"
        )
    return values


def constant_padding(
    padding: Padding, kernel_size: Sequence[int], stride: Sequence[int], dilation: Sequence[int]
) -> tuple[int, ...] | Literal["same"]:
    """The zeros on both sides of each axis, where they are the same number for inputs of any size.

    ``kernel_size``, ``stride`` and ``dilation`` have one entry for each axis. The result is "same" where
    SAME has to look at the input: with strides, whose zeros depend on the size, and with windows of even
    extent, whose zeros are lopsided.

    Raises:
        ValueError: the padding is an unknown word, negative or of other axes, or another number is below 1.
    """
    check_counts(kernel_size=kernel_size, stride=stride, dilation=dilation)
    if not isinstance(check_padding(padding), str):
        return per_axis(padding, len(kernel_size), "padding")  # type: ignore[arg-type]
    if padding == "valid":
        return (0,) * len(kernel_size)
    extents = [d * (k - 1) + 1 for k, d in zip(kernel_size, dilation, strict=True)]
    even_on_any_input = all(
        extent == 1 or (step == 1 and extent % 2 == 1) for extent, step in zip(extents, stride, strict=True)
    )
    return tuple(extent // 2 for extent in extents) if even_on_any_input else "same"


def pad_lopsided(
    x: Tensor, kernel_size: Sequence[int], stride: Sequence[int], dilation: Sequence[int]
) -> tuple[Tensor, tuple[int, ...]]:
    """Do the part of SAME that a convolution cannot: it pads both sides of an axis alike.

    Args:
        x: (N, C, *axes), or one picture (C, *axes).
        kernel_size, stride, dilation: one entry for each axis.

    Raises:
        ValueError: x has another number of axes, or one is empty.

    Returns:
        x, with one zero after each axis whose padding is odd (x itself, uncopied, if there is none), and
        the zeros that the convolution is still to put on both sides of each axis.
    """
    sizes = sizes_of_axes(x, len(kernel_size))
    sides = [same_padding(*numbers) for numbers in zip(sizes, kernel_size, stride, dilation, strict=True)]
    odd = [after - before for before, after in sides]
    if any(odd):
        x = F.pad(x, [zeros for extra in reversed(odd) for zeros in (0, extra)])  # F.pad: last axis first
    return x, tuple(before for before, _ in sides)


def sizes_of_axes(x: Tensor, num_axes: int) -> tuple[int, ...]:
    """The sizes of all axes of x after channels: of (N, C, *axes), or of one picture (C, *axes).

    Raises:
        ValueError: x has another number of axes.
    """
    if x.ndim - num_axes not in (1, 2):
        raise ValueError(f"x must be (N, C) or (C), and {num_axes} axes more, not {tuple(x.shape)}")
    return tuple(x.shape[x.ndim - num_axes :])
