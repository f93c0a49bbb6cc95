import functools
import math

import pytest
import torch
from torch import nn

from striate.layers import (
    Conv2d,
    ConvTranspose2d,
    DepthwiseConv2d,
    PartiallyConnectedConv2d,
    bilinear_,
    fans,
    glorot_normal_,
    glorot_uniform_,
    he_normal_,
    he_uniform_,
    initialize,
    lecun_normal_,
    lecun_uniform_,
)

VARIANCES = {
    "glorot": lambda fan_in, fan_out: 1 / ((fan_in + fan_out) / 2),
    "he": lambda fan_in, fan_out: 2 / fan_in,
    "lecun": lambda fan_in, fan_out: 1 / fan_in,
}
NORMAL = {"glorot": glorot_normal_, "he": he_normal_, "lecun": lecun_normal_}
UNIFORM = {"glorot": glorot_uniform_, "he": he_uniform_, "lecun": lecun_uniform_}

# weight shape, groups, fan in, fan out
WEIGHTS = {
    "dense": ((200, 300), 1, 300, 200),
    "convolution": ((64, 96, 3, 5), 1, 96 * 15, 64 * 15),
    "grouped": ((128, 32, 5, 5), 4, 32 * 25, 128 // 4 * 25),
    "depthwise": ((3000, 1, 3, 3), 1500, 9, 2 * 9),  # depth multiplier 2
}


@pytest.mark.parametrize("scheme", VARIANCES)
@pytest.mark.parametrize("kind", WEIGHTS)
def test_weights_have_the_variance_of_their_scheme(scheme, kind):
    shape, groups, fan_in, fan_out = WEIGHTS[kind]
    options = {"groups": groups} if scheme == "glorot" else {}
    variance = VARIANCES[scheme](fan_in, fan_out)
    normal = NORMAL[scheme](torch.empty(shape), generator=torch.Generator().manual_seed(1), **options)
    assert normal.var().item() == pytest.approx(variance, rel=0.04)
    assert normal.mean().item() == pytest.approx(0, abs=0.03 * math.sqrt(variance))
    assert normal.abs().max() > 3 * math.sqrt(variance)
    uniform = UNIFORM[scheme](torch.empty(shape), generator=torch.Generator().manual_seed(1), **options)
    assert uniform.var().item() == pytest.approx(variance, rel=0.04)
    bound = math.sqrt(3 * variance)
    assert 0.999 * bound < uniform.abs().max() <= bound


def test_glorot_uniform_is_within_root_of_3_over_fan_avg():
    weight = glorot_uniform_(torch.empty(100, 500))
    assert weight.abs().max().item() == pytest.approx(math.sqrt(3 / 300), rel=1e-3)


def test_fans_count_the_inputs_of_an_output_and_the_outputs_of_an_input():
    assert fans(nn.Linear(7, 4).weight) == (7, 4)
    assert fans(Conv2d(6, 8, (3, 5)).weight) == (90, 120)
    assert fans(Conv2d(6, 8, (3, 5), groups=2).weight, groups=2) == (45, 60)
    assert fans(DepthwiseConv2d(6, 3, depth_multiplier=2).weight, groups=6) == (9, 18)


@pytest.mark.parametrize("init", [*NORMAL.values(), *UNIFORM.values()])
def test_a_generator_repeats_the_weights_in_place(init):
    weight = nn.Parameter(torch.empty(5, 4, 3, 3))
    first = init(weight, generator=torch.Generator().manual_seed(7)).detach().clone()
    assert torch.equal(weight, first)
    assert weight.requires_grad
    again = init(torch.empty(5, 4, 3, 3), generator=torch.Generator().manual_seed(7))
    assert torch.equal(again, first)


def test_initialize_gives_every_group_its_own_fans_and_biases_zero():
    torch.manual_seed(0)
    net = nn.Sequential(
        Conv2d(8, 256, 5),
        nn.BatchNorm2d(256),
        nn.Sequential(Conv2d(256, 128, 3, groups=4), ConvTranspose2d(128, 16, 4, 2, groups=2)),
        DepthwiseConv2d(400, 5),
        nn.Linear(400, 100),
    )
    nn.init.constant_(net[1].weight, 7)
    initialize(net, glorot_normal_)
    fan_averages = {
        net[0]: (8 * 25 + 256 * 25) / 2,
        net[2][0]: (64 * 9 + 32 * 9) / 2,
        net[2][1]: (64 * 16 + 8 * 16) / 2,
        net[3]: 25,
        net[4]: 250,
    }
    for layer, fan_average in fan_averages.items():
        assert layer.weight.var().item() == pytest.approx(1 / fan_average, rel=0.05)
        assert not layer.bias.any()
    assert (net[1].weight == 7).all()


def test_initialize_sees_a_transposed_convolution_as_out_in_kernel():
    layer = nn.Sequential(ConvTranspose2d(400, 10, 3, 2))
    initialize(layer, he_normal_)
    assert layer[0].weight.var().item() == pytest.approx(2 / (400 * 9), rel=0.05)


def test_initialize_reaches_the_existing_kernels_of_a_partially_connected_convolution():
    table = [[int((row + column) % 3 > 0) for column in range(30)] for row in range(40)]
    layer = PartiallyConnectedConv2d(table, 5)
    initialize(layer, he_normal_)
    assert layer.weight.var().item() == pytest.approx(2 / (30 * 25), rel=0.05)
    assert not layer.bias.any()
    dense = layer.dense_weight().detach()
    assert torch.equal(dense.abs().sum((2, 3)) > 0, torch.tensor(table) > 0)


def test_initialize_takes_torchs_own_initializers_and_layers_without_bias():
    net = nn.Sequential(Conv2d(3, 4, 3, bias=False), nn.Linear(4, 2))
    initialize(net, functools.partial(nn.init.constant_, val=0.5))
    assert (net[0].weight == 0.5).all()
    assert (net[1].weight == 0.5).all()


def test_deep_relu_nets_keep_their_signal_with_he_weights():
    torch.manual_seed(0)
    net = nn.Sequential(
        *[layer for _ in range(20) for layer in (Conv2d(64, 64, 3, padding="same"), nn.ReLU())]
    )
    x = torch.randn(1, 64, 16, 16)
    initialize(net, he_normal_)
    assert 0.2 < net(x).square().mean().item() < 5  # torch's own start leaves about 1e-14


def test_weights_that_cannot_be_filled_are_named():
    with pytest.raises(ValueError, match="weight must be"):
        he_normal_(torch.empty(3))
    with pytest.raises(ValueError, match="weight must be"):
        he_normal_(torch.empty(3, 0))
    with pytest.raises(ValueError, match="groups"):
        glorot_uniform_(torch.empty(4, 2, 3, 3), groups=3)
    with pytest.raises(ValueError, match="weight must be"):
        bilinear_(torch.empty(3, 3))
    with pytest.raises(ValueError, match="weight_init"):
        initialize(nn.Linear(2, 2), "he")
