"""Makes picture files that are good, faulty in their header, or faulty in their pixels only."""

import io
import struct
import zlib
from pathlib import Path

import numpy as np
from PIL import Image


def smooth_pixels(height: int, width: int, channels: int = 3, seed: int = 0) -> np.ndarray:
    """uint8 (height, width, channels), or (height, width) for one channel, without sharp edges."""
    rng = np.random.default_rng(seed)
    rough = rng.integers(0, 256, (4, 5, channels), dtype=np.uint8)
    layers = [
        Image.fromarray(rough[:, :, c]).resize((width, height), Image.Resampling.BICUBIC)
        for c in range(channels)
    ]
    pixels = np.stack([np.array(layer) for layer in layers], axis=-1)
    return pixels[:, :, 0] if channels == 1 else pixels


def encode(pixels: np.ndarray | Image.Image, kind: str, **options: object) -> bytes:
    """Pixels as the content of a file of Pillow's format ``kind``."""
    image = pixels if isinstance(pixels, Image.Image) else Image.fromarray(pixels)
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def png_that_states(width: int, height: int) -> bytes:
    """A PNG file of a few bytes whose header states any size."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    pixels = zlib.compress(bytes(100))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


def jpeg_that_states(width: int, height: int) -> bytes:
    """A JPEG file whose header states any size."""
    content = encode(smooth_pixels(16, 16), "JPEG")
    place = content.index(b"\xff\xc0") + 5
    return content[:place] + struct.pack(">HH", height, width) + content[place + 4 :]


def several_frames(kind: str) -> bytes:
    """An animation, or a document of two pages."""
    frames = [Image.fromarray(smooth_pixels(16, 24, seed=seed)) for seed in (1, 2)]
    return encode(frames[0], kind, save_all=True, append_images=frames[1:])


def good_pictures() -> dict[str, bytes]:
    """One small picture for each format that is read, by file name."""
    colour, grey = smooth_pixels(40, 48), smooth_pixels(40, 48, channels=1)
    return {
        "colour.jpg": encode(colour, "JPEG"),
        "progressive.jpg": encode(colour, "JPEG", progressive=True),
        "grey.jpg": encode(grey, "JPEG"),
        "cmyk.jpg": encode(Image.fromarray(colour).convert("CMYK"), "JPEG"),
        "colour.png": encode(colour, "PNG"),
        "palette.png": encode(Image.fromarray(colour).quantize(16), "PNG"),
        "colour.gif": encode(colour, "GIF"),
        "colour.bmp": encode(colour, "BMP"),
        "colour.webp": encode(colour, "WEBP"),
        "colour.tif": encode(colour, "TIFF"),
        "deflated.tif": encode(colour, "TIFF", compression="tiff_adobe_deflate"),
        "colour.ppm": encode(colour, "PPM"),
        "deep.tif": encode(grey.astype(np.uint16) * 257, "TIFF", compression="tiff_lzw"),
        "colour.avif": encode(colour, "AVIF"),
        "colour.jp2": encode(colour, "JPEG2000"),
        "colour.heic": (Path(__file__).parent / "heic" / "rose.heic").read_bytes(),
    }


def faulty_headers() -> dict[str, bytes]:
    """Files whose header already shows that they cannot be used."""
    return {
        "empty.jpg": b"",
        "text.jpg": b"This is no picture, whatever its name says.\n" * 20,
        "half_a_header.png": encode(smooth_pixels(20, 24), "PNG")[:20],
        "only_a_marker.jpg": b"\xff\xd8\xff\xe0",
        "200_megapixels.png": png_that_states(20_000, 10_000),
        "120_megapixels.jpg": jpeg_that_states(12_000, 10_000),
        "animated.gif": several_frames("GIF"),
        "animated.png": several_frames("PNG"),
        "animated.webp": several_frames("WEBP"),
        "two_pages.tif": several_frames("TIFF"),
    }


def faulty_pixels() -> dict[str, bytes]:
    """Files with a good header that fail when they are decoded."""
    good = good_pictures()
    # Palette pictures are read whole for their header; WebP and libtiff keep what they need at the end.
    names = (
        "colour.jpg",
        "progressive.jpg",
        "grey.jpg",
        "cmyk.jpg",
        "colour.png",
        "colour.bmp",
        "colour.ppm",
    )
    cut = {f"cut_{name}": good[name][: len(good[name]) * 9 // 10] for name in names}
    floats = np.full((8, 8), 300.0, dtype=np.float32)
    return cut | {
        "floats_up_to_300.tif": encode(floats, "TIFF"),
        "ends_in_zeros.png": good["colour.png"][:1500] + bytes(len(good["colour.png"]) - 1500),
        "without_end.gif": good["colour.gif"][:-1],
    }


def write_files(folder: Path, files: dict[str, bytes]) -> list[Path]:
    """Write files by relative name below ``folder``; their paths."""
    paths = [folder / name for name in files]
    for path, content in zip(paths, files.values(), strict=True):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return paths
