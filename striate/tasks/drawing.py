"""Labelled boxes drawn into pictures: one look for localization and detection.

What was found has a solid outline and a label on its class's colour; what is true is dashed, black and white,
so that it shows on any picture. A true object that was not found as what it is also has a label.
"""

import colorsys
from collections.abc import Sequence
from typing import NamedTuple

from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from striate.ops.boxes import box_iou
from striate.samples import Detections, Objects

GOLDEN_RATIO = 0.618033988749895
LEAST_SIDE = 128  # pixels of a sheet
MATCH = 0.5  # overlap from which an object counts as found

Colour = tuple[int, int, int]
Font = ImageFont.FreeTypeFont | ImageFont.ImageFont


class Area(NamedTuple):
    """A rectangle in whole pixels; right and bottom are the first outside."""

    left: int
    top: int
    right: int
    bottom: int

    def overlap(self, other: "Area") -> int:
        """Pixels of both."""
        width = min(self.right, other.right) - max(self.left, other.left)
        height = min(self.bottom, other.bottom) - max(self.top, other.top)
        return max(width, 0) * max(height, 0)


class Label(NamedTuple):
    """A line of text on a box, and its colours."""

    text: str
    box: Area
    ink: Colour
    ground: Colour


def draw_boxes(
    image: Tensor, found: Detections, classes: Sequence[str], true: Objects | None = None, side: int = 512
) -> Image.Image:
    """The picture with the boxes that were found and, beside them, those that are true.

    A picture whose longer side is shorter than ``side`` is magnified, by a whole number. Beside a very narrow
    one the sheet is white, so that labels have room.

    Args:
        image: uint8 (C, H, W), with one channel or three.
        found: in pixels of the picture; the surest are drawn last, on top of the others.
        classes: the K class names.
        true: the objects of this one picture, in its pixels.
        side: least length of the sheet's longer side, in pixels.
    """
    sheet, scale = magnify(image, side)
    length = (sheet.width * sheet.height) ** 0.5
    thick = max(2, round(length / 400))
    font = ImageFont.load_default(size=max(14, round(length / 60)))
    pen = ImageDraw.Draw(sheet)
    labels = []
    for box_xyxy, score, label in reversed(
        list(zip(found.boxes_xyxy, found.scores, found.labels, strict=True))
    ):
        box, ground = pixels_of(box_xyxy, scale), colour_of(int(label))
        outline(pen, box, ground, thick)
        text = f"{classes[int(label)]} {score:.0%}"
        labels.append(Label(text, box, ink_on(ground), ground))
    labels.reverse()
    if true is not None:
        for box_xyxy, label, is_found in zip(true.boxes_xyxy, true.labels, met(true, found), strict=True):
            box = pixels_of(box_xyxy, scale)
            dashes(pen, box, max(1, thick // 2), 4 * thick)
            if not is_found:
                labels.append(Label(f"true: {classes[int(label)]}", box, (0, 0, 0), (255, 255, 255)))
    write_labels(pen, labels, font, sheet.size)
    return sheet


def met(true: Objects, found: Detections) -> list[bool]:
    """For each true object, whether something of its class was found there."""
    same = true.labels[:, None] == found.labels
    return ((box_iou(true.boxes_xyxy, found.boxes_xyxy) >= MATCH) & same).any(1).tolist()


def magnify(image: Tensor, side: int) -> tuple[Image.Image, int]:
    """The picture uint8 (C, H, W), in colour and on its sheet, and how many times it was magnified."""
    pixels = image.expand(3, -1, -1).permute(1, 2, 0).contiguous().numpy()
    picture = Image.fromarray(pixels, "RGB")
    scale = max(1, -(-side // max(picture.size)))
    picture = picture.resize((picture.width * scale, picture.height * scale), Image.Resampling.NEAREST)
    sheet = Image.new("RGB", (max(picture.width, LEAST_SIDE), max(picture.height, LEAST_SIDE)), "white")
    sheet.paste(picture, (0, 0))
    return sheet, scale


def pixels_of(box_xyxy: Tensor, scale: int) -> Area:
    """The box in whole pixels of the magnified picture, at least one wide and high."""
    left, top, right, bottom = (round(value * scale) for value in box_xyxy.tolist())
    return Area(left, top, max(right, left + 1), max(bottom, top + 1))


def colour_of(label: int) -> Colour:
    """The class's colour, always the same: hues a golden section of the circle apart, and eight of them are
    far from one another; the next eight are darker, then it begins again."""
    hue = (0.08 + label * GOLDEN_RATIO) % 1
    red, green, blue = colorsys.hsv_to_rgb(hue, 0.85, 0.95 if label // 8 % 2 == 0 else 0.65)
    return round(red * 255), round(green * 255), round(blue * 255)


def ink_on(ground: Colour) -> Colour:
    """Black or white, whichever is easier to read on ``ground``.

    Source: W3C, Web Content Accessibility Guidelines 2.1, relative luminance and contrast ratio.
    """
    linear = [c / 12.92 if c <= 0.03928 else ((c + 0.055) / 1.055) ** 2.4 for c in (v / 255 for v in ground)]
    luminance = 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
    on_black, on_white = (luminance + 0.05) / 0.05, 1.05 / (luminance + 0.05)
    return (0, 0, 0) if on_black > on_white else (255, 255, 255)


def outline(pen: ImageDraw.ImageDraw, box: Area, colour: Colour, thick: int) -> None:
    """A solid outline on the box's outermost pixels."""
    thick = min(thick, box.right - box.left, box.bottom - box.top)
    last = box.right - 1, box.bottom - 1  # Pillow counts the last pixel in
    pen.rectangle((box[:2], last), outline=colour, width=thick)


def dashes(pen: ImageDraw.ImageDraw, box: Area, thick: int, length: int) -> None:
    """A dashed outline, black and white in turn, on the box's outermost pixels."""
    right, bottom = box.right - 1, box.bottom - 1
    for is_across, start, stop, place, inward in (
        (True, box.left, right, box.top, 1),
        (True, box.left, right, bottom, -1),
        (False, box.top, bottom, box.left, 1),
        (False, box.top, bottom, right, -1),
    ):
        for number, begin in enumerate(range(start, stop + 1, length)):
            colour = "white" if number % 2 == 0 else "black"
            end = min(begin + length - 1, stop)
            near, far = sorted((place, place + inward * (thick - 1)))
            pen.rectangle((begin, near, end, far) if is_across else (near, begin, far, end), fill=colour)


def write_labels(
    pen: ImageDraw.ImageDraw, labels: Sequence[Label], font: Font, size: tuple[int, int]
) -> list[Area]:
    """Write the labels, the first where they belong and later ones where there is room; where they are."""
    above, below = font.getmetrics() if isinstance(font, ImageFont.FreeTypeFont) else (11, 0)
    margin = max(2, (above + below) // 6)
    taken: list[Area] = []
    for label in labels:
        text = shorten(label.text, font, size[0] - 2 * margin)
        width = round(font.getlength(text)) + 2 * margin
        place = choose_place(label.box, (width, above + below + margin), size, taken)
        taken.append(place)
        pen.rectangle((place.left, place.top, place.right - 1, place.bottom - 1), fill=label.ground)
        pen.text((place.left + margin, place.top + margin // 2), text, fill=label.ink, font=font)
    return taken


def choose_place(
    box: Area, label_size: tuple[int, int], sheet_size: tuple[int, int], taken: Sequence[Area]
) -> Area:
    """Where a label goes: over its box, or under it, beside it or in it, and always on the sheet.

    The first place that covers no other label; if each one does, the one that covers least.
    """
    width, height = label_size
    corners = [
        (box.left, box.top - height),
        (box.left, box.bottom),
        (box.right - width, box.top - height),
        (box.right - width, box.bottom),
        (box.right, box.top),
        (box.left - width, box.top),
        (box.left, box.top),
        (box.left, box.bottom - height),
        (box.right - width, box.top),
        (box.right - width, box.bottom - height),
    ]
    places = []
    for left, top in corners:
        on_left = max(0, min(left, sheet_size[0] - width))
        on_top = max(0, min(top, sheet_size[1] - height))
        moved = abs(on_left - left) * height + abs(on_top - top) * width  # pixels that would be off the sheet
        place = Area(on_left, on_top, on_left + width, on_top + height)
        places.append((sum(map(place.overlap, taken)), moved, place))
    return min(places, key=lambda rated: rated[:2])[2]


def shorten(text: str, font: Font, width: int) -> str:
    """The text, without what does not fit into ``width`` pixels."""
    if font.getlength(text) <= width:
        return text
    while text and font.getlength(text + "…") > width:
        text = text[:-1]
    return text + "…"
