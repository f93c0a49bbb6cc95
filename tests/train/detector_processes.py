"""Two processes train a detector: the weights and the metrics of one, and after a kill the same bits.

    python detector_processes.py --folder /tmp/pairs yolo_light faster_rcnn_light [--kill-first 1]

Prints for each detector the largest difference of a weight ("weights") and of any loss or metric of training
and validation ("metrics") from those of one process, and the "faults" of the runs that were killed, as JSON.

Two things make rounding grow, and are kept out: a ReLU whose input is almost zero may flip, so activations
are smooth; and AdamW makes a whole step of a gradient that is nothing but rounding, so SGD trains.
"""

import argparse
import json
import shutil
import signal
import sys
from pathlib import Path
from typing import Any

import sklearn.datasets  # noqa: F401 - a second, which each fork would take again
import torch
import torch.nn.functional as F
from killed_processes import last_weights, start_together
from killed_run import Events, differences
from torch import nn

from striate import judge
from striate.data import builtin

COMMON = {
    "input.size": 64,
    "augment.flip": True,
    "augment.rotate": 10,
    "augment.mosaic": 0.5,
    "augment.sizes": [64, 96],
    "optimizer.name": "sgd",
    "optimizer.lr": 1e-3,
    "train.epochs": 2,
    "train.batch_size": 5,  # divided unevenly
    "train.precision": "fp32",
    "train.device": "cpu",
    "train.checkpoint_minutes": 0,
    "train.sync_batch_norm": True,
    "evaluate.batch_size": 3,
    "evaluate.score": 0.0,
}
TINY = {"width": 0.125}
DETECTORS: dict[str, dict[str, Any]] = {
    "yolo_light": {
        "model.arguments": {"backbone": "compact_cnn", "arguments": TINY, "channels": 16},
        "augment.box_crop": True,
    },
    "faster_rcnn_light": {"model.arguments": {"arguments": TINY, "pyramid_channels": 16, "units": 16}},
    "ssd_light": {"model.arguments": {"arguments": TINY}, "optimizer.lr": 1e-4},  # its loss is large
}


def make_small_and_smooth() -> None:
    """Few pictures, no ReLU, and no report, which the first process would write alone."""
    builtin.SCENES = {"count_train": 10, "count_val": 5, "count_test": 2}
    nn.ReLU.forward = lambda self, input: F.silu(input)  # type: ignore[method-assign]
    F.relu = lambda input, inplace=False: F.silu(input)
    judge.write_report = lambda path, facts: None


def compare(folder: Path, model: str, kills: int) -> dict[str, Any]:
    """Run a detector's job alone, by two processes, and so often that one of them is killed at some step."""
    settings = COMMON | DETECTORS[model] | {"model.name": model}
    folder.mkdir()
    alone, together, killed = (folder / name for name in ("alone", "together", "killed"))
    faults = []
    for out, size in ((alone, 1), (together, 2)):
        if (codes := start_together("scenes", settings, out, size)) != [0] * size:
            return {"faults": [f"{out.name} ended with {codes}"]}
    for number in range(kills):
        rank, step = (number + 1) % 2, 3 - number % 3
        codes = start_together("scenes", settings, killed, 2, Events("after gradient", step), rank)
        codes_after = start_together("scenes", settings, killed, 2)
        if codes[rank] != -signal.SIGKILL or codes_after != [0, 0]:
            faults.append(f"killed at step {step} of process {rank}: {codes}, then {codes_after}")
            break
        faults += differences(together, killed)
        shutil.rmtree(killed)
    ours, expected = last_weights(together), last_weights(alone)
    rows = zip(history(together), history(alone), strict=True)
    return {
        "weights": max(float((ours[name] - expected[name]).abs().max()) for name in expected),
        "metrics": max(abs(row[name] - wanted[name]) for row, wanted in rows for name in wanted),
        "faults": faults,
    }


def history(out: Path) -> list[dict[str, float]]:
    """Losses and metrics of each epoch."""
    rows = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    return [
        {f"{split} {name}": value for split in ("train", "val") for name, value in row[split].items()}
        for row in rows
    ]


def main() -> None:
    """Compare as asked, and print what came of it."""
    parser = argparse.ArgumentParser()
    parser.add_argument("models", nargs="+")
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--kill-first", type=int, default=0, help="runs of the first detector")
    parser.add_argument("--kill-others", type=int, default=0)
    options = parser.parse_args()
    options.folder.mkdir(parents=True)
    torch.set_num_threads(1)
    make_small_and_smooth()
    first, *others = options.models
    found = {first: compare(options.folder / first, first, options.kill_first)}
    for model in others:
        found[model] = compare(options.folder / model, model, options.kill_others)
    sys.stdout.write(json.dumps(found) + "\n")


if __name__ == "__main__":
    main()
