"""Worker processes that read pictures, and what happens when one of them dies or hangs.

The lists of an epoch are dealt out in turn, and each worker reads its next list while the main process
uses the last. Pixels come back in shared memory, everything else through a pipe:

    main ── (slot, list) ──► worker w: lists w, w + W, w + 2W, ...
         ◄── answers ───────            2 slots of pixels, one filled while the other is read

A worker notes which picture it is at, and counts the signs of life it gives while it waits for the network.
If it dies, or does neither for too long, all workers are killed and the run ends with an error that names the
picture. The time in which a worker waits for a processor, since others are busy, is not held against it.
"""

import atexit
import multiprocessing
import os
import signal
import time
import traceback
from collections.abc import Callable, Generator, Sequence
from contextlib import suppress
from ctypes import c_int64, c_uint8
from math import prod
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any, Generic, TypeVar

import torch
from torch import Tensor

from striate.errors import ReportedError, RunError

SLOTS = 2  # lists that a worker has been given and whose pixels were not taken yet
TICK = 0.25  # seconds; patience is counted in these, so that a run that was itself stopped can go on
TIMEOUT = 25.0

_beats: Any = None  # of this process, if it is a worker: its signs of life, counted in shared memory

Answer = TypeVar("Answer")
ReadOne = Callable[[int, Tensor], Answer]  # a picture's index, where its pixels go -> what is known of it


def give_sign_of_life() -> None:
    """Say that this process, if it is a worker, has not hung: to be called now and then in a long wait."""
    if _beats is not None:
        _beats.value += 1


def read_lists(
    read: ReadOne[Answer],
    lists: Sequence[list[int]],
    shape: tuple[int, ...],
    workers: int,
    timeout: float,
    name: Callable[[int], str],
) -> Generator[tuple[Tensor, list[Answer]], None, None]:
    """Read the pictures of each list, in order, by ``workers`` processes (0: by this one).

    Args:
        read: reads one picture; it must not draw random numbers.
        lists: of indices.
        shape: of the pixels that ``read`` makes.
        timeout: seconds after which a worker that is still at the same picture has hung, without those in
            which it was ready to go on and got no processor (as far as the system tells them).
        name: what an error calls a picture.

    Returns:
        For each list uint8 (n, *``shape``), good until the next one is asked for, and n answers.

    Raises:
        RunError: a worker died, hung or failed.
    """
    if not workers or not lists:
        for indices in lists:
            pixels = torch.empty(len(indices), *shape, dtype=torch.uint8)
            yield pixels, [read(index, row) for index, row in zip(indices, pixels, strict=True)]
        return
    crew = Crew(read, lists, shape, min(workers, len(lists)), timeout, name)
    try:
        for number in range(len(lists)):
            yield crew.receive(number)
            crew.send(number + SLOTS * len(crew.workers))  # its slot is free now
    finally:
        crew.kill()


class Worker(Generic[Answer]):
    """One process, the pipe to it, and the memory shared with it: its slots, and the place it is at, which
    is the number of the list times ``longest`` and the position in it."""

    def __init__(self, read: ReadOne[Answer], shape: tuple[int, ...], longest: int, first: int) -> None:
        context = multiprocessing.get_context()
        memory = context.RawArray(c_uint8, max(1, SLOTS * longest * prod(shape)))
        self.place = context.RawValue(c_int64, first * longest)
        self.beats = context.RawValue(c_int64, 0)
        self.slots = _as_slots(memory, shape, longest)
        self.connection, far_end = context.Pipe()
        parent = os.getpid() if context.get_start_method() == "fork" else None
        self.process = context.Process(
            target=_work,
            args=(read, far_end, parent, memory, self.place, self.beats, shape, longest),
            daemon=True,
        )
        self.process.start()
        self.used = 0.0  # processor time, seconds, when it was last asked for
        far_end.close()  # so that the pipe ends when the worker does

    def signs(self) -> tuple[int, int]:
        """What changes as long as the worker has not hung."""
        return self.place.value, self.beats.value

    def chance(self, tick: float) -> float:
        """How many seconds of the last ``tick`` it could have used: of a process that is ready to run, those
        in which it got a processor; of one that waits, sleeps or is stopped, all."""
        ready, used = processor_use(self.process.pid or 0)
        got, self.used = used - self.used, used
        return min(tick, got) if ready else tick


def processor_use(process: int) -> tuple[bool, float]:
    """Whether a process is ready to run or running, and the processor time that it has used so far, in
    seconds; (False, 0.0) where the system has no ``/proc``, or there is no such process."""
    try:
        fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return False, 0.0
    return fields[0] == "R", (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


class Crew(Generic[Answer]):
    """All workers of one pass over the pictures. Arguments as for ``read_lists``."""

    def __init__(
        self,
        read: ReadOne[Answer],
        lists: Sequence[list[int]],
        shape: tuple[int, ...],
        workers: int,
        timeout: float,
        name: Callable[[int], str],
    ) -> None:
        self.lists, self.timeout, self.name = lists, timeout, name
        self.longest = max(map(len, lists))
        self.workers: list[Worker[Answer]] = []
        atexit.register(self.kill)  # before multiprocessing waits for its children: a stopped one never ends
        try:
            self.workers += (Worker(read, shape, self.longest, first) for first in range(workers))
            for number in range(SLOTS * workers):
                self.send(number)
        except OSError as error:
            self.kill()
            raise RunError(
                f"a process that reads pictures cannot be started: {error.strerror}",
                f"{workers} workers",
                "give fewer, or none: --workers 0",
            ) from error
        except BaseException:
            self.kill()
            raise

    def send(self, number: int) -> None:
        """Give a list, if there are so many, to the worker whose turn it is."""
        if number < len(self.lists):
            worker = self.workers[number % len(self.workers)]
            try:
                worker.connection.send((number, self._slot(number), self.lists[number]))
            except OSError:  # its end of the pipe is closed
                raise self._died(worker) from None

    def receive(self, number: int) -> tuple[Tensor, list[Answer]]:
        """Pixels and answers of a list, when they are there.

        Raises:
            RunError: a worker died, hung or failed.
        """
        worker = self.workers[number % len(self.workers)]
        sentinels = {other.process.sentinel: other for other in self.workers}
        tick = min(TICK, self.timeout)
        quiet, signs = 0.0, worker.signs()
        while quiet < self.timeout:
            ready = wait([worker.connection, *sentinels], tick)
            if worker.connection in ready:
                try:
                    answers = self._checked(worker.connection.recv(), worker)
                except (EOFError, OSError):
                    raise self._died(worker) from None
                return worker.slots[self._slot(number), : len(answers)], answers
            if ready:
                raise self._died(sentinels[ready[0]])  # type: ignore[index]
            chance = worker.chance(tick)
            quiet = quiet + chance if signs == worker.signs() else 0.0
            signs = worker.signs()
        raise self._fault(f"a worker that reads pictures has hung for {self.timeout:g} seconds", worker)

    def kill(self) -> None:
        """End all workers, also those that are stopped or in an endless loop."""
        atexit.unregister(self.kill)
        for worker in self.workers:
            worker.process.kill()
        deadline = time.monotonic() + 5.0  # a disk or network that does not answer may hold them longer
        for worker in self.workers:
            worker.process.join(max(0.0, deadline - time.monotonic()))
            worker.connection.close()

    def _slot(self, number: int) -> int:
        return number // len(self.workers) % SLOTS

    def _checked(self, answers: Any, worker: Worker[Answer]) -> list[Answer]:
        """What came from a worker, unless it is the reason why there are no answers."""
        if isinstance(answers, ReportedError):
            raise answers
        if isinstance(answers, str):
            reason = answers.splitlines()[-1]
            raise self._fault(f"a worker that reads pictures failed: {reason}", worker) from (
                RuntimeError(f"in the worker:\n{answers}")
            )
        checked: list[Answer] = answers
        return checked

    def _died(self, worker: Worker[Answer]) -> Exception:
        """Why a worker has ended: the reason that it may have sent while another one was waited for, or else
        how its process ended."""
        worker.process.join()
        with suppress(EOFError, OSError):
            while worker.connection.poll():
                try:
                    self._checked(worker.connection.recv(), worker)
                except ReportedError as sent:
                    return sent
        code = worker.process.exitcode or 0
        reason = f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"
        return self._fault(f"a worker that reads pictures {reason}", worker)

    def _fault(self, what: str, worker: Worker[Answer]) -> RunError:
        number, position = divmod(worker.place.value, self.longest)
        indices = self.lists[number]
        shown = ", ".join(map(self.name, indices[:8]))
        more = f" and {len(indices) - 8} more" if len(indices) > 8 else ""
        return RunError(
            what,
            f"{self.name(indices[position])}, in the batch of {shown}{more}",
            "look at these pictures, and read them without workers: --workers 0",
        )


def _as_slots(memory: Any, shape: tuple[int, ...], longest: int) -> Tensor:
    """Shared memory as uint8 (SLOTS, longest, *shape)."""
    count = SLOTS * longest * prod(shape)
    return torch.frombuffer(memory, dtype=torch.uint8)[:count].view(SLOTS, longest, *shape)


def _work(
    read: ReadOne[Answer],
    connection: Connection,
    parent: int | None,
    memory: Any,
    place: Any,
    beats: Any,
    shape: tuple[int, ...],
    longest: int,
) -> None:
    """Read list after list, until the main process, whose id is ``parent``, has gone."""
    global _beats
    _beats = beats
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the main process's to handle
    torch.set_num_threads(1)  # the threads of the main process do not live on in a fork
    slots = _as_slots(memory, shape, longest)
    with suppress(EOFError, OSError):  # the pipe has no other end any more
        while True:
            while not connection.poll(1.0):
                # A fork holds the ends of other workers' pipes too: when the main process is killed, a
                # pipe need not end.
                if parent and os.getppid() != parent:
                    return
            number, slot, indices = connection.recv()
            answers: list[Answer] = []
            try:
                for position, index in enumerate(indices):
                    place.value = number * longest + position
                    answers.append(read(index, slots[slot, position]))
            except ReportedError as error:
                connection.send(error)
                return
            except Exception:
                connection.send(traceback.format_exc())
                return
            connection.send(answers)
