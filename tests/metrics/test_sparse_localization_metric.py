"""The numbers of a localizer that may find nothing, worked by hand."""

import pytest
import torch
from contracts.metric_contract import MetricContract

from striate.errors import InputError
from striate.metrics import SparseLocalizationMetric
from striate.samples import Detections, Objects


def found(score: float, label: int, *box: float) -> Detections:
    return Detections(torch.tensor([box]), torch.tensor([score]), torch.tensor([label]))


def objects_of(*rows: tuple[float, ...]) -> Objects:
    """A picture for each row: (x1, y1, x2, y2, label), or () for one without an object."""
    table = torch.tensor([row for row in rows if row]).reshape(-1, 5)
    return Objects.of(table[:, :4], table[:, 4].long(), torch.tensor([int(bool(row)) for row in rows]))


class TestSparseLocalizationMetric(MetricContract):
    def metric(self) -> SparseLocalizationMetric:
        return SparseLocalizationMetric("abc")

    def samples(self, count: int, seed: int) -> tuple[list[Detections], Objects]:
        generator = torch.Generator().manual_seed(seed)
        corners = 100 * torch.rand(count, 2, generator=generator)
        boxes = torch.cat([corners, corners + 20 + 50 * torch.rand(count, 2, generator=generator)], dim=1)
        labels = torch.randint(0, 3, (count,), generator=generator)
        there = torch.rand(count, generator=generator) < 0.7
        there[0] = True  # so that each first batch has something to be found
        guesses = boxes + 8 * torch.randn(count, 4, generator=generator)
        scores = (0.5 * torch.rand(count, generator=generator) + 0.4 * there).clamp(0, 1)
        named = torch.where(torch.rand(count, generator=generator) < 0.8, labels, (labels + 1) % 3)
        predictions = [
            Detections(*(column[i : i + 1] for column in (guesses, scores, named))) for i in range(count)
        ]
        return predictions, Objects.of(boxes[there], labels[there], there.long())

    def choose(self, targets: Objects, indices: list[int]) -> Objects:
        return targets[torch.tensor(indices, dtype=torch.int64)]


def test_numbers_worked_by_hand() -> None:
    metric = SparseLocalizationMetric("abc")
    metric.update(
        [
            found(0.9, 0, 0, 0, 10, 10),  # all right
            found(0.8, 2, 3, 3, 9, 9),  # there is nothing
            found(0.5, 1, 0, 0, 10, 5),  # just said to be there, IoU 0.5
            found(0.3, 0, 0, 0, 10, 10),  # an object not seen, of another class, though the box is right
            found(0.2, 1, 0, 0, 1, 1),  # nothing, and said so
        ],
        objects_of((0, 0, 10, 10, 0), (), (0, 0, 10, 10, 1), (0, 0, 10, 10, 2), ()),
    )
    results = metric.compute()
    # Of the three pictures with an object:
    assert results["accuracy"] == pytest.approx(2 / 3)
    assert results["mean_iou"] == pytest.approx((1 + 0.5 + 1) / 3)
    assert results["localized"] == pytest.approx(2 / 3)
    # Of all five; said to have one: the first three.
    assert results["objectness_accuracy"] == pytest.approx(3 / 5)
    assert results["objectness_precision"] == pytest.approx(2 / 3)
    assert results["objectness_recall"] == pytest.approx(2 / 3)
    # By score: there, not, there, there, not. Precision from the first on 1, from the others 3/4.
    assert results["objectness_ap"] == pytest.approx((1 + 3 / 4 + 3 / 4) / 3)
    # Classes 0 and 1 are found at once, class 2 never.
    assert results["map_50"] == pytest.approx(2 / 3)


def test_of_equal_scores_none_is_lucky() -> None:
    pictures = [(0.0, 0, 9, 9, 0), ()]
    same = [found(0.7, 0, 0, 0, 9, 9), found(0.7, 0, 0, 0, 9, 9)]
    for rows in (pictures, pictures[::-1]):
        metric = SparseLocalizationMetric("abc")
        metric.update(same, objects_of(*rows))
        assert metric.compute()["objectness_ap"] == 0.5


def test_nothing_said_to_be_there_has_no_precision() -> None:
    metric = SparseLocalizationMetric("abc")
    metric.update([found(0.1, 0, 0, 0, 9, 9)], objects_of((0, 0, 9, 9, 0)))
    results = metric.compute()
    assert (results["objectness_precision"], results["objectness_recall"]) == (0, 0)
    assert (results["objectness_ap"], results["map"]) == (1, 1)


def test_what_it_does_not_take() -> None:
    metric = SparseLocalizationMetric("abc")
    two = Objects.of(torch.zeros(2, 4), torch.zeros(2, dtype=torch.int64))
    none = Detections(torch.zeros(0, 4), torch.zeros(0), torch.zeros(0, dtype=torch.int64))
    for predictions, targets in (([found(1, 0, 0, 0, 1, 1)], two), ([none], objects_of(()))):
        with pytest.raises(ValueError, match="one box for each picture, and at most one object"):
            metric.update(predictions, targets)
    for wrong, named in (
        (found(1.5, 0, 0, 0, 1, 1), "scores"),
        (found(1, 3, 0, 0, 1, 1), "class ids"),
    ):
        with pytest.raises(ValueError, match=named):
            metric.update([wrong], objects_of(()))
    with pytest.raises(ValueError, match="scores"):
        found(float("nan"), 0, 0, 0, 1, 1)
    with pytest.raises(ValueError, match="as many predictions"):
        metric.update([found(1, 0, 0, 0, 1, 1)] * 2, objects_of(()))
    metric.update([found(1, 0, 0, 0, 1, 1)], objects_of(()))
    with pytest.raises(InputError, match="no object is labelled in these pictures"):
        metric.compute()
