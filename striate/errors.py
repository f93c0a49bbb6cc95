"""The errors that are told to a person in three lines instead of a traceback."""

import unicodedata
from pathlib import Path
from typing import ClassVar, Self


def one_line(text: str) -> str:
    """``text`` with U+FFFD for control characters and for bytes of file names that are not UTF-8."""
    if text.isprintable():  # most are, and this is quick
        return text
    return "".join("\ufffd" if unicodedata.category(c) in ("Cc", "Cs") else c for c in text)


def counted(count: int, noun: str) -> str:
    """A count with its noun: ``1 picture``, ``2,000 pictures``, ``24 classes``."""
    if count == 1:
        return f"1 {noun}"
    return f"{count:,} {noun}{'es' if noun.endswith(('s', 'x')) else 's'}"


class ReportedError(Exception):
    """An end that a person can understand: what happened, where, and what to do.

    Args:
        what: the fault in one sentence, without a full stop.
        where: the file, folder, option or record it was found in; empty if there is no such place.
        what_to_do: the mend in one sentence, without a full stop.

    ``str(error)`` has at most three lines: fault, place, mend.
    """

    exit_code: ClassVar[int]

    def __init__(self, what: str, where: str | Path = "", what_to_do: str = "") -> None:
        super().__init__(what)
        self.what = one_line(what)
        self.where = one_line(str(where))
        self.what_to_do = one_line(what_to_do)

    def __str__(self) -> str:
        lines = [self.what]
        if self.where:
            lines.append(f"  in: {self.where}")
        if self.what_to_do:
            lines.append(f"  try: {self.what_to_do}")
        return "\n".join(lines)

    def __reduce__(self) -> tuple[type[Self], tuple[str, str, str]]:
        return type(self), (self.what, self.where, self.what_to_do)  # crosses worker processes whole


class InputError(ReportedError):
    """Something a user gave is wrong, and the user can mend it."""

    exit_code = 2


class RunError(ReportedError):
    """The run failed although its input was in order: a loss that is not finite, no memory left."""

    exit_code = 1


class Interrupted(ReportedError):  # noqa: N818 - not a fault
    """Stopped by Ctrl-C, with the state saved."""

    exit_code = 130
