"""PNG of every depth and kind of colour, with transparency and interlacing, written here bit by bit."""

import io
import struct
import zlib
from itertools import product

import numpy as np
import pytest
from PIL import Image

from striate.data.images import decode_image, inspect_image, to_image

GREY, COLOUR, PALETTE, GREY_ALPHA, COLOUR_ALPHA = 0, 2, 3, 4, 6
CHANNELS = {GREY: 1, COLOUR: 3, PALETTE: 1, GREY_ALPHA: 2, COLOUR_ALPHA: 4}
ADAM7 = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))
KINDS = [
    *((GREY, depth) for depth in (1, 2, 4, 8, 16)),
    *((PALETTE, depth) for depth in (1, 2, 4, 8)),
    *product((COLOUR, GREY_ALPHA, COLOUR_ALPHA), (8, 16)),
]


def png_file(values: np.ndarray, depth: int, kind: int, interlaced: bool, **chunks: bytes) -> bytes:
    """A PNG file of values (H, W, C), its lines unfiltered; chunks before the pixels by name."""
    parts = [values[y::dy, x::dx] for x, y, dx, dy in ADAM7] if interlaced else [values]
    lines = b"".join(b"\0" + packed(line, depth) for part in parts if part.size for line in part)
    header = struct.pack(">IIBBBBB", values.shape[1], values.shape[0], depth, kind, 0, 0, interlaced)
    body = {"IHDR": header, **chunks, "IDAT": zlib.compress(lines), "IEND": b""}
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data))
        + name.encode()
        + data
        + struct.pack(">I", zlib.crc32(name.encode() + data))
        for name, data in body.items()
    )


def packed(line: np.ndarray, depth: int) -> bytes:
    if depth >= 8:
        return line.astype(f">u{depth // 8}").tobytes()
    return np.packbits((line.reshape(-1, 1) >> np.arange(depth)[::-1] & 1).astype(np.uint8)).tobytes()


@pytest.mark.parametrize("interlaced", [False, True])
@pytest.mark.parametrize(("kind", "depth"), KINDS)
def test_all_kinds_are_white_where_nothing_is_seen(kind, depth, interlaced):
    rng = np.random.default_rng(depth)
    values = rng.integers(0, 2**depth, (9, 13, CHANNELS[kind]))
    values[0, 0] = values[3, 4] ^ 1  # a neighbour of what will be transparent: it stays as it is
    shown, opacity, chunks = values / (2**depth - 1) * 255, np.ones((9, 13, 1)), {}
    if kind == PALETTE:
        palette = rng.integers(0, 256, (2**depth, 3), dtype=np.uint8)
        alphas = rng.integers(0, 256, 2**depth, dtype=np.uint8)
        shown, opacity = palette[values[:, :, 0]].astype(float), alphas[values[:, :, 0]][:, :, None] / 255
        chunks = {"PLTE": palette.tobytes(), "tRNS": alphas.tobytes()}
    elif kind in (GREY_ALPHA, COLOUR_ALPHA):
        shown, opacity = shown[:, :, :-1], values[:, :, -1:] / (2**depth - 1)
    else:
        chunks = {"tRNS": struct.pack(f">{CHANNELS[kind]}H", *values[3, 4].tolist())}
        opacity = (values != values[3, 4]).any(axis=2, keepdims=True).astype(float)
    content = png_file(values, depth, kind, interlaced, **chunks)
    expected = shown * opacity + 255 * (1 - opacity)
    for image in (decode_image(content), to_image(Image.open(io.BytesIO(content)))):
        found = image.permute(1, 2, 0).numpy()
        assert found.shape == expected.shape
        allowed = 0.5 if kind in (GREY, COLOUR) else 1.5  # opacity is applied to 8 bits
        assert np.abs(found - expected).max() <= allowed + 1e-9
    assert inspect_image(content).channels == expected.shape[2]


@pytest.mark.parametrize("kind", [GREY, COLOUR, COLOUR_ALPHA, GREY_ALPHA])
def test_16_bits_are_rounded_in_colour_as_in_grey(kind):
    values = np.array([0, 128, 129, 257, 385, 386, 32768, 65407, 65535])
    stored = np.stack([values] * CHANNELS[kind], axis=-1)[None]
    if kind in (COLOUR_ALPHA, GREY_ALPHA):
        stored[:, :, -1] = 65535
    image = decode_image(png_file(stored, 16, kind, False))
    assert all(plane.tolist() == [np.rint(values / 257).tolist()] for plane in image)


def test_only_the_lower_bits_of_a_transparent_value_count():
    values = np.array([[[0], [3], [5]]])
    content = png_file(values, 4, GREY, False, tRNS=struct.pack(">H", 0xFF03))
    assert decode_image(content).tolist() == [[[0, 255, 85]]]
