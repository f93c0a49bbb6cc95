"""Faster R-CNN against torchvision's with the same weights, and what sampling, loss and variants promise."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
import torch
from rounding import assert_same_boxes, assert_same_detections, share_found
from squares import draw_squares, map_50_after
from torch import Tensor, nn
from torchvision_detectors import (
    NEUTRAL,
    as_detections,
    randomize,
    replace_compiled_operators,
    torchvision,
)

from striate.models.catalog import create_model
from striate.models.key_maps.renaming import convert, rename
from striate.samples import Objects
from striate.tasks.detection.faster_rcnn import cut_out, faster_rcnn, faster_rcnn_light
from striate.tasks.detection.faster_rcnn_loss import FasterRCNNRules
from striate.tasks.detection.key_maps import FASTER_RCNN as KEY_MAP
from striate.tasks.detection.region_proposals import Limits, propose
from striate.tasks.detection.rules import Choice
from striate.train.distributed import picture_seeds

K = 90
HEIGHT, WIDTH = 180, 220  # neither is a multiple of the largest stride


@pytest.fixture(scope="module")
def peer() -> Iterator[nn.Module]:
    """torchvision's Faster R-CNN with random weights, and statistics that go with them."""
    with pytest.MonkeyPatch.context() as patch:
        replace_compiled_operators(patch)
        sizes: dict[str, Any] = {"min_size": HEIGHT, "max_size": WIDTH} | NEUTRAL
        with torch.device("meta"):
            model = torchvision.models.detection.fasterrcnn_resnet50_fpn(
                weights=None, weights_backbone=None, rpn_pre_nms_top_n_test=300, **sizes
            )
        model = model.to_empty(device="cpu")
        randomize(model)
        norms = [layer for layer in model.modules() if isinstance(layer, nn.BatchNorm2d)]
        for norm in norms:
            norm.momentum = 1.0
        with torch.no_grad():
            model.backbone.train()(pictures())
        yield model.eval()


def pictures() -> Tensor:
    return torch.randn(2, 3, HEIGHT, WIDTH, generator=torch.Generator().manual_seed(1))


@pytest.fixture(scope="module")
def outputs(peer: nn.Module) -> dict[str, Any]:
    """What both give for the same two pictures, with the same weights."""
    with torch.device("meta"):
        ours, rules = faster_rcnn(K)
    ours.load_state_dict(convert(ours, peer.state_dict(), KEY_MAP), assign=True)
    ours.effort = replace(ours.effort, evaluation=Limits(300, 1000))  # quicker with the naive suppression
    seen: dict[str, Any] = {"model": ours.eval(), "rules": rules}
    parts = {"rpn": peer.rpn, "rpn_head": peer.rpn.head, "box": peer.roi_heads.box_predictor}
    parts |= {"fpn": peer.backbone, "anchors": peer.rpn.anchor_generator}
    handles = [
        part.register_forward_hook(lambda _, __, result, name=name: seen.update({name: result}))
        for name, part in parts.items()
    ]
    with torch.no_grad():
        seen["detections"] = peer(list(pictures()))
        padded = nn.functional.pad(pictures(), (0, -WIDTH % 32, 0, -HEIGHT % 32))
        seen["maps"] = ours.feature_maps(padded)
        seen["ours"] = ours(pictures())
    for handle in handles:
        handle.remove()
    return seen


@pytest.mark.parametrize(
    ("options", "parameters"),
    [
        ({"num_classes": 90}, 41_808_406),
        ({"num_classes": 90, "frozen_batch_norm": True}, 41_755_286),
        # VGG's convolutions; 3x3, 9 scores, 36 deltas; fc6, fc7; 21 scores, 84 deltas
        (
            {"num_classes": 20, "backbone": "vgg16"},
            14_714_688
            + (512 * 9 * 512 + 512 + 512 * 9 + 9 + 512 * 36 + 36)
            + (25088 * 4096 + 4096 + 4096 * 4096 + 4096)
            + (4096 * 21 + 21 + 4096 * 84 + 84),
        ),
    ],
    ids=["pyramid", "frozen", "vgg"],
)
def test_it_has_as_many_parameters_as_the_reference_says(options: dict[str, Any], parameters: int) -> None:
    with torch.device("meta"):
        model, _ = faster_rcnn(**options)
    assert sum(p.numel() for p in model.parameters()) == parameters


def close(ours: Tensor, theirs: Tensor) -> None:
    size = float(theirs.abs().max())
    torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-4 * max(1, size))


def test_the_maps_of_its_pyramid_are_those_of_torchvision(outputs: dict[str, Any]) -> None:
    for ours, theirs in zip(outputs["maps"], outputs["fpn"].values(), strict=True):
        assert (theirs[0] - theirs[1]).abs().max() > 1e-2 * theirs.abs().max()
        close(ours, theirs)


def test_its_anchors_and_what_it_says_of_them_are_those_of_torchvision(outputs: dict[str, Any]) -> None:
    concat = torchvision.models.detection.rpn.concat_box_prediction_layers
    logits, deltas = concat(*outputs["rpn_head"])
    assert torch.equal(outputs["ours"]["anchors"], torch.stack(outputs["anchors"]))
    close(outputs["ours"]["objectness"].flatten(), logits.flatten())
    close(outputs["ours"]["anchor_deltas"].flatten(0, 1), deltas)


def proposals_of_torchvision(outputs: dict[str, Any]) -> dict[str, Tensor]:
    """What torchvision proposes and what it says of that, named as our network does."""
    proposals, _ = outputs["rpn"]
    logits, deltas = outputs["box"]
    counts = [len(some) for some in proposals]
    padded = nn.utils.rnn.pad_sequence
    return {
        "proposals": padded(list(proposals), batch_first=True),
        "proposals_seen": torch.arange(max(counts)) < torch.tensor(counts)[:, None],
        "logits": padded(logits.split(counts), batch_first=True),
        "deltas": padded(deltas.unflatten(1, (-1, 4)).split(counts), batch_first=True),
        "size": outputs["ours"]["size"],
    }


def test_of_the_same_anchors_it_proposes_what_torchvision_proposes(outputs: dict[str, Any]) -> None:
    logits, deltas = outputs["rpn_head"]
    logits = [x.permute(0, 2, 3, 1).flatten(1) for x in logits]
    deltas = [x.permute(0, 2, 3, 1).reshape(len(x), -1, 4) for x in deltas]
    anchors = outputs["anchors"][0].split([x.shape[1] for x in logits])
    found, there, _ = propose(logits, deltas, anchors, (HEIGHT, WIDTH), Limits(300, 1000))
    for ours, seen, theirs in zip(found, there, outputs["rpn"][0], strict=True):
        assert_same_boxes(ours[seen], theirs)


def test_what_it_says_of_the_same_proposals_is_what_torchvision_says(outputs: dict[str, Any]) -> None:
    theirs = proposals_of_torchvision(outputs)
    there = theirs["proposals_seen"]
    with torch.no_grad():
        logits, deltas = outputs["model"]._look(outputs["maps"], theirs["proposals"], there)
    close(logits[there], theirs["logits"][there])
    close(deltas[there], theirs["deltas"][there])


CHOICE = Choice(score=0.05, iou=0.5, most=100)


def test_in_the_same_numbers_it_finds_what_torchvision_finds(outputs: dict[str, Any]) -> None:
    found = outputs["rules"].decode(proposals_of_torchvision(outputs), CHOICE)
    for ours, theirs in zip(found, outputs["detections"], strict=True):
        assert len(ours) > 5
        assert_same_detections(ours, as_detections(theirs))


def test_it_finds_what_torchvision_finds(outputs: dict[str, Any]) -> None:
    """But for boxes of nearly the same score: which of them suppresses the other is up to rounding."""
    found = outputs["rules"].decode(outputs["ours"], CHOICE)
    for ours, theirs in zip(found, outputs["detections"], strict=True):
        assert share_found(ours, as_detections(theirs)) > 0.9
        assert share_found(as_detections(theirs), ours) > 0.9


SOME = [[10.0, 20.0, 60.0, 90.0], [100.0, 30.0, 210.0, 170.0], [150.0, 10.0, 172.0, 30.0]]


def some_objects() -> Objects:
    return Objects.of(torch.tensor(SOME), torch.tensor([3, 0, 89]))


def sampled(outputs: dict[str, Any]) -> dict[str, Tensor]:
    """What the network gives in training for the first picture."""
    torch.manual_seed(3)
    model = outputs["model"]
    model.train()
    for layer in model.backbone.modules():
        if isinstance(layer, nn.BatchNorm2d):
            layer.eval()
    with torch.no_grad():
        result: dict[str, Tensor] = model(pictures()[:1], some_objects())
    model.eval()
    return result


def test_the_losses_of_a_picture_are_those_of_torchvision_with_the_same_samples(
    peer: nn.Module, outputs: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    ours = sampled(outputs)
    losses = FasterRCNNRules().loss(ours, some_objects())

    targets = [{"boxes": torch.tensor(SOME), "labels": torch.tensor([4, 1, 90])}]
    anchors = [ours["anchors"][0]]
    labels, matched = peer.rpn.assign_targets_to_anchors(anchors, targets)
    regression = peer.rpn.box_coder.encode(matched, anchors)

    def same_samples(labels: list[Tensor]) -> tuple[list[Tensor], list[Tensor]]:
        seen = ours["anchors_seen"][0]
        return [(labels[0] > 0) & seen], [(labels[0] == 0) & seen]

    monkeypatch.setattr(peer.rpn, "fg_bg_sampler", same_samples)
    objectness, box = peer.rpn.compute_loss(
        ours["objectness"][0], ours["anchor_deltas"][0], labels, regression
    )
    torch.testing.assert_close(losses["objectness"], objectness, rtol=1e-4, atol=0)
    torch.testing.assert_close(losses["proposal_box"], box, rtol=1e-4, atol=0)

    there = ours["proposals_seen"][0]
    proposals = ours["proposals"][0, there]
    matches, labels = peer.roi_heads.assign_targets_to_proposals(
        [proposals], [targets[0]["boxes"]], [targets[0]["labels"]]
    )
    regression = peer.roi_heads.box_coder.encode([targets[0]["boxes"][matches[0]]], [proposals])
    classes, box = torchvision.models.detection.roi_heads.fastrcnn_loss(
        ours["logits"][0, there], ours["deltas"][0, there].flatten(1), labels, regression
    )
    assert (labels[0] > 0).sum() >= len(SOME)
    torch.testing.assert_close(losses["class"], classes, rtol=1e-4, atol=0)
    torch.testing.assert_close(losses["box"], box, rtol=1e-4, atol=0)


def test_the_loss_of_a_batch_is_the_mean_of_those_of_its_pictures(outputs: dict[str, Any]) -> None:
    nothing = Objects.of(torch.empty(0, 4), torch.empty(0, dtype=torch.int64))
    parts = [some_objects(), nothing]
    whole = FasterRCNNRules().loss(outputs["ours"], Objects.join(parts))
    alone = [
        FasterRCNNRules().loss({name: v[i : i + 1] for name, v in outputs["ours"].items()}, part)
        for i, part in enumerate(parts)
    ]
    for name, value in whole.items():
        torch.testing.assert_close(value, (alone[0][name] + alone[1][name]) / 2)


def test_in_training_the_objects_themselves_are_among_the_regions(outputs: dict[str, Any]) -> None:
    ours = sampled(outputs)
    regions = ours["proposals"][0, ours["proposals_seen"][0]].tolist()
    assert all(box in regions for box in SOME)
    assert ours["proposals"].shape == (1, 512, 4)
    assert int(ours["anchors_seen"].sum()) == 256


@pytest.mark.parametrize(
    ("older", "newer", "ours"),
    [
        ("backbone.fpn.inner_blocks.2.bias", "backbone.fpn.inner_blocks.2.0.bias", "neck.laterals.2.bias"),
        ("backbone.fpn.layer_blocks.0.bias", "backbone.fpn.layer_blocks.0.0.bias", "neck.outputs.0.bias"),
        ("rpn.head.conv.weight", "rpn.head.conv.0.0.weight", "proposals.conv.weight"),
    ],
)
def test_names_of_before_torchvision_put_layers_into_sequences_are_known(
    older: str, newer: str, ours: str
) -> None:
    assert rename(older, KEY_MAP) == rename(newer, KEY_MAP) == ours


def test_frozen_batch_norm_loads_the_same_file_and_computes_the_same(
    peer: nn.Module, outputs: dict[str, Any]
) -> None:
    with torch.device("meta"):
        frozen, _ = faster_rcnn(K, frozen_batch_norm=True)
    theirs = {n: t for n, t in peer.state_dict().items() if not n.endswith("num_batches_tracked")}
    frozen.load_state_dict(convert(frozen, theirs, KEY_MAP), assign=True)
    padded = nn.functional.pad(pictures(), (0, -WIDTH % 32, 0, -HEIGHT % 32))
    with torch.no_grad():
        maps = frozen.train().feature_maps(padded)  # training changes nothing
    for ours, expected in zip(maps, outputs["maps"], strict=True):
        close(ours, expected)


def test_a_region_is_cut_out_of_the_map_that_fits_its_size() -> None:
    strides = (4, 8, 16, 32)
    maps = [torch.full((1, 1, 512 // s, 512 // s), float(s)) for s in strides]
    sides = torch.tensor([1.0, 50.0, 111.0, 112.0, 223.0, 224.0, 447.0, 448.0, 512.0])
    boxes = torch.stack([torch.zeros_like(sides), torch.zeros_like(sides), sides, sides], dim=1)
    crops = cut_out(maps, strides, boxes, torch.zeros(len(boxes), dtype=torch.int64), True)
    assert crops[:, 0, 3, 3].round().tolist() == [4, 4, 4, 8, 8, 16, 16, 32, 32]
    assert cut_out(maps, strides, boxes[:0], torch.zeros(0, dtype=torch.int64), True).shape == (0, 1, 7, 7)


def test_on_a_vgg_it_looks_at_one_map_with_the_dense_layers_of_vgg() -> None:
    backbone = create_model("vgg16", 2, width=1 / 16)
    first = backbone.head[0].weight
    model, rules = faster_rcnn(2, backbone=backbone)
    assert model.head.shared[0].weight is first
    images, objects = draw_squares(count=2, size=128)
    outputs = model.eval()(images)
    assert outputs["anchors"].shape == (2, 8 * 8 * 9, 4)
    assert outputs["proposals"].shape == (2, 300, 4)
    assert outputs["logits"].shape == (2, 300, 3)
    loss = rules.loss(model.train()(images, objects), objects)["loss"]
    loss.backward()
    assert [name for name, p in model.named_parameters() if p.grad is None] == []


def light() -> tuple[nn.Module, FasterRCNNRules]:
    torch.manual_seed(0)
    return faster_rcnn_light(2, arguments={"width": 0.25}, pyramid_channels=32, units=64)


def test_samples_repeat_with_torchs_generator_and_differ_without() -> None:
    model, _ = light()
    images, objects = draw_squares()
    runs = []
    for seed in (3, 3, 4):
        torch.manual_seed(seed)
        runs.append(model.train()(images, objects))
    first, again, other = runs
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not torch.equal(first["anchors_seen"], other["anchors_seen"])
    assert not torch.equal(first["proposals"], other["proposals"])
    assert first["proposals_seen"].sum(dim=1).tolist() == [64] * len(images)


def test_what_is_sampled_of_a_picture_follows_from_its_seed_whatever_is_beside_it() -> None:
    model, _ = light()
    model.train().backbone.eval()  # batch normalization of each picture by itself
    images, objects = draw_squares()
    seeds = picture_seeds(0, 1, torch.arange(len(images)))
    whole = model(images, objects, seeds)
    groups = [(part.tensor_split(3)) for part in (images, objects, seeds)]
    parts = [model(*group) for group in zip(*groups, strict=True)]
    for name in ("anchors_seen", "proposals", "proposals_seen"):
        assert torch.equal(torch.cat([part[name] for part in parts]), whole[name]), name
    other = model(images, objects, picture_seeds(0, 2, torch.arange(len(images))))
    assert not torch.equal(whole["anchors_seen"], other["anchors_seen"])
    assert len(set(map(tuple, whole["anchors_seen"].tolist()))) == len(images)


@pytest.mark.parametrize(
    "objects",
    [
        Objects.of(torch.empty(0, 4), torch.empty(0, dtype=torch.int64), torch.tensor([0, 0])),
        Objects.of(
            torch.tensor([[5.0, 5.0, 5.0, 9.0], [30.0, 8.0, 20.0, 2.0]]),
            torch.tensor([0, 1]),
            torch.tensor([2, 0]),
        ),
    ],
    ids=["no objects", "objects without area"],
)
def test_pictures_without_objects_to_find_give_finite_gradients(objects: Objects) -> None:
    model, rules = light()
    terms = rules.loss(model.train()(draw_squares(count=2)[0], objects), objects)
    assert terms["box"] == terms["proposal_box"] == 0
    terms["loss"].backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters())


def test_what_lies_in_a_crowd_is_neither_object_nor_background() -> None:
    model, rules = light()
    images, _ = draw_squares(count=1)
    everywhere = Objects(
        torch.tensor([[0.0, 0.0, 96.0, 96.0]]),
        torch.tensor([1]),
        torch.tensor([1]),
        crowd=torch.tensor([True]),
        difficult=torch.tensor([False]),
    )
    outputs = model.eval()(images)
    terms = rules.loss(outputs, everywhere)
    assert terms["class"] == terms["box"] == terms["proposal_box"] == 0
    seen = model.train()(images, everywhere)["proposals_seen"]
    assert not seen.any()


def test_in_bfloat16_and_channels_last_it_trains_and_decodes() -> None:
    model, rules = light()
    images, objects = draw_squares(count=4)
    model = model.to(memory_format=torch.channels_last)
    with torch.autocast("cpu", torch.bfloat16):
        outputs = model.train()(images.contiguous(memory_format=torch.channels_last), objects)
    loss = rules.loss(outputs, objects)["loss"]
    loss.backward()
    assert loss.dtype == torch.float32
    assert outputs["proposals"].dtype == torch.float32
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters())
    assert len(rules.decode(outputs, Choice())) == len(images)


def test_the_light_one_learns_squares() -> None:
    model, rules = light()
    assert map_50_after(model, rules, steps=80, lr=3e-3) >= 0.95
