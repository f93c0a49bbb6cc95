"""Damage to a picture's file that decoders overlook: they stop when they have all pixels, and Pillow does not
compare the checksums of PNG's pixel data.

Of the other formats JPEG alone says where it ends, and its decoder asks for that. Whatever follows the end
of a file does no harm.
"""

import re
import zlib
from collections.abc import Callable

_GIF_BLOCK = re.compile(rb"[,!;]")  # an image, an extension, the end; decoders skip what is between blocks


def find_damage_of_png(content: bytes) -> str:
    """What is wrong with the content of a PNG file, beside its pixels; "" if nothing is.

    PNG specification, 5.3: a chunk is four bytes of length, type, data, and four bytes of CRC-32.
    """
    view, place, name = memoryview(content), 8, b""
    while name != b"IEND":
        end = place + 12 + int.from_bytes(view[place : place + 4])
        if place + 12 > len(view) or end > len(view):
            return "the end of the PNG is missing"
        name = bytes(view[place + 4 : place + 8])
        if zlib.crc32(view[place + 4 : end - 4]) != int.from_bytes(view[end - 4 : end]):
            return "a part of the PNG does not match its checksum"
        place = end
    return ""


def find_damage_of_gif(content: bytes) -> str:
    """What is wrong with the content of a GIF file, beside its pixels; "" if nothing is.

    GIF89a specification, 17-27: blocks up to the end mark, the data of each in parts of at most 255 bytes,
    of which an empty one is the last.
    """
    place = 13 + _colour_bytes(content[10:11])
    while block := _GIF_BLOCK.search(content, place):
        if block[0] == b";":
            return ""
        place = block.end() + 1  # of an extension, the label
        if block[0] == b",":
            place = block.end() + 10 + _colour_bytes(content[block.end() + 8 : block.end() + 9])
        while length := content[place : place + 1]:
            place += 1 + length[0]
            if length == b"\0":
                break
    return "the end of the GIF is missing"


def _colour_bytes(flags: bytes) -> int:
    """The size of the colour table that the flags of a GIF's screen or image announce."""
    return 3 << (flags[0] & 7) + 1 if flags and flags[0] & 0x80 else 0


DAMAGE_FINDERS: dict[str, Callable[[bytes], str]] = {  # by Pillow's name of the format
    "PNG": find_damage_of_png,
    "GIF": find_damage_of_gif,
}
