"""Random and real objects with detections near them, and what pycocotools makes of them."""

import contextlib
import io
from dataclasses import dataclass, replace

import numpy as np
import torch

from striate.metrics import AveragePrecision
from striate.samples import Detections, Objects

NAMES = (
    *("map", "map_50", "map_75", "map_small", "map_medium", "map_large"),
    *("ar_1", "ar_10", "ar_100", "ar_small", "ar_medium", "ar_large"),
)


@dataclass
class Picture:
    """One picture's objects and detections."""

    boxes: np.ndarray  # (G, 4) corners
    labels: np.ndarray
    crowd: np.ndarray
    difficult: np.ndarray
    found: np.ndarray  # (D, 4) corners
    scores: np.ndarray  # in any order
    found_labels: np.ndarray


def random_set(seed: int, pictures: int = 6, classes: int = 4) -> list[Picture]:
    """Pictures on a coarse grid, so that overlaps, areas and scores tie; some are empty.

    One set in four has pictures with up to 130 detections of a class; the last class has no objects in
    most sets.
    """
    generator = np.random.default_rng(seed)
    most = 130 * classes if seed % 4 == 0 else 25
    return [random_picture(generator, classes, most if n == 0 else 25) for n in range(pictures)]


def random_picture(generator: np.random.Generator, classes: int, most: int) -> Picture:
    count = int(generator.integers(0, 8)) * int(generator.random() < 0.8)
    sizes = generator.choice([4, 8, 16, 32, 64, 96, 128, 200], (count, 2))
    corners = 4 * generator.integers(0, 60, (count, 2))
    boxes = np.concatenate([corners, corners + sizes], axis=1)
    labels = generator.integers(0, classes - int(generator.random() < 0.9), count)
    number = int(generator.integers(0, most)) * int(generator.random() < 0.8)
    found = np.concatenate([4 * generator.integers(0, 60, (number, 2)), np.zeros((number, 2))], axis=1)
    found[:, 2:] = found[:, :2] + generator.choice([8, 32, 64, 96], (number, 2))
    found_labels = generator.integers(0, classes, number)
    if count:  # most detections are near an object, and often of its class
        near = np.flatnonzero(generator.random(number) < 0.8)
        objects = generator.integers(0, count, len(near))
        step = np.where(sizes[objects] >= 32, 4, 1).repeat(2).reshape(-1, 2, 2).transpose(0, 2, 1)
        found[near] = boxes[objects] + step.reshape(-1, 4) * generator.integers(-2, 3, (len(near), 4))
        found_labels[near] = np.where(generator.random(len(near)) < 0.8, labels[objects], found_labels[near])
    found[:, 2:] = np.maximum(found[:, 2:], found[:, :2])  # some without area
    return Picture(
        boxes.astype(float),
        labels,
        generator.random(count) < 0.2,
        generator.random(count) < 0.2,
        found.astype(float),
        generator.integers(1, 12, number) / 12 if generator.random() < 0.5 else generator.random(number),
        found_labels,
    )


def as_batch(pictures: list[Picture]) -> tuple[list[Detections], Objects]:
    """What a metric is updated with; detections keep their order."""
    predictions = [
        Detections(
            torch.tensor(picture.found, dtype=torch.float32).view(-1, 4),
            torch.tensor(picture.scores, dtype=torch.float32),
            torch.tensor(picture.found_labels, dtype=torch.int64),
        )
        for picture in pictures
    ]

    def joined(name: str, kind: torch.dtype) -> torch.Tensor:
        return torch.cat([torch.tensor(getattr(picture, name), dtype=kind) for picture in pictures])

    return predictions, Objects(
        boxes_xyxy=joined("boxes", torch.float32).view(-1, 4),
        labels=joined("labels", torch.int64),
        counts=torch.tensor([len(picture.labels) for picture in pictures]),
        crowd=joined("crowd", torch.bool),
        difficult=joined("difficult", torch.bool),
    )


def measured(pictures: list[Picture], classes: int = 4) -> AveragePrecision:
    """The metric after one batch."""
    metric = AveragePrecision([f"class {label}" for label in range(classes)])
    metric.update(*as_batch(pictures))
    return metric


def with_areas(objects: Objects, seed: int) -> Objects:
    """The same with areas unlike those of the boxes, some at a border between sizes, and some not said."""
    generator = np.random.default_rng(seed)
    areas = generator.choice([np.nan, 0.0, 500.25, 32.0**2, 4000.5, 96.0**2, 20000.0], len(objects.labels))
    return replace(objects, areas=torch.tensor(areas, dtype=torch.float64))


def pycocotools_numbers(pictures: list[Picture], classes: int = 4) -> dict[str, float]:
    """The twelve numbers of pycocotools on the same float32 values, without those that are -1."""
    evaluation = coco_evaluation(*as_batch(pictures), classes)
    with contextlib.redirect_stdout(io.StringIO()):
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return {name: value for name, value in zip(NAMES, evaluation.stats.tolist(), strict=True) if value >= 0}


def coco_evaluation(predictions, objects, classes):  # type: ignore[no-untyped-def]
    """A COCOeval of pycocotools, ready to evaluate."""
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    def annotation(number: int, picture: int, box: list[float], label: int, **more: float) -> dict:
        x1, y1, x2, y2 = box
        size = [x2 - x1, y2 - y1]
        place = {"bbox": [x1, y1, *size], "area": size[0] * size[1], "image_id": picture + 1}
        return {"id": number + 1, "category_id": label + 1, "iscrowd": 0, **place, **more}

    rows = zip(objects.pictures.tolist(), objects.boxes_xyxy.tolist(), objects.labels.tolist(), strict=True)
    truth = [
        annotation(number, *row, iscrowd=int(crowd))
        for number, (row, crowd) in enumerate(zip(rows, objects.crowd.tolist(), strict=True))
    ]
    if objects.areas is not None:
        for one, area in zip(truth, objects.areas.tolist(), strict=True):
            one["area"] = one["area"] if np.isnan(area) else area
    found = []
    for picture, one in enumerate(predictions):
        columns = one.boxes_xyxy.tolist(), one.labels.tolist(), one.scores.tolist()
        for box, label, score in zip(*columns, strict=True):
            found.append(annotation(len(found), picture, box, label, score=score))
    sides = []
    for annotations in (truth, found):
        coco = COCO()
        coco.dataset = {
            "images": [{"id": picture + 1} for picture in range(len(predictions))],
            "categories": [{"id": label + 1} for label in range(classes)],
            "annotations": annotations,
        }
        with contextlib.redirect_stdout(io.StringIO()):
            coco.createIndex()
        sides.append(coco)
    return COCOeval(*sides, "bbox")
