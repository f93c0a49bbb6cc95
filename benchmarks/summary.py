"""Time and memory of `striate summary`: python benchmarks/summary.py [NETWORK] [--runs N]

Each run is a process of its own, the first one left out. Printed are the median time, the largest resident
set, and their targets for resnet152.
"""

import argparse
import os
import statistics
import subprocess
import sys
import time

SECONDS, MEGABYTES = 3.0, 600.0  # the targets


def main() -> None:
    """Run the command and print a line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("network", nargs="?", default="resnet152")
    parser.add_argument("--runs", type=int, default=5)
    arguments = parser.parse_args()
    runs = [measure(arguments.network) for _ in range(arguments.runs + 1)][1:]  # the first: cold disk
    wall, processor, resident = (statistics.median(values) for values in zip(*runs, strict=True))
    print(f"striate summary {arguments.network}, medians of {arguments.runs} runs")
    print(f"  seconds          {wall:6.2f}  (target {SECONDS:g})")
    print(f"  processor time   {processor:6.2f}")
    print(f"  resident MB      {resident:6.0f}  (target {MEGABYTES:g})")


def measure(network: str) -> tuple[float, float, float]:
    """(Seconds, seconds of processor time, MB at most) of one process."""
    start = time.perf_counter()
    command = [sys.executable, "-m", "striate", "summary", network]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - start
    if status:
        raise SystemExit(f"{' '.join(command)} failed")
    kilobytes = usage.ru_maxrss / (1024 if sys.platform == "darwin" else 1)
    return seconds, usage.ru_utime + usage.ru_stime, kilobytes * 1024 / 1e6


if __name__ == "__main__":
    main()
