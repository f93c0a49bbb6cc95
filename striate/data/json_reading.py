"""JSON from anybody: whatever is wrong with it, one error."""

import json
import math
from collections import Counter
from typing import Any

from striate.data.annotations import quoted
from striate.data.xml_reading import number
from striate.errors import InputError
from striate.text_files import decode_text

MAX_JSON_BYTES = 2**30


def parse_json(content: bytes, place: str) -> Any:
    """The value of a JSON file.

    Args:
        content: UTF-8, UTF-16 or UTF-32.
        place: what errors call the file.

    Raises:
        InputError: too large, not JSON, nested too deeply, with NaN or infinity, or with a key twice in one
            object, which would hide what the first one says.
    """
    if len(content) > MAX_JSON_BYTES:
        raise InputError(
            f"the JSON file is larger than {MAX_JSON_BYTES >> 20} MiB", place, "split it into several"
        )
    try:
        return json.loads(
            decode_text(content, place),
            parse_constant=_refuse,
            parse_float=_finite,
            object_pairs_hook=_without_repeats,
        )
    except InputError:
        raise
    except json.JSONDecodeError as error:
        what, where = f"the file is no JSON: {error.msg}", f"{place}, line {error.lineno}"
    except RecursionError:
        what, where = "the JSON is nested too deeply", place
    except ValueError as error:
        what, where = f"the file is no JSON: {error}", place
    raise InputError(what, where, "export it again") from None


def is_number(value: Any, limit: float = 1e9) -> bool:
    """Whether a value is a finite number, and no larger than a coordinate can be."""
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= limit


def as_number(value: Any, limit: float = 1e9) -> float | None:
    """A number, be it written as one or as text; None if it is none, or larger than a coordinate can be."""
    if isinstance(value, str):
        return number(value, limit)
    return float(value) if is_number(value, limit) else None


def as_whole(value: Any) -> int | None:
    """A whole number, be it written as one, as 3.0 or as text; None if it is none."""
    found = as_number(value)
    return int(found) if found is not None and found % 1 == 0 else None


def _refuse(constant: str) -> float:
    raise ValueError(f"it holds {constant}")


def _finite(text: str) -> float:
    number = float(text)
    if math.isinf(number):
        raise ValueError(f"the number {text[:20]} is too large")
    return number


def _without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    entries = dict(pairs)
    if len(entries) < len(pairs):
        (key, _), *_ = Counter(key for key, _ in pairs).most_common(1)
        raise ValueError(f"the key {quoted(key)} is there twice")
    return entries
