"""Where a detector's first weights come from: nowhere, a backbone, another detector, a published file."""

import hashlib
import io
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from loopback import serving
from safetensors.torch import load_file

import striate
from striate.data import builtin
from striate.errors import InputError
from striate.models.catalog import create_model
from striate.network import build
from striate.recipe import load_recipe
from striate.settle import choose_task
from striate.start import find_start, fitting
from striate.tasks.detection import published

sys.path.insert(0, str(Path(__file__).parent / "tasks" / "detection"))
SMALL = {"train.epochs": 1, "input.size": 64, "train.device": "cpu", "train.precision": "fp32"}


@pytest.fixture(scope="module")
def few_scenes():
    """The catalogue's scenes, but few of them."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(builtin, "SCENES", {"count_train": 24, "count_val": 4, "count_test": 4})
        yield


@pytest.fixture(scope="module")
def classifier(tmp_path_factory):
    """A run of a small classifier of digits, which are grey."""
    settings = SMALL | {"model.arguments": {"width": 0.25}, "input.size": 24}
    return striate.train(
        "digits", model="compact_cnn", out=tmp_path_factory.mktemp("c") / "run", settings=settings
    )


@pytest.fixture(scope="module")
def detector(tmp_path_factory, few_scenes):
    settings = SMALL | {"model.arguments": {"backbone": "compact_cnn", "arguments": {"width": 0.25}}}
    return striate.train("scenes", out=tmp_path_factory.mktemp("d") / "run", settings=settings)


def begin(recipe, dataset):
    """The network as training would begin with it."""
    recipe = choose_task(recipe, dataset)
    start = find_start(recipe)
    look = fitting(start, recipe, dataset.channels)
    return build(recipe, dataset.classes, look.channels, look.size, start=start)[0], look, recipe


def test_a_run_of_a_classifier_becomes_the_backbone(classifier, few_scenes):
    recipe = load_recipe(None, SMALL | {"model.weights": str(classifier.path)})
    network, look, recipe = begin(recipe, striate.load_data("scenes"))
    assert recipe.model.name == "yolo_light"
    assert recipe.model.arguments["backbone"] == "compact_cnn"
    assert recipe.model.arguments["arguments"] == {"width": 0.25}
    own, known = network.state_dict(), classifier.model.state_dict()
    shared = [name for name in own if name in known]
    assert len(shared) > 10
    for name in shared:  # the first layer was grey: three equal channels give what one gave
        expected = (
            known[name].expand_as(own[name]) / 3 if own[name].shape != known[name].shape else known[name]
        )
        torch.testing.assert_close(own[name], expected, msg=name)
    assert look.fit == "letterbox"
    assert look.size == (64, 64)
    assert look.mean == classifier.preprocessing.mean * 3  # of pictures whose channels are equal


def test_such_a_run_trains_predicts_and_is_loaded_again(classifier, few_scenes, tmp_path):
    settings = SMALL | {"model.weights": str(classifier.path)}
    run = striate.train("scenes", model="yolo_light", out=tmp_path / "run", settings=settings)
    assert "map_50" in run.results["test"]
    again = striate.load_run(tmp_path / "run", "cpu")
    assert again.evaluate()["metrics"] == pytest.approx(run.results["test"])
    assert again.model.state_dict().keys() == run.model.state_dict().keys()


def test_a_detector_goes_on_with_its_own_weights(detector):
    recipe = load_recipe(None, SMALL | {"model.weights": str(detector.path)})
    network, look, recipe = begin(recipe, striate.load_data("scenes"))
    assert recipe.model.name == "yolo_light"
    assert recipe.model.arguments == detector.config.arguments  # its anchors too
    for name, value in detector.model.state_dict().items():
        assert torch.equal(network.state_dict()[name], value), name
    assert look.mean == detector.preprocessing.mean


@pytest.mark.parametrize("model", ["yolo_light", "ssd_light", "faster_rcnn_light"])
def test_a_run_that_goes_on_from_a_detector_trains(model, tmp_path):
    settings = SMALL | {"model.arguments": {"arguments": {"width": 0.125}}, "train.epochs": 1}
    first = striate.train("scenes", model=model, out=tmp_path / "first", settings=settings)
    settings = SMALL | {"model.weights": str(first.path), "train.epochs": 1, "optimizer.lr": 1e-9}
    second = striate.train("scenes", out=tmp_path / "second", settings=settings)
    assert second.config.model == model
    for (name, value), expected in zip(
        second.model.named_parameters(), first.model.parameters(), strict=True
    ):
        torch.testing.assert_close(value, expected, atol=1e-5, rtol=0, msg=name)


def test_with_other_classes_only_what_names_them_is_fresh(detector):
    recipe = load_recipe(None, SMALL | {"model.weights": str(detector.path), "task": "detection"})
    dataset = replace(striate.load_data("scenes"), classes=("one", "two", "three"))
    network, _, _ = begin(recipe, dataset)
    known = detector.model.state_dict()
    fresh = [name for name, value in network.state_dict().items() if value.shape != known[name].shape]
    assert fresh
    assert all("outputs" in name for name in fresh), fresh
    for name, value in network.state_dict().items():
        assert name in fresh or torch.equal(value, known[name]), name


def test_another_detector_is_refused_by_name(detector):
    recipe = load_recipe(None, SMALL | {"model.weights": str(detector.path), "model.name": "ssd_light"})
    with pytest.raises(InputError, match="the run is a yolo_light"):
        begin(recipe, striate.load_data("scenes"))


def test_published_weights_of_a_backbone_are_asked_for_by_its_name(few_scenes, tmp_path):
    file = tmp_path / "mine.safetensors"
    backbone = create_model("resnet18", width=0.125)
    from safetensors.torch import save_file

    save_file(backbone.state_dict(), file)
    arguments = {"backbone": "resnet18", "arguments": {"width": 0.125}}
    recipe = load_recipe(None, SMALL | {"model.weights": str(file), "model.arguments": arguments})
    network, look, _ = begin(recipe, striate.load_data("scenes"))
    for name, value in backbone.state_dict().items():
        if f"backbone.{name}" in network.state_dict():
            assert torch.equal(network.state_dict()[f"backbone.{name}"], value), name
    assert look.mean == (0.485, 0.456, 0.406)  # what resnet18's published weights want
    nothing = load_recipe(None, SMALL | {"model.pretrained": True, "model.arguments.backbone": "compact_cnn"})
    with pytest.raises(InputError, match="no weights of compact_cnn are published"):
        begin(nothing, striate.load_data("scenes"))


def test_ssd300_comes_with_its_published_weights(few_scenes, tmp_path, monkeypatch):
    from torchvision_detectors import torchvision

    monkeypatch.setenv("STRIATE_CACHE", str(tmp_path / "cache"))
    peer = torchvision.models.detection.ssd300_vgg16(weights=None, weights_backbone=None)
    buffer = io.BytesIO()
    torch.save(peer.state_dict(), buffer)
    content = buffer.getvalue()
    with serving() as site:
        site.files["ssd.pth"] = content
        card = replace(
            published.DETECTOR_WEIGHTS["ssd300"],
            url=f"{site.address}/ssd.pth",
            checksum=f"sha256:{hashlib.sha256(content).hexdigest()}",
        )
        monkeypatch.setitem(published.DETECTOR_WEIGHTS, "ssd300", card)
        settings = {"model.name": "ssd300", "model.pretrained": True}
        network, look, _ = begin(load_recipe(None, settings), striate.load_data("scenes"))
        again, _, _ = begin(load_recipe(None, settings), striate.load_data("scenes"))
        assert site.asked == ["ssd.pth"]
    converted = load_file(tmp_path / "cache" / "weights" / "ssd300.safetensors")
    theirs = dict(peer.state_dict())
    assert sum(value.numel() for value in theirs.values()) == sum(
        value.numel() for value in converted.values()
    )
    kept = [name for name, value in network.state_dict().items() if value.shape == converted[name].shape]
    assert len(kept) > 40
    for name in kept:
        assert torch.equal(network.state_dict()[name], converted[name]), name
        assert torch.equal(again.state_dict()[name], converted[name]), name
    assert look.size == (300, 300)
    assert look.mean == card.mean
