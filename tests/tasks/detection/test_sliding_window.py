"""Sliding windows: which windows, where their boxes lie, and what suppression leaves."""

import math

import pytest
import torch
import torch.nn.functional as F
from rounding import assert_same_detections
from torch import Tensor, nn

from striate.models.catalog import create_model
from striate.ops.root_boxes import encode_boxes
from striate.samples import Detections
from striate.tasks.detection.fully_convolutional import fully_convolutional
from striate.tasks.detection.rules import Choice
from striate.tasks.detection.sliding_window import SlidingWindow, find_objects
from striate.tasks.localization.task import Localizer
from striate.tasks.task import Outputs

WINDOW = (16, 16)


class Seeker(nn.Module):
    """A localizer by rule: there is an object where a square of ones lies in the window, and only one.

    The box is that around the window's pixels above 1/2, the class what fits of 0 (all red), 1 (all green),
    and it is the surer the nearer the box's centre is to the window's.
    """

    def __init__(self) -> None:
        super().__init__()
        self.batches: list[int] = []

    def forward(self, windows: Tensor) -> Outputs:
        self.batches.append(len(windows))
        rows = [self.look(window) for window in windows]
        return {name: torch.stack([row[name] for row in rows]) for name in rows[0]}

    def look(self, window: Tensor) -> Outputs:
        height, width = window.shape[1:]
        lit = window.amax(0) > 0.5
        ys, xs = lit.nonzero(as_tuple=True)
        if len(ys) == 0 or lit[0].any() or lit[-1].any() or lit[:, 0].any() or lit[:, -1].any():
            return {
                "logits": torch.zeros(2),
                "boxes_norm": torch.tensor([0.5, 0.5, 0.1, 0.1]),
                "objectness_logits": torch.tensor(-9.0),
            }
        box_xyxy = torch.stack([xs.min(), ys.min(), xs.max() + 1, ys.max() + 1]).float()
        centre = (box_xyxy[:2] + box_xyxy[2:]) / 2
        off = (centre - torch.tensor([width / 2, height / 2])).norm()
        return {
            "logits": window.mean((1, 2)),
            "boxes_norm": encode_boxes(box_xyxy[None], height, width)[0],
            "objectness_logits": 3 - off / 4,
        }


def picture(height: int, width: int, *squares: tuple[int, int, int, int]) -> Tensor:
    """Zeros, and squares (class, left, top, side) of ones in the channel of their class."""
    pixels = torch.zeros(2, height, width)
    for label, left, top, side in squares:
        pixels[label, top : top + side, left : left + side] = 1
    return pixels


def rounded(found: Detections) -> list[tuple[list[float], int]]:
    rows = zip(found.boxes_xyxy.tolist(), found.labels.tolist(), strict=True)
    return sorted(([round(value, 3) for value in box], label) for box, label in rows)


# Windows ------------------------------------------------------------------------------------------------


class Corner(nn.Module):
    """Says what its top left pixel is, and two numbers more."""

    def forward(self, windows: Tensor) -> Outputs:
        return {"first": windows[:, 0, 0, 0], "sums": windows.sum((2, 3))}


@pytest.mark.parametrize("batch_size", [1, 4, 7, 100])
def test_each_output_is_that_of_its_window(batch_size: int) -> None:
    pictures = torch.arange(2 * 3 * 21 * 19).float().view(2, 3, 21, 19)
    found = SlidingWindow(Corner(), (9, 6), stride=4, batch_size=batch_size)(pictures)
    assert found["first"].shape == (2, 4, 4)  # tops 0, 4, 8, 12 and lefts 0, 4, 8, 12
    assert torch.equal(found["first"], pictures[:, 0, 0:13:4, 0:14:4])
    windows = F.unfold(pictures, (9, 6), stride=4)  # (2, 3 * 54, 16)
    assert torch.equal(found["sums"], windows.view(2, 3, 54, 16).sum(2).view(2, 3, 4, 4))


def test_no_more_windows_are_computed_together_than_asked_for() -> None:
    seeker = Seeker()
    SlidingWindow(seeker, WINDOW, stride=8, batch_size=10)(torch.zeros(3, 2, 32, 40))
    assert seeker.batches == [10, 10, 10, 6]


# Objects ------------------------------------------------------------------------------------------------


def test_objects_are_found_where_they_are_once() -> None:
    pixels = picture(64, 80, (0, 5, 7, 6), (1, 40, 30, 8), (0, 62, 50, 5))
    (found,) = find_objects(SlidingWindow(Seeker(), WINDOW, stride=4), pixels[None], sizes=[16])
    assert rounded(found) == [([5, 7, 11, 13], 0), ([40, 30, 48, 38], 1), ([62, 50, 67, 55], 0)]
    assert (found.scores.diff() <= 0).all()


def test_larger_windows_find_larger_objects_in_pixels_of_the_picture() -> None:
    pixels = picture(128, 160, (1, 32, 48, 24), (0, 100, 80, 6))
    scanner = SlidingWindow(Seeker(), WINDOW, stride=4)
    small, large, both = (find_objects(scanner, pixels[None], sizes)[0] for sizes in ([16], [64], [16, 64]))
    assert rounded(small) == [([100, 80, 106, 86], 0)]
    assert ([32, 48, 56, 72], 1) in rounded(large)
    assert {label for _, label in rounded(both)} == {0, 1}


def test_sizes_that_do_not_divide_the_picture_still_give_its_pixels() -> None:
    pixels = picture(90, 110, (1, 30, 42, 27))
    (found,) = find_objects(SlidingWindow(Seeker(), WINDOW, stride=2), pixels[None], sizes=[50])
    assert found.labels.tolist() == [1]
    # Of a pixel of the small picture there are 50 / 16 in the large one.
    assert found.boxes_xyxy[0].tolist() == pytest.approx([30, 42, 57, 69], abs=50 / 16)


def test_objects_at_the_far_borders_are_found_through_windows_that_reach_over_them() -> None:
    pixels = picture(30, 37, (0, 29, 22, 8))
    (found,) = find_objects(SlidingWindow(Seeker(), WINDOW, stride=4), pixels[None], sizes=[16])
    assert rounded(found) == [([29, 22, 37, 30], 0)]


def test_a_picture_smaller_than_the_window_is_looked_at() -> None:
    pixels = picture(12, 10, (1, 2, 3, 6))
    (found,) = find_objects(SlidingWindow(Seeker(), WINDOW, stride=4), pixels[None], sizes=[16])
    assert rounded(found) == [([2, 3, 8, 9], 1)]


def test_each_picture_has_its_own_objects_and_none_may_be_there() -> None:
    pictures = torch.stack([picture(40, 40, (0, 5, 5, 6)), picture(40, 40), picture(40, 40, (1, 20, 20, 9))])
    found = find_objects(SlidingWindow(Seeker(), WINDOW, stride=4, batch_size=5), pictures, sizes=[16])
    assert [rounded(one) for one in found] == [[([5, 5, 11, 11], 0)], [], [([20, 20, 29, 29], 1)]]


class Listed(nn.Module):
    """A scanner that says what it was given: one box for each of a row of windows."""

    window, stride = (10, 10), 10

    def __init__(self, boxes_xyxy: list[list[float]], scores: list[float], labels: list[int]) -> None:
        super().__init__()
        corners = torch.arange(len(boxes_xyxy))[:, None] * torch.tensor([10, 0, 10, 0])
        boxes_norm = encode_boxes(torch.tensor(boxes_xyxy) - corners, 10, 10)
        self.outputs = {
            "logits": F.one_hot(torch.tensor(labels), 3).float().T[None, :, None],
            "boxes_norm": boxes_norm.T[None, :, None],
            "objectness_logits": torch.tensor([math.log(s / (1 - s)) for s in scores])[None, None],
        }

    def forward(self, pictures: Tensor) -> Outputs:
        return self.outputs


def test_suppression_worked_by_hand() -> None:
    boxes_xyxy = [
        [0, 0, 10, 10],  # 0.9: stays
        [0, 0, 10, 8],  # 0.8: 80 of 100 pixels are shared, more than 0.6, though of another class
        [0, 0, 10, 5.9],  # 0.7: 0.59 is not more than 0.6
        [20, 0, 30, 10],  # 0.49: under the threshold
        [40, 0, 50, 10],  # 0.95: the best
    ]
    scores, labels = [0.9, 0.8, 0.7, 0.49, 0.95], [0, 1, 1, 0, 2]
    (found,) = find_objects(Listed(boxes_xyxy, scores, labels), torch.zeros(1, 1, 10, 50), sizes=[10])
    assert found.labels.tolist() == [2, 0, 1]
    assert found.scores.tolist() == pytest.approx([0.95, 0.9, 0.7])
    torch.testing.assert_close(found.boxes_xyxy, torch.tensor([boxes_xyxy[i] for i in (4, 0, 2)]))
    strict = Choice(score=0.4, iou=0.3, most=2)
    (found,) = find_objects(Listed(boxes_xyxy, scores, labels), torch.zeros(1, 1, 10, 50), [10], strict)
    assert found.labels.tolist() == [2, 0]


def test_boxes_end_at_the_border_of_the_picture() -> None:
    scanner = Listed([[-3, -2, 6, 8], [12, 5, 29, 14]], [0.9, 0.8], [0, 1])
    (found,) = find_objects(scanner, torch.zeros(1, 1, 10, 20), sizes=[10])
    torch.testing.assert_close(found.boxes_xyxy, torch.tensor([[0.0, 0, 6, 8], [12, 5, 20, 10]]))


# In one pass --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("sizes", [[32], [32, 48, 64]], ids=str)
def test_one_pass_finds_what_windows_find(sizes: list[int]) -> None:
    torch.manual_seed(0)
    localizer = Localizer(create_model("lenet5", num_classes=4), objectness=True).eval()
    pictures = torch.randn(2, 1, 71, 90)
    windows = find_objects(SlidingWindow(localizer, (32, 32), 4), pictures, sizes, Choice(0.3, 0.6, 50))
    one_pass = find_objects(
        fully_convolutional(localizer, (32, 32), in_channels=1), pictures, sizes, Choice(0.3, 0.6, 50)
    )
    for ours, expected in zip(one_pass, windows, strict=True):
        assert len(expected) > 3
        assert_same_detections(ours, expected)
