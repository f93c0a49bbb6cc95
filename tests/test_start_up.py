"""Start-up: what is imported before it is needed. How long it takes is measured in benchmarks/start_up.py."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

HEAVY = {"torch", "numpy", "sklearn", "scipy", "matplotlib", "PIL", "safetensors", "huggingface_hub"}


def modules_after(*arguments: str) -> tuple[str, set[str]]:
    """What a new Python with ``arguments`` prints, and the top-level packages that it imported."""
    result = subprocess.run(
        [sys.executable, "-X", "importtime", *arguments],
        capture_output=True,
        text=True,
        check=True,
        cwd=Path(__file__).parents[1],
        env=os.environ | {"PYTHONUTF8": "1"},
    )
    lines = [line for line in result.stderr.splitlines() if line.startswith("import time:")]
    return result.stdout, {line.rsplit("|", 1)[1].strip().split(".")[0] for line in lines}


def test_the_listing_shows_torch_where_it_is_imported():
    _, modules = modules_after("-c", "import torch")
    assert {"torch", "numpy"} <= modules


def test_import_striate_imports_nothing_heavy():
    _, modules = modules_after("-c", "import striate")
    assert "striate" in modules
    assert not modules & (HEAVY | {"typer", "rich", "pydantic"})


@pytest.mark.parametrize("arguments", [["--help"], ["train", "--help"], ["predict", "--help"]])
def test_help_imports_nothing_heavy(arguments):
    output, modules = modules_after("-m", "striate", *arguments)
    assert "Usage" in output
    assert not modules & HEAVY


def test_importing_the_runtime_changes_nothing():
    program = (
        "import os, sys; before = dict(os.environ); import striate, striate.runtime\n"
        "print(dict(os.environ) == before, 'torch' in sys.modules)"
    )
    output, _ = modules_after("-c", program)
    assert output.split() == ["True", "False"]
