"""Faster R-CNN: one network proposes regions, and then looks at each of them (Ren et al. 2015, "Faster R-CNN:
Towards real-time object detection with region proposal networks", arXiv:1506.01497, figure 2).

    pictures ─ backbone ─ neck ─┬─ region proposals ─ where might something be?
                                └─ 7x7 crop of each ─ two dense layers ─┬─ what is it?
                                                                        └─ where exactly, if it is that?

| variant                   | maps                    | params of 90 classes (20 for VGG)               |
| faster_rcnn, resnet50     | pyramid, strides 4 - 64 | 41,808,406; 41,755,286 with batch norm frozen   |
| faster_rcnn, vgg16        | conv5_3, stride 16      | 137,073,622; the dense layers are VGG's own     |
| faster_rcnn_light         | pyramid, strides 8 - 64 | of any backbone                                 |

With a pyramid (Lin et al. 2016, arXiv:1612.03144) a region is cut out of the map that fits its size. With
torchvision's weights the first variant gives torchvision's outputs. Regions are cut out by RoI align instead
of RoI pooling (He et al. 2017, arXiv:1703.06870, section 3), as is usual.

Shapes: N pictures, C channels, H and W height and width, K classes, A anchors of a picture, P proposals of a
picture, M regions of all pictures.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from striate.layers import he_normal_, initialize
from striate.models.backbone import Backbone
from striate.models.vgg import VGG
from striate.ops.boxes import box_area
from striate.ops.roi_align import roi_align
from striate.samples import Objects
from striate.tasks.detection.faster_rcnn_loss import OF_ANCHORS, OF_REGIONS, FasterRCNNRules
from striate.tasks.detection.feature_pyramid import FeaturePyramid
from striate.tasks.detection.matching import IGNORED, draw_lots, match, sample
from striate.tasks.detection.region_proposals import (
    RATIOS,
    Limits,
    RegionProposalHead,
    grid_anchors,
    propose,
)
from striate.tasks.detection.trunk import freeze_batch_norm, last_maps, network, without_classifier
from striate.tasks.task import Outputs

POOLED = 7  # places of a region along a side, as many as VGG's dense layers see
SAMPLES = 2  # of a place, along a side
CANONICAL_SIDE, CANONICAL_STRIDE = 224, 16  # a region of this side is cut out of the map of this stride


@dataclass(frozen=True)
class Effort:
    """How many boxes of a picture are looked at.

    Attributes:
        training, evaluation: the limits of the proposals.
        anchors: of a picture that the loss looks at in training, at most half of them objects.
        regions: of a picture that are learned from, at most a quarter of them objects.
    """

    training: Limits
    evaluation: Limits
    anchors: int
    regions: int


FULL = Effort(Limits(2000, 2000), Limits(1000, 1000), anchors=256, regions=512)
SINGLE = Effort(Limits(12000, 2000), Limits(6000, 300), anchors=256, regions=128)
LIGHT = Effort(Limits(200, 200), Limits(200, 100), anchors=128, regions=64)


@dataclass(frozen=True)
class Maps:
    """Which maps are used.

    Attributes:
        names: of those of the backbone.
        strides: of those that regions are cut out of.
        sizes: of the anchors of each map that proposals come from, in pixels.
        aligned: whether regions are cut out where they are; torchvision cuts half a place beside them.
    """

    names: tuple[str, ...]
    strides: tuple[int, ...]
    sizes: tuple[tuple[float, ...], ...]
    aligned: bool


@dataclass(frozen=True)
class Pyramid:
    """A network with a feature pyramid.

    Attributes:
        strides: of the maps of the backbone that it has, where the backbone has them.
        channels: of its maps.
        units: of the dense layers that look at a region.
        anchor_scale: sides of the anchors, in strides.
        aligned: as in ``Maps``.
        effort: how many boxes are looked at.
    """

    strides: tuple[int, ...]
    channels: int
    units: int
    anchor_scale: float
    aligned: bool
    effort: Effort


class BoxHead(nn.Module):
    """What a region is, and how it is to be moved if it is that: (M, C, 7, 7) -> logits and deltas.

    Args:
        shared: the dense layers before both: (M, C * 49) -> (M, units).
        units: how many come out of them.
        num_classes: K.
    """

    def __init__(self, shared: nn.Module, units: int, num_classes: int) -> None:
        super().__init__()
        self.shared = shared
        self.logits = nn.Linear(units, num_classes + 1)
        self.deltas = nn.Linear(units, 4 * (num_classes + 1))
        initialize(self.logits, partial(nn.init.normal_, std=0.01))
        initialize(self.deltas, partial(nn.init.normal_, std=0.001))

    def forward(self, regions: Tensor) -> tuple[Tensor, Tensor]:
        """(M, C, 7, 7) -> logits (M, K + 1), the background first, and deltas (M, K + 1, 4)."""
        x = self.shared(regions.flatten(1))
        return self.logits(x), self.deltas(x).unflatten(1, (-1, 4))


class FasterRCNN(nn.Module):
    """Pictures (N, C, H, W), float -> the outputs that ``FasterRCNNRules`` names.

    In training, with the true objects, it samples: of the anchors, and of the proposals and objects, those
    that the loss is to see. Otherwise it gives all proposals, and the loss sees all. What is sampled of a
    picture follows from its seed, int64 (N,); torch's generator draws the seeds that are not given.

    Args:
        backbone: gives the maps.
        neck: a list of maps -> those that proposals come from; regions are cut out of the first of them.
        channels: of these.
        maps: which they are.
        head: looks at the regions.
        effort: how many boxes are looked at.
    """

    def __init__(
        self, backbone: Backbone, neck: nn.Module, channels: int, maps: Maps, head: BoxHead, effort: Effort
    ) -> None:
        super().__init__()
        self.backbone = backbone
        self.neck = neck
        self.proposals = RegionProposalHead(channels, len(RATIOS) * len(maps.sizes[0]))
        self.head = head
        self.maps = maps
        self.effort = effort

    def forward(self, images: Tensor, objects: Objects | None = None, seeds: Tensor | None = None) -> Outputs:
        height, width = images.shape[-2:]
        step = self.maps.strides[-1]
        images = F.pad(images, (0, -width % step, 0, -height % step))  # so that every stride divides them
        maps = self.feature_maps(images)
        logits, deltas = self.proposals(maps)
        anchors = [
            grid_anchors(x.shape[-2:], images.shape[-2:], sizes, images)
            for x, sizes in zip(maps, self.maps.sizes, strict=True)
        ]
        sampling = self.training and objects is not None
        limits = self.effort.training if sampling else self.effort.evaluation
        regions, there, origins = propose(logits, deltas, anchors, (height, width), limits)
        every = torch.cat(anchors).expand(len(images), -1, -1)  # (N, A, 4)
        seen = torch.ones(every.shape[:2], dtype=torch.bool, device=every.device)
        if sampling and objects is not None:
            seeds = torch.randint(2**62, (len(images),)) if seeds is None else seeds
            counts = every.shape[1], every.shape[1], int(objects.counts.max())
            of_anchors, of_proposals, of_objects = draw_lots(seeds, counts, every.device)
            number = self.effort.anchors
            seen = sample(match(every, objects, OF_ANCHORS), of_anchors, number, number // 2)
            # By origin, not by rank: rounding may change places with the next one, and nothing else.
            lots = torch.cat([of_proposals.gather(1, origins), of_objects], dim=1)
            regions, there = self._sampled(regions, there, objects, lots)
        class_logits, class_deltas = self._look(maps, regions, there)
        return {
            "objectness": torch.cat(logits, dim=1),
            "anchor_deltas": torch.cat(deltas, dim=1),
            "anchors": every,
            "anchors_seen": seen,
            "proposals": regions,
            "proposals_seen": there,
            "logits": class_logits,
            "deltas": class_deltas,
            "size": every.new_tensor([height, width]).expand(len(images), -1),
        }

    def feature_maps(self, images: Tensor) -> list[Tensor]:
        """Pictures, padded to whole strides -> the maps that proposals come from, fine ones first."""
        features = self.backbone.features(images)
        maps: list[Tensor] = self.neck([features[name] for name in self.maps.names])
        return maps

    def _sampled(
        self, proposals: Tensor, there: Tensor, objects: Objects, lots: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Regions (N, P', 4) to learn from, and which are there, of the proposals and the true boxes."""
        known = objects.where(~objects.crowd)
        boxes = proposals.new_zeros(len(proposals), lots.shape[1] - proposals.shape[1], 4)
        places = torch.arange(len(known.labels), device=boxes.device) - known.starts[known.pictures]
        boxes[known.pictures, places] = known.boxes_xyxy
        filled = torch.arange(boxes.shape[1], device=boxes.device) < known.counts[:, None]
        proposals, there = torch.cat([proposals, boxes], dim=1), torch.cat([there, filled], dim=1)

        matches = match(proposals, objects, OF_REGIONS).masked_fill_(~there, IGNORED)
        chosen = sample(matches, lots, self.effort.regions, self.effort.regions // 4)
        first = chosen.long().argsort(dim=1, descending=True, stable=True)[:, : self.effort.regions]
        return proposals.gather(1, first[..., None].expand(-1, -1, 4)), chosen.gather(1, first)

    def _look(self, maps: Sequence[Tensor], regions: Tensor, there: Tensor) -> tuple[Tensor, Tensor]:
        """Logits (N, P, K + 1) and deltas (N, P, K + 1, 4) of regions (N, P, 4); zero where none is."""
        pictures, places = there.nonzero(as_tuple=True)
        boxes = regions[pictures, places]
        crops = cut_out(maps, self.maps.strides, boxes, pictures, self.maps.aligned)
        some_logits, some_deltas = self.head(crops)
        logits = some_logits.new_zeros(*there.shape, *some_logits.shape[1:])
        deltas = some_deltas.new_zeros(*there.shape, *some_deltas.shape[1:])
        logits[pictures, places] = some_logits
        deltas[pictures, places] = some_deltas
        return logits, deltas


def cut_out(
    maps: Sequence[Tensor], strides: Sequence[int], boxes_xyxy: Tensor, pictures: Tensor, aligned: bool
) -> Tensor:
    """Each region out of the map that fits its size (Lin et al. 2016, equation 1).

    Args:
        maps: (N, C, H / stride, W / stride) for each of ``strides``, and perhaps further ones.
        boxes_xyxy: float32 (M, 4), in pixels of the pictures.
        pictures: int64 (M,): the picture of each.
        aligned: as in ``roi_align``.

    Returns:
        (M, C, 7, 7).
    """
    sides = box_area(boxes_xyxy).sqrt()
    octaves = torch.floor(torch.log2(sides * (CANONICAL_STRIDE / CANONICAL_SIDE)) + 1e-6)  # of the stride
    coarsest = octaves.new_tensor(strides).log2()
    levels = (octaves[:, None] >= coarsest[1:]).sum(dim=1)
    rows = [(levels == level).nonzero().flatten() for level in range(len(strides))]
    crops = [
        roi_align(x, boxes_xyxy[row], pictures[row], (POOLED, POOLED), 1 / stride, SAMPLES, aligned)
        for x, stride, row in zip(maps, strides, rows, strict=False)
    ]
    return torch.cat(crops)[torch.cat(rows).argsort()]


def faster_rcnn(
    num_classes: int,
    in_channels: int = 3,
    backbone: str | Backbone = "resnet50",
    frozen_batch_norm: bool = False,
    batch_norm_eps: float | None = None,
) -> tuple[FasterRCNN, FasterRCNNRules]:
    """Faster R-CNN: with a feature pyramid, or, on a VGG, on one map as in the paper.

    Args:
        num_classes: K, without the background.
        in_channels: channels of the pictures.
        backbone: its name in the catalogue, or the network itself. A VGG brings its dense layers along.
        frozen_batch_norm: whether the backbone's batch normalization is held still for good.
        batch_norm_eps: its epsilon where it is held still; None is the backbone's.

    Raises:
        InputError: the backbone is not there, or its maps are too fine.
    """
    body = network(backbone, in_channels)
    if frozen_batch_norm:
        freeze_batch_norm(body, batch_norm_eps)
    if isinstance(body, VGG):
        return _on_vgg(body, num_classes), FasterRCNNRules()
    pyramid = Pyramid((4, 8, 16, 32), 256, 1024, anchor_scale=8, aligned=False, effort=FULL)
    return _with_pyramid(without_classifier(body), num_classes, pyramid), FasterRCNNRules()


def faster_rcnn_light(
    num_classes: int,
    in_channels: int = 3,
    backbone: str | Backbone = "resnet18",
    arguments: Mapping[str, Any] | None = None,
    pyramid_channels: int = 64,
    units: int = 256,
) -> tuple[FasterRCNN, FasterRCNNRules]:
    """Faster R-CNN for ordinary machines: narrow, without the finest map, and with fewer boxes.

    Args:
        num_classes: K, without the background.
        in_channels: channels of the pictures.
        backbone: its name in the catalogue, or the network itself.
        arguments: of the builder of a backbone that is given by name, such as its width.
        pyramid_channels: of the maps of the pyramid.
        units: of the dense layers that look at a region.

    Raises:
        InputError: the backbone is not there, takes no such arguments, or its maps are too fine.
    """
    body = without_classifier(network(backbone, in_channels, arguments))
    pyramid = Pyramid((8, 16, 32), pyramid_channels, units, anchor_scale=2, aligned=True, effort=LIGHT)
    return _with_pyramid(body, num_classes, pyramid), FasterRCNNRules()


def _with_pyramid(body: Backbone, num_classes: int, pyramid: Pyramid) -> FasterRCNN:
    infos = last_maps(body, pyramid.strides)
    strides = tuple(info.stride for info in infos)
    sizes = tuple((pyramid.anchor_scale * stride,) for stride in (*strides, 2 * strides[-1]))
    channels, units = pyramid.channels, pyramid.units
    shared = nn.Sequential(
        nn.Linear(channels * POOLED * POOLED, units),
        nn.ReLU(inplace=True),
        nn.Linear(units, units),
        nn.ReLU(inplace=True),
    )
    initialize(shared, he_normal_)
    neck = FeaturePyramid([info.channels for info in infos], channels)
    maps = Maps(tuple(info.name for info in infos), strides, sizes, pyramid.aligned)
    return FasterRCNN(body, neck, channels, maps, BoxHead(shared, units, num_classes), pyramid.effort)


def _on_vgg(body: VGG, num_classes: int) -> FasterRCNN:
    """On conv5_3, with fc6 and fc7 to look at regions."""
    *shared, last = body.head.children()
    assert isinstance(last, nn.Linear)
    without_classifier(body)
    *convolutions, _ = body.stages["stage5"].children()  # without the last pooling: the map is conv5_3
    body.stages["stage5"] = nn.Sequential(*convolutions)
    maps = Maps(("stage5",), (16,), ((128.0, 256.0, 512.0),), aligned=True)
    head = BoxHead(nn.Sequential(*shared), last.in_features, num_classes)
    return FasterRCNN(body, nn.Identity(), body.feature_info[-1].channels, maps, head, SINGLE)
