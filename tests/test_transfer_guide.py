"""The guide to transfer learning: every command in it runs, in its order, on photos as phones take them."""

import hashlib
import re
import shlex
from dataclasses import replace
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
import torch
from loopback import serving
from PIL import Image
from small_data import contents

from striate.models.catalog import create_model
from striate.models.key_maps.renaming import KeyMap
from striate.models.published import WEIGHTS

GUIDE = (Path(__file__).parents[1] / "docs" / "transfer-learning.md").read_text(encoding="utf-8")
AS_IS: KeyMap = (("", ""),)


def take_photo(path: Path, colour: tuple[int, int, int], seed: int, orientation: int) -> None:
    """A JPEG of a coloured thing on a noisy table, with a camera's rotation tag."""
    generator = np.random.default_rng(seed)
    pixels = generator.integers(60, 140, (96, 128, 3), dtype=np.uint8)
    top, left = generator.integers(8, 40, 2)
    pixels[top : top + 48, left : left + 48] = colour
    exif = Image.Exif()
    exif[0x0112] = orientation
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path, quality=90, exif=exif)


def take_photos(folder: Path, count: int, start: int) -> None:
    for kind, (name, colour) in enumerate({"mug": (200, 30, 30), "plate": (230, 230, 240)}.items()):
        for i in range(count):
            number = start + 100 * kind + i
            take_photo(folder / name / f"IMG_{number:04d}.jpg", colour, number, orientation=1 + number % 8)


@pytest.fixture
def published(tmp_path, monkeypatch):
    """Weights of MobileNetV2 at an address of this machine, with the checksum that they have."""
    torch.manual_seed(0)
    buffer = BytesIO()
    torch.save(create_model("mobilenet_v2").state_dict(), buffer)
    content = buffer.getvalue()
    digits = hashlib.sha256(content).hexdigest()[:8]
    with serving() as site:
        name = f"mobilenet_v2-{digits}.pth"
        site.files[name] = content
        card = replace(
            WEIGHTS["mobilenet_v2"],
            url=f"{site.address}/{name}",
            file_name=name,
            checksum=f"sha256:{digits}",
            key_map=AS_IS,
            size=64,  # of the pictures, so that the tests take seconds
            resize=73,
        )
        monkeypatch.setitem(WEIGHTS, "mobilenet_v2", card)
        monkeypatch.setenv("STRIATE_CACHE", str(tmp_path / "cache"))
        monkeypatch.delenv("STRIATE_OFFLINE", raising=False)
        yield site


def commands() -> list[str]:
    """The lines of the guide's blocks that begin with striate."""
    blocks = GUIDE.split("```")[1::2]
    return [line for block in blocks for line in block.splitlines() if line.startswith("striate ")]


def test_every_command_of_the_guide_runs_in_its_order(run_cli, published, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    take_photos(Path("photos"), 14, start=400)
    take_photos(Path("more-photos"), 8, start=900)
    take_photo(Path("new.jpg"), (200, 30, 30), 1, orientation=6)
    (recipe,) = re.findall(r"```toml\n(.*?)```", GUIDE, re.DOTALL)
    Path("phases.toml").write_text(recipe)
    before = contents(Path("photos"), Path("more-photos"))
    assert len(commands()) >= 10
    for command in commands():
        outcome = run_cli(*shlex.split(command)[1:])
        assert outcome.code == 0, f"{command}\n{outcome.err}"
        if "--freeze backbone --epochs" in command:
            assert "held still: the backbone" in outcome.err
    assert len(published.asked) == 1  # downloaded once
    assert contents(Path("photos"), Path("more-photos")) == before
    assert Path("audit.html").is_file()
    assert {path.name for path in Path("runs").iterdir()} == {
        "photos-mobilenet_v2", "three-phases", "head-only", "balanced", "more"
    }  # fmt: skip


def test_every_file_the_guide_names_is_there():
    for target in re.findall(r"\]\((?!http)([^)#]+)\)", GUIDE):
        assert (Path(__file__).parents[1] / "docs" / target).exists(), target
