"""When memory runs out: compute the batch in smaller parts, at the same effective batch size."""

from collections.abc import Callable
from typing import TypeVar

import torch
from torch import nn

from striate.errors import RunError

Result = TypeVar("Result")


def is_out_of_memory(error: RuntimeError) -> bool:
    """True for an accelerator's and for the processor's allocator running dry."""
    return isinstance(error, torch.OutOfMemoryError) or "DefaultCPUAllocator" in str(error)


def with_smaller_parts(
    compute: Callable[[int], Result], model: nn.Module, parts: int, most: int
) -> tuple[Result, int]:
    """``compute(parts)``, tried again with twice as many parts for as long as memory runs out.

    Each try starts from the same buffers, the same random state and no gradients, so that the step is
    what it would have been with that many parts from the start.

    Returns:
        The result, and the number of parts that it took.

    Raises:
        RunError: not even ``most`` parts fit.
    """
    buffers = [buffer.clone() for buffer in model.buffers()]
    random_state = torch.get_rng_state()
    cuda_states = torch.cuda.get_rng_state_all() if torch.cuda.is_available() else []
    while True:
        try:
            return compute(parts), parts
        except RuntimeError as error:
            if not is_out_of_memory(error):
                raise
            if parts >= most:
                raise RunError(
                    "there is not enough memory to train on a single picture",
                    str(error).splitlines()[0],
                    "choose a smaller network or a smaller input.size",
                ) from error
        parts = min(2 * parts, most)  # outside the handler, which holds the failed try's tensors
        model.zero_grad(set_to_none=True)
        torch.set_rng_state(random_state)
        if cuda_states:
            torch.cuda.set_rng_state_all(cuda_states)
            torch.cuda.empty_cache()
        with torch.no_grad():
            for buffer, value in zip(model.buffers(), buffers, strict=True):
                buffer.copy_(value)
