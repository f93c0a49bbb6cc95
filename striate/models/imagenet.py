"""The 1,000 classes of ImageNet (ILSVRC 2012) in the order of every network's outputs."""

import csv
from dataclasses import dataclass
from functools import cache
from pathlib import Path

NUM_CLASSES = 1000

_TABLE = Path(__file__).with_name("imagenet1k.csv")


@dataclass(frozen=True)
class ImageNetClass:
    """A WordNet synset: ``wnid`` tells it apart, ``name`` need not (there are two cranes)."""

    wnid: str
    name: str


@cache
def imagenet_classes() -> tuple[ImageNetClass, ...]:
    """All classes; a class id is the position here."""
    with _TABLE.open(encoding="utf-8", newline="") as file:
        return tuple(ImageNetClass(row["wnid"], row["name"]) for row in csv.DictReader(file))
