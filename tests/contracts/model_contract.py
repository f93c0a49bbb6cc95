"""What every network keeps. A new one gets all of these tests by one line:

class TestNewNet(ModelContract): name = "new_net"
"""

import copy
from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch
import torch.nn.functional as F
from rounding import bf16_tolerance, root_mean_square, weighted_layers
from sklearn.datasets import load_digits
from torch import Tensor, nn

from striate.data.images import resize
from striate.files import read_tensors, write_tensors
from striate.layers import PartiallyConnectedConv2d
from striate.models.backbone import Backbone
from striate.models.capsnet import ClassCapsules
from striate.models.catalog import ModelFacts, create_model, model_facts


class ModelContract:
    """The tests of one network of the catalogue; ``FamilyContract`` adds the slower ones.

    Attributes:
        name: of the network.
        arguments: make it slim where the full one is only slow; its counts are tested in full.
        side: of the square pictures of the tests; None is the network's own, but 64 for photographs.
    """

    name: ClassVar[str]
    arguments: ClassVar[dict[str, Any]] = {}
    side: ClassVar[int | None] = None

    @property
    def facts(self) -> ModelFacts:
        return model_facts(self.name)

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the pictures of the tests."""
        own = self.facts.input[1]
        side = self.side or (own if own <= 64 else max(64, self.facts.minimum))
        return side, side

    def build(self, seed: int = 0, num_classes: int = 10, in_channels: int | None = None) -> Backbone:
        torch.manual_seed(seed)
        return create_model(self.name, num_classes, in_channels, **self.arguments)

    def pictures(self, count: int = 3, size: tuple[int, int] | None = None, channels: int = 0) -> Tensor:
        """Standard normal numbers (count, C, *size), by default of the size of the tests."""
        shape = (channels or self.facts.input[0], *(size or self.size))
        return torch.randn(count, *shape, generator=torch.Generator().manual_seed(1))

    # Counts and anatomy

    def test_parameters_and_arithmetic_are_those_of_the_catalogue(self) -> None:
        with torch.device("meta"):
            model = create_model(self.name).eval()
            counted = multiply_accumulates(model, torch.empty(1, *self.facts.input))
        params = sum(p.numel() for p in model.parameters() if p.requires_grad)
        facts = self.facts.params, self.facts.macs
        assert (params, counted) == facts, f"it has {params:,} parameters and takes {counted:,}"

    def test_it_has_a_stem_stages_and_a_head(self) -> None:
        parts = dict(self.build().named_children())
        assert {"stem", "stages", "head"} <= set(parts)
        assert isinstance(parts["stages"], nn.ModuleDict)

    def test_features_have_the_names_and_channels_that_it_states(self) -> None:
        model = self.build().eval()
        found = [(name, maps.shape[1]) for name, maps in model.features(self.pictures()).items()]
        assert found == [(info.name, info.channels) for info in model.feature_info]

    def test_a_step_of_a_feature_map_covers_its_stride_of_input_pixels(self) -> None:
        with torch.device("meta"):
            model = self.build().eval()
            pictures = torch.empty(1, *self.facts.input)
        _, height, width = self.facts.input
        largest = max(info.stride for info in model.feature_info)
        maps = model.features(pictures)
        longer = model.features(F.pad(pictures, (0, 3 * largest, 0, 2 * largest)))
        for info in model.feature_info:
            rows, columns = maps[info.name].shape[2:]
            # VALID convolutions take off a border, which does not depend on the size of the input.
            more_rows, more_columns = longer[info.name].shape[2] - rows, longer[info.name].shape[3] - columns
            assert (more_rows * info.stride, more_columns * info.stride) == (2 * largest, 3 * largest), info
            assert 1 <= rows <= -(-height // info.stride), info
            assert 1 <= columns <= -(-width // info.stride), info

    def test_forward_is_classify_of_features(self) -> None:
        model, pictures = self.build().eval(), self.pictures()
        assert torch.equal(model(pictures), model.classify(model.features(pictures)))

    def test_features_are_the_outputs_of_stem_and_stages_and_nothing_writes_into_them(self) -> None:
        model, seen = self.build().eval(), {}
        parts = dict(model.named_modules())
        for info in model.feature_info:
            part = parts["stem" if info.name == "stem" else f"stages.{info.name}"]
            part.register_forward_hook(lambda _, __, maps, name=info.name: seen.update({name: maps.clone()}))
        features = model.features(self.pictures())
        model.classify(features)
        assert features.keys() == seen.keys()
        for name, maps in features.items():
            assert torch.equal(maps, seen[name]), name

    def test_fresh_weights_depend_on_the_seed_alone(self) -> None:
        first, second = self.build().state_dict(), self.build().state_dict()
        assert all(torch.equal(first[name], second[name]) for name in first)

    # Sizes

    @pytest.mark.parametrize("channels", [1, 3])
    @pytest.mark.parametrize("num_classes", [2, 17])
    def test_any_number_of_classes_and_channels(self, num_classes: int, channels: int) -> None:
        model = self.build(num_classes=num_classes, in_channels=channels).eval()
        logits = model(self.pictures(2, channels=channels))
        assert logits.shape == (2, num_classes)
        assert logits.isfinite().all()

    def test_the_minimum_size_works_and_is_the_smallest_that_does(self) -> None:
        model, minimum = self.build().eval(), self.facts.minimum
        assert model(self.pictures(2, (minimum, minimum))).isfinite().all()
        if minimum == max(info.stride for info in model.feature_info):
            return  # smaller pictures would run, but the last map would hold less than one position of them
        for size in ((minimum - 1, minimum), (minimum, minimum - 1)):
            with pytest.raises(RuntimeError):
                model(self.pictures(2, size))

    @pytest.mark.parametrize("more", [(1, 1), (5, 12), (12, 5)])
    def test_odd_and_oblong_sizes_work(self, more: tuple[int, int]) -> None:
        model, minimum = self.build(), self.facts.minimum
        logits = model(self.pictures(2, (minimum + more[0], minimum + more[1])))
        assert logits.shape == (2, 10)
        assert logits.isfinite().all()
        logits.sum().backward()

    # Training and evaluation

    def test_a_finite_gradient_reaches_every_parameter(self) -> None:
        model = self.build().train()
        everything(model, self.pictures(8)).backward()
        for name, parameter in model.named_parameters():
            assert parameter.grad is not None, name
            assert parameter.grad.isfinite().all(), name
            assert parameter.grad.any(), name

    def test_evaluation_is_deterministic_and_knows_no_batch(self) -> None:
        model, pictures = self.build().eval(), self.pictures(5)
        together = model(pictures)
        assert torch.equal(model(pictures), together)
        alone = torch.cat([model(picture) for picture in pictures.split(1)])
        torch.testing.assert_close(alone, together, atol=1e-5, rtol=1e-5)

    def test_evaluation_changes_nothing_of_the_network(self) -> None:
        model = self.build().train(False)
        before = copy.deepcopy(model.state_dict())
        model(self.pictures() * 5 + 3)
        assert_same_tensors(model.state_dict(), before)

    def test_frozen_parts_stay_and_the_others_learn(self) -> None:
        model = self.build().train()
        model.get_submodule("stem").requires_grad_(False)
        before = {name: p.detach().clone() for name, p in model.named_parameters()}
        everything(model, self.pictures(8)).backward()
        torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=0.1).step()
        for name, parameter in model.named_parameters():
            assert torch.equal(parameter, before[name]) == name.startswith("stem."), name

    # Number formats, memory formats, other forms

    def test_bf16_autocast_is_close_to_fp32_and_trains(self) -> None:
        model, pictures = self.build().eval(), self.pictures()
        expected = model(pictures)
        with torch.autocast("cpu", torch.bfloat16):
            logits, loss = model(pictures), everything(model, pictures)
        tolerance = bf16_tolerance(root_mean_square(expected), weighted_layers(model))
        torch.testing.assert_close(logits.float(), expected, rtol=0, atol=tolerance)
        loss.backward()
        assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters())

    def test_channels_last_gives_the_same_and_trains(self) -> None:
        model, pictures = self.build().eval(), self.pictures()
        expected = model(pictures)
        # Gradients in fp64: the rounding of fp32 moves a ReLU or a maximum over its kink now and then.
        exact = copy.deepcopy(model).double()
        gradients = torch.autograd.grad(everything(exact, pictures.double()), list(exact.parameters()))
        model = model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        pictures = pictures.contiguous(memory_format=torch.channels_last)
        size = expected.abs().max().item()
        torch.testing.assert_close(model(pictures), expected, rtol=1e-4, atol=1e-4 * size)
        everything(model, pictures).backward()
        assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters())
        model.zero_grad()
        model = model.double()
        everything(model, pictures.double()).backward()
        for (name, parameter), gradient in zip(model.named_parameters(), gradients, strict=True):
            assert parameter.grad is not None, name
            size = gradient.abs().max().item()
            torch.testing.assert_close(parameter.grad, gradient, rtol=1e-3, atol=1e-3 * size, msg=name)

    def test_saved_weights_come_back_to_the_last_bit(self, tmp_path: Path) -> None:
        model, pictures = self.build(seed=1), self.pictures()
        model(pictures)  # in training mode: running statistics are weights too
        write_tensors(tmp_path / "model.safetensors", model.state_dict(), {})
        tensors, _ = read_tensors(tmp_path / "model.safetensors")
        assert_same_tensors(tensors, model.state_dict())
        restored = self.build(seed=2)
        restored.load_state_dict(tensors)
        assert torch.equal(restored.eval()(pictures), model.eval()(pictures))

    def test_a_deep_copy_is_the_same_and_apart(self) -> None:
        model, pictures = self.build().eval(), self.pictures()
        expected, copied = model(pictures), copy.deepcopy(model)
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.zero_()
        assert torch.equal(copied(pictures), expected)

    def test_it_can_be_built_on_the_meta_device_and_filled_later(self) -> None:
        model, pictures = self.build().eval(), self.pictures()
        with torch.device("meta"):
            imagined = self.build().eval()
            assert imagined(torch.empty_like(pictures, device="meta")).shape == (3, 10)
        imagined.to_empty(device="cpu").load_state_dict(model.state_dict())
        assert torch.equal(imagined(pictures), model(pictures))


class FamilyContract(ModelContract):
    """What one network of each file keeps besides: it learns, and it can be exported.

    Attributes:
        learning_lr: of Adam, in the test that overfits 64 digits.
    """

    learning_lr: ClassVar[float] = 2e-3

    def test_it_learns_64_digits_by_heart(self) -> None:
        model, (pictures, labels) = self.build(), digits((self.facts.input[0], *self.size))
        for layer in model.modules():
            if isinstance(layer, nn.Dropout):
                layer.p = 0.0  # it is there to prevent this
        optimizer = torch.optim.Adam(model.parameters(), self.learning_lr)
        accuracy = 0.0
        for _ in range(80):  # most need ten or so; how many is up to rounding
            for batch, targets in zip(pictures.split(16), labels.split(16), strict=True):
                optimizer.zero_grad()
                F.cross_entropy(model.train()(batch), targets).backward()
                optimizer.step()
            with torch.no_grad():
                accuracy = (model.eval()(pictures).argmax(1) == labels).double().mean().item()
            if accuracy >= 0.95:
                return
        pytest.fail(f"after 80 epochs it knows {accuracy:.1%} of the training pictures")

    def test_an_exported_program_gives_the_same_for_any_batch(self) -> None:
        model, pictures = self.build().eval(), self.pictures(5)
        exported = torch.export.export(
            model, (pictures[:2],), dynamic_shapes=({0: torch.export.Dim("batch")},)
        )
        torch.testing.assert_close(exported.module()(pictures), model(pictures), atol=1e-5, rtol=1e-5)


def everything(model: Backbone, pictures: Tensor) -> Tensor:
    """The cross-entropy of the logits, and the mean of all that is there for training only."""
    features = model.features(pictures)
    extra = model.auxiliary(pictures, features).values()
    labels = torch.arange(len(pictures)) % 10
    loss = F.cross_entropy(model.classify(features).float(), labels)
    return loss + sum(tensor.float().mean() for tensor in extra)


def multiply_accumulates(model: nn.Module, pictures: Tensor) -> int:
    """Of all convolutions and dense layers: each weight is used once per picture and output position."""
    counts = []

    def count(layer: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        positions = 1 if isinstance(layer, ClassCapsules) else output[0].numel() // output.shape[1]
        counts.append(layer.weight.numel() * positions)  # type: ignore[operator]

    kinds = (nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.Linear, PartiallyConnectedConv2d, ClassCapsules)
    for layer in model.modules():
        if isinstance(layer, kinds):
            layer.register_forward_hook(count)
    model(pictures)
    return sum(counts)


def digits(shape: tuple[int, int, int]) -> tuple[Tensor, Tensor]:
    """64 handwritten digits as float (64, *shape) with mean 0 and standard deviation 1, and their labels."""
    source = load_digits()
    channels, height, width = shape
    pixels = torch.from_numpy(source.images[:64] * 15.9).byte()[:, None]  # (64, 1, 8, 8), 0..254
    pictures = resize(pixels, height, width).float()
    pictures = (pictures - pictures.mean()) / pictures.std()
    return pictures.expand(-1, channels, -1, -1), torch.from_numpy(source.target[:64])


def assert_same_tensors(found: dict[str, Tensor], expected: dict[str, Tensor]) -> None:
    """The same names, dtypes, shapes and bits."""
    assert found.keys() == expected.keys()
    for name, tensor in expected.items():
        assert found[name].dtype == tensor.dtype, name
        assert torch.equal(found[name], tensor), name
