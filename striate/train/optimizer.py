"""Optimizers and gradient clipping: how a gradient becomes a step."""

from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from striate.recipe import OptimizerSettings


def build_optimizer(
    model: nn.Module, settings: OptimizerSettings, factors: Mapping[nn.Parameter, float] | None = None
) -> torch.optim.Optimizer:
    """One of torch's optimizers over the trainable parameters of ``model``.

    ``factors`` of the learning rate may differ between parameters; each group keeps its own as "factor".

    Weight decay leaves out biases and normalization weights (every parameter of fewer than two
    dimensions) unless ``decay_all`` is set. Adam's decay is its classic L2 term, AdamW's and Nadam's is
    decoupled (Loshchilov and Hutter 2017). Each group keeps its factor of the L1 norm as "l1": that of weight
    decay's parameters is ``settings.l1``, and ``add_l1`` makes it felt.
    """
    kinds: dict[tuple[float, bool], list[nn.Parameter]] = {}  # by factor, and whether weights decay
    for parameter in (p for p in model.parameters() if p.requires_grad):
        decays = settings.decay_all or parameter.ndim >= 2
        kinds.setdefault((factors[parameter] if factors else 1.0, decays), []).append(parameter)
    groups: list[dict[str, Any]] = [
        {
            "params": parameters,
            "factor": factor,
            "l1": settings.l1 if decays else 0.0,
            **({} if decays else {"weight_decay": 0.0}),
        }
        for (factor, decays), parameters in sorted(kinds.items(), key=lambda kind: kind[0], reverse=True)
    ]
    lr, decay, eps, betas = settings.lr, settings.weight_decay, settings.eps, settings.betas
    match settings.name:
        case "sgd":
            nesterov = settings.nesterov and settings.momentum > 0
            return torch.optim.SGD(
                groups, lr, settings.momentum, weight_decay=decay, nesterov=nesterov, fused=True
            )
        case "adam":
            return torch.optim.Adam(groups, lr, betas, eps, decay, fused=True)
        case "adamw":
            return torch.optim.AdamW(groups, lr, betas, eps, decay, fused=True)
        case "nadam":
            return torch.optim.NAdam(groups, lr, betas, eps, decay, decoupled_weight_decay=True, foreach=True)
        case "rmsprop":
            return torch.optim.RMSprop(
                groups, lr, settings.smoothing, eps, decay, settings.momentum, foreach=True
            )


def set_learning_rate(optimizer: torch.optim.Optimizer, lr: float) -> None:
    """The learning rate of every parameter group: ``lr`` times the group's factor."""
    for group in optimizer.param_groups:
        group["lr"] = lr * group["factor"]


def set_momentum(optimizer: torch.optim.Optimizer, momentum: float) -> None:
    """The momentum of every parameter group: of Adam and its kin the first of the betas."""
    for group in optimizer.param_groups:
        if "betas" in group:
            group["betas"] = (momentum, *group["betas"][1:])
        else:
            group["momentum"] = momentum


@torch.no_grad()
def add_l1(optimizer: torch.optim.Optimizer) -> None:
    """Add the gradient of ``l1 * sum(|weight|)`` to that of every parameter whose group has an "l1".

    As with weight decay, it is no part of the loss that is told, and comes after clipping. A weight that is
    0 is not moved by it.
    """
    for group in optimizer.param_groups:
        if l1 := group.get("l1", 0.0):  # a state saved before there was any has none
            for parameter in group["params"]:
                if parameter.grad is not None:
                    parameter.grad.add_(parameter.sign(), alpha=l1)


def clip_gradients(
    parameters: Iterable[nn.Parameter], clip_value: float | None, clip_norm: float | None
) -> Tensor:
    """Clip gradients in place, by value first and then by their common norm.

    By value each element is cut to [-clip_value, clip_value], which turns the gradient; by norm the
    whole gradient is scaled down to ``clip_norm``, which keeps its direction.

    Returns:
        The common L2 norm before clipping by norm, float (): not finite if any element is not.
    """
    gradients = [p.grad for p in parameters if p.grad is not None]
    norm = torch.nn.utils.get_total_norm(gradients)
    if clip_value is not None:
        torch._foreach_clamp_min_(gradients, -clip_value)
        torch._foreach_clamp_max_(gradients, clip_value)
    if clip_norm is not None:
        bounded = norm if clip_value is None else torch.nn.utils.get_total_norm(gradients)
        torch._foreach_mul_(gradients, (clip_norm / (bounded + 1e-12)).clamp(max=1.0))
    return norm
