import itertools

import keras
import literal_loops
import numpy as np
import pytest
import torch
import torch.nn.functional as F

from striate.layers import (
    Conv1d,
    Conv2d,
    Conv3d,
    ConvTranspose1d,
    ConvTranspose2d,
    ConvTranspose3d,
    bilinear_,
)

CONVOLUTIONS = {1: Conv1d, 2: Conv2d, 3: Conv3d}
TRANSPOSED = {1: ConvTranspose1d, 2: ConvTranspose2d, 3: ConvTranspose3d}
SIZES = {1: (6,), 2: (4, 5), 3: (3, 4, 2)}

GEOMETRIES = list(itertools.product((1, 2, 3, 4, 5), (1, 2, 3)))  # (kernel, stride)


@pytest.mark.parametrize("padding", ["same", "valid"])
@pytest.mark.parametrize(("kernel", "stride"), GEOMETRIES)
def test_transposed_convolution_equals_its_definition(kernel, stride, padding):
    x = torch.randn(2, 3, 4, 5, dtype=torch.float64)
    layer = ConvTranspose2d(3, 2, kernel, stride, padding).double()
    expected = literal_loops.convolve_transposed(
        x.numpy(), layer.weight.detach().numpy(), layer.bias.detach().numpy(), (stride, stride), padding
    )
    torch.testing.assert_close(layer(x).detach(), torch.from_numpy(expected))


@pytest.mark.parametrize("padding", ["same", "valid"])
@pytest.mark.parametrize(("kernel", "stride"), GEOMETRIES)
def test_transposed_convolution_equals_keras(kernel, stride, padding):
    x = torch.randn(2, 3, 4, 5)
    layer = ConvTranspose2d(3, 2, kernel, stride, padding)
    weight = layer.weight.detach().permute(2, 3, 1, 0)  # (C, K, kh, kw) -> (kh, kw, K, C)
    expected = keras.ops.conv_transpose(x.permute(0, 2, 3, 1), weight, stride, padding, None, "channels_last")
    expected = expected.permute(0, 3, 1, 2) + layer.bias[:, None, None]
    torch.testing.assert_close(layer(x), expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(("kernel", "stride"), GEOMETRIES)
def test_transposed_convolution_is_the_gradient_of_the_same_convolution(kernel, stride):
    x = torch.randn(2, 3, 4, 5)
    layer = ConvTranspose2d(3, 2, kernel, stride, "same", bias=False)
    convolution = Conv2d(2, 3, kernel, stride, "same", bias=False)
    convolution.weight = layer.weight
    large = torch.zeros(2, 2, 4 * stride, 5 * stride, requires_grad=True)
    (gradient,) = torch.autograd.grad(convolution(large), large, x)
    torch.testing.assert_close(layer(x), gradient, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(("kernel", "stride"), [((3, 4), (2, 3)), ((5, 2), (1, 2)), ((2, 3), (3, 1))])
def test_same_gives_exactly_in_times_stride_on_each_axis(kernel, stride):
    y = ConvTranspose2d(2, 4, kernel, stride, "same", groups=2)(torch.randn(1, 2, 7, 6))
    assert y.shape == (1, 4, 7 * stride[0], 6 * stride[1])


def test_numbers_are_pixels_cut_from_both_sides():
    x = torch.randn(1, 2, 5, 6)
    layer = ConvTranspose2d(2, 3, 4, 2, padding=(1, 0))
    expected = F.conv_transpose2d(x, layer.weight, layer.bias, 2, (1, 0))
    assert torch.equal(layer(x), expected)


def test_unknown_padding_is_refused():
    with pytest.raises(ValueError, match="padding is"):
        ConvTranspose2d(1, 1, 2, padding="full")


def interpolating(channels, stride, groups=1):
    layer = ConvTranspose2d(channels, channels, 2 * stride - stride % 2, stride, "same", groups, bias=False)
    bilinear_(layer.weight)
    return layer


@pytest.mark.parametrize("stride", [2, 3, 4, 8])
@pytest.mark.parametrize("groups", [1, 3])
def test_bilinear_transposed_convolution_interpolates(stride, groups):
    x = torch.randn(2, 3, 6, 7)
    expected = F.interpolate(x, scale_factor=stride, mode="bilinear", align_corners=False)
    inside = (..., slice(stride, -stride), slice(stride, -stride))
    torch.testing.assert_close(interpolating(3, stride, groups)(x)[inside], expected[inside])


@pytest.mark.parametrize("stride", [2, 3, 4])
def test_bilinear_transposed_convolution_gives_constants_and_ramps_back(stride):
    constant = torch.full((1, 1, 5, 5), 3.0)
    inside = slice(stride, -stride)
    enlarged = interpolating(1, stride)(constant)[0, 0, inside, inside]
    torch.testing.assert_close(enlarged, torch.full_like(enlarged, 3))
    ramp = 10 * torch.arange(5.0)[:, None] + torch.arange(5.0)
    enlarged = interpolating(1, stride)(ramp[None, None])[0, 0, inside, inside]
    places = (torch.arange(5.0 * stride) + 0.5)[inside] / stride - 0.5  # pixel centres in the small picture
    torch.testing.assert_close(enlarged, 10 * places[:, None] + places)


def test_bilinear_weights_by_hand():
    weight = bilinear_(torch.empty(2, 2, 4, 3))
    outer = np.outer([0.25, 0.75, 0.75, 0.25], [0.5, 1, 0.5])
    np.testing.assert_array_equal(weight[0, 0], outer)
    np.testing.assert_array_equal(weight[1, 1], outer)
    assert not weight[0, 1].any()
    assert not weight[1, 0].any()


def test_interpolation_cannot_change_the_number_of_channels():
    with pytest.raises(ValueError, match="keeps the channels"):
        bilinear_(torch.empty(4, 2, 4, 4))


def keras_transposed(layer, x, padding, output_padding):
    weight = layer.weight.detach().movedim((0, 1), (-1, -2))  # (C, K, *kernel) -> (*kernel, K, C)
    y = keras.ops.conv_transpose(
        x.movedim(1, -1), weight, layer.stride[0], padding, output_padding, "channels_last"
    )
    return y.movedim(-1, 1) + layer.bias.view(1, -1, *[1] * (x.ndim - 2))


@pytest.mark.parametrize("padding", ["same", "valid"])
@pytest.mark.parametrize("num_axes", [1, 3])
def test_along_one_axis_and_three_it_equals_keras(num_axes, padding):
    x = torch.randn(2, 3, *SIZES[num_axes])
    for kernel, stride in GEOMETRIES:
        layer = TRANSPOSED[num_axes](3, 2, kernel, stride, padding)
        expected = keras_transposed(layer, x, padding, None)
        torch.testing.assert_close(layer(x), expected, atol=1e-5, rtol=1e-5, msg=f"{kernel=} {stride=}")


@pytest.mark.parametrize("padding", ["same", "valid"])
@pytest.mark.parametrize(("kernel", "stride", "output_padding"), [(3, 2, 0), (3, 2, 1), (5, 3, 2), (4, 3, 1)])
@pytest.mark.parametrize("num_axes", [1, 2, 3])
def test_with_output_padding_it_equals_keras(num_axes, kernel, stride, output_padding, padding):
    x = torch.randn(2, 3, *SIZES[num_axes])
    layer = TRANSPOSED[num_axes](3, 2, kernel, stride, padding, output_padding=output_padding)
    expected = keras_transposed(layer, x, padding, output_padding)
    torch.testing.assert_close(layer(x), expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(
    ("kernel", "stride", "dilation"), [(3, 1, 2), (2, 2, 3), (3, 2, 2), (2, 4, 2), (1, 2, 3)]
)
@pytest.mark.parametrize("num_axes", [1, 2, 3])
def test_with_dilation_it_is_the_gradient_of_the_same_dilated_convolution(num_axes, kernel, stride, dilation):
    sizes = SIZES[num_axes]
    x = torch.randn(2, 3, *sizes)
    layer = TRANSPOSED[num_axes](3, 2, kernel, stride, "same", bias=False, dilation=dilation)
    convolution = CONVOLUTIONS[num_axes](2, 3, kernel, stride, "same", dilation, bias=False)
    convolution.weight = layer.weight
    large = torch.zeros(2, 2, *[size * stride for size in sizes], requires_grad=True)
    (gradient,) = torch.autograd.grad(convolution(large), large, x)
    torch.testing.assert_close(layer(x), gradient, atol=1e-5, rtol=1e-5)


def test_numbers_with_output_padding_and_dilation_are_torchs():
    x = torch.randn(1, 4, 5, 6)
    layer = ConvTranspose2d(4, 6, 3, 2, (2, 1), groups=2, output_padding=(1, 0), dilation=(2, 1))
    expected = F.conv_transpose2d(x, layer.weight, layer.bias, 2, (2, 1), (1, 0), 2, (2, 1))
    assert torch.equal(layer(x), expected)


@pytest.mark.parametrize("num_axes", [1, 2, 3])
def test_one_picture_without_a_batch_gives_what_it_gives_in_one(num_axes):
    x = torch.randn(3, *SIZES[num_axes])
    for kernel, stride in ((3, 2), (4, 2), (2, 3)):
        layer = TRANSPOSED[num_axes](3, 2, kernel, stride, "same")
        torch.testing.assert_close(layer(x), layer(x[None])[0])


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ({"output_padding": 2}, "output_padding"),
        ({"output_padding": -1}, "output_padding"),
        ({"output_padding": (0, 0, 0)}, "output_padding"),
        ({"dilation": 0}, "dilation"),
        ({"padding": "full"}, "padding"),
        ({"kernel_size": (3, 3, 3)}, "kernel_size"),
        ({"groups": 3}, "groups"),
    ],
)
def test_arguments_that_cannot_be_are_named(arguments, named):
    with pytest.raises(ValueError, match=named):
        ConvTranspose2d(**({"in_channels": 4, "out_channels": 4, "kernel_size": 3, "stride": 2} | arguments))
