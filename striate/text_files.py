"""Text that other programs wrote: its encoding, and names that look alike because they are the same name."""

import codecs
import unicodedata
from pathlib import Path

from striate.errors import InputError

# The longer ones first: the mark of UTF-16 begins that of UTF-32.
_MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
# Encodings of many machines that can be told from UTF-8, the ones with the strictest rules first.
_OLD = (("gb18030", "GBK"), ("shift_jis", "Shift JIS"), ("cp1252", "Windows-1252"))
_LOOKED_AT = 4096  # bytes at the start of a file that tell whether every second one is zero


def decode_text(content: bytes, place: str) -> str:
    """The text of a file in UTF-8, UTF-16 or UTF-32, without a byte order mark.

    UTF-16 without a mark is known by its zero bytes. In no other encoding is text guessed at, because a wrong
    guess makes other names of it.

    Args:
        content: the file.
        place: what an error calls it.

    Raises:
        InputError: it is in another encoding, or no text; the line is named.
    """
    encoding, start = _encoding(content)
    try:
        return content[start:].decode(encoding)
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, start + error.start) + 1
        bad = content[start + error.start]
        looks = _old_encoding(content) if encoding == "utf-8" else ""
        raise InputError(
            f"the file is not {encoding[:6].upper().rstrip('-')} text (byte 0x{bad:02x}){looks}",
            f"{place}, line {line}",
            "save it as UTF-8",
        ) from None


def as_utf8(content: bytes) -> bytes:
    """The content of a text file as UTF-8 without a mark, to be searched for what tells a format; bytes that
    are no text of Unicode stay as they are."""
    if content.startswith(codecs.BOM_UTF8):
        return content[len(codecs.BOM_UTF8) :]
    encoding, start = _encoding(content)
    return content if encoding == "utf-8" else content[start:].decode(encoding, "replace").encode()


def read_text(path: Path) -> str:
    """The text of a file. Raises OSError if it cannot be read, InputError as ``decode_text`` does."""
    return decode_text(path.read_bytes(), str(path))


def composed(name: str) -> str:
    """A name in Unicode's composed form (NFC): macOS writes the same name in another form (NFD)."""
    return name if name.isascii() else unicodedata.normalize("NFC", name)


def _encoding(content: bytes) -> tuple[str, int]:
    """The Unicode encoding of text, and how many bytes its mark takes."""
    for mark, name in _MARKS:
        if content.startswith(mark):
            return name, len(mark)
    return _unmarked(content), 0


def _unmarked(content: bytes) -> str:
    """The encoding of text without a mark: UTF-16 where every second byte is mostly zero."""
    start = content[:_LOOKED_AT]
    pairs = len(start) // 2
    zeros_first, zeros_second = start[0::2].count(0), start[1::2].count(0)
    if pairs and zeros_second > pairs // 2 and not zeros_first:
        return "utf-16-le"
    return "utf-16-be" if pairs and zeros_first > pairs // 2 and not zeros_second else "utf-8"


def _old_encoding(content: bytes) -> str:
    """What to say of text that is none of Unicode's; "" where nothing can be said."""
    for codec, name in _OLD:
        try:
            content.decode(codec)
        except UnicodeDecodeError:
            continue
        return f"; it may be {name}"
    return ""
