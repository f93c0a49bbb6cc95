"""Several processes train as one does, go on exactly, and end together.

What they do is in distributed_job.py; the laws are tried by four, three and two processes in one job.
"""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from distributed_job import ALONE, Training, distance, hand_on
from torch import nn

from striate.errors import InputError
from striate.files import read_tensors, write_text
from striate.layers.synchronized_batch_norm import SynchronizedBatchNorm2d, synchronize_batch_norm
from striate.train.distributed import Processes, join_processes, restarted, seed_step
from striate.train.replicas import replicate, shard

JOB = Path(__file__).with_name("distributed_job.py")
ROOT = Path(__file__).parents[2]
LONGEST = 300  # seconds; far more than it takes, and a job that hangs is seen
pytestmark = pytest.mark.xdist_group("distributed laws")  # one process starts the jobs
sizes = pytest.mark.parametrize("size", ["2", "3", "4"])


def environment(**more: str) -> dict[str, str]:
    path = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
    return {**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1", "TORCH_CPP_LOG_LEVEL": "ERROR", **more}


def torchrun(count: int, case: str, folder: Path, max_restarts: int = 0) -> subprocess.CompletedProcess[str]:
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(count)]
    command = [*launcher, "--max-restarts", str(max_restarts), str(JOB), case, str(folder)]
    return subprocess.run(
        command, capture_output=True, text=True, timeout=LONGEST, env=environment(), check=False
    )


def is_alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.fixture(scope="module")
def job(tmp_path_factory):
    """The folder of the job that tried the laws, one for all of pytest's workers."""
    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "distributed-job"
    outcome = folder / "outcome"
    try:
        folder.mkdir()
    except FileExistsError:  # another worker runs it
        deadline = time.monotonic() + LONGEST
        while not outcome.exists() and time.monotonic() < deadline:
            time.sleep(0.2)
    else:
        result = torchrun(4, "laws", folder)
        write_text(outcome, result.stderr if result.returncode else "done")
    assert outcome.read_text() == "done"
    return folder


@pytest.fixture(scope="module")
def laws(job):
    """What was found with each number of processes."""
    return json.loads((job / "laws.json").read_text())


@sizes
def test_what_one_process_knows_reaches_all(laws, size):
    found, count = laws[size]["messages"], int(size)
    assert found["json"] == {"Ä": [1, 2.5, None]}
    assert found["tensors"]
    assert found["aligned"]
    assert found["gathered"] == [[rank, 10 * rank] for rank in range(count)]
    assert found["rows"] == [[rank, rank] for rank in range(count) for _ in range(rank)]


@sizes
def test_the_parts_of_a_batch_are_the_batch_and_nearly_equal(laws, size):
    assert laws[size]["messages"]["parts"]
    lengths = [len(Processes(rank, int(size)).part(torch.arange(13))) for rank in range(int(size))]
    assert max(lengths) - min(lengths) <= 1


@sizes
def test_synchronized_batch_norm_is_batch_norm_of_the_whole_batch(laws, size):
    found = laws[size]["batch norm"]
    assert len(found) == 8
    assert max(found.values()) <= 1e-5, found


@sizes
def test_a_detector_has_the_average_precision_that_one_process_measures(laws, size):
    together, alone = laws[size]["average precisions"]
    assert together == pytest.approx(alone, rel=1e-6)
    assert 0.2 < alone["map"] < 0.8


@sizes
def test_all_processes_have_the_same_weights_to_the_last_bit(laws, size):
    assert laws[size]["disagreement"] == 0


@sizes
def test_a_part_is_to_a_process_what_a_micro_batch_is_to_one_process(laws, size):
    assert laws[size]["distance from parts"] <= 1e-5


@sizes
def test_what_a_phase_holds_still_has_the_same_statistics_in_all_processes(laws, size):
    apart = laws[size]["buffers apart"]
    assert apart["before"] > 0  # each had those of its own parts
    assert apart["after"] == 0


@sizes
@pytest.mark.parametrize("way", ["plain", "synchronized", "sharded"])
def test_a_job_killed_at_every_step_goes_on_to_the_same_bits(laws, size, way):
    assert laws[size][f"unlike, {way}"] == 0


def test_two_processes_reach_the_weights_of_one_with_the_same_batch(laws):
    found = laws["2"]["distances"]
    assert len(found) == 10
    assert max(found.values()) <= 1e-5, found


def test_shards_are_disjoint_and_clipped_by_the_norm_of_the_whole_gradient(laws):
    found = laws["2"]["shares"]
    assert sum(found["held"]) == pytest.approx(1)
    assert max(found["held"]) < 0.6
    assert found["norms"][0] == pytest.approx(found["norms"][1], rel=1e-6)
    assert found["norms"][0] > 0.1  # it was clipped


def test_a_job_goes_from_four_processes_to_three_to_two_to_one(job, tmp_path):
    path = tmp_path / "state.safetensors"
    path.write_bytes((job / "handed-on.safetensors").read_bytes())
    hand_on(ALONE, path)
    alone = Training(ALONE, norm=False).run(4).save()
    assert distance(read_tensors(path)[0], alone) <= 1e-5


@pytest.mark.slow  # tests/test_distributed_runs.py does so with the command line
def test_a_job_of_which_a_process_is_killed_restarts_and_goes_on_exactly(tmp_path):
    result = torchrun(2, "elastic", tmp_path, max_restarts=1)
    assert result.returncode == 0, result.stderr
    found = json.loads((tmp_path / "elastic.json").read_text())
    assert found == {"began": 2, "unlike": 0, "restarted": True}


@pytest.mark.slow  # tests/test_distributed_runs.py does so with the command line
def test_a_job_that_may_not_restart_ends_and_leaves_no_process(tmp_path):
    result = torchrun(2, "elastic", tmp_path)
    assert result.returncode != 0
    assert "SIGKILL" in result.stderr
    processes = [int(path.read_text()) for path in tmp_path.glob("pid.*")]
    assert len(processes) == 2
    assert not any(is_alive(process) for process in processes)


def test_an_error_in_one_process_is_told_and_ends_the_other(tmp_path):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    place = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "WORLD_SIZE": "2"}
    processes = [
        subprocess.Popen(
            [sys.executable, JOB, "fault", tmp_path],
            stderr=subprocess.PIPE,
            text=True,
            env=environment(**place, RANK=rank, LOCAL_RANK=rank),
        )
        for rank in "01"
    ]
    try:
        told = [process.communicate(timeout=LONGEST)[1] for process in processes]
    finally:
        for process in processes:
            with contextlib.suppress(ProcessLookupError):
                process.send_signal(signal.SIGKILL)
    assert "a picture is missing" in told[1]
    assert "another process of the job has ended" in told[0]
    assert "process 0 of 2" in told[0]
    assert [process.returncode for process in processes] == [1, 2]


def test_one_process_alone_needs_no_torch_distributed(monkeypatch):
    for name in ("WORLD_SIZE", "RANK", "LOCAL_RANK"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(torch.distributed, "init_process_group", None)  # it cannot be called
    model, device = nn.Linear(2, 2), torch.device("cpu")
    with join_processes() as processes:
        assert processes == Processes(rank=0, size=1)
        processes.wait()
        processes.align(model.parameters())
        assert processes.broadcast("x") == "x"
        assert processes.gather([1, 2]).tolist() == [[1, 2]]
        assert processes.part(torch.arange(3)).tolist() == [0, 1, 2]
        assert processes.device(device) == device
        assert replicate(model, processes) is model
        assert shard(model, processes, device) is model


def test_synchronized_batch_norm_alone_is_batch_norm_and_keeps_its_names():
    torch.manual_seed(0)
    plain = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4, eps=1e-3, momentum=0.2))
    x = torch.randn(5, 1, 6, 6)
    ours = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4, eps=1e-3, momentum=0.2))
    ours.load_state_dict(plain.state_dict())
    synchronize_batch_norm(ours)
    assert isinstance(ours[1], SynchronizedBatchNorm2d)
    assert torch.equal(ours(x), plain(x))
    assert list(ours.state_dict()) == list(plain.state_dict())
    assert torch.equal(ours[1].running_var, plain[1].running_var)


def test_a_batch_smaller_than_the_job_is_refused():
    Processes(0, 4).check_batches(4)
    with pytest.raises(InputError, match="batch of 3 pictures cannot be divided among 4"):
        Processes(0, 4).check_batches(3)


def test_half_an_environment_is_an_input_error(monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.delenv("RANK", raising=False)
    with pytest.raises(InputError, match="RANK"), join_processes():
        pass


def test_more_processes_than_gpus_is_an_input_error(monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    with pytest.raises(InputError, match="no GPU of its own"):
        Processes(rank=2, size=3, local_rank=2).device(torch.device("cuda"))


def test_restarts_are_told_by_torchrun(monkeypatch):
    monkeypatch.delenv("TORCHELASTIC_RESTART_COUNT", raising=False)
    assert not restarted()
    monkeypatch.setenv("TORCHELASTIC_RESTART_COUNT", "0")
    assert not restarted()
    monkeypatch.setenv("TORCHELASTIC_RESTART_COUNT", "2")
    assert restarted()


def test_random_numbers_are_a_function_of_seed_step_and_rank():
    def draw(*key: int) -> list[float]:
        seed_step(*key)
        return torch.rand(3).tolist()

    keys = [(0, 0, 0), (0, 0, 1), (0, 1, 0), (1, 0, 0), (0, 11, 1), (0, 1, 11), (2**63 - 1, 10**9, 4095)]
    first = [draw(*key) for key in keys]
    assert [draw(*key) for key in reversed(keys)] == first[::-1]
    assert len({tuple(numbers) for numbers in first}) == len(keys)
