"""The tables of a report, as HTML."""

from collections.abc import Iterable, Sequence
from html import escape
from typing import Any

from torch import Tensor

from striate.report.confusion import ConfusedPair, row_shares
from striate.report.wording import flat, percent, plain

MATRIX_CLASSES = 30  # up to here a confusion matrix is a table, above it a heat map
ROOMY_CLASSES = 15  # up to here its cells have room for every count
SHOWN_ROWS = 40  # of a long table; the others are one click away


def table(head: Sequence[str], rows: Sequence[str], caption: str, kind: str = "") -> str:
    """A table: ``head`` plain words, ``rows`` finished ``<tr>`` elements, ``caption`` finished HTML."""
    cells = "".join(f'<th scope="col">{escape(name)}</th>' for name in head)
    return (
        f'<table class="{kind}"><caption>{caption}</caption>'
        f"<thead><tr>{cells}</tr></thead><tbody>{''.join(rows)}</tbody></table>"
    )


def row(name: str, cells: Iterable[str]) -> str:
    """A row: ``name`` plain words, ``cells`` plain words of numbers."""
    return (
        f'<tr><th scope="row">{escape(name)}</th>{"".join(f"<td>{escape(cell)}</td>" for cell in cells)}</tr>'
    )


def facts_table(values: dict[str, Any]) -> str:
    """Names and plain values, nested ones under dotted names."""
    rows = [
        f'<tr><th scope="row">{escape(name)}</th><td>{escape(plain(value))}</td></tr>'
        for name, value in flat(values)
    ]
    return f'<table class="facts"><tbody>{"".join(rows)}</tbody></table>'


def long_table(head: Sequence[str], rows: Sequence[str], caption: str, kind: str = "") -> str:
    """A table of which the first ``SHOWN_ROWS`` rows are seen at once and the others on a click."""
    first = table(head, rows[:SHOWN_ROWS], caption, kind)
    rest = rows[SHOWN_ROWS:]
    if not rest:
        return first
    more = table(head, rest, "The rows after these.", f"{kind} uncounted")
    return f"{first}<details><summary>The other {len(rest):,} rows</summary>{more}</details>"


def class_table(classes: Sequence[str], per_class: Sequence[tuple[float, float, float, int]]) -> str:
    """Precision, recall and F1 of every class, the weakest first; dashes for one without pictures, last."""
    order = sorted(range(len(per_class)), key=lambda index: (per_class[index][3] == 0, per_class[index][2]))
    rows = []
    for index in order:
        *rates, support = per_class[index]
        bars = "".join(
            f'<td class="bar" style="--w:{rate:.4f}">{percent(rate)}</td>' if support else "<td>–</td>"
            for rate in rates
        )
        rows.append(f'<tr><th scope="row">{escape(classes[index])}</th>{bars}<td>{support:,}</td></tr>')
    head = ("Class", "Precision", "Recall", "F1", "Pictures")
    return long_table(head, rows, "Precision, recall and F1 of each class, the weakest F1 first.", "bars")


def pairs_table(classes: Sequence[str], pairs: Sequence[ConfusedPair]) -> str:
    """The most frequent mistakes."""
    rows = [
        f'<tr><th scope="row">{escape(classes[pair.truth])}</th>'
        f'<td class="word">{escape(classes[pair.guess])}</td>'
        f"<td>{pair.pictures:,}</td><td>{percent(pair.share)}</td></tr>"
        for pair in pairs
    ]
    caption = "The most confused pairs. Share: of all pictures of the true class."
    return table(("True class", "Taken for", "Pictures", "Share"), rows, caption, "pairs")


def confusion_table(classes: Sequence[str], confusion: Tensor) -> str:
    """A confusion matrix int64 (K, K), rows truth, columns prediction, shaded by the share of its row."""
    shades = row_shares(confusion).sqrt().tolist()
    rows = []
    for truth, counts in enumerate(confusion.tolist()):
        cells = []
        for guess, count in enumerate(counts):
            kind = "hit" if truth == guess else "miss" if count else "none"
            hint = escape(f"{classes[truth]} taken for {classes[guess]}: {count:,}")
            shade = f' style="--a:{shades[truth][guess]:.3f}"' if count else ""
            cells.append(f'<td class="{kind}"{shade} title="{hint}">{count}</td>')
        rows.append(f'<tr><th scope="row">{_short(classes[truth])}</th>{"".join(cells)}</tr>')
    head = "".join(f'<th scope="col">{_short(name)}</th>' for name in classes)
    dense = "" if len(classes) <= ROOMY_CLASSES else " dense"
    return (
        '<p class="caption" id="confusion-caption">Confusion matrix: rows are the true classes, columns the '
        "predicted ones. Blue is right, orange is wrong; the shade grows with the square root of the share "
        "of the row, so that rare mistakes are seen.</p>"
        '<div class="scroll" role="region" tabindex="0" aria-labelledby="confusion-caption">'
        f'<table class="confusion{dense}" aria-labelledby="confusion-caption">'
        f'<thead><tr><td class="corner">true ↓ &ensp; predicted →</td>{head}</tr></thead>'
        f"<tbody>{''.join(rows)}</tbody></table></div>"
    )


def _short(name: str) -> str:
    """A class name in a box that may cut it off; the whole name shows on hovering."""
    return f'<span class="cut" title="{escape(name)}">{escape(name)}</span>'
