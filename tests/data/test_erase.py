"""Random erasing: how often, where and with what, against the paper's algorithm written as a loop."""

import math
from typing import Any

import numpy as np
import pytest
import torch
from scipy import stats
from torch import Tensor

from striate.data.augment import Augment
from striate.data.erase import blot_out, draw_noise, draw_rectangles, inside
from striate.recipe import AugmentSettings

FROZEN_RECTANGLE = [0.6673321756689662, 0.026126693697770098, 0.1915051714055524, 0.24670977744739472]
FROZEN_NOISE = [5, 152, 221, 201, 26, 38, 17, 122]


def settings_with(**values: Any) -> AugmentSettings:
    return AugmentSettings(**{"shift": 0.0} | values)


def pictures(*shape: int) -> Tensor:
    return torch.randint(0, 256, shape, generator=torch.Generator().manual_seed(0), dtype=torch.uint8)


def algorithm_1(rng: np.random.Generator, size: float) -> tuple[float, float, float, float]:
    """A rectangle in a square picture of this size, as the paper draws it: x, y, width, height."""
    while True:
        area = rng.uniform(0.02, 0.4) * size * size
        aspect = rng.uniform(0.3, 1 / 0.3)
        height, width = math.sqrt(area * aspect), math.sqrt(area / aspect)
        x, y = rng.uniform(0, size), rng.uniform(0, size)
        if x + width <= size and y + height <= size:
            return x, y, width, height


def literal_mask(rectangle: Tensor, height: int, width: int) -> np.ndarray:
    """The pixels whose centre lies in a rectangle, one by one."""
    left, top, wide, high = (float(value) for value in rectangle)
    return np.array(
        [
            [
                left <= (column + 0.5) / width < left + wide and top <= (row + 0.5) / height < top + high
                for column in range(width)
            ]
            for row in range(height)
        ]
    )


# Drawing ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("probability", [0.0, 0.1, 0.5, 1.0])
def test_pictures_are_erased_as_often_as_asked_for(probability: float) -> None:
    hit = draw_rectangles(probability, 3, 1, torch.arange(20_000))[:, 2] > 0
    assert stats.binomtest(int(hit.sum()), 20_000, probability).pvalue > 0.001


def test_rectangles_are_distributed_as_those_of_the_papers_algorithm() -> None:
    rng = np.random.default_rng(0)
    theirs = np.array([algorithm_1(rng, 50.0) for _ in range(4000)]) / 50
    ours = draw_rectangles(1.0, 0, 0, torch.arange(20_000)).numpy()

    def facts(left: Any, top: Any, width: Any, height: Any) -> dict[str, Any]:
        return {
            "left": left,
            "top": top,
            "area": width * height,
            "aspect": height / width,
            "right": left + width,
        }

    for name, values in facts(*ours.T).items():
        assert stats.ks_2samp(values, facts(*theirs.T)[name]).pvalue > 0.001, name


def test_rectangles_lie_inside_with_the_papers_areas_and_aspects() -> None:
    left, top, width, height = draw_rectangles(1.0, 0, 0, torch.arange(50_000)).T
    assert left.min() >= 0
    assert top.min() >= 0
    assert (left + width).max() <= 1
    assert (top + height).max() <= 1
    area, aspect = width * height, height / width
    assert 0.02 <= area.min() < 0.021
    assert 0.39 < area.max() <= 0.4
    assert 0.3 <= aspect.min() < 0.31
    assert 3.2 < aspect.max() <= 1 / 0.3
    assert area.mean().item() == pytest.approx(0.1421, abs=0.002)  # as the module says


def test_a_larger_probability_keeps_the_rectangles_of_a_smaller_one() -> None:
    few, many = (draw_rectangles(p, 0, 0, torch.arange(1000)) for p in (0.2, 0.7))
    hit = few[:, 2] > 0
    assert torch.equal(many[hit], few[hit])


def test_every_value_of_the_noise_is_equally_likely() -> None:
    noise = draw_noise(0, 0, torch.arange(40), (3, 25, 40))
    assert noise.dtype == torch.uint8
    assert noise.shape == (40, 3, 25, 40)
    assert stats.chisquare(noise.flatten().bincount(minlength=256).numpy()).pvalue > 0.001
    values = noise.double().numpy()
    for lag in range(1, 13):  # neighbours come from the same random number
        row = values.reshape(40, -1)
        correlation = np.corrcoef(row[:, lag:].ravel(), row[:, :-lag].ravel())[0, 1]
        assert abs(correlation) < 4.5 / math.sqrt(values.size)
    assert abs(np.corrcoef(values[:, 0].ravel(), values[:, 1].ravel())[0, 1]) < 4.5 / math.sqrt(40_000)
    assert abs(np.corrcoef(values[0].ravel(), values[1].ravel())[0, 1]) < 4.5 / math.sqrt(3000)


# Applying -----------------------------------------------------------------------------------------------


def test_pixels_whose_centre_lies_inside_are_chosen() -> None:
    start, end = torch.tensor([[0.25], [0.0], [0.3]]), torch.tensor([[0.75], [1.0], [0.36]])
    # Centres of four pixels: 1/8, 3/8, 5/8, 7/8.
    assert inside(start.double(), end.double(), 4).tolist() == [
        [False, True, True, False],
        [True] * 4,
        [False] * 4,
    ]


@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32])
@pytest.mark.parametrize("shape", [(1, 28, 28), (3, 17, 23)], ids=str)
def test_inside_is_noise_and_outside_is_the_picture(dtype: torch.dtype, shape: tuple[int, int, int]) -> None:
    images, indices = pictures(40, *shape).to(dtype), torch.arange(40)
    before = images.clone()
    rectangles = draw_rectangles(0.6, 1, 2, indices)
    hit = rectangles[:, 2] > 0
    noise = draw_noise(1, 2, indices[hit], shape)
    result = blot_out(images, hit, rectangles[hit], noise)
    assert result.dtype == dtype
    assert torch.equal(images, before)
    place = 0
    for n in range(40):
        mask = literal_mask(rectangles[n], *shape[1:])
        expected = images[n].numpy().copy()
        if hit[n]:
            expected[:, mask] = noise[place].numpy()[:, mask]
            place += 1
        assert np.array_equal(result[n].numpy(), expected)
    assert place == int(hit.sum())


@pytest.mark.parametrize(
    "others", [{}, {"shift": 0.2, "flip": True}, {"rotate": 20.0, "brightness": 0.3}], ids=str
)
def test_erasing_is_the_last_change_and_leaves_the_others(others: dict[str, Any]) -> None:
    images, indices = pictures(60, 3, 20, 24), torch.arange(60)
    without = Augment(settings_with(**others), 4)(images, 1, indices)
    result = Augment(settings_with(**others, erase=0.5), 4)(images, 1, indices)
    assert result.dtype == without.dtype
    rectangles = draw_rectangles(0.5, 4, 1, indices)
    noise = draw_noise(4, 1, indices, (3, 20, 24)).to(result.dtype)
    for n in range(60):
        mask = torch.from_numpy(literal_mask(rectangles[n], 20, 24))
        assert torch.equal(result[n][:, ~mask], without[n][:, ~mask])
        assert torch.equal(result[n][:, mask], noise[n][:, mask])
    assert result.min() >= 0
    assert result.max() <= 255


def test_a_picture_is_the_same_to_the_last_bit_in_every_batch() -> None:
    images, indices = pictures(24, 3, 17, 23), torch.arange(100, 124)
    augment = Augment(settings_with(erase=0.5, flip=True), seed=3)
    whole = augment(images, 5, indices)
    order = torch.randperm(24, generator=torch.Generator().manual_seed(1))
    assert torch.equal(augment(images[order], 5, indices[order]), whole[order])
    for n in range(24):
        assert torch.equal(augment(images[n : n + 1], 5, indices[n : n + 1])[0], whole[n])


@pytest.mark.parametrize("change", ["epoch", "seed", "index"])
def test_epoch_seed_and_index_change_rectangle_and_noise(change: str) -> None:
    seed, epoch, offset = (int(change == name) for name in ("seed", "epoch", "index"))
    indices = torch.arange(100)
    first, second = (
        draw_rectangles(1.0, 0, 0, indices),
        draw_rectangles(1.0, seed, epoch, indices + 100 * offset),
    )
    assert (first != second).all()
    noises = draw_noise(0, 0, indices, (8, 8)), draw_noise(seed, epoch, indices + 100 * offset, (8, 8))
    assert (noises[0] == noises[1]).double().mean() < 0.02


def test_erasing_alone_is_a_change_that_keeps_bytes() -> None:
    augment, images = Augment(settings_with(erase=1.0), seed=0), pictures(8, 1, 16, 16)
    assert not augment.is_identity
    assert augment(images, 0, torch.arange(8)).dtype == torch.uint8
    assert Augment(settings_with(), seed=0).is_identity


@pytest.mark.parametrize("shape", [(1, 1, 1), (3, 1, 40), (2, 30, 1)], ids=str)
@pytest.mark.parametrize("count", [0, 5])
def test_degenerate_pictures_and_batches_pass(shape: tuple[int, ...], count: int) -> None:
    result = Augment(settings_with(erase=1.0), seed=0)(pictures(count, *shape), 0, torch.arange(count))
    assert result.shape == (count, *shape)
    assert result.dtype == torch.uint8


def test_erased_pixels_never_change() -> None:
    # A resumed run must see the same pixels, also after an update of Striate: these values stay.
    rectangle = draw_rectangles(1.0, 1, 2, torch.tensor([5]))[0]
    assert rectangle.tolist() == pytest.approx(FROZEN_RECTANGLE, abs=1e-12)
    assert draw_noise(1, 2, torch.tensor([5]), (8,))[0].tolist() == FROZEN_NOISE
