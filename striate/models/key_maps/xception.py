"""Xception: Keras's names -> ours, of its network and of its published file.

Keras names the layers of its network by block, but not the shortcuts. Its published file
(xception_weights_tf_dim_ordering_tf_kernels.h5) is older than those names: it counts the layers of each kind
from 1, in the order in which they were made, a shortcut before the separable convolutions beside it.
"""

from striate.models.key_maps.renaming import KeyMap

UNITS = (  # Keras's block, our unit, how many separable convolutions
    (2, "stages.entry1", 2),
    (3, "stages.entry2", 2),
    (4, "stages.entry3", 2),
    *((5 + unit, f"stages.middle.{unit}", 3) for unit in range(8)),
    (13, "stages.exit.0", 2),
)
SHORTCUTS = {2: "", 3: "_1", 4: "_2", 13: "_3"}  # block: what Keras adds to the name of an unnamed layer


def layers() -> list[tuple[str, str, str]]:
    """Keras's convolution, its batch normalization, and where both are here, in the order of making."""
    made = [("block1_conv1", "block1_conv1_bn", "stem.0"), ("block1_conv2", "block1_conv2_bn", "stem.1")]
    for block, unit, depth in UNITS:
        if block in SHORTCUTS:
            number = SHORTCUTS[block]
            made.append((f"conv2d{number}", f"batch_normalization{number}", f"{unit}.shortcut"))
        for layer in range(depth):
            name = f"block{block}_sepconv{layer + 1}"
            made.append((name, f"{name}_bn", f"{unit}.residual.{layer}"))
    made.append(("block14_sepconv1", "block14_sepconv1_bn", "stages.exit.1"))
    made.append(("block14_sepconv2", "block14_sepconv2_bn", "stages.exit.2"))
    return made


NORMALIZED = [place for _, _, place in layers()]
SEPARABLE = [place for name, _, place in layers() if "sepconv" in name]
REGULAR = [place for name, _, place in layers() if "sepconv" not in name]

KERAS: KeyMap = (
    # its network
    *((rf"{convolution}\.", f"{place}.conv.") for convolution, _, place in layers()),
    *((rf"{norm}\.", f"{place}.norm.") for _, norm, place in layers()),
    (r"predictions\.", "head.1."),
    # its published file
    *((rf"convolution2d_{number}\.", f"{place}.conv.") for number, place in enumerate(REGULAR, 1)),
    *((rf"separableconvolution2d_{number}\.", f"{place}.conv.") for number, place in enumerate(SEPARABLE, 1)),
    *((rf"batchnormalization_{number}\.", f"{place}.norm.") for number, place in enumerate(NORMALIZED, 1)),
    (r"dense_2\.", "head.1."),
)
