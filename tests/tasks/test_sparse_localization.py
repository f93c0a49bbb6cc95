"""Localization where there may be nothing: the contract, its loss by hand, and what counts as nothing."""

import math
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from contracts.task_contract import TaskContract
from torch import Tensor

from striate.data.changes import Changes
from striate.ops.root_boxes import encode_boxes
from striate.recipe import AugmentSettings
from striate.samples import Batch, Detections, Frame, Objects
from striate.tasks.localization.sparse import SparseLocalizationTask
from striate.tasks.task import Outputs

SIZE = (32, 32)
CORNERS = torch.tensor([[2.0, 4.0, 12.0, 30.0], [0.0, 0.0, 32.0, 32.0], [20.0, 9.0, 31.0, 15.0]])


def objects_of(counts: list[int]) -> Objects:
    """Pictures with one object each, or none, of the three classes in turn."""
    rows = torch.arange(sum(counts)) % 3
    return Objects.of(CORNERS[rows], rows, torch.tensor(counts))


class TestSparseLocalization(TaskContract):
    def task(self) -> SparseLocalizationTask:
        return SparseLocalizationTask(self.classes, SIZE, "giou", box_weight=1)

    def targets(self, count: int) -> Objects:
        return objects_of([int(i % 4 != 2) for i in range(count)])

    def perfect(self, targets: Objects) -> list[Detections]:
        found = []
        for n in range(len(targets)):
            mine = targets[n]
            there = len(mine.labels) > 0
            box = mine.boxes_xyxy if there else torch.tensor([[1.0, 2, 3, 4]])
            label = mine.labels if there else torch.tensor([0])
            found.append(Detections(box, torch.tensor([float(there)]), label))
        return found

    def wrong(self, targets: Objects) -> list[Detections]:
        return [
            Detections(right.boxes_xyxy + 40, 1 - right.scores, (right.labels + 1) % 3)
            for right in self.perfect(targets)
        ]

    def mirrored(self, outputs: Outputs) -> Outputs:
        outputs = {name: value.clone() for name, value in outputs.items()}
        outputs["boxes_norm"][:, 0] = 1 - outputs["boxes_norm"][:, 0]
        return outputs


def outputs_for(boxes_xyxy: Tensor, logits: Tensor, objectness: Tensor) -> Outputs:
    boxes_norm = encode_boxes(boxes_xyxy, *SIZE)
    return {"logits": logits, "boxes_norm": boxes_norm, "objectness_logits": objectness}


def test_pictures_without_an_object_teach_objectness_only() -> None:
    task = SparseLocalizationTask("abc", SIZE)
    outputs = outputs_for(CORNERS[1:], torch.randn(2, 3), torch.tensor([0.0, math.log(3)]))
    outputs = {name: value.requires_grad_() for name, value in outputs.items()}
    terms = task.loss(outputs, objects_of([0, 1]))
    # Even odds where there is none, three to one where there is: -ln(1/2) and -ln(3/4).
    assert terms["objectness"].item() == pytest.approx((math.log(2) + math.log(4 / 3)) / 2)
    gradients = torch.autograd.grad(terms["loss"], list(outputs.values()))
    assert [bool(gradient[0].any()) for gradient in gradients] == [False, False, True]
    assert [bool(gradient[1].any()) for gradient in gradients] == [True, True, True]


def test_what_augmentation_has_cut_too_far_is_nothing() -> None:
    task = SparseLocalizationTask("abc", SIZE)
    outputs = outputs_for(CORNERS[:2], torch.randn(2, 3), torch.tensor([-1.0, 2.0]))
    cut = replace(objects_of([1, 1]), crowd=torch.tensor([True, False]))
    without = cut.where(~cut.crowd)
    assert task.loss(outputs, cut) == task.loss(outputs, without)
    assert task.scores(outputs, cut) == {"objectness_accuracy": 1}
    assert task.scores(outputs, objects_of([1, 1])) == {"objectness_accuracy": 0.5}


@pytest.mark.parametrize(("width", "counts"), [(11, [0]), (10, [1])])  # of 100 pixels 10 may be out of sight
def test_an_object_must_be_nearly_whole_in_the_input(width: int, counts: list[int]) -> None:
    box = torch.tensor([[-width / 10, 4.0, 10 - width / 10, 14]])  # so many tenths of its length are outside
    inside = SparseLocalizationTask("abc", SIZE).in_input(Objects.of(box, torch.tensor([0])), [Frame(32, 32)])
    assert inside.counts.tolist() == counts


def test_a_region_of_many_objects_is_an_object_like_any_other() -> None:
    crowd = replace(objects_of([1]), crowd=torch.tensor([True]))
    assert SparseLocalizationTask("abc", SIZE).in_input(crowd, [Frame(32, 32)]).crowd.tolist() == [False]


def test_a_shifted_picture_shows_an_object_while_nearly_all_of_it_is_in_sight() -> None:
    """By the shift that really happened: the object is a bright square of 20 pixels at the left border."""
    task = SparseLocalizationTask("abc", SIZE)
    settings = AugmentSettings(shift=0.3)
    changes = Changes(settings, 0, 3, task.in_input, task.least_visible)
    images = torch.zeros(64, 3, 32, 32, dtype=torch.uint8)
    images[:, :, 6:26, 6:26] = 255
    box = torch.tensor([[6.0, 6, 26, 26]]).repeat(64, 1)
    objects = Objects.of(box, torch.zeros(64, dtype=torch.int64), torch.ones(64, dtype=torch.int64))
    names, keys = [""] * 64, torch.arange(64)
    batch = Batch(images, objects, keys, names, [Frame(32, 32)] * 64)
    moved, targets = changes(batch, 0, 0, torch.device("cpu"))
    share = (moved[:, 0] > 0).sum((1, 2)) / 400
    assert 10 < (share < 0.9).sum() < 60
    outputs = outputs_for(box, F.one_hot(objects.labels, 3).float(), torch.where(share >= 0.9, 9.0, -9.0))
    assert task.scores(outputs, targets) == {"objectness_accuracy": 1}


def test_a_prediction_is_the_most_probable_class_with_the_objectness_as_its_score() -> None:
    outputs = outputs_for(
        CORNERS[:2], torch.tensor([[0.0, 2, 1], [3, 0, 0]]), torch.tensor([math.log(3), -math.log(4)])
    )
    first, second = SparseLocalizationTask("abc", SIZE).decode(outputs, [Frame(64, 64, 0.5, 0.5)] * 2)
    torch.testing.assert_close(first.boxes_xyxy, 2 * CORNERS[:1])
    assert (first.scores.tolist(), first.labels.tolist()) == (pytest.approx([0.75]), [1])
    assert (second.scores.tolist(), second.labels.tolist()) == (pytest.approx([0.2]), [0])
