"""The last step of every detector."""

import torch

from striate.tasks.detection.rules import Choice
from striate.tasks.detection.surest import surest

BOXES = torch.tensor([[0.0, 0, 10, 10], [0, 0, 10, 9], [1, 0, 10, 10], [20, 20, 30, 30], [5, 5, 5, 9]])
SCORES = torch.tensor([0.6, 0.9, 0.8, 0.7, 0.95])
LABELS = torch.tensor([0, 1, 0, 0, 2])


def test_boxes_suppress_those_of_their_class():
    found = surest(BOXES, SCORES, LABELS, Choice(iou=0.5))
    assert found.labels.tolist() == [1, 0, 0]  # the box without width is none
    assert found.scores.tolist() == SCORES[[1, 2, 3]].tolist()
    assert torch.equal(found.boxes_xyxy, BOXES[[1, 2, 3]])


def test_across_classes_they_suppress_all():
    found = surest(BOXES, SCORES, LABELS, Choice(iou=0.5, across_classes=True))
    assert torch.equal(found.boxes_xyxy, BOXES[[1, 3]])
    assert found.labels.tolist() == [1, 0]


def test_only_the_surest_are_kept():
    assert surest(BOXES, SCORES, LABELS, Choice(iou=0.5, most=1)).labels.tolist() == [1]


def test_nothing_is_found_in_nothing():
    none = torch.zeros(0)
    assert len(surest(none.reshape(0, 4), none, none.long(), Choice())) == 0
