"""The last step of every detector here: of many boxes with scores, the few that count as found."""

import torch
from torch import Tensor

from striate.ops.nms import nms_per_class
from striate.samples import Detections
from striate.tasks.detection.rules import Choice

LEAST_SIDE = 1e-2  # pixels: a box that is narrower has been clipped away


def surest(boxes_xyxy: Tensor, scores: Tensor, labels: Tensor, choice: Choice) -> Detections:
    """What of one picture is found: the surest boxes, after suppression within each class or across them.

    Args:
        boxes_xyxy: float32 (M, 4), in pixels, clipped to the picture.
        scores: float32 (M,).
        labels: int64 (M,).
        choice: its ``score`` has been applied already.
    """
    wide = ((boxes_xyxy[:, 2:] - boxes_xyxy[:, :2]) >= LEAST_SIDE).all(dim=1)
    rows = torch.nonzero(wide).flatten()
    groups = torch.zeros_like(labels) if choice.across_classes else labels
    kept = rows[nms_per_class(boxes_xyxy[rows], scores[rows], groups[rows], choice.iou)][: choice.most]
    return Detections(boxes_xyxy[kept], scores[kept], labels[kept])
