"""How parameters change: one epoch of training and one pass of evaluation, as plain functions."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from striate.errors import RunError
from striate.samples import Batch
from striate.train.checkpoint import TrainingState
from striate.train.distributed import Processes, picture_seeds, seed_step
from striate.train.memory import with_smaller_parts
from striate.train.optimizer import add_l1, clip_gradients, set_learning_rate, set_momentum
from striate.train.precision import Precision, autocast
from striate.train.replicas import gradients_summed, is_shard
from striate.train.schedule import Schedule

if TYPE_CHECKING:  # the task is an argument; importing it would turn the import direction around
    from striate.metrics.metric import Metric
    from striate.tasks.task import Task

Prepare = Callable[[Batch], Tensor]  # a batch's uint8 pictures -> network input on the device
PrepareBoth = Callable[[Batch], tuple[Tensor, Any]]  # a batch -> network input and targets, on the device


@dataclass(frozen=True)
class StepSettings:
    """What one optimizer step needs to know beside the state."""

    lr: float
    schedule: Schedule  # of the steps of the phase
    precision: Precision
    clip_value: float | None = None
    clip_norm: float | None = None
    seed: int = 0  # of what is drawn within a step, such as dropout
    momentum: Schedule | None = None  # of the steps of the phase; None: the optimizer's own


def train_one_epoch(
    state: TrainingState,
    task: "Task",
    batches: Iterable[Batch],
    prepare: PrepareBoth,
    settings: StepSettings,
    after_step: Callable[[TrainingState, float], None],
) -> None:
    """Take one optimizer step for each of ``batches``, the rest of the running epoch.

    ``after_step`` is told the state, complete again, and the batch's loss.

    Raises:
        RunError: a loss or a gradient is not finite; the weights are those before that step.
    """
    train_mode(state.model, state.frozen)
    for batch in batches:
        seed_step(settings.seed, state.step, state.processes.rank)
        lr = settings.lr * settings.schedule(state.step - state.phase_step)
        set_learning_rate(state.optimizer, lr)
        if settings.momentum:
            set_momentum(state.optimizer, settings.momentum(state.step - state.phase_step))
        terms, parts = with_smaller_parts(
            partial(backward, state, task, batch, prepare, settings.precision, settings.seed),
            state.model,
            parts=min(state.micro_batches, batch.size // state.processes.size),
            most=len(batch.indices),
            alone=state.processes.size == 1,
        )
        terms = summed(terms, state.processes)
        state.micro_batches = max(state.micro_batches, parts)  # a batch of few pictures does not lower it
        norm = clip_gradients(state.model.parameters(), settings.clip_value, settings.clip_norm)
        check_finite(terms["loss"], float(norm), state.step, batch)
        add_l1(state.optimizer)
        state.optimizer.step()
        state.optimizer.zero_grad(set_to_none=True)
        state.step += 1
        state.batch += 1
        if state.ema:
            state.ema.update(state.model, state.step)
        for name, value in terms.items():
            state.sums[name] = state.sums.get(name, 0.0) + value * batch.size
        state.sums["pictures"] = state.sums.get("pictures", 0.0) + batch.size
        after_step(state, terms["loss"])


def train_mode(model: torch.nn.Module, frozen: Iterable[torch.nn.Module]) -> None:
    """Training for all that moves; what is held still works as in evaluation, and its statistics stay."""
    model.train()
    for part in frozen:
        part.eval()


def backward(
    state: TrainingState,
    task: "Task",
    batch: Batch,
    prepare: PrepareBoth,
    precision: Precision,
    seed: int,
    parts: int,
) -> dict[str, float]:
    """Add the gradient of the batch's mean loss, computed in ``parts``, to the parameters' gradients.

    Args:
        seed: of what is drawn for each picture, such as the regions that a detector learns from.

    Returns:
        What this process's pictures add to the batch's mean loss terms and scores.
    """
    images, targets = prepare(batch)
    network = state.network or state.model
    totals: dict[str, float] = {}
    seeds = picture_seeds(seed, state.step, batch.keys)
    split = [whole.tensor_split(parts) for whole in (images, targets, seeds)]
    for number, (part, part_targets, part_seeds) in enumerate(zip(*split, strict=True), start=1):
        share = len(part) / batch.size
        with gradients_summed(network, last=number == parts):
            with autocast(precision, images.device):
                outputs = network(*task.inputs(part, part_targets, part_seeds))
            terms = task.loss(outputs, part_targets)
            (terms["loss"] * (state.processes.size * share)).backward()  # processes are averaged
        with torch.no_grad():
            terms |= task.scores(outputs, part_targets)
        for name, value in terms.items():
            totals[name] = totals.get(name, 0.0) + value.item() * share
    return totals


def summed(terms: dict[str, float], processes: Processes) -> dict[str, float]:
    """The terms of all processes added up."""
    if processes.size == 1:
        return terms
    return dict(zip(terms, processes.gather(list(terms.values())).sum(0).tolist(), strict=True))


def check_finite(loss: float, norm: float, step: int, batch: Batch) -> None:
    """Stop before a loss or gradient that is not finite reaches the weights.

    Raises:
        RunError: naming the step and the batch's pictures.
    """
    if not _finite(loss) or not _finite(norm):
        culprit = f"the loss is {loss}" if not _finite(loss) else f"the gradient's norm is {norm}"
        shown = ", ".join(str(name) for name in batch.names[:8])
        more = f" and {len(batch.names) - 8} more" if len(batch.names) > 8 else ""
        raise RunError(
            f"{culprit} at step {step + 1}; the last checkpoint is from before it",
            f"the batch of {shown}{more}",
            "lower optimizer.lr, set train.clip_norm=1, or use --precision fp32",
        )


def _finite(value: float) -> bool:
    return value - value == 0.0


@torch.inference_mode()
def predict_batches(
    model: torch.nn.Module,
    task: "Task",
    batches: Iterable[Batch],
    prepare: Prepare,
    precision: Precision,
    mirror: bool = False,
    processes: Processes | None = None,
) -> Iterator[tuple[Batch, dict[str, Tensor], list[Any]]]:
    """For each batch, the network's outputs and the task's predictions.

    With ``mirror`` a picture's outputs are joined with those of its mirror image. Several ``processes``
    compute a part of each batch, and have the outputs of all.
    """
    was_training = model.training
    processes = processes or Processes()
    model.eval()
    alone = not any(map(is_shard, model.parameters()))  # shards are gathered by all, at each try
    parts = 1
    for batch in batches:
        images = prepare(batch)
        divided = len(images) >= processes.size
        own = images.tensor_split(processes.size)[processes.rank] if divided else images

        def compute(parts: int, images: Tensor = own) -> dict[str, Tensor]:
            pieces = [outputs_of(model, task, part, precision, mirror) for part in images.tensor_split(parts)]
            return {name: torch.cat([piece[name] for piece in pieces]) for name in pieces[0]}

        outputs, needed = with_smaller_parts(compute, model, min(parts, len(own)), len(own), alone)
        parts = max(parts, needed)  # as in training
        if divided:
            outputs = {name: processes.gather_rows(rows) for name, rows in outputs.items()}
        yield batch, outputs, task.decode(outputs, batch.frames)
    model.train(was_training)


def outputs_of(
    model: torch.nn.Module, task: "Task", images: Tensor, precision: Precision, mirror: bool
) -> dict[str, Tensor]:
    """What the network says of some pictures, and of their mirror images where they count too."""
    with autocast(precision, images.device):
        outputs: dict[str, Tensor] = model(images)
        return task.mirror(outputs, model(images.flip(-1))) if mirror else outputs


def evaluate(
    predicted: Iterable[tuple[Batch, dict[str, Tensor], list[Any]]], task: "Task", metric: "Metric"
) -> dict[str, float]:
    """The mean loss and every metric over what ``predict_batches`` gives; ``metric`` keeps the details."""
    total, count = 0.0, 0
    for batch, outputs, predictions in predicted:
        targets = task.in_input(batch.targets, batch.frames).to(next(iter(outputs.values())).device)
        total += float(task.loss(outputs, targets)["loss"]) * len(batch.indices)
        count += len(batch.indices)
        metric.update(predictions, batch.targets)
    return {"loss": total / count, **metric.compute()}
