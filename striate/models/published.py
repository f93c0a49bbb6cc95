"""Published weights, as model cards say it: where, whose, for which pictures, how good.

Addresses, checksums, preprocessing and accuracies are those that torchvision 0.28, timm 1.0 and Keras 3
state. torchvision and timm end file names with the first eight digits of the SHA-256. Nothing is published
for two files: the Hugging Face hub answers with the SHA-256 of what it sends (and the commit it is from),
which is verified; of Keras's MobileNet the first download is taken as it is. What was verified or found is
kept beside the converted weights.

Every network here takes RGB pictures with values 0..1 before mean and deviation; the shorter side is scaled
and the middle cut out, so that nothing is distorted.
"""

from dataclasses import dataclass, field
from typing import Any

from striate.models.imagenet import NUM_CLASSES
from striate.models.key_maps import alexnet, googlenet, inception, mobilenet, resnet, senet, vgg, xception
from striate.models.key_maps.renaming import KeyMap

IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
HALF = (0.5, 0.5, 0.5)


@dataclass(frozen=True)
class Weights:
    """The card of one published file.

    Attributes:
        url: where it is.
        file_name: what it is called on disk.
        checksum: "sha256:..." or "md5:...", or its first digits, as published; None if nothing is.
        license: under which it was published.
        key_map: its names -> ours.
        top1, top5: accuracy in per cent on ImageNet's validation pictures, as reported.
        size: H and W of the input in pixels.
        resize: what the shorter side is scaled to before the middle is cut out.
        interpolation: "bilinear" or "bicubic", antialiased.
        mean, std: per channel, of pixels in 0..1.
        arguments: options of the builder under which the network has all tensors of the file.
        channels: their order.
        fit: how pictures of other shapes become square.
        classes: what the outputs mean, in this order.
        num_classes: how many.
    """

    url: str
    file_name: str
    checksum: str | None
    license: str
    key_map: KeyMap
    top1: float
    top5: float
    size: int = 224
    resize: int = 256
    interpolation: str = "bilinear"
    mean: tuple[float, float, float] = IMAGENET_MEAN
    std: tuple[float, float, float] = IMAGENET_STD
    arguments: dict[str, Any] = field(default_factory=dict)
    channels: str = "RGB"
    fit: str = "crop"
    classes: str = "ImageNet-1k"
    num_classes: int = NUM_CLASSES


def _torchvision(stem: str, key_map: KeyMap, top1: float, top5: float, **facts: Any) -> Weights:
    """A file "name-digits.pth" of torchvision, of the weights it calls IMAGENET1K_V1."""
    return Weights(
        f"https://download.pytorch.org/models/{stem}.pth",
        f"{stem}.pth",
        f"sha256:{stem.rsplit('-', 1)[1]}",
        "BSD-3-Clause",
        key_map,
        top1,
        top5,
        **facts,
    )


def _timm(place: str, key_map: KeyMap, top1: float, top5: float, **facts: Any) -> Weights:
    """A file "release/name-digits.pth" of timm."""
    stem = place.rsplit("/", 1)[1]
    return Weights(
        f"https://github.com/rwightman/pytorch-image-models/releases/download/{place}.pth",
        f"{stem}.pth",
        f"sha256:{stem.rsplit('-', 1)[1]}",
        "Apache-2.0",
        key_map,
        top1,
        top5,
        **facts,
    )


_KERAS = "https://storage.googleapis.com/tensorflow/keras-applications"
_BY_HALVES: dict[str, Any] = {"mean": HALF, "std": HALF}
_AT_299: dict[str, Any] = {"size": 299, "resize": 342} | _BY_HALVES
_WITH_AUXILIARY: dict[str, Any] = {"arguments": {"auxiliary": True}}

# torchvision feeds GoogLeNet and Inception-v3 through ``transform_input``, which undoes ImageNet's mean and
# deviation: what the networks see is pictures by halves.
WEIGHTS: dict[str, Weights] = {
    "alexnet": _torchvision("alexnet-owt-7be5be79", alexnet.TORCHVISION, 56.5, 79.1),
    "vgg11": _torchvision("vgg11-8a719046", vgg.torchvision((1, 1, 2, 2, 2), False), 69.0, 88.6),
    "vgg13": _torchvision("vgg13-19584684", vgg.torchvision((2, 2, 2, 2, 2), False), 69.9, 89.2),
    "vgg16": _torchvision("vgg16-397923af", vgg.torchvision((2, 2, 3, 3, 3), False), 71.6, 90.4),
    "vgg19": _torchvision("vgg19-dcbb9e9d", vgg.torchvision((2, 2, 4, 4, 4), False), 72.4, 90.9),
    "vgg11_bn": _torchvision("vgg11_bn-6002323d", vgg.torchvision((1, 1, 2, 2, 2), True), 70.4, 89.8),
    "vgg13_bn": _torchvision("vgg13_bn-abd245e5", vgg.torchvision((2, 2, 2, 2, 2), True), 71.6, 90.4),
    "vgg16_bn": _torchvision("vgg16_bn-6c64b313", vgg.torchvision((2, 2, 3, 3, 3), True), 73.4, 91.5),
    "vgg19_bn": _torchvision("vgg19_bn-c79401a0", vgg.torchvision((2, 2, 4, 4, 4), True), 74.2, 91.8),
    "googlenet": _torchvision(
        "googlenet-1378be20", googlenet.TORCHVISION, 69.8, 89.5, **_BY_HALVES, **_WITH_AUXILIARY
    ),
    "inception_v3": _torchvision(
        "inception_v3_google-0cc3c7bd", inception.TORCHVISION, 77.3, 93.5, **_AT_299, **_WITH_AUXILIARY
    ),
    "inception_v4": Weights(
        "https://huggingface.co/timm/inception_v4.tf_in1k/resolve/main/model.safetensors",
        "inception_v4.tf_in1k.safetensors",
        None,
        "Apache-2.0",
        inception.TIMM,
        80.1,
        95.0,
        interpolation="bicubic",
        **_AT_299 | {"resize": 341},
    ),
    "resnet18": _torchvision("resnet18-f37072fd", resnet.TORCHVISION, 69.8, 89.1),
    "resnet34": _torchvision("resnet34-b627a593", resnet.TORCHVISION, 73.3, 91.4),
    "resnet50": _torchvision("resnet50-0676ba61", resnet.TORCHVISION, 76.1, 92.9),
    "resnet101": _torchvision("resnet101-63fe2227", resnet.TORCHVISION, 77.4, 93.5),
    "resnet152": _torchvision("resnet152-394f9c45", resnet.TORCHVISION, 78.3, 94.0),
    "mobilenet_v2": _torchvision("mobilenet_v2-b0353104", mobilenet.TORCHVISION, 71.9, 90.3),
    "se_resnet18": _timm("v0.1-weights/seresnet18-4bb0ce65", senet.TIMM, 71.8, 90.3, interpolation="bicubic"),
    "se_resnet34": _timm("v0.1-weights/seresnet34-a4004e63", senet.TIMM, 74.8, 92.1),
    "se_resnet50": _timm("v0.1-cadene/se_resnet50-ce0d4300", senet.TIMM, 77.7, 93.7),
    "se_resnet101": _timm("v0.1-cadene/se_resnet101-7e38fcc6", senet.TIMM, 78.4, 94.3),
    "se_resnet152": _timm("v0.1-cadene/se_resnet152-d17c99b7", senet.TIMM, 78.7, 94.4),
    "senet154": _timm("v0.1-weights/legacy_senet154-e9eb9fe6", senet.TIMM, 81.3, 95.5),
    # Keras states how pixels become -1..1, and "single center crop"; scale and interpolation are the usual.
    "xception": Weights(
        f"{_KERAS}/xception/xception_weights_tf_dim_ordering_tf_kernels.h5",
        "xception_weights_tf_dim_ordering_tf_kernels.h5",
        "md5:0a58e3b7378bc2990ea3b43d5981f1f6",
        "MIT",
        xception.KERAS,
        79.0,
        94.5,
        interpolation="bicubic",
        **_AT_299,
    ),
    "mobilenet": Weights(
        f"{_KERAS}/mobilenet/mobilenet_1_0_224_tf.h5",
        "mobilenet_1_0_224_tf.h5",
        None,
        "Apache-2.0",
        mobilenet.KERAS,
        70.4,
        89.5,
        interpolation="bicubic",
        **_BY_HALVES,
    ),
}
