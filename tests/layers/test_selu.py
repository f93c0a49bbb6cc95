import keras
import pytest
import torch
from torch import nn

from striate.layers import SELU, Conv2d, SelfNormalizing


def test_selu_equals_keras():
    x = torch.linspace(-6, 6, 101)
    torch.testing.assert_close(SELU()(x), keras.ops.selu(x), atol=1e-6, rtol=1e-6)


@pytest.mark.parametrize("dropout", [0.0, 0.1])
def test_a_deep_row_keeps_mean_and_variance_without_normalization(dropout):
    row = nn.Sequential(*[SelfNormalizing(nn.Linear(400, 400), dropout) for _ in range(16)])
    y = row(torch.randn(500, 400))
    assert y.mean().item() == pytest.approx(0, abs=0.1)
    assert y.var().item() == pytest.approx(1, abs=0.25)
    with_relu = nn.Sequential(*[nn.Sequential(nn.Linear(400, 400), nn.ReLU()) for _ in range(16)])
    assert with_relu(torch.randn(500, 400)).var() < 0.01


def test_the_weights_are_lecuns_and_the_biases_zero():
    layer = SelfNormalizing(Conv2d(50, 60, 3)).layer
    assert layer.weight.var().item() == pytest.approx(1 / (50 * 9), rel=0.05)
    assert not layer.bias.any()


def test_what_cannot_be_is_named():
    with pytest.raises(ValueError, match="dropout"):
        SelfNormalizing(nn.Linear(2, 2), 1.5)
    with pytest.raises(ValueError, match="layer has no weights"):
        SelfNormalizing(nn.ReLU())


@pytest.mark.parametrize("layer", [nn.BatchNorm2d(3), nn.ReLU(), None])
def test_a_layer_whose_weights_are_not_drawn_is_no_self_normalizing_one(layer):
    with pytest.raises(ValueError, match="layer"):
        SelfNormalizing(layer)
