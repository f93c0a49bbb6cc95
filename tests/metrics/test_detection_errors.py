"""Kinds of errors worked by hand, and mended in the detections themselves."""

from dataclasses import replace

import numpy as np
import pytest
from detection_sets import Picture, measured, random_set

from striate.metrics.detection_errors import KINDS

CLASSES = 4


def one_of_each() -> Picture:
    """One detection of every kind, and an object that nothing comes near to."""
    objects = np.array([[0, 0, 10, 10], [100, 0, 110, 10], [200, 0, 210, 10], [300, 0, 310, 10]], float)
    found = [
        [0, 0, 10, 10],  # right
        [0, 0, 10, 9],  # duplicate of it
        [100, 0, 110, 10],  # right place, wrong class
        [200, 0, 210, 4],  # IoU 0.4 with an object of its class
        [200, 0, 210, 3],  # IoU 0.3, of another class
        [400, 0, 410, 10],  # nothing there
    ]
    no = np.zeros(4, bool)
    scores = np.array([0.9, 0.8, 0.7, 0.6, 0.5, 0.4])
    return Picture(
        objects, np.array([0, 1, 0, 1]), no, no, np.array(found), scores, np.array([0, 0, 0, 0, 1, 1])
    )


def test_one_of_each_kind_is_told_apart() -> None:
    errors = measured([one_of_each()], 2).errors()
    assert [row.kind for row in errors.kinds] == list(KINDS)
    assert {row.kind: row.number for row in errors.kinds} == dict.fromkeys(KINDS, 1)


def test_gains_worked_by_hand() -> None:
    # Class 0 has two objects: right, duplicate, wrong class, wrong place; class 1 has two: both, background.
    errors = measured([one_of_each()], 2).errors()
    gains = {row.kind: row.gain for row in errors.kinds}
    before = (51 / 101 + 0) / 2
    assert errors.map_50 == pytest.approx(before)
    # the third moves to class 1, where it is surest and right: half the recall at precision 1
    assert gains["classification"] == pytest.approx((51 / 101 + 51 / 101) / 2 - before)
    # the fourth becomes right: 1, 1/2, 1/3, 2/4
    assert gains["localization"] == pytest.approx(((51 + 50 / 2) / 101 + 0) / 2 - before)
    assert gains["missed"] == pytest.approx(0)  # class 1 still lacks its other object
    assert gains["both"] == gains["duplicate"] == gains["background"] == pytest.approx(0)


def test_a_class_of_which_all_objects_were_missed_gains_everything() -> None:
    nothing = replace(
        one_of_each(), found=np.zeros((0, 4)), scores=np.zeros(0), found_labels=np.zeros(0, int)
    )
    errors = measured([nothing], 2).errors()
    assert errors.map_50 == 0
    assert {row.kind: row.gain for row in errors.kinds if row.gain} == {"missed": 1.0}


def test_mending_the_detections_themselves_gives_the_gains() -> None:
    seen = dict.fromkeys(KINDS, 0)
    for seed in range(1, 60):
        pictures = [spread(one, seed) for one in random_set(seed) if len(one.labels)]
        if all(one.crowd.all() for one in pictures):
            continue
        errors = measured(pictures, CLASSES).errors()
        kinds = [literal_kinds(one) for one in pictures]
        assert errors.map_50 == pytest.approx(measured(pictures, CLASSES).compute()["map_50"], abs=1e-12)
        for row in errors.kinds:
            mended = [mend(one, row.kind, *found) for one, found in zip(pictures, kinds, strict=True)]
            number = sum(
                int(missed.sum()) if row.kind == "missed" else wrong.count(row.kind)
                for wrong, _, missed in kinds
            )
            assert row.number == number, (seed, row.kind)
            seen[row.kind] += number
            assert row.gain >= -1e-12
            if row.kind == "missed" and classes_of(mended) != classes_of(pictures):
                continue  # a class without objects is left out of the mean, but counts 1 when mended
            after = measured(mended, CLASSES).compute()["map_50"]
            assert row.gain == pytest.approx(after - errors.map_50, abs=1e-12), (seed, row.kind)
    assert min(seen.values()) > 20, seen


def spread(one: Picture, seed: int) -> Picture:
    """At most 90 detections, of different scores and overlaps, so that nothing is a matter of order."""
    generator = np.random.default_rng(seed)
    keep = slice(0, 90)
    jitter = generator.uniform(0, 0.5, one.found[keep].shape)  # sorted below: no box turns inside out
    boxes = one.boxes + generator.uniform(0, 0.5, one.boxes.shape)
    found = (one.found[keep] + np.sort(jitter)).astype(np.float32).astype(float)
    return replace(
        one,
        boxes=boxes.astype(np.float32).astype(float),
        found=found,
        scores=generator.random(len(found)),
        found_labels=one.found_labels[keep],
    )


def classes_of(pictures: list[Picture]) -> set[int]:
    return {int(label) for one in pictures for label in one.labels[~one.crowd]}


def overlap(a: np.ndarray, b: np.ndarray, crowd: bool = False) -> float:
    width, height = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    if width <= 0 or height <= 0:
        return 0.0
    area = (a[2] - a[0]) * (a[3] - a[1])
    whole = area if crowd else area + (b[2] - b[0]) * (b[3] - b[1]) - width * height
    return float(width * height / whole)


def literal_kinds(one: Picture) -> tuple[list[str], dict[int, int], np.ndarray]:
    """The kind of each detection, the object that a wrong one is meant for, and the objects missed."""
    kinds, meant, taken = [""] * len(one.scores), {}, set()
    usual = [g for g in range(len(one.labels)) if not one.crowd[g]]
    wrong = []
    for d in np.argsort(-one.scores):
        own = [g for g in usual if one.labels[g] == one.found_labels[d] and g not in taken]
        best = max(own, key=lambda g: overlap(one.found[d], one.boxes[g]), default=None)
        if best is not None and overlap(one.found[d], one.boxes[best]) >= 0.5:
            taken.add(best)
            continue
        crowds = [g for g in range(len(one.labels)) if one.crowd[g] and one.labels[g] == one.found_labels[d]]
        if any(overlap(one.found[d], one.boxes[g], crowd=True) >= 0.5 for g in crowds):
            continue
        wrong.append(int(d))
    near = set()
    for d in wrong:
        ious = {g: overlap(one.found[d], one.boxes[g]) for g in usual}
        own = {g: v for g, v in ious.items() if one.labels[g] == one.found_labels[d]}
        other = {g: v for g, v in ious.items() if g not in own}
        most_own, most_other = max(own.values(), default=0), max(other.values(), default=0)
        if 0.1 <= most_own < 0.5:
            kinds[d], meant[d] = "localization", max(own, key=own.__getitem__)
        elif most_other >= 0.5:
            kinds[d], meant[d] = "classification", max(other, key=other.__getitem__)
        elif most_own >= 0.5:
            kinds[d] = "duplicate"
        else:
            kinds[d] = "background" if max(most_own, most_other) < 0.1 else "both"
        near.update([meant[d]] if d in meant else [])
    meant = {d: g for d, g in meant.items() if g not in taken}
    missed = np.array([g in usual and g not in taken | near for g in range(len(one.labels))], bool)
    return kinds, meant, missed


def mend(one: Picture, kind: str, kinds: list[str], meant: dict[int, int], missed: np.ndarray) -> Picture:
    """The picture without errors of one kind."""
    if kind == "missed":
        left = ~missed
        return replace(
            one,
            boxes=one.boxes[left],
            labels=one.labels[left],
            crowd=one.crowd[left],
            difficult=one.difficult[left],
        )
    found, labels, keep, used = one.found.copy(), one.found_labels.copy(), np.ones(len(kinds), bool), set()
    for d in np.argsort(-one.scores):
        if kinds[d] != kind:
            continue
        if d not in meant or meant[d] in used:
            keep[d] = False
            continue
        used.add(meant[d])
        labels[d] = one.labels[meant[d]]
        if kind == "localization":
            found[d] = one.boxes[meant[d]]
    return replace(one, found=found[keep], scores=one.scores[keep], found_labels=labels[keep])
