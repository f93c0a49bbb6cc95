"""From one format of labelled boxes to a folder of another, whole or not at all.

label files ──► read ──► check ──► (fix) ──► (divide) ──► written labels, and copies of the pictures
                  └──────── problems ────►  the conversion, with file and line
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from striate.data.annotations import AnnotatedPicture, AnnotationSet, Problem
from striate.data.dataset import ArchiveImages, Dataset, FolderImages
from striate.data.formats.annotations import READERS, format_of
from striate.data.formats.boxes import as_dataset
from striate.data.label_checks import check, fix, with_sizes
from striate.data.label_files import LabelFiles
from striate.data.label_pictures import nothing_left
from striate.data.memory_boxes import as_files
from striate.data.picture_sizes import PictureSizes
from striate.data.write import coco, csv_boxes, cvat, label_studio, labelme, via, voc, yolo
from striate.data.write.whole import check_place, copied, hard_link, write_whole
from striate.errors import InputError

_UNSPLIT = "all"  # what pictures without a split are counted under

PATHS: dict[str, Callable[[AnnotationSet], list[str]]] = {
    "voc": voc.picture_paths,
    "coco": coco.picture_paths,
    "yolo": yolo.picture_paths,
    "via": via.picture_paths,
    "label-studio": label_studio.picture_paths,
    "labelme": labelme.picture_paths,
    "cvat": cvat.picture_paths,
    "csv": csv_boxes.picture_paths,
}
WRITERS: dict[str, Callable[[AnnotationSet, Path], list[str]]] = {
    "voc": voc.write,
    "coco": coco.write,
    "yolo": yolo.write,
    "via": via.write,
    "label-studio": label_studio.write,
    "labelme": labelme.write,
    "cvat": cvat.write,
    "csv": csv_boxes.write,
}
BOX_FORMATS = tuple(WRITERS)


@dataclass(frozen=True)
class BoxConversion:
    """What was written.

    Attributes:
        out: the folder.
        format: one of ``BOX_FORMATS``.
        source_format: that of the labels that were read.
        classes: the class names, by class id.
        counts: pictures by split, "all" for those without.
        objects: boxes written.
        files, bytes: of the folder.
        notes: what the format could not hold, and what else a person should know, in sentences.
        fixed: whether what could be mended was mended.
        problems: what is wrong with the labels that were read.
    """

    out: Path
    format: str
    source_format: str
    classes: tuple[str, ...]
    counts: dict[str, int]
    objects: int
    files: int
    bytes: int
    notes: tuple[str, ...]
    fixed: bool = False
    problems: tuple[Problem, ...] = ()

    def facts(self) -> dict[str, Any]:
        """Plain values that JSON can hold."""
        return {
            "out": str(self.out),
            "format": self.format,
            "source_format": self.source_format,
            "classes": list(self.classes),
            "splits": self.counts,
            "objects": self.objects,
            "files": self.files,
            "bytes": self.bytes,
            "fixed": self.fixed,
            "problems": [
                {"place": p.place, "what": p.what, "mend": p.mend, "left_out": p.left_out}
                for p in self.problems
            ],
            "notes": list(self.notes),
        }


def convert_boxes(
    source: Path,
    out: Path,
    to: str | None,
    *,
    source_format: str | None = None,
    fix_problems: bool = False,
    divide: Callable[[Dataset], Dataset] | None = None,
    link: bool = False,
) -> BoxConversion:
    """Write labelled boxes in another format, beside copies of their pictures. The source is only read.

    Args:
        source: a folder, an archive, or a label file in the folder of the data.
        out: the folder to make; nothing, or an empty folder, is there.
        to: one of ``BOX_FORMATS``; None: that of the source, if it is one of them.
        source_format: one of ``READERS``; by default what the files look like.
        fix_problems: mend what can be mended, as each problem says. Else boxes are written as they are.
        divide: gives the data set, as it would be trained on, other splits, which are then written.
        link: make hard links to pictures instead of copies, where that is possible.

    Raises:
        InputError: ``out`` is not empty or cannot be written, the labels cannot be read or are in none of the
            formats, a picture is missing and is not to be left out, the format cannot hold these labels, or
            they are to be divided and cannot be trained on. Nothing is left behind.
    """
    out = out.resolve()
    if to:
        check_format(to, "--format")
    check_place(out, source)
    files = LabelFiles.open(source)
    own = _check_readable(source_format) if source_format else format_of(files)
    check_format(to or own, "--format")
    sizes = PictureSizes(files)
    annotations = READERS[own](files)
    annotations, problems = _checked(annotations.without(annotations.unread), sizes, fix_problems)
    if divide:
        annotations = with_splits_of(divide(as_dataset(annotations, sizes, str(source), own)), annotations)
    done = _write(annotations, files, out, to or own, own, link)
    return replace(done, fixed=fix_problems, problems=problems)


def write_boxes(dataset: Dataset, out: Path, to: str) -> BoxConversion:
    """Write pictures with boxes that lie in memory, such as generated ones.

    Args:
        out, to: as for ``convert_boxes``.

    Raises:
        InputError: ``out`` is not empty or cannot be written, or there are no boxes. Nothing is left behind.
    """
    out = out.resolve()
    check_format(to, "--format")
    check_place(out, None)
    annotations, files = as_files(dataset)
    return _write(annotations, files, out, to, dataset.format)


def with_splits_of(dataset: Dataset, annotations: AnnotationSet) -> AnnotationSet:
    """Labels with the splits of the data set that was made of them; pictures that it left out keep theirs."""
    split_of: dict[str, str] = {}
    for name, split in dataset.splits.items():
        assert isinstance(split.images, FolderImages | ArchiveImages)
        split_of |= dict.fromkeys(split.images.paths, name)
    pictures = (replace(one, split=split_of.get(one.path, one.split)) for one in annotations.pictures)
    ordered = sorted(pictures, key=lambda picture: (picture.split or "", picture.path))
    return replace(annotations, pictures=tuple(ordered))


def check_format(name: str, option: str) -> str:
    """``name`` if it is one of ``BOX_FORMATS``. Raises InputError, which names the option, if not."""
    if name not in BOX_FORMATS:
        what = f"{name} is only read" if name in READERS else f"{name!r} is no format of boxes"
        raise InputError(what, option, f"one of: {', '.join(BOX_FORMATS)}")
    return name


def _check_readable(name: str) -> str:
    """``name`` if labels of this format can be read. Raises InputError if not."""
    if name not in READERS:
        raise InputError(f"{name!r} is no format of boxes", "--from", f"one of: {', '.join(READERS)}")
    return name


def _checked(
    annotations: AnnotationSet, sizes: PictureSizes, fix_problems: bool
) -> tuple[AnnotationSet, tuple[Problem, ...]]:
    """The labels to write, of pictures that can be read and whose size is known, and all problems."""
    problems = (*annotations.problems, *check(annotations, sizes, sizes.orientation))
    if fix_problems:
        checked = _with_true_areas(fix(annotations, sizes, sizes.orientation), annotations)
    else:
        _check_pictures(annotations, sizes)
        checked = with_sizes(annotations, sizes)
    if not checked.pictures:
        what = "no picture that the labels are for can be read"
        raise nothing_left(what, sizes.files.root, problems, "add the pictures")
    return checked, problems


def _check_pictures(annotations: AnnotationSet, sizes: PictureSizes) -> None:
    for picture in annotations.pictures:
        if fault := sizes.fault(picture.path):
            raise InputError(
                f"the picture {picture.path} cannot be read: {fault}",
                picture.place,
                "add the picture; --fix leaves its labels out",
            )


def _with_true_areas(annotations: AnnotationSet, before: AnnotationSet) -> AnnotationSet:
    """The labels without the areas that COCO's files say of objects, where these have changed since."""
    boxes = {a.place: a.box_xyxy for picture in before.pictures for a in picture.annotations}

    def true(picture: AnnotatedPicture) -> AnnotatedPicture:
        objects = (
            a
            if a.box_xyxy == boxes[a.place]
            else replace(a, attributes={name: v for name, v in a.attributes.items() if name != "area"})
            for a in picture.annotations
        )
        return replace(picture, annotations=tuple(objects))

    return replace(annotations, pictures=tuple(map(true, annotations.pictures)))


def _write(
    annotations: AnnotationSet, files: LabelFiles, out: Path, to: str, own: str, link: bool = False
) -> BoxConversion:
    """Write labels and pictures."""
    paths = PATHS[to](annotations)

    def fill(folder: Path) -> list[str]:
        copies = _put_pictures(annotations, files, paths, folder, link)
        notes = WRITERS[to](annotations, folder)
        return [*notes, copied(copies)] if link and copies else notes

    notes, lengths = write_whole(out, fill)
    return BoxConversion(
        out,
        to,
        own,
        annotations.classes,
        _counts(annotations),
        objects=sum(len(picture.annotations) for picture in annotations.pictures),
        files=len(lengths),
        bytes=sum(lengths),
        notes=tuple(notes + _renamed(annotations, paths)),
    )


def _put_pictures(
    annotations: AnnotationSet, files: LabelFiles, paths: list[str], folder: Path, link: bool
) -> int:
    """Put each picture at its path in the folder; how many are copies, not links."""
    copies = 0
    for picture, path in zip(annotations.pictures, paths, strict=True):
        place = folder / path
        place.parent.mkdir(parents=True, exist_ok=True)
        if link and files.folder and hard_link(files.folder / picture.path, place):
            continue
        copies += 1
        with place.open("xb") as file:
            file.write(files.read(picture.path))
    return copies


def _counts(annotations: AnnotationSet) -> dict[str, int]:
    splits = [picture.split or _UNSPLIT for picture in annotations.pictures]
    return {split: splits.count(split) for split in ("train", "val", "test", _UNSPLIT) if split in splits}


def _renamed(annotations: AnnotationSet, paths: list[str]) -> list[str]:
    pairs = [
        (picture.path, path)
        for picture, path in zip(annotations.pictures, paths, strict=True)
        if Path(picture.path).name != Path(path).name
    ]
    if not pairs:
        return []
    what = "picture has" if len(pairs) == 1 else "pictures have"
    return [f"{len(pairs):,} {what} another name, as {pairs[0][0]}, which is {pairs[0][1]}"]
