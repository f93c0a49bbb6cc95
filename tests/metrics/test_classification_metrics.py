"""ClassificationMetric against scikit-learn, a literal loop and numbers worked by hand."""

import math
import warnings
from typing import Any

import numpy as np
import pytest
import torch
from sklearn import metrics as peer
from torch import Tensor

from striate.metrics import ClassificationMetric
from striate.samples import Classification


def random_case(count: int, num_classes: int, used: int, seed: int) -> tuple[Tensor, Tensor]:
    """Probabilities over all classes, right about half the time, and targets out of the first ``used``."""
    generator = torch.Generator().manual_seed(seed)
    targets = torch.randint(0, used, (count,), generator=generator)
    logits = 2 * torch.randn(count, num_classes, generator=generator)
    logits[torch.arange(count), targets] += 2
    return logits.softmax(dim=1), targets


def taken_in(num_classes: int, probs: Tensor, targets: Tensor) -> ClassificationMetric:
    metric = ClassificationMetric(num_classes)
    metric.update_probs(probs, targets)
    return metric


@pytest.mark.parametrize(
    ("count", "num_classes", "used"),
    [(500, 10, 10), (40, 30, 12), (7, 3, 2), (1, 2, 1), (200, 6, 1)],
    ids=["all classes", "many absent", "few", "one picture", "one class"],
)
def test_results_equal_scikit_learn(count: int, num_classes: int, used: int) -> None:
    probs, targets = random_case(count, num_classes, used, seed=count)
    metric = taken_in(num_classes, probs, targets)
    result = metric.compute()
    true, predicted, labels = targets.numpy(), probs.numpy().argmax(axis=1), np.arange(num_classes)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # scikit-learn warns of classes that are predicted but absent
        scores = peer.precision_recall_fscore_support(true, predicted, average="macro", zero_division=0)
        expected = {
            "accuracy": peer.accuracy_score(true, predicted),
            "balanced_accuracy": peer.balanced_accuracy_score(true, predicted),
            "macro_precision": scores[0],
            "macro_recall": scores[1],
            "macro_f1": scores[2],
            "log_loss": peer.log_loss(true, probs.double().numpy(), labels=labels),
        }
        if num_classes > 5:
            expected["top5_accuracy"] = peer.top_k_accuracy_score(true, probs.numpy(), k=5, labels=labels)
        each = peer.precision_recall_fscore_support(true, predicted, labels=labels, zero_division=0)
    calibration_error = result.pop("calibration_error")
    assert 0 <= calibration_error <= 1
    assert result == pytest.approx(expected, abs=1e-6)
    assert np.array_equal(metric.confusion.numpy(), peer.confusion_matrix(true, predicted, labels=labels))
    assert np.allclose(np.array(metric.per_class()), np.array(each).T, rtol=0, atol=1e-12)


def test_calibration_error_equals_a_literal_loop() -> None:
    probs, targets = random_case(400, 5, 5, seed=2)
    confidence, predicted = probs.double().max(dim=1)
    error = 0.0
    for index in range(15):
        low, high = index / 15, (index + 1) / 15
        members = [n for n in range(400) if low < confidence[n] <= high]
        if members:
            accuracy = sum(int(predicted[n] == targets[n]) for n in members) / len(members)
            mean_confidence = sum(float(confidence[n]) for n in members) / len(members)
            error += len(members) / 400 * abs(accuracy - mean_confidence)
    assert taken_in(5, probs, targets).compute()["calibration_error"] == pytest.approx(error, abs=1e-12)


def test_reliability_adds_up_to_accuracy_and_calibration_error() -> None:
    metric = taken_in(5, *random_case(400, 5, 5, seed=9))
    result, bins = metric.compute(), metric.reliability()
    assert len(bins) == 15
    assert sum(count for _, _, count in bins) == 400
    assert sum(accuracy * count for _, accuracy, count in bins) / 400 == pytest.approx(result["accuracy"])
    gaps = sum(abs(accuracy - confidence) * count for confidence, accuracy, count in bins)
    assert gaps / 400 == pytest.approx(result["calibration_error"], abs=1e-12)
    for index, (confidence, _, count) in enumerate(bins):
        assert count == 0 or index / 15 < confidence <= (index + 1) / 15


def test_results_worked_by_hand() -> None:
    probs = torch.tensor([[0.75, 0.25], [0.75, 0.25], [0.875, 0.125], [0.0, 1.0]], dtype=torch.float64)
    metric = ClassificationMetric(2, bins=4)
    metric.update_probs(probs, torch.tensor([0, 1, 0, 1]))
    # Confidence 0.75 closes the third bin: two pictures, one right, |1 - 1.5| = 0.5. The fourth bin has
    # 0.875 and 1.0, both right: |2 - 1.875| = 0.125. Together 0.625 of four pictures.
    # Predictions 0, 0, 0, 1 of 0, 1, 0, 1: precision 2/3 and 1, recall 1 and 1/2, F1 4/5 and 2/3.
    expected = {
        "accuracy": 0.75,
        "balanced_accuracy": 0.75,
        "macro_precision": 5 / 6,
        "macro_recall": 0.75,
        "macro_f1": 11 / 15,
        "calibration_error": 0.15625,
        "log_loss": -(math.log(0.75) + math.log(0.25) + math.log(0.875)) / 4,
    }
    assert metric.compute() == pytest.approx(expected, abs=1e-12)
    assert metric.confusion.tolist() == [[2, 0], [1, 1]]
    assert metric.per_class() == [(2 / 3, 1, 0.8, 2), (1, 0.5, pytest.approx(2 / 3), 2)]
    assert metric.reliability() == [(0, 0, 0), (0, 0, 0), (0.75, 0.5, 2), (0.9375, 1, 2)]


def test_batches_do_not_matter() -> None:
    probs, targets = random_case(300, 8, 8, seed=3)
    whole = taken_in(8, probs, targets)
    order = torch.randperm(300, generator=torch.Generator().manual_seed(0))
    parts = ClassificationMetric(8)
    for chosen in (order[:1], order[1:7], order[7:200], order[200:200], order[200:]):
        parts.update([Classification(row) for row in probs[chosen]], targets[chosen])
    assert torch.equal(whole.confusion, parts.confusion)
    ours, theirs = whole.compute(), parts.compute()
    for name in ours.keys() - {"log_loss", "calibration_error"}:
        assert ours[name] == theirs[name]  # from counts alone: to the last bit
    assert ours == pytest.approx(theirs, abs=1e-12)


def test_of_equal_probabilities_the_lower_class_id_is_ahead() -> None:
    probs = torch.full((8, 8), 0.125)
    metric = ClassificationMetric(8, top_k=(1, 3, 5))
    metric.update_probs(probs, torch.arange(8))
    result = metric.compute()
    assert metric.confusion[:, 0].tolist() == [1] * 8  # all are predicted as class 0
    assert (result["accuracy"], result["top3_accuracy"], result["top5_accuracy"]) == (1 / 8, 3 / 8, 5 / 8)


def test_top5_is_there_only_with_more_than_five_classes() -> None:
    assert "top5_accuracy" not in taken_in(5, *random_case(9, 5, 5, seed=4)).compute()
    assert "top5_accuracy" in taken_in(6, *random_case(9, 6, 6, seed=4)).compute()


def test_a_single_class_is_always_right() -> None:
    result = taken_in(1, torch.ones(3, 1), torch.zeros(3, dtype=torch.int64)).compute()
    assert result["accuracy"] == result["macro_f1"] == 1
    assert result["log_loss"] == result["calibration_error"] == 0


def test_log_loss_stays_finite_for_a_probability_of_zero() -> None:
    probs, targets = torch.tensor([[1.0, 0.0]]), torch.tensor([1])
    loss = taken_in(2, probs, targets).compute()["log_loss"]
    assert loss == pytest.approx(peer.log_loss([1], probs.numpy(), labels=[0, 1]), abs=1e-6)


def test_reset_forgets_everything() -> None:
    first, second = random_case(50, 7, 7, seed=5), random_case(60, 7, 7, seed=6)
    metric = taken_in(7, *first)
    metric.reset()
    metric.update_probs(*second)
    assert metric.compute() == taken_in(7, *second).compute()


@pytest.mark.parametrize("empty_updates", [0, 2])
def test_nothing_taken_in_is_an_error(empty_updates: int) -> None:
    metric = ClassificationMetric(3)
    for _ in range(empty_updates):
        metric.update([], torch.zeros(0, dtype=torch.int64))
        metric.update_probs(torch.zeros(0, 3), torch.zeros(0, dtype=torch.int64))
    with pytest.raises(ValueError, match="no samples"):
        metric.compute()


@pytest.mark.parametrize(
    ("probs", "targets", "message"),
    [
        (torch.ones(2, 4) / 4, torch.tensor([0, 1]), "expected"),
        (torch.ones(2, 3) / 3, torch.tensor([0]), "expected"),
        (torch.ones(2, 3) / 3, torch.tensor([0, 3]), "class ids"),
        (torch.ones(2, 3) / 3, torch.tensor([0, -1]), "class ids"),
        (torch.tensor([[0.5, float("nan"), 0.5]]), torch.tensor([1]), "not a number"),
        (torch.tensor([[2.0, -1.0, 0.0]]), torch.tensor([1]), "probs"),
        (torch.tensor([[0.9, 0.9, 0.1]]), torch.tensor([1]), "sum to one"),
        (torch.zeros(1, 3), torch.tensor([1]), "sum to one"),
        (torch.tensor([[0.5, float("inf"), 0.5]]), torch.tensor([1]), "probs"),
        (torch.tensor([[0, 1, 0]]), torch.tensor([1]), "probs"),
        (torch.ones(2, 3) / 3, torch.tensor([0.0, 1.0]), "targets"),
        (torch.ones(2, 3) / 3, torch.tensor([0.4, 1.6]), "targets"),
        (torch.ones(2, 3) / 3, torch.tensor([True, False]), "targets"),
        (torch.ones(2, 3) / 3, torch.tensor([[0], [1]]), "targets"),
    ],
    ids=[
        *("classes", "count", "id too large", "id negative", "nan", "logits", "sigmoids", "nothing", "inf"),
        *("whole probs", "float targets", "fractions", "bool targets", "two axes"),
    ],
)
def test_a_faulty_batch_is_refused_and_leaves_no_trace(probs: Tensor, targets: Tensor, message: str) -> None:
    good = random_case(20, 3, 3, seed=7)
    metric = taken_in(3, *good)
    with pytest.raises(ValueError, match=message):
        metric.update_probs(probs, targets)
    assert metric.compute() == taken_in(3, *good).compute()


def test_confusion_is_a_copy() -> None:
    metric = taken_in(3, *random_case(20, 3, 3, seed=8))
    metric.confusion.zero_()
    assert int(metric.confusion.sum()) == 20


@pytest.mark.parametrize("arguments", [{"num_classes": 0}, {"bins": 0}, {"top_k": (1, 0)}])
def test_numbers_below_one_are_refused(arguments: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="from 1 on"):
        ClassificationMetric(**({"num_classes": 3} | arguments))


def test_predictions_and_targets_must_be_as_many_and_of_the_same_classes() -> None:
    with pytest.raises(ValueError, match="expected"):
        ClassificationMetric(3).update([Classification(torch.ones(3) / 3)], torch.tensor([0, 1]))
    with pytest.raises(ValueError, match="expected probs"):
        ClassificationMetric(3).update([Classification(torch.ones(4) / 4)], torch.tensor([0]))


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int32, torch.int64])
def test_class_ids_may_be_of_any_integer_type_and_probabilities_of_few_bits(dtype: torch.dtype) -> None:
    probs, targets = random_case(50, 30, 30, seed=9)
    metric = taken_in(30, probs.bfloat16(), targets.to(dtype))
    assert torch.equal(metric.confusion, taken_in(30, probs.bfloat16(), targets).confusion)


def test_bytes_name_more_classes_than_a_byte_holds():
    metric = ClassificationMetric(300)
    metric.update_probs(torch.eye(300)[[200, 100]], torch.tensor([200, 0], dtype=torch.uint8))
    assert metric.compute()["accuracy"] == 0.5


@pytest.mark.parametrize(
    "arguments", [(2.5,), ("3",), (3, 5), (3, (1.5,)), (3, (1, 5), 2.5), (3, (1, 5), 0), (True,)]
)
def test_numbers_of_classes_ranks_and_bins_are_whole(arguments):
    with pytest.raises(ValueError, match="whole numbers"):
        ClassificationMetric(*arguments)


def test_lists_are_no_tensors():
    with pytest.raises(ValueError, match="tensors"):
        ClassificationMetric(2).update_probs(torch.eye(2), [0, 1])
