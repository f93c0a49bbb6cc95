"""The last word on a run: its best weights on every split that was held out, as report and model card."""

import json
from typing import TYPE_CHECKING, Any

from striate.data.dataset import Fault
from striate.data.loader import Pictures
from striate.files import write_text
from striate.metrics.classification import ClassificationMetric
from striate.model_card import write_model_card
from striate.report import Mistake, ReportFacts, write_report
from striate.run import Run
from striate.run_folder import RECIPE, RESULTS
from striate.train.checkpoint import TrainingState
from striate.train.loop import evaluate

if TYPE_CHECKING:
    from collections.abc import Iterator

SHOWN_MISTAKES = 24


def judge(run: Run, pictures: dict[str, Pictures], faults: list[Fault], state: TrainingState) -> None:
    """Evaluate val and test, and write report.html, README.md and results.json into the run folder."""
    results: dict[str, dict[str, float]] = {}
    mistakes: list[Mistake] = []
    metric = run.task.metrics()
    last = "train"
    for name in ("val", "test"):
        if name in pictures:
            last, mistakes = name, []
            metric = run.task.metrics()
            watched = _gather_mistakes(run, run.predicted(run.batches(pictures[name])), mistakes)
            results[name] = evaluate(watched, run.task, metric)
    if not results:  # nothing was held out
        results["train"] = evaluate(run.predicted(run.batches(pictures["train"])), run.task, metric)
    assert isinstance(metric, ClassificationMetric)
    config = run.config
    facts = ReportFacts(
        title=f"{config.model} on {config.data.name}",
        task=config.task,
        model=config.model,
        params=sum(p.numel() for p in run.model.parameters() if p.requires_grad),
        classes=config.classes,
        history=state.history,
        results=results,
        results_split=last,
        confusion=metric.confusion,
        per_class=[(s.precision, s.recall, s.f1, s.support) for s in metric.per_class()],
        reliability=metric.reliability(),
        mistakes=mistakes,
        settings=config.recipe.model_dump(mode="json"),
        data=config.data.model_dump() | {"classes": len(config.classes), "faults": len(faults)},
        faults=[(fault.name, fault.what) for fault in faults],
        seconds=state.seconds,
        versions=config.versions,
        precision=config.precision,
        seed=config.seed,
        command=f"striate train --config {run.path / RECIPE} --out NEW",
    )
    write_report(run.path / "report.html", facts)
    write_model_card(run.path / "README.md", facts)
    write_text(
        run.path / RESULTS, json.dumps({"seconds": state.seconds, "results": results}, indent=2) + "\n"
    )


def _gather_mistakes(run: Run, predicted: Any, mistakes: list[Mistake]) -> "Iterator[Any]":
    """Passes ``predicted`` on and keeps the most confident mistakes, the worst first."""
    for batch, outputs, predictions in predicted:
        for image, target, name, prediction in zip(
            batch.images, batch.targets.tolist(), batch.names, predictions, strict=True
        ):
            guess, score = prediction.top(1)[0]
            if guess != target:
                mistakes.append(Mistake(image, str(name), run.classes[target], run.classes[guess], score))
        mistakes.sort(key=lambda mistake: -mistake.score)
        del mistakes[SHOWN_MISTAKES:]
        yield batch, outputs, predictions
