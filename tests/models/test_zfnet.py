"""ZF-Net against figure 3 of Zeiler and Fergus 2013."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from striate.models.alexnet import alexnet_2012_ungrouped
from striate.models.zfnet import ZFNet, zfnet

# Figure 3 at 224x224: place in the network, kind of layer, its output, its weights and biases.
LAYERS = [
    ("stem.0", "Conv2d", (96, 110, 110), 96 * (3 * 7 * 7 + 1)),
    ("stem.2", "MaxPool2d", (96, 55, 55), 0),
    ("stem.3", "LocalResponseNorm", (96, 55, 55), 0),
    ("stages.stage1.0", "Conv2d", (256, 26, 26), 256 * (96 * 5 * 5 + 1)),
    ("stages.stage1.2", "MaxPool2d", (256, 13, 13), 0),
    ("stages.stage1.3", "LocalResponseNorm", (256, 13, 13), 0),
    ("stages.stage2.0", "Conv2d", (384, 13, 13), 384 * (256 * 3 * 3 + 1)),
    ("stages.stage3.0", "Conv2d", (384, 13, 13), 384 * (384 * 3 * 3 + 1)),
    ("stages.stage4.0", "Conv2d", (256, 13, 13), 256 * (384 * 3 * 3 + 1)),
    ("stages.stage4.2", "MaxPool2d", (256, 6, 6), 0),
    ("head.0", "Linear", (4096,), 4096 * (9216 + 1)),
    ("head.2", "Dropout", (4096,), 0),
    ("head.3", "Linear", (4096,), 4096 * (4096 + 1)),
    ("head.5", "Dropout", (4096,), 0),
    ("head.6", "Linear", (1000,), 1000 * (4096 + 1)),
]


def test_layers_have_the_shapes_and_parameters_of_the_paper() -> None:
    with torch.device("meta"):
        model = zfnet()
    names = {layer: name for name, layer in model.named_modules()}
    found: list[tuple[str, str, tuple[int, ...], int]] = []

    def note(layer: nn.Module, _: object, output: Tensor) -> None:
        params = sum(p.numel() for p in layer.parameters())
        found.append((names[layer], type(layer).__name__, tuple(output.shape[1:]), params))

    for layer in model.modules():
        if not list(layer.children()) and not isinstance(layer, nn.ReLU):
            layer.register_forward_hook(note)
    model(torch.empty(1, 3, 224, 224, device="meta"))
    assert found == LAYERS
    assert sum(params for *_, params in LAYERS) == 62_357_608
    assert [layer.p for layer in model.modules() if isinstance(layer, nn.Dropout)] == [0.5, 0.5]


def test_its_weights_have_the_shapes_of_alexnet_but_for_the_first_filters() -> None:
    with torch.device("meta"):
        ours, theirs = zfnet().state_dict(), alexnet_2012_ungrouped().state_dict()
    changed = {name: tuple(ours[name].shape) for name in ours if ours[name].shape != theirs[name].shape}
    assert ours.keys() == theirs.keys()
    assert changed == {"stem.0.weight": (96, 3, 7, 7)}


def written_out(model: ZFNet, pictures: Tensor) -> Tensor:
    """Section 3.1 and figure 3 in torch's own functions, the overhanging pixels of pooling put in by hand."""
    convolutions = [layer for layer in model.modules() if isinstance(layer, nn.Conv2d)]
    first, second, third = (layer for layer in model.modules() if isinstance(layer, nn.Linear))

    def convolve(x: Tensor, number: int, **options: int) -> Tensor:
        return F.relu(F.conv2d(x, convolutions[number].weight, convolutions[number].bias, **options))

    def normalize(x: Tensor) -> Tensor:
        return F.local_response_norm(x, size=5, alpha=5 * 2e-5, beta=0.75, k=1)

    one_more = (0, 1, 0, 1)  # column on the right and row below; zeros do not change a maximum after a ReLU
    x = normalize(F.max_pool2d(F.pad(convolve(pictures, 0, stride=2, padding=1), one_more), 3, 2))
    x = normalize(F.max_pool2d(F.pad(convolve(x, 1, stride=2), one_more), 3, 2))
    for number in (2, 3, 4):
        x = convolve(x, number, padding=1)
    x = F.max_pool2d(x, 3, 2)
    return third(F.relu(second(F.relu(first(x.flatten(1))))))


def test_it_computes_what_the_paper_says() -> None:
    torch.manual_seed(0)
    model, pictures = zfnet(num_classes=10, width=0.25).eval(), 20 * torch.randn(2, 3, 224, 224)
    with torch.no_grad():
        logits, expected = model(pictures), written_out(model, pictures)
    assert logits.std() > 1
    torch.testing.assert_close(logits, expected, rtol=0, atol=1e-4 * expected.abs().max().item())
