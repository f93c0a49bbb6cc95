"""Every elementary operation of a network, seen as it runs on tensors without memory."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch._ops import OpOverload
from torch.utils._python_dispatch import TorchDispatchMode

from striate.cost.results import Results

# In a trace: a prime, so that what it divides grows with the batch, and nothing else does (but for a layer of
# 999,983 units or a multiple of that).
PICTURES = 999_983


@dataclass(frozen=True)
class Amount:
    """``constant + per_picture * N`` for a batch of N pictures: bytes, or anything else that adds up."""

    constant: int = 0
    per_picture: int = 0

    def at(self, batch: int) -> int:
        """The amount for ``batch`` pictures."""
        return self.constant + self.per_picture * batch

    def __add__(self, other: "Amount") -> "Amount":
        return Amount(self.constant + other.constant, self.per_picture + other.per_picture)

    def __sub__(self, other: "Amount") -> "Amount":
        return Amount(self.constant - other.constant, self.per_picture - other.per_picture)


def amount(total: int) -> Amount:
    """What ``total``, of one tensor or operation in a trace of ``PICTURES`` pictures, is for any batch."""
    return Amount(total) if total % PICTURES else Amount(0, total // PICTURES)


class Observer(Protocol):
    """Who is told about operations."""

    def observe(self, function: OpOverload, args: Sequence[Any], result: Any) -> None:
        """``function`` has just turned ``args`` into ``result``."""


class Operations(TorchDispatchMode):
    """Tell ``observers`` of each operation that runs within the block, after it ran.

    They are the ones below autograd (aten.convolution, aten.native_batch_norm, ...), in the forward and
    in the backward pass, including those that layers are composed of.
    """

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return False  # whether to be hidden from the compiler, which would be loaded for that

    def __init__(self, *observers: Observer) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.observers = observers
        self.results = Results()

    def __torch_dispatch__(
        self,
        function: OpOverload,
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        result = self.results.of(function, args, kwargs or {})
        for observer in self.observers:
            observer.observe(function, args, result)
        return result


@contextmanager
def without_memory(precision: str) -> Iterator[torch.device]:
    """Within the block, tensors made on the device that it gives have shapes but no memory.

    They are meta tensors. Under bf16 they are fake processor tensors, because autocast asks for the device
    and knows none for meta tensors; loading what these need takes a second.
    """
    if precision == "fp32":
        yield torch.device("meta")
        return
    from torch._subclasses.fake_tensor import FakeTensorMode

    with FakeTensorMode(allow_non_fake_inputs=True):
        yield torch.device("cpu")
