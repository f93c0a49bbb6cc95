"""Auxiliary heads: what they weigh in the loss, that they work in training only, and a run with them."""

import json
import math
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from small_data import write_digits
from torch import Tensor, nn

import striate
from striate.files import read_tensors
from striate.models.catalog import create_model
from striate.run import Run
from striate.tasks.classification import ClassificationTask
from striate.tasks.classifier import Classifier

LN2, LN3 = math.log(2), math.log(3)
CLASSES = [f"class {k}" for k in range(5)]
AUXILIARY = ["auxiliary1", "auxiliary2"]


def classifier(name: str = "googlenet", auxiliary: bool = True) -> nn.Module:
    torch.manual_seed(0)
    backbone = create_model(name, num_classes=5, width=0.125, auxiliary=auxiliary)
    return ClassificationTask(CLASSES).build(backbone, CLASSES)


def pictures(count: int = 6) -> Tensor:
    return torch.randn(count, 3, 64, 64, generator=torch.Generator().manual_seed(1))


def random_outputs() -> tuple[dict[str, Tensor], Tensor]:
    """Logits (20, 5) of the head and of two auxiliary ones, and targets."""
    generator = torch.Generator().manual_seed(2)
    outputs = {name: 2 * torch.randn(20, 5, generator=generator) for name in ("logits", *AUXILIARY)}
    return outputs, torch.randint(0, 5, (20,), generator=generator)


# The loss


def test_each_auxiliary_head_counts_three_tenths() -> None:
    # Of the true class 0: probability 1/2 by the head, 1/3 by the first auxiliary one, 1/4 by the second.
    outputs = {
        "logits": torch.tensor([[LN2, 0, 0]]),
        "auxiliary1": torch.tensor([[0.0, 0, 0]]),
        "auxiliary2": torch.tensor([[0, LN2, 0]]),
    }
    terms = ClassificationTask(CLASSES[:3]).loss(outputs, torch.tensor([0]))
    assert terms["auxiliary"].item() == pytest.approx(LN3 + 2 * LN2)
    assert terms["loss"].item() == pytest.approx(LN2 + 0.3 * LN3 + 0.3 * 2 * LN2)


def test_one_auxiliary_head_counts_alone() -> None:
    outputs = {"logits": torch.tensor([[LN2, 0, 0]]), "auxiliary1": torch.zeros(1, 3)}
    terms = ClassificationTask(CLASSES[:3]).loss(outputs, torch.tensor([0]))
    assert terms["loss"].item() == pytest.approx(LN2 + 0.3 * LN3)


def test_label_smoothing_and_class_weights_apply_to_auxiliary_heads() -> None:
    outputs, targets = random_outputs()
    weights = torch.tensor([0.25, 0.5, 1.0, 1.25, 2.0])
    terms = ClassificationTask(CLASSES, 0.1, weights).loss(outputs, targets)
    goals = 0.9 * F.one_hot(targets, 5) + 0.1 / 5
    of_heads = {
        name: -(goals * weights * logits.log_softmax(1)).sum(1).mean() for name, logits in outputs.items()
    }
    auxiliary = of_heads["auxiliary1"] + of_heads["auxiliary2"]
    torch.testing.assert_close(terms["auxiliary"], auxiliary)
    torch.testing.assert_close(terms["loss"], of_heads["logits"] + 0.3 * auxiliary)
    plain = ClassificationTask(CLASSES).loss(outputs, targets)["auxiliary"]
    assert (plain - auxiliary).abs() > 0.1  # so that it means something


def test_other_names_do_not_count() -> None:
    outputs, targets = random_outputs()
    task, alone = ClassificationTask(CLASSES), {"logits": outputs["logits"]}
    more = alone | {"reconstruction": outputs["auxiliary1"]}
    assert task.loss(more, targets).keys() == {"loss"}
    assert task.loss(more, targets)["loss"] == task.loss(alone, targets)["loss"]


def test_the_accuracy_of_a_batch_is_that_of_the_head() -> None:
    outputs, targets = random_outputs()
    outputs["logits"] = F.one_hot(targets, 5).float()
    assert ClassificationTask(CLASSES).scores(outputs, targets)["accuracy"] == 1.0


# The network


@pytest.mark.parametrize("name", ["googlenet_2014", "googlenet"])
def test_auxiliary_logits_are_there_in_training_only(name: str) -> None:
    network = classifier(name)
    outputs = network.train()(pictures())
    assert list(outputs) == ["logits", *AUXILIARY]
    assert all(logits.shape == (6, 5) for logits in outputs.values())
    assert list(network.eval()(pictures())) == ["logits"]


def test_a_network_without_auxiliary_heads_gives_none_in_training() -> None:
    assert list(classifier(auxiliary=False).train()(pictures())) == ["logits"]


def test_evaluation_does_not_compute_auxiliary_heads() -> None:
    network = classifier().eval()
    assert isinstance(network, Classifier)
    expected = network(pictures())["logits"]
    for parameter in network.backbone.get_submodule("auxiliary_heads").parameters():
        nn.init.constant_(parameter, math.nan)
    assert torch.equal(network(pictures())["logits"], expected)


def test_the_gradient_is_the_heads_own_and_three_tenths_of_each_auxiliary_one() -> None:
    network = classifier("googlenet_2014").double().train()
    for layer in network.modules():
        if isinstance(layer, nn.Dropout):
            layer.p = 0.0  # it is random; all else is not
    images, targets = pictures().double(), torch.arange(6) % 5
    parameters = list(network.parameters())

    def gradients(loss: Tensor) -> list[Tensor]:
        return list(torch.autograd.grad(loss, parameters, retain_graph=True, materialize_grads=True))

    outputs = network(images)
    # The task computes its loss in fp32; this law is about gradients, so it may keep that precision.
    found = gradients(ClassificationTask(CLASSES).loss(outputs, targets)["loss"])
    of_head, of_first, of_second = (gradients(F.cross_entropy(o, targets)) for o in outputs.values())
    for gradient, head, first, second in zip(found, of_head, of_first, of_second, strict=True):
        torch.testing.assert_close(gradient, head + 0.3 * first + 0.3 * second, rtol=1e-4, atol=1e-6)
    assert sum(bool(first.any() and head.any()) for head, first in zip(of_head, of_first, strict=True)) > 30


# A run


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return striate.train(
        "digits",
        model="googlenet",
        out=tmp_path_factory.mktemp("runs") / "auxiliary",
        settings={
            "model.arguments": {"width": 0.125, "auxiliary": True},
            "input.size": 32,
            "train.epochs": 2,
            "train.batch_size": 256,
            "train.precision": "fp32",
            "loss.label_smoothing": 0.1,
        },
    )


def test_a_run_logs_the_auxiliary_loss_of_training_and_none_of_validation(run: Run) -> None:
    rows = [json.loads(line) for line in (run.path / "metrics.jsonl").read_text().splitlines()]
    assert len(rows) == 2
    for row in rows:
        assert row["train"]["loss"] > 0.3 * row["train"]["auxiliary"] > 0.3
        assert "auxiliary" not in row["val"]
    assert rows[1]["train"]["auxiliary"] < rows[0]["train"]["auxiliary"]  # the heads learn


def test_a_run_keeps_the_weights_of_its_auxiliary_heads(run: Run) -> None:
    tensors, _ = read_tensors(run.path / "model.safetensors")
    own = {name: value for name, value in tensors.items() if ".auxiliary_heads." in name}
    # Each: convolution, four values and the count of its normalization, and two dense layers with biases.
    assert len(own) == 2 * (1 + 5 + 2 * 2)
    counts = {int(value) for name, value in own.items() if name.endswith("num_batches_tracked")}
    steps_per_epoch = math.ceil(run.config.data.splits["train"] / 256)
    assert counts <= {steps_per_epoch, 2 * steps_per_epoch}  # in each step of training, in no evaluation
    assert len(counts) == 1
    loaded = striate.load_run(run.path).model.state_dict()
    assert loaded.keys() == tensors.keys()
    assert all(torch.equal(loaded[name], value) for name, value in tensors.items())


def test_a_run_with_auxiliary_heads_predicts_and_is_measured(run: Run, tmp_path: Path) -> None:
    paths = write_digits(tmp_path, range(12))
    loaded = striate.load_run(run.path)
    assert loaded.config.arguments == {"width": 0.125, "auxiliary": True}
    assert loaded.predict_all(paths) == run.predict_all(paths)
    assert all(sum(p.score for p in loaded.predict(path, count=10)) == pytest.approx(1) for path in paths[:2])
    assert loaded.evaluate()["metrics"] == run.results["test"]
