"""Names inside archives, of which old programs do not say how they are written.

A zip file marks names in UTF-8 by a flag. Without it they are in code page 437, says its specification
(APPNOTE 6.3.10, appendix D); but Windows wrote them in the code page of its country, and macOS in UTF-8.
"""

import re
import struct
import zipfile
import zlib

_UTF_8_FLAG = 0x800
_UNICODE_PATH = 0x7075  # Info-ZIP's extra field: version 1, the CRC-32 of the other name, the name in UTF-8
_NOT_UTF_8 = re.compile("[\udc80-\udcff]")  # what tarfile makes of such bytes


def zip_name(info: zipfile.ZipInfo) -> tuple[str, bool]:
    """The name of a member, and whether it is certain; if not, it is read as code page 437."""
    stored = info.orig_filename.partition("\0")[0]
    if info.flag_bits & _UTF_8_FLAG or stored.isascii():
        return info.filename, True
    raw = stored.encode("cp437")
    try:
        return _unicode_path(info.extra, raw) or raw.decode(), True
    except UnicodeDecodeError:
        return stored, False


def is_certain(tar_name: str) -> bool:
    """Whether the name of a tar's member is in UTF-8, as it should be."""
    return not _NOT_UTF_8.search(tar_name)


def _unicode_path(extra: bytes, raw: bytes) -> str:
    """The name in Info-ZIP's extra field; "" if there is none, or one for another name."""
    while len(extra) >= 4:
        kind, length = struct.unpack("<HH", extra[:4])
        field = extra[4 : 4 + length]
        if (
            kind == _UNICODE_PATH
            and len(field) > 5
            and field[:5] == b"\x01" + struct.pack("<I", zlib.crc32(raw))
        ):
            return field[5:].decode()
        extra = extra[4 + length :]
    return ""
