"""How foreign weights become ours: rules on names, and a change of layout where a framework has another.

A key map is a list of (pattern, replacement) pairs in the order of the network; the first pattern that
matches the start of a foreign name rewrites that part of it. The maps that prove a network against its
peer in the tests are the ones that load published weights.
"""

import re
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from striate.errors import InputError

KeyMap = tuple[tuple[str, str], ...]  # (pattern at the start of a foreign name, what stands there in ours)

# Inside a convolution with batch normalization the words are nearly the same everywhere.
KERAS_WORDS = {
    "kernel": "weight",
    "depthwise_kernel": "weight",
    "pointwise_kernel": "weight",
    "gamma": "weight",
    "beta": "bias",
    "bias": "bias",
    "moving_mean": "running_mean",
    "moving_variance": "running_var",
}


def rename(name: str, key_map: KeyMap) -> str:
    """A foreign name in our words.

    Raises:
        InputError: no rule knows it.
    """
    for pattern, replacement in key_map:
        renamed, count = re.subn(f"^(?:{pattern})", replacement, name, count=1)
        if count:
            return renamed
    raise InputError(f"the weights hold {name}, which this network does not have")


def convert(model: nn.Module, foreign: Mapping[str, Tensor], key_map: KeyMap) -> dict[str, Tensor]:
    """Foreign tensors under our names, in our shapes and dtypes, ready for ``model.load_state_dict``.

    A 1x1 convolution that is a dense layer here (or the other way round) only gains or loses axes of
    length 1. Counters of batch normalization, which no computation uses, may be missing.

    Raises:
        InputError: a tensor is missing, unknown, or has another shape or kind of number; it is named.
    """
    own = model.state_dict()
    converted: dict[str, Tensor] = {}
    for foreign_name, tensor in foreign.items():
        name = rename(foreign_name, key_map)
        if name not in own:
            raise InputError(f"the weights hold {foreign_name}, which this network does not have")
        if squeezed(tensor) != squeezed(own[name]):
            raise InputError(
                f"{foreign_name} is {tuple(tensor.shape)}, {name} of this network {tuple(own[name].shape)}"
            )
        if tensor.is_floating_point() != own[name].is_floating_point():
            raise InputError(f"{foreign_name} holds {tensor.dtype}, {name} of this network {own[name].dtype}")
        converted[name] = tensor.reshape(own[name].shape).to(own[name].dtype)
    for name, tensor in own.items():
        if name.endswith("num_batches_tracked"):
            converted.setdefault(name, torch.zeros_like(tensor, device="cpu"))
        elif name not in converted:
            raise InputError(f"the weights lack {name}")
    return converted


def squeezed(tensor: Tensor) -> list[int]:
    """Its shape without axes of length 1 at the end."""
    shape = list(tensor.shape)
    while len(shape) > 2 and shape[-1] == 1:
        shape.pop()
    return shape


def from_keras(name: str, values: Tensor) -> tuple[str, Tensor]:
    """A Keras weight "layer/kernel" as "layer.weight" in torch's layout.

    Kernels (height, width, in, out) become (out, in, height, width), depthwise ones (height, width, in,
    multiplier) become (in * multiplier, 1, height, width), dense ones (in, out) become (out, in).
    """
    layer, word = name.rsplit("/", 1)
    if word == "depthwise_kernel":
        values = values.permute(2, 3, 0, 1).flatten(0, 1)[:, None]
    elif word.endswith("kernel") and values.ndim == 4:
        values = values.permute(3, 2, 0, 1)
    elif word == "kernel":
        values = values.T
    part = {"depthwise_kernel": ".depthwise", "pointwise_kernel": ".pointwise"}.get(word, "")
    return f"{layer}{part}.{KERAS_WORDS[word]}", values.contiguous()
