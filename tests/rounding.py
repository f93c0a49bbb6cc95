"""How far the same numbers may lie apart when processors add and multiply in different orders and formats.

A test that compares two ways of computing takes its tolerance from here, or says how it follows from the
arithmetic; not from what one processor gave.
"""

import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor, nn

from striate.ops.boxes import box_iou
from striate.samples import Detections

BF16 = 2.0**-8
"""The largest relative error of rounding to bfloat16, whose significand has 8 bits."""


def bf16_tolerance(size: float, layers: int) -> float:
    """How far bf16 may be from fp32 after several layers in a row that keep signals about as large.

    A layer rounds its input, its weights and its output. Each error is at most 2^-8 of its number, and 2^-8 /
    sqrt(3) in root mean square; they are independent, in a sum of products as from layer to layer, and so
    grow with the square root of how many there are: 2^-8 * sqrt(layers) in root mean square, with all three.
    Four times that is exceeded by one number in 16,000.

    Args:
        size: of the numbers that are compared, in root mean square.
        layers: how many convolutions and dense layers the longest path has.
    """
    return 4 * BF16 * layers**0.5 * size


def root_mean_square(numbers: Tensor) -> float:
    return float(numbers.detach().double().square().mean().sqrt())


def weighted_layers(network: nn.Module) -> int:
    """How many convolutions and dense layers a network has: at least as many as its longest path."""
    kinds = (nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.ConvTranspose2d, nn.Linear)
    return sum(isinstance(layer, kinds) for layer in network.modules())


def assert_same_detections(
    found: Detections, expected: Detections, pixels: float = 1e-3, score: float = 1e-4
) -> None:
    """The same boxes, labels and scores, each with its one partner; those of nearly the same score come in
    any order, since rounding decides it.

    Args:
        found, expected: of one picture, each with the surest first.
        pixels: how far sides of a box may lie apart.
        score: how far scores may lie apart, as a part of them.
    """
    assert len(found) == len(expected)
    for scores in (found.scores, expected.scores):
        assert (scores[:-1] >= scores[1:]).all()
    # The k-th largest of many numbers moves by no more than the numbers do: order among ties is no matter.
    torch.testing.assert_close(found.scores, expected.scores, rtol=score, atol=1e-6)
    assert torch.equal(found.labels.sort().values, expected.labels.sort().values)
    for label in found.labels.unique():
        ours, theirs = (one.labels == label for one in (found, expected))
        surer, other = found.scores[ours][:, None], expected.scores[theirs]
        assert_same_boxes(
            found.boxes_xyxy[ours],
            expected.boxes_xyxy[theirs],
            pixels,
            (surer - other).abs() <= 1e-6 + score * other,
        )


def assert_same_boxes(
    found_xyxy: Tensor, expected_xyxy: Tensor, pixels: float = 1e-3, allowed: Tensor | None = None
) -> None:
    """Each box (N, 4) has its one partner, with sides no farther apart than ``pixels``, in any order;
    ``allowed`` bool (N, N): among these pairs."""
    assert len(found_xyxy) == len(expected_xyxy)
    partners = torch.cdist(found_xyxy, expected_xyxy, p=torch.inf) <= pixels
    partners = partners if allowed is None else partners & allowed
    rows, columns = linear_sum_assignment(~partners.numpy())
    assert partners[rows, columns].all(), f"{int((~partners[rows, columns]).sum())} boxes have no partner"


def share_found(found: Detections, expected: Detections, iou: float = 0.99) -> float:
    """The share of the expected boxes that lie, with their class, nearly where a found one does."""
    same = (box_iou(expected.boxes_xyxy, found.boxes_xyxy) > iou) & (expected.labels[:, None] == found.labels)
    return float(same.any(dim=1).double().mean())
