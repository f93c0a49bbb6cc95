"""Augmentation: every operation against slicing, Pillow, NumPy or a formula; laws of keys and batches."""

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from scipy import stats
from torch import Tensor

from striate.data.augment import Augment
from striate.data.colour import IMAGENET_COLOURS, colour_components, draw_light, mean_values, recolour
from striate.data.geometry import Geometry, draw_affine, draw_geometry, move_whole_pixels, resample
from striate.data.keyed_random import keyed_normal, keyed_uniform
from striate.data.streams import Stream
from striate.recipe import AugmentSettings

EVERYTHING: dict[str, Any] = {
    "shift": 0.2,
    "crop": (0.5, 1.0),
    "flip": True,
    "vertical_flip": True,
    "rotate": 20.0,
    "rescale": 0.2,
    "shear": 10.0,
    "brightness": 0.3,
    "contrast": 0.3,
    "lighting": 0.1,
}
NUMPY_PADDING = {"zero": "constant", "reflect": "symmetric", "edge": "edge"}
FROZEN_EXACT = [[0, 112, 96, 80], [0, 176, 160, 144], [0, 240, 224, 208], [0, 0, 0, 0]]
FROZEN_SAMPLED = [
    [22.283, 20.801, 23.348, 26.275],
    [73.404, 84.117, 87.044, 89.971],
    [103.723, 147.814, 150.741, 153.668],
    [112.522, 175.212, 106.865, 46.388],
]


def settings_with(**values: Any) -> AugmentSettings:
    """Everything off but for ``values``."""
    off: dict[str, Any] = dict.fromkeys(EVERYTHING, 0.0) | {
        "crop": None,
        "flip": False,
        "vertical_flip": False,
    }
    return AugmentSettings(**off | values)


def pictures(*shape: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, shape, generator=generator, dtype=torch.uint8)


def geometry(**changes: Any) -> Geometry:
    """One picture that stays as it is, but for ``changes``."""
    plain = {
        "crop_corner": [[0.0, 0.0]],
        "crop_size": [[1.0, 1.0]],
        "mirror": [[1.0, 1.0]],
        "shear": [0.0],
        "zoom": [1.0],
        "angle": [0.0],
        "shift": [[0.0, 0.0]],
    }
    return Geometry(
        **{name: torch.tensor(v, dtype=torch.float64) for name, v in {**plain, **changes}.items()}
    )


def moved(images: Tensor, fill: Any = "zero", **changes: Any) -> Tensor:
    """One picture, resampled."""
    return resample(images, geometry(**changes).matrices(*images.shape[-2:]), fill)


def inputs_of(outputs: list[tuple[float, float]], height: int, width: int, **changes: Any) -> list[Any]:
    """Input points (x, y) of output points."""
    matrix = geometry(**changes).matrices(height, width)[0]
    points = torch.tensor([(*point, 1.0) for point in outputs], dtype=torch.float64)
    return (points @ matrix.T).tolist()


# Whole pixels -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("fill", ["zero", "reflect", "edge"])
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(("right", "down"), [(0, 0), (2, 0), (0, -3), (-1, 2), (5, -7), (-5, 7)])
def test_a_shift_by_known_pixels_is_a_slice_of_the_padded_picture(
    fill: Any, channels: int, right: int, down: int
) -> None:
    image = pictures(1, channels, 7, 5)
    matrices = geometry(shift=[[right, down]]).matrices(7, 5)
    padded = np.pad(image[0].numpy(), ((0, 0), (8, 8), (8, 8)), mode=NUMPY_PADDING[fill])
    expected = padded[:, 8 - down : 15 - down, 8 - right : 13 - right]
    result = move_whole_pixels(image, torch.ones(1, 2), torch.tensor([[right, down]]), fill)
    assert result.dtype == torch.uint8
    assert np.array_equal(result[0].numpy(), expected)
    assert torch.allclose(resample(image, matrices, fill), result.float(), rtol=0, atol=1e-3)


@pytest.mark.parametrize(("mirror", "axes"), [([-1.0, 1.0], [3]), ([1.0, -1.0], [2]), ([-1.0, -1.0], [2, 3])])
def test_mirroring_flips_the_axis_and_twice_is_the_identity(mirror: list[float], axes: list[int]) -> None:
    image = pictures(1, 3, 6, 9)
    matrices = geometry(mirror=[mirror]).matrices(6, 9)
    sides, still = torch.tensor([mirror]), torch.zeros(1, 2)
    once = move_whole_pixels(image, sides, still, "zero")
    assert torch.equal(once, image.flip(axes))
    assert torch.equal(move_whole_pixels(once, sides, still, "zero"), image)
    assert torch.allclose(resample(image, matrices, "zero"), once.float(), rtol=0, atol=1e-3)


def test_a_picture_is_flipped_before_it_is_shifted() -> None:
    image = pictures(1, 1, 4, 6)
    mirror, shift = torch.tensor([[-1.0, 1.0]]), torch.tensor([[2.0, 0.0]])
    expected = torch.zeros_like(image)
    expected[..., 2:] = image.flip(3)[..., :-2]
    assert torch.equal(move_whole_pixels(image, mirror, shift, "zero"), expected)
    matrices = geometry(mirror=mirror.tolist(), shift=shift.tolist()).matrices(4, 6)
    assert torch.allclose(resample(image, matrices, "zero"), expected.float(), rtol=0, atol=1e-3)


def test_shift_and_flips_alone_stay_uint8_and_only_move_pixels() -> None:
    images = pictures(64, 3, 12, 20)
    settings = settings_with(shift=0.25, flip=True, vertical_flip=True)
    result = Augment(settings, seed=1)(images, 4, torch.arange(64))
    drawn = draw_geometry(settings, 1, 4, torch.arange(64), 12, 20)
    assert result.dtype == torch.uint8
    for n in range(64):
        axes = [axis for axis, sign in zip((2, 1), drawn.mirror[n].tolist(), strict=True) if sign < 0]
        right, down = (int(pixels) for pixels in drawn.shift[n])
        padded = np.pad(images[n].flip(axes).numpy(), ((0, 0), (3, 3), (5, 5)))
        assert np.array_equal(result[n].numpy(), padded[:, 3 - down : 15 - down, 5 - right : 25 - right])


# Interpolated moves: the hand-worked picture ------------------------------------------------------------


def test_no_change_is_the_identity_matrix() -> None:
    assert geometry().matrices(5, 8)[0].tolist() == [[1, 0, 0], [0, 1, 0]]


@pytest.mark.parametrize(("turns", "size"), [(1, (8, 8)), (-1, (8, 8)), (2, (6, 9)), (1, (5, 5))])
def test_right_angles_equal_rot90(turns: int, size: tuple[int, int]) -> None:
    image = pictures(1, 3, *size)
    expected = torch.rot90(image, turns, dims=(2, 3)).float()
    assert torch.allclose(moved(image, angle=[turns * math.pi / 2]), expected, rtol=0, atol=1e-3)


def test_positive_angles_turn_counter_clockwise_about_the_centre() -> None:
    # The top of the output shows what lay on the right: a quarter turn of a 4 x 6 picture.
    (top,) = inputs_of([(3, 0)], 4, 6, angle=[math.pi / 2])
    assert top == pytest.approx([5, 2])


def test_rotation_equals_pillow_inside_the_picture() -> None:
    image = pictures(1, 1, 32, 32)
    smooth = torch.nn.functional.avg_pool2d(image.float(), 5, stride=1, padding=2)
    peer = Image.fromarray(smooth[0, 0].numpy()).rotate(17, resample=Image.Resampling.BILINEAR)
    result = moved(smooth, angle=[math.radians(17)])
    inside = (slice(8, 24), slice(8, 24))
    assert np.allclose(result[0, 0].numpy()[inside], np.asarray(peer)[inside], rtol=0, atol=0.05)


def test_zoom_magnifies_about_the_centre() -> None:
    assert inputs_of([(3, 2), (6, 4), (0, 0)], 4, 6, zoom=[2.0]) == [[3, 2], [4.5, 3], [1.5, 1]]


@pytest.mark.parametrize("fill", ["reflect", "edge"])
@pytest.mark.parametrize("zoom", [0.5, 0.9, 1.3])
def test_a_constant_picture_stays_constant_under_every_move(fill: Any, zoom: float) -> None:
    image = torch.full((1, 3, 9, 7), 201, dtype=torch.uint8)
    result = moved(image, fill, zoom=[zoom], angle=[0.4], shear=[0.2], shift=[[1.3, -0.4]])
    assert torch.allclose(result, torch.full_like(result, 201.0), rtol=0, atol=1e-3)


def test_magnifying_a_constant_picture_lets_nothing_in() -> None:
    result = moved(torch.full((1, 1, 6, 6), 90, dtype=torch.uint8), "zero", zoom=[1.4])
    assert torch.allclose(result, torch.full_like(result, 90.0), rtol=0, atol=1e-3)


def test_shrinking_lets_zeros_in_at_the_border() -> None:
    result = moved(torch.full((1, 1, 8, 8), 90, dtype=torch.uint8), "zero", zoom=[0.5])[0, 0]
    assert torch.count_nonzero(result[0]) == torch.count_nonzero(result[:, -1]) == 0
    assert torch.allclose(result[3:5, 3:5], torch.full((2, 2), 90.0), rtol=0, atol=1e-3)


def test_positive_shear_moves_the_lower_half_to_the_right() -> None:
    # Slope 1 on a 4 x 4 picture: a row d below the centre line moves d pixels to the right, so the point
    # in the middle of the bottom edge shows what lay 2 to its left; above, the other way round.
    assert inputs_of([(2, 4), (2, 2), (2, 0)], 4, 4, shear=[math.pi / 4]) == [
        pytest.approx([0, 4]),
        pytest.approx([2, 2]),
        pytest.approx([4, 0]),
    ]


def test_a_crop_fills_the_frame() -> None:
    # Half of the width from a quarter on, all of the height: 8 columns become columns 2 to 5, twice as wide.
    change = {"crop_corner": [[0.25, 0.0]], "crop_size": [[0.5, 1.0]]}
    assert inputs_of([(0, 0), (8, 4)], 4, 8, **change) == [[2, 0], [6, 4]]
    image = torch.arange(8, dtype=torch.float32).mul(10).expand(1, 1, 4, 8)
    expected = torch.tensor([17.5, 22.5, 27.5, 32.5, 37.5, 42.5, 47.5, 52.5])  # centres at 2.25, 2.75, ...
    assert torch.allclose(moved(image, **change), expected.expand(1, 1, 4, 8), rtol=0, atol=1e-3)


def test_moves_compose_in_the_documented_order() -> None:
    changes = {
        "crop_corner": [[0.1, 0.2]],
        "crop_size": [[0.7, 0.6]],
        "mirror": [[-1.0, 1.0]],
        "shear": [0.3],
        "zoom": [1.2],
        "angle": [0.5],
        "shift": [[1.5, -0.5]],
    }

    def step(*names: str) -> Tensor:
        matrix = geometry(**{name: changes[name] for name in names}).matrices(6, 10)[0]
        return torch.cat([matrix, torch.tensor([[0.0, 0.0, 1.0]], dtype=torch.float64)])

    together = step(*changes)
    steps = [step("crop_corner", "crop_size"), *(step(name) for name in list(changes)[2:])]
    assert torch.allclose(together, torch.linalg.multi_dot(steps), rtol=0, atol=1e-12)


def test_a_drawn_crop_keeps_to_the_range_of_values_and_shows_no_border() -> None:
    images = pictures(200, 1, 9, 14).clamp(min=60, max=180)
    result = Augment(settings_with(crop=(0.1, 1.0), flip=True), seed=0)(images, 0, torch.arange(200))
    assert result.dtype == torch.float32
    assert result.min() >= 60 - 1e-3
    assert result.max() <= 180 + 1e-3


@pytest.mark.parametrize(
    ("fill", "expected"), [("zero", 0.0), ("edge", 10.0), ("reflect", 60.0)], ids=lambda value: str(value)
)
def test_fill_decides_what_enters(fill: Any, expected: float) -> None:
    image = torch.tensor([10.0, 20, 30, 40, 50, 60]).expand(1, 1, 6, 6)
    result = moved(image, fill, shift=[[6.0, 0.0]])  # the whole picture leaves to the right
    assert result[0, 0, 3, 0].item() == pytest.approx(expected, abs=1e-3)


# Colour -------------------------------------------------------------------------------------------------


def test_brightness_contrast_and_lighting_follow_their_formula() -> None:
    images = pictures(20, 3, 5, 6)
    settings = settings_with(brightness=0.4, contrast=0.5, lighting=0.3)
    result = Augment(settings, seed=9)(images, 2, torch.arange(20))
    brightness, contrast = draw_light(settings, 9, 2, torch.arange(20))
    alphas = 0.3 * keyed_normal(9, 2, torch.arange(20), 3, Stream.LIGHTING)
    eigenvalues = [0.2175, 0.0188, 0.0045]
    eigenvectors = [[-0.5675, 0.7192, 0.4009], [-0.5808, -0.0045, -0.8140], [-0.5836, -0.6948, 0.4203]]
    for n in range(20):
        bright = images[n].double() * brightness[n]
        value = (bright - bright.mean()) * contrast[n] + bright.mean()
        for channel in range(3):
            value[channel] += 255 * sum(
                eigenvectors[channel][j] * eigenvalues[j] * alphas[n, j] for j in range(3)
            )
        assert torch.allclose(result[n].double(), value.clamp(0, 255), rtol=0, atol=1e-3)


def test_colours_worked_by_hand() -> None:
    images = torch.tensor([[[[100, 200]]], [[[100, 200]]], [[[100, 200]]]], dtype=torch.uint8)
    brightness, contrast = torch.tensor([0.5, 1, 1.5]).double(), torch.tensor([1, 0.5, 2]).double()
    noise = torch.tensor([[0.0], [10], [0]]).double()
    result = recolour(images, brightness, contrast, mean_values(images), noise)
    # 50, 100; then 150 -+ 25 + 10; then 225 -+ 150, where 375 is more than there is.
    assert result.flatten().tolist() == [50, 100, 135, 185, 75, 255]


def test_contrast_is_about_the_mean_of_the_picture_before_it_was_moved() -> None:
    images, indices = pictures(6, 1, 8, 8), torch.arange(6)
    settings = settings_with(contrast=0.8, shift=0.9)
    _, contrast = draw_light(settings, 0, 0, indices)
    drawn = draw_geometry(settings, 0, 0, indices, 8, 8)
    still = move_whole_pixels(images, drawn.mirror, drawn.shift, "zero")
    means = images.double().mean(dim=(1, 2, 3), keepdim=True)
    expected = (still - means) * contrast.view(6, 1, 1, 1) + means
    result = Augment(settings, 0)(images, 0, indices)
    assert torch.allclose(result.double(), expected.clamp(0, 255), rtol=0, atol=1e-3)


def test_lighting_moves_grey_pictures_as_much_as_the_mean_of_coloured_ones() -> None:
    settings, indices = settings_with(lighting=0.1), torch.arange(4000)
    grey = Augment(settings, 0)(torch.full((4000, 1, 1, 1), 128, dtype=torch.uint8), 0, indices)
    colour = Augment(settings, 0)(torch.full((4000, 3, 1, 1), 128, dtype=torch.uint8), 0, indices)
    assert grey.std().item() == pytest.approx(25.5 * 0.1256, rel=0.05)
    assert colour.mean(dim=1).std().item() == pytest.approx(grey.std().item(), rel=0.05)
    assert (colour[:, 0] - colour[:, 2]).abs().max() > 0.1


def test_lighting_takes_measured_components() -> None:
    images = pictures(40, 3, 4, 4)
    components = colour_components(images)
    covariance = np.cov(images.permute(1, 0, 2, 3).reshape(3, -1).numpy() / 255)
    assert np.allclose((components @ components.T).numpy(), covariance @ covariance, rtol=0, atol=1e-12)
    lengths = components.norm(dim=0).numpy()
    assert np.allclose(lengths, np.linalg.eigvalsh(covariance), rtol=0, atol=1e-12)
    settings, plain = settings_with(lighting=0.1), torch.full((40, 3, 1, 1), 128, dtype=torch.uint8)
    noise = Augment(settings, 5, components)(plain, 0, torch.arange(40)).flatten(1).double() - 128
    alphas = keyed_normal(5, 0, torch.arange(40), 3, Stream.LIGHTING)
    assert torch.allclose(noise, 25.5 * alphas @ components.T, rtol=0, atol=1e-4)


def test_the_colours_of_imagenet_are_orthogonal() -> None:
    products = IMAGENET_COLOURS.T @ IMAGENET_COLOURS
    eigenvalues = torch.tensor([0.2175, 0.0188, 0.0045], dtype=torch.float64)
    assert torch.allclose(products, eigenvalues.square().diag(), rtol=0, atol=2e-5)


# Draws --------------------------------------------------------------------------------------------------


def drawn(count: int = 8000, height: int = 20, width: int = 30, **settings: Any) -> Geometry:
    return draw_geometry(settings_with(**settings), 11, 1, torch.arange(count), height, width)


def test_shifts_are_whole_pixels_uniform_over_minus_k_to_k() -> None:
    shift = drawn(shift=0.1).shift
    for axis, largest in ((0, 3), (1, 2)):
        assert torch.equal(shift[:, axis], shift[:, axis].round())
        counts = (shift[:, axis].long() + largest).bincount()
        assert len(counts) == 2 * largest + 1
        assert stats.chisquare(counts.numpy()).pvalue > 0.001
    assert abs(np.corrcoef(shift.T)[0, 1]) < 4 / math.sqrt(8000)


def test_the_largest_shift_does_not_suffer_from_rounding() -> None:
    assert 0.29 * 100 < 29
    assert drawn(shift=0.29, width=100).shift[:, 0].max() == 29


def test_half_of_the_pictures_are_flipped_along_each_axis_independently() -> None:
    mirror = drawn(flip=True, vertical_flip=True).mirror
    cases = (mirror[:, 0] < 0).long() * 2 + (mirror[:, 1] < 0).long()
    assert stats.chisquare(cases.bincount(minlength=4).numpy()).pvalue > 0.001
    assert drawn(flip=True).mirror[:, 1].unique().tolist() == [1]


def test_angles_zooms_and_shears_fill_their_ranges() -> None:
    moves = drawn(rotate=30.0, rescale=0.25, shear=10.0, shift=0.1)
    ranges = {
        "angle": (moves.angle.rad2deg(), 30),
        "zoom": (moves.zoom.log(), math.log(1.25)),
        "shear": (moves.shear.rad2deg(), 10),
        "right": (moves.shift[:, 0], 3),
        "down": (moves.shift[:, 1], 2),
    }
    for values, largest in ranges.values():
        assert stats.kstest(values.numpy(), stats.uniform(-largest, 2 * largest).cdf).pvalue > 0.001


def test_crops_have_the_area_asked_for_and_lie_inside() -> None:
    moves = drawn(crop=(0.3, 0.9))
    area, aspect = moves.crop_size.prod(dim=1), moves.crop_size[:, 0] / moves.crop_size[:, 1]
    assert stats.kstest(area.numpy(), stats.uniform(0.3, 0.6).cdf).pvalue > 0.001
    assert aspect.min() >= 3 / 4 - 1e-9
    assert aspect.max() <= 4 / 3 + 1e-9
    assert moves.crop_corner.min() >= 0
    assert (moves.crop_corner + moves.crop_size).max() <= 1
    for position in (moves.crop_corner / (1 - moves.crop_size)).T:  # anywhere it fits
        assert stats.kstest(position.numpy(), "uniform").pvalue > 0.001
    whole = drawn(crop=(1.0, 1.0))
    assert whole.crop_corner.abs().max() == 0
    assert (whole.crop_size - 1).abs().max() < 1e-12


def test_factors_fill_their_ranges() -> None:
    settings = settings_with(brightness=0.3, contrast=0.5)
    for factors, largest in zip(draw_light(settings, 0, 0, torch.arange(8000)), (0.3, 0.5), strict=True):
        assert stats.kstest(factors.numpy(), stats.uniform(1 - largest, 2 * largest).cdf).pvalue > 0.001


@pytest.mark.parametrize("name", list(EVERYTHING))
def test_turning_a_change_off_leaves_the_draws_of_the_others(name: str) -> None:
    everything, without = (
        settings_with(**{key: value for key, value in EVERYTHING.items() if key != left_out})
        for left_out in ("", name)
    )
    indices = torch.arange(50)
    before = draw_geometry(everything, 1, 2, indices, 24, 32)
    after = draw_geometry(without, 1, 2, indices, 24, 32)
    neutral = draw_geometry(settings_with(), 1, 2, indices, 24, 32)
    parts = {
        "shift": ["shift"],
        "crop": ["crop_corner", "crop_size"],
        "rotate": ["angle"],
        "rescale": ["zoom"],
        "shear": ["shear"],
    }
    expected = replace(before, **{part: getattr(neutral, part) for part in parts.get(name, [])})
    if name in ("flip", "vertical_flip"):
        column = ("flip", "vertical_flip").index(name)
        expected.mirror[:, column] = 1
    assert torch.equal(after.matrices(24, 32), expected.matrices(24, 32))
    light_before, light_after = draw_light(everything, 1, 2, indices), draw_light(without, 1, 2, indices)
    for setting, old, new in zip(("brightness", "contrast"), light_before, light_after, strict=True):
        assert torch.equal(new, old if name != setting else torch.ones_like(old))


def test_every_kind_of_change_has_its_own_frozen_stream() -> None:
    # A resumed run must draw as before: these numbers stay, and a new kind of change gets a new one.
    expected = ["SHIFT", "CROP", "FLIP", "VERTICAL_FLIP", "ROTATE", "RESCALE", "SHEAR"]
    expected += ["BRIGHTNESS", "CONTRAST", "LIGHTING"]
    assert [stream.name for stream in Stream][: len(expected)] == expected
    assert [stream.value for stream in Stream] == list(range(len(Stream)))
    flips = drawn(100, flip=True).mirror[:, 0] < 0
    assert torch.equal(flips, keyed_uniform(11, 1, torch.arange(100), 1, stream=2)[:, 0] < 0.5)


# The whole ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "names",
    [
        ("shift", "flip"),
        ("crop",),
        ("rotate", "shear"),
        ("contrast", "flip"),
        ("lighting",),
        tuple(EVERYTHING),
    ],
    ids=lambda names: "+".join(names) if len(names) < 5 else "everything",
)
@pytest.mark.parametrize("shape", [(3, 17, 23), (1, 28, 28)], ids=str)
def test_a_picture_is_the_same_to_the_last_bit_in_every_batch(names: Any, shape: Any) -> None:
    images, indices = pictures(24, *shape), torch.arange(100, 124)
    augment = Augment(settings_with(**{name: EVERYTHING[name] for name in names}), seed=3)
    whole = augment(images, 5, indices)
    order = torch.randperm(24, generator=torch.Generator().manual_seed(1))
    assert torch.equal(augment(images[order], 5, indices[order]), whole[order])
    for n in range(24):
        assert torch.equal(augment(images[n : n + 1], 5, indices[n : n + 1])[0], whole[n])


@pytest.mark.parametrize("change", ["epoch", "seed", "index"])
def test_epoch_seed_and_index_change_what_is_seen(change: str) -> None:
    settings, images, indices = settings_with(**EVERYTHING), pictures(8, 3, 16, 16), torch.arange(8)
    first = Augment(settings, 0)(images, 0, indices)
    seed, epoch, offset = (int(change == name) for name in ("seed", "epoch", "index"))
    second = Augment(settings, seed)(images, epoch, indices + 8 * offset)
    assert (first - second).abs().mean(dim=(1, 2, 3)).min() > 1


def test_nothing_on_is_the_identity() -> None:
    augment, images = Augment(settings_with(), seed=0), pictures(3, 1, 4, 4)
    assert augment.is_identity
    assert augment(images, 0, torch.arange(3)) is images


@pytest.mark.parametrize("name", list(EVERYTHING))
def test_each_change_alone_changes_pictures_and_not_its_input(name: str) -> None:
    images, settings = pictures(16, 3, 20, 20), settings_with(**{name: EVERYTHING[name]})
    before, augment = images.clone(), Augment(settings, seed=0)
    assert not augment.is_identity
    result = augment(images, 0, torch.arange(16))
    assert result.shape == images.shape
    assert result.dtype == (torch.uint8 if name in ("shift", "flip", "vertical_flip") else torch.float32)
    assert not torch.equal(result.float(), images.float())
    assert result.min() >= 0
    assert result.max() <= 255
    assert torch.equal(images, before)


@pytest.mark.parametrize("fill", ["zero", "reflect", "edge"])
@pytest.mark.parametrize("shape", [(4, 1, 1, 1), (4, 3, 1, 7), (4, 2, 5, 1)], ids=str)
def test_degenerate_pictures_pass(fill: Any, shape: tuple[int, ...]) -> None:
    images = pictures(*shape)
    for settings in (EVERYTHING, {"shift": 1.0, "flip": True}):
        result = Augment(settings_with(**settings, fill=fill), seed=0)(images, 0, torch.arange(4))
        assert result.shape == images.shape
        assert torch.isfinite(result.float()).all()
    if shape[-2:] == (1, 1) and fill != "zero":
        moves = settings_with(shift=0.5, rotate=40.0, rescale=0.5, crop=(0.2, 0.8), fill=fill)
        result = Augment(moves, seed=0)(images, 0, torch.arange(4))
        assert torch.allclose(result, images.float(), rtol=0, atol=1e-3)


@pytest.mark.parametrize("names", [("shift", "flip"), ("crop", "rotate", "shear", "shift")], ids=str)
def test_drawn_matrices_say_where_pixels_went(names: Any) -> None:
    settings = settings_with(**{name: EVERYTHING[name] for name in names}, fill="edge")
    images, indices = pictures(30, 1, 40, 50) // 8, torch.arange(30)
    images[:, :, 20:23, 30:33] = 255  # a bright spot about the point (31.5, 21.5)
    result = Augment(settings, seed=2)(images, 1, indices)
    matrices = draw_affine(settings, 2, 1, indices, 40, 50)
    assert matrices.shape == (30, 2, 3)
    spot = torch.tensor([31.5, 21.5], dtype=torch.float64)
    found = 0
    for picture, matrix in zip(result[:, 0].double(), matrices, strict=True):
        x, y = torch.linalg.solve(matrix[:, :2], spot - matrix[:, 2]).tolist()
        if 6 < x < 44 and 6 < y < 34:
            rows, columns = torch.nonzero(picture > 128, as_tuple=True)
            weights = picture[rows, columns] / picture[rows, columns].sum()
            centre = ((columns.double() + 0.5) @ weights, (rows.double() + 0.5) @ weights)
            assert [float(value) for value in centre] == pytest.approx([x, y], abs=0.35)
            found += 1
    assert found >= 10


def test_augmented_pixels_never_change() -> None:
    # A resumed run must see the same pixels, also after an update of Striate: these values stay.
    image = torch.arange(16, dtype=torch.uint8).view(1, 1, 4, 4) * 16
    exact = Augment(settings_with(shift=0.5, flip=True), seed=1)(image, 2, torch.tensor([5]))
    assert exact[0, 0].tolist() == FROZEN_EXACT
    sampled = Augment(settings_with(**EVERYTHING), seed=1)(image, 2, torch.tensor([5]))
    assert torch.allclose(sampled[0, 0], torch.tensor(FROZEN_SAMPLED), rtol=0, atol=1e-2)
