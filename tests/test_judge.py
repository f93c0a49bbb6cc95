"""The last word on a run: what is measured on what, and which mistakes are shown."""

import json

import pytest
import torch

from striate import judge
from striate.report import Mistake


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
