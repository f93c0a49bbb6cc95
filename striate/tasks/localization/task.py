"""Localization: the class of a picture's one object, and the box around it.

    pictures ─ backbone ─┬─ its own head ─────────────────────────────── logits (N, K)
                         └─ conv 1x1 ─ 7x7 positions ─ dense ─ dense ─── centre x, centre y, √height, √width

The box's four numbers are fractions of the network input. Of height and width the square roots are learned,
so that an error of some pixels counts more on a small box. A class needs no place, so most networks average
their last map over all positions; a box is nothing but place, so its head sees each position by itself.

Outputs: ``{"logits": float (N, K), "boxes_norm": float32 (N, 4)}``. Targets: ``Objects`` in pixels of the
network input, at most one per picture. Predictions: ``Localization``.

Where some pictures show no object, ``sparse`` learns that too, by one number more.

Shapes: N pictures, T true objects of all pictures, C channels, H and W height and width, K classes.
"""

from collections.abc import Sequence
from typing import Literal

import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor, nn

from striate.layers.box_head import BoxHead, name_numbers
from striate.metrics.localization import LocalizationMetric
from striate.models.backbone import Backbone
from striate.ops.boxes import box_area, clip_boxes, paired_iou
from striate.ops.frames import boxes_in_picture, objects_in_input
from striate.ops.root_boxes import decode_boxes, encode_boxes
from striate.samples import Detections, Frame, Localization, Objects
from striate.tasks.drawing import draw_boxes
from striate.tasks.task import Outputs, Task

BoxLoss = Literal["mse", "iou", "giou", "diou", "ciou"]


class Localizer(nn.Module):
    """A backbone with its own head for the class, and a second one for the box.

    Args:
        backbone: with a unit for each class.
        objectness: whether to have a unit that tells pictures with an object from those without.
    """

    def __init__(self, backbone: Backbone, objectness: bool = False) -> None:
        super().__init__()
        self.backbone = backbone
        self.box_head = BoxHead(backbone.feature_info[-1].channels, numbers=5 if objectness else 4)

    def forward(self, images: Tensor) -> Outputs:
        """Pictures (N, C, H, W), float -> outputs as on top of this file, and with objectness
        ``"objectness_logits"``, float32 (N,)."""
        features = self.backbone.features(images)
        numbers = self.box_head(features[self.backbone.feature_info[-1].name])
        return {"logits": self.backbone.classify(features)} | name_numbers(numbers)


class LocalizationTask(Task):
    """Cross-entropy of the class, plus the box's loss. Pictures without an object teach nothing, and neither
    do crowds, as augmentation calls an object that it has cut too far.

    Args:
        classes: the K class names.
        size: height and width of the network input, in pixels.
        kind: the box's loss: "mse" is the mean squared error of its four numbers; the others add one minus
            the overlap that ``striate.ops.boxes.paired_iou`` calls so. That alone would not do: to a box that
            has shrunk to a point the squares of the roots pass no gradient on.
        box_weight: how much the box's loss counts beside the class's.
    """

    name = "localization"
    monitor = "mean_iou"

    def __init__(
        self,
        classes: Sequence[str],
        size: tuple[int, int],
        kind: BoxLoss = "mse",
        box_weight: float = 10.0,
    ) -> None:
        self.classes = tuple(classes)
        self.size = size
        self.kind = kind
        self.box_weight = box_weight

    def build(self, backbone: Backbone, classes: Sequence[str]) -> Localizer:
        """The backbone with a box head."""
        return Localizer(backbone)

    def examples(self, count: int) -> Objects:
        """One object in the middle of each picture."""
        height, width = self.size
        box_xyxy = torch.tensor([width / 4, height / 4, width * 3 / 4, height * 3 / 4])
        labels, counts = torch.zeros(2, count, dtype=torch.int64)
        return Objects.of(box_xyxy.repeat(count, 1), labels, counts + 1)

    def in_input(self, targets: Objects, frames: Sequence[Frame]) -> Objects:
        """The objects at their places in the network input, whole, also where they reach over its edge;
        without those of which too little is in it to be learned."""
        return objects_in_sight(targets, frames, self.size, self.least_visible)

    def loss(self, outputs: Outputs, targets: Objects) -> dict[str, Tensor]:
        """Means over the pictures: {"loss": (), "class": (), "box": ()}."""
        number, targets = max(1, len(targets)), targets.where(~targets.crowd)
        logits = outputs["logits"].float()[targets.pictures]  # (T, K)
        terms = {
            "class": F.cross_entropy(logits, targets.labels, reduction="sum") / number,
            "box": self.box_losses(outputs["boxes_norm"], targets).sum() / number,
        }
        return terms | {"loss": terms["class"] + self.box_weight * terms["box"]}

    def box_losses(self, boxes_norm: Tensor, objects: Objects) -> Tensor:
        """The loss of each object's box, float32 (T,)."""
        found = boxes_norm.float()[objects.pictures]
        losses = (found - encode_boxes(objects.boxes_xyxy, *self.size)).square().mean(1)
        if self.kind == "mse":
            return losses
        return losses + 1 - paired_iou(decode_boxes(found, *self.size), objects.boxes_xyxy, self.kind)

    def scores(self, outputs: Outputs, targets: Objects) -> dict[str, Tensor]:
        """Of the batch's objects: {"accuracy": (), "mean_iou": ()}; 0 where there are none."""
        found = decode_boxes(outputs["boxes_norm"].float()[targets.pictures], *self.size)
        right = outputs["logits"][targets.pictures].argmax(1) == targets.labels
        number = max(1, len(targets.labels))
        return {
            "accuracy": right.double().sum() / number,
            "mean_iou": paired_iou(found, targets.boxes_xyxy).double().sum() / number,
        }

    def decode(self, outputs: Outputs, frames: Sequence[Frame]) -> list[Localization]:
        """One ``Localization`` per picture; its box lies within the picture."""
        probs = outputs["logits"].float().softmax(1).cpu()
        boxes_xyxy = decode_boxes(outputs["boxes_norm"].float().cpu(), *self.size)
        return [
            Localization(of_picture, boxes_in_picture(box_xyxy, frame))
            for of_picture, box_xyxy, frame in zip(probs, boxes_xyxy, frames, strict=True)
        ]

    def metrics(self) -> LocalizationMetric:
        """Accuracy and mean intersection over union."""
        return LocalizationMetric(len(self.classes))

    def mirror(self, outputs: Outputs, mirrored: Outputs) -> Outputs:
        """The means of the numbers, after the mirror image's boxes are mirrored back."""
        x, *others = mirrored["boxes_norm"].unbind(1)
        back = mirrored | {"boxes_norm": torch.stack([1 - x, *others], dim=1)}
        return {name: (value.float() + back[name].float()) / 2 for name, value in outputs.items()}

    def draw(self, image: Tensor, prediction: Localization, target: Objects | None = None) -> Image.Image:
        """The picture with the box found, its class and the class's probability; the true box is dashed.

        Args:
            image: uint8 (C, H, W).
            prediction: in pixels of the picture.
            target: the picture's object, in pixels of the picture.
        """
        score, label = prediction.probs.max(0)
        found = Detections(prediction.box_xyxy[None], score[None], label[None])
        return draw_boxes(image, found, self.classes, target)


def objects_in_sight(
    objects: Objects, frames: Sequence[Frame], size: tuple[int, int], least: float
) -> Objects:
    """Objects at their places in the network input of ``size`` H, W, whole, also where they reach over its
    edge; without those of which less than the part ``least`` of the box is in it."""
    moved = objects_in_input(objects, frames)
    seen = box_area(clip_boxes(moved.boxes_xyxy, *size))
    return moved.where(seen >= least * box_area(moved.boxes_xyxy))
