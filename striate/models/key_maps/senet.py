"""SENet: timm's names (of legacy_seresnet50 and its kin) -> ours."""

from striate.models.key_maps.renaming import KeyMap

TIMM: KeyMap = (
    (r"layer0\.conv1\.", "stem.0.conv."),
    (r"layer0\.bn1\.", "stem.0.norm."),
    (r"layer0\.conv2\.", "stem.1.conv."),
    (r"layer0\.bn2\.", "stem.1.norm."),
    (r"layer0\.conv3\.", "stem.2.conv."),
    (r"layer0\.bn3\.", "stem.2.norm."),
    (r"layer(\d)\.(\d+)\.conv1\.", r"stages.stage\1.\2.residual.0.conv."),
    (r"layer(\d)\.(\d+)\.bn1\.", r"stages.stage\1.\2.residual.0.norm."),
    (r"layer(\d)\.(\d+)\.conv2\.", r"stages.stage\1.\2.residual.1.conv."),
    (r"layer(\d)\.(\d+)\.bn2\.", r"stages.stage\1.\2.residual.1.norm."),
    (r"layer(\d)\.(\d+)\.conv3\.", r"stages.stage\1.\2.residual.2.conv."),
    (r"layer(\d)\.(\d+)\.bn3\.", r"stages.stage\1.\2.residual.2.norm."),
    (r"layer(\d)\.(\d+)\.se_module\.fc1\.", r"stages.stage\1.\2.excitation.reduce."),
    (r"layer(\d)\.(\d+)\.se_module\.fc2\.", r"stages.stage\1.\2.excitation.expand."),
    (r"layer(\d)\.(\d+)\.downsample\.0\.", r"stages.stage\1.\2.shortcut.conv."),
    (r"layer(\d)\.(\d+)\.downsample\.1\.", r"stages.stage\1.\2.shortcut.norm."),
    (r"last_linear\.", "head.1."),
)
