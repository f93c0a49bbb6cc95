"""Labels to write, and small data sets made of files in memory."""

from pathlib import Path

from striate.data.annotations import AnnotatedPicture, Annotation, AnnotationSet
from striate.data.label_files import LabelFiles


def files_of(files: dict[str, str | bytes], file: str | None = None) -> LabelFiles:
    """The files of a data set that is only in memory."""
    contents = {path: text.encode() if isinstance(text, str) else text for path, text in files.items()}
    return LabelFiles(Path("data"), tuple(sorted(contents)), contents.__getitem__, file)


def picture(path: str, *annotations: Annotation, **facts) -> AnnotatedPicture:
    """A picture of 200 x 100 pixels."""
    return AnnotatedPicture(path, annotations, path, **{"width": 200, "height": 100, **facts})


def box(label: str, *corners: float, **facts) -> Annotation:
    """An object."""
    return Annotation(label, corners, f"here, {label}", **facts)


def outlined(label: str, *outline: float, **facts) -> Annotation:
    """An object with an outline, and the box around it."""
    xs, ys = outline[0::2], outline[1::2]
    return box(label, min(xs), min(ys), max(xs), max(ys), polygons=(outline,), **facts)


def a_set(*pictures: AnnotatedPicture, classes: tuple[str, ...] = ("dog", "traffic light")) -> AnnotationSet:
    return AnnotationSet(classes, pictures)


VARIED = a_set(
    picture("test/b.png", split="test"),
    picture(
        "train/a.png",
        box("dog", 0.0, 0.0, 1.0, 1.0),
        box("traffic light", 1 / 3, 2 / 3, 199.99, 99.5, difficult=True, truncated=False, occluded=True),
        box("dog", 10.0, 20.0, 30.0, 40.0, crowd=True, attributes={"age": '7 < 8 & "more"', "ünï": "ß"}),
        box("dog", -5.5, -1.0, 250.0, 100.0),
        box("dog", 30.0, 40.0, 10.0, 40.0),
        split="train",
    ),
    picture("train/deep/a.png", box("dog", 1.5, 2.25, 3.125, 4.0625), split="train"),
)


def assert_same_objects(read: AnnotationSet, written: AnnotationSet) -> None:
    """Objects, boxes to 0.01 pixel, flags, outlines, attributes and splits are equal."""
    assert [picture.split for picture in read.pictures] == [picture.split for picture in written.pictures]
    for mine, theirs in zip(read.pictures, written.pictures, strict=True):
        for a, b in zip(mine.annotations, theirs.annotations, strict=True):
            assert a.label == b.label
            assert max(abs(x - y) for x, y in zip(a.box_xyxy, b.box_xyxy, strict=True)) < 0.01
            for flag in ("crowd", "difficult", "truncated", "occluded", "attributes"):
                assert getattr(a, flag) == getattr(b, flag), flag
