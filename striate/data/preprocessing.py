"""From a decoded picture to network input: part of the model, kept in its run folder.

Shapes: N pictures, C channels, H and W height and width of the network input, h and w of the picture.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from striate.data.images import MAX_PIXELS, resize
from striate.errors import InputError
from striate.samples import Frame

Window = tuple[slice, slice]  # rows, columns


@dataclass(frozen=True)
class Preprocessing:
    """Everything that happens to a picture before the network sees it.

    Attributes:
        size: H, W in pixels.
        channels: C, 1 for grey or 3 for RGB.
        fit: "crop" scales the shorter side to the size and cuts the middle out; "letterbox" scales the
            longer side to the size and sets it on black; "stretch" scales both sides.
        margin: pixels of black border inside the size.
        mean, std: per channel, of pixels in 0..1.
        resize: what "crop" scales the shorter side to before it cuts the middle out, in pixels (ImageNet's
            usual test scales to 256 and cuts out 224); None is the size itself.
        interpolation: "bilinear" or "bicubic", antialiased.
        white: the value that becomes 255 in TIFF and PNG of more than 8 bits; None for the largest of the
            type, or 1 for floating point.
    """

    size: tuple[int, int]
    channels: int
    fit: str
    margin: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    resize: int | None = None
    interpolation: str = "bilinear"
    white: float | None = None

    def frame(self, height: int, width: int) -> Frame:
        """How a picture of (height, width) pixels lies in the network input."""
        if self.resize is not None and self.fit == "crop":
            return self._frame_of_middle(self.resize, height, width)
        inner_height, inner_width = self.inner_size()
        scale_y, scale_x = inner_height / height, inner_width / width
        if self.fit != "stretch":
            scale_y = scale_x = max(scale_y, scale_x) if self.fit == "crop" else min(scale_y, scale_x)
            # Whole pixels: the scale that really happens is that of the rounded size.
            scale_y = max(1, round(height * scale_y)) / height
            scale_x = max(1, round(width * scale_x)) / width
        offset_y = self.margin + (inner_height - round(height * scale_y)) // 2
        offset_x = self.margin + (inner_width - round(width * scale_x)) // 2
        return Frame(height, width, scale_y, scale_x, offset_y, offset_x)

    def place(self, images: Tensor) -> tuple[Tensor, Frame]:
        """Pictures of one size, uint8 (..., C, h, w) -> uint8 (..., C, H, W), and where they lie in it.

        Raises:
            InputError: as ``scale``.
        """
        frame = self.frame(*images.shape[-2:])
        seen, place = self.windows(frame)
        cut = self.scale(images)[..., seen[0], seen[1]]
        top, left = place[0].start, place[1].start
        bottom, right = self.size[0] - place[0].stop, self.size[1] - place[1].stop
        return F.pad(cut, (left, right, top, bottom)) if any((top, bottom, left, right)) else cut, frame

    def scale(self, images: Tensor) -> Tensor:
        """Pictures of one size, uint8 (..., C, h, w), as large as the network sees them; nothing is cut out
        or put around them yet.

        Raises:
            InputError: the pictures do not have this model's number of channels, or are so long and thin
                that "crop" would first enlarge them beyond ``MAX_PIXELS``.
        """
        channels, height, width = images.shape[-3:]
        if channels != self.channels:
            raise InputError(
                f"the picture has {channels} channels, the model expects {self.channels}",
                what_to_do="give it grey pictures" if self.channels == 1 else "give it RGB pictures",
            )
        scaled_height, scaled_width = self.scaled_size(self.frame(height, width))
        if scaled_height * scaled_width > MAX_PIXELS:
            raise InputError(
                f"the picture of {width}x{height} pixels is too long and thin to cut its middle out",
                what_to_do="cut it yourself, or fit it with letterbox instead of crop",
            )
        return resize(images, scaled_height, scaled_width, self.interpolation)

    def scaled_size(self, frame: Frame) -> tuple[int, int]:
        """h, w of a picture after ``scale``, in pixels."""
        return round(frame.height * frame.scale_y), round(frame.width * frame.scale_x)

    def windows(self, frame: Frame) -> tuple[Window, Window]:
        """Which rows and columns of a scaled picture are seen, and which of the network input they fill."""
        scaled_height, scaled_width = self.scaled_size(frame)
        inner_height, inner_width = self.inner_size()
        rows, input_rows = self._window(frame.offset_y, scaled_height, inner_height)
        columns, input_columns = self._window(frame.offset_x, scaled_width, inner_width)
        return (rows, columns), (input_rows, input_columns)

    def normalize(self, images: Tensor) -> Tensor:
        """Pixels (N, C, H, W) in 0..255, uint8 or float -> float32 with the data's mean 0 and std 1, in the
        same memory layout."""
        scale = torch.tensor([1 / (255 * std) for std in self.std], device=images.device)
        shift = torch.tensor(
            [-mean / std for mean, std in zip(self.mean, self.std, strict=True)], device=images.device
        )
        normalized = images.to(torch.float32, copy=True)
        if normalized.is_contiguous(memory_format=torch.channels_last):
            # A row of pixels at once is three times as fast as the few channels of one after the other.
            count, channels, height, width = images.shape
            rows = normalized.permute(0, 2, 3, 1).view(count, height, width * channels)
            torch.addcmul(shift.repeat(width), rows, scale.repeat(width), out=rows)
            return normalized
        return torch.addcmul(shift.view(-1, 1, 1), normalized, scale.view(-1, 1, 1), out=normalized)

    def inner_size(self) -> tuple[int, int]:
        """H, W without the margin."""
        return self.size[0] - 2 * self.margin, self.size[1] - 2 * self.margin

    def _frame_of_middle(self, shorter: int, height: int, width: int) -> Frame:
        """Rounded as torchvision does, whose published weights are measured so, to the very pixel."""
        scaled_height = int(shorter * height / min(height, width))
        scaled_width = int(shorter * width / min(height, width))
        inner_height, inner_width = self.inner_size()
        return Frame(
            height,
            width,
            scaled_height / height,
            scaled_width / width,
            self.margin - round((scaled_height - inner_height) / 2),
            self.margin - round((scaled_width - inner_width) / 2),
        )

    def _window(self, offset: float, scaled: int, inner: int) -> tuple[slice, slice]:
        place = int(offset) - self.margin  # of the scaled side in the inner one, where it may begin outside
        first = max(-place, 0)
        length = min(scaled - first, inner)
        begin = max(place, 0) + self.margin
        return slice(first, first + length), slice(begin, begin + length)
