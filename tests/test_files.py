"""Files are whole or not there, whatever happens to the process or the disk."""

import json
import os
import signal
import stat
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from striate import files
from striate.errors import InputError
from striate.files import (
    clear_temporaries,
    digest,
    read_tensors,
    write_atomically,
    write_tensors,
    write_text,
)

TENSORS = {
    "b.weight": torch.arange(6, dtype=torch.float32).view(2, 3) / 7,
    "a.count": torch.tensor(2**40),
    "empty": torch.zeros(0, 4),
    "half": torch.tensor([1.5, -0.0, float("inf")], dtype=torch.bfloat16),
    "mask": torch.tensor([True, False]),
    "bytes": torch.arange(256, dtype=torch.uint8),
    "layout": torch.randn(2, 3, 4, 5, generator=torch.Generator().manual_seed(0)).to(
        memory_format=torch.channels_last
    ),
}
FACTS = {"epoch": 3, "loss": 0.1 + 0.2, "rows": [{"a": None, "b": "ü\n"}], "tiny": 5e-324}


def only(folder: Path, name: str) -> bool:
    return [path.name for path in folder.iterdir()] == [name]


def test_a_new_file_is_written_whole(tmp_path):
    write_text(tmp_path / "a.json", "Straße\n")
    assert (tmp_path / "a.json").read_bytes() == "Straße\n".encode()
    assert only(tmp_path, "a.json")


def test_an_old_file_is_replaced(tmp_path):
    path = tmp_path / "a.json"
    write_text(path, "a much longer old content")
    write_text(path, "new")
    assert path.read_text() == "new"
    assert only(tmp_path, "a.json")


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such permissions")
def test_every_file_has_the_permissions_of_any_new_file(tmp_path):
    write_text(tmp_path / "a.json", "x")
    write_tensors(tmp_path / "a.safetensors", TENSORS, FACTS)
    modes = {stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()}
    assert modes == {0o644}


@pytest.mark.parametrize("error", [RuntimeError("no"), KeyboardInterrupt(), OSError(5, "Input/output error")])
def test_a_writer_that_fails_halfway_leaves_the_old_file_alone(tmp_path, error):
    path = tmp_path / "a.json"
    write_text(path, "old")

    def write(temporary: Path) -> None:
        temporary.write_text("half of the ne")
        raise error

    expected = InputError if isinstance(error, OSError) else type(error)
    with pytest.raises(expected):
        write_atomically(path, write)
    assert path.read_text() == "old"
    assert only(tmp_path, "a.json")


@pytest.mark.parametrize("step", ["fsync", "replace"])
def test_a_disk_that_fails_late_leaves_the_old_file_alone(tmp_path, monkeypatch, step):
    path = tmp_path / "a.json"
    write_text(path, "old")

    def fail(*arguments) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(*((os, "fsync") if step == "fsync" else (Path, "replace")), fail)
    with pytest.raises(InputError, match=r"cannot write a\.json: No space left on device") as caught:
        write_text(path, "new")
    assert str(path) in caught.value.where
    assert path.read_text() == "old"
    assert only(tmp_path, "a.json")


def test_the_file_is_on_disk_before_it_has_its_name_and_its_name_after(tmp_path, monkeypatch):
    """The order that makes a rename safe: flush the file, rename it, flush the folder."""
    path, events = tmp_path / "a.json", []
    fsync, replace = os.fsync, Path.replace

    def watched_fsync(descriptor: int) -> None:
        is_folder = stat.S_ISDIR(os.fstat(descriptor).st_mode)
        events.append(("flush folder" if is_folder else "flush file", path.exists()))
        fsync(descriptor)

    def watched_replace(temporary: Path, target: Path) -> Path:
        assert temporary.parent.parent == target.parent  # a rename is atomic in one file system only
        assert temporary.read_text() == "new"
        events.append(("rename", path.exists()))
        return replace(temporary, target)

    monkeypatch.setattr(os, "fsync", watched_fsync)
    monkeypatch.setattr(Path, "replace", watched_replace)
    write_text(path, "new")
    expected = [("flush file", False), ("rename", False)]
    assert events == (expected if os.name == "nt" else [*expected, ("flush folder", True)])


FULL_DISK = """
import resource, signal, sys
from pathlib import Path
import torch
from striate import files
from striate.errors import InputError
from striate.files import write_tensors, write_text

signal.signal(signal.SIGXFSZ, signal.SIG_IGN)  # so that writing past the limit is an error, as on a full disk
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
folder = Path(sys.argv[1])
for name, write in {
    "a.txt": lambda path: write_text(path, "x" * 200_000),
    "a.safetensors": lambda path: write_tensors(path, {"w": torch.zeros(50_000)}, {}),
}.items():
    try:
        write(folder / name)
    except InputError as error:
        print(error.what)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="limits the size of files as Linux does")
def test_a_full_disk_is_told_and_leaves_the_old_files_alone(tmp_path):
    (tmp_path / "a.txt").write_text("old")
    write_tensors(tmp_path / "a.safetensors", TENSORS, FACTS)
    root = Path(__file__).parents[1]
    result = subprocess.run(
        [sys.executable, "-c", FULL_DISK, str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
        cwd=root,
        env=os.environ | {"PYTHONPATH": str(root)},
    )
    assert result.returncode == 0, result.stderr
    told = result.stdout.splitlines()
    assert len(told) == 2
    assert told[0] == "cannot write a.txt: File too large"
    assert told[1].startswith("cannot write a.safetensors: ")
    assert (tmp_path / "a.txt").read_text() == "old"
    assert read_tensors(tmp_path / "a.safetensors")[1] == FACTS
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.safetensors", "a.txt"]


def test_a_folder_that_is_gone_is_told(tmp_path):
    with pytest.raises(InputError, match="No such file or directory"):
        write_text(tmp_path / "gone" / "a.json", "x")


KILLED = """
import os, signal, sys
from pathlib import Path
from striate.files import write_atomically

def write(path):
    path.write_text("half")
    path.with_name(".tmpAbCdEf").write_text("a temporary file of the writer's own")
    os.kill(os.getpid(), signal.SIGKILL)

write_atomically(Path(sys.argv[1]), write)
"""


@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGKILL")
def test_what_killed_writers_left_can_be_cleared(tmp_path):
    run = tmp_path / "run"
    (run / "checkpoint").mkdir(parents=True)
    root = Path(__file__).parents[1]
    for path in (run / "metrics.jsonl", run / "checkpoint" / "state.safetensors"):
        path.write_text("old")
        killed = subprocess.run(
            [sys.executable, "-c", KILLED, str(path)],
            check=False,
            cwd=root,
            env=os.environ | {"PYTHONPATH": str(root)},
        )
        assert killed.returncode == -signal.SIGKILL
        assert path.read_text() == "old"
        assert len(list(path.parent.glob(".*.tmp"))) == 1
    for name in (".hidden", ".notes.tmp", ".1234.tmp"):
        (run / name).write_text("the user's")
    clear_temporaries(run)
    clear_temporaries(run / "checkpoint")
    left = {path.relative_to(run).as_posix() for path in run.rglob("*") if path.is_file()}
    assert left == {".hidden", ".notes.tmp", ".1234.tmp", "checkpoint/state.safetensors", "metrics.jsonl"}
    assert len(list(run.rglob("*"))) == len(left) + 1  # the files and the folder "checkpoint"


def test_tensors_and_facts_come_back_to_the_last_bit(tmp_path):
    path = tmp_path / "a.safetensors"
    write_tensors(path, TENSORS, FACTS)
    tensors, facts = read_tensors(path)
    assert facts == FACTS
    assert tensors.keys() == TENSORS.keys()
    for name, tensor in TENSORS.items():
        assert tensors[name].dtype == tensor.dtype
        assert tensors[name].shape == tensor.shape
        assert torch.equal(tensors[name], tensor)
        assert tensors[name].signbit().tolist() == tensor.signbit().tolist()


def test_the_file_is_an_ordinary_safetensors_file(tmp_path):
    path = tmp_path / "a.safetensors"
    write_tensors(path, TENSORS, FACTS)
    assert load_file(path).keys() == TENSORS.keys()
    with safe_open(path, framework="np") as file:
        assert file.get_tensor("b.weight").tolist() == TENSORS["b.weight"].tolist()


def test_the_same_content_gives_the_same_bytes(tmp_path):
    files = []
    for number in range(4):
        path = tmp_path / f"{number}.safetensors"
        shuffled = dict(sorted(TENSORS.items(), key=lambda item: item[0][number % 2 :]))
        write_tensors(path, shuffled, FACTS)
        files.append(path.read_bytes())
    assert files[1:] == files[:-1]


def test_a_views_own_elements_are_written(tmp_path):
    base = torch.arange(12.0).view(3, 4)
    path = tmp_path / "a.safetensors"
    write_tensors(
        path, {"column": base[:, 1], "turned": base.T, "gradient": base.clone().requires_grad_()}, {}
    )
    tensors, _ = read_tensors(path)
    assert tensors["column"].tolist() == [1, 5, 9]
    assert torch.equal(tensors["turned"], base.T)
    assert not tensors["gradient"].requires_grad


@pytest.mark.parametrize(
    "other",
    [
        {"w": torch.tensor([1.0, 2.5])},
        {"v": torch.tensor([1.0, 2.0])},
        {"w": torch.tensor([[1.0, 2.0]])},
        {"w": torch.tensor([1.0, 2.0]).view(torch.int32)},
        {"w": torch.tensor([1.0, 2.0]), "x": torch.zeros(0)},
    ],
)
def test_the_digest_tells_apart(other):
    tensors = {"w": torch.tensor([1.0, 2.0])}
    assert digest(tensors, "{}") == digest(dict(tensors), "{}")
    assert digest(tensors, "{}") != digest(other, "{}")
    assert digest(tensors, "{}") != digest(tensors, '{"a": 1}')


def written(path: Path) -> Path:
    write_tensors(path, TENSORS, FACTS)
    return path


def test_a_file_that_is_replaced_while_it_is_read_is_the_one_or_the_other(tmp_path, monkeypatch):
    path = tmp_path / "a.safetensors"
    write_tensors(path, {"w": torch.zeros(3)}, {"step": 1})
    opened = files.safe_open

    def replaced_once_open(*args, **options):
        file = opened(*args, **options)
        write_tensors(path, {"w": torch.ones(3)}, {"step": 2})
        return file

    monkeypatch.setattr(files, "safe_open", replaced_once_open)
    tensors, facts = read_tensors(path)
    assert (tensors["w"].tolist(), facts) == ([0, 0, 0], {"step": 1})
    monkeypatch.undo()
    assert read_tensors(path)[1] == {"step": 2}


def test_altered_values_are_found_out(tmp_path):
    path = written(tmp_path / "a.safetensors")
    whole = bytearray(path.read_bytes())
    whole[-1] ^= 1
    path.write_bytes(whole)
    with pytest.raises(InputError, match="altered"):
        read_tensors(path)


def test_altered_facts_are_found_out(tmp_path):
    path = written(tmp_path / "a.safetensors")
    whole = path.read_bytes()
    epoch = json.dumps(json.dumps({"epoch": 3}))[2:-2].encode()  # as it stands in the file's header
    assert whole.count(epoch) == 1
    path.write_bytes(whole.replace(epoch, epoch.replace(b"3", b"4")))
    with pytest.raises(InputError, match="altered"):
        read_tensors(path)


def test_tensors_of_others_are_told_apart(tmp_path):
    path = tmp_path / "a.safetensors"
    for metadata in (None, {"format": "pt"}):
        save_file({"w": torch.zeros(2)}, path, metadata)
        with pytest.raises(InputError, match="not a run's"):
            read_tensors(path)


@pytest.mark.parametrize(
    "content", [b"", b"x", b"\xff" * 100, b"\x02\x00\x00\x00\x00\x00\x00\x00{}", b"PK\x03\x04"]
)
def test_no_safetensors_file_at_all_is_told(tmp_path, content):
    path = tmp_path / "a.safetensors"
    path.write_bytes(content)
    with pytest.raises(InputError) as caught:
        read_tensors(path)
    assert caught.value.where == str(path)
    assert caught.value.what_to_do


def test_a_missing_file_and_a_folder_are_told(tmp_path):
    for path in (tmp_path / "gone.safetensors", tmp_path):
        with pytest.raises(InputError, match="there is no"):
            read_tensors(path)
