"""Precision: what auto, fp32 and bf16 mean on each kind of processor."""

from pathlib import Path

import pytest
import torch
from torch import nn

from striate.errors import InputError
from striate.train.precision import autocast, native_bf16, resolve_precision


def claim_cpu(monkeypatch: pytest.MonkeyPatch, **has: bool) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: has)


def claim_gpu(monkeypatch: pytest.MonkeyPatch, major: int, minor: int) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (major, minor))


@pytest.mark.parametrize(
    ("has", "expected"),
    [
        ({"avx2": True}, "fp32"),
        ({"avx512_f": True, "avx512_bf16": False, "amx_bf16": False}, "fp32"),
        ({"avx512_f": True, "avx512_bf16": True}, "bf16"),
        ({"amx_bf16": True}, "bf16"),
        ({"neon": True}, "fp32"),
    ],
)
def test_auto_is_bf16_only_where_the_processor_multiplies_it(monkeypatch, has, expected):
    claim_cpu(monkeypatch, **has)
    assert resolve_precision("auto", "cpu") == expected


@pytest.mark.parametrize(("capability", "expected"), [((7, 5), "fp32"), ((8, 0), "bf16"), ((9, 0), "bf16")])
def test_auto_on_cuda_is_bf16_from_sm_80_on(monkeypatch, capability, expected):
    claim_gpu(monkeypatch, *capability)
    assert resolve_precision("auto", torch.device("cuda", 0)) == expected


def test_the_widest_instruction_set_is_named(monkeypatch):
    claim_cpu(monkeypatch, avx512_bf16=True, amx_bf16=True)
    assert native_bf16("cpu") == "AMX-BF16"
    claim_gpu(monkeypatch, 8, 6)
    assert native_bf16("cuda") == "sm_86"


def test_this_processor_is_judged_as_the_kernel_reports_it():
    cpuinfo = Path("/proc/cpuinfo")
    flags = cpuinfo.read_text().split() if cpuinfo.is_file() else []
    if "flags" not in flags:
        pytest.skip("no x86 Linux kernel here to compare with")
    assert (native_bf16("cpu") is not None) == ("avx512_bf16" in flags or "amx_bf16" in flags)


def test_auto_elsewhere_is_fp32():
    assert resolve_precision("auto", "mps") == "fp32"


def test_a_choice_is_kept_even_where_it_is_slow(monkeypatch):
    claim_cpu(monkeypatch)
    assert resolve_precision("bf16", "cpu") == "bf16"
    claim_cpu(monkeypatch, avx512_bf16=True)
    assert resolve_precision("fp32", "cpu") == "fp32"


def test_an_unknown_choice_is_told_what_there_is():
    with pytest.raises(InputError, match="fp16") as error:
        resolve_precision("fp16", "cpu")
    assert "auto, fp32, bf16" in str(error.value)


def test_autocast_computes_in_bf16_and_keeps_weights_and_gradients_in_fp32():
    layer = nn.Conv2d(3, 4, 3)
    with autocast("bf16", "cpu"):
        outputs = layer(torch.randn(2, 3, 8, 8))
    outputs.float().sum().backward()
    assert outputs.dtype == torch.bfloat16
    assert layer.weight.dtype == torch.float32
    assert layer.weight.grad is not None
    assert layer.weight.grad.dtype == torch.float32


def test_autocast_for_fp32_changes_nothing():
    layer, x = nn.Conv2d(3, 4, 3), torch.randn(2, 3, 8, 8)
    with autocast("fp32", "cpu"):
        inside = layer(x)
    assert inside.dtype == torch.float32
    assert torch.equal(inside, layer(x))
