"""The report and the model card of boxes: true to the numbers, pictures at the right place, names escaped."""

import base64
import io
import re
from collections import Counter

import numpy as np
import pytest
import torch
import yaml
from huggingface_hub import ModelCard
from PIL import Image
from test_report import NASTY, Page, make_facts

from striate.data.dataset import ArrayImages, Split
from striate.data.loader import prepare_pictures
from striate.data.preprocessing import Preprocessing
from striate.metrics import AveragePrecision
from striate.model_card import model_card, write_model_card
from striate.report.box_charts import heights, precision_recall_chart, size_chart
from striate.report.box_evidence import (
    CLOUD_BOXES,
    SIDE,
    Place,
    balance_of_all,
    choose_detections,
    detection_facts,
    draw_pictures,
    localization_facts,
    measure_boxes,
    seen_part,
    tally_pictures,
)
from striate.report.facts import BoxSizes
from striate.report.page import report_page
from striate.report.wording import counted, metric_name, metric_value, three_decimals
from striate.samples import Detections, Objects

CLASSES = ("cat", "dog", "owl")
NO_SIZES = BoxSizes(torch.zeros(0, 2), [], None)


def look(fit: str = "letterbox") -> Preprocessing:
    return Preprocessing(size=(64, 64), channels=3, fit=fit, margin=0, mean=(0.5,) * 3, std=(0.5,) * 3)


def make_split(boxes: list[list[list[int]]], labels: list[list[int]], size: tuple[int, int]) -> Split:
    """Black pictures of (height, width) with a white block in each box."""
    pixels = torch.zeros(len(boxes), 3, *size, dtype=torch.uint8)
    for picture, of_picture in zip(pixels, boxes, strict=True):
        for x1, y1, x2, y2 in of_picture:
            picture[:, y1:y2, x1:x2] = 255
    flat = [box for of_picture in boxes for box in of_picture]
    objects = Objects.of(
        torch.tensor(flat).reshape(-1, 4),
        torch.tensor([label for of_picture in labels for label in of_picture]),
        torch.tensor([len(of_picture) for of_picture in boxes]),
    )
    return Split(ArrayImages(pixels, "wide"), torch.zeros(len(boxes)).long(), objects)


def found(*rows: tuple[list[int], float, int]) -> Detections:
    """Detections from (box, score, label), the surest first."""
    return Detections(
        torch.tensor([box for box, _, _ in rows]).reshape(-1, 4).float(),
        torch.tensor([score for _, score, _ in rows]).float(),
        torch.tensor([label for _, _, label in rows]).long(),
    )


A, B, FAR = [2, 2, 22, 22], [40, 10, 70, 30], [60, 30, 78, 39]


def six_pictures():
    """Right; one of two missed; wrong class; nothing at all; a box in an empty picture; right and unsure."""
    split = make_split([[A], [A, B], [A], [], [], [A]], [[0], [0, 1], [0], [], [], [0]], (40, 80))
    predictions = [
        found((A, 0.9, 0)),
        found((B, 0.8, 1)),
        found((A, 0.9, 1)),
        found(),
        found((FAR, 0.7, 0)),
        found((A, 0.6, 0), (FAR, 0.1, 1)),
    ]
    metric = AveragePrecision(CLASSES)
    metric.update(predictions[:4], split.objects[:4])
    metric.update(predictions[4:], split.objects[4:])
    return split, metric


def box_facts(names: tuple[str, ...] = CLASSES, memory: float = 1e9):
    split, metric = six_pictures()
    metric.classes = names
    pictures, _ = prepare_pictures(split, look(), memory)
    sizes = measure_boxes(pictures, [[16, 16], [24, 16]], 2)
    return metric, detection_facts(metric, pictures, sizes)


def detection_report(**changes):
    metric, boxes = box_facts(changes.get("classes", CLASSES))
    values = metric.compute()
    settled = {
        "task": "detection",
        "classes": CLASSES,
        "results": {"val": values, "test": values},
        "history": [
            {"epoch": 1, "lr": 0.1, "train": {"loss": 2.0}, "val": {"loss": 2.5, "map": 0.125}},
            {"epoch": 2, "lr": 0.1, "train": {"loss": 1.0}, "val": {"loss": 1.5, "map": 0.5}},
        ],
        "confusion": None,
        "per_class": [],
        "reliability": [],
        "mistakes": [],
        "boxes": boxes,
    }
    return make_facts(**(settled | changes))


def random_metric(seed: int, pictures: int = 30) -> AveragePrecision:
    """Boxes near and far from random objects of three classes; the scores tie."""
    generator = torch.Generator().manual_seed(seed)
    metric = AveragePrecision(CLASSES)
    for _ in range(pictures):
        count = int(torch.randint(0, 5, (), generator=generator))
        corners = torch.rand(count, 2, generator=generator) * 80
        boxes = torch.cat([corners, corners + 20], dim=1)
        labels = torch.randint(0, 3, (count,), generator=generator)
        near = boxes + torch.randn(count, 4, generator=generator) * 3
        extra = torch.rand(3, 2, generator=generator) * 80
        both = torch.cat([near, torch.cat([extra, extra + 20], dim=1)])
        scores, order = (
            (torch.rand(len(both), generator=generator) * 20).floor().div(20).sort(descending=True)
        )
        said = torch.cat([labels, torch.randint(0, 3, (3,), generator=generator)])
        metric.update([Detections(both[order], scores, said[order])], Objects.of(boxes, labels))
    return metric


def test_the_tally_of_each_picture_by_hand():
    _, metric = six_pictures()
    tally = tally_pictures(metric.evidence(), 0.5, 6)
    assert tally.right.tolist() == [1, 1, 0, 0, 0, 1]
    assert tally.wrong.tolist() == [0, 0, 1, 0, 1, 0]
    assert tally.missed.tolist() == [0, 1, 1, 0, 0, 0]
    assert tally.f1[[0, 1, 2, 4, 5]] == pytest.approx([1, 2 / 3, 0, 0, 1])
    assert np.isnan(tally.f1[3])  # nothing there, nothing found: neither good nor bad
    assert tally_pictures(metric.evidence(), 0.05, 6).wrong.tolist() == [0, 0, 1, 0, 1, 1]


def test_the_worst_have_the_lowest_f1_and_the_best_the_highest_and_none_is_both():
    _, metric = six_pictures()
    worst, best = choose_detections(tally_pictures(metric.evidence(), 0.5, 6))
    assert worst == [2, 4, 1]  # of two without a hit the one with more mistakes
    assert best == [0, 5]


@pytest.mark.parametrize("seed", range(4))
def test_the_tallies_of_all_pictures_add_up_to_the_precision_and_recall_of_the_balance(seed):
    evidence = random_metric(seed).evidence()
    balance = balance_of_all(evidence)
    right, wrong, missed = (part.sum() for part in tally_pictures(evidence, balance.threshold, 30))
    assert balance.precision == pytest.approx(right / (right + wrong))
    assert balance.recall == pytest.approx(right / (right + missed))
    for threshold in np.unique(evidence.found.scores):  # no other score does better
        right, wrong, missed = (part.sum() for part in tally_pictures(evidence, threshold, 30))
        assert 2 * right / (2 * right + wrong + missed) <= balance.f1 + 1e-12


@pytest.mark.parametrize("seed", range(4))
def test_the_mean_height_of_a_drawn_curve_is_the_average_precision_at_half(seed):
    metric = random_metric(seed)
    means = [float(heights(points).mean()) for points in metric.curves()]
    assert means == pytest.approx([scores.ap_50 for scores in metric.per_class()])


@pytest.mark.parametrize("fit", ["letterbox", "stretch", "crop"])
@pytest.mark.parametrize("size", [(40, 80), (90, 30), (64, 64)])
def test_a_box_lies_around_its_object_also_in_what_the_network_sees_of_the_picture(fit, size):
    height, width = size
    box = [width // 3, height // 3, width // 3 + 10, height // 3 + 10]
    split = make_split([[box]], [[0]], size)
    preprocessing = look(fit)
    image, frame = preprocessing.place(split[0][0])
    shown, view = seen_part(image, frame)
    assert max(shown.shape[1:]) == SIDE
    if fit == "letterbox":  # no margin is left
        assert shown.shape[2] / shown.shape[1] == pytest.approx(width / height, rel=0.05)
    x1, y1, x2, y2 = np.array(box) * ([view.scale_x, view.scale_y] * 2) + [view.offset_x, view.offset_y] * 2
    rows, columns = np.nonzero(shown[0].numpy() > 127)
    measured = columns.min(), rows.min(), columns.max() + 1, rows.max() + 1
    slack = 1.25 * SIDE / 64  # a pixel of the network input or so
    assert measured == pytest.approx((x1, y1, x2, y2), abs=slack)


@pytest.mark.parametrize("memory", [1e9, 0.0])
def test_pictures_are_drawn_with_what_was_found_and_what_is_true(memory):
    split, _ = six_pictures()
    pictures, _ = prepare_pictures(split, look(), memory)
    (drawn,) = draw_pictures(pictures, [2], [found((B, 0.9, 1))], ["words"], CLASSES)
    assert (drawn.name, drawn.verdict, drawn.drawing.size) == ("wide/00002", "words", (SIDE, SIDE // 2))
    pixels = np.asarray(drawn.drawing).astype(int)
    scale = SIDE / 80
    x, y = round(B[0] * scale) + 1, round((B[1] + 8) * scale)
    coloured = np.ptp(pixels, axis=2) > 60
    assert coloured[y, x]  # the left edge of the box that was found, in its class's colour
    assert not coloured[:, : round(30 * scale)].any()  # where the true box is, dashes of black and white


def test_sizes_are_those_in_the_network_input_and_crowds_are_left_out():
    split, _ = six_pictures()
    crowd = torch.tensor([False, False, True, False, False])
    boxes = split.objects
    objects = Objects(boxes.boxes_xyxy, boxes.labels, boxes.counts, crowd, boxes.difficult)
    pictures, _ = prepare_pictures(Split(split.images, split.targets, objects), look(), 1e9)
    sizes = measure_boxes(pictures, [[16, 16]], 4)
    torch.testing.assert_close(sizes.sizes, torch.full((4, 2), 16.0))  # 20 of 80, which became 64
    assert (sizes.anchors, sizes.fit) == ([(16.0, 16.0)], pytest.approx(1))
    assert measure_boxes(pictures, [], 4).fit is None


def test_of_many_boxes_some_are_drawn():
    split = make_split([[A] * 30] * 120, [[0] * 30] * 120, (40, 80))
    pictures, _ = prepare_pictures(split, look(), 1e9)
    assert 1000 < len(measure_boxes(pictures, [], 50).sizes) <= CLOUD_BOXES


def test_localization_by_hand():
    split = make_split([[A], [A], [B], [B]], [[0], [0], [1], [1]], (40, 80))
    pictures, _ = prepare_pictures(split, look(), 1e9)
    half = [2, 2, 22, 12]  # IoU 0.5
    places = [
        Place(torch.tensor([0, 1]), torch.tensor([0.9, 0.8]), torch.tensor([half, A]).float()),
        Place(torch.tensor([1, 1]), torch.tensor([0.7, 0.6]), torch.tensor([FAR, B]).float()),
    ]
    facts = localization_facts(places, pictures, NO_SIZES, CLASSES)
    assert facts.places[0] == pytest.approx((0.75, 0.5, 2))
    assert facts.places[1][1:] == (0.5, 2)
    assert facts.places[2] == (0, 0, 0)
    assert [picture.name[-1] for picture in facts.worst] == ["1", "2", "0", "3"]
    assert facts.worst[0].verdict == "taken for dog, is cat; 80.00% sure; IoU 1.000"
    assert facts.worst[3].verdict == "rightly dog; 60.00% sure; IoU 1.000"
    assert facts.best == []  # all are shown already
    results = {"test": {"accuracy": 0.75, "mean_iou": 0.625, "localized": 0.5}}
    text = Page(report_page(make_facts(classes=CLASSES, results=results, boxes=facts, mistakes=[]))).text()
    assert "For 50.00% the class is right and the IoU of the box is 0.5 or more" in text
    assert "Most confident mistakes" not in text
    card = model_card(make_facts(classes=CLASSES, results=results, boxes=facts, mistakes=[]))
    assert f"Its boxes fit worst around dog: mean IoU {facts.places[1][0]:.3f} on 2 pictures." in card


def test_the_page_is_one_well_formed_document_with_all_sections_of_boxes():
    html = report_page(detection_report())
    page = Page(html)
    headings = [text for tag, text in page.texts if tag == "h2"]
    assert headings == [
        *("Results", "Training", "Classes", "What to mend first", "Worst and best pictures"),
        *("Sizes of boxes", "Data", "Settings"),
    ]
    assert "://" not in html
    ids = Counter(attributes["id"] for _, attributes in page.elements if "id" in attributes)
    assert [name for name, count in ids.items() if count > 1] == []
    assert set(re.findall(r'(?:href="|url\()#([\w-]+)', html)) <= set(ids)
    assert all(image["alt"] for image in page.of("img"))
    assert len(page.of("img")) == 5
    assert "Why these numbers differ" in page.text()


def test_the_page_repeats_the_measured_numbers():
    facts = detection_report()
    text = " ".join(Page(report_page(facts)).text().split())
    values, balance = facts.results["test"], facts.boxes.balance
    for key in ("map", "map_50", "map_75", "ar_100", "map_voc2007"):
        assert f"{metric_name(key)}" in text
        assert f"{values[key]:.3f}" in text
    assert f"finds {100 * balance.recall:.2f}% of them, and {100 * balance.precision:.2f}%" in text
    assert "The highest validation mAP, 0.500, was reached in epoch 2." in text
    assert "0 right, 1 wrong, 1 missed" in text
    for kind in facts.boxes.errors.kinds:
        assert f"{kind.gain:+.3f}" in text
    for step in facts.boxes.conventions:
        assert f"{step.sentence}." in text


def test_names_that_users_chose_are_shown_and_never_become_markup():
    names = (f"a {NASTY}", f"b {NASTY}", f"c {NASTY}")
    facts = detection_report(classes=names)
    pictures = [type(picture)(picture.drawing, f"file {NASTY}", NASTY) for picture in facts.boxes.worst]
    facts.boxes.worst[:] = pictures
    page = Page(report_page(facts))
    assert page.of("script") == []
    for word in ("a", "b", "c", "file"):
        assert f"{word} {NASTY}" in page.text()
    assert f"file {NASTY}: {NASTY}" in page.of("img")[0]["alt"]


def test_drawings_go_in_as_jpeg_at_their_own_size():
    sources = [image["src"] for image in Page(report_page(detection_report())).of("img")]
    for source in sources:
        content = base64.b64decode(source.removeprefix("data:image/jpeg;base64,"))
        assert Image.open(io.BytesIO(content)).size == (SIDE, SIDE // 2)


def test_a_detector_that_finds_nothing_has_a_report_too():
    split, _ = six_pictures()
    metric = AveragePrecision(CLASSES)
    metric.update([found()] * 6, split.objects)
    pictures, _ = prepare_pictures(split, look(), 1e9)
    boxes = detection_facts(metric, pictures, NO_SIZES)
    assert boxes.balance is None
    assert boxes.worst[0].verdict == "0 right, 0 wrong, 2 missed"
    facts = detection_report(boxes=boxes, results={"test": metric.compute()})
    text = Page(report_page(facts)).text()
    assert "No box that the model drew is right" in text
    assert "average precision was measured on 5 objects" in model_card(facts)


def test_charts_of_boxes_name_nothing_a_user_chose_and_say_what_they_show():
    metric, boxes = box_facts()
    assert "mean of 2 classes" in precision_recall_chart(metric.curves(), [4, 1, 0])
    assert "Width and height of 5 boxes and 2 anchors" in size_chart(boxes.sizes)


def test_the_hub_reads_the_card_of_a_detector(tmp_path):
    path = tmp_path / "README.md"
    facts = detection_report()
    write_model_card(path, facts)
    data = ModelCard.load(path).data
    assert data.pipeline_tag == "object-detection"
    measured = {(r.dataset_split, r.metric_type): r.metric_value for r in data.eval_results}
    assert measured["test", "map_50"] == pytest.approx(facts.results["test"]["map_50"])
    assert {result.task_type for result in data.eval_results} == {"object-detection"}
    text = path.read_text()
    assert "striate predict RUN picture.png --draw drawn" in text
    assert "measured on 5 objects of the test split" in text


def test_the_card_names_the_weakest_class_that_has_objects_and_how_many():
    facts = detection_report()
    card = model_card(facts)
    weakest = min((scores for scores in facts.boxes.per_class if scores.objects), key=lambda s: s.ap)
    assert weakest.name in ("dog", "cat")
    assert f"The weakest class there is {weakest.name}: AP {weakest.ap:.3f}" in card
    assert "| owl | – | – | – | – | 0 | 0 |" in card


def test_names_that_users_chose_cannot_break_out_of_a_detectors_card():
    names = (NASTY, f"b|{NASTY}", f"c\n{NASTY}")
    card = model_card(detection_report(classes=names, title=NASTY, model=NASTY))
    assert yaml.safe_load(card.split("\n---\n")[0].removeprefix("---\n"))["tags"][-1] == NASTY
    body = card.split("\n---\n", 1)[1]
    assert "<script>" not in body
    section = body.split("## Results per class\n")[1].split("\n## ")[0]
    lines = [line for line in section.splitlines() if line.startswith("|")]
    assert len(lines) == 5
    assert {len(re.split(r"(?<!\\)\|", line)) for line in lines} == {9}


def test_numbers_of_boxes_have_three_decimals_and_are_never_rounded_up_to_one():
    assert [three_decimals(value) for value in (0.5, 0.9999, 1.0, None)] == ["0.500", "0.999", "1.000", "–"]
    assert [metric_value(key, 0.25) for key in ("map", "ar_10", "mean_iou")] == ["0.250"] * 3
    assert [metric_value(key, 0.25) for key in ("localized", "accuracy")] == ["25.00%"] * 2
    assert metric_value("loss", 0.25) == "0.2500"
    assert counted(2, "training box") == "2 training boxes"
