"""Which picture a label file means, which split it is of, and all pictures as one set, each once."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from striate.data.annotations import AnnotatedPicture, AnnotationSet, Problem, quoted
from striate.data.formats.image_folder import natural_order
from striate.data.picture_finder import PictureFinder as PictureFinder
from striate.data.picture_finder import doubtful as doubtful
from striate.data.picture_finder import folder_of
from striate.data.split_names import split_of as split_of
from striate.errors import InputError, counted
from striate.text_files import composed

_ROUNDED = 0.01  # how far rounding takes a fraction beyond 0..1


def nothing_left(what: str, where: str | Path, problems: Sequence[Problem], mend: str) -> InputError:
    """The error that no picture with labels is left, with the first reason."""
    reason = f"; first, {problems[0].place}: {problems[0].what}" if problems else ""
    return InputError(f"{what}{reason}", where, mend)


def annotation_set(
    pictures: Iterable[AnnotatedPicture],
    problems: Sequence[Problem],
    classes: Sequence[str] = (),
    finder: PictureFinder | None = None,
) -> AnnotationSet:
    """The labels of a data set.

    Args:
        pictures: in any order. Of those with the same path the first counts; the others become problems.
        problems: found so far.
        classes: in the order of their ids, where the format says it; other classes follow in natural order.
        finder: of the pictures; those without labels, in the folders of those with labels, are a problem.
    """
    kept: dict[str, AnnotatedPicture] = {}
    found = list(problems)
    for picture in map(_with_composed_labels, pictures):
        first = kept.setdefault(picture.path, picture)
        if first is not picture:
            found.append(_labelled_twice(first, picture))
    found += finder.notes(kept) if finder else ()
    told = {problem.picture for problem in found}
    if finder and (unlabelled := [path for path in _unlabelled(finder, kept) if path not in told]):
        count = counted(len(unlabelled), "picture")
        what = f"left out, because without labels: {count}; one is {quoted(unlabelled[0])}"
        found.append(Problem(folder_of(unlabelled[0]), what))
    used = {annotation.label for picture in kept.values() for annotation in picture.annotations}
    return AnnotationSet(
        tuple(dict.fromkeys([*map(composed, classes), *sorted(used, key=natural_order)])),
        tuple(sorted(kept.values(), key=lambda picture: (picture.split or "", picture.path))),
        tuple(found),
    )


def fractions_for_pixels(pictures: Iterable[AnnotatedPicture], first_pixel: int = 0) -> list[Problem]:
    """The pictures whose boxes are fractions of them, in a format of pixels: as pixels they would be smaller
    than one.

    Args:
        pictures: as read.
        first_pixel: what the format calls the first pixel.
    """
    problems = []
    for picture in pictures:
        corners = [
            (box[0] + first_pixel, box[1] + first_pixel, box[2], box[3])
            for box in (annotation.box_xyxy for annotation in picture.annotations)
        ]
        values = [value for box in corners for value in box]
        if values and min(values) >= -_ROUNDED and max(values) <= 1 + _ROUNDED and any(v % 1 for v in values):
            what = (
                "its boxes are fractions of the picture, where the format has pixels; the picture is left out"
            )
            problems.append(Problem(picture.annotations[0].place, what, picture=picture.path))
    return problems


def _with_composed_labels(picture: AnnotatedPicture) -> AnnotatedPicture:
    """The picture with class names in Unicode's composed form: accents written apart make no other class."""
    if all(composed(a.label) == a.label for a in picture.annotations):
        return picture
    annotations = tuple(replace(a, label=composed(a.label)) for a in picture.annotations)
    return replace(picture, annotations=annotations)


def _labelled_twice(first: AnnotatedPicture, second: AnnotatedPicture) -> Problem:
    """What to say of a picture that has labels in two places. Where they differ, nobody can tell which are
    complete."""
    mine, other = (sorted((a.label, a.box_xyxy) for a in one.annotations) for one in (first, second))
    what = f"the picture {quoted(second.path)} is labelled already in {first.place}"
    if mine == other:
        return Problem(second.place, f"{what}, in the same way", left_out=len(other))
    what = f"{what}, in another way; the picture is left out"
    return Problem(second.place, what, left_out=len(other), picture=second.path)


def _unlabelled(finder: PictureFinder, labelled: Iterable[str]) -> list[str]:
    """The pictures without labels in folders where others have some."""
    known = set(labelled)
    folders = set(map(folder_of, known))
    return [path for path in finder.paths if path not in known and folder_of(path) in folders]
