"""Pictures: files to uint8 tensors. The only place where a picture is decoded.

A picture is a uint8 tensor (C, H, W), C = 1 (grey) or 3 (RGB), values 0..255. Whatever is wrong with a
file, there is one error: ``InputError`` with the file, the fault and the mend.

    header ──► limits ──► damage ──► pixels ──► 8 bits ──► upright ──► tensor
    Pillow                damage.py  simplejpeg for common JPEG, tiff.py for TIFF of more than 8 bits or
                                     separate planes, Pillow for everything else

How a file's own conventions become plain RGB or grey:

| in the file                 | in the tensor                                                        |
| --------------------------- | -------------------------------------------------------------------- |
| EXIF orientation            | turned upright, all eight                                            |
| palette                     | RGB; grey if every colour of the palette is grey                     |
| transparency                | laid on white, as a page shows it                                    |
| 1 bit                       | 0 and 255                                                            |
| 2 to 16 bits                | white, the largest value, becomes 255; rounded, never clipped        |
| floating point              | 0..1 becomes 0..255; other ranges are refused                        |
| another white (``white``)   | that value becomes 255; a larger one is refused                      |
| a channel of no known use   | refused, unless it holds one value everywhere                        |
| CMYK, YCbCr                 | RGB                                                                  |
| HEIC, AVIF                  | as their own marks turn them; HEIC by the plugin pi-heif             |
| several frames or pages     | refused: which of them is meant cannot be known                      |
"""

import io
import logging
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import BinaryIO

import numpy as np
import simplejpeg
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from PIL import ExifTags, Image, TiffImagePlugin, UnidentifiedImageError
from torch import Tensor

from striate.data.damage import DAMAGE_FINDERS
from striate.data.picture_files import MAX_FILE_BYTES as MAX_FILE_BYTES
from striate.data.picture_files import opened, place_of, too_many_pixels
from striate.data.picture_kinds import BEGINNING, HEIC, kind_of
from striate.data.pixels import (
    array_pixels,
    is_grey,
    pillow_pixels,
    turn_upright,
    upright_pixels,
    valid_orientation,
)
from striate.data.tiff import deep_tiff, has_other_pages, tiff_pixels
from striate.data.tiff_values import silence_libtiff
from striate.errors import InputError

logging.getLogger("PIL").addHandler(logging.NullHandler())  # its remarks are for who asks, not for stderr

MAX_PIXELS = 100_000_000

# fmt: off
IMAGE_SUFFIXES = frozenset({
    ".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".gif", ".bmp", ".dib", ".webp", ".tif", ".tiff",
    ".ppm", ".pgm", ".pbm", ".pnm", ".avif", ".heic", ".heif", ".jp2", ".j2k",
})
# fmt: on

# Asked in this order; nothing else of Pillow's fifty formats (some of which start other programs) is tried.
_FORMATS = ("JPEG", "PNG", "GIF", "BMP", "WEBP", "TIFF", "PPM", "AVIF", "JPEG2000")  # and "HEIF", by a plugin
_JPEG = ("JPEG", "MPO")  # MPO: a camera's JPEG with further pictures behind the first
_JPEG_DAMAGE = ("premature end", "bad huffman", "found marker")  # libjpeg's words for lost pixels


@dataclass(frozen=True)
class ImageFacts:
    """What a picture's header says: ``width`` and ``height`` in pixels, upright; ``channels`` 1 or 3; the
    EXIF ``orientation``, 1 to 8, by which it was turned upright."""

    width: int
    height: int
    channels: int
    orientation: int = field(default=1, compare=False)


def decode_image(
    source: Path | bytes, name: str = "", channels: int | None = None, white: float | None = None
) -> Tensor:
    """Decode one picture.

    Args:
        source: a file, or a file's content.
        name: what an error calls the picture; by default the path.
        channels: 1 or 3 for that many channels, None for what the picture has. Grey becomes RGB by
            repetition; RGB becomes grey only if its three channels are equal.
        white: the value that becomes 255 in TIFF and PNG of more than 8 bits, not all of which a camera may
            use; None for the largest of the type, or 1 for floating point.

    Returns:
        uint8 (C, H, W), upright, rows of pixels stored channel-last as decoders write them.

    Raises:
        InputError: no such file, not a picture, damaged (also where all pixels could be had: a checksum of
            PNG is wrong, or the end of a PNG or GIF is missing), cut off, above ``MAX_PIXELS``, animated,
            or coloured where grey is asked.
    """
    with opened(source, name, MAX_PIXELS) as stream:
        tiff = deep_tiff(stream, MAX_PIXELS)
        pixels = tiff_pixels(tiff, stream.read(), white) if tiff else _decode(stream, white)
    decoded = torch.from_numpy(pixels).permute(2, 0, 1)
    return decoded if channels is None else with_channels(decoded, channels, place_of(source, name))


def to_image(
    source: object, name: str = "", channels: int | None = None, white: float | None = None
) -> Tensor:
    """A picture from whatever holds one.

    Args:
        source: a file (``Path`` or ``str``), a file's content (``bytes``), a Pillow image of any mode, an
            array (H, W) or (H, W, 1, 3 or 4) that is uint8, uint16, bool or floating point from 0 to 1, or
            a tensor that is a picture already. A fourth channel is opacity, and laid on white.
        name: what an error calls it; by default the path.
        channels, white: as for ``decode_image``.

    Returns:
        uint8 (C, H, W), upright; it shares memory with ``source`` only where that is a tensor.

    Raises:
        InputError: as ``decode_image``, or ``source`` is of another type, shape or range of values.
    """
    if isinstance(source, str | Path | bytes | bytearray | memoryview):
        file = Path(source) if isinstance(source, str | Path) else bytes(source)
        return decode_image(file, name, channels, white)
    try:
        image = _from_memory(source, white)
    except InputError as error:
        raise InputError(error.what, name, error.what_to_do) from None
    return image if channels is None else with_channels(image, channels, name)


def inspect_image(source: Path | bytes, name: str = "") -> ImageFacts:
    """Read a picture's header; pixels are not decoded (save those of palette pictures).

    Args and errors as in ``decode_image``, whose result has the size and channels found here.
    """
    with opened(source, name, MAX_PIXELS) as stream:
        if tiff := deep_tiff(stream, MAX_PIXELS):
            return ImageFacts(*tiff.size, tiff.channels, tiff.orientation)
        image = _opened_by_pillow(stream)
        width, height = image.size
        if isinstance(image, TiffImagePlugin.TiffImageFile):  # its ``size`` may be turned already
            width, height = image.tag_v2[ExifTags.Base.ImageWidth], image.tag_v2[ExifTags.Base.ImageLength]
        orientation = _orientation(image, stream)
        if orientation >= 5:
            width, height = height, width
        return ImageFacts(width, height, 1 if is_grey(image) else 3, orientation)


def resize(images: Tensor, height: int, width: int, interpolation: str = "bilinear") -> Tensor:
    """Resize pictures, antialiased where they shrink.

    Args:
        images: uint8 (C, H, W) or (N, C, H, W).
        height, width: of the result, in pixels.
        interpolation: "bilinear" or "bicubic".

    Returns:
        uint8 (C, ``height``, ``width``), or N of them.
    """
    if images.shape[-2:] == (height, width):
        return images
    batch = images if images.ndim == 4 else images.unsqueeze(0)
    if height == width == 1:  # from another layout torch (2.13) takes the one pixel for three, and fails
        batch = batch.contiguous(memory_format=torch.channels_last)
    resized = F.interpolate(batch, size=(height, width), mode=interpolation, antialias=True)
    return resized if images.ndim == 4 else resized.squeeze(0)


def with_channels(images: Tensor, channels: int, name: str = "") -> Tensor:
    """Pictures (..., C, H, W) with 1 or 3 ``channels``, without any loss.

    Grey becomes RGB by repetition; RGB becomes grey only if its three channels are equal.

    Raises:
        InputError: the pictures have colour and grey is asked.
    """
    if channels == images.shape[-3]:
        return images
    red, *others = images.unbind(-3)
    if channels == 3:
        return torch.stack([red, red, red], dim=-3)
    if not all(torch.equal(red, other) for other in others):
        raise InputError(
            "the picture has colour, the model expects grey", name, "convert the picture to grey first"
        )
    return red.unsqueeze(-3)


def encode_png(image: Tensor) -> bytes:
    """Encode uint8 (1 or 3, H, W) as the bytes of a PNG file."""
    buffer = io.BytesIO()
    _to_pillow(image).save(buffer, "PNG")
    return buffer.getvalue()


def save_image(image: Tensor, path: Path) -> None:
    """Write uint8 (1 or 3, H, W) to ``path``, as JPEG or PNG by its suffix.

    Raises:
        InputError: another suffix, or a place that cannot be written.
    """
    kind = {".jpg": "JPEG", ".jpeg": "JPEG", ".png": "PNG"}.get(path.suffix.lower())
    if kind is None:
        raise InputError(f"pictures are not written as {path.suffix!r}", path, "use .png or .jpg")
    try:
        _to_pillow(image).save(path, kind, quality=95)
    except OSError as error:
        raise InputError(
            f"the picture cannot be written: {error.strerror}", path, "choose another place"
        ) from error


def _from_memory(source: object, white: float | None) -> Tensor:
    if isinstance(source, Tensor):
        if source.dtype == torch.uint8 and source.ndim == 3 and source.shape[0] in (1, 3) and source.numel():
            return source
        kind = f"a tensor of {tuple(source.shape)}, {str(source.dtype).removeprefix('torch.')},"
    elif isinstance(source, Image.Image):
        if source.width * source.height > MAX_PIXELS:
            raise too_many_pixels(MAX_PIXELS)
        return torch.from_numpy(upright_pixels(source, white)).permute(2, 0, 1)
    elif isinstance(source, np.ndarray):
        return torch.from_numpy(array_pixels(source, white)).permute(2, 0, 1)
    else:
        kind = f"a {type(source).__name__}"
    raise InputError(
        f"{kind} is not a picture",
        what_to_do="give a path, bytes, a Pillow image, an array (H, W, C), or a tensor uint8 (1 or 3, H, W)",
    )


def _to_pillow(image: Tensor) -> Image.Image:
    pixels = image.permute(1, 2, 0).numpy()
    return Image.fromarray(pixels[:, :, 0] if pixels.shape[2] == 1 else pixels)


def _decode(stream: BinaryIO, white: float | None) -> NDArray[np.uint8]:
    """(H, W, C) pixels of a file of a format of Pillow's, upright."""
    image = _opened_by_pillow(stream)
    _check_whole(image, stream)
    orientation = _orientation(image, stream)
    pixels = _decode_jpeg(image, stream) if image.format in _JPEG else None
    if pixels is None:
        pixels = pillow_pixels(image, white)
    return pixels if image.format == "TIFF" else turn_upright(pixels, orientation)  # Pillow turns TIFF


def _opened_by_pillow(stream: BinaryIO) -> Image.Image:
    """The picture with its header read and checked."""
    try:
        image = Image.open(stream, formats=_FORMATS)
    except UnidentifiedImageError:
        stream.seek(0)
        if kind_of(stream.read(BEGINNING)) is not HEIC or not _can_read_heic():
            raise
        image = Image.open(stream, formats=("HEIF",))
    _check_header(image, stream)
    return image


@cache
def _can_read_heic() -> bool:
    """Whether the plugin is there; it is loaded where it is needed first."""
    try:
        import pi_heif
    except ImportError:
        return False
    pi_heif.register_heif_opener()
    return True


def _has_several(image: Image.Image, stream: BinaryIO) -> bool:
    """Whether there are several pictures, none of them a copy of the first."""
    if image.format in _JPEG or not getattr(image, "is_animated", False):
        return False
    return image.format != "TIFF" or has_other_pages(stream)


def _check_header(image: Image.Image, stream: BinaryIO) -> None:
    if image.format == "TIFF":
        silence_libtiff()
    if image.width * image.height > MAX_PIXELS:
        raise too_many_pixels(MAX_PIXELS)
    if _has_several(image, stream):
        raise InputError(
            "the file holds several pictures (frames or pages)", "", "save the one that is meant by itself"
        )


def _check_whole(image: Image.Image, stream: BinaryIO) -> None:
    """Raise ValueError for damage that no decoder will notice."""
    if find_damage := DAMAGE_FINDERS.get(image.format or ""):
        stream.seek(0)
        if damage := find_damage(stream.read()):
            raise ValueError(damage)


def _orientation(image: Image.Image, stream: BinaryIO) -> int:
    """The EXIF orientation 1..8; whatever else is written there counts as 1, upright."""
    if image.format == "PNG" and "exif" not in image.info:
        stream.seek(0)
        # Pillow decodes all pixels to find a tag behind them: let it only if there is one.
        if b"eXIf" not in stream.read():
            return valid_orientation(Image.Image.getexif(image))
    return valid_orientation(image.getexif())


def _decode_jpeg(image: Image.Image, stream: BinaryIO) -> NDArray[np.uint8] | None:
    """(H, W, C) pixels by simplejpeg, or None if this JPEG needs Pillow."""
    if image.mode not in ("L", "RGB"):
        return None
    stream.seek(0)
    try:
        pixels: NDArray[np.uint8] = simplejpeg.decode_jpeg(
            stream.read(), "GRAY" if image.mode == "L" else "RGB", strict=True
        )
    except ValueError as error:
        if any(words in str(error).lower() for words in _JPEG_DAMAGE):
            raise
        return None  # a remark about bytes that do no harm
    return pixels
