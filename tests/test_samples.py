"""Ragged boxes: a list of pictures as a flat list of objects."""

import math
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from striate.ops.frames import boxes_in_picture, cut_objects, objects_in_input, part_of
from striate.samples import Detections, Frame, Localization, Objects


def some_objects(counts: list[int], seed: int = 0) -> Objects:
    total = sum(counts)
    generator = torch.Generator().manual_seed(seed)
    return Objects(
        boxes_xyxy=torch.rand(total, 4, generator=generator).sort(1).values[:, [0, 1, 2, 3]] * 100,
        labels=torch.arange(total),
        counts=torch.tensor(counts, dtype=torch.int64),
        crowd=torch.rand(total, generator=generator) < 0.3,
        difficult=torch.rand(total, generator=generator) < 0.3,
    )


def as_lists(objects: Objects) -> list[list[int]]:
    """The labels, which are all different here, of each picture."""
    return [part.tolist() for part in objects.labels.split(objects.counts.tolist())]


COUNTS = st.lists(st.integers(0, 4), min_size=1, max_size=6)


@settings(deadline=None)
@given(counts=COUNTS, data=st.data())
def test_choosing_pictures_is_choosing_from_the_list_of_pictures(counts, data):
    objects = some_objects(counts)
    chosen = data.draw(st.lists(st.integers(0, len(counts) - 1), max_size=8))
    picked = objects[torch.tensor(chosen, dtype=torch.int64)]
    assert as_lists(picked) == [as_lists(objects)[i] for i in chosen]
    assert torch.equal(picked.boxes_xyxy, objects.boxes_xyxy[picked.labels])
    assert torch.equal(picked.crowd, objects.crowd[picked.labels])
    assert torch.equal(picked.difficult, objects.difficult[picked.labels])


@settings(deadline=None)
@given(counts=COUNTS, start=st.integers(-7, 7), stop=st.integers(-7, 7))
def test_slices_and_numbers_are_those_of_lists(counts, start, stop):
    objects = some_objects(counts)
    assert as_lists(objects[start:stop]) == as_lists(objects)[start:stop]
    assert len(objects) == len(counts)
    if -len(counts) <= start < len(counts):
        assert as_lists(objects[start]) == [as_lists(objects)[start]]
    else:
        with pytest.raises(IndexError):
            objects[start]


@settings(deadline=None)
@given(counts=COUNTS, parts=st.integers(1, 8))
def test_split_and_joined_again_it_is_the_same(counts, parts):
    objects = some_objects(counts)
    pieces = objects.tensor_split(parts)
    sizes = [len(part) for part in torch.arange(len(counts)).tensor_split(parts)]
    assert [len(piece) for piece in pieces] == sizes
    joined = Objects.join(pieces)
    for name in ("boxes_xyxy", "labels", "counts", "crowd", "difficult"):
        assert torch.equal(getattr(joined, name), getattr(objects, name))


@settings(deadline=None)
@given(counts=COUNTS, seed=st.integers(0, 100))
def test_leaving_objects_out_leaves_their_pictures(counts, seed):
    objects = some_objects(counts)
    keep = torch.rand(sum(counts), generator=torch.Generator().manual_seed(seed)) < 0.5
    left = objects.where(keep)
    wanted = [[label for label in labels if keep[label]] for labels in as_lists(objects)]
    assert as_lists(left) == wanted
    assert left.pictures.tolist() == [i for i, labels in enumerate(wanted) for _ in labels]


FRAMES = [Frame(30, 60, 2.0, 1.5, 4.0, -8.0), Frame(100, 40), Frame(7, 9, 0.5, 3.0, 1.0, 0.25)]
PART = Frame(30, 60, 2.0, 1.5, 4.0, -8.0, top=100, left=200)


def test_boxes_go_into_the_input_and_come_back():
    boxes = torch.tensor([[0.0, 0, 60, 30], [5, 2, 9, 11], [1, 1, 9, 7]])
    objects = Objects.of(boxes, torch.arange(3), torch.tensor([2, 0, 1]))
    moved = objects_in_input(objects, FRAMES)
    # by hand: x * 1.5 - 8, y * 2 + 4 in the first picture
    assert moved.boxes_xyxy[1].tolist() == [5 * 1.5 - 8, 2 * 2 + 4, 9 * 1.5 - 8, 11 * 2 + 4]
    for i, frame in enumerate(FRAMES):
        back = boxes_in_picture(moved[i].boxes_xyxy, frame)
        torch.testing.assert_close(back, objects[i].boxes_xyxy)


def test_boxes_end_at_the_edge_of_the_picture():
    outside = torch.tensor([[-1000.0, 10, 1000, 1000]])
    assert boxes_in_picture(outside, FRAMES[0]).tolist() == [[0, 3, 60, 30]]


def test_boxes_of_a_part_are_those_of_the_part_alone_moved_to_its_place():
    inputs = torch.tensor([[-0.5, 8.0, 32.5, 44.0], [-1000.0, 10, 1000, 1000]])
    corner = torch.tensor([200.0, 100, 200, 100])
    # by hand: (-0.5 + 8) / 1.5 + 200, (8 - 4) / 2 + 100; the second one ends where the part ends
    assert boxes_in_picture(inputs, PART).tolist() == [[205, 102, 227, 120], [200, 103, 260, 130]]
    assert torch.equal(boxes_in_picture(inputs, PART), boxes_in_picture(inputs, FRAMES[0]) + corner)
    objects = Objects.of(boxes_in_picture(inputs, PART)[:1], torch.tensor([0]))
    assert objects_in_input(objects, [PART]).boxes_xyxy.tolist() == inputs[:1].tolist()


@pytest.mark.parametrize(
    ("box_norm", "rows", "columns"),
    [
        ((0.0, 0.0, 1.0, 1.0), (0, 10), (0, 40)),
        ((0.5, 0.25, 0.75, 0.5), (5, 8), (10, 20)),  # 7.5 rounds to 8
        ((3 / 10, 7 / 40, 4 / 10, 29 / 40), (3, 4), (7, 29)),
        ((0.999, 0.0, 1.0, 0.001), (9, 10), (0, 1)),  # never nothing
        ((0.31, 0.5, 0.32, 0.501), (3, 4), (20, 21)),
    ],
)
def test_a_part_is_cut_at_whole_pixels_and_never_empty(box_norm, rows, columns):
    assert part_of(box_norm, 10, 40) == (slice(*rows), slice(*columns))


def test_detections_surer_than_a_score():
    found = Detections(torch.arange(12.0).view(3, 4), torch.tensor([0.9, 0.5, 0.2]), torch.tensor([1, 0, 2]))
    sure = found.surer_than(0.5)
    assert sure.labels.tolist() == [1, 0]
    assert torch.equal(sure.boxes_xyxy, found.boxes_xyxy[:2])


BOXES = torch.tensor([[0.0, 0.0, 4.0, 4.0], [1.0, 1.0, 3.0, 2.0]])
TWO = torch.tensor([0, 1])
NO = TWO > 5
OBJECTS = {"boxes_xyxy": BOXES, "labels": TWO, "counts": TWO + 1 - TWO, "crowd": NO, "difficult": NO}
DETECTIONS = {"boxes_xyxy": BOXES, "scores": torch.tensor([0.9, 0.5]), "labels": TWO}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("boxes_xyxy", BOXES[:, :3]),
        ("boxes_xyxy", BOXES[0]),
        ("boxes_xyxy", BOXES.tolist()),
        ("labels", TWO[:1]),
        ("labels", TWO.float()),
        ("labels", TWO[:, None]),
        ("counts", TWO),  # one object in all
        ("counts", TWO * 4),
        ("counts", torch.tensor([1.0, 1.0])),
        ("crowd", NO[:1]),
        ("crowd", TWO),
        ("difficult", NO.float()),
        ("areas", torch.ones(3)),
        ("areas", [1.0, 2.0]),
    ],
)
def test_columns_of_objects_that_do_not_belong_together_are_refused(name, value):
    with pytest.raises(ValueError, match=rf"\b{name}\b"):
        Objects(**{**OBJECTS, name: value})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("boxes_xyxy", BOXES[:1]),
        ("boxes_xyxy", BOXES * math.nan),
        ("boxes_xyxy", BOXES / 0),
        ("scores", torch.ones(3)),
        ("scores", torch.tensor([0.5, math.nan])),
        ("scores", torch.tensor(0.5)),
        ("labels", TWO[:1]),
        ("labels", TWO.float()),
    ],
)
def test_columns_of_detections_that_do_not_belong_together_are_refused(name, value):
    with pytest.raises(ValueError, match=r"boxes_xyxy|scores|labels"):
        Detections(**{**DETECTIONS, name: value})


@pytest.mark.parametrize(
    "arguments",
    [
        (BOXES.T, TWO),
        (BOXES * math.inf, TWO),
        (BOXES, TWO - 1),
        (BOXES, TWO, torch.tensor([3, -1])),
        (BOXES, TWO, torch.tensor([1])),
        (BOXES, [0, 1]),
    ],
)
def test_objects_of_what_is_none_are_refused(arguments):
    with pytest.raises(ValueError, match=r"boxes_xyxy|labels|counts"):
        Objects.of(*arguments)


def test_a_localization_has_one_box_and_a_frame_a_scale():
    with pytest.raises(ValueError, match="box_xyxy"):
        Localization(torch.ones(3), BOXES)
    for scale in (0.0, -1.0, math.nan, math.inf):
        with pytest.raises(ValueError, match="scale_x"):
            Frame(4, 4, scale_x=scale)


def test_areas_go_with_their_objects_and_not_to_other_places():
    objects = some_objects([2, 0, 3])
    assert objects.areas is None
    areas = torch.arange(5).double() * 10
    known = replace(objects, areas=areas)
    assert known[torch.tensor([2, 0])].areas.tolist() == [20, 30, 40, 0, 10]
    assert known.where(known.labels % 2 == 1).areas.tolist() == [10, 30]
    assert known.to("cpu").areas.tolist() == areas.tolist()
    joined = Objects.join([known[:1], objects[2:], known[2:]]).areas
    assert joined[:2].tolist() == [0, 10]
    assert joined[2:5].isnan().all()
    assert joined[5:].tolist() == [20, 30, 40]
    assert Objects.join([objects, objects]).areas is None
    assert known.moved(known.boxes_xyxy * 2).areas is None
    assert cut_objects(known, torch.tensor([[0.0, 0.0, 9.0, 9.0]])).areas is None


def test_counts_below_zero_that_sum_right_and_choices_of_another_length_are_refused() -> None:
    boxes, labels, no = torch.zeros(2, 4), torch.zeros(2, dtype=torch.int64), torch.zeros(2, dtype=torch.bool)
    with pytest.raises(ValueError, match="counts"):
        Objects(boxes, labels, torch.tensor([3, -1]), no, no)
    for keep in (torch.tensor([True]), torch.tensor([1, 0])):
        with pytest.raises(ValueError, match="keep"):
            Objects.of(boxes, labels).where(keep)


@pytest.mark.parametrize("wrong", [{"height": -1}, {"offset_x": math.nan}, {"scale_x": "2"}, {"top": None}])
def test_a_frame_is_of_finite_numbers(wrong) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(ValueError, match="must be"):
        Frame(**{"height": 4, "width": 5, **wrong})
