"""Masks of objects, and the two ways in which files hold them: outlines and lengths of runs.

    outline  x, y, x, y, ...  in pixels from the outer corner of the top left pixel; filled by even and odd
    runs     3, 2, 4, ...     3 pixels off, 2 on, 4 off, ... down the columns, from the left one on

              x  0   1   2   3
                 .   #   .        fill_polygons([[1, 0, 2, 0, 2, 1, 1, 1]], 2, 3)
                 .   .   .        mask_to_runs -> 2, 1, 3;  compress_runs -> "213"

Which pixels belong to an outline, and how runs become text, is as COCO's API has it (``maskApi.c``), to the
last pixel: metrics compare with masks that were made there.

H height, W width, N masks.
"""

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor

from striate.ops.arguments import check_shape, check_whole

MAX_COORDINATE = 100_000.0  # of an outline: no picture that is read is wider or higher
_FINER = 5  # outlines are drawn on a grid so much finer than the pixels
_MOST_CHARACTERS = 12  # of one number in text: 60 bits


def fill_polygons(polygons: Sequence[Sequence[float]], height: int, width: int) -> Tensor:
    """The pixels inside any of some outlines.

    Args:
        polygons: each x, y, x, y, ... in pixels, finite and at most ``MAX_COORDINATE`` from 0; the last
            corner is joined with the first. One may cross itself: what it goes around twice is outside.
        height, width: of the mask.

    Returns:
        bool (H, W).

    Raises:
        ValueError: a coordinate without its partner, or one that is not finite or too large; a side that is
            no whole number from 0 on.
    """
    check_whole("height", height, 0)
    check_whole("width", width, 0)
    mask = torch.zeros(height, width, dtype=torch.bool)
    for polygon in polygons:
        corners = _coordinates(polygon)
        if corners.dim() != 1:
            raise ValueError(
                f"polygons must each be x, y, x, y, ..., not of the shape {tuple(corners.shape)}"
            )
        if len(corners) % 2:
            raise ValueError(f"polygons: an outline has {len(corners)} coordinates, an odd number")
        if not (corners.abs() <= MAX_COORDINATE).all():  # also for NaN
            raise ValueError(
                f"polygons: an outline has a coordinate that is no number up to {MAX_COORDINATE:,.0f}"
            )
        if len(corners):
            mask |= _fill(corners.reshape(-1, 2), height, width)
    return mask


def mask_to_polygons(mask: Tensor) -> list[tuple[float, ...]]:
    """The outlines along the edges of the pixels of a mask, which ``fill_polygons`` fills exactly.

    Args:
        mask: bool (H, W).

    Returns:
        An outline x, y, x, y, ... for each part whose pixels touch at their sides, clockwise, corners only. A
        hole is joined to what lies left of it by a cut of no width, which the outline passes twice.

    Raises:
        ValueError: another shape, or a mask of fractions.
    """
    check_shape("mask", mask, ("H", "W"), "flags")
    successor = _edges(mask)
    holes, starts = _loops(successor)
    for hole in holes:
        _cut(hole, successor, mask)
    return [_corners(start, successor) for start in starts]


def mask_to_runs(mask: Tensor) -> tuple[int, ...]:
    """The lengths of runs of 0 and 1 in turn in a mask bool (H, W), down its columns; the first is of 0.

    Raises:
        ValueError: another shape, or a mask of fractions.
    """
    check_shape("mask", mask, ("H", "W"), "flags")
    flat = mask.bool().T.reshape(-1)
    if not len(flat):
        return ()
    changes = torch.nonzero(flat[1:] != flat[:-1])[:, 0] + 1
    ends = torch.cat([changes, torch.tensor([len(flat)], device=mask.device)])
    lengths: list[int] = torch.diff(ends, prepend=ends.new_zeros(1)).tolist()
    return (0, *lengths) if flat[0] else tuple(lengths)


def runs_to_mask(counts: Sequence[int], height: int, width: int) -> Tensor:
    """The mask bool (H, W) whose runs of 0 and 1 in turn, down its columns, have these lengths.

    Raises:
        ValueError: a length that is no whole number from 0 on, or lengths that do not add up to the pixels.
    """
    check_whole("height", height, 0)
    check_whole("width", width, 0)
    _check_counts(counts)
    if sum(counts) != height * width:
        raise ValueError(f"counts: the runs have {sum(counts):,} pixels, the mask has {height * width:,}")
    lengths = torch.tensor(counts, dtype=torch.int64)
    is_object = torch.arange(len(lengths)) % 2 == 1
    return torch.repeat_interleave(is_object, lengths).reshape(width, height).T


def compress_runs(counts: Sequence[int]) -> str:
    """Lengths of runs as the text that COCO's files hold.

    From the fourth on, each is written as its difference from the last but one. Five bits make a character
    from "0" on, the lowest first; a sixth says that more follow.

    Raises:
        ValueError: a length that is no whole number from 0 on.
    """
    _check_counts(counts)
    text = []
    for i, count in enumerate(counts):
        rest = count - counts[i - 2] if i > 2 else count
        more = True
        while more:
            bits = rest & 31
            rest >>= 5
            more = rest != (-1 if bits & 16 else 0)
            text.append(chr(48 + bits + 32 * more))
    return "".join(text)


def decompress_runs(text: str) -> tuple[int, ...]:
    """The lengths of runs that ``compress_runs`` wrote.

    Raises:
        ValueError: the text holds other characters, ends within a number, or gives lengths below 0.
    """
    if not isinstance(text, str):
        raise ValueError(f"text must be a string, not {type(text).__name__}")
    counts: list[int] = []
    value = length = 0
    for character in text:
        bits = ord(character) - 48
        if not 0 <= bits < 64 or length == _MOST_CHARACTERS:
            raise ValueError("the text is not made of COCO's compressed run lengths")
        value |= (bits & 31) << (5 * length)
        length += 1
        if bits & 32:
            continue
        if bits & 16:
            value -= 1 << (5 * length)
        counts.append(value + counts[-2] if len(counts) > 2 else value)
        value = length = 0
    if length:
        raise ValueError("the compressed run lengths are cut off")
    if min(counts, default=0) < 0:
        raise ValueError("the compressed run lengths have one below 0")
    return tuple(counts)


def masks_to_boxes(masks: Tensor) -> Tensor:
    """The smallest box around each mask.

    Args:
        masks: bool (N, H, W), or whole numbers, of which 0 is outside.

    Returns:
        boxes_xyxy float32 (N, 4) in pixels; 0, 0, 0, 0 for a mask without pixels.

    Raises:
        ValueError: another shape, or masks of fractions.
    """
    check_shape("masks", masks, ("N", "H", "W"), "flags")
    if not masks.numel():
        return torch.zeros(len(masks), 4, device=masks.device)
    columns, rows = masks.any(1), masks.any(2)  # (N, W), (N, H)
    x1, x2 = _first_and_end(columns)
    y1, y2 = _first_and_end(rows)
    return torch.stack([x1, y1, x2, y2], dim=1).float()


def _coordinates(polygon: Sequence[float]) -> Tensor:
    try:
        return torch.as_tensor(polygon, dtype=torch.float64)
    except (TypeError, ValueError, RuntimeError) as error:
        raise ValueError(f"polygons must each be numbers x, y, x, y, ...: {error}") from error


def _check_counts(counts: Sequence[int]) -> None:
    if not isinstance(counts, Iterable):
        raise ValueError(f"counts must be whole numbers, not {counts!r}")
    if not all(type(count) is int and count >= 0 for count in counts):  # quick: they may be thousands
        for count in counts:
            check_whole("counts", count, 0)


def _first_and_end(flags: Tensor) -> tuple[Tensor, Tensor]:
    """The first place of each row of (N, L) that is true, and that after the last; 0 and 0 for none."""
    some = flags.any(1)
    first = flags.int().argmax(1)
    end = flags.shape[1] - flags.flip(1).int().argmax(1)
    return first * some, end * some


_Edge = tuple[int, int, int, int]  # x and y of its start, and its direction

_DIRECTIONS = ((1, 0), (0, 1), (-1, 0), (0, -1))  # clockwise: each is a right turn from the one before


def _edges(mask: Tensor) -> dict[_Edge, _Edge]:
    """The edges between pixels of the mask and others, with the mask to their right, each with the next."""
    framed = torch.nn.functional.pad(mask.bool(), (1, 1, 1, 1))
    own = framed[1:-1, 1:-1]
    beyond = (framed[:-2, 1:-1], framed[1:-1, 2:], framed[2:, 1:-1], framed[1:-1, :-2])  # above, right, ...
    edges: dict[_Edge, _Edge] = {}
    for (dx, dy), (right, down), others in zip(
        _DIRECTIONS, ((0, 0), (1, 0), (1, 1), (0, 1)), beyond, strict=True
    ):
        for y, x in torch.nonzero(own & ~others).tolist():
            edges[x + right, y + down, dx, dy] = (0, 0, 0, 0)
    for x, y, dx, dy in edges:
        turns = ((-dy, dx), (dx, dy), (dy, -dx))  # where two pixels touch at a corner, stay with this one
        edges[x, y, dx, dy] = next(e for turn in turns if (e := (x + dx, y + dy, *turn)) in edges)
    return edges


def _loops(successor: dict[_Edge, _Edge]) -> tuple[list[list[_Edge]], list[_Edge]]:
    """The loops around holes, and an edge of each other loop."""
    holes, starts = [], []
    seen: set[_Edge] = set()
    for edge in successor:
        if edge in seen:
            continue
        loop = [edge]
        while (edge := successor[edge]) != loop[0]:
            loop.append(edge)
        seen.update(loop)
        doubled_area = sum(x * dy - y * dx for x, y, dx, dy in loop)
        if doubled_area > 0:
            starts.append(loop[0])
        else:
            holes.append(loop)
    return holes, starts


def _cut(hole: list[_Edge], successor: dict[_Edge, _Edge], mask: Tensor) -> None:
    """Join a hole, at its uppermost left corner, to the edge that lies left of it."""
    at = min(range(len(hole)), key=lambda k: (hole[k][1], hole[k][0]))
    before, after = hole[at - 1], hole[at]
    x, y, _, _ = after
    outside = torch.nonzero(~mask[y, :x].bool())
    left = int(outside[-1]) + 1 if len(outside) else 0
    edge = (left, y + 1, 0, -1)  # the left side of the last pixel on the way
    there, back = (left, y, 2 * (x - left), 0), (x, y, 2 * (left - x), 0)  # 2: no other edge is called so
    successor[edge], successor[there], successor[before], successor[back] = (
        there,
        after,
        back,
        successor[edge],
    )


def _corners(start: _Edge, successor: dict[_Edge, _Edge]) -> tuple[float, ...]:
    """The points of a loop where it turns."""
    loop = [start]
    while (edge := successor[loop[-1]]) != start:
        loop.append(edge)
    points: list[float] = []
    for (x, y, dx, dy), before in zip(loop, loop[-1:] + loop[:-1], strict=True):
        if (dx > 0) - (dx < 0) != (before[2] > 0) - (before[2] < 0) or (dy > 0) != (before[3] > 0):
            points += [float(x), float(y)]
    return tuple(points)


def _fill(corners: Tensor, height: int, width: int) -> Tensor:
    """The pixels inside one outline, corners (P, 2).

    Where the outline, drawn as points of the fine grid, steps across the middle of a column of pixels, inside
    and outside change places from there down.
    """
    x, y = _draw(torch.trunc(_FINER * corners + 0.5).long())
    before, after = x, x.roll(-1)
    left = torch.minimum(before, after)
    column, rest = left.div(_FINER, rounding_mode="floor"), left.remainder(_FINER)
    steps = (before != after) & (rest == _FINER // 2) & (column >= 0) & (column < width)
    top = torch.minimum(y, y.roll(-1))[steps]
    row = (top + _FINER // 2).div(_FINER, rounding_mode="floor").clamp(0, height)
    changes = torch.bincount(column[steps] * height + row, minlength=height * width + 1)
    inside = changes.cumsum(0)[:-1] % 2 == 1
    return inside.reshape(width, height).T


def _draw(corners: Tensor) -> tuple[Tensor, Tensor]:
    """The points x, y (Q,) of the closed line through corners int64 (P, 2), one per step along the axis on
    which an edge is longer. An edge is drawn from its upper or left end, so that both ways give one line."""
    start, end = corners, corners.roll(-1, 0)
    size = (end - start).abs()
    is_wide = size[:, 0] >= size[:, 1]
    along = torch.where(is_wide, 0, 1)[:, None]  # the axis that is stepped along; the other follows
    turned = (start.gather(1, along) > end.gather(1, along))[:, 0]
    first = torch.where(turned[:, None], end, start)
    last = torch.where(turned[:, None], start, end)
    length = size.amax(1)
    across_first, across_last = first.gather(1, 1 - along)[:, 0], last.gather(1, 1 - along)[:, 0]
    slope = (across_last - across_first).double() / length.clamp(min=1)

    edge = torch.repeat_interleave(torch.arange(len(corners)), length + 1)
    begins = (length + 1).cumsum(0) - (length + 1)
    step = torch.arange(len(edge)) - begins[edge]
    step = torch.where(turned[edge], length[edge] - step, step)
    a = first.gather(1, along)[edge, 0] + step
    b = torch.trunc(across_first[edge] + slope[edge] * step + 0.5).long()
    return torch.where(is_wide[edge], a, b), torch.where(is_wide[edge], b, a)
