"""torchvision's detectors as peers: its Python code, with its compiled operators replaced by definitions.

from torchvision_detectors import torchvision       # importable where its operators are not
"""

import pytest
import torch
from peers import declare_torchvision_operators
from torch import Tensor, nn

declare_torchvision_operators()

import torchvision  # type: ignore[import-untyped]  # noqa: E402
from torchvision.ops.roi_align import _roi_align  # type: ignore[import-untyped]  # noqa: E402

from striate.samples import Detections  # noqa: E402

NEUTRAL = {"image_mean": (0.0, 0.0, 0.0), "image_std": (1.0, 1.0, 1.0)}  # pictures go in as they are


def replace_compiled_operators(patch: pytest.MonkeyPatch) -> None:
    """Suppression and RoI align of torchvision become Python."""
    patch.setattr(torchvision.ops.boxes, "nms", naive_nms)
    patch.setattr(torchvision.ops.poolers, "roi_align", python_roi_align)


def naive_nms(boxes: Tensor, scores: Tensor, iou_threshold: float) -> Tensor:
    """Greedy suppression as its definition says."""
    order = scores.argsort(descending=True, stable=True)
    suppressed = torch.zeros(len(order), dtype=torch.bool)
    ious = torchvision.ops.box_iou(boxes[order], boxes[order])
    for place in range(len(order)):
        if not suppressed[place]:
            suppressed[place + 1 :] |= ious[place, place + 1 :] > iou_threshold
    return order[~suppressed]


def python_roi_align(
    features: Tensor,
    rois: Tensor,
    output_size: tuple[int, int],
    spatial_scale: float,
    sampling_ratio: int,
    aligned: bool = False,
) -> Tensor:
    """torchvision's own definition in Python, which it would compile."""
    if not len(rois):
        return features.new_zeros(0, features.shape[1], *output_size)
    result: Tensor = _roi_align.__wrapped__(
        features, rois, spatial_scale, *output_size, sampling_ratio, aligned
    )
    return result


def randomize(peer: nn.Module) -> None:
    """Weights that keep signals alive, so that scores and boxes differ from place to place."""
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for name, tensor in peer.state_dict().items():
            if tensor.ndim > 1:
                tensor.normal_(0, (2 / tensor[0].numel()) ** 0.5, generator=generator)
            elif name.endswith(("running_var", "weight")):
                tensor.uniform_(0.7, 1.3, generator=generator)
            elif tensor.is_floating_point():
                tensor.normal_(0, 0.1, generator=generator)


def as_detections(found: dict[str, Tensor]) -> Detections:
    """What torchvision found in a picture: it counts the background as class 0."""
    return Detections(found["boxes"], found["scores"], found["labels"] - 1)
