"""What classifiers of flat classes and of trees share: the module, the sum of its losses, the drawing.

Outputs: ``{"logits": float (N, K)}``, in training also the logits (N, K) of auxiliary heads under names that
begin with "auxiliary", and where there is a decoder "reconstructions" (N, K, P), one drawing for each class,
and "pictures" (N, P), what they should show.
"""

from collections.abc import Callable, Sequence

import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor, nn

from striate.models.backbone import Backbone
from striate.ops.capsule_losses import RECONSTRUCTION_WEIGHT, reconstruction_errors
from striate.tasks.task import Outputs

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


def sum_losses(
    outputs: Outputs, targets: Tensor, of_logits: Callable[[Tensor, Tensor], Tensor]
) -> dict[str, Tensor]:
    """The loss of a classifier and of what else its network gives in training.

    Args:
        targets: int64 (N,) class ids, or float (N, K) shares.
        of_logits: logits (N, K) and targets -> the mean loss of one head, ().

    Returns:
        {"loss": ()}; where there are auxiliary heads with {"auxiliary": ()}, the sum of their losses, which
        counts 0.3 times; where there are reconstructions with {"reconstruction": ()}, the mean of their
        summed squared errors, which counts 0.0005 times.
    """
    terms = {"loss": of_logits(outputs["logits"], targets)}
    heads = [logits for name, logits in outputs.items() if name.startswith("auxiliary")]
    if heads:
        terms["auxiliary"] = torch.stack([of_logits(logits, targets) for logits in heads]).sum()
        terms["loss"] = terms["loss"] + AUXILIARY_WEIGHT * terms["auxiliary"]
    if "reconstructions" in outputs:
        errors = reconstruction_errors(outputs["reconstructions"], outputs["pictures"], targets)
        terms["reconstruction"] = errors.mean()
        terms["loss"] = terms["loss"] + RECONSTRUCTION_WEIGHT * terms["reconstruction"]
    return terms


def draw_classes(
    image: Tensor,
    best: Sequence[tuple[int, float]],
    classes: Sequence[str],
    target: int | None = None,
    side: int = 256,
) -> Image.Image:
    """The picture above what it shows, on a sheet at least ``side`` pixels wide.

    A picture whose longer side is shorter than that is magnified, by a whole number.

    Args:
        image: uint8 (C, H, W).
        best: (class id, probability) for each line below it.
        classes: their names.
        target: the true class, if it is known.
    """
    mode = "L" if image.shape[0] == 1 else "RGB"
    pixels = image.permute(1, 2, 0).contiguous().numpy()
    picture = Image.fromarray(pixels[..., 0] if mode == "L" else pixels, mode).convert("RGB")
    scale = max(1, -(-side // max(picture.size)))
    picture = picture.resize((picture.width * scale, picture.height * scale), Image.Resampling.NEAREST)
    font = ImageFont.load_default(size=14)
    lines = [f"{score:6.1%}  {classes[label]}" for label, score in best]
    if target is not None:
        lines.append(f"true: {classes[target]}")
    sheet = Image.new("RGB", (max(side, picture.width), picture.height + 20 * len(lines) + 8), "white")
    sheet.paste(picture, (0, 0))
    pen = ImageDraw.Draw(sheet)
    for row, line in enumerate(lines):
        pen.text((8, picture.height + 4 + 20 * row), line, fill="black", font=font)
    return sheet
