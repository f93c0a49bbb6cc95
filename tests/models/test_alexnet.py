"""AlexNet against the figures of Krizhevsky et al. 2012, and its later form against torchvision."""

import pytest
import torch
import torch.nn.functional as F
import torchvision  # type: ignore[import-untyped]
from parity import assert_same_outputs
from torch import Tensor, nn

from striate.models.alexnet import AlexNet2012, alexnet, alexnet_2012, alexnet_2012_ungrouped
from striate.models.backbone import Backbone
from striate.models.key_maps.alexnet import TORCHVISION

# Figure 2 at 227x227: kind of layer, its output, its weights and biases.
LAYERS_2012 = [
    ("Conv2d", (96, 55, 55), 96 * (3 * 11 * 11 + 1)),  # C1
    ("LocalResponseNorm", (96, 55, 55), 0),
    ("MaxPool2d", (96, 27, 27), 0),  # S2
    ("Conv2d", (256, 27, 27), 256 * (48 * 5 * 5 + 1)),  # C3
    ("LocalResponseNorm", (256, 27, 27), 0),
    ("MaxPool2d", (256, 13, 13), 0),  # S4
    ("Conv2d", (384, 13, 13), 384 * (256 * 3 * 3 + 1)),  # C5, which sees both halves
    ("Conv2d", (384, 13, 13), 384 * (192 * 3 * 3 + 1)),  # C6
    ("Conv2d", (256, 13, 13), 256 * (192 * 3 * 3 + 1)),  # C7
    ("MaxPool2d", (256, 6, 6), 0),  # S8
    ("Linear", (4096,), 4096 * (9216 + 1)),
    ("Dropout", (4096,), 0),
    ("Linear", (4096,), 4096 * (4096 + 1)),
    ("Dropout", (4096,), 0),
    ("Linear", (1000,), 1000 * (4096 + 1)),
]


def layers(model: Backbone, size: int) -> list[tuple[str, tuple[int, ...], int]]:
    """Kind, output shape and parameters of every layer but the ReLUs, in the order in which they work."""
    found: list[tuple[str, tuple[int, ...], int]] = []

    def note(layer: nn.Module, _: object, output: Tensor) -> None:
        params = sum(p.numel() for p in layer.parameters())
        found.append((type(layer).__name__, tuple(output.shape[1:]), params))

    for layer in model.modules():
        if not list(layer.children()) and not isinstance(layer, nn.ReLU):
            layer.register_forward_hook(note)
    model(torch.empty(1, 3, size, size, device="meta"))
    return found


def test_layers_of_2012_have_the_shapes_and_parameters_of_the_paper() -> None:
    with torch.device("meta"):
        model = alexnet_2012()
    assert layers(model, 227) == LAYERS_2012
    assert sum(params for *_, params in LAYERS_2012) == 60_965_224
    assert [layer.p for layer in model.modules() if isinstance(layer, nn.Dropout)] == [0.5, 0.5]


def test_layers_have_as_many_neurons_as_the_paper_counts() -> None:
    # Section 3.5 counts 186,624, 64,896, 64,896, 43,264, 4096, 4096 and 1000; for C1 it has 253,440, which
    # 96 maps cannot have, as 253,440 / 96 is 48 x 55.
    with torch.device("meta"):
        found = layers(alexnet_2012(), 227)
    neurons = [torch.Size(shape).numel() for kind, shape, _ in found if kind in ("Conv2d", "Linear")]
    assert neurons == [290_400, 186_624, 64_896, 64_896, 43_264, 4096, 4096, 1000]


def test_without_groups_only_the_weights_of_three_convolutions_double() -> None:
    with torch.device("meta"):
        grouped, full = layers(alexnet_2012(), 227), layers(alexnet_2012_ungrouped(), 227)
    more = {number: b[2] - a[2] for number, (a, b) in enumerate(zip(grouped, full, strict=True)) if a != b}
    assert more == {3: 256 * 48 * 25, 7: 384 * 192 * 9, 8: 256 * 192 * 9}
    assert [layer[:2] for layer in grouped] == [layer[:2] for layer in full]


def on_two_gpus(model: AlexNet2012, pictures: Tensor) -> Tensor:
    """The paper's network written out: halves of the maps apart, and together where the GPUs talk."""
    convolutions = [layer for layer in model.modules() if isinstance(layer, nn.Conv2d)]
    first, second, third = (layer for layer in model.modules() if isinstance(layer, nn.Linear))

    def convolve(x: Tensor, number: int, apart: bool = False, **options: int) -> Tensor:
        weight, bias = convolutions[number].weight, convolutions[number].bias
        assert bias is not None
        if not apart:
            return F.relu(F.conv2d(x, weight, bias, **options))
        halves = zip(x.chunk(2, 1), weight.chunk(2), bias.chunk(2), strict=True)
        return torch.cat([F.relu(F.conv2d(*half, **options)) for half in halves], 1)

    def normalize(x: Tensor) -> Tensor:
        return F.local_response_norm(x, size=5, alpha=5 * 2e-5, beta=0.75, k=1)

    x = F.max_pool2d(normalize(convolve(pictures, 0, stride=4)), 3, 2)
    x = F.max_pool2d(normalize(convolve(x, 1, apart=True, padding=2)), 3, 2)
    x = convolve(convolve(x, 2, padding=1), 3, apart=True, padding=1)
    x = F.max_pool2d(convolve(x, 4, apart=True, padding=1), 3, 2)
    return third(F.relu(second(F.relu(first(x.flatten(1))))))


def test_it_computes_what_two_gpus_would() -> None:
    torch.manual_seed(0)
    model, pictures = alexnet_2012(num_classes=10, width=0.25).eval(), 20 * torch.randn(2, 3, 227, 227)
    with torch.no_grad():
        logits, expected = model(pictures), on_two_gpus(model, pictures)
    assert logits.std() > 1
    torch.testing.assert_close(logits, expected, rtol=0, atol=1e-4 * expected.abs().max().item())


def test_the_later_form_computes_what_torchvision_computes() -> None:
    with torch.device("meta"):
        model, peer = alexnet(), torchvision.models.alexnet()
    assert_same_outputs(model, peer.to_empty(device="cpu"), TORCHVISION, size=96)


def test_the_later_form_computes_what_torchvision_computes_at_its_own_size() -> None:
    # Slim, as only the 6x6 grid is new: the peer's layers, rebuilt with an eighth of the channels.
    peer = torchvision.models.alexnet(num_classes=10)
    for part in (peer.features, peer.classifier):
        for place, layer in enumerate(part):
            if isinstance(layer, nn.Conv2d):
                inputs = layer.in_channels if place == 0 else layer.in_channels // 8
                part[place] = nn.Conv2d(
                    inputs, layer.out_channels // 8, layer.kernel_size, layer.stride, layer.padding
                )
            elif isinstance(layer, nn.Linear):
                outputs = layer.out_features if layer.out_features == 10 else layer.out_features // 8
                part[place] = nn.Linear(layer.in_features // 8, outputs)
    assert_same_outputs(alexnet(num_classes=10, width=1 / 8), peer, TORCHVISION, size=224)


@pytest.mark.parametrize("build", [alexnet, alexnet_2012])
def test_dropout_is_an_option(build: type[Backbone]) -> None:
    model = build(num_classes=10, width=1 / 8, dropout=0.0).train()  # type: ignore[call-arg]
    pictures = torch.rand(2, 3, 67, 67)
    assert torch.equal(model(pictures), model.eval()(pictures))
