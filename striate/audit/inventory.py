"""Everything that lies in a data set, also what loading leaves out, and sets that loading refuses."""

from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

from striate.data.archive import is_archive, open_archive, plain_name
from striate.data.dataset import POOL, ArchiveImages, Dataset, FolderImages, Images
from striate.data.formats.image_folder import SPLIT_FOLDERS, list_folder, natural_order
from striate.data.images import IMAGE_SUFFIXES
from striate.data.load import load_data
from striate.errors import InputError, one_line


@dataclass(frozen=True)
class Entry:
    """One file or record of a data set.

    Attributes:
        name: what tells a person which one it is.
        split: "train", "val", "test" or "all".
        label: the name of its class; "" if it has none.
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
        dataset: what loading makes of it; None if loading refuses it.
        refusal: why loading refuses it; "" if it does not.
    """

    name: str
    source: str
    format: str
    classes: tuple[str, ...]
    entries: tuple[Entry, ...]
    parts: tuple[Images, ...]
    dataset: Dataset | None = None
    refusal: str = ""


def take_inventory(source: str | Path) -> Inventory:
    """List a data set.

    Args:
        source: what ``load_data`` takes.

    Raises:
        InputError: loading refuses it, and there is no folder or archive of pictures in class folders to
            look at either.
    """
    try:
        return list_dataset(load_data(source))
    except InputError as error:
        inventory = _list_class_folders(Path(source))
        if inventory is None:
            raise
        return replace(inventory, refusal=error.what)


def list_dataset(dataset: Dataset) -> Inventory:
    """The pictures of a data set, split by split, and the files that loading left out."""
    entries: list[Entry] = []
    parts: list[Images] = []
    for split_name, split in dataset.splits.items():
        for i, target in enumerate(split.targets.tolist()):
            name, label = split.images.name(i), dataset.classes[target]
            entries.append(Entry(name, split_name, label, len(parts), i))
        parts.append(split.images)
    place = -1
    if left_out := _beside(parts[0], [fault.name for fault in dataset.faults]):
        place = len(parts)
        parts.append(left_out)
    with_splits = POOL not in dataset.splits
    for i, fault in enumerate(dataset.faults):
        split_name, label = _split_and_class(fault.name, with_splits)
        entries.append(
            Entry(fault.name, split_name, label if label in dataset.classes else "", place, i, fault.what)
        )
    return Inventory(
        dataset.name,
        dataset.source,
        dataset.format,
        dataset.classes,
        tuple(entries),
        tuple(parts),
        dataset,
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
        files = [
            name for name in archive.files if not name.startswith((".", "__MACOSX")) and "/." not in name
        ]
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
    with_splits = any(name.split("/")[0].lower() in SPLIT_FOLDERS for name in names)
    placed = [_split_and_class(name, with_splits) for name in names]
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
        if len(tops) > 1 or not deep or files[0].split("/")[0].lower() in SPLIT_FOLDERS:
            return "/".join(root), files
        root.append(tops.pop())
        files = [name.split("/", 1)[1] for name in files]


def _split_and_class(name: str, with_splits: bool) -> tuple[str, str]:
    """Split and class of a file by its folders; "" for a class that they do not tell."""
    folders = name.split("/")[:-1]
    split = POOL
    if with_splits and folders:
        split = SPLIT_FOLDERS.get(folders.pop(0).lower(), POOL)
    return split, folders[0] if folders else ""
