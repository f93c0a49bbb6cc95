"""How measured values are worded, the same in the report and in the model card."""

import math
from collections.abc import Iterator
from pathlib import PurePath
from typing import Any

from striate.errors import counted as counted

METRIC_NAMES = {
    "map": "mAP",
    "map_50": "mAP@0.5",
    "map_75": "mAP@0.75",
    "map_small": "mAP of small objects",
    "map_medium": "mAP of medium objects",
    "map_large": "mAP of large objects",
    "ar_1": "Average recall, 1 detection",
    "ar_10": "Average recall, 10 detections",
    "ar_100": "Average recall, 100 detections",
    "ar_small": "Average recall of small objects",
    "ar_medium": "Average recall of medium objects",
    "ar_large": "Average recall of large objects",
    "map_voc2007": "mAP by VOC 2007",
    "map_voc2010": "mAP by VOC 2010",
    "mean_iou": "Mean IoU",
    "localized": "Localized",
    "objectness_accuracy": "Objectness accuracy",
    "objectness_precision": "Objectness precision",
    "objectness_recall": "Objectness recall",
    "objectness_ap": "Objectness AP",
    "accuracy": "Accuracy",
    "top5_accuracy": "Top-5 accuracy",
    "balanced_accuracy": "Balanced accuracy",
    "answered": "Answered",
    "macro_precision": "Macro precision",
    "macro_recall": "Macro recall",
    "macro_f1": "Macro F1",
    "calibration_error": "Calibration error",
    "log_loss": "Log loss",
}
CAVEATS = {
    "val": "There was no test split: the weights were chosen on these validation pictures, so the numbers "
    "are a little better than on new ones.",
    "train": "Nothing was held out: these are the pictures that the model learned from, so the numbers say "
    "little about new ones.",
}
SPLIT_NAMES = {"train": "training", "val": "validation", "test": "test"}


def metric_name(key: str) -> str:
    """The name of a metric for a person: ``macro_f1`` -> ``Macro F1``."""
    key, _, level = key.partition("_level")
    return METRIC_NAMES.get(key, label(key)) + (f" at level {level}" if level else "")


def name_in_text(key: str) -> str:
    """The name of a metric within a sentence: ``mean_iou`` -> ``mean IoU``, ``map`` -> ``mAP``."""
    name = metric_name(key)
    return name[:1].lower() + name[1:]


def metric_value(key: str, value: float) -> str:
    """A rate as a percentage, what is made of overlaps with three decimals, any other metric with four."""
    if math.isnan(value):
        return "–"
    if key.startswith(("map", "ar_")) or key in ("mean_iou", "objectness_ap"):
        return three_decimals(value)
    key = key.partition("_level")[0]
    rate = key.endswith("accuracy") or (key in METRIC_NAMES and key != "log_loss")
    return percent(value) if rate else f"{value:.4f}"


def results_table(results: dict[str, dict[str, float]]) -> tuple[list[str], list[list[str]]]:
    """Every metric of every split that has any: the head and the rows of a table, in words."""
    splits = [split for split, values in results.items() if values]
    measured = dict.fromkeys(key for split in splits for key in results[split])
    keys = [key for key in METRIC_NAMES if key in measured]
    keys += [key for key in measured if key not in METRIC_NAMES]
    rows = [
        [metric_name(key), *(metric_value(key, results[split].get(key, math.nan)) for split in splits)]
        for key in keys
    ]
    return ["Metric", *(split_name(split).capitalize() for split in splits)], rows


def objectness_in_words(measured: dict[str, float]) -> str:
    """What a localizer's objectness is worth, and of which pictures the other numbers are."""
    accuracy, precision, recall = (
        percent(measured[f"objectness_{name}"]) for name in ("accuracy", "precision", "recall")
    )
    return (
        f"It tells rightly of {accuracy} of the pictures whether there is an object at all, where a score of "
        f"0.5 or more says yes: it says so of {recall} of those with an object, and {precision} of the "
        "pictures of which it says so have one. Accuracy, mean IoU and localized are of pictures with an "
        "object, whatever the score."
    )


def split_name(key: str) -> str:
    """The name of a split for a person: ``val`` -> ``validation``."""
    return SPLIT_NAMES.get(key, key)


def percent(value: float) -> str:
    """A fraction as a percentage with two decimals; never rounded up to 100%; a dash if undefined."""
    if math.isnan(value):
        return "–"
    shown = f"{100 * value:.2f}%"
    return "99.99%" if shown == "100.00%" and value < 1 else shown


def three_decimals(value: float | None) -> str:
    """A number in 0..1 with three decimals; never rounded up to 1; a dash if undefined."""
    if value is None or math.isnan(value):
        return "–"
    shown = f"{value:.3f}"
    return "0.999" if shown == "1.000" and value < 1 else shown


def short_count(count: int) -> str:
    """A count in full up to ten million, above it with three or four digits: ``138.4 M``."""
    if count < 10**7:
        return f"{count:,}"
    return f"{count / 10**6:,.1f} M" if count < 10**9 else f"{count / 10**9:,.2f} G"


def duration(seconds: float) -> str:
    """Seconds as a person says them: ``42.0 s``, ``3 min 12 s``, ``1 h 02 min``."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest:02d} s"
    return f"{minutes // 60} h {minutes % 60:02d} min"


def dataset_name(data: dict[str, Any]) -> str:
    """What a data set is called: its name, else the last part of where it came from; may be empty."""
    return str(data.get("name") or PurePath(str(data.get("source", ""))).name)


def started_from(settings: dict[str, Any]) -> str:
    """Where a run's first weights came from, without the folders on the way there."""
    model = settings.get("model")
    if isinstance(model, dict) and model.get("pretrained"):
        return f"the published weights of {model.get('name')}"
    if isinstance(model, dict) and model.get("weights"):
        return f"the weights of {PurePath(str(model['weights'])).name}"
    return "random weights"


def writable(text: str) -> str:
    """Text that UTF-8 can hold: stray bytes of a file name in a foreign encoding are written as escapes."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def label(key: str) -> str:
    """The name of a setting for a person: ``learning_rate`` -> ``Learning rate``."""
    words = key.replace("_", " ").strip()
    return words[:1].upper() + words[1:]


def plain(value: object) -> str:
    """A plain value as a recipe would write it, strings without quotes."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if value is None:
        return "none"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, dict):
        return ", ".join(f"{key} {plain(item)}" for key, item in value.items()) or "none"
    if isinstance(value, list | tuple):
        separator = "; " if any(isinstance(item, dict) for item in value) else ", "
        return separator.join(plain(item) for item in value) or "none"
    return str(value)


def flat(values: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """The leaves of nested settings, in order, under dotted names."""
    for key, value in values.items():
        if isinstance(value, dict) and value:
            yield from flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value if value != {} else None
