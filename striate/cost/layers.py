"""What each layer does, gathered from the operations of one prediction."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

from torch import Tensor, nn
from torch._ops import OpOverload
from torch.utils.weak import WeakTensorKeyDictionary

from striate.cost.arithmetic import factors, multiply_accumulates
from striate.cost.operations import PICTURES, amount
from striate.cost.receptive_field import Field, field_after, pixel
from striate.cost.results import storage_key, tensors_in
from striate.layers import PartiallyConnectedConv2d


@dataclass
class Work:
    """What one module does itself, without the modules in it; counts and bytes are for one picture.

    Attributes:
        output: shape of its output for one picture, () before it has one.
        seen: the receptive field of its output; None where that does not depend on the picture.
        macs: multiply-accumulates of weights.
        products: all multiply-accumulates, also of feature maps with one another.
        activation: bytes of the outputs that it put into new memory.
    """

    output: tuple[int, ...] = ()
    seen: Field | None = None
    macs: int = 0
    products: int = 0
    activation: int = 0


class LayerWork:
    """Attribute operations to the innermost module that runs them.

    Args:
        model: the network.
        weights: its parameters and buffers in the trace.
        pictures: (N, C, H, W) in the trace.
    """

    def __init__(self, model: nn.Module, weights: Sequence[Tensor], pictures: Tensor) -> None:
        self.modules = dict(model.named_modules())
        self.work: dict[str, Work] = {}
        self.finished: dict[str, Work] = {}  # in order, so that a module follows those in it
        self.running: list[str] = []
        self.learned = WeakTensorKeyDictionary()  # tensors made of weights alone
        self.fields = WeakTensorKeyDictionary()  # of the tensors that depend on the pictures
        self.makers: dict[int, str] = {}  # memory -> the module that asked for it
        self.fields[pictures] = pixel(pictures.ndim - 2)
        for weight in weights:
            self.learned[weight] = True

    @contextmanager
    def attached(self) -> Iterator[None]:
        """Within the block, know which modules run."""
        handles = []
        for name, module in self.modules.items():
            handles.append(module.register_forward_pre_hook(partial(self._enter, name)))
            handles.append(module.register_forward_hook(partial(self._leave, name)))
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()

    def _enter(self, name: str, module: nn.Module, inputs: Any) -> None:
        self.work.setdefault(name, Work())
        self.running.append(name)

    def _leave(self, name: str, module: nn.Module, inputs: Any, outputs: Any) -> None:
        self.running.pop()
        tensors = tensors_in(outputs)
        work = self.finished[name] = self.work[name]
        if tensors:
            work.output = shape_for_one(tensors[0])
            work.seen = self.fields.get(tensors[0])
        for tensor in tensors:
            maker = self.makers.pop(storage_key(tensor), None)  # not again when an outer module hands it on
            if maker is not None:
                self.work[maker].activation += tensor.untyped_storage().nbytes() // PICTURES

    def observe(self, function: OpOverload, args: Sequence[Any], result: Any) -> None:
        """Count one operation, if it is done for each picture, and note what its results are made of."""
        sources = tensors_in(args)
        fields = [self.fields.get(source) for source in sources]
        known = {storage_key(source) for source in sources}
        for tensor in tensors_in(result):
            if any(fields):
                self.fields[tensor] = field_after(function, args, fields, tensor)
            elif any(source in self.learned for source in sources):
                self.learned[tensor] = True
            if storage_key(tensor) not in known:
                self.makers[storage_key(tensor)] = self.running[-1]
        self._count(function, args, result)

    def _count(self, function: OpOverload, args: Sequence[Any], result: Any) -> None:
        pair = factors(function, args)
        if pair is None:
            return
        work = self.work[self.running[-1]]
        executed = amount(multiply_accumulates(function, args, result)).per_picture
        work.products += executed
        if any(factor in self.learned for factor in pair):
            layer = self.modules[self.running[-1]]
            if isinstance(layer, PartiallyConnectedConv2d):  # runs as a dense one, with zeros
                executed = result.numel() // PICTURES // layer.out_channels * layer.weight.numel()
            work.macs += executed


def shape_for_one(tensor: Tensor) -> tuple[int, ...]:
    """The shape of the part of ``tensor`` that belongs to one picture."""
    if tensor.ndim and tensor.shape[0] == PICTURES:
        return tuple(tensor.shape[1:])
    return tuple(size // PICTURES if size % PICTURES == 0 else size for size in tensor.shape)
