"""Several processes train one network: torchrun starts them, ``torch.distributed`` joins them.

    torchrun --nproc-per-node 4 -m striate train DATA

A batch is divided among the processes; each computes the gradient of its part, the gradients are summed,
and all take the same step. So the weights are those of one process with the same batch, to rounding.
One process alone is ``Processes()``: the same calls, which then do nothing and need no torch.distributed.

Messages go through gloo between processors and through NCCL between GPUs. What is known to one process
only travels as JSON or as plain tensors; nothing is pickled.
"""

import atexit
import gc
import hashlib
import json
import os
import secrets
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed.distributed_c10d import PrefixStore, Store
from torch.distributed.rendezvous import rendezvous

from striate.errors import InputError, RunError

# How long a message may wait for a process that is alive, such as the first one writing the report. One
# that has died is noticed at once.
PATIENCE = timedelta(hours=1)
_SPREAD = 0x9E3779B97F4A7C15 - 2**64  # odd, so that no two keys share a seed; 2^64 / golden ratio
START = timedelta(minutes=10)  # the longest that one process may start later than another


@dataclass(frozen=True)
class Processes:
    """The processes of this job, seen from one of them.

    Attributes:
        rank: the number of this process, from 0; the first writes logs, checkpoints and the report.
        size: how many there are.
        local_rank: its number among those of this machine.
    """

    rank: int = 0
    size: int = 1
    local_rank: int = 0

    @property
    def is_first(self) -> bool:
        """Whether this process does what is done once."""
        return self.rank == 0

    def device(self, chosen: torch.device) -> torch.device:
        """The device of this process: its own GPU where ``chosen`` is the GPU.

        Raises:
            InputError: this machine has fewer GPUs than processes.
        """
        if self.size == 1 or chosen.type != "cuda":
            return chosen
        count = torch.cuda.device_count()
        if self.local_rank >= count:
            raise InputError(
                f"process {self.local_rank} of this machine finds no GPU of its own",
                f"{count} GPUs, counted from 0",
                f"torchrun --nproc-per-node {count}, or --device cpu",
            )
        device = torch.device("cuda", self.local_rank)
        torch.cuda.set_device(device)
        return device

    def part(self, indices: Tensor) -> Tensor:
        """This process's part of a batch's ``indices`` int64 (n,): parts are in order and nearly equal."""
        return indices.tensor_split(self.size)[self.rank]

    def check_batches(self, smallest: int) -> None:
        """Make sure that every process has a part of every batch.

        Args:
            smallest: pictures in the smallest batch of an epoch.

        Raises:
            InputError: some process would have nothing to do.
        """
        if smallest < self.size:
            raise InputError(
                f"a batch of {smallest} pictures cannot be divided among {self.size} processes",
                "train.batch_size",
                f"a larger batch, or torchrun --nproc-per-node {smallest}",
            )

    def wait(self) -> None:
        """Return when every process has come here."""
        if self.size > 1:
            dist.all_reduce(torch.zeros(1))  # not barrier(), which NCCL would do on a GPU of its choice

    @contextmanager
    def first_goes_first(self) -> Iterator[None]:
        """The block is for the first process, and then for the others: they find there what it has made."""
        if not self.is_first:
            self.wait()
        yield
        if self.is_first:
            self.wait()

    def broadcast(self, value: Any) -> Any:
        """The first process's ``value``, which JSON can hold, on every process."""
        if self.size == 1:
            return value
        text = json.dumps(value).encode() if self.is_first else b""
        length = torch.tensor(len(text))
        dist.broadcast(length, 0)
        message = torch.frombuffer(bytearray(text or int(length)), dtype=torch.uint8)
        dist.broadcast(message, 0)
        return json.loads(message.numpy().tobytes())

    @torch.no_grad()
    def align(self, tensors: Iterable[Tensor]) -> None:
        """Overwrite ``tensors`` by those of the first process, which have the same shapes and dtypes."""
        if self.size == 1:
            return
        for tensor in tensors:
            plain = tensor.contiguous()  # a message has no memory layout
            dist.broadcast(plain, 0)
            tensor.copy_(plain)

    def gather(self, values: Sequence[float]) -> Tensor:
        """Every process's ``values``, as many on each: float64 (size, n), the same on every process."""
        own = torch.tensor(values, dtype=torch.float64)
        return torch.stack(self._gather(own))

    def gather_rows(self, rows: Tensor) -> Tensor:
        """The ``rows`` (n, ...) of all processes below one another, by rank; n may differ."""
        if self.size == 1:
            return rows
        counts = [int(count) for count in self._gather(torch.tensor(len(rows)))]
        padded = rows.new_zeros(max(counts), *rows.shape[1:])
        padded[: len(rows)] = rows
        return torch.cat([part[:count] for part, count in zip(self._gather(padded), counts, strict=True)])

    def _gather(self, own: Tensor) -> list[Tensor]:
        if self.size == 1:
            return [own]
        gathered = [torch.empty_like(own) for _ in range(self.size)]
        dist.all_gather(gathered, own)
        return gathered


@contextmanager
def join_processes() -> Iterator[Processes]:
    """The processes that torchrun started along with this one; one process where it was not torchrun.

    They leave together. An error in one of them ends all: it goes on to the end of that process, torchrun
    sees that and stops the others, which may have noticed before.

    Raises:
        InputError: torchrun's environment is incomplete.
        RunError: another process of the job has died, or hangs.
    """
    processes = read_environment()
    if processes.size == 1:
        yield processes
        return
    backend = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() and dist.is_nccl_available() else "gloo"
    try:
        store, rank, size = next(iter(rendezvous("env://", timeout=START)))
        store = PrefixStore(name_this_start(store, processes), store)
        dist.init_process_group(backend, store=store, rank=rank, world_size=size, timeout=PATIENCE)
        yield processes
        processes.wait()
    except BaseException as error:
        # Not before the end: the others would notice before this process could say what is wrong, and the
        # error itself holds on to the network.
        atexit.register(_leave)
        if not (isinstance(error, RuntimeError) and is_lost_connection(error)):
            raise
        raise RunError(
            "another process of the job has ended or does not answer",
            f"process {processes.rank} of {processes.size}, counted from 0",
            "see what the process that ended first says, then resume the run",
        ) from error
    _leave()


def _leave() -> None:
    if dist.is_initialized():
        gc.collect()  # wrappers of networks hold on to the group, whose threads must end before Python does
        dist.destroy_process_group()


def name_this_start(store: Store, processes: Processes) -> str:
    """A word that the processes of this start of the job agree on, and that no earlier start has used.

    torchrun keeps one store over all restarts (github.com/pytorch/pytorch/issues/135712), and with it the
    addresses of processes that are dead. So each process asks under a name of its own and waits for the
    answer to that; the first one answers whatever question it finds until all have heard its word.
    """
    word = secrets.token_hex(8)
    if not processes.is_first:
        store.set(f"question of {processes.rank}", word)
        answer: str = store.get(f"answer to {word}").decode()
        store.set(f"{answer} heard by {processes.rank}", "")
        return answer
    deaf, deadline = set(range(1, processes.size)), time.monotonic() + START.total_seconds()
    while deaf and time.monotonic() < deadline:
        for rank in deaf:
            if store.check([f"question of {rank}"]):
                store.set(f"answer to {store.get(f'question of {rank}').decode()}", word)
        time.sleep(0.02)
        deaf = {rank for rank in deaf if not store.check([f"{word} heard by {rank}"])}
    if deaf:
        raise RunError(f"processes {sorted(deaf)} of the job did not start", "", "see what they say")
    return word


def read_environment() -> Processes:
    """The processes as torchrun's environment variables tell.

    Raises:
        InputError: some of them are missing, or are no numbers.
    """
    if "WORLD_SIZE" not in os.environ:
        return Processes()
    try:
        return Processes(*(int(os.environ[name]) for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK")))
    except (KeyError, ValueError) as error:
        raise InputError(
            f"WORLD_SIZE is set, but this is no process of torchrun: {error}",
            "the environment",
            "torchrun --nproc-per-node N -m striate train ..., or unset WORLD_SIZE",
        ) from None


def restarted() -> bool:
    """Whether torchrun started this job again because a process of it had died.

    It does not count a start because machines came or went (``--nnodes 1:4``) as one.
    """
    return int(os.environ.get("TORCHELASTIC_RESTART_COUNT", "0")) > 0


def is_lost_connection(error: RuntimeError) -> bool:
    """True for what gloo and NCCL say when another process is gone or silent."""
    words = ("closed by peer", "reset by peer", "Broken pipe", "imed out", "pair closure", "connectFullMesh")
    gloo = "gloo" in str(error).lower() and any(word in str(error) for word in words)
    return gloo or isinstance(error, dist.DistError)


def seed_step(seed: int, step: int, rank: int = 0) -> None:
    """Make what torch draws in this step a function of (seed, step, rank).

    So a resumed run draws the same without having kept a generator's state, whatever the number of
    processes it began with. Python's and NumPy's generators are not touched.
    """
    word = _hash(f"{seed} {step} {rank}")
    torch.default_generator.manual_seed(word)  # manual_seed() takes 100 us, this one 1 us
    if torch.cuda.is_initialized():
        torch.cuda.manual_seed(word)


def picture_seeds(seed: int, step: int, keys: Tensor) -> Tensor:
    """Seeds of what is drawn in this step for each picture by itself, int64 like its ``keys`` (n,).

    Unlike what ``seed_step`` leads to, they do not depend on which process computes a picture, or with which
    others.
    """
    return keys * _SPREAD + (_hash(f"{seed} {step}") - 2**63)  # int64 goes round


def _hash(text: str) -> int:
    """A number of 64 bits."""
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest())
