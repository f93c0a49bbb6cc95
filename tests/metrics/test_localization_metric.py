"""The localizer's numbers, worked by hand."""

import pytest
import torch
from contracts.metric_contract import MetricContract

from striate.metrics import LocalizationMetric
from striate.samples import Localization, Objects


def prediction(label: int, *box: float) -> Localization:
    return Localization(torch.eye(3)[label], torch.tensor(box))


def one_each(*rows: tuple[float, ...]) -> Objects:
    """One picture for each (x1, y1, x2, y2, label)."""
    table = torch.tensor(rows)
    return Objects.of(table[:, :4], table[:, 4].long(), torch.ones(len(table), dtype=torch.int64))


class TestLocalizationMetric(MetricContract):
    def metric(self) -> LocalizationMetric:
        return LocalizationMetric(3)

    def samples(self, count: int, seed: int) -> tuple[list[Localization], Objects]:
        generator = torch.Generator().manual_seed(seed)
        corners = 100 * torch.rand(count, 2, generator=generator)
        boxes = torch.cat([corners, corners + 20 + 50 * torch.rand(count, 2, generator=generator)], dim=1)
        labels = torch.randint(0, 3, (count,), generator=generator)
        logits = torch.randn(count, 3, generator=generator)
        logits[torch.arange(count), labels] += 1
        found = boxes + 8 * torch.randn(count, 4, generator=generator)
        predictions = [Localization(*row) for row in zip(logits.softmax(1), found, strict=True)]
        return predictions, Objects.of(boxes, labels, torch.ones(count, dtype=torch.int64))

    def choose(self, targets: Objects, indices: list[int]) -> Objects:
        return targets[torch.tensor(indices, dtype=torch.int64)]


def test_numbers_worked_by_hand() -> None:
    metric = LocalizationMetric(3)
    metric.update(
        [
            prediction(0, 0, 0, 10, 10),  # class and box right
            prediction(1, 0, 0, 10, 5),  # class right, IoU exactly 0.5
            prediction(2, 0, 0, 10, 10),  # box right, class wrong
            prediction(0, 5, 5, 15, 15),  # class right, IoU 25 / 175
            prediction(0, 20, 20, 30, 30),  # beside the object
        ],
        one_each(
            (0, 0, 10, 10, 0), (0, 0, 10, 10, 1), (0, 0, 10, 10, 1), (0, 0, 10, 10, 0), (0, 0, 10, 10, 0)
        ),
    )
    results = metric.compute()
    assert results["accuracy"] == 0.8
    assert results["mean_iou"] == pytest.approx((1 + 0.5 + 1 + 1 / 7 + 0) / 5)
    assert results["localized"] == 0.4


def test_a_box_turned_inside_out_or_without_area_overlaps_nothing() -> None:
    metric = LocalizationMetric(3)
    target = one_each((0, 0, 10, 10, 0), (0, 0, 10, 10, 0), (3, 3, 3, 3, 0))
    metric.update([prediction(0, 8, 8, 2, 2), prediction(0, 5, 5, 5, 5), prediction(0, 3, 3, 3, 3)], target)
    assert metric.compute()["mean_iou"] == 0


def test_every_picture_has_exactly_one_object() -> None:
    none = Objects.of(torch.zeros(0, 4), torch.zeros(0, dtype=torch.int64))
    for target in (none, Objects.of(torch.zeros(2, 4), torch.zeros(2, dtype=torch.int64))):
        with pytest.raises(ValueError, match="exactly one object"):
            LocalizationMetric(3).update([prediction(0, 0, 0, 1, 1)], target)


def test_what_is_not_a_number_is_refused() -> None:
    with pytest.raises(ValueError, match="not a number"):
        LocalizationMetric(3).update([prediction(0, 0, 0, 1, float("nan"))], one_each((0, 0, 1, 1, 0)))
    with pytest.raises(ValueError, match="not a number"):
        LocalizationMetric(3).update([prediction(0, 0, 0, 1, 1)], one_each((0, 0, 1, float("nan"), 0)))
    with pytest.raises(ValueError, match="no samples"):
        LocalizationMetric(3).compute()


def test_what_cannot_be_is_refused() -> None:
    box, target = torch.tensor([0.0, 0, 1, 1]), one_each((0, 0, 1, 1, 0))
    logits = Localization(torch.tensor([3.0, -1.0, 0.5]), box)
    for wrong, named in [
        (logits, "probs"),
        (Localization(torch.ones(4) / 4, box), "probs"),
    ]:
        with pytest.raises(ValueError, match=named):
            LocalizationMetric(3).update([wrong], target)
    with pytest.raises(ValueError, match="box_xyxy"):
        Localization(torch.ones(3) / 3, torch.zeros(5))
    with pytest.raises(ValueError, match="class ids"):
        LocalizationMetric(3).update([prediction(0, 0, 0, 1, 1)], one_each((0, 0, 1, 1, 3)))
    with pytest.raises(ValueError, match="num_classes"):
        LocalizationMetric(0)


def test_a_true_box_that_is_no_number_is_refused() -> None:
    objects = one_each((0.0, 0, 4, 4, 1))
    nowhere = objects.moved(objects.boxes_xyxy * float("nan"))
    found = Localization(torch.tensor([0.1, 0.8, 0.1]), torch.tensor([0.0, 0.0, 4.0, 4.0]))
    with pytest.raises(ValueError, match="targets"):
        LocalizationMetric(3).update([found], nowhere)
