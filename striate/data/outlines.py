"""Outlines of objects, and the upright boxes around them, in pixels.

A turned box is kept as its four corners, clockwise from the one that was top left before turning, in
``Annotation.polygons``, with the angle in ``attributes["rotation"]``, in degrees clockwise.
"""

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from striate.data.annotations import Annotation, Box, RunLengths
from striate.ops.masks import mask_to_runs, runs_to_mask

ROTATION = "rotation"

Outline = tuple[float, ...]  # x, y, x, y, ...


def outline_box(outline: Sequence[float]) -> Box:
    """The upright box around an outline of at least one point."""
    xs, ys = outline[0::2], outline[1::2]
    return min(xs), min(ys), max(xs), max(ys)


def ellipse_box(cx: float, cy: float, rx: float, ry: float, radians: float = 0.0) -> Box:
    """The upright box around an ellipse whose first axis is turned by ``radians``."""
    cos, sin = math.cos(radians), math.sin(radians)
    half_width, half_height = math.hypot(rx * cos, ry * sin), math.hypot(rx * sin, ry * cos)
    return cx - half_width, cy - half_height, cx + half_width, cy + half_height


def turned_corners(box: Box, degrees: float, pivot: tuple[float, float]) -> Outline:
    """The corners of a box that is turned clockwise around a point."""
    x1, y1, x2, y2 = box
    cos, sin = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    corners: list[float] = []
    for x, y in ((x1, y1), (x2, y1), (x2, y2), (x1, y2)):
        dx, dy = x - pivot[0], y - pivot[1]
        corners += [pivot[0] + cos * dx - sin * dy, pivot[1] + sin * dx + cos * dy]
    return tuple(corners)


def turned_box(annotation: Annotation) -> tuple[Box, float] | None:
    """(The box before it was turned around its centre, degrees) of a turned box; None for all others."""
    degrees = annotation.attributes.get(ROTATION)
    outline = sole_outline(annotation)
    if not isinstance(degrees, int | float) or outline is None or len(outline) != 8:
        return None
    cx, cy = sum(outline[0::2]) / 4, sum(outline[1::2]) / 4
    x1, y1, _, _, x2, y2, _, _ = turned_corners_back(outline, degrees, (cx, cy))
    return (x1, y1, x2, y2), float(degrees)


def turned_corners_back(outline: Outline, degrees: float, pivot: tuple[float, float]) -> Outline:
    """An outline that is turned anticlockwise around a point."""
    cos, sin = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    points: list[float] = []
    for x, y in zip(outline[0::2], outline[1::2], strict=True):
        dx, dy = x - pivot[0], y - pivot[1]
        points += [pivot[0] + cos * dx + sin * dy, pivot[1] - sin * dx + cos * dy]
    return tuple(points)


def sole_outline(annotation: Annotation) -> Outline | None:
    """The outline of an object that has just one, of which its box is the upright box; else None.

    Formats that hold an outline in place of a box can hold these and no others.
    """
    if len(annotation.polygons) != 1:
        return None
    pairs = zip(outline_box(annotation.polygons[0]), annotation.box_xyxy, strict=True)
    return annotation.polygons[0] if all(abs(a - b) < 0.005 for a, b in pairs) else None


def clip_outline(outline: Outline, width: float, height: float) -> Outline:
    """The part of an outline within the picture; empty if there is none (Sutherland and Hodgman, 1974)."""
    points = list(zip(outline[0::2], outline[1::2], strict=True))
    for axis, limit, sign in ((0, 0.0, 1), (0, width, -1), (1, 0.0, 1), (1, height, -1)):
        clipped: list[tuple[float, float]] = []
        for before, point in zip(points[-1:] + points[:-1], points, strict=True):
            inner_before, inner = sign * (before[axis] - limit) >= 0, sign * (point[axis] - limit) >= 0
            if inner != inner_before:
                clipped.append(_crossing(before, point, axis, limit))
            if inner:
                clipped.append(point)
        points = clipped
    return tuple(coordinate for point in points for coordinate in point)


def clip_annotation(annotation: Annotation, width: float, height: float) -> Annotation:
    """An object within the picture: its box, and its outlines."""
    x1, y1, x2, y2 = annotation.box_xyxy
    box = (_within(x1, width), _within(y1, height), _within(x2, width), _within(y2, height))
    if not annotation.polygons:
        return replace(annotation, box_xyxy=box)
    outlines = tuple(
        part for outline in annotation.polygons if (part := clip_outline(outline, width, height))
    )
    if sole_outline(annotation) is not None and outlines:
        box = outline_box(outlines[0])
    return replace(annotation, box_xyxy=box, polygons=outlines, attributes=_without_rotation(annotation))


def turn_upright(annotation: Annotation, orientation: int, width: int, height: int) -> Annotation:
    """An object of a picture as it lies in the file, in the picture as EXIF turns it.

    Args:
        annotation: in pixels of the unturned picture.
        orientation: EXIF 2.3, tag 0x0112: 1..8.
        width, height: of the unturned picture.
    """
    if orientation >= 5:
        width, height = height, width

    def turned(outline: Outline) -> Outline:
        xs, ys = outline[0::2], outline[1::2]
        if orientation >= 5:
            xs, ys = ys, xs
        if orientation in (3, 4, 7, 8):
            ys = tuple(height - y for y in ys)
        if orientation in (2, 3, 6, 7):
            xs = tuple(width - x for x in xs)
        return tuple(coordinate for point in zip(xs, ys, strict=True) for coordinate in point)

    x1, y1, x2, y2 = turned(annotation.box_xyxy)
    if orientation in (3, 4, 7, 8):
        y1, y2 = y2, y1
    if orientation in (2, 3, 6, 7):
        x1, x2 = x2, x1
    return replace(
        annotation,
        box_xyxy=(x1, y1, x2, y2),  # corners in the wrong order stay so
        polygons=tuple(map(turned, annotation.polygons)),
        mask=annotation.mask and _turned_mask(annotation.mask, orientation),
        attributes=_without_rotation(annotation),
    )


def _turned_mask(mask: RunLengths, orientation: int) -> RunLengths:
    pixels = runs_to_mask(mask.counts, mask.height, mask.width)
    if orientation >= 5:
        pixels = pixels.T
    if orientation in (3, 4, 7, 8):
        pixels = pixels.flip(0)
    if orientation in (2, 3, 6, 7):
        pixels = pixels.flip(1)
    return RunLengths(pixels.shape[0], pixels.shape[1], mask_to_runs(pixels))


def _without_rotation(annotation: Annotation) -> dict[str, Any]:
    return {name: value for name, value in annotation.attributes.items() if name != ROTATION}


def _within(value: float, limit: float) -> float:
    return min(max(value, 0.0), limit)


def _crossing(a: tuple[float, float], b: tuple[float, float], axis: int, limit: float) -> tuple[float, float]:
    """Where the line from a to b meets the edge of the picture."""
    part = (limit - a[axis]) / (b[axis] - a[axis])
    other = a[1 - axis] + part * (b[1 - axis] - a[1 - axis])
    return (limit, other) if axis == 0 else (other, limit)
