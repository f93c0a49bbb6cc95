"""What holds for every layer: memory format, precision, the meta device, saving, gradients."""

import copy
import math

import pytest
import torch
from rounding import BF16, bf16_tolerance, root_mean_square, weighted_layers
from safetensors.torch import load, save

from striate import layers

TABLE = [[1, 0, 1, 1], [0, 1, 1, 0]]

# name: builder, shape of the input
CASES = {
    "Conv1d": (lambda: layers.Conv1d(4, 6, 4, 2, "same"), (2, 4, 9)),
    "Conv2d": (lambda: layers.Conv2d(4, 6, 3, 2, "same"), (2, 4, 8, 9)),
    "Conv3d": (lambda: layers.Conv3d(4, 6, 2, padding="same"), (2, 4, 5, 6, 5)),
    "DepthwiseConv2d": (lambda: layers.DepthwiseConv2d(4, 3, 2, padding="same"), (2, 4, 8, 9)),
    "SeparableConv2d": (lambda: layers.SeparableConv2d(4, 6, 3, padding="same"), (2, 4, 8, 9)),
    "PartiallyConnectedConv2d": (lambda: layers.PartiallyConnectedConv2d(TABLE, 3), (2, 4, 8, 9)),
    "ConvNormAct": (lambda: layers.ConvNormAct(4, 6, 3, 2), (2, 4, 8, 9)),
    "Branches": (
        lambda: layers.Branches({"a": layers.Conv2d(4, 6, 1), "b": layers.Conv2d(4, 2, 3, padding="same")}),
        (2, 4, 8, 9),
    ),
    "DepthwiseConv1d": (lambda: layers.DepthwiseConv1d(4, 3, 2, padding="same"), (2, 4, 9)),
    "SeparableConv1d": (lambda: layers.SeparableConv1d(4, 6, 3, padding="causal"), (2, 4, 9)),
    "ConvTranspose1d": (lambda: layers.ConvTranspose1d(4, 6, 3, 2, "same"), (2, 4, 5)),
    "ConvTranspose3d": (lambda: layers.ConvTranspose3d(4, 6, 3, 2, "same"), (2, 4, 3, 4, 3)),
    "ConvTranspose2d": (lambda: layers.ConvTranspose2d(4, 6, 3, 2, "same"), (2, 4, 5, 6)),
    "MaxPool1d": (lambda: layers.MaxPool1d(3, 2, "same"), (2, 4, 8)),
    "MaxPool2d": (lambda: layers.MaxPool2d(3, 2, "same"), (2, 4, 8, 9)),
    "MaxPool3d": (lambda: layers.MaxPool3d(2, padding="same"), (2, 4, 5, 6, 5)),
    "AvgPool1d": (lambda: layers.AvgPool1d(3, 2, "same"), (2, 4, 8)),
    "AvgPool2d": (lambda: layers.AvgPool2d(3, 2, "same"), (2, 4, 8, 9)),
    "AvgPool3d": (lambda: layers.AvgPool3d(2, padding="same"), (2, 4, 5, 6, 5)),
    "ChannelMaxPool": (lambda: layers.ChannelMaxPool(2), (2, 4, 8, 9)),
    "ChannelAvgPool": (lambda: layers.ChannelAvgPool(2), (2, 4, 8, 9)),
    "GlobalAvgPool2d": (lambda: layers.GlobalAvgPool2d(), (2, 4, 8, 9)),
    "GlobalAvgPool1d": (lambda: layers.GlobalAvgPool1d(), (2, 4, 8)),
    "GlobalAvgPool3d": (lambda: layers.GlobalAvgPool3d(), (2, 4, 5, 6, 5)),
    "GlobalMaxPool1d": (lambda: layers.GlobalMaxPool1d(), (2, 4, 8)),
    "GlobalMaxPool2d": (lambda: layers.GlobalMaxPool2d(), (2, 4, 8, 9)),
    "GlobalMaxPool3d": (lambda: layers.GlobalMaxPool3d(), (2, 4, 5, 6, 5)),
    "SELU": (lambda: layers.SELU(), (2, 4, 8, 9)),
    "SelfNormalizing": (lambda: layers.SelfNormalizing(layers.Conv2d(4, 6, 3)), (2, 4, 8, 9)),
    "StochasticDepth": (lambda: layers.StochasticDepth(0.2).eval(), (2, 4, 8, 9)),
    "ScaledAvgPool2d": (lambda: layers.ScaledAvgPool2d(4), (2, 4, 8, 9)),
    "LocalResponseNorm": (lambda: layers.LocalResponseNorm(alpha=0.1), (2, 4, 8, 9)),
    "SqueezeExcitation": (lambda: layers.SqueezeExcitation(4, 2), (2, 4, 8, 9)),
    "RadialBasis": (lambda: layers.RadialBasis(4, 3), (2, 4)),
}
every_layer = pytest.mark.parametrize("name", CASES)
every_picture_layer = pytest.mark.parametrize("name", [name for name, (_, s) in CASES.items() if len(s) == 4])


def build(name):
    torch.manual_seed(0)
    builder, shape = CASES[name]
    return builder(), torch.randn(shape)


def test_every_public_layer_is_here():
    assert {name for name in layers.__all__ if name[0].isupper()} == set(CASES)


@every_picture_layer
def test_channels_last_gives_the_same_and_keeps_its_format(name):
    layer, x = build(name)
    expected = layer(x)
    layer = layer.to(memory_format=torch.channels_last)
    y = layer(x.contiguous(memory_format=torch.channels_last))
    torch.testing.assert_close(y, expected, atol=1e-5, rtol=1e-5)
    if y.ndim == 4:
        assert y.stride(1) == 1


@every_layer
def test_bf16_is_close_to_fp32(name):
    layer, x = build(name)
    x = x.bfloat16()
    expected = copy.deepcopy(layer)(x.float())
    y = layer.bfloat16()(x)
    assert y.dtype == torch.bfloat16
    # Of its steps those without weights round too; what comes out is rounded once more, by 2^-8 of it.
    steps = 1 + weighted_layers(layer)
    if name.startswith("ConvTranspose"):
        # Where oneDNN has no bf16, torch rounds each stamp and each sum of those that lie on one place.
        steps += 2 * math.prod(-(-k // s) for k, s in zip(layer.kernel_size, layer.stride, strict=True))
    tolerance = bf16_tolerance(root_mean_square(expected), steps)
    torch.testing.assert_close(y.float(), expected, atol=tolerance, rtol=BF16)


@every_layer
def test_shapes_on_the_meta_device_are_the_real_ones(name):
    layer, x = build(name)
    with torch.device("meta"):
        imagined, _ = build(name)
    y = imagined(torch.empty(x.shape, device="meta"))
    assert y.is_meta
    assert y.shape == layer(x).shape


@every_layer
def test_a_saved_layer_comes_back_whole_even_when_built_on_the_meta_device(name):
    layer, x = build(name)
    saved = save({key: value.contiguous() for key, value in layer.state_dict().items()})
    with torch.device("meta"):
        restored, _ = build(name)
    restored.to_empty(device="cpu").load_state_dict(load(saved))
    assert torch.equal(restored.eval()(x), layer.eval()(x))


@every_layer
def test_gradients_reach_the_input_and_every_parameter(name):
    layer, x = build(name)
    y = layer(x.requires_grad_())
    (y * torch.randn_like(y)).sum().backward()
    for tensor in (x, *layer.parameters()):
        assert tensor.grad.isfinite().all()
        assert tensor.grad.any()


@every_layer
def test_an_exported_program_gives_the_same_for_any_batch(name):
    layer, x = build(name)
    layer.eval()
    exported = torch.export.export(layer, (x,), dynamic_shapes=({0: torch.export.Dim("batch")},))
    larger = torch.cat([x, x + 1, x - 1])
    torch.testing.assert_close(exported.module()(larger), layer(larger))
