"""Which split a folder, a word or a field of a label file names."""

import re
import unicodedata

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
