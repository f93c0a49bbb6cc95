"""Darknet-53: timm's names -> ours."""

from striate.models.key_maps.renaming import KeyMap

TIMM: KeyMap = (
    (r"stem\.conv1\.conv\.", "stem.conv."),
    (r"stem\.conv1\.bn\.", "stem.norm."),
    *(
        rule
        for index in range(5)  # timm counts stages from 0
        for rule in (
            (rf"stages\.{index}\.conv_down\.conv\.", f"stages.stage{index + 1}.0.conv."),
            (rf"stages\.{index}\.conv_down\.bn\.", f"stages.stage{index + 1}.0.norm."),
            (
                rf"stages\.{index}\.blocks\.(\d)\.conv1\.conv\.",
                rf"stages.stage{index + 1}.1.\1.residual.0.conv.",
            ),
            (
                rf"stages\.{index}\.blocks\.(\d)\.conv1\.bn\.",
                rf"stages.stage{index + 1}.1.\1.residual.0.norm.",
            ),
            (
                rf"stages\.{index}\.blocks\.(\d)\.conv2\.conv\.",
                rf"stages.stage{index + 1}.1.\1.residual.1.conv.",
            ),
            (
                rf"stages\.{index}\.blocks\.(\d)\.conv2\.bn\.",
                rf"stages.stage{index + 1}.1.\1.residual.1.norm.",
            ),
        )
    ),
    (r"head\.fc\.", "head."),
)
