import itertools

import keras
import literal_loops
import numpy as np
import pytest
import torch

from striate import layers
from striate.errors import InputError
from striate.layers import (
    AvgPool1d,
    AvgPool2d,
    AvgPool3d,
    ChannelAvgPool,
    ChannelMaxPool,
    GlobalAvgPool2d,
    GlobalMaxPool2d,
    MaxPool1d,
    MaxPool2d,
    MaxPool3d,
    ScaledAvgPool2d,
    global_average_pool,
    global_max_pool,
)

MAX_POOLS = {1: MaxPool1d, 2: MaxPool2d, 3: MaxPool3d}
AVG_POOLS = {1: AvgPool1d, 2: AvgPool2d, 3: AvgPool3d}
SIZES = {1: (13,), 2: (11, 14), 3: (5, 8, 7)}  # odd and even
WINDOWS = list(itertools.product((1, 2, 3, 4, 5), (1, 2, 3)))  # (kernel, stride)


def keras_pool(operation, x, kernel, stride, padding):
    return operation(x.movedim(1, -1), kernel, stride, padding, "channels_last").movedim(-1, 1)


@pytest.mark.parametrize("padding", ["same", "valid"])
@pytest.mark.parametrize("num_axes", [1, 2, 3])
def test_max_pooling_equals_keras(num_axes, padding):
    x = torch.randn(2, 3, *SIZES[num_axes]) - 5  # negative, so that zeros from padding would win
    for kernel, stride in WINDOWS:
        expected = keras_pool(keras.ops.max_pool, x, kernel, stride, padding)
        assert torch.equal(MAX_POOLS[num_axes](kernel, stride, padding)(x), expected), (kernel, stride)


@pytest.mark.parametrize("padding", ["same", "valid"])
@pytest.mark.parametrize("num_axes", [1, 2, 3])
def test_average_pooling_equals_keras(num_axes, padding):
    # Where SAME is lopsided, Keras on torch repeats the edge and averages the repeats as well, although
    # TensorFlow leaves padding out; those windows are compared with the definition in the next test.
    x = torch.randn(2, 3, *SIZES[num_axes])
    compared = 0
    for kernel, stride in WINDOWS:
        around = [literal_loops.same_zeros(size, kernel, stride) for size in SIZES[num_axes]]
        if padding == "same" and any(before != after for before, after in around):
            continue
        expected = keras_pool(keras.ops.average_pool, x, kernel, stride, padding)
        torch.testing.assert_close(
            AVG_POOLS[num_axes](kernel, stride, padding)(x), expected, atol=1e-5, rtol=1e-5
        )
        compared += 1
    assert compared >= 5


@pytest.mark.parametrize("padding", ["same", "valid"])
@pytest.mark.parametrize("num_axes", [1, 2, 3])
def test_pooling_equals_its_definition(num_axes, padding):
    kernels_strides = [(2, 1), (4, 1), (2, 2), (3, 2), (4, 3), (1, 3), (2, 5)]
    x = torch.randn(1, 2, *SIZES[num_axes], dtype=torch.float64) - 5
    for kernel, stride in kernels_strides:
        geometry = ((kernel,) * num_axes, (stride,) * num_axes, padding)
        maximum = torch.from_numpy(literal_loops.pool(x.numpy(), *geometry, np.nanmax))
        mean = torch.from_numpy(literal_loops.pool(x.numpy(), *geometry, np.nanmean))
        torch.testing.assert_close(MAX_POOLS[num_axes](kernel, stride, padding)(x), maximum)
        torch.testing.assert_close(AVG_POOLS[num_axes](kernel, stride, padding)(x), mean)


@pytest.mark.parametrize("size", [(1, 1), (2, 3), (6, 9)])
@pytest.mark.parametrize(("kernel", "stride"), [((2, 3), (1, 2)), ((4, 2), (3, 1)), ((8, 8), (8, 5))])
def test_each_axis_has_its_own_window_and_small_pictures_are_pooled_too(size, kernel, stride):
    x = torch.randn(1, 2, *size, dtype=torch.float64)
    maximum = torch.from_numpy(literal_loops.pool(x.numpy(), kernel, stride, "same", np.nanmax))
    mean = torch.from_numpy(literal_loops.pool(x.numpy(), kernel, stride, "same", np.nanmean))
    torch.testing.assert_close(MaxPool2d(kernel, stride, "same")(x), maximum)
    torch.testing.assert_close(AvgPool2d(kernel, stride, "same")(x), mean)


def test_max_pooling_takes_the_largest_of_a_window():
    assert MaxPool2d(2)(torch.tensor([[[[1.0, 5], [3, 2]]]])).tolist() == [[[[5.0]]]]


def test_stride_is_the_kernel_and_what_does_not_fit_is_dropped_by_default():
    x = torch.arange(7.0).view(1, 1, 7)
    assert MaxPool1d(3)(x).flatten().tolist() == [2, 5]
    assert AvgPool1d(3)(x).flatten().tolist() == [1, 4]
    assert MaxPool1d(3, padding="same")(x).flatten().tolist() == [1, 4, 6]
    assert AvgPool1d(3, padding="same")(x).flatten().tolist() == [0.5, 3, 5.5]


def test_numeric_padding_takes_no_part_in_the_average():
    assert AvgPool1d(3, 1, padding=1)(torch.tensor([[[2.0, 4, 6]]])).tolist() == [[[3, 4, 5]]]


def test_max_pooling_forgets_a_move_by_one_pixel_and_half_of_a_move_by_two():
    picture = torch.zeros(1, 1, 4, 8)
    picture[..., [0, 2]] = 1  # two lines, each at the left of its window
    pooled, by_one, by_two = (MaxPool2d(2)(picture.roll(pixels, dims=3)) for pixels in (0, 1, 2))
    assert torch.equal(by_one, pooled)
    assert pooled[0, 0].tolist() == [[1, 1, 0, 0]] * 2
    assert by_two[0, 0].tolist() == [[0, 1, 1, 0]] * 2
    assert (pooled * by_two).sum() == pooled.sum() / 2


def test_unknown_padding_is_refused():
    with pytest.raises(ValueError, match="padding is"):
        MaxPool2d(2, padding="full")


def test_channel_pooling_pools_neighbouring_channels_only():
    x = torch.tensor([3.0, 1, 4, 1, 5, 9]).view(1, 6, 1, 1).expand(1, 6, 2, 3)
    assert ChannelMaxPool(2)(x)[0, :, 1, 2].tolist() == [3, 4, 9]
    assert ChannelMaxPool(3)(x)[0, :, 0, 0].tolist() == [4, 9]
    assert ChannelAvgPool(2)(x)[0, :, 1, 2].tolist() == [2, 2.5, 7]
    assert ChannelAvgPool(3)(x)[0, :, 0, 0].tolist() == pytest.approx([8 / 3, 5])


def test_channel_pooling_equals_spatial_pooling_of_the_transposed_picture():
    x = torch.randn(2, 12, 5, 4)
    as_pixels = x.flatten(2).mT  # channels are the pixels of a line
    maximum = torch.nn.functional.max_pool1d(as_pixels, 4).mT.unflatten(2, (5, 4))
    mean = torch.nn.functional.avg_pool1d(as_pixels, 4).mT.unflatten(2, (5, 4))
    assert torch.equal(ChannelMaxPool(4)(x), maximum)
    torch.testing.assert_close(ChannelAvgPool(4)(x), mean)


@pytest.mark.parametrize("layer", [ChannelMaxPool(3), ChannelAvgPool(3)])
def test_channel_pooling_by_3_does_not_divide_20_channels(layer):
    with pytest.raises(InputError, match="20"):
        layer(torch.randn(1, 20, 2, 2))


def test_global_average_pooling_is_the_mean_over_height_and_width():
    x = torch.randn(3, 5, 4, 7)
    expected = x.numpy().reshape(3, 5, -1).mean(-1)
    np.testing.assert_allclose(global_average_pool(x).numpy(), expected, atol=1e-6)
    assert torch.equal(GlobalAvgPool2d()(x), global_average_pool(x))


@pytest.mark.parametrize("num_axes", [1, 2, 3])
@pytest.mark.parametrize("kind", ["Max", "Average"])
def test_global_pooling_equals_keras(kind, num_axes):
    x = torch.randn(3, 5, *SIZES[num_axes]) - 5
    peer = getattr(keras.layers, f"Global{kind}Pooling{num_axes}D")(data_format="channels_last")
    ours = getattr(layers, f"Global{'Max' if kind == 'Max' else 'Avg'}Pool{num_axes}d")()
    torch.testing.assert_close(ours(x), peer(x.movedim(1, -1)))
    with pytest.raises(ValueError, match="x must be"):
        ours(x[0])


@pytest.mark.parametrize("pool", [global_average_pool, global_max_pool])
def test_global_pooling_needs_maps(pool):
    with pytest.raises(ValueError, match="x must be"):
        pool(torch.randn(2, 3))


@pytest.mark.parametrize("padding", ["same", "valid"])
@pytest.mark.parametrize(("kernel", "stride"), [(2, 1), (3, 2), (4, 1), (2, 3)])
@pytest.mark.parametrize("num_axes", [1, 2, 3])
def test_one_picture_without_a_batch_gives_what_it_gives_in_one(num_axes, kernel, stride, padding):
    x = torch.randn(3, *SIZES[num_axes])
    for layer in (MAX_POOLS[num_axes](kernel, stride, padding), AVG_POOLS[num_axes](kernel, stride, padding)):
        torch.testing.assert_close(layer(x), layer(x[None])[0])


@pytest.mark.parametrize(
    ("build", "named"),
    [
        (lambda: MaxPool2d(0), "kernel_size"),
        (lambda: MaxPool2d((2, 2, 2)), "kernel_size"),
        (lambda: AvgPool1d(2, 0), "stride"),
        (lambda: AvgPool2d(3, padding=2), "padding"),
        (lambda: MaxPool3d(3, padding=-1), "padding"),
        (lambda: ChannelMaxPool(0), "pool_size"),
        (lambda: ChannelAvgPool(1.5), "pool_size"),
        (lambda: ScaledAvgPool2d(0), "channels"),
        (lambda: MaxPool2d(2, padding="same")(torch.randn(4, 4)), "x must be"),
    ],
)
def test_arguments_that_cannot_be_are_named(build, named):
    with pytest.raises(ValueError, match=named):
        build()


def test_scaled_average_pooling_is_mean_times_coefficient_plus_bias_of_each_map():
    layer = ScaledAvgPool2d(2)
    x = torch.tensor([[[[1.0, 2], [3, 6]], [[0, 4], [4, 8]]]])  # means 3 and 4
    assert layer(x).flatten().tolist() == [3, 4]  # before training
    with torch.no_grad():
        layer.weight.copy_(torch.tensor([2.0, -1]))
        layer.bias.copy_(torch.tensor([0.5, 1]))
    assert layer(x).flatten().tolist() == [3 * 2 + 0.5, 4 * -1 + 1]
    assert sum(p.numel() for p in ScaledAvgPool2d(6).parameters()) == 12  # S2 of LeNet-5


@pytest.mark.parametrize("pool", [GlobalAvgPool2d(), GlobalMaxPool2d()])
def test_the_mean_of_no_pixels_is_refused(pool):
    with pytest.raises(ValueError, match="x must"):
        pool(torch.zeros(1, 2, 0, 3))
