"""A folder that is either whole or not there: filled beside its place, flushed to disk, then renamed."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

from striate.errors import InputError, counted


def copied(count: int) -> str:
    """What a person should know of pictures that could not be linked."""
    what = "is a copy" if count == 1 else "are copies"
    return f"{counted(count, 'picture')} {what}: hard links lead neither into archives nor to other disks"


def write_whole(out: Path, write: Callable[[Path], list[str]]) -> tuple[list[str], list[int]]:
    """Have ``write`` fill a folder beside ``out``, flush it and rename it.

    Args:
        out: nothing, or an empty folder, is there.
        write: is given the folder to fill.

    Returns:
        What ``write`` returns, and the sizes of all files in bytes.

    Raises:
        InputError: the disk is full or the place cannot be written. Nothing is left behind.
    """
    temporary = out.with_name(f".{out.name}.{os.getpid()}.tmp")
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        temporary.mkdir()
        notes = write(temporary)
        files = [path for path in temporary.rglob("*") if path.is_file()]
        sizes = [path.stat().st_size for path in files]
        _flush(files)
        if out.exists():
            out.rmdir()  # it is empty; Windows renames over no folder
        temporary.rename(out)
    except OSError as error:
        raise InputError(
            f"the data cannot be written: {error.strerror}", out, "free some space, or name another folder"
        ) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return notes, sizes


def check_place(out: Path, source: Path | None) -> None:
    """Check that a folder can be made at ``out``, an absolute path, for data from ``source``, if from a file.

    Raises:
        InputError: there is something already, or it lies inside ``source``.
    """
    if out.exists() and not (out.is_dir() and not any(out.iterdir())):
        raise InputError("there is something already", out, "name a new or empty folder")
    if source and source.is_dir() and out.is_relative_to(source.resolve()):
        raise InputError("the folder lies inside the data themselves", out, "name one outside")


def hard_link(file: Path, place: Path) -> bool:
    """Make ``place`` a hard link to a file; whether that could be done."""
    try:
        os.link(file.resolve(), place)
    except OSError:  # another disk, or one that knows no hard links
        return False
    return True


def _flush(files: list[Path]) -> None:
    if os.name == "nt":
        return  # Windows flushes only what is open for writing, which a linked picture never is
    if len(files) > 1000 and hasattr(os, "sync"):  # one by one they would take minutes
        os.sync()
        return
    for path in files:
        with path.open("rb") as file:
            os.fsync(file.fileno())
