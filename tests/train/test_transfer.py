"""Phases, frozen parts, learning rates by stage, and what the optimizer keeps from phase to phase."""

import copy

import pytest
import torch

from striate.errors import InputError
from striate.models.catalog import create_model
from striate.recipe import OptimizerSettings, PhaseSettings, TrainSettings
from striate.tasks.classifier import Classifier
from striate.train.checkpoint import TrainingState
from striate.train.loop import train_mode
from striate.train.optimizer import build_optimizer, set_learning_rate
from striate.train.transfer import (
    check_freeze,
    choose_phases,
    describe_phase,
    enter_phase,
    frozen_names,
    next_phase,
    parts_of,
    rate_factors,
)

SLIM = {"width": 0.05}
NAMES = ["stem", "stage1", "stage2", "stage3"]
ADAM = OptimizerSettings(name="adamw", lr=0.01, weight_decay=0.1)


def make_state() -> TrainingState:
    torch.manual_seed(0)
    model = Classifier(create_model("resnet20", num_classes=3, width=0.25))
    return TrainingState(model, build_optimizer(model, ADAM))


def take_step(state: TrainingState) -> None:
    train_mode(state.model, state.frozen)
    set_learning_rate(state.optimizer, 0.01)
    state.model(torch.randn(4, 3, 16, 16))["logits"].square().sum().backward()
    state.optimizer.step()
    state.optimizer.zero_grad()


@pytest.mark.parametrize(
    ("freeze", "still"),
    [
        ("none", []),
        ("stem", NAMES[:1]),
        ("stage1", NAMES[:2]),
        ("stage2", NAMES[:3]),
        ("stage3", NAMES),
        ("backbone", NAMES),
    ],
)
def test_all_parts_up_to_the_named_one_are_held_still(freeze, still):
    assert frozen_names(NAMES, freeze) == still


def test_a_stage_that_is_not_there_is_refused_with_those_that_are():
    with pytest.raises(InputError, match="no stage called 'stage9'") as caught:
        frozen_names(NAMES, "stage9")
    assert caught.value.what_to_do == "one of none, backbone, stem, stage1, stage2, stage3"


def test_a_stage_without_anything_to_train_is_refused_where_nothing_else_is_held_still():
    """VGG has no stem to speak of, LeNet-5 pools in stage1."""
    vgg, lenet = (Classifier(create_model(name, 3, **o)) for name, o in (("vgg11", SLIM), ("lenet5", {})))
    with pytest.raises(InputError, match="nothing to hold still up to stem") as caught:
        check_freeze(vgg, "stem")
    assert caught.value.what_to_do == "one of none, backbone, stage1, stage2, stage3, stage4, stage5"
    for model, what in ((vgg, "stage1"), (vgg, "none"), (lenet, "stage1"), (lenet, "backbone")):
        check_freeze(model, what)


def test_random_weights_get_one_phase_and_others_two():
    settings = TrainSettings(epochs=20)
    assert choose_phases(settings, 0.02) == (PhaseSettings(epochs=20, lr=0.02),)
    assert choose_phases(settings, 0.02, transfers=True) == (
        PhaseSettings(epochs=5, freeze="backbone", lr=0.02, augment=False),
        PhaseSettings(epochs=15, lr=0.002),
    )
    assert choose_phases(TrainSettings(epochs=20, freeze="stage1"), 0.02, transfers=True) == (
        PhaseSettings(epochs=20, freeze="stage1", lr=0.02),
    )


def test_phases_that_are_given_are_taken_and_add_up_to_the_epochs():
    phases = [{"epochs": 2, "freeze": "backbone"}, {"epochs": 3, "lr": 0.5}]
    settings = TrainSettings(phases=phases)
    assert settings.epochs == 5
    assert [phase.lr for phase in choose_phases(settings, 0.02, transfers=True)] == [0.02, 0.5]
    assert choose_phases(TrainSettings(phases=phases, epochs=5), 0.02) == choose_phases(settings, 0.02)
    with pytest.raises(ValueError, match="5 epochs together, epochs is 6"):
        TrainSettings(phases=phases, epochs=6)
    with pytest.raises(ValueError, match="exclude one another"):
        TrainSettings(phases=phases, freeze="none")


@pytest.mark.parametrize("freeze", ["stem", "stage2", "backbone"])
def test_what_is_held_still_stays_bit_identical_and_the_rest_moves(freeze):
    state = make_state()
    still = frozen_names(NAMES, freeze)
    before = {name: value.clone() for name, value in state.model.state_dict().items()}
    enter_phase(state, PhaseSettings(epochs=1, freeze=freeze), ADAM)
    for _ in range(3):
        take_step(state)
    for name, value in state.model.state_dict().items():
        part = name.removeprefix("backbone.").removeprefix("stages.").split(".")[0]
        moved = not torch.equal(value, before[name])
        assert moved == (part not in still), name  # weights, statistics and counters alike


def test_a_phase_leaves_what_it_holds_still_without_gradient_and_state():
    state = make_state()
    enter_phase(state, PhaseSettings(epochs=1, freeze="backbone"), ADAM)
    take_step(state)
    head = set(state.model.backbone.head.parameters())
    assert set(state.optimizer.state) == head
    assert {p for p in state.model.parameters() if p.requires_grad} == head


def test_the_next_phase_keeps_the_state_of_what_moved_and_starts_the_rest_anew():
    state = make_state()
    phases = (PhaseSettings(epochs=1, freeze="backbone"), PhaseSettings(epochs=1, lr=0.001))
    enter_phase(state, phases[0], ADAM)
    for _ in range(3):
        take_step(state)
    state.epoch, state.step, state.stale = 1, 3, 2
    kept = {p: {k: v.clone() for k, v in slots.items()} for p, slots in state.optimizer.state.items()}
    next_phase(state, phases, ADAM)
    assert (state.phase, state.phase_epoch, state.phase_step, state.stale) == (1, 1, 3, 0)
    assert set(state.optimizer.state) == set(kept)
    for parameter, slots in kept.items():
        assert all(torch.equal(state.optimizer.state[parameter][key], slots[key]) for key in slots)
    take_step(state)
    steps = (
        {int(state.optimizer.state[p]["step"]) for p in state.model.backbone.stages.parameters()},
        {int(state.optimizer.state[p]["step"]) for p in state.model.backbone.head.parameters()},
    )
    assert steps == ({1}, {4})


@pytest.mark.parametrize("name", ["sgd", "adam", "adamw", "nadam", "rmsprop"])
def test_every_optimizer_goes_from_phase_to_phase(name):
    settings = OptimizerSettings(name=name, lr=0.001)
    phases = (PhaseSettings(epochs=1, freeze="backbone"), PhaseSettings(epochs=1, freeze="stage2"),
              PhaseSettings(epochs=1))  # fmt: skip
    state = make_state()
    enter_phase(state, phases[0], settings)
    take_step(state)
    for _ in phases[1:]:
        next_phase(state, phases, settings)
        before = [p.clone() for p in state.model.backbone.stages["stage3"].parameters()]
        take_step(state)
        after = list(state.model.backbone.stages["stage3"].parameters())
        assert not any(torch.equal(a, b) for a, b in zip(after, before, strict=True))


def test_momentum_begins_in_the_second_phase_as_in_a_new_run():
    """The first step of what was held still is that of an optimizer that has just been made."""
    settings = OptimizerSettings(name="sgd", lr=0.01, momentum=0.9, weight_decay=0.0)
    phases = (PhaseSettings(epochs=1, freeze="backbone"), PhaseSettings(epochs=1))
    state = make_state()
    enter_phase(state, phases[0], settings)
    take_step(state)
    next_phase(state, phases, settings)
    fresh = copy.deepcopy(state)
    fresh.optimizer = build_optimizer(fresh.model, settings)
    for each in (state, fresh):
        torch.manual_seed(5)
        take_step(each)
    stem, same = (s.model.backbone.stem.state_dict() for s in (state, fresh))
    assert all(torch.equal(stem[name], same[name]) for name in stem)


def test_each_stage_away_from_the_head_is_slower_by_the_factor():
    state = make_state()
    factors = rate_factors(state.model, 0.5)
    backbone = state.model.backbone
    assert {factors[p] for p in backbone.head.parameters()} == {1.0}
    assert {factors[p] for p in backbone.stages["stage3"].parameters()} == {0.5}
    assert {factors[p] for p in backbone.stages["stage1"].parameters()} == {0.125}
    assert {factors[p] for p in backbone.stem.parameters()} == {0.0625}
    enter_phase(state, PhaseSettings(epochs=1, stage_decay=0.5), ADAM)
    set_learning_rate(state.optimizer, 0.8)
    rates = {p: group["lr"] for group in state.optimizer.param_groups for p in group["params"]}
    assert rates == {p: 0.8 * factor for p, factor in factors.items()}
    decays = {p: group["weight_decay"] for group in state.optimizer.param_groups for p in group["params"]}
    assert all((decay > 0) == (p.ndim >= 2) for p, decay in decays.items())


def test_the_line_on_a_phase_counts_what_trains():
    state = make_state()
    phases = (PhaseSettings(epochs=2, freeze="backbone", lr=0.01), PhaseSettings(epochs=4, lr=0.001))
    enter_phase(state, phases[0], ADAM)
    head = sum(p.numel() for p in state.model.backbone.head.parameters())
    total = sum(p.numel() for p in state.model.parameters())
    line = describe_phase(state, phases)
    assert line.startswith(f"phase 1 of 2: 2 epochs, {head:,} of {total:,} parameters train, lr 0.01")
    assert line.endswith("held still: the backbone")
    assert head < total


def test_every_part_has_the_name_of_its_feature_map():
    model = Classifier(create_model("mobilenet_v2", num_classes=3, width=0.25))
    assert list(parts_of(model)) == [info.name for info in model.backbone.feature_info]
