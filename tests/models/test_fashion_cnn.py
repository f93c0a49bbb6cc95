"""The Fashion-MNIST network against the same network in Keras, with Keras's weights."""

import os

os.environ["KERAS_BACKEND"] = "torch"

import keras  # type: ignore[import-untyped]
import pytest
import torch
from keras.layers import (  # type: ignore[import-untyped]
    Conv2D,
    Dense,
    Dropout,
    Flatten,
    MaxPooling2D,
)
from torch import Tensor, nn

from striate.models.fashion_cnn import FashionCNN, fashion_cnn


@pytest.fixture(scope="module")
def peer() -> keras.Sequential:
    keras.utils.set_random_seed(0)
    weights = {"kernel_initializer": "he_normal", "bias_initializer": "random_normal"}
    same = {"padding": "same", "activation": "relu", **weights}
    dense = {"activation": "relu", **weights}
    return keras.Sequential(
        [
            keras.Input((28, 28, 1)),
            Conv2D(64, 7, **same),
            MaxPooling2D(2),
            Conv2D(128, 3, **same),
            Conv2D(128, 3, **same),
            MaxPooling2D(2),
            Conv2D(256, 3, **same),
            Conv2D(256, 3, **same),
            MaxPooling2D(2),
            Flatten(),
            Dense(128, **dense),
            Dropout(0.5),
            Dense(64, **dense),
            Dropout(0.5),
            Dense(10, **weights),
        ]
    )


def layers_with_weights(model: FashionCNN) -> list[nn.Conv2d | nn.Linear]:
    return [layer for layer in model.modules() if isinstance(layer, nn.Conv2d | nn.Linear)]


def copy_weights(peer: keras.Sequential, model: FashionCNN) -> None:
    theirs = [layer for layer in peer.layers if layer.weights]
    for layer, other in zip(layers_with_weights(model), theirs, strict=True):
        kernel, bias = (weight.value.detach().cpu() for weight in other.weights)
        if isinstance(layer, nn.Conv2d):
            kernel = kernel.permute(3, 2, 0, 1)  # (h, w, in, out) -> (out, in, h, w)
        elif len(kernel) == 3 * 3 * 256:
            kernel = kernel.view(3, 3, 256, 128).permute(3, 2, 0, 1).flatten(1)  # flattened as H, W, C there
        else:
            kernel = kernel.T
        with torch.no_grad():
            layer.weight.copy_(kernel)
            layer.bias.copy_(bias)  # type: ignore[union-attr]


def test_it_computes_what_keras_computes(peer: keras.Sequential) -> None:
    model = fashion_cnn().eval()
    copy_weights(peer, model)
    pictures = torch.randn(6, 1, 28, 28, generator=torch.Generator().manual_seed(0))
    expected: Tensor = peer(pictures.permute(0, 2, 3, 1), training=False).detach().cpu()
    assert expected.std() > 0.1  # there is something to compare
    torch.testing.assert_close(model(pictures).detach(), expected, atol=1e-4, rtol=1e-4)


def test_every_layer_has_as_many_parameters_as_in_keras(peer: keras.Sequential) -> None:
    ours = [sum(p.numel() for p in layer.parameters()) for layer in layers_with_weights(fashion_cnn())]
    assert ours == [layer.count_params() for layer in peer.layers if layer.weights]
    assert ours == [3_200, 73_856, 147_584, 295_168, 590_080, 295_040, 8_256, 650]
    assert sum(ours) == peer.count_params() == 1_413_834


def test_feature_maps_have_the_sizes_of_the_table() -> None:
    maps = fashion_cnn().features(torch.zeros(1, 1, 28, 28))
    assert [tuple(m.shape[1:]) for m in maps.values()] == [(64, 14, 14), (128, 7, 7), (256, 3, 3)]


def test_dropout_works_in_training_only() -> None:
    torch.manual_seed(0)
    model, pictures = fashion_cnn(), torch.randn(2, 1, 28, 28)
    assert not torch.equal(model.train()(pictures), model(pictures))
    assert torch.equal(model.eval()(pictures), model(pictures))
    assert [layer.p for layer in model.modules() if isinstance(layer, nn.Dropout)] == [0.5, 0.5]


def test_the_width_scales_every_convolution() -> None:
    model = fashion_cnn(width=8)
    channels = [layer.out_channels for layer in model.modules() if isinstance(layer, nn.Conv2d)]
    assert channels == [8, 16, 16, 32, 32]
    assert [info.channels for info in model.feature_info] == [8, 16, 32]


def test_kernels_start_with_the_variance_of_he() -> None:
    torch.manual_seed(0)
    for layer in layers_with_weights(fashion_cnn()):
        fan_in = layer.weight[0].numel()
        assert layer.weight.std().item() == pytest.approx((2 / fan_in) ** 0.5, rel=0.1)
        assert layer.bias is not None
        assert not layer.bias.any()
