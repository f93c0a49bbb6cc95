"""Pictures that a person names, without labels: files, and all that lie below folders and in archives."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath

from torch import Tensor

from striate.data.archive import Archive, is_archive, open_archive, plain_name
from striate.data.formats.image_folder import natural_order
from striate.data.images import IMAGE_SUFFIXES, decode_image
from striate.data.listing import list_archive, list_folder
from striate.errors import InputError


@dataclass(frozen=True)
class NamedPicture:
    """A picture that is not read yet.

    Attributes:
        name: its path; in an archive, the archive's path and its own.
        place: its path, with "/", below the folder or archive that was named; of a file its name alone.
        read: decodes it, with ``channels`` and ``white`` as for ``decode_image``. Raises InputError.
    """

    name: str
    place: str
    read: Callable[[int | None, float | None], Tensor]


@dataclass(frozen=True)
class LeftAside:
    """Files below ``source``, a folder or archive, that are not called as pictures are."""

    source: Path
    files: tuple[str, ...]


def list_pictures(paths: Sequence[Path]) -> tuple[list[NamedPicture], list[LeftAside]]:
    """All pictures that are meant, and what is left aside: each path in its turn, and what lies below it in
    the natural order of names.

    Of several paths, each folder or archive has a folder of its own name in ``place``. One that cannot be
    listed, or holds no picture, counts as a picture that cannot be read, so that it hinders no other.
    """
    pictures: list[NamedPicture] = []
    aside: list[LeftAside] = []
    for path in paths:
        if not (path.is_dir() or (is_archive(path) and path.is_file())):
            pictures.append(NamedPicture(str(path), path.name, partial(_read_file, path)))
            continue
        try:
            archive = None if path.is_dir() else open_archive(path)
            files = (list_archive(archive) if archive else list_folder(path)).files
            found = _below(path, archive, files, f"{plain_name(path)}/" if len(paths) > 1 else "")
        except InputError as error:
            pictures.append(NamedPicture(str(path), path.name, partial(_refuse, error)))
            continue
        pictures += found
        if len(found) < len(files):
            aside.append(LeftAside(path, tuple(file for file in files if not _is_picture(file))))
    return pictures, aside


def _below(path: Path, archive: Archive | None, files: Sequence[str], prefix: str) -> list[NamedPicture]:
    chosen = sorted(filter(_is_picture, files), key=natural_order)
    if not chosen:
        kind = "archive" if archive else "folder"
        raise InputError(f"there are no pictures in the {kind}", path, "name one that holds pictures")
    return [
        NamedPicture(
            str(path / file),
            prefix + file,
            partial(_read_member, archive, path, file) if archive else partial(_read_file, path / file),
        )
        for file in chosen
    ]


def _is_picture(file: str) -> bool:
    return PurePosixPath(file).suffix.lower() in IMAGE_SUFFIXES


def _read_file(path: Path, channels: int | None, white: float | None) -> Tensor:
    return decode_image(path, channels=channels, white=white)


def _read_member(
    archive: Archive, path: Path, file: str, channels: int | None, white: float | None
) -> Tensor:
    return decode_image(archive.read(file), str(path / file), channels, white)


def _refuse(error: InputError, channels: int | None, white: float | None) -> Tensor:
    raise error
