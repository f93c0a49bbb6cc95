"""Focal loss: of many easy examples, each counts little."""

import torch
import torch.nn.functional as F
from torch import Tensor

from striate.ops.arguments import check_number, check_shape, has_values


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
        ValueError: the shapes differ, logits are not floating point, or alpha or gamma cannot be; on a
            processor also targets outside 0..1.

    Source: Lin et al. 2017, "Focal loss for dense object detection", arXiv:1708.02002, equation 5.
    """
    _check(logits, targets)
    if alpha is not None:
        check_number("alpha", alpha, 0, 1)
    check_number("gamma", gamma, 0)
    wide = logits if logits.element_size() >= 4 else logits.float()
    truth = targets.to(wide.dtype)
    entropy = F.binary_cross_entropy_with_logits(wide, truth, reduction="none")
    missing = truth * (-wide).sigmoid() + (1 - truth) * wide.sigmoid()  # 1 - p_t, without cancellation
    missing = missing.clamp(min=torch.finfo(missing.dtype).tiny)  # a power below 1 has no slope at 0
    losses = entropy * missing**gamma
    return losses if alpha is None else losses * (alpha * truth + (1 - alpha) * (1 - truth))


def _check(logits: Tensor, targets: Tensor) -> None:
    check_shape("logits", logits, ("...",), "float")
    if not isinstance(targets, Tensor) or logits.shape != targets.shape:
        found = tuple(targets.shape) if isinstance(targets, Tensor) else type(targets).__name__
        raise ValueError(f"targets must have the shape of logits, {tuple(logits.shape)}, not {found}")
    if has_values(targets) and targets.numel():
        least, most = targets.detach().aminmax()
        if not (least >= 0 and most <= 1):  # NaN is neither
            raise ValueError(f"targets must lie in 0..1, not {float(least):g}..{float(most):g}")
