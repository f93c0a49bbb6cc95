"""One pass against windows one by one: the same numbers where nothing pads, for every kind of head."""

import pytest
import torch
import torch.nn.functional as F
from rounding import BF16, bf16_tolerance, root_mean_square, weighted_layers
from torch import Tensor, nn

from striate.errors import InputError
from striate.models.backbone import Backbone, FeatureInfo
from striate.models.catalog import create_model, list_models, model_facts, options
from striate.tasks.classifier import Classifier
from striate.tasks.detection.fully_convolutional import dense_as_convolution, fully_convolutional
from striate.tasks.localization.task import Localizer
from striate.tasks.task import Outputs


class Patches(Backbone):
    """Layers that do not overlap, 224 -> 7x7x100, and a dense layer of 200 units."""

    def __init__(self, num_classes: int) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 24, 8, 8), nn.ReLU())
        self.stages = nn.ModuleDict({"stage1": nn.Sequential(nn.Conv2d(24, 100, 4, 4), nn.ReLU())})
        self.head = nn.Sequential(
            nn.Flatten(), nn.Linear(7 * 7 * 100, 200), nn.ReLU(), nn.Dropout(0.5), nn.Linear(200, num_classes)
        )
        self.feature_info = [FeatureInfo("stem", 24, 8), FeatureInfo("stage1", 100, 32)]

    def features(self, x: Tensor) -> dict[str, Tensor]:
        maps = {"stem": self.stem(x)}
        maps["stage1"] = self.stages["stage1"](maps["stem"])
        return maps

    def classify(self, features: dict[str, Tensor]) -> Tensor:
        return self.head(features["stage1"])


class Overlapping(Backbone):
    """VALID layers that overlap and a head that pools what is left: 33 -> 5x5."""

    def __init__(self, num_classes: int) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 8, 5, 2), nn.ReLU(), nn.MaxPool2d(3, 1))
        self.stages = nn.ModuleDict({"stage1": nn.Sequential(nn.Conv2d(8, 20, 4, 2), nn.Tanh())})
        self.head = nn.Linear(20, num_classes)
        self.feature_info = [FeatureInfo("stem", 8, 2), FeatureInfo("stage1", 20, 4)]

    def features(self, x: Tensor) -> dict[str, Tensor]:
        maps = {"stem": self.stem(x)}
        maps["stage1"] = self.stages["stage1"](maps["stem"])
        return maps

    def classify(self, features: dict[str, Tensor]) -> Tensor:
        return self.head(features["stage1"].mean((2, 3)))


def slim(name: str, num_classes: int) -> Backbone:
    """A narrow network of the catalogue whose signal is alive: its normalizations know its own statistics."""
    torch.manual_seed(0)
    facts = model_facts(name)
    width = {"fashion_cnn": 8}.get(name, 0.25)
    arguments = {"width": width} if "width" in options(facts.build) else {}
    backbone = create_model(name, num_classes=num_classes, **arguments)
    norms = [module for module in backbone.modules() if isinstance(module, nn.BatchNorm2d)]
    for norm in norms:
        norm.momentum = None  # the plain mean over all batches
    if norms:
        with torch.no_grad():
            backbone.train()(torch.randn(4, *facts.input))
    return backbone.eval()


def assert_equal(ours: Outputs, expected: Outputs) -> None:
    """Equal to 1e-5 of what the outputs are, or of how they vary, whichever is more."""
    assert ours.keys() == expected.keys()
    for name, value in expected.items():
        scale = max(1.0, float(value.abs().max()))
        torch.testing.assert_close(ours[name], value, atol=1e-5 * scale, rtol=0, msg=name)


@torch.no_grad()
def at_every_window(network: nn.Module, pictures: Tensor, window: tuple[int, int], stride: int) -> Outputs:
    rows = []
    for top in range(0, pictures.shape[2] - window[0] + 1, stride):
        row = []
        for left in range(0, pictures.shape[3] - window[1] + 1, stride):
            row.append(network(pictures[:, :, top : top + window[0], left : left + window[1]]))
        rows.append({name: torch.stack([outputs[name] for outputs in row], dim=-1) for name in row[0]})
    return {name: torch.stack([row[name] for row in rows], dim=-2) for name in rows[0]}


# The reference's network --------------------------------------------------------------------------------


def test_64_windows_of_224_in_a_picture_of_448_give_8x8_times_10_numbers_in_one_pass() -> None:
    torch.manual_seed(0)
    localizer = Localizer(Patches(5), objectness=True).eval()
    picture = torch.randn(1, 3, 448, 448)
    network = fully_convolutional(localizer, (224, 224))
    with torch.no_grad():
        found = network(picture)
    shapes = {name: tuple(value.shape) for name, value in found.items()}
    assert shapes == {
        "logits": (1, 5, 8, 8),
        "boxes_norm": (1, 4, 8, 8),
        "objectness_logits": (1, 8, 8),
    }
    assert_equal(found, at_every_window(localizer, picture, (224, 224), 32))
    assert all(value.std() > 1e-3 for value in found.values())  # the windows do differ


def test_a_picture_of_the_trained_size_gives_one_position() -> None:
    torch.manual_seed(0)
    classifier = Classifier(Patches(5)).eval()
    pictures = torch.randn(3, 3, 224, 224)
    with torch.no_grad():
        found = fully_convolutional(classifier, (224, 224))(pictures)
        assert_equal({"logits": found["logits"][..., 0, 0]}, classifier(pictures))
    assert found["logits"].shape == (3, 5, 1, 1)


def test_a_dense_layer_over_7x7x100_is_a_7x7_convolution_with_200_filters_of_the_same_weights() -> None:
    dense = nn.Linear(7 * 7 * 100, 200)
    with torch.no_grad():
        convolution = dense_as_convolution(dense, 100, (7, 7))
    assert convolution.weight.shape == (200, 100, 7, 7)
    assert torch.equal(convolution.weight.flatten(1), dense.weight)
    assert torch.equal(convolution.bias, dense.bias)
    maps = torch.randn(2, 100, 14, 14)
    torch.testing.assert_close(
        convolution(maps)[:, :, 3, 5], dense(maps[:, :, 3:10, 5:12].flatten(1)), atol=1e-5, rtol=0
    )


@pytest.mark.parametrize("size", [(7, 7), (1, 1), (4, 9), (13, 5)], ids=str)
def test_pooling_to_the_grid_goes_into_the_weights(size: tuple[int, int]) -> None:
    torch.manual_seed(0)
    dense, maps = nn.Linear(7 * 7 * 6, 10, bias=False), torch.randn(2, 6, *size)
    with torch.no_grad():
        found = dense_as_convolution(dense, 6, size)(maps)[..., 0, 0]
        expected = dense(F.adaptive_avg_pool2d(maps, 7).flatten(1))
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)


# Networks without padding -------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["lenet5", "lenet5_1998"])
@pytest.mark.parametrize("side", [32, 40])  # one position and nine
def test_lenet_gives_the_same_for_every_window(name: str, side: int) -> None:
    torch.manual_seed(0)
    localizer = Localizer(create_model(name, num_classes=7)).eval()
    pictures = torch.randn(2, 1, 64, 52)
    network = fully_convolutional(localizer, (side, side), in_channels=1)
    with torch.no_grad():
        assert_equal(network(pictures), at_every_window(localizer, pictures, (side, side), 4))


def test_overlapping_layers_without_padding_give_the_same_for_every_window() -> None:
    torch.manual_seed(0)
    localizer = Localizer(Overlapping(4), objectness=True).eval()
    pictures = torch.randn(2, 3, 45, 61)
    with torch.no_grad():
        found = fully_convolutional(localizer, (33, 33))(pictures)
    assert found["logits"].shape == (2, 4, 4, 8)
    assert_equal(found, at_every_window(localizer, pictures, (33, 33), 4))


def test_windows_need_not_be_square() -> None:
    torch.manual_seed(0)
    localizer = Localizer(Overlapping(4)).eval()
    pictures = torch.randn(1, 3, 45, 61)
    with torch.no_grad():
        found = fully_convolutional(localizer, (29, 41))(pictures)
    assert_equal(found, at_every_window(localizer, pictures, (29, 41), 4))


# Every head of the catalogue ----------------------------------------------------------------------------

SOME = [  # each head once or more; the others have the head of one of them
    "lenet5_1998", "lenet5", "alexnet_2012", "alexnet", "zfnet", "fashion_cnn", "compact_cnn", "vgg11",
    "vgg11_bn", "googlenet", "resnet18", "resnet20", "darknet19", "mobilenet_v2", "se_resnet18",
]  # fmt: skip


@pytest.mark.parametrize("name", SOME)
def test_every_head_is_converted_with_its_numbers(name: str) -> None:
    channels, height, width = model_facts(name).input
    localizer = Localizer(slim(name, 5)).eval()
    network = fully_convolutional(localizer, (height, width), channels)
    pictures = torch.randn(2, channels, height, width)
    with torch.no_grad():
        found = {name: value[..., 0, 0] for name, value in network(pictures).items()}
        assert_equal(found, localizer(pictures))
        wider = network(torch.randn(1, channels, height + network.stride, width + 2 * network.stride))
    assert wider["logits"].shape == (1, 5, 2, 3)


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in list_models() if name not in {*SOME, "capsnet"}])
def test_every_network_is_converted_with_its_numbers(name: str) -> None:
    test_every_head_is_converted_with_its_numbers(name)


def test_a_window_of_another_size_than_the_papers_is_pooled_to_the_grid_as_in_training() -> None:
    classifier = Classifier(slim("vgg11", 5)).eval()
    pictures = torch.randn(2, 3, 96, 160)  # maps of 3x5, brought to 7x7
    with torch.no_grad():
        found = fully_convolutional(classifier, (96, 160))(pictures)["logits"]
        assert_equal({"logits": found[..., 0, 0]}, classifier(pictures))


def test_with_padding_the_positions_are_right_but_the_numbers_only_near() -> None:
    """Windows see zeros where the picture goes on; far from that, in its middle, all is the same."""
    backbone = slim("vgg11", 5)
    classifier = Classifier(backbone).eval()
    blank = torch.zeros(1, 3, 320, 320)
    blank[..., 100:120, 260:280] = 3  # in the windows of the last column, and in those only
    with torch.no_grad():
        found = fully_convolutional(classifier, (224, 224))(blank)["logits"]
        without = fully_convolutional(classifier, (224, 224))(torch.zeros_like(blank))["logits"]
        alone = classifier(blank[..., 64:288, 64:288])["logits"]
    assert found.shape == (1, 5, 4, 4)
    change = (found - without).abs().sum((0, 1))
    assert change[:, 3].min() > 5 * change[:, 0].max()
    assert not torch.allclose(found[..., 2, 2], alone, atol=1e-5)


def test_the_weights_are_copies_and_the_backbone_is_not() -> None:
    classifier = Classifier(Patches(5))
    network = fully_convolutional(classifier, (224, 224))
    assert network.backbone is classifier.backbone
    assert not network.training
    heads = {parameter.data_ptr() for parameter in network.classes.parameters()}
    assert heads.isdisjoint(parameter.data_ptr() for parameter in classifier.parameters())


def wrong_in_bf16(network: nn.Module, pictures: Tensor) -> list[str]:
    """The convolutions of ``network`` that torch itself computes wrongly in bf16 on this processor: farther
    from those of the same rounded numbers in fp32 than rounding one result explains."""
    seen: list[str] = []

    def compare(layer: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        x, weight = inputs[0].bfloat16(), layer.weight.bfloat16()  # type: ignore[operator]
        found = F.conv2d(x, weight, None, layer.stride, layer.padding)  # type: ignore[arg-type]
        exact = F.conv2d(x.double(), weight.double(), None, layer.stride, layer.padding)  # type: ignore[arg-type]
        # fp32 sums err by far less than the rounding of the result to 8 bits
        if (found.double() - exact).abs().max() > 2 * BF16 * exact.abs().max():
            seen.append(str(layer))

    layers = [layer for layer in network.modules() if isinstance(layer, nn.Conv2d)]
    handles = [layer.register_forward_hook(compare) for layer in layers]
    network(pictures)
    for handle in handles:
        handle.remove()
    return seen


@pytest.mark.parametrize("onednn", [True, False], ids=["with oneDNN", "without"])
@torch.no_grad()
def test_it_takes_a_bare_backbone_and_works_in_bf16_and_channels_last(
    onednn: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.backends.mkldnn, "enabled", onednn)
    torch.manual_seed(0)
    network = fully_convolutional(Patches(5), (224, 224)).to(memory_format=torch.channels_last)
    pictures = torch.randn(1, 3, 256, 256).to(memory_format=torch.channels_last)
    if wrong := wrong_in_bf16(network, pictures):  # as oneDNN's for AMX were found to be, pytorch#169688
        pytest.skip(f"torch's own bf16 convolution gives wrong numbers here: {', '.join(wrong)}")
    exact = network(pictures)["logits"]
    with torch.autocast("cpu", torch.bfloat16):
        rounded = network(pictures)["logits"]
    assert rounded.dtype == torch.bfloat16
    tolerance = bf16_tolerance(root_mean_square(exact), weighted_layers(network))
    torch.testing.assert_close(rounded.float(), exact, atol=tolerance, rtol=0)


# Refusals -----------------------------------------------------------------------------------------------


def test_capsules_are_refused() -> None:
    with pytest.raises(InputError, match="CapsNet is no dense layer"):
        fully_convolutional(create_model("capsnet", width=0.0625), (28, 28), in_channels=1)


def test_a_head_that_does_more_than_it_shows_is_refused() -> None:
    class Squared(Patches):
        def classify(self, features: dict[str, Tensor]) -> Tensor:
            return self.head(features["stage1"] ** 2)

    with pytest.raises(InputError, match="Squared is no dense layer"):
        fully_convolutional(Squared(5), (224, 224))
