"""SSD: boxes of many shapes at every place of several feature maps, each classified and moved, in one pass
(Liu et al. 2015, "SSD: Single shot multibox detector", arXiv:1512.02325, figure 2).

Fine maps find small objects, coarse ones large objects. A place of a map has 4 or 6 default boxes; a 3x3
convolution tells for each its class scores, background among them, and how it is to be moved.

    VGG-16 ─ conv4_3 ─ pool, conv5, fc6 (dilated), fc7 ─ conv8_2 ─ conv9_2 ─ conv10_2 ─ conv11_2     SSD300
                │38                  │19                  │10       │5         │3          │1
                └ 4 boxes            └ 6                  └ 6       └ 6        └ 4         └ 4   8,732 boxes

    backbone ─ stride 8 ─ 16 ─ 32 ─ halved ─ halved                                                  light
                └ 4       └ 4   └ 4   └ 4      └ 4

SSD300 has 26,285,486 parameters with 20 classes and 35,641,826 with 90; with torchvision's weights it gives
torchvision's outputs. The light variant takes pictures of any size and any backbone that has such strides.

Shapes: N pictures, C channels, H and W height and width, K classes, A default boxes of a picture.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from striate.errors import InputError
from striate.layers import ConvNormAct, glorot_uniform_, initialize
from striate.models.backbone import Backbone
from striate.models.vgg import VGG
from striate.ops.boxes import clip_boxes, decode_deltas, encode_deltas
from striate.samples import Detections, Objects
from striate.tasks.detection.matching import BACKGROUND, Overlap, match
from striate.tasks.detection.rules import Choice, DetectionRules
from striate.tasks.detection.surest import surest
from striate.tasks.detection.trunk import PLACE, last_maps, network, without_classifier
from striate.tasks.task import Outputs

WEIGHTS = (10.0, 10.0, 5.0, 5.0)  # of the deltas: the variances 0.1 and 0.2 of the authors' code, inverted
OVERLAP = Overlap(positive=0.5, negative=0.5, rescue="best")
NEGATIVES = 3  # background boxes in the loss, for each that finds an object (section 2.2)
CANDIDATES = 400  # boxes of a class that go into suppression

SCALES = (0.07, 0.15, 0.33, 0.51, 0.69, 0.87, 1.05)  # sides of the boxes, in sides of the picture
STEPS = (8, 16, 32, 64, 100, 300)  # pixels between their centres
RATIOS = ((2,), (2, 3), (2, 3), (2, 3), (2,), (2,))

LIGHT_STRIDES = (8, 16, 32)
LIGHT_SCALE = 2.0  # sides of the boxes, in strides


def box_sides(scale: float, next_scale: float, ratios: Sequence[float]) -> list[tuple[float, float]]:
    """Widths and heights of the default boxes of a place: two squares, then two boxes for each ratio.

    The first has the scale of this map, the second the geometric mean of it and the next map's (section 2.2).
    """
    between = math.sqrt(scale * next_scale)
    sides = [(scale, scale), (between, between)]
    for ratio in ratios:
        long, short = scale * math.sqrt(ratio), scale / math.sqrt(ratio)
        sides += [(long, short), (short, long)]
    return sides


def grid_boxes(grid: Sequence[int], step: float, sides: Tensor) -> Tensor:
    """Default boxes of one map: boxes of the given ``sides`` (B, 2), width and height, at every place.

    Args:
        grid: height and width of the map.
        step: pixels between places; the first is half a step from the border.

    Returns:
        boxes_xyxy float32 (height * width * B, 4), row by row, the boxes of a place together.
    """
    y, x = ((torch.arange(length, device=sides.device) + 0.5) * step for length in grid)
    centres = torch.stack(torch.meshgrid(x, y, indexing="xy"), dim=-1)[:, :, None]  # (height, width, 1, 2)
    return torch.cat([centres - sides / 2, centres + sides / 2], dim=-1).view(-1, 4)


class PredictionHead(nn.Module):
    """A 3x3 convolution for classes and one for boxes on each map.

    Args:
        channels: of the maps.
        counts: default boxes of a place of each map.
        num_classes: K.
    """

    def __init__(self, channels: Sequence[int], counts: Sequence[int], num_classes: int) -> None:
        super().__init__()
        pairs = list(zip(channels, counts, strict=True))
        self.columns = num_classes + 1
        self.classes = nn.ModuleList(nn.Conv2d(c, n * self.columns, 3, padding=1) for c, n in pairs)
        self.boxes = nn.ModuleList(nn.Conv2d(c, n * 4, 3, padding=1) for c, n in pairs)

    def forward(self, maps: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        """Maps -> logits (N, A, K + 1), the background first, and deltas (N, A, 4)."""
        logits = [self._rows(layer(x), self.columns) for layer, x in zip(self.classes, maps, strict=True)]
        deltas = [self._rows(layer(x), 4) for layer, x in zip(self.boxes, maps, strict=True)]
        return torch.cat(logits, dim=1), torch.cat(deltas, dim=1)

    @staticmethod
    def _rows(x: Tensor, columns: int) -> Tensor:
        return x.permute(0, 2, 3, 1).reshape(len(x), -1, columns)  # (N, B * columns, H, W) -> (N, H*W*B, ..)


class SSD300(nn.Module):
    """SSD on VGG: pictures (N, C, 300, 300), float -> the outputs that ``SSDRules`` names.

    Larger pictures work too; then the last maps are larger.

    Args:
        backbone: its last pooling and its dense layers are not used.
        num_classes: K, without the background.
    """

    def __init__(self, backbone: VGG, num_classes: int) -> None:
        super().__init__()
        self.backbone = backbone
        *_, pool3 = backbone.stages["stage3"].children()
        assert isinstance(pool3, nn.MaxPool2d)
        pool3.ceil_mode = True  # 75 -> 38, as in the paper
        fine, coarse = (info.channels for info in backbone.feature_info[-2:])
        # conv4_3 is far louder than the maps after it: its places get length 1, times a learned scale
        # (Liu et al. 2015, "ParseNet", arXiv:1506.04579).
        self.scale = nn.Parameter(torch.full((fine,), 20.0))
        self.context = nn.Sequential(  # fc6 and fc7 of VGG as convolutions that see as far as they did
            nn.MaxPool2d(3, stride=1, padding=1),
            nn.Conv2d(coarse, 1024, 3, padding=6, dilation=6),
            nn.ReLU(inplace=True),
            nn.Conv2d(1024, 1024, 1),
            nn.ReLU(inplace=True),
        )
        self.extras = nn.ModuleList(
            [
                _narrowed(1024, 256, 512, stride=2, padding=1),
                _narrowed(512, 128, 256, stride=2, padding=1),
                _narrowed(256, 128, 256, stride=1, padding=0),
                _narrowed(256, 128, 256, stride=1, padding=0),
            ]
        )
        counts = [2 + 2 * len(ratios) for ratios in RATIOS]
        self.head = PredictionHead((fine, 1024, 512, 256, 256, 256), counts, num_classes)
        for part in (self.context, self.extras, self.head):
            initialize(part, glorot_uniform_)

    def forward(self, images: Tensor) -> Outputs:
        maps = self.feature_maps(images)
        logits, deltas = self.head(maps)
        size = images.new_tensor(images.shape[-2:], dtype=torch.float32)  # height, width
        anchors = [
            grid_boxes(x.shape[-2:], step, self._sides(level, size))
            for level, (x, step) in enumerate(zip(maps, STEPS, strict=True))
        ]
        return _outputs(logits, deltas, torch.cat(anchors), size)

    def feature_maps(self, images: Tensor) -> list[Tensor]:
        """Pictures (N, C, 300, 300) -> six maps: (N, 512, 38, 38), (N, 1024, 19, 19) ... (N, 256, 1, 1)."""
        x = self.backbone.stem(images)
        maps: list[Tensor] = []
        for name, stage in self.backbone.stages.items():
            *convolutions, pool = stage.children()
            for layer in convolutions:
                x = layer(x)
            if name == "stage4":  # conv4_3
                maps.append(self.scale.view(-1, 1, 1) * F.normalize(x.float()))  # length of a place: channels
            x = pool(x) if name != "stage5" else x
        x = self.context(x)
        maps.append(x)
        for extra in self.extras:
            x = extra(x)
            maps.append(x)
        return maps

    @staticmethod
    def _sides(level: int, size: Tensor) -> Tensor:
        sides = box_sides(SCALES[level], SCALES[level + 1], RATIOS[level])
        return size.new_tensor(sides).clamp_(max=1) * size.flip(0)  # relative widths and heights -> pixels


def _narrowed(in_channels: int, width: int, out_channels: int, stride: int, padding: int) -> nn.Sequential:
    """1x1 narrows, 3x3 makes the map smaller."""
    return nn.Sequential(
        nn.Conv2d(in_channels, width, 1),
        nn.ReLU(inplace=True),
        nn.Conv2d(width, out_channels, 3, stride, padding),
        nn.ReLU(inplace=True),
    )


class SSDLight(nn.Module):
    """SSD on any backbone: pictures (N, C, H, W), float -> the outputs that ``SSDRules`` names.

    The boxes grow with the strides of the maps, not with the picture.

    Args:
        backbone: has a feature map of one of ``LIGHT_STRIDES`` or several.
        num_classes: K, without the background.
        extra_channels: of the two maps after those of the backbone, each half as high and wide.
    """

    def __init__(self, backbone: Backbone, num_classes: int, extra_channels: int = 128) -> None:
        super().__init__()
        infos = last_maps(backbone, LIGHT_STRIDES)
        self.backbone = backbone
        self.levels = [info.name for info in infos]
        self.strides = [info.stride for info in infos]
        self.strides += [infos[-1].stride * 2, infos[-1].stride * 4]
        self.extras = nn.ModuleList(
            nn.Sequential(
                ConvNormAct(channels, extra_channels // 2, 1),
                ConvNormAct(extra_channels // 2, extra_channels, 3, stride=2),
            )
            for channels in (infos[-1].channels, extra_channels)
        )
        channels = [*(info.channels for info in infos), extra_channels, extra_channels]
        self.head = PredictionHead(channels, [4] * len(channels), num_classes)
        for part in (self.extras, self.head):
            initialize(part, glorot_uniform_)

    def forward(self, images: Tensor) -> Outputs:
        features = self.backbone.features(images)
        maps = [features[name] for name in self.levels]
        for extra in self.extras:
            maps.append(extra(maps[-1]))
        logits, deltas = self.head(maps)
        size = images.new_tensor(images.shape[-2:], dtype=torch.float32)
        anchors = []
        for x, stride in zip(maps, self.strides, strict=True):
            sides = box_sides(LIGHT_SCALE * stride, LIGHT_SCALE * 2 * stride, (2,))
            anchors.append(grid_boxes(x.shape[-2:], stride, size.new_tensor(sides)))
        return _outputs(logits, deltas, torch.cat(anchors), size)


def _outputs(logits: Tensor, deltas: Tensor, anchors: Tensor, size: Tensor) -> Outputs:
    pictures = len(logits)
    return {
        "logits": logits,
        "deltas": deltas,
        "anchors": anchors.expand(pictures, -1, -1),
        "size": size.expand(pictures, -1),
    }


class SSDRules(DetectionRules):
    """Loss and decoding (section 2.2).

    Outputs: "logits" (N, A, K + 1), the background first; "deltas" (N, A, 4) with ``WEIGHTS``; "anchors"
    float32 (N, A, 4), the default boxes in pixels; "size" float32 (N, 2), height and width of the input.
    """

    def loss(self, outputs: Outputs, objects: Objects) -> dict[str, Tensor]:
        """The terms "class" and "box", and "loss", their sum.

        Each picture's terms are divided by its own number of boxes that find an object. (torchvision divides
        those of a batch by the number in the batch; for one picture that is the same.) A picture without
        any shows three background boxes.
        """
        logits, deltas, anchors = (outputs[name].float() for name in ("logits", "deltas", "anchors"))
        matches = match(anchors, objects, OVERLAP)  # (N, A)
        positive = matches >= 0
        rows = matches[positive]
        labels = torch.zeros_like(matches).masked_scatter_(positive, objects.labels[rows] + 1)
        counts = positive.sum(dim=1).clamp_(min=1)  # (N,)

        entropy = F.cross_entropy(logits.flatten(0, 1), labels.flatten(), reduction="none").view_as(labels)
        hardest = _hardest(entropy.masked_fill(matches != BACKGROUND, 0), counts * NEGATIVES)
        classes = ((entropy * positive).sum(dim=1) + hardest) / counts

        targets = encode_deltas(objects.boxes_xyxy[rows], anchors[positive], WEIGHTS)
        distances = F.smooth_l1_loss(deltas[positive], targets, reduction="none").sum(dim=1)
        boxes = torch.zeros_like(entropy).masked_scatter(positive, distances).sum(dim=1) / counts
        terms = {"class": classes.mean(), "box": boxes.mean()}
        return {"loss": terms["class"] + terms["box"]} | terms

    @torch.no_grad()
    def decode(self, outputs: Outputs, choice: Choice) -> list[Detections]:
        scores = outputs["logits"].float().softmax(dim=2)[:, :, 1:]  # (N, A, K)
        scores, places = scores.topk(min(CANDIDATES, scores.shape[1]), dim=1)  # (N, 400, K)
        found = []
        for picture, (height, width) in enumerate(outputs["size"].tolist()):
            rows, labels = (scores[picture] >= choice.score).nonzero(as_tuple=True)
            place = places[picture, rows, labels]
            deltas, anchors = outputs["deltas"][picture, place], outputs["anchors"][picture, place]
            boxes = clip_boxes(decode_deltas(deltas.float(), anchors, WEIGHTS), height, width)
            found.append(surest(boxes, scores[picture, rows, labels], labels, choice))
        return found


def _hardest(losses: Tensor, numbers: Tensor) -> Tensor:
    """The sums (N,) of the ``numbers`` (N,) largest of each row of ``losses`` (N, A), at least 0."""
    values = losses.topk(min(int(numbers.max()), losses.shape[1]), dim=1).values
    ranks = torch.arange(values.shape[1], device=values.device)
    return (values * (ranks < numbers[:, None])).sum(dim=1)


def ssd300(
    num_classes: int, in_channels: int = 3, backbone: str | Backbone = "vgg16"
) -> tuple[SSD300, SSDRules]:
    """SSD300 as in the paper.

    Args:
        num_classes: K, without the background.
        in_channels: channels of the pictures.
        backbone: a VGG: its name in the catalogue, or the network itself.

    Raises:
        InputError: the backbone is not there, or no VGG.
    """
    body = network(backbone, in_channels)
    if not isinstance(body, VGG):
        raise InputError("SSD300 is drawn for VGG", PLACE, "use ssd_light, which takes any backbone")
    without_classifier(body)
    return SSD300(body, num_classes), SSDRules()


def ssd_light(
    num_classes: int,
    in_channels: int = 3,
    backbone: str | Backbone = "resnet18",
    arguments: Mapping[str, Any] | None = None,
    extra_channels: int = 128,
) -> tuple[SSDLight, SSDRules]:
    """SSD for ordinary machines, with pictures of any size.

    Args:
        num_classes: K, without the background.
        in_channels: channels of the pictures.
        backbone: its name in the catalogue, or the network itself.
        arguments: of the builder of a backbone that is given by name, such as its width.
        extra_channels: of the two maps after those of the backbone.

    Raises:
        InputError: the backbone is not there, takes no such arguments, or its maps are too fine.
    """
    body = without_classifier(network(backbone, in_channels, arguments))
    return SSDLight(body, num_classes, extra_channels), SSDRules()
