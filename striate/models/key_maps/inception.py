"""Inception-v3 and -v4: torchvision's and timm's names -> ours.

torchvision's ``inception_v3`` has an option ``transform_input``, which its published weights switch on: it
takes pictures normalized with ImageNet's means and deviations and brings them to mean 0.5 and deviation
0.5, as the weights were trained in another framework. It is no layer: here the preprocessing of those
weights says (0.5, 0.5, 0.5) twice. (timm's weights of Inception-v4 want the same.)
"""

from striate.models.key_maps.renaming import KeyMap


def with_norm(*rules: tuple[str, str]) -> KeyMap:
    """For each rule (layer there, layer here) those of its convolution and of its batch normalization."""
    words = (("conv", "conv"), ("bn", "norm"))
    return tuple(
        (rf"{foreign}\.{theirs}\.", f"{own}.{ours}.") for foreign, own in rules for theirs, ours in words
    )


# A layer inside a module of Inception-v3: (after "branch" at torchvision, here).
V3_LAYERS = (
    ("1x1", "1x1.0"),
    ("5x5_1", "5x5.0"),
    ("5x5_2", "5x5.1"),
    ("3x3", "3x3"),
    ("3x3_1", "3x3.0"),
    ("3x3_2", "3x3.1"),
    ("3x3_2a", "3x3.1.1x3"),
    ("3x3_2b", "3x3.1.3x1"),
    ("3x3dbl_1", "3x3_3x3.0"),
    ("3x3dbl_2", "3x3_3x3.1"),
    ("3x3dbl_3", "3x3_3x3.2"),
    ("3x3dbl_3a", "3x3_3x3.2.1x3"),
    ("3x3dbl_3b", "3x3_3x3.2.3x1"),
    *((f"7x7_{i + 1}", f"7x7.{i}") for i in range(3)),
    *((f"7x7dbl_{i + 1}", f"7x7_7x7.{i}") for i in range(5)),
    *((f"7x7x3_{i + 1}", f"7x7_3x3.{i}") for i in range(4)),
    ("_pool", "pool.1"),
)

TORCHVISION: KeyMap = (
    *with_norm(
        ("Conv2d_1a_3x3", "stem.0"),
        ("Conv2d_2a_3x3", "stem.1"),
        ("Conv2d_2b_3x3", "stem.2"),
        ("Conv2d_3b_1x1", "stem.4"),
        ("Conv2d_4a_3x3", "stem.5"),
        *((rf"Mixed_(\d\w)\.branch{foreign}", rf"stages.mixed\1.{own}") for foreign, own in V3_LAYERS),
        (r"AuxLogits\.conv0", "auxiliary_head.2"),
        (r"AuxLogits\.conv1", "auxiliary_head.3"),
    ),
    (r"AuxLogits\.fc\.", "auxiliary_head.5."),
    (r"fc\.", "head.1."),
)

# The modules of Inception-v4: (number of the first at timm, their names here, layers inside: there, here).
V4_MODULES = (
    (
        6,
        [f"inception_a{index}" for index in range(1, 5)],
        (
            ("branch0", "1x1.0"),
            (r"branch1\.(\d)", r"3x3.\1"),
            (r"branch2\.(\d)", r"3x3_3x3.\1"),
            (r"branch3\.1", "pool.1"),
        ),
    ),
    (10, ["reduction_a"], (("branch0", "3x3"), (r"branch1\.(\d)", r"3x3_3x3.\1"))),
    (
        11,
        [f"inception_b{index}" for index in range(1, 8)],
        (
            ("branch0", "1x1.0"),
            (r"branch1\.(\d)", r"7x7.\1"),
            (r"branch2\.(\d)", r"7x7_7x7.\1"),
            (r"branch3\.1", "pool.1"),
        ),
    ),
    (18, ["reduction_b"], ((r"branch0\.(\d)", r"3x3.\1"), (r"branch1\.(\d)", r"7x7_3x3.\1"))),
    (
        19,
        [f"inception_c{index}" for index in range(1, 4)],
        (
            ("branch0", "1x1.0"),
            ("branch1_0", "3x3.0"),
            ("branch1_1a", "3x3.1.1x3"),
            ("branch1_1b", "3x3.1.3x1"),
            (r"branch2_([012])", r"3x3_3x3.\1"),
            ("branch2_3a", "3x3_3x3.3.1x3"),
            ("branch2_3b", "3x3_3x3.3.3x1"),
            (r"branch3\.1", "pool.1"),
        ),
    ),
)

TIMM: KeyMap = (
    *with_norm(
        (r"features\.([012])", r"stem.\1"),
        (r"features\.3\.conv", "stem.3.3x3"),
        (r"features\.4\.branch0\.(\d)", r"stem.4.3x3.\1"),
        (r"features\.4\.branch1\.(\d)", r"stem.4.7x7_3x3.\1"),
        (r"features\.5\.conv", "stem.5.3x3"),
        *(
            (rf"features\.{first + index}\.{foreign}", f"stages.{name}.{own}")
            for first, names, layers in V4_MODULES
            for index, name in enumerate(names)
            for foreign, own in layers
        ),
    ),
    (r"last_linear\.", "head.1."),
)
