"""Focal loss: of many easy examples, each counts little."""

import math

import torch.nn.functional as F
from torch import Tensor


def focal_losses(logits: Tensor, targets: Tensor, alpha: float | None = 0.25, gamma: float = 2.0) -> Tensor:
    """The cross-entropy of each sigmoid, times how far it is from being right; with the shape of ``logits``.

        -alpha_t (1 - p_t)^gamma ln(p_t)

    where p_t is the probability given to the truth: the sigmoid p where the target is 1, and 1 - p where it
    is 0. With gamma 0 it is the cross-entropy; with gamma 2, what is right with p_t = 0.9 counts a hundredth
    of that. A detector's loss is their sum over the number of objects.

    Args:
        logits: floating point, of any shape; computed in float32 at least.
        targets: of the same shape: 0 and 1, or probabilities between.
        alpha: weight of the ones, in 0..1, that of the zeros being 1 - alpha; None: both 1.
        gamma: at least 0.

    Raises:
        ValueError: the shapes differ, or alpha or gamma cannot be.

    Source: Lin et al. 2017, "Focal loss for dense object detection", arXiv:1708.02002, equation 5.
    """
    if logits.shape != targets.shape:
        raise ValueError(
            f"targets {tuple(targets.shape)} must have the shape of logits {tuple(logits.shape)}"
        )
    if alpha is not None and not 0 <= alpha <= 1:
        raise ValueError(f"alpha must lie in 0..1, or be None, not {alpha!r}")
    if not 0 <= gamma < math.inf:
        raise ValueError(f"gamma must be at least 0 and finite, not {gamma!r}")
    wide = logits if logits.element_size() >= 4 else logits.float()
    truth = targets.to(wide.dtype)
    entropy = F.binary_cross_entropy_with_logits(wide, truth, reduction="none")
    p = wide.sigmoid()
    missing = p + truth - 2 * p * truth  # 1 - p_t
    losses = entropy * missing**gamma
    return losses if alpha is None else losses * (alpha * truth + (1 - alpha) * (1 - truth))
