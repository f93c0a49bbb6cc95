"""Shards from the network: fetched whole when they are needed, kept within a budget.

    <cache>/shards/<sha256>.tar       a whole, verified shard; its time of change is that of its last use
    <cache>/shards/<hh>.lock          held while a shard whose sha256 begins with hh is downloaded
    <cache>/shards/room.lock          held while shards are removed

Any number of processes may share it. A shard that is removed while somebody reads it stays readable until
it is closed; whoever needs it again fetches it again.
"""

import hashlib
import multiprocessing
import os
import shutil
import time
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

from filelock import FileLock

from striate.data.workers import give_sign_of_life
from striate.download import cache_folder, download, is_offline, missing_offline
from striate.errors import InputError, RunError

BUDGET_VARIABLE = "STRIATE_SHARD_CACHE_MB"
DEFAULT_BUDGET_MB = 16_384

_ABANDONED = 600  # seconds without progress, after which a download's process must have been killed


def cache_budget() -> int:
    """Bytes that shards may take in the cache: ``STRIATE_SHARD_CACHE_MB``, else 16 GiB.

    Raises:
        InputError: the variable is no whole number.
    """
    text = os.environ.get(BUDGET_VARIABLE) or str(DEFAULT_BUDGET_MB)
    if not text.isdecimal():
        raise InputError(f"{text!r} is no number of megabytes", BUDGET_VARIABLE, "give a whole number")
    return int(text) << 20


def fetch_index(address: str) -> bytes:
    """The index at an address, as it is now; offline, as it was last.

    Raises:
        InputError: it cannot be downloaded, or is not there when offline.
    """
    path = _folder() / f"{hashlib.sha256(address.encode()).hexdigest()}.json"
    if not is_offline():
        download(address, path, progress=False)
    elif not path.exists():
        raise missing_offline(path, address)
    return path.read_bytes()


def open_shard(address: str, sha256: str, size: int) -> BinaryIO:
    """Open a shard, after fetching it if need be.

    Args:
        address: http or https.
        sha256: 64 digits that the file must have.
        size: of the file, in bytes.

    Raises:
        RunError: it cannot be fetched, or is not what the index says.
    """
    path = _folder() / f"{sha256}.tar"
    while True:
        try:
            with suppress(PermissionError):  # another user's: it can be read, but not marked as used
                os.utime(path)
            return path.open("rb")
        except FileNotFoundError:  # not yet there, or just removed by another process
            _fetch(address, path, size)


def _fetch(address: str, path: Path, size: int) -> None:
    try:
        if multiprocessing.parent_process() is None:
            _download(address, path, size)
        else:
            with ThreadPoolExecutor(1) as pool:
                fetched = pool.submit(_download, address, path, size)
                while not wait([fetched], timeout=1.0).done:
                    give_sign_of_life()  # the network answers, or the download ends by itself
            fetched.result()
    except InputError as error:
        # Not an InputError: a picture with that error would be left out, and with it a whole shard.
        raise RunError(f"a shard cannot be fetched: {error.what}", error.where, error.what_to_do) from error
    except OSError as error:
        raise RunError(
            f"a shard cannot be kept: {error.strerror}", path, "set STRIATE_CACHE to another folder"
        ) from error


def _download(address: str, path: Path, size: int) -> None:
    if is_offline():
        raise missing_offline(path, address)
    _make(path.parent)
    with FileLock(path.with_name(f"{path.name[:2]}.lock")):
        if path.exists():  # another process was faster
            return
        make_room(size)
        in_main_process = multiprocessing.parent_process() is None
        download(address, path, checksum=f"sha256:{path.stem}", progress=in_main_process)


def make_room(incoming: int) -> None:
    """Remove the shards that were not used for longest, until ``incoming`` bytes more are within budget."""
    folder, budget = _folder(), cache_budget()
    with FileLock(folder / "room.lock"):
        found = []
        for path in [*folder.glob("*.tar"), *folder.glob(".*.tmp/*.tar")]:
            with suppress(FileNotFoundError):  # a download that just ended
                found.append((path.stat().st_mtime, path.stat().st_size, path))
        total = incoming + sum(size for _, size, _ in found)
        for used, size, path in sorted(found):
            if total <= budget:
                return
            if path.parent == folder:
                with suppress(FileNotFoundError, PermissionError):  # Windows keeps what is open
                    path.unlink()
                    total -= size
            elif time.time() - used > _ABANDONED:
                shutil.rmtree(path.parent, ignore_errors=True)
                total -= size


def _folder() -> Path:
    return cache_folder() / "shards"


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(
            f"the folder cannot be made: {error.strerror}", folder, "set STRIATE_CACHE to another folder"
        ) from error
