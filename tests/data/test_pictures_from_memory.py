"""A picture from an array, a Pillow image or bytes is that of a file which holds the same."""

import io
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch
from faulty_pictures import encode, good_pictures, smooth_pixels
from PIL import Image

from striate.data.images import decode_image, to_image
from striate.errors import InputError


def rows(image: torch.Tensor) -> list:
    assert image.dtype == torch.uint8
    return image.tolist()


@pytest.mark.parametrize("name", good_pictures())
def test_bytes_and_pillow_images_are_as_their_files(name, tmp_path):
    content = good_pictures()[name]
    (tmp_path / name).write_bytes(content)
    expected = decode_image(content)
    for source in (content, bytearray(content), memoryview(content), tmp_path / name, str(tmp_path / name)):
        assert torch.equal(to_image(source), expected)
    from_pillow = to_image(Image.open(io.BytesIO(content))).int()
    assert (from_pillow - expected.int()).abs().max() <= 2  # two decoders of JPEG


@pytest.mark.parametrize("channels", [1, 3])
def test_arrays_of_8_bits_are_their_own_pixels(channels):
    pixels = smooth_pixels(9, 13, channels)
    image = to_image(pixels)
    assert image.shape == (channels, 9, 13)
    assert (image.permute(1, 2, 0).numpy().reshape(pixels.shape) == pixels).all()
    assert torch.equal(to_image(pixels[::-1, ::-1]), image.flip(1, 2))  # memory in any order
    assert torch.equal(to_image(pixels.reshape(9, 13, -1)), image)
    pixels[:] = 0
    assert image.any()  # it keeps its own memory


def test_other_types_are_scaled_so_that_white_is_255():
    sixteen = np.array([[0, 128, 129, 257, 32768, 65535]], dtype=np.uint16)
    expected = [[[round(Fraction(value, 257)) for value in sixteen[0].tolist()]]]
    assert rows(to_image(sixteen)) == rows(to_image(sixteen.astype(">u2"))) == expected
    for dtype in (np.float16, np.float32, np.float64):
        assert rows(to_image(np.array([[0, 0.25, 1]], dtype=dtype))) == [[[0, 64, 255]]]
    assert rows(to_image(np.array([[True, False]]))) == [[[255, 0]]]


@pytest.mark.parametrize("scale", [1, 257])
def test_a_fourth_channel_is_opacity_before_white(scale):
    pixels = np.array([[[255, 0, 0, 255], [255, 0, 0, 0], [255, 0, 0, 51]]], dtype=np.uint16) * scale
    image = to_image(pixels.astype(np.uint8) if scale == 1 else pixels)
    assert rows(image.flatten(1)) == [[255, 255, 255], [0, 255, 204], [0, 255, 204]]


@pytest.mark.parametrize(
    "mode", ["1", "L", "LA", "La", "P", "PA", "RGB", "RGBX", "RGBA", "RGBa", "CMYK", "YCbCr", "HSV"]
)
def test_pillow_images_of_every_mode(mode):
    source = Image.fromarray(smooth_pixels(10, 12))
    image = source.convert({"La": "LA", "PA": "P", "RGBa": "RGBA"}.get(mode, mode)).convert(mode)
    expected = np.array(image.convert("LA" if mode == "La" else "RGBA").convert("RGB")).astype(int)
    result = to_image(image, channels=3).permute(1, 2, 0).numpy()
    assert np.abs(result - expected).max() <= 1
    assert to_image(image).shape[0] == (1 if mode in ("1", "L", "LA", "La") else 3)


def test_pillow_images_of_more_than_8_bits():
    values = np.array([[0, 257, 65535]], dtype=np.uint16)
    assert rows(to_image(Image.fromarray(values))) == [[[0, 1, 255]]]
    assert rows(to_image(Image.fromarray(np.array([[0, 1]], dtype=np.float32)))) == [[[0, 255]]]
    for values in (np.array([[0, 300]], dtype=np.int32), np.array([[0, 300]], dtype=np.float32)):
        with pytest.raises(InputError):
            to_image(Image.fromarray(values), "a.tif")


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_pillow_images_are_turned_as_their_files(kind, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    content = encode(smooth_pixels(24, 40), kind, exif=exif)
    image = Image.open(io.BytesIO(content))
    for _ in range(2):  # asking does not turn it
        assert (to_image(image).int() - decode_image(content).int()).abs().max() <= 2


def test_channels_are_as_asked():
    assert to_image(smooth_pixels(4, 5, 1), channels=3).shape == (3, 4, 5)
    with pytest.raises(InputError, match="has colour") as caught:
        to_image(smooth_pixels(4, 5), "rose", channels=1)
    assert caught.value.where == "rose"


def test_a_tensor_that_is_a_picture_stays_so():
    image = to_image(smooth_pixels(4, 5))
    assert torch.equal(to_image(image), image)


@pytest.mark.parametrize(
    "source",
    [
        np.zeros((0, 4), np.uint8),
        np.zeros(4, np.uint8),
        np.zeros((4, 4, 2), np.uint8),
        np.zeros((4, 4, 5), np.uint8),
        np.zeros((2, 4, 4, 3), np.uint8),
        np.zeros((4, 4), np.int64),
        np.zeros((4, 4), np.int8),
        np.zeros((4, 4), np.complex64),
        np.full((4, 4), "a", object),
        np.full((4, 4), np.nan),
        np.full((4, 4), 1.5),
        np.full((4, 4), -0.1, np.float32),
        torch.zeros(3, 4, 4),
        torch.zeros(4, 4, 3, dtype=torch.uint8),
        Image.new("I", (4, 4)),
        None,
        7,
        [[1, 2], [3, 4]],
        b"",
        b"no picture",
        Path("absent.png"),
    ],
)
def test_everything_else_is_an_input_error_that_says_what_to_do(source):
    with pytest.raises(InputError) as caught:
        to_image(source, "the third")
    assert caught.value.where == "the third"
    assert caught.value.what_to_do


def test_channels_in_front_are_told_with_the_mend():
    with pytest.raises(InputError, match=r"shape \(3, 20, 30\)") as caught:
        to_image(np.zeros((3, 20, 30), np.uint8))
    assert "transpose to (H, W, C)" in caught.value.what_to_do


def test_a_pillow_image_that_cannot_be_loaded_is_an_input_error():
    content = encode(smooth_pixels(40, 40), "PNG")
    cut = Image.open(io.BytesIO(content[: len(content) // 2]))
    closed = Image.open(io.BytesIO(content))
    closed.close()
    for image in (cut, closed):
        with pytest.raises(InputError, match="cannot be read"):
            to_image(image)


def test_a_pillow_image_of_too_many_pixels_is_refused_before_it_is_decoded(monkeypatch):
    image = Image.open(io.BytesIO(encode(smooth_pixels(8, 8), "PNG")))
    monkeypatch.setattr("striate.data.images.MAX_PIXELS", 60)
    monkeypatch.setattr(image, "load", lambda: pytest.fail("it is decoded"))
    with pytest.raises(InputError, match="pixels"):
        to_image(image)
