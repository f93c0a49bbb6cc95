"""Batch normalization over the batch of all processes, on processors as well as on GPUs."""

from typing import Any

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable


class SynchronizedBatchNorm2d(nn.BatchNorm2d):
    """Batch normalization whose mean and variance are those of the whole batch: (N, C, H, W) -> same.

    Each of the processes that ``torch.distributed`` joins has a part of the batch; the parts may differ in
    size, none is empty. All of them must run the layer equally often, forward and backward. The running
    variance is unbiased by the whole batch's count. In evaluation, and in a process alone, it is
    ``nn.BatchNorm2d``, whose parameters and buffers it has.

    Source: Ioffe and Szegedy 2015 (arXiv:1502.03167), algorithm 1 and section 3, with the sums over the
    mini-batch taken over all processes.
    """

    def forward(self, input: Tensor) -> Tensor:
        if not self.training or not dist.is_initialized():
            return super().forward(input)
        mean, var, count = whole_batch_statistics(input)
        with torch.no_grad():
            assert self.running_mean is not None
            assert self.running_var is not None
            assert self.num_batches_tracked is not None
            assert self.momentum is not None
            self.running_mean.lerp_(mean, self.momentum)
            self.running_var.lerp_(var * (count / (count - 1)), self.momentum)
            self.num_batches_tracked.add_(1)
        normalized: Tensor = _Normalize.apply(  # type: ignore[no-untyped-call]
            input, self.weight, self.bias, mean, var, count, self.eps
        )
        return normalized


@torch.no_grad()
def whole_batch_statistics(x: Tensor) -> tuple[Tensor, Tensor, float]:
    """Over the x (N, C, H, W) of all processes: mean and variance float32 (C,), values per channel."""
    count = x.numel() // x.shape[1]
    unused = torch.zeros(2, x.shape[1], device=x.device)  # in float32, so that the statistics are too
    mean, var = (s.double() for s in torch.batch_norm_update_stats(x, unused[0], unused[1], 0.0))
    # In float64 the difference of squares costs no digits, and one message is enough.
    sums = torch.cat([mean * count, (var + mean.square()) * count, mean.new_tensor([count])])
    dist.all_reduce(sums)
    mean, squares = (sums[:-1] / sums[-1]).chunk(2)
    var = (squares - mean.square()).clamp_min(0)
    return mean.float(), var.float(), float(sums[-1])


class _Normalize(torch.autograd.Function):
    """weight * (x - mean) / sqrt(var + eps) + bias, where mean and var depend on every process's x."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, mean: Tensor, var: Tensor, count: float, eps: float
    ) -> Tensor:
        ctx.save_for_backward(x, weight, mean, var)
        ctx.count, ctx.eps = count, eps
        return F.batch_norm(x, mean, var, weight, bias, training=False, eps=eps)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dy: Tensor) -> tuple[Tensor | None, ...]:
        x, weight, mean, var = ctx.saved_tensors
        # As if mean and var were constants: dx = dy * weight / std, and the sums of dy * x_hat and of dy.
        dx, dweight, dbias = torch.ops.aten.native_batch_norm_backward(
            dy, x, weight, mean, var, None, None, False, ctx.eps, [True, True, True]
        )
        # What comes back through them: dx -= weight / std * (mean(dy) + x_hat * mean(dy * x_hat)).
        means = torch.cat([dbias, dweight])
        dist.all_reduce(means)
        mean_dy, mean_dy_x_hat = (means / ctx.count).chunk(2)
        std = (var + ctx.eps).sqrt()
        slope = weight / std * mean_dy_x_hat / std
        offset = weight / std * mean_dy - slope * mean
        dx -= torch.addcmul(offset[:, None, None], x, slope[:, None, None])
        return dx, dweight, dbias, None, None, None, None


def synchronize_batch_norm(model: nn.Module) -> None:
    """Turn every batch normalization of ``model`` into a synchronized one, in place.

    Parameters, buffers, their names, eps and momentum stay what they are.
    """
    for layer in model.modules():
        if type(layer) is nn.BatchNorm2d:
            layer.__class__ = SynchronizedBatchNorm2d  # what it computes changes, not what it holds
