"""The catalogue of networks: names, arguments, and what it says of wrong ones."""

import importlib.util
from pathlib import Path

import pytest
import torch

from striate.errors import InputError
from striate.models.catalog import CATALOG, create_model, list_models, model_facts

EXAMPLE = Path(__file__).parents[3] / "shared" / "examples" / "resnet.py"


def test_patterns_choose_names_in_the_order_of_the_catalogue() -> None:
    assert list_models() == list(CATALOG)
    assert list_models("lenet*") == ["lenet5_1998", "lenet5"]
    assert list_models("?ashion_cnn") == ["fashion_cnn"]
    assert list_models("LeNet*") == list_models("no such network") == []


def test_a_list_of_names_is_a_copy() -> None:
    list_models().clear()
    assert list_models() == list(CATALOG)


@pytest.mark.parametrize("name", CATALOG)
def test_facts_are_complete(name: str) -> None:
    facts = model_facts(name)
    assert facts.params > 0
    assert facts.macs > 0
    assert 1958 < facts.year < 2100
    assert facts.minimum <= min(facts.input[1:])
    assert facts.summary
    assert not facts.summary.endswith(".")


@pytest.mark.parametrize("name", CATALOG)
def test_without_arguments_a_network_is_the_one_of_its_facts(name: str) -> None:
    with torch.device("meta"):
        model = create_model(name).eval()
        facts = model_facts(name)
        assert model(torch.empty(1, *facts.input)).shape == (1, facts.num_classes)


def test_arguments_reach_the_builder() -> None:
    model = create_model("fashion_cnn", num_classes=4, in_channels=3, width=8)
    assert model(torch.zeros(1, 3, 28, 28)).shape == (1, 4)
    assert model.feature_info[0].channels == 8


def test_two_networks_share_no_weights() -> None:
    first, second = create_model("lenet5"), create_model("lenet5")
    places = {p.data_ptr() for p in first.parameters()}
    assert not any(p.data_ptr() in places for p in second.parameters())


@pytest.mark.parametrize("look_up", [create_model, model_facts])
def test_an_unknown_name_is_an_input_error_that_suggests_close_ones(look_up: object) -> None:
    assert callable(look_up)
    with pytest.raises(InputError, match="no network called 'lenet'") as caught:
        look_up("lenet")
    assert "did you mean lenet5" in caught.value.what_to_do
    with pytest.raises(InputError) as caught:
        look_up("qqq")
    assert "striate models" in caught.value.what_to_do


def test_an_unknown_argument_is_an_input_error_that_names_the_known_ones() -> None:
    with pytest.raises(InputError, match="fashion_cnn takes no argument depth, height") as caught:
        create_model("fashion_cnn", height=3, depth=2, width=8)
    assert "width" in caught.value.what_to_do


@pytest.mark.parametrize("width", ["abc", -8, 1.5, None])
def test_a_value_that_nothing_can_be_built_with_is_an_input_error(width: object) -> None:
    with pytest.raises(InputError, match=f"fashion_cnn cannot be built with width={width!r}") as caught:
        create_model("fashion_cnn", width=width)
    assert caught.value.where == "model.arguments"


@pytest.mark.parametrize("num_classes", [1, 0, -3])
def test_fewer_than_two_classes_are_an_input_error(num_classes: int) -> None:
    with pytest.raises(InputError, match=f"at least 2 classes, got {num_classes}"):
        create_model("lenet5", num_classes=num_classes)


def test_the_model_page_of_the_design_builds_on_these_layers() -> None:
    if not EXAMPLE.is_file():
        pytest.skip(f"the example page is not at {EXAMPLE.name}'s place beside the checkout")
    spec = importlib.util.spec_from_file_location("example_resnet", EXAMPLE)
    assert spec is not None
    assert spec.loader is not None
    page = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(page)
    with torch.device("meta"):
        model = page.resnet50().eval()
        features = model.features(torch.empty(1, 3, 224, 224))
    assert sum(p.numel() for p in model.parameters()) == 25_557_032
    found = [(name, maps.shape[1], 224 // maps.shape[2]) for name, maps in features.items()]
    assert found == [(info.name, info.channels, info.stride) for info in model.feature_info]
