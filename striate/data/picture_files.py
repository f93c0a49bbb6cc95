"""The bytes of a picture's file, and what a person is told where they are no picture that can be read."""

import io
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from PIL import Image, UnidentifiedImageError

from striate.data.picture_kinds import AGAIN, AVIF, BEGINNING, HEIC, JPEG_2000, kind_of
from striate.errors import InputError

MAX_FILE_BYTES = 2**30


@contextmanager
def opened(source: Path | bytes, name: str, limit: int) -> Iterator[BinaryIO]:
    """The bytes of a picture; whatever a decoder raises on them becomes an InputError.

    Args:
        source, name: as of ``decode_image``.
        limit: the largest number of pixels, for errors.

    Pillow raises a dozen types of exception for files that are not what they claim, hence the breadth.
    """
    place = place_of(source, name)
    # The filter names only Pillow's modules: if threads leave it behind, nothing else falls silent.
    with warnings.catch_warnings(), _stream(source, place) as stream:
        warnings.filterwarnings("ignore", module=r"(PIL|pi_heif)\.")
        try:
            yield stream
        except InputError as error:
            raise InputError(error.what, error.where or place, error.what_to_do) from error.__cause__
        except Image.DecompressionBombError as error:
            raise too_many_pixels(limit, place) from error
        except UnidentifiedImageError as error:
            stream.seek(0)
            raise _unknown(stream.read(BEGINNING), place) from error
        except Exception as error:
            raise _damaged(error, place) from error


def _stream(source: Path | bytes, place: str) -> BinaryIO:
    """The bytes of a picture, checked for what can be known before reading them."""
    if isinstance(source, bytes):
        size, stream = len(source), io.BytesIO(source)
    else:
        try:
            if not source.exists():
                raise InputError("there is no such file", place, "check the path")
            if not source.is_file():
                raise InputError("this is not a file", place, "give the path of one picture")
            size, stream = source.stat().st_size, source.open("rb")  # type: ignore[assignment]
        except OSError as error:
            raise InputError(
                f"the file cannot be read: {error.strerror}", place, "check its name and permissions"
            ) from error
    if not 0 < size <= MAX_FILE_BYTES:
        stream.close()
        what = "the file is empty" if size == 0 else f"the file is larger than {MAX_FILE_BYTES >> 20} MiB"
        raise InputError(what, place, "replace or remove it")
    return stream


def place_of(source: Path | bytes, name: str) -> str:
    """What an error calls a picture."""
    return name or (str(source) if isinstance(source, Path) else "")


def too_many_pixels(limit: int, place: str = "") -> InputError:
    """The error for a picture that is too large to be decoded."""
    return InputError(f"the picture has more than {limit:,} pixels", place, "make it smaller")


def _unknown(beginning: bytes, place: str) -> InputError:
    kind = kind_of(beginning)
    if kind is None or (kind.suffixes and kind not in (AVIF, HEIC, JPEG_2000)):
        return InputError("this is not a picture, or its header is damaged", place, AGAIN)
    return InputError(f"this is {kind.name}, which is not read", place, kind.what_to_do)


def _damaged(error: Exception, place: str) -> InputError:
    return InputError(
        f"the picture is damaged or of a rare kind: {str(error) or type(error).__name__}",
        place,
        "save it again as PNG or JPEG, or remove it",
    )
