"""Files that are either whole or not there: written beside their place, flushed to disk, then renamed."""

import hashlib
import json
import os
import re
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from striate.errors import InputError

METADATA = "striate"  # the key of facts and digest in a file's metadata


class UnwrittenError(InputError):
    """A file or folder cannot be written."""


def unwritten(path: Path, error: Exception) -> UnwrittenError:
    """What to tell of an ``error`` in writing ``path``."""
    reason = getattr(error, "strerror", None) or str(error)
    mend = "free some space, or choose another folder with --out"
    return UnwrittenError(f"cannot write {path.name}: {reason}", path, mend)


def write_atomically(path: Path, write: Callable[[Path], None]) -> None:
    """Have ``write`` make a temporary file near ``path``, flush it to disk and rename it to ``path``.

    A process killed at any moment leaves either the old file or the new one. What it was writing lies in
    a folder of its own, because writers may make temporary files too; ``clear_temporaries`` finds it.

    Raises:
        UnwrittenError: the disk is full or the folder cannot be written; nothing is left behind.
    """
    folder = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    temporary = folder / path.name
    try:
        folder.mkdir(exist_ok=True)
        write(temporary)
        temporary.chmod(0o644)  # as any new file, whatever the writer asked for
        with temporary.open("rb+") as file:
            os.fsync(file.fileno())
        temporary.replace(path)
        _flush_folder(path.parent)
    except (OSError, SafetensorError) as error:
        raise unwritten(path, error) from error
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def make_folder(path: Path) -> None:
    """Make a folder, if it is not there, in one that is.

    Raises:
        UnwrittenError: the disk is full or the folder around it cannot be written.
    """
    try:
        path.mkdir(exist_ok=True)
    except OSError as error:
        raise unwritten(path, error) from error


def clear_temporaries(folder: Path) -> None:
    """Remove what killed processes left half-written in ``folder``; no other process may be writing there."""
    for temporary in folder.glob(".*.tmp"):
        if re.fullmatch(r"\..+\.\d+\.tmp", temporary.name):  # as write_atomically names them
            shutil.rmtree(temporary, ignore_errors=True)


def write_text(path: Path, text: str) -> None:
    """``text`` as a UTF-8 file, whole or not at all."""
    write_atomically(path, lambda temporary: _write(temporary, text))


def write_tensors(path: Path, tensors: Mapping[str, Tensor], facts: dict[str, Any]) -> None:
    """Tensors, and facts about them that JSON can hold, as one .safetensors file, whole or not at all.

    The same tensors and facts give the same bytes. A digest of all of them is kept beside them, so that
    a file that was altered is found out.
    """
    plain = {name: tensor.detach().cpu().contiguous() for name, tensor in sorted(tensors.items())}
    text = json.dumps(facts)
    metadata = {METADATA: f"{text}\n{digest(plain, text)}"}  # one key: the order of several would be random
    write_atomically(path, lambda temporary: save_file(plain, temporary, metadata))


def read_tensors(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """The tensors and facts of a file that ``write_tensors`` made.

    Raises:
        InputError: the file is missing, is no such file, or was altered since it was written.
    """
    if not path.is_file():
        raise InputError(f"there is no {path.name}", path, "check that the folder is a run, or train again")
    try:
        with safe_open(path, framework="pt") as file:  # once: a run that goes on may replace the file
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise InputError(
            f"cannot read the tensors: {error}", path, "restore the file, or train again"
        ) from None
    if METADATA not in metadata:
        raise InputError("the file holds tensors, but not a run's", path, "use a file that striate wrote")
    text, _, written = metadata[METADATA].rpartition("\n")
    if digest(tensors, text) != written:
        raise InputError(
            "the file was altered since it was written", path, "restore the file, or train again"
        )
    facts: dict[str, Any] = json.loads(text)
    return tensors, facts


def digest(tensors: Mapping[str, Tensor], facts: str) -> str:
    """SHA-256 over the facts, and names, dtypes, shapes and bytes of all tensors in the order of names."""
    total = hashlib.sha256(f"{facts}\n".encode())
    for name, tensor in sorted(tensors.items()):
        total.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        total.update(tensor.contiguous().flatten().view(torch.uint8).numpy().data)
    return total.hexdigest()


def _write(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8")


def _flush_folder(folder: Path) -> None:
    if os.name == "nt":
        return  # Windows has no handle on a folder to flush
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
