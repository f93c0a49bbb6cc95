"""Region proposals: boxes that may hold an object of whatever class (Ren et al. 2015, "Faster R-CNN",
arXiv:1506.01497, section 3).

    map ─ 3x3 ─┬─ 1x1 ─ is it an object?      for each anchor of a place
               └─ 1x1 ─ how is it to be moved?

The surest anchors of each map are moved and clipped; suppression leaves the proposals.

Shapes: N pictures, C channels, H and W height and width of a map, A anchors of a picture, P proposals of a
picture.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from striate.layers import initialize
from striate.ops.boxes import clip_boxes, decode_deltas
from striate.ops.nms import nms_per_class

RATIOS = (0.5, 1.0, 2.0)  # height / width of the anchors
IOU = 0.7  # of two proposals that overlap by more, the surer one stays
LEAST_SIDE = 1e-3  # pixels: a proposal that is narrower has been clipped away


@dataclass(frozen=True)
class Limits:
    """How many boxes are looked at.

    Attributes:
        candidates: anchors of a map that go into suppression.
        proposals: P, that come out of it.
    """

    candidates: int
    proposals: int


class RegionProposalHead(nn.Module):
    """The drawing above, with the same weights for all maps.

    Args:
        channels: C of the maps.
        anchors: of a place.
    """

    def __init__(self, channels: int, anchors: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, padding=1)
        self.logits = nn.Conv2d(channels, anchors, 1)
        self.deltas = nn.Conv2d(channels, 4 * anchors, 1)
        initialize(self, partial(nn.init.normal_, std=0.01))

    def forward(self, maps: Sequence[Tensor]) -> tuple[list[Tensor], list[Tensor]]:
        """Maps (N, C, H, W) -> for each, logits (N, A) and deltas (N, A, 4) of its anchors."""
        seen = [F.relu(self.conv(x)) for x in maps]
        logits = [self.logits(x).permute(0, 2, 3, 1).flatten(1) for x in seen]
        deltas = [self.deltas(x).permute(0, 2, 3, 1).reshape(len(x), -1, 4) for x in seen]
        return logits, deltas


def grid_anchors(grid: Sequence[int], picture: Sequence[int], sizes: Sequence[float], like: Tensor) -> Tensor:
    """Anchors of one map: at each place those of all ratios and sizes, in whole pixels around its corner.

    Args:
        grid: height and width of the map.
        picture: height and width of the network input, in pixels.
        sizes: of the anchors, in pixels: the square roots of their areas.
        like: a tensor on the device that the anchors are to be on.

    Returns:
        anchors_xyxy float32 (height * width * ratios * sizes, 4), row by row.
    """
    halves = [
        (size / math.sqrt(ratio) / 2, size * math.sqrt(ratio) / 2) for ratio in RATIOS for size in sizes
    ]
    half = like.new_tensor(halves, dtype=torch.float32).round_()  # (B, 2), half of width and height
    y, x = (
        torch.arange(count, device=half.device, dtype=torch.float32) * (length // count)
        for count, length in zip(grid, picture, strict=True)
    )
    corners = torch.stack(torch.meshgrid(x, y, indexing="xy"), dim=-1)[:, :, None]  # (height, width, 1, 2)
    return torch.cat([corners - half, corners + half], dim=-1).view(-1, 4)


@torch.no_grad()
def propose(
    logits: Sequence[Tensor],
    deltas: Sequence[Tensor],
    anchors: Sequence[Tensor],
    size: Sequence[int],
    limits: Limits,
) -> tuple[Tensor, Tensor, Tensor]:
    """The proposals of each picture, the surest first; nothing is learned through their places.

    Args:
        logits, deltas: (N, A) and (N, A, 4) for each map.
        anchors: anchors_xyxy (A, 4) for each map.
        size: height and width of the pictures, in pixels.
        limits: how many.

    Returns:
        proposals_xyxy float32 (N, P, 4), in pixels; bool (N, P): which are there, the others are zero; and
        int64 (N, P): the anchor that each was, counted over all maps.
    """
    boxes, scores, levels, places = [], [], [], []
    before = 0
    for level, (logit, delta, anchor) in enumerate(zip(logits, deltas, anchors, strict=True)):
        score, place = logit.float().topk(min(limits.candidates, logit.shape[1]), dim=1)
        moved = decode_deltas(delta.gather(1, place[..., None].expand(-1, -1, 4)).float(), anchor[place])
        boxes.append(clip_boxes(moved, size[0], size[1]))
        scores.append(score)
        levels.append(torch.full_like(place[0], level))
        places.append(before + place)
        before += len(anchor)
    every, surely, level_of = torch.cat(boxes, dim=1), torch.cat(scores, dim=1), torch.cat(levels)
    place_of = torch.cat(places, dim=1)
    wide = ((every[..., 2:] - every[..., :2]) >= LEAST_SIDE).all(dim=2)

    proposals = every.new_zeros(len(every), limits.proposals, 4)
    there = torch.zeros(proposals.shape[:2], dtype=torch.bool, device=every.device)
    origins = torch.zeros_like(there, dtype=torch.int64)
    for picture in range(len(every)):
        rows = wide[picture].nonzero().flatten()
        kept = nms_per_class(every[picture, rows], surely[picture, rows], level_of[rows], IOU)
        kept = rows[kept[: limits.proposals]]
        proposals[picture, : len(kept)] = every[picture, kept]
        there[picture, : len(kept)] = True
        origins[picture, : len(kept)] = place_of[picture, kept]
    return proposals, there, origins
