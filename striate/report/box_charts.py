"""The charts of boxes, as inline SVG by the rules of ``striate.report.charts``."""

from collections.abc import Sequence

import numpy as np
from matplotlib.ticker import PercentFormatter

from striate.metrics.matching import Floats
from striate.metrics.precision_recall import HUNDRED_AND_ONE, Curve
from striate.report.charts import BLUE, HIT_RGB, ORANGE, SOFT, drawing, to_svg
from striate.report.facts import BoxSizes

DRAWN_CLASSES = 40  # curves beside their mean


def heights(points: Curve) -> Floats:
    """The largest precision at each of 101 recalls or more, (101,): 0 where none is reached."""
    recall, precision = np.array(points.recall), np.array(points.precision)
    at_least = np.maximum.accumulate(np.append(precision, 0.0)[::-1])[::-1]
    return at_least[np.searchsorted(recall, HUNDRED_AND_ONE)]


def precision_recall_chart(curves: Sequence[Curve], objects: Sequence[int]) -> str:
    """Precision over recall of the classes with most objects, and the mean over all; SVG.

    Args:
        curves: of each class.
        objects: of each class, to be found; classes without any are left out, and there is one with some.
    """
    order = [label for label in np.argsort(objects, kind="stable")[::-1] if objects[label]]
    table = np.stack([heights(curves[label]) for label in order])
    mean = table.mean(axis=0)
    with drawing("precision-recall", figsize=(4.6, 4.0)) as figure:
        axes = figure.subplots()
        if len(order) > 1:
            for row in table[:DRAWN_CLASSES]:
                axes.plot(HUNDRED_AND_ONE, row, color=SOFT, linewidth=0.8, alpha=0.45)
        axes.plot(HUNDRED_AND_ONE, mean, color=BLUE, linewidth=2.6)
        axes.set(xlim=(0, 1.02), ylim=(0, 1.04), xlabel="recall", ylabel="precision")
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_major_formatter(PercentFormatter(1, decimals=0))
        points = "; ".join(f"{mean[at]:.0%} at recall {at}%" for at in range(0, 101, 20))
        return to_svg(figure, f"Precision over recall, mean of {len(order)} classes: {points}")


def size_chart(facts: BoxSizes) -> str:
    """The widths and heights of boxes as a cloud, and the anchors in it; SVG."""
    width, height = facts.sizes.double().numpy().T
    with drawing("sizes", figsize=(4.6, 4.4)) as figure:
        figure.set_dpi(200)  # of the cloud, which thousands of SVG elements would make heavy
        axes = figure.subplots()
        axes.scatter(width, height, 9, color=HIT_RGB, alpha=0.35, linewidths=0, rasterized=True)
        if facts.anchors:
            anchors = np.array(facts.anchors)
            axes.plot(*anchors.T, color=ORANGE, linestyle="", marker="+", markersize=11, markeredgewidth=2)
        axes.set(xlabel="width", ylabel="height")
        axes.set_xlim(left=0)
        axes.set_ylim(bottom=0)
        anchors_too = f" and {len(facts.anchors)} anchors" if facts.anchors else ""
        return to_svg(figure, f"Width and height of {len(width)} boxes{anchors_too}")
