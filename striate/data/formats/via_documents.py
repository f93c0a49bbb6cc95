"""What a file of any version of VIA holds, in the form of version 2."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from striate.data.annotations import Problem, quoted

_PROJECT = "_via_img_metadata"


@dataclass(frozen=True)
class ViaEntry:
    """A picture.

    Attributes:
        where: it is written, as "line 2" or "['a.jpg123']".
        facts: "filename" and "file_attributes", as far as they are there; anything else is no picture.
        regions: where each is written, and "shape_attributes" with "region_attributes".
        fault: why the regions are not all there is; "" if they are.
    """

    where: str
    facts: Any
    regions: tuple[tuple[str, Any], ...] = ()
    fault: str = ""


@dataclass(frozen=True)
class ViaDocument:
    """A file.

    Attributes:
        path: the file.
        entries: its pictures.
        declared: the attributes that a region may have, with "options" where it says them.
        problems: what cannot be told of any picture.
    """

    path: str
    entries: tuple[ViaEntry, ...]
    declared: dict[str, Any] = field(default_factory=dict)
    problems: tuple[Problem, ...] = ()


def is_document(document: Any) -> bool:
    """Whether JSON may be of VIA 1 or 2."""
    return isinstance(document, dict) and isinstance(document.get(_PROJECT, {}), dict)


def document_of(path: str, document: dict[str, Any]) -> ViaDocument:
    """The pictures of JSON of VIA 1 or 2."""
    attributes = document.get("_via_attributes")
    regions = attributes.get("region") if isinstance(attributes, dict) else None
    declared = regions if isinstance(regions, dict) else {}
    return ViaDocument(path, tuple(_entries(document)), declared)


def _entries(document: dict[str, Any]) -> Iterator[ViaEntry]:
    prefix = _PROJECT if _PROJECT in document else ""
    for key, entry in document.get(_PROJECT, document).items():
        where = f"{prefix}[{quoted(key)}]"
        listed = entry.get("regions") if isinstance(entry, dict) else None
        fault = (
            "" if isinstance(listed, list | dict) else "it has no regions, neither as a list nor an object"
        )
        numbered = (
            listed.items() if isinstance(listed, dict) else enumerate(listed or () if not fault else ())
        )
        yield ViaEntry(
            where, entry, tuple((f"{where}.regions[{k}]", region) for k, region in numbered), fault
        )
