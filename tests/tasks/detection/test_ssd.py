"""SSD against torchvision's with the same weights, and what its loss and its light variant promise."""

from collections.abc import Iterator
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from rounding import assert_same_detections, bf16_tolerance, share_found, weighted_layers
from squares import draw_squares, map_50_after
from torch import Tensor, nn
from torchvision_detectors import (
    NEUTRAL,
    as_detections,
    randomize,
    replace_compiled_operators,
    torchvision,
)

from striate.errors import InputError
from striate.models.key_maps.renaming import convert
from striate.samples import Objects
from striate.tasks.detection.key_maps import SSD300 as KEY_MAP
from striate.tasks.detection.published import DETECTOR_WEIGHTS
from striate.tasks.detection.rules import Choice
from striate.tasks.detection.ssd import SSDRules, ssd300, ssd_light

K = 20


@pytest.fixture(scope="module")
def peer() -> Iterator[nn.Module]:
    """torchvision's SSD300 with random weights."""
    with pytest.MonkeyPatch.context() as patch:
        replace_compiled_operators(patch)
        with torch.device("meta"):
            model = torchvision.models.detection.ssd300_vgg16(
                weights=None, weights_backbone=None, num_classes=K + 1, detections_per_img=10_000, **NEUTRAL
            )
        model = model.to_empty(device="cpu").eval()
        randomize(model)
        yield model


@pytest.fixture(scope="module")
def outputs(peer: nn.Module) -> dict[str, Any]:
    """What both give for the same two pictures, with the same weights."""
    with torch.device("meta"):
        ours, rules = ssd300(K)
    ours.load_state_dict(convert(ours, peer.state_dict(), KEY_MAP), assign=True)
    images = torch.randn(2, 3, 300, 300, generator=torch.Generator().manual_seed(1))
    seen: dict[str, Any] = {"rules": rules}
    handle = peer.head.register_forward_hook(lambda _, __, result: seen.update(head=result))
    with torch.no_grad():
        seen["detections"] = peer(list(images))
        seen["ours"] = ours.eval()(images)
    handle.remove()
    return seen


@pytest.mark.parametrize(("num_classes", "parameters"), [(20, 26_285_486), (90, 35_641_826)])
def test_it_has_as_many_parameters_as_the_reference_says(num_classes: int, parameters: int) -> None:
    with torch.device("meta"):
        model, _ = ssd300(num_classes)
    assert sum(p.numel() for p in model.parameters()) == parameters


def test_its_default_boxes_are_the_8732_of_torchvision(peer: nn.Module, outputs: dict[str, Any]) -> None:
    maps = [torch.empty(1, 1, side, side) for side in (38, 19, 10, 5, 3, 1)]
    images = torchvision.models.detection.image_list.ImageList(torch.empty(1, 3, 300, 300), [(300, 300)])
    expected = peer.anchor_generator(images, maps)[0]
    assert outputs["ours"]["anchors"].shape == (2, 8732, 4)
    torch.testing.assert_close(outputs["ours"]["anchors"][1], expected, rtol=0, atol=1e-3)


def test_in_full_it_computes_what_torchvision_computes(outputs: dict[str, Any]) -> None:
    for ours, theirs in {"logits": "cls_logits", "deltas": "bbox_regression"}.items():
        expected = outputs["head"][theirs]
        size = float(expected.abs().max())
        assert (expected[0] - expected[1]).abs().max() > 1e-2 * size
        torch.testing.assert_close(outputs["ours"][ours], expected, rtol=0, atol=1e-4 * max(1, size))


CHOICE = Choice(score=0.01, iou=0.45, most=10_000)


def test_in_the_same_numbers_it_finds_what_torchvision_finds(outputs: dict[str, Any]) -> None:
    theirs = {"logits": outputs["head"]["cls_logits"], "deltas": outputs["head"]["bbox_regression"]}
    found = outputs["rules"].decode(outputs["ours"] | theirs, CHOICE)
    for ours, expected in zip(found, outputs["detections"], strict=True):
        assert len(ours) > 5
        sides = expected["boxes"][:, 2:] - expected["boxes"][:, :2]
        wide = (sides >= 1e-2).all(dim=1)  # we leave out what has been clipped away
        assert_same_detections(ours, as_detections({name: v[wide] for name, v in expected.items()}))


def test_it_finds_what_torchvision_finds(outputs: dict[str, Any]) -> None:
    """But for boxes of nearly the same score: which of them suppresses the other is up to rounding."""
    found = outputs["rules"].decode(outputs["ours"], CHOICE)
    for ours, theirs in zip(found, outputs["detections"], strict=True):
        assert share_found(ours, as_detections(theirs)) > 0.95
        assert share_found(as_detections(theirs), ours) > 0.95


def objects_of(*pictures: list[list[float]]) -> Objects:
    """Objects of class 0, 1, ... in each picture."""
    boxes = [box for picture in pictures for box in picture]
    labels = [label for picture in pictures for label in range(len(picture))]
    counts = [len(picture) for picture in pictures]
    return Objects.of(torch.tensor(boxes), torch.tensor(labels, dtype=torch.int64), torch.tensor(counts))


SOME = [[10.0, 20.0, 60.0, 90.0], [100.0, 100.0, 290.0, 280.0], [200.0, 10.0, 222.0, 30.0]]


def test_the_loss_of_a_picture_is_that_of_torchvision(peer: nn.Module, outputs: dict[str, Any]) -> None:
    objects = objects_of(SOME)
    anchors = outputs["ours"]["anchors"][0]
    ious = torchvision.ops.box_iou(objects.boxes_xyxy, anchors)
    expected = peer.compute_loss(
        [{"boxes": objects.boxes_xyxy, "labels": objects.labels + 1}],
        {name: values[:1] for name, values in outputs["head"].items()},
        [anchors],
        [peer.proposal_matcher(ious)],
    )
    ours = SSDRules().loss({name: values[:1] for name, values in outputs["ours"].items()}, objects)
    torch.testing.assert_close(ours["class"], expected["classification"], rtol=1e-4, atol=0)
    torch.testing.assert_close(ours["box"], expected["bbox_regression"], rtol=1e-4, atol=0)
    torch.testing.assert_close(ours["loss"], ours["class"] + ours["box"])


def test_the_loss_of_a_batch_is_the_mean_of_those_of_its_pictures(outputs: dict[str, Any]) -> None:
    rules, both = SSDRules(), objects_of(SOME, SOME[:1])
    whole = rules.loss(outputs["ours"], both)
    parts = [
        rules.loss({name: values[i : i + 1] for name, values in outputs["ours"].items()}, both[i])
        for i in range(2)
    ]
    for name, value in whole.items():
        torch.testing.assert_close(value, (parts[0][name] + parts[1][name]) / 2)


def four_anchors(background_logits: list[float]) -> dict[str, Tensor]:
    """One picture with default boxes side by side, 10 pixels wide; one class, whose logit is 0."""
    count = len(background_logits)
    x = torch.arange(count) * 10.0
    zero = torch.zeros(count)
    return {
        "logits": torch.stack([torch.tensor(background_logits), zero], dim=1)[None].requires_grad_(),
        "deltas": torch.zeros(1, count, 4, requires_grad=True),
        "anchors": torch.stack([x, zero, x + 10, zero + 10], dim=1)[None],
        "size": torch.tensor([[10.0, 10.0 * count]]),
    }


def test_an_object_is_weighed_against_the_three_hardest_background_boxes() -> None:
    outputs = four_anchors([0.0, 3.0, -1.0, 2.0, 1.0, -2.0])
    loss = SSDRules().loss(outputs, Objects.of(torch.tensor([[0.0, 0.0, 10.0, 10.0]]), torch.tensor([0])))
    # -log softmax of the right class: of the first, and of background at logits -2, -1, 1 of the others.
    expected = F.softplus(torch.tensor([0.0, 2.0, 1.0, -1.0])).sum()
    torch.testing.assert_close(loss["class"], expected)
    assert loss["box"] == 0


def test_what_lies_in_a_crowd_is_neither_object_nor_background() -> None:
    outputs = four_anchors([0.0, 3.0, -1.0, 2.0, 1.0, -2.0])
    objects = Objects(
        torch.tensor([[0.0, 0.0, 10.0, 10.0], [20.0, 0.0, 30.0, 10.0]]),
        torch.tensor([0, 0]),
        torch.tensor([2]),
        crowd=torch.tensor([False, True]),
        difficult=torch.tensor([False, False]),
    )
    loss = SSDRules().loss(outputs, objects)
    torch.testing.assert_close(loss["class"], F.softplus(torch.tensor([0.0, 2.0, -1.0, -2.0])).sum())
    loss["loss"].backward()
    assert outputs["logits"].grad is not None
    assert (outputs["logits"].grad[0, 2] == 0).all()


@pytest.mark.parametrize(
    "boxes",
    [[], [[5.0, 5.0, 5.0, 9.0]], [[30.0, 8.0, 20.0, 2.0]], [[500.0, 500.0, 510.0, 510.0]]],
    ids=["none", "without width", "turned round", "outside"],
)
def test_a_picture_without_an_object_to_find_shows_three_background_boxes(boxes: list[list[float]]) -> None:
    outputs = four_anchors([0.0, 3.0, -1.0, 2.0])
    loss = SSDRules().loss(outputs, objects_of(boxes))
    torch.testing.assert_close(loss["loss"], F.softplus(torch.tensor([1.0, 0.0, -2.0])).sum())
    loss["loss"].backward()
    for name in ("logits", "deltas"):
        assert outputs[name].grad is None or outputs[name].grad.isfinite().all()


def test_it_is_drawn_for_vgg() -> None:
    with torch.device("meta"), pytest.raises(InputError, match="VGG"):
        ssd300(3, backbone="resnet18")


@pytest.mark.parametrize("size", [(160, 160), (150, 97)])
def test_the_light_one_takes_pictures_of_any_size_and_its_boxes_cover_them(size: tuple[int, int]) -> None:
    model, _ = ssd_light(3, in_channels=1, arguments={"width": 0.25})
    outputs = model.eval()(torch.randn(2, 1, *size))
    anchors = outputs["anchors"][0]
    places = sum(-(-size[0] // stride) * -(-size[1] // stride) for stride in (8, 16, 32, 64, 128))
    assert outputs["logits"].shape == (2, 4 * places, 4)
    assert outputs["deltas"].shape == outputs["anchors"].shape == (2, 4 * places, 4)
    centres = (anchors[:, :2] + anchors[:, 2:]) / 2
    assert centres[: 4 * -(-size[0] // 8) * -(-size[1] // 8)].amax(dim=0).tolist() == [
        -(-size[1] // 8) * 8 - 4,
        -(-size[0] // 8) * 8 - 4,
    ]


def test_a_backbone_whose_maps_are_too_fine_is_refused() -> None:
    with pytest.raises(InputError, match=r"steps of 1, 2, 4 pixels"):
        ssd_light(3, backbone="resnet20")


@pytest.mark.parametrize("backbone", ["mobilenet_v2", "compact_cnn", "googlenet"])
def test_the_light_one_trains_on_backbones_of_all_kinds(backbone: str) -> None:
    model, rules = ssd_light(2, backbone=backbone)
    images, objects = draw_squares(count=4)
    rules.loss(model(images), objects)["loss"].backward()
    without = [name for name, p in model.named_parameters() if p.grad is None]
    assert without == []


def test_in_bfloat16_and_channels_last_its_loss_is_nearly_the_same() -> None:
    model, rules = ssd_light(2, arguments={"width": 0.25})
    images, objects = draw_squares()
    expected = rules.loss(model.eval()(images), objects)["loss"]
    model = model.to(memory_format=torch.channels_last)
    with torch.autocast("cpu", torch.bfloat16):
        outputs = model(images.contiguous(memory_format=torch.channels_last))
    loss = rules.loss(outputs, objects)["loss"]
    assert loss.dtype == torch.float32
    # The cross-entropy and the distance of boxes move no more than what they are of, to first order.
    tolerance = bf16_tolerance(expected.item(), weighted_layers(model))
    torch.testing.assert_close(loss, expected, rtol=0, atol=tolerance)
    assert len(rules.decode(outputs, Choice(score=0.2))) == len(images)


def test_the_light_one_learns_squares() -> None:
    torch.manual_seed(0)
    model, rules = ssd_light(2, arguments={"width": 0.25})
    assert map_50_after(model, rules, steps=60, lr=3e-3) >= 0.95


@pytest.mark.parametrize(
    ("name", "peer_card"),
    [
        ("ssd300", "SSD300_VGG16_Weights"),
        ("faster_rcnn", "FasterRCNN_ResNet50_FPN_Weights"),
    ],
)
def test_published_weights_are_described_as_torchvision_describes_them(name: str, peer_card: str) -> None:
    card = DETECTOR_WEIGHTS[name]
    theirs = getattr(torchvision.models.detection, peer_card).COCO_V1
    assert card.url == theirs.url
    assert card.checksum == f"sha256:{theirs.url.rsplit('-', 1)[1].removesuffix('.pth')}"
    assert card.map == theirs.meta["_metrics"]["COCO-val2017"]["box_map"]
    names = [("__background__", *card.classes)[i].split("/A ")[0] for i in range(91)]
    assert names == [category.split("/A")[0] for category in theirs.meta["categories"]]
    assert len(set(card.classes)) == card.num_classes == 90
