"""``torchrun -m striate train``: the weights of one process, exact after any kill, no waiting for ever."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from contextlib import nullcontext
from pathlib import Path

import pytest

import striate
from striate.batch_size import BatchChoice
from striate.errors import InputError
from striate.files import read_tensors
from striate.run_folder import read_config
from striate.train.distributed import Processes

ROOT = Path(__file__).parents[1]
PAIRS = ROOT / "tests" / "train" / "killed_processes.py"
JOB = ("digits", "--model", "lenet5", "--epochs", "2", "--batch-size", "250", "--precision", "fp32")

pytestmark = [
    pytest.mark.skipif(sys.platform != "linux", reason="forks processes, and counts them in /proc"),
    pytest.mark.xdist_group("distributed runs"),  # one process makes what they share
]


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
    assert sum(run_pairs(tmp_path / "pairs", "--kills=4")["kills"].values()) == 4


def test_a_run_of_two_is_finished_by_one_two_or_three_with_the_weights_of_one(tmp_path):
    largest = run_pairs(tmp_path / "handed-on", "--hand-on")["largest"]
    assert set(largest) == {"1", "2", "3"}
    assert max(largest.values()) < 1e-5


def run_detectors(folder: Path, *options: str) -> dict:
    """What train/detector_processes.py reports."""
    command = [sys.executable, PAIRS.with_name("detector_processes.py"), f"--folder={folder}", *options]
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    result = subprocess.run(
        command, capture_output=True, text=True, timeout=600, env=environment, check=False
    )
    assert result.returncode == 0, result.stderr
    return json.loads(result.stdout.splitlines()[-1])


def check_detectors(found: dict) -> None:
    """Two processes reach the weights and metrics of one, and a killed run the same bits."""
    for model, report in found.items():
        assert report["faults"] == [], model
        assert report["weights"] < 1e-5, model
        assert report["metrics"] < 1e-4, model


def test_two_processes_train_detectors_as_one_does_and_go_on_exactly(tmp_path):
    """The second one samples; what it draws does not depend on how many processes there are."""
    check_detectors(run_detectors(tmp_path / "two", "yolo_light", "faster_rcnn_light", "--kill-first=1"))


@pytest.mark.slow
def test_detectors_of_two_processes_are_killed_at_every_step_and_go_on_exactly(tmp_path):
    detectors = ("yolo_light", "faster_rcnn_light", "ssd_light")
    check_detectors(run_detectors(tmp_path / "all", *detectors, "--kill-first=6", "--kill-others=6"))


AUTO = {"model.name": "lenet5", "train.epochs": 1, "train.batch_size": "auto", "train.precision": "fp32"}


def find_batch_size(monkeypatch, size: int) -> None:
    """Let the memory of this process be enough for batches of ``size``."""
    monkeypatch.setattr("striate.settle.choose_batch_size", lambda *_, **__: BatchChoice(size, 0, 0, (size,)))


def test_the_batch_size_is_that_which_the_first_process_found(tmp_path, monkeypatch):
    class Others(Processes):
        """Stands for a process that is not the first: another one has spoken."""

        def broadcast(self, value):
            value["recipe"]["train"]["batch_size"] = 128
            return value

    monkeypatch.setattr("striate.api.join_processes", lambda: nullcontext(Others()))
    find_batch_size(monkeypatch, 256)
    run = striate.train("digits", out=tmp_path / "run", settings=AUTO)
    assert run.config.recipe.train.batch_size == 128
    assert read_config(run.path) == run.config


def test_batches_too_small_for_the_processes_are_refused_before_a_folder_is_made(tmp_path, monkeypatch):
    class Many(Processes):
        """Stands for one of so many that no batch is large enough."""

        def check_batches(self, smallest):
            raise InputError(f"a batch of {smallest} pictures cannot be divided", "", "")

    monkeypatch.setattr("striate.api.join_processes", lambda: nullcontext(Many()))
    with pytest.raises(InputError, match="a batch of 61 pictures"):
        striate.train("digits", out=tmp_path / "run", settings=AUTO | {"train.batch_size": 64})
    assert not (tmp_path / "run").exists()


def test_a_job_that_is_started_again_keeps_the_batch_size_that_it_chose(tmp_path, monkeypatch):
    find_batch_size(monkeypatch, 256)
    striate.train("digits", out=tmp_path / "run", settings=AUTO)
    monkeypatch.setenv("TORCHELASTIC_RESTART_COUNT", "1")
    find_batch_size(monkeypatch, 128)  # there is less memory now
    again = striate.train("digits", out=tmp_path / "run", settings=AUTO)
    assert again.config.recipe.train.batch_size == 256


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


def wait_for_steps(process: subprocess.Popen[str], out: Path) -> int:
    """Return the number of rank 1 when the first steps have been taken."""
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        assert process.poll() is None, process.communicate()[0]
        checkpoint = out / "checkpoint" / "state.safetensors"
        child = second_process(process.pid)
        if child and checkpoint.exists() and read_tensors(checkpoint)[1]["step"] >= 2:
            return child
        time.sleep(0.01)
    raise AssertionError("training has not begun")


def kill_second_when_training(process: subprocess.Popen[str], out: Path) -> None:
    """Kill rank 1 after the first steps."""
    os.kill(wait_for_steps(process, out), signal.SIGKILL)


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> Path:
    """A run of two processes that nothing befalls."""
    out = tmp_path_factory.mktemp("whole") / "run"
    process = start_torchrun(out)
    output, _ = process.communicate(timeout=300)
    assert process.returncode == 0, output
    assert output.count("test accuracy") == 1  # one of them speaks
    data = "digits (1,348 train, 269 val, 180 test)"
    assert f"lenet5 on {data}, fp32 on cpu, 250 pictures a step, 2 processes" in output
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


def test_ctrl_c_stops_all_at_the_same_step_with_the_state_saved(tmp_path):
    process = start_torchrun(tmp_path / "run")
    wait_for_steps(process, tmp_path / "run")
    process.send_signal(signal.SIGINT)
    output, _ = process.communicate(timeout=60)
    assert process.returncode != 0
    assert "terminate called" not in output
    stopped = re.findall(r"stopped after step (\d+); the state is saved", output)
    assert len(stopped) == 2
    steps = {int(step) for step in stopped}
    assert steps == {read_tensors(tmp_path / "run" / "checkpoint" / "state.safetensors")[1]["step"]}
