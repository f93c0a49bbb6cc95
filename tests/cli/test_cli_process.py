"""The command line in processes of its own: the whole way, pipes that close early, Ctrl-C, --debug."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import write_digits

STRIATE = (sys.executable, "-m", "striate")
ENVIRONMENT = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])}


def striate(*arguments: object, cwd: Path) -> subprocess.CompletedProcess[str]:
    words = [*STRIATE, *map(str, arguments)]
    return subprocess.run(words, capture_output=True, text=True, cwd=cwd, env=ENVIRONMENT, timeout=300)


def test_from_pictures_to_predictions(tmp_path):
    write_digits(tmp_path / "pictures", range(300))
    trained = striate(
        "train", "pictures", "--model", "lenet5", "--epochs", "12", "--lr", "0.01", "--workers", "2",
        "--set", "input.margin=2", "--out", "run", cwd=tmp_path,
    )  # fmt: skip
    assert trained.returncode == 0, trained.stderr
    (tmp_path / "run").rename(tmp_path / "moved")
    measured = striate("evaluate", "moved", "digits", "--json", cwd=tmp_path)
    assert measured.returncode == 0, measured.stderr
    result = json.loads(measured.stdout)
    assert result["num_samples"] == 1797
    assert result["metrics"]["accuracy"] > 0.5
    (seven,) = write_digits(tmp_path / "new", range(1777, 1778))
    predicted = striate("predict", "moved", seven, "--json", cwd=tmp_path)
    assert predicted.returncode == 0, predicted.stderr
    assert len(json.loads(predicted.stdout)[0]["predictions"]) == 5


def test_an_error_has_three_lines_and_debug_shows_where_it_comes_from(tmp_path):
    plain = striate("evaluate", "nothing", cwd=tmp_path)
    assert (plain.returncode, plain.stdout) == (2, "")
    assert plain.stderr.splitlines() == [
        "error: there is no such run folder",
        "  in: nothing",
        "  try: `striate train DATA` makes one",
    ]
    debug = striate("evaluate", "nothing", "--debug", cwd=tmp_path)
    assert debug.returncode == 2
    assert debug.stderr.startswith("Traceback")
    assert debug.stderr.endswith(plain.stderr)


def test_a_reader_that_leaves_early_is_no_fault(tmp_path):
    reading, writing = os.pipe()
    os.close(reading)
    process = subprocess.run(
        [*STRIATE, "train", "digits", "--print-config"],
        stdout=writing,
        stderr=subprocess.PIPE,
        env=ENVIRONMENT,
        cwd=tmp_path,
        timeout=300,
    )
    os.close(writing)
    assert process.stderr == b""


@pytest.mark.skipif(sys.platform == "win32", reason="Ctrl-C is no signal there")
def test_ctrl_c_while_training_exits_with_130_and_says_how_to_go_on(tmp_path):
    process = subprocess.Popen(
        [*STRIATE, "train", "digits", "--model", "lenet5", "--epochs", "2000", "--out", "run"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=tmp_path,
        env=ENVIRONMENT,
    )
    try:
        for line in process.stderr:
            if line.startswith("epoch   1/"):
                break
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=120)
    finally:
        process.kill()
    assert process.returncode == 130
    assert errors.splitlines()[-3].startswith("stopped: ")
    assert errors.splitlines()[-2:] == ["  in: run", "  try: striate train --resume run"]
    assert "Traceback" not in errors
    assert (tmp_path / "run" / "checkpoint" / "state.safetensors").is_file()
