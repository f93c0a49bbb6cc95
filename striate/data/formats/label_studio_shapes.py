"""The regions of Label Studio's tasks: what each kind of them covers, in pixels.

    rectangle   x, y, width, height, rotation: percent of the picture's sides, degrees around the top left
    polygon     points: x, y in percent
    ellipse     x, y of the centre, radiusX, radiusY, rotation; becomes its box, with the attribute "shape"
    brush       rle: the pixels, packed

A brush's bytes are a stream of bits. 32 bits say how many values follow, four for each pixel: red, green,
blue, alpha; 5 bits how long a value is, less one; four times 4 bits how long a count is, less one. Then come
pieces: one bit whether a value repeats, 2 bits which length of count holds, the count less one, and the value
or the values.
"""

import math
from typing import Any

import torch

from striate.data.annotations import Box, RunLengths, quoted
from striate.data.images import MAX_PIXELS
from striate.data.json_reading import is_number
from striate.data.outlines import ROTATION, Outline, ellipse_box, outline_box, turned_corners
from striate.ops.masks import mask_to_runs, masks_to_boxes

Shape = tuple[Box, tuple[Outline, ...], RunLengths | None]  # the box, outlines, and mask of a region

_CHANNELS = 4  # of the pixels that a brush painted, the last of which says where


def kind_of(kind: Any, value: dict[str, Any]) -> str:
    """The kind of a result: "rectangle", "polygon", "ellipse", "brush", "keypoint" or what else it says.

    A result that gives labels to a region of any kind is of the kind that its values are.
    """
    if kind != "labels":
        return str(kind).removesuffix("labels") if isinstance(kind, str) else str(type(kind).__name__)
    marks = {"points": "polygon", "radiusX": "ellipse", "rle": "brush", "width": "rectangle", "x": "keypoint"}
    return next((name for key, name in marks.items() if key in value), "labels")


def shape_of(kind: str, value: dict[str, Any], size: tuple[int, int] | None) -> Shape:
    """What a region covers, in pixels.

    Args:
        kind: as of ``kind_of``.
        value: of the result.
        size: width and height of the picture; None if it is not known.

    Raises:
        ValueError: it is no kind that covers anything, or its values are not what they must be.
    """
    if kind not in ("rectangle", "polygon", "ellipse", "brush"):
        raise ValueError(f"a result of type {quoted(kind)} is no box, outline or mask")
    if size is None:
        raise ValueError("original_width and original_height are no numbers of pixels")
    if kind == "polygon":
        outline = _polygon(value.get("points"), size)
        return outline_box(outline), (outline,), None
    if kind == "brush":
        mask = _brush(value.get("rle"), size)
        x1, y1, x2, y2 = masks_to_boxes(mask[None])[0].tolist()
        return (x1, y1, x2, y2), (), RunLengths(size[1], size[0], mask_to_runs(mask))
    width, height = size
    if kind == "ellipse":
        x, y, rx, ry, degrees = _numbers(value, "x", "y", "radiusX", "radiusY", ROTATION)
        centre = _pixels(x, width), _pixels(y, height)
        around = ellipse_box(*centre, _pixels(rx, width), _pixels(ry, height), math.radians(degrees))
        x1, y1, x2, y2 = (round(corner, 6) for corner in around)
        return (x1, y1, x2, y2), (), None
    x, y, wide, high, degrees = _numbers(value, "x", "y", "width", "height", ROTATION)
    box = _pixels(x, width), _pixels(y, height), _pixels(x + wide, width), _pixels(y + high, height)
    if not degrees:
        return box, (), None
    corners = turned_corners(box, degrees, box[:2])
    return outline_box(corners), (corners,), None


def _numbers(value: dict[str, Any], *keys: str) -> list[float]:
    """Some numbers of a region; rotation is 0 where it is not said."""
    for key in keys:
        if not is_number(value.get(key, 0 if key == ROTATION else None)):
            what = f"{key} is {quoted(value[key])}, no number" if key in value else f"{key} is missing"
            raise ValueError(what)
    return [value.get(key, 0) for key in keys]


def _polygon(points: Any, size: tuple[int, int]) -> Outline:
    if not (isinstance(points, list) and len(points) >= 3):
        raise ValueError("the polygon has no list of three or more points")
    if not all(
        isinstance(point, list) and len(point) == 2 and all(map(is_number, point)) for point in points
    ):
        raise ValueError("a point of the polygon is not two numbers")
    return tuple(
        _pixels(coordinate, side) for point in points for coordinate, side in zip(point, size, strict=True)
    )


def _pixels(percent: float, side: int) -> float:
    return round(percent * side / 100, 6)  # what was drawn on whole pixels is on whole pixels again


def _brush(packed: Any, size: tuple[int, int]) -> torch.Tensor:
    """The pixels bool (H, W) where the alpha of a brush is not 0."""
    if not (isinstance(packed, list) and all(type(n) is int and 0 <= n < 256 for n in packed)):
        raise ValueError("rle is no list of bytes")
    width, height = size
    if width * height > MAX_PIXELS:
        raise ValueError(f"the picture has more than {MAX_PIXELS:,} pixels")
    bits = _Bits(bytes(packed))
    count, word = bits.take(32), bits.take(5) + 1
    lengths = [bits.take(4) + 1 for _ in range(4)]
    if count != width * height * _CHANNELS:
        raise ValueError(f"the brush has {count:,} values, the picture needs {width * height * _CHANNELS:,}")
    painted = bytearray(width * height)
    at = 0
    while at < count:
        repeats = bits.take(1)
        end = at + 1 + bits.take(lengths[bits.take(2)])
        if end > count:
            raise ValueError("the brush has more values than it says")
        if repeats:
            first, last = at // _CHANNELS, end // _CHANNELS  # pixels whose alpha is among the values
            if bits.take(word):
                painted[first:last] = b"\x01" * (last - first)
        else:
            for k in range(at, end):
                if bits.take(word) and k % _CHANNELS == _CHANNELS - 1:
                    painted[k // _CHANNELS] = 1
        at = end
    if not any(painted):
        raise ValueError("the brush has no pixels")
    return torch.frombuffer(painted, dtype=torch.uint8).reshape(height, width).bool()


class _Bits:
    """Bits of bytes, the highest of each first."""

    def __init__(self, content: bytes) -> None:
        self.content = content
        self.at = 0

    def take(self, count: int) -> int:
        """The next bits as a number. Raises ValueError where there are no more."""
        end = self.at + count
        if end > 8 * len(self.content):
            raise ValueError("the brush is cut off")
        piece = int.from_bytes(self.content[self.at // 8 : (end + 7) // 8])
        self.at = end
        return piece >> (-end % 8) & ((1 << count) - 1)
