"""Weights from files: .safetensors, .pth and .pt, Keras's .h5. Nothing in a file is ever executed.

| suffix       | how it is read                                                                    |
| ------------ | --------------------------------------------------------------------------------- |
| .safetensors | safetensors, with the digest that Striate writes into its own                     |
| .pth, .pt    | ``torch.load(weights_only=True)``: a dictionary of tensors, and nothing but it    |
| .h5          | h5py: one group per layer, as Keras 1 and 2 wrote them; no links are followed     |
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from zipfile import ZipFile, is_zipfile

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file
from torch import Tensor

from striate.errors import InputError
from striate.files import METADATA, read_tensors
from striate.models.key_maps.renaming import KERAS_WORDS, from_keras

IN_FOLDER = "model.safetensors"  # the weights of a run folder, and of a folder of the Hugging Face hub
BACKBONE = "backbone."  # what stands before a backbone's names in the weights of a run

# Keras 1 had shorter words, and called the variance a deviation.
_KERAS_1_WORDS = {"W": "kernel", "b": "bias", "running_mean": "moving_mean", "running_std": "moving_variance"}
_NUMBERS = (torch.float16, torch.bfloat16, torch.float32, torch.float64, torch.int64)
_DAMAGE_OF_HDF5 = (OSError, KeyError, ValueError, RuntimeError, TypeError, AttributeError)


def read_weights(path: Path) -> dict[str, Tensor]:
    """The tensors of a file, or of ``model.safetensors`` in a folder, under the names they have there.

    Keras's are brought to torch's layout, under names "layer.weight". A run's lose what its task put
    before them, so that they are its backbone's. Dtypes and values are those of the file.

    Raises:
        InputError: no such file, another kind of file, or one that is cut off, damaged, or holds anything
            but dense tensors of numbers.
    """
    file = path / IN_FOLDER if path.is_dir() else path
    if not file.is_file():
        raise InputError("there is no such file of weights", file, "check the path")
    readers = {".safetensors": _read_safetensors, ".pth": _read_pth, ".pt": _read_pth, ".h5": _read_keras}
    if file.suffix.lower() not in readers:
        raise InputError(
            f"weights are not read from {file.suffix or 'this'}", file, f"use {', '.join(readers)}"
        )
    tensors = readers[file.suffix.lower()](file)
    for name, tensor in tensors.items():
        if tensor.dtype not in _NUMBERS or tensor.layout != torch.strided or tensor.is_meta:
            kind = f"{tensor.dtype}, {'meta' if tensor.is_meta else tensor.layout}".replace("torch.", "")
            raise InputError(
                f"{name} is no dense tensor of numbers: {kind}", file, "save it dense, with float32 values"
            )
    return tensors


def _read_safetensors(file: Path) -> dict[str, Tensor]:
    try:
        with safe_open(file, framework="pt") as opened:
            ours = METADATA in (opened.metadata() or {})
        tensors = read_tensors(file)[0] if ours else load_file(file)
    except (SafetensorError, OSError, ValueError) as error:
        raise _damaged(file, str(error)) from None
    if all(name.startswith(BACKBONE) for name in tensors):
        return {name.removeprefix(BACKBONE): tensor for name, tensor in tensors.items()}
    return tensors


def _read_pth(file: Path) -> dict[str, Tensor]:
    try:
        if is_zipfile(file):
            with ZipFile(file) as archive:  # torch never compresses: a small file cannot fill the memory
                if sum(entry.file_size for entry in archive.infolist()) > file.stat().st_size:
                    raise ValueError("it unpacks to more than it is")
        state = torch.load(file, map_location="cpu", weights_only=True)
    except Exception as error:  # of a dozen types, for damage and for what is forbidden
        raise _damaged(file, f"{type(error).__name__} while its tensors were read") from None
    if not isinstance(state, dict) or not all(isinstance(value, Tensor) for value in state.values()):
        raise InputError(
            "the file holds more than tensors by name", file, "save model.state_dict() alone, and use that"
        )
    return {str(name): tensor for name, tensor in state.items()}


def _read_keras(file: Path) -> dict[str, Tensor]:
    import h5py  # here: a tenth of a second that nothing else needs

    try:
        with h5py.File(file, "r") as root:
            link = root.visititems_links(lambda name, kind: None if type(kind) is h5py.HardLink else name)
            if link:
                raise InputError(
                    f"{link} is a link, maybe to another file", file, "use a file that is whole by itself"
                )
            top = root.get("model_weights", root)
            return dict(tensor for layer in _names(top, "layer_names") for tensor in _layer(top, layer, file))
    except _DAMAGE_OF_HDF5 as error:
        raise _damaged(file, str(error)) from None


def _layer(top: Any, layer: str, file: Path) -> Iterator[tuple[str, Tensor]]:
    """The tensors of the group of one Keras layer: "kernel:0" in "conv1" becomes "conv1.weight"."""
    group = top[layer]
    for name in _names(group, "weight_names"):
        dataset = group[name]
        if dataset.external or dataset.is_virtual:
            raise InputError(
                f"{layer}/{name} lies in another file", file, "use a file that is whole by itself"
            )
        if dataset.nbytes > file.stat().st_size:
            raise InputError(f"{layer}/{name} is larger than its file", file, "get the file anew")
        word = name.rsplit("/", 1)[-1].removesuffix(":0").removeprefix(f"{layer}_")
        word = _KERAS_1_WORDS.get(word, word)
        if word not in KERAS_WORDS:
            raise InputError(f"{layer}/{name} is no weight of a layer that is known here", file)
        yield from_keras(f"{layer}/{word}", torch.from_numpy(np.asarray(dataset)))


def _names(group: Any, attribute: str) -> list[str]:
    """A list of names that Keras keeps in an attribute, in numbered parts where it is long."""
    whole = [attribute] if attribute in group.attrs else []
    parts = whole or [f"{attribute}{i}" for i in range(len(group.attrs)) if f"{attribute}{i}" in group.attrs]
    if not parts:
        raise KeyError(f"{group.name} has no {attribute}: it was not written by Keras 1 or 2")
    names = [name for part in parts for name in group.attrs[part]]
    return [name.decode() if isinstance(name, bytes) else str(name) for name in names]


def _damaged(file: Path, why: str) -> InputError:
    return InputError(
        f"cannot read the tensors: {why}",
        file,
        "the file is cut off, damaged or no file of weights: get it anew",
    )
