"""Detection and localization from data to results: trained, resumed, loaded, evaluated, predicted."""

import json
from dataclasses import replace

import pytest
import torch

import striate
from striate.api import resume
from striate.data import builtin
from striate.data.images import save_image
from striate.errors import InputError, Interrupted, RunError
from striate.learning_rate import Ramp, find_learning_rate
from striate.predictor import FoundBox

SMALL = {"train.epochs": 2, "input.size": 64, "train.batch_size": 8, "train.precision": "fp32"}
TINY = {"model.arguments": {"backbone": "compact_cnn", "arguments": {"width": 0.125}}}
RESNET = {"model.arguments": {"arguments": {"width": 0.125}}}
EVERYTHING = {
    "augment.flip": True,
    "augment.rotate": 10,
    "augment.mosaic": 0.5,
    "augment.box_crop": True,
    "augment.sizes": [64, 96],
}
DETECTORS = {
    "yolo_light": TINY | EVERYTHING,
    "ssd_light": RESNET,
    "faster_rcnn_light": RESNET | {"model.arguments": {"arguments": {"width": 0.125}, "units": 32}},
}


@pytest.fixture(autouse=True, scope="module")
def _few_scenes():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(builtin, "SCENES", {"count_train": 24, "count_val": 6, "count_test": 6})
        yield


class Stop:
    """Ends training after so many steps, as Ctrl-C does."""

    def __init__(self, after: int) -> None:
        self.after = after

    def start(self, *_): ...

    def phase(self, *_): ...

    def epoch(self, *_): ...

    def step(self, state, loss) -> None:
        if state.step == self.after:
            raise KeyboardInterrupt


def train(model, out, watchers=(), **settings):
    given = SMALL | DETECTORS[model] | {"train.checkpoint_minutes": 0} | settings
    return striate.train("scenes", model=model, out=out, settings=given, watchers=watchers)


@pytest.mark.parametrize("model", DETECTORS)
def test_a_run_that_is_stopped_and_resumed_equals_one_never_stopped(model, tmp_path):
    whole = train(model, tmp_path / "whole")
    with pytest.raises((Interrupted, KeyboardInterrupt)):
        train(model, tmp_path / "run", watchers=[Stop(after=4)])
    resumed = resume(tmp_path / "run")
    expected = whole.model.state_dict()
    assert all(torch.equal(value, expected[name]) for name, value in resumed.model.state_dict().items())
    metrics = [(tmp_path / run / "metrics.jsonl").read_bytes() for run in ("whole", "run")]
    assert metrics[0] == metrics[1]
    assert resumed.results == whole.results


class Losses(Stop):
    """Remembers the loss of each step."""

    def __init__(self) -> None:
        self.seen: list[float] = []

    def step(self, state, loss) -> None:
        self.seen.append(loss)


@pytest.mark.parametrize(("data", "model"), [("scenes", "faster_rcnn_light"), ("scenes-one", "compact_cnn")])
def test_a_range_test_sees_what_training_sees(data, model, tmp_path):
    """At rates so low that nothing is learned: the same pictures, sizes and samples, and so losses."""
    still = {"optimizer.name": "sgd", "optimizer.lr": 1e-12, "train.epochs": 1, "train.batch_size": 2}
    own = DETECTORS[model] | EVERYTHING if data == "scenes" else {"model.arguments": {"width": 0.125}}
    settings = SMALL | own | still
    trained, tested = Losses(), Losses()
    striate.train(data, model=model, out=tmp_path / "run", settings=settings, watchers=[trained])
    with pytest.raises(RunError, match="falls at no learning rate"):
        find_learning_rate(
            data,
            model=model,
            settings=settings,
            ramp=Ramp(1e-12, 2e-12, 12),
            after_step=lambda rate, loss: tested.step(None, loss),
        )
    assert len(tested.seen) == 12
    assert tested.seen == pytest.approx(trained.seen, rel=1e-5)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return train("yolo_light", tmp_path_factory.mktemp("detector") / "run", **{"evaluate.score": 0.0})


def test_the_folder_tells_all_of_it(run):
    config = json.loads((run.path / "config.json").read_text())
    assert config["task"] == config["recipe"]["task"] == "detection"
    assert config["input"]["fit"] == "letterbox"
    assert len(config["arguments"]["anchors"]) == 6
    assert run.results.keys() == {"val", "test"}
    assert {"map", "map_50", "map_75", "ar_100", "map_voc2007", "loss"} <= run.results["test"].keys()
    again = striate.load_run(run.path, "cpu")
    assert again.evaluate()["metrics"] == pytest.approx(run.results["test"])
    everything = again.evaluate(split="all")
    assert everything["num_samples"] == 36


def test_every_class_is_measured_in_json_and_in_a_table(run, run_cli):
    result = json.loads(run_cli("evaluate", run.path, "--json").out)
    assert result["metrics"] == pytest.approx(run.results["test"])
    assert list(result["classes"]) == list(run.classes)
    objects = striate.load_data("scenes").splits["test"].objects
    for label, (name, scores) in enumerate(result["classes"].items()):
        assert list(scores) == ["ap", "ap_50", "objects", "detections"]
        assert scores["objects"] == int((objects.labels == label).sum()), name
        assert (scores["ap"] is None) == (scores["objects"] == 0)
    for metric, key in (("map", "ap"), ("map_50", "ap_50")):
        known = [scores[key] for scores in result["classes"].values() if scores[key] is not None]
        assert sum(known) / len(known) == pytest.approx(result["metrics"][metric])
    lines = [line.split() for line in run_cli("evaluate", run.path).out.splitlines()]
    head = lines.index(["class", "AP", "AP@0.5", "objects", "found"])
    table = {line[0]: line[1:] for line in lines[head:]}
    for name, scores in result["classes"].items():
        if scores["objects"]:
            numbers = [f"{scores['ap']:.4f}", f"{scores['ap_50']:.4f}"]
            assert table[name] == [*numbers, f"{scores['objects']:,}", f"{scores['detections']:,}"]


def test_overlaps_and_numbers_of_boxes_of_ones_own_are_measured(run, run_cli):
    flags = ("--iou", "0.75", "--iou", "0.5", "--max-detections", "300", "--json")
    own, usual = json.loads(run_cli("evaluate", run.path, *flags).out), run.evaluate(max_detections=300)
    metrics = own["metrics"]
    assert metrics["map"] == pytest.approx((metrics["map_50"] + metrics["map_75"]) / 2)
    assert metrics["map_50"] == pytest.approx(usual["metrics"]["map_50"])
    assert "ar_300" in metrics
    assert "ar_100" not in metrics
    kept = [sum(c["detections"] for c in result["classes"].values()) for result in (run.evaluate(), own)]
    assert kept[0] == 6 * 100 < kept[1] <= 6 * 300  # the detector keeps as many of a picture as are to count
    assert run.evaluate()["metrics"] == pytest.approx(run.results["test"])  # and only then


@pytest.mark.parametrize("flags", [("--iou", "0"), ("--iou", "1.5"), ("--iou", "nan")])
def test_an_overlap_that_is_none_is_told(run, run_cli, flags):
    outcome = run_cli("evaluate", run.path, *flags)
    assert outcome.code == 2
    assert "--iou" in outcome.err


def test_predictions_are_boxes_in_pixels_of_the_picture(run, tmp_path):
    picture = striate.load_data("scenes").splits["test"][0][0]
    save_image(picture, tmp_path / "scene.png")
    found = replace(run.predictor, score=0.0).predict(tmp_path / "scene.png")
    assert found
    for box in found:
        assert isinstance(box, FoundBox)
        x1, y1, x2, y2 = box.box_xyxy
        assert 0 <= x1 < x2 <= 160
        assert 0 <= y1 < y2 <= 160
    assert [box.score for box in found] == sorted((box.score for box in found), reverse=True)


def test_the_same_boxes_in_other_classes_order_give_the_same_numbers(run):
    dataset = striate.load_data("scenes")
    turned = {
        name: replace(
            split, targets=9 - split.targets, objects=replace(split.objects, labels=9 - split.objects.labels)
        )
        for name, split in dataset.splits.items()
    }
    other = replace(dataset, classes=dataset.classes[::-1], splits=turned)
    assert run.evaluate(other, "test")["metrics"] == pytest.approx(run.results["test"])


@pytest.mark.parametrize(
    ("data", "objectness", "what", "advice"),
    [
        ("scenes", False, "wants one box in each picture, this one has", "--task detection finds any number"),
        (
            "scenes",
            True,
            "with objectness wants at most one box in each",
            "--task detection finds any number",
        ),
        (
            "scenes-windows",
            False,
            "this one has 0, and .* more pictures have not one",
            "loss.objectness=true",
        ),
    ],
)
def test_localization_says_how_many_boxes_it_wants(data, objectness, what, advice, tmp_path):
    settings = {"task": "localization", "loss.objectness": objectness}
    with pytest.raises(InputError, match=what) as caught:
        striate.train(data, out=tmp_path / "run", settings=settings)
    assert advice in caught.value.what_to_do
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("settings", "what"),
    [
        ({"task": "classification"}, "the data have boxes: they are not for classification"),
        ({"augment.mixup": 0.2}, "augment.mixup is not for detection"),
        ({"loss.objectness": True}, "loss.objectness is not for detection"),
        ({"input.size": 70}, "multiples of 32"),
        ({"model.name": "resnet18"}, "no detector is called 'resnet18'"),
        ({"model.arguments": {"colour": 1}}, "yolo_light takes no argument colour"),
        ({"evaluate.mirror": True}, "evaluate.mirror is not for detection"),
        ({"augment.fill": "reflect"}, "mirrored borders show objects that have no box"),
    ],
)
def test_what_cannot_be_is_refused_before_a_folder_is_made(settings, what, tmp_path):
    with pytest.raises(InputError, match=what):
        striate.train("scenes", out=tmp_path / "run", settings=SMALL | settings)
    assert not (tmp_path / "run").exists()


def test_classes_of_a_detector_may_be_a_tree(tmp_path):
    (tmp_path / "parity.txt").write_text(
        "even\nodd\n" + "".join(f"{digit} {'odd' if digit % 2 else 'even'}\n" for digit in range(10))
    )
    given = {"tree.file": str(tmp_path / "parity.txt"), "evaluate.score": 0.0}
    with pytest.raises(InputError, match="ssd_light does not learn trees of classes"):
        train("ssd_light", tmp_path / "ssd", **given)
    with pytest.raises((Interrupted, KeyboardInterrupt)):
        train("yolo_light", tmp_path / "run", watchers=[Stop(after=4)], **given)
    (tmp_path / "parity.txt").rename(tmp_path / "tree.txt")  # a run needs its tree's file no more
    run = resume(tmp_path / "run")
    given["tree.file"] = str(tmp_path / "tree.txt")
    assert run.config.classes == ("even", "0", "2", "4", "6", "8", "odd", "1", "3", "5", "7", "9")
    assert run.config.recipe.evaluate.across_classes
    assert {"map", "map_50_level0", "map_50_level1"} <= run.results["test"].keys()
    again = striate.load_run(run.path)
    assert again.evaluate()["metrics"] == pytest.approx(run.results["test"])
    found = replace(again.predictor, score=0.0).predict(striate.load_data("scenes").splits["test"][0][0])
    assert found
    assert all(box.path[-1] == box.label and box.path[0] in ("even", "odd") for box in found)
    # A run that goes on from it, with the same tree, keeps its last layer.
    settings = SMALL | given | {"model.weights": str(run.path), "optimizer.lr": 1e-9, "train.epochs": 1}
    other = striate.train("scenes", out=tmp_path / "other", settings=settings).model.state_dict()
    head = [name for name in other if name.startswith("head.") and name.endswith("weight")]
    assert head
    for name in head:
        torch.testing.assert_close(other[name], run.model.state_dict()[name], atol=1e-5, rtol=0)


def test_boxes_cannot_be_learned_from_classes_alone(tmp_path):
    with pytest.raises(InputError, match="one class per picture and no boxes"):
        striate.train("digits", out=tmp_path / "run", settings={"task": "detection"})


def test_localization_from_data_to_predictions(tmp_path):
    settings = SMALL | {"model.arguments": {"width": 0.125}, "augment.rotate": 10}
    run = striate.train("scenes-one", model="compact_cnn", out=tmp_path / "run", settings=settings)
    assert run.config.task == "localization"
    assert {"mean_iou", "accuracy", "localized", "loss"} <= run.results["test"].keys()
    assert striate.load_run(run.path).evaluate()["metrics"] == pytest.approx(run.results["test"])
    picture = striate.load_data("scenes-one").splits["test"][0][0]
    best, *others = run.predict(picture, count=3)
    assert isinstance(best, FoundBox)
    assert len(others) == 2
    assert all(other.box_xyxy == best.box_xyxy for other in others)


def test_localization_where_there_may_be_nothing_from_data_to_predictions(tmp_path):
    settings = SMALL | {"model.arguments": {"width": 0.125}, "input.size": 32, "loss.objectness": True}
    run = striate.train("scenes-windows", model="compact_cnn", out=tmp_path / "run", settings=settings)
    assert {"mean_iou", "accuracy", "objectness_ap", "map", "loss"} <= run.results["test"].keys()
    again = striate.load_run(run.path, "cpu")
    assert again.evaluate()["metrics"] == pytest.approx(run.results["test"])
    report, card = ((run.path / name).read_text() for name in ("report.html", "README.md"))
    for page in (report, card):
        assert "of the pictures whether there is an object at all" in page
        assert "Objectness precision" in page
    picture = striate.load_data("scenes-windows").splits["test"][0][0]
    (box,) = replace(again.predictor, score=0.0).predict(picture)
    assert isinstance(box, FoundBox)
    assert replace(again.predictor, score=box.score + 0.01).predict(picture) == []
