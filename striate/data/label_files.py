"""The files of a labelled data set, in a folder or an archive, under one way of listing and reading them."""

from collections.abc import Callable
from pathlib import Path

from striate.data.archive import is_archive, open_archive
from striate.data.formats.image_folder import LEFT_BEHIND, list_folder
from striate.data.images import MAX_FILE_BYTES
from striate.errors import InputError
from striate.text_files import composed


class LabelFiles:
    """A data set's files.

    Attributes:
        root: the folder or archive, or what else messages call it.
        folder: the folder in which the files lie as they are; None where they lie in an archive or in memory.
        paths: all its files, relative to the root, with "/", sorted; hidden files are no part of it.
        file: the one label file that a person named, as one of ``paths``; None where they named all.
    """

    def __init__(
        self,
        root: Path,
        paths: tuple[str, ...],
        read: Callable[[str], bytes],
        file: str | None = None,
        folder: Path | None = None,
    ) -> None:
        self.root = root
        self.folder = folder
        self.paths = paths
        self.file = file
        self._known = {composed(path): path for path in paths} | {path: path for path in paths}
        self._read = read

    @staticmethod
    def open(path: Path) -> "LabelFiles":
        """The files of a folder, of an archive, or those beside a label file.

        Raises:
            InputError: there is nothing, or it cannot be read, or names in it lead out of it.
        """
        if path.is_dir():
            paths = list_folder(path).files
            return LabelFiles(path, paths, lambda name: _content(path / name), folder=path)
        if not path.is_file():
            raise InputError("there is no such file or folder", path, "check the path")
        if is_archive(path):
            archive = open_archive(path)
            return LabelFiles(path, tuple(sorted(filter(_is_data, archive.files))), archive.read)
        beside = LabelFiles.open(path.absolute().parent)
        return LabelFiles(beside.root, beside.paths, beside.read, path.name, beside.folder)

    def __contains__(self, path: str) -> bool:
        return self._known.get(path) == path

    def named(self, path: str) -> str | None:
        """The one of ``paths`` that has this name, be its accents written composed (NFC) or apart (NFD)."""
        return self._known.get(path) or self._known.get(composed(path))

    def ending(self, suffix: str) -> list[str]:
        """The files to read labels of, by their suffix, as ".xml": all of them, or the one that was named."""
        paths = self.paths if self.file is None else (self.file,)
        return [path for path in paths if path.lower().endswith(suffix)]

    def read(self, path: str) -> bytes:
        """The content of one of ``paths``.

        Raises:
            InputError: it cannot be read, or is larger than any file may be.
        """
        return self._read(path)

    def place(self, path: str) -> str:
        """How a message names one of ``paths``."""
        return f"{self.root}/{path}"


def _content(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            content = file.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        raise InputError(
            f"the file cannot be read: {error.strerror}", path, "check its permissions"
        ) from error
    if len(content) > MAX_FILE_BYTES:
        raise InputError(f"the file is larger than {MAX_FILE_BYTES >> 20} MiB", path, "split it into several")
    return content


def _is_data(path: str) -> bool:
    """Whether a path is neither hidden nor left behind by an operating system."""
    return not any(part.startswith(".") or part in LEFT_BEHIND for part in path.split("/"))
