"""Xception against Keras with the same weights, and against the counts of the paper."""

from collections import Counter
from collections.abc import Callable
from typing import Any

import keras
import pytest
import torch
from keras.src.applications import xception as source_of_keras
from keras_parity import assert_same_outputs_as_keras, params_and_statistics
from torch import nn

from striate.layers import SeparableConv2d
from striate.models.key_maps.xception import KERAS
from striate.models.xception import SeparableConvNormAct, XceptionUnit, xception


def keras_network(size: int) -> keras.Model:
    keras.utils.clear_session()  # it numbers the unnamed shortcuts from the start of the session
    return keras.applications.Xception(weights=None, input_shape=(size, size, 3), classifier_activation=None)


@pytest.mark.parametrize("size", [71, 96])  # the maps that meet a stride are all odd; two odd, two even
def test_it_computes_what_keras_computes(size: int) -> None:
    assert_same_outputs_as_keras(xception(), keras_network(size), KERAS)


class LayersOfKeras1:
    """Keras's layers under the names that the first Keras gave them: counted by kind, in order of making."""

    words = {  # noqa: RUF012
        "Conv2D": "convolution2d",
        "SeparableConv2D": "separableconvolution2d",
        "BatchNormalization": "batchnormalization",
        "Dense": "dense",
    }

    def __init__(self) -> None:
        self.made = Counter(Dense=1)  # the one in the published file was the second of its session

    def __getattr__(self, kind: str) -> Callable[..., Any]:
        def make(*arguments: Any, name: str | None = None, **options: Any) -> Any:
            if kind in self.words:
                self.made[kind] += 1
                options["name"] = f"{self.words[kind]}_{self.made[kind]}"
            return getattr(keras.layers, kind)(*arguments, **options)

        return make


def test_the_published_file_is_understood_by_its_older_names(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(source_of_keras, "layers", LayersOfKeras1())
    peer = keras_network(71)
    assert {"convolution2d_6", "separableconvolution2d_34", "batchnormalization_40", "dense_2"} < {
        layer.name for layer in peer.layers
    }
    assert_same_outputs_as_keras(xception(), peer, KERAS)


def test_it_has_2_regular_and_34_separable_convolutions_and_4_shortcuts() -> None:
    with torch.device("meta"):
        layers = dict(xception().named_modules())
    convolutions = [name for name, layer in layers.items() if isinstance(layer, nn.Conv2d)]
    separable = [name for name, layer in layers.items() if isinstance(layer, SeparableConv2d)]
    assert len(separable) == 34
    assert [name for name in convolutions if not name.endswith(("wise", "shortcut.conv"))] == [
        "stem.0.conv",
        "stem.1.conv",
    ]
    assert sum(name.endswith("shortcut.conv") for name in convolutions) == 4


def test_with_statistics_it_has_the_values_that_keras_counts() -> None:
    with torch.device("meta"):
        assert params_and_statistics(xception()) == 22_910_480


def test_a_unit_whose_residual_is_zero_passes_its_input_on() -> None:
    unit = XceptionUnit(8, (8, 8, 8)).eval()
    last = unit.residual[-1]
    assert isinstance(last, SeparableConvNormAct)
    nn.init.zeros_(last.norm.weight)
    x = torch.randn(2, 8, 5, 5)
    before = x.clone()
    assert torch.equal(unit(x), before)  # no ReLU wrote into x before it was added
