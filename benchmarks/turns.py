"""Two sides of a comparison as processes that stay alive and take turns.

A neighbour on the machine disturbs both sides alike when they alternate every second or so; and each side
has run-time settings of its own, which act when a process starts. What is printed is the median over
the rounds of the ratio (time of the first side / time of the second) and the quartiles; never times.
"""

import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator

FOREIGN = ("OMP_", "GOMP_", "KMP_", "MKL_", "STRIATE_")  # settings of whoever runs the benchmark


def compare(name: str, commands: tuple[list[str], list[str]], rounds: int) -> None:
    """Let the processes of two Python command lines take turns, and print their ratio."""
    sides = [start(command) for command in commands]
    for side in sides:
        turn(side)  # the first one builds kernels
    ratios = []
    for number in range(rounds):
        order = sides if number % 2 == 0 else sides[::-1]
        seconds = {id(side): turn(side) for side in order}
        ratios.append(seconds[id(sides[0])] / seconds[id(sides[1])])
    for side in sides:
        side.stdin.close()
        side.wait()
    low, middle, high = statistics.quantiles(ratios, n=4)
    print(f"{name:44} {middle:5.2f}  {low:.2f}-{high:.2f}", flush=True)


def start(command: list[str]) -> subprocess.Popen[str]:
    """One side, which waits for its turns."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith(FOREIGN)}
    line = [sys.executable, *command]
    return subprocess.Popen(line, env=clean, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def turn(side: subprocess.Popen[str]) -> float:
    """Seconds that the side needs for one turn."""
    side.stdin.write("go\n")
    side.stdin.flush()
    return float(json.loads(side.stdout.readline()))


def serve(steps: Iterator[None], count: int) -> None:
    """Be a side: do ``count`` steps for each line of standard input, and print the seconds."""
    for _ in sys.stdin:
        begin = time.perf_counter()
        for _ in range(count):
            next(steps)
        print(json.dumps(time.perf_counter() - begin), flush=True)
