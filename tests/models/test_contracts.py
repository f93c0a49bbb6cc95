"""Every network of the catalogue keeps the contract."""

from contracts.model_contract import ModelContract

from striate.models.catalog import CATALOG


class TestCompactCNN(ModelContract):
    name = "compact_cnn"


class TestFashionCNN(ModelContract):
    name = "fashion_cnn"
    learning_lr = 1e-3


class TestLeNet5(ModelContract):
    name = "lenet5"


class TestLeNet51998(ModelContract):
    name = "lenet5_1998"


def test_every_network_of_the_catalogue_is_here() -> None:
    assert {contract.name for contract in ModelContract.__subclasses__()} == set(CATALOG)
