"""Files are told by what they hold: read if they can be, else named."""

import io
from pathlib import Path

import numpy as np
import pytest
from faulty_pictures import encode, good_pictures, smooth_pixels
from PIL import Image

import striate.data.images as images
from striate.data.images import IMAGE_SUFFIXES, decode_image, inspect_image, to_image
from striate.data.picture_kinds import SUFFIXES, kind_of
from striate.errors import InputError

HEIC = Path(__file__).parent / "heic"  # of smooth_pixels(40, 48), by pillow-heif 1.8.1 at quality 80

NAMED = {
    "JPEG XL": b"\xff\x0a\xfa\x1f\x41\x91\x08",
    "JPEG XL, which": b"\0\0\0\x0cJXL \r\n\x87\n\0\0\0\x14ftypjxl ",
    "Photoshop": b"8BPS\0\1" + bytes(40),
    "SVG": b'<?xml version="1.0"?>\n<!-- made by hand -->\n<svg xmlns="http://www.w3.org/2000/svg"/>',
    "SVG, which": b"<svg width='4'></svg>",
    "PDF": b"%PDF-1.7\n%\xe2\xe3",
    "DICOM": bytes(128) + b"DICM\2\0\0\0UL",
    "camera raw": b"II*\0\x10\0\0\0CR\2\0" + bytes(60),
    "camera raw, which": b"FUJIFILMCCD-RAW 0201",
    "camera raw, which is": b"\0\0\0\x18ftypcrx \0\0\0\1crx isom",
    "an HTML page": b"\xef\xbb\xbf\n<!DOCTYPE html><html><body>404 Not Found",
    "HTML page, not": b"<html>\n<head><title>Moved</title>",
    "XML": b'<?xml version="1.0"?><Error><Code>AccessDenied</Code></Error>',
    "Git LFS": b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 3\n",
    "AppleDouble": b"\0\5\x16\7\0\2\0\0Mac OS X        ",
    "FITS": b"SIMPLE  =                    T",
    "a film": b"\0\0\0\x20ftypisom\0\0\2\0isomiso2avc1mp41",
    "zip archive": b"PK\3\4\x14\0",
}


@pytest.mark.parametrize("name", NAMED)
@pytest.mark.parametrize("suffix", [".jpg", ".tif"])
def test_what_is_not_read_is_named(name, suffix, tmp_path):
    path = tmp_path / f"rose{suffix}"
    path.write_bytes(NAMED[name] + bytes(200))
    for read in (decode_image, inspect_image):
        with pytest.raises(InputError, match=f"this is .*{name}") as caught:
            read(path)
        assert caught.value.where == str(path)
        assert caught.value.what_to_do


@pytest.mark.parametrize(
    "content", [b"Binary", b"BMWs are cars", b"just words", bytes(100), b"P5 what", b"GIF89a"]
)
def test_all_else_is_not_a_picture(content):
    with pytest.raises(InputError, match="damaged"):
        decode_image(content)


@pytest.mark.parametrize("name", good_pictures())
def test_the_kind_of_a_good_picture_has_its_suffix(name):
    kind = kind_of(good_pictures()[name])
    assert kind
    assert Path(name).suffix in kind.suffixes


def test_suffixes_of_kinds_are_those_of_pictures():
    assert frozenset().union(*SUFFIXES.values()) == IMAGE_SUFFIXES


@pytest.mark.parametrize("options", [{}, {"no_jp2": True}])
@pytest.mark.parametrize("channels", [1, 3])
def test_jpeg_2000_keeps_every_pixel_and_notices_damage(options, channels):
    pixels = smooth_pixels(40, 48, channels)
    content = encode(pixels, "JPEG2000", **options)
    assert (decode_image(content).permute(1, 2, 0).numpy() == pixels.reshape(40, 48, -1)).all()
    assert inspect_image(content).channels == channels
    for kept in range(1, len(content), 37):
        with pytest.raises(InputError):
            decode_image(content[:kept])


@pytest.mark.parametrize("orientation", range(1, 9))
def test_avif_is_read_and_turned(orientation):
    pixels = smooth_pixels(40, 48)
    upright = decode_image(encode(pixels, "PNG", exif=_exif(orientation)))
    content = encode(pixels, "AVIF", quality=95, exif=_exif(orientation))
    image, facts = decode_image(content), inspect_image(content)
    assert image.shape == upright.shape == (3, facts.height, facts.width)
    assert (image.int() - upright.int()).abs().float().mean() < 4


def _exif(orientation: int) -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = orientation
    return exif


def test_avif_that_is_cut_off_or_moves_is_refused():
    content = encode(smooth_pixels(40, 48), "AVIF")
    for kept in range(1, len(content), 17):
        with pytest.raises(InputError):
            decode_image(content[:kept])
    frames = [Image.fromarray(smooth_pixels(16, 24, seed=seed)) for seed in (1, 2)]
    with pytest.raises(InputError, match="several pictures"):
        decode_image(encode(frames[0], "AVIF", save_all=True, append_images=frames[1:]))


@pytest.mark.parametrize("name", ["rose.heic", "ten_bits.heic", "quarter_turn.heic"])
def test_heic_is_read_and_turned_once(name):
    expected = smooth_pixels(40, 48).astype(int)
    if name == "quarter_turn.heic":  # both its own mark and EXIF say so, as phones write it
        expected = np.rot90(expected, -1)
    image, facts = decode_image(HEIC / name), inspect_image(HEIC / name)
    assert image.shape == (3, *expected.shape[:2]) == (3, facts.height, facts.width)
    assert np.abs(image.permute(1, 2, 0).numpy() - expected).mean() < 6
    assert (to_image(Image.open(io.BytesIO((HEIC / name).read_bytes()))) == image).all()


def test_heic_of_several_pictures_or_cut_off_is_refused():
    with pytest.raises(InputError, match="several pictures"):
        decode_image(HEIC / "two_pictures.heic")
    content = (HEIC / "rose.heic").read_bytes()
    for kept in range(1, len(content), 31):
        with pytest.raises(InputError):
            decode_image(content[:kept])


def test_without_the_plugin_the_error_says_what_to_install(monkeypatch):
    monkeypatch.setattr(images, "_can_read_heic", lambda: False)
    with pytest.raises(InputError, match="HEIC") as caught:
        decode_image(HEIC / "rose.heic")
    assert "pip install 'striate[heic]'" in caught.value.what_to_do
