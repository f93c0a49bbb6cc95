"""A run that is killed at any moment and resumed ends as the run that was never killed, to the last bit.

What is killed, where and how often is in train/killed_run.py; here several jobs of it run side by side.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

HARNESS = Path(__file__).parent / "train" / "killed_run.py"
KILLS = 5  # per job; the jobs' offsets let them go through all kinds of moments together

JOBS = {
    "no workers": ["--optimizer=nadam"],
    "two workers": ["--optimizer=nadam", "--workers=2", "--offset=7"],
    "bf16": ["--model=compact_cnn", "--optimizer=sgd", "--precision=bf16", "--offset=14"],
    "phases": ["--phases", "--optimizer=adamw", "--offset=4"],
    "two threads, ended by the command line": ["--optimizer=adamw", "--command-line", "--offset=21"],
}

pytestmark = [
    pytest.mark.skipif(sys.platform != "linux", reason="forks, and adopts orphans as Linux does"),
    pytest.mark.xdist_group("exactness"),  # one process starts the jobs
]


@pytest.fixture(scope="module")
def jobs(tmp_path_factory):
    """All jobs, started at once: name -> its process and folder."""
    started = {}
    for name, options in JOBS.items():
        folder = tmp_path_factory.mktemp("kills") / "job"
        threads = "2" if "two threads" in name else "1"
        process = subprocess.Popen(
            [sys.executable, HARNESS, f"--folder={folder}", f"--kills={KILLS}", *options],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=HARNESS.parents[2],
            env=os.environ | {"PYTHONPATH": str(HARNESS.parents[2]), "STRIATE_THREADS": threads},
        )
        started[name] = process, folder
    yield started
    for process, _ in started.values():
        process.kill()
        process.communicate()


@pytest.mark.parametrize("name", JOBS)
def test_a_killed_run_that_is_resumed_equals_one_never_killed(jobs, name):
    process, folder = jobs[name]
    output, errors = process.communicate(timeout=300)
    assert process.returncode == 0, errors
    report = json.loads(output)
    assert report["faults"] == [], errors
    assert sum(report["kills"].values()) == KILLS
    assert not list(folder.rglob("*.tmp"))


def test_worker_processes_change_nothing(jobs):
    for name in ("no workers", "two workers"):
        jobs[name][0].wait(timeout=300)
    alone, helped = (jobs[name][1] / "never-killed" for name in ("no workers", "two workers"))
    for file in ("model.safetensors", "metrics.jsonl"):
        assert (alone / file).read_bytes() == (helped / file).read_bytes()


STARTING_WORKER = """
import time
from striate.data import workers

work = workers._work

def work_after_a_while(*arguments):
    print("started", flush=True)
    time.sleep(1)
    work(*arguments)

workers._work = work_after_a_while
list(workers.read_lists(len, [[0]], (0,), workers=1, timeout=60, name=str))
"""


def test_a_worker_that_is_starting_while_its_run_is_killed_ends_too():
    """It watches the process that has started it, not the one that it then finds as its parent."""
    process = subprocess.Popen(
        [sys.executable, "-c", STARTING_WORKER],
        stdout=subprocess.PIPE,
        text=True,
        cwd=HARNESS.parents[2],
        env=os.environ | {"PYTHONPATH": str(HARNESS.parents[2])},
    )
    assert process.stdout.readline() == "started\n"
    process.kill()
    process.communicate(timeout=30)  # until the last process that holds the other end of the pipe is gone
