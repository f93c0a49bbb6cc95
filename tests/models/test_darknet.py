"""Darknet against the tables of the papers, and Darknet-53 against timm with the same weights."""

import timm  # type: ignore[import-untyped]
import torch
from parity import assert_same_outputs
from torch import Tensor, nn

from striate.layers import ConvNormAct
from striate.models.catalog import create_model, model_facts
from striate.models.darknet import ResidualUnit, darknet19, darknet53
from striate.models.key_maps.darknet import TIMM

Row = tuple[str, tuple[int, ...], int]  # name, output (C, H, W) or (K,), parameters

# Table 6 of "YOLO9000", at 224. A convolution's parameters: k * k * C_in * C_out weights, 2 * C_out of its
# batch normalization; the last one has K = 1000 biases instead.
DARKNET19: list[Row] = [
    ("conv 3x3", (32, 224, 224), 928),
    ("maxpool", (32, 112, 112), 0),
    ("conv 3x3", (64, 112, 112), 18_560),
    ("maxpool", (64, 56, 56), 0),
    ("conv 3x3", (128, 56, 56), 73_984),
    ("conv 1x1", (64, 56, 56), 8_320),
    ("conv 3x3", (128, 56, 56), 73_984),
    ("maxpool", (128, 28, 28), 0),
    ("conv 3x3", (256, 28, 28), 295_424),
    ("conv 1x1", (128, 28, 28), 33_024),
    ("conv 3x3", (256, 28, 28), 295_424),
    ("maxpool", (256, 14, 14), 0),
    ("conv 3x3", (512, 14, 14), 1_180_672),
    ("conv 1x1", (256, 14, 14), 131_584),
    ("conv 3x3", (512, 14, 14), 1_180_672),
    ("conv 1x1", (256, 14, 14), 131_584),
    ("conv 3x3", (512, 14, 14), 1_180_672),
    ("maxpool", (512, 7, 7), 0),
    ("conv 3x3", (1024, 7, 7), 4_720_640),
    ("conv 1x1", (512, 7, 7), 525_312),
    ("conv 3x3", (1024, 7, 7), 4_720_640),
    ("conv 1x1", (512, 7, 7), 525_312),
    ("conv 3x3", (1024, 7, 7), 4_720_640),
    ("conv 1x1", (1000, 7, 7), 1_025_000),
]

# Table 1 of "YOLOv3", at 256; "+" ends a residual unit.
DARKNET53: list[Row] = [
    ("conv 3x3", (32, 256, 256), 928),
    ("conv 3x3 / 2", (64, 128, 128), 18_560),
    *[("conv 1x1", (32, 128, 128), 2_112), ("conv 3x3", (64, 128, 128), 18_560), ("+", (64, 128, 128), 0)],
    ("conv 3x3 / 2", (128, 64, 64), 73_984),
    *[("conv 1x1", (64, 64, 64), 8_320), ("conv 3x3", (128, 64, 64), 73_984), ("+", (128, 64, 64), 0)] * 2,
    ("conv 3x3 / 2", (256, 32, 32), 295_424),
    *[("conv 1x1", (128, 32, 32), 33_024), ("conv 3x3", (256, 32, 32), 295_424), ("+", (256, 32, 32), 0)] * 8,
    ("conv 3x3 / 2", (512, 16, 16), 1_180_672),
    *[("conv 1x1", (256, 16, 16), 131_584), ("conv 3x3", (512, 16, 16), 1_180_672), ("+", (512, 16, 16), 0)]
    * 8,
    ("conv 3x3 / 2", (1024, 8, 8), 4_720_640),
    *[("conv 1x1", (512, 8, 8), 525_312), ("conv 3x3", (1024, 8, 8), 4_720_640), ("+", (1024, 8, 8), 0)] * 4,
    ("dense", (1000,), 1_025_000),
]


def layer_table(model: nn.Module, size: int) -> list[Row]:
    """The layers in the order in which they end."""
    rows: list[Row] = []

    def note(layer: nn.Module, _: tuple[Tensor, ...], output: Tensor) -> None:
        params = 0 if isinstance(layer, ResidualUnit) else sum(p.numel() for p in layer.parameters())
        rows.append((layer_name(layer), tuple(output.shape[1:]), params))

    for layer in model.modules():
        inside = any(layer is part.conv for part in model.modules() if isinstance(part, ConvNormAct))
        if layer_name(layer) and not inside:
            layer.register_forward_hook(note)
    model(torch.empty(1, 3, size, size))
    return rows


def layer_name(layer: nn.Module) -> str:
    """As the papers' tables say it; empty for what they do not list."""
    conv = layer.conv if isinstance(layer, ConvNormAct) else layer
    if isinstance(conv, nn.Conv2d):
        stride = "" if conv.stride == (1, 1) else f" / {conv.stride[0]}"
        return f"conv {conv.kernel_size[0]}x{conv.kernel_size[1]}{stride}"
    if isinstance(layer, nn.MaxPool2d):
        return "maxpool"
    if isinstance(layer, ResidualUnit):
        return "+"
    return "dense" if isinstance(layer, nn.Linear) else ""


def test_darknet19_has_the_layers_of_the_papers_table() -> None:
    with torch.device("meta"):
        assert layer_table(darknet19().eval(), 224) == DARKNET19
    names = [name for name, _, _ in DARKNET19]
    assert sum(name.startswith("conv") for name in names) == 19
    assert names.count("maxpool") == 5


def test_darknet53_has_the_layers_of_the_papers_table() -> None:
    with torch.device("meta"):
        assert layer_table(darknet53().eval(), 256) == DARKNET53
    names = [name for name, _, _ in DARKNET53]
    assert sum(name.startswith(("conv", "dense")) for name in names) == 53
    assert names.count("+") == 1 + 2 + 8 + 8 + 4


def test_darknet19_takes_the_5_58_billion_operations_of_the_paper() -> None:
    # Section 3 of "YOLO9000"; a multiply-accumulate is two operations.
    assert round(2 * model_facts("darknet19").macs / 1e9, 2) == 5.58


def test_darknet53_computes_what_timm_computes() -> None:
    peer = timm.create_model("darknet53")
    for layer in peer.modules():
        if isinstance(layer, nn.LeakyReLU):
            layer.negative_slope = 0.1  # the papers'; timm has torch's 0.01
    assert_same_outputs(create_model("darknet53"), peer, TIMM, size=64)


def test_every_activation_is_a_leaky_relu_of_slope_a_tenth() -> None:
    for build, count in ((darknet19, 18), (darknet53, 52)):
        with torch.device("meta"):
            model = build()
        units = [layer.activation for layer in model.modules() if isinstance(layer, ConvNormAct)]
        assert len(units) == count
        assert {activation(torch.tensor(-1.0)).item() for activation in units} == {torch.tensor(-0.1).item()}


def test_classifying_each_place_and_averaging_is_classifying_the_average() -> None:
    torch.manual_seed(0)
    model = darknet19(width=0.125, num_classes=7).eval()
    maps = torch.randn(2, 128, 3, 4)
    dense = maps.mean(dim=(2, 3)) @ model.head.weight[:, :, 0, 0].T + model.head.bias
    torch.testing.assert_close(model.classify({"stage5": maps}), dense)


def test_a_unit_whose_residual_is_zero_passes_its_input_on() -> None:
    unit = ResidualUnit(8, 4).eval()
    nn.init.zeros_(unit.residual[1].norm.weight)
    x = torch.randn(2, 8, 5, 5)
    assert torch.equal(unit(x), x)  # negative values too: nothing follows the sum
