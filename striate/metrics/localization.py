"""Metrics of a localizer: one class and one box for each picture.

Shapes: N pictures, K classes.
"""

from collections.abc import Sequence

import numpy as np

from striate.metrics.inputs import check_probabilities, checked_ids, stacked
from striate.metrics.matching import box_areas, intersections, parts
from striate.metrics.metric import Metric
from striate.ops.arguments import check_whole
from striate.samples import Localization, Objects

LOCALIZED = 0.5  # the IoU from which on ILSVRC holds an object localized


class LocalizationMetric(Metric):
    """Accuracy, mean IoU, and the part of pictures with both the right class and a fitting box.

    Args:
        num_classes: K.

    Raises:
        ValueError: K is below 1.
    """

    def __init__(self, num_classes: int) -> None:
        check_whole("num_classes", num_classes, 1)
        self.num_classes = num_classes
        self.reset()

    def reset(self) -> None:
        """Forget everything taken in."""
        self._pictures = self._right = self._localized = 0
        self._iou = 0.0

    def update(self, predictions: Sequence[Localization], targets: Objects) -> None:
        """Take in one batch: N predictions and the object of each picture, both in pixels of the pictures.

        Raises:
            ValueError: another number of pictures, a picture without exactly one object, a class id that is
                no whole number or outside 0..K-1, another number of classes, probabilities that are none, or
                a box that is not finite.
        """
        if len(predictions) != len(targets) or not bool((targets.counts == 1).all()):
            raise ValueError("expected exactly one object in each picture, and one prediction for it")
        if not len(predictions):
            return
        probs = stacked([prediction.probs for prediction in predictions], (self.num_classes,), "probs")
        boxes = stacked([prediction.box_xyxy for prediction in predictions], (4,), "boxes")
        labels = checked_ids(targets.labels, self.num_classes).to(probs.device)
        check_probabilities(probs, sum_to_one=True)
        if not boxes.isfinite().all():
            raise ValueError("predictions: a box is not a number")
        if not targets.boxes_xyxy.isfinite().all():
            raise ValueError("targets: a box is not a number")
        right = (probs.max(dim=1).indices == labels).cpu().numpy()
        found, true = boxes.detach().double().cpu().numpy(), targets.boxes_xyxy.double().cpu().numpy()
        shared = intersections(found, true)
        iou = parts(shared, box_areas(found) + box_areas(true) - shared)
        self._pictures += len(right)
        self._right += int(right.sum())
        self._localized += int(np.count_nonzero(right & (iou >= LOCALIZED)))
        self._iou += float(iou.sum())

    def compute(self) -> dict[str, float]:
        """The results over everything since the last reset.

        Returns:
            - accuracy: the part of pictures whose most probable class is the right one;
            - mean_iou: mean IoU of the predicted and the true box, whatever the class;
            - localized: the part of pictures with the right class and an IoU of 0.5 or more
              (Russakovsky et al. 2015, section 4.2).

        Raises:
            ValueError: no samples were taken in.
        """
        if not self._pictures:
            raise ValueError("no samples")
        return {
            "accuracy": self._right / self._pictures,
            "mean_iou": self._iou / self._pictures,
            "localized": self._localized / self._pictures,
        }
