"""TIFF files of every kind that people have: the right pixels, or an error that names the kind."""

import io
import random
import struct
import tracemalloc
import warnings
import zlib
from itertools import product

import numpy as np
import pytest
import tifffile
from faulty_pictures import encode, smooth_pixels
from PIL import Image
from test_images import mutate
from tiff_files import DEFLATE, LZW, PACKBITS, RAW, tiff_file

from striate.data.images import decode_image, inspect_image
from striate.errors import InputError

HEIGHT, WIDTH = 19, 37


def noise(bits: int, channels: int = 1, form: str = "u") -> np.ndarray:
    """Values (H, W, C) of all the range of so many bits, or from 0 to 1."""
    rng = np.random.default_rng(bits)
    if form == "f":
        return rng.random((HEIGHT, WIDTH, channels)).astype(f"f{bits // 8}")
    size = next(size for size in (1, 2, 4) if bits <= 8 * size)
    return rng.integers(0, 2**bits, (HEIGHT, WIDTH, channels)).astype(f"u{size}")


def shown(values: np.ndarray, bits: int) -> np.ndarray:
    """As 8 bits, in whole numbers: rounding a fraction half up, which no ratio here ever is."""
    if values.dtype.kind == "f":
        return np.rint(values.astype(np.float32) * np.float32(255)).astype(int)
    top = 2**bits - 1
    return (values.astype(int) * 510 + top) // (2 * top)


def pixels(content: bytes, **options: float) -> np.ndarray:
    """(H, W, C), signed; the header says the same size."""
    image, facts = decode_image(content, **options), inspect_image(content)
    assert image.shape == (facts.channels, facts.height, facts.width)
    return image.permute(1, 2, 0).numpy().astype(int)


@pytest.mark.parametrize("kind", ["b1", "u1", "u2", "f2", "f4", "f8"])
@pytest.mark.parametrize("photometric", ["minisblack", "miniswhite", "rgb"])
def test_whatever_tifffile_writes_comes_back(kind, photometric):
    bits = 1 if kind == "b1" else int(kind[1]) * 8
    channels = 3 if photometric == "rgb" else 1
    if kind == "b1" and channels == 3:
        return
    values = noise(bits, channels, kind[0])
    values = values.astype(bool) if kind == "b1" else values
    expected = shown(values, bits)
    if photometric == "miniswhite":
        expected = 255 - expected
    for separate, compression, order, tile, predictor, rows in product(
        (False, True), (None, "zlib", "lzma"), "<>", (None, (16, 32)), (False, True), (None, 7)
    ):
        impossible = (separate and channels == 1) or (predictor and not (compression and kind[0] == "u"))
        if impossible or (tile and rows):
            continue
        file = io.BytesIO()
        tifffile.imwrite(
            file,
            np.ascontiguousarray(np.moveaxis(values, -1, 0)) if separate else values.squeeze(),
            photometric=photometric,
            planarconfig="separate" if separate else "contig" if channels == 3 else None,
            compression=compression, byteorder=order, tile=tile, predictor=predictor, rowsperstrip=rows,
        )  # fmt: skip
        found = pixels(file.getvalue())
        assert (found == expected).all(), (separate, compression, order, tile, predictor, rows)


@pytest.mark.parametrize("bits", [*range(1, 17)])
def test_every_number_of_bits_up_to_16(bits):
    for photometric, channels, separate, tile, method in product(
        (0, 1, 2), (1, 3), (False, True), (None, (16, 16)), (RAW, LZW, DEFLATE, PACKBITS)
    ):
        if (photometric == 2) != (channels == 3) or (separate and channels == 1):
            continue
        values = noise(bits, channels)
        content = tiff_file(values, bits, photometric, separate=separate, tile=tile, method=method, rows=8)
        expected = shown(values, bits)
        expected = 255 - expected if photometric == 0 else expected
        assert (pixels(content) == expected).all(), (photometric, separate, tile, method)


@pytest.mark.parametrize("bits", [1, 4, 8, 12, 16])
def test_bits_in_the_other_order_and_bytes_too(bits):
    for big_endian, fill_order, method in product((False, True), (1, 2), (RAW, LZW, DEFLATE)):
        content = tiff_file(noise(bits), bits, 1, big_endian=big_endian, fill_order=fill_order, method=method)
        assert (pixels(content) == shown(noise(bits), bits)).all(), (big_endian, fill_order, method)


def test_our_writer_of_files_says_what_tifffile_reads():
    for bits, separate, tile, big_endian in product(
        (8, 16, 32), (False, True), (None, (16, 16)), (False, True)
    ):
        values = noise(bits, 3, "f" if bits == 32 else "u")
        content = tiff_file(values, bits, 2, separate=separate, tile=tile, big_endian=big_endian)
        found = tifffile.imread(io.BytesIO(content))
        assert (found == (np.moveaxis(values, -1, 0) if separate else values)).all()


@pytest.mark.parametrize("method", ["tiff_lzw", "tiff_adobe_deflate", "packbits", "zstd", "lzma"])
def test_16_bits_as_pillow_compresses_them(method):
    values = noise(16)
    content = encode(Image.fromarray(values[:, :, 0]), "TIFF", compression=method)
    assert (pixels(content) == shown(values, 16)).all()


@pytest.mark.parametrize("size", [2, 4, 8])
@pytest.mark.parametrize("channels", [1, 3])
def test_predicted_floating_point(size, channels):
    """Adobe's technical note 3: the bytes of a line by significance, and of them the differences."""
    values = noise(8 * size, channels, "f")
    planes = values.astype(f">f{size}").view(np.uint8).reshape(HEIGHT, -1, size).swapaxes(1, 2)
    line = planes.reshape(HEIGHT, -1, channels)
    differences = np.diff(line, axis=1, prepend=np.zeros((HEIGHT, 1, channels), np.uint8)).astype(np.uint8)
    stored = zlib.compress(differences.tobytes())
    photometric = 2 if channels == 3 else 1
    content = tiff_file(values, 8 * size, photometric, method=DEFLATE, more={317: (3,)}, stored=stored)
    assert (pixels(content) == shown(values, 8 * size)).all()


def test_opacity_is_laid_on_white_in_both_its_kinds():
    values = np.array([[[65535, 0, 0, 65535], [65535, 0, 0, 0], [65535, 0, 0, 13107]]], dtype=np.uint16)
    laid = [[[255, 0, 0], [255, 255, 255], [255, 204, 204]]]
    assert pixels(tiff_file(values, 16, 2, more={338: (2,)})).tolist() == laid
    values[0, 1:, 0] = [0, 13107]  # colours multiplied by the opacity before
    assert pixels(tiff_file(values, 16, 2, more={338: (1,)})).tolist() == laid
    grey = np.array([[[65535, 65535], [0, 0], [0, 65535], [0, 13107]]], dtype=np.uint16)
    for photometric, expected in ((1, [255, 255, 0, 204]), (0, [0, 255, 255, 255])):
        assert pixels(tiff_file(grey, 16, photometric, more={338: (2,)})).ravel().tolist() == expected


def test_cmyk_of_16_bits_is_as_that_of_8():
    values = noise(8, 4)
    eight = tiff_file(values, 8, 5)
    for separate in (False, True):
        deep = tiff_file(values.astype(np.uint16) * 257, 16, 5, separate=separate)
        assert (pixels(deep) == pixels(eight)).all()
    assert (pixels(eight) == np.array(Image.open(io.BytesIO(eight)).convert("RGB"))).all()


@pytest.mark.parametrize("orientation", range(1, 9))
def test_deep_pictures_are_turned_as_those_of_8_bits(orientation):
    more = {274: (orientation,)}
    values = noise(8, 3)
    assert (
        pixels(tiff_file(values.astype(np.uint16) * 257, 16, 2, more=more))
        == pixels(tiff_file(values, 8, 2, more=more))
    ).all()


NAMED = {
    "5 channels of 16 bits": tiff_file(noise(16, 5), 16, 1, more={338: (0, 0, 0, 0)}),
    "13 channels of 16 bits": tiff_file(noise(16, 13), 16, 1),
    "5 channels of 8 bits": tiff_file(noise(8, 5), 8, 2, more={338: (0, 0)}),
    "4 channels of 16 bits is not read: what the last": tiff_file(noise(16, 4), 16, 2),
    "4 channels of 8 bits is not read: what the last": tiff_file(noise(8, 4), 8, 2, more={338: (0,)}),
    "2 channels of 8 bits is not read: what the last of them is": tiff_file(noise(8, 2), 8, 1),
    "1 channel of 32 bits is not read: which value is white is unknown": tiff_file(noise(32), 32, 1),
    "1 signed channel of 16 bits": tiff_file(noise(15).astype(np.int16), 16, 1),
    "1 signed channel of 8 bits": tiff_file(noise(7).astype(np.int8), 8, 1),
    "1 complex channel of 64 bits": tiff_file(noise(32, 1, "f").astype(np.complex64), 64, 1),
    "3 floating-point channels of 32 bits has values outside 0..1": tiff_file(noise(32, 3, "f") * 3, 32, 2),
    "channels of different kinds": tiff_file(noise(8, 3), 8, 2, more={258: (5, 6, 5)}),
    "compressed by method 34712": tiff_file(noise(16), 16, 1, more={259: (34712,)}),
    "rare kind 32803": tiff_file(noise(16), 16, 32803),
    "several pictures": tiff_file(noise(16), 16, 1)[:-4] + struct.pack("<I", 8),
    "camera raw": tiff_file(noise(8, 3), 8, 2, more={50706: (1,)}),
    "camera raw, ": tiff_file(noise(8, 3), 8, 2, more={254: (1,), 330: (8,)}),
    "3 channels of 8 bits": tiff_file(noise(8, 3), 8, 6, more={530: (2, 1)}),  # coarse YCbCr
}  # fmt: skip


@pytest.mark.parametrize("name", NAMED)
def test_what_cannot_be_shown_for_certain_is_named(name):
    with pytest.raises(InputError, match=name) as caught:
        decode_image(NAMED[name], "a.tif")
    assert caught.value.where == "a.tif"
    assert caught.value.what_to_do


def test_a_channel_of_unknown_meaning_that_says_nothing_is_left_out():
    values = noise(16, 4)
    for constant in (0, 65535):
        values[:, :, 3] = constant
        assert (pixels(tiff_file(values, 16, 2)) == shown(values[:, :, :3], 16)).all()


def test_white_may_be_told():
    twelve = noise(12)
    expected = shown(twelve, 12)
    assert (pixels(tiff_file(twelve, 16, 1), white=4095) == expected).all()
    assert (pixels(tiff_file(twelve, 16, 0), white=4095) == 255 - expected).all()
    assert (pixels(encode(twelve[:, :, 0], "PNG"), white=4095) == expected).all()
    assert (pixels(tiff_file(twelve.astype(np.int32), 32, 1), white=4095) == expected).all()
    assert (pixels(tiff_file(twelve.astype(np.float32), 32, 1), white=4095) == expected).all()
    with pytest.raises(InputError, match="4000"):
        decode_image(tiff_file(twelve, 16, 1), white=4000)
    eight = noise(8)
    assert (pixels(tiff_file(eight, 8, 1), white=4095) == eight).all()  # 8 bits are what they are


SEEDS = (
    tiff_file(noise(16, 3), 16, 2, separate=True, rows=5),
    tiff_file(noise(16), 16, 0, method=LZW, tile=(16, 16)),
    tiff_file(noise(12), 12, 1, method=DEFLATE, big_endian=True),
    tiff_file(noise(32, 3, "f"), 32, 2, method=PACKBITS),
)


@pytest.mark.parametrize("seed", range(len(SEEDS)))
def test_cut_off_anywhere_is_refused(seed):
    content = SEEDS[seed]
    for kept in range(1, len(content), 29):
        with pytest.raises(InputError):
            decode_image(content[:kept], "a.tif")


def test_three_hundred_mutants_decode_or_raise_input_error(capfd):
    rng = random.Random(7)
    decoded = refused = 0
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for number in range(300):
            try:
                image = decode_image(mutate(SEEDS[number % len(SEEDS)], rng), "mutant")
            except InputError:
                refused += 1
                continue
            decoded += 1
            assert image.ndim == 3
    assert decoded > 20
    assert refused > 20
    assert [str(warning.message) for warning in caught] == []
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    "more",
    [
        {256: (20_000,), 257: (20_000,)},
        {256: (2**32 - 1,), 257: (2**32 - 1,)},
        {277: (9_000,)},
        {322: (2**31,), 323: (2**31,)},
        {322: (0,), 323: (16,)},
    ],
    ids=str,
)
def test_a_header_that_boasts_takes_no_memory(more):
    content = tiff_file(noise(16), 16, 1, tile=(16, 16) if 322 in more else None, more=more)
    tracemalloc.start()
    with pytest.raises(InputError):
        decode_image(content)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2**23


def test_a_strip_that_inflates_without_end_takes_no_memory():
    content = tiff_file(noise(16), 16, 1, method=DEFLATE, stored=zlib.compress(bytes(2**25)))
    tracemalloc.start()
    assert not decode_image(content).any()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2**22


def test_what_pillow_reads_well_is_left_to_it():
    for kind, options in (("jpeg", {}), ("tiff_lzw", {}), ("tiff_adobe_deflate", {}), ("raw", {})):
        content = encode(smooth_pixels(24, 40), "TIFF", compression=kind, **options)
        expected = np.array(Image.open(io.BytesIO(content)).convert("RGB")).astype(int)
        assert (pixels(content) == expected).all()


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("bigtiff", [False, True])
def test_smaller_copies_behind_the_picture_as_of_maps_are_no_other_pages(tmp_path, dtype, bigtiff):
    whole = np.random.default_rng(0).integers(0, 255, (16, 20, 3), dtype=np.uint8).astype(dtype)
    whole = whole * dtype(257 if dtype is np.uint16 else 1)
    for name, kinds in {"map": (0, 1, 1), "pages": (0, 1, 0), "small-first": (1, 0)}.items():
        with tifffile.TiffWriter(tmp_path / f"{name}.tif", bigtiff=bigtiff) as file:
            for k, kind in enumerate(kinds):
                file.write(whole[:: 2**k, :: 2**k], photometric="rgb", subfiletype=kind)
    pixels = decode_image(tmp_path / "map.tif").permute(1, 2, 0).numpy()
    np.testing.assert_array_equal(pixels, whole // (257 if dtype is np.uint16 else 1))
    assert inspect_image(tmp_path / "map.tif").width == 20
    for name in ("pages", "small-first"):
        for read in (decode_image, inspect_image):
            with pytest.raises(InputError, match="several pictures"):
                read(tmp_path / f"{name}.tif")
