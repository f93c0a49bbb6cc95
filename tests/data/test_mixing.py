"""Mixup and CutMix against their formulas, written out; partners that no batch, order or worker decides."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from faulty_pictures import encode, smooth_pixels, write_files
from scipy import stats
from torch import Tensor

from striate.data.augment import Augment
from striate.data.dataset import FolderImages, Split
from striate.data.keyed_random import keyed_uniform
from striate.data.loader import Loader, MemoryPictures, Pictures, StreamedPictures, prepare_pictures
from striate.data.mixing import Mixer, draw_boxes, draw_shares
from striate.data.preprocessing import Preprocessing
from striate.data.streams import Stream
from striate.recipe import AugmentSettings
from striate.samples import Batch, Frame

RGB = Preprocessing((12, 16), 3, "crop", 0, (0.3, 0.5, 0.6), (0.2, 0.3, 0.1))
FROZEN_SHARES = [3.9081e-10, 0.00060580880951, 0.9710033601596, 0.31970001465363]
FROZEN_BOX = [22, 22, 15, 18, 26, 30, 14, 21]


def settings_with(**values: Any) -> AugmentSettings:
    return AugmentSettings(**{"shift": 0.0} | values)


def pictures(*shape: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, shape, generator=generator, dtype=torch.uint8)


def mix(
    mixer: Mixer, images: Tensor, partners: Tensor, keys: Tensor, epoch: int = 0
) -> tuple[Tensor, Tensor]:
    """Pictures of class 0 with partners of class 1."""
    zeros = torch.zeros(len(images), dtype=torch.int64)
    return mixer(images, zeros, partners, zeros + 1, epoch, keys)


# Shares -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("alpha", [0.05, 0.2, 0.5, 1.0, 2.0, 8.0, 100.0])
def test_shares_have_the_symmetric_beta_distribution(alpha: float) -> None:
    shares = draw_shares(alpha, 3, 1, torch.arange(20_000)).numpy()
    # The smallest shares are below the resolution of 1/2 + ..., so values are compared at their places.
    places = np.array([1e-6, 1e-3, 0.03, 0.1, 0.25, 0.45, 0.5, 0.6, 0.75, 0.9, 0.97, 0.999])
    below = (shares[:, None] < places).mean(axis=0)
    expected = stats.beta(alpha, alpha).cdf(places)
    assert np.abs(below - expected).max() < 4.5 * 0.5 / math.sqrt(20_000)
    if alpha >= 0.5:
        assert stats.kstest(shares, stats.beta(alpha, alpha).cdf).pvalue > 0.001
    assert shares.mean() == pytest.approx(0.5, abs=0.015)


@pytest.mark.parametrize("alpha", [1e-4, 1e5])
def test_shares_of_extreme_strength_are_numbers_between_0_and_1(alpha: float) -> None:
    shares = draw_shares(alpha, 0, 0, torch.arange(10_000))
    assert shares.min() >= 0  # fails for what is not a number too
    assert shares.max() <= 1
    assert ((shares - 0.5).abs() > 0.49).double().mean() == pytest.approx(float(alpha < 1), abs=0.01)


# Mixup --------------------------------------------------------------------------------------------------


def test_mixup_is_the_weighted_mean_of_pictures_and_of_labels() -> None:
    images, partners = pictures(30, 3, 7, 9), pictures(30, 3, 7, 9, seed=1)
    targets, theirs = torch.arange(30) % 5, torch.arange(30) % 3
    keys = torch.arange(100, 130)
    mixed, probs = Mixer(settings_with(mixup=0.4), 5, 5)(images, targets, partners, theirs, 2, keys)
    assert mixed.dtype == probs.dtype == torch.float32
    shares = draw_shares(0.4, 5, 2, keys).tolist()
    for n, share in enumerate(shares):
        expected = share * images[n].double() + (1 - share) * partners[n].double()
        assert torch.allclose(mixed[n].double(), expected, rtol=0, atol=1e-4)
        label = [0.0] * 5
        label[targets[n]] += share
        label[theirs[n]] += 1 - share
        assert probs[n].tolist() == pytest.approx(label, abs=1e-6)


def test_only_blending_needs_fractions() -> None:
    images, partners, keys = pictures(6, 1, 4, 4), pictures(6, 1, 4, 4, seed=1), torch.arange(6)
    for settings, given, found in (
        ({"cutmix": 1.0}, torch.uint8, torch.uint8),
        ({"cutmix": 1.0}, torch.float32, torch.float32),
        ({"mixup": 1.0}, torch.uint8, torch.float32),
        ({"mixup": 1.0, "cutmix": 1.0}, torch.uint8, torch.float32),
    ):
        mixed, _ = mix(Mixer(settings_with(**settings), 0, 2), images.to(given), partners.to(given), keys)
        assert mixed.dtype == found


def test_two_pictures_of_a_class_keep_it_wholly() -> None:
    same = torch.arange(20) % 4
    for settings in ({"mixup": 1.0}, {"cutmix": 1.0}):
        images = pictures(20, 1, 8, 8)
        _, probs = Mixer(settings_with(**settings), 0, 4)(images, same, images, same, 0, torch.arange(20))
        torch.testing.assert_close(probs, torch.nn.functional.one_hot(same, 4).float())


# CutMix -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [(1, 32, 32), (3, 17, 40)], ids=str)
def test_cutmix_pastes_a_box_whose_exact_share_of_pixels_is_the_label(size: tuple[int, int, int]) -> None:
    images, partners = pictures(200, *size) // 2, 255 - pictures(200, *size, seed=1) // 2  # no value in both
    mixed, probs = mix(Mixer(settings_with(cutmix=1.0), 1, 2), images, partners, torch.arange(200))
    for n in range(200):
        pasted = mixed[n] == partners[n]
        assert torch.equal(torch.where(pasted, partners[n], images[n]), mixed[n])
        assert torch.equal(pasted[0].expand_as(pasted), pasted)  # the same in all channels
        rows, columns = pasted[0].any(dim=1), pasted[0].any(dim=0)
        assert torch.equal(pasted[0], rows[:, None] & columns)
        for line in (rows, columns):  # without a gap
            assert (line.int().diff() == 1).sum() + line[0].int() <= 1
        share = int(pasted[0].sum()) / pasted[0].numel()
        assert probs[n].tolist() == pytest.approx([1 - share, share], abs=1e-6)


def test_boxes_are_those_of_the_paper_written_as_a_loop() -> None:
    keys, (height, width) = torch.arange(60), (15, 22)
    rows, columns = draw_boxes(1.0, 2, 3, keys, height, width)
    shares = draw_shares(1.0, 2, 3, keys).tolist()
    centres = keyed_uniform(2, 3, keys, 2, Stream.MIX_CENTRE).tolist()
    for n, (share, (x, y)) in enumerate(zip(shares, centres, strict=True)):
        box_width, box_height = width * math.sqrt(1 - share), height * math.sqrt(1 - share)
        left, top = x * width - box_width / 2, y * height - box_height / 2
        expected = [left <= i + 0.5 < left + box_width for i in range(width)]
        assert columns[n].tolist() == expected
        assert rows[n].tolist() == [top <= i + 0.5 < top + box_height for i in range(height)]


def test_the_pasted_share_is_distributed_as_in_the_paper() -> None:
    rng = np.random.default_rng(0)
    side, x, y = np.sqrt(rng.beta(0.7, 0.7, 8000)), rng.uniform(size=8000), rng.uniform(size=8000)
    across, down = ((centre + side / 2).clip(0, 1) - (centre - side / 2).clip(0, 1) for centre in (x, y))
    rows, columns = draw_boxes(0.7, 0, 0, torch.arange(8000), 400, 300)
    ours = rows.double().mean(dim=1) * columns.double().mean(dim=1)
    assert stats.ks_2samp(ours.numpy(), across * down).pvalue > 0.001


# Both, and the whole ------------------------------------------------------------------------------------


def test_with_both_on_each_sample_takes_one_of_them_by_a_fair_coin() -> None:
    images, partners, keys = pictures(2000, 1, 6, 6), pictures(2000, 1, 6, 6, seed=1), torch.arange(2000)
    both, blended, pasted = (
        mix(Mixer(settings_with(**settings), 0, 2), images, partners, keys)
        for settings in ({"mixup": 0.8, "cutmix": 1.0}, {"mixup": 0.8}, {"cutmix": 1.0})
    )
    by_mixup = (both[0] == blended[0]).flatten(1).all(1) & (both[1] == blended[1]).all(1)
    by_cutmix = (both[0] == pasted[0]).flatten(1).all(1) & (both[1] == pasted[1]).all(1)
    assert (by_mixup | by_cutmix).all()
    assert (
        stats.binomtest(int((by_mixup & ~by_cutmix).sum()), int((by_mixup ^ by_cutmix).sum())).pvalue > 0.001
    )


MIXES = [{"mixup": 0.3}, {"cutmix": 1.0}, {"mixup": 0.3, "cutmix": 1.0}]


@pytest.mark.parametrize("settings", MIXES, ids=str)
def test_labels_are_probabilities_and_pictures_stay_in_range(settings: dict[str, float]) -> None:
    images, partners = pictures(500, 3, 5, 6), pictures(500, 3, 5, 6, seed=1)
    before = images.clone(), partners.clone()
    mixed, probs = mix(Mixer(settings_with(**settings), 0, 3), images, partners, torch.arange(500))
    assert mixed.min() >= 0
    assert mixed.max() <= 255 + 1e-4
    assert probs.min() >= 0
    torch.testing.assert_close(probs.sum(1), torch.ones(500))
    assert torch.equal(images, before[0])
    assert torch.equal(partners, before[1])


@pytest.mark.parametrize("settings", MIXES, ids=str)
def test_mixing_and_normalization_commute(settings: dict[str, float]) -> None:
    images, partners, keys = pictures(20, 3, 12, 16), pictures(20, 3, 12, 16, seed=1), torch.arange(20)
    mixer = Mixer(settings_with(**settings), 0, 2)
    before, _ = mix(mixer, RGB.normalize(images), RGB.normalize(partners), keys)
    after = RGB.normalize(mix(mixer, images, partners, keys)[0])
    torch.testing.assert_close(before, after, rtol=0, atol=1e-5)


@pytest.mark.parametrize("change", ["epoch", "seed", "key"])
def test_epoch_seed_and_key_change_the_mix(change: str) -> None:
    seed, epoch, offset = (int(change == name) for name in ("seed", "epoch", "key"))
    images, partners, keys = pictures(100, 1, 8, 8), pictures(100, 1, 8, 8, seed=1), torch.arange(100)
    settings = settings_with(mixup=1.0, cutmix=1.0)
    first, _ = mix(Mixer(settings, 0, 2), images, partners, keys)
    second, _ = mix(Mixer(settings, seed, 2), images, partners, keys + 100 * offset, epoch)
    assert (first != second).flatten(1).any(1).double().mean() > 0.95


def test_shares_and_boxes_never_change() -> None:
    # A resumed run must see the same pixels, also after an update of Striate: these values stay.
    assert draw_shares(0.2, 1, 2, torch.arange(4)).tolist() == pytest.approx(FROZEN_SHARES, abs=1e-12)
    rows, columns = draw_boxes(1.0, 1, 2, torch.arange(4), 32, 32)
    assert [*rows.sum(1).tolist(), *columns.sum(1).tolist()] == FROZEN_BOX
    assert [Stream[name] for name in ("PARTNER", "MIX_KIND", "MIX_SHARE", "MIX_CENTRE")] == [13, 14, 15, 16]


# Partners -----------------------------------------------------------------------------------------------


def numbered(count: int) -> MemoryPictures:
    """Pictures of one pixel, whose value is their number; their target too."""
    numbers = torch.arange(count)
    frames = [Frame(1, 1, offset_x=i) for i in range(count)]
    return MemoryPictures(
        numbers.byte().view(-1, 1, 1, 1), frames, [f"picture {i}" for i in range(count)], numbers
    )


def test_all_partners_are_equally_likely_and_independent() -> None:
    mixer, keys = Mixer(settings_with(mixup=1.0), 4, 2), torch.arange(20)
    drawn = torch.stack([mixer.partners(epoch, keys) for epoch in range(2000)])  # (2000, 20)
    assert stats.chisquare(drawn.flatten().bincount(minlength=20).numpy()).pvalue > 0.001
    assert stats.chisquare(drawn[:, 7].bincount(minlength=20).numpy()).pvalue > 0.001
    pairs = (drawn[:, 3] * 20 + drawn[:, 4]).bincount(minlength=400)
    assert stats.chisquare(pairs.numpy()).pvalue > 0.001


def test_everything_about_partners_is_of_the_same_pictures() -> None:
    mixer = Mixer(settings_with(mixup=1.0), 0, 50)
    for batch in Loader(numbered(50), 8, seed=1, partners=mixer.partners).batches(2):
        assert batch.partners is not None
        assert batch.images.flatten().tolist() == batch.keys.tolist() == batch.indices.tolist()
        others = batch.partners.indices.tolist()
        assert batch.partners.images.flatten().tolist() == batch.partners.targets.tolist() == others
        assert list(batch.partners.names) == [f"picture {i}" for i in others]
        assert [frame.offset_x for frame in batch.partners.frames] == others


def test_partners_leave_the_order_and_a_loader_without_them_has_none() -> None:
    mixer = Mixer(settings_with(cutmix=1.0), 0, 30)
    plain, paired = (
        Loader(numbered(30), 7, seed=2, partners=partners) for partners in (None, mixer.partners)
    )
    for batch, other in zip(plain.batches(1), paired.batches(1), strict=True):
        assert torch.equal(batch.indices, other.indices)
        assert torch.equal(batch.images, other.images)
        assert batch.partners is None
        assert other.partners is not None


def test_nothing_on_needs_no_partners() -> None:
    assert not Mixer(settings_with(), 0, 2).is_on
    assert all(Mixer(settings_with(**settings), 0, 2).is_on for settings in MIXES)


@pytest.fixture
def folder_split(tmp_path: Path) -> Split:
    """Thirteen colour pictures of different sizes in files."""
    files = {f"{i:02d}.png": encode(smooth_pixels(20 + i, 30 - i, 3, seed=i), "PNG") for i in range(13)}
    write_files(tmp_path, files)
    return Split(FolderImages(tmp_path, list(files), channels=3), torch.arange(13) % 4)


def looks(
    loader: Loader, settings: AugmentSettings, epoch: int, start: int = 0
) -> dict[int, tuple[Tensor, Tensor]]:
    """What training sees of each sample of an epoch: key -> picture and probabilities."""
    augment, mixer = Augment(settings, 6), Mixer(settings, 6, 4)

    def augmented(batch: Batch) -> Tensor:
        return augment(batch.images, epoch, batch.keys)

    seen = {}
    for batch in loader.batches(epoch, start):
        assert batch.partners is not None
        mixed = mixer(
            augmented(batch),
            batch.targets,
            augmented(batch.partners),
            batch.partners.targets,
            epoch,
            batch.keys,
        )
        seen |= {key: (mixed[0][n], mixed[1][n]) for n, key in enumerate(batch.keys.tolist())}
    return seen


@pytest.mark.parametrize("settings", MIXES, ids=str)
def test_what_is_seen_of_a_sample_depends_on_no_batch_worker_or_resumption(
    settings: dict[str, float], folder_split: Split
) -> None:
    everything = settings_with(**settings, crop=(0.5, 1.0), flip=True, contrast=0.3, erase=0.4)
    partners = Mixer(everything, 6, 4).partners

    def loader(pictures: Pictures, batch_size: int) -> Loader:
        return Loader(pictures, batch_size, seed=6, partners=partners)

    memory, _ = prepare_pictures(folder_split, RGB, 1e9)
    expected = looks(loader(memory, 13), everything, 1)
    assert len(expected) == 13
    ways = [looks(loader(memory, 1), everything, 1)]
    for workers in (0, 2):
        streamed, _ = prepare_pictures(folder_split, RGB, 0, workers)
        assert isinstance(streamed, StreamedPictures)
        ways.append(looks(loader(streamed, 4), everything, 1))
    rest = looks(loader(memory, 4), everything, 1, start=2)
    assert len(rest) == 6  # batches of 4, 3, 3 and 3
    for seen in [*ways, rest]:
        for key, (picture, probs) in seen.items():
            assert torch.equal(picture, expected[key][0])
            assert torch.equal(probs, expected[key][1])
    assert [len(seen) for seen in ways] == [13, 13, 13]
