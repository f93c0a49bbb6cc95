"""Published weights of detectors, as model cards say it: where, whose, for which pictures, how good.

Addresses, checksums, preprocessing and precision are those that torchvision 0.28 states. Both were trained
on the 118,287 training pictures of COCO 2017, whose 80 classes have 90 numbers: ten are never found.
"""

from dataclasses import dataclass, field
from typing import Any

from striate.models.key_maps.renaming import KeyMap
from striate.models.published import IMAGENET_MEAN, IMAGENET_STD
from striate.tasks.detection.key_maps import FASTER_RCNN, SSD300

_NAMES = """
person, bicycle, car, motorcycle, airplane, bus, train, truck, boat, traffic light, fire hydrant, N/A 12,
stop sign, parking meter, bench, bird, cat, dog, horse, sheep, cow, elephant, bear, zebra, giraffe, N/A 26,
backpack, umbrella, N/A 29, N/A 30, handbag, tie, suitcase, frisbee, skis, snowboard, sports ball, kite,
baseball bat, baseball glove, skateboard, surfboard, tennis racket, bottle, N/A 45, wine glass, cup, fork,
knife, spoon, bowl, banana, apple, sandwich, orange, broccoli, carrot, hot dog, pizza, donut, cake, chair,
couch, potted plant, bed, N/A 66, dining table, N/A 68, N/A 69, toilet, N/A 71, tv, laptop, mouse, remote,
keyboard, cell phone, microwave, oven, toaster, sink, refrigerator, N/A 83, book, clock, vase, scissors,
teddy bear, hair drier, toothbrush
"""
COCO_CLASSES = tuple(name.strip() for name in _NAMES.split(","))  # class id k is COCO's category k + 1


@dataclass(frozen=True)
class DetectorWeights:
    """The card of one published file.

    Attributes:
        url: where it is.
        file_name: what it is called on disk.
        checksum: "sha256:..." and its first digits, as published.
        license: under which it was published.
        key_map: its names -> ours.
        map: mean average precision in per cent on COCO's 5,000 validation pictures, as reported.
        shorter: what the shorter side of a picture is scaled to; None where both sides become ``longer``.
        longer: the longer side at most, in pixels.
        mean, std: per channel, of pixels in 0..1.
        arguments: options of the builder under which the network has all tensors of the file.
        classes: what the outputs mean, in this order.
    """

    url: str
    file_name: str
    checksum: str
    license: str
    key_map: KeyMap
    map: float
    shorter: int | None
    longer: int
    mean: tuple[float, float, float] = IMAGENET_MEAN
    std: tuple[float, float, float] = IMAGENET_STD
    arguments: dict[str, Any] = field(default_factory=dict)
    classes: tuple[str, ...] = COCO_CLASSES

    @property
    def num_classes(self) -> int:
        """K, without the background."""
        return len(self.classes)


def _torchvision(stem: str, key_map: KeyMap, **facts: Any) -> DetectorWeights:
    """A file "name-digits.pth" of torchvision, of the weights it calls COCO_V1."""
    return DetectorWeights(
        f"https://download.pytorch.org/models/{stem}.pth",
        f"{stem}.pth",
        f"sha256:{stem.rsplit('-', 1)[1]}",
        "BSD-3-Clause",
        key_map,
        **facts,
    )


DETECTOR_WEIGHTS: dict[str, DetectorWeights] = {
    "ssd300": _torchvision(
        "ssd300_vgg16_coco-b556d3b4",
        SSD300,
        map=25.1,
        shorter=None,
        longer=300,
        mean=(0.48235, 0.45882, 0.40784),  # VGG's first weights came from Caffe: deviations of one grey level
        std=(1 / 255, 1 / 255, 1 / 255),
    ),
    "faster_rcnn": _torchvision(
        "fasterrcnn_resnet50_fpn_coco-258fb6c6",
        FASTER_RCNN,
        map=37.0,
        shorter=800,
        longer=1333,
        arguments={"frozen_batch_norm": True, "batch_norm_eps": 0.0},  # it was trained without an epsilon
    ),
}
