"""Which box is to find which object: by hand, and as torchvision's matchers decide."""

import pytest
import torch
from torch import Tensor
from torchvision_detectors import torchvision

from striate.samples import Objects
from striate.tasks.detection.matching import BACKGROUND, IGNORED, Overlap, match, sample

# Boxes of height 10 in a row; each number is where one begins and ends.
BOXES = [(0, 10), (4, 14), (20, 30), (26, 46)]
OBJECTS = [(1, 11), (20, 28), (100, 110)]  # IoU 9/11, 7/13, 0, 0; 0, 0, 8/10, 2/26; none


def row(spans: list[tuple[int, int]]) -> Tensor:
    return torch.tensor([[start, 0.0, end, 10.0] for start, end in spans])


def matched(overlap: Overlap, crowd: list[bool] | None = None) -> list[int]:
    boxes = row(OBJECTS)
    objects = Objects(
        boxes,
        torch.arange(3),
        torch.tensor([3]),
        torch.tensor(crowd or [False] * 3),
        torch.zeros(3, dtype=torch.bool),
    )
    result: list[int] = match(row(BOXES)[None], objects, overlap)[0].tolist()
    return result


@pytest.mark.parametrize(
    ("overlap", "expected"),
    [
        (Overlap(0.5, 0.5), [0, 0, 1, BACKGROUND]),
        (Overlap(0.7, 0.5), [0, IGNORED, 1, BACKGROUND]),
        (Overlap(0.7, 0.05), [0, IGNORED, 1, IGNORED]),
        (Overlap(0.9, 0.9), [BACKGROUND] * 4),
        (Overlap(0.9, 0.9, "best"), [0, BACKGROUND, 1, BACKGROUND]),
        (Overlap(0.9, 0.3, "ties"), [0, IGNORED, 1, BACKGROUND]),
    ],
)
def test_three_objects_and_four_boxes_by_hand(overlap: Overlap, expected: list[int]) -> None:
    assert matched(overlap) == expected


def test_what_lies_in_a_crowd_is_ignored_unless_it_finds_another_object() -> None:
    # All of the third box that the crowd covers is 8 of 10, of the fourth 2 of 20.
    assert matched(Overlap(0.5, 0.5), [False, True, False]) == [0, 0, IGNORED, BACKGROUND]
    assert matched(Overlap(0.5, 0.05), [False, True, False]) == [0, 0, IGNORED, IGNORED]
    assert matched(Overlap(0.5, 0.5), [True, False, False]) == [IGNORED, IGNORED, 1, BACKGROUND]


def test_of_two_objects_whose_best_box_is_the_same_the_last_gets_it() -> None:
    objects = Objects.of(row([(0, 4), (0, 3)]), torch.tensor([0, 0]))
    assert match(row(BOXES)[None], objects, Overlap(0.5, 0.5, "best"))[0].tolist() == [1, -1, -1, -1]


def random_boxes(count: int, seed: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    corners = torch.randint(0, 20, (count, 2), generator=generator)  # whole numbers, so that IoUs tie
    sides = torch.randint(1, 12, (count, 2), generator=generator)
    return torch.cat([corners, corners + sides], dim=1).float()


@pytest.mark.parametrize("seed", range(5))
def test_random_boxes_are_matched_as_torchvision_matches_them(seed: int) -> None:
    boxes, objects = random_boxes(200, seed), random_boxes(6, seed + 100)
    ious = torchvision.ops.box_iou(objects, boxes)
    matchers = torchvision.models.detection._utils
    peers = {
        Overlap(0.5, 0.5): matchers.Matcher(0.5, 0.5, allow_low_quality_matches=False),
        Overlap(0.7, 0.3, "ties"): matchers.Matcher(0.7, 0.3, allow_low_quality_matches=True),
        Overlap(0.5, 0.5, "best"): matchers.SSDMatcher(0.5),
    }
    for overlap, peer in peers.items():
        ours = match(boxes[None], Objects.of(objects, torch.zeros(6).long()), overlap)[0]
        assert torch.equal(ours, peer(ious))


def test_objects_are_counted_over_all_pictures() -> None:
    boxes = torch.stack([row(BOXES)] * 3)
    objects = Objects.of(row([(0, 10), (20, 30), (4, 14)]), torch.zeros(3).long(), torch.tensor([2, 0, 1]))
    matches = match(boxes, objects, Overlap(0.9, 0.9))
    assert matches.tolist() == [[0, -1, 1, -1], [-1] * 4, [-1, 2, -1, -1]]


def test_samples_are_as_many_as_asked_and_never_ignored_ones() -> None:
    matches = torch.tensor([[0] * 50 + [BACKGROUND] * 50, [0] * 3 + [BACKGROUND] * 97, [IGNORED] * 100])
    matches[:, -10:] = IGNORED
    chosen = sample(matches, torch.rand(matches.shape), count=32, positives=16)
    assert (chosen & (matches >= 0)).sum(dim=1).tolist() == [16, 3, 0]
    assert chosen.sum(dim=1).tolist() == [32, 32, 0]
    assert not (chosen & (matches == IGNORED)).any()


def test_each_box_is_as_likely_as_any_other_to_be_sampled() -> None:
    torch.manual_seed(0)
    matches = torch.tensor([0] * 8 + [BACKGROUND] * 8).expand(4000, -1)
    shares = sample(matches, torch.rand(matches.shape), count=8, positives=2).float().mean(dim=0)
    torch.testing.assert_close(shares, torch.tensor([2 / 8] * 8 + [6 / 8] * 8), rtol=0, atol=0.03)
