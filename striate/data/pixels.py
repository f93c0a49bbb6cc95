"""Values of any kind to pixels of 8 bits: what a decoder, a Pillow image or an array holds, as it is shown.

Pixels are uint8 (H, W, C), C = 1 (grey) or 3 (RGB). Black is 0, and white, which is 65535 for 16 bits and 1
for floating point, is 255.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image

from striate.errors import InputError

_GREY_MODES = frozenset({"1", "L", "LA", "La", "I", "I;16", "I;16B", "I;16L", "I;16N", "F"})


def array_pixels(values: NDArray[Any]) -> NDArray[np.uint8]:
    """The pixels of an array (H, W) or (H, W, 1, 3 or 4), in memory of their own; a fourth channel is
    opacity, and laid on white.

    Raises:
        InputError: another shape, another type, or floating point outside 0..1.
    """
    if values.ndim not in (2, 3) or not values.size or values.shape[2:] not in ((), (1,), (3,), (4,)):
        raise _unshapely(values.shape)
    planes = values.reshape(*values.shape[:2], -1)
    return lay_on_white(to_8_bits(planes, name=f"an array of {values.dtype}"))


def upright_pixels(image: Image.Image) -> NDArray[np.uint8]:
    """The pixels of a Pillow image, turned upright by its EXIF orientation.

    Raises:
        InputError: it cannot be loaded, or its mode has no colours to show.
    """
    try:
        pixels = pillow_pixels(image)
        return turn_upright(
            pixels, valid_orientation(image.getexif())
        )  # of TIFF, Pillow has removed it by now
    except InputError:
        raise
    except Exception as error:  # Pillow raises a dozen types for files that are not what they claim
        reason = str(error) or type(error).__name__
        raise InputError(
            f"the Pillow image of mode {image.mode} cannot be read: {reason}",
            what_to_do='give one that is open and whole, or convert it to "RGB"',
        ) from error


def pillow_pixels(image: Image.Image) -> NDArray[np.uint8]:
    """The pixels of a Pillow image as they are stored.

    Raises:
        ValueError: its values have no white that is known.
        Exception: whatever Pillow raises for a file that is damaged.
    """
    image.load()
    if image.mode.startswith(("I", "F")):
        if image.mode == "I" and image.format not in ("PNG", "PPM"):  # in those, mode I holds 16 bits
            raise ValueError("32-bit or signed whole numbers, whose white is unknown")
        values = np.array(image)
        return to_8_bits(values.astype(np.uint16) if image.mode == "I" else values)[:, :, None]
    mode = "L" if is_grey(image) else "RGB"
    if image.has_transparency_data:
        image = (
            image.convert("LA") if image.mode == "La" else image
        )  # the one that Pillow converts no further
        page = Image.new("RGBA", image.size, "white")
        pixels = np.array(Image.alpha_composite(page, image.convert("RGBA")).convert(mode))
    else:
        pixels = np.array(image.convert(mode))
    return pixels.reshape(image.height, image.width, -1)


def is_grey(image: Image.Image) -> bool:
    """Whether a Pillow image has no colour; its palette decides where it has one."""
    if image.mode not in ("P", "PA"):
        return image.mode in _GREY_MODES
    red, green, blue = np.array(image.getpalette("RGB"), dtype=np.uint8).reshape(-1, 3).T
    return bool((red == green).all() and (green == blue).all())


def to_8_bits(values: NDArray[Any], name: str = "the picture") -> NDArray[np.uint8]:
    """Values of any shape as uint8, in memory of their own, so that white stays white.

    Args:
        values: uint8, uint16, bool, or floating point from 0 to 1.
        name: what an error calls them.

    Raises:
        InputError: another type, or floating point outside 0..1.
    """
    if values.dtype == np.uint8:
        return values.copy()
    if values.dtype == np.bool_:
        return values.astype(np.uint8) * np.uint8(255)
    if values.dtype.kind == "f":
        if not (values.min() >= 0 and values.max() <= 1):  # also for NaN
            raise InputError(
                "floating-point values outside 0..1", what_to_do="divide them by the value that is white"
            )
        white = 1
    elif values.dtype == np.dtype(np.uint16).newbyteorder(values.dtype.byteorder):
        white = 65535
    else:
        raise InputError(
            f"the white of {name} is unknown",
            what_to_do="convert it to uint8 with 0..255, uint16 with 0..65535, or floating point with 0..1",
        )
    scaled: NDArray[np.uint8] = np.rint(values * np.float32(255 / white)).astype(np.uint8)
    return scaled


def lay_on_white(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """uint8 (H, W, 1, 2, 3 or 4) without its opacity, the last of 2 or 4: as seen before a white page."""
    if pixels.shape[2] in (1, 3):
        return pixels
    colour, opacity = pixels[:, :, :-1].astype(np.uint16), pixels[:, :, -1:].astype(np.uint16)
    shown = (colour * opacity + 255 * (255 - opacity) + 127) // 255
    return shown.astype(np.uint8)


def valid_orientation(exif: Image.Exif) -> int:
    """The EXIF orientation 1..8; whatever else is written there counts as 1, upright."""
    value = exif.get(ExifTags.Base.Orientation)
    return value if isinstance(value, int) and 1 <= value <= 8 else 1


def turn_upright(pixels: NDArray[np.uint8], orientation: int) -> NDArray[np.uint8]:
    """Undo the camera's rotation and mirroring (EXIF 2.3, tag 0x0112) of (H, W, C) pixels."""
    if orientation >= 5:
        pixels = pixels.swapaxes(0, 1)
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    return np.ascontiguousarray(pixels)


def _unshapely(shape: tuple[int, ...]) -> InputError:
    mend = "give (height, width), or (height, width, channels) with 1, 3 or 4 channels"
    if len(shape) == 3 and shape[0] in (1, 3, 4):
        mend = "transpose to (H, W, C): array.transpose(1, 2, 0)"
    elif len(shape) == 4:
        mend = "give one picture at a time"
    return InputError(f"an array of shape {shape} is not a picture", what_to_do=mend)
