"""Boxes cut out of pictures: numbers worked by hand, laws, and torch's own sampler."""

import itertools

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from striate.ops.crop_and_resize import crop_and_resize

FIRST = torch.tensor([0])
# fmt: off
GRID = torch.tensor([[[[0.0, 10.0, 20.0],
                       [30.0, 40.0, 50.0],
                       [60.0, 70.0, 80.0]]]])
# fmt: on


def crop(image: Tensor, box: tuple[float, ...], size: tuple[int, int], outside: float = 0.0) -> list[object]:
    return crop_and_resize(image, torch.tensor([box]), FIRST, size, outside)[0, 0].tolist()


@pytest.mark.parametrize(
    ("box", "size", "expected"),
    [
        # On a grid of 3 pixels 0..1 is 0..2 pixels: corners at (0, 0) and (1, 1), half a pixel between.
        ((0, 0, 0.5, 0.5), (3, 3), [[0, 5, 10], [15, 20, 25], [30, 35, 40]]),
        ((0, 0, 1, 1), (2, 2), [[0, 20], [60, 80]]),  # the corners alone: nothing is averaged
        ((0, 0, 1, 1), (1, 1), [[40]]),  # one pixel: the middle
        ((0.25, 0.25, 0.75, 0.75), (1, 2), [[35, 45]]),  # row 1; columns 0.5 and 1.5
        ((1, 0, 0, 1), (3, 3), [[60, 70, 80], [30, 40, 50], [0, 10, 20]]),  # upside down
        ((0, 1, 1, 0), (3, 3), [[20, 10, 0], [50, 40, 30], [80, 70, 60]]),  # mirrored
        ((0, 0, 2, 1), (3, 3), [[0, 10, 20], [60, 70, 80], [-1, -1, -1]]),  # half of it below the picture
        ((0.5, -0.5, 0.5, 0.5), (1, 3), [[-1, 30, 40]]),
    ],
)
def test_worked_by_hand(box: tuple[float, ...], size: tuple[int, int], expected: list[object]) -> None:
    assert crop(GRID, box, size, outside=-1.0) == expected


def test_the_whole_picture_at_its_own_size_is_the_picture() -> None:
    images = torch.randint(0, 256, (2, 3, 7, 9), generator=torch.Generator().manual_seed(0)).byte()
    whole = torch.tensor([[0.0, 0.0, 1.0, 1.0]] * 2)
    same = crop_and_resize(images, whole, torch.tensor([1, 0]), (7, 9))
    torch.testing.assert_close(same, images.flip(0).float(), rtol=0, atol=1e-4)
    assert same.dtype == torch.float32


@given(
    boxes=st.lists(st.tuples(*[st.floats(0, 1)] * 4), min_size=1, max_size=4),
    size=st.tuples(st.integers(2, 6), st.integers(2, 6)),
    shape=st.tuples(st.integers(2, 9), st.integers(2, 9)),
)
@settings(max_examples=50, deadline=None)
def test_inside_the_picture_it_is_torchs_bilinear_sampler(
    boxes: list[tuple[float, ...]], size: tuple[int, int], shape: tuple[int, int]
) -> None:
    images = torch.rand(2, 3, *shape, generator=torch.Generator().manual_seed(0))
    corners = torch.tensor(boxes)
    indices = torch.arange(len(boxes)) % 2
    found = crop_and_resize(images, corners, indices, size, outside=None)
    y1, x1, y2, x2 = (2 * corners - 1).unbind(1)  # torch's -1..1, corner to corner
    ys = y1[:, None] + (y2 - y1)[:, None] * torch.linspace(0, 1, size[0])
    xs = x1[:, None] + (x2 - x1)[:, None] * torch.linspace(0, 1, size[1])
    grid = torch.stack([xs[:, None, :].expand(-1, *size), ys[:, :, None].expand(-1, *size)], dim=3)
    expected = F.grid_sample(images[indices], grid, "bilinear", "border", align_corners=True)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-5)


def test_boxes_are_of_the_pictures_that_their_indices_say() -> None:
    images = torch.arange(3.0).view(3, 1, 1, 1).expand(3, 2, 4, 4)
    found = crop_and_resize(images, torch.rand(5, 4), torch.tensor([2, 0, 0, 1, 2]), (2, 3))
    assert found.shape == (5, 2, 2, 3)
    assert found[:, 0, 0, 0].tolist() == [2, 0, 0, 1, 2]


def test_no_boxes_give_no_crops() -> None:
    empty = torch.zeros(0, dtype=torch.int64)
    assert crop_and_resize(torch.rand(1, 3, 4, 4), torch.zeros(0, 4), empty, (2, 2)).shape == (0, 3, 2, 2)


def tensorflow(
    images: np.ndarray, boxes: np.ndarray, indices: list[int], size: tuple[int, int], outside: float
) -> np.ndarray:
    """``crop_and_resize_op.cc`` of TensorFlow, sample by sample and in its single precision."""
    one = np.float32
    height, width = (one(side - 1) for side in images.shape[2:])
    crops = np.full((len(boxes), images.shape[1], *size), outside, dtype=one)
    for m, (y1, x1, y2, x2) in enumerate(boxes):
        step_y = (y2 - y1) * height / one(size[0] - 1) if size[0] > 1 else one(0)
        step_x = (x2 - x1) * width / one(size[1] - 1) if size[1] > 1 else one(0)
        for i, j in itertools.product(range(size[0]), range(size[1])):
            y = y1 * height + one(i) * step_y if size[0] > 1 else one(0.5) * (y1 + y2) * height
            x = x1 * width + one(j) * step_x if size[1] > 1 else one(0.5) * (x1 + x2) * width
            if not (0 <= y <= height and 0 <= x <= width):
                continue
            top, left, bottom, right = (int(f(v)) for f in (np.floor, np.ceil) for v in (y, x))
            part_y, part_x = y - one(top), x - one(left)
            picture = images[indices[m]]
            upper = picture[:, top, left] + (picture[:, top, right] - picture[:, top, left]) * part_x
            lower = picture[:, bottom, left] + (picture[:, bottom, right] - picture[:, bottom, left]) * part_x
            crops[m, :, i, j] = upper + (lower - upper) * part_y
    return crops


def test_places_are_tensorflows_to_the_last_bit() -> None:
    # 0.8, 0.4, 0 and outside: a step is -0.4; two thirds of the way from 0.8 to -0.4 would miss the 0.
    column = torch.tensor([1.0, 2.0, 3.0]).view(1, 1, 3, 1)
    box = torch.tensor([[0.4, 0.0, -0.2, 0.0]])
    found = crop_and_resize(column, box, FIRST, (4, 1), outside=-7.0).flatten()
    assert found.tolist() == pytest.approx([1.8, 1.4, 1.0, -7.0])
    assert found[2] == 1


@pytest.mark.parametrize("seed", range(6))
def test_it_is_tensorflows_loop(seed: int) -> None:
    generator = np.random.default_rng(seed)
    images = generator.normal(size=(2, 2, *generator.integers(1, 12, 2))).astype(np.float32)
    tenths = generator.integers(-3, 14, (8, 4)) / 10  # many at the picture's edge, or mirrored
    boxes = np.where(generator.random((8, 4)) < 0.5, tenths, generator.random((8, 4))).astype(np.float32)
    indices = generator.integers(0, 2, 8)
    for size in ((1, 1), (1, 4), (7, 3), (11, 10)):
        arguments = (*(torch.from_numpy(a) for a in (images, boxes, indices)), size, 0.25)
        expected = tensorflow(images, boxes, indices.tolist(), size, 0.25)
        assert np.array_equal(crop_and_resize(*arguments).numpy(), expected)


def test_what_rounding_puts_outside_may_take_the_nearest_pixel() -> None:
    images = torch.ones(1, 1, 10, 10)
    whole = torch.tensor([[0.0, 0.0, 1.0, 1.0]])
    sizes = [(n, n) for n in range(2, 40)]
    assert any(bool((crop_and_resize(images, whole, FIRST, size) == 0).any()) for size in sizes)
    assert all(bool((crop_and_resize(images, whole, FIRST, size, None) == 1).all()) for size in sizes)


def test_a_box_as_large_as_its_type_is_outside_and_no_fault():
    images, everywhere = torch.rand(1, 2, 4, 5), torch.tensor([[0.0, 0, 3e38, 3e38], [3e38, 0, 3e38, 1]])
    crops = crop_and_resize(images, everywhere, torch.tensor([0, 0]), (2, 3), outside=7.0)
    assert (crops[0, :, 1] == 7).all()
    assert (crops[1] == 7).all()
    assert crop_and_resize(images, everywhere, torch.tensor([0, 0]), (2, 3), outside=None).isfinite().all()
