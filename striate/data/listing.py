"""What lies in a folder, without what operating systems leave there.

Links that a person put into a folder are followed, also to places outside of it; a link to a folder around
itself is refused. (In archives, which come from others, every link is refused: ``archive.py``.)
"""

import os
from dataclasses import dataclass, field
from pathlib import Path

from striate.data.archive import Archive
from striate.errors import InputError

# By Windows, macOS, Linux, Synology and QNAP storage, Python and Picasa; in lower case, since Windows
# tells no difference. Whatever begins with "." is left aside as well.
LEFT_BEHIND = frozenset({
    "thumbs.db", "thumbs.db:encryptable", "ehthumbs.db", "ehthumbs_vista.db", "desktop.ini", "$recycle.bin",
    "system volume information", "__macosx", "icon\r", "network trash folder", "temporary items",
    "lost+found", "@eadir", "@tmp", "#recycle", "#snapshot", "@recycle", "@recently-snapshot", "__pycache__",
    "picasa.ini",
})  # fmt: skip
_LEFT_BEHIND_ENDINGS = ("@synoeastream", "@synoresource")

_Place = tuple[int, int]  # device and inode of a folder


@dataclass(frozen=True)
class Listing:
    """What lies in a folder or archive.

    Attributes:
        files, folders: relative paths, with "/", sorted.
        faults: (path, what) of everything that is neither: links that lead nowhere, pipes, devices.
    """

    files: tuple[str, ...]
    folders: tuple[str, ...]
    faults: tuple[tuple[str, str], ...] = ()


@dataclass
class _Found:
    files: list[str] = field(default_factory=list)
    folders: list[str] = field(default_factory=list)
    faults: list[tuple[str, str]] = field(default_factory=list)


def list_folder(path: Path) -> Listing:
    """The data below ``path``.

    Raises:
        InputError: a folder cannot be read, or a link leads to a folder around it.
    """
    found = _Found()
    _walk(path, "", (), found)
    return Listing(tuple(sorted(found.files)), tuple(sorted(found.folders)), tuple(sorted(found.faults)))


def list_archive(archive: Archive) -> Listing:
    """The data in an archive, sorted."""
    files, folders = (tuple(sorted(filter(is_data, names))) for names in (archive.files, archive.folders))
    return Listing(files, folders)


def is_data(path: str) -> bool:
    """Whether a path is neither hidden nor left behind by an operating system."""
    return not any(part.startswith(".") or is_left_behind(part) for part in path.split("/"))


def is_left_behind(name: str) -> bool:
    """Whether a file or folder of this name is left behind by an operating system."""
    lower = name.lower()
    return lower in LEFT_BEHIND or lower.endswith(_LEFT_BEHIND_ENDINGS)


def _walk(folder: Path, inside: str, around: tuple[_Place, ...], found: _Found) -> None:
    """Add what lies in ``folder``, at ``inside`` below the root; ``around`` are the folders that hold it."""
    try:
        status = folder.stat()
        with os.scandir(folder) as entries:
            named = [(entry, f"{inside}{entry.name}") for entry in entries if is_data(entry.name)]
    except OSError as error:
        raise InputError(
            f"the folder cannot be read: {error.strerror}",
            str(error.filename or folder),
            "check its permissions",
        ) from error
    place = (status.st_dev, status.st_ino)
    if place in around:
        raise InputError("the link leads to a folder around it", folder, "remove the link")
    for entry, path in named:
        if (kind := _kind(entry)) == "folder":
            found.folders.append(path)
            _walk(folder / entry.name, f"{path}/", (*around, place), found)
        elif kind == "file":
            found.files.append(path)
        else:
            found.faults.append((path, kind))


def _kind(entry: os.DirEntry[str]) -> str:
    """ "file" or "folder", also behind a link, or what is wrong with the entry."""
    try:
        if entry.is_dir():
            return "folder"
        if entry.is_file():
            return "file"
    except OSError:  # links in a circle, or behind a closed folder
        pass
    return "the link leads nowhere" if entry.is_symlink() else "it is no file, but a pipe or a device"
