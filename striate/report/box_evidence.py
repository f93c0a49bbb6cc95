"""What a report shows of boxes, from what a metric has gathered and the pictures it was gathered on.

Shapes: n pictures of the split, D detections and G objects of all of them, K classes, T training boxes.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from striate.data.loader import Pictures
from striate.metrics.average_precision import AveragePrecision
from striate.metrics.hierarchy import HierarchicalAveragePrecision
from striate.metrics.localization import LOCALIZED
from striate.metrics.matching import Floats, Ids
from striate.metrics.precision_recall import Balance, best_balance, curve
from striate.metrics.verdicts import Evidence
from striate.ops.boxes import paired_iou
from striate.ops.frames import objects_in_input
from striate.report.facts import BoxFacts, BoxPicture, BoxSizes
from striate.report.wording import percent, three_decimals
from striate.samples import Detections, Frame, Objects
from striate.tasks.detection.anchors import mean_best_iou
from striate.tasks.drawing import draw_boxes

WORST, BEST = 9, 3  # pictures shown: full rows of three
SIDE = 400  # pixels of the longer side of a drawing
CLOUD_PICTURES, CLOUD_BOXES = 500, 2000  # that are measured, and drawn


class Place(NamedTuple):
    """What a localizer said of several pictures: class, its probability, and box, in pixels of each."""

    labels: Tensor  # int64 (n,)
    scores: Tensor  # float32 (n,)
    boxes_xyxy: Tensor  # float32 (n, 4)


class Tally(NamedTuple):
    """How many of the boxes shown in each picture are right and wrong, and how many objects are missed."""

    right: Ids  # (n,)
    wrong: Ids  # (n,)
    missed: Ids  # (n,)

    @property
    def f1(self) -> Floats:
        """The harmonic mean of precision and recall in each picture; nan where there is nothing at all."""
        whole = 2 * self.right + self.wrong + self.missed
        f1: Floats = np.divide(2 * self.right, whole, out=np.full(len(whole), np.nan), where=whole > 0)
        return f1


def detection_facts(metric: AveragePrecision, pictures: Pictures, sizes: BoxSizes) -> BoxFacts:
    """What is shown of a detector, where ``metric`` has taken in all ``pictures`` in their order."""
    evidence = metric.evidence()
    balance = balance_of_all(evidence)
    threshold = balance.threshold if balance else 1.0
    tally = tally_pictures(evidence, threshold, len(pictures))
    worst, best = choose_detections(tally)
    found = [_found_in(evidence, index, threshold) for index in [*worst, *best]]
    verdicts = [
        f"{tally.right[index]} right, {tally.wrong[index]} wrong, {tally.missed[index]} missed"
        for index in [*worst, *best]
    ]
    drawn = draw_pictures(pictures, [*worst, *best], found, verdicts, metric.classes)
    return BoxFacts(
        worst=drawn[: len(worst)],
        best=drawn[len(worst) :],
        sizes=sizes,
        objects=int(evidence.coco.objects.sum()),
        per_class=metric.per_class(),
        curves=metric.curves(),
        balance=balance,
        errors=metric.errors(),
        conventions=metric.explain(),
        places=[],
    )


def tree_detection_facts(
    metric: HierarchicalAveragePrecision, pictures: Pictures, sizes: BoxSizes
) -> BoxFacts:
    """The same of a detector whose classes are a tree: a class counts what lies below it too; what is drawn,
    the best score and the kinds of errors are of the labels as they were given."""
    nodes = metric.nodes
    return replace(
        detection_facts(metric.named, pictures, sizes),
        per_class=nodes.per_class(),
        curves=nodes.curves(),
        conventions=nodes.explain(),
    )


def balance_of_all(evidence: Evidence) -> Balance | None:
    """The threshold of the score with the best F1 of all classes together, at IoU 0.5; None without a hit."""
    order = np.argsort(-evidence.found.scores, kind="stable")
    correct, counted = evidence.coco.correct[0, order], evidence.coco.counted[0, order]
    objects = int(evidence.coco.objects.sum())
    return best_balance(curve(correct, counted, evidence.found.scores[order], objects))


def tally_pictures(evidence: Evidence, threshold: float, num_pictures: int) -> Tally:
    """Right and wrong detections of at least this score in each picture at IoU 0.5, and objects missed."""
    found, sought, verdicts = evidence.found, evidence.sought, evidence.coco
    correct = verdicts.correct[0] & (found.scores >= threshold)
    wrong = verdicts.counted[0] & ~verdicts.correct[0] & (found.scores >= threshold)
    right = np.bincount(found.pictures[correct], minlength=num_pictures)
    objects = np.bincount(sought.pictures[~sought.crowd], minlength=num_pictures)
    return Tally(right, np.bincount(found.pictures[wrong], minlength=num_pictures), objects - right)


def choose_detections(tally: Tally) -> tuple[list[int], list[int]]:
    """The pictures with the lowest F1, of equal ones those with most mistakes; and those with the highest,
    of equal ones those with most objects found."""
    f1 = tally.f1
    worst = np.lexsort((-(tally.wrong + tally.missed), f1))
    worst = worst[f1[worst] < 1][:WORST]
    best = np.lexsort((-tally.right, -f1))
    best = best[(f1[best] > 0) & ~np.isin(best, worst)][:BEST]
    return worst.tolist(), best.tolist()


def _found_in(evidence: Evidence, picture: int, threshold: float) -> Detections:
    found = evidence.found
    rows = np.flatnonzero((found.pictures == picture) & (found.scores >= threshold))
    rows = rows[np.argsort(-found.scores[rows], kind="stable")]
    columns = (found.boxes_xyxy[rows], found.scores[rows])
    boxes_xyxy, scores = (torch.from_numpy(column).float() for column in columns)
    return Detections(boxes_xyxy, scores, torch.from_numpy(found.labels[rows]))


def localization_facts(
    places: Sequence[Place], pictures: Pictures, sizes: BoxSizes, classes: Sequence[str]
) -> BoxFacts:
    """What is shown of a localizer, where ``places`` are of all ``pictures`` in their order."""
    place = Place(*(torch.cat(column).cpu() for column in zip(*places, strict=True)))
    objects = pictures.objects
    assert objects is not None
    iou = paired_iou(place.boxes_xyxy, objects.boxes_xyxy)
    right = place.labels == objects.labels
    order = np.lexsort((iou.numpy(), right.numpy())).tolist()  # wrong classes first, then by overlap
    worst = order[:WORST]
    best = [index for index in order[::-1][:BEST] if index not in worst and right[index]]
    found, verdicts = [], []
    for index in [*worst, *best]:
        found.append(
            Detections(*(column[index][None] for column in (place.boxes_xyxy, place.scores, place.labels)))
        )
        guess, truth = classes[int(place.labels[index])], classes[int(objects.labels[index])]
        said = f"rightly {truth}" if right[index] else f"taken for {guess}, is {truth}"
        verdicts.append(
            f"{said}; {percent(float(place.scores[index]))} sure; IoU {three_decimals(float(iou[index]))}"
        )
    drawn = draw_pictures(pictures, [*worst, *best], found, verdicts, classes)
    return BoxFacts(
        worst=drawn[: len(worst)],
        best=drawn[len(worst) :],
        sizes=sizes,
        objects=len(objects.labels),
        per_class=[],
        curves=[],
        balance=None,
        errors=None,
        conventions=[],
        places=fit_by_class(iou, right, objects.labels, len(classes)),
    )


def fit_by_class(
    iou: Tensor, right: Tensor, labels: Tensor, num_classes: int
) -> list[tuple[float, float, int]]:
    """Mean IoU, part localized and pictures of each class, where each of (n,) pictures has one object."""
    count = torch.bincount(labels, minlength=num_classes)
    localized = right & (iou >= LOCALIZED)
    sums = [torch.bincount(labels, weights.double(), num_classes) for weights in (iou, localized)]
    overlap, share = ((values / count.clamp_min(1)).tolist() for values in sums)
    return list(zip(overlap, share, count.tolist(), strict=True))


def draw_pictures(
    pictures: Pictures,
    indices: Sequence[int],
    found: Sequence[Detections],
    verdicts: Sequence[str],
    classes: Sequence[str],
) -> list[BoxPicture]:
    """The pictures at ``indices``, read once more, with what was found and what is true in each."""
    assert pictures.objects is not None
    if not indices:
        return []
    ((images, frames),) = pictures.batches([torch.tensor(indices)])
    drawn = []
    for index, image, frame, detections, verdict in zip(
        indices, images, frames, found, verdicts, strict=True
    ):
        shown, view = seen_part(image, frame)
        true = objects_in_input(pictures.objects[index], [view])
        boxes_xyxy = objects_in_input(Objects.of(detections.boxes_xyxy, detections.labels), [view]).boxes_xyxy
        drawing = draw_boxes(shown, replace(detections, boxes_xyxy=boxes_xyxy), classes, true, side=SIDE)
        drawn.append(BoxPicture(drawing, str(pictures.names[index]), verdict))
    return drawn


def seen_part(image: Tensor, frame: Frame) -> tuple[Tensor, Frame]:
    """What the network sees of a picture, without the margin around it, its longer side ``SIDE`` pixels.

    Args:
        image: uint8 (C, H, W), network input.
        frame: how the picture became this.

    Returns:
        uint8 (C, h, w), and how the picture became that.
    """
    top, left = max(0, round(frame.offset_y)), max(0, round(frame.offset_x))
    bottom, right = (
        round(frame.offset_y + frame.height * frame.scale_y),
        round(frame.offset_x + frame.width * frame.scale_x),
    )
    cut = image[:, top:bottom, left:right].cpu()
    zoom = SIDE / max(cut.shape[1:])
    size = max(1, round(cut.shape[2] * zoom)), max(1, round(cut.shape[1] * zoom))
    channels = [Image.fromarray(channel.numpy()).resize(size, Image.Resampling.BICUBIC) for channel in cut]
    zoom_x, zoom_y = size[0] / cut.shape[2], size[1] / cut.shape[1]
    view = replace(
        frame,
        scale_y=frame.scale_y * zoom_y,
        scale_x=frame.scale_x * zoom_x,
        offset_y=(frame.offset_y - top) * zoom_y,
        offset_x=(frame.offset_x - left) * zoom_x,
    )
    return torch.stack([torch.from_numpy(np.array(channel)) for channel in channels]), view


def measure_boxes(pictures: Pictures, anchors: Sequence[Sequence[float]], batch_size: int) -> BoxSizes:
    """The sizes of some of the boxes in network input, spread evenly over the training pictures.

    Args:
        pictures: with objects.
        anchors: widths and heights, in pixels of the network input; may be none.
        batch_size: pictures that are in memory at a time.
    """
    assert pictures.objects is not None
    chosen = torch.arange(0, len(pictures), -(-len(pictures) // CLOUD_PICTURES))
    lists = list(chosen.split(batch_size))
    frames = [frame for _, some in pictures.batches(lists) for frame in some]
    objects = objects_in_input(pictures.objects[chosen], frames)
    sizes = (objects.boxes_xyxy[:, 2:] - objects.boxes_xyxy[:, :2])[~objects.crowd]
    shapes = [(float(width), float(height)) for width, height in anchors]
    fit = mean_best_iou(sizes, torch.tensor(shapes)) if shapes and len(sizes) else None
    step = max(1, -(-len(sizes) // CLOUD_BOXES))
    return BoxSizes(sizes[::step], shapes, fit)
