"""ResNet against torchvision with the same weights, and against the counts of the paper."""

import pytest
import torch
import torchvision  # type: ignore[import-untyped]
from parity import assert_same_outputs
from torch import nn

from striate.models.catalog import create_model
from striate.models.key_maps.resnet import TORCHVISION
from striate.models.resnet import BasicUnit, resnet34


@pytest.mark.parametrize("name", ["resnet18", "resnet34", "resnet50", "resnet101", "resnet152"])
def test_it_computes_what_torchvision_computes(name: str) -> None:
    assert_same_outputs(create_model(name), getattr(torchvision.models, name)(), TORCHVISION, size=64)


def test_with_strides_in_the_first_1x1_it_computes_what_torchvision_computes_with_its_strides_moved() -> None:
    peer = torchvision.models.resnet50()
    for layer in peer.modules():
        if isinstance(layer, torchvision.models.resnet.Bottleneck):
            layer.conv1.stride, layer.conv2.stride = layer.conv2.stride, layer.conv1.stride
    assert_same_outputs(create_model("resnet50_v1"), peer, TORCHVISION, size=64)


def test_resnet34_with_ten_classes_has_the_values_of_the_reference() -> None:
    with torch.device("meta"):
        model = resnet34(num_classes=10)
    trained = sum(p.numel() for p in model.parameters())
    statistics = sum(2 * layer.num_features for layer in model.modules() if isinstance(layer, nn.BatchNorm2d))
    assert (trained, statistics, trained + statistics) == (21_289_802, 17_024, 21_306_826)


def test_a_unit_whose_residual_is_zero_passes_its_input_on() -> None:
    unit = BasicUnit(8, 8).eval()
    nn.init.zeros_(unit.residual[1].norm.weight)
    x = torch.rand(2, 8, 5, 5)
    assert torch.equal(unit(x), x)


def test_the_stride_position_changes_the_arithmetic_but_not_the_parameters() -> None:
    with torch.device("meta"):
        first, usual = create_model("resnet50_v1"), create_model("resnet50")
    strides = [
        layer.stride[0]
        for layer in first.modules()
        if isinstance(layer, nn.Conv2d) and layer.kernel_size == (3, 3)
    ]
    assert set(strides) == {1}
    assert sum(p.numel() for p in first.parameters()) == sum(p.numel() for p in usual.parameters())
