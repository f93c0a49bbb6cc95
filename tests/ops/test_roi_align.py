"""RoI align: the loop of the definition, torchvision's Python form, and laws."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from peers import declare_torchvision_operators
from torch import Tensor

from striate.ops.roi_align import roi_align


def sample(picture: Tensor, y: float, x: float) -> Tensor:
    """Bilinear, (C,): as at the border up to one feature outside, 0 beyond."""
    height, width = picture.shape[1:]
    if y < -1 or y > height or x < -1 or x > width:
        return torch.zeros(len(picture), dtype=picture.dtype)
    y, x = min(max(y, 0), height - 1), min(max(x, 0), width - 1)
    top, left = math.floor(y), math.floor(x)
    bottom, right = min(top + 1, height - 1), min(left + 1, width - 1)
    upper = (1 - (x - left)) * picture[:, top, left] + (x - left) * picture[:, top, right]
    lower = (1 - (x - left)) * picture[:, bottom, left] + (x - left) * picture[:, bottom, right]
    return (1 - (y - top)) * upper + (y - top) * lower


def loop(
    features: Tensor,
    boxes: Tensor,
    pictures: Tensor,
    size: tuple[int, int],
    scale: float,
    ratio: int,
    aligned: bool,
) -> Tensor:
    """Bin by bin and sample by sample."""
    result = torch.zeros(len(boxes), features.shape[1], *size, dtype=features.dtype)
    for m, box in enumerate(boxes.tolist()):
        x1, y1, x2, y2 = (v * scale - (0.5 if aligned else 0) for v in box)
        width, height = x2 - x1, y2 - y1
        if not aligned:
            width, height = max(width, 1), max(height, 1)
        for i in range(size[0]):
            for j in range(size[1]):
                for k in range(ratio * ratio):
                    y = y1 + height / size[0] * (i + (k // ratio + 0.5) / ratio)
                    x = x1 + width / size[1] * (j + (k % ratio + 0.5) / ratio)
                    result[m, :, i, j] += sample(features[pictures[m]], y, x) / ratio**2
    return result


@given(
    seed=st.integers(0, 2**31),
    count=st.integers(0, 4),
    shape=st.tuples(st.integers(1, 6), st.integers(1, 6)),
    size=st.tuples(st.integers(1, 3), st.integers(1, 3)),
    scale=st.sampled_from([1.0, 0.25]),
    ratio=st.integers(1, 3),
    aligned=st.booleans(),
)
@settings(max_examples=60, deadline=None)
def test_it_is_the_loop_of_the_definition(
    seed: int,
    count: int,
    shape: tuple[int, int],
    size: tuple[int, int],
    scale: float,
    ratio: int,
    aligned: bool,
) -> None:
    generator = torch.Generator().manual_seed(seed)
    features = torch.randn(2, 3, *shape, generator=generator, dtype=torch.float64)
    boxes = (torch.rand(count, 4, generator=generator, dtype=torch.float64) * 14 - 4) / scale  # also outside
    boxes[:, 2:] = torch.maximum(boxes[:, :2], boxes[:, 2:])  # some without area
    pictures = torch.randint(2, (count,), generator=generator)
    found = roi_align(features, boxes, pictures, size, scale, ratio, aligned)
    assert found.shape == (count, 3, *size)
    expected = loop(features, boxes, pictures, size, scale, ratio, aligned)
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("aligned", [False, True])
@pytest.mark.parametrize("ratio", [1, 2])
def test_it_is_torchvisions_with_its_gradient(aligned: bool, ratio: int) -> None:
    declare_torchvision_operators()
    from torchvision.ops.roi_align import _roi_align

    generator = torch.Generator().manual_seed(0)
    values = torch.randn(2, 5, 20, 30, generator=generator)
    corner = torch.rand(12, 2, generator=generator) * torch.tensor([300.0, 200.0])  # within: its Python form
    sides = torch.rand(12, 2, generator=generator) * torch.tensor([170.0, 110.0])  # has no samples outside
    boxes, pictures = torch.cat([corner, corner + sides], dim=1), torch.arange(12) % 2
    mine, theirs = values.clone().requires_grad_(), values.clone().requires_grad_()
    found = roi_align(mine, boxes, pictures, (7, 5), 1 / 16, ratio, aligned)
    rois = torch.cat([pictures[:, None].float(), boxes], dim=1)
    expected = _roi_align.__wrapped__(theirs, rois, 1 / 16, 7, 5, ratio, aligned)  # not compiled
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)
    change = torch.randn(found.shape, generator=generator)
    (found * change).sum().backward()
    (expected * change).sum().backward()
    torch.testing.assert_close(mine.grad, theirs.grad, rtol=1e-4, atol=1e-5)


def test_gradients_are_those_of_finite_differences() -> None:
    features = torch.randn(2, 2, 4, 5, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    boxes = torch.tensor([[0.3, 0.2, 4.1, 3.3], [-2.0, 1.0, 2.5, 9.0]], dtype=torch.float64)
    pictures = torch.tensor([1, 0])
    assert torch.autograd.gradcheck(
        lambda f: roi_align(f, boxes, pictures, (2, 2), aligned=True), features.requires_grad_()
    )


def test_on_a_slope_a_bin_has_the_value_at_its_centre() -> None:
    ys, xs = torch.meshgrid(torch.arange(16) + 0.5, torch.arange(20) + 0.5, indexing="ij")  # pixel centres
    box = torch.tensor([[24.0, 16.0, 64.0, 48.0]])  # at a stride of 4: x 6..16, y 4..12
    found = roi_align(torch.stack([xs, ys])[None], box, torch.tensor([0]), (4, 5), 1 / 4, 3, aligned=True)
    torch.testing.assert_close(found[0, 0], torch.tensor([7.0, 9, 11, 13, 15]).expand(4, 5))
    torch.testing.assert_close(found[0, 1], torch.tensor([5.0, 7, 9, 11])[:, None].expand(4, 5))


def test_aligned_at_its_own_size_the_whole_map_is_the_map() -> None:
    features = torch.randn(1, 3, 6, 8, generator=torch.Generator().manual_seed(0))
    whole = torch.tensor([[0.0, 0.0, 8.0, 6.0]])
    same = roi_align(features, whole, torch.tensor([0]), (6, 8), 1.0, 1, aligned=True)
    torch.testing.assert_close(same, features)


def test_half_precision_comes_back_but_is_not_computed_in() -> None:
    generator = torch.Generator().manual_seed(0)
    features = torch.randn(1, 4, 9, 9, generator=generator).bfloat16()
    boxes, picture = torch.tensor([[3.0, 2.0, 100.0, 120.0]]), torch.tensor([0])
    exact = roi_align(features.float(), boxes, picture, (3, 3), 1 / 16)
    leaf = features.clone().requires_grad_()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = roi_align(leaf, boxes, picture, (3, 3), 1 / 16)
    assert torch.equal(found, exact.bfloat16())
    found.sum().backward()
    assert leaf.grad.dtype == torch.bfloat16
    assert leaf.grad.float().sum() == pytest.approx(4 * 9, rel=0.02)  # each bin's shares sum to one


def test_memory_order_changes_nothing_and_gradients_repeat_to_the_bit() -> None:
    generator = torch.Generator().manual_seed(0)
    values = torch.randn(2, 8, 12, 12, generator=generator)
    boxes = torch.rand(40, 4, generator=generator) * 6
    boxes[:, 2:] += 6
    results = []
    for order in (torch.contiguous_format, torch.channels_last, torch.channels_last):
        features = values.clone().contiguous(memory_format=order).requires_grad_()
        found = roi_align(features, boxes, torch.arange(40) % 2, (3, 3))
        found.square().sum().backward()
        results.append((found.detach(), features.grad))
    for found, gradient in results[1:]:
        assert torch.equal(found, results[0][0])
        assert torch.equal(gradient, results[0][1])


def test_no_boxes_give_no_features_and_no_gradient() -> None:
    features = torch.randn(1, 3, 4, 4).requires_grad_()
    found = roi_align(features, torch.zeros(0, 4), torch.zeros(0, dtype=torch.int64), (7, 7))
    assert found.shape == (0, 3, 7, 7)
    found.sum().backward()
    assert torch.equal(features.grad, torch.zeros_like(features))
