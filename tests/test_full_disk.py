"""A disk that gets full, a folder that may not be written any more, and a picture that is gone, while a
network is trained: three lines say which file it was, and the run goes on from its last checkpoint as if
nothing had been."""

import errno
import multiprocessing
import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from small_data import contents, draw_shapes

import striate
from striate import files
from striate.api import resume
from striate.errors import InputError, ReportedError
from striate.files import UnwrittenError, read_tensors
from striate.run import Run
from striate.train.checkpoint import TrainingState
from striate.train.fit import CHECKPOINT

pytestmark = [
    pytest.mark.skipif(sys.platform != "linux", reason="tells files by Linux's /proc"),
    pytest.mark.xdist_group("full disk"),  # one process makes what they share
]

SETTINGS = {"train.epochs": 3, "train.precision": "fp32", "train.batch_size": 8, "optimizer.lr": 1e-3}
NO_SPACE, READ_ONLY = (OSError(code, os.strerror(code)) for code in (errno.ENOSPC, errno.EROFS))
STATE = CHECKPOINT.name


def train(data: Path, out: Path, **settings: object) -> Run:
    return striate.train(data, model="lenet5", out=out, settings=SETTINGS | settings)


@pytest.fixture(scope="module")
def whole(shapes_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """What is left of a run that nothing happened to."""
    return results(train(shapes_folder, tmp_path_factory.mktemp("whole") / "run").path)


def results(folder: Path) -> dict[str, bytes]:
    return {name: (folder / name).read_bytes() for name in ("model.safetensors", "metrics.jsonl")}


def fail_at(patch: pytest.MonkeyPatch, name: str, time: int, error: OSError) -> None:
    """The ``time``-th flush of a file of that name, and every later write, is refused."""
    seen, fsync = [], os.fsync

    def flush(descriptor: int) -> None:
        seen.append(Path(f"/proc/self/fd/{descriptor}").readlink().name)
        if seen.count(name) >= time:
            raise error
        fsync(descriptor)

    patch.setattr(os, "fsync", flush)


def stopped_at(error: ReportedError, path: Path, run: Path, reason: str) -> None:
    """The error's three lines are about this file."""
    lines = str(error).splitlines()
    assert len(lines) == 3
    assert lines[0].startswith(f"cannot write {path.name}: ")
    assert reason in lines[0]
    assert lines[1] == f"  in: {path}"
    assert lines[2] == f"  try: free some space, then: striate train --resume {run}"


@pytest.mark.parametrize(
    ("name", "time", "epochs_saved", "error"),
    [
        (STATE, 1, None, NO_SPACE),  # of the run's beginning
        (STATE, 3, 1, NO_SPACE),  # of the second epoch
        (STATE, 3, 1, READ_ONLY),
        ("model.safetensors", 1, 0, NO_SPACE),
        ("metrics.jsonl", 2, 2, NO_SPACE),
        ("report.html", 1, 3, NO_SPACE),
        ("README.md", 1, 3, READ_ONLY),
        ("results.json", 1, 3, NO_SPACE),
        (STATE, 5, 3, NO_SPACE),  # that says that the run is finished
    ],
)
def test_a_disk_that_refuses_stops_the_run_and_it_goes_on_when_there_is_room(
    shapes_folder: Path,
    tmp_path: Path,
    whole: dict[str, bytes],
    name: str,
    time: int,
    epochs_saved: int | None,
    error: OSError,
) -> None:
    run = tmp_path / "run"
    with pytest.MonkeyPatch.context() as patch:
        fail_at(patch, name, time, error)
        with pytest.raises(UnwrittenError) as caught:
            train(shapes_folder, run)
    assert isinstance(caught.value, InputError)
    stopped_at(caught.value, run / CHECKPOINT if name == STATE else run / name, run, str(error.strerror))
    assert not list(run.rglob(".*"))  # nothing half-written is left
    if epochs_saved is None:
        assert not (run / CHECKPOINT).exists()
    else:
        assert read_tensors(run / CHECKPOINT)[1]["epoch"] == epochs_saved
    resume(run)
    assert results(run) == whole
    assert (run / "report.html").exists()


def test_a_disk_that_is_full_in_the_midst_of_a_file_leaves_the_earlier_one(
    shapes_folder: Path, tmp_path: Path, whole: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    run, save_file = tmp_path / "run", files.save_file
    names = []

    def write_half(tensors: dict[str, torch.Tensor], path: Path, metadata: dict[str, str]) -> None:
        save_file(tensors, path, metadata)
        names.append(path.name)
        if names.count(STATE) == 3:
            os.truncate(path, path.stat().st_size // 2)
            raise NO_SPACE

    with monkeypatch.context() as patch:
        patch.setattr(files, "save_file", write_half)
        with pytest.raises(UnwrittenError, match="No space left on device"):
            train(shapes_folder, run)
    assert read_tensors(run / CHECKPOINT)[1]["epoch"] == 1
    resume(run)
    assert results(run) == whole


def test_a_folder_for_checkpoints_that_cannot_be_made_is_told(
    shapes_folder: Path, tmp_path: Path, whole: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    run, mkdir = tmp_path / "run", Path.mkdir

    def refuse(path: Path, *arguments: object, **options: object) -> None:
        if path == run / CHECKPOINT.parent:
            raise READ_ONLY
        mkdir(path, *arguments, **options)  # type: ignore[arg-type]

    with monkeypatch.context() as patch:
        patch.setattr(Path, "mkdir", refuse)
        with pytest.raises(UnwrittenError) as caught:
            train(shapes_folder, run)
    stopped_at(caught.value, run / CHECKPOINT.parent, run, "Read-only file system")
    resume(run)
    assert results(run) == whole


@pytest.mark.skipif(os.geteuid() == 0, reason="nothing is forbidden to root")
def test_a_run_folder_that_becomes_read_only_stops_the_run(
    shapes_folder: Path, tmp_path: Path, whole: dict[str, bytes]
) -> None:
    run = tmp_path / "run"
    watcher = Watcher(after_step=1, do=lambda: (run / CHECKPOINT.parent).chmod(0o500))
    with pytest.raises(UnwrittenError) as caught:
        striate.train(shapes_folder, model="lenet5", out=run, settings=SETTINGS, watchers=[watcher])
    stopped_at(caught.value, run / CHECKPOINT, run, "Permission denied")
    (run / CHECKPOINT.parent).chmod(0o700)
    resume(run)
    assert results(run) == whole


def test_tensorboards_folder_is_named_too(
    shapes_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tensorboard = pytest.importorskip("torch.utils.tensorboard")

    def refuse(writer: object) -> None:
        raise NO_SPACE

    monkeypatch.setattr(tensorboard.SummaryWriter, "flush", refuse)
    with pytest.raises(UnwrittenError) as caught:
        train(shapes_folder, tmp_path / "run", **{"train.tensorboard": True})
    stopped_at(caught.value, tmp_path / "run" / "tensorboard", tmp_path / "run", "No space left on device")
    assert read_tensors(tmp_path / "run" / CHECKPOINT)[1]["epoch"] == 1


def test_the_command_says_it_in_three_lines(
    run_cli: Callable, shapes_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = tmp_path / "run"
    fail_at(monkeypatch, STATE, 2, NO_SPACE)
    outcome = run_cli("train", shapes_folder, "--model", "lenet5", "--epochs", "1", "--out", run)
    assert outcome.code == 2
    assert outcome.out == ""
    assert outcome.err.splitlines()[-3:] == [
        "error: cannot write state.safetensors: No space left on device",
        f"  in: {run / CHECKPOINT}",
        f"  try: free some space, then: striate train --resume {run}",
    ]


class Watcher:
    """Does something after so many steps."""

    def __init__(self, after_step: int, do: Callable[[], None]) -> None:
        self.after_step, self.do = after_step, do

    def start(self, *told: object) -> None:
        pass

    phase = epoch = start

    def step(self, state: TrainingState, loss: float) -> None:
        if state.step == self.after_step:
            self.do()


@pytest.mark.parametrize(
    ("cache_mb", "workers", "change"),
    [(0, 0, "another"), (0, 2, "removed"), (100, 0, "removed"), (100, 0, "another")],
)
def test_a_picture_that_is_gone_stops_the_run_and_it_goes_on_when_it_is_back(
    tmp_path: Path, change: str, workers: int, cache_mb: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STRIATE_CACHE", str(tmp_path / "cache"))
    data, run = draw_shapes(tmp_path / "shapes", 12), tmp_path / "run"
    settings = SETTINGS | {"data.memory_mb": 0, "data.workers": workers, "data.cache_mb": cache_mb}
    expected = results(striate.train(data, model="lenet5", out=tmp_path / "whole", settings=settings).path)
    before = contents(data)
    pictures = sorted(data.rglob("*.png"))

    def spoil() -> None:
        for number, picture in enumerate(pictures):
            picture.unlink()
            if change == "another":
                picture.write_bytes(before[str(pictures[number - 1])])

    watcher = Watcher(after_step=4, do=spoil)  # the first of the second epoch
    with pytest.raises(InputError) as caught:
        striate.train(data, model="lenet5", out=run, settings=settings, watchers=[watcher])
    assert {"removed": "No such file", "another": "the picture changed"}[change] in caught.value.what
    assert caught.value.where.endswith(".png")
    assert "put the picture back and resume the run" in caught.value.what_to_do
    assert multiprocessing.active_children() == []
    assert read_tensors(run / CHECKPOINT)[1]["epoch"] < 3
    for path, content in before.items():
        if path.endswith(".png"):
            Path(path).write_bytes(content)
    resume(run)
    assert results(run) == expected


def test_workers_end_with_the_run_although_its_error_is_kept(shapes_folder: Path, tmp_path: Path) -> None:
    def fail() -> None:
        assert len(multiprocessing.active_children()) == 2
        raise UnwrittenError("no more")

    settings = SETTINGS | {"data.memory_mb": 0, "data.workers": 2, "data.cache_mb": 0}
    watcher = Watcher(after_step=1, do=fail)
    with pytest.raises(UnwrittenError) as caught:
        striate.train(
            shapes_folder, model="lenet5", out=tmp_path / "run", settings=settings, watchers=[watcher]
        )
    assert caught.value.__traceback__  # and with it the frames of all that was under way
    assert multiprocessing.active_children() == []
