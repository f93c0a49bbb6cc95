import os
from collections.abc import Callable
from pathlib import Path

import pytest
from faulty_pictures import encode, smooth_pixels, write_files


@pytest.fixture
def real_data() -> Path:
    """The folder of real data sets."""
    if "STRIATE_DATA" not in os.environ:
        pytest.skip("needs real data: set STRIATE_DATA to the folder that holds them")
    return Path(os.environ["STRIATE_DATA"])


@pytest.fixture
def make_classes(tmp_path: Path) -> Callable[..., Path]:
    """A maker of image folders: ``make_classes({"train/rose": 3})`` has three pictures in that folder."""

    def make(counts: dict[str, int], channels: int = 3, name: str = "flowers") -> Path:
        files = {
            f"{folder}/{i}.png": encode(smooth_pixels(8, 10, channels, seed=i), "PNG")
            for folder, count in counts.items()
            for i in range(count)
        }
        (tmp_path / name).mkdir(exist_ok=True)
        write_files(tmp_path / name, files)
        return tmp_path / name

    return make
