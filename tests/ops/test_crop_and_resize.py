"""Boxes cut out of pictures: numbers worked by hand, laws, and torch's own sampler."""

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
    found = crop_and_resize(images, corners, indices, size)
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
