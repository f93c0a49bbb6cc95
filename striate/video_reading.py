"""Pictures that follow one another in time: of a video file, or of a folder of camera frames.

    video file ── PyAV ── turned upright ──┐
                                           ├── one after the other, as they are asked for
    picture files ── striate.data.images ──┘

Of a file's own conventions become plain RGB, or grey:

| in the file                       | here                                                                   |
| --------------------------------- | ---------------------------------------------------------------------- |
| rotation and mirroring of phones  | turned upright, all eight                                              |
| BT.601, BT.709, BT.2020 colours   | RGB, as the file says which it is                                      |
| time stamps                       | seconds since the first frame, whatever the rate                       |
| a time stamp missing, or not      | the time of the frame before and one frame's duration                  |
| after the one before              |                                                                        |
| damage, or the end cut off        | an error after the frames before it, where the decoder or the header   |
|                                   | can tell: a cut transport stream just ends                             |
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from striate.data.formats.image_folder import natural_order
from striate.data.images import IMAGE_SUFFIXES, MAX_PIXELS, decode_image, with_channels
from striate.errors import InputError

if TYPE_CHECKING:
    from av import VideoFrame
    from av.container import InputContainer
    from av.video.stream import VideoStream

# fmt: off
VIDEO_SUFFIXES = frozenset({
    ".mp4", ".m4v", ".mov", ".3gp", ".3g2", ".mkv", ".webm", ".avi", ".mpg", ".mpeg", ".ts", ".mts", ".m2ts",
    ".wmv", ".asf", ".flv", ".ogv",
})
# fmt: on

# The names of FFmpeg's readers. No other is tried: some fetch what a file names from elsewhere.
_CONTAINERS = "mov,matroska,avi,mpegts,mpeg,mpegvideo,flv,asf,ogg"
_TOLD = ("mov", "matroska")  # whose headers say when the last frame ends
_SHORTFALL = 0.5  # seconds that may lack there
FOLDER_RATE = 25.0  # frames per second, where nobody says


@dataclass(frozen=True)
class TimedPicture:
    """``image`` uint8 (C, H, W); ``time`` in seconds since the first; ``file``: its name in a folder."""

    image: Tensor
    time: float
    file: str | None = None


@dataclass(frozen=True)
class Footage:
    """Pictures of one size that follow one another in time.

    Attributes:
        path: the file or folder.
        rate: frames per second, the average where it varies.
        height, width: of each picture, in pixels.
        aspect: width of a pixel over its height.
        count: how many there probably are; None: nobody knows.
        left_aside: names of what lies in the folder and is no picture.
        read: begins with the first picture. Raises InputError, after those before it, for a picture that
            cannot be read, or is of another size.
    """

    path: Path
    rate: float
    height: int
    width: int
    aspect: Fraction
    count: int | None
    left_aside: tuple[str, ...]
    read: Callable[[], Iterator[TimedPicture]]


def is_video(path: Path) -> bool:
    """Whether ``path`` is called as videos are, and no folder."""
    return path.suffix.lower() in VIDEO_SUFFIXES and not path.is_dir()


def open_footage(path: Path, channels: int, rate: float | None = None, white: float | None = None) -> Footage:
    """Look at a video file, or a folder of frames in the natural order of their names, and the first frame.

    Args:
        path: of the file or folder.
        channels: 1 or 3, of the pictures wanted; as for ``decode_image``.
        rate: frames per second of a folder, 25 by default; a video has its own.
        white: of the frames of a folder, as for ``decode_image``.

    Raises:
        InputError: there is no such file, it holds no frame that can be read, a ``rate`` is given for a
            video, or PyAV is not installed.
    """
    if path.is_dir():
        return _open_folder(path, channels, rate or FOLDER_RATE, white)
    if rate is not None:
        raise InputError("a video has time stamps of its own", path, "leave out --fps")
    return _open_video(path, channels)


def check_av() -> None:
    """Find out early whether videos can be read and written.

    Raises:
        InputError: PyAV is not installed.
    """
    try:
        import av  # noqa: F401 - an extra
    except ImportError as error:
        raise InputError(
            "PyAV, which reads videos, is not installed", "", "pip install 'striate[video]'"
        ) from error


# Folders ----------------------------------------------------------------------------------------------------


def _open_folder(path: Path, channels: int, rate: float, white: float | None) -> Footage:
    files = sorted(
        (file for file in path.iterdir() if file.name[0] != "."), key=lambda f: natural_order(f.name)
    )
    frames = [file for file in files if file.suffix.lower() in IMAGE_SUFFIXES]
    if not frames:
        raise InputError("there are no pictures in the folder", path, "name a folder of camera frames")
    _, height, width = decode_image(frames[0], channels=channels, white=white).shape
    others = tuple(file.name for file in files if file.suffix.lower() not in IMAGE_SUFFIXES)
    read = partial(_read_folder, frames, channels, white, rate, (height, width))
    return Footage(path, rate, height, width, Fraction(1), len(frames), others, read)


def _read_folder(
    frames: list[Path], channels: int, white: float | None, rate: float, size: tuple[int, int]
) -> Iterator[TimedPicture]:
    for index, file in enumerate(frames):
        image = decode_image(file, channels=channels, white=white)
        _check_size(image, size, index, file)
        yield TimedPicture(image, round(index / rate, 6), file.name)


def _check_size(image: Tensor, size: tuple[int, int], index: int, where: Path) -> None:
    _, height, width = image.shape
    if (height, width) != size:
        raise InputError(
            f"frame {index} has {width}x{height} pixels, those before have {size[1]}x{size[0]}",
            where,
            "frames of one size belong together; predict the others apart",
        )


# Videos -----------------------------------------------------------------------------------------------------


def _open_video(path: Path, channels: int) -> Footage:
    with _opened(path) as (container, stream):
        rate = float(stream.average_rate or stream.guessed_rate or FOLDER_RATE)
        end = _told_end(container, stream)
        count = stream.frames or (round(end * rate) if end else None)
        aspect = stream.sample_aspect_ratio or Fraction(1)
        frame = next(_decoded(container, stream, rate, path), None)
        if frame is None:
            raise _unreadable(0, path)
        image = _pixels(frame, channels, 0, path)
        is_turned = image.shape[1:] != (frame.height, frame.width)
        aspect = 1 / aspect if is_turned else aspect
        height, width = image.shape[1:]
        read = partial(_read_video, path, channels, rate, (height, width))
        return Footage(path, rate, height, width, aspect, count, (), read)


def _read_video(path: Path, channels: int, rate: float, size: tuple[int, int]) -> Iterator[TimedPicture]:
    with _opened(path) as (container, stream):
        stream.thread_type = "AUTO"
        first, time = None, -1 / rate
        for index, frame in enumerate(_decoded(container, stream, rate, path)):
            image = _pixels(frame, channels, index, path)
            _check_size(image, size, index, path)
            stamp: float | None = frame.time
            if first is None:
                first = stamp or 0.0
            is_later = stamp is not None and stamp - first > time
            time = stamp - first if stamp is not None and is_later else time + 1 / rate
            yield TimedPicture(image, round(time, 6))


@contextmanager
def _opened(path: Path) -> "Iterator[tuple[InputContainer, VideoStream]]":
    """The file, and the video in it."""
    check_av()
    import av

    if not path.is_file():
        what = "this is not a file" if path.exists() else "there is no such file"
        raise InputError(what, path, "check the path")
    try:
        container = av.open(
            f"file:{path}", container_options={"format_whitelist": _CONTAINERS}, metadata_errors="replace"
        )
    except av.FFmpegError as error:
        raise InputError(
            f"this is no video, or its header is damaged: {error.strerror}",
            path,
            "use MP4, MOV, MKV, WebM or AVI, or make the video again",
        ) from error
    with container:
        stream = cast("VideoStream | None", container.streams.best("video"))
        if stream is None:
            raise InputError("there is sound in the file, but no video", path, "name another file")
        if not stream.codec_context:
            raise InputError("the video is in a code that FFmpeg does not know", path, "convert it to H.264")
        if stream.width * stream.height > MAX_PIXELS:
            raise InputError(f"the frames have more than {MAX_PIXELS:,} pixels", path, "make them smaller")
        yield container, stream


def _decoded(
    container: "InputContainer", stream: "VideoStream", rate: float, path: Path
) -> "Iterator[VideoFrame]":
    """The frames in the order in which they are shown, until one is damaged, which raises InputError."""
    import av

    count, end = 0, Fraction(0)
    try:
        for packet in container.demux(stream):
            is_damaged = packet.is_corrupt
            if packet.pts is not None:
                end = max(end, (packet.pts + (packet.duration or 0)) * packet.time_base)
            for frame in stream.decode(None if is_damaged else packet):  # None: what it holds back
                if frame.is_corrupt:
                    raise _unreadable(count, path)
                if is_damaged and (frame.pts or 0) >= (packet.dts or 0):
                    break  # a frame that is shown before this one may be lost
                yield frame
                count += 1
            if is_damaged:
                raise _unreadable(count, path)
    except av.FFmpegError as error:
        raise _unreadable(count, path) from error
    told = _told_end(container, stream)
    if told is not None and told - end > max(_SHORTFALL, 2 / rate):
        raise _unreadable(count, path)


def _told_end(container: "InputContainer", stream: "VideoStream") -> float | None:
    """When the last frame ends, in seconds, where the file's header says it."""
    if not container.format.name.startswith(_TOLD):
        return None  # FFmpeg has guessed
    if stream.duration and stream.time_base:
        return float(((stream.start_time or 0) + stream.duration) * stream.time_base)
    if container.duration and len(container.streams) == 1:  # else it is the sound's, perhaps
        return container.duration / 1e6
    return None


def _pixels(frame: "VideoFrame", channels: int, index: int, path: Path) -> Tensor:
    """uint8 (C, H, W), upright."""
    pixels = cast("NDArray[np.uint8]", frame.to_ndarray(format="rgb24"))  # (H, W, 3)
    matrix = cast("bytes | None", frame.side_data.get("DISPLAYMATRIX"))
    if matrix is not None:
        pixels = _turn_upright(pixels, np.frombuffer(matrix, np.int32).tolist())
    image = torch.from_numpy(np.ascontiguousarray(pixels)).permute(2, 0, 1)
    return with_channels(image, channels, f"{path}, frame {index}")


def _turn_upright(pixels: NDArray[np.uint8], matrix: list[int]) -> NDArray[np.uint8]:
    """(H, W, 3) as it is to be shown: a point x, y of it goes to a * x + c * y, b * x + d * y, where the
    matrix begins a, b, u, c, d.

    Source: ISO/IEC 14496-12, section 6.2.2.
    """
    a, b, _, c, d = matrix[:5]
    if abs(b) > abs(a):
        pixels, a, d = pixels.swapaxes(0, 1), c, b
    if a < 0:
        pixels = pixels[:, ::-1]
    if d < 0:
        pixels = pixels[::-1]
    return pixels


def _unreadable(index: int, path: Path) -> InputError:
    return InputError(
        f"frame {index} of the video cannot be read: the file is damaged there, or cut off",
        path,
        "make or copy the video again",
    )
