"""Anchors: the shapes that a detector expects, found in the boxes of the training pictures (Redmon and
Farhadi 2016, "YOLO9000", arXiv:1612.08242, section 2, "Dimension Clusters").

    boxes ─ k-means on (width, height), distance 1 - IoU ─ the mean shape of each cluster

Squared distances would favour large boxes, where the same error in pixels matters less. IoU is that of two
boxes laid on the same centre: of their shapes alone.

Shapes: T boxes, A anchors. Sizes are (width, height) in pixels of the network input.
"""

import torch
from torch import Tensor

from striate.errors import InputError

SAMPLE = 50_000  # boxes that k-means looks at; more hardly change a mean and cost minutes


def shape_iou(sizes: Tensor, anchors: Tensor) -> Tensor:
    """IoU of boxes with a common centre: float (T, 2) and (A, 2) -> (T, A) in 0..1."""
    common = torch.minimum(sizes[:, None], anchors[None]).prod(2)
    union = sizes.prod(1)[:, None] + anchors.prod(1)[None] - common
    return common / union.clamp_min(torch.finfo(common.dtype).tiny)  # two boxes without area: 0


def mean_best_iou(sizes: Tensor, anchors: Tensor) -> float:
    """How well ``anchors`` (A, 2) suit ``sizes`` (T, 2): the IoU with the best anchor, mean over boxes."""
    return float(shape_iou(sizes.double(), anchors.double()).amax(1).mean())


def find_anchors(sizes: Tensor, count: int, seed: int = 0, max_rounds: int = 300) -> Tensor:
    """The ``count`` shapes that boxes of these sizes cluster around, float32 (count, 2), by ascending area.

    Starts as k-means++ does (Arthur and Vassilvitskii 2007) and ends with the best round, since means do not
    quite minimize this distance. The same arguments give the same anchors.

    Args:
        sizes: float (T, 2); boxes without area have no shape and do not count. Of more than 50,000 with one,
            so many drawn at random stand for all.
        count: A, at least 1. Where there are fewer distinct sizes, each is an anchor, and the largest is
            there several times.
        seed: of the start and of that draw.
        max_rounds: stops k-means that has not settled.

    Raises:
        InputError: no box has an area.
    """
    sizes = sizes.detach().cpu().double()
    sizes = sizes[(sizes > 0).all(1)]
    if not len(sizes):
        raise InputError("no box has an area", "anchors", "anchors are found in boxes: label some objects")
    if len(sizes) > SAMPLE:
        sizes = sizes[torch.randperm(len(sizes), generator=torch.Generator().manual_seed(seed))[:SAMPLE]]
    distinct = sizes.unique(dim=0)
    if len(distinct) <= count:
        return by_area(torch.cat([distinct, by_area(distinct)[-1:].expand(count - len(distinct), 2)])).float()
    anchors = spread_start(sizes, count, seed)
    best, best_anchors = -1.0, anchors
    members = torch.full((len(sizes),), -1)
    for _ in range(max_rounds):
        overlap, nearest = shape_iou(sizes, anchors).max(1)
        if (quality := float(overlap.mean())) > best:
            best, best_anchors = quality, anchors
        if torch.equal(nearest, members):
            break
        members = nearest
        anchors = cluster_means(sizes, members, anchors)
    return by_area(best_anchors).float()


def spread_start(sizes: Tensor, count: int, seed: int) -> Tensor:
    """``count`` of the ``sizes`` (T, 2), each drawn with the squared distance to the nearest drawn before.

    There must be at least ``count`` distinct sizes.
    """
    generator = torch.Generator().manual_seed(seed)
    chosen = [int(torch.randint(len(sizes), (1,), generator=generator))]
    distance = torch.full((len(sizes),), torch.inf, dtype=sizes.dtype)
    for _ in range(count - 1):
        distance = torch.minimum(distance, 1 - shape_iou(sizes, sizes[chosen[-1:]])[:, 0])
        steps = distance.clamp_min(0).square().cumsum(0)
        place = torch.rand(1, generator=generator, dtype=sizes.dtype) * steps[-1]
        chosen.append(int(torch.searchsorted(steps, place, right=True).clamp_max(len(sizes) - 1)))
    return sizes[chosen]


def cluster_means(sizes: Tensor, members: Tensor, anchors: Tensor) -> Tensor:
    """The mean size of each cluster, float (A, 2); an empty one keeps its anchor.

    ``members`` int64 (T,) tells the cluster of each of ``sizes`` (T, 2).
    """
    counts = torch.bincount(members, minlength=len(anchors))[:, None]
    sums = torch.zeros_like(anchors).index_add_(0, members, sizes)
    return torch.where(counts > 0, sums / counts.clamp_min(1), anchors)


def by_area(anchors: Tensor) -> Tensor:
    """``anchors`` (A, 2) by ascending area."""
    return anchors[anchors.prod(1).argsort(stable=True)]
