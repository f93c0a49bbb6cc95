"""The training state: saved and loaded without losing a bit, and going on as if it had never been."""

import copy
import json
import random
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from striate.errors import InputError
from striate.recipe import OptimizerSettings
from striate.train.checkpoint import PLACE, TrainingState, load_checkpoint, save_checkpoint
from striate.train.determinism import seed_everything
from striate.train.ema import ExponentialMovingAverage
from striate.train.optimizer import build_optimizer

OPTIMIZERS = {
    "plain sgd": OptimizerSettings(name="sgd", momentum=0, nesterov=False, lr=0.05),
    "nesterov": OptimizerSettings(name="sgd", lr=0.05),
    "adam": OptimizerSettings(name="adam", lr=0.01),
    "adamw": OptimizerSettings(name="adamw", lr=0.01),
    "nadam": OptimizerSettings(name="nadam", lr=0.01),
    "rmsprop": OptimizerSettings(name="rmsprop", lr=0.003),
}
LAYOUTS = [torch.contiguous_format, torch.channels_last]


def make_state(
    optimizer: str = "adamw", layout: torch.memory_format = torch.channels_last, seed: int = 0, width: int = 6
) -> TrainingState:
    seed_everything(seed)
    model = nn.Sequential(
        nn.Conv2d(1, width, 3),  # one input channel: several layouts have the same strides
        nn.BatchNorm2d(width),
        nn.ReLU(),
        nn.Dropout(0.3),
        nn.Conv2d(width, 5, 3),
        nn.Flatten(),
        nn.Linear(5 * 4 * 4, 3),
    ).to(memory_format=layout)
    return TrainingState(
        model, build_optimizer(model, OPTIMIZERS[optimizer]), ExponentialMovingAverage(model, 0.9)
    )


def take_steps(state: TrainingState, count: int) -> None:
    """Steps that draw from all three generators."""
    for _ in range(count):
        images = torch.randn(7, 1, 8, 8) * random.uniform(0.5, 1.5) + float(np.random.normal())
        loss = state.model.train()(images).square().mean()
        loss.backward()
        state.optimizer.step()
        state.optimizer.zero_grad(set_to_none=True)
        state.step += 1
        state.ema.update(state.model, state.step)
        state.sums["loss"] = state.sums.get("loss", 0.0) + loss.item() / 3


def everything(state: TrainingState) -> dict[str, object]:
    """All that the next step depends on, ready to be compared."""
    parts: dict[str, object] = {f"model/{k}": v.clone() for k, v in state.model.state_dict().items()}
    parts |= {f"ema/{k}": v.clone() for k, v in state.ema.model.state_dict().items()}
    optimizer = copy.deepcopy(state.optimizer.state_dict())
    for index, slots in optimizer["state"].items():
        parts |= {f"optimizer/{index}/{slot}": value for slot, value in slots.items() if value is not None}
    parts["param_groups"] = json.dumps(optimizer["param_groups"])
    parts |= {name: copy.deepcopy(getattr(state, name)) for name in PLACE}
    numpy_state = np.random.get_state()
    parts["numpy"] = (numpy_state[0], numpy_state[1].tolist(), *numpy_state[2:])
    parts |= {"python": random.getstate(), "torch": torch.get_rng_state()}
    return parts


def assert_same(found: dict[str, object], expected: dict[str, object]) -> None:
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        if isinstance(value, Tensor):
            other = found[name]
            assert other.dtype == value.dtype, name
            assert torch.equal(other, value), name
        else:
            assert found[name] == value, name


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_everything_comes_back_to_the_last_bit(tmp_path, optimizer, layout):
    state = make_state(optimizer, layout)
    take_steps(state, 3)
    state.epoch, state.batch, state.micro_batches, state.stale, state.best = 2, 5, 4, 1, 0.1 + 0.2
    state.history = [{"epoch": 1, "val": {"loss": 1 / 3}}, {"epoch": 2, "val": {"loss": 1e-300}}]
    state.seconds = 12.345678901234567
    np.random.normal()  # leaves half of a pair behind in the generator
    path = tmp_path / "checkpoint" / "state.safetensors"
    save_checkpoint(path, state)
    expected = everything(state)
    other = make_state(optimizer, layout, seed=99)
    load_checkpoint(path, other)
    assert_same(everything(other), expected)


@pytest.mark.parametrize("optimizer", [*OPTIMIZERS])
def test_restored_slots_lie_in_memory_as_they_did(tmp_path, optimizer):
    state, other = make_state(optimizer), make_state(optimizer, seed=1)
    take_steps(state, 1)
    save_checkpoint(tmp_path / "state.safetensors", state)
    load_checkpoint(tmp_path / "state.safetensors", other)
    for a, b in zip(state.model.parameters(), other.model.parameters(), strict=True):
        assert a.stride() == b.stride()
        for slot, value in state.optimizer.state[a].items():
            if isinstance(value, Tensor):
                assert other.optimizer.state[b][slot].stride() == value.stride(), slot


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_going_on_after_a_load_equals_not_having_stopped(tmp_path, optimizer, layout):
    state = make_state(optimizer, layout)
    take_steps(state, 3)
    save_checkpoint(tmp_path / "state.safetensors", state)
    take_steps(state, 4)
    expected = everything(state)
    other = make_state(optimizer, layout, seed=5)
    take_steps(other, 2)  # whatever happened before must not matter
    load_checkpoint(tmp_path / "state.safetensors", other)
    take_steps(other, 4)
    assert_same(everything(other), expected)


def test_a_state_before_its_first_step_comes_back(tmp_path):
    state = make_state()
    save_checkpoint(tmp_path / "state.safetensors", state)
    take_steps(state, 2)
    expected = everything(state)
    other = make_state(seed=3)
    load_checkpoint(tmp_path / "state.safetensors", other)
    take_steps(other, 2)
    assert_same(everything(other), expected)


def test_saving_changes_nothing(tmp_path):
    state = make_state()
    take_steps(state, 2)
    before = everything(state)
    save_checkpoint(tmp_path / "state.safetensors", state)
    assert_same(everything(state), before)


def test_a_state_without_an_average_comes_back(tmp_path):
    state, other = make_state(), make_state(seed=1)
    state.ema = other.ema = None
    save_checkpoint(tmp_path / "state.safetensors", state)
    load_checkpoint(tmp_path / "state.safetensors", other)
    for a, b in zip(state.model.parameters(), other.model.parameters(), strict=True):
        assert torch.equal(a, b)
    assert other.judged_model is other.model


@pytest.fixture
def saved(tmp_path) -> Path:
    state = make_state()
    take_steps(state, 1)
    save_checkpoint(tmp_path / "state.safetensors", state)
    return tmp_path / "state.safetensors"


def test_any_altered_byte_is_found_out(saved):
    whole = saved.read_bytes()
    header = int.from_bytes(whole[:8], "little") + 8
    positions = random.Random(0).sample(range(len(whole)), 40)
    positions += random.Random(1).sample(range(8, header), 40)  # facts and names
    for position in positions:
        altered = bytearray(whole)
        altered[position] ^= 1
        saved.write_bytes(altered)
        with pytest.raises(InputError):
            load_checkpoint(saved, make_state())


@pytest.mark.parametrize("length", [0, 4, 100, 0.5, 0.999])
def test_a_truncated_file_is_found_out(saved, length):
    whole = saved.read_bytes()
    saved.write_bytes(whole[: int(length * len(whole)) if isinstance(length, float) else length])
    with pytest.raises(InputError) as caught:
        load_checkpoint(saved, make_state())
    assert str(saved) in str(caught.value)


def test_foreign_tensors_are_refused(saved):
    save_file({"weight": torch.zeros(3)}, saved)
    with pytest.raises(InputError, match="not a run's"):
        load_checkpoint(saved, make_state())


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(InputError, match=r"no state\.safetensors"):
        load_checkpoint(tmp_path / "state.safetensors", make_state())


def test_another_network_is_refused_with_the_tensors_name(saved):
    with pytest.raises(InputError, match=r"another network: .*4\.weight"):
        load_checkpoint(saved, make_state(width=7))


def test_another_optimizer_is_refused_by_name(saved):
    with pytest.raises(InputError, match="another optimizer: AdamW"):
        load_checkpoint(saved, make_state("nesterov"))
