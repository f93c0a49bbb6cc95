"""Shards that come without an index: their samples are found by reading each shard once."""

import json
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from striate.data.archive import TarArchive
from striate.data.dataset import Fault
from striate.data.images import IMAGE_SUFFIXES, inspect_image
from striate.data.shards.images import Shard
from striate.data.shards.index import Samples
from striate.errors import InputError, one_line

_SAMPLE = re.compile(r"((?:.*/)?[^./][^./]*)\.([^/]+)")  # key, extension: parted at the first dot of the name
_NOTE = re.compile(r"__[^/]*__(/|$)")  # WebDataset's remarks on a shard, no samples
_LABELS = ("cls", "json")


@dataclass
class Scan:
    """What shards hold.

    Attributes:
        parts: each shard with its samples.
        channels: 1 if all pictures are grey, else 3.
        faults: samples that are left out.
        left_aside: how many files there are of each other kind, by suffix.
    """

    parts: list[tuple[Shard, Samples]] = field(default_factory=list)
    channels: int = 1
    faults: list[Fault] = field(default_factory=list)
    left_aside: Counter[str] = field(default_factory=Counter)

    def read(self, path: Path) -> None:
        """Read one shard from start to end.

        Raises:
            InputError: it is damaged, has links or names that lead out of it, or a class id that is none.
        """
        archive = TarArchive(path)
        samples = Samples()
        for key, files in self._group(archive.files).items():
            pictures = [name for extension, name in files.items() if f".{extension}" in IMAGE_SUFFIXES]
            label = _label(archive, files)
            if len(pictures) != 1 or label is None:
                what = f"the sample has {len(pictures) or 'no'} pictures"
                if len(pictures) == 1:
                    what = 'the sample has no class: no .cls, and no "cls" or "label" in .json'
                self.faults.append(Fault(one_line(f"{path.name}/{key}"), what))
                continue
            (name,) = pictures
            try:
                facts = inspect_image(archive.read(name), f"{path}/{name}")
            except InputError as error:
                self.faults.append(Fault(one_line(f"{path.name}/{name}"), error.what))
                continue
            offset, size = archive.places[name]
            samples.names.append(one_line(f"{path.name}/{name}"))
            samples.labels.append(label)
            samples.offsets.append(offset)
            samples.sizes.append(size)
            samples.widths.append(facts.width)
            samples.heights.append(facts.height)
            self.channels = max(self.channels, facts.channels)
        if samples.names:
            self.parts.append((Shard(str(path), path.stat().st_size), samples))

    def _group(self, names: Sequence[str]) -> dict[str, dict[str, str]]:
        """Key -> extension -> name of the file, as far as it belongs to a sample."""
        samples: dict[str, dict[str, str]] = {}
        for name in names:
            match = _SAMPLE.fullmatch(name)
            if match is None or _NOTE.match(name):
                self.left_aside["without a key"] += 1
                continue
            key, extension = match[1], match[2].lower()
            samples.setdefault(key, {})[extension] = name
            if f".{extension}" not in IMAGE_SUFFIXES and extension not in _LABELS:
                self.left_aside[f".{extension}"] += 1
        return samples


def _label(archive: TarArchive, files: dict[str, str]) -> int | None:
    """The class id of a sample, or None if it states none."""
    if "cls" in files:
        return _class_id(archive.read(files["cls"]).decode("utf-8", "replace").strip(), archive, files["cls"])
    if "json" not in files:
        return None
    try:
        facts = json.loads(archive.read(files["json"]))
    except (ValueError, RecursionError) as error:
        raise InputError(
            f"this is not JSON: {error}", f"{archive.path}/{files['json']}", "mend it"
        ) from error
    stated = [facts[name] for name in ("cls", "label") if name in facts] if isinstance(facts, dict) else []
    return _class_id(str(stated[0]), archive, files["json"]) if stated else None


def _class_id(text: str, archive: TarArchive, name: str) -> int:
    if not re.fullmatch("[0-9]{1,9}", text):
        raise InputError(
            f"the class is {text[:40]!r}, not a whole number from 0 on",
            f"{archive.path}/{name}",
            "write class ids, and their names into classes.txt",
        )
    return int(text)
