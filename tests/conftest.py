"""What several test files share: the command line inside this process, and trained runs."""

import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # read once, when torch is imported
os.environ.setdefault("GOMP_SPINCOUNT", "1000")
sys.path.insert(0, str(Path(__file__).parent / "data"))  # for faulty_pictures

import pytest
from small_data import draw_shapes


@dataclass(frozen=True)
class Outcome:
    """How a command ended: exit code and what it wrote."""

    code: int
    out: str
    err: str


@pytest.fixture(scope="session", autouse=True)
def _own_cache(tmp_path_factory):
    """Nothing is left in, or taken from, the cache of whoever runs the tests."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("STRIATE_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture
def run_cli(monkeypatch, capsys) -> Callable[..., Outcome]:
    """The command line as a user calls it: ``run_cli("evaluate", folder, "--json")``."""
    from striate.cli.main import main

    def run(*arguments: object) -> Outcome:
        monkeypatch.setattr(sys, "argv", ["striate", *map(str, arguments)])
        capsys.readouterr()
        code = 0
        try:
            main()
        except SystemExit as end:
            code = end.code or 0
        written = capsys.readouterr()
        return Outcome(code, written.out, written.err)

    return run


@pytest.fixture(scope="session")
def digits_run(tmp_path_factory):
    """LeNet-5 on the digits, 28 pixels inside a black margin to 32: about 90 %. Not to be changed."""
    import striate

    return striate.train(
        "digits",
        model="lenet5",
        out=tmp_path_factory.mktemp("runs") / "digits",
        settings={"train.epochs": 4, "optimizer.lr": 0.01, "input.margin": 2, "train.precision": "fp32"},
    )


@pytest.fixture(scope="session")
def shapes_folder(tmp_path_factory) -> Path:
    """An image folder of two classes, discs and squares. Not to be changed."""
    return draw_shapes(tmp_path_factory.mktemp("data") / "shapes", 12)


@pytest.fixture(scope="session")
def shapes_run(shapes_folder, tmp_path_factory):
    """A colour network, hardly trained, of two classes. Not to be changed."""
    import striate

    return striate.train(
        shapes_folder,
        model="lenet5",
        out=tmp_path_factory.mktemp("runs") / "shapes",
        settings={"train.epochs": 1},
    )
