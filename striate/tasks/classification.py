"""Classification: one label per picture, by a softmax over the logits.

Outputs: as ``striate.tasks.classifier``. Targets: int64 (N,) class ids, or of mixed pictures the classes'
probabilities, float (N, K). Predictions: ``Classification``.
"""

from collections.abc import Sequence
from typing import Literal

import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor, nn

from striate.errors import InputError
from striate.metrics.classification import ClassificationMetric
from striate.models.backbone import Backbone
from striate.models.capsnet import CapsNet
from striate.ops.capsule_losses import margin_losses
from striate.recipe import AugmentSettings
from striate.samples import Classification, Frame
from striate.tasks.classifier import Classifier, draw_classes, sum_losses
from striate.tasks.task import Outputs, Task


class ClassificationTask(Task):
    """Cross-entropy with label smoothing (Szegedy et al. 2015, section 7), or margin loss; class weights.

    Args:
        classes: the K class names.
        label_smoothing: share of the target spread evenly over all classes; of the cross-entropy only.
        class_weights: float (K,) or None. Scaled by the caller so that they average 1 over the training
            pictures; the loss is a plain mean, so it does not depend on how a batch is divided.
        kind: "cross_entropy" of the logits' softmax, or "margin" of their sigmoid, which a capsule network
            means as the lengths of its class capsules.
    """

    name = "classification"
    monitor = "accuracy"
    loss_between_runs = "log_loss"  # label smoothing and class weights do not change it

    def __init__(
        self,
        classes: Sequence[str],
        label_smoothing: float = 0.0,
        class_weights: Tensor | None = None,
        kind: Literal["cross_entropy", "margin"] = "cross_entropy",
    ) -> None:
        self.classes = tuple(classes)
        self.label_smoothing = label_smoothing
        self.class_weights = class_weights
        self.kind = kind

    def build(self, backbone: Backbone, classes: Sequence[str]) -> nn.Module:
        """The backbone; its head has one unit per class already."""
        return Classifier(backbone)

    def loss(self, outputs: Outputs, targets: Tensor) -> dict[str, Tensor]:
        """The mean over the batch: cross-entropy in nats, or margin loss; as ``sum_losses``."""
        return sum_losses(outputs, targets, self.of_logits)

    def of_logits(self, logits: Tensor, targets: Tensor) -> Tensor:
        """The mean loss of one head, with this task's smoothing and weights.

        It is linear in the probabilities: those between two labels give the loss between theirs.
        """
        weights = None if self.class_weights is None else self.class_weights.to(targets.device)
        if self.kind == "margin":
            if weights is not None:
                hard = not targets.is_floating_point()
                targets = (F.one_hot(targets, logits.shape[1]) if hard else targets) * weights
            return margin_losses(logits.float().sigmoid(), targets).mean()
        losses = F.cross_entropy(
            logits.float(), targets, weights, reduction="none", label_smoothing=self.label_smoothing
        )
        return losses.mean()

    def scores(self, outputs: Outputs, targets: Tensor) -> dict[str, Tensor]:
        """The accuracy of the batch: {"accuracy": ()}; of a mixed picture the dominant class is true."""
        labels = targets.argmax(1) if targets.is_floating_point() else targets
        return {"accuracy": (outputs["logits"].argmax(1) == labels).double().mean()}

    def decode(self, outputs: Outputs, frames: Sequence[Frame]) -> list[Classification]:
        """One ``Classification`` per picture."""
        return [Classification(probs) for probs in outputs["logits"].float().softmax(1).cpu()]

    def metrics(self) -> ClassificationMetric:
        """Accuracy, precision and recall, calibration, confusion."""
        return ClassificationMetric(len(self.classes))

    def mirror(self, outputs: Outputs, mirrored: Outputs) -> Outputs:
        """The mean of both logits: the geometric mean of both probabilities."""
        return {"logits": (outputs["logits"].float() + mirrored["logits"].float()) / 2}

    def draw(
        self, image: Tensor, prediction: Classification, target: int | None = None, side: int = 256
    ) -> Image.Image:
        """The picture above its three most probable classes."""
        return draw_classes(image, prediction.top(3), self.classes, target, side)


def check_mixing(backbone: Backbone, settings: AugmentSettings) -> None:
    """Refuse to mix pictures for a network whose loss needs the one true class of each.

    Raises:
        InputError: mixup or CutMix is on, and the network reconstructs its pictures.
    """
    if (settings.mixup or settings.cutmix) and isinstance(backbone, CapsNet) and backbone.decoder is not None:
        raise InputError(
            "a reconstruction shows one class, a mixed picture has two",
            "augment.mixup, augment.cutmix",
            "leave them out, or train without the decoder: --set model.arguments={decoder=false}",
        )


def balanced_class_weights(targets: Tensor, num_classes: int) -> Tensor:
    """Weights float (K,) inverse to the class counts of targets (n,), with mean 1 over the pictures.

    A class without pictures has weight 0, so that label smoothing does not pull towards it.
    """
    counts = torch.bincount(targets, minlength=num_classes)
    weights = len(targets) / (counts.count_nonzero() * counts.clamp_min(1))
    return torch.where(counts > 0, weights, 0).float()
