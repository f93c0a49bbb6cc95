import literal_loops
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from striate.layers import LocalResponseNorm, set_batch_norm_eps


@pytest.mark.parametrize("radius", [0, 1, 2, 5])
@pytest.mark.parametrize(("alpha", "beta", "k"), [(2e-5, 0.75, 1.0), (0.3, 0.5, 2.0)])
def test_local_response_norm_equals_its_definition(radius, alpha, beta, k):
    x = 20 * torch.randn(2, 7, 2, 3, dtype=torch.float64)
    expected = literal_loops.local_response_norm(x.numpy(), radius, alpha, beta, k)
    layer = LocalResponseNorm(radius, alpha, beta, k)
    torch.testing.assert_close(layer(x), torch.from_numpy(expected))


@pytest.mark.parametrize("radius", [1, 2, 4])
def test_local_response_norm_equals_torchs_with_alpha_times_its_window(radius):
    x = 10 * torch.randn(2, 12, 5, 6)
    size = 2 * radius + 1
    expected = F.local_response_norm(x, size, alpha=1e-3 * size, beta=0.75, k=1.0)
    torch.testing.assert_close(LocalResponseNorm(radius, alpha=1e-3)(x), expected)


def test_local_response_norm_has_alexnets_defaults():
    x = torch.full((1, 5, 1, 1), 1000.0)
    middle = 1000 * (1 + 2e-5 * 5 * 1000**2) ** -0.75
    edge = 1000 * (1 + 2e-5 * 3 * 1000**2) ** -0.75
    assert LocalResponseNorm()(x).flatten()[[2, 0, 4]].tolist() == pytest.approx([middle, edge, edge])


def test_local_response_norm_has_the_right_gradient():
    x = torch.randn(1, 6, 2, 2, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(LocalResponseNorm(alpha=0.3), x)


def test_large_half_precision_activations_do_not_overflow():
    x = torch.full((1, 5, 1, 1), 1000.0, dtype=torch.float16)  # 1000 squared is over 65504
    expected = LocalResponseNorm()(x.double())
    torch.testing.assert_close(LocalResponseNorm()(x).double(), expected, rtol=5e-3, atol=0)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_under_bf16_autocast_local_response_norm_loses_no_more_than_its_input_did(dtype):
    """The base, 1.0004 and more, has no room in 8 bits for what distinguishes it from 1."""
    x = (20 * torch.randn(2, 12, 5, 6)).to(dtype)
    layer = LocalResponseNorm(alpha=1e-3)
    expected = layer(x.double())
    with torch.autocast("cpu", torch.bfloat16):
        y = layer(x)
    assert y.dtype == dtype
    rounding = 2.0**-8 if dtype == torch.bfloat16 else 1e-5  # of the result
    torch.testing.assert_close(y.double(), expected, rtol=rounding, atol=0)


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ({"depth_radius": -1}, "depth_radius"),
        ({"depth_radius": 1.5}, "depth_radius"),
        ({"alpha": -1e-4}, "alpha"),
        ({"alpha": float("nan")}, "alpha"),
        ({"beta": float("inf")}, "beta"),
        ({"k": 0.0}, "k must be"),
    ],
)
def test_arguments_that_cannot_be_are_named(arguments, named):
    with pytest.raises(ValueError, match=named):
        LocalResponseNorm(**arguments)


def test_local_response_norm_takes_batches_of_maps_and_an_epsilon_is_above_zero():
    with pytest.raises(ValueError, match="x must be"):
        LocalResponseNorm()(torch.randn(12, 5, 6))
    with pytest.raises(ValueError, match="eps must be"):
        set_batch_norm_eps(nn.BatchNorm2d(3), 0.0)


def test_batch_norm_counts_four_values_per_channel_of_which_two_are_trained():
    net = nn.Sequential(
        nn.BatchNorm1d(784),
        nn.Linear(784, 300),
        nn.BatchNorm1d(300),
        nn.Linear(300, 100),
        nn.BatchNorm1d(100),
        nn.Linear(100, 10),
    )
    trained = sum(p.numel() for p in net.parameters())
    statistics = sum(b.numel() for name, b in net.named_buffers() if "num_batches" not in name)
    assert (trained + statistics, trained, statistics) == (271_346, 268_978, 2_368)
