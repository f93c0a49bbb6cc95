"""What is wrong with labelled boxes by themselves: wrong lines, tiny objects, rare classes, two opinions."""

from collections import defaultdict
from collections.abc import Sequence

import torch
from torch import Tensor

from striate.audit.findings import Finding, Mark
from striate.audit.inventory import Inventory
from striate.audit.labels import FEW, IMBALANCE
from striate.audit.pictures import Looks
from striate.data.preprocessing import Preprocessing
from striate.errors import one_line
from striate.ops.frames import objects_in_input
from striate.report.wording import counted
from striate.samples import Objects
from striate.tasks.detection.catalog import DEFAULT_DETECTOR, detector_facts

# Pixels of the network input: the side of a square as large as the object. At this size a box that is one
# pixel off to the side and one down overlaps by 16 / 34 = 0.47, so that it does not count as found; and the
# finest maps of the light detectors have one position for 8 x 8 pixels.
TINY_OBJECT = 5.0

NAMED = 5  # classes of a finding that are named in words


def problem_findings(inventory: Inventory) -> list[Finding]:
    """Everything that is wrong with the lines of label files, with the picture where it is known."""
    number = {entry.name: i for i, entry in enumerate(inventory.entries)}
    subjects = inventory.labels.subjects() if inventory.labels else {}
    found = []
    for problem in inventory.problems:
        subject = subjects.get(problem.place) or subjects.get(problem.place.split(", ")[0])
        i = number.get(one_line(subject.path)) if subject else None
        mark = None
        if subject and subject.annotation and i is not None:
            annotation = subject.annotation
            mark = Mark(i, annotation.box_xyxy, annotation.label, place=problem.place)
        detail = f"{problem.place}: {problem.what}" + (f" (--fix: {problem.mend})" if problem.mend else "")
        kind = "invalid-label" if problem.blocks_training or problem.picture else "odd-label"
        entries = () if i is None else (i,)
        found.append(Finding(kind, entries, detail, marks=(mark,) if mark else ()))
    return found


def empty_findings(inventory: Inventory, objects: Objects) -> list[Finding]:
    """Pictures that are used, and labelled as having nothing in them."""
    wrong: set[str] = set()  # pictures whose objects are left out of account because they are wrong
    if inventory.labels:
        wrong = {one_line(one.path) for one in inventory.labels.read.pictures if one.annotations}
    return [
        Finding("no-object", (i,), "nothing is labelled")
        for i, (entry, count) in enumerate(zip(inventory.entries, objects.counts.tolist(), strict=True))
        if count == 0 and not entry.fault and entry.name not in wrong
    ]


def tiny_findings(
    inventory: Inventory, objects: Objects, looks: Looks, preprocessing: Preprocessing | None = None
) -> list[Finding]:
    """Pictures with objects smaller than ``TINY_OBJECT``, those with the smallest first.

    Args:
        preprocessing: of the network that is asked; by default pictures are fitted into the input of
            the detector that is trained where none is named.
    """
    look = preprocessing or usual_input()
    size = f"{look.size[1]} x {look.size[0]}"
    frames = [look.frame(max(one.height, 1), max(one.width, 1)) for one in looks.each]
    width, height = sides(objects_in_input(objects, frames))
    side = (width * height).sqrt()
    found = []
    for i in objects.pictures[side < TINY_OBJECT].unique().tolist():
        if looks.each[i].fault:
            continue
        rows = int(objects.starts[i]) + torch.arange(int(objects.counts[i]))
        tiny = rows[side[rows].argsort(stable=True)][: int((side[rows] < TINY_OBJECT).sum())]
        least = int(tiny[0])
        detail = (
            f"{len(tiny)} of {counted(len(rows), 'object')}; the smallest has "
            f"{width[least]:.1f} x {height[least]:.1f} pixels where a network of {size} looks"
        )
        finding = Finding("tiny-object", (i,), detail, marks=marks_of(inventory, objects, i, tiny.tolist()))
        found.append((float(side[least]), i, finding))
    return [finding for *_, finding in sorted(found, key=lambda one: one[:2])]


def usual_input() -> Preprocessing:
    """How pictures become input of the detector that is trained where none is named."""
    size = detector_facts(DEFAULT_DETECTOR).size
    return Preprocessing(size, 3, "letterbox", 0, (0.0,) * 3, (1.0,) * 3)


def sides(objects: Objects) -> tuple[Tensor, Tensor]:
    """Widths and heights, float32 (T,) each; nothing is less than 0."""
    width, height = (objects.boxes_xyxy[:, 2:] - objects.boxes_xyxy[:, :2]).clamp_min(0).unbind(1)
    return width, height


def marks_of(inventory: Inventory, objects: Objects, entry: int, rows: Sequence[int]) -> tuple[Mark, ...]:
    """The objects at ``rows`` of all objects, which are in the picture ``entry``."""
    return tuple(
        Mark(
            entry,
            tuple(objects.boxes_xyxy[row].tolist()),
            inventory.classes[int(objects.labels[row])],
            place=inventory.places[row],
        )
        for row in rows
    )


def relabelled_findings(inventory: Inventory, objects: Objects, looks: Looks) -> list[Finding]:
    """Pictures with the same pixels of which an object has no counterpart in the first of them."""
    same: defaultdict[bytes, list[int]] = defaultdict(list)
    for i, look in enumerate(looks.each):
        if not look.fault:
            same[look.pixels].append(i)
    found = []
    for first, *others in (group for group in same.values() if len(group) > 1):
        alone = {i: without_counterpart(objects[i], objects[first]) for i in others}
        alone[first] = torch.stack([without_counterpart(objects[first], objects[i]) for i in others]).any(0)
        marks = [
            mark
            for i, rows in sorted(alone.items())
            for mark in marks_of(inventory, objects, i, (rows.nonzero()[:, 0] + objects.starts[i]).tolist())
        ]
        if marks:
            numbers = " and ".join(f"{int(objects.counts[i])}" for i in (first, *others))
            detail = f"{numbers} objects, of which {len(marks)} are in one of them only"
            found.append(Finding("relabelled", (first, *others), detail, 1.0, marks=tuple(marks)))
    return found


def without_counterpart(one: Objects, other: Objects) -> Tensor:
    """Which objects of a picture have none in the other of their class and within a pixel, bool (G,)."""
    apart = (one.boxes_xyxy[:, None] - other.boxes_xyxy).abs().amax(2)
    return ~((apart < 1) & (one.labels[:, None] == other.labels)).any(1)


def count_objects(inventory: Inventory, objects: Objects, looks: Looks) -> dict[str, list[int]]:
    """Objects of each class in each split, in pictures that can be read; crowds count as none."""
    splits = list(dict.fromkeys(entry.split for entry in inventory.entries))
    split = torch.tensor([splits.index(entry.split) for entry in inventory.entries])
    usable = torch.tensor(
        [
            not entry.fault and not look.fault
            for entry, look in zip(inventory.entries, looks.each, strict=True)
        ]
    )
    chosen = usable[objects.pictures] & ~objects.crowd
    cells = split[objects.pictures] * len(inventory.classes) + objects.labels
    counts = cells[chosen].bincount(minlength=len(splits) * len(inventory.classes))
    return dict(zip(splits, counts.view(len(splits), -1).tolist(), strict=True))


def object_class_findings(classes: Sequence[str], counts: dict[str, list[int]]) -> list[Finding]:
    """Classes that a split has no object of, classes with far fewer objects than others, and with few.

    Args:
        classes: the K class names.
        counts: objects of each class: split -> K numbers.
    """
    found = []
    for split, numbers in counts.items():
        if split not in FEW or not any(numbers):
            continue
        where = "" if split == "all" else f" in {split}"
        if absent := [name for name, count in zip(classes, numbers, strict=True) if count == 0]:
            named = ", ".join(absent[:NAMED]) + (f" and {len(absent) - NAMED} more" * (len(absent) > NAMED))
            detail = f"nothing{where} is {named}"
            found.append(Finding("absent-class", detail=detail, classes=tuple(absent)))
        for name, count in zip(classes, numbers, strict=True):
            if 0 < count < FEW[split]:
                detail = f"{name} has {counted(count, 'object')}{where}"
                found.append(Finding("few-objects", detail=detail, classes=(name,)))
    learned = counts.get("train") or counts.get("all") or [0]
    largest = max(learned)
    rare = [k for k, count in enumerate(learned) if 0 < count * IMBALANCE < largest]
    if rare:
        least, most = min(rare, key=lambda k: learned[k]), learned.index(largest)
        detail = (
            f"{counted(learned[least], 'object')} of {classes[least]}, {largest:,} of {classes[most]}; "
            f"{len(rare)} of {len(classes)} classes {'has' if len(rare) == 1 else 'have'} "
            "less than a fifth of the largest"
        )
        found.append(Finding("rare-class", detail=detail, classes=tuple(classes[k] for k in rare)))
    return found
