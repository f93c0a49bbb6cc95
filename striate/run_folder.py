"""The run folder: what lies in it, how it is begun, and its config.json.

    config.json         task, network, classes, preprocessing, data, recipe, versions
    model.safetensors   the best weights
    metrics.jsonl       one row per epoch
    recipe.toml         all settings: `striate train --config` does the same again
    results.json        metrics of the best weights on the splits held out
    report.html, README.md, checkpoint/

``striate.run.load_run`` needs the first two only.
"""

import json
import platform
import shlex
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import asdict
from itertools import count
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
import torch
from pydantic import (
    BaseModel,
    ConfigDict,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    ValidationError,
    model_validator,
)
from torch import Tensor

import striate
from striate.data.preprocessing import Preprocessing
from striate.errors import InputError
from striate.files import write_tensors, write_text
from striate.recipe import Recipe, load_recipe

CONFIG = "config.json"
WEIGHTS = "model.safetensors"
RESULTS = "results.json"
RECIPE = "recipe.toml"


class InputFacts(BaseModel):
    """``Preprocessing`` as config.json holds it."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)
    size: tuple[PositiveInt, PositiveInt]
    channels: Literal[1, 3]
    fit: Literal["crop", "stretch", "letterbox"]
    margin: NonNegativeInt
    mean: tuple[float, ...]
    std: tuple[PositiveFloat, ...]
    resize: PositiveInt | None = None
    interpolation: Literal["bilinear", "bicubic"] = "bilinear"
    white: PositiveFloat | None = None

    @model_validator(mode="after")
    def _check(self) -> Self:
        if not len(self.mean) == len(self.std) == self.channels:
            raise ValueError("mean and std need one number per channel")
        if self.resize is not None and self.resize < max(self.size) - 2 * self.margin:
            raise ValueError("resize must not be smaller than what is cut out")
        return self


class DataFacts(BaseModel):
    """Which pictures a run was trained on: where they were, what they were, and what was left out."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    name: str
    source: str
    format: str
    fingerprint: str
    splits: dict[str, int]  # pictures that could be read
    faults: tuple[tuple[str, str], ...]  # name and what is wrong


class RunConfig(BaseModel):
    """config.json: everything about a run that is not a number in a tensor."""

    model_config = ConfigDict(extra="forbid", frozen=True, protected_namespaces=())
    format: Literal["striate-run"] = "striate-run"
    format_version: Literal[1] = 1
    task: Literal["classification", "localization", "detection"]
    model: str
    arguments: dict[str, Any]
    classes: tuple[str, ...]
    input: InputFacts
    data: DataFacts
    seed: int
    precision: Literal["fp32", "bf16"]
    versions: dict[str, str]
    recipe: Recipe


def input_facts(preprocessing: Preprocessing) -> InputFacts:
    """``preprocessing`` as config.json holds it."""
    return InputFacts(**asdict(preprocessing))


def current_versions() -> dict[str, str]:
    """Of what decides the numbers."""
    return {
        "striate": striate.__version__,
        "torch": torch.__version__,
        "numpy": np.__version__,
        "python": platform.python_version(),
    }


def start_run_folder(path: Path, config: RunConfig) -> None:
    """Make the folder with its config.json in it, whole or not at all.

    Raises:
        InputError: the folder exists and is not empty, or cannot be made.
    """
    check_run_folder(path)
    exists = path.is_dir()  # and is empty: it is filled, not replaced, since it may be a mount or "."
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(prefix=f".{path.name}.", dir=path if exists else path.parent))
    except OSError as error:
        raise unwritable(path, error) from None
    try:
        write_text(temporary / CONFIG, config.model_dump_json(indent=2) + "\n")
        write_text(temporary / RECIPE, config.recipe.to_toml())
        temporary.chmod(0o755)
        if exists:
            for name in (CONFIG, RECIPE):
                (temporary / name).replace(path / name)
            temporary.rmdir()
        else:
            _rename(temporary, path)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise


def _rename(temporary: Path, path: Path) -> None:
    try:
        temporary.replace(path)
    except OSError:
        check_run_folder(path)  # somebody else has made it meanwhile
        raise


def start_numbered_folder(path: Path, config: RunConfig) -> Path:
    """As ``start_run_folder`` at ``path``, or where something is there, at the first of path-2, path-3, ...

    Returns:
        The folder that was made.

    Raises:
        InputError: it cannot be made.
    """
    while True:
        folder = free_folder(path)
        try:
            start_run_folder(folder, config)
        except InputError:
            if not is_taken(folder):
                raise
        else:
            return folder


def free_folder(path: Path) -> Path:
    """The first of path, path-2, path-3, ... where nothing is, or an empty folder."""
    return next(folder for folder in _numbered(path) if not is_taken(folder))


def unfinished_folder(path: Path) -> Path:
    """The last run of path, path-2, path-3, ... if it has no results; else the first of them that is free."""
    last: Path | None = None
    for folder in _numbered(path):
        if not is_taken(folder):
            return folder if last is None else last
        last = folder if (folder / CONFIG).exists() and not (folder / RESULTS).exists() else None
    raise AssertionError("there is always another number")


def _numbered(path: Path) -> Iterator[Path]:
    yield path
    yield from (path.with_name(f"{path.name}-{number}") for number in count(2))


def is_taken(path: Path) -> bool:
    """Whether there is something that a run must not overwrite: a file, or a folder that is not empty."""
    return any(path.iterdir()) if path.is_dir() else path.exists()


def check_run_folder(path: Path) -> None:
    """Find out early whether a run folder can be made at ``path``; nothing stays behind.

    Raises:
        InputError: the folder exists and is not empty, or cannot be made.
    """
    if path.is_dir() and is_taken(path):
        advice = f"choose another folder with --out, or go on with: {resume_command(path)}"
        raise InputError("the folder exists already and is not empty", path, advice)
    if path.exists() and not path.is_dir():
        raise InputError("there is a file of that name", path, "choose another folder with --out")
    whole = path.absolute()
    ancestor = next(folder for folder in (whole, *whole.parents) if folder.exists())
    try:
        with tempfile.TemporaryFile(dir=ancestor):
            pass
    except OSError as error:
        raise unwritable(path, error) from None


def save_weights(path: Path, tensors: dict[str, Tensor]) -> None:
    """The network's values as model.safetensors in the run folder ``path``."""
    write_tensors(path / WEIGHTS, tensors, {})


def read_config(path: str | Path) -> RunConfig:
    """config.json of a run folder.

    Raises:
        InputError: the folder is no run, or its config.json was altered beyond reading.
    """
    path = Path(path)
    file = path / CONFIG
    if not path.is_dir():
        raise InputError("there is no such run folder", path, "`striate train DATA` makes one")
    if not file.is_file():
        raise InputError(
            "the folder is not a run: it has no config.json", path, "name a folder that train made"
        )
    try:
        return RunConfig.model_validate(json.loads(file.read_text(encoding="utf-8")))
    except OSError as error:
        raise InputError(
            f"cannot read config.json: {error.strerror}", file, "check its permissions"
        ) from None
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"config.json is not JSON: {error}", file, "restore the file") from None
    except ValidationError as error:
        fault = error.errors()[0]
        setting = ".".join(str(part) for part in fault["loc"]) or "the file"
        raise InputError(
            f"config.json is not a run's: {setting}: {fault['msg']}", file, "restore the file"
        ) from None


def resume_command(run: str | Path, data: str = "") -> str:
    """What goes on with a run, on ``data`` if they have to be named, as a line for a shell."""
    return shlex.join(["striate", "train", *([data] if data else []), "--resume", str(run)])


def remember_source(path: Path, config: RunConfig, source: str) -> RunConfig:
    """Write down in the run folder ``path`` that its data lie at ``source`` now."""
    if source == config.data.source:
        return config
    recipe = load_recipe(config.recipe, {"data.source": source})
    data = config.data.model_copy(update={"source": source})
    config = config.model_copy(update={"data": data, "recipe": recipe})
    write_text(path / CONFIG, config.model_dump_json(indent=2) + "\n")
    write_text(path / RECIPE, recipe.to_toml())
    return config


def unwritable(path: Path, error: OSError, option: str = "--out") -> InputError:
    """The error for a place that ``option`` chose and that cannot be written."""
    return InputError(f"cannot write there: {error.strerror}", path, f"choose another folder with {option}")
