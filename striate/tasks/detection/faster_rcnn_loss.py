"""What Faster R-CNN learns from, and what its outputs mean (Ren et al. 2015, arXiv:1506.01497, section 3.1.2;
Girshick 2015, "Fast R-CNN", arXiv:1504.08083, section 2.3).

Two tasks in one: to tell objects from background among the anchors, and classes among the regions; and in
both to move the boxes onto the objects, which only those learn that find one.

Shapes: N pictures, K classes, A anchors of a picture, P regions of a picture, M boxes of all pictures.
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from striate.ops.boxes import clip_boxes, decode_deltas, encode_deltas
from striate.samples import Detections, Objects
from striate.tasks.detection.matching import IGNORED, Overlap, match
from striate.tasks.detection.rules import Choice, DetectionRules
from striate.tasks.detection.surest import surest
from striate.tasks.task import Outputs

OF_ANCHORS = Overlap(positive=0.7, negative=0.3, rescue="ties")  # section 3.1.2
OF_REGIONS = Overlap(positive=0.5, negative=0.5)
WEIGHTS = (10.0, 10.0, 5.0, 5.0)  # of a region's deltas
BETA = 1 / 9  # where smooth L1 turns from a square into a line


class FasterRCNNRules(DetectionRules):
    """Loss and decoding.

    Outputs: "objectness" (N, A) and "anchor_deltas" (N, A, 4) of the "anchors" float32 (N, A, 4), in pixels;
    "logits" (N, P, K + 1), the background first, and "deltas" (N, P, K + 1, 4) of the "proposals" float32
    (N, P, 4), in pixels; "anchors_seen" bool (N, A) and "proposals_seen" bool (N, P), what the loss is to
    see; "size" float32 (N, 2), height and width of the input.
    """

    def inputs(self, images: Tensor, objects: Objects, seeds: Tensor | None = None) -> tuple[Any, ...]:
        return images, objects, seeds

    def loss(self, outputs: Outputs, objects: Objects) -> dict[str, Tensor]:
        """Of anchors "objectness" and "proposal_box", of regions "class" and "box", and "loss", their sum.

        Each is divided by the number of boxes of a picture that are seen, those of background among them,
        and is the mean over pictures. (torchvision divides by the number in the batch: the same where every
        picture shows equally many.)
        """
        anchors, proposals = outputs["anchors"].float(), outputs["proposals"].float()
        matches = match(anchors, objects, OF_ANCHORS).masked_fill_(~outputs["anchors_seen"], IGNORED)
        positive = matches >= 0
        entropy = F.binary_cross_entropy_with_logits(
            outputs["objectness"].float(), positive.float(), reduction="none"
        )
        targets = encode_deltas(objects.boxes_xyxy[matches[positive]], anchors[positive])
        distances = _distances(outputs["anchor_deltas"][positive], targets)
        terms = _means(matches, {"objectness": entropy, "proposal_box": _spread(positive, distances)})

        matches = match(proposals, objects, OF_REGIONS).masked_fill_(~outputs["proposals_seen"], IGNORED)
        positive = matches >= 0
        rows = matches[positive]
        labels = torch.zeros_like(matches).masked_scatter_(positive, objects.labels[rows] + 1)
        logits = outputs["logits"].float()
        entropy = F.cross_entropy(logits.flatten(0, 1), labels.flatten(), reduction="none").view_as(labels)
        targets = encode_deltas(objects.boxes_xyxy[rows], proposals[positive], WEIGHTS)
        deltas = outputs["deltas"][(*positive.nonzero(as_tuple=True), labels[positive])]
        distances = _distances(deltas, targets)
        terms |= _means(matches, {"class": entropy, "box": _spread(positive, distances)})
        return {"loss": torch.stack(list(terms.values())).sum()} | terms

    @torch.no_grad()
    def decode(self, outputs: Outputs, choice: Choice) -> list[Detections]:
        probs = outputs["logits"].float().softmax(dim=2)[:, :, 1:]
        probs = probs * outputs["proposals_seen"][..., None]
        found = []
        for picture, (height, width) in enumerate(outputs["size"].tolist()):
            places, labels = (probs[picture] >= choice.score).nonzero(as_tuple=True)
            deltas = outputs["deltas"][picture, places, labels + 1].float()
            boxes = decode_deltas(deltas, outputs["proposals"][picture, places], WEIGHTS)
            boxes = clip_boxes(boxes, height, width)
            found.append(surest(boxes, probs[picture, places, labels], labels, choice))
        return found


def _distances(deltas: Tensor, targets: Tensor) -> Tensor:
    """Smooth L1 of deltas (M, 4) and what they should be: (M,)."""
    return F.smooth_l1_loss(deltas.float(), targets, reduction="none", beta=BETA).sum(dim=1)


def _spread(positive: Tensor, values: Tensor) -> Tensor:
    """``values``, one for each true place of ``positive`` (N, A), at their places in zeros (N, A)."""
    return values.new_zeros(positive.shape).masked_scatter(positive, values)


def _means(matches: Tensor, losses: dict[str, Tensor]) -> dict[str, Tensor]:
    """Of losses (N, A): the mean over the boxes of a picture that are not ignored, and then over pictures."""
    seen = matches != IGNORED
    counts = seen.sum(dim=1).clamp(min=1)
    return {name: ((loss * seen).sum(dim=1) / counts).mean() for name, loss in losses.items()}
