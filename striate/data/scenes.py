"""Generated scenes: handwritten digits in cluttered pictures, with exact boxes, classes and masks.

    background ─ clutter ─ digits ─ noise        a picture is painted in this order
    layout: which digit, how large, how turned, where: tried until digits hardly overlap

Everything painted is a stamp: a small field of values that exceed 0.5 inside a shape. A stamp is turned,
sheared and scaled by sampling its field, so that its edge is a pixel wide at any scale. What is painted
depends on the seed, the split and the picture's number alone: picture i is the same however many are made.

Shapes: B scenes of a chunk, M places for digits in a scene, T stamps of all scenes, P side of a stamp's
patch in pixels, S side of a picture.
"""

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple, cast

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from striate.data.builtin import load_digits
from striate.data.dataset import POOL, ArrayImages
from striate.data.keyed_random import keyed_uniform
from striate.data.streams import Stream
from striate.samples import Objects

Array = NDArray[Any]

SPLITS = {"train": 0.7, "val": 0.15, "test": 0.15}  # shares of the handwritten digits
DIGIT_SIZE = (0.1, 0.3)  # height of a digit, as a fraction of the picture, where there are at most eight
OVERLAP = 0.15  # of two digits' boxes at most, as a fraction of the smaller one
CONTRAST = (0.38, 0.7)  # how far a digit's luma, in 0..1, lies from the mean of what it covers
CLUTTER = (5, 10)  # stamps behind the digits
CLUTTER_CONTRAST = (0.07, 0.2)
LUMA = np.array([0.299, 0.587, 0.114], dtype=np.float32)

_CHUNK = 64  # scenes painted at once, which bounds the memory of the patches
_TRIES = 40  # places tried for a digit
_HALF = 5.0  # half the side of a field, in pixels of the 8x8 source: one pixel of margin on each side
_BAR = (
    1.0  # half the height of the bar in its field, where the digits' is 4: room for the soft edge of a line
)
_FINE = 4  # values of a field for each pixel of the source


class Scenes(NamedTuple):
    """``pixels`` uint8 (N, 3, S, S); ``objects`` of the N pictures; ``masks`` bool (T, S, S), the visible
    pixels of each object, or None where they were not asked for."""

    pixels: Tensor
    objects: Objects
    masks: Tensor | None


@dataclass(frozen=True)
class _Stamps:
    """Shapes to paint, scene after scene."""

    alphas: Array  # float32 (T, P, P) in 0..1
    labels: Array  # int64 (T,); -1 is clutter
    hue: Array  # float64 (T,) in 0..1, as are the others
    saturation: Array
    contrast: Array  # 0..1, from the least to the most
    brighter: Array


def scenes(
    count_train: int,
    count_val: int,
    count_test: int,
    size: int = 160,
    objects: tuple[int, int] = (3, 8),
    seed: int = 0,
) -> dict[str, tuple[Tensor, Objects]]:
    """A data set of generated scenes: for "train", "val" and "test" what ``make_scenes`` makes.

    No handwritten digit is in two splits, whatever the seed.
    """
    counts = zip(SPLITS, (count_train, count_val, count_test), strict=True)
    made = {split: make_scenes(count, size, objects, seed, split) for split, count in counts}
    return {split: (scene.pixels, scene.objects) for split, scene in made.items()}


def make_scenes(
    count: int,
    size: int = 160,
    objects: tuple[int, int] = (3, 8),
    seed: int = 0,
    split: str = "train",
    with_masks: bool = False,
) -> Scenes:
    """Pictures of coloured digits before gradients, noise, lines, discs, arcs and fragments of digits.

    Digits are scikit-learn's (``load_digits``), 0.1 to 0.3 of the picture high where it may hold eight;
    their areas go with one over the most that it may hold, so that one alone is 0.24 to 0.72 high.

    Args:
        count: N pictures.
        size: S, their side in pixels; below 64 the digits are too small to read.
        objects: the fewest and the most digits in a picture, each number equally often.
        seed: of the scenes.
        split: "train", "val" or "test"; each has handwritten digits of its own.
        with_masks: whether to return masks: T * S * S bytes.

    Returns:
        Boxes enclose the visible pixels of each digit exactly, so they are whole numbers; labels are the
        digits 0..9; no object is crowd or difficult. A digit's later neighbours are in front of it.
    """
    pixels = torch.empty(count, 3, size, size, dtype=torch.uint8)
    parts = [
        Objects.of(torch.empty(0, 4), torch.empty(0, dtype=torch.int64), torch.zeros(0, dtype=torch.int64))
    ]
    masks = [torch.empty(0, size, size, dtype=torch.bool)]
    for start in range(0, count, _CHUNK):
        keys = torch.arange(start, min(start + _CHUNK, count))
        painted, found, owners = _paint_chunk(keys, size, objects, seed, split)
        pixels[start : start + len(keys)] = painted
        parts.append(found)
        if with_masks:
            order = torch.cat([torch.arange(1, number + 1) for number in [0, *found.counts.tolist()]])
            masks.append(owners[found.pictures] == order[:, None, None])
    return Scenes(pixels, Objects.join(parts), torch.cat(masks) if with_masks else None)


def _paint_chunk(
    keys: Tensor, size: int, objects: tuple[int, int], seed: int, split: str
) -> tuple[Tensor, Objects, Tensor]:
    """Pixels uint8 (B, 3, S, S), objects, and the number (from 1) of the digit seen at each pixel, 0 where
    there is none, uint8 (B, S, S)."""
    place = list(SPLITS).index(split)  # takes the part of the epoch in the keys
    draws = keyed_uniform(seed, place, keys, 4 + 2 * 16, Stream.SCENE).numpy()
    fewest, most = objects
    counts = fewest + (draws[:, 0] * (most - fewest + 1)).astype(np.int64)
    clutter_counts = CLUTTER[0] + (draws[:, 1] * (CLUTTER[1] - CLUTTER[0] + 1)).astype(np.int64)

    canvas = _paint_background(draws[:, 2:], size)
    owners = np.zeros((len(keys), size, size), dtype=np.uint8)
    clutter_draws = keyed_uniform(seed, place, keys, CLUTTER[1] * 12, Stream.SCENE_CLUTTER).numpy()
    clutter_draws = _present(clutter_draws.reshape(len(keys), CLUTTER[1], 12), clutter_counts)
    corners = np.floor(clutter_draws[:, :2] * size).astype(np.int64) - _clutter_patch(size) // 2
    _paint(canvas, owners, _draw_clutter(clutter_draws, size, split), corners, clutter_counts)

    digit_draws = keyed_uniform(seed, place, keys, most * (10 + 2 * _TRIES), Stream.SCENE_DIGITS).numpy()
    digit_draws = digit_draws.reshape(len(keys), most, 10 + 2 * _TRIES)
    digits = _draw_digits(_present(digit_draws, counts), size, most, split)
    corners = _place(digits, digit_draws[:, :, 10:], counts, size)
    _paint(canvas, owners, digits, corners, counts)

    noise = keyed_uniform(seed, place, keys, size * size, Stream.SCENE_NOISE).float().numpy() - 0.5
    strength = (0.02 + 0.1 * draws[:, 3]).astype(np.float32)
    canvas += (strength[:, None] * noise).reshape(-1, 1, size, size)
    pixels = torch.from_numpy(canvas).mul_(255).round_().clamp_(0, 255).byte()
    boxes = torch.from_numpy(_visible_boxes(owners, counts))
    found = Objects.of(boxes, torch.from_numpy(digits.labels), torch.from_numpy(counts))
    return pixels, found, torch.from_numpy(owners)


def _present(draws: Array, counts: Array) -> Array:
    """The first ``counts`` (B,) of each scene's draws (B, M, D): (T, D)."""
    chosen: Array = draws[np.arange(draws.shape[1]) < counts[:, None]]
    return chosen


# Fields: what shapes there are ------------------------------------------------------------------------------


@lru_cache(maxsize=len(SPLITS))
def _digit_fields(split: str) -> tuple[Tensor, Array]:
    """Of the handwritten digits of a split: fields float32 (n, 40, 40), and labels int64 (n,), ascending."""
    pool = load_digits().splits[POOL]
    every = torch.arange(len(pool.targets))
    order = keyed_uniform(0, 0, every, 1, Stream.SCENE_SOURCE)[:, 0].argsort()
    ends = (np.cumsum([0.0, *SPLITS.values()]) * len(order)).round().astype(int)
    place = list(SPLITS).index(split)
    chosen = order[ends[place] : ends[place + 1]]
    chosen = chosen[pool.targets[chosen].argsort(stable=True)]
    pixels = cast(ArrayImages, pool.images).pixels[chosen]
    images = F.pad(pixels.float() / 255, (1, 1, 1, 1))
    blurred = F.avg_pool2d(images, 3, stride=1, padding=1)
    sharpened = images + 0.8 * (images - blurred)  # else the narrow loops of 6, 8 and 9 close
    fields = F.interpolate(sharpened, scale_factor=_FINE, mode="bicubic")[:, 0]
    return fields - 0.05, pool.targets[chosen].numpy()


@lru_cache(maxsize=1)
def _plain_fields() -> Tensor:
    """Fields float32 (3, 40, 40) of a bar, a disc and an arc; across their edges they fall by 1 in a pixel
    of the source."""
    points = (torch.arange(2 * _HALF * _FINE) + 0.5) / _FINE - _HALF
    x, y = points[None, :], points[:, None]
    radius = (x.square() + y.square()).sqrt()
    bar = torch.minimum(4 * (4 - x.abs()), _BAR - y.abs())
    arc = torch.minimum(0.8 - (3.2 - radius).abs(), 1.2 - y)  # open, or it would be a zero
    return torch.stack([bar, 4 - radius, arc]) + 0.5


# Stamps: shapes of some size and angle ----------------------------------------------------------------------


def _draw_digits(draws: Array, size: int, most: int, split: str) -> _Stamps:
    """Digits for the scenes of a chunk from their draws (T, 10 or more)."""
    fields, labels = _digit_fields(split)
    digit, part = np.divmod(10 * draws[:, 0], 1)  # each class equally often
    first, end = np.searchsorted(labels, digit), np.searchsorted(labels, digit, side="right")
    chosen = (first + part * (end - first)).astype(np.int64)
    scale = size * _room(most)
    smallest, largest = DIGIT_SIZE
    height = scale * smallest * (largest / smallest) ** draws[:, 1]  # log-uniform
    width = height * (0.85 + 0.3 * draws[:, 2])
    angle = np.radians(15) * (2 * draws[:, 3] - 1)
    shear = 0.25 * (2 * draws[:, 4] - 1)
    patch = math.ceil(1.5 * scale * largest)
    alphas = _stamp(fields[chosen], width, height, angle, shear, patch)
    return _Stamps(alphas, labels[chosen], *draws[:, 5:9].T)


def _room(most: int) -> float:
    """Factor of the size of digits in scenes that hold at most so many of them."""
    return min(math.sqrt(8 / max(most, 1)), 2.4)


def _clutter_patch(size: int) -> int:
    return math.ceil(0.4 * size)


def _draw_clutter(draws: Array, size: int, split: str) -> _Stamps:
    """Lines, discs, arcs and fragments of digits from their draws (T, 12), of which two are their places."""
    fields, _ = _digit_fields(split)
    below = (torch.arange(2 * _HALF * _FINE)[:, None] + 0.5) / _FINE - _HALF - 0.9
    fragments = torch.minimum(fields[(draws[:, 2] * len(fields)).astype(np.int64)], below + 0.5)
    kind = (draws[:, 3] * 4).astype(np.int64)  # 0 line, 1 disc, 2 arc, 3 fragment
    plain = _plain_fields()[np.minimum(kind, 2)]
    shapes = torch.where(torch.from_numpy(kind == 3)[:, None, None], fragments, plain)
    length = size * (0.08 + 0.24 * draws[:, 4])
    thickness = size * (0.008 + 0.012 * draws[:, 5]) * 4 / _BAR  # of lines
    width = np.where(kind == 0, thickness, length * (0.5 + 0.5 * draws[:, 5]))
    angle = 2 * np.pi * draws[:, 6]
    alphas = _stamp(shapes, length, width, angle, 0 * angle, _clutter_patch(size))
    return _Stamps(alphas, np.full(len(draws), -1), *draws[:, 7:11].T)


def _stamp(fields: Tensor, width: Array, height: Array, angle: Array, shear: Array, patch: int) -> Array:
    """Shapes of width and height in pixels, then sheared, then turned: alphas float32 (T, P, P) in 0..1."""
    cosine, sine = np.cos(angle), np.sin(angle)
    rows = [[cosine + shear * sine, sine - shear * cosine], [-sine, cosine]]  # back from the patch's points
    linear = np.stack([np.stack(rows[0]) * 8 / width, np.stack(rows[1]) * 8 / height]) / _HALF  # (2, 2, T)
    steps = torch.arange(patch) + 0.5 - patch / 2
    across, down = (
        torch.from_numpy(linear).float().permute(1, 2, 0)[:, :, :, None].unbind(0)
    )  # each (T, 2, 1)
    grid = (down * steps)[:, :, :, None] + (across * steps)[:, :, None, :]  # (T, 2, P, P)
    values = F.grid_sample(
        fields[:, None], grid.permute(0, 2, 3, 1), padding_mode="border", align_corners=False
    )[:, 0]
    slope = torch.from_numpy(np.minimum(np.minimum(width, height) / 8, 5)).float()[:, None, None]
    alphas: Array = values.sub_(0.5).mul_(slope).add_(0.5).clamp_(0, 1).numpy()
    return alphas


# Layout -----------------------------------------------------------------------------------------------------


def _place(digits: _Stamps, tries: Array, counts: Array, size: int) -> Array:
    """Corners int64 (T, 2), x and y, of the patches of digits, so that each lies in the picture and hardly
    overlaps those before it; ``tries`` (B, M, 2 * tries) in 0..1."""
    inked: Array = digits.alphas >= 0.5
    present = np.arange(tries.shape[1]) < counts[:, None]
    extents = np.zeros((*present.shape, 4), dtype=np.int64)
    extents[present] = np.stack([*_span(inked, 1), *_span(inked, 2)], axis=1)
    left, right, top, bottom = np.moveaxis(extents, 2, 0)  # each (B, M), in the patch
    width, height = right - left, bottom - top
    tried = tries.reshape(*present.shape, _TRIES, 2)
    x = np.floor(tried[..., 0] * (size - width + 1)[:, :, None])  # (B, M, tries), all inside
    y = np.floor(tried[..., 1] * (size - height + 1)[:, :, None])
    boxes = np.stack([x, y, x + width[:, :, None], y + height[:, :, None]], axis=3)
    scene = np.arange(len(boxes))
    accepted = np.zeros((*present.shape, 4))
    for number in range(present.shape[1]):
        shared = _overlap(boxes[:, number, :, None], accepted[:, None, :number])  # (B, tries, number)
        shared = shared.max(axis=2, initial=0.0)
        fits = shared <= OVERLAP
        best = np.where(fits.any(axis=1), fits.argmax(axis=1), shared.argmin(axis=1))
        accepted[:, number] = boxes[scene, number, best]
    corners: Array = (accepted[..., :2] - np.stack([left, top], axis=2))[present].astype(np.int64)
    return corners


def _overlap(boxes: Array, others: Array) -> Array:
    """Intersection of boxes (..., 4) over the area of the smaller; 0 where one is empty."""
    corner = np.maximum(boxes[..., :2], others[..., :2])
    shared = (np.minimum(boxes[..., 2:], others[..., 2:]) - corner).clip(min=0).prod(axis=-1)
    areas = [(b[..., 2:] - b[..., :2]).prod(axis=-1) for b in (boxes, others)]
    ratio: Array = shared / np.minimum(*areas).clip(min=1)
    return ratio


def _span(flags: Array, axis: int) -> tuple[Array, Array]:
    """Where the true values of (T, P, P) begin and end when looked at along an axis, 1 for columns and 2 for
    rows; 0 and P where there is none."""
    hit = np.logical_or.reduce(flags, axis=axis)
    return hit.argmax(axis=1), hit.shape[1] - hit[:, ::-1].argmax(axis=1)


# Painting ---------------------------------------------------------------------------------------------------


def _paint_background(draws: Array, size: int) -> Array:
    """Clouds of related colours, float32 (B, 3, S, S) in 0..1, from draws (B, 34)."""
    lumas = 0.22 + 0.56 * draws[:, :1] + 0.3 * (draws[:, 2:18] - 0.5)
    hues = draws[:, 2:3] + 0.25 * (draws[:, 18:34] - 0.5)
    colours = _colour(lumas, hues, 0.5 * draws[:, 3:4] + 0 * hues)  # (B, 16, 3)
    cells = torch.from_numpy(colours).view(-1, 4, 4, 3).permute(0, 3, 1, 2).contiguous()
    canvas: Array = F.interpolate(cells, (size, size), mode="bicubic").clamp_(0, 1).numpy()
    return canvas


def _paint(canvas: Array, owners: Array, stamps: _Stamps, corners: Array, counts: Array) -> None:
    """Set stamps on their scenes, one after the other, in colours that stand out from what is there."""
    patch, size = stamps.alphas.shape[1], canvas.shape[2]
    touched: Array = stamps.alphas > 0
    spans = np.stack([*_span(touched, 1), *_span(touched, 2)], axis=1)
    limits = np.stack([-corners, size - corners], axis=2).reshape(-1, 4)  # of the picture, in the patch
    spans = np.minimum(np.maximum(spans, limits[:, [0, 0, 2, 2]]), limits[:, [1, 1, 3, 3]]).clip(0, patch)
    numbers = np.arange(len(spans)) - np.repeat(counts.cumsum() - counts, counts) + 1
    scene_of = np.repeat(np.arange(len(counts)), counts)
    is_digit = stamps.labels >= 0
    low, high = np.where(is_digit[:, None], CONTRAST, CLUTTER_CONTRAST).T
    contrasts = low + (high - low) * stamps.contrast
    rows = zip(scene_of, numbers, spans.tolist(), corners.tolist(), strict=True)
    for index, (scene, number, (left, right, top, bottom), (x, y)) in enumerate(rows):
        alpha = stamps.alphas[index, top:bottom, left:right]
        place = (slice(y + top, y + bottom), slice(x + left, x + right))
        view = canvas[(scene, slice(None), *place)]
        covered = float(LUMA @ np.tensordot(view, alpha, axes=2)) / max(float(alpha.sum()), 1e-6)
        luma = _standing_out(covered, contrasts[index], stamps.brighter[index])
        colour = _colour(np.array(luma), stamps.hue[index], stamps.saturation[index])
        view += alpha * (colour[:, None, None] - view)
        if is_digit[index]:
            owners[(scene, *place)][alpha >= 0.5] = number


def _standing_out(covered: float, contrast: float, draw: float) -> float:
    """A luma in 0..1 that differs from ``covered`` by ``contrast``, or as far as that side allows."""
    brighter, darker = covered + contrast, covered - contrast
    if darker < 0.02 or brighter > 0.98:  # one side has no room
        return min(brighter, 0.98) if covered < 0.5 else max(darker, 0.02)
    return brighter if draw < 0.5 else darker


def _colour(luma: Array, hue: Array, saturation: Array) -> NDArray[np.float32]:
    """RGB in 0..1, float32 (..., 3), of exactly this luma; saturation 1 goes as far as the luma allows."""
    luma = luma.clip(0, 1)[..., None]
    direction = np.cos(2 * np.pi * (hue[..., None] - np.arange(3) / 3))
    direction = direction - (direction @ LUMA)[..., None]  # has no luma
    room = np.where(direction > 0, 1 - luma, luma) / np.abs(direction).clip(min=1e-6)
    colours: NDArray[np.float32] = (
        luma + saturation[..., None] * room.min(axis=-1, keepdims=True) * direction
    ).astype(np.float32)
    return colours


def _visible_boxes(owners: Array, counts: Array) -> NDArray[np.float32]:
    """The tight box of each digit's visible pixels, float32 (T, 4)."""
    boxes = np.empty((int(counts.sum()), 4), dtype=np.float32)
    row = 0
    for scene, count in zip(owners, counts, strict=True):
        for number in range(1, count + 1):
            mine = scene[None] == number
            (left, top), (right, bottom) = zip(*(_span(mine, axis) for axis in (1, 2)), strict=True)
            boxes[row] = left[0], top[0], right[0], bottom[0]
            row += 1
    return boxes
