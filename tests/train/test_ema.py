"""The moving average of the weights against its recurrence, element by element."""

import pytest
import torch
from torch import nn

from striate.train.ema import ExponentialMovingAverage


def make_network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(1, 3, 3), nn.BatchNorm2d(3), nn.Flatten(), nn.Linear(48, 2))


def change(network: nn.Module, step: int) -> None:
    """Move every parameter, and the running statistics by a training pass."""
    generator = torch.Generator().manual_seed(step)
    network.train()(torch.randn(4, 1, 6, 6, generator=generator))
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=generator))


@pytest.mark.parametrize("decay", [0.0, 0.5, 0.97])
def test_the_average_follows_the_recurrence(decay):
    network = make_network()
    ema = ExponentialMovingAverage(network, decay)
    expected = {name: value.double().clone() for name, value in network.state_dict().items()}
    for step in range(1, 31):
        change(network, step)
        ema.update(network, step)
        kept = min(decay, (1 + step) / (10 + step))
        for name, value in network.state_dict().items():
            expected[name] = kept * expected[name] + (1 - kept) * value.double()
    for name, value in ema.model.state_dict().items():
        if value.is_floating_point():
            torch.testing.assert_close(value.double(), expected[name], rtol=1e-5, atol=1e-6)


def test_the_first_steps_forget_the_random_start():
    weight = nn.Linear(1, 1, bias=False)
    weight.weight.data.fill_(100.0)
    ema = ExponentialMovingAverage(weight, 0.999)
    weight.weight.data.fill_(0.0)
    ema.update(weight, 1)
    assert ema.model.weight.item() == pytest.approx(100 * 2 / 11)
    ema.update(weight, 2)
    assert ema.model.weight.item() == pytest.approx(100 * 2 / 11 * 3 / 12)


def test_counts_are_copied_and_running_statistics_averaged():
    network = make_network()
    ema = ExponentialMovingAverage(network, 0.9)
    for step in (1, 2, 3):
        change(network, step)
        ema.update(network, step)
    averaged, norm = ema.model[1], network[1]
    assert averaged.num_batches_tracked.item() == norm.num_batches_tracked.item() == 3
    assert averaged.num_batches_tracked.dtype == torch.int64
    assert not torch.equal(averaged.running_mean, norm.running_mean)


def test_the_average_is_apart_from_the_network():
    network = make_network()
    ema = ExponentialMovingAverage(network, 0.9)
    before = [parameter.clone() for parameter in ema.model.parameters()]
    change(network, 1)
    assert all(torch.equal(a, b) for a, b in zip(before, ema.model.parameters(), strict=True))
    assert not any(parameter.requires_grad for parameter in ema.model.parameters())
    assert not any(module.training for module in ema.model.modules())
    assert all(parameter.requires_grad for parameter in network.parameters())


def test_the_average_keeps_the_memory_layout():
    network = make_network().to(memory_format=torch.channels_last)
    ema = ExponentialMovingAverage(network, 0.9)
    change(network, 1)
    ema.update(network, 1)
    for average, parameter in zip(ema.model.parameters(), network.parameters(), strict=True):
        assert average.stride() == parameter.stride()
