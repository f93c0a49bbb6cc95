"""When memory runs out: compute the batch in smaller parts, at the same effective batch size."""

from collections.abc import Callable
from typing import TypeVar

import torch
from torch import nn

from striate.errors import RunError

Result = TypeVar("Result")


SIGNS = (  # in what an allocator, oneDNN, cuBLAS or MPS says when there is no memory
    "DefaultCPUAllocator",
    "could not create a primitive",
    "could not create a memory",
    "CUBLAS_STATUS_ALLOC_FAILED",
    "MPS backend out of memory",
)


def is_out_of_memory(error: Exception) -> bool:
    """True where an accelerator, the processor's allocator or a library has no memory left."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    return any(sign in str(error) for sign in SIGNS)


def with_smaller_parts(
    compute: Callable[[int], Result], model: nn.Module, parts: int, most: int, alone: bool = True
) -> tuple[Result, int]:
    """``compute(parts)``, tried again with twice as many parts for as long as memory runs out.

    Each try starts from the same buffers, the same random state and no gradients, so that the step is
    what it would have been with that many parts from the start.

    Args:
        alone: no other process takes part in the step; with others there is no second try, since they have
            no reason for one.

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
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            if not alone:
                raise RunError(
                    "a process ran out of memory",
                    str(error).splitlines()[0],
                    f"train again with --set train.accumulate={2 * parts}, or a smaller evaluate.batch_size",
                ) from error
            if parts >= most:
                raise RunError(
                    "there is not enough memory for a single picture",
                    (str(error) or "no memory left").splitlines()[0],
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
