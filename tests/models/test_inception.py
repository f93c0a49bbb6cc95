"""Inception-v3 against torchvision and -v4 against timm with the same weights, and against the papers."""

import pytest
import timm
import torch
import torchvision  # type: ignore[import-untyped]
from parity import assert_close, assert_same_outputs, randomize
from torch import Tensor, nn

from striate.models.backbone import Backbone
from striate.models.catalog import create_model
from striate.models.inception_v3 import inception_v3
from striate.models.inception_v4 import inception_v4
from striate.models.key_maps.inception import TIMM, TORCHVISION
from striate.models.key_maps.renaming import convert
from striate.tasks.classification import ClassificationTask


def torchvision_inception_v3(auxiliary: bool) -> nn.Module:
    peer: nn.Module = torchvision.models.inception_v3(
        aux_logits=auxiliary, init_weights=False, transform_input=False
    )
    return peer


def test_inception_v3_computes_what_torchvision_computes() -> None:
    assert_same_outputs(inception_v3(), torchvision_inception_v3(auxiliary=False), TORCHVISION, size=107)


def test_at_its_own_size_both_heads_of_inception_v3_compute_what_those_of_torchvision_compute() -> None:
    ours, peer = inception_v3(auxiliary=True).eval(), torchvision_inception_v3(auxiliary=True).eval()
    randomize(peer)
    ours.load_state_dict(convert(ours, peer.state_dict(), TORCHVISION), assign=True)
    pictures = torch.randn(2, 3, 299, 299, generator=torch.Generator().manual_seed(1))
    peer.training = True  # of the network alone: it gives both logits, and its layers stay in evaluation
    with torch.no_grad():
        expected, expected_auxiliary = peer(pictures)
        features = ours.features(pictures)
        logits, auxiliary = ours.classify(features), ours.auxiliary(pictures, features)
    assert_close(logits, expected)
    assert auxiliary.keys() == {"auxiliary1"}
    assert_close(auxiliary["auxiliary1"], expected_auxiliary)


def test_inception_v4_computes_what_timm_computes() -> None:
    assert_same_outputs(inception_v4(), timm.create_model("inception_v4"), TIMM, size=107)


def test_an_auxiliary_head_adds_its_parameters_and_is_off_unless_asked_for() -> None:
    with torch.device("meta"):
        without, with_head = create_model("inception_v3"), create_model("inception_v3", auxiliary=True)
    assert parameters(without) == 23_834_568
    assert parameters(with_head) == 27_161_264
    assert without.auxiliary(torch.empty(0), {}) == {}


def test_keras_counts_the_same_network_without_scales_and_with_statistics() -> None:
    with torch.device("meta"):
        model = create_model("inception_v3")
    scales = sum(layer.num_features for layer in model.modules() if isinstance(layer, nn.BatchNorm2d))
    assert parameters(model) - scales + 2 * scales == 23_851_784


@pytest.mark.parametrize("size", [(75, 75), (107, 139), (331, 299)])
def test_the_auxiliary_head_learns_at_any_size_in_training_only(size: tuple[int, int]) -> None:
    task = ClassificationTask([str(label) for label in range(10)])
    torch.manual_seed(0)
    backbone = create_model("inception_v3", num_classes=10, auxiliary=True, width=0.125)
    classifier = task.build(backbone, task.classes)
    pictures, targets = torch.randn(4, 3, *size), torch.arange(4)
    outputs = classifier.train()(pictures)
    assert {name: logits.shape for name, logits in outputs.items()} == {
        "logits": (4, 10),
        "auxiliary1": (4, 10),
    }
    task.loss(outputs, targets)["auxiliary"].backward()
    for name, parameter in backbone.named_parameters():
        after = name.startswith(("stages.mixed7", "head."))
        assert (parameter.grad is None) == after, name
        assert after or (parameter.grad is not None and parameter.grad.any()), name
    with torch.no_grad():
        assert classifier.eval()(pictures).keys() == {"logits"}


def test_maps_of_inception_v3_have_the_sizes_of_the_paper() -> None:
    with torch.device("meta"):
        model = create_model("inception_v3").eval()
        pictures = torch.empty(1, 3, 299, 299)
    assert shapes_in_a_row(model.get_submodule("stem"), pictures) == [
        (32, 149), (32, 147), (64, 147), (64, 73), (80, 73), (192, 71), (192, 35),
    ]  # fmt: skip
    assert shapes_of_features(model, pictures) == {
        "stem": (192, 35),
        "mixed5b": (256, 35),
        "mixed5c": (288, 35),
        "mixed5d": (288, 35),
        "mixed6a": (768, 17),
        "mixed6b": (768, 17),
        "mixed6c": (768, 17),
        "mixed6d": (768, 17),
        "mixed6e": (768, 17),
        "mixed7a": (1280, 8),
        "mixed7b": (2048, 8),
        "mixed7c": (2048, 8),
    }


def test_maps_of_inception_v4_have_the_sizes_of_the_paper() -> None:
    with torch.device("meta"):
        model = create_model("inception_v4").eval()
        pictures = torch.empty(1, 3, 299, 299)
    assert shapes_in_a_row(model.get_submodule("stem"), pictures) == [
        (32, 149), (32, 147), (64, 147), (160, 73), (192, 71), (384, 35),
    ]  # fmt: skip
    assert shapes_of_features(model, pictures) == {
        "stem": (384, 35),
        **{f"inception_a{index}": (384, 35) for index in (1, 2, 3, 4)},
        "reduction_a": (1024, 17),
        **{f"inception_b{index}": (1024, 17) for index in (1, 2, 3, 4, 5, 6, 7)},
        "reduction_b": (1536, 8),
        **{f"inception_c{index}": (1536, 8) for index in (1, 2, 3)},
    }


@pytest.mark.parametrize("name", ["inception_v3", "inception_v4"])
@pytest.mark.parametrize("width", [0.07, 0.3, 1.5])
def test_modules_of_any_width_fit_one_another(name: str, width: float) -> None:
    with torch.device("meta"):
        model = create_model(name, width=width).eval()
        features = model.features(torch.empty(1, 3, 75, 75))
    channels = [maps.shape[1] for maps in features.values()]
    assert channels == [info.channels for info in model.feature_info]


def parameters(model: nn.Module) -> int:
    """The number of its trainable values."""
    return sum(parameter.numel() for parameter in model.parameters())


def shapes_in_a_row(layers: nn.Module, x: Tensor) -> list[tuple[int, int]]:
    """Channels and side of the output of each layer of a sequence."""
    shapes = []
    for layer in layers.children():
        x = layer(x)
        shapes.append(channels_and_side(x))
    return shapes


def shapes_of_features(model: Backbone, pictures: Tensor) -> dict[str, tuple[int, int]]:
    """Channels and side of each feature map."""
    return {name: channels_and_side(maps) for name, maps in model.features(pictures).items()}


def channels_and_side(maps: Tensor) -> tuple[int, int]:
    """Of square maps (N, channels, side, side)."""
    _, channels, height, width = maps.shape
    assert height == width
    return channels, height
