"""The last word on a run: what is measured on what, and which mistakes are shown."""

import json
from types import SimpleNamespace

import pytest
import torch

from striate import judge
from striate.data.loader import Loader, MemoryPictures
from striate.metrics import AveragePrecision, LocalizationMetric
from striate.report import Mistake
from striate.samples import Detections, Frame, Localization, Objects


def all_mistakes(run, split):
    """The mistakes of a split, found one picture at a time."""
    chosen = run.choose_split(None, split)[1]
    found = []
    for i, name in enumerate(chosen.names):
        image, target = chosen[i]
        best = run.predict(image)[0]
        if best.label != run.classes[int(target)]:
            found.append((best.score, name, run.classes[int(target)], best.label))
    return sorted(found, reverse=True)


@pytest.mark.parametrize("shown", [24, 5])
def test_the_most_confident_mistakes_are_kept_the_worst_first(digits_run, monkeypatch, shown):
    monkeypatch.setattr(judge, "SHOWN_MISTAKES", shown)
    expected = all_mistakes(digits_run, "val")
    assert len(expected) > 5
    pictures, _ = digits_run.pictures(digits_run.choose_split(None, "val")[1])
    mistakes: list[Mistake] = []
    predicted = digits_run.predicted(digits_run.batches(pictures))
    passed = list(judge._gather_mistakes(digits_run, predicted, mistakes))
    assert sum(len(batch.indices) for batch, _, _ in passed) == 269
    assert len(mistakes) == min(shown, len(expected))
    for mistake, (score, name, true, guess) in zip(mistakes, expected, strict=False):
        assert mistake.score == pytest.approx(score, abs=1e-5)
        assert (mistake.name, mistake.truth, mistake.guess) == (name, true, guess)
        assert mistake.image.dtype == torch.uint8


def test_results_and_report_and_card_tell_the_same(digits_run):
    results = json.loads((digits_run.path / "results.json").read_text())
    assert results["seconds"] > 0
    assert results["results"].keys() == {"val", "test"}
    accuracy = f"{100 * results['results']['test']['accuracy']:.2f}"
    assert accuracy in (digits_run.path / "report.html").read_text()
    assert accuracy in (digits_run.path / "README.md").read_text()


def test_the_best_epoch_is_the_one_that_is_judged(digits_run):
    rows = [json.loads(line) for line in (digits_run.path / "metrics.jsonl").read_text().splitlines()]
    assert [row["epoch"] for row in rows] == [1, 2, 3, 4]
    best = max(row["val"]["accuracy"] for row in rows)
    assert digits_run.results["val"]["accuracy"] == pytest.approx(best)


NAMES = ("cat", "dog")
BOXES = [[2.0, 2.0, 12.0, 12.0], [4.0, 4.0, 20.0, 24.0], [8.0, 2.0, 30.0, 20.0]]


def box_pictures() -> MemoryPictures:
    """Three pictures with one object each: cat, dog, cat."""
    objects = Objects.of(torch.tensor(BOXES), torch.tensor([0, 1, 0]), torch.ones(3).long())
    pixels = torch.zeros(3, 3, 32, 32, dtype=torch.uint8)
    frames = [Frame(32, 32)] * 3
    return MemoryPictures(pixels, frames, ["a", "b", "c"], torch.zeros(3).long(), objects)


def box_run(metrics, predictions, arguments):
    """A run that predicts what it is told, in batches of two."""
    task = SimpleNamespace(
        metrics=metrics,
        in_input=lambda targets, frames: targets,
        loss=lambda outputs, targets: {"loss": torch.tensor(0.5)},
    )

    def predicted(batches):
        for batch in batches:
            yield batch, {"out": torch.zeros(1)}, [predictions[i] for i in batch.indices.tolist()]

    recipe = SimpleNamespace(evaluate=SimpleNamespace(batch_size=2))
    return SimpleNamespace(
        task=task,
        classes=NAMES,
        config=SimpleNamespace(arguments=arguments, recipe=recipe),
        batches=lambda pictures: Loader(pictures, 2).batches(),
        predicted=predicted,
    )


def test_a_detector_is_judged_by_its_own_metric_and_shown_by_its_pictures():
    boxes = torch.tensor(BOXES)
    predictions = [
        Detections(boxes[:1], torch.tensor([0.9]), torch.tensor([0])),
        Detections(boxes[:0], torch.tensor([]), torch.tensor([], dtype=torch.int64)),
        Detections(boxes[2:], torch.tensor([0.8]), torch.tensor([0])),
    ]
    run = box_run(lambda: AveragePrecision(NAMES), predictions, {"anchors": [[10, 10]]})
    results, details = judge._measure(run, box_pictures(), box_pictures())
    expected = AveragePrecision(NAMES)
    expected.update(predictions, box_pictures().objects)
    assert results == {"loss": 0.5, **expected.compute()}
    assert results["map_50"] == pytest.approx(0.5)
    facts = details["boxes"]
    assert [(picture.name, picture.verdict) for picture in facts.worst] == [
        ("b", "0 right, 0 wrong, 1 missed")
    ]
    assert {picture.name for picture in facts.best} == {"a", "c"}
    assert facts.per_class == expected.per_class()
    assert facts.sizes.anchors == [(10.0, 10.0)]
    assert facts.sizes.sizes.tolist() == [[10, 10], [16, 20], [22, 18]]
    assert (details["confusion"], details["per_class"], details["mistakes"]) == (None, [], [])


def test_a_localizer_is_judged_by_its_boxes_and_by_its_classes():
    probs = torch.tensor([[0.9, 0.1], [0.7, 0.3], [0.8, 0.2]])
    predictions = [Localization(row, torch.tensor(box)) for row, box in zip(probs, BOXES, strict=True)]
    run = box_run(lambda: LocalizationMetric(2), predictions, {})
    results, details = judge._measure(run, box_pictures(), box_pictures())
    assert results == pytest.approx({"loss": 0.5, "accuracy": 2 / 3, "mean_iou": 1, "localized": 2 / 3})
    assert details["confusion"].tolist() == [[2, 0], [1, 0]]
    assert details["per_class"][0] == pytest.approx((2 / 3, 1, 0.8, 2))
    facts = details["boxes"]
    assert facts.places == [(1, 1, 2), (1, 0, 1)]
    assert facts.worst[0].name == "b"
    assert facts.sizes.anchors == []
