import numpy as np
import pytest
import torch

from striate.layers import SqueezeExcitation


def test_squeeze_excitation_scales_each_map_by_what_all_maps_say():
    x = torch.randn(2, 32, 3, 5)
    layer = SqueezeExcitation(32)
    w1, b1, w2, b2 = (p.detach().numpy() for p in layer.parameters())
    expected = np.empty_like(x.numpy())
    for n, picture in enumerate(x.numpy()):
        hidden = np.maximum(w1 @ picture.mean(axis=(1, 2)) + b1, 0)
        scales = 1 / (1 + np.exp(-(w2 @ hidden + b2)))
        expected[n] = picture * scales[:, None, None]
    np.testing.assert_allclose(layer(x).detach().numpy(), expected, atol=1e-6)
    assert hidden.shape == (2,)  # 32 / 16


def test_zero_excitation_halves_every_map():
    layer = SqueezeExcitation(16)
    for parameter in layer.parameters():
        torch.nn.init.zeros_(parameter)
    x = torch.randn(1, 16, 2, 2)
    assert torch.equal(layer(x), x / 2)


@pytest.mark.parametrize(("channels", "reduction"), [(64, 16), (48, 4)])
def test_squeeze_excitation_costs_two_dense_layers(channels, reduction):
    narrow = channels // reduction
    count = sum(p.numel() for p in SqueezeExcitation(channels, reduction).parameters())
    assert count == channels * narrow + narrow + narrow * channels + channels


def test_fewer_channels_than_the_reduction_are_refused():
    with pytest.raises(ValueError, match="reduced 16 times"):
        SqueezeExcitation(8)
