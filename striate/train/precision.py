"""The number format of forward and backward passes: fp32, or bf16 where the processor computes in it.

bfloat16 keeps float32's range with 8 bits of precision (Kalamkar et al. 2019, arXiv:1905.12322), so
training needs no loss scaling. Weights, gradients and optimizer state stay in float32: ``autocast`` only
converts what enters convolutions and dense layers.
"""

from contextlib import AbstractContextManager, nullcontext
from typing import Literal

import torch

from striate.errors import InputError

Precision = Literal["fp32", "bf16"]
CHOICES = ("auto", "fp32", "bf16")


def resolve_precision(choice: str, device: torch.device | str) -> Precision:
    """What ``choice`` means on ``device``.

    Args:
        choice: ``"auto"`` for bf16 where ``native_bf16`` finds it and fp32 elsewhere, or ``"fp32"`` or
            ``"bf16"``. bf16 is done as asked on any device; where it is only emulated it is slower than fp32.
        device: where the network runs.

    Raises:
        InputError: ``choice`` is none of the three.
    """
    if choice == "auto":
        return "bf16" if native_bf16(device) else "fp32"
    if choice == "fp32":
        return "fp32"
    if choice == "bf16":
        return "bf16"
    raise InputError(f"unknown precision {choice!r}", "--precision", f"use one of {', '.join(CHOICES)}")


def native_bf16(device: torch.device | str) -> str | None:
    """What multiplies bf16 numbers on ``device``: an instruction set or a GPU generation; None: emulation."""
    device = torch.device(device)
    if device.type == "cuda":
        major, minor = torch.cuda.get_device_capability(device)
        return f"sm_{major}{minor}" if major >= 8 else None  # Ampere is the first with bf16 tensor cores
    if device.type == "cpu":
        has = torch.cpu.get_capabilities()
        names = {"amx_bf16": "AMX-BF16", "avx512_bf16": "AVX512-BF16"}
        return next((name for key, name in names.items() if has.get(key)), None)
    return None


def autocast(precision: Precision, device: torch.device | str) -> AbstractContextManager[object]:
    """The context for forward passes and losses in ``precision`` on ``device``; nothing for fp32."""
    if precision == "fp32":
        return nullcontext()
    return torch.autocast(torch.device(device).type, dtype=torch.bfloat16)
