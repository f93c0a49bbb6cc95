"""From picture files to boxes through windows: a localizer with objectness searches larger pictures."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, fields
from functools import cached_property
from math import ceil, sqrt
from pathlib import Path

import torch
from torch import Tensor

from striate.data.images import MAX_PIXELS, decode_image, inspect_image
from striate.device import to_input
from striate.errors import InputError
from striate.predictor import Predictor, check_pixels
from striate.samples import Detections
from striate.tasks.detection.bands import Bands
from striate.tasks.detection.fully_convolutional import FullyConvolutional, fully_convolutional
from striate.tasks.detection.rules import Choice
from striate.tasks.detection.sliding_window import (
    USUAL,
    Scanner,
    SlidingWindow,
    count_places,
    find_objects,
    resized,
)

PER_WINDOW = 4  # windows begin so many times within the length of one; more leave more boxes that fit badly
NO_LIMIT = 2**31  # boxes of a picture: a large one may show hundreds

Watch = Callable[[int], None]  # is told how many windows were just looked at


def unwatched(picture: str, count: int) -> Watch:
    """Nobody is told."""
    return lambda done: None


@dataclass(frozen=True)
class WindowPredictor(Predictor):
    """A localizer with objectness that looks through windows at every place of a picture.

    The picture is not brought to the network's input size: for each size of windows it is resized so that a
    window is as high as the input. Mirror images are not looked at. ``through_windows`` makes one.

    Attributes:
        sizes: heights of the windows, in pixels of the pictures; widths are in the input's proportion.
        one_pass: whether all windows are computed in one pass, at the network's stride.
        overlap: of two boxes whose IoU is larger, the surer one stays, whatever their classes.
        watch: what is told of the work: a picture's name and its number of windows -> who is told how many
            of them were just looked at.
    """

    sizes: tuple[int, ...] = ()
    one_pass: bool = False
    overlap: float = USUAL.iou
    watch: Callable[[str, int], Watch] = unwatched

    def predictions(self, pictures: Sequence[str | Path | Tensor]) -> Iterator[Detections]:
        """The objects found in each picture, in its pixels; all pictures are checked before the first.

        Raises:
            InputError: a picture cannot be read, has other channels than the network, or is of a size that
                the windows do not suit.
        """
        for picture in pictures:
            self.check(picture)
        for picture in pictures:
            yield self.look(picture)

    @torch.inference_mode()
    def look(self, picture: str | Path | Tensor) -> Detections:
        """The objects found in one picture."""
        pixels = self.pixels(picture)
        height, width = pixels.shape[1:]
        name = "picture" if isinstance(picture, Tensor) else Path(picture).name
        watch = self.watch(name, self.count_windows(height, width))
        images = self.preprocessing.normalize(to_input(pixels[None].to(self.device)))
        choice = Choice(self.score, self.overlap, NO_LIMIT)
        return find_objects(self.scanner(watch), images, self.sizes, choice)[0]

    def pixels(self, picture: str | Path | Tensor) -> Tensor:
        """One picture as uint8 (C, H, W), as it is."""
        if not isinstance(picture, Tensor):
            return decode_image(
                Path(picture), channels=self.preprocessing.channels, white=self.preprocessing.white
            )
        check_pixels(picture)
        if len(picture) != self.preprocessing.channels:
            raise InputError(
                f"the picture has {len(picture)} channels, the model expects {self.preprocessing.channels}",
                "the tensor",
                "convert it",
            )
        return picture

    def scanner(self, watch: Watch) -> Scanner:
        """What looks through all windows of one size."""
        if self.one_pass:
            return Bands(self.convolutions, watch=watch)
        return SlidingWindow(self.model, self.preprocessing.size, self.stride, watch=watch)

    @cached_property
    def convolutions(self) -> FullyConvolutional:
        """The network as convolutions alone.

        Raises:
            InputError: its head has no such form.
        """
        look = self.preprocessing
        try:
            return fully_convolutional(self.model, look.size, look.channels)
        except InputError as error:
            raise InputError(error.what, "--one-pass", "look through each window by itself") from None

    @property
    def stride(self) -> int:
        """Pixels of the resized picture from one window to the next."""
        if self.one_pass:
            return self.convolutions.stride
        return max(1, round(min(self.preprocessing.size) / PER_WINDOW))

    def count_windows(self, height: int, width: int) -> int:
        """How many windows of all sizes there are in a picture of so many pixels."""
        window, stride = self.preprocessing.size, self.stride
        return sum(
            count_places(height, size, window, stride, 0) * count_places(width, size, window, stride, 1)
            for size in self.sizes
        )

    def check(self, picture: str | Path | Tensor) -> None:
        """Raise InputError if the picture is no picture, or of a size that the windows do not suit."""
        if isinstance(picture, Tensor):
            where, (height, width) = "the tensor", self.pixels(picture).shape[1:]
        else:
            where, facts = str(picture), inspect_image(Path(picture))
            height, width = facts.height, facts.width
        window = self.preprocessing.size
        if (largest := max(self.sizes)) > max(height, width):
            raise InputError(
                f"a window of {largest} pixels is larger than the picture, which has {width}x{height}",
                where,
                f"--windows {max(height, width)} at most",
            )
        smallest = min(self.sizes)
        tall, wide = (resized(length, smallest, window) for length in (height, width))
        if tall * wide > MAX_PIXELS:
            least = ceil(window[0] * sqrt(height * width / MAX_PIXELS))
            raise InputError(
                f"for windows of {smallest} pixels the picture would be enlarged to {wide:,}x{tall:,}",
                where,
                f"--windows {least} at least",
            )


def through_windows(predictor: Predictor, sizes: Sequence[int], one_pass: bool = False) -> WindowPredictor:
    """The same network, looking through windows.

    Args:
        predictor: of a localizer with objectness.
        sizes: heights of the windows, in pixels of the pictures.
        one_pass: whether all windows are computed in one pass.

    Raises:
        InputError: the network is for another task, has no objectness, or no form of one pass; no size, or
            one below 1.
    """
    task, look = predictor.task, predictor.preprocessing
    if task.name != "localization":
        raise InputError(
            f"windows are for localizers, this network is for {task.name}", "--windows", "leave it out"
        )
    if not task.may_find_nothing:
        raise InputError(
            "this localizer finds an object wherever it looks: it has not learned what nothing is",
            "--windows",
            "train one with --set loss.objectness=true, on pictures of which some show no object",
        )
    if not sizes or min(sizes) < 1:
        raise InputError("windows are at least 1 pixel high", "--windows", "give their height in pixels")
    if look.margin:
        raise InputError(
            f"this network saw pictures within a margin of {look.margin} pixels, which windows do not have",
            "--windows",
            "train one without input.margin",
        )
    same = {field.name: getattr(predictor, field.name) for field in fields(Predictor)} | {"batch_size": 1}
    found = WindowPredictor(**same, sizes=tuple(dict.fromkeys(sizes)), one_pass=one_pass)
    found.scanner(unwatched("", 0))  # what has no form of one pass is told now
    return found
