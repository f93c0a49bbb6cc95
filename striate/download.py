"""Files from the network: whole and verified, or not there at all."""

import hashlib
import json
import os
import re
import sys
import urllib.request
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from http.client import HTTPException, HTTPMessage
from pathlib import Path
from typing import IO, TYPE_CHECKING, BinaryIO
from urllib.error import HTTPError

from striate.errors import InputError
from striate.files import write_atomically, write_text

if TYPE_CHECKING:
    from rich.progress import Progress

CHECKSUMS = "checksums.json"  # beside downloaded files: file name -> "sha256:..." of what was downloaded

_CHUNK = 2**18  # bytes
_TIMEOUT = 30  # seconds without any answer
_OTHER_FOLDER = "set STRIATE_CACHE (for weights) or STRIATE_DATA (for data) to another folder"


@dataclass(frozen=True)
class RemoteFile:
    """A file that can be downloaded.

    Attributes:
        name: what it is called on disk.
        urls: where it is, tried in this order.
        checksum: the published "sha256:..." or "md5:...", or its first digits; None if none is published.
        size: bytes, or None if unknown.
    """

    name: str
    urls: tuple[str, ...]
    checksum: str | None = None
    size: int | None = None


def cache_folder() -> Path:
    """Where downloads are kept: the folder that STRIATE_CACHE names, else ~/.cache/striate."""
    return Path(os.environ.get("STRIATE_CACHE") or Path.home() / ".cache" / "striate")


def is_offline() -> bool:
    """Whether STRIATE_OFFLINE forbids to touch the network."""
    return os.environ.get("STRIATE_OFFLINE") == "1"


def download(url: str, destination: Path, *, checksum: str | None = None, progress: bool = True) -> str:
    """Download one file; until it is whole and verified, nothing is at ``destination``.

    Where the Hugging Face hub answers, the SHA-256 that it states for the file is verified as well.

    Args:
        url: http or https.
        destination: the file to make; its folder is made if need be.
        checksum: "sha256:..." or "md5:...", or its first digits, that it must have, or None.
        progress: show a bar, if the error output is a terminal.

    Returns:
        The commit that the hub says the file is from, "" elsewhere.

    Raises:
        InputError: no connection, a connection that breaks off, another checksum, or no room to write.
    """
    if not url.lower().startswith(("http://", "https://")):
        raise InputError("only http and https addresses are downloaded", url, "download the file yourself")
    try:
        destination.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(
            f"the folder cannot be made: {error.strerror}", destination.parent, _OTHER_FOLDER
        ) from error
    hub = _Hub()
    try:
        write_atomically(destination, lambda temporary: _fetch(url, temporary, checksum, progress, hub))
    except InputError as error:
        if error.where != str(destination):
            raise
        raise InputError(error.what, destination, f"free some space, or {_OTHER_FOLDER}") from error
    return hub.commit


def fetch(files: Sequence[RemoteFile], folder: Path, *, offline: bool = False) -> None:
    """Have all of ``files`` in ``folder``: those that are there are verified, the others downloaded.

    The SHA-256 of every download is kept in ``checksums.json`` there, and compared at every later call.

    Raises:
        InputError: as ``download``; a file that changed since; or a file that is missing when ``offline``.
    """
    record = folder / CHECKSUMS
    known: dict[str, str] = json.loads(record.read_text(encoding="utf-8")) if record.exists() else {}
    for file in files:
        path = folder / file.name
        if path.exists():
            expected = known.get(file.name, file.checksum)
            if expected:
                verify(path, expected)
            continue
        if offline:
            raise missing_offline(path, file.urls[0])
        _download_from_any(file, path)
        known[file.name] = checksum_of(path, "sha256")
        write_text(record, json.dumps(known, indent=2) + "\n")


def verify(path: Path, checksum: str) -> None:
    """Find out whether a file has a checksum "sha256:..." or "md5:...", of which the first digits do.

    Raises:
        InputError: it has another.
    """
    if not checksum_of(path, checksum.split(":")[0]).startswith(checksum):
        raise InputError(
            "the file is not what was downloaded or published", path, "remove it, and it is downloaded again"
        )


def checksum_of(path: Path, algorithm: str) -> str:
    """ "sha256:..." or "md5:..." of a file."""
    with path.open("rb") as file:
        return f"{algorithm}:{hashlib.file_digest(file, algorithm).hexdigest()}"


def missing_offline(path: Path, url: str) -> InputError:
    """The error for a file that would have to be downloaded, and may not."""
    return InputError(
        "the file is not there, and STRIATE_OFFLINE forbids to download it", path, f"put it there, from {url}"
    )


def _download_from_any(file: RemoteFile, path: Path) -> None:
    for url in file.urls[:-1]:
        try:
            download(url, path, checksum=file.checksum)
        except InputError:
            continue  # the last address tells what is wrong
        return
    download(file.urls[-1], path, checksum=file.checksum)


class _Hub(urllib.request.HTTPRedirectHandler):
    """What the Hugging Face hub says of a file while it sends us on to its storage."""

    commit = ""
    sha256 = ""

    def redirect_request(
        self,
        req: urllib.request.Request,
        fp: IO[bytes],
        code: int,
        msg: str,
        headers: HTTPMessage,
        newurl: str,
    ) -> urllib.request.Request | None:
        self.read(headers)
        if not newurl.lower().startswith("https://" if req.type == "https" else ("http://", "https://")):
            raise ValueError(f"{req.full_url} sends on to {newurl}, which is not as safe")
        return super().redirect_request(req, fp, code, msg, headers, newurl)

    def read(self, headers: HTTPMessage) -> None:
        etag = headers.get("X-Linked-Etag", "").strip('"')
        if re.fullmatch("[0-9a-f]{64}", etag):  # small files have a digest of git there, of 40 digits
            self.sha256 = f"sha256:{etag}"
        self.commit = headers.get("X-Repo-Commit", self.commit)


def _fetch(url: str, path: Path, checksum: str | None, progress: bool, hub: _Hub) -> None:
    """Write the content of ``url`` to ``path`` and verify it."""
    request = urllib.request.Request(url, headers={"User-Agent": "striate"})
    try:
        response = urllib.request.build_opener(hub).open(request, timeout=_TIMEOUT)
    except (OSError, HTTPException, ValueError) as error:
        raise _no_connection(url, error) from error
    hub.read(response.headers)
    with closing(response), path.open("wb") as file, _bar(progress) as bar:
        stated = response.headers.get("Content-Length")
        total = int(stated) if re.fullmatch("[0-9]{1,18}", stated or "") else None
        task = bar.add_task(url.rsplit("/", 1)[-1], total=total)
        received = _copy(url, response, file, lambda count: bar.advance(task, count))
    if total is not None and received != total:
        raise InputError(f"the connection broke off after {received:,} of {total:,} bytes", url, "try again")
    for expected in filter(None, (checksum, hub.sha256)):
        found = checksum_of(path, expected.split(":")[0])
        if not found.startswith(expected):
            raise InputError(
                f"the downloaded file has the checksum {found}, not {expected}",
                url,
                "try again; if it stays so, the file at this address has changed",
            )


def _copy(url: str, response: BinaryIO, file: BinaryIO, advance: Callable[[int], None]) -> int:
    """Copy chunk by chunk; the number of bytes. Disk errors pass on, those of the network become ours."""
    received = 0
    while True:
        try:
            chunk = response.read(_CHUNK)
        except (OSError, HTTPException) as error:
            raise _no_connection(url, error) from error
        if not chunk:
            return received
        file.write(chunk)
        received += len(chunk)
        advance(len(chunk))


def _bar(shown: bool) -> "Progress":
    from rich.console import Console  # here: reading data should not wait for it
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(),
        TimeRemainingColumn(),
        console=Console(stderr=True),
        transient=True,
        disable=not (shown and sys.stderr.isatty()),
    )


def _no_connection(url: str, error: Exception) -> InputError:
    reason = error if isinstance(error, HTTPError) else getattr(error, "reason", error)
    return InputError(
        f"the download failed: {reason}",
        url,
        "check the connection, or download it elsewhere: data go into the folder that STRIATE_DATA names, "
        "weights are given by --weights",
    )
