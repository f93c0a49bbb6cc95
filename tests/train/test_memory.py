"""When memory runs out: the step must be what it would have been with smaller parts from the start."""

import copy

import pytest
import torch
from torch import Tensor, nn

from striate.errors import RunError
from striate.recipe import OptimizerSettings
from striate.samples import Batch, Frame
from striate.tasks.classification import ClassificationTask
from striate.train import loop
from striate.train.checkpoint import TrainingState
from striate.train.ema import ExponentialMovingAverage
from striate.train.loop import StepSettings, predict_batches, train_one_epoch
from striate.train.memory import is_out_of_memory, with_smaller_parts
from striate.train.optimizer import build_optimizer

CPU_MESSAGE = "[enforce fail at alloc_cpu.cpp:127] err == 0. DefaultCPUAllocator: can't allocate memory: ..."
FAILURES = [torch.OutOfMemoryError("CUDA out of memory"), RuntimeError(CPU_MESSAGE)]


class Limited(nn.Module):
    """Runs out of memory, late in its pass, for batches above ``limit``."""

    def __init__(self, limit: int, failure: RuntimeError = FAILURES[0]) -> None:
        super().__init__()
        self.limit, self.failure = limit, failure
        self.body = nn.Sequential(nn.Conv1d(4, 8, 1), nn.BatchNorm1d(8), nn.Dropout(0.5), nn.Conv1d(8, 1, 3))

    def forward(self, x: Tensor) -> Tensor:
        y = self.body(x)
        if len(x) > self.limit:
            raise self.failure
        return y


def step(model: nn.Module, images: Tensor, parts: int, most: int | None = None) -> tuple[float, int]:
    """Gradients of the mean over ``images``."""

    def compute(parts: int) -> float:
        total = 0.0
        for part in images.tensor_split(parts):
            loss = model(part).square().mean() * len(part) / len(images)
            loss.backward()
            total += loss.item()
        return total

    return with_smaller_parts(compute, model, parts, most or len(images))


@pytest.fixture
def images():
    torch.manual_seed(0)
    return torch.randn(12, 4, 3)


@pytest.mark.parametrize("failure", FAILURES)
@pytest.mark.parametrize(("limit", "needed"), [(12, 1), (6, 2), (5, 4), (3, 4), (2, 8)])
def test_the_result_is_that_of_smaller_parts_from_the_start(images, failure, limit, needed):
    torch.manual_seed(1)
    model = Limited(limit, failure).train()
    twin = copy.deepcopy(model)
    torch.manual_seed(2)
    loss, parts = step(model, images, parts=1)
    after = torch.get_rng_state()
    torch.manual_seed(2)
    expected, _ = step(twin, images, parts=needed)
    assert parts == needed
    assert loss == expected
    assert torch.equal(after, torch.get_rng_state())
    for (name, value), (_, other) in zip(model.state_dict().items(), twin.state_dict().items(), strict=True):
        assert torch.equal(value, other), name  # running statistics and their count
    for a, b in zip(model.parameters(), twin.parameters(), strict=True):
        assert torch.equal(a.grad, b.grad)


def test_parts_never_exceed_the_pictures(images):
    tried = []

    def compute(parts: int) -> None:
        tried.append(parts)
        raise FAILURES[0]

    with pytest.raises(RunError, match="single picture"):
        with_smaller_parts(compute, nn.Identity(), parts=1, most=12)
    assert tried == [1, 2, 4, 8, 12]


@pytest.mark.parametrize("failure", FAILURES)
def test_when_not_even_one_picture_fits_the_run_ends(images, failure):
    with pytest.raises(RunError, match="not enough memory") as caught:
        step(Limited(0, failure).train(), images, parts=1)
    assert "input.size" in caught.value.what_to_do


def test_other_errors_pass_through_at_once(images):
    model = Limited(3, RuntimeError("mat1 and mat2 shapes cannot be multiplied")).train()
    with pytest.raises(RuntimeError, match="mat1"):
        step(model, images, parts=1)


def test_the_processors_own_allocator_is_recognized():
    with pytest.raises(RuntimeError) as caught:
        torch.empty(2**60, dtype=torch.uint8)
    assert is_out_of_memory(caught.value)
    assert not is_out_of_memory(RuntimeError("shape mismatch"))


class Classes(nn.Module):
    """Statistics, dropout, and two classes; runs out of memory above ``limit`` pictures."""

    def __init__(self, limit: int) -> None:
        super().__init__()
        self.body = Limited(limit)

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        return {"logits": self.body(x)[:, 0].repeat(1, 2) * torch.tensor([1.0, -1.0])}


def trained(limit: int, micro_batches: int) -> TrainingState:
    """The state after three steps on batches of ten pictures."""
    torch.manual_seed(3)
    model = Classes(limit)
    optimizer = build_optimizer(model, OptimizerSettings(name="adamw", lr=0.05))
    state = TrainingState(model, optimizer, ExponentialMovingAverage(model, 0.9), micro_batches=micro_batches)
    names, frames = [str(i) for i in range(10)], [Frame(4, 3)] * 10
    batches = [
        Batch(torch.randn(10, 4, 3), torch.randint(2, (10,)), torch.arange(10), names, frames)
        for _ in range(3)
    ]
    settings = StepSettings(0.05, lambda step: 1.0, "fp32")
    task = ClassificationTask(("ant", "bee"))

    def prepare(batch: Batch) -> tuple[Tensor, Tensor]:
        return batch.images, batch.targets

    train_one_epoch(state, task, batches, prepare, settings, lambda state, loss: None)
    return state


@pytest.mark.parametrize(("limit", "parts"), [(5, 2), (3, 4), (1, 10)])
def test_training_that_ran_out_of_memory_ends_in_the_state_of_training_in_parts(limit, parts):
    """Weights, statistics, their average, optimizer state, sums and random state, to the bit."""
    halved, random_state = trained(limit, 1), torch.get_rng_state()
    expected = trained(10, parts)
    assert torch.equal(random_state, torch.get_rng_state())
    assert (halved.micro_batches, halved.step, halved.sums) == (parts, 3, expected.sums)
    for one, other in ((halved.model, expected.model), (halved.ema.model, expected.ema.model)):
        for name, value in one.state_dict().items():
            assert torch.equal(value, other.state_dict()[name]), name
    slots = [state.optimizer.state_dict()["state"] for state in (halved, expected)]
    assert slots[0].keys() == slots[1].keys()
    for index, values in slots[0].items():
        for name, value in values.items():
            assert torch.equal(value, slots[1][index][name]), name


@pytest.mark.parametrize("mirror", [False, True])
@pytest.mark.parametrize("limit", [10, 4, 1])
def test_a_validation_batch_that_does_not_fit_is_computed_in_parts(limit, mirror):
    """Every picture by itself, its statistics fixed: the same predictions in the same order."""

    def predicted(limit: int) -> list[Tensor]:
        torch.manual_seed(3)
        model = Classes(limit).double()
        names, frames = [str(i) for i in range(10)], [Frame(4, 3)] * 10
        batches = [
            Batch(torch.randn(10, 4, 3).double(), torch.zeros(10).long(), torch.arange(10), names, frames)
            for _ in range(2)
        ]
        found = predict_batches(
            model, ClassificationTask(("a", "b")), batches, lambda batch: batch.images, "fp32", mirror
        )
        return [outputs["logits"] for _, outputs, _ in found]

    torch.testing.assert_close(predicted(limit), predicted(10), rtol=1e-6, atol=1e-7)


def test_processes_that_share_out_a_network_do_not_try_a_validation_batch_again(monkeypatch):
    """The others would wait for this one's next step, and this one for their part of the parameters."""
    monkeypatch.setattr(loop, "is_shard", lambda tensor: True)
    batch = Batch(torch.randn(10, 4, 3), torch.zeros(10).long(), torch.arange(10), ["a"] * 10, [Frame(4, 3)])
    task = ClassificationTask(("a", "b"))
    with pytest.raises(RunError, match="a process ran out of memory"):
        list(predict_batches(Classes(4), task, [batch], lambda batch: batch.images, "fp32"))


@pytest.mark.parametrize("error", [MemoryError(), RuntimeError("could not create a primitive")])
def test_what_numpy_and_onednn_say_without_memory_is_recognized(error):
    assert is_out_of_memory(error)
