"""The shapes of LabelMe's files: what each kind of them is in pixels.

rectangle   two opposite corners, in any order; other programs write all four
polygon     three corners or more; "rotation" is a turned rectangle as its four corners
circle      the centre and a point of the edge; becomes its box, with the attribute "shape"
mask        the first and the last pixel of a box, and its pixels as a PNG in base64
"""

import base64
import binascii
import math
from dataclasses import dataclass
from typing import Any

import torch

from striate.data.annotations import Box, RunLengths, quoted
from striate.data.images import decode_image
from striate.data.json_reading import as_number
from striate.data.outlines import Outline, outline_box
from striate.errors import InputError
from striate.ops.masks import mask_to_runs, masks_to_boxes, runs_to_mask

NO_AREAS = ("point", "points", "line", "linestrip")  # shapes that are no objects with a box
SHAPE = "shape"  # the attribute that says which shape a box was

_OUTLINED = ("polygon", "rotation")
_SIDES = 1e-6  # pixels by which the sides of an upright rectangle may be askew


@dataclass(frozen=True)
class Area:
    """What a shape covers: its box, and the outlines or the mask that it may have."""

    box: Box
    outlines: tuple[Outline, ...] = ()
    mask: RunLengths | None = None


def area_of(shape: dict[str, Any], size: tuple[int, int] | None) -> Area:
    """What a shape covers, in pixels.

    Args:
        size: width and height of the picture, which masks need; None if it is not known.

    Raises:
        ValueError: a kind of shape that is not known, or points or pixels that are not what they must be.
    """
    kind = kind_of(shape)
    points = _points(shape.get("points"))
    if kind == "rectangle" and len(points) == 4:
        return Area(outline_box(points))
    if kind == "rectangle" and len(points) == 8:
        return Area(outline_box(points), () if _is_upright(points) else (points,))
    if kind in _OUTLINED and len(points) >= 6:
        return Area(outline_box(points), (points,))
    if kind == "circle" and len(points) == 4:
        x, y, edge_x, edge_y = points
        radius = math.hypot(edge_x - x, edge_y - y)
        return Area((x - radius, y - radius, x + radius, y + radius))
    if kind == "mask" and len(points) == 4:
        return _masked(shape.get("mask"), outline_box(points), size)
    if kind in ("rectangle", "circle", "mask", *_OUTLINED):
        raise ValueError(f"a {kind} has {len(points) // 2} points")
    raise ValueError(f"the shape_type {quoted(kind)} is not known")


def kind_of(shape: dict[str, Any]) -> Any:
    """The kind of a shape; the first files of LabelMe, which knew polygons only, do not say it."""
    kind = shape.get("shape_type") or "polygon"
    return kind.lower() if isinstance(kind, str) else kind


def united(areas: list[Area]) -> Area:
    """What several shapes cover together: the parts of one object."""
    corners = [corner for area in areas for corner in area.box]
    masks = [area.mask for area in areas if area.mask]
    mask = masks[0] if masks else None
    if len(masks) > 1:
        pixels = torch.stack([runs_to_mask(one.counts, one.height, one.width) for one in masks]).any(0)
        mask = RunLengths(masks[0].height, masks[0].width, mask_to_runs(pixels))
    return Area(outline_box(corners), tuple(line for area in areas for line in area.outlines), mask)


def _points(value: Any) -> Outline:
    """x, y, x, y, ... of a list of pairs."""
    if not isinstance(value, list):
        raise ValueError("points is no list")
    flat: list[float] = []
    for point in value:
        pair = [as_number(v) for v in point] if isinstance(point, list) else []
        if len(pair) != 2 or None in pair:
            raise ValueError("a point is not two numbers")
        flat += (v for v in pair if v is not None)
    return tuple(flat)


def _is_upright(corners: Outline) -> bool:
    """Whether four corners are those of a rectangle whose sides are not askew."""
    x1, y1, x2, y2 = outline_box(corners)
    return all(
        min(abs(x - x1), abs(x - x2)) < _SIDES and min(abs(y - y1), abs(y - y2)) < _SIDES
        for x, y in zip(corners[0::2], corners[1::2], strict=True)
    )


def _masked(value: Any, box: Box, size: tuple[int, int] | None) -> Area:
    """The pixels of a PNG in base64 whose first and last pixel are the corners of a box."""
    if size is None:
        raise ValueError("the size of the picture is not known, which its mask needs")
    try:
        png = base64.b64decode(value if isinstance(value, str) else "", validate=True)
        part = decode_image(png, "the mask").ne(0).any(0)
    except (binascii.Error, ValueError):
        raise ValueError("the mask is no base64") from None
    except InputError as error:
        raise ValueError(f"the mask cannot be read: {error.what}") from None
    left, top, right, bottom = (math.floor(corner) for corner in box)
    height, width = part.shape
    if (width, height) != (right - left + 1, bottom - top + 1):
        what = (
            f"the mask has {width} x {height} pixels, its points say {right - left + 1} x {bottom - top + 1}"
        )
        raise ValueError(what)
    if min(left, top) < 0 or right >= size[0] or bottom >= size[1]:
        raise ValueError("the mask reaches beyond the picture")
    if not part.any():
        raise ValueError("the mask has no pixels")
    pixels = torch.zeros(size[1], size[0], dtype=torch.bool)
    pixels[top : bottom + 1, left : right + 1] = part
    x1, y1, x2, y2 = masks_to_boxes(pixels[None])[0].tolist()
    return Area((x1, y1, x2, y2), (), RunLengths(size[1], size[0], mask_to_runs(pixels)))
