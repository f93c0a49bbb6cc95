"""What the numbers of a YOLO network mean, and how wrong they are (Redmon and Farhadi; 2016, "YOLO9000",
arXiv:1612.08242, section 2; 2018, "YOLOv3", arXiv:1804.02767, section 2.1).

Each cell of a map has A anchors. For each it predicts a box whose centre lies in the cell, the certainty
that there is an object, and its class:

    b_x = (sigmoid(t_x) + column) * stride      b_w = anchor width  * exp(t_w)
    b_y = (sigmoid(t_y) + row) * stride         b_h = anchor height * exp(t_h)
    score of class k = sigmoid(t_objectness) * probability of k

An object is learned by the anchor that has its shape best, at whatever stride that is, in the cell of its
centre; with ``match`` also by all that have it well enough. Everything else is taught to be background,
except predictions that lie over an object anyway, and those in a crowd.

Where two objects fall to the same prediction, the one whose shape fits the anchor better has it, and of two
equal ones the later.

Shapes: N pictures, T objects, M matches of object and prediction, P predictions of a picture, K class
logits, A anchors per cell.
"""

from dataclasses import dataclass
from typing import Literal, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from striate.ops.boxes import box_area, clip_boxes, cxcywh_to_xyxy, paired_iou, xyxy_to_cxcywh
from striate.samples import Detections, Objects
from striate.tasks.detection.anchors import shape_iou
from striate.tasks.detection.rules import Choice, DetectionRules
from striate.tasks.detection.surest import surest
from striate.tasks.task import Outputs

BOX = 5  # numbers of a box: t_x, t_y, t_w, t_h, t_objectness
MAX_LOG_FACTOR = 10.0  # keeps exp finite; no box is 22,000 times as wide as an anchor
CANDIDATES = 1000  # of each picture, the surest, that suppression looks at


class ClassTerm(Protocol):
    """How class logits are learned and read."""

    def losses(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Float (M, K) logits and int64 (M,) labels -> float (M,), in nats."""

    def scores(self, logits: Tensor) -> Tensor:
        """Float (M, K) logits -> float (M, K) in 0..1; 0 for classes that are not to be reported."""


class SoftmaxClasses:
    """One class excludes the others (YOLOv2)."""

    def losses(self, logits: Tensor, labels: Tensor) -> Tensor:
        return F.cross_entropy(logits, labels, reduction="none")

    def scores(self, logits: Tensor) -> Tensor:
        return logits.softmax(1)


class SigmoidClasses:
    """Each class is a question of its own (YOLOv3): labels may overlap."""

    def losses(self, logits: Tensor, labels: Tensor) -> Tensor:
        truth = F.one_hot(labels, logits.shape[1]).to(logits.dtype)
        return F.binary_cross_entropy_with_logits(logits, truth, reduction="none").sum(1)

    def scores(self, logits: Tensor) -> Tensor:
        return logits.sigmoid()


@dataclass(frozen=True)
class Grid:
    """Where the P predictions of a picture sit: by stride, row, column and anchor.

    Attributes:
        cells: float (P, 2), column and row of the cell.
        strides: float (P, 1), pixels.
        anchors: float (P, 2), width and height in pixels.
        shapes: (rows, columns) of each map.
    """

    cells: Tensor
    strides: Tensor
    anchors: Tensor
    shapes: list[tuple[int, int]]


@dataclass(frozen=True)
class Predictions:
    """All maps of N pictures, float32.

    Attributes:
        offsets: (N, P, 4), t_x, t_y, t_w, t_h.
        objectness: (N, P) logits.
        classes: (N, P, K) logits.
        grid: where they sit.
    """

    offsets: Tensor
    objectness: Tensor
    classes: Tensor
    grid: Grid


@dataclass(frozen=True)
class Matches:
    """Who learns what: int64 (M,) each, positions of the object, of its picture, and of the prediction."""

    objects: Tensor
    pictures: Tensor
    predictions: Tensor


class YoloRules(DetectionRules):
    """Loss and decoding of every variant.

    Args:
        num_classes: K.
        anchors: float (S * A, 2), width and height in pixels by ascending area, shared out evenly among the
            S strides: the smallest belong to the finest map.
        strides: of the maps, ascending.
        classes: how class logits are learned and read.
        shared_classes: the anchors of a cell share one set of class logits.
        box_loss: "squared", errors of sigmoid(t_x), sigmoid(t_y), t_w and t_h as in the papers, or "ciou",
            1 - CIoU (Zheng et al. 2020, arXiv:2005.03572).
        match: besides the best anchor, all with a shape IoU above this learn the object.
        ignore: a prediction whose IoU with an object is above this, or that lies in a crowd with more than
            this share of its area, is not taught to be background.
        box_weight: of the box term in the sum; objectness and class count once.
    """

    def __init__(
        self,
        num_classes: int,
        anchors: Tensor,
        strides: tuple[int, ...],
        classes: ClassTerm,
        *,
        shared_classes: bool = False,
        box_loss: Literal["squared", "ciou"] = "squared",
        match: float = 1.0,
        ignore: float = 0.5,
        box_weight: float = 1.0,
    ) -> None:
        self.num_classes = num_classes
        self.anchors = anchors.float()
        self.strides = strides
        self.classes = classes
        self.shared_classes = shared_classes
        self.box_loss = box_loss
        self.match = match
        self.ignore = ignore
        self.box_weight = box_weight

    @property
    def anchors_per_cell(self) -> int:
        """A."""
        return len(self.anchors) // len(self.strides)

    @property
    def numbers_per_cell(self) -> int:
        """Channels of each map: A * 5 + K with shared classes, A * (5 + K) without."""
        shares = 1 if self.shared_classes else self.anchors_per_cell
        return self.anchors_per_cell * BOX + shares * self.num_classes

    def read(self, outputs: Outputs) -> Predictions:
        """The maps {"stride8": (N, numbers per cell, H/8, W/8), ...} as predictions.

        The channels of a cell are the A boxes of 5 numbers, then the class logits, of each anchor in turn
        or once for all.
        """
        boxes, classes = [], []
        for stride in self.strides:
            cells = outputs[f"stride{stride}"].permute(0, 2, 3, 1).flatten(1, 2).float()  # (N, cells, C)
            boxes.append(cells[..., : self.anchors_per_cell * BOX].unflatten(2, (-1, BOX)).flatten(1, 2))
            logits = cells[..., self.anchors_per_cell * BOX :].unflatten(2, (-1, self.num_classes))
            classes.append(logits.expand(-1, -1, self.anchors_per_cell, -1).flatten(1, 2))
        numbers = torch.cat(boxes, 1)  # (N, P, 5)
        shapes = [(m.shape[2], m.shape[3]) for m in (outputs[f"stride{s}"] for s in self.strides)]
        grid = self.grid(shapes, numbers.device)
        return Predictions(numbers[..., :4], numbers[..., 4], torch.cat(classes, 1), grid)

    def grid(self, shapes: list[tuple[int, int]], device: torch.device) -> Grid:
        """Where predictions sit whose maps have these (rows, columns)."""
        cells, strides, anchors = [], [], []
        for stride, (rows, columns), own in zip(
            self.strides, shapes, self.anchors.to(device).chunk(len(self.strides)), strict=True
        ):
            y, x = torch.meshgrid(
                torch.arange(rows, device=device), torch.arange(columns, device=device), indexing="ij"
            )
            centres = torch.stack([x, y], 2).reshape(-1, 1, 2).float()
            cells.append(centres.expand(-1, len(own), 2).flatten(0, 1))
            anchors.append(own.expand(rows * columns, -1, 2).flatten(0, 1))
            strides.append(torch.full((len(cells[-1]), 1), float(stride), device=device))
        return Grid(torch.cat(cells), torch.cat(strides), torch.cat(anchors), shapes)

    def loss(self, outputs: Outputs, objects: Objects) -> dict[str, Tensor]:
        """{"loss", "box", "objectness", "class"}, each (); "loss" is their weighted sum.

        Each picture's errors are summed and divided by the number of its matches, at least 1; the mean over
        pictures follows.
        """
        predictions = self.read(outputs)
        matches = self.matches(objects, predictions.grid)
        counts = torch.zeros(len(objects), device=matches.pictures.device)
        counts.index_add_(0, matches.pictures, torch.ones_like(matches.pictures, dtype=counts.dtype))
        shares = 1 / (counts.clamp_min(1) * len(objects))  # of a match, or of a background, in the mean
        learned = matches.pictures, matches.predictions
        truth = torch.zeros_like(predictions.objectness)
        truth[learned] = 1
        counted = ~self.covering(predictions, objects)
        counted[learned] = True
        errors = F.binary_cross_entropy_with_logits(predictions.objectness, truth, reduction="none")
        class_errors = self.classes.losses(predictions.classes[learned], objects.labels[matches.objects])
        terms = {
            "box": (self.box_errors(predictions, matches, objects) * shares[matches.pictures]).sum(),
            "objectness": ((errors * counted).sum(1) * shares).sum(),
            "class": (class_errors * shares[matches.pictures]).sum(),
        }
        total = self.box_weight * terms["box"] + terms["objectness"] + terms["class"]
        return {"loss": total} | terms

    def matches(self, objects: Objects, grid: Grid) -> Matches:
        """Which prediction learns which object; crowds and boxes without area are not learned."""
        anchors, per_cell = self.anchors.to(grid.cells.device), self.anchors_per_cell
        boxes = xyxy_to_cxcywh(objects.boxes_xyxy)
        fit = shape_iou(boxes[:, 2:], anchors)  # (T, S * A)
        chosen = (fit > self.match) | F.one_hot(fit.argmax(1), len(anchors)).bool()
        chosen &= ((boxes[:, 2:] > 0).all(1) & ~objects.crowd)[:, None]
        places, before = [], 0
        for stride, (rows, columns) in zip(self.strides, grid.shapes, strict=True):
            column = (boxes[:, 0] / stride).long().clamp(0, columns - 1)
            row = (boxes[:, 1] / stride).long().clamp(0, rows - 1)
            first = before + (row * columns + column) * per_cell
            places.append(first[:, None] + torch.arange(per_cell, device=first.device))
            before += rows * columns * per_cell
        found, anchor = chosen.nonzero(as_tuple=True)  # (M,) by ascending object
        pictures, predictions = objects.pictures[found], torch.cat(places, 1)[found, anchor]
        slots = pictures * before + predictions
        rank = fit[found, anchor].argsort(stable=True).argsort()  # unique, so that one wins on any device
        best = torch.full((len(objects) * before,), -1, device=slots.device)
        best.scatter_reduce_(0, slots, rank, "amax")
        wins = best[slots] == rank
        return Matches(found[wins], pictures[wins], predictions[wins])

    @torch.no_grad()
    def covering(self, predictions: Predictions, objects: Objects) -> Tensor:
        """Bool (N, P): which predictions lie over some object or in a crowd, and are no mistake."""
        boxes = decode_boxes(predictions.offsets, predictions.grid)[objects.pictures]  # (T, P, 4)
        true = objects.boxes_xyxy[:, None]
        common = torch.cat(
            [torch.maximum(boxes[..., :2], true[..., :2]), torch.minimum(boxes[..., 2:], true[..., 2:])], -1
        )
        shared = box_area(common)
        rest = box_area(true) - shared
        whole = box_area(boxes) + torch.where(objects.crowd[:, None], 0, rest)
        over = torch.zeros_like(predictions.objectness)
        over.index_add_(0, objects.pictures, (shared > self.ignore * whole).float())
        return over > 0

    def box_errors(self, predictions: Predictions, matches: Matches, objects: Objects) -> Tensor:
        """Float (M,): how far each matched box is from its object."""
        grid, rows = predictions.grid, matches.predictions
        offsets = predictions.offsets[matches.pictures, rows]
        own = Grid(grid.cells[rows], grid.strides[rows], grid.anchors[rows], grid.shapes)
        true = objects.boxes_xyxy[matches.objects]
        if self.box_loss == "ciou":
            return 1 - paired_iou(decode_boxes(offsets, own), true, "ciou")
        boxes = xyxy_to_cxcywh(true)
        places = (boxes[:, :2] / own.strides - own.cells).clamp(0, 1)
        factors = (boxes[:, 2:] / own.anchors).log()
        errors = torch.cat([offsets[:, :2].sigmoid() - places, offsets[:, 2:] - factors], 1)
        return errors.square().sum(1)

    def decode(self, outputs: Outputs, choice: Choice) -> list[Detections]:
        """Every class of every box whose score is high enough, after suppression within each class."""
        predictions = self.read(outputs)
        height, width = (size * self.strides[0] for size in predictions.grid.shapes[0])
        boxes = clip_boxes(decode_boxes(predictions.offsets, predictions.grid), height, width)
        sure = predictions.objectness.sigmoid()
        found = []
        for own_boxes, own_sure, own_classes in zip(boxes, sure, predictions.classes, strict=True):
            rows = (own_sure > choice.score).nonzero()[:, 0]  # no class can be surer than that
            scores = own_sure[rows, None] * self.classes.scores(own_classes[rows])
            box, label = (scores > choice.score).nonzero(as_tuple=True)
            ordered, order = scores[box, label].sort(descending=True, stable=True)
            order = order[:CANDIDATES]
            found.append(surest(own_boxes[rows[box[order]]], ordered[:CANDIDATES], label[order], choice))
        return found


def decode_boxes(offsets: Tensor, grid: Grid) -> Tensor:
    """Offsets t_x, t_y, t_w, t_h float (..., P, 4) -> corners in pixels of the input (..., P, 4)."""
    centres = (offsets[..., :2].sigmoid() + grid.cells) * grid.strides
    sizes = offsets[..., 2:].clamp_max(MAX_LOG_FACTOR).exp() * grid.anchors
    return cxcywh_to_xyxy(torch.cat([centres, sizes], -1))
