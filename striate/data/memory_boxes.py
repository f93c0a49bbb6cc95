"""Pictures with boxes that lie in memory, as the files and labels that a conversion reads."""

from pathlib import Path

from striate.data.annotations import AnnotatedPicture, Annotation, AnnotationSet
from striate.data.dataset import Dataset, Images
from striate.data.label_files import LabelFiles
from striate.errors import InputError
from striate.samples import Objects


def as_files(dataset: Dataset) -> tuple[AnnotationSet, LabelFiles]:
    """The labels of a data set, and its pictures as files, which are made when they are read.

    Raises:
        InputError: its pictures have no boxes.
    """
    pictures: list[AnnotatedPicture] = []
    places: dict[str, tuple[Images, int]] = {}
    for name, split in dataset.splits.items():
        if split.objects is None:
            raise InputError("its pictures have no boxes", dataset.source, "--to image-folder holds classes")
        found = _annotations(split.objects, dataset)
        for index, annotations in enumerate(found):
            facts, suffix = split.images.facts(index), split.images.as_file(index)[1]
            path = f"{name}/{name}_{index:05d}{suffix}"
            places[path] = split.images, index
            pictures.append(AnnotatedPicture(path, annotations, path, facts.width, facts.height, name))
    pictures.sort(key=lambda picture: (picture.split or "", picture.path))

    def read(path: str) -> bytes:
        images, index = places[path]
        return images.as_file(index)[0]

    files = LabelFiles(Path(dataset.source), tuple(sorted(places)), read)
    return AnnotationSet(dataset.classes, tuple(pictures)), files


def _annotations(objects: Objects, dataset: Dataset) -> list[tuple[Annotation, ...]]:
    """The objects of each picture."""
    columns = (objects.boxes_xyxy, objects.labels, objects.crowd, objects.difficult)
    rows = [
        Annotation(dataset.classes[label], tuple(box), dataset.source, crowd, difficult or None)
        for box, label, crowd, difficult in zip(*(column.tolist() for column in columns), strict=True)
    ]
    ends = objects.counts.cumsum(0).tolist()
    return [tuple(rows[end - count : end]) for end, count in zip(ends, objects.counts.tolist(), strict=True)]
