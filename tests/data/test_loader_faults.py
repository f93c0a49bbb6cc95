"""Workers that die or hang: an error that names it and the pictures, and no process is left, also if it is
stopped or in an endless loop."""

import ctypes
import errno
import faulthandler
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
import torch
from faulty_pictures import encode, smooth_pixels, write_files
from small_data import draw_shapes
from torch import Tensor

from striate.data import workers
from striate.data.dataset import FolderImages, Split
from striate.data.loader import Loader, Pictures, prepare_pictures
from striate.data.preprocessing import Preprocessing
from striate.data.workers import TICK, read_lists
from striate.errors import InputError, RunError

RGB = Preprocessing((12, 16), 3, "crop", 0, (0.0,) * 3, (1.0,) * 3)
PATIENCE = 2.0  # seconds without a sign of life, not counting those without a processor
FITS, NOTHING_FITS = 1e9, 0.0  # bytes of memory
LONGEST = 60.0  # seconds that another process may take to end on this machine


def crash() -> None:
    faulthandler.disable()  # pytest's, which would print all that it knows
    ctypes.string_at(0)


def loop() -> None:
    while True:
        pass


FAULTS = {  # what happens to a worker, and what the error says of it
    "killed": (lambda: os.kill(os.getpid(), signal.SIGKILL), "was killed by SIGKILL"),
    "crashed": (crash, "was killed by SIGSEGV"),
    "ended": (lambda: os._exit(3), "ended with exit code 3"),
    "stopped": (lambda: os.kill(os.getpid(), signal.SIGSTOP), f"has hung for {PATIENCE:g} seconds"),
    "looping": (loop, f"has hung for {PATIENCE:g} seconds"),
    "failed": (lambda: [][1], "failed: IndexError: list index out of range"),
}


class HauntedImages(FolderImages):
    """Pictures of which one does something to the worker that reads it, as soon as ``trigger`` is there."""

    fault = "killed"
    at = "05.png"

    def read(self, index: int) -> Tensor:
        return self.decode(index, self.content(index))

    def decode(self, index: int, content: bytes) -> Tensor:
        if self.paths[index] == self.at and (self.root / "trigger").exists():
            assert multiprocessing.parent_process()  # never in the main process
            FAULTS[self.fault][0]()
        return super().decode(index, content)


@pytest.fixture
def split(tmp_path: Path) -> Split:
    files = {f"{i:02d}.png": encode(smooth_pixels(20, 30, seed=i), "PNG") for i in range(13)}
    write_files(tmp_path, files)
    return Split(HauntedImages(tmp_path, list(files), channels=3), torch.arange(13))


@pytest.fixture(autouse=True)
def no_child_is_left() -> Iterator[None]:
    before = children_of(os.getpid())
    yield
    assert multiprocessing.active_children() == []
    assert children_of(os.getpid()) <= before


def children_of(process: int) -> set[int]:
    """The ids of its child processes, stopped ones and those that ended and were not waited for too."""
    return {
        int(child)
        for task in Path(f"/proc/{process}/task").glob("*/children")
        for child in task.read_text().split()
    }


def batches_of(pictures: Pictures) -> list[Tensor]:
    return [batch.images for batch in Loader(pictures, 4).batches()]


def test_a_worker_that_cannot_be_started_is_an_error_and_none_is_left(
    split: Split, monkeypatch: pytest.MonkeyPatch
) -> None:
    pictures, _ = prepare_pictures(split, RGB, NOTHING_FITS, 2)
    kind, started = multiprocessing.get_context().Process, []
    start = kind.start

    def refuse_the_second(process: multiprocessing.Process) -> None:
        started.append(process)
        if len(started) == 2:
            raise BlockingIOError(errno.EAGAIN, "Resource temporarily unavailable")
        start(process)

    monkeypatch.setattr(kind, "start", refuse_the_second)
    with pytest.raises(RunError, match=r"cannot be started: Resource temporarily unavailable") as caught:
        batches_of(pictures)
    assert (caught.value.where, caught.value.what_to_do) == ("2 workers", "give fewer, or none: --workers 0")
    assert children_of(os.getpid()) == set()


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("when", ["into memory", "first", "in an epoch"])
def test_a_worker_that_dies_hangs_or_fails_is_an_error_that_names_the_picture(
    split: Split, tmp_path: Path, fault: str, when: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(HauntedImages, "fault", fault)
    memory = FITS if when == "into memory" else NOTHING_FITS
    patience = PATIENCE if "hung" in FAULTS[fault][1] else LONGEST  # what has ended is seen by its end
    read = partial(prepare_pictures, split, RGB, memory, 2, timeout=patience)
    if when == "in an epoch":
        read = partial(batches_of, read()[0])  # type: ignore[assignment]
    (tmp_path / "trigger").touch()
    with pytest.raises(RunError) as caught:
        read()
    error = caught.value
    assert FAULTS[fault][1] in error.what
    batch = [4, 5, 6] if when == "in an epoch" else range(8)  # the first of 13 pictures, and how many more
    shown = ", ".join(f"{i:02d}.png" for i in batch)
    assert error.where.startswith(f"05.png, in the batch of {shown}")
    assert "look at these pictures" in error.what_to_do
    assert "--workers 0" in error.what_to_do
    assert children_of(os.getpid()) == set()  # at once, not only when the error is forgotten


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        (InputError("it is torn", "05.png", "mend it"), "it is torn"),
        (ValueError("torn"), "a worker that reads pictures failed: ValueError: torn"),
    ],
)
def test_a_worker_that_fails_while_another_is_waited_for_says_why(fault: Exception, said: str) -> None:
    """The first worker is still at its first picture when the second has failed and ended."""

    def read(index: int, row: Tensor) -> None:
        if index == 0:
            time.sleep(LONGEST)
        raise fault

    with pytest.raises((InputError, RunError)) as caught:
        next(read_lists(read, [[0], [1]], (1,), workers=2, timeout=LONGEST, name=str))
    assert caught.value.what == said


def test_a_worker_that_is_slow_but_goes_on_has_not_hung(
    split: Split, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    decode = FolderImages.decode

    def slow_decode(self: FolderImages, index: int, content: bytes) -> Tensor:
        time.sleep(PATIENCE / 3)  # a batch takes longer than patience lasts
        return decode(self, index, content)

    monkeypatch.setattr(FolderImages, "decode", slow_decode)
    few = Split(FolderImages(tmp_path, split.images.paths[:5], channels=3), torch.arange(5))
    pictures, faults = prepare_pictures(few, RGB, FITS, 1, timeout=PATIENCE)
    assert (len(pictures), faults) == (5, [])


def test_a_worker_that_gets_no_processor_has_not_hung(monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a machine so busy that it is ready to run all the time and does not."""
    monkeypatch.setattr(workers, "processor_use", lambda process: (True, 0.0))

    def read(index: int, row: Tensor) -> None:
        time.sleep(3)

    assert list(read_lists(read, [[0]], (1,), workers=1, timeout=1.0, name=str))


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="only Linux tells how processes are")
def test_what_a_process_used_and_whether_it_is_ready_to_go_on() -> None:
    ready, before = workers.processor_use(os.getpid())
    assert ready
    while time.process_time() < before + 0.1:  # seconds
        pass
    assert workers.processor_use(os.getpid())[1] > before
    with subprocess.Popen(["/bin/sleep", "60"]) as process:
        os.kill(process.pid, signal.SIGSTOP)
        while Path(f"/proc/{process.pid}/stat").read_text().split()[2] != "T":
            time.sleep(0.01)
        assert workers.processor_use(process.pid) == (False, 0.0)
        process.kill()
    assert workers.processor_use(process.pid) == (False, 0.0)  # there is none any more


def test_a_worker_that_was_stopped_and_goes_on_in_time_is_no_fault(split: Split) -> None:
    pictures, _ = prepare_pictures(split, RGB, NOTHING_FITS)
    expected = torch.cat(batches_of(pictures))
    pictures, _ = prepare_pictures(split, RGB, NOTHING_FITS, 2, timeout=LONGEST)
    batches = Loader(pictures, 1).batches()
    found = [next(batches).images]
    stopped = children_of(os.getpid()).pop()
    os.kill(stopped, signal.SIGSTOP)
    with subprocess.Popen(["/bin/sh", "-c", f"sleep {2 * TICK}; kill -CONT {stopped}"]):
        found += [batch.images for batch in batches]
    assert torch.equal(torch.cat(found), expected)


def test_an_error_in_the_main_process_ends_the_workers_too(split: Split) -> None:
    def interrupt(count: int) -> None:
        os.kill(children_of(os.getpid()).pop(), signal.SIGSTOP)
        raise KeyboardInterrupt

    for memory in (FITS, NOTHING_FITS):
        with pytest.raises(KeyboardInterrupt):
            prepare_pictures(split, RGB, memory, 2, interrupt)
        assert children_of(os.getpid()) == set()


# Processes of their own

PROGRAM = """
import os, signal, sys, time
sys.path[:0] = {path!r}
import torch
from pathlib import Path
from striate.data.dataset import FolderImages, Split
from striate.data.loader import Loader, prepare_pictures
from test_loader_faults import RGB, children_of

def read():
    root = Path(sys.argv[1])
    names = sorted(path.name for path in root.glob("*.png"))
    split = Split(FolderImages(root, names, channels=3), torch.zeros(len(names), dtype=torch.int64))
    pictures, _ = prepare_pictures(split, RGB, 0.0, 2, timeout=float(sys.argv[2]))
    batches = Loader(pictures, 1).batches()
    next(batches)
    workers = sorted(children_of(os.getpid()))
    print(*workers, flush=True)
    return batches, workers

if __name__ == "__main__":
    {code}
"""


def start(code: str, folder: Path, patience: float = LONGEST) -> tuple["subprocess.Popen[str]", list[int]]:
    """A process that reads pictures of ``folder`` with two workers, then runs ``code``; the ids of these."""
    here = Path(__file__).parent
    program = PROGRAM.format(path=[str(here), str(here.parent)], code=code)
    process = subprocess.Popen(
        [sys.executable, "-c", program, str(folder), str(patience)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout
    return process, [int(worker) for worker in process.stdout.readline().split()]


def assert_all_end(process: "subprocess.Popen[str]", workers: list[int]) -> str:
    """Wait for the process and its workers; what the process wrote to standard error."""
    _, errors = process.communicate(timeout=LONGEST)
    assert len(workers) == 2, errors
    deadline = time.monotonic() + LONGEST
    while alive := [worker for worker in workers if is_running(worker)]:
        assert time.monotonic() < deadline, f"left behind: {alive}"
        time.sleep(0.05)
    return errors


def is_running(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False


@pytest.mark.parametrize("stopped", [False, True])
def test_ctrl_c_leaves_no_worker(split: Split, tmp_path: Path, stopped: bool) -> None:
    process, workers = start("batches, _ = read(); time.sleep(60)", tmp_path)
    if stopped:
        os.kill(workers[0], signal.SIGSTOP)
    for receiver in [process.pid, *workers]:  # a terminal sends it to all of them
        os.kill(receiver, signal.SIGINT)
    assert assert_all_end(process, workers).splitlines()[-1] == "KeyboardInterrupt"


def test_a_program_that_forgets_its_loader_ends_with_its_stopped_worker(split: Split, tmp_path: Path) -> None:
    code = "batches, workers = read(); os.kill(workers[0], signal.SIGSTOP); sys.last = batches"
    assert assert_all_end(*start(code, tmp_path)) == ""


def test_workers_end_when_the_main_process_is_killed(split: Split, tmp_path: Path) -> None:
    process, workers = start("batches, _ = read(); time.sleep(60)", tmp_path)
    process.kill()
    assert assert_all_end(process, workers) == ""


def test_a_run_that_is_stopped_as_a_whole_and_goes_on_is_no_fault(split: Split, tmp_path: Path) -> None:
    # As Ctrl-Z and fg do, for longer than a worker may hang.
    process, workers = start("batches, _ = read(); assert sum(1 for _ in batches) == 12", tmp_path, PATIENCE)
    for receiver in [process.pid, *workers]:
        os.kill(receiver, signal.SIGSTOP)
    time.sleep(PATIENCE + 1.0)
    for receiver in [process.pid, *workers]:
        os.kill(receiver, signal.SIGCONT)
    assert assert_all_end(process, workers) == ""


@pytest.mark.slow  # each imports torch anew
def test_workers_that_are_no_forks_read_the_same(split: Split, tmp_path: Path) -> None:
    code = (
        "import multiprocessing; multiprocessing.set_start_method('spawn'); "
        "batches, _ = read(); assert sum(1 for _ in batches) == 12"
    )
    process, _ = start(code, tmp_path, LONGEST)  # they import everything anew
    assert process.communicate(timeout=LONGEST)[1] == ""


def test_the_command_line_tells_a_worker_that_died_in_three_lines(
    run_cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = draw_shapes(tmp_path / "shapes", 12)
    read = FolderImages.read

    def die(self: FolderImages, index: int) -> Tensor:
        if self.paths[index] == "disc/7.png":
            os.kill(os.getpid(), signal.SIGKILL)
        return read(self, index)

    monkeypatch.setattr(FolderImages, "read", die)
    out = tmp_path / "run"
    outcome = run_cli("train", folder, "--model", "lenet5", "--out", out, "--workers", "1")
    assert outcome.code == 1
    first, place, mend = outcome.err.splitlines()
    assert first == "error: a worker that reads pictures was killed by SIGKILL"
    assert place.startswith("  in: disc/7.png, in the batch of ")
    assert mend.startswith("  try: ")
    assert not out.exists()
