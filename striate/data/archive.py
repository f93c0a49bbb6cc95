"""Archives read in place: .zip, .tar, .tar.gz, .tar.bz2 and .tar.xz; nothing is ever unpacked to disk.

| kind                | reading one file                     | in memory                             |
| ------------------- | ------------------------------------ | ------------------------------------- |
| zip                 | random access                        | its directory                         |
| tar                 | random access by offset              | its directory                         |
| tar.gz, .bz2, .xz   | possible only from the start on      | all files, up to ``MAX_UNPACKED_BYTES`` |

An archive crosses to a worker process by its path and is opened anew there when it is first read. Names
are checked once, when it is opened: relative, without "..", each only once, and no links.
"""

import bz2
import gzip
import lzma
import os
import stat
import tarfile
import zipfile
import zlib
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import IO, Any

from striate.data.archive_names import is_certain, zip_name
from striate.data.images import MAX_FILE_BYTES
from striate.errors import InputError

_Compressed = gzip.GzipFile | bz2.BZ2File | lzma.LZMAFile
_Opener = type[gzip.GzipFile] | type[bz2.BZ2File] | type[lzma.LZMAFile]

ARCHIVE_SUFFIXES = (
    *(".zip", ".tar", ".tar.gz", ".tgz"),
    *(".tar.bz2", ".tbz2", ".tbz", ".tar.xz", ".txz"),
)
MAX_UNPACKED_BYTES = 2 * 2**30

_COMPRESSIONS: dict[bytes, _Opener] = {  # by a file's first bytes
    b"\x1f\x8b": gzip.GzipFile,
    b"BZh": bz2.BZ2File,
    b"\xfd7zXZ\0": lzma.LZMAFile,
}


class Archive(ABC):
    """An archive file.

    Attributes:
        path: the archive.
        files: names of its files, as relative paths with "/".
        folders: names of the folders that it lists (a folder that holds files need not be listed).
        doubtful: those of ``files`` that an old program wrote in an encoding which nothing tells.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.files: tuple[str, ...] = ()
        self.folders: tuple[str, ...] = ()
        self.doubtful: tuple[str, ...] = ()

    @abstractmethod
    def read(self, name: str) -> bytes:
        """The content of one of ``files``.

        Raises:
            InputError: the archive is damaged there, or has changed since it was opened.
        """


class ZipArchive(Archive):
    """A zip file; every process has a handle of its own, since handles share their position."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self._handle: zipfile.ZipFile | None = None
        self._process = 0
        infos = self._opened().infolist()
        for info in infos:
            _check_zip_member(info, path)
        named = [(*zip_name(info), info) for info in infos]
        self.files, self.folders = _names([(name, info.is_dir()) for name, _, info in named], path)
        inner = [(info.filename, certain) for _, certain, info in named if not info.is_dir()]
        self._inner_names = {file: name for file, (name, _) in zip(self.files, inner, strict=True)}
        self.doubtful = tuple(file for file, (_, sure) in zip(self.files, inner, strict=True) if not sure)

    def read(self, name: str) -> bytes:
        try:
            return self._opened().read(self._inner_names[name])
        # zipfile raises whatever the damage leads to: KeyError, EOFError, NotImplementedError, ...
        except Exception as error:
            raise _damaged(error, f"{self.path}/{name}") from error

    def _opened(self) -> zipfile.ZipFile:
        if self._handle is None or self._process != os.getpid():
            try:
                self._handle, self._process = zipfile.ZipFile(self.path), os.getpid()
            except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError) as error:
                raise _damaged(error, str(self.path)) from error
        return self._handle

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_handle": None}


class TarArchive(Archive):
    """An uncompressed tar file: the place of every file is known, so any can be read at once.

    Attributes:
        places: (offset, size) in bytes of each of ``files``.
    """

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        try:
            with path.open("rb") as file:
                members = list(_tar_members(file, path))
        except (tarfile.TarError, OSError, ValueError, EOFError) as error:
            raise _damaged(error, str(path)) from error
        self.files, self.folders = _names([(member.name, member.isdir()) for member in members], path)
        places = ((member.offset_data, member.size) for member in members if not member.isdir())
        self.places = dict(zip(self.files, places, strict=True))
        self.doubtful = tuple(name for name in self.files if not is_certain(name))

    def read(self, name: str) -> bytes:
        offset, size = self.places[name]
        try:
            with self.path.open("rb") as file:
                file.seek(offset)
                content = file.read(size)
        except OSError as error:
            raise _damaged(error, f"{self.path}/{name}") from error
        if len(content) < size:
            raise _damaged(EOFError("cut off"), f"{self.path}/{name}")
        return content


class CompressedTarArchive(Archive):
    """A tar file compressed as a whole: read once from start to end, and kept.

    Args:
        path: the archive.
        opener: opens it as the tar file that it holds.
    """

    def __init__(self, path: Path, opener: _Opener) -> None:
        super().__init__(path)
        self._opener = opener
        self._contents: dict[str, bytes] | None = None
        members, contents = self._read_all()
        self.files, self.folders = _names([(member.name, member.isdir()) for member in members], path)
        self._contents = dict(zip(self.files, contents, strict=True))
        self.doubtful = tuple(name for name in self.files if not is_certain(name))

    def read(self, name: str) -> bytes:
        if self._contents is None:
            self._contents = dict(zip(self.files, self._read_all()[1], strict=True))
        return self._contents[name]

    def _read_all(self) -> tuple[list[tarfile.TarInfo], list[bytes]]:
        """All members in order, and the contents of those that are files."""
        members, contents, total = [], [], 0
        try:
            with self._opener(self.path) as file:
                for member in _tar_members(file, self.path):
                    members.append(member)
                    total += member.size
                    if total > MAX_UNPACKED_BYTES:
                        raise InputError(
                            f"the archive holds more than {MAX_UNPACKED_BYTES >> 30} GiB, too much to keep "
                            "in memory, and a compressed tar cannot be read out of order",
                            self.path,
                            "unpack it, or pack it as .zip",
                        )
                    if not member.isdir():
                        file.seek(member.offset_data)
                        contents.append(file.read(member.size))
                while file.read(2**20):  # to the checksum of the compressed data
                    pass
        except (tarfile.TarError, OSError, EOFError, ValueError, zlib.error, lzma.LZMAError) as error:
            raise _damaged(error, str(self.path)) from error
        return members, contents

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_contents": None}


def is_archive(path: Path) -> bool:
    """Whether ``path`` has the suffix of an archive that is read here."""
    return path.name.lower().endswith(ARCHIVE_SUFFIXES)


def plain_name(path: Path) -> str:
    """The name of a folder, or of an archive without its suffix."""
    name = path.resolve().name
    suffix = next((suffix for suffix in ARCHIVE_SUFFIXES if name.lower().endswith(suffix)), "")
    return name[: len(name) - len(suffix)]


def open_archive(path: Path) -> Archive:
    """Open an archive and check the names in it.

    Raises:
        InputError: damaged, encrypted, with links or with names that lead out of it.
    """
    if path.name.lower().endswith(".zip"):
        return ZipArchive(path)
    try:
        with path.open("rb") as file:
            beginning = file.read(6)
    except OSError as error:
        raise _damaged(error, str(path)) from error
    for mark, opener in _COMPRESSIONS.items():
        if beginning.startswith(mark):
            return CompressedTarArchive(path, opener)
    return TarArchive(path)


def _tar_members(file: IO[bytes] | _Compressed, path: Path) -> Iterator[tarfile.TarInfo]:
    """The members in order, each checked, up to the end mark: tarfile itself would stop at damage and
    say nothing, as if the rest of the files had never been there."""
    with tarfile.open(fileobj=file, mode="r:", encoding="utf-8", errors="surrogateescape") as tar:
        for member in tar:
            _check_tar_member(member, path)
            yield member
        file.seek(tar.offset)
        if file.read(tarfile.BLOCKSIZE) != bytes(tarfile.BLOCKSIZE):
            raise EOFError("it is damaged or cut off between two files")


def _check_zip_member(info: zipfile.ZipInfo, path: Path) -> None:
    if info.flag_bits & 1:
        raise InputError("the archive is encrypted", path, "unpack it, or pack it without a password")
    _check_member(info.filename, info.file_size, stat.S_ISLNK(info.external_attr >> 16), path)


def _check_tar_member(member: tarfile.TarInfo, path: Path) -> None:
    plain = (member.isreg() and not member.issparse()) or member.isdir()
    _check_member(member.name, member.size, not plain, path)


def _check_member(name: str, size: int, special: bool, path: Path) -> None:
    if special:
        raise InputError(
            f"the archive holds a link or a special file: {name}", path, "pack the files themselves"
        )
    if size > MAX_FILE_BYTES:
        raise InputError(
            f"{name} in the archive is larger than {MAX_FILE_BYTES >> 20} MiB", path, "take it out"
        )


def _names(members: list[tuple[str, bool]], path: Path) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """(Files, folders) of (name, is folder) pairs, as relative paths that stay inside the archive."""
    files: list[str] = []
    folders: list[str] = []
    for name, is_folder in members:
        parts = PurePosixPath(name.replace("\\", "/")).parts  # some packers write Windows' separator
        if not name or name[0] in "/\\" or ".." in parts or (parts and parts[0].endswith(":")):
            raise InputError(f"the archive holds a path that leads out of it: {name}", path, "pack it anew")
        (folders if is_folder else files).append("/".join(parts))
    if len(set(files)) < len(files):
        twice, _ = Counter(files).most_common(1)[0]
        raise InputError(f"the archive holds {twice} twice", path, "pack it anew")
    return tuple(files), tuple(folders)


def _damaged(error: Exception, place: str) -> InputError:
    reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return InputError(f"the archive cannot be read: {reason}", place, "check the path, or pack it anew")
