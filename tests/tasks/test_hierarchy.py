"""Classification in a tree: the contract of every task, and a real job with labels at two levels."""

import json
import re
from dataclasses import replace

import pytest
import torch
from contracts.task_contract import FRAMES, TaskContract
from torch import Tensor

import striate
from striate.audit import audit
from striate.data.dataset import Dataset, Split
from striate.errors import InputError
from striate.samples import TreeClassification
from striate.tasks.classification import ClassificationTask, balanced_class_weights
from striate.tasks.hierarchy import HierarchicalTask
from striate.tasks.wordtree import WordTree

FRUIT = WordTree(["fruit", "apple", "pear"], [-1, 0, 0])
APPLE, PEAR = 1, 2


def certain(nodes: Tensor) -> list[TreeClassification]:
    rows = []
    for node in nodes.tolist():
        probs = torch.zeros(3)
        probs[FRUIT.path(node)] = 1
        rows.append(TreeClassification(probs, FRUIT.path(node)))
    return rows


class TestHierarchical(TaskContract):
    classes = FRUIT.names

    def task(self) -> HierarchicalTask:
        return HierarchicalTask(FRUIT)

    def targets(self, count: int) -> Tensor:
        return torch.arange(count) % 2 + 1

    def perfect(self, targets: Tensor) -> list[TreeClassification]:
        return certain(targets)

    def wrong(self, targets: Tensor) -> list[TreeClassification]:
        return certain(3 - targets)


class TestWeightedHierarchical(TestHierarchical):
    def task(self) -> HierarchicalTask:
        return HierarchicalTask(FRUIT, torch.tensor([1.0, 0.5, 1.5]))


@pytest.mark.parametrize("weights", [None, torch.tensor([0.5, 1.0, 1.5, 1.0])], ids=["plain", "weighted"])
def test_a_flat_tree_is_plain_classification(weights: Tensor | None) -> None:
    names = ["a", "b", "c", "d"]
    tree = HierarchicalTask(WordTree(names, [-1] * 4, threshold=0.0), weights)
    plain = ClassificationTask(names, class_weights=weights)
    outputs = {"logits": torch.randn(len(FRAMES), 4, generator=torch.Generator().manual_seed(0))}
    for targets in (torch.arange(4), torch.rand(4, 4, generator=torch.Generator().manual_seed(1))):
        torch.testing.assert_close(tree.loss(outputs, targets), plain.loss(outputs, targets))
    for ours, theirs in zip(tree.decode(outputs, FRAMES), plain.decode(outputs, FRAMES), strict=True):
        torch.testing.assert_close(ours.probs, theirs.probs)
        assert [label for label, _ in ours.top(3)] == [label for label, _ in theirs.top(3)]


def test_what_follows_the_prediction_is_not_on_its_way() -> None:
    probs = torch.tensor([0.875, 0.5, 0.375])
    assert TreeClassification(probs, torch.tensor([0])).top(3) == [(0, 0.875), (1, 0.5), (2, 0.375)]
    assert TreeClassification(probs, torch.tensor([0, 1])).top(3) == [(1, 0.5), (2, 0.375)]
    assert TreeClassification(probs, torch.tensor([0, 1])).top(1) == [(1, 0.5)]


DIGITS = "even\nodd\n" + "".join(f"{digit} {'odd' if digit % 2 else 'even'}\n" for digit in range(10))


@pytest.fixture(scope="module")
def half_named() -> Dataset:
    """The digits, of which every other training picture says "even" or "odd" only."""
    digits = striate.load_data("digits")
    targets = digits.splits["all"].targets
    vague = (torch.arange(len(targets)) % 2).bool()
    labels = torch.where(vague, 10 + targets % 2, targets)
    split = Split(digits.splits["all"].images, labels)
    return replace(digits, classes=(*digits.classes, "even", "odd"), splits={"all": split}, name="half-named")


def test_digits_are_told_apart_though_half_of_the_labels_say_even_or_odd_only(
    half_named: Dataset, tmp_path
) -> None:
    (tmp_path / "parity.txt").write_text(DIGITS)
    settings = {"tree.file": str(tmp_path / "parity.txt"), "train.epochs": 6, "train.precision": "fp32"}
    settings |= {"augment.mixup": 0.1, "loss.class_weights": "balanced", "model.arguments": {"width": 0.125}}
    run = striate.train(half_named, out=tmp_path / "run", settings=settings)
    results = run.results["test"]
    assert results["accuracy"] > 0.9
    assert results["accuracy_level0"] > 0.95
    assert run.classes == ("even", "0", "2", "4", "6", "8", "odd", "1", "3", "5", "7", "9")

    # The run needs no file of the tree, knows pictures of digits alone, and says where it stops.
    (tmp_path / "parity.txt").unlink()
    run = striate.load_run(run.path)
    assert run.evaluate("digits", split="all")["metrics"]["accuracy_level1"] > 0.8
    disputed = [finding for finding in audit("digits", run).findings if finding.kind == "label"]
    assert len(disputed) < 30  # of 1,797
    for finding in disputed:
        ((label,), (seen,)) = re.findall(r"not (\d)", finding.detail), finding.classes
        assert seen not in ("odd" if int(label) % 2 else "even", label)
    picture, label = striate.load_data("digits").splits["all"][0]
    best, *others = run.predict(picture)
    assert best.path == ("odd" if label % 2 else "even", str(int(label)))
    assert "path" in best.facts
    assert best.path[0] not in {other.label for other in others}
    report = (run.path / "report.html").read_text()
    assert "Accuracy at level 1" in report
    assert "The classes are a tree" in report


@pytest.mark.parametrize(
    ("settings", "what"),
    [
        ({"loss.label_smoothing": 0.1}, "loss.label_smoothing is not for a tree of classes"),
        ({"loss.kind": "margin"}, "loss.kind is not for a tree of classes"),
        ({"tree.nodes": [["0", ""]]}, "either in a file or here"),
        ({"tree.file": "", "tree.nodes": [["0", ""]]}, "class '1' is not in the tree"),
        ({"tree.file": "nowhere.txt"}, "the tree cannot be read"),
        ({"data.classes": ["1", "11"]}, "class '11' is not in the tree"),
    ],
)
def test_what_cannot_be_is_refused_before_a_folder_is_made(settings, what, tmp_path) -> None:
    (tmp_path / "parity.txt").write_text(DIGITS)
    with pytest.raises(InputError, match=what):
        striate.train(
            "digits", out=tmp_path / "run", settings={"tree.file": str(tmp_path / "parity.txt")} | settings
        )
    assert not (tmp_path / "run").exists()


def test_a_config_whose_tree_is_not_that_of_its_classes_is_refused(tmp_path) -> None:
    settings = {"tree.nodes": [[str(digit), ""] for digit in range(10)], "train.epochs": 1}
    settings |= {"model.arguments": {"width": 0.125}, "data.per_class": 5, "train.precision": "fp32"}
    run = striate.train("digits", out=tmp_path / "run", settings=settings)
    config = json.loads((run.path / "config.json").read_text())
    for nodes, fault in ([["0", "1"], ["1", "0"]], "'0' is below itself"), ([["0", ""]], "not the nodes"):
        config["recipe"]["tree"]["nodes"] = nodes
        (run.path / "config.json").write_text(json.dumps(config))
        with pytest.raises(InputError, match=fault) as told:
            striate.load_run(run.path)
        assert told.value.where.endswith("config.json")


def test_balanced_weights_of_a_tree_are_those_of_its_labels() -> None:
    weights = balanced_class_weights(torch.tensor([1, 1, 1, 2]), 3)
    assert weights.tolist() == pytest.approx([0, 2 / 3, 2])
