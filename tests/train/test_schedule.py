"""Learning-rate schedules: hand-worked values, and torch's own schedulers where they mean the same."""

import math
from itertools import pairwise

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.optim import lr_scheduler

from striate.recipe import OptimizerSettings, Recipe, ScheduleSettings
from striate.train.schedule import build_momentum, build_schedule


def factors(settings: dict, steps_per_epoch: int, epochs: int) -> list[float]:
    schedule = build_schedule(ScheduleSettings(**settings), steps_per_epoch, epochs)
    return [schedule(step) for step in range(steps_per_epoch * epochs)]


def torch_factors(make_scheduler, count: int) -> list[float]:
    """The learning rates of one of torch's schedulers over ``count`` steps, from 1."""
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    scheduler = make_scheduler(optimizer)
    values = []
    for _ in range(count):
        values.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    return values


HALF = math.sqrt(0.5)


@pytest.mark.parametrize(
    ("settings", "steps_per_epoch", "epochs", "expected"),
    [
        ({"name": "constant", "warmup_epochs": 0}, 2, 2, [1, 1, 1, 1]),
        ({"name": "constant", "warmup_epochs": 1}, 4, 2, [0.2, 0.4, 0.6, 0.8, 1, 1, 1, 1]),
        ({"name": "constant", "warmup_epochs": 0.5}, 6, 1, [0.25, 0.5, 0.75, 1, 1, 1]),
        (
            {"name": "step", "warmup_epochs": 0, "step_epochs": 2, "factor": 0.1},
            2,
            5,
            [1, 1, 1, 1, 0.1, 0.1, 0.1, 0.1, 0.01, 0.01],
        ),
        (
            {"name": "exponential", "warmup_epochs": 0, "step_epochs": 1, "factor": 0.25},
            2,
            2,
            [1, 0.5, 0.25, 0.125],
        ),
        ({"name": "cosine", "warmup_epochs": 0}, 4, 1, [1, (1 + HALF) / 2, 0.5, (1 - HALF) / 2]),
        (
            {"name": "cosine", "warmup_epochs": 0, "final": 0.2},
            4,
            1,
            [1, 0.2 + 0.4 * (1 + HALF), 0.6, 0.2 + 0.4 * (1 - HALF)],
        ),
        (
            {"name": "cosine", "warmup_epochs": 1},
            2,
            3,
            [1 / 3, 2 / 3, 1, (1 + HALF) / 2, 0.5, (1 - HALF) / 2],
        ),
        (
            {"name": "one_cycle", "peak": 0.25, "warmup_epochs": 5},
            8,
            1,
            [0.2, 0.6, 1, 5 / 6, 4 / 6, 3 / 6, 2 / 6, 1 / 6],
        ),
        ({"name": "one_cycle", "peak": 0.5, "final": 0.5}, 4, 1, [0.2, 0.6, 1, 0.75]),
        ({"name": "one_cycle", "peak": 0.0}, 2, 1, [1, 0.5]),
        ({"name": "one_cycle", "peak": 1.0}, 4, 1, [0.2, 0.4, 0.6, 0.8]),
    ],
)
def test_hand_worked_values(settings, steps_per_epoch, epochs, expected):
    assert factors(settings, steps_per_epoch, epochs) == pytest.approx(expected, rel=1e-12)


def test_step_equals_torchs_step_lr():
    ours = factors({"name": "step", "warmup_epochs": 0, "step_epochs": 3, "factor": 0.3}, 4, 10)
    theirs = torch_factors(lambda o: lr_scheduler.StepLR(o, step_size=12, gamma=0.3), 40)
    assert ours == pytest.approx(theirs, rel=1e-12)


def test_exponential_equals_torchs_exponential_lr():
    ours = factors({"name": "exponential", "warmup_epochs": 0, "step_epochs": 2, "factor": 0.1}, 5, 6)
    theirs = torch_factors(lambda o: lr_scheduler.ExponentialLR(o, gamma=0.1 ** (1 / 10)), 30)
    assert ours == pytest.approx(theirs, rel=1e-12)


def test_cosine_equals_torchs_cosine_annealing():
    ours = factors({"name": "cosine", "warmup_epochs": 0, "final": 0.05}, 7, 3)
    theirs = torch_factors(lambda o: lr_scheduler.CosineAnnealingLR(o, T_max=21, eta_min=0.05), 21)
    assert ours == pytest.approx(theirs, rel=1e-9)


@pytest.mark.parametrize("name", ["constant", "step", "exponential", "cosine"])
def test_warm_up_longer_than_the_run_still_reaches_the_peak(name):
    assert factors({"name": name, "warmup_epochs": 100, "step_epochs": 1000}, 3, 2)[:5] == pytest.approx(
        [step / 6 for step in range(1, 6)]
    )
    assert factors({"name": name, "warmup_epochs": 100, "step_epochs": 1e9}, 3, 2)[5] == pytest.approx(1)


@pytest.mark.parametrize("name", ["constant", "step", "exponential", "cosine", "one_cycle"])
def test_a_run_of_one_step_takes_a_step(name):
    (factor,) = factors({"name": name}, 1, 1)
    assert factor > 0


SETTINGS = st.builds(
    dict,
    name=st.sampled_from(["constant", "step", "exponential", "cosine", "one_cycle"]),
    warmup_epochs=st.floats(0, 5),
    step_epochs=st.floats(0.1, 10),
    factor=st.floats(0.01, 1),
    peak=st.floats(0, 1),
    final=st.floats(0, 1),
)


@given(settings=SETTINGS, steps_per_epoch=st.integers(1, 9), epochs=st.integers(1, 9))
def test_every_factor_lies_between_nothing_and_the_peak(settings, steps_per_epoch, epochs):
    assert all(0 < value <= 1 + 1e-12 for value in factors(settings, steps_per_epoch, epochs))


@given(settings=SETTINGS, steps_per_epoch=st.integers(1, 9), epochs=st.integers(1, 9))
def test_the_rate_rises_once_and_then_never_again(settings, steps_per_epoch, epochs):
    values = factors(settings, steps_per_epoch, epochs)
    top = values.index(max(values))
    assert all(a <= b for a, b in pairwise(values[: top + 1]))
    assert all(a >= b - 1e-12 for a, b in pairwise(values[top:]))


@given(final=st.floats(0, 0.9), name=st.sampled_from(["cosine", "one_cycle"]), epochs=st.integers(2, 50))
def test_the_step_after_the_last_would_have_the_final_factor(final, name, epochs):
    settings = ScheduleSettings(name=name, final=final, warmup_epochs=1)
    schedule = build_schedule(settings, 5, epochs)
    assert schedule(5 * epochs) == pytest.approx(final, abs=1e-12)
    assert schedule(5 * epochs - 1) > final


@pytest.mark.parametrize("peak", [0.25, 0.3, 0.5, 1.0])
@pytest.mark.parametrize("bounds", [(0.85, 0.95), (0.5, 0.5)])
def test_the_momentum_of_one_cycle_equals_torchs(peak, bounds):
    """Torch's has its peak at a whole step; ours is the same line, drawn from one step later on."""
    total = 40
    settings = ScheduleSettings(name="one_cycle", peak=peak, momentum=bounds)
    ours = [build_momentum(settings, 8, 5)(step) for step in range(total)]
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0, momentum=0.9)
    scheduler = lr_scheduler.OneCycleLR(
        optimizer,
        max_lr=1.0,
        total_steps=total + 1,
        pct_start=(peak * total + 1) / (total + 1),
        anneal_strategy="linear",
        base_momentum=bounds[0],
        max_momentum=bounds[1],
    )
    theirs = []
    for _ in range(total):
        theirs.append(optimizer.param_groups[0]["momentum"])
        optimizer.step()
        scheduler.step()
    assert ours == pytest.approx(theirs, rel=1e-9)


def test_momentum_is_left_alone_unless_asked_for_and_moves_in_one_cycle_only():
    assert build_momentum(ScheduleSettings(name="one_cycle"), 4, 2) is None
    for wrong in (
        {"name": "cosine", "momentum": (0.85, 0.95)},
        {"name": "one_cycle", "momentum": (0.9, 0.8)},
    ):
        with pytest.raises(ValueError, match="momentum"):
            ScheduleSettings(**wrong)
    with pytest.raises(ValueError, match=r"optimizer\.momentum"):
        Recipe(
            schedule=ScheduleSettings(name="one_cycle", momentum=(0.85, 0.95)),
            optimizer=OptimizerSettings(name="sgd", momentum=0.0),
        )
