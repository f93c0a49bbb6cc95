"""The sections of a report, as HTML; each is empty when nothing of its kind was measured."""

from html import escape

from striate.report.box_sections import found_in_all
from striate.report.charts import (
    HEAT_MAP_CELLS,
    curve_chart,
    heat_map,
    learning_rate_chart,
    reliability_chart,
)
from striate.report.confusion import accuracy_interval, block_side, most_confused
from striate.report.facts import Mistake, ReportFacts
from striate.report.pictures import is_tiny, picture_uri
from striate.report.tables import (
    MATRIX_CLASSES,
    class_table,
    confusion_table,
    facts_table,
    long_table,
    pairs_table,
    row,
    table,
)
from striate.report.wording import (
    CAVEATS,
    counted,
    duration,
    label,
    metric_name,
    metric_value,
    percent,
    plain,
    results_table,
    short_count,
    split_name,
    started_from,
)

HEADLINES = (
    *("map", "map_50", "map_75", "objectness_accuracy", "mean_iou", "localized"),
    *("accuracy", "top5_accuracy", "macro_f1", "calibration_error"),
)
MONITORED = {
    "map": "mAP",
    "mean_iou": "mean IoU",
    "accuracy": "accuracy",
}  # the first one tells the best epoch
CONFUSED_PAIRS = 10


def headline(facts: ReportFacts) -> str:
    """The handful of numbers a reader looks for first."""
    measured = facts.results.get(facts.results_split, {})
    split = f"{split_name(facts.results_split)} split"
    numbers = [
        (metric_value(key, measured[key]), metric_name(key), split)
        for key in HEADLINES
        if key in measured and not (key == "top5_accuracy" and len(facts.classes) <= 5)
    ]
    numbers.append((short_count(facts.params), "Parameters", facts.model))
    numbers.append((duration(facts.seconds), "Training time", counted(len(facts.history), "epoch")))
    return "".join(
        f"<div><dt>{escape(name)}</dt><dd>{escape(value)}</dd><dd class='note'>{escape(note)}</dd></div>"
        for value, name, note in numbers
    )


def results(facts: ReportFacts) -> str:
    """Every metric on every split, and what the accuracy amounts to."""
    head, rows = results_table(facts.results)
    if not rows:
        return ""
    lines = [row(name, cells) for name, *cells in rows]
    numbers = table(head, lines, "All metrics of the best weights.", "metrics")
    return f'<div class="pair"><div>{_verdict(facts)}{_levels(facts)}</div><div>{numbers}</div></div>'


def _verdict(facts: ReportFacts) -> str:
    """The accuracy in words, with its interval and what guessing would give; of a detector, what it finds."""
    if facts.boxes and facts.boxes.per_class:
        return found_in_all(facts)
    confusion = facts.confusion
    if confusion is None or not (total := int(confusion.sum())):
        return ""
    right = int(confusion.diagonal().sum())
    low, high = accuracy_interval(right, total)
    common = int(confusion.sum(1).max())
    split = escape(split_name(facts.results_split))
    return (
        f"<p>The model names <b>{right:,} of {total:,}</b> pictures of the {split} split correctly: "
        f"{percent(right / total)}. With that many pictures the 95% interval of the accuracy reaches from "
        f"{percent(low)} to {percent(high)} (Wilson score).{_localized(facts)}</p>"
        f"<p>Always naming the most frequent class would be correct for {percent(common / total)}. "
        f"{CAVEATS.get(facts.results_split, '')}</p>"
    )


def _levels(facts: ReportFacts) -> str:
    """What the numbers mean where classes are a tree."""
    measured = facts.results.get(facts.results_split, {})
    if not any("_level" in key for key in measured):
        return ""
    rule = (
        "A class counts what lies below it too; to a class below its label an object is a crowd."
        if facts.boxes
        else "A prediction is right if it is the label or lies below it. Answered: so many are sure enough "
        "to reach that level."
    )
    return f"<p>The classes are a tree; level 0 has its roots. {rule}</p>"


def _localized(facts: ReportFacts) -> str:
    share = facts.results.get(facts.results_split, {}).get("localized")
    if share is None:
        return ""
    return (
        f" For <b>{percent(share)}</b> the class is right and the IoU of the box is 0.5 or more: localized."
    )


def training(facts: ReportFacts) -> str:
    """Loss, accuracy or what stands for it, and learning rate over the epochs."""
    charts = [
        curve_chart(facts.history, key)
        for key in ("loss", "accuracy", "objectness_accuracy", "map", "mean_iou")
    ]
    charts.append(learning_rate_chart(facts.history))
    figures = "".join(f"<div>{chart}</div>" for chart in charts if chart)
    if not figures:
        return ""
    caption = f"Training over {counted(len(facts.history), 'epoch')}."
    validated = [entry for entry in facts.history if entry.get("val")]
    if validated:
        key = next(key for key in MONITORED if key in validated[0]["val"])
        best = max(validated, key=lambda entry: float(entry["val"][key]))
        caption += (
            f" The highest validation {MONITORED[key]}, {metric_value(key, best['val'][key])}, "
            f"was reached in epoch {best['epoch']}."
        )
    return f'<figure><div class="charts">{figures}</div><figcaption>{caption}</figcaption></figure>'


def classes(facts: ReportFacts) -> str:
    """Which classes are told apart, and which are not."""
    parts = []
    if facts.confusion is not None:
        small = len(facts.classes) <= MATRIX_CLASSES
        matrix = confusion_table(facts.classes, facts.confusion) if small else _heat_map(facts)
        pairs = most_confused(facts.confusion, CONFUSED_PAIRS if small else 2 * CONFUSED_PAIRS)
        table_of_pairs = pairs_table(facts.classes, pairs) if pairs and len(facts.classes) > 2 else ""
        parts.append(f'<div class="pair"><div>{matrix}</div><div>{table_of_pairs}</div></div>')
    if facts.per_class:
        parts.append(class_table(facts.classes, facts.per_class))
    return "".join(parts)


def _heat_map(facts: ReportFacts) -> str:
    assert facts.confusion is not None
    side = block_side(len(facts.classes), HEAT_MAP_CELLS)
    blocks = f"A cell shows the largest share of a block of {side} x {side} classes." if side > 1 else ""
    return (
        f"<figure>{heat_map(facts.confusion)}<figcaption>Confusion matrix, classes by number. Blue is right, "
        "orange is wrong; the shade grows with the square root of the share of the row. "
        f"{blocks}</figcaption></figure>"
    )


def calibration(facts: ReportFacts) -> str:
    """Whether the model's confidence is worth what it says."""
    bins = [entry for entry in facts.reliability if entry[2] > 0]
    if not bins:
        return ""
    total = sum(count for *_, count in bins)
    confidence = sum(sure * count for sure, _, count in bins) / total
    accuracy = sum(right * count for _, right, count in bins) / total
    side = "more" if confidence > accuracy else "less"
    return (
        f'<div class="pair"><figure>{reliability_chart(facts.reliability)}'
        "<figcaption>Reliability: accuracy of the predictions at each confidence, and how many there are. "
        "On the dotted line confidence equals accuracy; orange marks the gap; a large dot stands for many "
        "pictures.</figcaption></figure>"
        "<div><p>On average the model gives its prediction a probability of "
        f"{percent(confidence)} and is correct for {percent(accuracy)}: it is {side} sure than it should be "
        f"by {100 * abs(confidence - accuracy):.2f} points.</p><p>The calibration error is the mean distance "
        "between confidence and accuracy over the bins, each bin counting as much as it has pictures.</p>"
        "</div></div>"
    )


def mistakes(facts: ReportFacts) -> str:
    """The pictures a classifier was most wrong about."""
    if facts.boxes:
        return ""
    confusion = facts.confusion
    wrong = None if confusion is None else int(confusion.sum() - confusion.diagonal().sum())
    if not facts.mistakes:
        return "<p>The model made no mistake on this split.</p>" if wrong == 0 else ""
    shown = counted(len(facts.mistakes), "mistake")
    total = "" if wrong is None else f" of {wrong:,} in all"
    cards = "".join(_mistake(mistake) for mistake in facts.mistakes)
    return (
        f"<p>{shown}{total}: those that the model was most sure of, the most confident first. "
        "Some may be faults of the labels.</p>"
        f'<ol class="mistakes">{cards}</ol>'
    )


def _mistake(mistake: Mistake) -> str:
    score = percent(mistake.score)
    description = f"{mistake.name}: taken for {mistake.guess} ({score}), is {mistake.truth}"
    pixelated = ' class="tiny"' if is_tiny(mistake.image) else ""
    return (
        f'<li><img{pixelated} src="{picture_uri(mistake.image)}" alt="{escape(description)}">'
        f'<p class="guess"><b>{escape(mistake.guess)}</b> {score}</p><p>is {escape(mistake.truth)}</p>'
        f'<p class="note">{escape(mistake.name)}</p></li>'
    )


def data(facts: ReportFacts) -> str:
    """Where the pictures come from, and which of them could not be used."""
    values = {label(key): value for key, value in facts.data.items() if key != "splits"}
    splits = facts.data.get("splits", {})
    sizes = {f"{split_name(name).capitalize()} pictures": f"{size:,}" for name, size in splits.items()}
    parts = [facts_table({**values, **sizes})] if values or sizes else []
    if facts.faults:
        rows = [
            f'<tr><th scope="row">{escape(name)}</th><td class="word">{escape(fault)}</td></tr>'
            for name, fault in facts.faults
        ]
        caption = f"{counted(len(rows), 'picture')} could not be used."
        parts.append(long_table(("Skipped picture", "Fault"), rows, caption, "faults"))
    return "".join(parts)


def settings(facts: ReportFacts) -> str:
    """All it takes to run this again."""
    groups: dict[str, dict[str, object]] = {}
    general: dict[str, object] = {
        "started from": started_from(facts.settings),
        "seed": facts.seed,
        "precision": facts.precision,
    }
    for key, value in facts.settings.items():
        if isinstance(value, dict) and value:
            groups[label(key)] = value
        else:
            general.setdefault(key, value)
    groups = {"General": general, **groups, "Versions": dict(facts.versions)}
    blocks = "".join(
        f"<details><summary>{escape(name)} <span class='note'>{escape(_glance(values))}</span></summary>"
        f"{facts_table(values)}</details>"
        for name, values in groups.items()
        if values
    )
    return f"<pre><code>{escape(facts.command)}</code></pre>{blocks}"


def _glance(values: dict[str, object]) -> str:
    """The first few values of a group, for its closed heading."""
    leaves = [f"{key} {plain(value)}" for key, value in values.items() if not isinstance(value, dict)]
    return ", ".join(leaves[:3]) + (", …" if len(values) > 3 else "")
