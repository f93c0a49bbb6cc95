import io
import os
import random
import struct
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pi_heif
import pytest
import torch
from faulty_pictures import (
    encode,
    faulty_headers,
    faulty_pixels,
    good_pictures,
    jpeg_that_states,
    png_that_states,
    smooth_pixels,
    write_files,
)
from hypothesis import example, given, settings
from hypothesis import strategies as st
from PIL import Image, ImageFile, ImageOps

from striate.data.images import (
    IMAGE_SUFFIXES,
    ImageFacts,
    decode_image,
    encode_png,
    inspect_image,
    resize,
    save_image,
)
from striate.errors import InputError


def as_array(image: torch.Tensor) -> np.ndarray:
    """(H, W, C), signed, to compare."""
    return image.permute(1, 2, 0).numpy().astype(int)


def pillow_array(content: bytes, mode: str = "RGB") -> np.ndarray:
    with Image.open(io.BytesIO(content)) as image:
        return np.array(image.convert(mode)).astype(int).reshape(image.height, image.width, -1)


@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"subsampling": 0}, {"quality": 30}])
@pytest.mark.parametrize("channels", [1, 3])
def test_the_two_jpeg_decoders_agree(options, channels):
    content = encode(smooth_pixels(61, 83, channels), "JPEG", **options)
    ours = as_array(decode_image(content))
    assert ours.shape == (61, 83, channels)
    assert np.abs(ours - pillow_array(content, "L" if channels == 1 else "RGB")).max() <= 2


@pytest.mark.parametrize("kind", ["PNG", "BMP", "TIFF", "PPM", "WEBP"])
@pytest.mark.parametrize("channels", [1, 3])
def test_lossless_formats_keep_every_pixel(kind, channels):
    pixels = smooth_pixels(13, 17, channels)
    options = {"lossless": True} if kind == "WEBP" else {}
    image = decode_image(encode(pixels, kind, **options))
    expected = pixels.reshape(13, 17, -1)
    if kind == "WEBP" and channels == 1:
        expected = expected.repeat(3, axis=2)  # WebP has no grey
    assert image.dtype == torch.uint8
    assert (as_array(image) == expected).all()


def test_cmyk_jpeg_becomes_rgb_also_when_adobe_inverted_it():
    pixels = smooth_pixels(32, 48)
    content = encode(Image.fromarray(pixels).convert("CMYK"), "JPEG", quality=100, subsampling=0)
    assert b"Adobe" in content  # Pillow writes the inverted form, as Photoshop does
    assert np.abs(as_array(decode_image(content)) - pixels.astype(int)).max() <= 4


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_orientation_is_applied_as_pillow_does(kind, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    content = encode(smooth_pixels(24, 40), kind, exif=exif)
    with Image.open(io.BytesIO(content)) as image:
        image.load()
        upright = np.array(ImageOps.exif_transpose(image))
    ours = as_array(decode_image(content))
    assert ours.shape == upright.shape
    assert np.abs(ours - upright).max() <= 2
    facts = inspect_image(content)
    assert (facts.height, facts.width) == upright.shape[:2] == ((24, 40) if orientation < 5 else (40, 24))


def test_orientation_six_turns_the_left_column_up():
    pixels = np.zeros((2, 3, 3), dtype=np.uint8)
    pixels[:, 0] = [[10, 10, 10], [20, 20, 20]]  # upper left, lower left
    exif = Image.Exif()
    exif[0x0112] = 6
    turned = decode_image(encode(pixels, "PNG", exif=exif))
    assert turned[0].tolist() == [[20, 10], [0, 0], [0, 0]]  # a quarter turn clockwise


def test_orientation_behind_the_pixels_of_a_png_counts():
    exif = Image.Exif()
    exif[0x0112] = 8
    content = encode(smooth_pixels(8, 20), "PNG", exif=exif)
    start = content.index(b"eXIf") - 4
    length = 12 + struct.unpack(">I", content[start : start + 4])[0]
    chunk, rest = content[start : start + length], content[:start] + content[start + length :]
    moved = rest[:-12] + chunk + rest[-12:]  # before IEND
    assert inspect_image(moved) == ImageFacts(8, 20, 3)
    assert torch.equal(decode_image(moved), decode_image(content))


def test_nonsense_orientation_counts_as_upright():
    exif = Image.Exif()
    exif[0x0112] = 77
    assert decode_image(encode(smooth_pixels(8, 20), "JPEG", exif=exif)).shape == (3, 8, 20)


def test_palette_becomes_its_colours_and_a_grey_palette_grey():
    colours = Image.new("P", (2, 1))
    colours.putpalette([255, 0, 0, 0, 0, 255])
    colours.putdata([0, 1])
    assert decode_image(encode(colours, "PNG")).flatten(1).tolist() == [[255, 0], [0, 0], [0, 255]]
    greys = colours.copy()
    greys.putpalette([7, 7, 7, 200, 200, 200])
    content = encode(greys, "PNG")
    assert decode_image(content).tolist() == [[[7, 200]]]
    assert inspect_image(content).channels == 1


def test_transparency_is_laid_on_white():
    half_red = np.array([[[255, 0, 0, 255], [255, 0, 0, 0], [255, 0, 0, 51]]], dtype=np.uint8)
    image = decode_image(encode(half_red, "PNG"))
    assert image.flatten(1).tolist() == [[255, 255, 255], [0, 255, 204], [0, 255, 204]]
    grey = Image.fromarray(np.array([[[9, 255], [9, 0]]], dtype=np.uint8), "LA")
    assert decode_image(encode(grey, "PNG")).tolist() == [[[9, 255]]]
    keyed = encode(np.array([[0, 5]], dtype=np.uint8), "PNG", transparency=5)
    assert decode_image(keyed).tolist() == [[[0, 255]]]


def test_sixteen_bits_are_scaled_and_not_clipped():
    values = np.array([[0, 128, 129, 257, 32768, 65535]], dtype=np.uint16)
    expected = np.rint(values / 257).astype(int)
    for kind in ("PNG", "TIFF"):
        assert (as_array(decode_image(encode(values, kind)))[:, :, 0] == expected).all()
    big_endian = b"P5 6 1 65535\n" + values.astype(">u2").tobytes()
    assert (as_array(decode_image(big_endian))[:, :, 0] == expected).all()


def test_floats_from_zero_to_one_are_scaled():
    values = np.array([[0.0, 0.5, 1.0]], dtype=np.float32)
    assert decode_image(encode(values, "TIFF")).tolist() == [[[0, 128, 255]]]


@pytest.mark.parametrize("value", [-0.1, 1.5, float("nan")])
def test_floats_outside_zero_to_one_are_refused(value):
    with pytest.raises(InputError, match="outside"):
        decode_image(encode(np.array([[0.5, value]], dtype=np.float32), "TIFF"))


def test_32_bit_integers_are_refused():
    with pytest.raises(InputError, match="white is unknown"):
        decode_image(encode(np.array([[0, 70_000]], dtype=np.int32), "TIFF"))


def test_one_bit_becomes_black_and_white():
    image = Image.fromarray(np.array([[True, False, True]]))
    assert decode_image(encode(image, "PNG")).tolist() == [[[255, 0, 255]]]


def test_channels_grey_to_rgb_is_repetition():
    grey = smooth_pixels(9, 9, 1)
    image = decode_image(encode(grey, "PNG"), channels=3)
    assert image.shape == (3, 9, 9)
    assert all((plane.numpy() == grey).all() for plane in image)


def test_channels_rgb_to_grey_only_without_colour():
    grey = smooth_pixels(9, 9, 1)
    assert (decode_image(encode(np.dstack([grey] * 3), "PNG"), channels=1)[0].numpy() == grey).all()
    with pytest.raises(InputError, match="has colour, the model expects grey") as caught:
        decode_image(encode(smooth_pixels(9, 9), "PNG"), "rose.png", channels=1)
    assert caught.value.where == "rose.png"
    assert "grey" in caught.value.what_to_do


@pytest.mark.parametrize("name", good_pictures())
def test_inspection_agrees_with_decoding(name):
    content = good_pictures()[name]
    image, facts = decode_image(content), inspect_image(content)
    assert (facts.channels, facts.height, facts.width) == image.shape


def test_a_cameras_jpeg_with_a_preview_behind_it_is_one_picture():
    content = encode(smooth_pixels(20, 24), "JPEG")
    frames = [Image.fromarray(smooth_pixels(20, 24)), Image.fromarray(smooth_pixels(10, 12))]
    several = encode(frames[0], "MPO", save_all=True, append_images=frames[1:])
    assert Image.open(io.BytesIO(several)).n_frames == 2
    assert torch.equal(decode_image(several), decode_image(content))


@pytest.mark.parametrize("name", faulty_headers())
def test_faulty_header_is_an_input_error_that_names_the_file(name, tmp_path):
    (path,) = write_files(tmp_path, {name: faulty_headers()[name]})
    for read in (inspect_image, decode_image):
        with pytest.raises(InputError) as caught:
            read(path)
        assert caught.value.where == str(path)
        assert caught.value.what
        assert caught.value.what_to_do


@pytest.mark.parametrize("name", faulty_pixels())
def test_faulty_pixels_are_an_input_error_that_names_the_file(name):
    content = faulty_pixels()[name]
    inspect_image(content, name)
    with pytest.raises(InputError) as caught:
        decode_image(content, name)
    assert caught.value.where == name


@pytest.mark.parametrize("name", good_pictures())
def test_a_picture_cut_off_anywhere_is_refused(name):
    content = good_pictures()[name]
    whole = decode_image(content)
    for tenths in range(10):
        with pytest.raises(InputError):
            decode_image(content[: len(content) * tenths // 10])
    for missing in (1, 2, 8):  # only the end mark may be missing, never a pixel
        try:
            image = decode_image(content[:-missing])
        except InputError:
            continue
        assert torch.equal(image, whole)


def test_missing_file_folder_and_special_file_are_input_errors(tmp_path):
    os.mkfifo(tmp_path / "pipe.jpg")
    for path, fault in (
        (tmp_path / "none.jpg", "no such file"),
        (tmp_path, "not a file"),
        (tmp_path / "pipe.jpg", "not a file"),
        (tmp_path / ("long" * 1000), "name too long"),
    ):
        with pytest.raises(InputError, match=fault):
            decode_image(path)


def test_unreadable_file_is_an_input_error(tmp_path, monkeypatch):
    (path,) = write_files(tmp_path, {"a.png": good_pictures()["colour.png"]})

    def refuse(*args, **kwargs):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(InputError, match="Permission denied"):
        decode_image(path)


@pytest.mark.parametrize(
    "content",
    [
        png_that_states(20_000, 10_000),
        png_that_states(10_001, 10_000),
        png_that_states(2_000_000_000, 2_000_000_000),
        jpeg_that_states(12_000, 10_000),
    ],
)
def test_too_many_pixels_are_refused_before_any_is_decoded(content, monkeypatch):
    def decode(*args, **kwargs):
        raise AssertionError("pixels are decoded")

    monkeypatch.setattr(ImageFile.ImageFile, "load", decode)
    monkeypatch.setattr("simplejpeg.decode_jpeg", decode)
    with pytest.raises(InputError, match="more than 100,000,000 pixels"):
        decode_image(content)


def test_a_hundred_megapixels_are_allowed():
    assert inspect_image(png_that_states(10_000, 10_000)) == ImageFacts(10_000, 10_000, 3)


def mutate(content: bytes, rng: random.Random) -> bytes:
    """Flip, cut or insert bytes, once to four times."""
    data = bytearray(content)
    for _ in range(rng.randint(1, 4)):
        place = rng.randrange(len(data)) if rng.random() < 0.5 else rng.randrange(min(len(data), 64))
        match rng.randrange(4):
            case 0:
                data[place] ^= 1 << rng.randrange(8)
            case 1:
                data[place] = rng.choice([0, 0x7F, 0xFF, rng.randrange(256)])
            case 2:
                del data[place : place + rng.randint(1, 40)]
            case 3:
                data[place:place] = rng.randbytes(rng.randint(1, 12))
        if not data:
            break
    return bytes(data)


def test_two_thousand_mutated_files_decode_or_raise_input_error(capfd):
    rng = random.Random(20240)
    seeds = list(good_pictures().values())
    decoded = refused = 0
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for number in range(2000):
            content = mutate(seeds[number % len(seeds)], rng)
            try:
                image = decode_image(content, f"mutant {number}")
                decoded += 1
            except InputError:
                refused += 1
                continue
            assert image.dtype == torch.uint8
            assert image.ndim == 3
            assert image.shape[0] in (1, 3)
            assert min(image.shape) >= 1
    assert decoded > 100
    assert refused > 100
    assert [str(warning.message) for warning in caught] == []
    assert capfd.readouterr() == ("", "")


@settings(deadline=None, max_examples=60)
@given(
    size=st.tuples(st.integers(1, 60), st.integers(1, 60)),
    to=st.tuples(st.integers(1, 60), st.integers(1, 60)),
    channels=st.sampled_from([1, 3]),
    channel_last=st.booleans(),
)
@example(size=(2, 1), to=(1, 1), channels=3, channel_last=False)
def test_resize_equals_pillows_antialiased_bilinear(size, to, channels, channel_last):
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (*size, channels), dtype=np.uint8)
    image = torch.from_numpy(pixels).permute(2, 0, 1)
    resized = resize(image if channel_last else image.contiguous(), *to)
    source = Image.fromarray(pixels[:, :, 0] if channels == 1 else pixels)
    expected = np.array(source.resize((to[1], to[0]), Image.Resampling.BILINEAR)).reshape(*to, channels)
    assert resized.dtype == torch.uint8
    assert np.abs(as_array(resized) - expected).max() <= 1


def test_resize_of_a_batch_is_that_of_each_picture():
    images = torch.from_numpy(smooth_pixels(20, 30)).permute(2, 0, 1).repeat(2, 1, 1, 1)
    images[1] = 255 - images[1]
    assert torch.equal(resize(images, 7, 9), torch.stack([resize(image, 7, 9) for image in images]))


@pytest.mark.parametrize("channels", [1, 3])
def test_encode_png_inverts_decode(channels):
    image = decode_image(encode(smooth_pixels(11, 7, channels), "PNG"))
    assert torch.equal(decode_image(encode_png(image)), image)


def test_save_image_writes_by_suffix_and_refuses_others(tmp_path):
    image = decode_image(good_pictures()["colour.png"])
    for name in ("a.png", "a.jpg"):
        save_image(image, tmp_path / name)
        assert decode_image(tmp_path / name).shape == image.shape
    assert torch.equal(decode_image(tmp_path / "a.png"), image)
    with pytest.raises(InputError, match=r"\.gif"):
        save_image(image, tmp_path / "a.gif")
    with pytest.raises(InputError, match="cannot be written"):
        save_image(image, tmp_path / "no folder" / "a.png")


def test_every_suffix_belongs_to_a_format_that_is_read():
    Image.init()
    read = {"JPEG", "PNG", "GIF", "BMP", "DIB", "WEBP", "TIFF", "PPM", "AVIF", "JPEG2000"}
    pi_heif.register_heif_opener()
    read.add("HEIF")
    assert {Image.EXTENSION[suffix] for suffix in IMAGE_SUFFIXES} <= read


def test_import_is_light():
    code = (
        "import sys, striate.data.images; print([m for m in ('sklearn', 'matplotlib') if m in sys.modules])"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"
