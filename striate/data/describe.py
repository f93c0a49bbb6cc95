"""What a data set holds, in numbers."""

from collections import Counter
from typing import Any

import torch

from striate.data.dataset import ArrayImages, Dataset, Images, Split

MEASURED = 2000  # pictures whose sizes are looked at, per split


def describe(dataset: Dataset) -> dict[str, Any]:
    """Format, splits, classes and their counts, picture sizes, faults: plain values that JSON can hold.

    ``sizes`` are (width, height) with how often each occurs, the most frequent first, over at most
    ``MEASURED`` pictures of each split, evenly spread.
    """
    sizes: Counter[tuple[int, int]] = Counter()
    for split in dataset.splits.values():
        sizes.update(_sizes(split.images))
    widths, heights = zip(*sizes, strict=True)
    return {
        "name": dataset.name,
        "source": dataset.source,
        "format": dataset.format,
        "why": dataset.why,
        "task": dataset.task,
        "channels": dataset.channels,
        "classes": list(dataset.classes),
        "splits": {
            name: {"pictures": len(split)} | _counts(split, len(dataset.classes))
            for name, split in dataset.splits.items()
        },
        "sizes": {
            "width": [min(widths), max(widths)],
            "height": [min(heights), max(heights)],
            "most_frequent": [[w, h, count] for (w, h), count in sizes.most_common(5)],
        },
        "faults": [[fault.name, fault.what] for fault in dataset.faults],
        "remarks": list(dataset.remarks),
    }


def _counts(split: Split, num_classes: int) -> dict[str, Any]:
    """Pictures of each class; of boxes how many each class has, and how many pictures have none."""
    if split.objects is None:
        return {"per_class": torch.bincount(split.targets, minlength=num_classes).tolist()}
    return {
        "per_class": torch.bincount(split.objects.labels, minlength=num_classes).tolist(),
        "objects": len(split.objects.labels),
        "without_objects": int((split.objects.counts == 0).sum()),
    }


def _sizes(images: Images) -> Counter[tuple[int, int]]:
    if isinstance(images, ArrayImages):
        facts = images.facts(0)
        return Counter({(facts.width, facts.height): len(images)})
    step = -(-len(images) // MEASURED)
    return Counter((f.width, f.height) for f in map(images.facts, range(0, len(images), step)))
