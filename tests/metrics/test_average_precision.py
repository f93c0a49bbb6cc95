"""COCO's numbers against pycocotools, PASCAL VOC's against their definitions, and hand-worked cases."""

import contextlib
import io
import os
import zipfile
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from contracts.metric_contract import MetricContract
from defusedxml import ElementTree
from detection_sets import (
    NAMES,
    Picture,
    as_batch,
    coco_evaluation,
    measured,
    pycocotools_numbers,
    random_set,
    with_areas,
)

from striate.errors import InputError
from striate.metrics import AveragePrecision
from striate.metrics.matching import match_in_turn, overlapping, sort_found, take_turns
from striate.metrics.precision_recall import (
    area_under,
    at_recalls,
    best_balance,
    curve,
    eleven_points,
    hundred_and_one_points,
    staircase,
)
from striate.samples import Detections, Objects

DATA = os.environ.get("STRIATE_DATA")


class TestAveragePrecision(MetricContract):
    def metric(self) -> AveragePrecision:
        return AveragePrecision(["a", "b", "c"])

    def samples(self, count: int, seed: int) -> tuple[list[Detections], Objects]:
        pictures = random_set(1000 * seed + 1, count, 3)
        generator = np.random.default_rng(seed)
        for picture in pictures:  # equal scores would depend on the order of pictures
            picture.scores = np.sort(generator.random(len(picture.scores)))[::-1].copy()
        return as_batch(pictures)

    def choose(self, targets: Objects, indices: list[int]) -> Objects:
        return targets[torch.tensor(indices, dtype=torch.int64)]


def picture(
    objects: list, found: list, crowd: tuple[int, ...] = (), difficult: tuple[int, ...] = ()
) -> Picture:
    """From rows (x1, y1, x2, y2, label) and (x1, y1, x2, y2, label, score)."""
    truth, guess = np.array(objects, float).reshape(-1, 5), np.array(found, float).reshape(-1, 6)
    flags = [np.isin(np.arange(len(truth)), positions) for positions in (crowd, difficult)]
    labels, found_labels = truth[:, 4].astype(int), guess[:, 4].astype(int)
    return Picture(truth[:, :4], labels, *flags, guess[:, :4], guess[:, 5], found_labels)


# COCO


def test_the_twelve_numbers_equal_pycocotools_on_200_random_sets() -> None:
    left_out = limited = 0
    for seed in range(200):
        pictures = random_set(seed)
        results = measured(pictures).compute()
        expected = pycocotools_numbers(pictures)
        assert {name for name in results if "voc" not in name} == set(expected), seed
        for name, value in expected.items():
            assert results[name] == pytest.approx(value, abs=1e-9), (seed, name)
        left_out += len(expected) < 12
        limited += any(np.bincount(one.found_labels, minlength=1).max() > 100 for one in pictures)
    assert left_out  # some sets have an area without objects
    assert limited  # and some reach the limit of 100


@pytest.mark.skipif(not DATA, reason="STRIATE_DATA does not name the folder with bccd.zip")
def test_the_twelve_numbers_equal_pycocotools_on_blood_cells_with_noisy_detections() -> None:
    generator = np.random.default_rng(0)
    pictures = []
    for boxes, labels in blood_cells():
        again = generator.integers(0, len(labels), 2 * len(labels)) if len(labels) else np.zeros(0, int)
        chosen = np.concatenate([np.arange(len(labels)), again])
        size = np.tile(boxes[chosen, 2:] - boxes[chosen, :2], 2)
        found = boxes[chosen] + generator.normal(0, 0.1, size.shape) * size
        guesses = np.where(generator.random(len(chosen)) < 0.9, labels[chosen], generator.integers(0, 3))
        no = np.zeros(len(labels), bool)
        scores = generator.integers(1, 100, len(chosen)) / 100
        pictures.append(Picture(boxes, labels, no, no, found, scores, guesses))
    assert sum(len(one.labels) for one in pictures) > 4000
    results, expected = measured(pictures, 3).compute(), pycocotools_numbers(pictures, 3)
    assert {name: results[name] for name in expected} == pytest.approx(expected, abs=1e-9)
    assert 0.2 < results["map"] < 0.9


def blood_cells() -> list[tuple[np.ndarray, np.ndarray]]:
    """Boxes (G, 4) in pixels from the outer corner and labels (G,) of every annotation of BCCD."""
    classes = ["WBC", "RBC", "Platelets"]
    pictures = []
    with zipfile.ZipFile(Path(str(DATA)) / "bccd.zip") as archive:
        for name in sorted(name for name in archive.namelist() if name.endswith(".xml")):
            root = ElementTree.parse(io.BytesIO(archive.read(name))).getroot()
            rows = [
                [float(one.findtext(f"bndbox/{corner}")) for corner in ("xmin", "ymin", "xmax", "ymax")]
                for one in root.iter("object")
            ]
            labels = [classes.index(one.findtext("name")) for one in root.iter("object")]
            boxes = np.array(rows).reshape(-1, 4) - [1, 1, 0, 0]
            pictures.append((boxes, np.array(labels, int)))
    return pictures


def accumulated(evaluation) -> dict[str, np.ndarray]:  # type: ignore[no-untyped-def]
    with contextlib.redirect_stdout(io.StringIO()):
        evaluation.evaluate()
        evaluation.accumulate()
    return evaluation.eval


def coco_mean(values: np.ndarray) -> float:
    """As pycocotools takes it: without the classes that have no objects."""
    return float(values[values > -1].mean()) if (values > -1).any() else -1.0


def test_areas_that_the_labels_say_decide_what_is_small() -> None:
    for seed in range(30):
        predictions, objects = as_batch(random_set(seed))
        objects = with_areas(objects, seed)
        metric = AveragePrecision([f"class {label}" for label in range(4)])
        metric.update(predictions, objects)
        evaluation = coco_evaluation(predictions, objects, 4)
        accumulated(evaluation)
        with contextlib.redirect_stdout(io.StringIO()):
            evaluation.summarize()
        expected = {n: v for n, v in zip(NAMES, evaluation.stats.tolist(), strict=True) if v >= 0}
        results = metric.compute()
        assert {name: results[name] for name in expected} == pytest.approx(expected, abs=1e-9), seed


@pytest.mark.parametrize(
    ("thresholds", "limit"),
    [((0.5, 0.75), 300), ((0.3,), 100), ((0.6, 0.25, 0.9), 7), ((1.0, 0.5), 10), ((), 120), ((), 1)],
)
def test_own_thresholds_and_limits_are_those_of_pycocotools(
    thresholds: tuple[float, ...], limit: int
) -> None:
    for seed in range(0, 16, 2):
        predictions, objects = as_batch(random_set(seed))
        metric = AveragePrecision([f"class {label}" for label in range(4)], thresholds, limit)
        metric.update(predictions, objects)
        evaluation = coco_evaluation(predictions, objects, 4)
        if thresholds:
            evaluation.params.iouThrs = np.array(sorted(thresholds))
        limits = sorted({1, 10, limit})
        limits = limits[: limits.index(limit) + 1]
        evaluation.params.maxDets = limits
        found = accumulated(evaluation)
        precision, recall = found["precision"], found["recall"]  # (T, R, K, areas, limits), (T, K, ...)
        results = metric.compute()
        expected = {"map": coco_mean(precision[:, :, :, 0, -1])}
        expected |= {f"ar_{own}": coco_mean(recall[:, :, 0, i]) for i, own in enumerate(limits)}
        for i, area in enumerate(("small", "medium", "large"), start=1):
            expected[f"map_{area}"] = coco_mean(precision[:, :, :, i, -1])
            expected[f"ar_{area}"] = coco_mean(recall[:, :, i, -1])
        for i, own in enumerate(sorted(thresholds)):
            expected[f"map_{100 * own:.0f}"] = coco_mean(precision[i, :, :, 0, -1])
        expected = {name: value for name, value in expected.items() if value >= 0}
        assert {name: results[name] for name in expected} == pytest.approx(expected, abs=1e-9), seed
        assert not {name for name in results if name.startswith("ar_")} - expected.keys()


def test_what_is_told_at_half_an_overlap_stays_there_with_other_thresholds() -> None:
    for seed in range(3):
        batch = as_batch(random_set(seed))
        usual, own = (AveragePrecision(list("abcd"), thresholds) for thresholds in ((), (0.3, 0.8)))
        for metric in (usual, own):
            metric.update(*batch)
        expected, results = usual.compute(), own.compute()
        for name in ("map_50", "map_75", "map_voc2007", "map_voc2010"):
            assert results[name] == pytest.approx(expected[name], abs=1e-12)
        assert own.curves() == usual.curves()
        assert own.errors() == usual.errors()
        for mine, theirs in zip(own.per_class(), usual.per_class(), strict=True):
            assert mine.ap_50 == pytest.approx(theirs.ap_50, abs=1e-12)
            assert mine._replace(ap=None, ap_50=None) == theirs._replace(ap=None, ap_50=None)
        ends = {row.name: row for row in own.explain()}
        assert ends["thresholds"].after == pytest.approx(results["map"], abs=1e-12)


@pytest.mark.parametrize("threshold", [0, -0.1, 1.1, float("nan"), "0.5"])
def test_thresholds_that_are_none_are_named(threshold: float) -> None:
    with pytest.raises(ValueError, match="iou_thresholds"):
        AveragePrecision(["a"], [0.5, threshold])


@pytest.mark.parametrize("limit", [0, -1, 2.5, None])
def test_a_limit_that_is_none_is_named(limit: int) -> None:
    with pytest.raises(ValueError, match="max_detections"):
        AveragePrecision(["a"], max_detections=limit)


def test_a_picture_is_never_judged_by_the_boxes_of_another() -> None:
    box, one = torch.tensor([[0.0, 0.0, 4.0, 4.0]]), torch.ones(1)
    targets = Objects.of(box.repeat(2, 1), torch.tensor([0, 0]), torch.tensor([1, 1]))
    with pytest.raises(ValueError, match="boxes_xyxy"):
        AveragePrecision(["a"]).update(
            [Detections(box.repeat(2, 1), one, one.long() - 1), Detections(box, one, one.long() - 1)], targets
        )
    loose = Detections(box, one, one.long() - 1)
    object.__setattr__(loose, "boxes_xyxy", box.repeat(2, 1))  # what a record of one's own may be
    with pytest.raises(ValueError, match="boxes_xyxy"):
        AveragePrecision(["a"]).update([loose, loose], targets)


def test_any_number_of_detections_in_a_crowd_is_no_mistake_and_finds_nothing() -> None:
    objects = [(0, 0, 200, 200, 0), (300, 0, 310, 10, 0)]
    inside = [(5 * n, 5 * n, 5 * n + 20, 5 * n + 20, 0, 0.9) for n in range(10)]
    results = measured([picture(objects, [*inside, (300, 0, 310, 10, 0, 0.1)], crowd=(0,))], 1).compute()
    assert results["map"] == 1
    half_outside = (-11, 0, 9, 20, 0, 0.9)  # 9 of 20 columns inside
    results = measured([picture(objects, [half_outside, (300, 0, 310, 10, 0, 0.1)], crowd=(0,))], 1).compute()
    assert results["map"] == pytest.approx(0.5)


def test_numbers_without_objects_are_left_out() -> None:
    results = measured([picture([(0, 0, 10, 10, 0)], [(0, 0, 10, 10, 0, 0.5)], difficult=(0,))]).compute()
    assert set(results) == {"map", "map_50", "map_75", "map_small", "ar_1", "ar_10", "ar_100", "ar_small"}
    assert set(results.values()) == {1.0}


def test_nothing_found_counts_zero() -> None:
    results = measured([picture([(0, 0, 10, 10, 0)], [])]).compute()
    assert set(results.values()) == {0.0}
    assert {"map", "map_voc2007", "map_voc2010"} <= set(results)


def test_pictures_without_any_object_are_told_and_no_pictures_are_an_error() -> None:
    for metric in (
        measured([picture([], [(0, 0, 10, 10, 0, 0.5)])]),
        measured([picture([(0, 0, 9, 9, 0)], [], crowd=(0,))]),
    ):
        with pytest.raises(InputError, match="no object is labelled"):
            metric.compute()
    with pytest.raises(ValueError, match="no samples"):
        AveragePrecision(["a"]).compute()


def test_what_is_not_a_detection_is_refused() -> None:
    target = [(0, 0, 10, 10, 0)]
    for found in ((0, 0, 10, float("nan"), 0, 0.5), (0, 0, 10, 10, 0, float("nan")), (0, 0, 10, 10, 4, 0.5)):
        with pytest.raises(ValueError, match=r"not a number|class ids"):
            measured([picture(target, [found])])
    with pytest.raises(ValueError, match="expected 1 predictions"):
        AveragePrecision(["a"]).update([], as_batch([picture(target, [])])[1])


def test_pairs_measured_in_blocks_are_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    pictures = random_set(4)
    whole = measured(pictures).compute()
    monkeypatch.setattr("striate.metrics.matching.BLOCK", 7)
    assert measured(pictures).compute() == whole


def test_matching_worked_by_hand() -> None:
    # Two objects side by side. The first detection fits both equally and takes the one given last; the
    # second fits the other one, at 0.6 only; the third finds both taken.
    objects = np.array([[0, 0, 10, 10], [10, 0, 20, 10]], float)
    boxes = np.array([[5, 0, 15, 10], [0, 0, 6, 10], [10, 0, 20, 10]], float)
    zeros = np.zeros(3, int)
    found = sort_found(boxes, np.array([0.9, 0.8, 0.7]), zeros, zeros)
    pairs = overlapping(boxes, zeros, objects, zeros[:2], 0.1)
    assert pairs.iou.tolist() == pytest.approx([1 / 3, 1 / 3, 0.6, 1.0])
    no = np.zeros(2, bool)
    turns = take_turns(pairs, pairs.iou, found)
    matched = match_in_turn(turns, no, no, np.array([0.3, 0.5, 0.7]), 3)
    assert matched.tolist() == [[1, 0, -1], [-1, 0, 1], [-1, -1, 1]]
    ignored = np.array([False, True])  # goes last, though it is given last
    matched = match_in_turn(turns, ignored, no, np.array([0.3]), 3)
    assert matched.tolist() == [[0, -1, 1]]


# PASCAL VOC


def literal_voc(pictures: list[Picture], label: int) -> tuple[float, float] | None:
    """Both average precisions of one class, word by word, with exact fractions."""
    left_out = [one.difficult | one.crowd for one in pictures]
    total = sum(
        int(((one.labels == label) & ~out).sum()) for one, out in zip(pictures, left_out, strict=True)
    )
    if not total:
        return None
    rows = [
        (float(np.float32(one.scores[d])), n, d)
        for n, one in enumerate(pictures)
        for d in np.flatnonzero(one.found_labels == label)
    ]
    rows.sort(key=lambda row: -row[0])  # stable
    detected: set[tuple[int, int]] = set()
    hits = misses = 0
    points: list[tuple[Fraction, Fraction]] = []
    for _, n, d in rows:
        one, best, at = pictures[n], Fraction(-1), -1
        for g in np.flatnonzero(one.labels == label):
            overlap = exact_iou(one.found[d], one.boxes[g])
            if overlap > best:
                best, at = overlap, int(g)
        if best >= Fraction(1, 2):
            if left_out[n][at]:
                continue
            if (n, at) in detected:
                misses += 1
            else:
                hits += 1
                detected.add((n, at))
        else:
            misses += 1
        points.append((Fraction(hits, total), Fraction(hits, hits + misses)))
    eleven = [max((p for r, p in points if r >= Fraction(k, 10)), default=Fraction(0)) for k in range(11)]
    recalls = [Fraction(0), *sorted({r for r, _ in points})]
    area = sum(
        (after - before) * max(p for r, p in points if r >= after) for before, after in pairwise(recalls)
    )
    return float(sum(eleven) / 11), float(area)


def exact_iou(a: np.ndarray, b: np.ndarray) -> Fraction:
    a, b = ([Fraction(float(np.float32(value))) for value in box] for box in (a, b))
    width, height = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    if width <= 0 or height <= 0:
        return Fraction(0)
    shared = width * height
    return shared / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - shared)


def test_voc_numbers_equal_the_definitions_word_by_word() -> None:
    for seed in range(1, 60):
        pictures = random_set(seed)
        values = [value for label in range(4) if (value := literal_voc(pictures, label)) is not None]
        results = measured(pictures).compute()
        expected = np.array(values).mean(axis=0)
        assert [results["map_voc2007"], results["map_voc2010"]] == pytest.approx(expected, abs=1e-12), seed


def test_a_later_higher_precision_counts_at_every_recall_before_it() -> None:
    # All but the first are right: 90 % precision at 10 % recall, which is 9 of 90 objects, and 96 % at the
    # end, beyond 20 % recall. So 96 % counts at 10 % and at 20 %.
    correct = np.ones((1, 25), bool)
    correct[0, 0] = False
    steps = staircase(correct, np.ones_like(correct), 90)
    assert at_recalls(steps, np.array([0.1, 0.2])).tolist() == [[0.96, 0.96]]


def test_the_three_definitions_worked_by_hand() -> None:
    # Two of four objects: right, wrong, right. Precision 1 up to recall 1/4, 2/3 up to 1/2, then 0.
    steps = staircase(np.array([[True, False, True]]), np.ones((1, 3), bool), 4)
    assert steps[0].tolist() == pytest.approx([1, 1, 2 / 3, 0, 0])
    assert eleven_points(steps)[0] == pytest.approx((3 * 1 + 3 * 2 / 3) / 11)  # 0, .1, .2; .3, .4, .5
    assert area_under(steps)[0] == pytest.approx(0.25 + 0.25 * 2 / 3)
    assert hundred_and_one_points(steps)[0] == pytest.approx((26 + 25 * 2 / 3) / 101)


def test_a_recall_of_three_in_ten_reaches_the_point_0_3() -> None:
    steps = staircase(np.ones((1, 3), bool), np.ones((1, 3), bool), 10)
    assert eleven_points(steps)[0] == pytest.approx(4 / 11)


# What lies behind the numbers


def test_the_table_of_classes_worked_by_hand() -> None:
    objects = [(0, 0, 10, 10, 0), (20, 0, 30, 10, 0), (40, 0, 50, 10, 1)]
    found = [(0, 0, 10, 10, 0, 0.9), (60, 0, 70, 10, 0, 0.8), (20, 0, 30, 7, 0, 0.7), (0, 0, 10, 10, 2, 0.6)]
    first, second, third, fourth = measured([picture(objects, found)]).per_class()
    assert first[:3] == ("class 0", 2, 3)
    assert first.ap_50 == pytest.approx((51 + 50 * 2 / 3) / 101)
    # 0.7 overlap: found at 0.50 to 0.70, which are five thresholds
    assert first.ap == pytest.approx((5 * (51 + 50 * 2 / 3) + 5 * 51) / 1010)
    assert first[5:] == pytest.approx((0.8, np.float32(0.7), 2 / 3, 1.0))
    assert second == ("class 1", 1, 0, 0.0, 0.0, None, None, None, None)
    assert third == ("class 2", 0, 1, None, None, None, None, None, None)
    assert fourth == ("class 3", 0, 0, None, None, None, None, None, None)


def test_means_of_the_table_are_the_numbers() -> None:
    for seed in range(5):
        metric = measured(random_set(seed))
        rows, results = metric.per_class(), metric.compute()
        for name, column in (("map", "ap"), ("map_50", "ap_50")):
            values = [value for row in rows if (value := getattr(row, column)) is not None]
            assert np.mean(values) == pytest.approx(results[name], abs=1e-12)


def test_curves_hold_one_point_for_each_detection_that_counts() -> None:
    objects = [(0, 0, 10, 10, 0), (20, 0, 30, 10, 0), (100, 0, 300, 200, 0)]
    found = [(0, 0, 10, 10, 0, 0.875), (120, 9, 130, 19, 0, 0.75), (0, 0, 10, 9, 0, 0.5)]
    points = measured([picture(objects, found, crowd=(2,))], 1).curves()[0]
    assert points == ([0.5, 0.5], [1.0, 0.5], [0.875, 0.5])


def test_a_threshold_of_the_score_keeps_all_equal_scores() -> None:
    scores = np.array([0.9, 0.5, 0.5, 0.5])
    points = curve(np.array([True, True, False, False]), np.ones(4, bool), scores, 2)
    # at 0.9: precision 1, recall 0.5; at 0.5: precision 0.5, recall 1; between them there is no threshold
    assert best_balance(points) == pytest.approx((2 / 3, 0.9, 1.0, 0.5))


def test_explained_changes_lead_from_voc2007_to_map() -> None:
    for seed in range(12):
        metric = measured(random_set(seed))
        results, rows = metric.compute(), metric.explain()
        chain, beside = rows[:7], {row.name: row for row in rows[7:]}
        for before, after in pairwise(chain):
            assert before.after == after.before
        ends = {row.name: row.after for row in chain}
        assert chain[0].before == pytest.approx(results["map_voc2007"], abs=1e-12)
        assert ends["area"] == pytest.approx(results["map_voc2010"], abs=1e-12)
        assert ends["limit"] == pytest.approx(results["map_50"], abs=1e-12)
        assert ends["thresholds"] == pytest.approx(results["map"], abs=1e-12)
        total = sum(row.change for row in chain)
        assert total == pytest.approx(results["map"] - results["map_voc2007"], abs=1e-12)
        for name in ("map_75", "map_small", "map_large", "ar_1", "ar_10", "ar_100"):
            if name in results:
                assert beside[name].before == pytest.approx(results["map"], abs=1e-12)
                assert beside[name].after == pytest.approx(results[name], abs=1e-12)
        assert not {name for name in beside if name.startswith(("map_", "ar_"))} - set(results)


def changes(pictures: list[Picture]) -> dict[str, float]:
    return {row.name: row.change for row in measured(pictures, 1).explain()}


def changed(found: dict[str, float]) -> list[str]:
    """Which of the seven steps from ``map_voc2007`` to ``map`` change the number."""
    return [name for name, value in list(found.items())[:7] if abs(value) > 1e-9]


def test_each_convention_changes_the_number_alone() -> None:
    objects = [(0, 0, 200, 200, 0), (300, 0, 400, 100, 0)]
    exact = [(0, 0, 200, 200, 0, 0.9), (300, 0, 400, 100, 0, 0.8)]
    plain = changes([picture(objects, exact)])
    assert changed(plain) == []

    found = changes([picture(objects, exact[1:], difficult=(0,))])  # the difficult one is not found
    assert found["difficult"] == pytest.approx(51 / 101 - 1)
    assert changed(found) == ["difficult"]

    inside = [(10, 10, 60, 60, 0, 0.95), *exact[1:]]  # in a crowd, but far from covering it
    found = changes([picture(objects, inside, crowd=(0,))])
    assert found["crowd"] == pytest.approx(0.5)
    assert changed(found) == ["crowd"]
    assert found["crowd as objects"] == pytest.approx((51 / 2) / 101 - 1)

    many = [(300, 0, 400, 100, 0, 0.99 - n / 1000) for n in range(100)]  # the other object comes last
    found = changes([picture(objects, [*many, (0, 0, 200, 200, 0, 0.5)])])
    assert found["limit"] == pytest.approx(51 / 101 - (51 + 50 * 2 / 101) / 101)

    loose = [(0, 0, 200, 148, 0, 0.9), exact[1]]  # IoU 0.74: five thresholds of ten
    found = changes([picture(objects, loose)])
    assert found["thresholds"] == pytest.approx((5 + 5 * (51 / 2) / 101) / 10 - 1)

    beside = [(0, 0, 100, 100, 0), (20, 0, 120, 100, 0)]  # 0.667 with each other
    both = [(0, 0, 100, 100, 0, 0.9), (5, 0, 105, 100, 0, 0.8)]  # the second is nearer to the first object
    found = changes([picture(beside, both)])
    assert found["matching"] == pytest.approx(1 - 51 / 101)


def test_names_thresholds_and_objects_of_another_kind_are_named():
    for wrong in (3, [], None):
        with pytest.raises(ValueError, match="classes"):
            AveragePrecision(wrong)
    with pytest.raises(ValueError, match="iou_thresholds"):
        AveragePrecision(["a"], 0.5)
    with pytest.raises(ValueError, match="targets"):
        AveragePrecision(["a"]).update([], [])


def test_predictions_with_a_gradient_are_judged():
    box = torch.tensor([[0.0, 0, 9, 9]])
    found = Detections(
        box.clone().requires_grad_(), torch.tensor([0.5], requires_grad=True), torch.tensor([0])
    )
    metric = AveragePrecision(["a"])
    metric.update([found], Objects.of(box, torch.tensor([0])))
    assert metric.compute()["map"] == 1
