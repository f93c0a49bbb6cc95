"""The process before torch starts: waiting policy, allocator, threads, memory format.

The command line calls ``prepare`` first of all, because most of this is read once, when torch loads its
libraries. ``import striate`` never does. Every setting has an off switch in the environment:

| setting         | default                                    | off, or other value     |
| waiting         | idle OpenMP threads spin briefly, sleep    | STRIATE_PASSIVE_WAIT=0  |
| allocator       | glibc keeps large blocks of freed memory   | STRIATE_MALLOC=0        |
| threads         | as many as this process may use processors | STRIATE_THREADS=n       |
| memory format   | channels_last                              | STRIATE_CHANNELS_LAST=0 |

What each is worth is measured in benchmarks/runtime.py. Standard library only.
"""

import ctypes
import functools
import math
import os
import sys
from collections.abc import Mapping, MutableMapping
from dataclasses import dataclass
from pathlib import Path

from striate.errors import InputError

M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4  # malloc.h of glibc
NEVER = -1
SPINS = 1000  # of an idle OpenMP thread, a few microseconds


@dataclass(frozen=True)
class Setting:
    """What was done about one thing: its ``state`` in a word or two, why, and how to have it otherwise."""

    name: str
    state: str
    why: str
    switch: str


@dataclass(frozen=True)
class Runtime:
    """What ``prepare`` did, one setting each."""

    waiting: Setting
    allocator: Setting
    threads: Setting
    memory_format: Setting

    def settings(self) -> tuple[Setting, ...]:
        """The settings in the order in which they were made."""
        return self.waiting, self.allocator, self.threads, self.memory_format


@functools.cache
def prepare() -> Runtime:
    """Set up this process from its environment, once; later calls return the same record.

    Raises:
        InputError: a STRIATE_ variable has a value that it cannot have.
    """
    return apply(os.environ)


def apply(environment: MutableMapping[str, str]) -> Runtime:
    """Set what torch will read in ``environment``, and this process's allocator.

    Raises:
        InputError: a STRIATE_ variable has a value that it cannot have.
    """
    if "WORLD_SIZE" in environment:  # torchrun's processes would each warn of a setting that is meant
        environment.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")
    return Runtime(
        set_waiting(environment),
        set_allocator(environment),
        set_threads(environment),
        memory_format(environment),
    )


def set_waiting(environment: MutableMapping[str, str]) -> Setting:
    """Let idle OpenMP threads spin for microseconds only, then sleep.

    A thread that spins between two kernels is there at once, but takes the processor from whoever has
    work to do; one that sleeps costs a call of the kernel to wake. The short spin bridges the gap between
    the kernels of a network and has ended before a neighbour notices.
    """

    def setting(state: str, why: str) -> Setting:
        return Setting("waiting", state, why, "STRIATE_PASSIVE_WAIT=0")

    if not _is_on(environment, "STRIATE_PASSIVE_WAIT"):
        return setting("torch's default", "switched off")
    for name in ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME"):
        if name in environment:
            return setting(environment[name].lower(), f"{name} was set")
    if "torch" in sys.modules:  # its OpenMP has read the environment, once and for all
        return setting("torch's default", "torch was loaded before")
    environment["OMP_WAIT_POLICY"] = "PASSIVE"
    environment["GOMP_SPINCOUNT"] = str(SPINS)  # GNU's runtime, which torch brings; others ignore it
    return setting("passive", "idle threads soon sleep")


def set_allocator(environment: Mapping[str, str]) -> Setting:
    """Let glibc keep freed memory for the next step.

    Every training step and every batch frees and asks again for the same large activations. By default
    glibc gives each block of more than 32 MiB (that is as high as M_MMAP_THRESHOLD goes) a mapping of its
    own and returns smaller ones at the end of the heap to the system as well. Then each step the
    kernel hands out fresh pages: one fault and 4 KiB of zeros written at a time, before the convolution
    writes its result over them. No mappings and no trimming leave the pages where they are; the price
    is that a process keeps the most memory that it ever used.
    """

    def setting(state: str, why: str) -> Setting:
        return Setting("allocator", state, why, "STRIATE_MALLOC=0")

    if not _is_on(environment, "STRIATE_MALLOC"):
        return setting("system default", "switched off")
    if "malloc" in environment.get("LD_PRELOAD", ""):
        return setting("as preloaded", "LD_PRELOAD has another")
    if sys.platform != "linux":
        return setting("system default", "not glibc")
    library = ctypes.CDLL(None)
    if not hasattr(library, "gnu_get_libc_version"):
        return setting("system default", "not glibc")  # musl
    if not (library.mallopt(M_MMAP_MAX, 0) and library.mallopt(M_TRIM_THRESHOLD, NEVER)):
        return setting("system default", "glibc refused mallopt")
    return setting("keeps memory", "freed memory is reused")


def set_threads(environment: MutableMapping[str, str]) -> Setting:
    """One thread for every processor that this process may use.

    MKL, where torch is built with it, starts no more of them than there are physical cores.

    Raises:
        InputError: STRIATE_THREADS is not a count.
    """

    def setting(count: str, why: str) -> Setting:
        return Setting("threads", count, why, "STRIATE_THREADS=n")

    wanted = environment.get("STRIATE_THREADS", "")
    if wanted and not (wanted.isdecimal() and int(wanted) > 0):
        raise InputError(f"{wanted!r} is not a number of threads", "STRIATE_THREADS", "use 1, 2, 3, ...")
    if "OMP_NUM_THREADS" in environment and not wanted:
        return setting(environment["OMP_NUM_THREADS"], "OMP_NUM_THREADS was set")
    if "torch" in sys.modules:
        return setting("torch's default", "torch was loaded before")
    environment["OMP_NUM_THREADS"] = wanted or str(usable_processors())
    why = "STRIATE_THREADS" if wanted else "all this process may use"
    return setting(environment["OMP_NUM_THREADS"], why)


def memory_format(environment: Mapping[str, str]) -> Setting:
    """Report how the channels of a feature map lie in memory; the training loop asks ``channels_last``."""
    on = channels_last(environment)
    why = "channels lie together" if on else "switched off"
    return Setting("memory format", "channels_last" if on else "contiguous", why, "STRIATE_CHANNELS_LAST=0")


def channels_last(environment: Mapping[str, str] = os.environ) -> bool:
    """Whether networks and pictures are laid out as (N, H, W, C) in memory; shapes stay (N, C, H, W).

    Raises:
        InputError: STRIATE_CHANNELS_LAST is neither 0 nor 1.
    """
    return _is_on(environment, "STRIATE_CHANNELS_LAST")


def usable_processors(root: Path = Path("/")) -> int:
    """How many processors this process may keep busy: its affinity mask and its cgroup quota, rounded up.

    Args:
        root: where ``proc`` and ``sys`` are found.
    """
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quota = processor_quota(root)
    return allowed if quota is None else max(1, min(allowed, math.ceil(quota)))


def processor_quota(root: Path = Path("/")) -> float | None:
    """The processors' worth of time that control groups (v1 and v2) allow; None without a limit.

    A container sees all processors of its host and is stopped for the rest of each period once its
    quota is used up, so one thread for each of them only makes all of them wait.
    """
    quotas = []
    for folder in control_groups("cpu", root):
        if (limit := folder / "cpu.max").is_file():  # v2: "200000 100000" or "max 100000"
            quota, period = limit.read_text().split()
        elif (limit := folder / "cpu.cfs_quota_us").is_file():  # v1: -1 is no limit
            quota, period = limit.read_text(), (folder / "cpu.cfs_period_us").read_text()
        else:
            continue
        if quota != "max" and int(quota) > 0:
            quotas.append(int(quota) / int(period))
    return min(quotas, default=None)


def control_groups(controller: str, root: Path = Path("/")) -> list[Path]:
    """The folders of the control groups that hold this process, its own first, then their parents.

    Args:
        controller: ``"cpu"`` or ``"memory"``.
        root: where ``proc`` and ``sys`` are found.
    """
    membership = root / "proc/self/cgroup"
    folders = []
    for line in membership.read_text().splitlines() if membership.is_file() else []:
        _, controllers, path = line.split(":", 2)  # "4:cpu,cpuacct:/box" in v1, "0::/box" in v2
        if controller in controllers.split(","):
            mount = root / "sys/fs/cgroup" / controller  # where "cpu,cpuacct" is mounted, "cpu" is a link
        elif not controllers:
            mount = root / "sys/fs/cgroup"
        else:
            continue
        # Inside a container the path may be the host's: then only the mount itself is there to read.
        below = [Path(path).relative_to("/"), *Path(path).relative_to("/").parents]
        folders += [mount / folder for folder in below if (mount / folder).is_dir()]
    return folders


def _is_on(environment: Mapping[str, str], name: str) -> bool:
    value = environment.get(name, "") or "1"
    if value not in ("0", "1"):
        raise InputError(f"{value!r} is neither 0 nor 1", name, "use 0 for off, 1 for on")
    return value == "1"
