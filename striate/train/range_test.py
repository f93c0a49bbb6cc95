"""The learning-rate range test: train a little while the learning rate rises, and see what the loss does.

    loss ──────╮                  ╭─    too low: nothing happens; too high: the loss rises again
               ╰╮ steepest   bound│
                ╰──╮            ╭─╯     between them it falls; the suggestion is half-way from the rate of the
                   ╰────────────╯       steepest fall to the bound
       1e-6    1e-4     1e-2      1     learning rate, multiplied by the same factor at each step

Smith 2015, "Cyclical learning rates for training neural networks", section 3.3; with an exponential ramp,
because the right rate may be anywhere within seven powers of ten.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from striate.errors import InputError, RunError
from striate.samples import Batch
from striate.train.checkpoint import TrainingState
from striate.train.distributed import seed_step
from striate.train.fit import Feed, TrainBatches
from striate.train.loop import backward, train_mode
from striate.train.memory import with_smaller_parts
from striate.train.optimizer import add_l1, clip_gradients, set_learning_rate
from striate.train.precision import Precision

if TYPE_CHECKING:
    from striate.tasks.task import Task

WIDTH = 0.2  # of the smoothing, in powers of ten of the learning rate
MEMORY = 0.8  # of the running average that ends the test
RISEN = 4.0  # the test ends when that average is so many times its best
LEAST_FALL = 0.05  # of the loss, as a fraction; below it nothing was learned
FEWEST = 10  # steps


@dataclass(frozen=True)
class Ramp:
    """Learning rates from ``low`` to ``high``, each the same factor above the one before it.

    Raises:
        InputError: the bounds are not positive and in order, or there are too few steps.
    """

    low: float = 1e-6
    high: float = 10.0
    steps: int = 100

    def __post_init__(self) -> None:
        if not 0 < self.low < self.high < math.inf:
            raise InputError(
                f"the learning rate cannot rise from {self.low:g} to {self.high:g}",
                "--low and --high",
                "give two numbers above 0, the lower one as --low",
            )
        if self.steps < FEWEST:
            raise InputError(f"{self.steps} steps show nothing", "--steps", f"take at least {FEWEST}")

    def rates(self) -> list[float]:
        """All of them, ``steps`` numbers."""
        return [float(rate) for rate in np.geomspace(self.low, self.high, self.steps)]


@dataclass(frozen=True)
class RangeTest:
    """What a range test found.

    Attributes:
        rates: learning rates, ascending; fewer than planned where the loss rose before the end.
        losses: of the batch met at each rate, before the step that is taken with it.
        smoothed: each loss averaged with its neighbours.
        steepest: the rate at which the smoothed loss falls fastest, over the logarithm of the rate.
        bound: the rate at which it is lowest; above it the loss rises.
    """

    rates: list[float]
    losses: list[float]
    smoothed: list[float]
    steepest: float
    bound: float

    @property
    def suggestion(self) -> float:
        """Half-way, on a logarithmic scale, from ``steepest`` to ``bound``; rounded to two digits."""
        return float(f"{math.sqrt(self.steepest * self.bound):.1e}")


def range_test(
    state: TrainingState,
    task: "Task",
    feed: Feed,
    ramp: Ramp,
    precision: Precision,
    clip_value: float | None = None,
    clip_norm: float | None = None,
    seed: int = 0,
    after_step: Callable[[float, float], None] = lambda rate, loss: None,
) -> RangeTest:
    """Train ``state``, which is of no further use, with a learning rate that rises at each step.

    It ends with the ramp, or when the running average of the loss is four times its best or not finite.

    Args:
        seed: of what is drawn within a step, such as dropout.
        after_step: is told the learning rate and the loss of each step.

    Raises:
        RunError: the loss falls at no learning rate, so that there is nothing to suggest.
    """
    train_mode(state.model, state.frozen)
    rates: list[float] = []
    losses: list[float] = []
    rising = Rising()
    for rate, (epoch, batch) in zip(ramp.rates(), endless(feed.loader), strict=False):
        seed_step(seed, state.step)
        loss = _backward(state, task, feed, epoch, batch, precision, seed)
        if not math.isfinite(loss):
            break
        rates.append(rate)
        losses.append(loss)
        after_step(rate, loss)
        if rising.by(loss):
            break
        set_learning_rate(state.optimizer, rate)
        clip_gradients(state.model.parameters(), clip_value, clip_norm)
        add_l1(state.optimizer)
        state.optimizer.step()
        state.optimizer.zero_grad(set_to_none=True)
        state.step += 1
    return judge(rates, losses)


def endless(loader: TrainBatches) -> Iterator[tuple[int, Batch]]:
    """Epoch after epoch: its number and each of its batches."""
    epoch = 0
    while True:
        for batch in loader.batches(epoch, start=0):
            yield epoch, batch
        epoch += 1


def _backward(
    state: TrainingState, task: "Task", feed: Feed, epoch: int, batch: Batch, precision: Precision, seed: int
) -> float:
    """The gradient of a batch, as in ``train_one_epoch``; its loss."""

    prepare = partial(feed.prepare, epoch)
    compute = partial(backward, state, task, batch, prepare, precision, seed)
    most = len(batch.indices)
    terms, state.micro_batches = with_smaller_parts(
        compute, state.model, parts=min(state.micro_batches, most), most=most
    )
    return terms["loss"]


class Rising:
    """Tells when the running average of the loss is ``RISEN`` times its best."""

    def __init__(self) -> None:
        self.total, self.weight, self.best = 0.0, 0.0, math.inf

    def by(self, loss: float) -> bool:
        """Take in the next loss."""
        self.total = MEMORY * self.total + (1 - MEMORY) * loss
        self.weight = MEMORY * self.weight + (1 - MEMORY)
        average = self.total / self.weight
        self.best = min(self.best, average)
        return average > RISEN * self.best


def judge(rates: list[float], losses: list[float]) -> RangeTest:
    """What the losses met at ascending learning rates say.

    Raises:
        RunError: the smoothed loss falls by less than a twentieth.
    """
    smoothed = smooth(rates, losses)
    lowest = int(smoothed.argmin()) if len(smoothed) else 0
    if lowest == 0 or smoothed[lowest] > (1 - LEAST_FALL) * smoothed[0]:
        raise RunError(
            "the loss falls at no learning rate of the test",
            f"{len(rates)} steps from {rates[0]:.1e} to {rates[-1]:.1e}" if rates else "the first step",
            "check the labels and settings, or try a higher --high or more --steps",
        )
    slopes = np.gradient(smoothed, np.log10(rates))
    return RangeTest(
        rates,
        losses,
        smoothed.tolist(),
        steepest=rates[int(slopes[: lowest + 1].argmin())],
        bound=rates[lowest],
    )


def smooth(rates: list[float], losses: list[float]) -> "np.ndarray[Any, np.dtype[np.float64]]":
    """Each loss averaged with its neighbours, weighted by a Gaussian of their distance in powers of ten."""
    places = np.log10(rates)
    weights = np.exp(-((places[:, None] - places) ** 2) / (2 * WIDTH**2))
    return np.asarray(weights @ np.asarray(losses) / weights.sum(1), dtype=np.float64)
