"""What differs after a file was changed, without reading it."""

from pathlib import Path

from striate.errors import InputError

Stamp = tuple[int, int, int, int]  # of a file: bytes, times of the last changes (content, all) in ns, inode


def file_stamp(path: Path) -> Stamp:
    """What ``Images.stamp`` says of a picture in a file. Raises InputError if the file is gone."""
    try:
        found = path.stat()
    except OSError as error:
        raise unreadable(path, error) from error
    return found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_ino


def unreadable(path: Path, error: OSError) -> InputError:
    """The error for a picture's file that was there before."""
    return InputError(
        f"the file cannot be read: {error.strerror}", path, "put it back, or load the data set again"
    )
