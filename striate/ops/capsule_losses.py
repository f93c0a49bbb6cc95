"""The losses of capsule networks (Sabour et al. 2017, arXiv:1710.09829): one number for each picture.

Shapes: N pictures, K classes, P values of a picture.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from striate.ops.arguments import check_ids, check_shape

PRESENT, ABSENT = 0.9, 0.1  # m+ and m-: lengths beyond which a class is sure enough
ABSENT_WEIGHT = 0.5  # lambda: else the many absent classes shrink all capsules in early training
RECONSTRUCTION_WEIGHT = 0.0005  # keeps the error of all pixels from dominating the margin loss


def margin_losses(lengths: Tensor, targets: Tensor) -> Tensor:
    """Squares of how far each class's capsule is inside its margin, summed over the classes: (N,).

        sum_k T_k max(0, 0.9 - |v_k|)^2 + 0.5 (T - T_k) max(0, |v_k| - 0.1)^2,  T = sum_k T_k

    Args:
        lengths: |v|, float (N, K), in 0..1.
        targets: class ids int64 (N,), T_k being 1 for that class and 0 for all others; or T_k itself, float
            (N, K): the shares of the classes in a mixed picture, times the weights of the classes.

    Raises:
        ValueError: other shapes or types; on a processor also a class that there is not.

    Source: section 3, equation 4, where T is 1.
    """
    check_shape("lengths", lengths, ("N", "K"), "float")
    if isinstance(targets, Tensor) and targets.is_floating_point():
        check_shape("targets", targets, tuple(lengths.shape))
    else:
        check_shape("targets", targets, (len(lengths),), "ids")
        check_ids("targets", targets, lengths.shape[1])
    present = F.relu(PRESENT - lengths).square()
    absent = ABSENT_WEIGHT * F.relu(lengths - ABSENT).square()
    shares = targets if targets.is_floating_point() else F.one_hot(targets, lengths.shape[1])
    return (shares * present + (shares.sum(dim=1, keepdim=True) - shares) * absent).sum(dim=1)


def reconstruction_errors(reconstructions: Tensor, pictures: Tensor, targets: Tensor) -> Tensor:
    """Summed squared differences between a picture and what its true class's capsule draws: (N,).

    Args:
        reconstructions: float (N, K, P), one drawing for each class.
        pictures: float (N, P).
        targets: class ids int64 (N,).

    Raises:
        ValueError: other shapes or types; on a processor also a class that there is not.

    Source: section 4.1.
    """
    check_shape("reconstructions", reconstructions, ("N", "K", "P"), "float")
    count, classes, values = reconstructions.shape
    check_shape("pictures", pictures, (count, values))
    check_shape("targets", targets, (count,), "ids")
    check_ids("targets", targets, classes)
    drawn = reconstructions[torch.arange(len(targets), device=targets.device), targets]  # (N, P)
    return (drawn.float() - pictures.float()).square().sum(dim=1)
