"""The model card of a run: README.md in the form the Hugging Face hub reads, from measured numbers only."""

import math
import re
from collections.abc import Iterable, Sequence
from html import escape
from pathlib import Path

from huggingface_hub import EvalResult, ModelCardData

from striate.files import write_text
from striate.report.confusion import accuracy_interval, most_confused
from striate.report.facts import BoxFacts, ReportFacts
from striate.report.wording import (
    CAVEATS,
    counted,
    dataset_name,
    duration,
    flat,
    label,
    metric_name,
    metric_value,
    objectness_in_words,
    percent,
    plain,
    results_table,
    split_name,
    started_from,
    three_decimals,
    writable,
)

HUB_METRICS = {"macro_f1": "f1", "macro_precision": "precision", "macro_recall": "recall"}
LISTED_CLASSES = 100  # names in the card; config.json has them all
TABLED_CLASSES = 50  # rows of the per-class table; report.html has them all

USE = """```bash
striate predict RUN picture.png
```

```python
import striate

run = striate.load_run("RUN")
run.predict("picture.png")
```

`RUN` is this folder. Resizing and normalization are part of the model: give it pictures as they are."""
USE_BOXES = """```bash
striate predict RUN picture.png --draw drawn
```

```python
import striate

run = striate.load_run("RUN")
for box in run.predict("picture.png"):
    print(box.label, box.score, box.box_xyxy)
```

`RUN` is this folder. Resizing and normalization are part of the model: give it pictures as they are. A box is
its left, top, right and bottom edge, in pixels of the picture from its top left corner. The folder `drawn`
gets a copy of the picture with the boxes in it."""


def write_model_card(path: Path, facts: ReportFacts) -> None:
    """Write the model card of a run; the file is complete or not there.

    Args:
        path: the file to write, ``README.md`` of a run folder.
        facts: what was measured.

    Raises:
        InputError: the file cannot be written.
    """
    write_text(path, writable(model_card(facts)))


def model_card(facts: ReportFacts) -> str:
    """The model card of a run as Markdown behind YAML front matter; names that users chose are quoted."""
    sections = [
        ("How to use it", USE_BOXES if facts.boxes else USE),
        ("Classes", _classes(facts)),
        ("Data", _data(facts)),
        ("Results", _results(facts)),
        ("Results per class", _per_class(facts)),
        ("Limits", _limits(facts)),
        ("Training", _training(facts)),
        ("Versions", _table(("Package", "Version"), facts.versions.items()) if facts.versions else ""),
    ]
    body = "\n\n".join(f"## {heading}\n\n{text}" for heading, text in sections if text)
    return f"---\n{_front_matter(facts)}\n---\n\n# {_text(facts.title)}\n\n{_summary(facts)}\n\n{body}\n"


def _front_matter(facts: ReportFacts) -> str:
    source = dataset_name(facts.data) or "unnamed"
    kind = "object-detection" if facts.boxes else "image-classification"
    results = [
        EvalResult(
            task_type=kind,
            task_name=label(kind.replace("-", " ")),
            dataset_type=source,
            dataset_name=source,
            dataset_split=split_name(split),
            metric_type=HUB_METRICS.get(key, key),
            metric_name=metric_name(key),
            metric_value=value,
        )
        for split, values in facts.results.items()
        for key, value in values.items()
        if math.isfinite(value)
    ]
    data = ModelCardData(
        library_name="striate",
        pipeline_tag=kind,
        tags=[kind, "computer-vision", "pytorch", facts.model],
        model_name=facts.title if results else None,
        eval_results=results or None,
    )
    return str(data.to_yaml()).rstrip("\n")


def _summary(facts: ReportFacts) -> str:
    source, classes = _text(dataset_name(facts.data) or "pictures"), counted(len(facts.classes), "class")
    what = f"of {classes} of objects in {source}" if facts.boxes else f"of {source} into {classes}"
    text = (
        f"{_text(facts.model)} with {counted(facts.params, 'parameter')}, trained with Striate for "
        f"{facts.task} {what}."
    )
    measured = facts.results.get(facts.results_split, {})
    for key in ("accuracy", "map", "map_50", "mean_iou"):
        if key in measured:
            value = metric_value(key, measured[key])
            text += f" {metric_name(key)} on the {split_name(facts.results_split)} split: **{value}**."
    return text


def _classes(facts: ReportFacts) -> str:
    if len(facts.classes) > LISTED_CLASSES:
        return f"{len(facts.classes):,} classes; `config.json` names them in the order of the outputs."
    return "In the order of the outputs: " + ", ".join(_text(name) for name in facts.classes) + "."


def _data(facts: ReportFacts) -> str:
    values = {key: value for key, value in facts.data.items() if key not in ("name", "source", "splits")}
    splits = facts.data.get("splits", {})
    rows = [("Name", dataset_name(facts.data)), *((label(key), plain(value)) for key, value in flat(values))]
    rows += [(f"{split_name(split).capitalize()} pictures", f"{size:,}") for split, size in splits.items()]
    return _table(("Fact", "Value"), rows)


def _results(facts: ReportFacts) -> str:
    head, rows = results_table(facts.results)
    return _table(head, rows) if rows else ""


def _per_class(facts: ReportFacts) -> str:
    if facts.boxes and facts.boxes.per_class:
        return _detections_per_class(facts.boxes)
    if not facts.per_class:
        return ""
    if len(facts.per_class) > TABLED_CLASSES:
        return f"`report.html` has precision, recall and F1 of all {len(facts.per_class):,} classes."
    rows = [
        (name, *(percent(rate) if support else "–" for rate in rates), f"{support:,}")
        for name, (*rates, support) in zip(facts.classes, facts.per_class, strict=True)
    ]
    return _table(("Class", "Precision", "Recall", "F1", "Pictures"), rows)


def _detections_per_class(boxes: BoxFacts) -> str:
    if len(boxes.per_class) > TABLED_CLASSES:
        return f"`report.html` has the average precision of all {len(boxes.per_class):,} classes."
    rows = [
        (
            scores.name,
            three_decimals(scores.ap),
            three_decimals(scores.ap_50),
            "–" if scores.f1 is None else percent(scores.f1),
            three_decimals(scores.threshold),
            f"{scores.objects:,}",
            f"{scores.detections:,}",
        )
        for scores in boxes.per_class
    ]
    return _table(("Class", "AP", "AP@0.5", "Best F1", "at score", "Objects", "Detections"), rows)


def _limits(facts: ReportFacts) -> str:
    split = split_name(facts.results_split)
    known = f"It knows its {counted(len(facts.classes), 'class')} and nothing else:"
    if facts.boxes and facts.boxes.per_class:
        limits = [f"{known} any other object is not found, or taken for one of them."]
        limits += _detection_limits(facts.boxes, split)
    else:
        limits = [f"{known} a picture of anything else is given one of them."]
    seen = [(row, name) for row, name in zip(facts.per_class, facts.classes, strict=False) if row[3] > 0]
    if seen:
        (precision, recall, f1, support), name = min(seen, key=lambda entry: entry[0][2])
        limits.append(
            f"The weakest class on the {split} split is {_text(name)}: F1 {percent(f1)}, precision "
            f"{percent(precision)}, recall {percent(recall)} on {counted(support, 'picture')}."
        )
    measured = facts.results.get(facts.results_split, {})
    if "objectness_accuracy" in measured:
        limits.append(objectness_in_words(measured))
    if facts.boxes:
        limits += _place_limits(facts.boxes, facts.classes)
    limits += _confusion_limits(facts)
    error = measured.get("calibration_error")
    if error is not None:
        limits.append(
            f"Its confidence and its accuracy differ by {percent(error)} on average (calibration error)."
        )
    if facts.results_split in CAVEATS:
        limits.append(CAVEATS[facts.results_split])
    if facts.faults:
        verb = "was" if len(facts.faults) == 1 else "were"
        limits.append(f"{counted(len(facts.faults), 'picture')} could not be read and {verb} skipped.")
    return "\n".join(f"- {limit}" for limit in limits)


def _detection_limits(boxes: BoxFacts, split: str) -> list[str]:
    """On how many objects it was measured, the weakest class, how much is found, and what to mend first."""
    seen = [scores for scores in boxes.per_class if scores.ap is not None]
    weakest = min(seen, key=lambda scores: scores.ap or 0.0)
    limits = [
        f"Its average precision was measured on {counted(boxes.objects, 'object')} of the {split} split.",
        f"The weakest class there is {_text(weakest.name)}: AP {three_decimals(weakest.ap)}, AP@0.5 "
        f"{three_decimals(weakest.ap_50)} on {counted(weakest.objects, 'object')}.",
    ]
    if boxes.balance:
        f1, threshold, precision, recall = boxes.balance
        limits.append(
            f"At a score of {threshold:.3f}, which balances both best (F1 {percent(f1)}), it finds "
            f"{percent(recall)} of the objects, and {percent(precision)} of its boxes are right (IoU 0.5 or "
            "more)."
        )
    if boxes.errors:
        worst = max(boxes.errors.kinds, key=lambda kind: kind.gain)
        limits.append(
            f"What costs most is errors of the kind {worst.kind}: without them mAP@0.5 would be larger by "
            f"{worst.gain:.3f}."
        )
    return limits


def _place_limits(boxes: BoxFacts, classes: Sequence[str]) -> list[str]:
    """The class whose boxes fit worst, of a localizer."""
    seen = [(place, name) for place, name in zip(boxes.places, classes, strict=False) if place[2]]
    if not seen:
        return []
    (iou, _, pictures), name = min(seen, key=lambda entry: entry[0][0])
    measured = f"mean IoU {three_decimals(iou)} on {counted(pictures, 'picture')}"
    return [f"Its boxes fit worst around {_text(name)}: {measured}."]


def _confusion_limits(facts: ReportFacts) -> list[str]:
    """How sure the accuracy itself is, and the most frequent mistake."""
    if facts.confusion is None or not (total := int(facts.confusion.sum())):
        return []
    low, high = accuracy_interval(int(facts.confusion.diagonal().sum()), total)
    limits = [
        f"The accuracy was measured on {counted(total, 'picture')}: its 95% interval reaches from "
        f"{percent(low)} to {percent(high)}."
    ]
    for pair in most_confused(facts.confusion, 1):
        truth, guess = _text(facts.classes[pair.truth]), _text(facts.classes[pair.guess])
        limits.append(
            f"The most frequent mistake is {truth} taken for {guess}: {percent(pair.share)} of the pictures "
            f"of {truth}."
        )
    return limits


def _training(facts: ReportFacts) -> str:
    private = {facts.data.get("source"), dict(flat(facts.settings)).get("model.weights")} - {""}
    rows = [
        ("started from", started_from(facts.settings)),
        ("epochs run", str(len(facts.history))),
        ("wall time", duration(facts.seconds)),
        ("seed", str(facts.seed)),
        ("precision", facts.precision),
        *((key, plain(value)) for key, value in flat(facts.settings) if str(value) not in private),
    ]  # a card is published: the folders that data and weights lay in are not its readers' concern
    longest = max((len(run) for run in re.findall("`+", facts.command)), default=0)
    fence = "`" * max(3, longest + 1)  # longer than any run of backticks inside
    return f"{fence}bash\n{facts.command}\n{fence}\n\n" + _table(("Setting", "Value"), dict(rows).items())


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table: the first column left, numbers right."""
    lines = [head, [":---", *["---:"] * (len(head) - 1)], *([_text(cell) for cell in row] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _text(words: str) -> str:
    """Words as Markdown shows them literally, on one line: no markup, no HTML, no table borders."""
    one_line = escape(" ".join(words.split()), quote=False)
    return re.sub(r"[\\`*\[\]|~#]|(?<!\w)_|_(?!\w)", lambda match: f"\\{match.group()}", one_line)
