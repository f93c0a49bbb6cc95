"""Boxes that a network disputes: by hand for each rule, and planted faults in generated scenes."""

from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from striate.audit.audit import audit
from striate.audit.disputes import (
    Seen,
    as_detections,
    dispute_findings,
    disputes,
    reliable_classes,
    usual_scores,
)
from striate.audit.inventory import list_dataset
from striate.data.dataset import ArrayImages, Dataset, Split, dominant_labels
from striate.data.scenes import make_scenes
from striate.errors import InputError
from striate.ops.boxes import box_iou
from striate.samples import Detections, Localization, Objects

CLASSES = tuple("0123456789")


def seen(labelled, found, trained=False):
    """A picture with (class, box) labelled and (class, score, box) found."""
    objects = Objects.of(
        torch.tensor([box for _, box in labelled], dtype=torch.float32).reshape(-1, 4),
        torch.tensor([label for label, _ in labelled], dtype=torch.int64),
    )
    found = sorted(found, key=lambda one: -one[1])
    detections = Detections(
        torch.tensor([box for *_, box in found], dtype=torch.float32).reshape(-1, 4),
        torch.tensor([score for _, score, _ in found]),
        torch.tensor([label for label, *_ in found], dtype=torch.int64),
    )
    return Seen(0, 0, objects, detections, trained, torch.ones(len(labelled), dtype=torch.bool))


def told(one, usual=0.8):
    kinds = disputes(one, torch.full((3,), usual), torch.ones(3, dtype=torch.bool))
    return [(dispute.kind, dispute.row, dispute.number) for dispute in kinds]


HERE, OVER, AWAY = (0, 0, 10, 10), (0, 0, 10, 8), (30, 30, 40, 40)


@pytest.mark.parametrize(
    ("labelled", "found", "expected"),
    [
        ([(0, HERE)], [(0, 0.9, OVER)], []),  # right
        ([(0, HERE)], [(1, 0.9, OVER)], [("other-class", 0, 0)]),
        ([(0, HERE)], [(1, 0.7, OVER)], []),  # not as sure as usual
        ([(0, HERE)], [(1, 0.9, OVER), (0, 0.05, HERE)], [("other-class", 0, 0)]),
        ([(0, HERE)], [(1, 0.9, OVER), (0, 0.3, HERE)], []),  # the label is not doubted enough
        ([(0, HERE), (1, OVER)], [(1, 0.9, OVER)], []),  # it is the other object that lies there
        ([(0, HERE)], [(1, 0.9, OVER), (2, 0.85, HERE)], [("other-class", 0, 0)]),  # told once
        ([(0, HERE)], [(0, 0.9, HERE), (1, 0.9, AWAY)], [("forgotten", -1, 1)]),
        ([], [(1, 0.9, AWAY)], [("forgotten", -1, 0)]),
        ([], [(1, 0.9, AWAY), (2, 0.85, AWAY)], [("forgotten", -1, 0)]),  # one place
        ([], [(1, 0.7, AWAY)], []),
        ([(0, HERE)], [(0, 0.9, HERE), (0, 0.9, (6, 6, 16, 16))], [("forgotten", -1, 1)]),  # overlap 0.087
        ([(0, HERE)], [(0, 0.9, HERE), (0, 0.9, (5, 5, 15, 15))], []),  # 0.143: near what is labelled
        ([(0, (0, 0, 40, 40))], [(0, 0.9, (0, 0, 40, 40)), (0, 0.9, HERE)], []),  # a part of it
        ([(0, HERE)], [], [("not-seen", 0, -1)]),
        ([(0, HERE)], [(2, 0.06, (5, 5, 15, 15))], []),  # anything near, at any score
        ([(0, HERE)], [(2, 0.06, AWAY)], [("not-seen", 0, -1)]),
    ],
)  # fmt: skip
def test_what_is_disputed_and_what_is_not(labelled, found, expected):
    assert told(seen(labelled, found)) == expected


def test_crowds_are_neither_judged_nor_is_what_lies_in_them_forgotten():
    one = seen([(0, (0, 0, 40, 40))], [(1, 0.9, HERE)])
    crowd = replace(one.objects, crowd=torch.tensor([True]))
    assert told(replace(one, objects=crowd, checked=~crowd.crowd)) == []
    assert told(one) == [
        ("forgotten", -1, 0),
        ("not-seen", 0, -1),
    ]  # something small in a thing of another class
    assert told(replace(one, found=seen([], []).found)) == [("not-seen", 0, -1)]


def test_what_is_usual_comes_from_held_out_pictures_where_labels_and_network_agree():
    held_out = [seen([(0, HERE)], [(0, score, HERE)]) for score in (0.6, 0.7, 0.8, 0.9, 1.0)]
    held_out.append(seen([(0, HERE)], [(1, 0.99, HERE)]))  # no agreement
    trained = seen([(0, HERE), (1, AWAY)], [(0, 1.0, HERE), (1, 1.0, AWAY)], trained=True)
    torch.testing.assert_close(usual_scores([*held_out, trained], 2), torch.tensor([0.7, 0.5]))
    torch.testing.assert_close(usual_scores([trained], 2), torch.tensor([1.0, 1.0]))


def test_a_class_that_the_network_often_misses_is_not_judged_by_that():
    pictures = [seen([(0, HERE), (1, AWAY)], [(0, 0.9, HERE)] + [(1, 0.9, AWAY)] * (k > 0)) for k in range(4)]
    reliable, notes = reliable_classes(pictures, ("cat", "dog"))
    assert reliable.tolist() == [True, False]  # 1 of 4 is more than a fifth
    assert notes == ["the network misses many objects of dog: those it does not see are not told"]
    assert reliable_classes([*pictures, pictures[1]], ("cat", "dog"))[1] == []


def test_a_localizer_has_each_class_at_its_one_box():
    found = as_detections(Localization(torch.tensor([0.2, 0.7, 0.1]), torch.tensor(HERE).float()))
    assert found.labels.tolist() == [1, 0, 2]
    torch.testing.assert_close(found.scores, torch.tensor([0.7, 0.2, 0.1]))
    assert found.boxes_xyxy.tolist() == [list(HERE)] * 3


# --- planted faults ------------------------------------------------------------------------------------


@dataclass
class StandIn:
    """A run whose network sees what is really there: surely, or less so where objects are small; with boxes
    that are a little off, and faint detections of nothing."""

    truth: dict[str, tuple[list[str], Objects]]
    classes: tuple[str, ...] = CLASSES
    kind: str = "detection"
    path: Path = Path("stand-in")
    preprocessing: None = None

    @property
    def task(self):
        return SimpleNamespace(name=self.kind)

    def pictures(self, split):
        return split, []

    def batches(self, split):
        return [split]

    def predicted(self, batches):
        for split in batches:
            names = split.names
            yield SimpleNamespace(names=names), None, [self._predict(*self.truth[name]) for name in names]

    def _predict(self, seed, objects):
        rng = np.random.default_rng(seed)
        boxes = objects.boxes_xyxy
        size = (boxes[:, 2:] - boxes[:, :2]).repeat(1, 2)
        off = torch.from_numpy(rng.uniform(-0.06, 0.06, (len(boxes), 4))).float() * size
        scores = torch.where((size[:, 0] * size[:, 1]).sqrt() < 14, 0.65, 0.93)
        ghosts = torch.from_numpy(rng.uniform(0, 70, (2, 2))).float()
        ghosts = torch.cat([ghosts, ghosts + torch.from_numpy(rng.uniform(12, 25, (2, 2))).float()], 1)
        labels = torch.from_numpy(rng.integers(0, 10, 2))
        found = Detections(
            torch.cat([boxes + off, ghosts]),
            torch.cat([scores, torch.tensor([0.3, 0.1])]),
            torch.cat([objects.labels, labels]),
        )
        order = found.scores.argsort(descending=True)
        return Detections(found.boxes_xyxy[order], found.scores[order], found.labels[order])


def scenes(count=40):
    """Train and val of scenes, and the stand-in that knows what is in them."""
    splits, truth = {}, {}
    for k, name in enumerate(("train", "val")):
        pixels, objects, _ = make_scenes(count, size=96, objects=(2, 4), seed=k)
        images = ArrayImages(pixels, name)
        splits[name] = Split(images, dominant_labels(objects, 10), objects)
        truth |= {images.name(i): (1000 * k + i, objects[i]) for i in range(count)}
    return Dataset("scenes", "memory", "built-in", "", "detection", CLASSES, 3, splits), StandIn(truth)


def plant(split, seed):
    """Some labels changed, removed or added, one in a picture, among large objects; and where they are."""
    rng, parts, planted = np.random.default_rng(seed), [], []
    for i in range(len(split)):
        one = split.objects[i]
        large = ((one.boxes_xyxy[:, 2:] - one.boxes_xyxy[:, :2]).prod(1).sqrt() > 16).nonzero()[:, 0].tolist()
        kind = ("other-class", "forgotten", "not-seen")[i % 3] if i < 18 and large else ""
        if kind == "other-class":
            labels = one.labels.clone()
            labels[large[0]] = (labels[large[0]] + int(rng.integers(1, 10))) % 10
            one = replace(one, labels=labels)
        if kind == "forgotten":
            one = one.where(torch.arange(len(one.labels)) != large[0])
        if kind == "not-seen":
            corners = torch.from_numpy(rng.uniform(0, 70, (200, 2))).float()
            places = torch.cat([corners, corners + 20], 1)
            free = places[(box_iou(places, one.boxes_xyxy) == 0).all(1)]
            if len(free) == 0:
                kind = ""
            else:
                added = Objects.of(free[:1], torch.tensor([int(rng.integers(10))]), torch.tensor([1]))
                joined = torch.cat([one.boxes_xyxy, added.boxes_xyxy]), torch.cat([one.labels, added.labels])
                one = Objects.of(*joined)
        parts.append(one)
        planted += [(kind, split.images.name(i))] if kind else []
    return replace(split, objects=Objects.join(parts)), planted


def test_planted_faults_are_found_and_few_clean_labels_are_accused():
    dataset, network = scenes()
    splits, planted = {}, []
    for k, (name, split) in enumerate(dataset.splits.items()):
        splits[name], own = plant(split, k)
        planted += own
    dataset = replace(dataset, splits=splits)
    inventory = list_dataset(dataset)
    findings, notes = dispute_findings(network, inventory, dataset, trained_on=True)
    accused = {(one.kind, inventory.entries[one.entries[0]].name) for one in findings}
    assert notes == []
    assert len(planted) > 30
    unfound = set(planted) - accused
    # An object that was added may happen to lie where the stand-in sees a ghost.
    assert {kind for kind, _ in unfound} <= {"not-seen"}
    assert len(unfound) <= 2
    assert len(accused - set(planted)) <= 2  # of some 200 clean labels
    trained = [inventory.entries[one.entries[0]].split == "train" for one in findings]
    assert trained == sorted(trained)
    assert trained == ["although it was trained" in one.detail for one in findings]
    for one in findings:
        name = inventory.entries[one.entries[0]].name
        if one.kind == "other-class" and (one.kind, name) in planted:
            labelled, found = one.marks
            assert labelled.score is None
            assert one.classes == (found.label,) != (labelled.label,)


@pytest.mark.parametrize("wrong", ["places", "classes"])
def test_a_network_that_knows_nothing_of_the_pictures_is_itself_doubted(wrong):
    dataset, network = scenes(12)
    truth = list(network.truth.values())
    if wrong == "places":
        truth = truth[5:] + truth[:5]
    else:
        truth = [(seed, replace(one, labels=(one.labels + 1) % 10)) for seed, one in truth]
    network = replace(network, truth=dict(zip(network.truth, truth, strict=True)))
    _, notes = dispute_findings(network, list_dataset(dataset), dataset, trained_on=False)
    said = {
        "places": "the network misses many objects of",
        "classes": "the network disputes 100% of the objects",
    }
    assert any(note.startswith(said[wrong]) for note in notes)


def test_classes_unknown_to_the_network_are_noted_and_not_judged():
    dataset, network = scenes(12)
    known = ("9", "1", "2", "3", "4", "5", "6", "7", "8", "cow")  # another order, and no 0

    def renumbered(objects):
        kept = objects.where(objects.labels != 0)
        return replace(kept, labels=torch.tensor([known.index(CLASSES[k]) for k in kept.labels.tolist()]))

    truth = {name: (seed, renumbered(objects)) for name, (seed, objects) in network.truth.items()}
    inventory = list_dataset(dataset)
    network = replace(network, truth=truth, classes=known)
    findings, notes = dispute_findings(network, inventory, dataset, trained_on=False)
    assert notes == ["the network does not know 0: their labels were not checked"]
    assert findings == []


def test_a_localizer_judges_pictures_of_one_object_and_says_what_it_left_out():
    pixels, objects, _ = make_scenes(80, size=64, objects=(1, 1), seed=3)
    images = ArrayImages(pixels, "all")
    truth = {images.name(i): objects[i] for i in range(80)}
    labels = objects.labels.clone()
    labels[4] = (labels[4] + 1) % 10
    boxes = objects.boxes_xyxy.clone()
    boxes[7] = torch.tensor([0.0, 0, 8, 8]) if boxes[7, 0] > 8 else torch.tensor([56.0, 56, 64, 64])
    wrong = replace(objects, labels=labels, boxes_xyxy=boxes)
    wrong = Objects.join([wrong[:10], wrong[torch.tensor([10])].where(torch.tensor([False])), wrong[11:]])

    class Localizes(StandIn):
        def _predict(self, _, one):
            probs = torch.full((10,), 0.01)
            probs[one.labels[0]] = 0.91
            return Localization(probs, one.boxes_xyxy[0])

    network = Localizes({name: (0, one) for name, one in truth.items()}, kind="localization")
    split = Split(images, dominant_labels(wrong, 10), wrong)
    dataset = Dataset("one", "memory", "built-in", "", "localization", CLASSES, 3, {"all": split})
    inventory = list_dataset(dataset)
    findings, notes = dispute_findings(network, inventory, dataset, trained_on=False)
    assert {(one.kind, one.entries) for one in findings} == {("other-class", (4,)), ("not-seen", (7,))}
    (moved,) = [one for one in findings if one.kind == "not-seen"]
    assert moved.marks[1].box_xyxy == tuple(objects.boxes_xyxy[7].tolist())  # where it sees the object
    assert "elsewhere" in moved.detail
    assert notes == ["1 pictures have not one object, and a localizer knows no others"]


def test_a_run_for_boxes_and_data_without_are_refused_and_the_other_way_round(digits_run, monkeypatch):
    with pytest.raises(InputError, match="the run is for detection, the data have no boxes"):
        audit("digits", StandIn({}))
    dataset, _ = scenes(4)
    monkeypatch.setattr("striate.audit.inventory.load_data", lambda source, format: dataset)
    monkeypatch.setattr("striate.audit.inventory.find_labels", lambda source, format: None)
    with pytest.raises(InputError, match="the run is for classification, the data have boxes"):
        audit("scenes", digits_run)
