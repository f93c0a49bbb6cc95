"""Pictures with labelled boxes, in any of the annotation formats, as a data set.

Labels that cannot be trained on are an error, which names them; nothing is mended here. Pictures that are
missing or cannot be read are left out as ``Fault``. So are pictures of which a label cannot be read, since
its object would count as background, and pictures in no split beside splits. The rest is a remark.
"""

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from striate.data.annotations import AnnotatedPicture, AnnotationSet, Problem
from striate.data.archive import is_archive, open_archive, plain_name
from striate.data.dataset import (
    POOL,
    ArchiveImages,
    Dataset,
    Fault,
    FolderImages,
    Images,
    Split,
    dominant_labels,
)
from striate.data.formats.annotations import READERS, format_of, recognizers
from striate.data.label_checks import cut_at_edges, require_trainable
from striate.data.label_files import LabelFiles
from striate.data.label_pictures import nothing_left
from striate.data.picture_sizes import PictureSizes
from striate.samples import Objects

LABEL_SUFFIXES = (".xml", ".json", ".csv", ".txt", ".yaml", ".yml")


def recognizes(files: LabelFiles) -> bool:
    """Whether these are pictures with boxes."""
    labelled = any(path.lower().endswith(LABEL_SUFFIXES) for path in files.paths)
    return labelled and any(recognizer(files) for recognizer in recognizers())


def load(path: Path, files: LabelFiles | None = None, name: str = "") -> Dataset:
    """Load pictures with labelled boxes; every picture's header is read.

    Args:
        path: a folder, an archive, or a label file beside or above its pictures.
        files: what is there, where it is known already.
        name: of the format, where it is known already.

    Raises:
        InputError: the labels are in no format that is known or in several, a label cannot be trained on, or
            no picture can be read.
    """
    files = files or LabelFiles.open(path)
    name = name or format_of(files)
    return as_dataset(READERS[name](files), PictureSizes(files), str(path), name)


def as_dataset(annotations: AnnotationSet, sizes: PictureSizes, source: str, name: str) -> Dataset:
    """Labels that were read, and perhaps mended, as a data set.

    Args:
        annotations: of the pictures among the files of ``sizes``.
        sizes: of these pictures.
        source: what a person gave as data.
        name: of the format.

    Raises:
        InputError: a label cannot be trained on, or no picture can be read.
    """
    unread = annotations.unread
    faults = [Fault(path, f"{problem.place}: {problem.what}") for path, problem in unread.items()]
    annotations = annotations.without(unread)
    problems = require_trainable(annotations, sizes, source, sizes.orientation)
    annotations = cut_at_edges(annotations, sizes)
    faults += [
        Fault(picture.path, sizes.fault(picture.path))
        for picture in annotations.pictures
        if sizes.facts(picture.path) is None
    ]
    pictures, homeless = _with_split(
        [picture for picture in annotations.pictures if sizes.facts(picture.path) is not None]
    )
    if not pictures:
        reasons = [*(Problem(fault.name, fault.what) for fault in faults), *annotations.problems]
        raise nothing_left(
            "no labelled picture can be used", source, reasons, "mend the labels or the pictures"
        )
    faults += [Fault(picture.path, "it is in no split, while others are") for picture in homeless]
    facts = [sizes.facts(picture.path) for picture in pictures]
    channels = 1 if all(fact is not None and fact.channels == 1 for fact in facts) else 3
    told = [*(problem for problem in annotations.problems if problem.picture not in unread), *problems]
    remarks = [f"{problem.place}: {problem.what}" for problem in told]
    return Dataset(
        name=plain_name(Path(source)),
        source=source,
        format=name,
        why=f"there are labels as {name} writes them",
        task="detection",
        classes=annotations.classes,
        channels=channels,
        splits=_splits(annotations, pictures, sizes.files.root, channels, name == "coco"),
        faults=tuple(faults),
        remarks=tuple(remarks),
    )


def _with_split(
    pictures: list[AnnotatedPicture],
) -> tuple[list[AnnotatedPicture], list[AnnotatedPicture]]:
    """The pictures to use, and those that are in no split while others are."""
    if not any(picture.split for picture in pictures):
        return pictures, []
    return [p for p in pictures if p.split], [p for p in pictures if not p.split]


def _splits(
    annotations: AnnotationSet,
    pictures: list[AnnotatedPicture],
    root: Path,
    channels: int,
    has_areas: bool,
) -> dict[str, Split]:
    images = _images(root, [picture.path for picture in pictures], channels)
    objects = _objects(pictures, annotations.classes)
    if has_areas:
        objects = replace(objects, areas=_areas(pictures))
    whole = Split(images, dominant_labels(objects, len(annotations.classes)), objects)
    names = [picture.split or POOL for picture in pictures]
    order = [name for name in ("train", "val", "test", POOL) if name in names]
    order += sorted(set(names) - set(order))
    rows = {name: torch.tensor([i for i, own in enumerate(names) if own == name]) for name in order}
    return {name: whole.select(chosen) for name, chosen in rows.items()}


def _images(root: Path, paths: list[str], channels: int) -> Images:
    if is_archive(root):
        return ArchiveImages(open_archive(root), "", paths, channels)
    return FolderImages(root, paths, channels)


def _objects(pictures: list[AnnotatedPicture], classes: tuple[str, ...]) -> Objects:
    class_id = {name: number for number, name in enumerate(classes)}
    found = [annotation for picture in pictures for annotation in picture.annotations]
    return Objects(
        boxes_xyxy=torch.tensor([a.box_xyxy for a in found], dtype=torch.float32).reshape(-1, 4),
        labels=torch.tensor([class_id[a.label] for a in found], dtype=torch.int64),
        counts=torch.tensor([len(picture.annotations) for picture in pictures], dtype=torch.int64),
        crowd=torch.tensor([a.crowd for a in found], dtype=torch.bool),
        difficult=torch.tensor([bool(a.difficult) for a in found], dtype=torch.bool),
    )


def _areas(pictures: list[AnnotatedPicture]) -> Tensor | None:
    """What COCO's files call the area of each object, which is that of its mask; None where they never do."""
    said = [_area(a.attributes.get("area")) for picture in pictures for a in picture.annotations]
    return None if all(map(math.isnan, said)) else torch.tensor(said, dtype=torch.float64)


def _area(value: Any) -> float:
    """A number of square pixels; NaN for anything else."""
    is_area = isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < math.inf
    return float(value) if is_area else math.nan
