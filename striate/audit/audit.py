"""An audit: everything that is looked at in a data set, in the order in which it is done."""

from collections.abc import Callable
from pathlib import Path

from striate.audit.duplicates import duplicate_findings
from striate.audit.findings import KINDS, Audit, Finding
from striate.audit.inventory import Entry, Inventory, list_dataset, take_inventory
from striate.audit.labels import class_findings, label_findings
from striate.audit.likeness import NEAR
from striate.audit.pictures import Looks, look_at_all, picture_findings
from striate.data.dataset import ArrayImages
from striate.data.split import split_dataset
from striate.run import Run
from striate.runtime import usable_processors

Watch = Callable[[str, int], Callable[[int], None]]  # what is done, how many -> told how many were done

_FEW_FILES = 1000  # not worth starting processes for


def unwatched(what: str, count: int) -> Callable[[int], None]:
    """Nobody is told."""
    return lambda done: None


def audit(
    source: str | Path,
    run: Run | None = None,
    near: float = NEAR,
    workers: int | None = None,
    watch: Watch = unwatched,
) -> Audit:
    """Look for faults in a data set; nothing in it is changed.

    Every file is read once and decoded; unreadable, truncated, wrongly named, tiny, blank and very long
    pictures, copies within and across splits and classes, and rare classes are found.

    Args:
        source: what ``load_data`` takes, also if loading would refuse it.
        run: a trained network, to find labels that it disputes. Data that it was trained on are split as
            they were then, so that a copy on both sides of that split is found.
        near: the least likeness of near copies, 0..1; from 1 on only exact ones are looked for.
        workers: processes that read; None: as many as there are processors, none for few pictures.
        watch: is told what is done.

    Raises:
        InputError: there is nothing to look at, or the run knows none of the classes.
        RunError: a worker process died or hung.
    """
    inventory, trained_on = _list(source, run)
    entries = inventory.entries
    looks = look_at_all(inventory, _workers(inventory, workers), watch("reading", len(entries)))
    counts = count_classes(inventory, looks)
    found = [Finding("refused", detail=inventory.refusal)] if inventory.refusal else []
    found += picture_findings(entries, looks)
    found += duplicate_findings(entries, looks, near, watch("comparing", 2 * len(entries)))
    notes: list[str] = []
    if run and inventory.dataset:
        progress = watch("predicting", sum(map(len, inventory.dataset.splits.values())))
        disputed, notes = label_findings(run, inventory.dataset, entries, trained_on, progress)
        found += disputed
    elif run:
        notes.append("labels were not checked: a set that cannot be loaded cannot be predicted either")
    found += class_findings(inventory.classes, counts)
    found.sort(key=lambda finding: list(KINDS).index(finding.kind))  # stable: the worst of a kind stay first
    return Audit(inventory, counts, tuple(found), tuple(notes))


def _list(source: str | Path, run: Run | None) -> tuple[Inventory, bool]:
    """What there is, split as in the run's training if these are its data; and whether they are."""
    inventory = take_inventory(source)
    dataset = inventory.dataset
    if run is None or dataset is None or dataset.fingerprint() != run.config.data.fingerprint:
        return inventory, False
    settings = run.config.recipe.data
    return list_dataset(
        split_dataset(dataset, settings.fractions, settings.seed, settings.val_fraction)
    ), True


def count_classes(inventory: Inventory, looks: Looks) -> dict[str, list[int]]:
    """Pictures of each class in each split that can be read and that loading does not leave out."""
    counts: dict[str, list[int]] = {}
    number = {name: k for k, name in enumerate(inventory.classes)}

    def usable(entry: Entry, fault: str) -> bool:
        return not entry.fault and not fault and entry.label in number

    for entry, look in zip(inventory.entries, looks.each, strict=True):
        row = counts.setdefault(entry.split, [0] * len(number))
        if usable(entry, look.fault):
            row[number[entry.label]] += 1
    return counts


def _workers(inventory: Inventory, wanted: int | None) -> int:
    if wanted is not None:
        return wanted
    files = sum(len(part) for part in inventory.parts if not isinstance(part, ArrayImages))
    return 0 if files < _FEW_FILES else usable_processors()
