"""Metrics in a tree of classes, worked by hand."""

import math
from typing import Any

import pytest
import torch
from contracts.metric_contract import MetricContract

from striate.metrics.average_precision import AveragePrecision
from striate.metrics.hierarchy import HierarchicalAccuracy, HierarchicalAveragePrecision
from striate.samples import Detections, Objects, TreeClassification

CLASSES = ("animal", "dog", "terrier", "poodle", "cat", "thing")
ANIMAL, DOG, TERRIER, POODLE, CAT, THING = range(6)
PATHS = torch.tensor(
    [
        [ANIMAL, 6, 6],
        [ANIMAL, DOG, 6],
        [ANIMAL, DOG, TERRIER],
        [ANIMAL, DOG, POODLE],
        [ANIMAL, CAT, 6],
        [THING, 6, 6],
    ]
)
SURE = torch.tensor([0.8, 0.6, 0.5, 0.1, 0.2, 0.2])  # of each node, for all predictions here


def predicted(*nodes: int) -> list[TreeClassification]:
    return [TreeClassification(SURE, PATHS[node][PATHS[node] < 6]) for node in nodes]


class TestHierarchicalAccuracy(MetricContract):
    def metric(self) -> HierarchicalAccuracy:
        return HierarchicalAccuracy(PATHS)

    def choose(self, targets: Any, indices: list[int]) -> Any:
        return targets[indices]

    def samples(self, count: int, seed: int) -> tuple[list[Any], Any]:
        generator = torch.Generator().manual_seed(seed)
        nodes = torch.randint(6, (count,), generator=generator)
        return predicted(*nodes.tolist()), torch.randint(6, (count,), generator=generator)


def test_accuracy_of_each_level_by_hand() -> None:
    metric = HierarchicalAccuracy(PATHS)
    #        right breed  stopped  wrong breed  wrong all  label dog, went on  right root
    found = [TERRIER, DOG, POODLE, THING, POODLE, THING]
    true = [TERRIER, TERRIER, TERRIER, CAT, DOG, THING]
    metric.update(predicted(*found[:4]), torch.tensor(true[:4]))
    metric.update(predicted(*found[4:]), torch.tensor(true[4:]))
    results = metric.compute()
    assert {key: value for key, value in results.items() if "level" in key} == pytest.approx(
        {
            "accuracy_level0": 5 / 6,
            "answered_level0": 1.0,
            "accuracy_level1": 4 / 5,
            "answered_level1": 4 / 5,
            "accuracy_level2": 1 / 3,
            "answered_level2": 2 / 3,
        }
    )
    assert results["accuracy"] == 3 / 6  # the first, and the last two
    assert results["log_loss"] == pytest.approx(-(3 * math.log(0.5) + 2 * math.log(0.2) + math.log(0.6)) / 6)
    confusion = torch.zeros(6, 6, dtype=torch.int64)
    for truth, guess in zip(true, [TERRIER, DOG, POODLE, THING, DOG, THING], strict=True):
        confusion[truth, guess] += 1  # the poodle that was labelled a dog is judged as a dog
    assert torch.equal(metric.nodes.confusion, confusion)


def test_a_flat_tree_is_judged_as_plain_classes_are() -> None:
    from striate.metrics.classification import ClassificationMetric
    from striate.samples import Classification

    generator = torch.Generator().manual_seed(1)
    probs = torch.randn(40, 4, generator=generator).softmax(1)
    targets = torch.randint(4, (40,), generator=generator)
    plain, tree = ClassificationMetric(4, top_k=()), HierarchicalAccuracy(torch.arange(4)[:, None])
    plain.update([Classification(row) for row in probs], targets)
    tree.update([TreeClassification(row, row.argmax()[None]) for row in probs], targets)
    found = tree.compute()
    assert found.pop("answered_level0") == 1
    assert found.pop("accuracy_level0") == plain.compute()["accuracy"]
    assert found == pytest.approx(plain.compute())


def boxes(*rows: tuple[int, float]) -> Detections:
    """Detections (node, score), each at the place of its own."""
    places = torch.tensor([[10.0 * k, 0, 10.0 * k + 8, 8] for k in range(len(rows))])
    return Detections(
        places, torch.tensor([score for _, score in rows]), torch.tensor([label for label, _ in rows])
    )


def objects(*labels: int) -> Objects:
    """An object of each label at the place of each detection."""
    return Objects.of(boxes(*((label, 1.0) for label in labels)).boxes_xyxy, torch.tensor(labels))


class TestHierarchicalAveragePrecision(MetricContract):
    def metric(self) -> HierarchicalAveragePrecision:
        return HierarchicalAveragePrecision(CLASSES, PATHS)

    def choose(self, targets: Any, indices: list[int]) -> Any:
        return targets[torch.tensor(indices)]

    def samples(self, count: int, seed: int) -> tuple[list[Any], Any]:
        generator = torch.Generator().manual_seed(seed)
        found, true = torch.randint(6, (2, count, 3), generator=generator)
        scores = torch.rand(count, 3, generator=generator).sort(1, descending=True)[0]
        rows = zip(found.tolist(), scores.tolist(), strict=True)
        predictions = [boxes(*zip(labels, sure, strict=True)) for labels, sure in rows]
        return predictions, Objects.join([objects(*row.tolist()) for row in true])


def test_what_is_found_counts_for_all_above_it() -> None:
    metric = HierarchicalAveragePrecision(CLASSES, PATHS)
    # a poodle taken for a terrier is an animal and a dog that were found; so is the other poodle
    metric.update([boxes((TERRIER, 0.9), (POODLE, 0.8))], objects(POODLE, POODLE))
    of_nodes = {scores.name: scores for scores in metric.nodes.per_class()}
    assert [of_nodes[name].ap_50 for name in ("animal", "dog")] == [1.0, 1.0]
    assert of_nodes["poodle"].ap_50 == pytest.approx(51 / 101)  # one of two, at recalls 0 to 0.5
    assert of_nodes["terrier"].objects == of_nodes["cat"].objects == 0
    results = metric.compute()
    assert results["map_50"] == pytest.approx((1 + 1 + 51 / 101) / 3)
    assert [results[f"map_50_level{level}"] for level in range(3)] == pytest.approx([1, 1, 51 / 101])


def test_an_object_whose_label_ends_early_is_no_mistake_below_it() -> None:
    metric = HierarchicalAveragePrecision(CLASSES, PATHS)
    # a dog of unknown breed is called a poodle, more surely than the true poodle is
    metric.update([boxes((POODLE, 0.9), (POODLE, 0.8))], objects(DOG, POODLE))
    assert metric.compute()["map_50"] == 1
    assert metric.named.compute()["map_50"] < 0.5  # where names must be equal, it is
    metric.reset()
    metric.update([boxes((POODLE, 0.9), (POODLE, 0.8))], objects(CAT, POODLE))
    assert metric.compute()["map_50_level2"] == pytest.approx(0.5)


def test_a_flat_tree_is_plain_average_precision() -> None:
    paths = torch.arange(6)[:, None]
    plain, tree = AveragePrecision(CLASSES), HierarchicalAveragePrecision(CLASSES, paths)
    for metric in (plain, tree):
        metric.update(*TestHierarchicalAveragePrecision().samples(20, seed=0))
    found = tree.compute()
    assert found.pop("map_50_level0") == pytest.approx(plain.compute()["map_50"])
    assert found == plain.compute()


@pytest.mark.parametrize(
    ("predictions", "targets", "named"),
    [
        (predicted(DOG), torch.tensor([DOG, CAT]), "as many predictions"),
        (predicted(DOG), torch.tensor([6]), "class ids"),
        (predicted(DOG), torch.tensor([-1]), "class ids"),
        (predicted(DOG), torch.tensor([1.0]), "targets"),
        ([TreeClassification(SURE[:5], PATHS[DOG][:2])], torch.tensor([DOG]), "probs"),
        ([TreeClassification(SURE * 3, PATHS[DOG][:2])], torch.tensor([DOG]), "probs"),
        ([TreeClassification(SURE * float("nan"), PATHS[DOG][:2])], torch.tensor([DOG]), "not a number"),
    ],
)
def test_what_the_accuracy_of_a_tree_does_not_take(predictions: Any, targets: Any, named: str) -> None:
    with pytest.raises(ValueError, match=named):
        HierarchicalAccuracy(PATHS).update(predictions, targets)
