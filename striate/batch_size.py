"""``train.batch_size = "auto"``: the largest batch that memory holds, predicted and then tried.

    cost of the network ─► largest batch in 70 % of what is free ─► bounds ─► a trial step ─► batch size
                                                                      ▲           │ out of memory
                                                                      └─ half ◄───┘

The bounds are those of sense: steps of very many pictures generalize worse (Keskar et al. 2016,
arXiv:1609.04836), and an epoch of fewer than ten steps learns little. The learning rate is left as it is: how
it should follow the batch size differs from optimizer to optimizer, so that is for the range test to find.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from striate import runtime
from striate.cost import measure_cost
from striate.device import to_input
from striate.errors import RunError
from striate.recipe import OptimizerSettings
from striate.tasks.task import Task
from striate.train.memory import is_out_of_memory
from striate.train.optimizer import build_optimizer
from striate.train.precision import Precision, autocast

LARGEST = 512
STEPS_PER_EPOCH = 10
SHARE = 0.7  # of the free memory; the rest is for augmentation, the loader, and whoever else is there
FALLBACK = 4 * 2**30  # where nobody says what is free


@dataclass(frozen=True)
class BatchChoice:
    """A batch size and how it was found.

    Attributes:
        size: pictures per step, a power of two.
        predicted: bytes that a step of that size needs, the network included.
        available: bytes that were free for it, the network included.
        trials: batch sizes that were tried, in that order; the last one is ``size``.
    """

    size: int
    predicted: int
    available: int
    trials: tuple[int, ...]


def choose_batch_size(
    model: nn.Module,
    task: Task,
    optimizer: OptimizerSettings,
    input_shape: tuple[int, int, int],
    precision: Precision,
    num_pictures: int,
    device: torch.device,
    share: float = SHARE,
) -> BatchChoice:
    """The largest power of two that is a sensible batch size, is predicted to fit, and passes a trial step.

    Sensible is at most 512, and at most a tenth of the training pictures, but at least 2. The network, the
    random state and everything else are afterwards what they were.

    Args:
        model: a task's module on ``device``, with all that will ever be trained unfrozen.
        input_shape: (C, H, W) of the network input.
        num_pictures: of the training split.
        share: of the free memory that may be used; of several processes on one device, each has its part.

    Raises:
        RunError: not even two pictures fit.
    """
    cost = measure_cost(model, input_shape, precision)
    held = sum(tensor.nbytes for tensor in (*model.parameters(), *model.buffers()))
    available = int(share * free_memory(device)) + held  # the prediction counts the network too
    name = "momentum" if optimizer.name == "sgd" and optimizer.momentum > 0 else optimizer.name
    size = sensible(min(cost.largest_batch(available, name), LARGEST), num_pictures)
    trials = [size]
    while not fits(model, task, optimizer, input_shape, precision, size, device):
        if size <= 2:
            raise RunError(
                "there is not enough memory to train on two pictures",
                f"{cost.memory_train(size, name).peak / 1e6:,.0f} MB are needed",
                "choose a smaller network or a smaller input.size",
            )
        size //= 2
        trials.append(size)
    return BatchChoice(size, cost.memory_train(size, name).peak, available, tuple(trials))


def sensible(most: int, num_pictures: int) -> int:
    """The largest power of two that is at most ``most`` and leaves ten steps per epoch; at least 2."""
    limit = max(2, min(most, num_pictures // STEPS_PER_EPOCH))
    return 1 << (limit.bit_length() - 1)


def fits(
    model: nn.Module,
    task: Task,
    optimizer: OptimizerSettings,
    input_shape: tuple[int, int, int],
    precision: Precision,
    size: int,
    device: torch.device,
) -> bool:
    """Whether a training step on ``size`` black pictures finds the memory it needs; leaves no trace."""
    tensors = [tensor.detach() for tensor in (*model.parameters(), *model.buffers())]
    before = [tensor.to("cpu", copy=True) for tensor in tensors]
    modes = [(module, module.training) for module in model.modules()]
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        try:
            images = to_input(torch.zeros(size, *input_shape, device=device))
            targets = task.examples(size).to(device)
            _step(model.train(), task, optimizer, precision, images, targets)
            return True
        except (RuntimeError, MemoryError) as error:
            if not (isinstance(error, MemoryError) or is_out_of_memory(error)):
                raise
            return False
        finally:
            model.zero_grad(set_to_none=True)
            for tensor, value in zip(tensors, before, strict=True):
                tensor.copy_(value)
            for module, training in modes:
                module.training = training


def _step(
    model: nn.Module,
    task: Task,
    settings: OptimizerSettings,
    precision: Precision,
    images: Tensor,
    targets: Any,
) -> None:
    """A step as any but the first: the optimizer has its state already."""
    optimizer = build_optimizer(model, settings)
    for parameter in model.parameters():
        parameter.grad = torch.zeros_like(parameter) if parameter.requires_grad else None
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)
    with autocast(precision, images.device):
        outputs = model(*task.inputs(images, targets))
    task.loss(outputs, targets)["loss"].backward()
    optimizer.step()


def free_memory(device: torch.device, root: Path = Path("/")) -> int:
    """Bytes that a process can still have on ``device``.

    On CUDA what the driver and PyTorch's own cache have left; on a processor, with Linux, what the system
    could give without swapping, and what the process's control groups (v1 and v2) leave of their limits.
    4 GiB where nobody says.

    Args:
        root: where ``proc`` and ``sys`` are found.
    """
    if device.type == "cuda":
        cached = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return torch.cuda.mem_get_info(device)[0] + cached
    if device.type != "cpu":
        return FALLBACK
    table = root / "proc/meminfo"
    lines = table.read_text().splitlines() if table.is_file() else []
    known = [int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:")]
    for folder in runtime.control_groups("memory", root):
        known += left_of_limit(folder)
    return max(0, min(known, default=FALLBACK))


def left_of_limit(group: Path) -> list[int]:
    """What a control group's memory limit leaves, its cache of files given up: one number, or none."""
    names = {
        "memory.max": ("memory.current", "inactive_file"),
        "memory.limit_in_bytes": ("memory.usage_in_bytes", "total_inactive_file"),
    }
    for limit, (usage, cache) in names.items():
        text = (group / limit).read_text().strip() if (group / limit).is_file() else "max"
        if text == "max" or not (group / usage).is_file():
            continue
        statistics = (group / "memory.stat").read_text() if (group / "memory.stat").is_file() else ""
        cached = [int(line.split()[1]) for line in statistics.splitlines() if line.split()[0] == cache]
        return [int(text) - int((group / usage).read_text()) + sum(cached)]
    return []
