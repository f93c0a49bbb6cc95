"""Tar shards in the layout of WebDataset: many samples in each of a few .tar files, for sets of any size.

    train-000000.tar                     a sample is the files of one key, the name up to its first dot:
      rose/1.jpg    rose/1.cls             .jpg, .png, ...  the picture, its bytes as they were
      daisy/7.jpg   daisy/7.cls            .cls             the class id, as text; or "cls" or "label" of
    train-000001.tar  ...                  .json            an object
    shards.json                          the index that striate writes (data/shards/index.py)
    classes.txt                          the names of the classes; without it they are the class ids

- With an index nothing else is read to load the set, and shards may lie at http(s) addresses: such a shard
  is fetched when it is needed, and kept within a budget (data/shards/cache.py).
- Without one every shard is read once. Splits are told by names such as train-000000.tar.
- A sample without a picture or class is a ``Fault``, named and left out; a class id that is none is an error.
- Files of other kinds are left aside and counted in ``Dataset.why``; nothing is ever unpickled.
"""

import re
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import urlsplit

from striate.data.archive import plain_name
from striate.data.class_names import CLASSES_FILE, parse_class_names
from striate.data.dataset import POOL, Dataset, Fault, Split
from striate.data.formats.image_folder import SPLIT_FOLDERS, natural_order
from striate.data.shards.cache import BUDGET_VARIABLE, cache_budget, fetch_index
from striate.data.shards.images import Shard, ShardImages, ShardTable
from striate.data.shards.index import INDEX_NAME, Samples, ShardIndex, is_address, parse_index, place_of
from striate.data.shards.order import WINDOW
from striate.data.shards.scan import Scan
from striate.errors import InputError, counted

Parts = dict[str, list[tuple[Shard, Samples]]]  # split -> its shards with their samples


def is_tar_shards(folder: Path) -> bool:
    """Whether a folder has an index of shards, or .tar files and no folders."""
    entries = [entry for entry in folder.iterdir() if not entry.name.startswith(".")]
    if any(entry.name == INDEX_NAME for entry in entries):
        return True
    return any(entry.suffix == ".tar" for entry in entries) and not any(entry.is_dir() for entry in entries)


def is_shard(files: Sequence[str]) -> bool:
    """Whether an archive with these files is a shard."""
    return any(name.endswith(".cls") for name in files)


def load(path: Path) -> Dataset:
    """Load the shards of a folder, by its index if it has one, or a single shard.

    Args:
        path: the folder, its shards.json, or a .tar file.

    Returns:
        Splits as the index or the names of the shards say, or ``POOL`` alone. Pictures are in the order of
        the shards.

    Raises:
        InputError: an index that is not right, a shard that is missing or damaged, a class id that is none,
            fewer than two classes, or a class outside "train" that is not in it.
    """
    index = path if path.name == INDEX_NAME else path / INDEX_NAME
    if index.is_file():
        return _load_indexed(parse_index(_content(index), str(index)), str(index), str(path))
    return _load_plain(path)


def load_remote(address: str) -> Dataset:
    """Load the shards of an index at an http(s) address, or in a folder there that has a shards.json.

    Raises:
        InputError: the index cannot be downloaded or is not right, or the cache is too small for an epoch.
    """
    index = address if address.endswith(".json") else f"{address.rstrip('/')}/{INDEX_NAME}"
    return _load_indexed(parse_index(fetch_index(index), index), index, address)


def _load_indexed(index: ShardIndex, index_place: str, source: str) -> Dataset:
    parts: Parts = {}
    for split, entries in index.splits.items():
        shards = [Shard(place_of(entry.file, index_place), entry.bytes, entry.sha256) for entry in entries]
        parts[split] = list(zip(shards, entries, strict=True))
    shards = [shard for split in parts.values() for shard, _ in split]
    remote = [shard.size for shard in shards if is_address(shard.place)]
    _check_budget(remote, source)
    for shard in shards:
        if not is_address(shard.place):
            _check_size(shard, index_place)
    total = sum(shard.size for shard in shards) / 1e6
    why = f"it has an index, {INDEX_NAME}, of tar shards: {len(shards)} with {total:,.1f} MB"
    if remote:
        why += f"; {len(remote)} of them are fetched when they are needed"
    home = urlsplit(index_place).path if is_address(index_place) else index_place
    name = plain_name(Path(home).parent) or str(urlsplit(index_place).hostname)
    return _dataset(name, source, why, tuple(index.classes), index.channels, parts)


def _check_size(shard: Shard, index_place: str) -> None:
    try:
        size = Path(shard.place).stat().st_size
    except OSError as error:
        raise InputError(
            f"a shard of the index cannot be read: {error.strerror}", shard.place, "put it back"
        ) from error
    if size != shard.size:
        raise InputError(
            f"the shard has {size:,} bytes, its index says {shard.size:,}",
            shard.place,
            f"restore the shard, or remove {index_place} to read the .tar files alone",
        )


def _check_budget(sizes: list[int], source: str) -> None:
    needed = min(sum(sizes), WINDOW * max(sizes, default=0))
    if needed > cache_budget():
        raise InputError(
            f"an epoch reads {WINDOW} shards at a time: {needed / 2**20:,.0f} MB, more than the cache holds",
            source,
            f"set {BUDGET_VARIABLE} to {-(-needed >> 20)} or more",
        )


def _load_plain(path: Path) -> Dataset:
    is_folder = path.is_dir()
    files = [path] if not is_folder else [file for file in path.iterdir() if file.suffix == ".tar"]
    files = sorted((file for file in files if file.name[0] != "."), key=lambda file: natural_order(file.name))
    split_of = _splits(files, path)
    scan = Scan()
    for file in files:
        scan.read(file)
    if not scan.parts:
        raise InputError(
            "the .tar files have no samples: pictures with a .cls or .json beside each of the same name",
            path,
            scan.faults[0].what if scan.faults else "unpack them, if they are an image folder",
        )
    parts: Parts = {split: [] for split in split_of.values()}
    for shard, samples in scan.parts:
        parts[split_of[Path(shard.place)]].append((shard, samples))
    if empty := [split for split, shards in parts.items() if not shards]:
        raise InputError(f"there are no samples for {empty[0]}", path, "fill its shards or remove them")
    names_file = (path if is_folder else path.parent) / CLASSES_FILE
    count = 1 + max(max(samples.labels) for _, samples in scan.parts)
    classes = tuple(str(k) for k in range(count))
    if names_file.exists():
        classes = parse_class_names(_content(names_file), str(names_file))
    if len(classes) < count:
        raise InputError(
            f"there is a class id {count - 1}, and {counted(len(classes), 'name')} of classes",
            names_file,
            "name them all",
        )
    why = _why(scan, parts, names_file)
    return _dataset(plain_name(path), str(path), why, classes, scan.channels, parts, scan.faults)


def _splits(files: Sequence[Path], path: Path) -> dict[Path, str]:
    """The split of each shard, by the last word of its name; ``POOL`` for all if none names one."""
    words = {file: re.split("[-_.]", re.sub(r"[-_.]?[0-9]+$", "", file.stem))[-1].lower() for file in files}
    found = {file: SPLIT_FOLDERS[word] for file, word in words.items() if word in SPLIT_FOLDERS}
    if not found:
        return dict.fromkeys(files, POOL)
    if others := [file.name for file in files if file not in found]:
        raise InputError(
            f"some shards name a split, and {others[0]} does not", path, "name all of them, or none"
        )
    if "train" not in found.values():
        raise InputError(f"there are no train shards beside {files[0].name}", path, "add them")
    return found


def _why(scan: Scan, parts: Parts, names_file: Path) -> str:
    why = f"it holds tar shards without an index ({len(scan.parts)}), so each was read once; "
    why += f"classes are named by {CLASSES_FILE if names_file.exists() else 'their ids'}"
    if POOL not in parts:
        why += ", splits by the names of the shards"
    if scan.left_aside:
        kinds = ", ".join(f"{count} {kind}" for kind, count in scan.left_aside.most_common(5))
        more = ", ..." if len(scan.left_aside) > 5 else ""
        why += f"; files left aside: {scan.left_aside.total()} ({kinds}{more})"
    return why


def _dataset(
    name: str,
    source: str,
    why: str,
    classes: tuple[str, ...],
    channels: int,
    parts: Parts,
    faults: Sequence[Fault] = (),
) -> Dataset:
    if len(classes) < 2:
        raise InputError("there is only one class", source, "a classifier needs two or more")
    splits = {}
    known: set[int] = set()
    for split in sorted(parts, key=("train", "val", "test", POOL).index):
        table = ShardTable(parts[split])
        held = set(table.labels.unique().tolist())
        known = known or held  # those of the first split
        if unknown := sorted(held - known):
            raise InputError(
                f"{split} has a class that train has not: {classes[unknown[0]]}", source, "add samples of it"
            )
        splits[split] = Split(ShardImages(table, channels), table.labels)
    return Dataset(
        name=name,
        source=source,
        format="tar-shards",
        why=why,
        task="classification",
        classes=classes,
        channels=channels,
        splits=splits,
        faults=tuple(faults),
    )


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise InputError(
            f"the file cannot be read: {error.strerror}", path, "check its permissions"
        ) from error
