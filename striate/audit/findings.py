"""What an audit finds: records that a table, a page and JSON are made from."""

from dataclasses import dataclass
from typing import Any

from torch import Tensor

from striate.audit.inventory import Entry, Inventory
from striate.errors import InputError


@dataclass(frozen=True)
class Kind:
    """A kind of finding.

    Attributes:
        name: one word, as in JSON.
        severity: "error": measured results would be wrong, or pictures are lost; "warning": most likely a
            fault; "notice": look at it.
        title: what it is, for a heading.
        advice: what to do about it, in one sentence without a full stop.
    """

    name: str
    severity: str
    title: str
    advice: str


KINDS = {
    kind.name: kind
    for kind in (
        Kind(
            "refused",
            "error",
            "the data set cannot be loaded as it is",
            "mend this first; training refuses the set until then",
        ),
        Kind(
            "unreadable",
            "error",
            "files that are no readable picture",
            "save them as JPEG or PNG, or remove them; training leaves them out",
        ),
        Kind(
            "truncated",
            "error",
            "pictures whose end is missing, or damaged on the way",
            "copy or download them again",
        ),
        Kind(
            "leak",
            "error",
            "the same picture in two splits",
            "keep it in one split only: results on the other are too good",
        ),
        Kind(
            "conflict",
            "error",
            "the same picture under two classes",
            "find out which class is right and remove the others",
        ),
        Kind(
            "left-out",
            "warning",
            "files that loading leaves out",
            "convert, rename or move what is meant to be a picture of a class",
        ),
        Kind(
            "wrong-suffix",
            "warning",
            "names that tell another format than the content",
            "rename them; other programs may refuse them",
        ),
        Kind("blank", "warning", "pictures that show nothing", "remove them, or take them again"),
        Kind("tiny", "warning", "pictures much smaller than the network sees", "find larger versions"),
        Kind(
            "extreme-aspect",
            "warning",
            "pictures far longer than the others",
            "crop them, or train with --set input.fit=letterbox",
        ),
        Kind(
            "duplicate",
            "warning",
            "exact copies within a split and class",
            "keep one of each group: copies weigh double",
        ),
        Kind(
            "near-duplicate",
            "warning",
            "near copies within a split and class",
            "keep one of each group; copies of one photograph weigh double",
        ),
        Kind(
            "mirrored",
            "notice",
            "mirror images within a split and class",
            "keep one of each pair; training can mirror pictures by itself",
        ),
        Kind(
            "label",
            "warning",
            "pictures whose class a trained network disputes",
            "look at each; move it to the right folder if the network is right",
        ),
        Kind(
            "imbalance",
            "warning",
            "classes of very different size",
            "train with --class-weights balanced or --sampling balanced",
        ),
        Kind("few", "notice", "classes with few pictures", "collect more of these classes"),
    )
}


@dataclass(frozen=True)
class Finding:
    """One fault.

    Attributes:
        kind: a name of ``KINDS``.
        entries: which entries of the inventory it is about; of copies one of each split and class first.
        detail: what was seen, in a few words.
        score: how alike copies are, or how sure a network is of another class, 0..1; else None.
        classes: the classes it is about, where it is about classes.
    """

    kind: str
    entries: tuple[int, ...] = ()
    detail: str = ""
    score: float | None = None
    classes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Audit:
    """All that an audit found, the gravest kinds first and within a kind the worst first.

    Attributes:
        inventory: what was looked at.
        counts: pictures of each class in each split that can be used: split -> K numbers.
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
        }
