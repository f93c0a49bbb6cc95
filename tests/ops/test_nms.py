"""Suppression: exactly what the loop of the definition gives, however the boxes lie."""

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from striate.errors import RunError
from striate.ops import nms as module
from striate.ops.nms import nms, nms_per_class, soft_nms

THRESHOLDS = [0.0, 0.1, 0.3, 0.45, 0.5, 0.6, 0.7, 0.9, 1.0]


def overlaps(box: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Intersection over union in the precision of the boxes; 0 for boxes without area."""
    sides = np.minimum(box[2:], others[:, 2:]) - np.maximum(box[:2], others[:, :2])
    shared = sides.clip(0).prod(1)
    area, areas = (b[..., 2:] - b[..., :2] for b in (box, others))
    union = area.clip(0).prod() + areas.clip(0).prod(1) - shared
    return np.divide(shared, union, out=np.zeros_like(shared), where=shared > 0)


def loop(boxes: Tensor, scores: Tensor, labels: Tensor, iou: float) -> list[int]:
    """Keep the best, drop what overlaps it, repeat."""
    corners, classes = boxes.float().numpy(), labels.numpy()
    rest = sorted(range(len(scores)), key=lambda i: -scores[i].item())  # sorted is stable
    rest, kept = np.array(rest, dtype=np.int64), []
    while len(rest):
        best, rest = rest[0], rest[1:]
        kept.append(int(best))
        drop = (overlaps(corners[best], corners[rest]) > np.float32(iou)) & (classes[rest] == classes[best])
        rest = rest[~drop]
    return kept


def scattered(count: int, generator: torch.Generator) -> Tensor:
    centre = 1000 * torch.rand(count, 2, generator=generator)
    sides = 10 + 90 * torch.rand(count, 2, generator=generator)
    return torch.cat([centre - sides / 2, centre + sides / 2], dim=1)


def clustered(count: int, generator: torch.Generator) -> Tensor:
    objects = scattered(count // 20 + 1, generator)
    boxes = objects[torch.randint(len(objects), (count,), generator=generator)]
    sides = (boxes[:, 2:] - boxes[:, :2]).repeat(1, 2)
    return boxes + 0.15 * sides * torch.randn(count, 4, generator=generator)


def of_all_sizes(count: int, generator: torch.Generator) -> Tensor:
    """Sides from a thousandth to ten thousand, thin ones too, around a few points."""
    sides = 10 ** (7 * torch.rand(count, 2, generator=generator) - 3)
    centre = torch.randint(3, (count, 2), generator=generator) * 50.0
    centre = centre + sides * torch.randn(count, 2, generator=generator) / 4
    return torch.cat([centre - sides / 2, centre + sides / 2], dim=1)


def on_a_grid(count: int, generator: torch.Generator) -> Tensor:
    """Whole numbers: equal boxes, overlaps of exactly a half, boxes without area or inside out."""
    corner = torch.randint(8, (count, 2), generator=generator)
    return torch.cat([corner, corner + torch.randint(-1, 5, (count, 2), generator=generator)], dim=1).float()


def in_a_row(count: int, generator: torch.Generator) -> Tensor:
    """Each overlaps the next: whether the last one stays depends on all."""
    start = torch.arange(count)[:, None] * 3.0
    return torch.cat([start, start * 0, start + 10, start * 0 + 10], dim=1)


LAYOUTS = [scattered, clustered, of_all_sizes, on_a_grid, in_a_row]


@given(
    layout=st.sampled_from(LAYOUTS),
    count=st.integers(0, 120),
    seed=st.integers(0, 2**31),
    levels=st.sampled_from([1, 3, 10**6]),
    classes=st.integers(1, 4),
    iou=st.sampled_from(THRESHOLDS),
    pairs=st.sampled_from([1, 50, 2000, 1 << 16]),
    surest=st.sampled_from([1, 20, 4096]),
)
@settings(max_examples=300, deadline=None)
def test_what_is_kept_is_what_the_loop_keeps(
    layout: Callable[[int, torch.Generator], Tensor],
    count: int,
    seed: int,
    levels: int,
    classes: int,
    iou: float,
    pairs: int,
    surest: int,
) -> None:
    generator = torch.Generator().manual_seed(seed)
    boxes = layout(count, generator)
    scores = torch.randint(levels, (count,), generator=generator) / levels  # few levels: many ties
    labels = torch.randint(classes, (count,), generator=generator) * 1000 - 7
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "PAIRS", pairs)
        patch.setattr(module, "PAIRS_PER_BOX", 0)
        patch.setattr(module, "SUREST", surest)
        kept = nms_per_class(boxes, scores, labels, iou)
        assert kept.dtype == torch.int64
        assert kept.tolist() == loop(boxes, scores, labels, iou)
        assert nms(boxes, scores, iou).tolist() == loop(boxes, scores, labels * 0, iou)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("iou", [0.3, 0.5, 0.7])
def test_thousands_of_boxes_are_decided_as_by_the_loop(
    layout: Callable[[int, torch.Generator], Tensor], iou: float
) -> None:
    generator = torch.Generator().manual_seed(0)
    boxes, scores = layout(2000, generator), torch.rand(2000, generator=generator)
    assert nms(boxes, scores, iou).tolist() == loop(boxes, scores, torch.zeros(2000), iou)


def test_ten_thousand_boxes_are_decided_as_by_the_loop() -> None:
    generator = torch.Generator().manual_seed(1)
    boxes, scores = scattered(10_000, generator), torch.rand(10_000, generator=generator)
    assert nms(boxes, scores, 0.5).tolist() == loop(boxes, scores, torch.zeros(10_000), 0.5)


def test_worked_by_hand() -> None:
    boxes = torch.tensor(
        [[0.0, 0.0, 1.0, 1.0], [0.0, 0.0, 2.0, 1.0], [0.0, 0.0, 3.0, 1.0], [9.0, 9.0, 9.5, 10.0]]
    )
    scores = torch.tensor([0.2, 0.6, 0.9, 0.4])
    # The surest overlaps the second by 2/3 and the first by 1/3; these two overlap by exactly 1/2.
    assert nms(boxes, scores, 0.6).tolist() == [2, 3, 0]
    assert nms(boxes, scores, 0.3).tolist() == [2, 3]
    assert nms(boxes, torch.tensor([0.2, 0.6, 0.1, 0.4]), 0.5).tolist() == [1, 3, 0]  # not more than a half
    assert nms_per_class(boxes, scores, torch.tensor([5, 2, 5, 5]), 0.3).tolist() == [2, 1, 3]


@pytest.mark.parametrize("iou", THRESHOLDS)
@pytest.mark.parametrize("axis", [0, 1])
@pytest.mark.parametrize("end", [0.0, 1.0])
@pytest.mark.parametrize("surer_is_smaller", [True, False])
def test_boxes_that_overlap_just_enough_find_each_other_however_fine_the_grid(
    iou: float, axis: int, end: float, surer_is_smaller: bool
) -> None:
    """A box at one end within another: nowhere are centres farther apart for so much overlap."""
    share = min(iou * 1.001 + 1e-6, 1)
    whole, part = torch.tensor([0.0, 0, 100, 100]), torch.tensor([0.0, 0, 100, 100])
    part[axis], part[axis + 2] = 100 * (1 - share) * end, 100 * (share + (1 - share) * end)
    specks = 100 * torch.rand(4000, 2, generator=torch.Generator().manual_seed(0)) + torch.tensor(
        [0.0, 100.0]
    )
    pair = torch.stack([part, whole] if surer_is_smaller else [whole, part])
    boxes = torch.cat([pair, torch.cat([specks, specks + 1e-3], dim=1)])
    scores = 1 - torch.arange(len(boxes)) / len(boxes)
    assert (1 in nms(boxes, scores, iou).tolist()) == (iou == 1)


def test_of_equal_scores_the_first_stays() -> None:
    assert nms(torch.tensor([[0.0, 0.0, 4.0, 4.0]]).expand(50, 4), torch.full((50,), 0.5), 0.5).tolist() == [
        0
    ]


def test_a_class_far_away_in_number_does_not_change_the_overlap() -> None:
    # Where classes are kept apart by shifting coordinates, boxes this small become points.
    boxes = torch.tensor([[100.0, 100.0, 100.01, 100.01], [100.0, 100.0, 100.01, 100.0099]])
    labels = torch.tensor([10**9, 10**9])
    assert nms_per_class(boxes, torch.tensor([0.9, 0.8]), labels, 0.5).tolist() == [0]


@given(st.integers(0, 2**31), st.sampled_from(THRESHOLDS))
@settings(max_examples=30, deadline=None)
def test_suppressing_again_changes_nothing(seed: int, iou: float) -> None:
    generator = torch.Generator().manual_seed(seed)
    boxes, scores = clustered(200, generator), torch.rand(200, generator=generator)
    kept = nms(boxes, scores, iou)
    assert (scores[kept].diff() <= 0).all()
    assert nms(boxes[kept], scores[kept], iou).tolist() == list(range(len(kept)))


def test_boxes_without_area_all_stay() -> None:
    """Many such boxes lie on the border of a picture after clipping; they cost next to nothing."""
    assert len(nms(torch.zeros(50_000, 4), torch.zeros(50_000), 0.5)) == 50_000


def test_memory_is_bounded_by_the_number_of_boxes(monkeypatch: pytest.MonkeyPatch) -> None:
    compared = []
    overlap = module.broadcast_iou

    def count(boxes: Tensor, others: Tensor) -> Tensor:
        compared.append(len(boxes))
        return overlap(boxes, others)

    monkeypatch.setattr(module, "broadcast_iou", count)
    generator = torch.Generator().manual_seed(0)
    boxes = torch.rand(30_000, 4, generator=generator) + torch.tensor([0.0, 0.0, 20.0, 20.0])
    assert len(nms(boxes, torch.rand(30_000, generator=generator), 0.5)) == 1  # 9e8 pairs overlap
    assert max(compared) <= module.PAIRS_PER_BOX * 30_000


@pytest.mark.parametrize("suppress", [lambda b, s: nms(b, s, 0.5), soft_nms])
def test_what_is_no_number_is_told(suppress: Callable[[Tensor, Tensor], object]) -> None:
    boxes, scores = torch.tensor([[0.0, 0.0, 1.0, 1.0]] * 2), torch.tensor([0.5, 0.6])
    for wrong in (math.nan, math.inf):
        with pytest.raises(RunError, match="not numbers"):
            suppress(torch.where(torch.arange(4) == 2, wrong, boxes), scores)
    with pytest.raises(RunError, match="not numbers"):
        suppress(boxes, torch.tensor([0.5, math.nan]))


@pytest.mark.parametrize("power", [-60, -35, 45, 70])
def test_suppression_does_not_depend_on_the_unit(power: int) -> None:
    generator = torch.Generator().manual_seed(5)
    boxes, scores = clustered(300, generator), torch.rand(300, generator=generator)
    scaled = boxes * 2.0**power
    assert nms(scaled, scores, 0.5).tolist() == nms(boxes, scores, 0.5).tolist()
    for found, expected in zip(soft_nms(scaled, scores), soft_nms(boxes, scores), strict=True):
        assert torch.equal(found, expected)


def test_half_precision_boxes_are_compared_in_single_precision() -> None:
    generator = torch.Generator().manual_seed(3)
    boxes, scores = clustered(300, generator).half(), torch.rand(300, generator=generator).half()
    assert nms(boxes, scores, 0.5).tolist() == loop(boxes, scores, torch.zeros(300), 0.5)


def test_no_boxes_give_no_indices() -> None:
    none, scores = torch.zeros(0, 4), torch.zeros(0)
    assert nms(none, scores, 0.5).dtype == torch.int64
    assert nms(none, scores, 0.5).shape == (0,)
    assert nms_per_class(none, scores, scores.long(), 0.5).shape == (0,)
    indices, left = soft_nms(none, scores)
    assert indices.dtype == torch.int64
    assert indices.shape == left.shape == (0,)


def soft_loop(
    boxes: Tensor, scores: Tensor, factor: Callable[[float], float], least: float
) -> tuple[list[int], list[float]]:
    """The pseudocode of the paper, with the one line that it changes."""
    corners, left = boxes.double().numpy(), dict(enumerate(scores.double().tolist()))
    taken, found = [], []
    while left:
        best = max(left, key=lambda i: (left[i], -i))
        score = left.pop(best)
        if score < least:
            break
        taken.append(best)
        found.append(score)
        for i in left:
            left[i] *= factor(float(overlaps(corners[best], corners[i : i + 1])[0]))
    return taken, found


@given(st.integers(0, 2**31), st.sampled_from(["linear", "gaussian"]), st.integers(0, 60))
@settings(max_examples=40, deadline=None)
def test_soft_suppression_is_the_pseudocode_of_its_paper(seed: int, method: str, count: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    boxes = clustered(count, generator).double()
    scores = torch.rand(count, generator=generator, dtype=torch.float64)
    factors = {
        "linear": lambda iou: 1 - iou if iou > 0.3 else 1,
        "gaussian": lambda iou: math.exp(-(iou**2) / 0.5),
    }
    indices, left = soft_nms(boxes, scores, 0.3, method, 0.5, least=0.05)
    taken, found = soft_loop(boxes, scores, factors[method], 0.05)
    assert indices.tolist() == taken
    assert left.tolist() == pytest.approx(found, rel=1e-9)


def test_soft_suppression_worked_by_hand() -> None:
    boxes = torch.tensor([[0.0, 0.0, 2.0, 1.0], [0.0, 0.0, 1.0, 1.0], [7.0, 7.0, 8.0, 8.0]])
    scores = torch.tensor([0.9, 0.8, 0.5])
    indices, left = soft_nms(boxes, scores, iou=0.3)
    assert indices.tolist() == [0, 2, 1]
    assert left.tolist() == pytest.approx([0.9, 0.5, 0.8 * 0.5])
    indices, left = soft_nms(boxes, scores, method="gaussian", sigma=0.5, least=0.49)
    assert indices.tolist() == [0, 2]  # 0.8 exp(-0.5) = 0.485
    assert left.tolist() == pytest.approx([0.9, 0.5])
