"""Masks, outlines and runs: laws, hand-worked cases, and pycocotools pixel by pixel."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pycocotools import mask as coco
from scipy import ndimage

from striate.ops.masks import (
    compress_runs,
    decompress_runs,
    fill_polygons,
    mask_to_polygons,
    mask_to_runs,
    masks_to_boxes,
    runs_to_mask,
)

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # pycocotools


def random_mask(rng, height, width, share=0.5):
    return torch.from_numpy(rng.random((height, width)) < share)


def coco_text(mask):
    return coco.encode(np.asfortranarray(mask.numpy().astype(np.uint8)))["counts"].decode()


# --- runs ----------------------------------------------------------------------------------------------


def test_runs_worked_by_hand():
    mask = torch.tensor([[0, 1, 0], [0, 0, 0]], dtype=torch.bool)
    assert mask_to_runs(mask) == (2, 1, 3)
    assert mask_to_runs(~mask) == (0, 2, 1, 3)
    assert compress_runs((2, 1, 3)) == "213"
    assert torch.equal(runs_to_mask((2, 1, 3), 2, 3), mask)
    assert mask_to_runs(torch.zeros(3, 2, dtype=torch.bool)) == (6,)
    assert mask_to_runs(torch.ones(3, 2, dtype=torch.bool)) == (0, 6)


def test_runs_and_their_text_are_those_of_pycocotools():
    rng = np.random.default_rng(0)
    for _ in range(100):
        height, width = (int(n) for n in rng.integers(1, 90, 2))
        mask = random_mask(rng, height, width, rng.random() ** 3)
        text = coco_text(mask)
        assert compress_runs(mask_to_runs(mask)) == text
        assert torch.equal(runs_to_mask(decompress_runs(text), height, width), mask)


def test_long_runs_take_the_text_of_pycocotools():
    for counts in ([15, 16, 31, 32, 1000, 5, 3, 70_000], [0, 9_000_000, 7, 1, 2, 900_000]):
        expected = coco.frPyObjects({"size": [1, sum(counts)], "counts": counts}, 1, sum(counts))["counts"]
        assert compress_runs(counts) == expected.decode()
        assert decompress_runs(expected.decode()) == tuple(counts)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.integers(0, 2**40), max_size=20))
def test_decompress_inverts_compress(counts):
    assert decompress_runs(compress_runs(counts)) == tuple(counts)


@settings(max_examples=300, deadline=None)
@given(st.text(st.characters(min_codepoint=40, max_codepoint=120), max_size=15))
def test_any_text_gives_lengths_or_a_value_error(text):
    try:
        counts = decompress_runs(text)
    except ValueError:
        return
    assert min(counts, default=0) >= 0


@pytest.mark.parametrize(
    ("text", "message"), [("2 1", "not made of"), ("2P", "cut off"), ("O", "below 0"), ("o" * 40, "not made")]
)
def test_text_that_holds_no_runs_is_refused(text, message):
    with pytest.raises(ValueError, match=message):
        decompress_runs(text)


@pytest.mark.parametrize("counts", [(2, 1, 4), (2, 1), (), (7, -1)])
def test_runs_that_do_not_fill_the_mask_are_refused(counts):
    with pytest.raises(ValueError, match=r"the mask has 6|counts must"):
        runs_to_mask(counts, 2, 3)


# --- outlines ------------------------------------------------------------------------------------------


def test_a_box_with_whole_corners_fills_its_pixels_and_no_other():
    mask = fill_polygons([[1, 2, 4, 2, 4, 3, 1, 3]], 5, 6)
    expected = torch.zeros(5, 6, dtype=torch.bool)
    expected[2, 1:4] = True
    assert torch.equal(mask, expected)
    assert masks_to_boxes(mask[None]).tolist() == [[1, 2, 4, 3]]


def test_outlines_are_joined_and_what_one_goes_around_twice_is_outside():
    outer, inner = [0, 0, 6, 0, 6, 6, 0, 6], [2, 2, 4, 2, 4, 4, 2, 4]
    assert fill_polygons([outer, inner], 6, 6).all()
    bridged = [0, 0, 6, 0, 6, 6, 0, 6, 0, 0, *inner, 2, 2]
    ring = fill_polygons([bridged], 6, 6)
    assert ring.sum() == 32
    assert not ring[2:4, 2:4].any()


@pytest.mark.parametrize("beyond", [0.0, 15.0])
def test_filled_outlines_equal_pycocotools_in_every_pixel(beyond):
    rng = np.random.default_rng(1)
    for i in range(300):
        height, width = (int(n) for n in rng.integers(1, 60, 2))
        polygons = []
        for _ in range(rng.integers(1, 4)):
            corners = rng.uniform(-beyond, (width + beyond, height + beyond), (rng.integers(3, 12), 2))
            if i % 3 == 0:
                corners = corners.round()
            if i % 5 == 0:
                corners = np.repeat(corners, 2, axis=0)  # edges without length
            polygons.append(corners.reshape(-1).tolist())
        expected = coco.decode(coco.merge(coco.frPyObjects(polygons, height, width)))
        found = fill_polygons(polygons, height, width)
        assert np.array_equal(found.numpy(), expected.astype(bool)), (height, width, polygons)


@pytest.mark.parametrize("share", [0.1, 0.4, 0.6, 0.8, 0.97])
def test_outlines_of_a_mask_fill_it_exactly_here_and_in_pycocotools(share):
    rng = np.random.default_rng(3)
    for _ in range(30):
        height, width = (int(n) for n in rng.integers(1, 25, 2))
        mask = random_mask(rng, height, width, share)
        outlines = mask_to_polygons(mask)
        assert torch.equal(fill_polygons(outlines, height, width), mask)
        if outlines:
            filled = coco.decode(coco.merge(coco.frPyObjects([list(o) for o in outlines], height, width)))
            assert np.array_equal(filled.astype(bool), mask.numpy())
        _, count = ndimage.label(mask.numpy())
        assert len(outlines) == count


def test_outlines_worked_by_hand():
    mask = torch.zeros(4, 5, dtype=torch.bool)
    assert mask_to_polygons(mask) == []
    mask[1:3, 1:4] = True
    assert mask_to_polygons(mask) == [(1, 1, 4, 1, 4, 3, 1, 3)]
    mask[3, 4] = True  # touches at a corner only
    assert len(mask_to_polygons(mask)) == 2
    ring = torch.ones(3, 3, dtype=torch.bool)
    ring[1, 1] = False
    [outline] = mask_to_polygons(ring)
    assert len(outline) == 2 * (4 + 4 + 2)  # both squares, and both ends of the cut


def test_the_area_of_a_fine_outline_is_near_the_true_one():
    angles = np.linspace(0, 2 * np.pi, 400, endpoint=False)
    circle = np.stack([100 + 80 * np.cos(angles), 90 + 80 * np.sin(angles)], axis=1).reshape(-1).tolist()
    assert float(fill_polygons([circle], 180, 200).sum()) == pytest.approx(np.pi * 80**2, rel=2e-3)


@pytest.mark.parametrize("polygon", [[1, 2, 3], [0, 0, 1, float("nan"), 1, 1], [0, 0, 1e9, 0, 1, 1]])
def test_outlines_that_are_none_are_refused(polygon):
    with pytest.raises(ValueError, match="an outline has"):
        fill_polygons([polygon], 4, 4)


def test_no_outline_and_no_mask_give_nothing():
    assert not fill_polygons([], 3, 4).any()
    assert not fill_polygons([[]], 3, 4).any()
    for height, width in ((3, 4), (0, 4), (0, 0)):
        assert masks_to_boxes(torch.zeros(0, height, width, dtype=torch.bool)).shape == (0, 4)
        assert masks_to_boxes(torch.zeros(2, height, width, dtype=torch.bool)).tolist() == [[0.0] * 4] * 2
    assert mask_to_runs(torch.zeros(0, 0, dtype=torch.bool)) == ()


def test_boxes_of_masks_equal_pycocotools():
    rng = np.random.default_rng(2)
    masks = torch.stack([random_mask(rng, 17, 23, share) for share in (0.0, 0.003, 0.01, 0.1, 1.0)])
    expected = [coco.toBbox(coco.encode(np.asfortranarray(m.numpy().astype(np.uint8)))) for m in masks]
    found = masks_to_boxes(masks)
    for box, (x, y, width, height) in zip(found.tolist(), expected, strict=True):
        assert box == [x, y, x + width, y + height]
