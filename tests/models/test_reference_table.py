"""The networks against the table of the literature: parameters, arithmetic, and how others count them."""

import inspect
import sys
from typing import Any

import pytest
import torch
from contracts.model_contract import multiply_accumulates
from torch import nn

from striate.models.backbone import Backbone
from striate.models.catalog import CATALOG, create_model
from striate.models.senet import SEBottleneckUnit

# Network, arguments, parameters, GMAC (None where the table has none), its decimals, input.
TABLE: list[tuple[str, dict[str, Any], int, float | None, int, tuple[int, int, int]]] = [
    ("lenet5_1998", {}, 60_000, None, 4, (1, 32, 32)),
    ("lenet5", {}, 61_706, 0.0004, 4, (1, 32, 32)),
    ("alexnet_2012", {}, 60_965_224, 0.724, 3, (3, 227, 227)),
    ("alexnet_2012_ungrouped", {}, 62_378_344, 1.135, 3, (3, 227, 227)),
    ("alexnet", {}, 61_100_840, 0.714, 3, (3, 224, 224)),
    ("zfnet", {}, 62_357_608, 1.168, 3, (3, 224, 224)),
    ("googlenet_2014", {}, 6_998_552, 1.583, 3, (3, 224, 224)),
    ("googlenet_2014", {"auxiliary": True}, 13_378_280, 1.583, 3, (3, 224, 224)),
    ("googlenet", {}, 6_624_904, 1.498, 3, (3, 224, 224)),
    ("googlenet", {"auxiliary": True}, 13_004_888, 1.498, 3, (3, 224, 224)),
    ("inception_v3", {}, 23_834_568, 5.713, 3, (3, 299, 299)),
    ("inception_v3", {"auxiliary": True}, 27_161_264, 5.713, 3, (3, 299, 299)),
    ("inception_v4", {}, 42_679_816, 12.254, 3, (3, 299, 299)),
    ("vgg16", {}, 138_357_544, 15.470, 3, (3, 224, 224)),
    ("vgg19", {}, 143_667_240, 19.632, 3, (3, 224, 224)),
    ("resnet18", {}, 11_689_512, 1.814, 3, (3, 224, 224)),
    ("resnet34", {}, 21_797_672, 3.664, 3, (3, 224, 224)),
    ("resnet34", {"num_classes": 10}, 21_289_802, None, 3, (3, 224, 224)),
    ("resnet50", {}, 25_557_032, 4.089, 3, (3, 224, 224)),
    ("resnet101", {}, 44_549_160, 7.801, 3, (3, 224, 224)),
    ("resnet152", {}, 60_192_808, 11.514, 3, (3, 224, 224)),
    ("xception", {}, 22_855_952, 8.357, 3, (3, 299, 299)),
    ("se_resnet50", {}, 28_088_024, 3.860, 3, (3, 224, 224)),
    ("se_resnet101", {}, 49_326_872, 7.575, 3, (3, 224, 224)),
    ("se_resnet152", {}, 66_821_848, 11.289, 3, (3, 224, 224)),
    ("senet154", {}, 115_088_984, 20.688, 3, (3, 224, 224)),
    ("mobilenet", {}, 4_231_976, 0.569, 3, (3, 224, 224)),
    ("mobilenet_v2", {}, 3_504_872, 0.301, 3, (3, 224, 224)),
    ("darknet19", {}, 20_842_376, 2.791, 3, (3, 224, 224)),
    ("darknet53", {}, 41_609_928, 9.285, 3, (3, 256, 256)),
    ("capsnet", {}, 8_215_568, None, 3, (1, 28, 28)),
    ("capsnet", {"decoder": False}, 6_804_224, None, 3, (1, 28, 28)),
    # Thin and wide ones, of which the table of the literature says only that they exist.
    ("mobilenet", {"width": 0.75}, 2_585_560, 0.325, 3, (3, 224, 224)),
    ("mobilenet", {"width": 0.5}, 1_331_592, 0.149, 3, (3, 224, 224)),
    ("mobilenet", {"width": 0.25}, 470_072, 0.041, 3, (3, 224, 224)),
    ("mobilenet_v2", {"width": 1.4}, 6_108_776, 0.582, 3, (3, 224, 224)),
    ("mobilenet_v2", {"width": 0.5}, 1_968_680, 0.097, 3, (3, 224, 224)),
]


def gmacs(model: nn.Module, *shape: int) -> float:
    macs: int = multiply_accumulates(model.eval(), torch.empty(1, *shape, device="meta"))
    return macs / 1e9


def parameters(model: nn.Module) -> int:
    return sum(p.numel() for p in model.parameters())


def on_meta(name: str, **arguments: Any) -> Backbone:
    with torch.device("meta"):
        return create_model(name, **arguments)


@pytest.mark.parametrize(("name", "arguments", "params", "gmac", "decimals", "shape"), TABLE)
def test_parameters_and_arithmetic_are_those_of_the_literature(
    name: str,
    arguments: dict[str, Any],
    params: int,
    gmac: float | None,
    decimals: int,
    shape: tuple[int, int, int],
) -> None:
    model = on_meta(name, **arguments)
    assert parameters(model) == params
    if gmac is not None:
        assert round(gmacs(model, *shape), decimals) == gmac


def test_se_resnet50_with_strides_in_its_3x3_takes_the_other_arithmetic_of_the_table() -> None:
    model = on_meta("se_resnet50")
    for unit in model.modules():
        if isinstance(unit, SEBottleneckUnit):
            first, second = unit.get_submodule("residual.0.conv"), unit.get_submodule("residual.1.conv")
            first.stride, second.stride = second.stride, first.stride
    assert round(gmacs(model, 3, 224, 224), 3) == 4.092


# Those of the papers, and of the peers where their weights were trained with another.
@pytest.mark.parametrize(
    ("name", "shares"),
    [
        ("alexnet_2012", [0.5, 0.5]),
        ("alexnet", [0.5, 0.5]),
        ("zfnet", [0.5, 0.5]),
        ("vgg16", [0.5, 0.5]),
        ("vgg16_bn", [0.5, 0.5]),
        ("googlenet_2014", [0.4]),
        ("googlenet", [0.2]),
        ("inception_v3", [0.5]),
        ("inception_v4", [0.2]),
        ("xception", [0.0]),
        ("se_resnet50", [0.0]),
        ("senet154", [0.2]),
        ("se_googlenet", [0.2]),
        ("se_inception_v3", [0.5]),
        ("mobilenet", [0.001]),
        ("mobilenet_v2", [0.2]),
    ],
)
def test_unless_told_otherwise_the_head_drops_its_share(name: str, shares: list[float]) -> None:
    head = on_meta(name).get_submodule("head")
    assert [layer.p for layer in head.modules() if isinstance(layer, nn.Dropout)] == shares


# Keras counts the mean and the variance of each normalized channel too; its ResNet-50 has biases in the
# convolutions, and its Inception-v3 no scales in the normalizations.
@pytest.mark.parametrize(
    ("name", "of_each_normalized_channel", "total"),
    [
        ("resnet50", 2 + 1, 25_636_712),
        ("xception", 2, 22_910_480),
        ("mobilenet", 2, 4_253_864),
        ("mobilenet_v2", 2, 3_538_984),
        ("inception_v3", 2 - 1, 23_851_784),
    ],
)
def test_with_what_keras_counts_besides_it_has_the_total_of_keras(
    name: str, of_each_normalized_channel: int, total: int
) -> None:
    model = on_meta(name)
    normalized = sum(layer.num_features for layer in model.modules() if isinstance(layer, nn.BatchNorm2d))
    assert parameters(model) + of_each_normalized_channel * normalized == total


@pytest.mark.parametrize("name", CATALOG)
def test_the_header_of_its_page_states_the_counts_of_the_catalogue(name: str) -> None:
    facts = CATALOG[name]
    header = inspect.getdoc(sys.modules[facts.build.__module__]) or ""
    rows = [line for line in header.splitlines() if line.startswith(f"| {name} ")]
    stated = rows[0] if rows else header  # some pages have one network, or one in each column
    assert f"{facts.params:,}" in stated
    if "MAC" in header:
        assert f"{facts.macs / 1e9:.3f}" in stated or f"{facts.macs / 1e6:.1f}" in stated
