"""GoogLeNet against torchvision with the same weights, and against the tables of the paper."""

import math

import pytest
import torch
import torch.nn.functional as F
import torchvision  # type: ignore[import-untyped]
from parity import assert_close, assert_same_outputs, randomize
from torch import Tensor, nn

from striate.models.catalog import create_model
from striate.models.googlenet import AUXILIARY, GoogLeNet, pool_from_14
from striate.models.key_maps.googlenet import TORCHVISION
from striate.models.key_maps.renaming import convert

NAMES = ["googlenet_2014", "googlenet"]


def parameters(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


# Against torchvision


@pytest.mark.parametrize("auxiliary", [False, True])
def test_it_computes_what_torchvision_computes(auxiliary: bool) -> None:
    peer = torchvision.models.GoogLeNet(aux_logits=auxiliary, init_weights=False)
    assert_same_outputs(create_model("googlenet", auxiliary=auxiliary), peer, TORCHVISION, size=75)


def test_in_training_its_auxiliary_heads_compute_what_torchvisions_do() -> None:
    peer = torchvision.models.GoogLeNet(aux_logits=True, init_weights=False, dropout=0.0, dropout_aux=0.0)
    randomize(peer)
    ours = create_model("googlenet", auxiliary=True, dropout=0.0)
    for head in ours.get_submodule("auxiliary_heads").modules():
        if isinstance(head, nn.Dropout):
            head.p = 0.0  # it is random; all else is not
    ours.load_state_dict(convert(ours, peer.state_dict(), TORCHVISION))
    pictures = torch.randn(4, 3, 96, 96, generator=torch.Generator().manual_seed(1))  # 6x6 maps for the heads
    with torch.no_grad():
        expected = peer.train()(pictures)
        features = ours.train().features(pictures)
        outputs = {"logits": ours.classify(features)} | ours.auxiliary(pictures, features)
    for name, theirs in (
        ("logits", expected.logits),
        ("auxiliary1", expected.aux_logits1),
        ("auxiliary2", expected.aux_logits2),
    ):
        assert_close(outputs[name], theirs)


def test_its_epsilon_is_tensorflows() -> None:
    layers = [m for m in create_model("googlenet", auxiliary=True).modules() if isinstance(m, nn.BatchNorm2d)]
    assert len(layers) == 3 + 9 * 6 + 2
    assert {layer.eps for layer in layers} == {1e-3}


# Against the paper

# Module: output, 1x1 | 3x3 reduce, 3x3 | 5x5 reduce, 5x5 | pool projection
TABLE = {
    "inception3a": ((256, 28, 28), 64, 96, 128, 16, 32, 32),
    "inception3b": ((480, 28, 28), 128, 128, 192, 32, 96, 64),
    "inception4a": ((512, 14, 14), 192, 96, 208, 16, 48, 64),
    "inception4b": ((512, 14, 14), 160, 112, 224, 24, 64, 64),
    "inception4c": ((512, 14, 14), 128, 128, 256, 24, 64, 64),
    "inception4d": ((528, 14, 14), 112, 144, 288, 32, 64, 64),
    "inception4e": ((832, 14, 14), 256, 160, 320, 32, 128, 128),
    "inception5a": ((832, 7, 7), 256, 160, 320, 32, 128, 128),
    "inception5b": ((1024, 7, 7), 384, 192, 384, 48, 128, 128),
}


@pytest.mark.parametrize(("name", "large"), [("googlenet_2014", 5), ("googlenet", 3)])
def test_its_modules_are_those_of_the_table(name: str, large: int) -> None:
    with torch.device("meta"):
        model = create_model(name).eval()
        maps = model.features(torch.empty(1, 3, 224, 224))
    assert list(maps) == ["stem", *TABLE]
    assert maps["stem"].shape == (1, 192, 56, 56)
    for module, (output, *filters) in TABLE.items():
        assert maps[module].shape == (1, *output), module
        found = [m for m in model.get_submodule(f"stages.{module}").modules() if isinstance(m, nn.Conv2d)]
        assert [convolution.out_channels for convolution in found] == filters, module
        kernels = [convolution.kernel_size[0] for convolution in found]
        assert kernels == [1, 1, 3, 1, large, 1], module


# Table 1 of the paper: layer, its name here, output, values with biases, millions of operations as printed.
# The paper prints 34 for the first layer and 54 for 5a, which its own filters do not give: 118 and 51.
LAYERS = [
    ("convolution 7x7/2", "stem.0", (64, 112, 112), 9_472, None),
    ("max pool 3x3/2", "stem.1", (64, 56, 56), 0, None),
    ("normalization", "stem.2", (64, 56, 56), 0, None),
    ("3x3 reduce", "stem.3", (64, 56, 56), 4_160, None),
    ("convolution 3x3/1", "stem.4", (192, 56, 56), 110_784, None),
    ("normalization", "stem.5", (192, 56, 56), 0, None),
    ("max pool 3x3/2", "stages.inception3a.0", (192, 28, 28), 0, None),
    ("inception (3a)", "stages.inception3a.1", (256, 28, 28), 163_696, 128),
    ("inception (3b)", "stages.inception3b", (480, 28, 28), 388_736, 304),
    ("max pool 3x3/2", "stages.inception4a.0", (480, 14, 14), 0, None),
    ("inception (4a)", "stages.inception4a.1", (512, 14, 14), 376_176, 73),
    ("inception (4b)", "stages.inception4b", (512, 14, 14), 449_160, 88),
    ("inception (4c)", "stages.inception4c", (512, 14, 14), 510_104, 100),
    ("inception (4d)", "stages.inception4d", (528, 14, 14), 605_376, 119),
    ("inception (4e)", "stages.inception4e", (832, 14, 14), 868_352, 170),
    ("max pool 3x3/2", "stages.inception5a.0", (832, 7, 7), 0, None),
    ("inception (5a)", "stages.inception5a.1", (832, 7, 7), 1_043_456, None),
    ("inception (5b)", "stages.inception5b", (1024, 7, 7), 1_444_080, 71),
    ("dropout (40%)", "head.0", (1024,), 0, None),
    ("linear", "head.1", (1000,), 1_025_000, 1),
]


def test_the_layers_of_2014_are_those_of_table_1() -> None:
    outputs: dict[str, Tensor] = {}
    with torch.device("meta"):
        model = create_model("googlenet_2014").eval()
        for _, name, *_ in LAYERS:
            model.get_submodule(name).register_forward_hook(
                lambda _, __, output, name=name: outputs.update({name: output})
            )
        model(torch.empty(1, 3, 224, 224))
    assert list(outputs) == [name for _, name, *_ in LAYERS]  # and in this order
    for layer, name, output, params, millions in LAYERS:
        module = model.get_submodule(name)
        assert outputs[name].shape == (1, *output), layer
        assert parameters(module) == params, layer
        if millions:
            weights = sum(p.numel() for p in module.parameters() if p.ndim > 1)
            assert weights * math.prod(output[1:]) / 1e6 == pytest.approx(millions, abs=1), layer
    assert parameters(model) == sum(params for *_, params, _ in LAYERS) == 6_998_552
    assert model.get_submodule("head.0").p == 0.4


def test_the_first_layers_of_2014_worked_with_torchs_functions() -> None:
    model = create_model("googlenet_2014", width=0.25).eval()
    x = torch.randn(2, 3, 224, 224, generator=torch.Generator().manual_seed(0))
    weights = dict(model.named_parameters())

    def layer(name: str, x: Tensor, **options: int) -> Tensor:
        return F.conv2d(x, weights[f"{name}.weight"], weights[f"{name}.bias"], **options).relu()

    expected = layer("stem.0.0", F.pad(x, (2, 3, 2, 3)), stride=2)  # TensorFlow's lopsided padding
    expected = F.max_pool2d(F.pad(expected, (0, 1, 0, 1), value=-math.inf), 3, stride=2)
    expected = F.local_response_norm(expected, 5, alpha=1e-4, beta=0.75, k=1.0)
    expected = layer("stem.4.0", layer("stem.3.0", expected), padding=1)
    expected = F.local_response_norm(expected, 5, alpha=1e-4, beta=0.75, k=1.0)
    torch.testing.assert_close(model.features(x)["stem"], expected, atol=1e-5, rtol=1e-5)


# Auxiliary heads


@pytest.mark.parametrize(("name", "params"), [("googlenet_2014", 13_378_280), ("googlenet", 13_004_888)])
def test_auxiliary_heads_add_their_parameters(name: str, params: int) -> None:
    with torch.device("meta"):
        assert parameters(create_model(name, auxiliary=True)) == params


def test_an_auxiliary_head_of_2014_is_the_papers() -> None:
    outputs: list[tuple[int, ...]] = []  # shape without batch, then parameters
    with torch.device("meta"):
        model = create_model("googlenet_2014", auxiliary=True).eval()
        head = model.get_submodule("auxiliary_heads.auxiliary1")
        for part in head.children():
            part.register_forward_hook(
                lambda part, _, output: outputs.append((*output.shape[1:], parameters(part)))
            )
        features = model.features(torch.empty(1, 3, 224, 224))
        model.auxiliary(torch.empty(1, 3, 224, 224), features)
    assert outputs[:7] == [
        (512, 4, 4, 0),  # average pooling 5x5/3
        (128, 4, 4, 65_664),  # 1x1, 128 filters
        (2048, 0),
        (1024, 2_098_176),  # dense 1024
        (1024, 0),  # ReLU
        (1024, 0),  # dropout 70 %
        (1000, 1_025_000),
    ]
    assert [m.p for m in head.modules() if isinstance(m, nn.Dropout)] == [0.7]


def test_the_pooling_of_2014_is_the_papers_at_its_size_and_a_grid_of_4x4_is_not() -> None:
    maps = torch.rand(2, 3, 14, 14, generator=torch.Generator().manual_seed(0))
    expected = F.avg_pool2d(maps, kernel_size=5, stride=3)
    assert torch.equal(pool_from_14()(maps), expected)
    # A grid's windows are 4 wide and begin at 0, 3, 7 and 10; the paper's 5 wide, at 0, 3, 6 and 9.
    assert (F.adaptive_avg_pool2d(maps, 4) - expected).abs().max() > 0.05


@pytest.mark.parametrize("size", [(32, 32), (45, 90), (224, 224)])
@pytest.mark.parametrize("name", NAMES)
def test_auxiliary_heads_work_at_any_size(name: str, size: tuple[int, int]) -> None:
    model = create_model(name, num_classes=7, width=0.125, auxiliary=True)
    pictures = torch.randn(2, 3, *size, generator=torch.Generator().manual_seed(0))
    logits = model.auxiliary(pictures, model.features(pictures))
    assert {key: value.shape for key, value in logits.items()} == {"auxiliary1": (2, 7), "auxiliary2": (2, 7)}
    assert all(value.isfinite().all() for value in logits.values())


@pytest.mark.parametrize("name", NAMES)
def test_an_auxiliary_head_sees_its_module_and_what_is_before_it(name: str) -> None:
    model = create_model(name, num_classes=7, width=0.25, auxiliary=True)
    assert isinstance(model, GoogLeNet)
    pictures = torch.randn(8, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    modules = list(model.stages)
    for head, seen in AUXILIARY.items():
        model.zero_grad()
        features = model.features(pictures)
        F.cross_entropy(model.auxiliary(pictures, features)[head], torch.arange(8) % 7).backward()
        reached = {m for m in modules if any(p.grad is not None for p in model.stages[m].parameters())}
        assert reached == set(modules[: modules.index(seen) + 1])
        assert all(p.grad is not None and p.grad.any() for p in model.stem.parameters())


@pytest.mark.parametrize("name", NAMES)
def test_without_the_option_there_are_none(name: str) -> None:
    model, pictures = create_model(name, width=0.125), torch.zeros(2, 3, 32, 32)
    assert model.auxiliary(pictures, model.features(pictures)) == {}
