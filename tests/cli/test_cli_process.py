"""The command line in processes of its own: the whole way, pipes that close early, --debug."""

import json
import os
import subprocess
import sys
from pathlib import Path

from small_data import write_digits

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
