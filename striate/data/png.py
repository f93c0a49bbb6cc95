"""What Pillow loses of PNG files: the lower 8 of 16 bits of colours, and the grey that is transparent where
it has fewer or more than 8 bits (PNG specification, 11.3.2.1)."""

import io
import zlib
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image


def deep_png_values(image: Image.Image) -> NDArray[np.uint16] | None:
    """The values (H, W, 2 to 4) of a PNG file of 16 bits with several channels; None of another picture, or
    of one that was loaded before.

    Pillow gives 8 of the bits of each value. So it is asked twice, the second time as if the bytes came in
    the other order; a grey value with its opacity has as many bytes as a colour of 8 bits with opacity.
    """
    layout = stored_layout(image)
    if layout == "LA;16B":
        pairs = np.array(_opened(_as_8_bits(_content(image))))
        values: NDArray[np.uint16] = pairs.view(">u2").astype(np.uint16)
        return values
    if layout not in ("RGB;16B", "RGBA;16B"):
        return None
    content = _content(image)
    upper, lower = _opened(content), _opened(content)
    lower.tile = [part._replace(args=layout.replace(";16B", ";16L")) for part in lower.tile]  # type: ignore[attr-defined]
    both: NDArray[np.uint16] = np.array(upper, dtype=np.uint16) << 8 | np.array(lower)
    return both


def transparent_pixels(image: Image.Image, values: NDArray[Any], depth: int) -> NDArray[np.bool_] | None:
    """Which pixels have the one grey or colour that is transparent, bool (H, W); None if none is.

    Args:
        image: it was loaded.
        values: (H, W) or (H, W, C), as stored.
        depth: of a stored value, in bits, of which no more count.
    """
    key = image.info.get("transparency")
    if not isinstance(key, int | tuple):
        return None
    same: NDArray[np.bool_] = (values.reshape(*values.shape[:2], -1) == np.array(key) % 2**depth).all(axis=2)
    return same


def grey_depth(image: Image.Image) -> int:
    """Bits of a stored value of a picture that was not loaded yet; 8 where it is not known."""
    return {"1": 1, "L;2": 2, "L;4": 4, "I;16B": 16}.get(stored_layout(image), 8)


def stored_layout(image: Image.Image) -> str:
    """Pillow's name of how the values of a PNG lie in its file, as "L;4"; "" of another or loaded one."""
    tiles = getattr(image, "tile", None)
    return str(tiles[0].args) if image.format == "PNG" and tiles else ""


def _opened(content: bytes) -> Image.Image:
    return Image.open(io.BytesIO(content), formats=("PNG",))


def _content(image: Image.Image) -> bytes:
    """The file behind a picture, whose place in it is left as it was."""
    stream = image.fp  # type: ignore[attr-defined]
    place = stream.tell()
    stream.seek(0)
    content: bytes = stream.read()
    stream.seek(place)
    return content


def _as_8_bits(content: bytes) -> bytes:
    """The PNG file with a header that says 8 bits (byte 24), colour with opacity (byte 25: 6)."""
    header = content[12:24] + b"\x08\x06" + content[26:29]
    return content[:12] + header + zlib.crc32(header).to_bytes(4) + content[33:]
