"""One network on several processes: a replica in each, or its parameters divided among them.

``replicate`` and ``shard`` give what the loop calls in place of the network; the network itself keeps its
names, so that optimizer, average and checkpoint see no difference. Each process's loss, a mean over its part
of the batch, is to be multiplied by ``size * len(part) / len(batch)``: the processes' gradients are averaged,
and what comes out is the gradient of the mean over the whole batch.
"""

import gc
import warnings
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from striate.train.distributed import Processes


def replicate(model: nn.Module, processes: Processes) -> nn.Module:
    """A replica of the first process's network in each process; call the result, and only in training.

    To be made anew, the old one forgotten, when other parameters train. Buffers are not synchronized:
    where batch normalization is not, those of the first process count, and ``processes.align`` brings them
    to the others before they evaluate.

    Returns:
        ``model`` itself where there is one process only.
    """
    if processes.size == 1:
        return model
    processes.align(model.buffers())
    gc.collect()  # an earlier wrapper is in cycles, and its hooks on the parameters with it
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # broadcast_buffers is to be renamed after torch 2.13
        # Without find_unused_parameters the buckets are formed anew after the first step, which changes the
        # order of sums among three or more processes, so that a resumed run would differ in the last bits.
        return DistributedDataParallel(
            model, broadcast_buffers=False, find_unused_parameters=True, gradient_as_bucket_view=True
        )


def shard(model: nn.Module, processes: Processes, device: torch.device) -> nn.Module:
    """Divide parameters, gradients and optimizer state among the processes, in place (FSDP2).

    Each stage's parameters are gathered while it computes, those of stem and head throughout. To be done
    before the optimizer is built; ``model`` is on the CPU and equal on all processes. It ends on
    ``device``, its parameters contiguous, because FSDP2 takes no channels_last ones.

    Returns:
        ``model``, whose parameters are DTensors.

    Source: Zhao et al. 2023, "PyTorch FSDP" (arXiv:2304.11277); Rajbhandari et al. 2020, "ZeRO"
    (arXiv:1910.02054), stage 3.
    """
    if processes.size == 1:
        return model.to(device)
    # Imported here, like DTensor below, because it takes a second that most runs do not owe.
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import fully_shard

    model.to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]
    mesh = init_device_mesh(device.type, (processes.size,))
    for name, module in model.named_modules():
        if name.split(".")[-2:-1] == ["stages"]:
            fully_shard(module, mesh=mesh)
    fully_shard(model, mesh=mesh)
    return model


def gradients_summed(network: nn.Module, last: bool) -> AbstractContextManager[None]:
    """The context of one micro-batch, forward and backward: the ``last`` one sums over the processes.

    Args:
        network: what ``replicate`` or ``shard`` gave.
        last: of the step's micro-batches; those before it only add to this process's gradients.
    """
    if isinstance(network, DistributedDataParallel) and not last:
        return network.no_sync()
    if hasattr(network, "set_requires_gradient_sync"):  # it is sharded
        network.set_requires_gradient_sync(last)  # type: ignore[operator]
    return nullcontext()


def unfuse(optimizer: torch.optim.Optimizer) -> None:
    """Let ``optimizer`` step by many small kernels instead of a fused one, which SGD lacks for shards.

    To be called after its state was loaded, too: what an unsharded optimizer saved says that it was fused.
    """
    for group in optimizer.param_groups:
        group.update(foreach=True, fused=False)


def gather_whole(tensors: Mapping[str, Tensor], processes: Processes) -> dict[str, Tensor]:
    """Tensors of which each process holds a shard, whole, on the CPU of the first; empty for the others.

    All processes call it with the same names. Tensors that are not sharded are the first process's.
    """
    whole = {}
    for name, tensor in tensors.items():
        value: Tensor = tensor.full_tensor() if is_shard(tensor) else tensor  # type: ignore[attr-defined]
        if processes.is_first:
            whole[name] = value.detach().cpu()
    return whole


def like(whole: Tensor, own: Tensor) -> Tensor:
    """``whole``, equal on all processes, as ``own`` is kept: its shard, its memory layout, its device."""
    if not is_shard(own):
        return torch.empty_like(own).copy_(whole)
    from torch.distributed.tensor import DTensor, distribute_tensor

    assert isinstance(own, DTensor)
    return distribute_tensor(whole.to(own.device), own.device_mesh, own.placements, src_data_rank=None)


def is_shard(tensor: Tensor) -> bool:
    """Whether ``tensor`` is a DTensor, of which each process holds a part."""
    return hasattr(tensor, "full_tensor")
