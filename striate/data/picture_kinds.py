"""What a file is, by its first bytes: whatever its name says."""

import re
from dataclasses import dataclass

BEGINNING = 1024  # bytes, as many as tell

AGAIN = "save it as PNG or JPEG, or remove it"
_NOT_THERE = "fetch the picture again, or remove the file"
_DEVELOP = "develop it: save it as JPEG, PNG or TIFF"
HEIC_MEND = "pip install 'striate[heic]', or save it as JPEG or PNG"
_HEIF_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1")


@dataclass(frozen=True)
class Kind:
    """A kind of file.

    Attributes:
        name: what it is, as in "this is NAME".
        suffixes: of its files, where it is a picture that is read.
        what_to_do: with one that is not read.
    """

    name: str
    suffixes: frozenset[str] = frozenset()
    what_to_do: str = AGAIN


def _read(name: str, suffixes: str, what_to_do: str = AGAIN) -> Kind:
    return Kind(name, frozenset(suffixes.split()), what_to_do)


AVIF = _read("AVIF", ".avif", "update Pillow, or save it as JPEG or PNG")
HEIC = _read("HEIC", ".heic .heif", HEIC_MEND)
JPEG_2000 = _read("JPEG 2000", ".jp2 .j2k")

# fmt: off
_KINDS = (
    (rb"\xff\xd8\xff", _read("JPEG", ".jpg .jpeg .jpe .jfif")),
    (rb"\x89PNG\r\n\x1a\n", _read("PNG", ".png")),
    (rb"GIF8[79]a", _read("GIF", ".gif")),
    (rb"BM", _read("BMP", ".bmp .dib")),
    (rb"RIFF....WEBP", _read("WebP", ".webp")),
    (rb"II\*\0.{4}CR\x02", Kind("camera raw", what_to_do=_DEVELOP)),
    (rb"(II[*+]\0|MM\0[*+])", _read("TIFF", ".tif .tiff")),
    (rb"P[1-6]\s", _read("PNM", ".ppm .pgm .pbm .pnm")),
    (rb"\0\0\0\x0cjP  \r\n\x87\n|\xff\x4f\xff\x51", JPEG_2000),
    (rb"\0\0\0\x0cJXL \r\n\x87\n|\xff\x0a", Kind("JPEG XL")),
    (rb"II\xbc", Kind("JPEG XR")),
    (rb"8BPS", Kind("a Photoshop document (PSD)")),
    (rb"gimp xcf", Kind("a GIMP document (XCF)")),
    (rb"%PDF-", Kind("a PDF document")),
    (rb"%!PS|\xc5\xd0\xd3\xc6", Kind("a PostScript document")),
    (rb".{128}DICM", Kind("DICOM")),
    (rb"(IIU\0|IIR[OS]|MMOR|FUJIFILMCCD-RAW|\0MRM|FOVb|II\x1a\0\0\0HEAPCCDR|....ftypcrx)",
        Kind("camera raw", what_to_do=_DEVELOP)),
    (rb"SIMPLE  =", Kind("FITS")),
    (rb"\x93NUMPY", Kind("an array of NumPy")),
    (rb"\x89HDF\r\n", Kind("HDF5")),
    (rb"\x76\x2f\x31\x01", Kind("OpenEXR")),
    (rb"#\?(RADIANCE|RGBE)", Kind("Radiance HDR")),
    (rb"qoif", Kind("QOI")),
    (rb"DDS \x7c\0\0\0", Kind("a DirectDraw surface (DDS)")),
    (rb"\0\0\x01\0[^\0]", Kind("a Windows icon")),
    (rb"\0\x05\x16[\x00\x07]", Kind("a companion file of macOS (AppleDouble)", what_to_do="remove it")),
    (rb"version https://git-lfs", Kind("a pointer of Git LFS, not a picture", what_to_do="git lfs pull")),
    (rb"PK\x03\x04", Kind("a zip archive", what_to_do="name it .zip, or unpack it")),
    (rb"\x1f\x8b", Kind("compressed by gzip", what_to_do="unpack it")),
    (rb"....ftyp(qt  |isom|iso2|mp4[12]|avc1|M4V |3gp)|\x1aE\xdf\xa3|RIFF....AVI ",
        Kind("a film", what_to_do="predict takes films; for training take pictures out of it")),
    (rb"(\xef\xbb\xbf)?\s*(<!doctype html|<html|<head|<body)",
        Kind("an HTML page, not a picture", what_to_do=_NOT_THERE)),
    (rb"(\xef\xbb\xbf)?\s*((<\?xml|<!doctype svg|<!--).{0,900})?<svg", Kind("SVG, which has no pixels")),
    (rb"(\xef\xbb\xbf)?\s*<\?xml", Kind("XML, not a picture", what_to_do=_NOT_THERE)),
)
# fmt: on
_PATTERNS = tuple(
    (re.compile(pattern, re.S | re.I if b"<" in pattern else re.S), kind) for pattern, kind in _KINDS
)

SUFFIXES = {kind.name: kind.suffixes for kind in (AVIF, HEIC, *(kind for _, kind in _KINDS)) if kind.suffixes}


def kind_of(content: bytes) -> Kind | None:
    """The kind that the first bytes of a file tell; None if they tell none."""
    if content[4:8] == b"ftyp":
        # The brands: the file's own, a version, and those that it is also readable as.
        length = min(int.from_bytes(content[:4]), BEGINNING)
        brands = [content[8:12], *(content[i : i + 4] for i in range(16, length, 4))]
        if b"avif" in brands or b"avis" in brands:
            return AVIF
        if any(brand in _HEIF_BRANDS for brand in brands):
            return HEIC
    return next((kind for pattern, kind in _PATTERNS if pattern.match(content[:BEGINNING])), None)
