import itertools

import keras
import literal_loops
import pytest
import torch
from sklearn.datasets import load_sample_image
from torch import nn

from striate.layers import (
    Conv1d,
    Conv2d,
    Conv3d,
    ConvNormAct,
    DepthwiseConv1d,
    DepthwiseConv2d,
    PartiallyConnectedConv2d,
    SeparableConv1d,
    SeparableConv2d,
)

CONVOLUTIONS = {1: Conv1d, 2: Conv2d, 3: Conv3d}
SIZES = {1: (13,), 2: (11, 14), 3: (5, 8, 7)}  # odd and even

# (kernel, stride, dilation); Keras refuses stride and dilation together, which the loop below covers
GEOMETRIES = [
    *((kernel, stride, 1) for kernel, stride in itertools.product((1, 2, 3, 4, 5), (1, 2, 3))),
    *((kernel, 1, 2) for kernel in (1, 2, 3)),
]

# Table I of LeCun et al. 1998: the input maps that each of C3's maps sees
LENET_C3 = [
    "012", "123", "234", "345", "045", "015",
    "0123", "1234", "2345", "0345", "0145", "0125", "0134", "1245", "0235",
    "012345",
]  # fmt: skip
LENET_TABLE = [[int(str(column) in row) for column in range(6)] for row in LENET_C3]


def channels_first(y):
    return y.detach().movedim(-1, 1)


def channels_last(x):
    return x.movedim(1, -1)


def keras_kernel(weight):
    """(K, C, *kernel) -> (*kernel, C, K)"""
    return weight.detach().movedim((0, 1), (-1, -2))


def keras_convolution(layer, x, stride, dilation, padding):
    y = keras.ops.conv(
        channels_last(x), keras_kernel(layer.weight), stride, padding, "channels_last", dilation
    )
    return channels_first(y) + layer.bias.detach().view(1, -1, *[1] * (x.ndim - 2))


@pytest.mark.parametrize("padding", ["same", "valid"])
@pytest.mark.parametrize("num_axes", [1, 2, 3])
def test_convolution_equals_keras(num_axes, padding):
    torch.manual_seed(num_axes)
    x = torch.randn(2, 3, *SIZES[num_axes])
    for kernel, stride, dilation in GEOMETRIES:
        layer = CONVOLUTIONS[num_axes](3, 4, kernel, stride, padding, dilation)
        expected = keras_convolution(layer, x, stride, dilation, padding)
        difference = (layer(x) - expected).abs().max()
        assert difference < 1e-5, f"{kernel=} {stride=} {dilation=}"


@pytest.mark.parametrize("padding", ["same", "valid"])
@pytest.mark.parametrize(("kernel", "stride"), [((2, 5), (3, 1)), ((4, 1), (1, 2)), ((3, 3), (2, 3))])
def test_each_axis_has_its_own_kernel_and_stride(kernel, stride, padding):
    x = torch.randn(2, 3, 11, 14)
    layer = Conv2d(3, 4, kernel, stride, padding)
    torch.testing.assert_close(
        layer(x), keras_convolution(layer, x, stride, 1, padding), atol=1e-5, rtol=1e-5
    )


@pytest.mark.parametrize("padding", ["same", "valid"])
@pytest.mark.parametrize("stride", [1, 2])
def test_grouped_convolution_equals_keras(stride, padding):
    x = torch.randn(2, 6, 9, 12)
    layer = Conv2d(6, 9, 4, stride, padding, groups=3)
    torch.testing.assert_close(
        layer(x), keras_convolution(layer, x, stride, 1, padding), atol=1e-5, rtol=1e-5
    )


@pytest.mark.parametrize("padding", ["same", "valid"])
@pytest.mark.parametrize("num_axes", [1, 2, 3])
def test_convolution_with_stride_and_dilation_equals_its_definition(num_axes, padding):
    kernel, stride, dilation = (2, 3, 2)[:num_axes], (2, 3, 2)[:num_axes], (3, 2, 1)[:num_axes]
    x = torch.randn(2, 2, *SIZES[num_axes], dtype=torch.float64)
    layer = CONVOLUTIONS[num_axes](2, 3, kernel, stride, padding, dilation).double()
    weight, bias = layer.weight.detach().numpy(), layer.bias.detach().numpy()
    expected = literal_loops.convolve(x.numpy(), weight, bias, stride, dilation, padding)
    torch.testing.assert_close(layer(x).detach(), torch.from_numpy(expected))


@pytest.mark.parametrize("multiplier", [1, 3])
@pytest.mark.parametrize("padding", ["same", "valid"])
@pytest.mark.parametrize(("kernel", "stride", "dilation"), [(3, 1, 1), (4, 2, 1), (2, 3, 1), (3, 1, 2)])
def test_depthwise_convolution_equals_keras(kernel, stride, dilation, padding, multiplier):
    x = torch.randn(2, 4, 11, 14)
    layer = DepthwiseConv2d(4, kernel, multiplier, stride, padding, dilation)
    weight = layer.weight.detach().view(4, multiplier, kernel, kernel).permute(2, 3, 0, 1).numpy()
    expected = keras.ops.depthwise_conv(channels_last(x), weight, stride, padding, "channels_last", dilation)
    expected = channels_first(expected) + layer.bias.detach()[:, None, None]
    torch.testing.assert_close(layer(x), expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("padding", ["same", "valid"])
@pytest.mark.parametrize(("kernel", "stride", "dilation"), [(3, 1, 1), (4, 2, 1), (3, 1, 2)])
def test_separable_convolution_equals_keras(kernel, stride, dilation, padding):
    x = torch.randn(2, 4, 11, 14)
    layer = SeparableConv2d(4, 5, kernel, stride, padding, dilation, depth_multiplier=2)
    peer = keras.layers.SeparableConv2D(
        5, kernel, stride, padding, "channels_last", dilation_rate=dilation, depth_multiplier=2
    )
    peer.build((2, 11, 14, 4))
    depthwise = layer.depthwise.weight.detach().view(4, 2, kernel, kernel).permute(2, 3, 0, 1).numpy()
    peer.set_weights(
        [depthwise, keras_kernel(layer.pointwise.weight).numpy(), layer.pointwise.bias.detach().numpy()]
    )
    expected = channels_first(peer(channels_last(x)))
    torch.testing.assert_close(layer(x), expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("multiplier", [1, 3])
@pytest.mark.parametrize("padding", ["same", "valid"])
@pytest.mark.parametrize(("kernel", "stride", "dilation"), [(3, 1, 1), (4, 2, 1), (2, 3, 1), (3, 1, 2)])
def test_depthwise_convolution_along_one_axis_equals_keras(kernel, stride, dilation, padding, multiplier):
    x = torch.randn(2, 4, 14)
    layer = DepthwiseConv1d(4, kernel, multiplier, stride, padding, dilation)
    weight = layer.weight.detach().view(4, multiplier, kernel).permute(2, 0, 1).numpy()
    expected = keras.ops.depthwise_conv(channels_last(x), weight, stride, padding, "channels_last", dilation)
    expected = channels_first(expected) + layer.bias.detach()[:, None]
    torch.testing.assert_close(layer(x), expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("padding", ["same", "valid", "causal"])
@pytest.mark.parametrize(("kernel", "stride", "dilation"), [(3, 1, 1), (4, 2, 1), (3, 1, 2)])
def test_separable_convolution_along_one_axis_equals_keras(kernel, stride, dilation, padding):
    x = torch.randn(2, 4, 14)
    layer = SeparableConv1d(4, 5, kernel, stride, padding, dilation, depth_multiplier=2)
    before = dilation * (kernel - 1) if padding == "causal" else 0
    theirs = "valid" if before else padding
    peer = keras.layers.SeparableConv1D(
        5, kernel, stride, theirs, "channels_last", dilation_rate=dilation, depth_multiplier=2
    )
    peer.build((2, 14 + before, 4))
    depthwise = layer.depthwise.weight.detach().view(4, 2, kernel).permute(2, 0, 1).numpy()
    peer.set_weights(
        [depthwise, keras_kernel(layer.pointwise.weight).numpy(), layer.pointwise.bias.detach().numpy()]
    )
    expected = channels_first(peer(channels_last(nn.functional.pad(x, (before, 0)))))
    torch.testing.assert_close(layer(x), expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(("kernel", "stride", "dilation"), [(1, 1, 1), (2, 1, 1), (3, 2, 1), (3, 1, 4)])
def test_causal_convolution_equals_keras_and_sees_nothing_that_comes_later(kernel, stride, dilation):
    x = torch.randn(2, 3, 14, requires_grad=True)
    layer = Conv1d(3, 4, kernel, stride, "causal", dilation)
    peer = keras.layers.Conv1D(4, kernel, stride, "causal", "channels_last", dilation_rate=dilation)
    peer.build((2, 14, 3))
    peer.set_weights([keras_kernel(layer.weight).numpy(), layer.bias.detach().numpy()])
    y = layer(x)
    torch.testing.assert_close(y.detach(), channels_first(peer(channels_last(x))), atol=1e-5, rtol=1e-5)
    assert y.shape[2] == -(-14 // stride)
    for place in range(y.shape[2]):
        (gradient,) = torch.autograd.grad(y[:, :, place].sum(), x, retain_graph=True)
        assert not gradient[:, :, place * stride + 1 :].any()
        assert gradient[:, :, place * stride].any()


@pytest.mark.parametrize("padding", ["same", "valid", 1])
@pytest.mark.parametrize(("kernel", "stride"), [(3, 1), (3, 2), (4, 1), (4, 3)])
@pytest.mark.parametrize("num_axes", [1, 2, 3])
def test_one_picture_without_a_batch_gives_what_it_gives_in_one(num_axes, kernel, stride, padding):
    x = torch.randn(3, *SIZES[num_axes])
    layer = CONVOLUTIONS[num_axes](3, 4, kernel, stride, padding)
    torch.testing.assert_close(layer(x), layer(x[None])[0])


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ({"kernel_size": 0}, "kernel_size"),
        ({"kernel_size": (3, 3, 3)}, "kernel_size"),
        ({"kernel_size": 2.5}, "kernel_size"),
        ({"stride": 0}, "stride"),
        ({"stride": (1, -1)}, "stride"),
        ({"dilation": 0}, "dilation"),
        ({"padding": -1}, "padding"),
        ({"padding": (1, 2, 3)}, "padding"),
        ({"padding": "causal"}, "padding"),
        ({"padding": None}, "padding"),
        ({"in_channels": 0}, "in_channels"),
        ({"out_channels": -4}, "out_channels"),
        ({"groups": 0}, "groups"),
        ({"groups": 3}, "groups"),
    ],
)
def test_arguments_that_cannot_be_are_named(arguments, named):
    with pytest.raises(ValueError, match=named):
        Conv2d(**({"in_channels": 4, "out_channels": 4, "kernel_size": 3} | arguments))


@pytest.mark.parametrize("shape", [(3, 5), (1, 2, 3, 8, 8)])
def test_an_input_of_other_axes_is_refused(shape):
    with pytest.raises(ValueError, match="x must be"):
        Conv2d(3, 4, 3, 2, "same")(torch.randn(shape))


def test_separable_convolution_takes_few_parameters():
    separable = sum(p.numel() for p in SeparableConv2d(64, 128, 3).parameters())
    assert separable == 3 * 3 * 64 + 64 * 128 + 128
    assert sum(p.numel() for p in Conv2d(64, 128, 3).parameters()) == 73_856 > 8 * separable


def test_a_1x3_filter_dilated_by_4_equals_its_stretched_filter():
    x = torch.randn(1, 1, 3, 20)
    dilated = Conv2d(1, 1, (1, 3), padding="same", dilation=(1, 4), bias=False)
    stretched = Conv2d(1, 1, (1, 9), padding="same", bias=False)
    with torch.no_grad():
        dilated.weight.copy_(torch.tensor([1.0, 2, 3]))
        stretched.weight.copy_(torch.tensor([1.0, 0, 0, 0, 2, 0, 0, 0, 3]))
    torch.testing.assert_close(dilated(x), stretched(x))
    assert dilated(x)[0, 0, 1, 7].item() == pytest.approx(
        (x[0, 0, 1, 3] + 2 * x[0, 0, 1, 7] + 3 * x[0, 0, 1, 11]).item(), rel=1e-5
    )


def test_width_13_filter_6_stride_5():
    x = torch.arange(1.0, 14).view(1, 1, 13)
    same, valid = (Conv1d(1, 1, 6, 5, padding, bias=False) for padding in ("same", "valid"))
    nn.init.ones_(same.weight)
    nn.init.ones_(valid.weight)
    assert same(x).flatten().tolist() == [1 + 2 + 3 + 4 + 5, 5 + 6 + 7 + 8 + 9 + 10, 10 + 11 + 12 + 13]
    assert valid(x).flatten().tolist() == [1 + 2 + 3 + 4 + 5 + 6, 6 + 7 + 8 + 9 + 10 + 11]
    x[..., 11:] = torch.nan
    assert valid(x).isfinite().all()  # the last two columns are ignored


@pytest.mark.parametrize(
    ("kernel", "stride", "dilation", "size"),
    [(3, 1, 1, 8), (5, 1, 2, 9), (2, 1, 2, 8), (1, 2, 1, 8), (3, 2, 1, 9), (4, 2, 1, 8)],
)
def test_symmetric_same_padding_copies_nothing(monkeypatch, kernel, stride, dilation, size):
    layer = Conv2d(1, 1, kernel, stride, "same", dilation)
    monkeypatch.setattr("torch.nn.functional.pad", None)
    assert layer(torch.ones(1, 1, size, size)).shape[-1] == -(-size // stride)


def test_numbers_of_zeros_go_on_both_sides():
    x = torch.randn(1, 2, 7, 8)
    layer = Conv2d(2, 3, 3, stride=2, padding=(2, 0))
    expected = nn.functional.conv2d(x, layer.weight, layer.bias, stride=2, padding=(2, 0))
    assert torch.equal(layer(x), expected)


@pytest.mark.parametrize("build", [Conv1d, Conv2d, Conv3d, ConvNormAct])
def test_an_unknown_padding_is_refused(build):
    with pytest.raises(ValueError, match="padding is"):
        build(3, 4, 3, padding="full")


def line_filters():
    """Two 7x7 filters, black but for a white vertical (horizontal) line, on all three colours."""
    layer = Conv2d(3, 2, 7, padding="same", bias=False)
    with torch.no_grad():
        layer.weight.zero_()
        layer.weight[0, :, :, 3] = 1
        layer.weight[1, :, 3, :] = 1
    return layer


def detail(image, axis):
    """The mean size of the second difference along an axis: what thin lines across it are made of."""
    return image.diff(n=2, dim=axis).abs().mean().item()


@pytest.mark.parametrize("name", ["china.jpg", "flower.jpg"])
def test_line_filters_keep_their_lines_and_blur_the_others_on_photographs(name):
    photograph = torch.from_numpy(load_sample_image(name).copy()).permute(2, 0, 1) / 255
    with torch.no_grad():
        vertical, horizontal = line_filters()(photograph[None])[0]
    grey = photograph.sum(0)
    assert vertical.shape == horizontal.shape == grey.shape == (427, 640)
    # Both sum 7 pixels. Along the filter's line detail is averaged away; across it more than twice as much
    # stays, and that is what vertical (horizontal) lines are.
    kept = [[detail(image, axis) / detail(grey, axis) for axis in (0, 1)] for image in (vertical, horizontal)]
    assert kept[0][1] > 2 * kept[0][0]
    assert kept[1][0] > 2 * kept[1][1]
    torch.testing.assert_close(vertical[100, 200], grey[97:104, 200].sum())
    torch.testing.assert_close(horizontal[100, 200], grey[100, 197:204].sum())


def test_line_filters_answer_their_own_line_seven_times_as_much():
    cross = torch.zeros(1, 3, 21, 21)
    cross[0, 0, :, 5] = 1  # a vertical line
    vertical, horizontal = line_filters()(cross)[0]
    assert vertical[10, 5] == 7
    assert horizontal[10, 5] == 1
    vertical, horizontal = line_filters()(cross.mT)[0]
    assert vertical[5, 10] == 1
    assert horizontal[5, 10] == 7


def test_lenet_c3_has_1516_parameters():
    layer = PartiallyConnectedConv2d(LENET_TABLE, 5)
    assert [sum(row) for row in LENET_TABLE] == [3] * 6 + [4] * 9 + [6]
    assert sum(p.numel() for p in layer.parameters() if p.requires_grad) == 1_516
    assert layer(torch.randn(2, 6, 14, 14)).shape == (2, 16, 10, 10)


@pytest.mark.parametrize(("padding", "stride"), [("valid", 1), ("same", 2), (1, 1)])
def test_each_partially_connected_map_is_a_convolution_of_the_maps_it_sees(padding, stride):
    x = torch.randn(2, 6, 14, 13)
    layer = PartiallyConnectedConv2d(torch.tensor(LENET_TABLE), 4, stride, padding)
    maps, used = layer(x), 0
    for k, row in enumerate(LENET_C3):
        seen = [int(column) for column in row]
        one = Conv2d(len(seen), 1, 4, stride, padding)
        with torch.no_grad():
            one.weight.copy_(layer.weight[used : used + len(seen)])
            one.bias.copy_(layer.bias[k])
        torch.testing.assert_close(maps[:, k : k + 1], one(x[:, seen]), atol=1e-5, rtol=1e-5)
        used += len(seen)


def test_maps_that_are_not_connected_get_no_gradient():
    x = torch.randn(1, 6, 9, 9, requires_grad=True)
    layer = PartiallyConnectedConv2d(LENET_TABLE, 5)
    layer(x)[:, 0].sum().backward()  # sees maps 0, 1, 2
    assert x.grad.abs().sum(dim=(0, 2, 3)).gt(0).tolist() == [True] * 3 + [False] * 3
    assert layer.weight.grad.abs().sum(dim=(1, 2)).gt(0).tolist() == [True] * 3 + [False] * 57


def test_a_bad_connection_table_is_refused():
    with pytest.raises(ValueError, match="one entry for each input map"):
        PartiallyConnectedConv2d([[1, 0], [1]], 3)
    with pytest.raises(ValueError, match="all zeros"):
        PartiallyConnectedConv2d([[1, 0], [0, 0]], 3)


@pytest.mark.parametrize(("kernel", "zeros"), [(3, (1, 1)), (1, (0, 0)), ((1, 7), (0, 3)), (4, (2, 2))])
def test_conv_norm_act_is_convolution_batch_norm_and_activation(kernel, zeros):
    x = torch.randn(4, 6, 12, 10)
    layer = ConvNormAct(6, 8, kernel, stride=2, groups=2, activation=nn.Tanh)
    convolved = nn.functional.conv2d(x, layer.conv.weight, None, 2, zeros, groups=2)
    mean, variance = convolved.mean((0, 2, 3)), convolved.var((0, 2, 3), unbiased=False)
    normed = (convolved - mean[:, None, None]) / (variance[:, None, None] + 1e-5).sqrt()
    torch.testing.assert_close(layer(x), normed.tanh(), atol=1e-5, rtol=1e-4)
    assert [name for name, _ in layer.named_parameters()] == ["conv.weight", "norm.weight", "norm.bias"]


def test_conv_norm_act_ends_in_relu_in_place_unless_told():
    assert isinstance(ConvNormAct(3, 4, 3).activation, nn.ReLU)
    assert ConvNormAct(3, 4, 3).activation.inplace
    assert (ConvNormAct(3, 4, 3, activation=None)(torch.randn(2, 3, 8, 8)) < 0).any()


def test_conv_norm_act_takes_same_padding():
    x = torch.randn(2, 3, 8, 8)
    layer = ConvNormAct(3, 4, 3, stride=2, padding="same", activation=None).eval()
    expected = Conv2d(3, 4, 3, 2, "same", bias=False)
    expected.weight = layer.conv.weight
    torch.testing.assert_close(layer(x), expected(x) / (1 + 1e-5) ** 0.5)
