"""Average precision against pycocotools: python benchmarks/average_precision.py [--rounds N]

1,000 pictures with 10 objects and 90 detections each, 100,000 boxes, of 1, 20 and 80 classes. Two processes
take turns: COCOeval's evaluate and accumulate, of annotations that lie indexed in memory, and update (50
times 20 pictures) and compute, which gives PASCAL VOC's numbers as well. Printed are the median ratio
pycocotools / Striate over the rounds and the quartiles, never times.
"""

import argparse
import contextlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from turns import compare, serve

from striate.metrics import AveragePrecision
from striate.samples import Detections, Objects

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "metrics"))

PICTURES, OBJECTS, DETECTIONS = 1000, 10, 90
BATCH = 20
COUNTS = (1, 20, 80)  # of classes


def main() -> None:
    """Run the comparisons, or be one side of them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--side", choices=["pycocotools", "striate"], help=argparse.SUPPRESS)
    parser.add_argument("--classes", type=int, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.side:
        steps = with_pycocotools if arguments.side == "pycocotools" else with_striate
        serve(steps(*scene(arguments.classes), arguments.classes), 1)
        return
    print(f"{'pycocotools / Striate':44} median  quartiles")
    for count in COUNTS:
        sides = [[__file__, "--side", side, "--classes", str(count)] for side in ("pycocotools", "striate")]
        compare(f"{count} classes", (sides[0], sides[1]), arguments.rounds)


def scene(classes: int) -> tuple[list[Detections], Objects]:
    """Detections that lie around objects and mostly have their class."""
    generator = np.random.default_rng(0)
    corners = generator.uniform(0, 500, (PICTURES, OBJECTS, 2))
    sizes = np.exp(generator.uniform(2, 5.5, (PICTURES, OBJECTS, 2)))  # 7 to 245 pixels
    boxes = np.concatenate([corners, corners + sizes], axis=2)
    labels = generator.integers(0, classes, (PICTURES, OBJECTS))
    near = generator.integers(0, OBJECTS, (PICTURES, DETECTIONS))
    rows = np.arange(PICTURES)[:, None]
    found = boxes[rows, near] + generator.normal(0, 0.15, (PICTURES, DETECTIONS, 4)) * np.tile(
        sizes[rows, near], 2
    )
    found[..., 2:] = np.maximum(found[..., 2:], found[..., :2])
    other = generator.integers(0, classes, (PICTURES, DETECTIONS))
    found_labels = np.where(generator.random((PICTURES, DETECTIONS)) < 0.8, labels[rows, near], other)
    scores = -np.sort(-generator.random((PICTURES, DETECTIONS)))
    predictions = [
        Detections(
            torch.tensor(found[n]).float(), torch.tensor(scores[n]).float(), torch.tensor(found_labels[n])
        )
        for n in range(PICTURES)
    ]
    counts = torch.full((PICTURES,), OBJECTS)
    return predictions, Objects.of(torch.tensor(boxes), torch.tensor(labels).flatten(), counts)


def with_pycocotools(predictions: list[Detections], objects: Objects, classes: int) -> Iterator[None]:
    """Evaluate again and again."""
    from detection_sets import coco_evaluation

    evaluation = coco_evaluation(predictions, objects, classes)
    with Path(os.devnull).open("w") as nowhere:
        while True:
            with contextlib.redirect_stdout(nowhere):
                evaluation.evaluate()
                evaluation.accumulate()
            yield


def with_striate(predictions: list[Detections], objects: Objects, classes: int) -> Iterator[None]:
    """Update and compute again and again."""
    names = [str(label) for label in range(classes)]
    batches = [
        (predictions[start : start + BATCH], objects[start : start + BATCH])
        for start in range(0, PICTURES, BATCH)
    ]
    while True:
        metric = AveragePrecision(names)
        for batch in batches:
            metric.update(*batch)
        metric.compute()
        yield


if __name__ == "__main__":
    main()
