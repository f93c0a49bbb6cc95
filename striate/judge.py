"""The last word on a run: its best weights on every split that was held out, as report and model card."""

import json
import shlex
from typing import TYPE_CHECKING, Any

import torch

from striate.data.dataset import Fault
from striate.data.loader import Pictures
from striate.files import write_text
from striate.metrics.average_precision import AveragePrecision
from striate.metrics.classification import ClassificationMetric
from striate.metrics.hierarchy import HierarchicalAccuracy, HierarchicalAveragePrecision
from striate.metrics.localization import LocalizationMetric
from striate.metrics.metric import Metric
from striate.metrics.sparse_localization import SparseLocalizationMetric
from striate.model_card import write_model_card
from striate.report import BoxSizes, Mistake, ReportFacts, write_report
from striate.report.box_evidence import (
    Place,
    detection_facts,
    localization_facts,
    measure_boxes,
    tree_detection_facts,
)
from striate.run import Run
from striate.run_folder import RECIPE, RESULTS
from striate.train.checkpoint import TrainingState
from striate.train.loop import evaluate

if TYPE_CHECKING:
    from collections.abc import Iterator

SHOWN_MISTAKES = 24


def judge(run: Run, pictures: dict[str, Pictures], faults: list[Fault], state: TrainingState) -> None:
    """Evaluate val and test, and write report.html, README.md and results.json into the run folder."""
    held_out: list[str] = [name for name in ("val", "test") if name in pictures] or ["train"]
    results: dict[str, dict[str, float]] = {}
    for name in held_out[:-1]:
        predicted = run.predicted(run.batches(pictures[name]))
        results[name] = evaluate(predicted, run.task, run.task.metrics())
    last = held_out[-1]
    results[last], details = _measure(run, pictures[last], pictures["train"])
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
        settings=config.recipe.model_dump(mode="json"),
        data=config.data.model_dump() | {"classes": len(config.classes), "faults": len(faults)},
        faults=[(fault.name, fault.what) for fault in faults],
        seconds=state.seconds,
        versions=config.versions,
        precision=config.precision,
        seed=config.seed,
        command=shlex.join(["striate", "train", "--config", str(run.path / RECIPE), "--out", "NEW"]),
        **details,
    )
    write_report(run.path / "report.html", facts)
    write_model_card(run.path / "README.md", facts)
    write_text(
        run.path / RESULTS, json.dumps({"seconds": state.seconds, "results": results}, indent=2) + "\n"
    )


def _measure(run: Run, pictures: Pictures, training: Pictures) -> tuple[dict[str, float], dict[str, Any]]:
    """The metrics on ``pictures``, and what else the report shows of them, as fields of ``ReportFacts``."""
    metric: Metric = run.task.metrics()
    labels: ClassificationMetric | None = None
    mistakes: list[Mistake] = []
    places: list[Place] = []
    watched = run.predicted(run.batches(pictures))
    if isinstance(metric, ClassificationMetric | HierarchicalAccuracy):
        labels = metric if isinstance(metric, ClassificationMetric) else metric.nodes
        watched = _gather_mistakes(run, watched, mistakes)
    elif isinstance(metric, LocalizationMetric):
        labels = ClassificationMetric(len(run.classes))
        watched = _gather_places(watched, labels, places)
    results = evaluate(watched, run.task, metric)
    details: dict[str, Any] = {"confusion": None, "per_class": [], "reliability": [], "mistakes": mistakes}
    if labels:
        details |= {
            "confusion": labels.confusion,
            "per_class": [(s.precision, s.recall, s.f1, s.support) for s in labels.per_class()],
            "reliability": labels.reliability(),
        }
    if isinstance(metric, SparseLocalizationMetric):
        metric = metric.boxes
    if isinstance(metric, AveragePrecision):
        details["boxes"] = detection_facts(metric, pictures, _sizes(run, training))
    elif isinstance(metric, HierarchicalAveragePrecision):
        details["boxes"] = tree_detection_facts(metric, pictures, _sizes(run, training))
    elif isinstance(metric, LocalizationMetric):
        details["boxes"] = localization_facts(places, pictures, _sizes(run, training), run.classes)
    return results, details


def _sizes(run: Run, training: Pictures) -> BoxSizes:
    anchors = run.config.arguments.get("anchors", [])
    return measure_boxes(training, anchors, run.config.recipe.evaluate.batch_size)


def _gather_places(predicted: Any, labels: ClassificationMetric, places: list[Place]) -> "Iterator[Any]":
    """Passes ``predicted`` on; ``labels`` takes in the classes, and ``places`` keeps the boxes."""
    for batch, outputs, predictions in predicted:
        probs = torch.stack([prediction.probs for prediction in predictions])
        boxes_xyxy = torch.stack([prediction.box_xyxy for prediction in predictions])
        labels.update_probs(probs, batch.targets.labels)
        scores, classes = probs.max(1)
        places.append(Place(classes, scores, boxes_xyxy))
        yield batch, outputs, predictions


def _gather_mistakes(run: Run, predicted: Any, mistakes: list[Mistake]) -> "Iterator[Any]":
    """Passes ``predicted`` on and keeps the most confident mistakes, the worst first."""
    for batch, outputs, predictions in predicted:
        for image, target, name, prediction in zip(
            batch.images, batch.targets.tolist(), batch.names, predictions, strict=True
        ):
            if not prediction.is_right(target):
                guess, score = prediction.top(1)[0]
                mistakes.append(Mistake(image, str(name), run.classes[target], run.classes[guess], score))
        mistakes.sort(key=lambda mistake: -mistake.score)
        del mistakes[SHOWN_MISTAKES:]
        yield batch, outputs, predictions
