"""What is wrong with labels, measured against the pictures; and the labels after ``--fix``.

One pass finds the faults and makes the mended labels, so that ``fix`` does just what ``check`` announces:

| fault                                         | trained on? | ``--fix``                                    |
| --------------------------------------------- | ----------- | -------------------------------------------- |
| there is no such picture, or it is damaged    | without it  | its labels are left out                      |
| labels of the picture before EXIF turned it   | no          | turned with it                               |
| the size in the labels is another             | yes         | nobody can tell which is right               |
| corners in the wrong order                    | no          | swapped                                      |
| a box beyond the edge by a thousandth of the  | yes, cut    | cut at the edge                              |
| side of the picture at most, as rounding does | at the edge |                                              |
| a box further beyond the edge                 | no          | cut at the edge                              |
| a box without area, or wholly outside         | no          | removed                                      |
| the same class and box twice                  | yes         | one of them is removed                       |
| no class name, or one that is no class        | no          | nobody can tell which is meant               |
| names that differ by case and spaces only     | yes         | the most frequent one is taken for all       |
| pictures without objects                      | yes         | they stay, as pictures known to have none    |

A camera that is held upright writes a lying picture and, in EXIF, how to turn it. Tools that ignore this draw
boxes on the lying picture. The size that they note down gives them away: height and width are exchanged.
Nothing else is ever scaled or turned.
"""

import re
import shlex
from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from striate.data.annotations import AnnotatedPicture, Annotation, AnnotationSet, Box, Problem, quoted
from striate.data.outlines import clip_annotation, turn_upright
from striate.errors import InputError, counted

Sizes = Callable[[str], tuple[int, int] | None]  # path -> (width, height) upright; None for no picture
Orientations = Callable[[str], int]  # path -> EXIF orientation, 1..8

TOLERANCE = 0.01  # pixels; percent and fractions are not exact
ROUNDING = 0.001  # of the picture's side; what is further beyond the edge is no matter of rounding
SHOWN = 3  # faults that an error names

_TURNED = range(5, 9)  # EXIF orientations that exchange height and width


def upright(path: str) -> int:
    """The EXIF orientation of pictures of which nothing is known."""
    return 1


def check(annotations: AnnotationSet, sizes: Sizes, orientations: Orientations = upright) -> list[Problem]:
    """Everything that is wrong with labels, and how many pictures have none; nothing is changed.

    Args as of ``find_faults``.
    """
    problems = find_faults(annotations, sizes, orientations)
    empty = [picture for picture in annotations.pictures if not picture.annotations]
    if empty:
        count, verb = (
            (f"{len(empty):,} pictures have", "count") if len(empty) > 1 else ("1 picture has", "counts")
        )
        what = f"{count} no objects, and {verb} as known to have none"
        problems.append(Problem(empty[0].place, what))
    return problems


def find_faults(
    annotations: AnnotationSet, sizes: Sizes, orientations: Orientations = upright
) -> list[Problem]:
    """Everything that is wrong with labels; none of it is changed.

    Args:
        annotations: as read.
        sizes: (width, height) in pixels of a picture, upright, by its path; None if there is no such picture.
        orientations: the EXIF orientation of a picture by its path; asked only where sizes disagree.
    """
    return _examine(annotations, sizes, orientations)[0]


def fix(annotations: AnnotationSet, sizes: Sizes, orientations: Orientations = upright) -> AnnotationSet:
    """Labels after all that ``check`` says how to mend is mended; pictures know their size.

    Args and meaning as in ``find_faults``. Problems found in reading stay.
    """
    return _examine(annotations, sizes, orientations)[1]


def with_sizes(annotations: AnnotationSet, sizes: Sizes) -> AnnotationSet:
    """The same labels with the size of each picture where they do not say it; percent need it."""

    def sized(picture: AnnotatedPicture) -> AnnotatedPicture:
        size = None if picture.width and picture.height else sizes(picture.path)
        return replace(picture, width=size[0], height=size[1]) if size else picture

    return replace(annotations, pictures=tuple(map(sized, annotations.pictures)))


def cut_at_edges(annotations: AnnotationSet, sizes: Sizes) -> AnnotationSet:
    """Labels that can be trained on, with boxes that reach beyond the picture by rounding cut at its edge."""

    def cut(picture: AnnotatedPicture) -> AnnotatedPicture:
        size = sizes(picture.path)
        if size is None or all(_is_within(a.box_xyxy, *size) for a in picture.annotations):
            return picture
        objects = picture.annotations
        cut_objects = (a if _is_within(a.box_xyxy, *size) else clip_annotation(a, *size) for a in objects)
        return replace(picture, annotations=tuple(cut_objects))

    return replace(annotations, pictures=tuple(map(cut, annotations.pictures)))


def require_trainable(
    annotations: AnnotationSet, sizes: Sizes, source: str, orientations: Orientations = upright
) -> list[Problem]:
    """The problems of labels that can be trained on.

    Args:
        source: what a person gave as data.

    Raises:
        InputError: a box is not valid, or has no class; the first of them are named.
    """
    problems = check(annotations, sizes, orientations)
    faults = [problem for problem in (*annotations.problems, *problems) if problem.blocks_training]
    if not faults:
        return problems
    shown = "; ".join(f"{fault.place}: {fault.what}" for fault in faults[:SHOWN])
    rest = f"; and {len(faults) - SHOWN:,} more" if len(faults) > SHOWN else ""
    command = f"{shlex.join(['striate', 'data', 'convert', source])} OUT --fix"
    mendable = sum(bool(fault.mend) for fault in faults)
    if mendable == len(faults):
        mend = f"{command} mends them in a copy"
    elif mendable:
        mend = f"{command} mends {mendable:,} of them in a copy; mend the others yourself"
    else:
        mend = "mend them in the label files; nobody else can tell what is meant"
    raise InputError(f"{counted(len(faults), 'label')} cannot be trained on: {shown}{rest}", source, mend)


@dataclass(frozen=True)
class _Mender:
    """Mends one picture after the other, and gathers what is wrong."""

    sizes: Sizes
    orientations: Orientations
    classes: frozenset[str]
    spelling: dict[str, str]  # of names that are to change
    problems: list[Problem]
    rounded: list[str] = field(default_factory=list)  # places of boxes cut because of rounding

    def mend(self, picture: AnnotatedPicture) -> AnnotatedPicture | None:
        """The picture with its mended objects; None if there is no such picture."""
        size = self.sizes(picture.path)
        if size is None:
            what = f"there is no readable picture {quoted(picture.path)}"
            self.problems.append(Problem(picture.place, what, "its labels are left out"))
            return None
        width, height = size
        picture = self._of_size(picture, width, height)
        kept: list[Annotation] = []
        seen: dict[tuple[str, Box], str] = {}
        for annotation in picture.annotations:
            self._check_class(annotation)
            mended = self._within(annotation, width, height)
            if mended is None:
                continue
            x1, y1, x2, y2 = mended.box_xyxy
            key = mended.label, (round(x1, 2), round(y1, 2), round(x2, 2), round(y2, 2))
            first = seen.setdefault(key, mended.place)
            if len(seen) > len(kept):
                kept.append(mended)
            else:
                what = f"the same box of {quoted(mended.label)} is there already: {first}"
                self.problems.append(Problem(mended.place, what, "one of them is removed"))
        return replace(picture, annotations=tuple(kept))

    def _of_size(self, picture: AnnotatedPicture, width: int, height: int) -> AnnotatedPicture:
        """The picture with its real size, turned upright if its labels are of the unturned one."""
        said = picture.width or width, picture.height or height
        if said == (width, height):
            return replace(picture, width=width, height=height)
        what = f"the labels say {said[0]} x {said[1]} pixels, the picture has {width} x {height}"
        if said == (height, width) and (orientation := self.orientations(picture.path)) in _TURNED:
            what += ", because EXIF turns it: the boxes are those of the unturned picture"
            self._blocks(picture.place, what, "the boxes are turned with the picture")
            turned = (turn_upright(a, orientation, *said) for a in picture.annotations)
            return replace(picture, width=width, height=height, annotations=tuple(turned))
        self.problems.append(Problem(picture.place, what))
        return picture

    def _check_class(self, annotation: Annotation) -> None:
        if not annotation.label:
            self._blocks(annotation.place, "the object has no class name")
        elif annotation.label not in self.classes:
            self._blocks(annotation.place, f"{quoted(annotation.label)} is none of the classes")

    def _within(self, annotation: Annotation, width: int, height: int) -> Annotation | None:
        """The object with a valid box; None if nothing of it is in the picture."""
        x1, y1, x2, y2 = annotation.box_xyxy
        shown = f"the box {x1:.9g}, {y1:.9g}, {x2:.9g}, {y2:.9g}"
        if annotation.label in self.spelling:
            annotation = replace(annotation, label=self.spelling[annotation.label])
        if x1 > x2 or y1 > y2:
            self._blocks(annotation.place, f"{shown} has its corners in the wrong order", "they are swapped")
            x1, x2, y1, y2 = min(x1, x2), max(x1, x2), min(y1, y2), max(y1, y2)
            annotation = replace(annotation, box_xyxy=(x1, y1, x2, y2))
        if x1 == x2 or y1 == y2:
            self._blocks(annotation.place, f"{shown} has no area", "the object is removed")
            return None
        if _is_within((x1, y1, x2, y2), width, height, TOLERANCE) and _meets((x1, y1, x2, y2), width, height):
            return annotation
        clipped = clip_annotation(annotation, width, height)
        left, top, right, bottom = clipped.box_xyxy
        if left >= right or top >= bottom:
            what = f"{shown} lies outside the picture of {width} x {height} pixels"
            self._blocks(annotation.place, what, "the object is removed")
            return None
        if _is_within((x1, y1, x2, y2), width, height, rounding=ROUNDING):
            self.rounded.append(annotation.place)
            return clipped
        what = f"{shown} reaches beyond the picture of {width} x {height} pixels"
        self._blocks(annotation.place, what, "it is cut at the edge")
        return clipped

    def _blocks(self, place: str, what: str, mend: str = "") -> None:
        self.problems.append(Problem(place, what, mend, blocks_training=True))


def _is_within(box: Box, width: int, height: int, tolerance: float = 0.0, rounding: float = 0.0) -> bool:
    """Whether a box lies in the picture, up to ``tolerance`` pixels and ``rounding`` times its sides."""
    x1, y1, x2, y2 = box
    dx, dy = tolerance + rounding * width, tolerance + rounding * height
    return x1 >= -dx and y1 >= -dy and x2 <= width + dx and y2 <= height + dy


def _meets(box: Box, width: int, height: int) -> bool:
    """Whether something of a box lies in the picture."""
    return min(box[2:]) > 0 and box[0] < width and box[1] < height


def _examine(
    annotations: AnnotationSet, sizes: Sizes, orientations: Orientations
) -> tuple[list[Problem], AnnotationSet]:
    spelling, problems = _spellings(annotations)
    mender = _Mender(sizes, orientations, frozenset(annotations.classes), spelling, problems)
    pictures = tuple(mended for picture in annotations.pictures if (mended := mender.mend(picture)))
    if mender.rounded:
        count = f"{len(mender.rounded):,}"
        what = f"boxes that reach beyond the picture by a thousandth of its side or less: {count}"
        problems.append(Problem(mender.rounded[0], what, "they are cut at the edge"))
    classes = tuple(name for name in annotations.classes if name not in spelling)
    return problems, replace(annotations, classes=classes, pictures=pictures)


def _spellings(annotations: AnnotationSet) -> tuple[dict[str, str], list[Problem]]:
    """What to call classes whose names differ from a more frequent one by case and spaces only."""
    counts = Counter(
        annotation.label for picture in annotations.pictures for annotation in picture.annotations
    )
    alike: defaultdict[str, list[str]] = defaultdict(list)
    for name in annotations.classes:
        if name.strip():
            alike[re.sub(r"\s+", "", name).casefold()].append(name)
    spelling: dict[str, str] = {}
    problems: list[Problem] = []
    for names in alike.values():
        if len(names) == 1:
            continue
        usual = max(names, key=lambda name: (counts[name], -names.index(name)))
        others = [name for name in names if name != usual]
        spelling |= dict.fromkeys(others, usual)
        shown = ", ".join(f"{quoted(name)} ({counts[name]:,} objects)" for name in names)
        what = f"classes differ by case and spaces only: {shown}"
        problems.append(Problem(_first_place(annotations, others[0]), what, f"all become {quoted(usual)}"))
    return spelling, problems


def _first_place(annotations: AnnotationSet, label: str) -> str:
    """Where a class is named first; "classes" if no object is of it."""
    places = (a.place for picture in annotations.pictures for a in picture.annotations if a.label == label)
    return next(places, "classes")
