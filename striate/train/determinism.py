"""The same run again: one seed for every generator, and exact kernels on accelerators."""

import os
import random

import numpy as np
import torch


def seed_everything(seed: int) -> None:
    """Start Python's, NumPy's and torch's generators from ``seed``."""
    random.seed(seed)
    np.random.seed(seed % 2**32)
    torch.manual_seed(seed)


def use_exact_kernels(device: torch.device) -> None:
    """Make CUDA repeat itself bit by bit; the processor's kernels do so already."""
    if device.type == "cuda":
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
        torch.backends.cudnn.benchmark = False
        torch.use_deterministic_algorithms(True, warn_only=True)
