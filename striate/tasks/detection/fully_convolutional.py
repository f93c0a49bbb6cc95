"""Fully convolutional networks: all windows of a larger picture in one pass, by copied weights.

A dense layer over 7x7x100 maps with 200 units is a 7x7 VALID convolution with 200 filters, and the dense
layers after it are 1x1 convolutions. So a network that takes 224x224 pictures takes larger ones too:

    224x224 ─ 7x7 maps   ─ 7x7 convolution ─ 1x1 outputs      what it was trained for
    448x448 ─ 14x14 maps ─ 7x7 convolution ─ 8x8 outputs      64 windows, 32 pixels apart, for the price of 4

A network that averages its last maps over all positions (or takes their maxima) pools them instead in windows
of the size that they had in training. What a head pools to a grid of another size than its maps have, such as
the box head of ``LocalizationTask``, is one more linear step, which goes into the weights.

Each output equals what the network gives for that window alone, but for rounding, if nothing before the head
pads: then a layer sees the same pixels in both cases, since windows are apart by the network's stride.
LeNet-5 is such a network, as is any of VALID or non-overlapping layers. SAME and other padding sets zeros
around each window where the whole picture goes on, so there the outputs differ, the more the deeper the
network. Squeeze and excitation averages over all it sees, and makes them differ everywhere.

Shapes: N pictures, C channels, H and W height and width, K classes; h x w is the size of the last map of a
picture of the size that the network was trained on.

Source: Sermanet et al. 2013, "OverFeat", arXiv:1312.6229, section 3.5; Long et al. 2015, "Fully convolutional
networks for semantic segmentation", arXiv:1411.4038, section 3.1.
"""

import copy
import math
from collections.abc import Iterable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from striate.errors import InputError
from striate.layers import Conv2d
from striate.layers.box_head import WIDTH, BoxHead, name_numbers
from striate.models.backbone import Backbone
from striate.models.compact import CompactCNN
from striate.tasks.task import Outputs


class FullyConvolutional(nn.Module):
    """A backbone and heads that are convolutions.

    Args:
        backbone: gives the last feature map.
        classes: the map (N, C, H, W) -> logits (N, K, rows, columns).
        boxes: the map -> the box head's numbers (N, 4 or 5, rows, columns), or None.
        window: height and width of what the network was trained on, in pixels.
    """

    def __init__(
        self, backbone: Backbone, classes: nn.Module, boxes: nn.Module | None, window: tuple[int, int]
    ) -> None:
        super().__init__()
        self.backbone = backbone
        self.classes = classes
        self.boxes = boxes
        self.window = window
        self.stride = backbone.feature_info[-1].stride

    def forward(self, pictures: Tensor) -> Outputs:
        """Pictures (N, C, H, W), float, at least of the window's size -> the network's own outputs, each with
        two more axes (..., rows, columns): one position for every ``stride`` pixels.

        Where H and W are the window's and multiples of the stride more, there are ``(H - window height) /
        stride + 1`` rows, and columns likewise.
        """
        last_map = self.backbone.features(pictures)[self.backbone.feature_info[-1].name]
        outputs = {"logits": self.classes(last_map)}
        return outputs if self.boxes is None else outputs | name_numbers(self.boxes(last_map))


@torch.no_grad()
def fully_convolutional(
    network: nn.Module, window: tuple[int, int], in_channels: int = 3
) -> FullyConvolutional:
    """The network for pictures of any size, with the same weights; it finds no new ones.

    The backbone is the same object, and is set to evaluation; the heads are copies.

    Args:
        network: a backbone, or a ``Classifier`` or ``Localizer`` with one, whose head pools its last map, or
            brings it to a grid, and is dense from there on.
        window: height and width of the pictures that it was trained on, in pixels.
        in_channels: their channels.

    Raises:
        InputError: its head is of another kind, as that of a capsule network is.
    """
    network.eval()
    backbone, box_head = getattr(network, "backbone", network), getattr(network, "box_head", None)
    assert isinstance(backbone, Backbone)
    weight = next(backbone.parameters())
    generator = torch.Generator().manual_seed(0)
    picture = torch.randn(1, in_channels, *window, generator=generator).to(weight)
    features = backbone.features(picture)
    last_map = features[backbone.feature_info[-1].name]
    size = last_map.shape[2], last_map.shape[3]
    classes = class_convolutions(backbone, size)
    if classes is None or not is_close(classes(last_map)[:, :, 0, 0], backbone.classify(features)):
        raise InputError(
            f"the head of {type(backbone).__name__} is no dense layer over a grid or a pooled map",
            "fully_convolutional",
            "take another network, or sliding windows",
        )
    boxes = box_convolutions(box_head, size) if isinstance(box_head, BoxHead) else None
    return FullyConvolutional(backbone, classes, boxes, window).eval()


def is_close(found: Tensor, expected: Tensor) -> bool:
    """Whether numbers agree but for rounding, in bf16 too."""
    return bool((found - expected).abs().max() <= 0.02 * expected.abs().max())


def class_convolutions(backbone: Backbone, size: tuple[int, int]) -> nn.Sequential | None:
    """The backbone's head for maps of ``size`` and larger, or None if it has no dense layer."""
    head = backbone.head
    layers = list(head) if isinstance(head, nn.Sequential) else [head]
    channels = backbone.feature_info[-1].channels
    dense = next((layer for layer in layers if isinstance(layer, nn.Linear)), None)
    if dense is not None and dense.in_features != channels:
        is_grid = dense.in_features == channels * math.isqrt(dense.in_features // channels) ** 2
        return nn.Sequential(*convolutions(layers, channels, size)) if is_grid else None
    if dense is None and not any(isinstance(layer, nn.Conv2d) for layer in layers):
        return None
    pool = nn.MaxPool2d if isinstance(backbone, CompactCNN) else nn.AvgPool2d
    return nn.Sequential(pool(size, stride=1), *convolutions(layers, channels, (1, 1)))


def box_convolutions(head: BoxHead, size: tuple[int, int]) -> nn.Sequential:
    """The box head for maps of ``size`` and larger."""
    dense = convolutions([*head.dense, head.numbers], WIDTH, size)
    return nn.Sequential(copy.deepcopy(head.reduce), *dense)


def convolutions(layers: Iterable[Any], channels: int, size: tuple[int, int]) -> list[nn.Module]:
    """Layers for maps (N, C, H, W) that do at each position what ``layers`` do with a map of ``size``.

    Args:
        layers: modules of a head, of which the first dense one sees a grid of ``channels`` maps.
        channels: C.
        size: h and w.
    """
    made: list[nn.Module] = []
    for layer in layers:
        if isinstance(layer, nn.Linear):
            made.append(dense_as_convolution(layer, channels, size))
            channels, size = layer.out_features, (1, 1)
        elif isinstance(layer, nn.Conv2d) or not layer.state_dict():  # 1x1, or each number by itself
            if not isinstance(layer, nn.Flatten):
                made.append(copy.deepcopy(layer))
        else:
            made.append(AtEachPosition(copy.deepcopy(layer)))
    return made


def dense_as_convolution(dense: nn.Linear, channels: int, size: tuple[int, int]) -> Conv2d:
    """A dense layer over maps that were pooled to a square grid, as a VALID convolution over the maps.

    Args:
        dense: over ``channels`` maps of a grid of positions, which ``adaptive_avg_pool2d`` gave it.
        channels: C.
        size: h and w of the maps before pooling: the kernel's. Maps that are the grid are not pooled.
    """
    grid = math.isqrt(dense.in_features // channels)
    weight = dense.weight.view(-1, channels, grid, grid)
    if size != (grid, grid):
        rows, columns = (pooling_matrix(length, grid).to(weight) for length in size)
        weight = torch.einsum("ocij,hi,wj->ochw", weight, rows, columns)
    convolution = Conv2d(channels, dense.out_features, size, bias=dense.bias is not None).to(weight)
    convolution.weight.copy_(weight)
    if dense.bias is not None and convolution.bias is not None:
        convolution.bias.copy_(dense.bias)
    return convolution


def pooling_matrix(length: int, grid: int) -> Tensor:
    """How much each of ``length`` positions counts in each cell of a grid that they are averaged to: float
    (length, grid)."""
    return F.adaptive_avg_pool1d(torch.eye(length)[None], grid)[0]


class AtEachPosition(nn.Module):
    """A layer for rows (N, C) -> (N, K), on maps: (N, C, H, W) -> (N, K, H, W)."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, maps: Tensor) -> Tensor:
        batch, _, height, width = maps.shape
        rows: Tensor = self.layer(maps.permute(0, 2, 3, 1).flatten(0, 2))
        return rows.view(batch, height, width, -1).permute(0, 3, 1, 2)
