"""What windows see of generated scenes: a digit, none, or parts of some; objectness is learned from these.

    scene of three to eight digits ─ four windows ─┬─ two made for one of its digits
                                                   └─ two of any size, anywhere
                                   ─ resized to one size

A window shows a digit if it sees nearly all of its box and the box is nearly half as long as the window; of
several digits it shows the one nearest its middle. All others are surroundings: parts at the borders, and
digits so small that they are for a smaller window. So the network sees in training what it has to pass over
when it searches a scene: clutter, and digits that another window shows better.

Shapes: N windows, T digits that the windows could see.
"""

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from striate.data.keyed_random import keyed_uniform
from striate.data.scenes import SPLITS, make_scenes
from striate.data.streams import Stream
from striate.ops.boxes import box_area, clip_boxes
from striate.ops.frames import NEARLY_WHOLE
from striate.samples import Objects

PER_SCENE = 4
SCENE = 160  # pixels of a scene's side
FILLED = (0.45, 0.85)  # of a window made for a digit, by the longer side of its box
LEAST_FILLED = 0.45  # of a window's side by the longer one of the box that it shows
SIDES = (20, 110)  # pixels of the other windows' sides


def make_windows(count: int, size: int = 64, seed: int = 0, split: str = "train") -> tuple[Tensor, Objects]:
    """Windows of the scenes that ``make_scenes`` paints, four of each in turn.

    Args:
        count: N.
        size: side of the windows after resizing, in pixels.
        seed: of the scenes and the windows.
        split: "train", "val" or "test".

    Returns:
        uint8 (N, 3, size, size), and the objects of N pictures, none or one in each; boxes end at the border.
    """
    scenes = make_scenes(-(-count // PER_SCENE), SCENE, seed=seed, split=split)
    keys = torch.arange(count)
    digits = scenes.objects[keys // PER_SCENE]
    draws = keyed_uniform(seed, list(SPLITS).index(split), keys, 4, Stream.SCENE_WINDOW)
    windows_xyxy = draw_windows(draws, digits)
    pixels = torch.empty(count, 3, size, size, dtype=torch.uint8)
    for key, (left, top, right, bottom) in enumerate(windows_xyxy.tolist()):
        seen = scenes.pixels[key // PER_SCENE, :, top:bottom, left:right]
        pixels[key] = F.interpolate(seen[None], (size, size), mode="bilinear", antialias=True)[0]
    return pixels, shown_digits(digits, windows_xyxy, size)


def draw_windows(draws: Tensor, digits: Objects) -> Tensor:
    """The windows of N scenes, from draws (N, 4) and the digits of each scene: int64 (N, 4) x1, y1, x2, y2.

    Those with an even number are made for a digit, which they see whole.
    """
    which = digits.starts + (draws[:, 0] * digits.counts).long()
    box = digits.boxes_xyxy[which].double()
    corner, end = box[:, :2], box[:, 2:]
    low, high = FILLED
    fitting = (end - corner).amax(1) / (low * (high / low) ** draws[:, 1])  # log-uniform, as are the others
    smallest, largest = SIDES
    anywhere = smallest * (largest / smallest) ** draws[:, 1]
    for_digit = torch.arange(len(draws)) % 2 == 0
    side = torch.where(for_digit, fitting, anywhere).round().clamp(max=SCENE)[:, None]
    first = torch.where(for_digit[:, None], end - side, torch.zeros_like(end)).clamp(min=0)
    last = torch.where(for_digit[:, None], corner.minimum(SCENE - side), SCENE - side)
    place = (first + draws[:, 2:] * (last - first + 1)).floor().minimum(last)
    return torch.cat([place, place + side], dim=1).long()


def shown_digits(digits: Objects, windows_xyxy: Tensor, size: int) -> Objects:
    """The digit that each of N windows shows, if it does, in pixels of the window resized to ``size``."""
    windows = windows_xyxy[digits.pictures].float()
    scale = size / (windows[:, 2:] - windows[:, :2])  # (T, 2)
    whole = (digits.boxes_xyxy - windows[:, :2].repeat(1, 2)) * scale.repeat(1, 2)
    cut = clip_boxes(whole, size, size)
    filled = (cut[:, 2:] - cut[:, :2]).amax(1) / size
    shown = (box_area(cut) >= NEARLY_WHOLE * box_area(whole)) & (filled >= LEAST_FILLED)
    candidates = digits.moved(cut).where(shown)
    centres = (candidates.boxes_xyxy[:, :2] + candidates.boxes_xyxy[:, 2:]) / 2
    off = (centres - size / 2).norm(dim=1)
    order = np.lexsort((off.numpy(), candidates.pictures.numpy()))  # each picture's nearest comes first
    nearest = torch.zeros(len(order), dtype=torch.bool)
    nearest[order[candidates.starts[candidates.counts > 0].numpy()]] = True
    return candidates.where(nearest)
