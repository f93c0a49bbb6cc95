"""The boxes of a finding, drawn into what surrounds them in the picture.

As in reports, what a network finds is solid, in the colour of its class, and what is labelled is dashed.
Labels that the finding is not about are dashed too, and have no name.
"""

from collections.abc import Sequence

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from striate.audit.findings import Mark
from striate.data.annotations import Box
from striate.samples import Objects
from striate.tasks.drawing import (
    Area,
    Label,
    colour_of,
    dashes,
    ink_on,
    outline,
    pixels_of,
    write_labels,
)

SIDE = 320  # pixels of the longer side of a drawing
AROUND = 48.0  # pixels of the picture that are shown on each side of a box, or as much as its longer side

LEAST = 9  # pixels of the drawing

Window = tuple[int, int, int, int]  # x1, y1, x2, y2 in whole pixels


def draw_marks(
    image: Tensor, around: Box, marks: Sequence[Mark], others: Objects, classes: tuple[str, ...]
) -> Image.Image:
    """The surroundings of a box, with all marks and other labels that lie in them.

    Args:
        image: uint8 (C, H, W), with one channel or three.
        around: x1, y1, x2, y2 in pixels.
        marks: of this picture.
        others: what else is labelled in this picture.
        classes: the K class names, by which colours go.
    """
    left, top, right, bottom = surroundings(around, *image.shape[1:])
    pixels = image[:, top:bottom, left:right].expand(3, -1, -1).permute(1, 2, 0)
    sheet = Image.fromarray(np.ascontiguousarray(pixels.numpy()), "RGB")
    zoom = SIDE / max(sheet.size)
    sheet = sheet.resize(
        (max(1, round(sheet.width * zoom)), max(1, round(sheet.height * zoom))), Image.Resampling.BICUBIC
    )
    pen, names = ImageDraw.Draw(sheet), []
    offset = torch.tensor([left, top, left, top])
    for box in others.boxes_xyxy:
        dashes(pen, pixels_of((box - offset) * zoom, 1), 1, 6)
    for mark in sorted(marks, key=lambda mark: mark.score is None):  # dashes lie on top
        box = visible(pixels_of((torch.tensor(mark.box_xyxy) - offset) * zoom, 1))
        if mark.score is None:
            dashes(pen, box, 2, 8)
            names.append(Label(f"labelled: {mark.label or 'no class'}", box, (0, 0, 0), (255, 255, 255)))
        else:
            ground = colour_of(classes.index(mark.label))
            outline(pen, box, ground, 3)
            names.append(Label(f"{mark.label} {mark.score:.0%}", box, ink_on(ground), ground))
    write_labels(pen, names, ImageFont.load_default(size=16), sheet.size)
    return sheet


def visible(box: Area) -> Area:
    """The box, or around a smaller one one of ``LEAST`` pixels."""
    wide, high = max(LEAST - (box.right - box.left), 0), max(LEAST - (box.bottom - box.top), 0)
    left, top = box.left - wide // 2, box.top - high // 2
    return Area(left, top, box.right + wide - wide // 2, box.bottom + high - high // 2)


def surroundings(box_xyxy: Box, height: int, width: int) -> Window:
    """What is shown of a picture around a box; all of it if the box lies outside."""
    x1, x2 = sorted((box_xyxy[0], box_xyxy[2]))
    y1, y2 = sorted((box_xyxy[1], box_xyxy[3]))
    x1, y1, x2, y2 = max(x1, 0), max(y1, 0), min(x2, width), min(y2, height)
    if x1 > x2 or y1 > y2:
        return 0, 0, width, height
    around = max(AROUND, x2 - x1, y2 - y1)
    left, top = int(max(x1 - around, 0)), int(max(y1 - around, 0))
    right, bottom = int(min(x2 + around, width)), int(min(y2 + around, height))
    return left, top, max(right, left + 1), max(bottom, top + 1)
