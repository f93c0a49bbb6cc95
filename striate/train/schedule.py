"""Schedules of learning rate and momentum: functions of the step, without a state."""

import math
from collections.abc import Callable

from striate.recipe import ScheduleSettings

Schedule = Callable[[int], float]  # step, from 0 -> factor of the peak learning rate, or momentum


def build_schedule(settings: ScheduleSettings, steps_per_epoch: int, epochs: int) -> Schedule:
    """The factor by which the peak learning rate is multiplied at each step.

    Warm-up rises in a straight line over ``warmup_epochs``; "one_cycle" has its own rise and ignores it.
    """
    total = steps_per_epoch * epochs
    if settings.name == "one_cycle":
        return lambda step: triangle(step / total, settings.peak, settings.final)
    warmup = min(round(settings.warmup_epochs * steps_per_epoch), total - 1)
    period = settings.step_epochs * steps_per_epoch

    def factor(step: int) -> float:
        if step < warmup:
            return (step + 1) / (warmup + 1)
        match settings.name:
            case "step":
                return float(settings.factor ** int(step / period))
            case "exponential":
                return float(settings.factor ** (step / period))
            case "cosine":
                return cosine((step - warmup) / (total - warmup), settings.final)
        return 1.0

    return factor


def build_momentum(settings: ScheduleSettings, steps_per_epoch: int, epochs: int) -> Schedule | None:
    """The momentum at each step, where it moves: it falls to the lower one while the learning rate rises to
    its peak, and rises again while that falls (Smith 2018, arXiv:1803.09820, section 4.2)."""
    if settings.momentum is None:
        return None
    low, high = settings.momentum
    total, peak = steps_per_epoch * epochs, settings.peak

    def momentum(step: int) -> float:
        progress = step / total
        if progress < peak:
            return high + (low - high) * progress / peak
        return low + (high - low) * (progress - peak) / (1 - peak) if peak < 1 else low

    return momentum


def cosine(progress: float, final: float) -> float:
    """Half a cosine from 1 at progress 0 to ``final`` at 1 (Loshchilov and Hutter 2016, eq. 5)."""
    return final + (1 - final) * (1 + math.cos(math.pi * progress)) / 2


def triangle(progress: float, peak: float, final: float) -> float:
    """Straight up from a fifth to 1 at ``peak``, straight down to ``final`` (Smith 2018, 1cycle)."""
    if progress < peak:
        return 0.2 + 0.8 * progress / peak
    return 1 - (1 - final) * (progress - peak) / (1 - peak) if peak < 1 else 1.0
