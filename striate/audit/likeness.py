"""How alike pictures are: which pairs of a large set show the same photograph.

Only small grey copies are compared, 32x32, whatever the size and the encoding of the pictures were:

    8x8, mean 0, length 1 ──► NEIGHBOURS most alike of each ──► edges of 16x16 alike? ──► pairs
    one matrix product                                          else laid on each other first

1. *Candidates.* The correlation of 8x8 copies, for all pairs, in chunks of rows of one matrix product. Of
   each picture the ``NEIGHBOURS`` most alike go on, if they reach ``CANDIDATE``.
2. *Likeness.* The correlation of the differences between neighbouring pixels of 16x16 copies: edges must
   be in the same places, while brightness, contrast and colour do not matter.
3. *Crops.* Where that is not enough, the other copy is laid on the picture's own by shift and scale along
   each axis (Lucas and Kanade 1981: Gauss-Newton on the squared difference), and compared again. Each
   picture does so with its own neighbours, so that a crop meets the whole both ways.
4. *Crowds.* In a set of digits, hundreds of ones are alike. Two pictures are the same one only if their
   distance (1 - likeness) is at most ``DISTINCT`` times that of the ``CROWD``-th neighbour of either, or if
   they are all but identical; and in a crowd nothing is laid on anything.

n pictures take n^2 * 64 multiplications for the candidates and n * NEIGHBOURS comparisons; memory is
n * (32 * 32 + 64 * 4) bytes for copies and n * ROWS * 4 for a chunk. Nothing of size n^2 is ever kept.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

NEAR = 0.92  # likeness of two copies of one photograph
SURE = 0.995  # likeness that is enough even in a crowd
CANDIDATE = 0.8  # correlation of 8x8 copies
NEIGHBOURS = 16
CROWD = 8  # the neighbour that stands for all others
DISTINCT = 0.2  # the distance of copies is at most this part of the distance to the crowd
HOPEFUL = 0.1  # likeness below which no copy is laid on another
MOST_LAID = 4  # neighbours of a picture that are laid on it
LAID = 0.03  # likeness that two pictures gain by being laid on each other, whatever they show
REACH = 0.25  # the largest shift and scale, in halves of a picture
STEPS = 4  # of Gauss-Newton

ROWS = 512  # of the product of all pairs that are kept at a time
PAIRS = 2048  # that are compared at a time

Progress = Callable[[int], None]  # told how many rows were just done


@dataclass(frozen=True)
class Likeness:
    """Pairs of alike pictures: ``first`` and ``second`` int64 (m,), ``likeness`` float32 (m,) up to 1."""

    first: Tensor
    second: Tensor
    likeness: Tensor

    def __iter__(self) -> Iterator[tuple[int, int, float]]:
        return zip(self.first.tolist(), self.second.tolist(), self.likeness.tolist(), strict=True)


def find_alike(
    copies: Tensor, near: float = NEAR, mirrored: bool = False, progress: Progress = lambda rows: None
) -> Likeness:
    """The pairs of pictures that show the same photograph.

    Args:
        copies: grey, uint8 (n, 32, 32).
        near: the least likeness.
        mirrored: compare each picture with the mirror images of the others instead.
    """
    first, second, likeness, limits = [], [], [], []
    short = short_copies(copies)
    others = copies.flip(2) if mirrored else copies
    short_others = short_copies(others) if mirrored else short
    for start in range(0, len(copies), ROWS):
        rows = torch.arange(start, min(start + ROWS, len(copies)))
        alike = short[rows] @ short_others.T  # (ROWS, n)
        alike[torch.arange(len(rows)), rows] = -1  # a picture is no copy of itself
        correlation, found = alike.topk(min(NEIGHBOURS, len(copies)), dim=1)
        scores, limit = _compare(copies[rows], others, found, correlation >= CANDIDATE, near)
        kept = scores >= near
        first.append(rows[kept.nonzero()[:, 0]])
        second.append(found[kept])
        likeness.append(scores[kept])
        limits.append(limit)
        progress(len(rows))
    a, b, score, limit = (torch.cat(parts) for parts in (first, second, likeness, limits))
    stands_out = (1 - score <= torch.minimum(limit[a], limit[b])) | (score >= SURE)
    return Likeness(a[stands_out], b[stands_out], score[stands_out])


def short_copies(copies: Tensor) -> Tensor:
    """(n, 32, 32) -> float32 (n, 64) of mean 0 and length 1, so that products are correlations."""
    values = torch.cat([F.avg_pool2d(chunk.float(), 4).flatten(1) for chunk in copies.split(PAIRS)])
    return F.normalize(values - values.mean(1, keepdim=True), dim=1)


def _compare(
    own: Tensor, others: Tensor, found: Tensor, candidate: Tensor, near: float
) -> tuple[Tensor, Tensor]:
    """The likeness of R pictures to their neighbours, float32 (R, k), -1 where they were not compared; and
    the largest distance at which a copy of each picture stands out of its crowd, float32 (R,).

    Args:
        own: uint8 (R, 32, 32).
        others: of all n pictures, uint8 (n, 32, 32).
        found: which of them are the neighbours, int64 (R, k).
        candidate: which neighbours are compared, bool (R, k).
        near: the likeness wanted.
    """
    likeness = torch.full(found.shape, -1.0)

    def measure(which: Tensor, like: Callable[[Tensor, Tensor], Tensor]) -> None:
        for places in which.nonzero().split(PAIRS):
            if len(places) == 0:
                return
            row, column = places.unbind(1)
            values = like(own[row].float(), others[found[row, column]].float())
            likeness[row, column] = torch.maximum(likeness[row, column], values)

    measure(candidate, edge_likeness)
    ranked = likeness.sort(1, descending=True).values
    crowd = ranked[:, CROWD - 1] if ranked.shape[1] >= CROWD else torch.full((len(own),), -1.0)
    limit = DISTINCT * (1 - crowd)
    alone = limit >= 1 - near
    laid = likeness >= ranked[:, min(MOST_LAID, ranked.shape[1]) - 1, None]
    measure(laid & alone[:, None] & (likeness >= HOPEFUL) & (likeness < near), laid_likeness)
    return likeness, limit


def edge_likeness(first: Tensor, second: Tensor) -> Tensor:
    """The correlation of the edges of copies, both float32 (m, 32, 32): (m,), 1 for equal ones."""
    return F.cosine_similarity(_edges(first), _edges(second), dim=1).clamp_max(1)


def _edges(copies: Tensor) -> Tensor:
    half = F.avg_pool2d(copies, 2)
    return torch.cat([half.diff(dim=2).flatten(1), half.diff(dim=1).flatten(1)], dim=1)


def laid_likeness(first: Tensor, second: Tensor) -> Tensor:
    """``edge_likeness`` after laying the second copies on the first, less ``LAID``; arguments alike."""
    motion = lay_on(F.avg_pool2d(first, 2), F.avg_pool2d(second, 2))
    return edge_likeness(first, move(second, motion)) - LAID


def lay_on(first: Tensor, second: Tensor) -> Tensor:
    """The motion (m, 4), as ``move`` takes it, that makes ``second`` like ``first``, both float32 (m, S, S).

    Gauss-Newton on the squared difference of copies of mean 0 and deviation 1 (Lucas and Kanade 1981).
    """
    motion = first.new_zeros(len(first), 4)
    at = _places(first.shape[1])
    wanted = _standardized(first)
    damping = 0.01 * first[0].numel() * torch.eye(4)
    for _ in range(STEPS):
        moved = _standardized(move(second, motion))
        along_y, along_x = torch.gradient(moved, dim=(1, 2), spacing=2 / first.shape[1])
        slopes = torch.stack([along_x, along_x * at, along_y, along_y * at[:, None]], dim=3).flatten(1, 2)
        error = (wanted - moved).flatten(1)[:, :, None]
        normal = slopes.transpose(1, 2) @ slopes + damping
        step = torch.linalg.solve(normal, slopes.transpose(1, 2) @ error)
        motion = (motion + step[:, :, 0]).clamp(-REACH, REACH)
    return motion


def move(copies: Tensor, motion: Tensor) -> Tensor:
    """Copies (m, S, S) seen at x + shift_x + scale_x * x and likewise y, in halves from the middle.

    ``motion`` (m, 4) is shift_x, scale_x, shift_y, scale_y; beyond the border the nearest pixel is seen.
    """
    at = _places(copies.shape[1])
    x = at + motion[:, 0:1] + motion[:, 1:2] * at
    y = at + motion[:, 2:3] + motion[:, 3:4] * at
    grid = torch.stack([x[:, None, :].expand(-1, len(at), -1), y[:, :, None].expand(-1, -1, len(at))], dim=3)
    return F.grid_sample(copies[:, None], grid, padding_mode="border", align_corners=False)[:, 0]


def _places(size: int) -> Tensor:
    """The middles of ``size`` pixels, from -1 to 1."""
    return (torch.arange(size) + 0.5) * 2 / size - 1


def _standardized(copies: Tensor) -> Tensor:
    deviation, mean = torch.std_mean(copies, dim=(1, 2), keepdim=True)
    return (copies - mean) / deviation.clamp_min(1e-3)
