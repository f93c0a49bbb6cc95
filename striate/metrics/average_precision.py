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
from striate.metrics.matching import Sought, sort_found
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
    Evidence,
    average_precisions,
    coco_verdicts,
    mean_over_classes,
    recalls,
)
from striate.samples import Detections, Objects


class ClassDetections(NamedTuple):
    """How one class fared, by COCO's rules.

    What cannot be said is None: average precision without objects, and the rest without any hit.
    """

    name: str
    objects: int  # to be found: crowds are not
    detections: int
    ap: float | None  # mean over IoU 0.50, 0.55, .. 0.95
    ap_50: float | None
    f1: float | None  # at IoU 0.5, the best one
    threshold: float | None  # of the score, that gives this F1, and at it:
    precision: float | None
    recall: float | None


class AveragePrecision(Metric):
    """The twelve numbers of COCO, PASCAL VOC's two, and their explanation.

    An object's area is that of its box; COCO's own files give that of its mask, which is smaller. A crowd
    region is no object to be found, and a detection that lies in it by the threshold or more is no mistake.
    PASCAL VOC leaves difficult objects out, and crowds, which it does not know, as well; COCO counts
    difficult objects as any others.

    Args:
        classes: the K names.
    """

    def __init__(self, classes: Sequence[str]) -> None:
        self.classes = tuple(classes)
        self.reset()

    def reset(self) -> None:
        """Forget everything taken in."""
        self._pictures = 0
        self._batches: list[tuple[np.ndarray, ...]] = []
        self._evidence: Evidence | None = None

    def update(self, predictions: Sequence[Detections], targets: Objects) -> None:
        """Take in one batch: N predictions and the objects of N pictures, both in pixels of the pictures.

        Raises:
            ValueError: another number of pictures, a class id outside 0..K-1, or a detection that is not
                a number.
        """
        if len(predictions) != len(targets):
            raise ValueError(f"expected {len(targets)} predictions, got {len(predictions)}")
        if not len(predictions):
            return
        counts = np.array([len(prediction) for prediction in predictions])
        boxes = torch.cat([prediction.boxes_xyxy for prediction in predictions]).double().cpu().numpy()
        scores = torch.cat([prediction.scores for prediction in predictions]).double().cpu().numpy()
        labels = torch.cat([prediction.labels for prediction in predictions]).long().cpu().numpy()
        if not (np.isfinite(boxes).all() and np.isfinite(scores).all()):
            raise ValueError("a box or score is not a number")
        objects = targets.to("cpu")
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
            self._evidence = Evidence(found, sought, len(self.classes))
        return self._evidence

    def compute(self) -> dict[str, float]:
        """The results over everything since the last reset.

        A number for which there are no objects (-1 in pycocotools) is left out, as ``map_small`` where no
        object is small; ``map``, ``map_50``, ``map_75`` and ``ar_1`` to ``ar_100`` are always there.

        Returns:
            Means over the classes that have such objects:

            - map: average precision (101 points), mean over IoU 0.50, 0.55, .. 0.95; map_50 and map_75 at
              one of them; map_small, map_medium, map_large: on objects of up to 32 x 32, up to 96 x 96,
              and more square pixels (Lin et al. 2014, arXiv:1405.0312, and its evaluation server);
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
            "map_50": precisions[:1],
            "map_75": precisions[5:6],
            **{f"ar_{limit}": recalls(evidence, evidence.coco, limit) for limit in (1, 10, 100)},
        }
        for name, area in AREAS.items():
            verdicts = coco_verdicts(evidence, area=area)
            values[f"map_{name}"] = average_precisions(evidence, verdicts, hundred_and_one_points)
            values[f"ar_{name}"] = recalls(evidence, verdicts)
        values["map_voc2007"] = average_precisions(evidence, evidence.voc, eleven_points)
        values["map_voc2010"] = average_precisions(evidence, evidence.voc, area_under)
        means = {name: mean_over_classes(table) for name, table in values.items()}
        return {name: mean for name, mean in means.items() if mean is not None}

    def per_class(self) -> list[ClassDetections]:
        """Objects, detections, average precision and best F1 of every class, by class id."""
        evidence = self.evidence()
        precisions = average_precisions(evidence, evidence.coco, hundred_and_one_points)
        detections = np.bincount(evidence.found.labels, minlength=len(self.classes)).tolist()
        rows = []
        for label, points in enumerate(self.curves()):
            objects = int(evidence.coco.objects[label])
            ap = (float(precisions[:, label].mean()), float(precisions[0, label])) if objects else (None,) * 2
            balance = best_balance(points) or (None,) * 4
            rows.append(ClassDetections(self.classes[label], objects, detections[label], *ap, *balance))
        return rows

    def curves(self) -> list[Curve]:
        """Precision and recall over the score at IoU 0.5 of every class, by class id."""
        evidence = self.evidence()
        verdicts = evidence.coco
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


def _sought(objects: Objects, first: int) -> Sought:
    """The objects of one batch as arrays of their own, where ``first`` pictures came before."""
    columns = (objects.labels, objects.pictures + first, objects.crowd, objects.difficult)
    return Sought(objects.boxes_xyxy.double().numpy(), *(column.numpy().copy() for column in columns))
