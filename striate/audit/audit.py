"""An audit: everything that is looked at in a data set, in the order in which it is done."""

from collections.abc import Callable
from pathlib import Path

from striate.audit.boxes import (
    count_objects,
    empty_findings,
    object_class_findings,
    problem_findings,
    relabelled_findings,
    tiny_findings,
)
from striate.audit.disputes import dispute_findings
from striate.audit.duplicates import duplicate_findings
from striate.audit.findings import Audit, Finding
from striate.audit.inventory import Entry, Inventory, list_dataset, take_inventory
from striate.audit.kinds import KINDS
from striate.audit.labels import class_findings, label_findings
from striate.audit.likeness import NEAR
from striate.audit.pictures import Looks, look_at_all, picture_findings
from striate.data.dataset import ArrayImages
from striate.data.split import split_dataset
from striate.errors import InputError
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
    format: str | None = None,
) -> Audit:
    """Look for faults in a data set; nothing in it is changed.

    Every file is read once and decoded; unreadable, truncated, wrongly named, tiny, blank and very long
    pictures, copies within and across splits and classes, and rare classes are found; of labelled boxes also
    lines that are wrong, tiny objects, pictures without objects, and copies with other boxes.

    Args:
        source: what ``load_data`` takes, also if loading would refuse it.
        run: a trained network, to find labels that it disputes. Data that it was trained on are split as
            they were then, so that a copy on both sides of that split is found.
        near: the least likeness of near copies, 0..1; from 1 on only exact ones are looked for.
        workers: processes that read; None: as many as there are processors, none for few pictures.
        watch: is told what is done.
        format: how ``source`` is read, as for ``load_data``.

    Raises:
        InputError: there is nothing to look at, or the run knows none of the classes, or it finds boxes
            where the data have classes, or the other way round.
        RunError: a worker process died or hung.
    """
    inventory, trained_on = _list(source, run, format)
    entries = inventory.entries
    looks = look_at_all(inventory, _workers(inventory, workers), watch("reading", len(entries)))
    found = [Finding("refused", detail=inventory.refusal)] if inventory.refusal else []
    found += _untold(picture_findings(entries, looks), inventory)
    comparing = watch("comparing", 2 * len(entries))
    found += duplicate_findings(entries, looks, near, comparing, inventory.objects)
    counts, of_labels = _look_at_labels(inventory, looks, run)
    found += of_labels
    disputed, notes = _ask(run, inventory, trained_on, watch) if run else ([], [])
    found += disputed
    found.sort(key=lambda finding: list(KINDS).index(finding.kind))  # stable: the worst of a kind stay first
    return Audit(inventory, counts, tuple(found), tuple(notes))


def _untold(found: list[Finding], inventory: Inventory) -> list[Finding]:
    """Without pictures that are left out for a label that is a finding itself, with file and line."""
    told = {f"{problem.place}: {problem.what}" for problem in inventory.problems if problem.picture}
    return [finding for finding in found if finding.kind != "left-out" or finding.detail not in told]


def _look_at_labels(
    inventory: Inventory, looks: Looks, run: Run | None
) -> tuple[dict[str, list[int]], list[Finding]]:
    """Pictures or objects of each class in each split, and what is wrong with labels by themselves."""
    objects = inventory.objects
    if objects is None:
        counts = count_classes(inventory, looks)
        return counts, problem_findings(inventory) + class_findings(inventory.classes, counts)
    counts = count_objects(inventory, objects, looks)
    found = problem_findings(inventory) + relabelled_findings(inventory, objects, looks)
    found += tiny_findings(inventory, objects, looks, run.preprocessing if run else None)
    found += empty_findings(inventory, objects)
    return counts, found + object_class_findings(inventory.classes, counts)


def _ask(run: Run, inventory: Inventory, trained_on: bool, watch: Watch) -> tuple[list[Finding], list[str]]:
    """Labels that a network disputes, and notes."""
    dataset = inventory.dataset
    if dataset is None:
        return [], ["labels were not checked: a set that cannot be loaded cannot be predicted either"]
    progress = watch("predicting", sum(map(len, dataset.splits.values())))
    if inventory.objects is not None:
        return dispute_findings(run, inventory, dataset, trained_on, progress)
    return label_findings(run, dataset, inventory.entries, trained_on, progress)


def _list(source: str | Path, run: Run | None, format: str | None) -> tuple[Inventory, bool]:
    """What there is, split as in the run's training if these are its data; and whether they are."""
    inventory = take_inventory(source, format)
    dataset = inventory.dataset
    if run:
        _check_task(run, inventory)
        _check_tree(run)
    if run is None or dataset is None or dataset.fingerprint() != run.config.data.fingerprint:
        return inventory, False
    settings = run.config.recipe.data
    return list_dataset(
        split_dataset(dataset, settings.fractions, settings.seed, settings.val_fraction), inventory.labels
    ), True


def _check_task(run: Run, inventory: Inventory) -> None:
    """Raise InputError if a network for boxes is asked about classes, or the other way round."""
    has_boxes, finds_boxes = inventory.objects is not None, run.task.name != "classification"
    if inventory.dataset is not None and has_boxes != finds_boxes:
        raise InputError(
            f"the run is for {run.task.name}, the data {'have boxes' if has_boxes else 'have no boxes'}",
            run.path,
            f"name a run of a {'detector or localizer' if has_boxes else 'classifier'}",
        )


def _check_tree(run: Run) -> None:
    """Raise InputError if a detector's classes are a tree, where names that differ may both be right."""
    if run.task.name != "classification" and run.predictor.tree:
        raise InputError(
            "boxes are not audited by a detector whose classes are a tree", run.path, "name another"
        )


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
