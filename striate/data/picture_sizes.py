"""The sizes of the pictures of a labelled data set, each read once from its header."""

from collections import defaultdict
from pathlib import PurePosixPath

from striate.data.images import IMAGE_SUFFIXES, ImageFacts, inspect_image
from striate.data.label_files import LabelFiles
from striate.errors import InputError


class PictureSizes:
    """Looks up the size of a picture by its path, and keeps it."""

    def __init__(self, files: LabelFiles) -> None:
        self.files = files
        self._known: dict[str, ImageFacts | None] = {}
        self._faults: dict[str, str] = {}
        self._by_stem: defaultdict[str, list[str]] = defaultdict(list)  # once a picture is missed

    def __call__(self, path: str) -> tuple[int, int] | None:
        """(Width, height) of a picture, upright, in pixels; None if it is not there or cannot be read."""
        facts = self.facts(path)
        return None if facts is None else (facts.width, facts.height)

    def facts(self, path: str) -> ImageFacts | None:
        """What the picture's header says; None if it is not there or cannot be read."""
        if path not in self._known:
            self._known[path] = self._read(path)
        return self._known[path]

    def fault(self, path: str) -> str:
        """Why the picture has no size; "" if it has one."""
        self(path)
        return self._faults.get(path, "")

    def orientation(self, path: str) -> int:
        """The EXIF orientation 1..8 of a picture that has a size; 1 where it says none."""
        facts = self.facts(path)
        return facts.orientation if facts else 1

    def _read(self, path: str) -> ImageFacts | None:
        if path not in self.files:
            other = self._of_same_name(path)
            name = PurePosixPath(path).name
            self._faults[path] = (
                f"there is no {name} (there is {other})" if other else "there is no such file"
            )
            return None
        folder = self.files.folder
        source = folder / path if folder else self.files.read(path)
        try:
            return inspect_image(source, self.files.place(path))
        except InputError as error:
            self._faults[path] = error.what
            return None

    def _of_same_name(self, path: str) -> str:
        """The one picture that has the same name but for its suffix; "" if there is none, or several are."""
        if not self._by_stem:
            for own in self.files.paths:
                if PurePosixPath(own).suffix.lower() in IMAGE_SUFFIXES:
                    self._by_stem[PurePosixPath(own).stem].append(own)
        found = self._by_stem.get(PurePosixPath(path).stem, [])
        return found[0] if len(found) == 1 else ""
