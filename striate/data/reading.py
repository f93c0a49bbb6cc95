"""How a picture is read after the first time: decoded again, or copied from the cache.

The pictures of a run are those that it began with: a file that is gone or holds something else is a fault.
"""

import hashlib

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from striate.data.dataset import Fault, Images
from striate.data.images import with_channels
from striate.data.preprocessing import Preprocessing
from striate.data.survey import Survey, settled
from striate.errors import InputError
from striate.samples import Frame

CHANGED = "the picture changed since the run began to read it"

Outcome = Frame | Fault  # how a picture lies in the network input, or what is wrong with it


class Decoder:
    """Decodes a picture and places it in the network input.

    Args:
        images: the pictures of a split.
        preprocessing: how they become network input.
        digests: uint8 (n, 32), what the first reading found; None where this is the first one.
    """

    def __init__(
        self, images: Images, preprocessing: Preprocessing, digests: NDArray[np.uint8] | None = None
    ) -> None:
        self.images = images.with_white(preprocessing.white)
        self.preprocessing = preprocessing
        self.digests = digests

    def __call__(self, index: int, out: Tensor) -> Outcome:
        """Put the pixels into ``out``, uint8 (H, W, C)."""
        try:
            image = with_channels(self._image(index), self.preprocessing.channels)
            placed, frame = self.preprocessing.place(image)
        except InputError as error:
            return Fault(self.images.name(index), error.what)
        out.copy_(placed.permute(1, 2, 0))
        return frame

    def _image(self, index: int) -> Tensor:
        if self.digests is None or self.images.stamp(index) is None:
            return self.images.read(index)
        content = self.images.content(index)
        if hashlib.sha256(content).digest() != self.digests[index].tobytes():
            raise InputError(CHANGED)
        return self.images.decode(index, content)


class CachedReader:
    """Copies pictures from the cache.

    Args:
        images: the pictures of a split.
        preprocessing: how they become network input.
        survey: what the first reading found.
    """

    def __init__(self, images: Images, preprocessing: Preprocessing, survey: Survey) -> None:
        self.images = images.with_white(preprocessing.white)
        self.preprocessing = preprocessing
        self.survey = survey

    def __call__(self, index: int, out: NDArray[np.uint8]) -> Outcome:
        """Put the pixels of a picture that is in the cache into ``out``, uint8 (H, W, C)."""
        assert self.survey.cache
        try:
            self._check(index)
        except InputError as error:
            return Fault(self.images.name(index), error.what)
        place = self.survey.places[index]
        frame = self.preprocessing.frame(place.height, place.width)
        (rows, columns), (input_rows, input_columns) = self.preprocessing.windows(frame)
        cut = self.survey.cache.pixels(place)[rows, columns]
        if cut.shape != out.shape:
            out.fill(0)
        out[input_rows, input_columns] = cut
        return frame

    def expect(self, indices: list[int]) -> None:
        """Have the system read pictures that are wanted next from the disk."""
        places = self.survey.places
        for index in indices:
            if index in places:
                assert self.survey.cache
                self.survey.cache.expect(places[index])

    def _check(self, index: int) -> None:
        """Raise InputError if the picture's file is gone or holds something else than at first."""
        stamp, places = self.images.stamp(index), self.survey.places
        if stamp is not None and not places.has_stamp(index, stamp):
            content = self.images.content(index)
            if hashlib.sha256(content).digest() != self.survey.digests[index].tobytes():
                raise InputError(CHANGED)
            places.set_stamp(index, settled(stamp))
