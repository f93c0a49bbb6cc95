"""Pictures as data URIs, so that the page needs no other file."""

import base64
import io

from PIL import Image
from torch import Tensor

TINY = 64  # pixels of the longer side up to which a picture is shown pixel by pixel
THUMBNAIL = 192  # pixels of the longer side at most: sharp at 96 on a dense screen
PNG_LIMIT = 20_000  # bytes from which a photograph goes in as JPEG, an eighth of the size


def is_tiny(image: Tensor) -> bool:
    """Whether a picture (C, H, W) is so small that its pixels should be seen."""
    return max(image.shape[1:]) <= TINY


def picture_uri(image: Tensor) -> str:
    """A picture of at most ``THUMBNAIL`` pixels a side as a PNG data URI, JPEG where PNG would be large.

    Args:
        image: uint8 (C, H, W), C = 1 (grey) or 3 (RGB).
    """
    pixels = image.detach().cpu()
    picture = Image.fromarray(pixels[0].numpy() if len(pixels) == 1 else pixels.permute(1, 2, 0).numpy())
    picture.thumbnail((THUMBNAIL, THUMBNAIL), Image.Resampling.LANCZOS)
    content = _encode(picture, "png")
    if len(content) <= PNG_LIMIT:
        return f"data:image/png;base64,{base64.b64encode(content).decode()}"
    return drawing_uri(picture)


def drawing_uri(picture: Image.Image) -> str:
    """A picture as large as it is, as a JPEG data URI."""
    return f"data:image/jpeg;base64,{base64.b64encode(_encode(picture, 'jpeg')).decode()}"


def _encode(picture: Image.Image, kind: str) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, kind, quality=85, optimize=True)  # PNG has no quality and ignores it
    return buffer.getvalue()
