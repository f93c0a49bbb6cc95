"""Every public function of ``ops`` refuses what it cannot mean, and names the argument."""

import ast
import importlib
import math
from pathlib import Path

import pytest
import torch

from striate.errors import RunError
from striate.ops import boxes as B
from striate.ops.capsule_losses import margin_losses, reconstruction_errors
from striate.ops.crop_and_resize import crop_and_resize
from striate.ops.focal_loss import focal_losses
from striate.ops.frames import boxes_in_picture, cut_objects, objects_in_input, part_of
from striate.ops.masks import (
    compress_runs,
    decompress_runs,
    fill_polygons,
    mask_to_polygons,
    mask_to_runs,
    masks_to_boxes,
    runs_to_mask,
)
from striate.ops.nms import nms, nms_per_class, soft_nms
from striate.ops.roi_align import roi_align
from striate.ops.root_boxes import decode_boxes, encode_boxes
from striate.samples import Frame, Objects

NAN, INF = math.nan, math.inf
BOXES = torch.tensor([[0.0, 0.0, 4.0, 4.0], [1.0, 1.0, 3.0, 2.0], [2.0, 2.0, 3.0, 3.0]])
SCORES = torch.tensor([0.9, 0.8, 0.7])
LABELS = torch.tensor([0, 1, 0])
PICTURES = torch.tensor([0, 1, 1])
MAPS = torch.ones(2, 3, 5, 5)
MASK = torch.tensor([[True, False], [True, True]])
OBJECTS = Objects.of(BOXES, LABELS, torch.tensor([1, 2]))
FRAMES = [Frame(5, 5), Frame(5, 5)]

FIVE, FLAT = torch.ones(3, 5), torch.ones(4)  # five columns, and a box that is not in a list of boxes
NO_BOXES = (FIVE, torch.ones(3), [[0, 0, 1, 1]], torch.ones(3, 4, dtype=torch.complex64), BOXES > 1)
NO_LIST = (*NO_BOXES, FLAT, BOXES[None])
NO_SHARE = (-0.1, 1.1, NAN, INF, "0.5", None)
NO_SIZE = ((0, 3), (3, -1), (2.5, 2), (3,), 3, (3, 3, 3), None)
NO_IDS = (PICTURES.float(), PICTURES[:1], PICTURES[None], PICTURES + 1, PICTURES - 1, [0, 1, 1])
NO_LENGTH = (0, -3, 2.5, None)

# A function, arguments that it takes, and for each of them what it does not take.
CASES = [
    (B.xyxy_to_cxcywh, {"boxes_xyxy": BOXES}, {"boxes_xyxy": NO_BOXES}),
    (B.cxcywh_to_xyxy, {"boxes_cxcywh": BOXES}, {"boxes_cxcywh": NO_BOXES}),
    (B.xyxy_to_xywh, {"boxes_xyxy": BOXES}, {"boxes_xyxy": NO_BOXES}),
    (B.xywh_to_xyxy, {"boxes_xywh": BOXES}, {"boxes_xywh": NO_BOXES}),
    (B.box_area, {"boxes_xyxy": BOXES}, {"boxes_xyxy": NO_BOXES}),
    *[
        (
            overlap,
            {"boxes_xyxy": BOXES, "others_xyxy": BOXES},
            {"boxes_xyxy": NO_LIST, "others_xyxy": NO_LIST},
        )
        for overlap in (B.box_iou, B.box_iou_crowd)
    ],
    (
        B.broadcast_iou,
        {"boxes_xyxy": BOXES, "others_xyxy": BOXES},
        {"boxes_xyxy": (*NO_BOXES, BOXES[:2]), "others_xyxy": (*NO_BOXES, BOXES[:2])},
    ),
    (
        B.paired_iou,
        {"boxes_xyxy": BOXES, "others_xyxy": BOXES, "kind": "ciou"},
        {
            "boxes_xyxy": (*NO_BOXES, BOXES[:2]),
            "others_xyxy": (*NO_BOXES, BOXES[:2]),
            "kind": ("GIoU", "", None, 1),
        },
    ),
    (
        B.clip_boxes,
        {"boxes_xyxy": BOXES, "height": 3, "width": 3.5},
        {"boxes_xyxy": NO_BOXES, "height": (-1, NAN, INF, None), "width": (-1, NAN, INF, "3")},
    ),
    (
        B.encode_deltas,
        {"boxes_xyxy": BOXES, "anchors_xyxy": BOXES, "weights": (1, 1, 2, 2)},
        {
            "boxes_xyxy": (*NO_BOXES, BOXES[:2]),
            "anchors_xyxy": (*NO_BOXES, BOXES[:2]),
            "weights": ((1, 1, 1), (1, 1, 1, 0), (1, 1, NAN, 1)),
        },
    ),
    (
        B.decode_deltas,
        {"deltas": BOXES, "anchors_xyxy": BOXES, "weights": (1, 1, 2, 2), "max_log_scale": 4.0},
        {
            "deltas": (*NO_BOXES, BOXES[:2]),
            "anchors_xyxy": (*NO_BOXES, BOXES[:2]),
            "weights": ((1, 1, 1), (1, 1, 1, -1), (1, 1, INF, 1)),
            "max_log_scale": (NAN, INF, "4"),
        },
    ),
    (
        encode_boxes,
        {"boxes_xyxy": BOXES, "height": 5, "width": 5},
        {"boxes_xyxy": NO_LIST, "height": (0, -1, NAN), "width": (0, INF, None)},
    ),
    (
        decode_boxes,
        {"boxes_norm": BOXES, "height": 5, "width": 5},
        {"boxes_norm": NO_LIST, "height": (0, -1, NAN), "width": (0, INF, None)},
    ),
    (
        nms,
        {"boxes_xyxy": BOXES, "scores": SCORES, "iou": 0.5},
        {
            "boxes_xyxy": (*NO_LIST, BOXES[:2], BOXES * NAN, BOXES * INF),
            "scores": (SCORES[:2], SCORES[None], torch.tensor([0.1, NAN, 0.2]), [0.9, 0.8, 0.7]),
            "iou": NO_SHARE,
        },
    ),
    (
        nms_per_class,
        {"boxes_xyxy": BOXES, "scores": SCORES, "labels": LABELS, "iou": 0.5},
        {
            "boxes_xyxy": (*NO_LIST, BOXES[:2], BOXES * NAN),
            "scores": (SCORES[:2], SCORES[:1], torch.tensor([0.1, NAN, 0.2])),
            "labels": (LABELS[:2], LABELS.float(), LABELS[:, None], [0, 1, 0]),
            "iou": NO_SHARE,
        },
    ),
    (
        soft_nms,
        {
            "boxes_xyxy": BOXES,
            "scores": SCORES,
            "iou": 0.3,
            "method": "linear",
            "sigma": 0.5,
            "least": 0.001,
        },
        {
            "boxes_xyxy": (*NO_LIST, BOXES[:2], BOXES * NAN),
            "scores": (SCORES[:2], torch.tensor([0.1, NAN, 0.2])),
            "iou": NO_SHARE,
            "method": ("typo", "Linear", None),
            "sigma": (0, -1, NAN),
            "least": (NAN, None),
        },
    ),
    (
        roi_align,
        {
            "features": MAPS,
            "boxes_xyxy": BOXES,
            "pictures": PICTURES,
            "size": (2, 3),
            "scale": 0.5,
            "sampling_ratio": 2,
        },
        {
            "features": (MAPS[0], MAPS.long(), MAPS[:, :, :0]),
            "boxes_xyxy": (*NO_LIST, BOXES[:2], BOXES * NAN, BOXES * INF),
            "pictures": NO_IDS,
            "size": NO_SIZE,
            "scale": (0, -1, NAN, INF),
            "sampling_ratio": (0, -1, 1.5, None),
        },
    ),
    (
        crop_and_resize,
        {"images": MAPS, "boxes_norm": BOXES, "indices": PICTURES, "size": (2, 3), "outside": 0.0},
        {
            "images": (MAPS[0], MAPS[:, :, :, :0], MAPS > 0),
            "boxes_norm": (*NO_LIST, BOXES[:2], BOXES * NAN, BOXES * INF),
            "indices": NO_IDS,
            "size": NO_SIZE,
            "outside": (NAN, "0"),
        },
    ),
    (
        objects_in_input,
        {"objects": OBJECTS, "frames": FRAMES},
        {"frames": (FRAMES[:1], [*FRAMES, FRAMES[0]], [])},
    ),
    (
        cut_objects,
        {"objects": OBJECTS, "windows_xyxy": BOXES[:2], "least": 0.3},
        {"windows_xyxy": (*NO_LIST, BOXES, BOXES[:0]), "least": NO_SHARE},
    ),
    (boxes_in_picture, {"boxes_xyxy": BOXES, "frame": FRAMES[0]}, {"boxes_xyxy": NO_BOXES}),
    (
        part_of,
        {"box_norm": (0.0, 0.0, 0.5, 1.0), "height": 5, "width": 5},
        {
            "box_norm": ((0, 0, 1), (0, 0, 1.5, 1), (0, 0, NAN, 1), (-0.1, 0, 1, 1), (0.5, 0, 0.2, 1)),
            "height": NO_LENGTH,
            "width": NO_LENGTH,
        },
    ),
    (
        margin_losses,
        {"lengths": torch.full((3, 2), 0.5), "targets": LABELS},
        {
            "lengths": (torch.ones(3), torch.ones(3, 2).long()),
            "targets": (LABELS[:2], LABELS + 1, LABELS - 1, torch.ones(3, 3), torch.ones(3), [0, 1, 0]),
        },
    ),
    (
        reconstruction_errors,
        {"reconstructions": torch.ones(3, 2, 4), "pictures": torch.ones(3, 4), "targets": LABELS},
        {
            "reconstructions": (torch.ones(3, 4), torch.ones(3, 2, 4).long()),
            "pictures": (torch.ones(3, 5), torch.ones(2, 4), torch.ones(1, 4)),
            "targets": (LABELS[:1], LABELS + 1, LABELS - 1, LABELS.float()),
        },
    ),
    (
        fill_polygons,
        {"polygons": [[0, 0, 2, 0, 2, 2]], "height": 2, "width": 2},
        {
            "polygons": ([[0, 0, 2]], [[0, 0, NAN, 2]], [[0, 0, 1e6, 2]], [[[0, 0], [2, 2]]]),
            "height": (-1, 1.5, None),
            "width": (-1, 1.5, None),
        },
    ),
    (mask_to_polygons, {"mask": MASK}, {"mask": (MASK[0], MASK[None], MASK.float(), [[True]])}),
    (
        focal_losses,
        {"logits": torch.zeros(2), "targets": torch.tensor([0.0, 1])},
        {
            "logits": (torch.zeros(2, dtype=torch.int64), [0.0, 1.0], torch.zeros(3)),
            "targets": (torch.tensor([0, 7]), torch.tensor([0.0, NAN]), torch.tensor([-1.0, 0]), [0, 1]),
            "alpha": (-0.1, 1.1, NAN, "0.25"),
            "gamma": (-1, NAN, None, "2"),
        },
    ),
    (mask_to_runs, {"mask": MASK}, {"mask": (MASK[0], MASK[None], MASK * 0.5, [[True]])}),
    (
        runs_to_mask,
        {"counts": (0, 2, 1, 1), "height": 2, "width": 2},
        {"counts": ((0, 2, 1), (5, -1), (1.5, 2.5), None, "0211"), "height": (-1, 2.0), "width": (-1, 2.0)},
    ),
    (compress_runs, {"counts": (0, 2, 1, 1)}, {"counts": ((3, -1), (1.5,), ("3",))}),
    (decompress_runs, {"text": "0211"}, {"text": (b"0211", None, 3)}),
    (
        masks_to_boxes,
        {"masks": MASK[None]},
        {"masks": (MASK, MASK[None, None], MASK[None].float(), torch.zeros(0))},
    ),
]


@pytest.mark.parametrize(
    ("function", "arguments", "wrong"), CASES, ids=lambda one: getattr(one, "__name__", "")
)
def test_a_wrong_argument_is_named(function, arguments, wrong) -> None:  # type: ignore[no-untyped-def]
    function(**arguments)
    for name, values in wrong.items():
        for value in values:
            with pytest.raises(ValueError, match=rf"\b{name}\b"):
                function(**{**arguments, name: value})


def test_no_public_function_was_forgotten() -> None:
    folder = Path(importlib.import_module("striate.ops.boxes").__file__ or "").parent
    every = {
        node.name
        for file in folder.glob("*.py")
        if file.stem not in ("padding", "arguments")  # which have tests of their own
        for node in ast.parse(file.read_text()).body
        if isinstance(node, ast.FunctionDef) and not node.name.startswith("_")
    }
    assert every - {function.__name__ for function, _, _ in CASES} == {"power_of_two_over"}


def test_words_that_would_do_are_told() -> None:
    with pytest.raises(ValueError, match="'linear', 'gaussian', not 'typo'"):
        soft_nms(BOXES, SCORES, method="typo")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="'iou', 'giou', 'diou', 'ciou', not 'GIoU'"):
        B.paired_iou(BOXES, BOXES, "GIoU")  # type: ignore[arg-type]


def test_numbers_that_a_network_got_wrong_are_also_a_failed_run() -> None:
    with pytest.raises(RunError, match="lower learning rate"):
        nms(BOXES * NAN, SCORES, 0.5)


def test_values_are_not_looked_at_where_there_are_none() -> None:
    with torch.device("meta"):
        boxes, pictures = torch.ones(3, 4), torch.zeros(3, dtype=torch.int64)
        assert roi_align(torch.ones(2, 3, 5, 5), boxes, pictures, (2, 2)).shape == (3, 3, 2, 2)
