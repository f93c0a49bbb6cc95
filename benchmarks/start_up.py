"""How long Striate takes to start: python benchmarks/start_up.py [--runs N]

Each command is run N times in turn with the others, in processes of their own. Printed are the median in
milliseconds, the same less an empty Python, and the target.
"""

import argparse
import statistics
import subprocess
import sys
import time

COMMANDS = {
    "python -c pass": (["-c", "pass"], None),
    "import striate": (["-c", "import striate"], 300),
    "striate --help": (["-m", "striate", "--help"], 500),
    "striate train --help": (["-m", "striate", "train", "--help"], None),
}


def main() -> None:
    """Run every command and print a line for each."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--runs", type=int, default=20)
    runs = parser.parse_args().runs
    milliseconds: dict[str, list[float]] = {name: [] for name in COMMANDS}
    for _ in range(runs + 1):
        for name, (arguments, _) in COMMANDS.items():
            milliseconds[name].append(time_once(arguments))
    medians = {name: statistics.median(times[1:]) for name, times in milliseconds.items()}  # first: cold disk
    print(f"{'medians of ' + str(runs) + ' runs':24}  {'ms':>5}  {'over python':>11}  {'target':>6}")
    for name, (_, target) in COMMANDS.items():
        over = medians[name] - medians["python -c pass"]
        print(f"{name:24}  {medians[name]:5.0f}  {over:11.0f}  {target or '':>6}")


def time_once(arguments: list[str]) -> float:
    """Milliseconds from start to end of one Python process."""
    start = time.perf_counter()
    subprocess.run([sys.executable, *arguments], check=True, stdout=subprocess.DEVNULL)
    return 1000 * (time.perf_counter() - start)


if __name__ == "__main__":
    main()
