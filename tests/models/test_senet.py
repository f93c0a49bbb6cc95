"""SENet against timm with the same weights, and against the formulas of the paper."""

import pytest
import timm
import torch
from parity import assert_close, randomize
from timm.models.senet import Bottleneck
from torch import nn

from striate.errors import InputError
from striate.layers import SqueezeExcitation
from striate.models.catalog import create_model
from striate.models.key_maps.renaming import convert
from striate.models.key_maps.senet import TIMM
from striate.models.resnet import BottleneckUnitV1
from striate.models.senet import SEBottleneckUnit, SEGroupedUnit, senet154

PEERS = {
    "se_resnet18": "legacy_seresnet18",
    "se_resnet34": "legacy_seresnet34",
    "se_resnet50": "legacy_seresnet50",
    "se_resnet101": "legacy_seresnet101",
    "se_resnet152": "legacy_seresnet152",
    "senet154": "legacy_senet154",
}


def assert_same_as_timm(name: str, size: int) -> None:
    """The logits on random pictures, with random weights under which fifty units in a row stay calm.

    Residuals as large as their shortcuts would double the signal in each unit, until every sigmoid is a
    step and rounding decides.
    """
    peer = timm.create_model(PEERS[name])
    randomize(peer)
    with torch.no_grad():
        for layer in peer.modules():
            if isinstance(layer, Bottleneck):
                layer.bn3.weight.mul_(0.2)
    with torch.device("meta"):  # the peer's tensors take the places of its own
        ours = create_model(name)
    ours.load_state_dict(convert(ours, peer.state_dict(), TIMM), assign=True)
    pictures = torch.randn(2, 3, size, size, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        assert_close(ours.eval()(pictures), peer.eval()(pictures))


@pytest.mark.parametrize("name", PEERS)
def test_it_computes_what_timm_computes(name: str) -> None:
    assert_same_as_timm(name, size=64)


@pytest.mark.parametrize("size", [65, 67, 74])
def test_its_stem_pools_as_timm_does_where_windows_do_not_fit(size: int) -> None:
    assert_same_as_timm("se_resnet18", size)


@pytest.mark.parametrize("depth", [50, 101, 152])
def test_the_blocks_add_the_parameters_of_equation_5_and_their_biases(depth: int) -> None:
    units = {50: (3, 4, 6, 3), 101: (3, 4, 23, 3), 152: (3, 8, 36, 3)}[depth]
    maps = (256, 512, 1024, 2048)
    weights = 2 * sum(count * c * c for count, c in zip(units, maps, strict=True)) // 16
    biases = sum(count * (c // 16 + c) for count, c in zip(units, maps, strict=True))
    with torch.device("meta"):
        plain, squeezed = create_model(f"resnet{depth}_v1"), create_model(f"se_resnet{depth}")
    grown = sum(p.numel() for p in squeezed.parameters()) - sum(p.numel() for p in plain.parameters())
    assert grown == weights + biases


def test_a_unit_whose_scales_are_one_is_a_residual_unit_and_one_whose_scales_are_zero_its_shortcut() -> None:
    torch.manual_seed(0)
    unit, plain = SEBottleneckUnit(32, 16, stride=2).eval(), BottleneckUnitV1(32, 16, stride=2).eval()
    plain.load_state_dict({k: v for k, v in unit.state_dict().items() if not k.startswith("excitation")})
    x = torch.randn(2, 32, 7, 7)
    nn.init.zeros_(unit.excitation.expand.weight)
    nn.init.constant_(unit.excitation.expand.bias, 100.0)
    assert torch.equal(unit(x), plain(x))
    nn.init.constant_(unit.excitation.expand.bias, -1000.0)
    assert torch.equal(unit(x), unit.shortcut(x).relu())


def test_senet154_has_the_details_of_the_paper() -> None:
    # Appendix: three 3x3 convolutions first, a 1x1 of half the usual width, 64 groups, 3x3 convolutions in
    # the shortcuts that stride, dropout 0.2. A unit counts three layers, the stem and the end four.
    with torch.device("meta"):
        model = senet154()
    kernels = [layer.kernel_size for layer in model.stem.modules() if isinstance(layer, nn.Conv2d)]
    assert kernels == [(3, 3)] * 3
    units = [layer for layer in model.modules() if isinstance(layer, SEGroupedUnit)]
    assert 3 * len(units) + 3 + 1 == 154
    for unit in units:
        first, grouped, last = (part.conv for part in unit.residual)
        assert (grouped.groups, first.groups, last.groups) == (64, 1, 1)
        assert 2 * first.out_channels == grouped.out_channels == last.out_channels
        assert first.stride == last.stride == (1, 1)
    shortcuts = [unit.shortcut.conv for unit in units if not isinstance(unit.shortcut, nn.Identity)]
    assert [(conv.kernel_size[0], conv.stride[0]) for conv in shortcuts] == [(1, 1), (3, 2), (3, 2), (3, 2)]
    assert [layer.p for layer in model.modules() if isinstance(layer, nn.Dropout)] == [0.2]
    blocks = [layer for layer in model.modules() if isinstance(layer, SqueezeExcitation)]
    assert all(block.reduce.in_features == 16 * block.reduce.out_features for block in blocks)


def test_hidden_units_of_a_squeeze_begin_without_a_bias() -> None:
    torch.manual_seed(0)
    blocks = [
        layer
        for layer in create_model("se_resnet18", width=0.25).modules()
        if isinstance(layer, SqueezeExcitation)
    ]
    assert len(blocks) == 8
    assert not any(block.reduce.bias.any() for block in blocks)
    assert all(block.reduce.weight.any() for block in blocks)


def test_dropout_is_the_users_to_choose() -> None:
    with torch.device("meta"):
        chosen = {
            name: create_model(name, dropout=0.5).get_submodule("head.0")
            for name in ("se_resnet50", "senet154")
        }
    assert all(isinstance(layer, nn.Dropout) and layer.p == 0.5 for layer in chosen.values())


def test_a_network_too_slim_to_be_squeezed_is_an_input_error() -> None:
    with pytest.raises(InputError, match="8 channels cannot be reduced 16 times"):
        create_model("se_resnet18", width=0.125)
