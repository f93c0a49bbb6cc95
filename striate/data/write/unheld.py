"""What a label format has no place for, counted while labels are written in it."""

from collections import Counter
from collections.abc import Iterable

from striate.data.annotations import AnnotatedPicture, Annotation, AnnotationSet


class Unheld:
    """Counts what a format could not hold."""

    def __init__(self, format: str) -> None:
        self.format = format
        self._counts: Counter[tuple[str, str]] = Counter()

    def add(self, what: str, unit: str = "objects", count: int = 1) -> None:
        """``count`` objects, pictures or others whose ``what`` is not written."""
        self._counts[what, unit] += count

    def note_object(self, annotation: Annotation, outline_written: bool, mask_written: bool = False) -> None:
        """Count the outlines and the mask of an object, where they are not written."""
        if annotation.polygons and not outline_written:
            self.add("outlines, beside the boxes")
        if annotation.mask is not None and not mask_written:
            self.add("masks")

    def note_picture(self, picture: AnnotatedPicture, held: Iterable[str] = ()) -> None:
        """Count the attributes of a picture, save those that are written."""
        for name in picture.attributes.keys() - set(held):
            self.add(f"the attribute {name} of pictures", "pictures")

    def note_classes(self, annotations: AnnotationSet) -> None:
        """Count the classes without objects."""
        used = {annotation.label for picture in annotations.pictures for annotation in picture.annotations}
        if unused := set(annotations.classes) - used:
            self.add("classes without objects", "classes", len(unused))

    def sentences(self) -> list[str]:
        """One sentence for each thing."""
        return [
            f"{self.format} has no place for {what} ({unit}: {count:,})"
            for (what, unit), count in sorted(self._counts.items())
        ]
