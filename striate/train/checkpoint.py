"""The training state: all that the next step depends on, saved so that a killed run goes on exactly."""

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from striate.errors import InputError
from striate.files import make_folder, read_tensors, write_tensors
from striate.train.distributed import Processes
from striate.train.ema import ExponentialMovingAverage
from striate.train.replicas import gather_whole, is_shard, like, unfuse


@dataclass
class TrainingState:
    """Model, average, optimizer, and the place in the run.

    Attributes:
        phase: of training, from 0; it began after ``phase_epoch`` epochs and ``phase_step`` steps.
        epoch: epochs completed; ``batch``: batches of the next epoch done; ``step``: optimizer steps done.
        sums: of the running epoch's named loss terms and scores, weighted by pictures; "pictures" counts.
        micro_batches: parts in which a batch is computed; grows when memory runs out.
        history: one row per completed epoch, as in metrics.jsonl.
        best: the best value of the monitored metric and minus its loss, None before the first validation.
        stale: epochs since then.
        seconds: spent training, over all resumes.
        finished: the run is over and its report is written.
        frozen: parts of the model that the phase holds still.
        network: what computes the outputs in training, where it is not the model itself but something that
            shares its parameters: its head alone, or a wrapper that joins processes.
        processes: that train together; each has a state, and they are equal.
    """

    model: nn.Module
    optimizer: torch.optim.Optimizer
    ema: ExponentialMovingAverage | None = None
    phase: int = 0
    phase_epoch: int = 0
    phase_step: int = 0
    epoch: int = 0
    batch: int = 0
    step: int = 0
    sums: dict[str, float] = field(default_factory=dict)
    micro_batches: int = 1
    history: list[dict[str, Any]] = field(default_factory=list)
    best: list[float] | None = None
    stale: int = 0
    seconds: float = 0.0
    finished: bool = False
    frozen: list[nn.Module] = field(default_factory=list)
    network: nn.Module | None = None
    processes: Processes = field(default_factory=Processes)

    @property
    def judged_model(self) -> nn.Module:
        """The network that is evaluated and kept: the average if there is one."""
        return self.ema.model if self.ema else self.model


MEND = "restore the run folder, or train again"
# fmt: off
PLACE = (
    "phase", "phase_epoch", "phase_step", "epoch", "batch", "step", "sums", "micro_batches", "history",
    "best", "stale", "seconds", "finished",
)
# fmt: on


def save_checkpoint(path: Path, state: TrainingState) -> None:
    """Write the whole state and every random state to one file, whole or not at all.

    Where several processes train together all of them call this, and the first one writes.
    """
    tensors = {f"model/{name}": tensor for name, tensor in state.model.state_dict().items()}
    if state.ema:
        tensors |= {f"ema/{name}": tensor for name, tensor in state.ema.model.state_dict().items()}
    optimizer = state.optimizer.state_dict()
    for index, slots in optimizer["state"].items():
        tensors |= {f"optimizer/{index}/{slot}": value for slot, value in slots.items() if value is not None}
    random_states, random_facts = _capture_random_states()
    facts = {name: getattr(state, name) for name in PLACE}
    facts |= {"random": random_facts, "param_groups": optimizer["param_groups"]}
    facts["optimizer"] = type(state.optimizer).__name__
    whole = gather_whole(tensors, state.processes)
    if state.processes.is_first:
        make_folder(path.parent)
        write_tensors(path, whole | random_states, facts)


def load_checkpoint(
    path: Path, state: TrainingState, enter_phase: Callable[[TrainingState], None] = lambda state: None
) -> None:
    """Bring ``state``, built as for a new run, and every random state to what the file holds.

    ``enter_phase`` makes the optimizer of the phase that the file was written in.

    Raises:
        InputError: the file is missing, altered, or belongs to another network or optimizer.
    """
    tensors, facts = read_tensors(path)
    _load_module(state.model, tensors, "model/", path)
    if state.ema:
        _load_module(state.ema.model, tensors, "ema/", path)
    for name in PLACE:
        setattr(state, name, facts[name])
    enter_phase(state)
    if facts["optimizer"] != type(state.optimizer).__name__:
        raise InputError(f"the checkpoint belongs to another optimizer: {facts['optimizer']}", path, MEND)
    _load_optimizer(state.optimizer, tensors, facts["param_groups"])
    if any(map(is_shard, state.model.parameters())):
        unfuse(state.optimizer)  # what was saved may say otherwise
    _restore_random_states(tensors, facts["random"])


def _load_module(module: nn.Module, tensors: dict[str, Tensor], prefix: str, path: Path) -> None:
    own = module.state_dict()
    saved = {name.removeprefix(prefix): t for name, t in tensors.items() if name.startswith(prefix)}
    try:
        module.load_state_dict(
            {name: like(t, own[name]) if fits(t, own.get(name)) else t for name, t in saved.items()}
        )
    except RuntimeError as error:
        fault = str(error).splitlines()[-1].strip()
        raise InputError(f"the checkpoint belongs to another network: {fault}", path, MEND) from None


def fits(tensor: Tensor, own: Tensor | None) -> bool:
    """Whether a saved tensor has a place of its shape."""
    return own is not None and own.shape == tensor.shape


def _load_optimizer(
    optimizer: torch.optim.Optimizer, tensors: dict[str, Tensor], param_groups: list[dict[str, Any]]
) -> None:
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    slots: dict[int, dict[str, Tensor]] = {}
    for name, tensor in tensors.items():
        if name.startswith("optimizer/"):
            _, index, slot = name.split("/")
            parameter = parameters[int(index)]
            if tensor.shape == parameter.shape:  # fused steps need the parameter's own memory layout
                tensor = like(tensor, parameter.detach())
            slots.setdefault(int(index), {})[slot] = tensor
    optimizer.load_state_dict({"state": slots, "param_groups": param_groups})


def _capture_random_states() -> tuple[dict[str, Tensor], dict[str, Any]]:
    tensors = {"random/torch": torch.get_rng_state()}
    for index, state in enumerate(torch.cuda.get_rng_state_all() if torch.cuda.is_available() else []):
        tensors[f"random/cuda/{index}"] = state
    name, keys, *rest = np.random.get_state()
    tensors["random/numpy"] = torch.from_numpy(np.asarray(keys).astype(np.int64))
    return tensors, {"python": random.getstate(), "numpy": [name, *rest]}


def _restore_random_states(tensors: dict[str, Tensor], facts: dict[str, Any]) -> None:
    torch.set_rng_state(tensors["random/torch"])
    for index in range(torch.cuda.device_count() if torch.cuda.is_available() else 0):
        if f"random/cuda/{index}" in tensors:
            torch.cuda.set_rng_state(tensors[f"random/cuda/{index}"], index)
    version, keys, gauss = facts["python"]
    random.setstate((version, tuple(keys), gauss))
    name, *rest = facts["numpy"]
    np.random.set_state((name, tensors["random/numpy"].numpy().astype(np.uint32), *rest))
