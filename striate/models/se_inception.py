"""SE-Inception: inception modules whose maps are recalibrated (Hu et al. 2017, arXiv:1709.01507, figure 2).

A squeeze-and-excitation block after every inception module: of the maps that the module joined, those that
fit what the whole picture shows are kept, and the others lowered.

    x ─ inception ─┬─ global average ─ dense C/16 ─ ReLU ─ dense C ─ sigmoid ─(×)─
                   └──────────────────────────────────────────────────────────┘

| variant         | blocks |     params | GMAC       | in                             |
| se_googlenet    |      9 |  7,105,007 | 1.499 @224 | GoogLeNet as it is usual today |
| se_inception_v3 |     11 | 25,496,188 | 5.715 @299 | Inception-v3                   |

Shapes: N batch, C channels, H and W height and width of the input, K classes.
"""

from typing import Any, TypeVar

from torch import nn

from striate.layers import SqueezeExcitation
from striate.models.googlenet import GoogLeNet, googlenet
from striate.models.inception_v3 import InceptionV3, inception_v3

Inception = TypeVar("Inception", bound=GoogLeNet | InceptionV3)  # networks whose every stage is one module


def add_squeeze_excitation(network: Inception) -> Inception:
    """Append a squeeze-and-excitation block to every inception module of ``network``, and return it.

    Raises:
        ValueError: a module has fewer than 16 channels.
    """
    channels = {info.name: info.channels for info in network.feature_info}
    for name, stage in network.stages.items():
        network.stages[name] = nn.Sequential(stage, SqueezeExcitation(channels[name]))
    return network


def se_googlenet(**options: Any) -> GoogLeNet:
    """GoogLeNet with batch normalization, each module followed by a squeeze-and-excitation block."""
    return add_squeeze_excitation(googlenet(**options))


def se_inception_v3(**options: Any) -> InceptionV3:
    """Inception-v3, each module followed by a squeeze-and-excitation block."""
    return add_squeeze_excitation(inception_v3(**options))
