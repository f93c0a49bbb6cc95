"""How parameters change: one epoch of training and one pass of evaluation, as plain functions."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from striate.errors import RunError
from striate.samples import Batch
from striate.train.checkpoint import TrainingState
from striate.train.memory import with_smaller_parts
from striate.train.optimizer import clip_gradients, set_learning_rate
from striate.train.precision import Precision, autocast
from striate.train.schedule import Schedule

if TYPE_CHECKING:  # the task is an argument; importing it would turn the import direction around
    from striate.metrics.metric import Metric
    from striate.tasks.task import Task

Prepare = Callable[[Batch], Tensor]  # a batch's uint8 pictures -> network input on the device


@dataclass(frozen=True)
class StepSettings:
    """What one optimizer step needs to know beside the state."""

    lr: float
    schedule: Schedule
    precision: Precision
    clip_value: float | None = None
    clip_norm: float | None = None


def train_one_epoch(
    state: TrainingState,
    task: "Task",
    batches: Iterable[Batch],
    prepare: Prepare,
    settings: StepSettings,
    after_step: Callable[[TrainingState, float], None],
) -> None:
    """Take one optimizer step for each of ``batches``, the rest of the running epoch.

    ``after_step`` is told the state, complete again, and the batch's loss.

    Raises:
        RunError: a loss or a gradient is not finite; the weights are those before that step.
    """
    state.model.train()
    for batch in batches:
        lr = settings.lr * settings.schedule(state.step)
        set_learning_rate(state.optimizer, lr)
        terms, parts = with_smaller_parts(
            lambda parts, batch=batch: backward(state, task, batch, prepare, settings.precision, parts),  # type: ignore[misc]
            state.model,
            parts=min(state.micro_batches, len(batch.indices)),
            most=len(batch.indices),
        )
        state.micro_batches = max(state.micro_batches, parts)  # a batch of few pictures does not lower it
        norm = clip_gradients(state.model.parameters(), settings.clip_value, settings.clip_norm)
        check_finite(terms["loss"], float(norm), state.step, batch)
        state.optimizer.step()
        state.optimizer.zero_grad(set_to_none=True)
        state.step += 1
        state.batch += 1
        if state.ema:
            state.ema.update(state.model, state.step)
        count = len(batch.indices)
        for name, value in terms.items():
            state.sums[name] = state.sums.get(name, 0.0) + value * count
        state.sums["pictures"] = state.sums.get("pictures", 0.0) + count
        after_step(state, terms["loss"])


def backward(
    state: TrainingState, task: "Task", batch: Batch, prepare: Prepare, precision: Precision, parts: int
) -> dict[str, float]:
    """Add the gradient of the batch's mean loss, computed in ``parts``, to the parameters' gradients.

    Returns:
        The batch's mean loss terms and scores.
    """
    images = prepare(batch)
    targets = batch.targets.to(images.device, non_blocking=True)
    totals: dict[str, float] = {}
    for part, part_targets in zip(images.tensor_split(parts), targets.tensor_split(parts), strict=True):
        share = len(part) / len(images)
        with autocast(precision, images.device):
            outputs = state.model(part)
        terms = task.loss(outputs, part_targets)
        (terms["loss"] * share).backward()
        with torch.no_grad():
            terms |= task.scores(outputs, part_targets)
        for name, value in terms.items():
            totals[name] = totals.get(name, 0.0) + value.item() * share
    return totals


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
) -> Iterator[tuple[Batch, dict[str, Tensor], list[Any]]]:
    """For each batch, the network's outputs and the task's predictions.

    With ``mirror`` a picture's outputs are joined with those of its mirror image.
    """
    was_training = model.training
    model.eval()
    for batch in batches:
        images = prepare(batch)
        with autocast(precision, images.device):
            outputs = model(images)
            if mirror:
                outputs = task.mirror(outputs, model(images.flip(-1)))
        yield batch, outputs, task.decode(outputs, batch.frames)
    model.train(was_training)


def evaluate(
    predicted: Iterable[tuple[Batch, dict[str, Tensor], list[Any]]], task: "Task", metric: "Metric"
) -> dict[str, float]:
    """The mean loss and every metric over what ``predict_batches`` gives; ``metric`` keeps the details."""
    total, count = 0.0, 0
    for batch, outputs, predictions in predicted:
        targets = batch.targets.to(next(iter(outputs.values())).device)
        total += float(task.loss(outputs, targets)["loss"]) * len(batch.indices)
        count += len(batch.indices)
        metric.update(predictions, batch.targets)
    return {"loss": total / count, **metric.compute()}
