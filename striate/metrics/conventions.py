"""Why numbers from the same detections differ: each convention changed alone, and what it changes."""

from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from striate.metrics.precision_recall import area_under, eleven_points, hundred_and_one_points
from striate.metrics.verdicts import (
    AREAS,
    HALF,
    Evidence,
    average_precisions,
    coco_verdicts,
    limits_of,
    mean_over_classes,
    recalls,
    voc_verdicts,
)


class Convention(NamedTuple):
    """One convention, and what it makes of the same detections."""

    name: str
    sentence: str
    before: float  # the number without it
    after: float  # and with it

    @property
    def change(self) -> float:
        """What it adds."""
        return self.after - self.before


def explain(evidence: Evidence) -> list[Convention]:
    """The conventions between ``map_voc2007`` and ``map``, then those that start from ``map``.

    Each of the first seven starts from the number where the one before ended: ``map_voc2007`` is where the
    first starts, ``map_voc2010`` where it ends, ``map_50`` where the sixth ends and ``map`` where the
    seventh does, so that their changes add up to ``map - map_voc2007``. The others change ``map`` alone.
    What cannot be said, as of small objects where there are none, is left out.
    """
    rows = [*_from_voc_to_coco(evidence), *_from_map(evidence)]
    return [
        Convention(name, sentence, before, after)
        for name, sentence, before, after in rows
        if before is not None and after is not None
    ]


Row = tuple[str, str, float | None, float | None]


def _from_voc_to_coco(evidence: Evidence) -> Iterator[Row]:
    """Seven steps, each from where the one before ended."""
    crowd, difficult = evidence.sought.crowd, evidence.sought.difficult
    beyond = int((evidence.found.ranks >= evidence.limit).sum())
    sentences = {
        "area": "The area under the curve of precision over recall (VOC 2010) instead of its mean height at "
        "eleven recalls (VOC 2007)",
        "101 points": "The curve's mean height at 101 recalls (COCO) instead of its area",
        "difficult": f"Difficult objects, of which there are {int((difficult & ~crowd).sum())}, are to be "
        "found like any others instead of being left out",
        "matching": "A detection may find its second-best object when a surer one has taken its best, "
        "instead of being wrong",
        "crowd": f"A detection is left out if half of its own area lies in one of the {int(crowd.sum())} "
        "crowd regions, instead of half of what both cover together",
        "limit": f"Only the {evidence.limit} surest detections of each picture and class count, which leaves "
        f"out {beyond}",
        "thresholds": f"The mean over {len(evidence.thresholds)} thresholds of IoU, "
        f"{evidence.thresholds[0]:.2f} to {evidence.thresholds[-1]:.2f}, instead of 0.50",
    }
    numbers = _voc_to_coco(evidence)
    for (name, sentence), (before, after) in zip(sentences.items(), pairwise(numbers), strict=True):
        yield name, sentence, before, after


def _voc_to_coco(evidence: Evidence) -> list[float | None]:
    """``map_voc2007``, and what each of the seven steps makes of it."""
    unlimited = replace(evidence, limit=int(evidence.found.ranks.max(initial=0)) + 1)
    verdicts = (
        evidence.voc,
        voc_verdicts(evidence, evidence.sought.crowd),
        coco_verdicts(replace(unlimited, crowd_by_inside=False), HALF),
        coco_verdicts(unlimited, HALF),
        evidence.half,
        evidence.coco,
    )
    tables = [
        average_precisions(evidence, evidence.voc, eleven_points),
        average_precisions(evidence, evidence.voc, area_under),
        *(average_precisions(evidence, one, hundred_and_one_points) for one in verdicts),
    ]
    return [mean_over_classes(table) for table in tables]


def _from_map(evidence: Evidence) -> Iterator[Row]:
    """What else could be reported of the same detections, each beside ``map``."""
    precisions = average_precisions(evidence, evidence.coco, hundred_and_one_points)
    number = mean_over_classes(precisions)
    strict = average_precisions(evidence, evidence.at(0.75), hundred_and_one_points)
    number_of = "ten" if len(precisions) == 10 else len(precisions)
    sentence = f"IoU 0.75 alone instead of {number_of} thresholds"
    yield "map_75", sentence, number, mean_over_classes(strict)
    sought = evidence.sought
    without = replace(evidence, sought=sought._replace(crowd=np.zeros_like(sought.crowd)))
    values = average_precisions(without, without.coco, hundred_and_one_points)
    sentence = f"The {int(sought.crowd.sum())} crowd regions as objects to be found instead of being ignored"
    yield "crowd as objects", sentence, number, mean_over_classes(values)
    sizes = {
        "small": "of at most 32 x 32",
        "medium": "between 32 x 32 and 96 x 96",
        "large": "of at least 96 x 96",
    }
    for name, area in AREAS.items():
        verdicts = coco_verdicts(evidence, evidence.thresholds, area)
        sentence = f"Only the {int(verdicts.objects.sum())} objects {sizes[name]} pixels instead of all"
        values = average_precisions(evidence, verdicts, hundred_and_one_points)
        yield f"map_{name}", sentence, number, mean_over_classes(values)
    for limit in limits_of(evidence):
        sentence = (
            "The part of objects found, where wrong detections cost nothing, instead of precision, by the "
            + ("surest detection" if limit == 1 else f"{limit} surest detections")
            + " of each picture and class"
        )
        yield f"ar_{limit}", sentence, number, mean_over_classes(recalls(evidence, evidence.coco, limit))
