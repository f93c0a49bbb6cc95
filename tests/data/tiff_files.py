"""Writes TIFF files of any kind, bit by bit as TIFF 6.0 says, without a library's help."""

import struct
import zlib

import numpy as np

RAW, LZW, DEFLATE, PACKBITS = 1, 5, 8, 32773


def packed(values: np.ndarray, bits: int, big_endian: bool = False) -> bytes:
    """Rows of values (H, W, C), each row beginning at a whole byte, the highest bit first."""
    if bits % 8 == 0:
        return values.astype(f"{'>' if big_endian else '<'}{values.dtype.kind}{bits // 8}").tobytes()
    flat = values.reshape(len(values), -1, 1).astype(np.int64)
    return np.packbits(
        (flat >> np.arange(bits)[::-1] & 1).astype(np.uint8).reshape(len(values), -1), 1
    ).tobytes()


def compressed(data: bytes, method: int) -> bytes:
    """LZW and PackBits as their simplest encoders do: everything said literally."""
    if method == DEFLATE:
        return zlib.compress(data)
    if method == PACKBITS:
        parts = [data[i : i + 128] for i in range(0, len(data), 128)]
        return b"".join(bytes([len(part) - 1]) + part for part in parts)
    if method == LZW:  # codes of 9 bits, as long as the table is cleared in time; 256 clears, 257 ends
        codes = [code for i in range(0, len(data), 200) for code in (256, *data[i : i + 200])]
        bits = "".join(f"{code:09b}" for code in [*codes, 257])
        return int(bits.ljust(-(-len(bits) // 8) * 8, "0"), 2).to_bytes(-(-len(bits) // 8))
    return data


def tiff_file(
    values: np.ndarray,
    bits: int,
    photometric: int,
    *,
    method: int = RAW,
    separate: bool = False,
    tile: tuple[int, int] | None = None,
    rows: int | None = None,
    big_endian: bool = False,
    fill_order: int = 1,
    more: dict[int, tuple[int, ...]] | None = None,
    stored: bytes | None = None,
) -> bytes:
    """A TIFF file of values (H, W, C); ``more`` are further tags, which win; ``stored`` is its only strip, if
    that is not made of the values."""
    height, width, channels = values.shape
    planes = [values[:, :, c : c + 1] for c in range(channels)] if separate else [values]
    down, across = tile or (rows or height, width)
    segments = []
    for plane in planes:
        for top in range(0, height, down):
            for left in range(0, width, across):
                part = plane[top : top + down, left : left + across]
                if tile:
                    part = np.pad(part, ((0, down - part.shape[0]), (0, across - part.shape[1]), (0, 0)))
                data = compressed(packed(part, bits, big_endian), method)
                if fill_order == 2:
                    data = bytes(int(f"{byte:08b}"[::-1], 2) for byte in data)
                segments.append(data)
    segments = segments if stored is None else [stored]
    forms = {"u": 1, "b": 1, "i": 2, "f": 3, "c": 6}
    tags = {
        256: (width,), 257: (height,), 258: (bits,) * channels, 259: (method,), 262: (photometric,),
        266: (fill_order,), 277: (channels,), 284: (2 if separate else 1,),
        339: (forms[values.dtype.kind],) * channels,
    } | ({322: (across,), 323: (down,)} if tile else {278: (down,)}) | (more or {})  # fmt: skip
    return _assembled(tags, segments, 324 if tile else 273, ">" if big_endian else "<")


def _assembled(tags: dict[int, tuple[int, ...]], segments: list[bytes], first: int, order: str) -> bytes:
    lengths = tuple(len(segment) for segment in segments)
    starts = tuple(8 + sum(lengths[:i]) for i in range(len(lengths)))
    tags = {first: starts, {273: 279, 324: 325}[first]: lengths} | tags
    data = b"".join(segments)
    data += bytes(len(data) % 2)
    place = 8 + len(data) + 2 + 12 * len(tags) + 4  # of what does not fit into the directory
    directory, beyond = struct.pack(f"{order}H", len(tags)), b""
    for tag, numbers in sorted(tags.items()):
        body = struct.pack(f"{order}{len(numbers)}I", *numbers)
        if len(numbers) > 1:
            beyond, body = beyond + body, struct.pack(f"{order}I", place + len(beyond))
        directory += struct.pack(f"{order}HHI", tag, 4, len(numbers)) + body
    mark = b"II*\0" if order == "<" else b"MM\0*"
    return mark + struct.pack(f"{order}I", 8 + len(data)) + data + directory + bytes(4) + beyond
