"""Every network of the catalogue keeps the contract."""

from typing import ClassVar

from contracts.model_contract import FamilyContract, ModelContract

from striate.models.catalog import CATALOG


class TestCompactCNN(FamilyContract):
    name = "compact_cnn"


class TestFashionCNN(FamilyContract):
    name = "fashion_cnn"
    learning_lr = 1e-3


class TestLeNet5(FamilyContract):
    name = "lenet5"


class TestLeNet51998(ModelContract):
    name = "lenet5_1998"


class TestResNet18(FamilyContract):
    name = "resnet18"
    arguments: ClassVar = {"width": 0.25}


class TestResNet34(ModelContract):
    name = "resnet34"
    arguments: ClassVar = {"width": 0.25}


class TestResNet50(ModelContract):
    name = "resnet50"
    arguments: ClassVar = {"width": 0.25}


class TestResNet101(ModelContract):
    name = "resnet101"
    arguments: ClassVar = {"width": 0.125}


class TestResNet152(ModelContract):
    name = "resnet152"
    arguments: ClassVar = {"width": 0.125}


class TestResNet50V1(ModelContract):
    name = "resnet50_v1"
    arguments: ClassVar = {"width": 0.25}


class TestResNet101V1(ModelContract):
    name = "resnet101_v1"
    arguments: ClassVar = {"width": 0.125}


class TestResNet152V1(ModelContract):
    name = "resnet152_v1"
    arguments: ClassVar = {"width": 0.125}


def test_every_network_of_the_catalogue_is_here() -> None:
    families = {contract.name for contract in FamilyContract.__subclasses__()}
    members = {contract.name for contract in ModelContract.__subclasses__() if contract is not FamilyContract}
    assert families | members == set(CATALOG)
    files = {CATALOG[name].build.__module__ for name in families}
    assert files == {facts.build.__module__ for facts in CATALOG.values()}, (
        "each file needs one FamilyContract"
    )
