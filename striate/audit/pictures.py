"""Every picture by itself: can it be read, is all of it there, and does it show anything."""

import hashlib
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import PurePosixPath

import numpy as np
import torch
from torch import Tensor

from striate.audit.findings import Finding
from striate.audit.inventory import Entry, Inventory
from striate.data.dataset import ArrayImages, FolderImages, Images
from striate.data.depth import used_range
from striate.data.images import IMAGE_SUFFIXES, MAX_PIXELS, resize, with_channels
from striate.data.picture_kinds import SUFFIXES, kind_of
from striate.data.workers import TIMEOUT, read_lists
from striate.errors import InputError

SMALL_COPY = 32  # the side of the small copy that is kept of each picture while it is looked at
BLANK = 2.0  # grey levels; a picture whose small copy varies less (standard deviation) shows nothing
TINY = 32  # pixels of the shorter side
LONG = 4.0  # longer side / shorter side
LEAST_UNUSED_BITS = 2  # of the values of all pictures; one may be chance

_CHUNK = 64  # pictures that are read together
_CUT = re.compile(  # what decoders say of a file that is not all there
    r"premature end|truncated|cut off|unexpected end|not enough image data|too short"
    r"|end of the (PNG|GIF) is missing|does not match its checksum",
    re.I,
)


@dataclass(frozen=True)
class Look:
    """What was seen of one entry.

    Attributes:
        fault: why it cannot be read; "" if it can.
        cut: the fault, where it says that the file is not all there; else "".
        format: what the content is, as far as its beginning tells; "" for pictures in memory.
        height, width: in pixels; 0 if it cannot be read.
        stored: SHA-256 of the stored bytes.
        pixels: SHA-256 of size and pixels as RGB.
        bits: of a stored value, where it has more than 8; else 0.
        largest: of these values.
    """

    fault: str = ""
    cut: str = ""
    format: str = ""
    height: int = 0
    width: int = 0
    stored: bytes = b""
    pixels: bytes = b""
    bits: int = 0
    largest: int = 0


@dataclass(frozen=True, eq=False)
class Looks:
    """What was seen of all n entries.

    Attributes:
        each: n looks.
        grey: small grey copies, uint8 (n, 32, 32).
        spread: how much each small colour copy varies, float32 (n,): the largest standard deviation of a
            channel.
    """

    each: list[Look]
    grey: Tensor
    spread: Tensor


def look_at_all(inventory: Inventory, workers: int, progress: Callable[[int], None]) -> Looks:
    """Read every entry once, by ``workers`` processes (0: by this one).

    Raises:
        RunError: a worker died or hung.
    """
    entries = inventory.entries
    lists = [list(range(i, min(i + _CHUNK, len(entries)))) for i in range(0, len(entries), _CHUNK)]
    shape = (3, SMALL_COPY, SMALL_COPY)
    looks: list[Look] = []
    grey, spread = [], []
    look = partial(look_at, entries, inventory.parts)
    for copies, seen in read_lists(look, lists, shape, workers, TIMEOUT, lambda i: entries[i].name):
        levels = copies.float()
        weights = torch.tensor([0.299, 0.587, 0.114]).view(3, 1, 1)  # ITU-R BT.601
        grey.append((levels * weights).sum(1).round().byte())
        spread.append(levels.std((2, 3)).amax(1))
        looks += seen
        progress(len(seen))
    return Looks(looks, torch.cat(grey), torch.cat(spread))


def look_at(entries: tuple[Entry, ...], parts: tuple[Images, ...], number: int, copy: Tensor) -> Look:
    """Read entry ``number``; its small copy goes to ``copy``, uint8 (3, 32, 32), else black."""
    copy.zero_()
    entry = entries[number]
    if entry.part < 0:
        return Look(entry.fault)
    images, content = parts[entry.part], b""
    try:
        if isinstance(images, ArrayImages):
            content = images.content(entry.index)
            image = images.read(entry.index)
        else:
            if isinstance(images, FolderImages):
                images.facts(entry.index)  # refuses what is no plain file, or too large to be read whole
            content = images.content(entry.index)
            image = images.decode(entry.index, content)
    except InputError as error:
        cut = error.what if _CUT.search(error.what) else ""
        return Look(entry.fault or error.what, cut, format_of(content))
    image = with_channels(image, 3)
    copy.copy_(resize(image, SMALL_COPY, SMALL_COPY))
    rows = np.ascontiguousarray(image.permute(1, 2, 0).numpy())
    pixels = hashlib.sha256(f"{rows.shape}".encode())
    pixels.update(rows.data)
    in_memory = isinstance(images, ArrayImages)
    bits, largest = (0, 0) if in_memory else used_range(content, MAX_PIXELS) or (0, 0)
    return Look(
        format="" if in_memory else format_of(content),
        height=image.shape[1],
        width=image.shape[2],
        stored=hashlib.sha256(content).digest(),
        pixels=pixels.digest(),
        bits=bits,
        largest=largest,
    )


def format_of(content: bytes) -> str:
    """The format that the first bytes of a file tell; "" if they tell none that is read."""
    kind = kind_of(content)
    return kind.name if kind and kind.suffixes else ""


def picture_findings(entries: tuple[Entry, ...], looks: Looks) -> list[Finding]:
    """What is wrong with pictures by themselves; several findings where several things are."""
    found = []
    readable = [look for look in looks.each if not look.fault]
    shorter = np.array([min(look.height, look.width) for look in readable] or [1])
    ratios = np.array([_ratio(look) for look in readable] or [1])
    smallest = tiny_limit(float(np.median(shorter)))
    longest = max(LONG, 2 * float(np.median(ratios)))
    for i, (entry, look, spread) in enumerate(zip(entries, looks.each, looks.spread.tolist(), strict=True)):
        suffix = PurePosixPath(entry.name).suffix.lower()
        if look.cut:
            found.append(Finding("truncated", (i,), look.cut))
        elif look.fault and entry.fault and suffix not in IMAGE_SUFFIXES:
            found.append(Finding("left-out", (i,), entry.fault))
        elif look.fault:
            found.append(Finding("unreadable", (i,), look.fault))
        if look.fault:
            continue
        if look.format and suffix not in SUFFIXES[look.format]:
            found.append(Finding("wrong-suffix", (i,), f"the content is {look.format}"))
        elif entry.fault:
            found.append(Finding("left-out", (i,), entry.fault))
        size = f"{look.width} x {look.height} pixels"
        if min(look.height, look.width) < smallest:
            found.append(Finding("tiny", (i,), size))
        if _ratio(look) > longest:
            found.append(Finding("extreme-aspect", (i,), f"{size}, {_ratio(look):.1f} : 1"))
        if spread < BLANK:
            found.append(Finding("blank", (i,), f"its values vary by {spread:.1f} of 255"))
    return found + _range_findings(looks)


def _range_findings(looks: Looks) -> list[Finding]:
    """Pictures of more than 8 bits whose upper bits hold nothing in any of them, as cameras write them."""
    found = []
    for bits in sorted({look.bits for look in looks.each} - {0}):
        entries = tuple(i for i, look in enumerate(looks.each) if look.bits == bits)
        largest = max(looks.each[i].largest for i in entries)
        unused = bits - max(largest.bit_length(), 1)
        if unused >= LEAST_UNUSED_BITS:
            detail = (
                f"the values of {bits} bits reach {largest}, the lowest 1/{2**unused} of their range: "
                f"at most {max(256 >> unused, 1)} of 256 levels are left; "
                f"--set input.white={2 ** (bits - unused) - 1} uses all 256"
            )
            found.append(Finding("narrow-range", entries, detail))
    return found


def tiny_limit(median: float) -> float:
    """The shorter side in pixels below which a picture is tiny among others of this ``median``.

    It is ``TINY``, or a tenth of the median where that is more, up to twice ``TINY``; but at most half the
    median, so that a set of small pictures is not all faults.
    """
    return min(max(TINY, min(median / 10, 2 * TINY)), median / 2)


def _ratio(look: Look) -> float:
    return max(look.height, look.width) / min(look.height, look.width)
