"""Detectors by name: how each is built, and which pictures it takes."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from inspect import signature
from typing import Any

from torch import nn

from striate.errors import InputError
from striate.tasks.detection.faster_rcnn import faster_rcnn, faster_rcnn_light
from striate.tasks.detection.rules import DetectionRules
from striate.tasks.detection.ssd import ssd300, ssd_light
from striate.tasks.detection.yolo import darknet19_yolo, yolo_light, yolov3

DEFAULT_DETECTOR = "yolo_light"
FACTS_CLASSES = 20  # of PASCAL VOC: how many the facts of a detector are counted with

Build = Callable[..., tuple[nn.Module, DetectionRules]]  # (num_classes, in_channels, **arguments)


@dataclass(frozen=True)
class DetectorFacts:
    """What is known of a detector.

    Attributes:
        title: what it is, in one line.
        build: makes the network and its rules.
        size: H, W of the pictures that it was drawn for.
        minimum: the smallest side that it takes.
        multiple: of which both sides are multiples.
        strides: of the maps that it detects on, unless the argument "strides" names others.
        anchors: how many shapes of boxes for each stride it wants to be told of the data, as the argument
            "anchors"; 0: none.
        depends: whether what it computes depends on what it finds.
        year: of publication.
        params: trainable values, with ``FACTS_CLASSES`` classes.
        macs: multiply-accumulates for one colour picture of ``size``; None where ``depends``.
    """

    title: str
    build: Build
    size: tuple[int, int]
    minimum: int
    multiple: int = 1
    strides: tuple[int, ...] = ()
    anchors: int = 0
    depends: bool = False
    year: int = 0
    params: int = 0
    macs: int | None = None


DETECTORS: dict[str, DetectorFacts] = {
    "yolo_light": DetectorFacts(
        "YOLO for ordinary machines, on any network of the catalogue",
        yolo_light,
        (160, 160),
        64,
        32,
        (8, 16),
        3,
        year=2026,
        params=2_965_334,
        macs=759_750_400,
    ),
    "yolo_shared": DetectorFacts(
        "YOLO on Darknet-19, five boxes per cell that share their classes",
        partial(darknet19_yolo, shared_classes=True),
        (416, 416),
        64,
        32,
        (32,),
        5,
        year=2016,
        params=50_573_389,
        macs=14_666_322_944,
    ),
    "yolov2": DetectorFacts(
        "YOLOv2 on Darknet-19, five boxes per cell",
        partial(darknet19_yolo, shared_classes=False),
        (416, 416),
        64,
        32,
        (32,),
        5,
        year=2016,
        params=50_655_389,
        macs=14_680_167_424,
    ),
    "yolov3": DetectorFacts(
        "YOLOv3 on Darknet-53, three boxes per cell at three scales",
        yolov3,
        (416, 416),
        64,
        32,
        (8, 16, 32),
        3,
        year=2018,
        params=61_626_049,
        macs=32_713_987_072,
    ),
    "ssd_light": DetectorFacts(
        "SSD for ordinary machines, on any network of the catalogue",
        ssd_light,
        (160, 160),
        64,
        32,
        year=2026,
        params=12_402_996,
        macs=1_009_275_392,
    ),
    "ssd300": DetectorFacts(
        "SSD300 on VGG-16", ssd300, (300, 300), 300, year=2015, params=26_285_486, macs=31_373_537_792
    ),
    "faster_rcnn_light": DetectorFacts(
        "Faster R-CNN for ordinary machines, on any network of the catalogue",
        faster_rcnn_light,
        (160, 160),
        64,
        32,
        depends=True,
        year=2026,
        params=12_278_584,
    ),
    "faster_rcnn": DetectorFacts(
        "Faster R-CNN with a feature pyramid on ResNet-50, or on VGG-16",
        faster_rcnn,
        (640, 640),
        128,
        32,
        depends=True,
        year=2015,
        params=41_449_656,
    ),
}


def detector_facts(name: str) -> DetectorFacts:
    """The facts of a detector.

    Raises:
        InputError: there is none of that name.
    """
    if name not in DETECTORS:
        raise InputError(f"no detector is called {name!r}", "--model", f"one of {', '.join(DETECTORS)}")
    return DETECTORS[name]


def learns_trees(name: str) -> bool:
    """Whether the detector's classes may be a tree: it takes a ``WordTree`` as the argument "classes"."""
    return "classes" in signature(detector_facts(name).build).parameters


def create_detector(
    name: str, num_classes: int, in_channels: int, **arguments: Any
) -> tuple[nn.Module, DetectionRules]:
    """A detector with fresh weights, and its rules.

    Raises:
        InputError: there is none of that name, or it takes no such arguments.
    """
    facts = detector_facts(name)
    known = signature(facts.build).parameters.keys() - {"num_classes", "in_channels", "shared_classes"}
    if unknown := set(arguments) - known:
        raise InputError(
            f"{name} takes no argument {', '.join(sorted(unknown))}",
            "model.arguments",
            f"it takes {', '.join(sorted(known))}",
        )
    return facts.build(num_classes, in_channels, **arguments)
