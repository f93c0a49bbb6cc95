"""The boxes and segmentations of COCO's annotations: outlines, or masks as lengths of runs."""

from typing import Any

from striate.data.annotations import Box, RunLengths
from striate.data.images import MAX_PIXELS
from striate.data.json_reading import as_number, as_whole
from striate.ops.masks import decompress_runs, masks_to_boxes, runs_to_mask

_NO_BOX: tuple[Any, ...] = (None, [], [0, 0, 0, 0])


def box_of(value: Any, polygons: tuple[tuple[float, ...], ...], mask: RunLengths | None) -> Box:
    """The box, or that around the segmentation where there is none, or only zeros in its place."""
    if value in _NO_BOX and polygons:
        x, y = ([v for polygon in polygons for v in polygon[k::2]] for k in (0, 1))
        return min(x), min(y), max(x), max(y)
    if value in _NO_BOX and mask is not None:
        if not any(mask.counts[1::2]):
            raise ValueError("there is no bbox, and the mask has no pixels")
        pixels = runs_to_mask(mask.counts, mask.height, mask.width)
        x1, y1, x2, y2 = masks_to_boxes(pixels[None])[0].tolist()
        return x1, y1, x2, y2
    numbers = [as_number(v) for v in value] if isinstance(value, list) else []
    if len(numbers) != 4 or None in numbers:
        raise ValueError("the bbox is not x, y, width and height")
    left, top, width, height = (v for v in numbers if v is not None)
    return (
        left,
        top,
        round(left + width, 6),
        round(top + height, 6),
    )  # sums of decimal fractions are not exact


def segmentation_of(
    value: Any, size: tuple[int | None, int | None] = (None, None)
) -> tuple[tuple[tuple[float, ...], ...], RunLengths | None]:
    """Outlines, or a mask.

    Args:
        size: width and height of the picture, as far as they are known.

    Raises:
        ValueError: it is neither, or a mask of another size.
    """
    if value is None:
        return (), None
    if isinstance(value, dict):
        mask = _runs(value)
        if None not in size and size != (mask.width, mask.height):
            what = f"the mask is {mask.width} x {mask.height} pixels, the picture {size[0]} x {size[1]}"
            raise ValueError(what)
        return (), mask
    if not isinstance(value, list):
        raise ValueError("the segmentation is neither outlines nor runs")
    outlines = [value] if value and not any(isinstance(v, list) for v in value) else value
    found = []
    for outline in outlines:
        numbers = [as_number(v) for v in outline] if isinstance(outline, list) else [None]
        if None in numbers:
            raise ValueError("an outline is no list of numbers")
        if len(numbers) % 2 or 0 < len(numbers) < 6:
            raise ValueError(f"an outline has {len(numbers)} numbers, not three or more pairs")
        found += [tuple(v for v in numbers if v is not None)] if numbers else []
    return tuple(found), None


def _runs(value: dict[str, Any]) -> RunLengths:
    size, counts = value.get("size"), value.get("counts")
    sides = [side for n in size if (side := as_whole(n))] if isinstance(size, list) else []
    if len(sides) != 2 or min(sides) < 1:
        raise ValueError("the size of a mask is not height and width")
    height, width = sides
    if height * width > MAX_PIXELS:
        raise ValueError(f"a mask has more than {MAX_PIXELS:,} pixels")
    if isinstance(counts, str):
        lengths = decompress_runs(counts)
    elif isinstance(counts, list) and all(type(n) is int and n >= 0 for n in counts):
        lengths = tuple(counts)
    else:
        raise ValueError("the counts of a mask are neither lengths nor text")
    if sum(lengths) != height * width:
        raise ValueError(f"the runs of a mask have {sum(lengths):,} pixels, its size {height * width:,}")
    return RunLengths(height, width, lengths)
