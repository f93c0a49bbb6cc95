"""Two processes train together, one of them is killed with signal 9, both are started again: the same bits.

    python killed_processes.py --folder /tmp/pairs --kills 20

Prints "kills" by kind and rank, and the "faults" found, as JSON. The job is that of killed_run.py, with the
batches divided between the processes. With ``--hand-on`` a run of two that was killed is finished by one, by
two and by three, and the largest difference between their weights and those of one process is printed.
"""

import argparse
import json
import os
import random
import signal
import socket
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

os.environ["TORCH_CPP_LOG_LEVEL"] = "ERROR"  # as striate.runtime does, before torch is loaded

from killed_run import LONGEST, Events, Moments, Watch, differences, is_finished, make_pictures, recipe
from torch import Tensor

from striate import api
from striate.files import read_tensors

SIZE = 2


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def start_together(
    data: Path | str,
    settings: dict[str, Any],
    out: Path,
    size: int,
    events: Events | None = None,
    rank: int = 0,
) -> list[int]:
    """Train ``out``, or go on with it, in ``size`` forks; ``events`` befall process ``rank``.

    Returns:
        Their exit codes; minus the signal's number for one that was killed.
    """
    port, children = free_port(), []
    for number in range(size):
        child = os.fork()
        if child == 0:
            code = 1
            try:
                os.environ |= {"RANK": str(number), "LOCAL_RANK": str(number), "WORLD_SIZE": str(size)}
                os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
                mine = events if events and number == rank else Events()
                mine.install()
                if (out / "config.json").exists():
                    api.resume(out, [Watch(mine)])
                else:
                    api.train(data, out=out, settings=settings, watchers=[Watch(mine)])
                out.with_name(f"events{number}.json").write_text(json.dumps(mine.counts))
                code = 0
            except BaseException as error:
                sys.stderr.write(f"{out.name}, process {number}: {type(error).__name__}: {error}\n")
            finally:
                os._exit(code)
        children.append(child)
    return [wait_for(child) for child in children]


def wait_for(child: int) -> int:
    """The exit code of a process, which is killed if it takes too long."""
    deadline = time.monotonic() + LONGEST
    while time.monotonic() < deadline:
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.02)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return 99


def kill_often(options: argparse.Namespace, data: Path, settings: dict[str, Any]) -> dict[str, Any]:
    """Kill one of two processes again and again, and compare each run with one that was never killed."""
    reference = options.folder / "never-killed"
    codes = start_together(data, settings, reference, SIZE)
    if codes != [0, 0]:
        return {"faults": [f"the run never killed ended with {codes}"]}
    counts = [json.loads((options.folder / f"events{rank}.json").read_text()) for rank in range(SIZE)]
    generator = random.Random(options.seed)
    moments = [Moments(count, options.seed, options.offset) for count in counts]
    kills: Counter[str] = Counter()
    faults: list[str] = []
    runs = 1
    while kills.total() < options.kills and not faults:
        out, rank = options.folder / f"run{runs}", generator.randrange(SIZE)
        events = moments[rank].draw(resumed=(out / "checkpoint" / "state.safetensors").exists())
        codes = start_together(data, settings, out, SIZE, events, rank)
        if codes[rank] == -signal.SIGKILL:
            kills[f"{events.kind} of {rank}"] += 1
            if 99 in codes:
                faults.append(f"{out.name}: a process did not notice that the other one was gone")
        elif codes != [0] * SIZE:
            faults.append(f"{out.name} ended with {codes}")
        if is_finished(out):
            faults += differences(reference, out)
            runs += 1
    out = options.folder / f"run{runs}"
    if out.exists() and not faults:
        codes = start_together(data, settings, out, SIZE)
        faults += differences(reference, out) if codes == [0] * SIZE else [f"the last resume: {codes}"]
    return {"kills": kills, "runs": runs, "faults": faults}


def hand_on(options: argparse.Namespace, data: Path, settings: dict[str, Any]) -> dict[str, Any]:
    """The largest difference of a weight, by the number of processes that finished the run.

    LeNet-5 is smooth and has no batch normalization, so only rounding may tell the runs apart.
    """
    settings = settings | {"model.name": "lenet5", "model.arguments": {}, "input.size": 32}
    alone = options.folder / "alone"
    faults = [] if start_together(data, settings, alone, 1) == [0] else ["one process failed"]
    expected = last_weights(alone)
    largest = {}
    for size in (1, 2, 3):
        out = options.folder / f"finished by {size}"
        codes = start_together(data, settings, out, 2, Events("step", 4), rank=0)
        if codes[0] != -signal.SIGKILL or start_together(data, settings, out, size) != [0] * size:
            faults.append(f"{out.name}: {codes}")
            continue
        weights = last_weights(out)
        largest[size] = max(float((weights[name] - expected[name]).abs().max()) for name in expected)
    return {"largest": largest, "faults": faults}


def last_weights(out: Path) -> dict[str, Tensor]:
    tensors, _ = read_tensors(out / "checkpoint" / "state.safetensors")
    return {name: tensor for name, tensor in tensors.items() if name.startswith("model/")}


def main() -> None:
    """Kill as often as asked, and print what came of it."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--kills", type=int, default=5)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--offset", type=int, default=0)
    parser.add_argument("--hand-on", action="store_true")
    parser.set_defaults(model="fashion_cnn", optimizer="adamw", precision="fp32", workers=0, phases=False)
    options = parser.parse_args()
    options.folder.mkdir(parents=True)
    make_pictures(options.folder / "pictures")
    do = hand_on if options.hand_on else kill_often
    print(json.dumps(do(options, options.folder / "pictures", recipe(options))))


if __name__ == "__main__":
    main()
