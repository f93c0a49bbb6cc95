"""Pictures as a video that browsers play: MP4, H.264, yuv420p, the colours of BT.709."""

from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self, cast

import numpy as np
from PIL import Image

if TYPE_CHECKING:
    from av.video.stream import VideoStream

TICK = Fraction(1, 60_000)  # of a second: whole for the usual rates, and MPEG-4 has no room for finer ones
BT709 = 1  # ITU-T H.273, tables 2 to 4

ENCODERS = {  # the first that is there is taken; and what it is told
    "libx264": {"preset": "veryfast", "crf": "20"},
    "mpeg4": {"flags": "+qscale", "global_quality": str(3 * 118)},  # 3 of 31, in FFmpeg's units
}


class VideoWriter:
    """Encodes pictures as they come; for a ``with`` block.

    Args:
        path: of the file to be made.
        rate: frames per second, on average.
        aspect: width of a pixel over its height.

    All that it does raises OSError where the file cannot be written.
    """

    def __init__(self, path: Path, rate: float, aspect: Fraction) -> None:
        import av

        self.rate = Fraction(rate).limit_denominator(1001)
        self.aspect = aspect
        self.stream: VideoStream | None = None
        self.last = -1  # ticks
        with _as_os_errors():
            options = {"movflags": "+faststart"}  # a browser begins to play before it has all
            self.container = av.open(f"file:{path}", "w", format="mp4", container_options=options)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with _as_os_errors():
            if kind is None and self.stream is not None:
                self.container.mux(self.stream.encode(None))
            self.container.close()

    def write(self, picture: Image.Image, time: float) -> None:
        """Add an RGB picture that is shown from ``time`` on, in seconds; later than the one before, and of
        its size. To odd sides, which yuv420p does not have, the last row or column is added again."""
        import av

        pixels = np.asarray(picture)
        height, width, _ = pixels.shape
        pixels = np.pad(pixels, ((0, height % 2), (0, width % 2), (0, 0)), "edge")
        with _as_os_errors():
            if self.stream is None:
                self.stream = self._add_stream(*pixels.shape[:2])
            frame = av.VideoFrame.from_ndarray(pixels, "rgb24").reformat(
                format="yuv420p", dst_colorspace="ITU709", dst_color_range="MPEG"
            )
            self.last = frame.pts = max(round(time / TICK), self.last + 1)
            frame.time_base = TICK
            self.container.mux(self.stream.encode(frame))

    def _add_stream(self, height: int, width: int) -> "VideoStream":
        name = choose_encoder()
        stream = cast("VideoStream", self.container.add_stream(name, self.rate, ENCODERS[name]))
        stream.height, stream.width, stream.pix_fmt = height, width, "yuv420p"
        stream.time_base = TICK
        codec = stream.codec_context
        codec.time_base = TICK
        codec.sample_aspect_ratio = self.aspect
        codec.colorspace = codec.color_primaries = codec.color_trc = BT709
        return stream


def choose_encoder() -> str:
    """The first of ``ENCODERS`` that this PyAV has; every one has the last."""
    from av.codec import codecs_available

    return next(name for name in ENCODERS if name in codecs_available)


@contextmanager
def _as_os_errors() -> Iterator[None]:
    """FFmpeg's errors as OSError: those that are none come of a full disk, too."""
    import av

    try:
        yield
    except av.FFmpegError as error:
        if isinstance(error, OSError):
            raise
        raise OSError(error.errno, error.strerror) from error
