"""What is seen of single pictures: damage anywhere in a file, wrong names, nothing to be seen."""

import hashlib
import io

import numpy as np
import pytest
import torch
from faulty_pictures import encode, faulty_headers, faulty_pixels, good_pictures, smooth_pixels, write_files
from PIL import Image

from striate.audit.inventory import Entry, Inventory
from striate.audit.pictures import format_of, look_at, look_at_all, picture_findings, tiny_limit
from striate.data.dataset import ArrayImages, FolderImages

GOOD = good_pictures()


def inventory_of(folder, files):
    """Files written to ``folder``, listed as one part."""
    write_files(folder, files)
    entries = tuple(Entry(name, "all", "", 0, i) for i, name in enumerate(files))
    return Inventory("some", str(folder), "image-folder", (), entries, (FolderImages(folder, tuple(files)),))


def look(inventory):
    return look_at_all(inventory, workers=0, progress=lambda count: None)


def found_in(inventory):
    """The kinds of finding of each file that has any, by name."""
    found = {}
    for finding in picture_findings(inventory.entries, look(inventory)):
        found.setdefault(inventory.entries[finding.entries[0]].name, set()).add(finding.kind)
    return found


@pytest.mark.parametrize("name", GOOD)
def test_a_file_that_was_cut_anywhere_is_found(name, tmp_path):
    content = GOOD[name]
    cuts = sorted(
        {*range(1, len(content), max(1, len(content) // 60)), *range(len(content) - 24, len(content))}
    )
    suffix = name.rsplit(".", 1)[1]
    inventory = inventory_of(tmp_path, {f"{cut}.{suffix}": content[:cut] for cut in cuts})
    found = found_in(inventory)
    assert all(found.get(entry.name, set()) & {"unreadable", "truncated"} for entry in inventory.entries)


@pytest.mark.parametrize("name", ["colour.jpg", "colour.png", "colour.gif", "colour.bmp", "colour.ppm"])
def test_a_file_that_was_cut_in_its_middle_is_called_truncated(name, tmp_path):
    cut = {name: GOOD[name][: len(GOOD[name]) * 2 // 3]}
    assert found_in(inventory_of(tmp_path, cut)) == {name: {"truncated"}}


def test_a_png_that_ends_in_zeros_is_called_truncated(tmp_path):
    content = GOOD["colour.png"]
    zeroed = {"zeros.png": content[:1500] + bytes(len(content) - 1500)}
    assert found_in(inventory_of(tmp_path, zeroed)) == {"zeros.png": {"truncated"}}


def test_good_pictures_of_every_format_have_no_finding(tmp_path):
    assert found_in(inventory_of(tmp_path, GOOD)) == {}


@pytest.mark.parametrize("name", GOOD)
def test_bytes_after_the_end_do_no_harm(name, tmp_path):
    assert found_in(inventory_of(tmp_path, {name: GOOD[name] + bytes(3)})) == {}


def test_files_that_are_no_pictures_are_each_found_and_do_not_stop_the_others(tmp_path):
    faulty = faulty_headers() | faulty_pixels()
    inventory = inventory_of(tmp_path, faulty | {"good.png": GOOD["colour.png"]})
    found = found_in(inventory)
    assert found.keys() == faulty.keys()
    assert all(kinds <= {"unreadable", "truncated"} for kinds in found.values())


def test_a_file_that_is_gone_and_a_folder_of_its_name_are_findings(tmp_path):
    inventory = inventory_of(tmp_path, {"gone.png": GOOD["colour.png"], "a.png": GOOD["colour.png"]})
    (tmp_path / "gone.png").unlink()
    assert found_in(inventory) == {"gone.png": {"unreadable"}}
    (tmp_path / "gone.png").mkdir()
    assert found_in(inventory) == {"gone.png": {"unreadable"}}


@pytest.mark.parametrize(
    ("name", "content", "wrong"),
    [
        ("a.jpg", "colour.png", True),
        ("a.png", "colour.jpg", True),
        ("a.bmp", "colour.webp", True),
        ("a.JPEG", "colour.jpg", False),
        ("a.tiff", "colour.tif", False),
        ("a.jfif", "grey.jpg", False),
        ("a", "colour.jpg", True),
    ],
)
def test_a_suffix_that_tells_another_format_is_found(name, content, wrong, tmp_path):
    found = found_in(inventory_of(tmp_path, {name: GOOD[content]}))
    assert found == ({name: {"wrong-suffix"}} if wrong else {})


@pytest.mark.parametrize("name", GOOD)
def test_the_format_is_told_by_the_content(name):
    if name.endswith(".heic"):  # Pillow knows it only after its plugin was loaded
        pytest.importorskip("pi_heif").register_heif_opener()
    pillow = Image.open(io.BytesIO(GOOD[name])).format
    assert format_of(GOOD[name]).lower() == {"PPM": "pnm", "JPEG2000": "jpeg 2000", "HEIF": "heic"}.get(
        pillow, pillow.lower()
    )


def test_blank_pictures_are_found_and_faint_ones_are_not(tmp_path):
    rng = np.random.default_rng(0)
    grey = np.full((64, 64), 120)
    noisy = grey + rng.normal(0, 6, grey.shape)  # a lens cap: noise, nothing else
    dot = grey.copy()
    dot[20:28, 30:38] = 250
    files = {
        "black.png": np.zeros((64, 64, 3)),
        "lens_cap.png": noisy,
        "dot.png": dot,
        "slope.png": grey + np.linspace(-8, 8, 64),
        "hue.png": np.stack([np.linspace(0, 255, 64)[:, None].repeat(64, 1), grey, grey], axis=2),
    }
    contents = {name: encode(pixels.clip(0, 255).astype(np.uint8), "PNG") for name, pixels in files.items()}
    assert found_in(inventory_of(tmp_path, contents)) == {"black.png": {"blank"}, "lens_cap.png": {"blank"}}


def test_tiny_and_long_pictures_are_found_among_usual_ones(tmp_path):
    files = {f"{i}.png": encode(smooth_pixels(128, 120, seed=i), "PNG") for i in range(5)}
    files["tiny.png"] = encode(smooth_pixels(31, 80), "PNG")
    files["long.png"] = encode(smooth_pixels(40, 200), "PNG")
    files["high.png"] = encode(smooth_pixels(200, 48), "PNG")
    assert found_in(inventory_of(tmp_path, files)) == {
        "tiny.png": {"tiny"},
        "long.png": {"extreme-aspect"},
        "high.png": {"extreme-aspect"},
    }


@pytest.mark.parametrize(
    ("median", "limit"), [(28, 14), (32, 16), (64, 32), (128, 32), (400, 40), (3000, 64)]
)
def test_what_is_tiny_depends_on_the_others(median, limit):
    assert tiny_limit(median) == limit


def test_lines_of_text_are_not_long_among_themselves(tmp_path):
    files = {f"{i}.png": encode(smooth_pixels(32, 320, seed=i), "PNG") for i in range(5)}
    assert found_in(inventory_of(tmp_path, files)) == {}


def test_equal_pixels_have_equal_digests_however_they_are_stored(tmp_path):
    colour, grey = smooth_pixels(20, 30), smooth_pixels(20, 30, channels=1)
    files = {
        "a.png": encode(colour, "PNG"),
        "b.bmp": encode(colour, "BMP"),
        "c.png": encode(grey, "PNG"),
        "d.png": encode(np.stack([grey] * 3, axis=2), "PNG"),
        "e.png": encode(colour.swapaxes(0, 1).reshape(20, 30, 3), "PNG"),
    }
    a, b, c, d, e = look(inventory_of(tmp_path, files)).each
    assert a.pixels == b.pixels != c.pixels == d.pixels != e.pixels
    assert a.stored == hashlib.sha256(files["a.png"]).digest() != b.stored
    assert (a.width, a.height) == (30, 20)


def test_pictures_in_memory_are_looked_at_without_a_format():
    stored = torch.randint(0, 256, (3, 1, 28, 28), dtype=torch.uint8)
    entries = tuple(Entry(f"train/0000{i}", "train", "1", 0, i) for i in range(3))
    inventory = Inventory("some", "", "idx", ("1",), entries, (ArrayImages(stored, "train"),))
    looks = look(inventory)
    assert [(one.format, one.height, one.width) for one in looks.each] == [("", 28, 28)] * 3
    assert picture_findings(entries, looks) == []


def test_worker_processes_see_the_same(tmp_path):
    inventory = inventory_of(tmp_path, GOOD | faulty_pixels())
    alone = look(inventory)
    together = look_at_all(inventory, workers=2, progress=lambda count: None)
    assert together.each == alone.each
    assert torch.equal(together.grey, alone.grey)
    assert torch.equal(together.spread, alone.spread)


def test_an_entry_that_is_nowhere_keeps_its_fault():
    copy = torch.ones(3, 32, 32, dtype=torch.uint8)
    seen = look_at((Entry("a", "all", "", -1, 0, "no picture of this name"),), (), 0, copy)
    assert seen.fault == "no picture of this name"
    assert not copy.any()
