"""A PNG or GIF that is damaged or not all there is refused, also where every pixel could be had; one that is
whole is not, whatever follows its end."""

import io
import struct
import zlib

import numpy as np
import pytest
from faulty_pictures import encode, good_pictures, several_frames, smooth_pixels
from PIL import Image, PngImagePlugin

from striate.data.damage import DAMAGE_FINDERS
from striate.data.images import decode_image
from striate.errors import InputError

GOOD = good_pictures()
PNGS, GIFS = [name for name in GOOD if "png" in name], [name for name in GOOD if "gif" in name]


def chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def variants_of_gif() -> dict[str, bytes]:
    """GIF files that differ in which blocks and colour tables they have."""
    colour = Image.fromarray(smooth_pixels(40, 48))
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, (70, 60), dtype=np.uint8))
    plain = GOOD["colour.gif"]
    table = 3 << (plain[10] & 7) + 1
    picture = plain.index(b",", 13 + table)
    local = bytes([plain[10] & 0x7F]), plain[13 : 13 + table]  # its colours belong to the picture instead
    return {
        "plain": plain,
        "noise": encode(noise, "GIF"),  # its data have every byte, the three marks among them
        "interlaced": encode(colour, "GIF", interlace=True),
        "two colours": encode(colour.convert("1"), "GIF"),
        "comment": encode(colour, "GIF", comment=b"; , !" * 200),
        "transparent": encode(colour.quantize(8), "GIF", transparency=3),
        "animated": several_frames("GIF"),
        "local colours": plain[:10] + local[0] + plain[11:13] + plain[13 + table : picture + 9]
        + bytes([plain[picture + 9] | 0x80 | plain[10] & 7]) + local[1] + plain[picture + 10 :],
        "zeros between blocks": plain[:picture] + b"\0\0" + plain[picture:-1] + b"\0\0;",
    }  # fmt: skip


GIF_VARIANTS = variants_of_gif()


@pytest.mark.parametrize("name", PNGS)
def test_a_png_with_any_changed_byte_is_refused(name):
    content = GOOD[name]
    for place in range(8, len(content), 7):
        changed = content[:place] + bytes([content[place] ^ 0x10]) + content[place + 1 :]
        with pytest.raises(InputError):
            decode_image(changed)


@pytest.mark.parametrize("name", PNGS + GIFS)
def test_a_file_that_ends_too_soon_or_in_zeros_is_refused(name):
    content = GOOD[name]
    for kept in {*range(1, len(content), 97), *range(len(content) - 14, len(content))}:
        for damaged in (content[:kept], content[:kept] + bytes(len(content) - kept)):
            if damaged != content:
                with pytest.raises(InputError):
                    decode_image(damaged, "rose")


@pytest.mark.parametrize(
    ("name", "damage", "told"),
    [
        ("colour.png", lambda content: content[:-12], "the end of the PNG is missing"),
        ("colour.png", lambda content: content[:-1], "the end of the PNG is missing"),
        ("colour.png", lambda content: content[:-1] + b"?", "does not match its checksum"),
        ("colour.png", lambda content: content[:1500] + bytes(len(content) - 1500), "match its checksum"),
        ("colour.gif", lambda content: content[:-1], "the end of the GIF is missing"),
        ("colour.gif", lambda content: content[:-2] + b"\0\0\0", "the end of the GIF is missing"),
    ],
)
def test_damage_that_pillow_overlooks_is_told(name, damage, told):
    content = damage(GOOD[name])
    Image.open(io.BytesIO(content)).load()  # without an error
    with pytest.raises(InputError, match=told) as caught:
        decode_image(content, name)
    assert caught.value.where == name


@pytest.mark.parametrize("name", PNGS + GIFS)
@pytest.mark.parametrize("after", [b"\0\0\0", b"\n", b"more\xff", GOOD["colour.gif"]])
def test_bytes_after_the_end_do_no_harm(name, after):
    assert (decode_image(GOOD[name] + after) == decode_image(GOOD[name])).all()


@pytest.mark.parametrize("variant", GIF_VARIANTS)
def test_every_gif_that_is_whole_passes_and_none_that_is_cut(variant):
    content, find_damage = GIF_VARIANTS[variant], DAMAGE_FINDERS["GIF"]
    Image.open(io.BytesIO(content)).load()
    assert find_damage(content) == ""
    assert all(find_damage(content[:kept]) for kept in range(6, len(content)))


def test_chunks_before_and_behind_the_pixels_of_a_png_are_in_order():
    texts = PngImagePlugin.PngInfo()
    texts.add_text("before", "x" * 5000, zip=True)
    content = encode(Image.fromarray(smooth_pixels(20, 20)), "PNG", pnginfo=texts, dpi=(72, 72))
    end = content.index(b"IEND") - 4
    content = content[:end] + chunk(b"tEXt", b"behind\0IEND") + content[end:]
    assert (decode_image(content).permute(1, 2, 0).numpy() == smooth_pixels(20, 20)).all()
