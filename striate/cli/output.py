"""How commands print: tables for people, JSON for programs."""

import json
import sys
from collections.abc import Sequence
from typing import Any

from rich.console import Console
from rich.table import Table


def print_json(value: Any) -> None:
    """``value`` as JSON on standard output."""
    sys.stdout.write(json.dumps(value, indent=2) + "\n")


def print_table(columns: Sequence[str], rows: Sequence[Sequence[str]], numbers: Sequence[int] = ()) -> None:
    """A plain table on standard output; ``numbers`` are the columns set to the right."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for index, name in enumerate(columns):
        table.add_column(name, justify="right" if index in numbers else "left", overflow="fold")
    for row in rows:
        table.add_row(*row)
    width = None if sys.stdout.isatty() else 1000  # a pipe gets one line per row
    Console(width=width, markup=False, highlight=False).print(table)


def percent(value: float) -> str:
    """0.9834 as "98.34 %"."""
    return f"{100 * value:.2f} %"


def measured(key: str, value: float) -> str:
    """A metric that a task monitors: an accuracy as "98.34 %", what is made of overlaps as "0.612"."""
    return percent(value) if key == "accuracy" else f"{value:.3f}"


def headline(metrics: dict[str, float]) -> str:
    """What a person looks at first: "accuracy 98.34 %", or "mAP 0.612, mAP@0.5 0.934"."""
    if "objectness_accuracy" in metrics:
        told = f"objectness right for {percent(metrics['objectness_accuracy'])}"
        return f"{told}, mAP {metrics['map']:.3f}, mAP@0.5 {metrics['map_50']:.3f}"
    if "map" in metrics:
        return f"mAP {metrics['map']:.3f}, mAP@0.5 {metrics['map_50']:.3f}"
    located = f", mean IoU {metrics['mean_iou']:.3f}" if "mean_iou" in metrics else ""
    return f"accuracy {percent(metrics['accuracy'])}{located}"


def short_headline(metrics: dict[str, float]) -> str:
    """The same for a line with little room: "acc 98.34 %", "mAP 0.612"; empty where nothing is measured."""
    if "map" in metrics:
        return f" mAP {metrics['map']:.3f}"
    if "objectness_accuracy" in metrics:
        return f" obj {percent(metrics['objectness_accuracy'])}"
    located = f" IoU {metrics['mean_iou']:.3f}" if "mean_iou" in metrics else ""
    return f" acc {percent(metrics['accuracy'])}{located}" if "accuracy" in metrics else ""
