"""Labelled boxes as an audit looks at them: also those that training refuses, with all that is wrong."""

from dataclasses import dataclass, replace
from typing import NamedTuple

from striate.data.annotations import AnnotatedPicture, Annotation, AnnotationSet, Problem
from striate.data.dataset import Dataset
from striate.data.formats.annotations import READERS, format_of
from striate.data.formats.boxes import as_dataset
from striate.data.label_checks import find_faults, fix
from striate.data.load import LabelSource
from striate.data.picture_sizes import PictureSizes
from striate.errors import InputError


class Labelled(NamedTuple):
    """What a problem is about: a picture, and its object if it is about one."""

    path: str
    annotation: Annotation | None


@dataclass(frozen=True, eq=False)
class Labels:
    """The labels of a data set.

    Attributes:
        read: as the files say it.
        used: what the data set is made of: the same, or mended where training refuses it.
        problems: what is wrong with what was read.
        dataset: of ``used``.
        refusal: why loading refuses the set; "" if it does not.
    """

    read: AnnotationSet
    used: AnnotationSet
    problems: tuple[Problem, ...]
    dataset: Dataset
    refusal: str

    def places(self) -> dict[str, list[str]]:
        """File and line of each object of a picture, by the picture's path."""
        return {picture.path: [a.place for a in picture.annotations] for picture in self.used.pictures}

    def subjects(self) -> dict[str, Labelled]:
        """What is written at a place: a picture, or one of its objects."""
        found: dict[str, Labelled] = {}
        for picture in self.read.pictures:
            found.setdefault(picture.place, Labelled(picture.path, None))
            for annotation in picture.annotations:
                found.setdefault(annotation.place, Labelled(picture.path, annotation))
        return found


def read_labels(source: str, labels: LabelSource) -> Labels:
    """Read labels whatever is wrong with them, as far as they can be read at all.

    Labels that training refuses are mended, in memory, as ``striate data convert --fix`` would; objects of
    which nobody can tell the class are left out of account. So the rest can be looked at.

    Args:
        source: what a person gave as data.
        labels: where they are.

    Raises:
        InputError: they are in no format or in several, or cannot be read, or no picture of them can.
    """
    name = labels.format or format_of(labels.files)
    read = READERS[name](labels.files)
    sizes = PictureSizes(labels.files)
    problems = (*read.problems, *find_faults(read, sizes, sizes.orientation))
    try:
        return Labels(read, read, problems, as_dataset(read, sizes, source, name), "")
    except InputError as error:
        if not any(problem.blocks_training for problem in problems):
            raise
        refusal = error.what
    mended = with_classes_only(fix(read, sizes, sizes.orientation))
    return Labels(read, mended, problems, as_dataset(mended, sizes, source, name), refusal)


def with_classes_only(annotations: AnnotationSet) -> AnnotationSet:
    """The labels without objects that have no class name, or one that is no class."""
    classes = tuple(filter(None, annotations.classes))

    def named(picture: AnnotatedPicture) -> AnnotatedPicture:
        return replace(picture, annotations=tuple(a for a in picture.annotations if a.label in classes))

    return replace(annotations, classes=classes, pictures=tuple(map(named, annotations.pictures)))
