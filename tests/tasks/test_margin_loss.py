"""The losses of capsule networks: numbers worked by hand, and how a classification task joins them."""

import pytest
import torch
import torch.nn.functional as F
from contracts.task_contract import TaskContract
from torch import Tensor

import striate
from striate.errors import InputError
from striate.models.backbone import Backbone
from striate.models.catalog import create_model
from striate.ops.capsule_losses import margin_losses, reconstruction_errors
from striate.recipe import load_recipe
from striate.samples import Classification
from striate.tasks.classification import ClassificationTask

CLASSES = ("apple", "pear", "quince")


class TestMarginClassification(TaskContract):
    """The contract, by a capsule network with its decoder."""

    def task(self) -> ClassificationTask:
        return ClassificationTask(self.classes, kind="margin")

    def backbone(self) -> Backbone:
        torch.manual_seed(0)
        return create_model("capsnet", num_classes=len(self.classes), width=0.0625)

    def targets(self, count: int) -> Tensor:
        return torch.arange(count) % 3

    def perfect(self, targets: Tensor) -> list[Classification]:
        return [Classification(row) for row in F.one_hot(targets, 3).float()]

    def wrong(self, targets: Tensor) -> list[Classification]:
        return self.perfect((targets + 1) % 3)


# Margin loss


def test_margin_losses_worked_by_hand() -> None:
    lengths = torch.tensor([[0.5, 0.2, 0.05], [0.5, 0.2, 0.05], [0.95, 0.1, 0.0], [0.0, 1.0, 1.0]])
    losses = margin_losses(lengths, torch.tensor([0, 1, 0, 0]))
    expected = [
        0.4**2 + 0.5 * 0.1**2,  # 0.5 is 0.4 short of 0.9; 0.2 is 0.1 above 0.1; 0.05 is below
        0.7**2 + 0.5 * 0.4**2,
        0.0,  # all beyond their margins
        0.9**2 + 0.5 * (0.9**2 + 0.9**2),  # all wrong: the largest there is with three classes
    ]
    assert losses.tolist() == pytest.approx(expected, abs=1e-6)


def test_beyond_its_margin_a_class_is_left_alone() -> None:
    lengths = torch.tensor([[0.92, 0.08, 0.5], [0.3, 0.05, 0.99]], requires_grad=True)
    margin_losses(lengths, torch.tensor([0, 2])).sum().backward()
    # Slopes: 0.5 * 2 * (length - 0.1) of an absent class.
    assert lengths.grad is not None
    torch.testing.assert_close(lengths.grad, torch.tensor([[0, 0, 0.4], [0.2, 0, 0]]))


# Reconstruction error


def test_the_reconstruction_error_is_that_of_the_true_class_worked_by_hand() -> None:
    # Two pictures of two values, three drawings of each.
    pictures = torch.tensor([[0.0, 1.0], [1.0, 1.0]])
    reconstructions = torch.tensor(
        [[[9.0, 9.0], [0.5, 0.5], [9.0, 9.0]], [[0.5, 1.0], [9.0, 9.0], [9.0, 9.0]]]
    )
    errors = reconstruction_errors(reconstructions, pictures, torch.tensor([1, 0]))
    assert errors.tolist() == [0.5, 0.25]


def test_only_the_drawing_of_the_true_class_gets_a_gradient() -> None:
    reconstructions = torch.full((2, 3, 4), 0.5, requires_grad=True)
    reconstruction_errors(reconstructions, torch.zeros(2, 4), torch.tensor([2, 0])).sum().backward()
    assert reconstructions.grad is not None
    reached = reconstructions.grad.any(dim=2)
    assert reached.tolist() == [[False, False, True], [True, False, False]]


# The task


def outputs_of(lengths: Tensor) -> dict[str, Tensor]:
    return {"logits": lengths.logit()}


LENGTHS = torch.tensor([[0.5, 0.2, 0.05], [0.5, 0.2, 0.05]])
TARGETS = torch.tensor([0, 1])  # margin losses 0.165 and 0.57, as above


def test_the_task_takes_the_mean_margin_loss_of_the_sigmoids() -> None:
    terms = ClassificationTask(CLASSES, kind="margin").loss(outputs_of(LENGTHS), TARGETS)
    assert {name: term.item() for name, term in terms.items()} == pytest.approx({"loss": (0.165 + 0.57) / 2})


def test_class_weights_weigh_the_pictures_of_a_class() -> None:
    task = ClassificationTask(CLASSES, class_weights=torch.tensor([2.0, 0.5, 7.0]), kind="margin")
    loss = task.loss(outputs_of(LENGTHS), TARGETS)["loss"].item()
    assert loss == pytest.approx((2 * 0.165 + 0.5 * 0.57) / 2)


@pytest.mark.parametrize("kind", ["margin", "cross_entropy"])
def test_reconstructions_count_0_0005_times_with_either_loss(kind: str) -> None:
    task = ClassificationTask(CLASSES, kind=kind)
    alone = task.loss(outputs_of(LENGTHS), TARGETS)["loss"].item()
    drawings = {"reconstructions": torch.full((2, 3, 100), 0.5), "pictures": torch.zeros(2, 100)}
    terms = task.loss(outputs_of(LENGTHS) | drawings, TARGETS)
    assert terms["reconstruction"].item() == pytest.approx(25)  # 100 * 0.5^2
    assert terms["loss"].item() == pytest.approx(alone + 0.0005 * 25)


def test_the_loss_of_auxiliary_heads_is_a_margin_loss_too() -> None:
    heads = outputs_of(LENGTHS) | {"auxiliary1": LENGTHS.logit()}
    terms = ClassificationTask(CLASSES, kind="margin").loss(heads, TARGETS)
    assert terms["auxiliary"].item() == pytest.approx(0.3675)
    assert terms["loss"].item() == pytest.approx(1.3 * 0.3675)


def test_in_training_capsules_are_routed_once_and_the_batch_may_be_divided() -> None:
    torch.manual_seed(0)
    backbone = create_model("capsnet", num_classes=3, width=0.0625)
    task = ClassificationTask(CLASSES, kind="margin")
    network = task.build(backbone, CLASSES).train()
    routed: list[int] = []
    backbone.head.register_forward_hook(lambda *_: routed.append(1))
    pictures, targets = torch.rand(6, 1, 28, 28), torch.arange(6) % 3
    outputs = network(pictures)
    assert outputs.keys() == {"logits", "reconstructions", "pictures"}
    assert len(routed) == 1
    whole = task.loss(outputs, targets)
    parts = [task.loss(network(pictures[rows]), targets[rows]) for rows in (slice(0, 2), slice(2, 6))]
    for name, term in whole.items():
        joined = (parts[0][name] * 2 + parts[1][name] * 4) / 6
        torch.testing.assert_close(joined, term)
    network.eval()
    assert network(pictures).keys() == {"logits"}
    torch.testing.assert_close(network(pictures)["logits"], outputs["logits"])


# The recipe


def test_a_recipe_says_which_loss(tmp_path) -> None:
    assert load_recipe().loss.kind == "cross_entropy"
    settings = {
        "train.epochs": 1,
        "train.precision": "fp32",
        "model.arguments": {"width": 0.0625},
        "input.mean": [0.0],
        "input.std": [1.0],
        "loss.kind": "margin",
    }
    run = striate.train("digits", model="capsnet", out=tmp_path / "run", settings=settings)
    assert run.task.kind == striate.load_run(tmp_path / "run").task.kind == "margin"
    assert run.results["test"]["loss"] < 0.9**2  # capsules of no length; cross-entropy starts at 2.3


@pytest.mark.parametrize(
    "settings",
    [{"loss.kind": "hinge"}, {"loss.kind": "margin", "loss.label_smoothing": 0.1}],
    ids=["unknown", "smoothed"],
)
def test_a_loss_that_does_not_exist_is_told(settings: dict[str, object]) -> None:
    with pytest.raises(InputError, match=r"loss"):
        load_recipe(None, settings)
