"""Boxes: numbers worked by hand, laws, torchvision's definitions and the COCO tools."""

import math
from fractions import Fraction

import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from peers import declare_torchvision_operators
from torch import Tensor

from striate.ops import boxes as B

KINDS = ("iou", "giou", "diou", "ciou")
MAPS = (B.xyxy_to_cxcywh, B.cxcywh_to_xyxy, B.xyxy_to_xywh, B.xywh_to_xyxy)

coordinate = st.floats(0, 2000, width=32)
side = st.floats(0.015625, 1000, width=32)
box = st.tuples(coordinate, coordinate, side, side).map(lambda b: (b[0], b[1], b[0] + b[2], b[1] + b[3]))
any_box = st.tuples(*[st.floats(-2000, 2000, width=32)] * 4)  # also turned inside out


def some_boxes(count: int, seed: int = 0, dtype: torch.dtype = torch.float32) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    corner = 100 * torch.rand(count, 2, generator=generator, dtype=dtype)
    sides = 1 + 60 * torch.rand(count, 2, generator=generator, dtype=dtype)
    return torch.cat([corner, corner + sides], dim=1)


def test_formats_worked_by_hand() -> None:
    boxes_xyxy = torch.tensor([[1.0, 2.0, 5.0, 8.0]])
    assert B.xyxy_to_cxcywh(boxes_xyxy).tolist() == [[3, 5, 4, 6]]
    assert B.xyxy_to_xywh(boxes_xyxy).tolist() == [[1, 2, 4, 6]]
    assert B.box_area(boxes_xyxy).tolist() == [24]


@given(st.lists(box, min_size=1, max_size=5))
@settings(max_examples=50, deadline=None)
def test_conversions_round_trip(boxes: list[tuple[float, ...]]) -> None:
    boxes_xyxy = torch.tensor(boxes)
    there = B.cxcywh_to_xyxy(B.xyxy_to_cxcywh(boxes_xyxy))
    torch.testing.assert_close(there, boxes_xyxy, rtol=1e-6, atol=1e-3)
    there = B.xywh_to_xyxy(B.xyxy_to_xywh(boxes_xyxy))
    torch.testing.assert_close(there, boxes_xyxy, rtol=1e-6, atol=1e-3)


def test_a_box_turned_inside_out_has_no_area() -> None:
    assert B.box_area(torch.tensor([[5.0, 5.0, 1.0, 1.0], [0.0, 0.0, -1.0, 3.0]])).tolist() == [0, 0]


def test_overlaps_worked_by_hand() -> None:
    boxes = torch.tensor([[0.0, 0.0, 2.0, 2.0], [0.0, 0.0, 1.0, 1.0]])
    others = torch.tensor([[1.0, 1.0, 3.0, 3.0], [0.0, 0.0, 2.0, 2.0], [7.0, 7.0, 8.0, 9.0]])
    # A shared square of 1 in a union of 7; boxes that touch in a corner share nothing.
    expected = torch.tensor([[1 / 7, 1, 0], [0, 1 / 4, 0]])
    torch.testing.assert_close(B.box_iou(boxes, others), expected)
    torch.testing.assert_close(B.box_iou_crowd(boxes, others), torch.tensor([[1 / 4, 1, 0], [0, 1.0, 0]]))


def test_kinds_of_iou_worked_by_hand() -> None:
    # Across: 1 shared, union 3, centres half a pixel apart in x and y, both in a square of 2.
    boxes, others = torch.tensor([[0.0, 0.0, 2.0, 1.0]]), torch.tensor([[0.0, 0.0, 1.0, 2.0]])
    iou, penalty = 1 / 3, 0.5 / 8
    angle = 4 / math.pi**2 * (math.atan(2) - math.atan(0.5)) ** 2
    expected = [iou, iou - 1 / 4, iou - penalty, iou - penalty - angle**2 / (1 - iou + angle)]
    found = [B.paired_iou(boxes, others, kind).item() for kind in KINDS]
    assert found == pytest.approx(expected, abs=1e-6)


@given(st.lists(st.one_of(box, any_box), min_size=1, max_size=6))
@example([(0.0, 0.0, 1.0, 1.0), (0.0, 0.0, 273.0, 273.0), (0.0, 0.0, 273.0, 207.7265625)])
@settings(max_examples=100, deadline=None)
def test_iou_is_symmetric_within_0_and_1_and_1_for_itself(boxes: list[tuple[float, ...]]) -> None:
    boxes_xyxy = torch.tensor(boxes)
    iou = B.box_iou(boxes_xyxy, boxes_xyxy)
    assert torch.equal(iou, iou.T)
    assert ((iou >= 0) & (iou <= 1)).all()
    area = B.box_area(boxes_xyxy)
    assert (iou.diagonal()[area > 1e-30] == 1).all()
    assert (iou[area == 0] == 0).all()
    crowd = B.box_iou_crowd(boxes_xyxy, boxes_xyxy)
    assert ((crowd >= iou * (1 - 1e-6)) & (crowd <= 1)).all()  # a union of a large and a small box is rounded


@given(st.lists(st.tuples(box, box), min_size=1, max_size=6))
@settings(max_examples=50, deadline=None)
def test_kinds_of_iou_keep_their_order_and_range(pairs: list[tuple[tuple[float, ...], ...]]) -> None:
    boxes, others = torch.tensor(pairs).unbind(1)
    iou, giou, diou, ciou = (B.paired_iou(boxes, others, kind) for kind in KINDS)
    torch.testing.assert_close(iou, B.box_iou(boxes, others).diagonal())
    for smaller, larger in ((giou, iou), (diou, iou), (ciou, diou)):
        assert (smaller <= larger + 1e-6).all()
    assert (giou >= -1).all()
    assert (diou >= -1).all()
    assert (ciou >= -2).all()


@pytest.mark.parametrize("kind", KINDS)
def test_paired_iou_of_a_box_with_itself_is_one(kind: str) -> None:
    boxes = some_boxes(20)
    torch.testing.assert_close(B.paired_iou(boxes, boxes, kind), torch.ones(20))


@pytest.mark.parametrize("kind", ["giou", "diou", "ciou"])
def test_values_and_gradients_are_torchvisions(kind: str) -> None:
    declare_torchvision_operators()
    from torchvision.ops import complete_box_iou_loss, distance_box_iou_loss, generalized_box_iou_loss

    losses = {"giou": generalized_box_iou_loss, "diou": distance_box_iou_loss, "ciou": complete_box_iou_loss}
    others = some_boxes(200, 1)
    mine, theirs = some_boxes(200).requires_grad_(), some_boxes(200).requires_grad_()
    loss, expected = 1 - B.paired_iou(mine, others, kind), losses[kind](theirs, others)
    torch.testing.assert_close(loss, expected, rtol=1e-5, atol=1e-6)
    loss.sum().backward()
    expected.sum().backward()
    torch.testing.assert_close(mine.grad, theirs.grad, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("kind", ["iou", "giou", "diou"])
def test_gradients_are_those_of_finite_differences(kind: str) -> None:
    boxes = some_boxes(6, 2, torch.float64).requires_grad_()
    others = some_boxes(6, 3, torch.float64).requires_grad_()
    assert torch.autograd.gradcheck(lambda a, b: B.paired_iou(a, b, kind), (boxes, others))


PLACES = [
    (0.0, 0.0, 2.0, 2.0),
    (0.0, 0.0, 2.0, 2.0),
    (2.0, 0.0, 4.0, 2.0),  # touches
    (9.0, 9.0, 10.0, 11.0),  # apart
    (1.0, 1.0, 1.0, 1.0),  # a point
    (0.0, 1.0, 2.0, 1.0),  # a line
    (1.0, 0.0, 1.0, 2.0),
    (2.0, 2.0, 0.0, 0.0),  # inside out
    (0.0, 0.0, 1e-6, 1e-6),
    (0.0, 0.0, 1e6, 1e6),
]


@pytest.mark.parametrize("kind", KINDS)
def test_gradients_are_finite_for_equal_distant_and_degenerate_boxes(kind: str) -> None:
    count = len(PLACES)
    boxes = torch.tensor(PLACES).repeat_interleave(count, 0).requires_grad_()
    others = torch.tensor(PLACES).repeat(count, 1).requires_grad_()
    iou = B.paired_iou(boxes, others, kind)
    (1 - iou).sum().backward()
    for tensor in (iou, boxes.grad, others.grad):
        assert tensor.isfinite().all()
    assert iou.max() <= 1


@pytest.mark.parametrize("kind", ["giou", "diou", "ciou"])
def test_descent_brings_a_box_to_one_that_it_does_not_touch(kind: str) -> None:
    boxes, target = (
        torch.tensor([[0.0, 0.0, 0.1, 0.1]]).requires_grad_(),
        torch.tensor([[0.5, 0.4, 0.9, 0.6]]),
    )
    optimizer = torch.optim.Adam([boxes], lr=0.01)
    for _ in range(400):
        optimizer.zero_grad()
        (1 - B.paired_iou(boxes, target, kind)).sum().backward()
        optimizer.step()
    assert B.box_iou(boxes, target).item() > 0.85


def test_overlaps_are_torchvisions() -> None:
    declare_torchvision_operators()
    from torchvision.ops import box_iou, clip_boxes_to_image

    boxes, others = some_boxes(50), some_boxes(70, 1)
    torch.testing.assert_close(B.box_iou(boxes, others), box_iou(boxes, others))
    moved = boxes - 30
    torch.testing.assert_close(B.clip_boxes(moved, 60, 90), clip_boxes_to_image(moved, (60, 90)))


def test_overlaps_with_and_without_crowds_are_the_coco_tools() -> None:
    mask = pytest.importorskip("pycocotools.mask")
    boxes, others = some_boxes(30), some_boxes(40, 1)
    crowd = np.arange(40) % 2
    corners = [B.xyxy_to_xywh(b).double().numpy() for b in (boxes, others)]
    expected = mask.iou(corners[0], corners[1], crowd.tolist())
    iou = torch.where(
        torch.from_numpy(crowd).bool(), B.box_iou_crowd(boxes, others), B.box_iou(boxes, others)
    )
    np.testing.assert_allclose(iou.numpy(), expected, rtol=1e-4, atol=1e-6)


def test_clipping_worked_by_hand() -> None:
    boxes = torch.tensor([[-3.0, 2.0, 5.0, 12.0], [20.0, -9.0, 30.0, -1.0]])
    assert B.clip_boxes(boxes, height=10, width=4).tolist() == [[0, 2, 4, 10], [4, 0, 4, 0]]


def test_deltas_worked_by_hand() -> None:
    anchors = torch.tensor([[0.0, 0.0, 100.0, 50.0]])
    boxes = torch.tensor([[10.0, 5.0, 160.0, 50.0]])  # centre 85, 27.5; 150 x 45: scales 1.5 and 0.9
    expected = torch.tensor([[0.35, 0.05, math.log(1.5), math.log(0.9)]])
    torch.testing.assert_close(B.encode_deltas(boxes, anchors), expected)
    weighted = B.encode_deltas(boxes, anchors, (10, 10, 5, 5))
    torch.testing.assert_close(weighted, expected * torch.tensor([10.0, 10, 5, 5]))


@given(st.lists(st.tuples(box, box), min_size=1, max_size=6), st.sampled_from([(1, 1, 1, 1), (10, 10, 5, 5)]))
@settings(max_examples=100, deadline=None)
def test_decoding_inverts_encoding(pairs: list[tuple[tuple[float, ...], ...]], weights: B.Weights) -> None:
    boxes, anchors = torch.tensor(pairs).double().unbind(1)
    deltas = B.encode_deltas(boxes, anchors, weights)
    again = B.decode_deltas(deltas, anchors, weights, max_log_scale=20)
    torch.testing.assert_close(again, boxes, rtol=1e-9, atol=1e-6)


def test_no_deltas_give_the_anchors_for_every_class() -> None:
    anchors = some_boxes(5)
    decoded = B.decode_deltas(torch.zeros(5, 3, 4), anchors[:, None])
    torch.testing.assert_close(decoded, anchors[:, None].expand(5, 3, 4))


@pytest.mark.parametrize("weights", [(1.0, 1.0, 1.0, 1.0), (10.0, 10.0, 5.0, 5.0)])
def test_deltas_are_torchvisions(weights: B.Weights) -> None:
    declare_torchvision_operators()
    from torchvision.models.detection._utils import BoxCoder

    coder = BoxCoder(weights)
    boxes, anchors = some_boxes(40), some_boxes(40, 1)
    torch.testing.assert_close(B.encode_deltas(boxes, anchors, weights), coder.encode_single(boxes, anchors))
    deltas = 8 * torch.randn(40, 4, generator=torch.Generator().manual_seed(0))  # some beyond the limit
    expected = coder.decode_single(deltas, anchors)
    torch.testing.assert_close(B.decode_deltas(deltas, anchors, weights), expected, rtol=1e-4, atol=1e-3)


def test_deltas_of_boxes_without_area_and_of_huge_scales_are_finite() -> None:
    anchors = some_boxes(2)
    points = torch.tensor([[3.0, 3.0, 3.0, 3.0], [3.0, 3.0, 2.0, 9.0]])
    assert B.encode_deltas(points, anchors).isfinite().all()
    decoded = B.decode_deltas(torch.full((2, 4), 60000.0, dtype=torch.float16), anchors)
    assert decoded.isfinite().all()
    sides = B.xyxy_to_cxcywh(anchors)[:, 2:] * 1000 / 16
    assert (B.xyxy_to_cxcywh(decoded)[:, 2:] <= sides * 1.01).all()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.int64])
def test_results_are_single_precision_for_half_and_whole_numbers(dtype: torch.dtype) -> None:
    boxes = torch.tensor([[0, 0, 300, 300], [4, 4, 12, 8]]).to(dtype)
    results = [change(boxes) for change in MAPS]
    results += [B.box_area(boxes), B.box_iou(boxes, boxes), B.box_iou_crowd(boxes, boxes)]
    results += [B.paired_iou(boxes, boxes, kind) for kind in KINDS]
    results += [B.clip_boxes(boxes, 9, 9), B.encode_deltas(boxes, boxes), B.decode_deltas(boxes * 0, boxes)]
    assert {result.dtype for result in results} == {torch.float32}
    assert B.box_area(boxes)[0] == B.box_area(boxes.float())[0]  # 90,000: no half-precision number
    assert B.box_area(boxes)[0].isfinite()


Exact = tuple[Fraction, ...]


def exact(box: Tensor) -> Exact:
    return tuple(Fraction(value) for value in box.tolist())


def exact_area(box: Exact) -> Fraction:
    return max(box[2] - box[0], Fraction(0)) * max(box[3] - box[1], Fraction(0))


def exact_kinds(a: Exact, b: Exact) -> list[float]:
    """IoU, GIoU and DIoU in fractions, CIoU with its angles in double precision."""
    inner = (max(a[0], b[0]), max(a[1], b[1]), min(a[2], b[2]), min(a[3], b[3]))
    outer = (min(a[0], b[0]), min(a[1], b[1]), max(a[2], b[2]), max(a[3], b[3]))
    shared, around = exact_area(inner), exact_area(outer)
    union = exact_area(a) + exact_area(b) - shared
    iou = shared / union
    giou = iou - (around - union) / around
    apart = sum(((a[i] + a[i + 2] - b[i] - b[i + 2]) / 2) ** 2 for i in (0, 1))
    diou = iou - apart / ((outer[2] - outer[0]) ** 2 + (outer[3] - outer[1]) ** 2)
    angles = [math.atan(float((c[2] - c[0]) / (c[3] - c[1]))) for c in (a, b)]
    difference = 4 / math.pi**2 * (angles[0] - angles[1]) ** 2
    weight = difference / (1 - float(iou) + difference) if difference else 0
    return [float(iou), float(giou), float(diou), float(diou) - weight * difference]


def exact_inside(a: Exact, b: Exact) -> float:
    inner = (max(a[0], b[0]), max(a[1], b[1]), min(a[2], b[2]), min(a[3], b[3]))
    return float(exact_area(inner) / exact_area(a))


SCALES = [1e-30, 1e-18, 1e-12, 2e-5, 1.0, 1e7, 1e20, 1e30]


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_overlaps_are_those_of_fractions_at_every_scale(scale: float, dtype: torch.dtype) -> None:
    boxes = (some_boxes(30, 4).double() * (scale / 100)).to(dtype)
    others = (some_boxes(30, 5).double() * (scale / 100)).to(dtype)
    expected = np.array(
        [exact_kinds(exact(a), exact(b)) for a, b in zip(boxes, others, strict=True)]
    )  # of the rounded coordinates
    found = np.stack([B.paired_iou(boxes, others, kind).double().numpy() for kind in KINDS], axis=1)
    tolerance = 1e-5 if dtype == torch.float32 else 1e-12
    np.testing.assert_allclose(found, expected, rtol=0, atol=tolerance)
    np.testing.assert_allclose(B.box_iou(boxes, others).diagonal(), expected[:, 0], rtol=0, atol=tolerance)
    inside = [exact_inside(exact(a), exact(b)) for a, b in zip(boxes, others, strict=True)]
    np.testing.assert_allclose(B.box_iou_crowd(boxes, others).diagonal(), inside, rtol=0, atol=tolerance)


@pytest.mark.parametrize("side", [1e-12, 2e-5, 1e7, 1e20])
def test_a_box_overlaps_itself_wholly_however_small_or_large(side: float) -> None:
    box = torch.tensor([[0.0, 0.0, side, side / 3]]).requires_grad_()
    assert B.box_iou(box, box).item() == 1
    for kind in KINDS:
        iou = B.paired_iou(box, box.detach(), kind)
        assert iou.item() == 1
        iou.sum().backward()
    assert box.grad.isfinite().all()


def test_normalized_boxes_of_a_few_pixels_of_a_large_picture_overlap() -> None:
    box = torch.tensor([[0.5, 0.5, 0.50002, 0.50002]])
    assert [B.paired_iou(box, box, kind).item() for kind in KINDS] == [1, 1, 1, 1]


def test_small_and_large_boxes_are_compared_in_one_call() -> None:
    sides = torch.tensor([1e-12, 1e-6, 1.0, 1e7, 1e15])
    boxes = torch.stack([sides * 0, sides * 0, sides, sides], dim=1)
    assert torch.equal(B.box_iou(boxes, boxes).diagonal(), torch.ones(5))
    assert B.box_iou(boxes[3:4], boxes[4:5]).item() == pytest.approx(1e-16)


@pytest.mark.parametrize("power", [-40, -3, 5, 30])
def test_overlaps_do_not_depend_on_the_unit(power: int) -> None:
    boxes, others, factor = some_boxes(20), some_boxes(20, 1), 2.0**power
    assert torch.equal(B.box_iou(boxes * factor, others * factor), B.box_iou(boxes, others))
    for kind in KINDS:
        scaled = B.paired_iou(boxes * factor, others * factor, kind)
        assert torch.equal(scaled, B.paired_iou(boxes, others, kind))


@pytest.mark.parametrize("wrong", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("column", range(4))
def test_what_is_no_number_reaches_the_loss(wrong: float, column: int) -> None:
    boxes, others = some_boxes(3), some_boxes(3, 1)
    boxes[1, column] = wrong
    for kind in KINDS:
        for iou in (B.paired_iou(boxes, others, kind), B.paired_iou(others, boxes, kind)):
            assert iou.isnan().tolist() == [False, True, False]
    assert B.box_iou(boxes, others)[1].isnan().all()


def test_no_boxes_are_no_trouble() -> None:
    none, some = torch.zeros(0, 4), some_boxes(3)
    assert all(change(none).shape == (0, 4) for change in MAPS)
    assert B.box_area(none).shape == (0,)
    for overlap in (B.box_iou, B.box_iou_crowd):
        assert overlap(none, some).shape == (0, 3)
        assert overlap(some, none).shape == (3, 0)
    assert all(B.paired_iou(none, none, kind).shape == (0,) for kind in KINDS)
    assert B.clip_boxes(none, 5, 5).shape == (0, 4)
    assert B.encode_deltas(none, none).shape == B.decode_deltas(none, none).shape == (0, 4)


@pytest.mark.parametrize("wrong", [math.nan, math.inf, -math.inf])
def test_a_box_that_is_no_number_takes_no_other_with_it(wrong: float) -> None:
    boxes, others = some_boxes(3), some_boxes(4, 1)
    right = B.box_iou(boxes, others), B.box_iou_crowd(boxes, others)
    boxes[1, 2] = wrong
    for found, expected in zip(
        (B.box_iou(boxes, others), B.box_iou_crowd(boxes, others)), right, strict=True
    ):
        assert torch.equal(found[::2], expected[::2])
        assert found[1].isnan().all()
