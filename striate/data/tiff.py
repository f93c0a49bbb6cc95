"""TIFF files beyond those of 8 bits that every decoder reads alike: which they are, and their pixels.

TIFF 6.0 (Adobe 1992) leaves open how many bits a value has, what it means and how values lie in the file. Of
this Pillow reads a part, and takes some of the rest for what it is not: 16 bits in separate planes, or with
white as 0. So a header is looked at first. Plain pictures of at most 8 bits are left to Pillow; what else has
known colours is read here, by ``tiff_values``; all others are refused by name.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image
from PIL.TiffImagePlugin import ImageFileDirectory_v2

from striate.data.picture_files import too_many_pixels
from striate.data.pixels import lay_on_white, to_8_bits, turn_upright
from striate.data.tiff_values import CODECS, Layout, tiff_values
from striate.errors import InputError

TIFF_MARKS = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_COLOURS = {0: 1, 1: 1, 2: 3, 3: 1, 5: 4, 6: 3, 8: 3}  # photometric interpretation: channels of colour
_GREY, _CMYK, _YCBCR = (0, 1), 5, 6
_PLAIN = (0, 1, 2, 5)  # those whose values are colours by themselves
_SMALLER = 1  # of the kinds of page: the first one once more, with fewer pixels
_FORMS = {1: "u", 2: "i", 3: "f", 4: "u", 5: "c", 6: "c"}  # sample format: numpy's letter
_FORM_NAMES = {"u": "", "i": "signed ", "f": "floating-point ", "c": "complex "}
_PREMULTIPLIED, _OPACITY = 1, 2  # what an extra channel may be
_TELL_WHITE = "tell which value is white (--set input.white=VALUE), or save it with 8 or 16 bits"
_SHOW_CHANNELS = "save the channels that are wanted as RGB or grey, 8 or 16 bits"


@dataclass(frozen=True)
class TiffHeader:
    """What the first directory of a TIFF file says.

    Attributes:
        layout: where its values lie, and how they are written.
        photometric: what the values mean: 0 and 1 grey, 2 RGB, 3 palette, 5 CMYK, 6 YCbCr, 8 CIELAB.
        extra: what each channel beyond the colours is: 1 or 2 opacity, 0 unknown.
        orientation: EXIF's, 1 to 8.
    """

    layout: Layout
    photometric: int
    extra: tuple[int, ...]
    orientation: int

    @property
    def size(self) -> tuple[int, int]:
        """Width and height in pixels, upright."""
        width, height = self.layout.width, self.layout.height
        return (height, width) if self.orientation >= 5 else (width, height)

    @property
    def has_opacity(self) -> bool:
        """Whether one channel beside the colours tells how opaque a pixel is."""
        return len(self.extra) == 1 and self.extra[0] in (_PREMULTIPLIED, _OPACITY)

    @property
    def channels(self) -> int:
        """Of the pixels: 1 for grey, 3 for RGB."""
        return 1 if self.photometric in _GREY else 3

    def __str__(self) -> str:
        layout = self.layout
        channels = f"{_FORM_NAMES[layout.form]}channel{'s' * (layout.samples != 1)}"
        return f"a TIFF with {layout.samples} {channels} of {layout.bits} bit{'s' * (layout.bits != 1)}"


def deep_tiff(stream: BinaryIO, limit: int) -> TiffHeader | None:
    """The header of a TIFF file that ``tiff_pixels`` reads; None for other files and for TIFFs of Pillow.

    Args:
        stream: the file, left at its beginning.
        limit: the largest number of pixels.

    Raises:
        InputError: it has pixels that cannot be shown for certain, is camera raw, has several pages, or is
            too large.
        ValueError: the header is damaged.
    """
    stream.seek(0)
    beginning = stream.read(16)
    stream.seek(0)
    if not beginning.startswith(TIFF_MARKS):
        return None
    tags = ImageFileDirectory_v2(beginning if beginning[2:4].strip(b"\0") == b"+" else beginning[:8])
    first = tags.next
    stream.seek(first)
    tags.load(stream)
    stream.seek(0)
    _check_camera(tags, beginning)
    header = _header(tags)
    if header is None or _is_for_pillow(header):
        return None
    if header.layout.width * header.layout.height > limit:
        raise too_many_pixels(limit)
    if tags.next == first:
        raise ValueError("the header is cut off")
    if tags.next and has_other_pages(stream):
        raise InputError(
            "the file holds several pictures (frames or pages)",
            what_to_do="save the one that is meant by itself",
        )
    _check_meaning(header)
    return header


def has_other_pages(stream: BinaryIO) -> bool:
    """Whether a TIFF file holds other pages than its first one and smaller copies of that, as overviews of
    maps are. ``stream`` is left at its beginning."""
    stream.seek(0)
    beginning = stream.read(16)
    tags = ImageFileDirectory_v2(beginning if beginning[2:4].strip(b"\0") == b"+" else beginning[:8])
    kinds, seen = [], set()
    while tags.next and tags.next not in seen:
        seen.add(tags.next)
        stream.seek(tags.next)
        tags.load(stream)
        kinds.append(tags.get(ExifTags.Base.NewSubfileType, 0))
    stream.seek(0)
    first, *others = kinds or [0]
    return bool(others) and (first == _SMALLER or any(kind != _SMALLER for kind in others))


def tiff_pixels(header: TiffHeader, content: bytes, white: float | None = None) -> NDArray[np.uint8]:
    """uint8 (H, W, 1 or 3), upright.

    Args:
        header: what ``deep_tiff`` found.
        content: the file.
        white: the value that becomes 255; None: the largest of the type, or 1 for floating point.

    Raises:
        InputError: there are values beyond white, or in a channel of unknown meaning.
        ValueError: the file is damaged.
    """
    values = tiff_values(header.layout, content)
    colours = _COLOURS[header.photometric]
    _check_white(header, values, white)
    if values.shape[2] > colours and not header.has_opacity:
        unknown = values[:, :, colours:]
        if (unknown != unknown[0, 0]).any():
            raise InputError(
                f"{header} is not read: what the last of them is, it does not say", "", _SHOW_CHANNELS
            )
        values = values[:, :, :colours]
    pixels = to_8_bits(values, header.layout.top if white is None or header.layout.bits <= 8 else white)
    if header.photometric == 0:
        pixels[:, :, 0] = 255 - pixels[:, :, 0]
    return turn_upright(_shown(header, pixels), header.orientation)


def _shown(header: TiffHeader, pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Colours and, maybe, opacity as grey or RGB."""
    if header.photometric == _CMYK:
        return np.array(Image.frombytes("CMYK", pixels.shape[1::-1], pixels.tobytes()).convert("RGB"))
    if pixels.shape[2] in (2, 4) and header.extra[0] == _PREMULTIPLIED:
        lighter = pixels[:, :, :-1].astype(np.uint16) + (255 - pixels[:, :, -1:])
        laid: NDArray[np.uint8] = np.minimum(lighter, 255).astype(np.uint8)
        return laid
    return lay_on_white(pixels)


def _is_for_pillow(header: TiffHeader) -> bool:
    """Whether Pillow reads this kind of TIFF, and as what it is."""
    layout, colours = header.layout, _COLOURS[header.photometric]
    if layout.form != "u" or layout.bits > 8:
        return False
    if layout.compression not in CODECS:  # JPEG, those of fax machines, ...
        return layout.samples == colours or header.has_opacity
    if header.photometric not in _PLAIN:
        raw_and_coarse = layout.compression == 1 and header.photometric == _YCBCR and layout.subsampled
        return (layout.samples == colours or header.has_opacity) and not raw_and_coarse
    common = layout.bits in ((1, 2, 4, 8) if colours == 1 else (8,))
    return common and layout.samples == colours and layout.planes == 1 and layout.fill_order == 1


def _check_meaning(header: TiffHeader) -> None:
    """Raise InputError for values whose colours are not known."""
    layout, colours = header.layout, _COLOURS[header.photometric]
    more = layout.samples - colours
    wish = "save it as grey or RGB with 8 or 16 bits"
    if more < 0 or more > 1 or layout.form == "c" or header.photometric not in _PLAIN:
        raise InputError(f"{header} is not read", "", _SHOW_CHANNELS if more > 1 else wish)
    if header.photometric == _CMYK and more:
        raise InputError(f"{header}, CMYK and another, is not read", "", wish)
    if layout.compression not in CODECS:
        raise InputError(f"{header}, compressed by method {layout.compression}, is not read", "", wish)
    if (layout.form == "f" and layout.bits not in (16, 32, 64)) or (layout.form != "f" and layout.bits > 32):
        raise InputError(f"{header} is not read", "", wish)


def _check_white(header: TiffHeader, values: NDArray[Any], white: float | None) -> None:
    """Raise InputError where it is not known which value is white."""
    layout = header.layout
    if layout.form == "f":
        top = 1 if white is None else white
        if not (values.min() >= 0 and values.max() <= top):  # also for NaN
            raise InputError(
                f"{header} has values outside 0..{top:g}",
                "",
                _TELL_WHITE,
            )
    elif white is None and (layout.form == "i" or layout.bits > 16):
        raise InputError(
            f"{header} is not read: which value is white is unknown",
            what_to_do=_TELL_WHITE,
        )


def _check_camera(tags: Mapping[int, Any], beginning: bytes) -> None:
    """Raise InputError for camera raw, whose first picture is only a small preview."""
    dng_version, subfile_type, sub_directories = 50706, 254, 330
    canon = beginning[8:10] == b"CR"
    if canon or dng_version in tags or (tags.get(subfile_type) == 1 and sub_directories in tags):
        raise InputError(
            "this is camera raw, which is not read", "", "develop it: save it as JPEG, PNG or TIFF"
        )


def _header(tags: Mapping[int, Any]) -> TiffHeader | None:
    """None where Pillow has more to say: kinds of JPEG in TIFF, or no known colours at 8 bits.

    Raises ValueError if the numbers do not fit together.
    """
    photometric = _whole(tags, 262, 0)
    compression = _whole(tags, 259, 1)
    if compression == 6:  # the first way of JPEG in TIFF, of which libtiff makes RGB
        return None
    samples = _whole(tags, 277, 3 if compression == 7 and photometric in (2, 6) else 1)
    bits = _numbers(tags, 258, (1,))
    forms = _numbers(tags, 339, (1,))
    if not 1 <= samples <= 10_000:
        raise ValueError(f"{samples} channels")
    if len(set(bits[:samples])) > 1 or len(set(forms[:samples])) > 1 or forms[0] not in _FORMS:
        raise InputError("a TIFF with channels of different kinds is not read", "", _SHOW_CHANNELS)
    width, height = _whole(tags, 256, 0), _whole(tags, 257, 0)
    if width < 1 or height < 1:
        raise ValueError("its size is missing")
    tiled = 324 in tags
    across, down = (
        (_whole(tags, 322, 0), _whole(tags, 323, 0)) if tiled else (width, _whole(tags, 278, height))
    )
    starts, lengths = _numbers(tags, 324 if tiled else 273), _numbers(tags, 325 if tiled else 279)
    orientation = tags.get(274)
    layout = Layout(
        width, height, samples, bits[0], _FORMS[forms[0]],
        planes=samples if _whole(tags, 284, 1) == 2 else 1,
        compression=compression,
        predictor=_whole(tags, 317, 1),
        fill_order=_whole(tags, 266, 1),
        big_endian=tags.prefix == b"MM",  # type: ignore[attr-defined]
        tiled=tiled,
        segment=(down if tiled else min(down, height), across),
        places=tuple(zip(starts, lengths, strict=False)),
        subsampled=_numbers(tags, 530, (2, 2)) != (1, 1),
    )  # fmt: skip
    if photometric not in _COLOURS:
        raise InputError(
            f"a TIFF of the rare kind {photometric} (its photometric interpretation) is not read",
            what_to_do="save it as grey or RGB with 8 or 16 bits",
        )
    extra = _numbers(tags, 338)[: samples - _COLOURS[photometric]] if 338 in tags else ()
    if not (isinstance(orientation, int) and 1 <= orientation <= 8):
        orientation = 1
    return TiffHeader(layout, photometric, extra, orientation)


def _whole(tags: Mapping[int, Any], number: int, default: int) -> int:
    value = tags.get(number, default)
    if isinstance(value, tuple) and value:
        value = value[0]
    if not isinstance(value, int):
        raise ValueError(f"its tag {number} is no whole number")
    return value


def _numbers(tags: Mapping[int, Any], number: int, default: tuple[int, ...] = ()) -> tuple[int, ...]:
    values = tags.get(number, default)
    values = values if isinstance(values, tuple) else (values,)
    if not all(isinstance(value, int) for value in values):
        raise ValueError(f"its tag {number} holds no whole numbers")
    return values
