"""Transfer learning: what is held still, what moves how fast, and what comes after what.

    phase 1   stem ─ stage1 ─ ... ─ stageN   held still            head   lr
    phase 2   stem ─ stage1 ─ ... ─ stageN   lr / 10, or slower    head   lr / 10

A part that is held still gets no gradient, no weight decay and no optimizer state, and works as in
evaluation: its batch normalization uses the statistics that it has and leaves them as they are.
"""

from collections.abc import Iterable, Sequence

import torch
from torch import nn

from striate.errors import InputError
from striate.recipe import OptimizerSettings, PhaseSettings, TrainSettings
from striate.train.checkpoint import TrainingState
from striate.train.optimizer import build_optimizer
from striate.train.replicas import is_shard, unfuse

HEAD_SHARE = 0.25  # of all epochs, for the head alone
FINE_TUNING = 0.1  # of the learning rate, for what was trained before (Yosinski 2014; 1/10 to 1/100 is usual)
PLACES = "--freeze, train.freeze or a phase's freeze"  # where a stage is named


def choose_phases(settings: TrainSettings, lr: float, transfers: bool = False) -> tuple[PhaseSettings, ...]:
    """The phases that the settings mean, each with its learning rate.

    Weights that come from elsewhere get two, unless the settings say more: the head alone on pictures as
    they are, since it starts at random, then everything, more slowly.

    Args:
        lr: of phases that name none.
        transfers: whether the weights come from elsewhere.
    """
    if settings.phases:
        return tuple(phase.model_copy(update={"lr": phase.lr or lr}) for phase in settings.phases)
    head_epochs = max(1, round(settings.epochs * HEAD_SHARE))
    if settings.freeze is not None or not transfers or settings.epochs == 1:
        return (PhaseSettings(epochs=settings.epochs, freeze=settings.freeze or "none", lr=lr),)
    return (
        PhaseSettings(epochs=head_epochs, freeze="backbone", lr=lr, augment=False),
        PhaseSettings(epochs=settings.epochs - head_epochs, freeze="none", lr=lr * FINE_TUNING),
    )


def parts_of(model: nn.Module) -> dict[str, nn.Module]:
    """The stem and the stages of a backbone, or of a task's module with one, from the pictures on."""
    backbone = getattr(model, "backbone", model)
    assert isinstance(backbone.stages, nn.ModuleDict)
    assert isinstance(backbone.stem, nn.Module)
    return {"stem": backbone.stem, **backbone.stages}


def frozen_names(parts: Iterable[str], freeze: str) -> list[str]:
    """The names of the parts that ``freeze`` holds still: none, all, or all up to and including a stage.

    Raises:
        InputError: there is no such stage.
    """
    names = list(parts)
    if freeze in ("none", "backbone"):
        return names if freeze == "backbone" else []
    if freeze not in names:
        raise InputError(
            f"the network has no stage called {freeze!r}",
            PLACES,
            f"one of none, backbone, {', '.join(names)}",
        )
    return names[: names.index(freeze) + 1]


def check_freeze(model: nn.Module, what: str) -> None:
    """Find out whether ``freeze`` would hold anything still.

    Raises:
        InputError: there is no such stage, or nothing to train up to it.
    """
    parts = parts_of(model)
    names = frozen_names(parts, what)
    trainable = [name for name, part in parts.items() if any(True for _ in part.parameters())]
    if names and not set(names) & set(trainable):
        raise InputError(
            f"the network has nothing to hold still up to {what}",
            PLACES,
            f"one of none, backbone, {', '.join(trainable)}",
        )


def freeze(model: nn.Module, what: str) -> list[nn.Module]:
    """Hold parts of a task's module still, and let all others move.

    Returns:
        The modules that are held still; the loop keeps them in evaluation.
    """
    model.requires_grad_(True)
    if what == "none":
        return []
    parts = parts_of(model)
    return [parts[name].requires_grad_(False) for name in frozen_names(parts, what)]


def rate_factors(model: nn.Module, stage_decay: float) -> dict[nn.Parameter, float]:
    """The factor of the learning rate for each parameter: ``stage_decay`` to the power of its stage's
    distance from the head (discriminative rates: Howard and Ruder 2018, section 3.2)."""
    factors = dict.fromkeys(model.parameters(), 1.0)
    if stage_decay == 1:
        return factors
    for distance, part in enumerate(reversed(parts_of(model).values()), start=1):
        factors |= dict.fromkeys(part.parameters(), stage_decay**distance)
    return factors


def enter_phase(state: TrainingState, phase: PhaseSettings, settings: OptimizerSettings) -> None:
    """Hold still what the phase holds still, and make the optimizer for the rest.

    What moved before keeps its optimizer state; what begins to move has none, as at the start of a run.
    """
    state.frozen = freeze(state.model, phase.freeze)
    before = state.optimizer.state
    state.optimizer = build_optimizer(state.model, settings, rate_factors(state.model, phase.stage_decay))
    if any(map(is_shard, state.model.parameters())):
        unfuse(state.optimizer)
    kept = {p: before[p] for p in state.model.parameters() if p in before and p.requires_grad}
    for parameter, slots in kept.items():
        state.optimizer.state[parameter] = slots
    if kept and isinstance(state.optimizer, torch.optim.SGD) and settings.momentum:
        # Its fused step wants the momentum of all or of none; zero is where each begins.
        for parameter in (p for p in state.model.parameters() if p.requires_grad and p not in kept):
            state.optimizer.state[parameter] = {"momentum_buffer": torch.zeros_like(parameter)}


def next_phase(state: TrainingState, phases: Sequence[PhaseSettings], settings: OptimizerSettings) -> None:
    """Go on to the phase after the state's.

    What it holds still works with the statistics of the first process, as after a resume: until here each
    process had its own.
    """
    state.processes.align(state.model.buffers())
    state.phase += 1
    state.phase_epoch, state.phase_step, state.stale = state.epoch, state.step, 0
    enter_phase(state, phases[state.phase], settings)


def describe_phase(state: TrainingState, phases: Sequence[PhaseSettings]) -> str:
    """What the state's phase trains, in a line."""
    phase = phases[state.phase]
    total = sum(p.numel() for p in state.model.parameters())
    moving = sum(p.numel() for p in state.model.parameters() if p.requires_grad)
    still = f", held still: {_still(phase.freeze)}" if phase.freeze != "none" else ""
    return (
        f"phase {state.phase + 1} of {len(phases)}: {phase.epochs} epoch{'s' if phase.epochs > 1 else ''}, "
        f"{moving:,} of {total:,} parameters train, lr {phase.lr:g}{still}"
    )


def _still(freeze: str) -> str:
    return "the backbone" if freeze == "backbone" else f"all up to {freeze}"
