"""Labelled boxes as every annotation format holds them, between reading and use.

    file ──► format's reader ──► AnnotationSet ──► check ──► Objects of a split, or another format's writer
                                    problems: file, line, what is wrong

Coordinates are pixels of the upright picture, measured from the outer corner of its top left pixel: a box
around the first pixel alone is 0, 0, 1, 1, whatever the format writes for it.

A format is two modules: ``formats/NAME.py`` with ``recognizes(files) -> bool`` and ``read(files) ->
AnnotationSet``, of ``LabelFiles``; ``write/NAME.py`` with ``picture_paths(annotations) -> list[str]``, where
each picture belongs in the folder, and ``write(annotations, folder) -> list[str]``, what it could not hold.
"""

from collections.abc import Container
from dataclasses import dataclass, field, replace
from typing import Any

from striate.errors import one_line

Box = tuple[float, float, float, float]  # x1, y1, x2, y2


@dataclass(frozen=True)
class RunLengths:
    """A mask as COCO writes it: lengths of runs of 0 and 1 in turn, column by column from the top left."""

    height: int
    width: int
    counts: tuple[int, ...]


@dataclass(frozen=True)
class Annotation:
    """One object of a picture.

    Attributes:
        label: the class name.
        box_xyxy: x1, y1, x2, y2 in pixels.
        place: where it is written, as "a.xml, line 12" or "train.json, annotations[3]".
        crowd: a region of many objects.
        difficult, truncated, occluded: as PASCAL VOC means them; None where the format does not say.
        polygons: outlines, each x, y, x, y, ... in pixels.
        mask: its pixels; None where there is none.
        attributes: everything else that the format says of it, by name: strings, numbers or booleans.
    """

    label: str
    box_xyxy: Box
    place: str
    crowd: bool = False
    difficult: bool | None = None
    truncated: bool | None = None
    occluded: bool | None = None
    polygons: tuple[tuple[float, ...], ...] = ()
    mask: RunLengths | None = None
    attributes: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class AnnotatedPicture:
    """A picture file and what is in it.

    Attributes:
        path: relative to the root of the data set, with "/"; never leads out of it.
        annotations: its objects; none is a picture known to have none.
        place: where it is written.
        width, height: as the labels say, in pixels; None where they do not.
        split: "train", "val", "test", or None where the data have no splits.
        attributes: everything else that the format says of the picture.
    """

    path: str
    annotations: tuple[Annotation, ...]
    place: str
    width: int | None = None
    height: int | None = None
    split: str | None = None
    attributes: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Problem:
    """Something wrong with labels that does not keep the rest from being read.

    Attributes:
        place: file and line or entry.
        what: the fault, in one sentence.
        mend: what ``--fix`` does about it; "" where nobody but a person can tell.
        left_out: how many objects are not among the annotations because of it.
        picture: the path of the picture whose labels are not complete because of it. Such a picture is
            neither trained on nor copied: what could not be read would count as background.
        blocks_training: whether nothing can be trained before it is mended.
    """

    place: str
    what: str
    mend: str = ""
    left_out: int = 0
    picture: str = ""
    blocks_training: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "place", one_line(self.place))  # both quote what files hold
        object.__setattr__(self, "what", one_line(self.what))


@dataclass(frozen=True)
class AnnotationSet:
    """All labels of a data set.

    Attributes:
        classes: class id k is ``classes[k]``.
        pictures: sorted by split and path.
        problems: what is wrong with some labels.
    """

    classes: tuple[str, ...]
    pictures: tuple[AnnotatedPicture, ...]
    problems: tuple[Problem, ...] = ()

    @property
    def unread(self) -> dict[str, Problem]:
        """The pictures whose labels could not all be read, each with the first reason."""
        first: dict[str, Problem] = {}
        for problem in self.problems:
            if problem.picture:
                first.setdefault(problem.picture, problem)
        return first

    def without(self, paths: Container[str]) -> "AnnotationSet":
        """The labels of all other pictures."""
        return replace(
            self, pictures=tuple(picture for picture in self.pictures if picture.path not in paths)
        )


def quoted(value: object) -> str:
    """What a file holds, as messages quote it: in quotation marks, and never longer than 60 characters."""
    text = str(value) if isinstance(value, str | int | float | None) else type(value).__name__
    return f"'{one_line(text[:57] + '...' if len(text) > 60 else text)}'"
