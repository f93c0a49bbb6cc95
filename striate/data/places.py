"""Where the pictures of a split are in the cache, in arrays: eighty bytes for each, not five hundred."""

from collections.abc import Iterator

import numpy as np

from striate.data.picture_packs import Place
from striate.data.stamps import Stamp

_BITS = 2**64 - 1  # of each number of a stamp: times may be negative, and inodes beyond 2^63


class Places:
    """The places of those of ``count`` pictures that are in the cache, and the stamps of their files."""

    def __init__(self, count: int) -> None:
        self._packs: list[str] = []
        self._numbers: dict[str, int] = {}  # of packs, from 1 on
        self._places = np.zeros((count, 6), dtype=np.int64)  # as ``Place``, with 0 for the pack: it has none
        self._stamps = np.zeros((count, 4), dtype=np.uint64)

    def __len__(self) -> int:
        return int(np.count_nonzero(self._places[:, 0]))

    def __iter__(self) -> Iterator[int]:
        """The pictures that are in the cache."""
        return iter(np.flatnonzero(self._places[:, 0]).tolist())

    def __contains__(self, index: int) -> bool:
        return bool(self._places[index, 0])

    def __getitem__(self, index: int) -> Place:
        pack, *numbers = self._places[index].tolist()
        return Place(self._packs[pack - 1], *numbers)

    def put(self, index: int, place: Place, stamp: Stamp) -> None:
        """Picture ``index`` is at ``place``, and its file has this stamp."""
        if place.pack not in self._numbers:
            self._packs.append(place.pack)
            self._numbers[place.pack] = len(self._packs)
        self._places[index] = self._numbers[place.pack], *place[1:]
        self.set_stamp(index, stamp)

    def forget(self, index: int) -> None:
        """Picture ``index`` is in the cache no longer."""
        self._places[index] = 0

    def has_stamp(self, index: int, stamp: Stamp) -> bool:
        """Whether this is the stamp of the picture's file."""
        known: list[int] = self._stamps[index].tolist()
        return known == [number & _BITS for number in stamp]

    def set_stamp(self, index: int, stamp: Stamp) -> None:
        """The picture's file has this stamp now."""
        self._stamps[index] = [number & _BITS for number in stamp]
