"""The one error for what a user can mend."""

from pathlib import Path


class InputError(Exception):
    """Something a user gave is wrong, and the user can mend it.

    Args:
        what: the fault in one sentence, without a full stop.
        where: the file, folder, option or record it was found in; empty if there is no such place.
        what_to_do: the mend in one sentence, without a full stop.

    ``str(error)`` has at most three lines: fault, place, mend.
    """

    def __init__(self, what: str, where: str | Path = "", what_to_do: str = "") -> None:
        super().__init__(what)
        self.what = what
        self.where = str(where)
        self.what_to_do = what_to_do

    def __str__(self) -> str:
        lines = [self.what]
        if self.where:
            lines.append(f"  in: {self.where}")
        if self.what_to_do:
            lines.append(f"  try: {self.what_to_do}")
        return "\n".join(lines)

    def __reduce__(self) -> tuple[type["InputError"], tuple[str, str, str]]:
        return InputError, (self.what, self.where, self.what_to_do)  # crosses worker processes whole
