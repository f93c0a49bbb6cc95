"""The memory of a prediction and of a training step, as straight lines over the batch size.

At each operation some tensors are alive. Their bytes are ``constant + per_picture * N`` for a batch of N
pictures, so the most memory in use is the largest of as many straight lines as there are operations. That is
known for every N from a single trace, and so is the largest N that fits.

What is counted are tensors: parameters, buffers, gradients, optimizer state, feature maps, and the pictures
themselves as floats; and the workspace of convolutions, as oneDNN needs it on a processor in channels_last.
Not counted are Python and PyTorch (about 0.3 GB), and the batch that a loader prepares meanwhile. In
channels-first order a convolution keeps one more copy of its larger map, but none of its weight's gradient.
"""

import math
import weakref
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch._ops import OpOverload

from striate.cost.operations import Amount, amount
from striate.cost.results import storage_key, tensors_in
from striate.errors import InputError

aten = torch.ops.aten


@dataclass(frozen=True)
class Optimizer:
    """What an optimizer keeps for each trained value, and what its step needs beside: in fp32 values."""

    state: int
    temporary: int = 0


OPTIMIZERS = {  # as `striate train` builds them: fused where torch has that, with decay
    "sgd": Optimizer(state=0),  # without momentum
    "momentum": Optimizer(state=1),
    "adam": Optimizer(state=2),
    "adamw": Optimizer(state=2),
    "nadam": Optimizer(state=2, temporary=1),
    "rmsprop": Optimizer(state=2, temporary=2),  # with momentum
}


def find_optimizer(name: str) -> Optimizer:
    """One of ``OPTIMIZERS``.

    Raises:
        InputError: there is no such optimizer.
    """
    if name not in OPTIMIZERS:
        raise InputError(f"unknown optimizer {name!r}", "--optimizer", f"use one of {', '.join(OPTIMIZERS)}")
    return OPTIMIZERS[name]


@dataclass(frozen=True)
class Peak:
    """The most bytes in use at once, for any batch size."""

    lines: frozenset[Amount]

    def at(self, batch: int) -> int:
        """Bytes for ``batch`` pictures."""
        return max(line.at(batch) for line in self.lines)

    def largest_batch(self, memory: int) -> int:
        """The largest batch that needs at most ``memory`` bytes; 0 if not even one picture fits."""
        if self.at(1) > memory:
            return 0
        return min((memory - line.constant) // line.per_picture for line in self.lines if line.per_picture)


@dataclass(frozen=True)
class TrainingMemory:
    """The bytes of a training step. All but ``peak`` are parts, which are never all alive at the same time.

    Attributes:
        weights: parameters and buffers.
        gradients: of the trained parameters.
        optimizer: its state.
        activations: what the forward pass leaves for the backward pass.
        pictures: the batch, as floats.
        peak: the most that is in use at once.
    """

    weights: int
    gradients: int
    optimizer: int
    activations: int
    pictures: int
    peak: int


@dataclass(frozen=True)
class TrainingTrace:
    """What a traced training step found; ``lines`` and all else are without the optimizer."""

    lines: frozenset[Amount]
    weights: Amount
    gradients: Amount
    activations: Amount
    pictures: Amount

    def peak(self, optimizer: Optimizer) -> Peak:
        """The step with ``optimizer``, whose state is there from the second step on."""
        state = Amount(self.gradients.constant * optimizer.state)
        temporary = Amount(self.gradients.constant * optimizer.temporary)
        update = self.weights + self.pictures + self.gradients + temporary
        return Peak(frozenset(line + state for line in self.lines | {update}))

    def memory(self, batch: int, optimizer: Optimizer) -> TrainingMemory:
        """Its bytes for ``batch`` pictures."""
        return TrainingMemory(
            weights=self.weights.at(batch),
            gradients=self.gradients.at(batch),
            optimizer=self.gradients.at(batch) * optimizer.state,
            activations=self.activations.at(batch),
            pictures=self.pictures.at(batch),
            peak=self.peak(optimizer).at(batch),
        )


class Allocations:
    """Watch which tensors are alive: ``now``, and at every operation (``moments``)."""

    def __init__(self, held: Iterable[Tensor]) -> None:
        self.now = Amount()
        self.alive: dict[int, weakref.ref[torch.UntypedStorage]] = {}
        for tensor in held:
            self.hold(tensor)
        self.moments = {self.now}

    def observe(self, function: OpOverload, args: Sequence[Any], result: Any) -> None:
        """Take in the tensors that an operation made."""
        for tensor in tensors_in(result):
            self.hold(tensor)
        self.moments.add(self.now + workspace(function, args))

    def hold(self, tensor: Tensor) -> None:
        """Count the memory of ``tensor`` until the last tensor that shares it is gone."""
        key = storage_key(tensor)
        if key not in self.alive:
            storage = tensor.untyped_storage()
            size = amount(storage.nbytes())
            self.now += size
            self.alive[key] = weakref.ref(storage, partial(self._release, key, size))

    def _release(self, key: int, size: Amount, storage: object) -> None:
        self.now -= size
        del self.alive[key]


def workspace(function: OpOverload, args: Sequence[Any]) -> Amount:
    """What oneDNN, with AVX-512, uses for a convolution while it runs; found by measuring."""
    match function.overloadpacket:
        case aten.convolution:  # the weight, blocked for the processor's registers
            return Amount(args[1].nbytes)
        case aten.convolution_backward:  # its gradient: blocked, and in order before it is channels_last
            gradient, x, weight = args[:3]
            return Amount(2 * weight.nbytes + padding_of_groups(gradient, x, weight, groups=args[9]))
    return Amount()


def padding_of_groups(gradient: Tensor, x: Tensor, weight: Tensor, groups: int) -> int:
    """Bytes of the zeros that fill up small groups to blocks of 16x16 channels.

    That befalls grouped and depthwise convolutions whose gradient has no kernel of its own, as it has for
    3x3 windows on maps that are not smaller.
    """
    if groups == 1 or (tuple(weight.shape[2:]) == (3, 3) and min(x.shape[2:]) >= 3):
        return 0
    blocks = [-(-channels // groups // 16) * 16 for channels in (gradient.shape[1], x.shape[1])]
    return groups * math.prod(blocks) * math.prod(weight.shape[2:]) * weight.itemsize
