"""Kill training again and again, resume it, and compare it with the same run never killed.

    python killed_run.py --folder /tmp/kills --kills 20 [--seed 0] [--offset 0] [--model fashion_cnn]
        [--optimizer nadam] [--precision fp32] [--workers 0] [--timed 0.0] [--command-line]

One process imports everything and computes nothing; each run is a fork of it, so that a kill costs no
new imports. A fork counts its events (a flush to disk, a rename, a step, a batch of validation, ...) and
ends itself with SIGKILL at the one it was told. With ``--timed 0.5`` half of the kills come at any moment
of wall time instead. After the last kill the run is resumed to its end. Prints one line of JSON: how many
kills there were of each kind, how many runs were compared, and every difference found.
"""

import argparse
import contextlib
import ctypes
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from safetensors import safe_open

from striate import runtime

runtime.prepare()  # as the command line does, so that it can finish what a fork began

import safetensors.torch  # noqa: E402
import torch._dynamo  # noqa: E402, F401 - torch loads it with the first optimizer, which takes seconds

from striate import api, files, judge, run, training_run  # noqa: E402
from striate.errors import InputError  # noqa: E402
from striate.train import fit, loop  # noqa: E402

PICTURES, SIDE, CLASSES = 60, 12, 3
PR_SET_CHILD_SUBREAPER = 36
LONGEST = 120.0  # seconds that one run, or a left worker, may take


# What is watched before and after: a function's name, and the places that call it.
WATCHED: dict[str, tuple[Any, ...]] = {
    "flush": ("fsync", os),
    "rename": ("replace", Path),
    "gradient": ("backward", loop),
    "clipping": ("clip_gradients", loop),
    "checkpoint": ("save_checkpoint", fit, training_run),
    "best weights": ("save_weights", training_run),
    "loading": ("load_checkpoint", training_run),
    "report": ("write_report", judge),
    "model card": ("write_model_card", judge),
}


class Events:
    """Counts what happens in this process, and kills it at one of these events.

    Args:
        kind, number: kill at event ``number``, from 1, of this kind; "" never kills.
    """

    def __init__(self, kind: str = "", number: int = 0) -> None:
        self.kind, self.number = kind, number
        self.counts: Counter[str] = Counter()

    def due(self, kind: str) -> bool:
        """Note an event; true if it is the one to die at."""
        self.counts[kind] += 1
        return kind == self.kind and self.counts[kind] == self.number

    def at(self, kind: str) -> None:
        """Note an event, and die if it is the one."""
        if self.due(kind):
            os.kill(os.getpid(), signal.SIGKILL)

    def around(self, kind: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """``function`` with an event before and one after it."""

        def watched(*args: Any, **options: Any) -> Any:
            self.at(f"before {kind}")
            result = function(*args, **options)
            self.at(f"after {kind}")
            return result

        return watched

    def in_batches(self, kind: str, function: Callable[..., Iterator[Any]]) -> Callable[..., Iterator[Any]]:
        """A generator ``function`` with an event at every item."""

        def watched(*args: Any, **options: Any) -> Iterator[Any]:
            for item in function(*args, **options):
                self.at(kind)
                yield item

        return watched

    def by_epoch(self, function: Callable[..., None]) -> Callable[..., None]:
        """The writer of the history, with an event of its own for each epoch: the last one matters."""

        def watched(folder: Path, state: Any) -> None:
            self.at(f"before the history of epoch {state.epoch}")
            function(folder, state)

        return watched

    def torn(self, function: Callable[..., None]) -> Callable[..., None]:
        """A writer of files that is killed with half of the file written."""

        def watched(tensors: Any, path: Path, *rest: Any) -> None:
            function(tensors, path, *rest)
            if self.due("half of a file written"):
                os.truncate(path, path.stat().st_size // 2)
                os.kill(os.getpid(), signal.SIGKILL)

        return watched

    def install(self) -> None:
        """Put the events into this process."""
        for kind, (name, *modules) in WATCHED.items():
            watched = self.around(kind, getattr(modules[0], name))
            for module in modules:
                setattr(module, name, watched)
        predict_batches = loop.predict_batches
        for kind, module in (("validation batch", training_run), ("judged batch", run)):
            setattr(module, "predict_batches", self.in_batches(kind, predict_batches))  # noqa: B010
        setattr(files, "save_file", self.torn(safetensors.torch.save_file))  # noqa: B010
        fit.write_history = self.by_epoch(fit.write_history)


class Watch:
    """A watcher of training: an event at each step and each epoch."""

    def __init__(self, events: Events) -> None:
        self.events = events

    def start(self, *_: Any) -> None:
        self.events.at("start")

    def phase(self, *_: Any) -> None:
        self.events.at("phase")

    def step(self, *_: Any) -> None:
        self.events.at("step")

    def epoch(self, *_: Any) -> None:
        self.events.at("epoch")


class Harness:
    """Forks runs of one job.

    Args:
        data: the folder of pictures.
        settings: of the recipe.
    """

    def __init__(self, data: Path, settings: dict[str, Any], command_line: bool) -> None:
        self.data, self.settings, self.command_line = data, settings, command_line
        self.groups: list[int] = []
        # Workers whose parent was killed become children of this process, which then waits for them.
        ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)

    def go(self, out: Path, events: Events, kill_after: float | None = None) -> int:
        """Train, or go on with, the run ``out`` in a fork; its wait status.

        The counts of a run that is not killed are written to ``events.json`` beside its folder.
        """
        child = os.fork()
        if child == 0:
            code = 1
            try:
                os.setpgid(0, 0)
                events.install()
                self._train(out, events)
                out.with_name("events.json").write_text(json.dumps(events.counts))
                code = 0
            except BaseException as error:
                sys.stderr.write(f"{out}: {type(error).__name__}: {error}\n")
            finally:
                os._exit(code)
        self.groups.append(child)
        if kill_after is not None:
            time.sleep(kill_after)
            os.kill(child, signal.SIGKILL)
        return os.waitpid(child, 0)[1]

    def _train(self, out: Path, events: Events) -> None:
        if is_finished(out):  # killed after its last word: resuming only tidies up, and says so
            with contextlib.suppress(InputError):
                api.resume(out)
        elif (out / "config.json").exists():
            api.resume(out, [Watch(events)])
        else:
            api.train(self.data, out=out, settings=self.settings, watchers=[Watch(events)])

    def finish(self, out: Path) -> str:
        """Go on with ``out`` to its end: "" or what went wrong."""
        if not self.command_line:
            status = self.go(out, Events())
            return "" if status == 0 else f"the last resume of {out.name} ended with status {status}"
        command = [sys.executable, "-m", "striate", "train", "--resume", str(out)]
        result = subprocess.run(command, capture_output=True, text=True, timeout=LONGEST, check=False)
        return "" if result.returncode == 0 else f"{out.name}: {result.stderr}"

    def orphans(self) -> list[int]:
        """The runs that left a process behind."""
        deadline, left = time.monotonic() + LONGEST, list(self.groups)
        while left and time.monotonic() < deadline:
            left = [group for group in left if not all_gone(group)]
            time.sleep(0.1)
        return left


def all_gone(group: int) -> bool:
    """Reap what has ended of a process group; true if nothing of it is left."""
    try:
        while os.waitpid(-group, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        return True
    return False


def is_finished(out: Path) -> bool:
    """Whether the run has come to its end."""
    checkpoint = out / "checkpoint" / "state.safetensors"
    return checkpoint.exists() and bool(facts_of(checkpoint)["finished"])


def facts_of(path: Path) -> dict[str, Any]:
    """What a checkpoint knows beside its tensors."""
    with safe_open(path, framework="np") as file:
        facts: dict[str, Any] = json.loads(file.metadata()[files.METADATA].splitlines()[0])
    return facts


def differences(reference: Path, other: Path) -> list[str]:
    """What is not the same, to the last bit, in two finished runs; only the seconds may differ."""
    found = []
    for name in ("config.json", "model.safetensors", "metrics.jsonl"):
        if (reference / name).read_bytes() != (other / name).read_bytes():
            found.append(f"{other.name}: {name}")
    expected, results = (json.loads((path / "results.json").read_text()) for path in (reference, other))
    if expected["results"] != results["results"]:
        found.append(f"{other.name}: results.json")
    states = [path / "checkpoint" / "state.safetensors" for path in (reference, other)]
    expected, facts = ({**facts_of(path), "seconds": 0} for path in states)
    found += [f"{other.name}: {key} of the checkpoint" for key in expected if expected[key] != facts.get(key)]
    with safe_open(states[0], framework="np") as left, safe_open(states[1], framework="np") as right:
        if set(left.keys()) != set(right.keys()):
            found.append(f"{other.name}: the tensors' names")
        for name in set(left.keys()) & set(right.keys()):
            if left.get_tensor(name).tobytes() != right.get_tensor(name).tobytes():
                found.append(f"{other.name}: {name}")
    names = [{path.relative_to(part) for path in part.rglob("*")} for part in (reference, other)]
    found += [f"{other.name}: {path} is in one of the folders only" for path in names[0] ^ names[1]]
    return found


def make_pictures(folder: Path) -> None:
    """An image folder of noise that is brighter at another place for each class."""
    generator = np.random.default_rng(0)
    for index in range(PICTURES):
        label = index % CLASSES
        pixels = generator.integers(0, 120, (SIDE, SIDE), dtype=np.uint8)
        pixels[4 * label : 4 * label + 4] += 90
        path = folder / f"class{label}" / f"{index:03d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(path)


def recipe(options: argparse.Namespace) -> dict[str, Any]:
    """A short job in which every part of the state moves, and which saves at each step."""
    arguments = {"width": 4} if options.model == "fashion_cnn" else {}
    return {
        "model.name": options.model,
        "model.arguments": arguments,
        "data.workers": options.workers,
        "data.memory_mb": 0,  # pictures are decoded again in each epoch
        "input.size": SIDE,
        "augment.flip": True,
        "augment.rotate": 10,
        "augment.brightness": 0.2,
        "optimizer.name": options.optimizer,
        "optimizer.lr": 0.01,
        "train.epochs": 3,
        "train.batch_size": 16,
        "train.accumulate": 2,
        "train.clip_norm": 1.0,
        "train.ema_decay": 0.9,
        "train.precision": options.precision,
        "train.device": "cpu",
        "train.checkpoint_minutes": 0,
        "evaluate.batch_size": 8,
        "evaluate.mirror": True,
    } | (PHASES if options.phases else {})


# Features computed once, then part of the backbone, then all of it: each change falls on some kill.
PHASES = {
    "train.phases": [
        {"epochs": 1, "freeze": "backbone", "augment": False},
        {"epochs": 1, "freeze": "stage1", "lr": 0.005},
        {"epochs": 1, "lr": 0.002, "stage_decay": 0.5},
    ]
}


class Moments:
    """Draws the next event to die at.

    Args:
        counts: how often each kind of event came in the run never killed.
        seed: of the draw.
        offset: where to begin in the list of kinds, which is the same for every seed.
    """

    def __init__(self, counts: dict[str, int], seed: int, offset: int) -> None:
        self.counts = {**counts, "before loading": 1, "after loading": 1}
        self.kinds = sorted(self.counts)
        random.Random(0).shuffle(self.kinds)
        self.kinds = self.kinds[offset:] + self.kinds[:offset]
        self.generator = random.Random(seed)
        self.left: list[str] = []

    def draw(self, resumed: bool) -> Events:
        """An event of the next kind: one of the first third, so that a run is killed several times."""
        if not self.left:
            self.left = list(self.kinds)
        possible = [kind for kind in self.left if resumed or not kind.endswith("loading")] or self.kinds
        kind = possible[0]
        if kind in self.left:
            self.left.remove(kind)
        return Events(kind, self.generator.randint(1, -(-self.counts[kind] // 3)))


def main() -> None:
    """Kill as often as asked, and print what came of it."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--kills", type=int, default=5)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--offset", type=int, default=0)
    parser.add_argument("--model", default="fashion_cnn")
    parser.add_argument("--optimizer", default="nadam")
    parser.add_argument("--precision", default="fp32")
    parser.add_argument("--workers", type=int, default=0)
    parser.add_argument("--timed", type=float, default=0.0)
    parser.add_argument("--command-line", action="store_true")
    parser.add_argument("--phases", action="store_true")
    options = parser.parse_args()
    options.folder.mkdir(parents=True)
    make_pictures(options.folder / "pictures")
    harness = Harness(options.folder / "pictures", recipe(options), options.command_line)

    reference = options.folder / "never-killed"
    started = time.monotonic()
    if (status := harness.go(reference, Events())) != 0:
        sys.exit(f"the run never killed ended with status {status}")
    seconds = time.monotonic() - started
    print(json.dumps(kill_often(harness, reference, seconds, options)))


def kill_often(
    harness: Harness, reference: Path, seconds: float, options: argparse.Namespace
) -> dict[str, Any]:
    """Kill runs ``options.kills`` times and go on with them, until each can be compared with ``reference``.

    Args:
        seconds: that the reference took.

    Returns:
        "kills" by kind, "runs" compared, and the "faults" found.
    """
    counts = json.loads((options.folder / "events.json").read_text())
    moments, generator = Moments(counts, options.seed, options.offset), random.Random(options.seed)
    kills: Counter[str] = Counter()
    faults: list[str] = []
    runs = 1
    while kills.total() < options.kills:
        out = options.folder / f"run{runs}"
        if generator.random() < options.timed:
            kind, status = "any moment", harness.go(out, Events(), generator.uniform(0, seconds))
        else:
            events = moments.draw(resumed=(out / "checkpoint" / "state.safetensors").exists())
            kind, status = events.kind, harness.go(out, events)
        if os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL:
            kills[kind] += 1
            status = harness.go(out, Events()) if is_finished(out) else 0
        if status != 0:
            faults.append(f"{out.name} ended with status {status}")
            break
        if is_finished(out):  # it came to its end before the kill did
            faults += differences(reference, out)
            runs += 1
    out = options.folder / f"run{runs}"
    if out.exists() and not faults:
        fault = harness.finish(out)
        faults += [fault] if fault else differences(reference, out)
    faults += [f"run {group} left a process behind" for group in harness.orphans()]
    return {"kills": kills, "runs": runs, "faults": faults}


if __name__ == "__main__":
    main()
