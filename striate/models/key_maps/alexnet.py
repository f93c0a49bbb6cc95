"""AlexNet: torchvision's names -> ours."""

from striate.models.key_maps.renaming import KeyMap

TORCHVISION: KeyMap = (
    (r"features\.0\.", "stem.0."),
    (r"features\.3\.", "stages.stage1.0."),
    (r"features\.6\.", "stages.stage2.0."),
    (r"features\.8\.", "stages.stage3.0."),
    (r"features\.10\.", "stages.stage4.0."),
    (r"classifier\.", "head."),
)
