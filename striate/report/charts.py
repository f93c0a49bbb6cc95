"""The charts of a report, as inline SVG.

Text stays text (it takes the page's font) and colours are the page's CSS variables, so that one drawing
serves light mode, dark mode and paper. Nothing a user named is ever drawn here: it would meet matplotlib's
formula syntax and the limits of its fonts.
"""

import io
import re
from collections.abc import Iterator
from contextlib import contextmanager
from html import escape
from typing import Any

import matplotlib
import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator, PercentFormatter
from torch import Tensor

from striate.report.confusion import largest_of_blocks, row_shares, split_diagonal
from striate.report.wording import metric_name

# matplotlib knows no CSS variables: it draws with colours nobody would choose, replaced afterwards
INK, SOFT, LINE, BLUE, ORANGE = "#010201", "#010202", "#010203", "#010204", "#010205"
CSS_VARIABLES = {INK: "--ink", SOFT: "--soft", LINE: "--line", BLUE: "--blue", ORANGE: "--orange"}
HIT_RGB, MISS_RGB = (0.17, 0.51, 0.78), (0.87, 0.42, 0.09)  # on white and on black alike
HEAT_MAP_CELLS = 200

STYLE: dict[str, Any] = {
    "axes.edgecolor": LINE,
    "axes.labelcolor": SOFT,
    "axes.spines.left": False,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.grid": True,
    "axes.grid.axis": "y",
    "axes.axisbelow": True,
    "axes.titlecolor": INK,
    "axes.titlelocation": "left",
    "axes.titlesize": 11,
    "axes.titleweight": "bold",
    "font.sans-serif": ["DejaVu Sans"],  # measures the text; the page shows its own
    "font.size": 10,
    "grid.color": LINE,
    "grid.linewidth": 0.7,
    "legend.frameon": False,
    "legend.labelcolor": SOFT,
    "lines.linewidth": 1.8,
    "lines.solid_capstyle": "round",
    "svg.fonttype": "none",
    "text.color": INK,
    "xtick.color": LINE,
    "xtick.labelcolor": SOFT,
    "ytick.color": LINE,
    "ytick.labelcolor": SOFT,
    "ytick.major.size": 0,
}


def curve_chart(history: list[dict[str, Any]], key: str) -> str:
    """A metric over the epochs, training dashed and validation solid; SVG, empty if never recorded."""
    curves = [
        (name, *style, [(row["epoch"], row[split][key]) for row in history if key in row.get(split, {})])
        for split, name, style in (
            ("train", "training", (ORANGE, (0, (4, 2)))),
            ("val", "validation", (BLUE, "solid")),
        )
    ]
    curves = [curve for curve in curves if curve[-1]]
    if not curves:
        return ""
    with drawing(key) as figure:
        axes = _epoch_axes(figure, metric_name(key))
        for name, colour, line, points in curves:
            epochs, values = zip(*points, strict=True)
            axes.plot(epochs, values, color=colour, linestyle=line, label=name, **_one_point(points))
        if key == "accuracy":
            axes.yaxis.set_major_formatter(FuncFormatter(lambda share, _: f"{100 * share:.4g}%"))
        else:
            axes.set_ylim(bottom=0)
        legend = axes.legend(
            loc="lower right",
            bbox_to_anchor=(1.01, 1.0),
            ncols=2,
            handlelength=1.8,
            borderpad=0.1,
            borderaxespad=0,
        )
        legend.set_in_layout(False)  # it stands beside the title: all charts keep the same height
        ends = "; ".join(f"{name} ends at {points[-1][1]:.4g}" for name, _, _, points in curves)
        return to_svg(figure, f"{metric_name(key)} over {len(history)} epochs: {ends}")


def learning_rate_chart(history: list[dict[str, Any]]) -> str:
    """The learning rate at the end of each epoch; SVG, empty if never recorded."""
    points = [(row["epoch"], row["lr"]) for row in history if "lr" in row]
    if not points:
        return ""
    with drawing("lr") as figure:
        axes = _epoch_axes(figure, "Learning rate")
        epochs, rates = zip(*points, strict=True)
        axes.plot(epochs, rates, color=SOFT, **_one_point(points))
        axes.set_ylim(bottom=0)
        axes.yaxis.set_major_formatter(FuncFormatter(lambda rate, _: f"{rate:.3g}"))
        return to_svg(figure, f"Learning rate by epoch, from {rates[0]:.3g} to {rates[-1]:.3g}")


def reliability_chart(bins: list[tuple[float, float, int]]) -> str:
    """Accuracy against confidence, above the share of pictures at each confidence; SVG.

    Args:
        bins: (mean confidence, accuracy, pictures) of each bin; at least one with pictures.
    """
    filled = np.array([row for row in bins if row[2] > 0], dtype=np.float64)
    confidence, accuracy, count = filled.T
    with drawing("reliability", figsize=(4.6, 4.4)) as figure:
        top, bottom = figure.subplots(2, 1, sharex=True, height_ratios=(4, 1))
        top.plot((0, 1), (0, 1), color=SOFT, linewidth=1, linestyle=(0, (2, 3)))
        top.vlines(confidence, confidence, accuracy, color=ORANGE, linewidth=1.6)
        share = count / count.sum()
        top.scatter(confidence, accuracy, 15 + 200 * share, color=BLUE, zorder=3, clip_on=False)
        top.set(xlim=(0, 1.02), ylim=(0, 1.04), ylabel="accuracy")
        bottom.bar(confidence, share, width=0.7 / len(bins), color=SOFT)
        bottom.set(ylabel="pictures", xlabel="confidence")
        bottom.yaxis.set_major_locator(MaxNLocator(2))
        for axis in (top.yaxis, bottom.yaxis, bottom.xaxis):
            axis.set_major_formatter(PercentFormatter(1, decimals=0))
        points = "; ".join(f"{x:.0%} sure, {y:.0%} right" for x, y in zip(confidence, accuracy, strict=True))
        return to_svg(figure, f"Reliability diagram. {points}")


def heat_map(confusion: Tensor) -> str:
    """A confusion matrix too large for a table, right in blue and wrong in orange; SVG.

    Args:
        confusion: int64 (K, K), rows truth, columns prediction. Above ``HEAT_MAP_CELLS`` classes a cell
            shows the largest share of a square block of classes.
    """
    num_classes = confusion.shape[0]
    right, wrong = (largest_of_blocks(part, HEAT_MAP_CELLS) for part in split_diagonal(row_shares(confusion)))
    pixels = torch.empty(*right.shape, 4, dtype=torch.float64)  # (cells, cells, RGBA)
    pixels[..., :3] = torch.where((wrong > right)[..., None], torch.tensor(MISS_RGB), torch.tensor(HIT_RGB))
    share = torch.maximum(right, wrong)
    pixels[..., 3] = torch.where(share > 0, 0.15 + 0.85 * share.sqrt(), 0.0)
    with drawing("confusion", figsize=(5.6, 5.6)) as figure:
        axes = figure.subplots()
        edge = num_classes - 0.5
        axes.imshow(pixels.numpy(), interpolation="none", extent=(-0.5, edge, edge, -0.5))
        axes.set(xlabel="predicted class number", ylabel="true class number")
        axes.grid(visible=False)
        axes.spines[:].set_visible(True)
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_major_locator(MaxNLocator(6, integer=True))
        return to_svg(figure, f"Confusion matrix of {num_classes} classes")


@contextmanager
def drawing(name: str, figsize: tuple[float, float] = (4.4, 3.0)) -> Iterator[Figure]:
    """A figure under the report's style, whatever style the user has set; theirs is back afterwards.

    ``name`` keeps the ids of one drawing apart from those of the others on the page.
    """
    groups = {key.split(".")[0] for key in STYLE} | {
        "figure",
        "image",
        "mathtext",
        "path",
        "patch",
        "savefig",
    }
    style: dict[Any, Any] = {
        key: value for key, value in matplotlib.rcParamsDefault.items() if key.split(".")[0] in groups
    }
    with matplotlib.rc_context(style | STYLE | {"svg.hashsalt": name}):
        yield Figure(figsize=figsize, layout="constrained")


def _epoch_axes(figure: Figure, title: str) -> Axes:
    axes: Axes = figure.subplots()
    axes.set_title(title)
    axes.set_xlabel("epoch")
    axes.xaxis.set_major_locator(MaxNLocator(6, integer=True, min_n_ticks=1))
    axes.yaxis.set_major_locator(MaxNLocator(5))
    return axes


def _one_point(points: list[tuple[int, float]]) -> dict[str, Any]:
    return {"marker": "o", "clip_on": False} if len(points) == 1 else {}  # one point makes no line


def to_svg(figure: Figure, description: str) -> str:
    """The figure as an SVG element in the page's colours, without what only a file of its own needs."""
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", transparent=True)
    svg = buffer.getvalue()
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<(metadata|style)\b.*?</\1>\s*", "", svg, flags=re.DOTALL)
    view_box = re.search(r'viewBox="([^"]+)"', svg).group(1)  # type: ignore[union-attr]  # always written
    head = f'<svg viewBox="{view_box}" role="img"><title>{escape(description)}</title>'
    svg = re.sub(r"<svg\b[^>]*>", lambda _: head, svg, count=1)
    svg = svg.replace("xlink:href", "href")
    used = set(re.findall(r"#([\w-]+)", svg))
    svg = re.sub(r' id="([^"]*)"', lambda match: match.group(0) if match.group(1) in used else "", svg)
    for colour, variable in CSS_VARIABLES.items():
        svg = svg.replace(colour, f"var({variable})")
    return svg
