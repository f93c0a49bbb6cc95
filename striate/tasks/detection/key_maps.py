"""Detectors: torchvision's names -> ours."""

from striate.models.key_maps.renaming import KeyMap
from striate.models.key_maps.resnet import TORCHVISION as RESNET
from striate.models.key_maps.vgg import torchvision as vgg

DEPTHS = (2, 2, 3, 3, 3)  # of VGG-16


def _vgg_in_ssd() -> KeyMap:
    """torchvision numbers VGG-16 up to conv4_3 in a row, and what follows from its pooling on anew."""
    fine = tuple((rf"backbone\.{old}", f"backbone.{new}") for old, new in vgg(DEPTHS, batch_norm=False))
    coarse = tuple(
        (rf"backbone\.extra\.0\.{layer + 1}\.", f"backbone.stages.stage5.{layer}.") for layer in range(6)
    )
    return fine + coarse


SSD300: KeyMap = (
    *_vgg_in_ssd(),
    (r"backbone\.scale_weight", "scale"),
    (r"backbone\.extra\.0\.7\.", "context."),
    *((rf"backbone\.extra\.{number + 1}\.", f"extras.{number}.") for number in range(4)),
    (r"head\.classification_head\.module_list\.", "head.classes."),
    (r"head\.regression_head\.module_list\.", "head.boxes."),
)

# torchvision's own files are of before it put single convolutions into sequences ("0.0.").
FASTER_RCNN: KeyMap = (
    *((rf"backbone\.body\.{old}", f"backbone.{new}") for old, new in RESNET),
    (r"backbone\.fpn\.inner_blocks\.(\d)\.(?:0\.)?", r"neck.laterals.\1."),
    (r"backbone\.fpn\.layer_blocks\.(\d)\.(?:0\.)?", r"neck.outputs.\1."),
    (r"rpn\.head\.conv\.(?:0\.0\.)?", "proposals.conv."),
    (r"rpn\.head\.cls_logits\.", "proposals.logits."),
    (r"rpn\.head\.bbox_pred\.", "proposals.deltas."),
    (r"roi_heads\.box_head\.fc6\.", "head.shared.0."),
    (r"roi_heads\.box_head\.fc7\.", "head.shared.2."),
    (r"roi_heads\.box_predictor\.cls_score\.", "head.logits."),
    (r"roi_heads\.box_predictor\.bbox_pred\.", "head.deltas."),
)
