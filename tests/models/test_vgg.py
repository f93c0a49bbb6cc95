"""VGG against torchvision with the same weights, and against the counts of the paper."""

import pytest
import torch
import torchvision  # type: ignore[import-untyped]
from parity import assert_same_outputs
from torch import Tensor, nn

from striate.models.catalog import create_model
from striate.models.key_maps.renaming import convert
from striate.models.key_maps.vgg import torchvision as torchvision_map
from striate.models.vgg import vgg11, vgg11_bn, vgg16

DEPTHS = {
    "vgg11": (1, 1, 2, 2, 2),
    "vgg13": (2, 2, 2, 2, 2),
    "vgg16": (2, 2, 3, 3, 3),
    "vgg19": (2, 2, 4, 4, 4),
}
COLUMNS = {"vgg11": "A", "vgg13": "B", "vgg16": "D", "vgg19": "E"}
PARAMETERS = {"vgg11": 133, "vgg13": 133, "vgg16": 138, "vgg19": 144}  # table 2, in millions


@pytest.mark.parametrize("batch_norm", [False, True])
@pytest.mark.parametrize("name", DEPTHS)
def test_slim_it_computes_what_torchvision_computes(name: str, batch_norm: bool) -> None:
    # The layers of torchvision's table with an eighth of the channels.
    table = [entry if entry == "M" else entry // 8 for entry in torchvision.models.vgg.cfgs[COLUMNS[name]]]
    with torch.device("meta"):
        layers = torchvision.models.vgg.make_layers(table, batch_norm)
        peer = torchvision.models.VGG(layers, init_weights=False)
        for place, (inputs, outputs) in {0: (64 * 7 * 7, 512), 3: (512, 512), 6: (512, 10)}.items():
            peer.classifier[place] = nn.Linear(inputs, outputs)
    variant = f"{name}_bn" if batch_norm else name
    model, key_map = create_model(variant, 10, width=1 / 8), torchvision_map(DEPTHS[name], batch_norm)
    assert_same_outputs(model, peer.to_empty(device="cpu"), key_map, size=224)


def test_in_full_it_computes_what_torchvision_computes() -> None:
    with torch.device("meta"):
        model, peer = vgg16(), torchvision.models.vgg16(init_weights=False)
    assert_same_outputs(model, peer.to_empty(device="cpu"), torchvision_map(DEPTHS["vgg16"], False), size=64)


@pytest.mark.parametrize("batch_norm", [False, True])
@pytest.mark.parametrize("name", DEPTHS)
def test_in_full_its_weights_have_the_names_and_shapes_of_torchvision(name: str, batch_norm: bool) -> None:
    variant = f"{name}_bn" if batch_norm else name
    with torch.device("meta"):
        model, peer = create_model(variant), getattr(torchvision.models, variant)(init_weights=False)
    key_map = torchvision_map(DEPTHS[name], batch_norm)
    converted = convert(model, peer.state_dict(), key_map)
    assert converted.keys() == model.state_dict().keys()


@pytest.mark.parametrize("name", DEPTHS)
def test_there_are_as_many_weight_layers_as_the_name_says_and_millions_as_table_2(name: str) -> None:
    with torch.device("meta"):
        model = create_model(name)
    layers = [layer for layer in model.modules() if isinstance(layer, nn.Conv2d | nn.Linear)]
    assert f"vgg{len(layers)}" == name
    assert round(sum(p.numel() for p in model.parameters()) / 1e6) == PARAMETERS[name]


def test_activations_of_vgg16_are_those_of_the_reference() -> None:
    # The picture, and what each convolution (its ReLU works in place), pooling and dense layer puts out.
    counts = [3 * 224 * 224]

    def count(_: nn.Module, __: object, output: Tensor) -> None:
        counts.append(output.numel())

    with torch.device("meta"):
        model = vgg16().eval()
        for layer in model.modules():
            if isinstance(layer, nn.Conv2d | nn.MaxPool2d | nn.Linear):
                layer.register_forward_hook(count)
        model(torch.empty(1, 3, 224, 224))
    assert len(counts) == 1 + 13 + 5 + 3
    assert sum(counts) == 15_237_608


def test_three_layers_of_3x3_see_7x7_pixels_with_fewer_weights() -> None:
    # Section 2.3: 27 C^2 weights instead of 49 C^2.
    torch.manual_seed(0)
    convolutions = [layer for layer in vgg16(width=1 / 16).stages["stage3"] if isinstance(layer, nn.Conv2d)]
    x = torch.randn(1, convolutions[0].in_channels, 15, 15, requires_grad=True)
    y = nn.Sequential(*convolutions)(x)
    y[0, :, 7, 7].sum().backward()
    assert x.grad is not None
    seen = x.grad.abs().sum((0, 1)).nonzero()
    assert (seen.amin(0).tolist(), seen.amax(0).tolist()) == ([4, 4], [10, 10])


def test_batch_normalization_makes_the_biases_of_convolutions_idle() -> None:
    torch.manual_seed(0)
    model, pictures = vgg11_bn(num_classes=10, width=1 / 8, dropout=0.0).train(), torch.randn(4, 3, 64, 64)
    before = model(pictures)
    with torch.no_grad():
        for layer in model.modules():
            if isinstance(layer, nn.Conv2d):
                assert layer.bias is not None
                layer.bias.normal_()
    torch.testing.assert_close(model(pictures), before, rtol=1e-3, atol=1e-3)


def test_dropout_is_an_option() -> None:
    model, pictures = vgg11(num_classes=10, width=1 / 8, dropout=0.0).train(), torch.rand(2, 3, 32, 32)
    assert torch.equal(model(pictures), model.eval()(pictures))
