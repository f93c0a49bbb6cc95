"""How much of its range a picture of more than 8 bits uses: cameras of 12 bits write files of 16."""

import io

import numpy as np
from PIL import Image

from striate.data.picture_kinds import kind_of
from striate.data.tiff import deep_tiff
from striate.data.tiff_values import tiff_values

_PNG_DEPTH = 24  # the byte of a PNG file that holds it


def used_range(content: bytes, limit: int) -> tuple[int, int] | None:
    """The bits of a value of a TIFF or PNG file that can be decoded, and the largest value that is there.

    Args:
        content: the file.
        limit: the largest number of pixels.

    Returns:
        None for files of other formats, of at most 8 bits, and of other than positive whole numbers.
    """
    kind = kind_of(content)
    if kind and kind.name == "PNG" and content[_PNG_DEPTH] == 16:
        with Image.open(io.BytesIO(content), formats=("PNG",)) as image:
            if image.mode == "I;16":
                return 16, int(np.array(image).max())
    if kind and kind.name == "TIFF":
        header = deep_tiff(io.BytesIO(content), limit)
        if header and header.layout.form == "u" and 8 < header.layout.bits <= 16 and header.extra == ():
            return header.layout.bits, int(tiff_values(header.layout, content).max())
    return None
