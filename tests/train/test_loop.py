"""One epoch of training and one pass of evaluation."""

import copy
from collections.abc import Sequence

import pytest
import torch
from torch import Tensor, nn

from striate.errors import RunError
from striate.recipe import OptimizerSettings
from striate.samples import Batch, Frame
from striate.tasks.classification import ClassificationTask
from striate.train.checkpoint import TrainingState
from striate.train.ema import ExponentialMovingAverage
from striate.train.loop import (
    StepSettings,
    backward,
    check_finite,
    evaluate,
    predict_batches,
    train_one_epoch,
)
from striate.train.optimizer import build_optimizer

CLASSES = ("ant", "bee", "cat")


class Network(nn.Module):
    """Convolution, pooling, dense; ``between`` sits in the middle."""

    def __init__(self, *between: nn.Module) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(1, 4, 3), *between, nn.ReLU(), nn.Flatten(), nn.Linear(64, 3))

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        return {"logits": self.body(images)}


def make_batches(sizes: Sequence[int]) -> list[Batch]:
    generator = torch.Generator().manual_seed(3)
    batches, start = [], 0
    for size in sizes:
        indices = torch.arange(start, start + size)
        images = torch.randint(0, 256, (size, 1, 6, 6), generator=generator, dtype=torch.uint8)
        targets = torch.randint(0, 3, (size,), generator=generator)
        names = [f"picture{i}.png" for i in indices.tolist()]
        batches.append(Batch(images, targets, indices, names, [Frame(6, 6)] * size))
        start += size
    return batches


def prepare(batch: Batch) -> Tensor:
    return batch.images.float() / 255


def prepare_both(batch: Batch) -> tuple[Tensor, Tensor]:
    return prepare(batch), batch.targets


def make_state(*between: nn.Module, **facts) -> TrainingState:
    torch.manual_seed(0)
    model = Network(*between)
    optimizer = build_optimizer(model, OptimizerSettings(name="sgd", lr=0.1, momentum=0, weight_decay=0))
    return TrainingState(model, optimizer, **facts)


def constant(step: int) -> float:
    return 1.0


def run_epoch(state, batches, task=None, settings=None, after_step=lambda state, loss: None):
    task = task or ClassificationTask(CLASSES)
    settings = settings or StepSettings(0.1, constant, "fp32")
    train_one_epoch(state, task, batches, prepare_both, settings, after_step)


def test_an_epoch_equals_the_literal_loop():
    state, batches = make_state(), make_batches([5, 5, 4])
    model = copy.deepcopy(state.model)
    losses, hits = [], []
    for step, batch in enumerate(batches):
        logits = model(prepare(batch))["logits"]
        loss = nn.functional.cross_entropy(logits, batch.targets)
        model.zero_grad()
        loss.backward()
        with torch.no_grad():
            for parameter in model.parameters():
                parameter -= 0.1 / (step + 1) * parameter.grad
        losses.append(loss.item())
        hits += (logits.argmax(1) == batch.targets).tolist()
    told = []
    settings = StepSettings(0.1, lambda step: 1 / (step + 1), "fp32")
    run_epoch(state, batches, settings=settings, after_step=lambda state, loss: told.append(loss))
    for ours, theirs in zip(state.model.parameters(), model.parameters(), strict=True):
        torch.testing.assert_close(ours, theirs)
    assert told == pytest.approx(losses)
    assert (state.step, state.batch, state.epoch) == (3, 3, 0)
    assert state.sums == pytest.approx(
        {
            "loss": 5 * losses[0] + 5 * losses[1] + 4 * losses[2],
            "accuracy": sum(hits),
            "pictures": 14,
        }
    )
    assert all(parameter.grad is None for parameter in state.model.parameters())


@pytest.mark.parametrize("parts", [2, 3, 4, 11])
@pytest.mark.parametrize(
    "options", [{}, {"class_weights": torch.tensor([3.0, 0.5, 1.0])}, {"label_smoothing": 0.2}]
)
def test_parts_of_a_batch_give_the_gradient_of_the_whole(parts, options):
    task = ClassificationTask(CLASSES, **options)
    (batch,) = make_batches([11])  # divided unevenly by all of these
    whole, divided = make_state(), make_state()
    terms = backward(whole, task, batch, prepare_both, "fp32", 0, 1)
    parted = backward(divided, task, batch, prepare_both, "fp32", 0, parts)
    assert parted == pytest.approx(terms, rel=1e-6)
    for a, b in zip(whole.model.parameters(), divided.model.parameters(), strict=True):
        torch.testing.assert_close(b.grad, a.grad, rtol=1e-5, atol=1e-7)


def test_an_accumulated_epoch_equals_a_plain_one():
    plain, accumulated = make_state(), make_state(micro_batches=4)
    run_epoch(plain, make_batches([10, 10, 9]))
    run_epoch(accumulated, make_batches([10, 10, 9]))
    assert (accumulated.step, accumulated.micro_batches) == (3, 4)
    assert accumulated.sums == pytest.approx(plain.sums, rel=1e-5)
    for a, b in zip(plain.model.parameters(), accumulated.model.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-7)


def test_a_batch_of_few_pictures_does_not_change_the_number_of_parts():
    state = make_state(micro_batches=4)
    run_epoch(state, make_batches([8, 2, 8]))
    assert state.micro_batches == 4
    assert state.step == 3


class RunsOut(nn.Module):
    """Has no memory for more than three pictures."""

    def forward(self, x: Tensor) -> Tensor:
        if len(x) > 3:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return x


def test_parts_found_by_running_out_of_memory_are_kept():
    state, plenty = make_state(RunsOut()), make_state(nn.Identity(), micro_batches=4)
    run_epoch(state, make_batches([8, 8]))
    run_epoch(plenty, make_batches([8, 8]))
    assert state.micro_batches == 4
    for a, b in zip(state.model.parameters(), plenty.model.parameters(), strict=True):
        assert torch.equal(a, b)


class Poison(nn.Module):
    """Passes everything on; from a batch on, ``value`` enters the output or the gradient only."""

    def __init__(self, at: int, value: float, in_gradient: bool) -> None:
        super().__init__()
        self.at, self.value, self.in_gradient = at, value, in_gradient
        self.calls = 0

    def forward(self, x: Tensor) -> Tensor:
        self.calls += 1
        if self.calls < self.at:
            return x
        if self.in_gradient:
            x = x.clone()
            x.register_hook(lambda gradient: gradient * self.value)
            return x
        return x * self.value


@pytest.mark.parametrize("clip_norm", [None, 1.0])
@pytest.mark.parametrize(
    ("value", "in_gradient", "said"),
    [
        (float("nan"), False, "the loss is nan"),
        (float("nan"), True, "the gradient's norm is nan"),
        (float("inf"), True, "the gradient's norm is (inf|nan)"),
    ],
)
def test_what_is_not_finite_stops_before_the_weights(value, in_gradient, said, clip_norm):
    state = make_state(Poison(3, value, in_gradient))
    state.ema = ExponentialMovingAverage(state.model, 0.9)
    kept = []

    def after_step(state: TrainingState, loss: float) -> None:
        kept.append(copy.deepcopy(state.model.state_dict()))

    settings = StepSettings(0.1, constant, "fp32", clip_norm=clip_norm)
    with pytest.raises(RunError, match=said) as caught:
        run_epoch(state, make_batches([4, 4, 9, 4]), settings=settings, after_step=after_step)
    assert len(kept) == 2  # the two good steps, and nothing to save after them
    assert "at step 3" in caught.value.what
    assert (
        caught.value.where
        == "the batch of " + ", ".join(f"picture{i}.png" for i in range(8, 16)) + " and 1 more"
    )
    for name, value_now in state.model.state_dict().items():
        assert torch.equal(value_now, kept[-1][name])
    assert (state.step, state.batch) == (2, 2)


def test_finite_numbers_pass():
    (batch,) = make_batches([2])
    check_finite(0.0, 1e38, 0, batch)
    check_finite(-5.0, 0.0, 0, batch)


def test_the_average_follows_each_step():
    state = make_state()
    state.ema = ExponentialMovingAverage(state.model, 0.5)
    twin = make_state()
    expected = copy.deepcopy(twin.model)

    def follow(twin: TrainingState, loss: float) -> None:
        kept = min(0.5, (1 + twin.step) / (10 + twin.step))
        with torch.no_grad():
            for average, parameter in zip(expected.parameters(), twin.model.parameters(), strict=True):
                average.mul_(kept).add_((1 - kept) * parameter)

    run_epoch(state, make_batches([4, 4, 4]))
    run_epoch(twin, make_batches([4, 4, 4]), after_step=follow)
    assert state.judged_model is state.ema.model
    for a, b in zip(state.ema.model.parameters(), expected.parameters(), strict=True):
        torch.testing.assert_close(a, b)


def test_clipping_bounds_the_step():
    state = make_state()
    before = torch.cat([p.detach().flatten().clone() for p in state.model.parameters()])
    run_epoch(state, make_batches([6]), settings=StepSettings(1.0, constant, "fp32", clip_norm=1e-3))
    after = torch.cat([p.detach().flatten() for p in state.model.parameters()])
    assert (after - before).norm().item() == pytest.approx(1e-3, rel=1e-3)


def test_prediction_judges_in_evaluation_mode_and_restores_training_mode():
    state = make_state(nn.Dropout(0.9))
    state.model.train()
    task, batches = ClassificationTask(CLASSES), make_batches([5, 3])
    first, second = (
        [
            outputs["logits"].clone()
            for _, outputs, _ in predict_batches(state.model, task, batches, prepare, "fp32")
        ]
        for _ in range(2)
    )
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))
    assert state.model.training
    assert not first[0].requires_grad


def test_evaluation_does_not_depend_on_the_batches():
    state, task = make_state(), ClassificationTask(CLASSES)
    (whole,) = make_batches([12])
    parts = [
        Batch(whole.images[a:b], whole.targets[a:b], whole.indices[a:b], whole.names[a:b], whole.frames[a:b])
        for a, b in ((0, 5), (5, 6), (6, 12))
    ]
    results = [
        evaluate(predict_batches(state.model, task, batches, prepare, "fp32"), task, task.metrics())
        for batches in ([whole], parts)
    ]
    assert results[0] == pytest.approx(results[1], rel=1e-5)
    logits = state.model(prepare(whole))["logits"]
    assert results[0]["loss"] == pytest.approx(nn.functional.cross_entropy(logits, whole.targets).item())
    hits = (logits.argmax(1) == whole.targets).float().mean().item()
    assert results[0]["accuracy"] == pytest.approx(hits)


def test_mirroring_gives_a_picture_and_its_mirror_image_the_same_prediction():
    state, task = make_state(), ClassificationTask(CLASSES)
    (batch,) = make_batches([6])
    mirrored = Batch(batch.images.flip(-1), batch.targets, batch.indices, batch.names, batch.frames)
    (plain,), (turned,) = (
        list(predict_batches(state.model, task, [b], prepare, "fp32", mirror=True)) for b in (batch, mirrored)
    )
    torch.testing.assert_close(plain[1]["logits"], turned[1]["logits"])
