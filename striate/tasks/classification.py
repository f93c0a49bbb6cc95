"""Classification: one label per picture, by a softmax over the logits.

Outputs: ``{"logits": float (N, K)}``, in training also the logits (N, K) of auxiliary heads under names that
begin with "auxiliary", and where there is a decoder "reconstructions" (N, K, P), one drawing for each class,
and "pictures" (N, P), what they should show. Targets: int64 (N,) class ids, or of mixed pictures the classes'
probabilities, float (N, K). Predictions: ``Classification``.
"""

from collections.abc import Sequence
from typing import Literal

import torch
import torch.nn.functional as F
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor, nn

from striate.errors import InputError
from striate.metrics.classification import ClassificationMetric
from striate.models.backbone import Backbone
from striate.models.capsnet import CapsNet
from striate.ops.capsule_losses import RECONSTRUCTION_WEIGHT, margin_losses, reconstruction_errors
from striate.recipe import AugmentSettings
from striate.samples import Classification, Frame
from striate.tasks.task import Outputs, Task

AUXILIARY_WEIGHT = 0.3  # of each auxiliary head's loss (Szegedy et al. 2014, section 5)


class Classifier(nn.Module):
    """A backbone whose own head gives the logits; auxiliary heads work in training only."""

    def __init__(self, backbone: Backbone) -> None:
        super().__init__()
        self.backbone = backbone

    def forward(self, images: Tensor) -> Outputs:
        """Pictures (N, C, H, W), float -> logits (N, K), and in training what else the loss needs."""
        features = self.backbone.features(images)
        extra = self.backbone.auxiliary(images, features) if self.training else {}
        if "logits" in extra:  # computed on the way
            return extra
        return {"logits": self.backbone.classify(features)} | extra

    def from_last_map(self, last_map: Tensor) -> Outputs:
        """The last feature map (N, C, h, w) -> logits (N, K), without auxiliary heads."""
        return {"logits": self.backbone.classify({self.backbone.feature_info[-1].name: last_map})}


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
        """The mean over the batch: cross-entropy in nats, or margin loss.

        {"loss": ()}; where there are auxiliary heads with {"auxiliary": ()}, the sum of their losses, which
        counts 0.3 times; where there are reconstructions with {"reconstruction": ()}, the mean of their
        summed squared errors, which counts 0.0005 times.
        """
        terms = {"loss": self.of_logits(outputs["logits"], targets)}
        heads = [logits for name, logits in outputs.items() if name.startswith("auxiliary")]
        if heads:
            terms["auxiliary"] = torch.stack([self.of_logits(logits, targets) for logits in heads]).sum()
            terms["loss"] = terms["loss"] + AUXILIARY_WEIGHT * terms["auxiliary"]
        if "reconstructions" in outputs:
            errors = reconstruction_errors(outputs["reconstructions"], outputs["pictures"], targets)
            terms["reconstruction"] = errors.mean()
            terms["loss"] = terms["loss"] + RECONSTRUCTION_WEIGHT * terms["reconstruction"]
        return terms

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
        """The picture above its three most probable classes, on a sheet at least ``side`` pixels wide.

        A picture whose longer side is shorter than that is magnified, by a whole number.
        """
        mode = "L" if image.shape[0] == 1 else "RGB"
        pixels = image.permute(1, 2, 0).contiguous().numpy()
        picture = Image.fromarray(pixels[..., 0] if mode == "L" else pixels, mode).convert("RGB")
        scale = max(1, -(-side // max(picture.size)))
        picture = picture.resize((picture.width * scale, picture.height * scale), Image.Resampling.NEAREST)
        font = ImageFont.load_default(size=14)
        lines = [f"{score:6.1%}  {self.classes[label]}" for label, score in prediction.top(3)]
        if target is not None:
            lines.append(f"true: {self.classes[target]}")
        sheet = Image.new("RGB", (max(side, picture.width), picture.height + 20 * len(lines) + 8), "white")
        sheet.paste(picture, (0, 0))
        pen = ImageDraw.Draw(sheet)
        for row, line in enumerate(lines):
            pen.text((8, picture.height + 4 + 20 * row), line, fill="black", font=font)
        return sheet


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
