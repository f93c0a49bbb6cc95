"""The output layer of LeNet-5: how far a picture's code is from each class's."""

import torch
from torch import Tensor, nn

from striate.ops.padding import check_counts


class RadialBasis(nn.Module):
    """Squared Euclidean distance to each class's vector: (N, F) -> (N, K), at least 0.

    ``weight`` (K, F) holds the vectors; they start as +1 and -1 at random, as the paper allows.

    Args:
        in_features: F.
        out_features: K.
        trainable: whether the vectors are learned; otherwise ``weight`` is a buffer.

    Raises:
        ValueError: a number below 1; in ``forward``, x of another shape.

    Source: LeCun et al. 1998, "Gradient-based learning applied to document recognition", equation 7.
    """

    weight: Tensor

    def __init__(self, in_features: int, out_features: int, trainable: bool = True) -> None:
        super().__init__()
        check_counts(in_features=in_features, out_features=out_features)
        codes = torch.empty(out_features, in_features).bernoulli_(0.5) * 2 - 1
        if trainable:
            self.weight = nn.Parameter(codes)
        else:
            self.register_buffer("weight", codes)

    def forward(self, x: Tensor) -> Tensor:
        if x.ndim != 2 or x.shape[1] != self.weight.shape[1]:
            raise ValueError(f"x must be (N, {self.weight.shape[1]}), not {tuple(x.shape)}")
        # By differences, not by |x|^2 - 2 x.w + |w|^2 or cdist: near a class's vector the expansion loses
        # all digits and turns negative, and cdist has no gradient at it. N K F numbers are few here.
        return (x[:, None, :] - self.weight).square().sum(dim=-1)
