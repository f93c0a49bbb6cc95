"""Makes short videos: a digit that moves before a generated scene."""

from collections.abc import Sequence
from fractions import Fraction
from functools import cache
from pathlib import Path

import av
import numpy as np
import torch
from torch import Tensor

from striate.data.images import save_image
from striate.data.scenes import make_scenes

MILLISECOND = Fraction(1, 1000)


@cache
def moving_digit(count: int, height: int = 48, width: int = 64) -> Tensor:
    """uint8 (count, 3, height, width): a digit goes two pixels to the right and one down in every frame."""
    scene = make_scenes(2, 64, (4, 4), seed=1, with_masks=True)
    assert scene.masks is not None
    x1, y1, x2, y2 = scene.objects.boxes_xyxy[4].int().tolist()
    digit, mask = scene.pixels[1, :, y1:y2, x1:x2], scene.masks[4, y1:y2, x1:x2]
    frames = scene.pixels[0, :, :height, :width].repeat(count, 1, 1, 1)
    for i, frame in enumerate(frames):
        y, x = i % (height - (y2 - y1)), 2 * i % (width - (x2 - x1))
        there = frame[:, y : y + y2 - y1, x : x + x2 - x1]
        there.copy_(torch.where(mask, digit, there))
    return frames


def write_video(
    path: Path,
    frames: Tensor,
    times: Sequence[int] | None = None,
    codec: str = "libx264",
    aspect: Fraction | None = None,
    **options: str,
) -> Path:
    """``frames`` uint8 (n, 3, H, W) at 25 per second or at ``times`` in milliseconds; key frames 5 apart."""
    with av.open(str(path), "w", container_options=options) as container:
        stream = container.add_stream(codec, rate=25, options={"crf": "10"} if codec == "libx264" else {})
        stream.height, stream.width = frames.shape[2:]
        stream.pix_fmt = "yuvj420p" if codec == "mjpeg" else "yuv420p"
        stream.codec_context.gop_size = 5
        if aspect is not None:
            stream.codec_context.sample_aspect_ratio = aspect
        if times is not None:
            stream.codec_context.time_base = MILLISECOND
        for i, pixels in enumerate(frames.permute(0, 2, 3, 1).contiguous().numpy()):
            frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
            if times is not None:
                frame.pts, frame.time_base = times[i], MILLISECOND
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def write_frames(folder: Path, frames: Tensor) -> list[Path]:
    """``frames`` as PNG files 0.png, 1.png, ... of a new folder."""
    folder.mkdir(parents=True)
    files = [folder / f"{i}.png" for i in range(len(frames))]
    for file, frame in zip(files, frames, strict=True):
        save_image(frame, file)
    return files


def read_video(path: Path) -> tuple[Tensor, list[float]]:
    """By PyAV alone: frames uint8 (n, 3, H, W), and their times in seconds."""
    with av.open(str(path)) as container:
        decoded = list(container.decode(video=0))
    pixels = np.stack([frame.to_ndarray(format="rgb24") for frame in decoded])
    return torch.from_numpy(pixels).permute(0, 3, 1, 2), [float(frame.time) for frame in decoded]
