"""The facts of every network, which the tests prove: one entry each, by year, families together."""

from collections.abc import Callable
from dataclasses import dataclass

from striate.models.alexnet import alexnet, alexnet_2012, alexnet_2012_ungrouped
from striate.models.backbone import Backbone
from striate.models.capsnet import capsnet
from striate.models.compact import compact_cifar, compact_cnn
from striate.models.darknet import darknet19, darknet53
from striate.models.fashion_cnn import fashion_cnn
from striate.models.googlenet import googlenet, googlenet_2014
from striate.models.inception_v3 import inception_v3
from striate.models.inception_v4 import inception_v4
from striate.models.lenet import lenet5, lenet5_1998
from striate.models.mobilenet import mobilenet
from striate.models.mobilenet_v2 import mobilenet_v2
from striate.models.resnet import (
    resnet18,
    resnet34,
    resnet50,
    resnet50_v1,
    resnet101,
    resnet101_v1,
    resnet152,
    resnet152_v1,
)
from striate.models.resnet_cifar import resnet20, resnet56
from striate.models.se_inception import se_googlenet, se_inception_v3
from striate.models.senet import (
    se_resnet18,
    se_resnet34,
    se_resnet50,
    se_resnet101,
    se_resnet152,
    senet154,
)
from striate.models.vgg import vgg11, vgg11_bn, vgg13, vgg13_bn, vgg16, vgg16_bn, vgg19, vgg19_bn
from striate.models.xception import xception
from striate.models.zfnet import zfnet


@dataclass(frozen=True)
class ModelFacts:
    """What is known of a network at its own input size.

    Attributes:
        build: takes ``num_classes`` and ``in_channels``, and further arguments of the family.
        year: of publication.
        params: trainable values, with ``num_classes`` classes.
        macs: multiply-accumulates of convolutions and dense layers, for one picture.
        input: C, H, W that the counts hold for.
        minimum: the smallest H and W it accepts.
        summary: one line for a list.
        num_classes: K that it was drawn for.
        peer: whose outputs it gives with the same weights, or what its layers are compared with; "" if it is
            a network of Striate's own.
    """

    build: Callable[..., Backbone]
    year: int
    params: int
    macs: int
    input: tuple[int, int, int]
    minimum: int
    summary: str
    num_classes: int
    peer: str


# fmt: off
CATALOG: dict[str, ModelFacts] = {
    "lenet5_1998": ModelFacts(lenet5_1998, 1998, 60_000, 325_680, (1, 32, 32), 32,
        "LeNet-5 as in the paper: partial C3, RBF output", 10, "the paper's table"),
    "lenet5": ModelFacts(lenet5, 1998, 61_706, 416_520, (1, 32, 32), 32,
        "LeNet-5 as it is usually built today", 10, "the paper's table"),
    "alexnet_2012": ModelFacts(alexnet_2012, 2012, 60_965_224, 724_406_816, (3, 227, 227), 67,
        "the winner of ILSVRC 2012, grouped for two GPUs as in the paper", 1000, "the paper's table"),
    "alexnet_2012_ungrouped": ModelFacts(
        alexnet_2012_ungrouped, 2012, 62_378_344, 1_135_256_096, (3, 227, 227), 67,
        "AlexNet of 2012 with full convolutions", 1000, "the paper's table"),
    "alexnet": ModelFacts(alexnet, 2014, 61_100_840, 714_188_480, (3, 224, 224), 63,
        "AlexNet as it is usual today: for one GPU, no normalization", 1000, "torchvision"),
    "zfnet": ModelFacts(zfnet, 2013, 62_357_608, 1_168_032_896, (3, 224, 224), 47,
        "AlexNet with finer first filters: 7x7 in steps of 2", 1000, "the paper's table"),
    "vgg11": ModelFacts(vgg11, 2014, 132_863_336, 7_609_090_048, (3, 224, 224), 32,
        "nothing but 3x3 convolutions, 11 layers with weights", 1000, "torchvision"),
    "vgg13": ModelFacts(vgg13, 2014, 133_047_848, 11_308_466_176, (3, 224, 224), 32,
        "as VGG-11, 13 layers", 1000, "torchvision"),
    "vgg16": ModelFacts(vgg16, 2014, 138_357_544, 15_470_264_320, (3, 224, 224), 32,
        "as VGG-11, 16 layers: features for detection, segmentation and style", 1000, "torchvision"),
    "vgg19": ModelFacts(vgg19, 2014, 143_667_240, 19_632_062_464, (3, 224, 224), 32,
        "as VGG-11, 19 layers", 1000, "torchvision"),
    "vgg11_bn": ModelFacts(vgg11_bn, 2014, 132_868_840, 7_609_090_048, (3, 224, 224), 32,
        "VGG-11 with batch normalization", 1000, "torchvision"),
    "vgg13_bn": ModelFacts(vgg13_bn, 2014, 133_053_736, 11_308_466_176, (3, 224, 224), 32,
        "VGG-13 with batch normalization", 1000, "torchvision"),
    "vgg16_bn": ModelFacts(vgg16_bn, 2014, 138_365_992, 15_470_264_320, (3, 224, 224), 32,
        "VGG-16 with batch normalization", 1000, "torchvision"),
    "vgg19_bn": ModelFacts(vgg19_bn, 2014, 143_678_248, 19_632_062_464, (3, 224, 224), 32,
        "VGG-19 with batch normalization", 1000, "torchvision"),
    "googlenet_2014": ModelFacts(googlenet_2014, 2014, 6_998_552, 1_582_671_872, (3, 224, 224), 32,
        "inception modules as in the paper: the winner of ILSVRC 2014", 1000, "the paper's table"),
    "googlenet": ModelFacts(googlenet, 2014, 6_624_904, 1_498_376_192, (3, 224, 224), 32,
        "GoogLeNet as it is usual today: batch normalization, 3x3 for 5x5", 1000, "torchvision"),
    "inception_v3": ModelFacts(inception_v3, 2015, 23_834_568, 5_713_216_096, (3, 299, 299), 75,
        "wide filters factorized into narrow ones, side by side", 1000, "torchvision"),
    "inception_v4": ModelFacts(inception_v4, 2016, 42_679_816, 12_253_974_624, (3, 299, 299), 75,
        "uniform inception modules in a deep stack, without residuals", 1000, "timm"),
    "resnet18": ModelFacts(resnet18, 2015, 11_689_512, 1_814_073_344, (3, 224, 224), 32,
        "residual learning: two 3x3 convolutions beside a shortcut", 1000, "torchvision"),
    "resnet34": ModelFacts(resnet34, 2015, 21_797_672, 3_663_761_408, (3, 224, 224), 32,
        "as ResNet-18, twice as deep", 1000, "torchvision"),
    "resnet50": ModelFacts(resnet50, 2015, 25_557_032, 4_089_184_256, (3, 224, 224), 32,
        "bottleneck units: the usual choice for photographs", 1000, "torchvision"),
    "resnet101": ModelFacts(resnet101, 2015, 44_549_160, 7_801_405_440, (3, 224, 224), 32,
        "as ResNet-50, twice as deep", 1000, "torchvision"),
    "resnet152": ModelFacts(resnet152, 2015, 60_192_808, 11_513_626_624, (3, 224, 224), 32,
        "the winner of ILSVRC 2015", 1000, "torchvision"),
    "resnet50_v1": ModelFacts(resnet50_v1, 2015, 25_557_032, 3_857_973_248, (3, 224, 224), 32,
        "ResNet-50 as in the paper: strides in the first 1x1", 1000, "torchvision, strides moved"),
    "resnet101_v1": ModelFacts(resnet101_v1, 2015, 44_549_160, 7_570_194_432, (3, 224, 224), 32,
        "ResNet-101 as in the paper", 1000, "torchvision, strides moved"),
    "resnet152_v1": ModelFacts(resnet152_v1, 2015, 60_192_808, 11_282_415_616, (3, 224, 224), 32,
        "ResNet-152 as in the paper", 1000, "torchvision, strides moved"),
    "resnet20": ModelFacts(resnet20, 2015, 269_722, 40_551_040, (3, 32, 32), 4,
        "residual learning on 32x32 pictures, small", 10, "the paper's table"),
    "resnet56": ModelFacts(resnet56, 2015, 853_018, 125_485_696, (3, 32, 32), 4,
        "as ResNet-20, three times as deep", 10, "the paper's table"),
    "xception": ModelFacts(xception, 2016, 22_855_952, 8_357_403_496, (3, 299, 299), 32,
        "space and depth apart: separable convolutions with shortcuts, good for transfer", 1000, "Keras"),
    "darknet19": ModelFacts(darknet19, 2016, 20_842_376, 2_790_989_824, (3, 224, 224), 32,
        "the backbone of YOLOv2: 3x3 and 1x1 in turn, good and quick", 1000, "the paper's table"),
    "darknet53": ModelFacts(darknet53, 2018, 41_609_928, 9_285_115_904, (3, 256, 256), 32,
        "the backbone of YOLOv3: residual units, strides for pooling", 1000, "timm, with leaky slope 0.1"),
    "mobilenet": ModelFacts(mobilenet, 2017, 4_231_976, 568_740_352, (3, 224, 224), 32,
        "separable convolutions and a width multiplier, for phones", 1000, "Keras"),
    "mobilenet_v2": ModelFacts(mobilenet_v2, 2018, 3_504_872, 300_774_272, (3, 224, 224), 32,
        "inverted residuals: shortcuts between thin maps, half the price of MobileNet", 1000, "torchvision"),
    "se_resnet18": ModelFacts(se_resnet18, 2017, 11_778_592, 1_814_160_384, (3, 224, 224), 32,
        "ResNet-18 whose maps are scaled by what the whole picture shows", 1000, "timm"),
    "se_resnet34": ModelFacts(se_resnet34, 2017, 21_958_868, 3_663_918_592, (3, 224, 224), 32,
        "as SE-ResNet-18, twice as deep", 1000, "timm"),
    "se_resnet50": ModelFacts(se_resnet50, 2017, 28_088_024, 3_860_488_192, (3, 224, 224), 32,
        "ResNet-50 with squeeze-and-excitation", 1000, "timm"),
    "se_resnet101": ModelFacts(se_resnet101, 2017, 49_326_872, 7_574_937_600, (3, 224, 224), 32,
        "ResNet-101 with squeeze-and-excitation", 1000, "timm"),
    "se_resnet152": ModelFacts(se_resnet152, 2017, 66_821_848, 11_288_993_792, (3, 224, 224), 32,
        "ResNet-152 with squeeze-and-excitation", 1000, "timm"),
    "senet154": ModelFacts(senet154, 2017, 115_088_984, 20_688_363_520, (3, 224, 224), 32,
        "the winner of ILSVRC 2017", 1000, "timm"),
    "se_googlenet": ModelFacts(se_googlenet, 2017, 7_105_007, 1_498_850_464, (3, 224, 224), 32,
        "GoogLeNet with squeeze-and-excitation", 1000, "googlenet, where all scales are 1"),
    "se_inception_v3": ModelFacts(se_inception_v3, 2017, 25_496_188, 5_714_867_040, (3, 299, 299), 75,
        "Inception-v3 with squeeze-and-excitation", 1000, "inception_v3, where all scales are 1"),
    "capsnet": ModelFacts(capsnet, 2017, 8_215_568, 200_871_936, (1, 28, 28), 17,
        "capsules: what is there and how it is posed", 10, "the paper's table"),
    "fashion_cnn": ModelFacts(fashion_cnn, 2019, 1_413_834, 89_466_496, (1, 28, 28), 8,
        "the classic first CNN for Fashion-MNIST", 10, "Keras"),
    "compact_cnn": ModelFacts(compact_cnn, 2026, 1_165_930, 63_339_520, (1, 28, 28), 8,
        "small pictures, learns fast on a processor", 10, ""),
    "compact_cifar": ModelFacts(compact_cifar, 2026, 4_655_434, 341_513_216, (3, 32, 32), 8,
        "compact_cnn for small colour pictures", 10, ""),
}
# fmt: on
