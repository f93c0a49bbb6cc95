"""Writes class folders: split/class/name.ext, or class/name.ext for a set without splits."""

from collections import defaultdict
from pathlib import Path

from striate.data.dataset import POOL, FolderImages, Images
from striate.data.formats.image_folder import natural_order
from striate.data.split_names import split_name
from striate.data.write.names import UniqueNames, file_stem, safe_name
from striate.data.write.pictures import Source, read_file
from striate.data.write.whole import COPIED, hard_link
from striate.errors import InputError


def write_image_folder(source: Source, folder: Path, link: bool = False) -> list[str]:
    """Write class folders; files keep their bytes, pictures from memory become PNG.

    Args:
        source: the pictures.
        folder: an empty folder.
        link: make hard links to files instead of copies, where that is possible.

    Returns:
        What a person should know of the result.

    Raises:
        InputError: the names of classes cannot be told apart as folders, or would be taken for splits.
        OSError: the disk is full, or refuses.
    """
    dataset = source.dataset
    folders = _class_folders(source)
    names: defaultdict[Path, UniqueNames] = defaultdict(UniqueNames)
    copies = 0
    for split, samples in dataset.splits.items():
        home = folder if split == POOL else folder / split
        for index, file in source.each(split, read_file):
            label = int(samples.targets[index])
            place = home / folders[label]
            if place not in names:
                place.mkdir(parents=True)
            stem = file_stem(samples.images.name(index), split, dataset.classes[label])
            path = place / names[place].claim(stem, file.suffix)
            if not (link and _link(samples.images, index, path)):
                copies += 1
                with path.open("xb") as written:
                    written.write(file.content)
    notes = [
        f"class {name} is in the folder {own}"
        for name, own in zip(dataset.classes, folders, strict=True)
        if name != own
    ]
    if folders != sorted(folders, key=natural_order):
        notes.append("class ids are other than before: an image folder numbers classes in natural order")
    if link and copies:
        notes.append(COPIED.format(copies))
    return notes


def _class_folders(source: Source) -> list[str]:
    """The name of each class's folder, by class id."""
    dataset = source.dataset
    folders = [safe_name(name) for name in dataset.classes]
    for k, name in enumerate(folders):
        if name in folders[:k]:
            raise InputError(
                f"the classes {dataset.classes[folders.index(name)]} and {dataset.classes[k]} would have the "
                f"same folder, {name}",
                dataset.source,
                "--to tar-shards keeps any class names",
            )
    splits = [name for name in folders if split_name(name)]
    if POOL in dataset.splits and splits and (len(splits) > 1 or len(splits) == len(folders)):
        raise InputError(
            f"classes would be taken for splits: {', '.join(splits)}",
            dataset.source,
            "--to tar-shards keeps any class names",
        )
    return folders


def _link(images: Images, index: int, path: Path) -> bool:
    """Make ``path`` a hard link to a picture's file; whether that could be done."""
    return isinstance(images, FolderImages) and hard_link(images.root / images.paths[index], path)
