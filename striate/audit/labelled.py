"""Labelled boxes as an audit looks at them: also those that training refuses, with all that is wrong."""

from dataclasses import dataclass, replace
from typing import NamedTuple

from striate.audit.unread_labels import read_as_far_as_possible
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
        found = {
            problem.place: Labelled(problem.picture, None) for problem in self.problems if problem.picture
        }
        for picture in self.read.pictures:
            found.setdefault(picture.place, Labelled(picture.path, None))
            for annotation in picture.annotations:
                found.setdefault(annotation.place, Labelled(picture.path, annotation))
        return found


@dataclass(frozen=True, eq=False)
class UnusableLabels:
    """Labels of which nothing can be used: why, and what is wrong with each file and line."""

    error: InputError
    problems: tuple[Problem, ...]


def read_labels(source: str, labels: LabelSource) -> Labels | UnusableLabels:
    """Read labels whatever is wrong with them, as far as they can be read at all.

    Labels that training refuses are mended, in memory, as ``striate data convert --fix`` would; objects of
    which nobody can tell the class, and files that cannot be read, are left out of account. So the rest can
    be looked at.

    Args:
        source: what a person gave as data.
        labels: where they are.
    """
    try:
        name = labels.format or format_of(labels.files)
    except InputError as error:  # in several formats
        return UnusableLabels(error, ())
    read, unread = read_as_far_as_possible(READERS[name], labels.files)
    if isinstance(read, InputError):
        return UnusableLabels(read, unread)
    read = replace(read, problems=(*unread, *read.problems))
    sizes = PictureSizes(labels.files)
    problems = (*read.problems, *find_faults(read, sizes, sizes.orientation))
    try:
        return Labels(read, read, problems, as_dataset(read, sizes, source, name), "")
    except InputError as error:
        refused = error
    mended = with_classes_only(fix(read, sizes, sizes.orientation))
    mended = replace(mended, problems=tuple(replace(one, blocks_training=False) for one in mended.problems))
    try:
        return Labels(read, mended, problems, as_dataset(mended, sizes, source, name), refused.what)
    except InputError:
        return UnusableLabels(refused, problems)


def with_classes_only(annotations: AnnotationSet) -> AnnotationSet:
    """The labels without objects that have no class name, or one that is no class."""
    classes = tuple(filter(None, annotations.classes))

    def named(picture: AnnotatedPicture) -> AnnotatedPicture:
        return replace(picture, annotations=tuple(a for a in picture.annotations if a.label in classes))

    return replace(annotations, classes=classes, pictures=tuple(map(named, annotations.pictures)))
