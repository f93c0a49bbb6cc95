"""Where a network computes, and in which memory layout."""

import torch
from torch import Tensor, nn

from striate.errors import InputError
from striate.runtime import channels_last


def choose_device(name: str) -> torch.device:
    """The device called ``name``; "auto" takes an accelerator if there is one.

    Raises:
        InputError: no such device here.
    """
    if name == "auto":
        accelerator = torch.accelerator.current_accelerator() if torch.accelerator.is_available() else None
        return accelerator or torch.device("cpu")
    try:
        torch.zeros(1, device=name).item()  # "meta" can make tensors, but not compute
        return torch.device(name)
    except (RuntimeError, AssertionError, ValueError) as error:
        reason = str(error).splitlines()[0]
        raise InputError(
            f"no device {name!r} here: {reason}", "--device", "`striate doctor` lists what is here"
        ) from None


def to_input(images: Tensor) -> Tensor:
    """In the memory layout that convolutions like best."""
    return images.contiguous(
        memory_format=torch.channels_last if channels_last() else torch.contiguous_format
    )


def place_model(model: nn.Module, device: torch.device) -> nn.Module:
    """On its device, in the memory layout that convolutions like best."""
    if channels_last():
        model = model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return model.to(device)
