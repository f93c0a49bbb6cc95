"""Labelled boxes that a trained network disputes: another class, a forgotten object, an object it never sees.

The idea is that of confident learning (Northcutt, Jiang and Chuang 2021): how sure a network has to be before
it is believed depends on the class, and is learned from pictures that it was not trained on. For boxes:

    found         something overlaps the labelled box by ``SAME`` or more
    near          something overlaps it by ``NEAR`` or more
    usual score   what three of four labelled objects of a class reach that are found; at least ``SURE``

| finding     | the network                                                                             |
| ----------- | --------------------------------------------------------------------------------------- |
| other-class | finds another class at the object, with its usual score, and the label's at most by     |
|             | ``DOUBTED``                                                                             |
| forgotten   | finds something with its usual score, and nothing labelled is near                      |
| not-seen    | finds nothing near the object, at the least score that it was made to tell, although it |
|             | sees nearly all other objects of this class                                             |

Shapes: D detections and G objects of one picture, K classes of the data.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import torch
from torch import Tensor

from striate.audit.findings import Finding, Mark
from striate.audit.inventory import Inventory
from striate.audit.labels import DOUBTED, SURE, WEAK, own_classes
from striate.data.dataset import Dataset
from striate.ops.boxes import box_iou, box_iou_crowd
from striate.run import Run
from striate.samples import Detections, Localization, Objects

SAME, NEAR = 0.5, 0.1  # overlap of boxes, as in the errors of detection (Bolya et al. 2020)
USUAL = 0.25  # the share of right detections that are less sure than what is believed


@dataclass(frozen=True)
class Seen:
    """A picture, what is labelled in it, and what the network finds.

    Attributes:
        entry: of the inventory.
        first: where its objects begin among those of the inventory.
        objects: of this one picture, G.
        found: D detections, with class ids of the data.
        trained: whether the network was trained on this picture.
        checked: bool (G,), objects that are judged: the network knows their class, and they are neither
            crowds nor marked as difficult.
    """

    entry: int
    first: int
    objects: Objects
    found: Detections
    trained: bool
    checked: Tensor


class Dispute(NamedTuple):
    """What is disputed in a picture: ``row`` of its objects, -1 for none; ``number`` of its detections."""

    kind: str
    row: int
    number: int


def dispute_findings(
    run: Run,
    inventory: Inventory,
    dataset: Dataset,
    trained_on: bool,
    progress: Callable[[int], None] = lambda count: None,
) -> tuple[list[Finding], list[str]]:
    """Labelled boxes that a trained detector or localizer confidently disputes.

    Args:
        run: of a detector or localizer.
        inventory: with objects, where findings are told.
        dataset: of which it was made, split as in the run if ``trained_on``.
        trained_on: whether the network was trained on the train split of these data.

    Returns:
        The findings, those on pictures held out from training first, then the most confident; and notes.

    Raises:
        InputError: the run knows none of the classes.
    """
    own, notes = own_classes(run, dataset)
    pictures, single = _look(run, inventory, dataset, own, trained_on, progress)
    looked_at = sum(int(one.checked.sum()) for one in pictures)
    if single:
        notes.append(f"{single:,} pictures have not one object, and a localizer knows no others")
    if not looked_at:
        return [], notes
    usual = usual_scores(pictures, len(dataset.classes))
    unseen, notes_on_classes = reliable_classes(pictures, dataset.classes)
    found: list[tuple[bool, float, int, Finding]] = []
    for one in pictures:
        for dispute in disputes(one, usual, unseen):
            if run.task.name == "localization" and dispute.kind == "forgotten":
                continue  # it has one box to give, and tells by it where the object is that it does not see
            elsewhere = run.task.name == "localization" and dispute.kind == "not-seen"
            finding = _finding(inventory, one, dispute._replace(number=0) if elsewhere else dispute)
            found.append((one.trained, -(finding.score or 0), one.entry, finding))
    about = sum(finding.kind != "forgotten" for *_, finding in found)
    if about > WEAK * looked_at:
        notes.append(
            f"the network disputes {about / looked_at:.0%} of the objects it looked at: "
            "it has learned too little to be trusted, or has learned other pictures"
        )
    return [finding for *_, finding in sorted(found, key=lambda one: one[:3])], notes + notes_on_classes


def usual_scores(pictures: Sequence[Seen], num_classes: int) -> Tensor:
    """The score that three of four objects of a class reach where they are labelled and found, float32 (K,).

    Of pictures that the network was not trained on, as far as there are any; at least ``SURE``. Wrong labels
    hardly change it: where they are, nothing of their class is found.
    """
    scores: list[list[float]] = [[] for _ in range(num_classes)]
    for one in _trusted(pictures):
        own = _own_scores(one)
        chosen = one.checked & (own > 0)
        for label, score in zip(one.objects.labels[chosen].tolist(), own[chosen].tolist(), strict=True):
            scores[label].append(score)
    reached = [float(torch.tensor(found).quantile(USUAL)) if found else SURE for found in scores]
    return torch.tensor(reached).clamp_min(SURE)


def reliable_classes(pictures: Sequence[Seen], classes: Sequence[str]) -> tuple[Tensor, list[str]]:
    """Classes of which the network misses at most ``WEAK`` altogether, bool (K,); and a note on others."""
    missed, counts = torch.zeros(len(classes)), torch.zeros(len(classes))
    for one in _trusted(pictures):
        labels = one.objects.labels[one.checked]
        counts += labels.bincount(minlength=len(classes))
        missed += labels[~_is_near(one)[one.checked]].bincount(minlength=len(classes))
    reliable = missed <= WEAK * counts
    blind = [name for name, is_reliable in zip(classes, reliable.tolist(), strict=True) if not is_reliable]
    if not blind:
        return reliable, []
    return reliable, [
        f"the network misses many objects of {', '.join(blind)}: those it does not see are not told"
    ]


def disputes(one: Seen, usual: Tensor, reliable: Tensor) -> list[Dispute]:
    """What the network disputes in a picture.

    Args:
        usual: score from which on it is believed, float32 (K,).
        reliable: classes of which it sees nearly all objects, bool (K,).
    """
    found, objects = one.found, one.objects
    if not len(found):
        return [Dispute("not-seen", row, -1) for row in _unseen(one, reliable)]
    iou = box_iou(found.boxes_xyxy, objects.boxes_xyxy)  # (D, G)
    inside = box_iou_crowd(found.boxes_xyxy, objects.boxes_xyxy)
    same = found.labels[:, None] == objects.labels
    explained = ((iou >= SAME) & same).any(1) | ((inside >= SAME) & (same | objects.crowd)).any(1)
    sure = (found.scores >= usual[found.labels]) & ~explained
    own = _own_scores(one)
    told: list[Dispute] = []
    disputed: set[int] = set()
    nowhere: list[int] = []
    for number in sure.nonzero()[:, 0].tolist():  # the surest first
        if len(objects.labels) and float(iou[number].max()) >= NEAR:
            row = int(iou[number].argmax())
            is_there = float(iou[number, row]) >= SAME and bool(one.checked[row])
            if is_there and float(own[row]) <= DOUBTED and row not in disputed:
                disputed.add(row)
                told.append(Dispute("other-class", row, number))
        elif not _overlaps(found.boxes_xyxy[number], found.boxes_xyxy[nowhere]):
            nowhere.append(number)
            told.append(Dispute("forgotten", -1, number))
    return told + [Dispute("not-seen", row, -1) for row in _unseen(one, reliable)]


def _overlaps(box_xyxy: Tensor, others_xyxy: Tensor) -> bool:
    return bool((box_iou(box_xyxy[None], others_xyxy) >= SAME).any())


def _unseen(one: Seen, reliable: Tensor) -> list[int]:
    rows: list[int] = (one.checked & ~_is_near(one) & reliable[one.objects.labels]).nonzero()[:, 0].tolist()
    return rows


def _is_near(one: Seen) -> Tensor:
    """Whether anything was found near each object, bool (G,)."""
    return (box_iou(one.objects.boxes_xyxy, one.found.boxes_xyxy) >= NEAR).any(1)


def _own_scores(one: Seen) -> Tensor:
    """How sure the network is of each object's own class at the object, float32 (G,); 0 where it is not."""
    if not len(one.found):
        return torch.zeros(len(one.objects.labels))
    there = box_iou(one.objects.boxes_xyxy, one.found.boxes_xyxy) >= SAME
    return ((there & (one.objects.labels[:, None] == one.found.labels)) * one.found.scores).amax(1)


def _trusted(pictures: Sequence[Seen]) -> Sequence[Seen]:
    """The pictures that the network was not trained on; all of them where there are no such pictures."""
    return [one for one in pictures if not one.trained] or pictures


def _look(
    run: Run,
    inventory: Inventory,
    dataset: Dataset,
    own: Tensor,
    trained_on: bool,
    progress: Callable[[int], None],
) -> tuple[list[Seen], int]:
    """Labels and detections of all pictures; and how many were left out because a localizer knows one object.

    Args:
        own: the run's class id of each class of the data, int64 (K,), -1 where it has none.
    """
    assert inventory.objects is not None
    place = {(entry.split, entry.name): i for i, entry in enumerate(inventory.entries)}
    theirs = torch.full((len(run.classes),), -1)
    theirs[own[own >= 0]] = (own >= 0).nonzero()[:, 0]
    seen: list[Seen] = []
    left_out = 0
    for name, split in dataset.splits.items():
        pictures, _ = run.pictures(split)
        for batch, _, predictions in run.predicted(run.batches(pictures)):
            for picture, prediction in zip(batch.names, predictions, strict=True):
                i = place[name, picture]
                objects = inventory.objects[i]
                if isinstance(prediction, Localization) and len(objects.labels) != 1:
                    left_out += 1
                    continue
                checked = (own[objects.labels] >= 0) & ~objects.crowd & ~objects.difficult
                first, trained = int(inventory.objects.starts[i]), trained_on and name == "train"
                seen.append(
                    Seen(i, first, objects, _in_data(as_detections(prediction), theirs), trained, checked)
                )
            progress(len(predictions))
    return seen, left_out


def as_detections(prediction: Any) -> Detections:
    """What a detector finds; of a localizer its one box with each class in turn, the surest first."""
    if not isinstance(prediction, Localization):
        assert isinstance(prediction, Detections)
        return prediction
    scores, labels = prediction.probs.float().cpu().sort(descending=True)
    return Detections(prediction.box_xyxy.cpu().expand(len(labels), 4), scores, labels)


def _in_data(found: Detections, theirs: Tensor) -> Detections:
    """Detections with the class ids of the data, ``theirs`` by the run's; without classes that these lack."""
    labels = theirs[found.labels]
    known = labels >= 0
    return replace(
        found, boxes_xyxy=found.boxes_xyxy[known], scores=found.scores[known], labels=labels[known]
    )


def _finding(inventory: Inventory, one: Seen, dispute: Dispute) -> Finding:
    """What a person is told of a dispute."""
    marks, words = [], []
    score = None
    if dispute.row >= 0:
        label = inventory.classes[int(one.objects.labels[dispute.row])]
        place = inventory.places[one.first + dispute.row]
        box = tuple(one.objects.boxes_xyxy[dispute.row].tolist())
        marks.append(Mark(one.entry, box, label, place=place))
        words.append(f"{place}: {label}" if place else label)
    if dispute.number >= 0:
        score = float(one.found.scores[dispute.number])
        name = inventory.classes[int(one.found.labels[dispute.number])]
        box = tuple(one.found.boxes_xyxy[dispute.number].tolist())
        marks.append(Mark(one.entry, box, name, score))
        elsewhere = " elsewhere" if dispute.kind == "not-seen" else ""
        words.append(f"the network sees {name} ({100 * score:.1f} %){elsewhere}")
    elif dispute.kind == "not-seen":
        words.append("the network sees nothing there")
    x1, y1, x2, y2 = marks[0].box_xyxy
    detail = f"{', '.join(words)}, at {x1:.0f}, {y1:.0f}, {x2:.0f}, {y2:.0f}"
    if one.trained:
        detail += ", although it was trained on this picture"
    classes = (marks[-1].label,) if dispute.kind != "not-seen" else ()
    return Finding(dispute.kind, (one.entry,), detail, score, classes, tuple(marks))
