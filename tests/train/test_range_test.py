"""The learning-rate range test: which batches it meets, when it ends, and what it makes of the losses."""

import copy
import math
from collections.abc import Iterator

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from striate.errors import InputError, RunError
from striate.recipe import OptimizerSettings
from striate.samples import Batch, Frame
from striate.train.checkpoint import TrainingState
from striate.train.fit import Feed
from striate.train.optimizer import build_optimizer
from striate.train.range_test import Ramp, RangeTest, Rising, judge, range_test, smooth

PLAIN = OptimizerSettings(name="sgd", momentum=0.0, weight_decay=0.0)


class LeastSquares:
    """A task: half the mean squared error."""

    def inputs(self, images: Tensor, targets: Tensor, seeds: Tensor | None = None) -> tuple[Tensor]:
        return (images,)

    def loss(self, outputs: dict[str, Tensor], targets: Tensor) -> dict[str, Tensor]:
        return {"loss": (outputs["y"] - targets).square().mean() / 2}

    def scores(self, outputs: dict[str, Tensor], targets: Tensor) -> dict[str, Tensor]:
        return {}


class Linear(nn.Module):
    def __init__(self, size: int) -> None:
        super().__init__()
        self.stem = nn.Linear(size, size, bias=False)
        self.last = nn.Linear(size, 1, bias=False)
        nn.init.eye_(self.stem.weight)
        nn.init.zeros_(self.last.weight)

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        return {"y": self.last(self.stem(x))[:, 0]}


class Samples:
    """A loader of ``count`` batches of samples whose covariance has the eigenvalues 4, 1 and 1/4."""

    def __init__(self, count: int = 1) -> None:
        generator = torch.Generator().manual_seed(0)
        basis, _ = torch.linalg.qr(torch.randn(32, 3, generator=generator))
        self.x = basis * (32 * torch.tensor([4.0, 1.0, 0.25])).sqrt()  # x^T x / 32 = diag(4, 1, 1/4)
        self.y = self.x @ torch.tensor([1.0, -2.0, 3.0])
        self.count = count
        self.met: list[tuple[int, int]] = []

    def __len__(self) -> int:
        return self.count

    def batches(self, epoch: int, start: int) -> Iterator[Batch]:
        for index in range(start, self.count):
            self.met.append((epoch, index))
            order = torch.arange(32)
            yield Batch(self.x, self.y, order, [str(i) for i in range(32)], [Frame(1, 1)] * 32)

    def feed(self, scale=lambda epoch: 1.0) -> Feed:
        return Feed(self, lambda epoch, batch: (batch.images * scale(epoch), batch.targets))


def least_squares(settings: OptimizerSettings = PLAIN) -> TrainingState:
    model = Linear(3)
    model.stem.requires_grad_(False)
    return TrainingState(model, build_optimizer(model, settings))


def test_the_rates_rise_by_the_same_factor_from_low_to_high():
    rates = Ramp(1e-4, 1.0, 41).rates()
    assert (rates[0], rates[-1], len(rates)) == (pytest.approx(1e-4), pytest.approx(1.0), 41)
    np.testing.assert_allclose(np.diff(np.log10(rates)), 0.1, rtol=1e-9)


@pytest.mark.parametrize(
    "arguments",
    [(0.0, 1.0), (-1.0, 1.0), (1.0, 1.0), (1.0, 0.1), (1.0, math.inf), (math.nan, 1.0), (0.1, 1.0, 9)],
)
def test_a_ramp_that_does_not_rise_or_is_too_short_is_an_input_error(arguments):
    with pytest.raises(InputError, match=r"cannot rise|show nothing"):
        Ramp(*arguments)


def test_gradient_descent_on_a_parabola_rises_beyond_two_over_its_largest_curvature():
    """Its largest eigenvalue is 4, so that steps of a rate above 2 / 4 lead away from the minimum."""
    found = range_test(least_squares(), LeastSquares(), Samples().feed(), Ramp(1e-4, 1e3, 200), "fp32")
    assert 0.25 < found.bound < 1.0
    assert found.steepest < found.suggestion < found.bound
    assert found.rates[-1] < 1e3  # it ended before


def test_the_losses_are_those_of_the_literal_loop():
    samples, weights = Samples(), torch.zeros(3)
    found = range_test(least_squares(), LeastSquares(), samples.feed(), Ramp(1e-3, 1.0, 30), "fp32")
    expected = []
    for rate in np.geomspace(1e-3, 1.0, 30)[: len(found.losses)]:
        error = samples.x @ weights - samples.y
        expected.append(float(error.square().mean() / 2))
        weights = weights - float(rate) * samples.x.T @ error / 32
    np.testing.assert_allclose(found.losses, expected, rtol=1e-4)


def test_epoch_follows_epoch_and_prepare_is_told_which():
    samples, epochs = Samples(count=4), []
    feed = samples.feed(lambda epoch: epochs.append(epoch) or 1.0)
    range_test(least_squares(), LeastSquares(), feed, Ramp(1e-3, 0.1, 10), "fp32")
    assert samples.met[:10] == [(step // 4, step % 4) for step in range(10)]
    assert epochs == [step // 4 for step in range(10)]


def test_each_step_is_told():
    told = []
    found = range_test(
        least_squares(), LeastSquares(), Samples().feed(), Ramp(1e-3, 0.1, 12), "fp32",
        after_step=lambda rate, loss: told.append((rate, loss)),
    )  # fmt: skip
    assert told == list(zip(found.rates, found.losses, strict=True))


def test_what_is_frozen_stays_and_is_in_evaluation():
    model = nn.Sequential(nn.BatchNorm1d(3), Linear(3))
    state = TrainingState(model, build_optimizer(model[1], PLAIN), frozen=[model[0]])
    model[0].requires_grad_(False)
    before = copy.deepcopy(model[0].state_dict())
    range_test(state, LeastSquares(), Samples().feed(), Ramp(1e-4, 0.01, 20), "fp32")
    for name, value in model[0].state_dict().items():
        assert torch.equal(value, before[name]), name


def test_a_loss_that_is_not_finite_ends_the_test_and_is_not_recorded():
    samples = Samples(count=15)
    feed = samples.feed(lambda epoch: 1.0 if epoch == 0 else math.nan)
    found = range_test(least_squares(), LeastSquares(), feed, Ramp(1e-2, 10.0, 40), "fp32")
    assert len(found.losses) == 15
    assert all(map(math.isfinite, found.losses))


def test_the_gradient_is_clipped_as_in_training():
    """With gradients of at most 1e-9 nothing moves, so that the loss falls nowhere."""
    with pytest.raises(RunError, match="falls at no learning rate"):
        range_test(
            least_squares(), LeastSquares(), Samples().feed(), Ramp(1e-3, 1.0, 20), "fp32", clip_norm=1e-9
        )  # fmt: skip


def curve(rates, fall, rise):
    """A loss of 2 that falls to 0.5 around the rate ``fall`` and rises from the rate ``rise`` on."""
    places = np.log10(rates)
    falling = 1.5 / (1 + np.exp(6 * (places - math.log10(fall))))
    return (0.5 + falling + 5 * np.maximum(0, places - math.log10(rise)) ** 2).tolist()


@pytest.mark.parametrize("noise", [0.0, 0.05])
@pytest.mark.parametrize(("fall", "rise"), [(1e-4, 1e-2), (1e-3, 1e-2), (1e-2, 1.0)])
def test_the_suggestion_lies_between_the_steepest_fall_and_the_rise(fall, rise, noise):
    rates = Ramp().rates()
    wobble = noise * np.random.default_rng(0).standard_normal(len(rates))
    found = judge(rates, (np.array(curve(rates, fall, rise)) + wobble).tolist())
    assert abs(math.log10(found.steepest / fall)) < 0.25
    assert fall < found.bound < 2.5 * rise
    assert found.suggestion == pytest.approx(math.sqrt(found.steepest * found.bound), rel=0.05)


def test_the_suggestion_has_two_digits():
    found = RangeTest([1.0], [1.0], [1.0], steepest=0.0123456, bound=0.0123456)
    assert found.suggestion == 0.012


def test_smoothing_keeps_what_is_straight():
    rates = Ramp().rates()
    places = np.log10(rates)
    np.testing.assert_allclose(smooth(rates, [3.0] * 100), 3.0)
    np.testing.assert_allclose(smooth(rates, places.tolist())[20:-20], places[20:-20], atol=1e-6)


@pytest.mark.parametrize(
    "losses", [[2.0] * 50, np.linspace(2, 3, 50).tolist(), np.linspace(2, 1.95, 50).tolist()]
)
def test_a_loss_that_does_not_fall_suggests_nothing(losses):
    with pytest.raises(RunError, match="falls at no learning rate"):
        judge(Ramp(steps=50).rates(), losses)


def test_without_any_finite_loss_there_is_nothing_to_suggest():
    with pytest.raises(RunError, match="falls at no learning rate"):
        judge([], [])


def test_the_test_ends_when_the_running_average_is_four_times_its_best():
    rising = Rising()
    assert not any(rising.by(loss) for loss in [2.0, 1.0, 0.5, 0.5, 0.5, 0.5, 3.0])  # one bad batch is no end
    assert [rising.by(10.0) for _ in range(3)][-1]
