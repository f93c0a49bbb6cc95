"""Every network of the catalogue keeps the contract."""

from typing import ClassVar

from contracts.model_contract import FamilyContract, ModelContract

from striate.models.catalog import CATALOG


class TestCompactCNN(FamilyContract):
    name = "compact_cnn"


class TestCompactCifar(ModelContract):
    name = "compact_cifar"
    arguments: ClassVar = {"width": 0.375}


class TestFashionCNN(FamilyContract):
    name = "fashion_cnn"
    learning_lr = 1e-3


class TestLeNet5(FamilyContract):
    name = "lenet5"


class TestLeNet51998(ModelContract):
    name = "lenet5_1998"


class TestAlexNet2012(ModelContract):
    name = "alexnet_2012"
    arguments: ClassVar = {"width": 0.125}


class TestAlexNet2012Ungrouped(ModelContract):
    name = "alexnet_2012_ungrouped"
    arguments: ClassVar = {"width": 0.125}


class TestAlexNet(FamilyContract):
    name = "alexnet"
    arguments: ClassVar = {"width": 0.125}
    learning_lr = 5e-4


class TestZFNet(FamilyContract):
    name = "zfnet"
    arguments: ClassVar = {"width": 0.125}
    learning_lr = 5e-4


class TestVGG11(FamilyContract):
    name = "vgg11"
    arguments: ClassVar = {"width": 0.125}
    learning_lr = 5e-4


class TestVGG13(ModelContract):
    name = "vgg13"
    arguments: ClassVar = {"width": 0.125}


class TestVGG16(ModelContract):
    name = "vgg16"
    arguments: ClassVar = {"width": 0.125}


class TestVGG19(ModelContract):
    name = "vgg19"
    arguments: ClassVar = {"width": 0.125}


class TestVGG11BN(ModelContract):
    name = "vgg11_bn"
    arguments: ClassVar = {"width": 0.125}


class TestVGG13BN(ModelContract):
    name = "vgg13_bn"
    arguments: ClassVar = {"width": 0.125}


class TestVGG16BN(ModelContract):
    name = "vgg16_bn"
    arguments: ClassVar = {"width": 0.125}


class TestVGG19BN(ModelContract):
    name = "vgg19_bn"
    arguments: ClassVar = {"width": 0.125}


class TestGoogLeNet2014(FamilyContract):
    name = "googlenet_2014"
    arguments: ClassVar = {"width": 0.25, "auxiliary": True}
    side = 32
    learning_lr = 5e-4


class TestGoogLeNet(ModelContract):
    name = "googlenet"
    arguments: ClassVar = {"width": 0.25, "auxiliary": True}


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


class TestResNet20(FamilyContract):
    name = "resnet20"
    arguments: ClassVar = {"width": 0.5}


class TestResNet56(ModelContract):
    name = "resnet56"
    arguments: ClassVar = {"width": 0.5}


class TestInceptionV3(FamilyContract):
    name = "inception_v3"
    arguments: ClassVar = {"width": 0.125}
    learning_lr = 4e-3
    side = 139  # its last maps are 3x3: at 75 batch norm would learn from one place of each picture


class TestInceptionV4(FamilyContract):
    name = "inception_v4"
    arguments: ClassVar = {"width": 0.125, "depths": (1, 2, 1)}
    learning_lr = 4e-3


class TestXception(FamilyContract):
    name = "xception"
    arguments: ClassVar = {"width": 0.125}
    learning_lr = 1e-2


class TestDarknet19(FamilyContract):
    name = "darknet19"
    arguments: ClassVar = {"width": 0.125}
    learning_lr = 5e-3


class TestDarknet53(ModelContract):
    name = "darknet53"
    arguments: ClassVar = {"width": 0.125}


class TestCapsNet(FamilyContract):
    name = "capsnet"
    arguments: ClassVar = {"width": 0.25}


class TestMobileNet(FamilyContract):
    name = "mobilenet"
    arguments: ClassVar = {"width": 0.25}
    learning_lr = 5e-3


class TestMobileNetV2(FamilyContract):
    name = "mobilenet_v2"
    arguments: ClassVar = {"width": 0.25}
    learning_lr = 5e-3


class TestSEResNet18(FamilyContract):
    name = "se_resnet18"
    arguments: ClassVar = {"width": 0.5}  # slimmer, the one hidden unit of a squeeze may begin dead


class TestSEResNet34(ModelContract):
    name = "se_resnet34"
    arguments: ClassVar = {"width": 0.5}


class TestSEResNet50(ModelContract):
    name = "se_resnet50"
    arguments: ClassVar = {"width": 0.25}


class TestSEResNet101(ModelContract):
    name = "se_resnet101"
    arguments: ClassVar = {"width": 0.125}


class TestSEResNet152(ModelContract):
    name = "se_resnet152"
    arguments: ClassVar = {"width": 0.125}


class TestSEGoogLeNet(FamilyContract):
    name = "se_googlenet"
    arguments: ClassVar = {"width": 0.25}
    side = 32


class TestSEInceptionV3(ModelContract):
    name = "se_inception_v3"
    arguments: ClassVar = {"width": 0.25}


class TestSENet154(ModelContract):
    name = "senet154"
    arguments: ClassVar = {"width": 0.0625}


def test_every_network_of_the_catalogue_is_here() -> None:
    families = {contract.name for contract in FamilyContract.__subclasses__()}
    members = {contract.name for contract in ModelContract.__subclasses__() if contract is not FamilyContract}
    assert families | members == set(CATALOG)
    files = {CATALOG[name].build.__module__ for name in families}
    assert files == {facts.build.__module__ for facts in CATALOG.values()}, (
        "each file needs one FamilyContract"
    )
