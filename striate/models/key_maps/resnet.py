"""ResNet: torchvision's names -> ours."""

from striate.models.key_maps.renaming import KeyMap

TORCHVISION: KeyMap = (
    (r"conv1\.", "stem.0.conv."),
    (r"bn1\.", "stem.0.norm."),
    (r"layer(\d)\.(\d+)\.conv1\.", r"stages.stage\1.\2.residual.0.conv."),
    (r"layer(\d)\.(\d+)\.bn1\.", r"stages.stage\1.\2.residual.0.norm."),
    (r"layer(\d)\.(\d+)\.conv2\.", r"stages.stage\1.\2.residual.1.conv."),
    (r"layer(\d)\.(\d+)\.bn2\.", r"stages.stage\1.\2.residual.1.norm."),
    (r"layer(\d)\.(\d+)\.conv3\.", r"stages.stage\1.\2.residual.2.conv."),
    (r"layer(\d)\.(\d+)\.bn3\.", r"stages.stage\1.\2.residual.2.norm."),
    (r"layer(\d)\.(\d+)\.downsample\.0\.", r"stages.stage\1.\2.shortcut.conv."),
    (r"layer(\d)\.(\d+)\.downsample\.1\.", r"stages.stage\1.\2.shortcut.norm."),
    (r"fc\.", "head."),
)
