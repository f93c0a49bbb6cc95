"""Average precision of detections by COCO's and PASCAL VOC's rules, and what lies behind it.

Shapes: N pictures of a batch, D detections and G objects of all pictures, K classes.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch

from striate.errors import InputError
from striate.metrics.conventions import Convention, explain
from striate.metrics.detection_errors import DetectionErrors, break_down
from striate.metrics.matching import Floats, Sought, box_areas, sort_found
from striate.metrics.metric import Metric
from striate.metrics.precision_recall import (
    Curve,
    area_under,
    best_balance,
    curve,
    eleven_points,
    hundred_and_one_points,
)
from striate.metrics.verdicts import (
    AREAS,
    LIMIT,
    THRESHOLDS,
    Evidence,
    average_precisions,
    coco_verdicts,
    limits_of,
    mean_over_classes,
    recalls,
)
from striate.ops.arguments import check_above_zero, check_lengths, check_number, check_whole
from striate.samples import Detections, Objects


class ClassDetections(NamedTuple):
    """How one class fared, by COCO's rules.

    What cannot be said is None: average precision without objects, and the rest without any hit.
    """

    name: str
    objects: int  # to be found: crowds are not
    detections: int
    ap: float | None  # mean over IoU 0.50, 0.55, .. 0.95, or the metric's own thresholds
    ap_50: float | None
    f1: float | None  # at IoU 0.5, the best one
    threshold: float | None  # of the score, that gives this F1, and at it:
    precision: float | None
    recall: float | None


class AveragePrecision(Metric):
    """The twelve numbers of COCO, PASCAL VOC's two, and their explanation.

    An object's area is what its labels say, as COCO's files do, where it is that of its mask; else that of
    its box. A crowd region is no object to be found, and a detection that lies in it by the threshold or more
    is no mistake. PASCAL VOC leaves difficult objects out, and crowds, which it does not know, as well; COCO
    counts difficult objects as any others.

    Args:
        classes: the K names.
        iou_thresholds: of overlap, above 0 and at most 1, that ``map`` is the mean over; none: COCO's ten.
        max_detections: how many detections of a picture and class count, the surest.

    Raises:
        ValueError: classes, thresholds or a number that are none.
    """

    def __init__(
        self, classes: Sequence[str], iou_thresholds: Sequence[float] = (), max_detections: int = LIMIT
    ) -> None:
        if not isinstance(classes, Sequence) or not len(classes):
            raise ValueError(f"classes must be names, of one class at least, not {classes!r}")
        self.classes = tuple(classes)
        self.measure_at(iou_thresholds, max_detections)

    def average_precision(self) -> "AveragePrecision":
        """Itself."""
        return self

    def measure_at(self, iou_thresholds: Sequence[float] = (), max_detections: int = LIMIT) -> None:
        """Forget everything taken in and measure otherwise; the arguments are those of the class."""
        if not isinstance(iou_thresholds, Sequence | np.ndarray):
            raise ValueError(f"iou_thresholds must be a sequence of numbers, not {iou_thresholds!r}")
        for threshold in iou_thresholds:
            check_number("iou_thresholds", threshold, 0, 1)
            check_above_zero("iou_thresholds", threshold)
        check_whole("max_detections", max_detections, 1)
        self._own = tuple(sorted(set(map(float, iou_thresholds))))
        self._thresholds = np.array(self._own) if self._own else THRESHOLDS
        self._limit = int(max_detections)
        self.reset()

    def reset(self) -> None:
        """Forget everything taken in."""
        self._pictures = 0
        self._batches: list[tuple[np.ndarray, ...]] = []
        self._evidence: Evidence | None = None

    def update(self, predictions: Sequence[Detections], targets: Objects) -> None:
        """Take in one batch: N predictions and the objects of N pictures, both in pixels of the pictures.

        Raises:
            ValueError: another number of pictures, boxes, scores or labels, a class id outside 0..K-1, or a
                detection or an object that is not a number.
        """
        if not isinstance(targets, Objects):
            raise ValueError(f"targets must be Objects, not {type(targets).__name__}")
        if len(predictions) != len(targets):
            raise ValueError(f"expected {len(targets)} predictions, got {len(predictions)}")
        if not len(predictions):
            return
        for prediction in predictions:
            check_lengths(
                boxes_xyxy=prediction.boxes_xyxy, scores=prediction.scores, labels=prediction.labels
            )
        counts = np.array([len(prediction) for prediction in predictions])
        boxes = torch.cat([p.boxes_xyxy for p in predictions]).detach().double().cpu().numpy()
        scores = torch.cat([p.scores for p in predictions]).detach().double().cpu().numpy()
        labels = torch.cat([prediction.labels for prediction in predictions]).long().cpu().numpy()
        if not (np.isfinite(boxes).all() and np.isfinite(scores).all()):
            raise ValueError("predictions: a box or score is not a number")
        objects = targets.to("cpu")
        if not bool(objects.boxes_xyxy.isfinite().all()):
            raise ValueError("targets: a box is not a number")
        if int(objects.counts.min()) < 0 or int(objects.counts.sum()) != len(objects.labels):
            raise ValueError("targets: the counts of objects do not sum to the objects")
        for ids in (labels, objects.labels.numpy()):
            if ids.size and not 0 <= ids.min() <= ids.max() < len(self.classes):
                raise ValueError(f"class ids must lie in 0..{len(self.classes) - 1}")
        pictures = self._pictures + np.arange(len(counts)).repeat(counts)
        found = boxes.reshape(-1, 4), scores, labels, pictures
        self._batches.append((*found, *_sought(objects, self._pictures)))
        self._pictures += len(counts)
        self._evidence = None

    def evidence(self) -> Evidence:
        """All detections and objects since the last reset.

        Raises:
            ValueError: no samples were taken in.
            InputError: there is nothing to be found in the pictures.
        """
        if not self._pictures:
            raise ValueError("no samples")
        if self._evidence is None:
            columns = [np.concatenate(column) for column in zip(*self._batches, strict=True)]
            found, sought = sort_found(*columns[:4]), Sought(*columns[4:])
            if sought.crowd.all():
                raise InputError(
                    "no object is labelled in these pictures, so there is no average precision",
                    what_to_do="evaluate on pictures of which some have objects",
                )
            classes = len(self.classes)
            self._evidence = Evidence(found, sought, classes, self._thresholds, self._limit)
        return self._evidence

    def compute(self) -> dict[str, float]:
        """The results over everything since the last reset.

        A number for which there are no objects (-1 in pycocotools) is left out, as ``map_small`` where no
        object is small; ``map``, ``map_50``, ``map_75`` and ``ar_1`` to ``ar_100`` are always there. With a
        limit of detections of one's own the last is called after it, and numbers at one's own thresholds are
        there as well, that at 0.3 as ``map_30``.

        Returns:
            Means over the classes that have such objects:

            - map: average precision (101 points), mean over IoU 0.50, 0.55, .. 0.95; map_50 and map_75 at
              IoU 0.5 and 0.75 alone; map_small, map_medium, map_large: on objects of up to 32 x 32, up to
              96 x 96, and more square pixels (Lin et al. 2014, arXiv:1405.0312, and its evaluation server);
            - ar_1, ar_10, ar_100: the part of objects found by so many detections of each picture and
              class, mean over IoU 0.50 .. 0.95; ar_small, ar_medium, ar_large;
            - map_voc2007 (11 points) and map_voc2010 (area under the curve): at IoU 0.5, difficult objects
              left out (Everingham et al. 2010, section 4.2; development kits of both years).

        Raises:
            ValueError, InputError: as ``evidence``.
        """
        evidence = self.evidence()
        precisions = average_precisions(evidence, evidence.coco, hundred_and_one_points)
        values = {
            "map": precisions,
            "map_50": _at(evidence, precisions, 0.5),
            "map_75": _at(evidence, precisions, 0.75),
            **{f"map_{100 * own:.4g}": precisions[row : row + 1] for row, own in enumerate(self._own)},
            **{f"ar_{limit}": recalls(evidence, evidence.coco, limit) for limit in limits_of(evidence)},
        }
        for name, area in AREAS.items():
            verdicts = coco_verdicts(evidence, evidence.thresholds, area)
            values[f"map_{name}"] = average_precisions(evidence, verdicts, hundred_and_one_points)
            values[f"ar_{name}"] = recalls(evidence, verdicts, evidence.limit)
        values["map_voc2007"] = average_precisions(evidence, evidence.voc, eleven_points)
        values["map_voc2010"] = average_precisions(evidence, evidence.voc, area_under)
        means = {name: mean_over_classes(table) for name, table in values.items()}
        return {name: mean for name, mean in means.items() if mean is not None}

    def per_class(self) -> list[ClassDetections]:
        """Objects, detections, average precision and best F1 of every class, by class id."""
        evidence = self.evidence()
        precisions = average_precisions(evidence, evidence.coco, hundred_and_one_points)
        at_half = _at(evidence, precisions, 0.5)
        detections = np.bincount(evidence.found.labels, minlength=len(self.classes)).tolist()
        rows = []
        for label, points in enumerate(self.curves()):
            objects = int(evidence.coco.objects[label])
            ap = (float(precisions[:, label].mean()), float(at_half[0, label])) if objects else (None,) * 2
            balance = best_balance(points) or (None,) * 4
            rows.append(ClassDetections(self.classes[label], objects, detections[label], *ap, *balance))
        return rows

    def curves(self) -> list[Curve]:
        """Precision and recall over the score at IoU 0.5 of every class, by class id."""
        evidence = self.evidence()
        verdicts = evidence.half
        curves = []
        for label in range(len(self.classes)):
            rows = evidence.rows(label)
            correct, counted = verdicts.correct[0, rows], verdicts.counted[0, rows]
            scores = evidence.found.scores[rows]
            curves.append(curve(correct, counted, scores, int(verdicts.objects[label])))
        return curves

    def errors(self) -> DetectionErrors:
        """What is wrong at IoU 0.5 by kind of error, and what ``map_50`` would gain if each were mended."""
        return break_down(self.evidence())

    def explain(self) -> list[Convention]:
        """Why the numbers of ``compute`` differ, one convention at a time."""
        return explain(self.evidence())


def _at(evidence: Evidence, precisions: Floats, threshold: float) -> Floats:
    """The row (1, K) of ``precisions`` (T, K) for a threshold; else it is computed."""
    row = np.flatnonzero(evidence.thresholds == threshold)
    if row.size:
        return precisions[row]
    return average_precisions(evidence, evidence.at(threshold), hundred_and_one_points)


def _sought(objects: Objects, first: int) -> Sought:
    """The objects of one batch as arrays of their own, where ``first`` pictures came before."""
    columns = (objects.labels, objects.pictures + first, objects.crowd, objects.difficult)
    labels, pictures, crowd, difficult = (column.numpy().copy() for column in columns)
    boxes_xyxy = objects.boxes_xyxy.double().numpy()
    areas = box_areas(boxes_xyxy)
    if objects.areas is not None:
        said = objects.areas.double().numpy()
        areas = np.where(np.isnan(said), areas, said)
    return Sought(boxes_xyxy, labels, pictures, crowd, difficult, areas)
