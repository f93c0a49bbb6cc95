import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from striate.ops.padding import constant_padding, output_size, pad_lopsided, per_axis, same_padding

geometry = given(
    size=st.integers(1, 60),
    kernel_size=st.integers(1, 9),
    stride=st.integers(1, 9),
    dilation=st.integers(1, 4),
)


def positions(size, kernel_size, stride, dilation, before=0, after=0):
    """Count the windows that fit, one by one."""
    extent = dilation * (kernel_size - 1) + 1
    return sum(start + extent <= size + before + after for start in range(0, size + before + after, stride))


def test_width_13_filter_6_stride_5():
    assert same_padding(13, 6, 5) == (1, 2)
    assert output_size(13, 6, 5, padding="same") == 3
    assert output_size(13, 6, 5, padding="valid") == 2
    last_column_seen = (2 - 1) * 5 + 6
    assert 13 - last_column_seen == 2


@geometry
def test_same_padding_is_the_least_that_gives_ceil_in_over_stride(size, kernel_size, stride, dilation):
    before, after = same_padding(size, kernel_size, stride, dilation)
    assert 0 <= before <= after <= before + 1
    assert positions(size, kernel_size, stride, dilation, before, after) == math.ceil(size / stride)
    if before + after > 0:
        assert positions(size, kernel_size, stride, dilation, before, after - 1) < math.ceil(size / stride)


@geometry
def test_same_output_size_counts_the_windows_that_fit_the_padded_axis(size, kernel_size, stride, dilation):
    around = same_padding(size, kernel_size, stride, dilation)
    counted = positions(size, kernel_size, stride, dilation, *around)
    assert output_size(size, kernel_size, stride, dilation, "same") == counted


@geometry
@pytest.mark.parametrize("zeros", [0, 1, 3])
def test_valid_and_numeric_output_size_counts_the_windows_that_fit(
    zeros, size, kernel_size, stride, dilation
):
    counted = positions(size, kernel_size, stride, dilation, zeros, zeros)
    if counted == 0:
        with pytest.raises(ValueError, match="does not fit"):
            output_size(size, kernel_size, stride, dilation, zeros)
    else:
        assert output_size(size, kernel_size, stride, dilation, zeros) == counted
        if zeros == 0:
            assert output_size(size, kernel_size, stride, dilation, "valid") == counted


@geometry
def test_constant_padding_agrees_with_same_on_every_size(size, kernel_size, stride, dilation):
    constant = constant_padding("same", (kernel_size,), (stride,), (dilation,))
    if constant != "same":
        assert same_padding(size, kernel_size, stride, dilation) == (constant[0], constant[0])


def test_same_is_constant_for_odd_extents_without_stride_and_for_single_pixels():
    assert constant_padding("same", (3, 5), (1, 1), (1, 2)) == (1, 4)
    assert constant_padding("same", (2, 4), (1, 1), (2, 2)) == (1, 3)
    assert constant_padding("same", (1, 1), (2, 2), (1, 1)) == (0, 0)
    assert constant_padding("same", (3, 3), (2, 1), (1, 1)) == "same"
    assert constant_padding("same", (3, 2), (1, 1), (1, 1)) == "same"


def test_only_lopsided_axes_are_copied():
    x = torch.ones(1, 1, 4, 5)
    untouched, zeros = pad_lopsided(x, (3, 3), (1, 2), (1, 1))
    assert untouched is x
    assert zeros == (1, 1)
    padded, zeros = pad_lopsided(x, (3, 4), (1, 1), (1, 1))
    assert padded.shape == (1, 1, 4, 6)
    assert padded[0, 0, :, -1].tolist() == [0, 0, 0, 0]
    assert zeros == (1, 1)


@pytest.mark.parametrize("name", ["size", "kernel_size", "stride", "dilation"])
@pytest.mark.parametrize("number", [0, -1, 1.5])
def test_numbers_that_cannot_be_are_named(name, number):
    arguments = {"size": 8, "kernel_size": 3, "stride": 1, "dilation": 1} | {name: number}
    with pytest.raises(ValueError, match=name):
        output_size(**arguments)
    if number != 1.5:
        with pytest.raises(ValueError, match=name):
            same_padding(**arguments)


def test_an_input_of_other_axes_is_refused_and_one_without_a_batch_is_padded():
    padded, zeros = pad_lopsided(torch.ones(2, 4, 4), (4, 3), (1, 1), (1, 1))
    assert padded.shape == (2, 5, 4)
    assert zeros == (1, 1)
    for shape in ((4, 4), (1, 1, 1, 4, 4)):
        with pytest.raises(ValueError, match="x must be"):
            pad_lopsided(torch.ones(shape), (4, 3), (1, 1), (1, 1))


@pytest.mark.parametrize("zeros", [-1, (0, -2), 0.5, None, True])
def test_numbers_of_zeros_that_cannot_be_are_refused(zeros):
    with pytest.raises(ValueError, match="padding"):
        constant_padding(zeros, (3, 3), (1, 1), (1, 1))


@pytest.mark.parametrize("word", ["SAME", "full", ""])
def test_an_unknown_word_is_refused(word):
    with pytest.raises(ValueError, match="padding is"):
        output_size(10, 3, padding=word)
    with pytest.raises(ValueError, match="padding is"):
        constant_padding(word, (3, 3), (1, 1), (1, 1))


def test_one_number_stands_for_every_axis_and_a_tuple_must_have_one_for_each():
    assert per_axis(2, 3) == (2, 2, 2)
    assert per_axis((1, 2), 2) == (1, 2)
    with pytest.raises(ValueError, match="one for each axis"):
        per_axis((1, 2), 3)
