"""The values of a TIFF file, whatever their bits, order, planes, tiles, compression and prediction (TIFF 6.0,
sections 8, 13-15; Adobe's technical notes 3 for prediction of floating point)."""

import ctypes
import io
import math
import struct
import zlib
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, _imaging

_NONE, _LZW, _PACKBITS = 1, 5, 32773
_DEFLATE, _LZMA, _ZSTD = (8, 32946, 50013), 34925, 50000
_PREDICTED = (_LZW, *_DEFLATE, _LZMA, _ZSTD)  # the others ignore a predictor, as libtiff does
CODECS = frozenset({_NONE, _PACKBITS, *_PREDICTED})
_REVERSED = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))
_LARGEST_SEGMENT = 2**30  # bytes


@dataclass(frozen=True)
class Layout:
    """Where values lie, and how they are written.

    Attributes:
        width, height: in pixels, as stored.
        samples: values of a pixel, each of ``bits`` bits.
        form: numpy's letter of their kind: "u", "i", "f" or "c".
        planes: as many as ``samples`` where each has a plane of its own, else 1.
        compression, predictor, fill_order: the values of these tags.
        big_endian: the order of bytes.
        tiled: whether the segments are tiles, all of one size; strips are short where the picture ends.
        segment: rows and columns of a strip or tile.
        places: (offset, length) in bytes of each of them.
        subsampled: whether the colours of YCbCr are coarser than its brightness.
    """

    width: int
    height: int
    samples: int
    bits: int
    form: str
    planes: int
    compression: int
    predictor: int
    fill_order: int
    big_endian: bool
    tiled: bool
    segment: tuple[int, int]
    places: tuple[tuple[int, int], ...]
    subsampled: bool

    @property
    def top(self) -> int:
        """The largest value: white."""
        return 1 if self.form == "f" else 2**self.bits - 1

    @property
    def dtype(self) -> np.dtype[Any]:
        """Of the values, in the order of bytes of the file."""
        size = next(size for size in (1, 2, 4, 8) if self.bits <= 8 * size)
        return np.dtype(f"{'>' if self.big_endian else '<'}{self.form}{size}")


def tiff_values(layout: Layout, content: bytes) -> NDArray[Any]:
    """The values (H, W, samples) of a file with this ``layout``.

    Raises:
        ValueError: something is missing or damaged.
    """
    rows, columns = layout.segment
    if rows < 1 or columns < 1:
        raise ValueError("its tiles have no size")
    down, across = math.ceil(layout.height / rows), math.ceil(layout.width / columns)
    if len(layout.places) < layout.planes * down * across:
        raise ValueError("it is cut off: the places of some pixels are missing")
    deep = layout.samples // layout.planes
    values = np.empty((layout.planes, layout.height, layout.width, deep), layout.dtype.newbyteorder("="))
    for plane in range(layout.planes):
        for i in range(down):
            for j in range(across):
                top, left = i * rows, j * columns
                here = values[plane, top : top + rows, left : left + columns]
                height = rows if layout.tiled else here.shape[0]
                place = layout.places[(plane * down + i) * across + j]
                here[...] = _segment(layout, content, place, height)[: here.shape[0], : here.shape[1]]
    return np.moveaxis(values[..., 0], 0, -1) if layout.planes > 1 else values[0]


def _segment(layout: Layout, content: bytes, place: tuple[int, int], rows: int) -> NDArray[Any]:
    """The values (rows, columns, values of a pixel) of one strip or tile."""
    columns, deep = layout.segment[1], layout.samples // layout.planes
    row_bytes = (columns * deep * layout.bits + 7) // 8
    if row_bytes * rows > _LARGEST_SEGMENT:
        raise ValueError("its strips or tiles are too large")
    offset, length = place
    data = content[offset : offset + length]
    if not length or len(data) < length:
        raise ValueError("it is cut off: some of its pixels are missing")
    if layout.fill_order == 2:
        data = data.translate(_REVERSED)
    data = _decompressed(data, layout.compression, rows, row_bytes)
    if len(data) < rows * row_bytes:
        raise ValueError("not enough image data")
    lines = np.frombuffer(data, np.uint8, rows * row_bytes).reshape(rows, row_bytes)
    predictor = layout.predictor if layout.compression in _PREDICTED else 1
    if predictor == 3 and layout.form == "f":
        return _unpredicted_floats(lines, deep, layout.dtype.itemsize)
    values = _unpacked(lines, layout, columns * deep).reshape(rows, columns, deep)
    if predictor == 1:
        return values
    if predictor != 2 or layout.bits not in (8, 16, 32, 64):
        raise ValueError(f"its predictor {layout.predictor} with {layout.bits} bits is not known")
    whole = values.astype(values.dtype.newbyteorder("=")).view(f"u{values.dtype.itemsize}")
    return np.cumsum(whole, axis=1, dtype=whole.dtype).view(values.dtype.newbyteorder("="))


def _unpacked(lines: NDArray[np.uint8], layout: Layout, count: int) -> NDArray[Any]:
    """``count`` values of each of the lines uint8 (rows, bytes)."""
    bits, dtype = layout.bits, layout.dtype
    if bits in (8, 16, 32, 64):
        return lines.view(dtype)
    if bits > 16 or layout.form != "u":
        raise ValueError(f"values of {bits} bits are not known")
    # A value of at most 16 bits lies within three bytes.
    first = np.arange(count) * bits
    padded = np.pad(lines, ((0, 0), (0, 2))).astype(np.uint32)
    three = padded[:, first >> 3] << 16 | padded[:, (first >> 3) + 1] << 8 | padded[:, (first >> 3) + 2]
    shifts = (24 - bits - (first & 7)).astype(np.uint32)
    values: NDArray[Any] = (three >> shifts & (2**bits - 1)).astype(dtype.newbyteorder("="))
    return values


def _unpredicted_floats(lines: NDArray[np.uint8], deep: int, size: int) -> NDArray[Any]:
    """Floating point from differences of bytes, the most significant bytes of a line first."""
    rows = len(lines)
    summed = np.cumsum(lines.reshape(rows, -1, deep), axis=1, dtype=np.uint8).reshape(rows, size, -1)
    return np.ascontiguousarray(summed.swapaxes(1, 2)).view(f">f{size}").reshape(rows, -1, deep)


def _decompressed(data: bytes, compression: int, rows: int, row_bytes: int) -> bytes:
    """At most the bytes of so many rows, whatever a malicious file holds."""
    if compression == _NONE:
        return data
    if compression in _DEFLATE:
        try:
            return zlib.decompressobj().decompress(data, rows * row_bytes)
        except zlib.error as error:
            raise ValueError(f"its pixels are damaged: {error}") from error
    return _decompressed_by_libtiff(data, compression, rows, row_bytes)


def _decompressed_by_libtiff(data: bytes, compression: int, rows: int, row_bytes: int) -> bytes:
    """The bytes as the pixels of a grey picture of 8 bits, of one strip, which Pillow has libtiff decode."""
    entries = [
        (256, 4, row_bytes), (257, 4, rows), (258, 3, 8), (259, 3, compression), (262, 3, 1),
        (273, 4, 8 + 2 + 9 * 12 + 4), (277, 3, 1), (278, 4, rows), (279, 4, len(data)),
    ]  # fmt: skip
    directory = b"".join(struct.pack("<HHII", tag, kind, 1, value) for tag, kind, value in entries)
    silence_libtiff()
    file = struct.pack("<4sIH", b"II*\0", 8, len(entries)) + directory + bytes(4) + data
    with Image.open(io.BytesIO(file), formats=("TIFF",)) as image:
        return image.tobytes()


@cache
def silence_libtiff() -> None:
    """Keep libtiff from printing what Pillow raises anyway; its builds that hide the switch still print."""
    library = ctypes.CDLL(_imaging.__file__)
    for switch in ("TIFFSetErrorHandler", "TIFFSetWarningHandler"):
        if hasattr(library, switch):
            getattr(library, switch)(None)
