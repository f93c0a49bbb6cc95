"""Crowd, difficult, truncated and occluded, in formats that have attributes, but no place for these."""

from typing import Any

from striate.data.annotations import Annotation

_NAMES = {"crowd": "is_crowd", "difficult": "difficult", "truncated": "truncated", "occluded": "occluded"}
FLAG_NAMES = frozenset(_NAMES.values())
_MEANING = {"true": True, "1": True, "false": False, "0": False}


def with_flags(annotation: Annotation) -> dict[str, Any]:
    """The attributes of an object and, as further attributes, the flags that are known of it."""
    flags = {name: getattr(annotation, flag) for flag, name in _NAMES.items()}
    if not annotation.crowd:
        del flags[_NAMES["crowd"]]
    return {**annotation.attributes, **{name: value for name, value in flags.items() if value is not None}}


def take_flags(attributes: dict[str, Any]) -> dict[str, Any]:
    """Remove the flags from ``attributes``, and return them as arguments of ``Annotation``."""
    flags: dict[str, Any] = {}
    for flag, name in _NAMES.items():
        meaning = _MEANING.get(str(attributes.get(name)).lower())
        if meaning is not None:
            flags[flag] = meaning
            del attributes[name]
    return flags
