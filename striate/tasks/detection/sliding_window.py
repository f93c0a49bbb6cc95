"""Sliding windows: a localizer looks through a window at every place of a picture, in several sizes.

    picture ─ resized for each window size ─ a window every ``stride`` pixels ─ localizer
            ─ boxes with objectness ─ the unsure dropped ─ best first, what overlaps it dropped, and again

``SlidingWindow`` runs the localizer on each window by itself; ``FullyConvolutional`` gives the same map of
outputs in one pass. ``find_objects`` takes either.

Shapes: N pictures, C channels, H and W their height and width; rows x columns window positions.
"""

from collections.abc import Callable, Sequence
from itertools import islice, product
from typing import NamedTuple, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from striate.ops.boxes import clip_boxes
from striate.ops.nms import nms
from striate.ops.root_boxes import decode_boxes
from striate.samples import Detections
from striate.tasks.detection.rules import Choice
from striate.tasks.task import Outputs

USUAL = Choice(score=0.5, iou=0.6)


class Scanner(Protocol):
    """Anything that gives a localizer's outputs for every window of a picture.

    Attributes:
        window: height and width of what the localizer was trained on, in pixels.
        stride: pixels from one window to the next.
    """

    window: tuple[int, int]
    stride: int

    def __call__(self, pictures: Tensor) -> Outputs:
        """Pictures (N, C, H, W), float -> named maps (N, ..., rows, columns), a row of windows being
        ``(H - window height) // stride + 1``."""


class Level(NamedTuple):
    """Pictures as windows of one size see them, and ``scale`` (4,): these pixels per pixel of the originals,
    along x, y, x, y."""

    pictures: Tensor
    scale: Tensor


class SlidingWindow(nn.Module):
    """A network that looks at each window of the pictures by itself.

    Args:
        network: pictures (N, C, *window) -> ``Outputs``.
        window: height and width of a window, in pixels.
        stride: pixels from one window to the next, in both directions.
        batch_size: windows that are computed together, which bounds the memory.
        watch: is told after each batch how many windows it had.
    """

    def __init__(
        self,
        network: nn.Module,
        window: tuple[int, int],
        stride: int,
        batch_size: int = 32,
        watch: Callable[[int], None] = lambda done: None,
    ) -> None:
        super().__init__()
        self.network = network
        self.window = window
        self.stride = stride
        self.batch_size = batch_size
        self.watch = watch

    def forward(self, pictures: Tensor) -> Outputs:
        """As ``Scanner``; the windows at the right and bottom end no later than the pictures."""
        height, width = self.window
        tops = range(0, pictures.shape[2] - height + 1, self.stride)
        lefts = range(0, pictures.shape[3] - width + 1, self.stride)
        places = product(range(len(pictures)), tops, lefts)  # one at a time: a photograph has a million
        parts = []
        while chosen := list(islice(places, self.batch_size)):
            windows = [pictures[n, :, top : top + height, left : left + width] for n, top, left in chosen]
            parts.append(self.network(torch.stack(windows)))
            self.watch(len(chosen))
        outputs = {}
        for name in parts[0]:
            rows = torch.cat([part[name] for part in parts])  # (N * rows * columns, ...)
            of_places = rows.unflatten(0, (len(pictures), len(tops), len(lefts)))
            outputs[name] = of_places.movedim((1, 2), (-2, -1))
        return outputs


@torch.no_grad()
def find_objects(
    scanner: Scanner, pictures: Tensor, sizes: Sequence[int], choice: Choice = USUAL
) -> list[Detections]:
    """The objects of each picture that a localizer with objectness finds through windows of several sizes.

    A larger window sees a smaller picture: each size has the picture resized so that such a window is as high
    as what the localizer was trained on. Past the right and bottom borders, where the last windows may reach,
    there are zeros: the mean of normalized pictures.

    A window's score is its objectness and its label its most probable class. Windows below ``choice.score``
    are dropped; then the best is kept and those that overlap it by more than ``choice.iou`` are dropped,
    whatever their class, and so on.

    Args:
        scanner: of a network in evaluation mode.
        pictures: float (N, C, H, W), normalized.
        sizes: heights of the windows in pixels of the pictures; their widths are in the proportion of
            the scanner's.
        choice: which boxes count as found.

    Returns:
        N detections in pixels of the pictures, on the CPU.
    """
    height, width = pictures.shape[2:]
    found = [scan(scanner, pictures, size, choice.score) for size in sizes]
    detections = []
    for of_picture in zip(*found, strict=True):
        boxes_xyxy, scores, labels = (torch.cat(parts) for parts in zip(*of_picture, strict=True))
        boxes_xyxy = clip_boxes(boxes_xyxy, height, width)
        kept = nms(boxes_xyxy, scores, choice.iou)[: choice.most]
        detections.append(Detections(boxes_xyxy[kept], scores[kept], labels[kept]))
    return detections


def scan(scanner: Scanner, pictures: Tensor, size: int, least: float) -> list[tuple[Tensor, Tensor, Tensor]]:
    """For each picture the boxes (D, 4) in its pixels, objectness (D,) of at least ``least`` and labels (D,)
    that windows of one size give, on the CPU."""
    level = resize_for(pictures, size, scanner.window, scanner.stride)
    outputs = {name: value.float().cpu() for name, value in scanner(level.pictures).items()}
    found = []
    for n in range(len(pictures)):
        scores = outputs["objectness_logits"][n].sigmoid()  # (rows, columns)
        row, column = (scores >= least).nonzero(as_tuple=True)
        boxes_xyxy = decode_boxes(outputs["boxes_norm"][n, :, row, column].T, *scanner.window)
        corner = torch.stack([column, row, column, row], dim=1) * scanner.stride
        labels = outputs["logits"][n, :, row, column].argmax(0)
        found.append(((boxes_xyxy + corner) / level.scale, scores[row, column], labels))
    return found


def resize_for(pictures: Tensor, size: int, window: tuple[int, int], stride: int) -> Level:
    """Pictures (N, C, H, W) resized so that ``size`` of their pixels are as high as the window, with zeros to
    the right and below as far as the last windows reach."""
    before = pictures.shape[2:]
    after = [resized(length, size, window) for length in before]
    if after != list(before):
        pictures = F.interpolate(pictures, after, mode="bilinear", antialias=True)
    rows, columns = (
        (count_places(length, size, window, stride, axis) - 1) * stride + window[axis]
        for axis, length in enumerate(before)
    )
    scale = torch.tensor([after[1] / before[1], after[0] / before[0]] * 2)
    return Level(F.pad(pictures, (0, columns - after[1], 0, rows - after[0])), scale)


def resized(length: int, size: int, window: tuple[int, int]) -> int:
    """``length`` pixels of a picture after ``size`` of them have become as many as the window is high."""
    return max(1, round(length * window[0] / size))


def count_places(length: int, size: int, window: tuple[int, int], stride: int, axis: int) -> int:
    """How many windows of one size there are along an axis, 0 or 1, of a picture of ``length`` pixels."""
    return 1 + -(-max(0, resized(length, size, window) - window[axis]) // stride)
