"""What several test files share: the command line inside this process, small data, trained runs."""

import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # read once, when torch is imported
sys.path.insert(0, str(Path(__file__).parent / "data"))  # for faulty_pictures

import numpy as np
import pytest
from PIL import Image, ImageDraw


@dataclass(frozen=True)
class Outcome:
    """How a command ended: exit code and what it wrote."""

    code: int
    out: str
    err: str


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


def draw_shapes(root: Path, count: int, side: int = 24, seed: int = 0) -> Path:
    """An image folder of coloured discs and squares, ``count`` of each, at random places and sizes."""
    rng = np.random.default_rng(seed)
    for shape in ("disc", "square"):
        (root / shape).mkdir(parents=True)
        for i in range(count):
            picture = Image.new("RGB", (side, side), tuple(rng.integers(0, 100, 3).tolist()))
            size = int(rng.integers(side // 2, side - 4))
            x, y = rng.integers(2, side - size, 2).tolist()
            pen = ImageDraw.Draw(picture)
            draw = pen.ellipse if shape == "disc" else pen.rectangle
            draw((x, y, x + size, y + size), fill=tuple(rng.integers(150, 256, 3).tolist()))
            picture.save(root / shape / f"{i}.png")
    return root


def write_digits(root: Path, indices: range) -> list[Path]:
    """Some of scikit-learn's digits as grey 8x8 PNG files ``root/<digit>/<index>.png``."""
    from striate.data.builtin import load_digits
    from striate.data.images import save_image

    (pool,) = load_digits().splits.values()
    paths = []
    for i in indices:
        image, target = pool[i]
        path = root / str(int(target)) / f"{i}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        save_image(image, path)
        paths.append(path)
    return paths


def contents(*roots: Path) -> dict[str, bytes]:
    """Everything below some folders: path -> bytes; an empty folder counts too."""
    return {
        str(path): path.read_bytes() if path.is_file() else b"a folder"
        for root in roots
        for path in sorted([root, *root.rglob("*")])
    }


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
