"""What public functions ask of their arguments: a wrong one is a ``ValueError`` that begins with its name.

Types, shapes, words and single numbers are always looked at, which takes about a microsecond each. The values
in a tensor are looked at where they lie in the processor's own memory: on an accelerator the program would
have to wait for them, and tensors without values, of the meta device or of a trace, have none.
"""

import math
from collections.abc import Callable, Collection
from numbers import Integral, Real

import torch
from torch import Tensor

WHOLE = frozenset({torch.int8, torch.int16, torch.int32, torch.int64, torch.uint8})
NUMBERS: dict[str, tuple[str, Callable[[torch.dtype], bool]]] = {
    "real": ("real numbers", lambda dtype: dtype.is_floating_point or dtype in WHOLE),
    "float": ("floating-point numbers", lambda dtype: dtype.is_floating_point),
    "ids": ("int64", lambda dtype: dtype == torch.int64),
    "flags": ("bool or whole numbers", lambda dtype: dtype == torch.bool or dtype in WHOLE),
}


def has_values(tensor: Tensor) -> bool:
    """Whether the numbers in it can be looked at without waiting."""
    return tensor.device.type == "cpu" and type(tensor) in (Tensor, torch.nn.Parameter)


def check_shape(name: str, tensor: Tensor, shape: tuple[int | str, ...], numbers: str = "real") -> None:
    """A tensor of this shape, where a word stands for any length, and a first ``"..."`` for any axes.

    Args:
        name: of the argument.
        tensor: the argument.
        shape: as (..., 4).
        numbers: which of ``NUMBERS`` it is to hold.
    """
    if not isinstance(tensor, Tensor):
        raise ValueError(f"{name} must be a tensor {_shown(shape)}, not {type(tensor).__name__}")
    wanted = shape[1:] if shape and shape[0] == "..." else shape
    found = tuple(tensor.shape[len(tensor.shape) - len(wanted) :]) if wanted != shape else tuple(tensor.shape)
    if len(found) != len(wanted) or any(
        isinstance(length, int) and length != own for length, own in zip(wanted, found, strict=True)
    ):
        raise ValueError(f"{name} must have the shape {_shown(shape)}, not {tuple(tensor.shape)}")
    told, fits = NUMBERS[numbers]
    if not fits(tensor.dtype):
        raise ValueError(f"{name} must hold {told}, not {tensor.dtype}")


def check_lengths(**columns: Tensor) -> None:
    """One entry of each for every box."""
    lengths = {name: len(column) for name, column in columns.items()}
    if len(set(lengths.values())) > 1:
        told = ", ".join(f"{name} {length:,}" for name, length in lengths.items())
        raise ValueError(f"{' and '.join(lengths)} must be of equal length, not {told}")


def check_pairs(name: str, tensor: Tensor, other_name: str, other: Tensor) -> None:
    """Shapes that broadcast."""
    lengths = zip(reversed(tensor.shape), reversed(other.shape), strict=False)
    if any(a != b and 1 not in (a, b) for a, b in lengths):
        shapes = f"{tuple(tensor.shape)} and {tuple(other.shape)}"
        raise ValueError(f"{name} and {other_name} must be of shapes that broadcast, not {shapes}")


def check_finite(name: str, tensor: Tensor) -> None:
    """Neither infinite nor NaN, as far as ``has_values`` lets that be seen."""
    if has_values(tensor) and not bool(tensor.isfinite().all()):
        raise ValueError(f"{name} must be finite")


def check_ids(name: str, ids: Tensor, count: int) -> None:
    """Whole numbers in 0..count - 1, as far as ``has_values`` lets that be seen."""
    if has_values(ids) and ids.numel():
        least, most = ids.aminmax()
        if not 0 <= int(least) <= int(most) < count:
            raise ValueError(f"{name} must lie in 0..{count - 1}, not {int(least)}..{int(most)}")


def check_word(name: str, word: object, words: Collection[str]) -> None:
    """One of the words."""
    if not isinstance(word, str) or word not in words:
        raise ValueError(f"{name} must be {', '.join(map(repr, words))}, not {word!r}")


def check_number(name: str, value: object, low: float = -math.inf, high: float = math.inf) -> None:
    """A finite number in low..high."""
    number = float(value) if isinstance(value, Real) else math.nan
    if not math.isfinite(number) or not low <= number <= high:
        bounds = "" if (low, high) == (-math.inf, math.inf) else f" in {low:g}..{high:g}"
        raise ValueError(f"{name} must be a finite number{bounds}, not {value!r}")


def check_above_zero(name: str, value: object) -> None:
    """A finite number above 0."""
    number = float(value) if isinstance(value, Real) else math.nan
    if not math.isfinite(number) or number <= 0:
        raise ValueError(f"{name} must be a finite number above 0, not {value!r}")


def check_whole(name: str, value: object, least: int) -> None:
    """A whole number of at least ``least``."""
    if not is_whole(value, least):
        raise ValueError(f"{name} must be a whole number of at least {least}, not {value!r}")


def check_size(name: str, size: object) -> None:
    """Height and width, whole numbers of at least 1."""
    sides = list(size) if isinstance(size, tuple | list) else []
    if len(sides) != 2 or not all(is_whole(side, 1) for side in sides):
        raise ValueError(f"{name} must be a height and a width of at least 1, not {size!r}")


def is_whole(value: object, least: int) -> bool:
    """Whether it is a whole number of at least ``least``."""
    return not isinstance(value, bool) and isinstance(value, Integral) and int(value) >= least


def _shown(shape: tuple[int | str, ...]) -> str:
    return f"({', '.join(map(str, shape))}{',' if len(shape) == 1 else ''})"
