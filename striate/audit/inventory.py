"""Everything that lies in a data set, also what loading leaves out, and sets that loading refuses."""

from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

import torch

from striate.audit.labelled import Labels, UnusableLabels, read_labels
from striate.data.annotations import Problem
from striate.data.archive import is_archive, open_archive, plain_name
from striate.data.dataset import POOL, ArchiveImages, Dataset, FolderImages, Images
from striate.data.formats.folder_splits import FolderSplits, folder_splits, is_lone_split
from striate.data.formats.image_folder import natural_order
from striate.data.images import IMAGE_SUFFIXES
from striate.data.listing import is_data, list_folder
from striate.data.load import LabelSource, find_labels, load_data
from striate.data.split_names import split_name
from striate.errors import InputError, one_line
from striate.samples import Objects


@dataclass(frozen=True)
class Entry:
    """One file or record of a data set.

    Attributes:
        name: what tells a person which one it is.
        split: "train", "val", "test" or "all".
        label: the name of its class; "" if it has none, or boxes instead.
        part, index: where to read it: picture ``index`` of part number ``part``; part -1 is nowhere.
        fault: why loading leaves it out; "" if it does not.
    """

    name: str
    split: str
    label: str
    part: int
    index: int
    fault: str = ""


@dataclass(frozen=True)
class Inventory:
    """What there is to look at.

    Attributes:
        name, source, format: of the data set.
        classes: the K class names.
        entries: pictures and other files.
        parts: where they are read.
        dataset: what loading makes of it; None if loading refuses it, but for boxes, which are mended then.
        refusal: why loading refuses it; "" if it does not.
        objects: the boxes of each entry, in its own pixels; None where pictures have a class.
        places: where each object is written, file and line; "" where no file says it.
        labels: of the files, where there are some.
        problems: what is wrong with them, file by file and line by line.
    """

    name: str
    source: str
    format: str
    classes: tuple[str, ...]
    entries: tuple[Entry, ...]
    parts: tuple[Images, ...]
    dataset: Dataset | None = None
    refusal: str = ""
    objects: Objects | None = None
    places: tuple[str, ...] = ()
    labels: Labels | None = None
    problems: tuple[Problem, ...] = ()


def take_inventory(source: str | Path, format: str | None = None) -> Inventory:
    """List a data set.

    Args:
        source, format: what ``load_data`` takes.

    Raises:
        InputError: loading refuses it, and there is no folder or archive of pictures in class folders to
            look at either.
    """
    if labels := find_labels(source, format):
        return _list_labels(str(source), labels)
    try:
        return list_dataset(load_data(source, format))
    except InputError as error:
        inventory = _list_class_folders(Path(source)) if format in (None, "image-folder") else None
        if inventory is None:
            raise
        return replace(inventory, refusal=error.what)


def _list_labels(source: str, labels: LabelSource) -> Inventory:
    """The pictures of labelled boxes; only the pictures where the labels cannot be read at all."""
    known = read_labels(source, labels)
    if isinstance(known, UnusableLabels):
        error = known.error
        inventory = _list_class_folders(labels.path if labels.files.file is None else labels.files.root)
        if inventory is None:
            raise error
        entries = tuple(replace(entry, label="") for entry in inventory.entries)
        where = f"{error.where}: " if error.where not in ("", source) else ""
        return replace(
            inventory,
            source=source,
            format="labels that cannot be read",
            classes=(),
            entries=entries,
            refusal=f"{where}{error.what}",
            problems=known.problems if len(known.problems) > 1 else (),  # the refusal names the only one
        )
    return list_dataset(known.dataset, known)


def list_dataset(dataset: Dataset, labels: Labels | None = None) -> Inventory:
    """The pictures of a data set, split by split, and the files that loading left out.

    Args:
        dataset: perhaps split.
        labels: of which it was made, if it has boxes that files say.
    """
    has_boxes = all(split.objects is not None for split in dataset.splits.values())
    entries: list[Entry] = []
    parts: list[Images] = []
    for name, split in dataset.splits.items():
        for i, target in enumerate(split.targets.tolist()):
            label = "" if has_boxes else dataset.classes[target]
            entries.append(Entry(split.images.name(i), name, label, len(parts), i))
        parts.append(split.images)
    place = -1
    if left_out := _beside(parts[0], [fault.name for fault in dataset.faults]):
        place = len(parts)
        parts.append(left_out)
    layout = FolderSplits({}) if POOL in dataset.splits else _named([f.name for f in dataset.faults])
    for i, fault in enumerate(dataset.faults):
        name, label = _split_and_class(fault.name, layout)
        known = label if label in dataset.classes and not has_boxes else ""
        entries.append(Entry(fault.name, name, known, place, i, fault.what))
    inventory = Inventory(
        dataset.name, dataset.source, dataset.format, dataset.classes, tuple(entries), tuple(parts), dataset
    )
    return _with_objects(inventory, dataset, labels) if has_boxes else inventory


def _with_objects(inventory: Inventory, dataset: Dataset, labels: Labels | None) -> Inventory:
    """The inventory with the boxes of its entries, and where each is written."""
    nothing = Objects.of(torch.zeros(0, 4), torch.zeros(0).long(), torch.zeros(len(dataset.faults)).long())
    boxes = [split.objects for split in dataset.splits.values() if split.objects is not None]
    objects = Objects.join([*boxes, nothing])
    places = [""] * len(objects.labels)
    if labels:
        written = {one_line(path): found for path, found in labels.places().items()}
        pictures = inventory.entries[: len(inventory.entries) - len(dataset.faults)]
        places = [place for entry in pictures for place in written[entry.name]]
    refusal = labels.refusal if labels else ""
    problems = labels.problems if labels else ()
    return replace(
        inventory,
        objects=objects,
        places=tuple(places),
        labels=labels,
        refusal=refusal,
        problems=problems,
    )


def _beside(images: Images, names: list[str]) -> Images | None:
    """Files in the same folder or archive as ``images``."""
    if isinstance(images, FolderImages):
        return FolderImages(images.root, names)
    if isinstance(images, ArchiveImages):
        return ArchiveImages(images.archive, images.root, names)
    return None


def _list_class_folders(path: Path) -> Inventory | None:
    """Every picture of a folder or archive, whatever is wrong with the set; None if there is none."""
    if is_archive(path):
        archive = open_archive(path)
        files = [name for name in archive.files if is_data(name)]
    elif path.is_dir():
        files = list(list_folder(path).files)
    else:
        return None
    files = sorted(name for name in files if PurePosixPath(name).suffix.lower() in IMAGE_SUFFIXES)
    if not files:
        return None
    root, names = _without_wrappers(files)
    images: Images = (
        ArchiveImages(archive, root, names) if is_archive(path) else FolderImages(path / root, names)
    )
    layout = _layout(names, path)
    placed = [_split_and_class(name, layout) for name in names]
    entries = [
        Entry(one_line(name), split, one_line(label), 0, i)
        for i, (name, (split, label)) in enumerate(zip(names, placed, strict=True))
    ]
    classes = sorted({entry.label for entry in entries} - {""}, key=natural_order)
    return Inventory(plain_name(path), str(path), "image-folder", tuple(classes), tuple(entries), (images,))


def _without_wrappers(files: list[str]) -> tuple[str, list[str]]:
    """The folder that is around all class folders, and the files relative to it."""
    root: list[str] = []
    while True:
        tops = {name.split("/")[0] for name in files}
        deep = all(name.count("/") >= 2 for name in files)
        if len(tops) > 1 or not deep or is_lone_split(files[0].split("/")[0]):
            return "/".join(root), files
        root.append(tops.pop())
        files = [name.split("/", 1)[1] for name in files]


def _layout(names: list[str], path: Path) -> FolderSplits:
    """The splits; as far as names tell them where training refuses the folders."""
    try:
        return folder_splits(sorted({name.split("/")[0] for name in names if "/" in name}), names, path)
    except InputError:
        layout = _named(names)
        return layout if any(split != POOL for split in layout.split_of.values()) else FolderSplits({})


def _named(names: list[str]) -> FolderSplits:
    """The splits that uppermost folders name; others are in none."""
    tops = {name.split("/")[0] for name in names if "/" in name}
    return FolderSplits({top: split_name(top) or POOL for top in sorted(tops)})


def _split_and_class(name: str, layout: FolderSplits) -> tuple[str, str]:
    """Split and class of a file by its folders; "" for a class that they do not tell."""
    split, folders = layout.place(name.split("/")[:-1])
    return split, folders[0] if folders else ""
