"""CapsNet: capsules and routing by agreement (Sabour et al. 2017, arXiv:1710.09829; figures 1 and 2).

A capsule is a group of neurons: the direction of its output vector tells the pose of what it has found
(thickness, slant, ...), its length, below 1, the probability that it is there. Each capsule predicts the
pose of every capsule above it, and sends its output where predictions agree, instead of to the largest
activation as max pooling does.

    28x28 ─ conv 9x9, ReLU ─ 256@20x20 ─ conv 9x9 / 2 ─ 256@6x6 = 32 x 6 x 6 capsules of 8
                                                                         │ a matrix 8 x 16 for each
                                                                         │ capsule and class; routing
    lengths: which classes are there? ───────────────────── K class capsules of 16
                                                                         │ all but one masked
    reconstruction 28x28 ─ dense, sigmoid ─ dense 1024 ─ dense 512 ──────┘ (in training)

| variant       |    params | GMAC @28 | without the sums of the routing, which have no weights |
| capsnet       | 8,215,568 |    0.201 |                                                        |
| decoder=False | 6,804,224 |    0.201 |                                                        |

The paper trains it with the margin loss (``loss.kind = "margin"`` in a recipe) and the reconstruction error.

Shapes: N batch, C channels, H and W height and width of the input, K classes, I primary capsules, D numbers
of a class capsule.
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from striate.layers import Conv2d
from striate.models.backbone import Backbone, FeatureInfo, scaled

GRID = (6, 6)  # of primary capsules
PRIMARY_DIM, CLASS_DIM = 8, 16
DRAWN = (28, 28)  # size of the reconstruction
SHORTEST = 1e-6  # of a class capsule before squashing, so that its logit stays finite


def squash(inputs: Tensor) -> Tensor:
    """Vectors (..., D) of any length -> the same directions, lengths in [0, 1): |s|^2 / (1 + |s|^2).

    Source: equation 1.
    """
    lengths = torch.linalg.vector_norm(inputs, dim=-1, keepdim=True)
    squashed: Tensor = inputs * (lengths / (1 + lengths.square()))
    return squashed


def log_odds(inputs: Tensor) -> Tensor:
    """Vectors before squashing (..., D) -> log(L / (1 - L)) of their lengths L afterwards, float32 (...).

    L = |s|^2 / (1 + |s|^2) has the odds |s|^2, so there is nothing to divide, even where L rounds to 1.
    """
    lengths: Tensor = torch.linalg.vector_norm(inputs.float(), dim=-1)
    return 2 * lengths.clamp_min(SHORTEST).log()


def route(votes: Tensor, iterations: int) -> tuple[Tensor, Tensor]:
    """Routing by agreement: each capsule shifts its output to the class capsules that agree with it.

    Args:
        votes: (N, K, I, D), what each of I capsules predicts for each of K above.
        iterations: how often the couplings are chosen, at least 1; the first ones are all 1 / K.

    Returns:
        The inputs (N, K, D) of the K capsules, not squashed yet, and the coupling coefficients (N, K, I) that
        they were summed with; those of a capsule sum to 1 over K.

    Source: procedure 1.
    """
    agreements = votes.new_zeros(votes.shape[:3], dtype=torch.float32)
    for iteration in range(iterations):
        couplings = agreements.softmax(dim=1).to(votes.dtype)
        inputs = torch.einsum("nki,nkid->nkd", couplings, votes)
        if iteration < iterations - 1:
            agreements = agreements + torch.einsum("nkid,nkd->nki", votes, squash(inputs))
    return inputs, couplings


class ClassCapsules(nn.Module):
    """Capsules (N, I, 8) -> inputs (N, K, D) of one capsule per class, before squashing.

    ``weight`` (I, 8, K * D) holds a matrix 8 x D for each pair of a capsule and a class.

    Raises:
        ValueError: fewer than one iteration.
    """

    def __init__(self, num_capsules: int, num_classes: int, iterations: int) -> None:
        super().__init__()
        if iterations < 1:
            raise ValueError(f"routing takes at least 1 iteration, got {iterations}")
        self.weight = nn.Parameter(torch.empty(num_capsules, PRIMARY_DIM, num_classes * CLASS_DIM))
        self.iterations = iterations
        nn.init.uniform_(self.weight, -0.1, 0.1)  # larger, 1152 votes make every class long at first

    def forward(self, capsules: Tensor) -> Tensor:
        votes = torch.einsum("nip,ipv->niv", capsules, self.weight)  # (N, I, 8) -> (N, I, K * D)
        votes = votes.unflatten(2, (-1, CLASS_DIM)).transpose(1, 2)  # -> (N, I, K, D) -> (N, K, I, D)
        inputs, _ = route(votes.contiguous(), self.iterations)  # read five times: worth a copy
        return inputs


class CapsNet(Backbone):
    """Two convolutions, capsules made of the second's maps, class capsules, and a decoder for training.

    Inputs of other sizes than 28 x 28 have their primary maps averaged to the grid of 6 x 6, so that a matrix
    belongs to a part of the picture whatever its size; reconstructions are 28 x 28 always.

    Args:
        num_classes: K.
        in_channels: channels of the input pictures.
        width: multiplies the channels of convolutions and decoder; capsules keep their 8 and 16 numbers.
        iterations: of the routing.
        decoder: whether there is one; it draws pictures with values in 0..1 from the class capsules.
    """

    def __init__(
        self,
        num_classes: int = 10,
        in_channels: int = 1,
        width: float = 1.0,
        iterations: int = 3,
        decoder: bool = True,
    ) -> None:
        super().__init__()
        channels, kinds = scaled(256, width), scaled(32, width)
        self.stem = nn.Sequential(Conv2d(in_channels, channels, 9), nn.ReLU(inplace=True))
        self.stages = nn.ModuleDict({"stage1": Conv2d(channels, kinds * PRIMARY_DIM, 9, stride=2)})
        self.feature_info = [
            FeatureInfo("stem", channels, stride=1),
            FeatureInfo("stage1", kinds * PRIMARY_DIM, stride=2),
        ]
        self.head = ClassCapsules(kinds * GRID[0] * GRID[1], num_classes, iterations)
        hidden, wide = scaled(512, width), scaled(1024, width)
        self.decoder = (
            nn.Sequential(
                nn.Linear(num_classes * CLASS_DIM, hidden),
                nn.ReLU(inplace=True),
                nn.Linear(hidden, wide),
                nn.ReLU(inplace=True),
                nn.Linear(wide, in_channels * DRAWN[0] * DRAWN[1]),
                nn.Sigmoid(),
            )
            if decoder
            else None
        )

    def features(self, x: Tensor) -> dict[str, Tensor]:
        stem = self.stem(x)  # (N, C, 28, 28) -> (N, 256, 20, 20)
        return {"stem": stem, "stage1": self.stages["stage1"](stem)}  # -> (N, 32 * 8, 6, 6)

    def class_inputs(self, features: dict[str, Tensor]) -> Tensor:
        """Feature maps -> the class capsules (N, K, D) before squashing."""
        maps = F.adaptive_avg_pool2d(features["stage1"], GRID)  # (N, 32 * 8, ...) -> (N, 32 * 8, 6, 6)
        vectors = maps.unflatten(1, (-1, PRIMARY_DIM)).flatten(3)  # -> (N, 32, 8, 36)
        capsules = squash(vectors.transpose(2, 3).flatten(1, 2))  # -> (N, 32, 36, 8) -> (N, I, 8)
        inputs: Tensor = self.head(capsules)
        return inputs

    def classify(self, features: dict[str, Tensor]) -> Tensor:
        """Feature maps -> logits (N, K) whose sigmoid is the length of each class's capsule."""
        return log_odds(self.class_inputs(features))

    def auxiliary(self, images: Tensor, features: dict[str, Tensor]) -> dict[str, Tensor]:
        """What the reconstruction error needs; nothing without a decoder.

        {"reconstructions": (N, K, C * 28 * 28), what each class's capsule draws with all others masked, in
        0..1; "pictures": (N, C * 28 * 28), the pictures at that size; "logits": as of ``classify``, so that
        capsules are routed once}.
        """
        if self.decoder is None:
            return {}
        inputs = self.class_inputs(features)  # (N, K, D)
        # Labels are the loss's affair, so all K are drawn: ten cost a tenth of the convolutions' work.
        one_class = torch.eye(inputs.shape[1]).to(inputs)[:, :, None]
        masked = squash(inputs)[:, None] * one_class  # (N, 1, K, D) * (K, K, 1) -> (N, K, K, D)
        pictures = F.adaptive_avg_pool2d(images, DRAWN).flatten(1)
        drawn = self.decoder(masked.flatten(2))
        return {"reconstructions": drawn, "pictures": pictures, "logits": log_odds(inputs)}


def capsnet(**options: Any) -> CapsNet:
    """The network of the paper's figure 1."""
    return CapsNet(**options)
