"""Makes small data sets as files, and looks at all files of a folder."""

from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from striate.data.builtin import load_digits
from striate.data.images import save_image


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
