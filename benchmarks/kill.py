"""Kill training with SIGKILL and compare what it comes to: python benchmarks/kill.py [--kills N] [--jobs N]

Eight jobs (networks with dropout and with batch normalization, every optimizer, fp32 and bf16, one and
two threads, 0 and 2 worker processes) share the kills. Half of them come at any moment of wall time,
half at a drawn event: in saving, at an epoch's end, in validation, in the last judgement. After its last
kill each run is resumed to its end and compared with one never killed, byte by byte. Exit code 1 if
anything differs. The harness is tests/train/killed_run.py.
"""

import argparse
import collections
import json
import os
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
HARNESS = ROOT / "tests" / "train" / "killed_run.py"

JOBS: list[dict[str, str]] = [
    {"model": "fashion_cnn", "optimizer": "nadam", "precision": "fp32", "workers": "0", "threads": "1"},
    {"model": "fashion_cnn", "optimizer": "adamw", "precision": "bf16", "workers": "2", "threads": "1"},
    {"model": "compact_cnn", "optimizer": "sgd", "precision": "fp32", "workers": "0", "threads": "2"},
    {"model": "compact_cnn", "optimizer": "adamw", "precision": "fp32", "workers": "2", "threads": "1"},
    {"model": "fashion_cnn", "optimizer": "rmsprop", "precision": "bf16", "workers": "0", "threads": "2"},
    {"model": "fashion_cnn", "optimizer": "adam", "precision": "fp32", "workers": "2", "threads": "2"},
    {"model": "compact_cnn", "optimizer": "nadam", "precision": "bf16", "workers": "0", "threads": "1"},
    {"model": "fashion_cnn", "optimizer": "sgd", "precision": "fp32", "workers": "0", "threads": "1"},
]


def main() -> None:
    """Run all jobs, and print a line for each and one for the whole."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--jobs", type=int, default=2, help="how many run at the same time")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    start = time.perf_counter()
    share, more = divmod(options.kills, len(JOBS))
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(options.jobs) as pool:
        started = [
            pool.submit(
                run_job, job, share + (number < more), options.seed + number, Path(folder, str(number))
            )
            for number, job in enumerate(JOBS)
        ]
        reports = []
        for job, future in zip(JOBS, started, strict=True):
            report = future.result()
            reports.append(report)
            said = "; ".join(report["faults"]) or "identical"
            print(f"{' '.join(job.values()):40} {sum(report['kills'].values()):4} kills  {said}", flush=True)
    kinds: collections.Counter[str] = collections.Counter()
    for report in reports:
        kinds.update(report["kills"])
    faults = sum(len(report["faults"]) for report in reports)
    runs = sum(report["runs"] for report in reports)
    print(
        f"{kinds.total()} kills at {len(kinds)} kinds of moments in {runs} runs: "
        f"{faults or 'no'} differences, {time.perf_counter() - start:.0f} s"
    )
    sys.exit(1 if faults else 0)


def run_job(job: dict[str, str], kills: int, seed: int, folder: Path) -> dict[str, Any]:
    """What the harness reports of one job."""
    given = [f"--{name}={job[name]}" for name in ("model", "optimizer", "precision", "workers")]
    result = subprocess.run(
        [
            sys.executable,
            str(HARNESS),
            f"--folder={folder}",
            f"--kills={kills}",
            f"--seed={seed}",
            f"--offset={3 * seed % 27}",
            "--timed=0.5",
            *given,
        ],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"PYTHONPATH": str(ROOT), "STRIATE_THREADS": job["threads"]},
    )
    if result.returncode != 0:
        return {"kills": {}, "runs": 0, "faults": [f"the harness failed: {result.stderr.strip()}"]}
    report: dict[str, Any] = json.loads(result.stdout)
    report["faults"] += result.stderr.splitlines() if report["faults"] else []
    return report


if __name__ == "__main__":
    main()
