"""``torchrun -m striate train``: the weights of one process, exact after any kill, no waiting for ever."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from striate.files import read_tensors

ROOT = Path(__file__).parents[1]
PAIRS = ROOT / "tests" / "train" / "killed_processes.py"
JOB = ("digits", "--model", "lenet5", "--epochs", "2", "--batch-size", "250", "--precision", "fp32")

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="forks processes, and counts them in /proc")


def run_pairs(folder: Path, *options: str) -> dict:
    """What train/killed_processes.py reports."""
    command = [sys.executable, PAIRS, f"--folder={folder}", *options]
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    result = subprocess.run(
        command, capture_output=True, text=True, timeout=300, env=environment, check=False
    )
    assert result.returncode == 0, result.stderr
    report = json.loads(result.stdout.splitlines()[-1])
    assert report["faults"] == [], result.stderr
    return report


def test_a_run_of_two_whose_one_is_killed_and_that_is_resumed_equals_one_never_killed(tmp_path):
    assert sum(run_pairs(tmp_path / "pairs", "--kills=6")["kills"].values()) == 6


def test_a_run_of_two_is_finished_by_one_two_or_three_with_the_weights_of_one(tmp_path):
    largest = run_pairs(tmp_path / "handed-on", "--hand-on")["largest"]
    assert set(largest) == {"1", "2", "3"}
    assert max(largest.values()) < 1e-5


def start_torchrun(out: Path, *options: str) -> subprocess.Popen[str]:
    """Two processes under torchrun; what they say is one text."""
    torchrun = [
        sys.executable,
        "-m",
        "torch.distributed.run",
        "--nproc-per-node=2",
        "--standalone",
        *options,
    ]
    command = [*torchrun, "-m", "striate", "train", *JOB, "--set", "train.checkpoint_minutes=0"]
    return subprocess.Popen(
        [*command, "--out", str(out)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
    )


def second_process(parent: int) -> int | None:
    """The process of rank 1 among the children of torchrun."""
    for child in Path(f"/proc/{parent}/task/{parent}/children").read_text().split():
        try:
            if b"\0RANK=1\0" in Path(f"/proc/{child}/environ").read_bytes():
                return int(child)
        except OSError:
            continue
    return None


def kill_second_when_training(process: subprocess.Popen[str], out: Path) -> int:
    """Kill rank 1 after the first steps; returns its number."""
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        assert process.poll() is None, process.communicate()[0]
        checkpoint = out / "checkpoint" / "state.safetensors"
        child = second_process(process.pid)
        if child and checkpoint.exists() and read_tensors(checkpoint)[1]["step"] >= 2:
            os.kill(child, signal.SIGKILL)
            return child
        time.sleep(0.01)
    raise AssertionError("training has not begun")


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> Path:
    """A run of two processes that nothing befalls."""
    out = tmp_path_factory.mktemp("whole") / "run"
    process = start_torchrun(out)
    output, _ = process.communicate(timeout=300)
    assert process.returncode == 0, output
    assert output.count("test accuracy") == 1  # one of them speaks
    assert "lenet5 on digits (1,348 train, 269 val, 180 test), fp32 on cpu, 2 processes" in output
    return out


def test_the_folder_of_several_processes_is_that_of_one(whole, tmp_path, run_cli):
    outcome = run_cli("train", *JOB, "--out", tmp_path / "alone")
    assert outcome.code == 0, outcome.err
    names = [
        sorted(str(path.relative_to(out)) for path in out.rglob("*")) for out in (whole, tmp_path / "alone")
    ]
    assert names[0] == names[1]
    weights = [read_tensors(out / "model.safetensors")[0] for out in (whole, tmp_path / "alone")]
    assert max(float((weights[0][name] - weights[1][name]).abs().max()) for name in weights[0]) < 1e-5
    rows = [(out / "metrics.jsonl").read_text().splitlines() for out in (whole, tmp_path / "alone")]
    for ours, theirs in zip(*(map(json.loads, lines) for lines in rows), strict=True):
        assert ours["train"] == pytest.approx(theirs["train"], abs=1e-4)
        assert ours["val"] == pytest.approx(theirs["val"], abs=1e-4)


def test_torchrun_starts_a_killed_job_again_and_it_goes_on_exactly(whole, tmp_path):
    process = start_torchrun(tmp_path / "run", "--max-restarts=2", "--monitor-interval=0.1")
    kill_second_when_training(process, tmp_path / "run")
    output, _ = process.communicate(timeout=300)
    assert process.returncode == 0, output
    for name in ("model.safetensors", "metrics.jsonl"):
        assert (tmp_path / "run" / name).read_bytes() == (whole / name).read_bytes()


def test_without_restarts_a_killed_job_ends_and_leaves_no_process(tmp_path):
    process = start_torchrun(tmp_path / "run", "--max-restarts=0", "--monitor-interval=0.1")
    kill_second_when_training(process, tmp_path / "run")
    started = {
        int(child) for child in Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    }
    process.communicate(timeout=60)
    assert process.returncode != 0
    assert not [child for child in started if Path(f"/proc/{child}").exists()]
    assert read_tensors(tmp_path / "run" / "checkpoint" / "state.safetensors")[1]["step"] >= 2
