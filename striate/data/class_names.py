"""classes.txt: the names of classes for formats that hold class ids only, one name per line."""

from collections.abc import Sequence

from striate.errors import InputError, one_line
from striate.text_files import composed, decode_text

CLASSES_FILE = "classes.txt"


def parse_class_names(content: bytes, place: str) -> tuple[str, ...]:
    """The class names of a file: line k (from 0) names class id k; empty lines at its end name none.

    Raises:
        InputError: not text, or a name that is empty, not readable text or there twice.
    """
    lines = decode_text(content, place).split("\n")
    while len(lines) > 1 and not lines[-1].strip():
        lines.pop()
    names = tuple(composed(line.removesuffix("\r")) for line in lines)
    for number, name in enumerate(names, start=1):
        if not name or name != one_line(name) or name in names[: number - 1]:
            fault = "is empty" if not name else "is no readable text or there twice"
            raise InputError(
                f"the class name in line {number} {fault}", place, "write one name per line, each once"
            )
    return names


def class_names_text(names: Sequence[str]) -> str:
    """The text of a file that ``parse_class_names`` reads."""
    return "".join(f"{name}\n" for name in names)
