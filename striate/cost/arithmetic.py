"""Multiply-accumulates of single operations."""

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch._ops import OpOverload

aten = torch.ops.aten
FIRST_FACTOR = {  # of the operations that multiply and add up: where the first of the two tensors stands
    aten.convolution: 0,
    aten.mm: 0,
    aten.bmm: 0,
    aten.mv: 0,
    aten.dot: 0,
    aten.addmm: 1,
    aten.baddbmm: 1,
    aten.addmv: 1,
    aten._scaled_dot_product_flash_attention_for_cpu: 0,
}


def factors(function: OpOverload, args: Sequence[Any]) -> tuple[Tensor, Tensor] | None:
    """The two tensors that a convolution or matrix product multiplies; None for any other operation."""
    first = FIRST_FACTOR.get(function.overloadpacket)
    return None if first is None else (args[first], args[first + 1])


def multiply_accumulates(function: OpOverload, args: Sequence[Any], result: Any) -> int:
    """How often a convolution or matrix product multiplies two numbers and adds the product to a sum.

    Multiplications by the zeros of a padding count, biases do not, as everywhere in the field.
    """
    if function.overloadpacket == aten._scaled_dot_product_flash_attention_for_cpu:
        query, key, value = args[:3]  # (..., m, k), (..., n, k) and (..., n, v)
        return math.prod((*query.shape[:-1], key.shape[-2], query.shape[-1] + value.shape[-1]))
    output: Tensor = result
    if function.overloadpacket != aten.convolution:
        left = args[FIRST_FACTOR[function.overloadpacket]]
        return output.numel() * int(left.shape[-1])  # (..., m, k) times (..., k, n)
    x: Tensor
    weight: Tensor
    x, weight, transposed = args[0], args[1], args[6]
    # weight: (C_out, C_in / groups, *kernel), and transposed (C_in, C_out / groups, *kernel): each input
    # pixel is multiplied by all of its channel's kernels
    positions = x.numel() if transposed else output.numel()
    return positions * math.prod(weight.shape[1:])
