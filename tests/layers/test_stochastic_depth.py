import pytest
import torch
from peers import declare_torchvision_operators

from striate.layers import StochasticDepth

declare_torchvision_operators()

from torchvision.ops import StochasticDepth as Peer  # noqa: E402


@pytest.mark.parametrize("mode", ["row", "batch"])
@pytest.mark.parametrize("p", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("shape", [(64, 3, 2, 2), (64, 5)])
def test_it_equals_torchvisions(mode, p, shape):
    x = torch.randn(shape)
    for seed in range(5):
        torch.manual_seed(seed)
        expected = Peer(p, mode)(x)
        torch.manual_seed(seed)
        torch.testing.assert_close(StochasticDepth(p, mode)(x), expected)
    assert StochasticDepth(p, mode).eval()(x) is x


def test_rows_are_decided_each_by_itself_and_a_batch_at_once():
    x = torch.ones(1000, 2, 2)
    rows = StochasticDepth(0.25, "row")(x)
    assert rows.unique().tolist() == pytest.approx([0, 1 / 0.75])
    assert torch.equal(rows, rows[:, :1, :1].expand_as(rows))
    dropped = (rows[:, 0, 0] == 0).double().mean().item()
    assert dropped == pytest.approx(0.25, abs=5 * (0.25 * 0.75 / 1000) ** 0.5)
    assert {len(StochasticDepth(0.5, "batch")(x).unique()) for _ in range(10)} == {1}


def test_what_cannot_be_is_named():
    for p in (-0.1, 1.1, float("nan"), "0.1", None):
        with pytest.raises(ValueError, match="p must be"):
            StochasticDepth(p)
    with pytest.raises(ValueError, match="mode must"):
        StochasticDepth(0.1, "rows")
