"""MobileNet against Keras and V2 against torchvision, with the same weights; the counts of the papers."""

import keras
import pytest
import torch
import torchvision  # type: ignore[import-untyped]
from contracts.model_contract import multiply_accumulates
from keras_parity import assert_same_outputs_as_keras, params_and_statistics
from parity import assert_same_outputs
from torch import nn

from striate.models.catalog import create_model
from striate.models.key_maps.mobilenet import KERAS, TORCHVISION
from striate.models.mobilenet import SeparableUnit, mobilenet
from striate.models.mobilenet_v2 import InvertedResidual, in_eights, mobilenet_v2


def keras_mobilenet(height: int, width: int, alpha: float = 1.0) -> keras.Model:
    return keras.applications.MobileNet((height, width, 3), alpha, weights=None, classifier_activation=None)


# 100 x 77: 50 x 39, 25 x 19, ... Odd maps meet a stride, where Keras's zeros are not SAME.
@pytest.mark.parametrize("size", [(96, 96), (128, 128), (224, 224), (100, 77)])
def test_it_computes_what_keras_computes(size: tuple[int, int]) -> None:
    assert_same_outputs_as_keras(mobilenet(), keras_mobilenet(*size), KERAS)


@pytest.mark.parametrize("width", [0.25, 0.5, 0.75])
def test_a_thin_one_computes_what_keras_computes(width: float) -> None:
    assert_same_outputs_as_keras(mobilenet(width=width), keras_mobilenet(96, 96, width), KERAS)


@pytest.mark.parametrize(
    ("width", "million_params", "million_macs"),
    [(1.0, 4.2, 569), (0.75, 2.6, 325), (0.5, 1.3, 149), (0.25, 0.5, 41)],
)
def test_thin_ones_cost_what_table_6_of_the_paper_says(
    width: float, million_params: float, million_macs: int
) -> None:
    with torch.device("meta"):
        model = mobilenet(width=width).eval()
        macs = multiply_accumulates(model, torch.empty(1, 3, 224, 224))
    params = sum(p.numel() for p in model.parameters())
    assert (round(params / 1e6, 1), round(macs / 1e6)) == (million_params, million_macs)


@pytest.mark.parametrize(("name", "total"), [("mobilenet", 4_253_864), ("mobilenet_v2", 3_538_984)])
def test_with_statistics_it_has_the_values_that_keras_counts(name: str, total: int) -> None:
    with torch.device("meta"):
        assert params_and_statistics(create_model(name)) == total


def test_a_separable_unit_is_a_convolution_at_the_promised_share_of_the_arithmetic() -> None:
    pictures, channels = torch.zeros(1, 64, 14, 14), 64
    full = nn.Conv2d(channels, 128, 3, padding=1, bias=False)
    share = multiply_accumulates(SeparableUnit(channels, 128), pictures) / multiply_accumulates(
        full, pictures
    )
    assert share == pytest.approx(1 / 128 + 1 / 9)


@pytest.mark.parametrize("width", [0.5, 1.0, 1.4])
def test_v2_computes_what_torchvision_computes(width: float) -> None:
    peer = torchvision.models.mobilenet_v2(width_mult=width)
    assert_same_outputs(mobilenet_v2(width=width), peer, TORCHVISION, size=64)


@pytest.mark.parametrize(
    ("channels", "rounded"),
    [
        (3, 8),  # never fewer
        (12, 16),  # half way: up
        (33.6, 32),
        (11.2, 16),  # 8 is nearer, but takes away more than a tenth
        (1792, 1792),
    ],
)
def test_v2_widths_are_multiples_of_8(channels: float, rounded: int) -> None:
    assert in_eights(channels) == rounded


def test_an_inverted_residual_of_zero_passes_its_input_on() -> None:
    unit = InvertedResidual(16, 16, stride=1, expansion=6).eval()
    nn.init.zeros_(unit.residual[-1].norm.weight)
    x = torch.randn(2, 16, 5, 5)
    assert torch.equal(unit(x), x)


def test_the_thin_end_of_an_inverted_residual_is_linear() -> None:
    unit = InvertedResidual(16, 24, stride=2, expansion=6).eval()
    nn.init.constant_(unit.residual[-1].norm.bias, -9.0)
    assert (unit(torch.randn(2, 16, 6, 6)) < 0).all()
