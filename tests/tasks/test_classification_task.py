"""Classification: the contract of every task, and its loss against torch and numbers worked by hand."""

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from contracts.task_contract import FRAMES, TaskContract
from sklearn.utils.class_weight import compute_class_weight
from torch import Tensor

from striate.samples import Classification
from striate.tasks.classification import ClassificationTask, balanced_class_weights

LN2 = math.log(2)


def certain(labels: Tensor) -> list[Classification]:
    return [Classification(row) for row in F.one_hot(labels, 3).float()]


class TestClassification(TaskContract):
    def task(self) -> ClassificationTask:
        return ClassificationTask(self.classes)

    def targets(self, count: int) -> Tensor:
        return torch.arange(count) % 3

    def perfect(self, targets: Tensor) -> list[Classification]:
        return certain(targets)

    def wrong(self, targets: Tensor) -> list[Classification]:
        return certain((targets + 1) % 3)


class TestWeightedClassification(TestClassification):
    """The corrections of the loss keep the contract too."""

    def task(self) -> ClassificationTask:
        return ClassificationTask(self.classes, 0.1, torch.tensor([0.5, 1.0, 1.5]))


def random_case(count: int = 50, num_classes: int = 7) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(3)
    logits = 3 * torch.randn(count, num_classes, generator=generator)
    return logits, torch.randint(0, num_classes, (count,), generator=generator)


def loss(task: ClassificationTask, logits: Tensor, targets: Tensor) -> float:
    return task.loss({"logits": logits}, targets)["loss"].item()


def named(count: int) -> list[str]:
    return [f"class {k}" for k in range(count)]


@pytest.mark.parametrize("smoothing", [0.0, 0.1, 1.0])
def test_the_loss_equals_torchs_mean_cross_entropy(smoothing: float) -> None:
    logits, targets = random_case()
    expected = F.cross_entropy(logits, targets, label_smoothing=smoothing).item()
    assert loss(ClassificationTask(named(7), smoothing), logits, targets) == pytest.approx(expected, rel=1e-6)


def test_the_weighted_loss_is_the_plain_mean_of_weighted_terms() -> None:
    logits, targets = random_case()
    weights = torch.tensor([0.1, 0.5, 1, 1, 2, 3, 0])
    ours = loss(ClassificationTask(named(7), class_weights=weights), logits, targets)
    terms = [-weights[y] * row.log_softmax(0)[y] for row, y in zip(logits, targets.tolist(), strict=True)]
    assert ours == pytest.approx(sum(terms).item() / len(terms), rel=1e-5)
    # torch's own mean divides by the weights of the batch, which a divided batch would not agree on.
    theirs = F.cross_entropy(logits, targets, weights).item()
    assert ours == pytest.approx(theirs * weights[targets].mean().item(), rel=1e-5)
    assert ours != pytest.approx(theirs, rel=1e-2)


def test_balanced_weights_give_torchs_loss_over_the_whole_training_set() -> None:
    logits, targets = random_case()
    weights = balanced_class_weights(targets, 7)
    ours = loss(ClassificationTask(named(7), class_weights=weights), logits, targets)
    assert ours == pytest.approx(F.cross_entropy(logits, targets, weights).item(), rel=1e-5)


def test_losses_worked_by_hand() -> None:
    # Probabilities 1/2, 1/4, 1/4 and 1/4, 1/2, 1/4; the true classes are 0 and 2.
    logits = torch.tensor([[LN2, 0, 0], [0, LN2, 0]])
    targets = torch.tensor([0, 2])
    assert loss(ClassificationTask(named(3)), logits, targets) == pytest.approx((LN2 + 2 * LN2) / 2)
    # Weights 3 and 1/2: (3 ln 2 + 1/2 * 2 ln 2) / 2.
    weights = torch.tensor([3.0, 1, 0.5])
    assert loss(ClassificationTask(named(3), 0, weights), logits, targets) == pytest.approx(2 * LN2)
    # Smoothing 0.3: 0.7 of the true class and 0.1 of each, (ln 2 + 2 ln 2 + 2 ln 2) in both pictures.
    smoothed = (0.7 * (LN2 + 2 * LN2) + 0.1 * 2 * 5 * LN2) / 2
    assert loss(ClassificationTask(named(3), 0.3), logits, targets) == pytest.approx(smoothed)


def test_with_smoothing_the_best_prediction_is_the_smoothed_target() -> None:
    task, target = ClassificationTask(named(4), 0.2), torch.tensor([1])
    probs = torch.tensor([[0.05, 0.85, 0.05, 0.05]])
    logits = probs.log().requires_grad_()
    (gradient,) = torch.autograd.grad(task.loss({"logits": logits}, target)["loss"], logits)
    torch.testing.assert_close(gradient, torch.zeros(1, 4), atol=1e-6, rtol=0)


def test_balanced_weights_equal_scikit_learns_and_average_one() -> None:
    targets = torch.tensor([0] * 30 + [1] * 5 + [2] * 15)
    weights = balanced_class_weights(targets, 3)
    expected = compute_class_weight("balanced", classes=np.arange(3), y=targets.numpy())
    torch.testing.assert_close(weights, torch.from_numpy(expected).float())
    assert weights[targets].mean().item() == pytest.approx(1)
    of_classes = weights * torch.bincount(targets)
    assert of_classes.tolist() == pytest.approx([50 / 3] * 3)  # all weigh the same


def test_a_class_without_pictures_does_not_pull_the_balance() -> None:
    targets = torch.tensor([0] * 30 + [2] * 10)
    weights = balanced_class_weights(targets, 4)
    assert weights[targets].mean().item() == pytest.approx(1)
    assert weights.tolist() == pytest.approx([40 / 60, 0, 2, 0])


def test_decoding_is_softmax() -> None:
    logits, _ = random_case(4, 3)
    predictions = ClassificationTask(named(3)).decode({"logits": logits}, FRAMES)
    expected = np.exp(logits.double().numpy())
    expected /= expected.sum(axis=1, keepdims=True)
    for prediction, row in zip(predictions, expected, strict=True):
        assert prediction.probs.dtype == torch.float32
        assert prediction.probs.tolist() == pytest.approx(row.tolist(), abs=1e-6)


def test_decoding_bf16_logits_still_gives_probabilities() -> None:
    logits, _ = random_case(4, 3)
    for prediction in ClassificationTask(named(3)).decode({"logits": logits.bfloat16()}, FRAMES):
        assert prediction.probs.dtype == torch.float32
        assert prediction.probs.sum().item() == pytest.approx(1, abs=1e-6)


def test_mirror_takes_the_geometric_mean_of_probabilities() -> None:
    task = ClassificationTask(named(3))
    first, second = torch.tensor([[0.5, 0.25, 0.25]]), torch.tensor([[0.125, 0.5, 0.375]])
    joined = task.mirror({"logits": first.log()}, {"logits": second.log()})["logits"].softmax(1)
    expected = (first * second).sqrt()
    torch.testing.assert_close(joined, expected / expected.sum())


def test_scores_are_the_accuracy_of_the_batch() -> None:
    logits = torch.tensor([[2.0, 1, 0], [0, 1, 2], [0, 2, 1], [1, 0, 0]])
    scores = ClassificationTask(named(3)).scores({"logits": logits}, torch.tensor([0, 2, 0, 0]))
    assert {name: score.item() for name, score in scores.items()} == {"accuracy": 0.75}


def test_top_gives_the_most_probable_classes_first() -> None:
    prediction = Classification(torch.tensor([0.125, 0.5, 0.375]))
    assert prediction.top(2) == [(1, 0.5), (2, 0.375)]
    assert prediction.top(9) == [(1, 0.5), (2, 0.375), (0, 0.125)]


def test_a_drawing_holds_the_picture_itself() -> None:
    image = torch.randint(0, 256, (3, 300, 400), generator=torch.Generator().manual_seed(0)).byte()
    drawn = ClassificationTask(named(3)).draw(image, Classification(torch.tensor([0.2, 0.5, 0.3])))
    pixels = torch.from_numpy(np.array(drawn)).permute(2, 0, 1)
    assert torch.equal(pixels[:, :300, :400], image)


def test_small_pictures_are_drawn_larger_without_blur() -> None:
    image = torch.arange(64, dtype=torch.uint8).view(1, 8, 8) * 4
    drawn = ClassificationTask(named(3)).draw(image, Classification(torch.tensor([0.2, 0.5, 0.3])))
    pixels = torch.from_numpy(np.array(drawn))[:256, :256, 0]
    assert torch.equal(pixels, image[0].repeat_interleave(32, 0).repeat_interleave(32, 1))
