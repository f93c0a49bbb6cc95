"""Localization: the contract of every task, its four numbers by hand, and that it learns."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from contracts.task_contract import FRAMES, TaskContract
from torch import Tensor

from striate.models.catalog import create_model, list_models, model_facts, options
from striate.ops.root_boxes import decode_boxes, encode_boxes
from striate.samples import Frame, Localization, Objects
from striate.tasks.localization.sparse import SparseLocalizationTask
from striate.tasks.localization.task import LocalizationTask, Localizer
from striate.tasks.task import Outputs

SIZE = (32, 32)
CORNERS = torch.tensor([[2.0, 4.0, 12.0, 30.0], [0.0, 0.0, 32.0, 32.0], [20.0, 9.0, 31.0, 15.0]])


def one_each(count: int) -> Objects:
    rows = torch.arange(count) % 3
    return Objects.of(CORNERS[rows], rows, torch.ones(count, dtype=torch.int64))


def certain(boxes_xyxy: Tensor, labels: Tensor) -> list[Localization]:
    return [Localization(*row) for row in zip(F.one_hot(labels, 3).float(), boxes_xyxy, strict=True)]


class TestLocalization(TaskContract):
    def task(self) -> LocalizationTask:
        return LocalizationTask(self.classes, SIZE)

    def targets(self, count: int) -> Objects:
        return one_each(count)

    def perfect(self, targets: Objects) -> list[Localization]:
        return certain(targets.boxes_xyxy, targets.labels)

    def wrong(self, targets: Objects) -> list[Localization]:
        return certain(targets.boxes_xyxy + 40, (targets.labels + 1) % 3)

    def mirrored(self, outputs: Outputs) -> Outputs:
        outputs = {name: value.clone() for name, value in outputs.items()}
        outputs["boxes_norm"][:, 0] = 1 - outputs["boxes_norm"][:, 0]
        return outputs


# The four numbers ---------------------------------------------------------------------------------------


def test_encoding_worked_by_hand() -> None:
    # A box 36 wide and 25 high around (50, 40) in a picture 144 wide and 100 high.
    boxes_norm = encode_boxes(torch.tensor([[32.0, 27.5, 68.0, 52.5]]), height=100, width=144)
    assert boxes_norm.tolist() == [pytest.approx([50 / 144, 0.4, 0.5, 0.5])]


def test_decoding_inverts_encoding() -> None:
    generator = torch.Generator().manual_seed(0)
    first, second = 200 * torch.rand(2, 50, 2, generator=generator)
    boxes_xyxy = torch.cat([first.minimum(second), first.maximum(second)], dim=1)
    boxes_xyxy[0, 2:] = boxes_xyxy[0, :2]  # one without area
    back = decode_boxes(encode_boxes(boxes_xyxy, 130, 250), 130, 250)
    torch.testing.assert_close(back, boxes_xyxy, atol=1e-3, rtol=0)


def test_an_error_of_some_pixels_counts_more_on_a_small_box() -> None:
    task = LocalizationTask("abc", (100, 100))
    true = torch.tensor([[40.0, 40.0, 50.0, 50.0], [10.0, 10.0, 90.0, 90.0]])
    found = true + torch.tensor([-5.0, -5.0, 5.0, 5.0])
    small, large = task.box_losses(encode_boxes(found, 100, 100), Objects.of(true, ones(2) - 1, ones(2)))
    assert small > 3 * large


# Loss ---------------------------------------------------------------------------------------------------


def ones(count: int) -> Tensor:
    return torch.ones(count, dtype=torch.int64)


def outputs_for(boxes_xyxy: Tensor, logits: Tensor) -> Outputs:
    return {"logits": logits, "boxes_norm": encode_boxes(boxes_xyxy, *SIZE)}


def test_the_loss_worked_by_hand() -> None:
    # Even odds of three classes; the centre is off by 1/4 along x, the root of the height by 1/2.
    found = torch.tensor([[8.0, 0.0, 16.0, 32.0]])
    true = Objects.of(torch.tensor([[16.0, 12.0, 24.0, 20.0]]), torch.tensor([1]))
    terms = LocalizationTask("abc", SIZE, box_weight=3).loss(outputs_for(found, torch.zeros(1, 3)), true)
    assert terms["class"].item() == pytest.approx(math.log(3))
    assert terms["box"].item() == pytest.approx((1 / 16 + 1 / 4) / 4)
    assert terms["loss"].item() == pytest.approx(math.log(3) + 3 * (1 / 16 + 1 / 4) / 4)


def test_the_overlap_loss_worked_by_hand() -> None:
    # Two boxes of 8x16 that share half: 64 of 192 pixels; the box around both, 12x16, has no empty part. The
    # centres are 4 of 32 pixels apart.
    found, true = torch.tensor([[8.0, 0.0, 16.0, 16.0]]), torch.tensor([[12.0, 0.0, 20.0, 16.0]])
    outputs, objects = outputs_for(found, torch.zeros(1, 3)), Objects.of(true, torch.tensor([1]))
    for kind in ("iou", "giou"):
        term = LocalizationTask("abc", SIZE, kind).loss(outputs, objects)["box"]
        assert term.item() == pytest.approx(2 / 3 + (1 / 8) ** 2 / 4)


def test_pictures_without_an_object_teach_nothing_without_objectness() -> None:
    nothing = Objects.of(torch.zeros(0, 4), torch.zeros(0, dtype=torch.int64), torch.tensor([0, 0]))
    outputs = outputs_for(CORNERS[:2], torch.randn(2, 3))
    task = LocalizationTask("abc", SIZE)
    assert all(term.item() == 0 for term in task.loss(outputs, nothing).values())
    assert all(score.item() == 0 for score in task.scores(outputs, nothing).values())


def test_an_object_that_augmentation_has_cut_too_far_teaches_nothing() -> None:
    both = one_each(2)
    cut = replace(both, crowd=torch.tensor([False, True]))
    outputs = outputs_for(CORNERS[1:3], torch.randn(2, 3))
    task = LocalizationTask("abc", SIZE)
    alone = task.loss({name: value[:1] for name, value in outputs.items()}, both[:1])
    for name, term in task.loss(outputs, cut).items():
        torch.testing.assert_close(term, alone[name] / 2, msg=name)  # a mean over two pictures


@pytest.mark.parametrize("kind", ["mse", "iou", "giou", "diou", "ciou"])
def test_a_box_without_area_still_learns(kind: str) -> None:
    point = torch.tensor([[0.5, 0.5, 0.0, 0.0]], requires_grad=True)
    task = LocalizationTask("abc", SIZE, kind)
    task.loss({"logits": torch.zeros(1, 3), "boxes_norm": point}, one_each(1))["loss"].backward()
    assert (point.grad[0, 2:] < 0).all()  # grows


# Predictions --------------------------------------------------------------------------------------------


def test_boxes_come_back_in_pixels_of_the_pictures_and_within_them() -> None:
    # Of the second frame a point (x, y) is at (x / 2 - 7, y / 2) of the input, so x = 2 * (input + 7).
    boxes_xyxy = torch.tensor([[2.0, 4.0, 12.0, 30.0], [3.0, 4.0, 12.0, 31.0], [-5.0, -1.0, 12.0, 20.0]])
    frames = [Frame(28, 28), FRAMES[1], Frame(10, 20, 2, 1, 3, 0)]
    found = LocalizationTask("abc", SIZE).decode(outputs_for(boxes_xyxy.clone(), torch.zeros(3, 3)), frames)
    expected = [[2, 4, 12, 28], [20, 8, 38, 56], [0, 0, 12, 8.5]]
    for prediction, box_xyxy in zip(found, expected, strict=True):
        assert prediction.box_xyxy.tolist() == pytest.approx(box_xyxy, abs=1e-4)


def test_decoding_is_softmax_in_float32() -> None:
    logits = torch.tensor([[0.0, math.log(2), math.log(5)]], dtype=torch.bfloat16)
    (found,) = LocalizationTask("abc", SIZE).decode(outputs_for(CORNERS[:1], logits), [Frame(32, 32)])
    assert found.probs.dtype == torch.float32
    assert found.probs.tolist() == pytest.approx([1 / 8, 2 / 8, 5 / 8], abs=2e-3)


def test_the_mirror_image_of_a_box_counts_half() -> None:
    # From the left border to x = 8; in the mirror image from 22 on, which is up to x = 10 in the picture.
    here, there = torch.tensor([[0.0, 0, 8, 32]]), torch.tensor([[22.0, 0, 32, 32]])
    joined = LocalizationTask("abc", SIZE).mirror(
        outputs_for(here, torch.zeros(1, 3)), outputs_for(there, torch.ones(1, 3))
    )
    assert joined["logits"].tolist() == [[0.5, 0.5, 0.5]]
    x, _, _, root_width = joined["boxes_norm"][0].tolist()
    assert x * 32 == pytest.approx((4 + 5) / 2)
    assert root_width == pytest.approx((0.25**0.5 + 0.3125**0.5) / 2)


def test_scores_are_means_over_the_batch() -> None:
    found = CORNERS.clone()
    found[1] = torch.tensor([0.0, 0.0, 32.0, 16.0])  # half of the true box
    logits = torch.tensor([[1.0, 0, 0], [0, 1, 0], [1, 0, 0]])
    scores = LocalizationTask("abc", SIZE).scores(outputs_for(found, logits), one_each(3))
    assert scores["accuracy"].item() == pytest.approx(2 / 3)
    assert scores["mean_iou"].item() == pytest.approx(2.5 / 3, abs=1e-6)


def test_a_drawing_shows_the_box_where_it_is() -> None:
    image = torch.zeros(3, 32, 32, dtype=torch.uint8)
    prediction = Localization(torch.tensor([0.0, 1.0, 0.0]), torch.tensor([4.0, 8.0, 20.0, 24.0]))
    drawn = np.asarray(LocalizationTask("abc", SIZE).draw(image, prediction))  # sixteen times as large
    assert drawn.shape == (512, 512, 3)
    assert drawn[128, 64:320].any(axis=-1).all()
    assert drawn[383, 64:320].any(axis=-1).all()
    assert not drawn[140:370, 76:308].any()
    assert not drawn[390:].any()


# Pictures and inputs ------------------------------------------------------------------------------------


def test_targets_and_predictions_go_to_the_input_and_back() -> None:
    frames = [Frame(40, 60, 0.5, 0.25, 3, 4), Frame(32, 32), Frame(320, 320, 0.1, 0.1)]
    objects = Objects.of(torch.tensor([[8.0, 4, 40, 30], [0, 0, 9, 9], [20, 20, 310, 300]]), ones(3), ones(3))
    task = LocalizationTask("abc", SIZE)
    inside = task.in_input(objects, frames)
    assert inside.boxes_xyxy[0].tolist() == [6, 5, 14, 18]
    back = task.decode(outputs_for(inside.boxes_xyxy, torch.zeros(3, 3)), frames)
    torch.testing.assert_close(torch.stack([found.box_xyxy for found in back]), objects.boxes_xyxy)


def test_objects_are_learned_whole_unless_too_little_of_them_is_in_the_input() -> None:
    # Moved to the left by 20 pixels, an object of 40 is half in the input, one of 24 to a sixth.
    objects = Objects.of(torch.tensor([[0.0, 0, 40, 9], [0, 0, 24, 9]]), torch.tensor([0, 1]), ones(2))
    inside = LocalizationTask("abc", SIZE).in_input(objects, [Frame(32, 60, offset_x=-20)] * 2)
    assert inside.boxes_xyxy.tolist() == [[-20, 0, 20, 9]]
    assert inside.counts.tolist() == [1, 0]


def test_its_examples_are_one_object_in_the_middle_of_each_picture() -> None:
    objects = LocalizationTask("abc", (40, 80)).examples(2)
    assert objects.counts.tolist() == [1, 1]
    assert objects.boxes_xyxy.tolist() == [[20, 10, 60, 30]] * 2


# Network ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", list_models())
def test_it_builds_on_every_network_of_the_catalogue(name: str) -> None:
    facts = model_facts(name)
    slim = {"width": 8} if name == "fashion_cnn" else {"width": 0.25}
    arguments = slim if "width" in options(facts.build) else {}
    task = SparseLocalizationTask("abc", facts.input[1:])
    with torch.device("meta"):
        network = task.build(create_model(name, num_classes=3, **arguments), "abc").eval()
        outputs = network(torch.empty(2, *facts.input))
    assert {key: tuple(value.shape) for key, value in outputs.items()} == {
        "logits": (2, 3),
        "boxes_norm": (2, 4),
        "objectness_logits": (2,),
    }


def test_it_begins_with_a_box_in_the_middle_that_fills_half_of_the_picture() -> None:
    torch.manual_seed(0)
    network = Localizer(create_model("compact_cnn", width=0.25)).eval()
    with torch.no_grad():
        boxes_norm = network(torch.zeros(1, 1, 28, 28))["boxes_norm"]
    left, top, right, bottom = decode_boxes(boxes_norm, 28, 28)[0].tolist()
    assert (left + right) / 2 == pytest.approx(14, abs=1)
    assert (right - left) * (bottom - top) == pytest.approx(14 * 28, rel=0.1)


@pytest.mark.parametrize("size", [(28, 28), (57, 40), (96, 128)])
def test_the_box_follows_what_is_in_the_picture(size: tuple[int, int]) -> None:
    """Two pictures with the same pixels in other places have other boxes, which averages could not tell."""
    torch.manual_seed(0)
    network = Localizer(create_model("compact_cnn", in_channels=1, width=0.25)).eval()
    picture = torch.zeros(1, 1, *size)
    picture[..., 4:12, 4:12] = 1
    with torch.no_grad():
        boxes = network(torch.cat([picture, picture.roll((8, 8), (2, 3))]))["boxes_norm"]
    assert (boxes[0] - boxes[1]).abs().max() > 1e-4


def test_the_box_is_computed_in_float32_under_bf16_autocast() -> None:
    network = Localizer(create_model("lenet5", num_classes=3))
    with torch.autocast("cpu", torch.bfloat16):
        outputs = network(torch.randn(2, 1, 32, 32))
    assert outputs["logits"].dtype == torch.bfloat16
    assert outputs["boxes_norm"].dtype == torch.float32


# Learning -----------------------------------------------------------------------------------------------


def squares_and_bars(count: int, seed: int) -> tuple[Tensor, Objects]:
    """Pictures float (count, 1, 32, 32) with a filled square, a lying or a standing bar on noise."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.randint(0, 3, (count,), generator=generator)
    sides = torch.tensor([[12, 12], [16, 6], [6, 16]])[labels]  # width, height
    corner = (torch.rand(count, 2, generator=generator) * (33 - sides)).long()
    pictures = 0.3 * torch.randn(count, 1, 32, 32, generator=generator)
    for n, ((left, top), (width, height)) in enumerate(zip(corner.tolist(), sides.tolist(), strict=True)):
        pictures[n, :, top : top + height, left : left + width] += 1
    return pictures, Objects.of(torch.cat([corner, corner + sides], dim=1), labels, ones(count))


@pytest.mark.parametrize("kind", ["mse", "giou"])
def test_it_learns_where_and_what(kind: str) -> None:
    torch.manual_seed(0)
    task = LocalizationTask(["square", "lying", "standing"], SIZE, kind, 10 if kind == "mse" else 1)
    network = task.build(create_model("compact_cnn", num_classes=3, width=0.25), task.classes)
    optimizer = torch.optim.Adam(network.parameters(), 3e-3)
    schedule = torch.optim.lr_scheduler.LinearLR(optimizer, 1, 0.05, total_iters=120)
    pictures, objects = squares_and_bars(640, seed=0)
    for step in range(120):
        rows = torch.arange(32) + step * 32 % 640
        loss = task.loss(network(pictures[rows]), objects[rows])["loss"]
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    pictures, objects = squares_and_bars(200, seed=1)
    metric = task.metrics()
    with torch.no_grad():
        metric.update(task.decode(network.eval()(pictures), [Frame(32, 32)] * 200), objects)
    found = metric.compute()
    assert found["accuracy"] >= 0.97
    assert found["mean_iou"] >= 0.6  # one box for all would reach half of that
