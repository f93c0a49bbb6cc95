"""Which split a folder, a word or a field of a label file names."""

import re
import unicodedata
from functools import lru_cache

SPLIT_FOLDERS = {
    "train": "train", "training": "train",
    "val": "val", "valid": "val", "validation": "val",
    "test": "test", "testing": "test",
}  # fmt: skip

_FURTHER = {
    "trn": "train",
    "validate": "val", "validating": "val", "dev": "val", "devel": "val", "development": "val",
    "tst": "test", "eval": "test", "evaluate": "test", "evaluation": "test", "evaluating": "test",
}  # fmt: skip
_WORDS = {**SPLIT_FOLDERS, **_FURTHER}
_THINGS = "datasets|dataset|data|sets|set|splits|split|images|image|imgs|img|pictures|photos|samples|folder"
_LABEL_SUFFIXES = ("json", "xml", "csv")
_NUMBER_BEHIND = re.compile(r"[0-9]{1,4}$")
_NAME = re.compile(rf"({'|'.join(_WORDS)})(?:{_THINGS})?([0-9]{{0,4}})")


def split_name(folder: str) -> str | None:
    """The split that a name means: "train", "val" or "test"; None where it means none.

    Case, "-", "_", "." and spaces do not count, nor does what the split consists of, nor a number behind it:
    "Training Set", "train_data", "val2017", "test-images", "dev" name splits; "trainer" and "a_test" do not.
    """
    word = re.sub(r"[\W_]+", "", unicodedata.normalize("NFKC", folder).casefold())
    found = _NAME.fullmatch(word)
    return _WORDS[found[1]] if found else None


def has_number(folder: str) -> bool:
    """Whether a name ends in a number, as "train2017" does, but "train 1" of several classes as well."""
    return folder[-1:].isdigit()


def split_of(*paths: str) -> str | None:
    """The split that paths name, as "instances_train.json" or "valid/a.jpg" do; the first that names one.

    A path that names two different splits names none. Words such as "dev" and "eval" count for a whole name
    only, and where no more usual word is there.
    """
    for path in paths:
        *folders, name = path.casefold().split("/")
        stem, _, suffix = name.rpartition(".")
        names = [*folders, stem] if suffix in _LABEL_SUFFIXES else folders
        words = re.split(r"[\W_]+", stem) if suffix in _LABEL_SUFFIXES else []
        usual = {split for word in (*names, *words) if (split := _usual_split(word))}
        for splits in (usual, set(map(_any_split, names)) - {None}):
            if len(splits) == 1:
                return splits.pop()
            if splits:
                break
    return None


@lru_cache(4096)
def _usual_split(word: str) -> str | None:
    return split_name(word) if _NUMBER_BEHIND.sub("", word) in SPLIT_FOLDERS else None


_any_split = lru_cache(4096)(split_name)
