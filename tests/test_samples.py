"""Ragged boxes: a list of pictures as a flat list of objects."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from striate.ops.frames import boxes_in_picture, objects_in_input, part_of
from striate.samples import Detections, Frame, Objects


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
