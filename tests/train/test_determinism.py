"""One seed decides every random number."""

import os
import random

import numpy as np
import pytest
import torch

from striate.train.determinism import seed_everything, use_exact_kernels


def draw() -> tuple[float, float, float]:
    return random.random(), float(np.random.rand()), float(torch.rand(()))


def forget_workspace(monkeypatch) -> None:
    monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", "")  # so that the test's end brings back what was there
    monkeypatch.delenv("CUBLAS_WORKSPACE_CONFIG")


@pytest.mark.parametrize("seed", [0, 1, 2**32 + 5, 2**63 - 1])
def test_the_same_seed_gives_the_same_numbers(seed):
    seed_everything(seed)
    first = draw()
    seed_everything(seed)
    assert draw() == first


def test_another_seed_gives_other_numbers_everywhere():
    seed_everything(1)
    first = draw()
    seed_everything(2)
    assert all(a != b for a, b in zip(first, draw(), strict=True))


def test_the_processor_needs_no_switch(monkeypatch):
    forget_workspace(monkeypatch)
    use_exact_kernels(torch.device("cpu"))
    assert not torch.are_deterministic_algorithms_enabled()
    assert "CUBLAS_WORKSPACE_CONFIG" not in os.environ


def test_cuda_gets_exact_kernels(monkeypatch):
    forget_workspace(monkeypatch)
    monkeypatch.setattr(torch.backends.cudnn, "benchmark", True)
    try:
        use_exact_kernels(torch.device("cuda"))
        assert torch.are_deterministic_algorithms_enabled()
        assert not torch.backends.cudnn.benchmark
        assert os.environ["CUBLAS_WORKSPACE_CONFIG"] == ":4096:8"
    finally:
        torch.use_deterministic_algorithms(False)
