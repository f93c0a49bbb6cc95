"""What an audit finds: records that a table, a page and JSON are made from."""

from dataclasses import dataclass
from typing import Any

from torch import Tensor

from striate.audit.inventory import Entry, Inventory
from striate.audit.kinds import KINDS
from striate.data.annotations import Box
from striate.errors import InputError


@dataclass(frozen=True)
class Mark:
    """A box that a finding is about.

    Attributes:
        entry: of the inventory, in whose picture it is.
        box_xyxy: x1, y1, x2, y2 in pixels of the picture.
        label: the class name; "" if it has none.
        score: how sure a network is of it, 0..1; None for a box that is labelled.
        place: where it is labelled, file and line; "" where no file says it.
    """

    entry: int
    box_xyxy: Box
    label: str = ""
    score: float | None = None
    place: str = ""


@dataclass(frozen=True)
class Finding:
    """One fault.

    Attributes:
        kind: a name of ``KINDS``.
        entries: which entries of the inventory it is about; of copies one of each split and class first.
        detail: what was seen, in a few words.
        score: how alike copies are, or how sure a network is of another class, 0..1; else None.
        classes: the classes it is about, where it is about classes.
        marks: the boxes it is about, where it is about boxes.
    """

    kind: str
    entries: tuple[int, ...] = ()
    detail: str = ""
    score: float | None = None
    classes: tuple[str, ...] = ()
    marks: tuple[Mark, ...] = ()


@dataclass(frozen=True)
class Audit:
    """All that an audit found, the gravest kinds first and within a kind the worst first.

    Attributes:
        inventory: what was looked at.
        counts: pictures, or objects where they have boxes, of each class in each split that can be used:
            split -> K numbers.
        findings: the faults.
        notes: what was not looked at, and why.
    """

    inventory: Inventory
    counts: dict[str, list[int]]
    findings: tuple[Finding, ...]
    notes: tuple[str, ...] = ()

    @property
    def entries(self) -> tuple[Entry, ...]:
        """All files and records that were looked at."""
        return self.inventory.entries

    def read(self, number: int) -> Tensor:
        """The picture of an entry as uint8 (C, H, W). Raises InputError if it cannot be read."""
        entry = self.entries[number]
        if entry.part < 0:
            raise InputError(entry.fault, entry.name)
        return self.inventory.parts[entry.part].read(entry.index)

    @property
    def counted(self) -> str:
        """What ``counts`` are: "pictures" or "objects"."""
        return "pictures" if self.inventory.objects is None else "objects"

    def by_kind(self) -> dict[str, list[Finding]]:
        """The findings of each kind that was found, in the order of ``KINDS``."""
        return {
            name: found for name in KINDS if (found := [one for one in self.findings if one.kind == name])
        }

    def as_json(self) -> dict[str, Any]:
        """Plain values that JSON can hold: what was looked at, counts of each kind, every finding."""
        return {
            "name": self.inventory.name,
            "source": self.inventory.source,
            "format": self.inventory.format,
            "classes": list(self.inventory.classes),
            "pictures": len(self.entries),
            "counted": self.counted,
            "splits": self.counts,
            "found": {kind: len(findings) for kind, findings in self.by_kind().items()},
            "findings": [self._finding(finding) for finding in self.findings],
            "notes": list(self.notes),
        }

    def _finding(self, finding: Finding) -> dict[str, Any]:
        pictures = [self.entries[i] for i in finding.entries]
        return {
            "kind": finding.kind,
            "severity": KINDS[finding.kind].severity,
            "detail": finding.detail,
            "score": None if finding.score is None else round(finding.score, 4),
            "classes": list(finding.classes),
            "pictures": [{"name": one.name, "split": one.split, "class": one.label} for one in pictures],
            "boxes": [
                {
                    "picture": self.entries[mark.entry].name,
                    "class": mark.label,
                    "box_xyxy": [round(v, 2) for v in mark.box_xyxy],
                    "score": None if mark.score is None else round(mark.score, 4),
                    "place": mark.place,
                }
                for mark in finding.marks
            ],
        }
