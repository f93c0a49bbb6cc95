"""Localization where there may be nothing: the one object of a picture, or none.

    pictures ─ backbone ─┬─ its own head ─────────── logits (N, K)
                         └─ box head ─────────────── the box's four numbers, and objectness

Such a network is a detector of at most one object. Looking through windows it searches larger pictures
(``striate.tasks.detection.sliding_window``), for which it must know what a window does not show: an object of
which less than nine tenths are in sight counts as none. Another window sees it whole, and the box of one that
is cut would stay beside the whole one's: suppression drops only what overlaps it by more than 0.6.

Outputs: those of ``task``, and ``"objectness_logits"`` float32 (N,). Targets: ``Objects`` in pixels
of the network input, at most one per picture. Predictions: ``Detections``, exactly one box per picture, with
its most probable class; the score is the objectness.
"""

from collections.abc import Sequence
from dataclasses import replace

import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from striate.metrics.sparse_localization import SURE, SparseLocalizationMetric
from striate.models.backbone import Backbone
from striate.ops.frames import NEARLY_WHOLE
from striate.samples import Detections, Frame, Objects
from striate.tasks.drawing import draw_boxes
from striate.tasks.localization.task import BoxLoss, LocalizationTask, Localizer, objects_in_sight
from striate.tasks.task import Outputs, Task


class SparseLocalizationTask(Task):
    """The losses of ``LocalizationTask``, plus the binary cross-entropy of objectness.

    Pictures without an object teach objectness only.

    Args:
        classes, size, kind, box_weight: as for ``LocalizationTask``.
    """

    name = "localization"
    monitor = "map"
    least_visible = NEARLY_WHOLE
    may_find_nothing = True

    def __init__(
        self,
        classes: Sequence[str],
        size: tuple[int, int],
        kind: BoxLoss = "mse",
        box_weight: float = 10.0,
    ) -> None:
        self.one = LocalizationTask(classes, size, kind, box_weight)
        self.classes = self.one.classes

    def build(self, backbone: Backbone, classes: Sequence[str]) -> Localizer:
        """The backbone with a box head that has a unit for objectness."""
        return Localizer(backbone, objectness=True)

    def examples(self, count: int) -> Objects:
        """One object in the middle of each picture."""
        return self.one.examples(count)

    def in_input(self, targets: Objects, frames: Sequence[Frame]) -> Objects:
        """As in localization; none is a crowd any more: augmentation calls so what it has cut too far."""
        inside = objects_in_sight(targets, frames, self.one.size, self.least_visible)
        return replace(inside, crowd=torch.zeros_like(inside.crowd))

    def loss(self, outputs: Outputs, targets: Objects) -> dict[str, Tensor]:
        """Means over the pictures: {"loss": (), "class": (), "box": (), "objectness": ()}."""
        terms = self.one.loss(outputs, targets)
        there = (targets.where(~targets.crowd).counts > 0).float()
        objectness = F.binary_cross_entropy_with_logits(outputs["objectness_logits"].float(), there)
        return terms | {"objectness": objectness, "loss": terms["loss"] + objectness}

    def scores(self, outputs: Outputs, targets: Objects) -> dict[str, Tensor]:
        """{"objectness_accuracy": ()}, a mean over the pictures; a batch need not have an object for more."""
        said = outputs["objectness_logits"].float().sigmoid() >= SURE
        there = targets.where(~targets.crowd).counts > 0
        return {"objectness_accuracy": (said == there).double().mean()}

    def decode(self, outputs: Outputs, frames: Sequence[Frame]) -> list[Detections]:
        """One ``Detections`` per picture, of one box, which lies within the picture."""
        scores = outputs["objectness_logits"].float().sigmoid().cpu()
        return [
            Detections(place.box_xyxy[None], score[None], place.probs.argmax()[None])
            for place, score in zip(self.one.decode(outputs, frames), scores, strict=True)
        ]

    def mirror(self, outputs: Outputs, mirrored: Outputs) -> Outputs:
        """The means of the numbers, after the mirror image's boxes are mirrored back."""
        return self.one.mirror(outputs, mirrored)

    def metrics(self) -> SparseLocalizationMetric:
        """Average precision, what objectness is worth, and accuracy and mean IoU where there is an object."""
        return SparseLocalizationMetric(self.classes)

    def draw(self, image: Tensor, prediction: Detections, target: Objects | None = None) -> Image.Image:
        """The picture with the boxes found, their class and objectness; the true box is dashed."""
        return draw_boxes(image, prediction, self.classes, target)
