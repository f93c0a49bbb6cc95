"""Names for files and folders, made of names that come with data."""

import re
import unicodedata
from collections import Counter
from pathlib import PurePosixPath

from striate.data.formats.image_folder import LEFT_BEHIND
from striate.data.split_names import split_name

_LONGEST = 255  # bytes of UTF-8 in a name, on most file systems
_LONGEST_STEM = 200  # leaves room for a number and a suffix


def safe_name(text: str, longest: int = _LONGEST) -> str:
    """``text`` as the name of one file or folder: whatever would lead elsewhere, hide it or cannot be
    written becomes "_", and what is longer than ``longest`` bytes is cut; others stay as they are."""
    name = "".join("_" if c in "/\\" or unicodedata.category(c) in ("Cc", "Cs") else c for c in text)
    name = re.sub(r"^(\.|$)", "_", name)
    name = f"{name}_" if name in LEFT_BEHIND else name
    return name.encode()[:longest].decode("utf-8", "ignore")


def file_stem(name: str, split: str, label: str) -> str:
    """What is left of a picture's name, as a file name without suffix, when the folders of its split and
    class are taken off: "train/rose/deep/1.jpg" of class rose becomes "deep-1"."""
    parts = list(PurePosixPath(name).with_suffix("").parts)
    if len(parts) > 1 and (own := split_name(parts[0])) and (own == split or parts[1] == label):
        del parts[0]
    if len(parts) > 1 and parts[0] == label:
        del parts[0]
    return safe_name("-".join(parts), _LONGEST_STEM)


class UniqueNames:
    """Makes names differ, also where upper and lower case or two ways to write an accent are the same."""

    def __init__(self) -> None:
        self._used: set[str] = set()
        self._repeats: Counter[str] = Counter()

    def claim(self, stem: str, suffix: str = "") -> str:
        """``stem + suffix`` if no name before was that, else with "-2", "-3", ... between the two."""
        name = stem + suffix
        while _folded(name) in self._used:
            self._repeats[stem] += 1
            name = f"{stem}-{self._repeats[stem] + 1}{suffix}"
        self._used.add(_folded(name))
        return name


def _folded(name: str) -> str:
    return unicodedata.normalize("NFC", name.casefold())
