"""The same numbers from a network and its peer in Keras, with the peer's weights brought over."""

from collections.abc import Iterator

import keras
import torch
from keras.layers import DepthwiseConv2D
from parity import assert_close
from torch import Tensor, nn

from striate.models.backbone import Backbone
from striate.models.key_maps.renaming import KeyMap, convert, from_keras


def weights(peer: keras.Model) -> Iterator[tuple[keras.Layer, str, Tensor]]:
    """Layer, word and values of each weight, with the words of Keras's .h5 files (not always of Keras 3)."""
    for layer in peer.layers:
        for variable in layer.weights:
            word = "depthwise_kernel" if isinstance(layer, DepthwiseConv2D) else variable.name
            yield layer, word, variable.value.data


def randomize(peer: keras.Model, seed: int = 0) -> None:
    """Weights and statistics of a trained look, as in ``parity.randomize``, for Keras's layouts."""
    generator = torch.Generator().manual_seed(seed)
    for _, word, values in weights(peer):
        if values.ndim > 1:
            fan_in = (values.shape[:2] if word == "depthwise_kernel" else values.shape[:-1]).numel()
            values.normal_(0, (2 / fan_in) ** 0.5, generator=generator)
        elif word in ("gamma", "moving_variance"):
            values.uniform_(0.7, 1.3, generator=generator)
        else:
            values.normal_(0, 0.1, generator=generator)


def in_torch_layout(peer: keras.Model) -> dict[str, Tensor]:
    """Its weights under the names and in the shapes that key maps start from."""
    return dict(from_keras(f"{layer.name}/{word}", values) for layer, word, values in weights(peer))


def assert_same_outputs_as_keras(ours: Backbone, peer: keras.Model, key_map: KeyMap) -> None:
    """Give ``peer`` random weights, bring them over, and compare logits on random pictures of its size.

    ``peer`` is built with ``classifier_activation=None``.
    """
    randomize(peer)
    ours.load_state_dict(convert(ours, in_torch_layout(peer), key_map))
    height, width, channels = peer.input_shape[1:]
    pictures = torch.randn(2, channels, height, width, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        expected = peer(pictures.permute(0, 2, 3, 1), training=False)
        logits = ours.eval()(pictures)
    assert_close(logits, expected)


def params_and_statistics(model: nn.Module) -> int:
    """What Keras counts: trainable values, and the mean and variance of each normalized channel."""
    statistics = sum(2 * layer.num_features for layer in model.modules() if isinstance(layer, nn.BatchNorm2d))
    return sum(p.numel() for p in model.parameters()) + statistics
