"""The cost of a network: its layers, their sums, and the memory that prediction and training take."""

import itertools
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import functional_call

from striate.cost.layers import LayerWork, Work
from striate.cost.memory import Allocations, Peak, TrainingMemory, TrainingTrace, find_optimizer
from striate.cost.operations import PICTURES, Amount, Operations, without_memory
from striate.cost.results import tensors_in
from striate.errors import InputError


@dataclass(frozen=True)
class Layer:
    """One module and what it costs by itself, for one picture.

    Attributes:
        name: dotted, as in ``named_modules``; "" is the network.
        kind: its class.
        output: shape of its output for one picture; () if the pass did not reach it.
        params: parameters it holds, each counted where it is met first.
        trainable: those of them that are trained.
        values: parameters and floating-point buffers (statistics of batch normalization).
        macs: multiply-accumulates of its weights.
        flops: twice its multiply-accumulates, those of feature maps with one another included.
        receptive_field: (height, width) in pixels that a unit of its output sees; infinite where it is the
            whole picture; None where the output does not depend on the picture.
        stride: (height, width) in pixels between what neighbouring units see; None likewise.
        activation: bytes of the output that it puts into new memory: 0 if in place or a view.
    """

    name: str
    kind: str
    output: tuple[int, ...]
    params: int
    trainable: int
    values: int
    macs: int
    flops: int
    receptive_field: tuple[float, ...] | None
    stride: tuple[float, ...] | None
    activation: int


@dataclass(frozen=True)
class Cost:
    """What a network costs.

    Attributes:
        input_shape: (C, H, W) of the pictures.
        precision: "fp32" or "bf16", the number format of the passes.
        params: parameters: weights and biases, trained or frozen, without statistics.
        trainable: those of them that are trained.
        values: parameters and floating-point buffers (statistics of batch normalization).
        macs: multiply-accumulates of weights (convolutions and dense layers), for one picture.
        flops: two for each multiply-accumulate of any convolution or matrix product that runs, for one
            picture: ``2 * macs``, more where feature maps are multiplied with one another or a layer runs
            as a larger one. Activations, pooling and normalization are not counted.
        modules: every module that takes part or holds parameters, one that contains others after them.
        layers: those of ``modules`` that do something themselves.
        prediction: the memory of a prediction.
        training: the memory of a training step.
    """

    input_shape: tuple[int, ...]
    precision: str
    params: int
    trainable: int
    values: int
    macs: int
    flops: int
    modules: tuple[Layer, ...]
    layers: tuple[Layer, ...]
    prediction: Peak
    training: TrainingTrace

    @property
    def non_trainable(self) -> int:
        """Values that are not trained: statistics, and frozen parameters."""
        return self.values - self.trainable

    def memory_predict(self, batch: int = 1) -> int:
        """The most bytes in use while ``batch`` pictures are predicted, the network included."""
        return self.prediction.at(batch)

    def memory_train(self, batch: int = 1, optimizer: str = "adamw") -> TrainingMemory:
        """The bytes of a training step on ``batch`` pictures.

        Raises:
            InputError: ``optimizer`` is none of ``OPTIMIZERS``.
        """
        return self.training.memory(batch, find_optimizer(optimizer))

    def largest_batch(self, memory: int, optimizer: str | None = None) -> int:
        """How many pictures fit into ``memory`` bytes: to train with ``optimizer``, or to predict (None).

        Raises:
            InputError: ``optimizer`` is none of ``OPTIMIZERS``.
        """
        peak = self.prediction if optimizer is None else self.training.peak(find_optimizer(optimizer))
        return peak.largest_batch(memory)

    def folded(self, depth: int) -> tuple[Layer, ...]:
        """The layers, with everything below ``depth`` names in one line; 0 is the network as one."""
        groups: dict[str, list[Layer]] = {}
        for layer in self.modules:
            groups.setdefault(".".join(layer.name.split(".")[:depth]), []).append(layer)
        shown = set(self.layers)
        return tuple(fold(name, group) for name, group in groups.items() if shown & set(group))


def fold(name: str, layers: Sequence[Layer]) -> Layer:
    """``layers`` as one, with the output of the last."""
    last = next((layer for layer in reversed(layers) if layer.output), layers[-1])
    return replace(
        last,
        name=name,
        kind=last.kind if last.name == name else "",
        **{
            count: sum(getattr(layer, count) for layer in layers)
            for count in ("params", "trainable", "values", "macs", "flops", "activation")
        },
    )


def measure_cost(model: nn.Module, input_shape: Sequence[int], precision: str = "fp32") -> Cost:
    """What ``model`` costs, without computing or allocating anything.

    The network runs twice, once to predict and once to train, on tensors that have shapes but no memory;
    so it may live on the meta device, where a network of any size is built in no time. It is left as it was.
    The training step is one of classification: cross-entropy of every output.

    Args:
        model: takes float pictures (N, C, H, W), and treats them independently of their number.
        input_shape: (C, H, W).
        precision: "fp32", or "bf16" for autocast.

    Raises:
        InputError: the network does not take such pictures, what it does depends on their values, or it
            gives no tensors.
    """
    try:
        work, prediction = trace_prediction(model, input_shape, precision)
        training = trace_training(model, input_shape, precision)
    except (RuntimeError, ValueError, TypeError, IndexError, AssertionError) as error:
        raise refusal(error, input_shape) from error
    modules = gather(model, work)
    layers = tuple(layer for layer in modules if does_something(layer, model))
    totals = {
        count: sum(getattr(layer, count) for layer in modules)
        for count in ("params", "trainable", "values", "macs", "flops")
    }
    return Cost(
        input_shape=tuple(input_shape),
        precision=precision,
        **totals,
        modules=modules,
        layers=layers,
        prediction=prediction,
        training=training,
    )


def refusal(error: Exception, input_shape: Sequence[int]) -> InputError:
    """What a network's ``error`` means to a person: it meets wrong shapes, or asks for values."""
    reason = (str(error) or type(error).__name__).splitlines()[0]
    words = ("meta tensor", "numpy", "aten.")  # of PyTorch's errors where tensors have no values
    if isinstance(error, NotImplementedError) or any(word in reason for word in words):
        return InputError(
            f"what the network does depends on the values of its pictures: {reason}",
            "",
            "measure the part of it that does the same for all pictures",
        )
    return InputError(
        f"the network does not take pictures of {'x'.join(map(str, input_shape))}: {reason}",
        "",
        "give pictures of a size, and with as many channels, as it was built for",
    )


def trace_prediction(model: nn.Module, input_shape: Sequence[int], precision: str) -> tuple[LayerWork, Peak]:
    """The work of each module in a prediction, and its memory."""
    with stand_ins(model, input_shape, precision) as (tensors, pictures), in_mode(model, training=False):
        work = LayerWork(model, list(tensors.values()), pictures)
        allocations = Allocations([*tensors.values(), pictures])
        with torch.no_grad(), work.attached(), Operations(allocations, work):
            forward(model, tensors, pictures, precision)
    return work, Peak(frozenset(allocations.moments))


def trace_training(model: nn.Module, input_shape: Sequence[int], precision: str) -> TrainingTrace:
    """The memory of a training step."""
    with stand_ins(model, input_shape, precision) as (tensors, pictures), in_mode(model, training=True):
        allocations = Allocations([*tensors.values(), pictures])
        held = allocations.now
        with Operations(allocations):
            outputs = forward(model, tensors, pictures, precision)
            activations = allocations.now - held
            if not tensors_in(outputs):
                raise InputError(
                    f"the network gives no tensors, but a {type(outputs).__name__}",
                    "",
                    "let it give tensors, or tuples, lists or dictionaries of tensors",
                )
            losses = [loss for loss in classification_losses(outputs) if loss.requires_grad]
            ones = [torch.ones(()) for _ in losses]  # autograd would take ones_like, which loads the compiler
            torch.autograd.backward(losses, ones)
        images = Amount(0, pictures.nbytes // PICTURES)
        gradients = Amount(sum(t.grad.nbytes for t in tensors.values() if t.grad is not None))
    return TrainingTrace(frozenset(allocations.moments), held - images, gradients, activations, images)


@contextmanager
def stand_ins(
    model: nn.Module, input_shape: Sequence[int], precision: str
) -> Iterator[tuple[dict[str, Tensor], Tensor]]:
    """Tensors without memory for the parameters and buffers of ``model``, and pictures for it."""
    with without_memory(precision) as device, device:  # constants made in a forward pass go there, too
        tensors = {
            name: torch.empty(tensor.shape, dtype=tensor.dtype).requires_grad_(tensor.requires_grad)
            for name, tensor in itertools.chain(model.named_parameters(), model.named_buffers())
        }
        order = torch.channels_last if len(input_shape) == 3 else torch.contiguous_format
        yield tensors, torch.empty(PICTURES, *input_shape, memory_format=order)


@contextmanager
def in_mode(model: nn.Module, training: bool) -> Iterator[None]:
    """Within the block, ``model`` is in training or evaluation mode; afterwards each module is as it was."""
    before = {module: module.training for module in model.modules()}
    model.train(training)
    try:
        yield
    finally:
        for module, was_training in before.items():
            module.training = was_training


def forward(model: nn.Module, tensors: dict[str, Tensor], pictures: Tensor, precision: str) -> Any:
    """The outputs of ``model`` with ``tensors`` in place of its own."""
    # Autocast keeps the weights that it converts for training, not in inference mode. That mode, which
    # would hide operations within others, is not used here.
    keep = torch.is_grad_enabled()
    with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16", cache_enabled=keep):
        return functional_call(model, tensors, (pictures,))


def classification_losses(outputs: Any) -> list[Tensor]:
    """Stand-ins for the cross-entropy of every output (N, K, ...) or (N,), which need as much memory."""
    return [F.log_softmax(out.float(), dim=min(1, out.ndim - 1)).mean() for out in tensors_in(outputs)]


def gather(model: nn.Module, work: LayerWork) -> tuple[Layer, ...]:
    """All modules: those that took part in the order of their ends, then others that hold parameters."""
    held = holdings(model)
    names = [*work.finished, *(name for name in held if name not in work.finished and any(held[name]))]
    layers = []
    for name in names:
        done = work.finished.get(name, Work())
        params, trainable, values = held[name]
        layers.append(
            Layer(
                name=name,
                kind=type(work.modules[name]).__name__,
                output=done.output,
                params=params,
                trainable=trainable,
                values=values,
                macs=done.macs,
                flops=2 * done.products,
                receptive_field=done.seen.size if done.seen else None,
                stride=done.seen.stride if done.seen else None,
                activation=done.activation,
            )
        )
    return tuple(layers)


def holdings(model: nn.Module) -> dict[str, tuple[int, int, int]]:
    """For each module its own (parameters, trainable ones, floating-point values), nothing counted twice."""
    counted: set[Tensor] = set()
    held = {}
    for name, module in model.named_modules():
        parameters = set(module.parameters(recurse=False)) - counted
        buffers = {b for b in module.buffers(recurse=False) if b.is_floating_point()} - counted
        counted |= parameters | buffers
        held[name] = (
            sum(p.numel() for p in parameters),
            sum(p.numel() for p in parameters if p.requires_grad),
            sum(tensor.numel() for tensor in parameters | buffers),
        )
    return held


def does_something(layer: Layer, model: nn.Module) -> bool:
    """Whether a layer deserves a line: it contains no other and is more than a name, or does work itself."""
    module = model.get_submodule(layer.name)
    if any(True for _ in module.children()) or isinstance(module, nn.Identity):
        return bool(layer.values or layer.flops or layer.activation)
    return True
