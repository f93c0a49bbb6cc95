"""The lines of a CSV file of boxes, their numbers, and whether these are pixels or fractions of the picture.

A few boxes of a file in fractions reach a hair beyond 0..1, because they were rounded. All boxes of the file
together tell the unit.

| all values of the file are              | the boxes are                                                  |
| --------------------------------------- | -------------------------------------------------------------- |
| within 0..1, give or take 1 %           | fractions; what is beyond the edge is cut, and told            |
| 0 and 1 alone, or else none beyond 2    | not clear: an error, unless a column "unit" says it            |
| fractions in half of the lines or more  | not clear: an error that names the first line with others      |
| larger                                  | pixels; pictures with a fraction among them are left out       |
"""

from collections.abc import Sequence
from dataclasses import dataclass

from striate.data.annotations import Box, quoted
from striate.data.formats.csv_table import Table, decimal
from striate.data.xml_reading import number
from striate.errors import InputError

MARGIN = 0.01  # how far rounding takes a fraction beyond 0..1
_EXACT = 1e-6  # not worth a word
_UNITS = {"pixel": False, "normalized": True}
_MEND = 'add a column "unit" that says pixel or normalized'


@dataclass(slots=True)
class Row:
    """A line with a value for each column.

    Attributes:
        place: file and line.
        values: by column.
        box: the numbers of its box, as written; None if there are none, or not all of them.
        fault: why there are not.
        has_comma: whether a comma may be before the fraction of its numbers.
        has_decimal_comma: whether one is.
    """

    place: str
    values: dict[str, str]
    box: Box | None = None
    fault: str = ""
    has_comma: bool = False
    has_decimal_comma: bool = False

    def number(self, text: str) -> float | None:
        """The number that one of its values is; None if it is none."""
        return decimal(text) if self.has_comma else number(text)


def read_rows(table: Table) -> tuple[list[Row], list[tuple[str, tuple[str, ...]]]]:
    """(The lines that have a value for each column, the place and values of the others)."""
    rows, others = [], []
    has_comma = table.delimiter != ","  # between commas, "1,050" may be a thousand and fifty
    for line, values in table.rows:
        place = f"{table.path}, line {line}"
        if len(values) != len(table.columns):
            others.append((place, values))
            continue
        row = Row(place, dict(zip(table.columns, values, strict=True)), has_comma=has_comma)
        texts = [row.values[side] for side in table.box]
        if any(map(str.strip, texts)):
            _read_box(row, texts, table.box)
        rows.append(row)
    return rows, others


def _read_box(row: Row, texts: Sequence[str], sides: tuple[str, ...]) -> None:
    found = []
    for side, text in zip(sides, texts, strict=True):
        if (value := row.number(text)) is None:
            row.fault = f"{side} is {quoted(text)}, no number" if text else f"{side} is missing"
            return
        row.has_decimal_comma |= "," in text
        found.append(value)
    a, b, c, d = found
    row.box = (a, b, c, d)


def are_in_fractions(rows: list[Row], table: Table, place: str) -> bool:
    """Whether the boxes of a file are fractions of their pictures; see the table above.

    Raises:
        InputError: it is not clear, or the column "unit" says something else.
    """
    units = {row.values["unit"].strip() for row in rows if "unit" in table.columns} - {""}
    if units:
        if len(units) > 1 or not units <= _UNITS.keys():
            shown = ", ".join(map(quoted, sorted(units)[:3]))
            raise InputError(f"the unit is {shown}", place, "write pixel or normalized everywhere")
        return _UNITS[units.pop()]
    boxed = [(row, row.box) for row in rows if row.box]
    larger = [(row, box) for row, box in boxed if not _is_near_unit(box)]
    fractions = sum(are_fractions(box) for _, box in boxed)
    if not boxed or (fractions and not larger):
        return bool(boxed)
    if not larger:
        what = "all values of its boxes are 0 or 1, which may be pixels or fractions of the picture"
        raise InputError(what, f"{place}, {_line(boxed[0][0])}", _MEND)
    if 2 * fractions >= len(boxed) or max(max(box) for _, box in boxed) <= 2:
        row, box = larger[0]
        value = next(value for value in box if not -MARGIN <= value <= 1 + MARGIN)
        side = table.box[box.index(value)]
        what = f"{side} is {value:g}, which is no fraction of the picture as most values of the file are"
        raise InputError(what, f"{place}, {_line(row)}", f"mend it, or {_MEND}")
    return False


def are_fractions(box: Box) -> bool:
    """Whether the numbers of a box are fractions of its picture; whole numbers may be either."""
    return _is_near_unit(box) and any(value % 1 for value in box)


def is_within_a_pixel(box: Box) -> bool:
    """Whether corners are less than a pixel apart in both directions, which nobody draws."""
    x1, y1, x2, y2 = box
    return 0 < x2 - x1 < 1 and 0 < y2 - y1 < 1


def cut_at_edge(box: Box) -> tuple[Box, str]:
    """Corners in fractions without what rounding has put beyond the edge, and what to say of it."""
    beyond = max(-min(box), max(box) - 1)
    if beyond <= 0 or not _is_near_unit(box):
        return box, ""
    x1, y1, x2, y2 = (min(max(value, 0.0), 1.0) for value in box)
    told = f"the box reaches {100 * beyond:.2g} % beyond the edge of the picture; it is cut there"
    return (x1, y1, x2, y2), told if beyond > _EXACT else ""


def _is_near_unit(box: Box) -> bool:
    return min(box) >= -MARGIN and max(box) <= 1 + MARGIN


def _line(row: Row) -> str:
    return row.place.rpartition(", ")[2]
