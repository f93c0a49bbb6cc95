"""ResNet for CIFAR against the layers and counts of He et al. 2015, section 4.2."""

import pytest
import torch
import torch.nn.functional as F
from parity import assert_close, randomize
from torch import Tensor, nn

from striate.models.catalog import create_model
from striate.models.resnet_cifar import CifarResNet, Unit, ZeroPaddedShortcut, resnet20, resnet56

# ResNet-20 by hand: name, channels and side of the output, weights of its convolutions (3x3, each with two
# values per map of batch normalization).
LAYERS = [
    ("stem", 16, 32, [3 * 16 * 9]),
    ("stages.stage1.0", 16, 32, [16 * 16 * 9, 16 * 16 * 9]),
    ("stages.stage1.1", 16, 32, [16 * 16 * 9, 16 * 16 * 9]),
    ("stages.stage1.2", 16, 32, [16 * 16 * 9, 16 * 16 * 9]),
    ("stages.stage2.0", 32, 16, [16 * 32 * 9, 32 * 32 * 9]),
    ("stages.stage2.1", 32, 16, [32 * 32 * 9, 32 * 32 * 9]),
    ("stages.stage2.2", 32, 16, [32 * 32 * 9, 32 * 32 * 9]),
    ("stages.stage3.0", 64, 8, [32 * 64 * 9, 64 * 64 * 9]),
    ("stages.stage3.1", 64, 8, [64 * 64 * 9, 64 * 64 * 9]),
    ("stages.stage3.2", 64, 8, [64 * 64 * 9, 64 * 64 * 9]),
]


def count(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


def test_resnet20_has_the_layers_of_the_paper() -> None:
    model, shapes = resnet20().eval(), {}
    for name, *_ in LAYERS:
        model.get_submodule(name).register_forward_hook(
            lambda _, __, maps, name=name: shapes.update({name: tuple(maps.shape)})
        )
    model(torch.zeros(1, 3, 32, 32))
    for name, channels, side, weights in LAYERS:
        assert shapes[name] == (1, channels, side, side), name
        assert count(model.get_submodule(name)) == sum(weights) + 2 * channels * len(weights), name


def test_the_parameters_add_up_to_those_of_the_paper() -> None:
    dense = 64 * 10 + 10
    by_hand = sum(sum(weights) + 2 * channels * len(weights) for _, channels, _, weights in LAYERS) + dense
    assert count(resnet20()) == by_hand == 269_722
    assert round(by_hand / 1e6, 2) == 0.27
    # Each stage of ResNet-56 has six units more, of two convolutions with as many inputs as outputs.
    more = sum(6 * 2 * (9 * channels**2 + 2 * channels) for channels in (16, 32, 64))
    assert count(resnet56()) == by_hand + more == 853_018
    assert round((by_hand + more) / 1e6, 2) == 0.85


@pytest.mark.parametrize(("build", "depth"), [(resnet20, 20), (resnet56, 56)])
def test_it_has_as_many_layers_with_weights_as_its_name_says_and_none_in_a_shortcut(
    build: type[CifarResNet], depth: int
) -> None:
    model = build()
    assert sum(isinstance(layer, nn.Conv2d | nn.Linear) for layer in model.modules()) == depth
    units = [layer for layer in model.modules() if isinstance(layer, Unit)]
    assert len(units) == (depth - 2) // 2
    assert not any(list(unit.shortcut.parameters()) for unit in units)
    assert sum(isinstance(unit.shortcut, ZeroPaddedShortcut) for unit in units) == 2


def written_out(model: CifarResNet, x: Tensor) -> Tensor:
    """Section 4.2 in torch's own functions: after the last convolution of a unit, ReLU follows the sum."""
    weights = model.state_dict()

    def convolve(name: str, x: Tensor, stride: int = 1) -> Tensor:
        x = F.conv2d(x, weights[f"{name}.conv.weight"], stride=stride, padding=1)
        mean, variance = weights[f"{name}.norm.running_mean"], weights[f"{name}.norm.running_var"]
        scale, shift = weights[f"{name}.norm.weight"], weights[f"{name}.norm.bias"]
        return F.batch_norm(x, mean, variance, scale, shift)

    x = convolve("stem", x).relu()
    for stage in (1, 2, 3):
        for unit in range(3):
            name, stride = f"stages.stage{stage}.{unit}.residual", 2 if stage > 1 and unit == 0 else 1
            residual = convolve(f"{name}.1", convolve(f"{name}.0", x, stride).relu())
            kept = x[:, :, ::stride, ::stride]
            zeros = kept.new_zeros(len(x), residual.shape[1] - x.shape[1], *kept.shape[2:])
            x = (residual + torch.cat([kept, zeros], dim=1)).relu()
    return F.linear(x.mean((2, 3)), weights["head.weight"], weights["head.bias"])


def test_it_computes_what_the_paper_says() -> None:
    model, pictures = resnet20().eval(), torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(1))
    randomize(model)
    with torch.no_grad():
        assert_close(model(pictures), written_out(model, pictures))


def test_its_first_weights_have_the_variance_of_he() -> None:
    # Section 3.4, which takes them from arXiv:1502.01852: 2 / (9 * 64) for the last convolutions.
    torch.manual_seed(0)
    weight = resnet20().get_parameter("stages.stage3.2.residual.1.conv.weight")
    assert weight.var().item() == pytest.approx(2 / (9 * 64), rel=0.05)


def test_a_padded_shortcut_by_hand() -> None:
    x = torch.arange(1.0, 16).reshape(1, 1, 3, 5)
    kept = [[1.0, 3, 5], [11, 13, 15]]  # every second row and column
    assert ZeroPaddedShortcut(added_channels=2, stride=2)(x).tolist() == [
        [kept, [[0] * 3] * 2, [[0] * 3] * 2]
    ]
    assert torch.equal(ZeroPaddedShortcut(added_channels=0, stride=1)(x), x)


@pytest.mark.parametrize("shape", [(8, 8, 1), (8, 16, 2), (8, 16, 1), (8, 8, 2)])
@pytest.mark.parametrize("size", [(8, 8), (7, 9)])
def test_a_unit_whose_residual_is_zero_passes_on_what_fits(
    shape: tuple[int, int, int], size: tuple[int, int]
) -> None:
    in_channels, out_channels, stride = shape
    unit = Unit(in_channels, out_channels, stride).eval()
    nn.init.zeros_(unit.residual[1].norm.weight)
    x = torch.rand(2, in_channels, *size)
    y = unit(x)
    assert torch.equal(y[:, :in_channels], F.max_pool2d(x, 1, stride))
    assert y.shape[1] == out_channels
    assert not y[:, in_channels:].any()


def test_a_slim_network_keeps_its_shape() -> None:
    model = create_model("resnet20", width=0.5)
    assert [info.channels for info in model.feature_info] == [8, 8, 16, 32]
    assert model(torch.zeros(2, 3, 21, 34)).shape == (2, 10)
