"""Metrics of a localizer that may find nothing: one box with a score for each picture, one object or none.

Shapes: N pictures, K classes.
"""

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F

from striate.metrics.average_precision import AveragePrecision
from striate.metrics.inputs import checked_ids
from striate.metrics.localization import LocalizationMetric
from striate.metrics.matching import Flags, Floats
from striate.metrics.metric import Metric
from striate.metrics.precision_recall import area_under, staircase
from striate.samples import Detections, Localization, Objects

SURE = 0.5  # the score from which on it says that there is an object


class SparseLocalizationMetric(Metric):
    """Average precision, as of any detector; how well objectness tells whether there is an object; and how
    well objects that are there are named and placed, whatever their objectness.

    Args:
        classes: the K names.

    Attributes:
        boxes: average precision.
    """

    def __init__(self, classes: Sequence[str]) -> None:
        self.boxes = AveragePrecision(classes)
        self._placed = LocalizationMetric(len(classes))
        self.reset()

    def average_precision(self) -> AveragePrecision:
        """Of the boxes."""
        return self.boxes

    def reset(self) -> None:
        """Forget everything taken in."""
        self.boxes.reset()
        self._placed.reset()
        self._scores: list[Floats] = []
        self._there: list[Flags] = []

    def update(self, predictions: Sequence[Detections], targets: Objects) -> None:
        """Take in one batch: N predictions of one box each, and the objects of N pictures, at most one in
        each, both in pixels of the pictures.

        Raises:
            ValueError: as ``AveragePrecision.update``, another number of pictures, a prediction without
                exactly one box, with a class that is none or a score outside 0..1, or a picture with more
                than one object.
        """
        if len(predictions) != len(targets):
            raise ValueError(
                f"expected as many predictions as pictures, got {len(predictions)}, {len(targets)}"
            )
        if any(len(prediction) != 1 for prediction in predictions) or bool((targets.counts > 1).any()):
            raise ValueError("expected one box for each picture, and at most one object in it")
        if predictions:
            checked_ids(torch.cat([prediction.labels for prediction in predictions]), len(self.boxes.classes))
            scores = torch.cat([prediction.scores for prediction in predictions])
            if not ((scores >= 0) & (scores <= 1)).all():  # NaN is neither
                raise ValueError("scores must lie in 0..1")
        self.boxes.update(predictions, targets)
        there = targets.counts > 0
        places = [
            Localization(F.one_hot(p.labels[0], len(self.boxes.classes)).float(), p.boxes_xyxy[0])
            for p, is_there in zip(predictions, there.tolist(), strict=True)
            if is_there
        ]
        self._placed.update(places, targets[there.nonzero()[:, 0]])
        self._scores.append(np.array([float(prediction.scores[0]) for prediction in predictions]))
        self._there.append(there.cpu().numpy())

    def compute(self) -> dict[str, float]:
        """The results over everything since the last reset.

        Returns:
            Those of ``AveragePrecision``; of the pictures with an object those of ``LocalizationMetric``:
            accuracy, mean_iou, localized; and of all pictures

            - objectness_accuracy: the part of which it is said rightly whether they have an object, which is
              said from a score of 0.5 on;
            - objectness_precision: of those said to have an object, the part that has; 0 where it is said of
              none;
            - objectness_recall: of those with an object, the part of which it is said;
            - objectness_ap: the area under precision over recall of this, for every score.

        Raises:
            ValueError, InputError: as ``AveragePrecision.evidence``.
        """
        found = self.boxes.compute()  # which has raised where there is no object
        told = objectness(np.concatenate(self._scores), np.concatenate(self._there))
        return self._placed.compute() | told | found


def objectness(scores: Floats, there: Flags) -> dict[str, float]:
    """How well scores (n,) tell in which of n pictures there is an object, as some have."""
    said = scores >= SURE
    right = int((said & there).sum())
    order = np.lexsort((there, -scores))  # of equal scores those without an object first: none is lucky
    ranked = there[order][None]
    steps = staircase(ranked, np.ones_like(ranked), int(there.sum()))
    return {
        "objectness_accuracy": float((said == there).mean()),
        "objectness_precision": right / max(1, int(said.sum())),
        "objectness_recall": right / int(there.sum()),
        "objectness_ap": float(area_under(steps)[0]),
    }
