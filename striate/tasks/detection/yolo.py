"""YOLO: all objects in one pass, each found by the grid cell that its centre lies in (Redmon et al.; 2016,
"YOLO9000", arXiv:1612.08242; 2018, "YOLOv3", arXiv:1804.02767).

    picture ─ backbone ─ maps ─ head ─┬─ stride 8    each cell: A boxes of 5 numbers, and class logits
                                      ├─ stride 16
                                      └─ stride 32

    YOLOv2    stage4 ─ 1x1 ─ 2x2 pixels become channels ─┐              fine detail is passed through
              stage5 ─ 3x3 ─ 3x3 ────────────────────────┴─ 3x3 ─ 1x1

    YOLOv3    stage5 ─ five convolutions ─┬─ 3x3 ─ 1x1                  coarse maps tell finer ones
                                          └─ 1x1 ─ x2 ─┐                what they see
              stage4 ──────────────────────────────────┴─ five ─┬─ 3x3 ─ 1x1
                                                                └─ ...

    light     every stride ─ 1x1 ─(+)─ 3x3 ─ 3x3 ─ 1x1                  the same at a price for processors
                                   └── x2 of the coarser sum

| variant     | backbone     | strides   | numbers per cell       |     params | boxes        |
| yolo_shared | Darknet-19   | 32        | 5 * 5 + 20 = 45        | 50,573,389 | 845 @416     |
| yolov2      | Darknet-19   | 32        | 5 * (5 + 20) = 125     | 50,655,389 | 845 @416     |
| yolov3      | Darknet-53   | 8, 16, 32 | 3 * (5 + 80) = 255     | 61,949,149 | 10,647 @416  |
| yolo_light  | any          | 8, 16     | 3 * (5 + 10) = 45      |            | 2,160 @192   |

``striate.tasks.detection.yolo_loss`` says what the numbers mean. Height and width of the input are multiples
of the coarsest stride.

Shapes: N batch, C channels, H and W height and width of the input, K classes, A anchors per cell.
"""

import math
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from striate.errors import InputError
from striate.layers import Conv2d, ConvNormAct
from striate.models.backbone import Backbone, FeatureInfo, scaled
from striate.models.darknet import Convolution, darknet19, darknet53
from striate.tasks.detection.anchors import by_area
from striate.tasks.detection.trunk import network
from striate.tasks.detection.yolo_loss import BOX, ClassTerm, SigmoidClasses, SoftmaxClasses, YoloRules
from striate.tasks.task import Outputs

Sizes = Sequence[Sequence[float]]  # of anchors: width and height in pixels of the input

VOC_ANCHORS = ((42, 55), (102, 128), (162, 259), (303, 155), (360, 320))  # YOLOv2's, at 416 pixels
COCO_ANCHORS = (  # YOLOv3's, at 416 pixels
    *((10, 13), (16, 30), (33, 23)),
    *((30, 61), (62, 45), (59, 119)),
    *((116, 90), (156, 198), (373, 326)),
)
LIGHT_SHARES = (2.0, 2.5, 3.2)  # sides of the light variant's anchors, in strides: steps of a third octave
PRIOR = 0.01  # certainty of an untrained network that a cell holds an object (Lin et al. 2017, section 4.1)


class Yolo(nn.Module):
    """A backbone, and a head that turns some of its maps into predictions.

    Args:
        backbone: its own head and whatever follows the last map that is used should be cut off.
        head: feature maps by name -> one map for each stride.
        strides: of the head's maps.
    """

    def __init__(self, backbone: Backbone, head: "Head", strides: tuple[int, ...]) -> None:
        super().__init__()
        self.backbone = backbone
        self.head = head
        self.strides = strides

    def forward(self, images: Tensor) -> Outputs:
        """Pictures (N, C, H, W), float -> {"stride32": (N, numbers per cell, H/32, W/32), ...}.

        Raises:
            InputError: height or width is not a multiple of the coarsest stride.
        """
        coarsest = self.strides[-1]
        if images.shape[2] % coarsest or images.shape[3] % coarsest:
            raise InputError(
                f"{images.shape[2]}x{images.shape[3]} pixels do not divide into cells of {coarsest}",
                "input.size",
                f"give height and width as multiples of {coarsest}",
            )
        maps = self.head(self.features(images))
        return {f"stride{stride}": m for stride, m in zip(self.strides, maps, strict=True)}

    def features(self, images: Tensor) -> dict[str, Tensor]:
        """The backbone's maps, each (N, C, H / stride, W / stride): those that fall short are stretched."""
        maps = self.backbone.features(images)
        height, width = images.shape[2:]
        for info in self.backbone.feature_info:
            size = height // info.stride, width // info.stride
            if info.name in self.head.names and maps[info.name].shape[2:] != size:
                maps[info.name] = F.interpolate(maps[info.name], size)
        return maps


class PassthroughHead(nn.Module):
    """YOLOv2's: two convolutions on the coarse map, joined with the fine one, each 2x2 pixels of it stacked.

    Args:
        fine, coarse: the maps of strides 16 and 32.
        rules: tell the numbers of a cell.
        width: multiplies the channels of every layer.
    """

    def __init__(self, fine: FeatureInfo, coarse: FeatureInfo, rules: YoloRules, width: float) -> None:
        super().__init__()
        self.names = fine.name, coarse.name
        passed, wide = scaled(64, width), scaled(1024, width)
        self.deep = nn.Sequential(Convolution(coarse.channels, wide, 3), Convolution(wide, wide, 3))
        self.narrow = Convolution(fine.channels, passed, 1)
        self.join = Convolution(4 * passed + wide, wide, 3)
        self.output = output_layer(wide, rules)

    def forward(self, features: dict[str, Tensor]) -> list[Tensor]:
        fine, coarse = (features[name] for name in self.names)
        passed = F.pixel_unshuffle(self.narrow(fine), 2)  # (N, 64, H/16, W/16) -> (N, 256, H/32, W/32)
        return [self.output(self.join(torch.cat([passed, self.deep(coarse)], 1)))]


class ThreeScaleHead(nn.Module):
    """YOLOv3's: from the coarsest map on, five convolutions, a prediction, and what finer maps get to know.

    Args:
        levels: the maps, finest first.
        rules: tell the numbers of a cell.
        width: multiplies the channels of every layer.
    """

    def __init__(self, levels: Sequence[FeatureInfo], rules: YoloRules, width: float) -> None:
        super().__init__()
        self.names = [level.name for level in levels]
        self.necks, self.tells, self.outputs = nn.ModuleList(), nn.ModuleList(), nn.ModuleList()
        told = 0
        for index, level in enumerate(reversed(levels)):
            narrow = scaled(512 // 2**index, width)
            wide = 2 * narrow
            self.necks.append(five_convolutions(level.channels + told, narrow, wide))
            self.outputs.append(nn.Sequential(Convolution(narrow, wide, 3), output_layer(wide, rules)))
            if index + 1 < len(levels):
                told = scaled(256 // 2**index, width)
                self.tells.append(nn.Sequential(Convolution(narrow, told, 1), nn.Upsample(scale_factor=2)))

    def forward(self, features: dict[str, Tensor]) -> list[Tensor]:
        maps: list[Tensor] = []
        x = features[self.names[-1]]
        for index, (neck, output) in enumerate(zip(self.necks, self.outputs, strict=True)):
            if index:
                x = torch.cat([self.tells[index - 1](x), features[self.names[-1 - index]]], 1)
            x = neck(x)
            maps.insert(0, output(x))
        return maps


class LightHead(nn.Module):
    """A feature pyramid (Lin et al. 2017, arXiv:1612.03144) with one convolution before each prediction.

    Args:
        sources: for each stride, finest first, the map to start from; where it is finer than the stride,
            strided convolutions go on from there.
        rules: tell the strides and the numbers of a cell.
        channels: of every layer.
    """

    def __init__(self, sources: Sequence[FeatureInfo], rules: YoloRules, channels: int) -> None:
        super().__init__()
        self.names = [source.name for source in sources]
        self.laterals = nn.ModuleList(
            lateral(source, stride, channels) for source, stride in zip(sources, rules.strides, strict=True)
        )
        self.outputs = nn.ModuleList(
            nn.Sequential(
                ConvNormAct(channels, channels, 3),
                ConvNormAct(channels, channels, 3),
                output_layer(channels, rules),
            )
            for _ in sources
        )

    def forward(self, features: dict[str, Tensor]) -> list[Tensor]:
        sums: list[Tensor] = []
        for name, own in zip(reversed(self.names), reversed(self.laterals), strict=True):
            x = own(features[name])
            sums.insert(0, x + F.interpolate(sums[0], x.shape[2:]) if sums else x)  # nearest: pixels repeat
        return [output(x) for output, x in zip(self.outputs, sums, strict=True)]


def five_convolutions(in_channels: int, narrow: int, wide: int) -> nn.Sequential:
    """1x1 and 3x3 in turn, beginning and ending with 1x1: (N, C, H, W) -> (N, narrow, H, W)."""
    return nn.Sequential(
        Convolution(in_channels, narrow, 1),
        Convolution(narrow, wide, 3),
        Convolution(wide, narrow, 1),
        Convolution(narrow, wide, 3),
        Convolution(wide, narrow, 1),
    )


def lateral(source: FeatureInfo, stride: int, channels: int) -> nn.Module:
    """From a backbone's map to ``channels`` at ``stride``: 1x1, or 3x3 convolutions of stride 2."""
    halvings = int(math.log2(stride / source.stride))
    if halvings == 0:
        return ConvNormAct(source.channels, channels, 1)
    inputs = [source.channels, *[channels] * (halvings - 1)]
    return nn.Sequential(*[ConvNormAct(before, channels, 3, stride=2) for before in inputs])


Head = PassthroughHead | ThreeScaleHead | LightHead


def output_layer(in_channels: int, rules: YoloRules) -> Conv2d:
    """The numbers of a cell from its features; at first every cell is nearly sure to hold nothing."""
    layer = Conv2d(in_channels, rules.numbers_per_cell, 1)
    objectness = slice(BOX - 1, rules.anchors_per_cell * BOX, BOX)
    assert layer.bias is not None
    with torch.no_grad():
        layer.bias[objectness] = math.log(PRIOR / (1 - PRIOR))
    return layer


def yolo_shared(num_classes: int, in_channels: int = 3, **options: Any) -> tuple[Yolo, YoloRules]:
    """Darknet-19, five boxes in each cell, and class probabilities that they share. As ``yolov2``."""
    return darknet19_yolo(num_classes, in_channels, shared_classes=True, **options)


def yolov2(num_classes: int, in_channels: int = 3, **options: Any) -> tuple[Yolo, YoloRules]:
    """Darknet-19, five boxes in each cell, each with its class. Options: those of ``darknet19_yolo``."""
    return darknet19_yolo(num_classes, in_channels, shared_classes=False, **options)


def darknet19_yolo(
    num_classes: int,
    in_channels: int,
    *,
    shared_classes: bool,
    anchors: Sizes = VOC_ANCHORS,
    width: float = 1.0,
    classes: ClassTerm | None = None,
) -> tuple[Yolo, YoloRules]:
    """YOLOv2: stride 32, fine detail passed through, squared errors.

    Args:
        num_classes: K.
        in_channels: channels of the input pictures.
        shared_classes: the boxes of a cell share class logits.
        anchors: width and height in pixels of the input.
        width: multiplies the channels of every layer.
        classes: how class logits are learned and read; None is a softmax.
    """
    rules = YoloRules(
        num_classes,
        checked_anchors(anchors, 1),
        (32,),
        classes or SoftmaxClasses(),
        shared_classes=shared_classes,
        ignore=0.6,
    )
    backbone = darknet19(num_classes=2, in_channels=in_channels, width=width)
    fine, coarse = backbone.feature_info[-2:]
    head = PassthroughHead(fine, coarse, rules, width)
    return Yolo(cut_after(backbone, coarse), head, rules.strides), rules


def yolov3(
    num_classes: int = 80,
    in_channels: int = 3,
    *,
    anchors: Sizes = COCO_ANCHORS,
    width: float = 1.0,
    classes: ClassTerm | None = None,
) -> tuple[Yolo, YoloRules]:
    """Darknet-53, three strides, as many anchors at each, squared errors.

    Arguments as in ``darknet19_yolo``; ``classes`` is a sigmoid for each class by default.
    """
    strides = (8, 16, 32)
    rules = YoloRules(num_classes, checked_anchors(anchors, 3), strides, classes or SigmoidClasses())
    backbone = darknet53(num_classes=2, in_channels=in_channels, width=width)
    levels = backbone.feature_info[-3:]
    head = ThreeScaleHead(levels, rules, width)
    return Yolo(cut_after(backbone, levels[-1]), head, strides), rules


def yolo_light(
    num_classes: int,
    in_channels: int = 3,
    *,
    backbone: str | Backbone = "resnet18",
    arguments: Mapping[str, Any] | None = None,
    strides: Sequence[int] = (8, 16),
    anchors: Sizes | None = None,
    channels: int = 64,
    classes: ClassTerm | None = None,
) -> tuple[Yolo, YoloRules]:
    """A light detector on any network of the catalogue: CIoU loss, several anchors for each object.

    Args:
        num_classes: K.
        in_channels: channels of the input pictures.
        backbone: a name of the catalogue, or a network that somebody has built, with its weights.
        arguments: of the builder of a backbone that is given by name, such as ``{"width": 0.5}``.
        strides: of the maps to detect on: powers of 2, ascending. Objects two to six strides large are found
            best.
        anchors: width and height in pixels of the input, as many for each stride, the smallest for the
            finest; None is three squares for each, of 2 to 3.2 strides.
        channels: of the head.
        classes: how class logits are learned and read; None is a softmax.

    Raises:
        InputError: there is no such network, its finest map is coarser than a stride, strides are no such
            powers, or the anchors cannot be shared out.
    """
    strides = checked_strides(strides)
    if anchors is None:
        anchors = [(share * stride, share * stride) for stride in strides for share in LIGHT_SHARES]
    rules = YoloRules(
        num_classes,
        checked_anchors(anchors, len(strides)),
        strides,
        classes or SoftmaxClasses(),
        box_loss="ciou",
        match=0.5,
        box_weight=2.0,
    )
    body = network(backbone, in_channels, arguments)
    sources = [source_of(body, stride) for stride in strides]
    head = LightHead(sources, rules, channels)
    return Yolo(cut_after(body, sources[-1]), head, strides), rules


def source_of(backbone: Backbone, stride: int) -> FeatureInfo:
    """The last of the coarsest maps that are not coarser than ``stride``."""
    found = [info for info in backbone.feature_info if info.stride <= stride]
    if not found:
        finest = backbone.feature_info[0].stride
        raise InputError(
            f"maps with steps of {stride} pixels cannot come from a network whose finest has {finest}",
            "model.arguments.strides",
            f"detect on strides from {finest} up, or take another backbone",
        )
    return max(reversed(found), key=lambda info: info.stride)


def cut_after(backbone: Backbone, last: FeatureInfo) -> Backbone:
    """``backbone`` without what is not needed for the maps up to ``last``; later maps become copies of it."""
    for info in backbone.feature_info[backbone.feature_info.index(last) + 1 :]:
        backbone.set_submodule(f"stages.{info.name}", nn.Identity())
    for name, _ in list(backbone.named_children()):
        if name not in ("stem", "stages"):
            setattr(backbone, name, nn.Identity())
    return backbone


def checked_strides(strides: Sequence[int]) -> tuple[int, ...]:
    """``strides``, which are ascending powers of 2."""
    ascending = all(fine < coarse for fine, coarse in pairwise(strides))
    if not strides or not ascending or any(stride < 1 or stride & (stride - 1) for stride in strides):
        raise InputError(
            "strides are powers of 2, the finest first", "model.arguments.strides", "give such as [8, 16]"
        )
    return tuple(strides)


def checked_anchors(anchors: Sizes, num_strides: int) -> Tensor:
    """``anchors`` as float (S * A, 2), by ascending area.

    Raises:
        InputError: they are not pairs of positive numbers, or not as many for each stride.
    """
    pairs = [list(size) for size in anchors]
    if not pairs or any(len(size) != 2 or min(size) <= 0 for size in pairs):
        raise InputError("anchors are pairs of a width and a height above 0", "anchors", "give pixels")
    if len(pairs) % num_strides:
        raise InputError(
            f"{len(pairs)} anchors cannot be shared out evenly among {num_strides} strides",
            "anchors",
            f"give a multiple of {num_strides}",
        )
    return by_area(torch.tensor(pairs, dtype=torch.float32))
