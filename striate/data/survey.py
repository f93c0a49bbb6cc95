"""The first reading of a split's pictures in a run: each file is read once, hashed, and decoded unless its
scaled pixels are in the cache already."""

import hashlib
import time
from collections import Counter
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from striate.data.dataset import Fault, Images
from striate.data.images import with_channels
from striate.data.picture_cache import DamagedRecord, PictureCache
from striate.data.picture_packs import NotKept, Place
from striate.data.places import Places
from striate.data.preprocessing import Preprocessing
from striate.data.stamps import Stamp
from striate.data.workers import read_lists
from striate.errors import InputError

CHUNK, CHUNK_BYTES = 32, 2**23  # what a worker is given at once: pictures, and the most of their pixels
_UNSURE = (0, 0, 0, 0)  # a stamp that no file has
_COARSE = 2 * 10**9  # nanoseconds: a file may change twice within the grain of its times

Progress = Callable[[int], None]  # told how many pictures were just read


@dataclass(frozen=True)
class Seen:
    """What was found when a picture was first read.

    Attributes:
        digest: SHA-256 of its file's content; empty for pictures that lie in memory.
        stamp: the file's, before it was read.
        place: where its pixels are in the cache, if they are.
        damaged: the cache held other pixels than it once wrote.
        not_kept: why its pixels are not in the cache.
    """

    digest: bytes = b""
    stamp: Stamp = _UNSURE
    place: Place | None = None
    damaged: bool = False
    not_kept: str = ""


class FirstReader:
    """Reads a picture for the first time: can it be decoded, what is its content, is it in the cache?

    Args:
        images: the pictures of a split.
        preprocessing: how they become network input.
        cache: takes the scaled pixels; None keeps nothing.
    """

    def __init__(self, images: Images, preprocessing: Preprocessing, cache: PictureCache | None) -> None:
        self.images = images.with_white(preprocessing.white)
        self.preprocessing = preprocessing
        self.cache = cache

    def __call__(self, index: int, out: Tensor) -> Seen | Fault:
        """What is found; nothing goes to ``out``."""
        try:
            stamp = self.images.stamp(index)
            if stamp is None:
                self._scaled(self.images.read(index))
                return Seen()
            content = self.images.content(index)
            return self._kept(index, content, settled(stamp))
        except InputError as error:
            return Fault(self.images.name(index), error.what)

    def _kept(self, index: int, content: bytes, stamp: Stamp) -> Seen:
        """The picture in the cache, put there if it was not."""
        digest, damaged = hashlib.sha256(content).digest(), False
        if self.cache:
            try:
                if place := self.cache.find(digest):
                    return Seen(digest, stamp, place)
            except DamagedRecord:
                damaged = True  # the new record, in a newer pack, will be the one that counts
        image = self.images.decode(index, content)
        scaled = self._scaled(image)
        if not self.cache:
            return Seen(digest, stamp)
        try:
            return Seen(digest, stamp, self.cache.add(digest, image.shape[-2:], scaled), damaged)
        except NotKept as reason:
            return Seen(digest, stamp, None, damaged, str(reason))

    def _scaled(self, image: Tensor) -> Tensor:
        return self.preprocessing.scale(with_channels(image, self.preprocessing.channels))


@dataclass(frozen=True)
class Survey:
    """What is known of the n pictures of a split after the first reading.

    Attributes:
        kept: int64 (m,), which can be decoded.
        faults: of the others.
        digests: uint8 (n, 32), SHA-256 of their files' content.
        places: where those that are in the cache are.
        cache: where that is.
        notes: what a person should know of the cache, one sentence each.
    """

    kept: Tensor
    faults: list[Fault]
    digests: NDArray[np.uint8]
    places: Places
    cache: PictureCache | None
    notes: tuple[str, ...]


def survey_pictures(
    images: Images,
    preprocessing: Preprocessing,
    cache: PictureCache | None,
    workers: int,
    timeout: float,
    progress: Progress,
) -> Survey:
    """Read every picture for the first time, and fill the cache. Arguments as for ``prepare_pictures``."""
    kept, faults, digests = [], [], np.zeros((len(images), 32), dtype=np.uint8)
    places = Places(len(images))
    damaged, not_kept = 0, Counter[str]()
    lists = chunks(len(images), CHUNK)
    reader = FirstReader(images, preprocessing, cache)
    with closing(read_lists(reader, lists, (0,), workers, timeout, images.name)) as read:
        for indices, (_, answers) in zip(lists, read, strict=True):
            for index, answer in zip(indices, answers, strict=True):
                if isinstance(answer, Fault):
                    faults.append(answer)
                    continue
                kept.append(index)
                damaged += answer.damaged
                if answer.digest:
                    digests[index] = np.frombuffer(answer.digest, dtype=np.uint8)
                if answer.place:
                    places.put(index, answer.place, answer.stamp)
                elif answer.not_kept:
                    not_kept[answer.not_kept] += 1
            progress(len(indices))
    if cache:
        cache.finish()
        for index in [index for index in places if not cache.holds(places[index])]:
            places.forget(index)
            not_kept["another run removed them from the picture cache"] += 1
    notes = _notes(len(images), damaged, not_kept, cache)
    return Survey(torch.tensor(kept, dtype=torch.int64), faults, digests, places, cache, notes)


def chunks(count: int, most: int) -> list[list[int]]:
    """0..``count`` - 1 in lists of ``most``."""
    return [list(range(start, min(start + most, count))) for start in range(0, count, most)]


def _notes(count: int, damaged: int, not_kept: Counter[str], cache: PictureCache | None) -> tuple[str, ...]:
    if not cache:
        return ()
    notes = [
        f"{number:,} of {count:,} pictures will be decoded each time: {reason} ({cache.root}, data.cache_mb)"
        for reason, number in not_kept.items()
    ]
    if damaged:
        notes.append(f"{damaged:,} damaged pictures in the cache were decoded anew ({cache.folder})")
    return tuple(notes)


def settled(stamp: Stamp) -> Stamp:
    """``stamp``, or one that no file has if the file changed so recently that it may change unnoticed."""
    return stamp if time.time_ns() - stamp[2] > _COARSE else _UNSURE
