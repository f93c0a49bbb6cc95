"""Which box of a network is to find which object, and which of them a loss looks at.

    IoU     0 ──────────── negative ──────────── positive ──────────── 1
             background                ignored               object

A box that no object overlaps by ``negative`` is background, unless it lies in a crowd, where nobody knows
what is there. What is between the thresholds is left out of account.

Shapes: N pictures, A boxes of a picture, T objects of all pictures.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from striate.ops.boxes import box_iou, box_iou_crowd
from striate.samples import Objects

BACKGROUND, IGNORED = -1, -2  # in the place of an object


@dataclass(frozen=True)
class Overlap:
    """How much a box must overlap an object to be taken for it.

    Attributes:
        positive: the least IoU with an object that it is to find.
        negative: under this IoU with every object a box is background.
        rescue: what an object gets that no box overlaps so much: nothing, the box that overlaps it most
            ("best"; it is taken from another object, SSD), or all boxes that share the largest IoU with it,
            each for the object that it overlaps most itself ("ties", region proposals).
    """

    positive: float
    negative: float
    rescue: Literal["nothing", "best", "ties"] = "nothing"


def match(boxes_xyxy: Tensor, objects: Objects, overlap: Overlap) -> Tensor:
    """The object that each box is to find.

    Crowds are found by none; objects without area, or wholly outside all boxes, neither.

    Args:
        boxes_xyxy: float32 (N, A, 4), in the pixels of ``objects``, which are of N pictures.

    Returns:
        int64 (N, A): the position among all objects, BACKGROUND or IGNORED.
    """
    matches = torch.full(boxes_xyxy.shape[:2], BACKGROUND, device=boxes_xyxy.device)
    starts, counts = objects.starts.tolist(), objects.counts.tolist()
    for picture, (start, count) in enumerate(zip(starts, counts, strict=True)):
        if count:
            found = _match_picture(
                boxes_xyxy[picture],
                objects.boxes_xyxy[start : start + count],
                objects.crowd[start : start + count],
                overlap,
            )
            matches[picture] = torch.where(found >= 0, found + start, found)
    return matches


def _match_picture(boxes_xyxy: Tensor, objects_xyxy: Tensor, crowd: Tensor, overlap: Overlap) -> Tensor:
    """``match`` for the boxes (A, 4) and objects (T, 4) of one picture."""
    ious = box_iou(objects_xyxy, boxes_xyxy).masked_fill_(crowd[:, None], 0)  # (T, A)
    iou, nearest = ious.max(dim=0)  # of each box: (A,)
    matches = torch.where(iou < overlap.negative, BACKGROUND, IGNORED)
    matches = torch.where(iou >= overlap.positive, nearest, matches)
    if overlap.rescue == "ties":
        largest = ious.amax(dim=1, keepdim=True)  # of each object: (T, 1)
        matches = torch.where(((ious == largest) & (largest > 0)).any(dim=0), nearest, matches)
    elif overlap.rescue == "best":
        largest, best = ious.max(dim=1)  # of each object: (T,)
        there = (largest > 0).nonzero().flatten()
        matches = matches.scatter_reduce(0, best[there], there, "amax", include_self=False)  # the last wins
    if crowd.any():
        inside = box_iou_crowd(boxes_xyxy, objects_xyxy[crowd]).amax(dim=1) >= overlap.negative
        matches = torch.where(inside & (matches == BACKGROUND), IGNORED, matches)
    return matches


def draw_lots(seeds: Tensor, counts: Sequence[int], device: torch.device) -> list[Tensor]:
    """Uniform numbers for each picture that follow from its seed, whatever pictures are beside it.

    Args:
        seeds: int64 (N,).
        counts: how many numbers of a picture, for one use after the other.

    Returns:
        for each of ``counts`` float32 (N, count), in 0..1.
    """
    generator = torch.Generator(device)
    rows = []
    for seed in seeds.tolist():
        generator.manual_seed(seed)
        rows.append([torch.rand(count, generator=generator, device=device) for count in counts])
    return [torch.stack(drawn) for drawn in zip(*rows, strict=True)]


def sample(matches: Tensor, lots: Tensor, count: int, positives: int) -> Tensor:
    """Boxes of each picture, those with the largest lots, for a loss that background would fill.

    Args:
        matches: int64 (N, A), as from ``match``.
        lots: float (N, A), at least 0.
        count: how many of a picture; fewer where it has not so many that are not ignored.
        positives: at most so many of them are objects; the rest is background.

    Returns:
        bool (N, A): the chosen ones.
    """
    chosen = _draw(lots, matches >= 0, lots.new_full((len(lots),), positives), count)
    return chosen | _draw(lots, matches == BACKGROUND, count - chosen.sum(dim=1), count)


def _draw(lots: Tensor, candidates: Tensor, numbers: Tensor, most: int) -> Tensor:
    """Of each picture's candidates, bool (N, A), those with the largest lots: ``numbers`` (N,) of them."""
    values, places = lots.masked_fill(~candidates, -1).topk(min(most, lots.shape[1]), dim=1)
    ranks = torch.arange(values.shape[1], device=values.device)
    return torch.zeros_like(candidates).scatter_(1, places, (ranks < numbers[:, None]) & (values >= 0))
