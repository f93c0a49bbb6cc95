"""Which small copies show the same photograph: against brute force, known motions and real pictures."""

import io
import os
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from faulty_pictures import encode, smooth_pixels
from PIL import Image, ImageEnhance
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from striate.audit.duplicates import connect, linked_groups
from striate.audit.likeness import NEAR, edge_likeness, find_alike, lay_on, move
from striate.data.images import decode_image, resize, with_channels

DATA = os.environ.get("STRIATE_DATA")


def copies_of(contents):
    """Small grey copies, uint8 (n, 32, 32), by Pillow's own conversion to grey."""
    small = [resize(with_channels(decode_image(content), 3), 32, 32) for content in contents]
    pictures = [Image.fromarray(one.permute(1, 2, 0).numpy()).convert("L") for one in small]
    return torch.from_numpy(np.stack([np.array(picture) for picture in pictures]))


def pairs_of(links):
    return {frozenset((a, b)) for a, b, _ in links}


def random_copies(count, seed=0):
    rng = np.random.default_rng(seed)
    rough = rng.integers(0, 256, (count, 7, 7), dtype=np.uint8)
    large = [Image.fromarray(one).resize((32, 32), Image.Resampling.BICUBIC) for one in rough]
    return torch.from_numpy(np.stack([np.array(one) for one in large]))


def test_likeness_is_the_cosine_of_the_edges():
    first, second = random_copies(2).float()
    edges = []
    for copy in (first.numpy(), second.numpy()):
        half = copy.reshape(16, 2, 16, 2).mean((1, 3))
        edges.append(np.concatenate([np.diff(half, axis=1).ravel(), np.diff(half, axis=0).ravel()]))
    expected = edges[0] @ edges[1] / np.linalg.norm(edges[0]) / np.linalg.norm(edges[1])
    assert edge_likeness(first[None], second[None]).item() == pytest.approx(expected, abs=1e-5)


def test_brightness_and_contrast_do_not_change_likeness():
    copies = random_copies(5).float()
    assert torch.allclose(edge_likeness(copies, 0.5 * copies + 60), torch.ones(5), atol=1e-5)
    assert (edge_likeness(copies, copies.roll(1, 0)) < 0.5).all()


def test_a_motion_is_found_again():
    copies = random_copies(20).float()
    motion = (torch.rand(20, 4, generator=torch.Generator().manual_seed(0)) - 0.5) * 0.2
    found = lay_on(move(copies, motion), copies)
    assert (found - motion).abs().median() < 0.01
    assert edge_likeness(move(copies, motion), move(copies, found)).median() > 0.99


def test_no_motion_leaves_copies_as_they_are():
    copies = random_copies(3).float()
    assert torch.allclose(move(copies, torch.zeros(3, 4)), copies, atol=1e-3)


def test_moving_by_a_pixel_is_rolling_by_one():
    copies = random_copies(3).float()
    to_the_right = torch.tensor([[2 / 32, 0, 0, 0]]).expand(3, 4)
    assert torch.allclose(move(copies, to_the_right)[:, :, :-1], copies[:, :, 1:], atol=1e-3)


@pytest.mark.parametrize("count", [2, 5, 40, 1100])  # fewer than neighbours, than a crowd, than a chunk; more
def test_only_planted_copies_are_found_in_any_number_of_pictures(count):
    copies = random_copies(count)
    copies[-1] = (copies[0].float() * 0.8 + 20).byte()
    assert pairs_of(find_alike(copies)) == {frozenset((0, count - 1))}


def test_mirror_images_are_found_only_when_asked_for():
    copies = random_copies(30)
    copies[7] = copies[3].flip(1)
    assert pairs_of(find_alike(copies)) == set()
    assert pairs_of(find_alike(copies, mirrored=True)) == {frozenset((3, 7))}


def test_a_higher_threshold_finds_a_part_of_what_a_lower_one_finds():
    copies = random_copies(60)
    noise = (
        torch.randn(30, 32, 32, generator=torch.Generator().manual_seed(1))
        * torch.linspace(1, 40, 30)[:, None, None]
    )
    copies[30:] = (copies[:30] + noise).clamp(0, 255).byte()
    found = [pairs_of(find_alike(copies, near)) for near in (0.8, 0.92, 0.99)]
    assert found[0] > found[1] > found[2] > set()


def test_in_a_crowd_only_the_nearly_identical_are_copies():
    rng = torch.Generator().manual_seed(0)
    template = random_copies(1).float()
    crowd = (template + 12 * torch.randn(40, 32, 32, generator=rng)).clamp(0, 255).byte()
    others = random_copies(40, seed=1)
    inside = edge_likeness(crowd[:1].float(), crowd[1:2].float()).item()
    assert inside > NEAR  # the pair would be found among others
    assert len(pairs_of(find_alike(torch.cat([crowd[:2], others])))) == 1
    crowd[9] = crowd[4]
    assert pairs_of(find_alike(torch.cat([crowd, others]))) == {frozenset((4, 9))}


def test_groups_are_the_connected_components():
    rng = np.random.default_rng(0)
    links = [(int(a), int(b), 1.0) for a, b in rng.integers(0, 60, (40, 2))]
    first, second, _ = zip(*links, strict=True)
    count, expected = connected_components(coo_array((np.ones(40), (first, second)), shape=(60, 60)))
    group_of = connect(links, 60)
    assert len(set(group_of)) == count
    assert len(set(zip(group_of, expected.tolist(), strict=True))) == count
    assert all(group <= item for item, group in enumerate(group_of))


def test_a_group_has_the_likeness_of_its_weakest_link():
    links = [(0, 1, 0.99), (5, 6, 0.95), (1, 2, 0.93), (2, 1, 0.94)]
    assert linked_groups(links, 8) == [([5, 6], 0.95), ([0, 1, 2], 0.93)]


def changed(content, name):
    """The content of a picture file, changed as ``name`` says."""
    image = Image.open(io.BytesIO(content)).convert("RGB")
    width, height = image.size
    bicubic = Image.Resampling.BICUBIC
    variants = {
        "jpeg 30": lambda: encode(image, "JPEG", quality=30),
        "jpeg 95": lambda: encode(image, "JPEG", quality=95),
        "half": lambda: encode(image.resize((width // 2, height // 2), bicubic), "JPEG", quality=80),
        "one and a half": lambda: encode(image.resize((width * 3 // 2, height * 3 // 2), bicubic), "PNG"),
        "half, jpeg 30": lambda: encode(image.resize((width // 2, height // 2), bicubic), "JPEG", quality=30),
        "brighter": lambda: encode(ImageEnhance.Brightness(image).enhance(1.15), "JPEG", quality=90),
        "grey": lambda: encode(image.convert("L"), "PNG"),
        "cropped": lambda: encode(image.crop((3, 0, width - 2, height - 4)), "JPEG", quality=90),
    }
    return variants[name]()


@pytest.mark.skipif(not DATA, reason="STRIATE_DATA does not name the folder with flowers.zip")
@pytest.mark.parametrize(
    "change", ["jpeg 30", "jpeg 95", "half", "one and a half", "half, jpeg 30", "brighter", "grey", "cropped"]
)
def test_changed_copies_of_real_photographs_are_found_and_nothing_else(change):
    with zipfile.ZipFile(Path(DATA) / "flowers.zip") as archive:
        names = [name for name in archive.namelist() if "/daisy/" in name and name.endswith(".jpg")][::5]
        contents = [archive.read(name) for name in names]
    count = len(contents)
    planted = [changed(content, change) for content in contents[:60]]
    found = pairs_of(find_alike(copies_of([*contents, *planted])))
    expected = {frozenset((i, count + i)) for i in range(60)}
    assert len(found & expected) >= 58
    assert len(found - expected) <= 2


def test_one_drawing_in_two_sizes_and_formats_is_alike():
    pixels = smooth_pixels(60, 90)
    smaller = Image.fromarray(pixels).resize((45, 30), Image.Resampling.BICUBIC)
    copies = copies_of([encode(pixels, "PNG"), encode(smaller, "JPEG", quality=50)])
    assert edge_likeness(copies[:1].float(), copies[1:].float()).item() > NEAR
