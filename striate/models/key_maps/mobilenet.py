"""MobileNet: Keras's names -> ours. MobileNetV2: torchvision's names -> ours."""

from striate.models.key_maps.renaming import KeyMap


def units(depths: tuple[int, ...]) -> list[str]:
    """Where our units are, in the order of the network, which both peers number from 1."""
    return [f"stages.stage{stage}.{unit}" for stage, depth in enumerate(depths, 1) for unit in range(depth)]


KERAS: KeyMap = (  # of MobileNet
    (r"conv1\.", "stem.conv."),
    (r"conv1_bn\.", "stem.norm."),
    *(
        rule
        for number, unit in enumerate(units((1, 2, 2, 6, 2)), start=1)
        for rule in (
            (rf"conv_dw_{number}\.depthwise\.", f"{unit}.depthwise.conv."),
            (rf"conv_dw_{number}_bn\.", f"{unit}.depthwise.norm."),
            (rf"conv_pw_{number}\.", f"{unit}.pointwise.conv."),
            (rf"conv_pw_{number}_bn\.", f"{unit}.pointwise.norm."),
        )
    ),
    (r"conv_preds\.", "head.1."),
)

TORCHVISION: KeyMap = (  # of MobileNetV2
    (r"features\.0\.0\.", "stem.conv."),
    (r"features\.0\.1\.", "stem.norm."),
    *(
        rule
        for number, unit in enumerate(units((1, 2, 3, 4, 3, 3, 1)), start=1)
        for last in (1 if number == 1 else 2,)  # the first unit does not widen: it has a layer less
        for rule in (
            (rf"features\.{number}\.conv\.(\d)\.0\.", rf"{unit}.residual.\1.conv."),
            (rf"features\.{number}\.conv\.(\d)\.1\.", rf"{unit}.residual.\1.norm."),
            (rf"features\.{number}\.conv\.{last}\.", f"{unit}.residual.{last}.conv."),
            (rf"features\.{number}\.conv\.{last + 1}\.", f"{unit}.residual.{last}.norm."),
        )
    ),
    (r"features\.18\.0\.", "stages.stage8.conv."),
    (r"features\.18\.1\.", "stages.stage8.norm."),
    (r"classifier\.1\.", "head.1."),
)
