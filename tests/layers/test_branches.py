"""Branches side by side, and the rows and forks that inception modules put into them."""

import pytest
import torch
from torch import nn

from striate.layers import Branches, convolutions, dense_head, fork, halving


def test_branches_are_joined_in_their_order_along_the_channels() -> None:
    x = torch.randn(2, 3, 4, 5)
    joined = Branches({"same": nn.Identity(), "negative": nn.Threshold(9, 0)})(x)
    assert torch.equal(joined, torch.cat([x, torch.zeros_like(x)], dim=1))


def test_convolutions_follow_each_other_and_keep_height_and_width() -> None:
    row = convolutions(3, (5, 1), (6, (1, 7)), (7, (7, 1)))
    assert [(c.conv.in_channels, c.conv.out_channels, c.conv.kernel_size) for c in row] == [
        (3, 5, (1, 1)),
        (5, 6, (1, 7)),
        (6, 7, (7, 1)),
    ]
    assert row(torch.zeros(2, 3, 9, 8)).shape == (2, 7, 9, 8)


@pytest.mark.parametrize(("before", "after"), [(35, 17), (17, 8), (8, 3)])
def test_halving_takes_off_the_border_that_does_not_fill_a_window(before: int, after: int) -> None:
    assert halving(3, 4)(torch.zeros(2, 3, before, before)).shape == (2, 4, after, after)


def test_a_fork_sees_a_row_and_a_column() -> None:
    torch.manual_seed(0)
    layer, x = fork(1, 1).eval(), torch.zeros(1, 1, 5, 5)
    x[0, 0, 2, 2] = 1.0
    seen = (layer(x) != layer(torch.zeros_like(x)))[0]
    flat, tall = (layer[name].conv.weight for name in ("1x3", "3x1"))
    assert flat.shape == (1, 1, 1, 3)
    assert tall.shape == (1, 1, 3, 1)
    assert not seen[0, [0, 1, 3, 4]].any()  # a row sees the pixel in its own row only
    assert not seen[1][:, [0, 1, 3, 4]].any()


def test_a_dense_head_has_three_layers_with_dropout_after_the_first_two() -> None:
    head = dense_head(6, 5, 4, dropout=0.3)
    assert [type(layer).__name__ for layer in head] == ["Linear", "ReLU", "Dropout"] * 2 + ["Linear"]
    assert [layer.p for layer in head if isinstance(layer, nn.Dropout)] == [0.3, 0.3]
    assert head(torch.zeros(2, 6)).shape == (2, 4)
    assert sum(p.numel() for p in head.parameters()) == 6 * 5 + 5 + 5 * 5 + 5 + 5 * 4 + 4
