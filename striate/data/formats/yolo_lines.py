"""The lines of YOLO's label files: the values of a line, and what those behind a box are.

    0 0.5 0.5 0.2 0.1                  a box
    0 0.5 0.5 0.2 0.1 0.91             a box, and how sure a network was of it
    0 0.5 0.5 0.2 0.1 0.91 12          and the number of its track, as trackers save them
    0 0.5 0.5 0.2 0.1 0.4 0.4 2 ...    a box, and points of a pose: each x, y, visibility 0, 1 or 2
    1 0.1 0.1 0.3 0.1 0.3 0.4          three or more corners of an outline

The first three values of a tracked box are numbers like those of a triangle, and some poses have as many as
outlines. So one decision is made for all files of a data set, by the lines that can be one of them only.
Where none of them tells, or they disagree, lines are refused: nobody should train on a guess.
"""

import re
from collections import Counter
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from enum import Enum

from striate.data.annotations import quoted
from striate.data.xml_reading import number
from striate.text_files import composed

BOX = 4  # values of a box, behind the class
_OUTLINE = 6  # at least: three corners
_SCORED, _TRACKED = 5, 6  # values of a box with a confidence, and with the number of a track as well
_SCORE_NAME, _TRACK_NAME = "confidence", "track_id"  # the attributes
_POINT = 3  # values of a point of a pose, if the file of names does not say it: x, y, visibility
_SLACK = 0.01  # by which a box may reach beyond the picture and still be taken for one
_PARTED = re.compile(r"[,;]")
_FIRST = re.compile(r"[\s,;]")


class Family(Enum):
    """What the lines that are longer than a box hold."""

    OUTLINES = "outlines"
    TRACKS = "boxes with a confidence"
    POSES = "poses"
    UNKNOWN = "something that the files do not tell"


@dataclass(frozen=True, slots=True)
class Line:
    """A line: its class as written, the values behind it, also as written, and why it cannot be used."""

    label: str
    words: tuple[str, ...]
    values: tuple[float, ...]
    fault: str = ""


def parse_line(text: str, names: Collection[str] = ()) -> Line | None:
    """A line of a label file; None for an empty one.

    Args:
        text: values parted by spaces or tabs, or all of them by commas, or all by semicolons.
        names: of classes, which may stand in place of an id.
    """
    if not text.strip():
        return None
    try:
        words = _split(text)
    except ValueError as error:
        return Line(_FIRST.split(text.strip(), maxsplit=1)[0], (), (), str(error))
    start = 1
    if number(words[0]) is None:  # a name, perhaps of several words
        start = next((k for k, word in enumerate(words) if number(word) is not None), len(words))
    label = composed(" ".join(words[:start]))
    found = [number(word) for word in words[start:]]
    values = tuple(value for value in found if value is not None)
    fault = ""
    if number(words[0]) is None and label not in names:
        fault = f"{quoted(label)} is no number, and no class of this name is known"
    elif None in found:
        fault = f"{quoted(words[start + found.index(None)])} is no number"
    return Line(label, tuple(words[start:]), values, fault)


def _split(text: str) -> list[str]:
    """The values of a line as written. Raises ValueError where they are parted in more ways than one."""
    if "," not in text and ";" not in text:
        return text.split()
    pieces = [piece.strip() for piece in _PARTED.split(text.strip().rstrip(",;"))]
    if ("," in text and ";" in text) or any(" " in piece or "\t" in piece for piece in pieces[1:]):
        raise ValueError("values are parted in two ways; write numbers with a point, as 0.5")
    if "" in pieces:
        raise ValueError("a value is missing between two commas")
    return [*pieces[0].split(), *pieces[1:]]


class Layout:
    """What the lines of a data set hold.

    Attributes:
        family: what those are that hold more than a box.
    """

    def __init__(self, lines: Iterable[Line], points: tuple[int, int] | None = None) -> None:
        """Decide by ``lines``, all that there are.

        Args:
            points: how many points a pose has and how many values each of them, if the file of names says it.
        """
        self._pose = None if points is None else BOX + points[0] * points[1]
        sure, doubtful = Counter[Family](), Counter[Family]()
        boxes = 0
        scored: list[Line] = []  # lines of a box and one more value
        for line in lines:
            if line.fault or len(line.values) == BOX:
                boxes += not line.fault
                continue
            if len(line.values) == _SCORED:
                scored.append(line)
            family, is_sure = _family_of(line)
            (sure if is_sure else doubtful)[family] += 1
        self._score = _score_of(scored)
        if not self._score:
            sure[Family.TRACKS] -= len(scored)
        self.family = Family.POSES if self._pose else _decide(sure, doubtful, boxes)

    def refusal(self, line: Line) -> str:
        """Why a line that is longer or shorter than a box cannot be used; "" if it can."""
        count = len(line.values)
        what = f"the line has {count + 1} values"
        if self._pose:
            return "" if count == self._pose else f"{what}, not {self._pose + 1} for a box and its points"
        if count < BOX or (count < _OUTLINE and count != _SCORED):
            return f"{what}: neither a box nor an outline"
        if count == _SCORED and not self._score:
            return f"{what}, of which the last is neither a confidence nor the number of a track"
        family, _ = _family_of(line)
        if family is self.family is not Family.UNKNOWN:
            return ""
        if self.family is Family.OUTLINES and _is_outline(line):
            return ""
        if family is Family.UNKNOWN:
            return f"{what}: neither a box nor an outline"
        if self.family is Family.UNKNOWN:
            return f"{what}: a box and more, or an outline; the other lines do not tell"
        return f"{what} as {family.value} have, while other lines are {self.family.value}"

    def attributes(self, line: Line) -> dict[str, float | int]:
        """What a line that is not refused says of its box beyond its place."""
        if self.family is not Family.TRACKS:
            return {}
        if len(line.values) == _SCORED and self._score == _TRACK_NAME:
            return {_TRACK_NAME: int(line.values[BOX])}
        found: dict[str, float | int] = {_SCORE_NAME: line.values[BOX]}
        return found | ({_TRACK_NAME: int(line.values[-1])} if len(line.values) == _TRACKED else {})


def _score_of(lines: list[Line]) -> str:
    """What the value behind the boxes of ``lines`` is: a confidence, or the number of a track; else ""."""
    if all(0 <= line.values[BOX] <= 1 for line in lines):
        return _SCORE_NAME
    return _TRACK_NAME if all(line.values[BOX] >= 0 == line.values[BOX] % 1 for line in lines) else ""


def _family_of(line: Line) -> tuple[Family, bool]:
    """What a line that is longer than a box holds, and whether it can hold nothing else."""
    count = len(line.values)
    if count == _SCORED:
        return Family.TRACKS, True
    if count == _TRACKED and _is_tracked(line):
        return Family.TRACKS, line.values[-1] > 1
    if count > BOX and _is_pose(line):
        return Family.POSES, bool(count % 2) or 2 in line.values[BOX + 2 :: _POINT]
    if _is_outline(line):
        return Family.OUTLINES, min(line.values) >= -_SLACK and max(line.values) <= 1 + _SLACK
    return Family.UNKNOWN, True


def _decide(sure: Counter[Family], doubtful: Counter[Family], boxes: int) -> Family:
    """What the lines hold, by how many can be one kind only, and how many may be outlines instead."""
    known = [(sure[family], family) for family in Family if family is not Family.UNKNOWN]
    (most, best), (second, _), *_ = sorted(known, key=lambda one: -one[0])
    others = doubtful.total() - doubtful[Family.OUTLINES]  # which may be outlines as well
    if not most and not others:
        return Family.OUTLINES if doubtful else Family.UNKNOWN
    if not most:
        are_tracks = boxes and doubtful[Family.TRACKS] == doubtful.total()
        return Family.TRACKS if are_tracks else Family.UNKNOWN
    if most == second or (best is Family.OUTLINES and most < others):
        return Family.UNKNOWN
    return best


def _is_outline(line: Line) -> bool:
    return len(line.values) >= _OUTLINE and len(line.values) % 2 == 0


def _is_tracked(line: Line) -> bool:
    """Whether seven values can be a box, a confidence and the number of a track."""
    *_, confidence, track = line.values
    return track >= 0 and track % 1 == 0 and 0 <= confidence <= 1 and _is_box(line.values)


def _is_pose(line: Line) -> bool:
    """Whether values can be a box and points with their visibility."""
    rest = line.values[BOX:]
    return (
        bool(rest) and len(rest) % _POINT == 0 and set(rest[2::_POINT]) <= {0, 1, 2} and _is_box(line.values)
    )


def _is_box(values: tuple[float, ...]) -> bool:
    """Whether the first four values are a box in the picture."""
    x, y, width, height = values[:BOX]
    reach = max(x + width / 2, y + height / 2) <= 1 + _SLACK and min(x - width / 2, y - height / 2) >= -_SLACK
    return reach and min(width, height) > 0
