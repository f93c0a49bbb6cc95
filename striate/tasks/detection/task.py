"""Detection as a task: what is common to all detectors.

Outputs: each detector's own; its rules say what they mean. Targets: ``Objects``. Predictions: ``Detections``.
"""

from collections.abc import Sequence
from copy import copy
from dataclasses import replace
from typing import Any, Self

import torch
from PIL import Image
from torch import Tensor

from striate.errors import InputError
from striate.metrics.average_precision import AveragePrecision
from striate.metrics.hierarchy import HierarchicalAveragePrecision
from striate.ops.frames import boxes_in_picture, cut_objects, objects_in_input
from striate.samples import Detections, Frame, Objects
from striate.tasks.detection.rules import Choice, DetectionRules
from striate.tasks.drawing import draw_boxes
from striate.tasks.task import Outputs, Task
from striate.tasks.wordtree import WordTree


class DetectionTask(Task):
    """Any number of boxes per picture, each with a class.

    Args:
        classes: the K class names.
        rules: of the detector.
        size: H, W of the network input, in pixels.
        choice: which boxes count as found.
        tree: of the classes, where they are its nodes.
    """

    name = "detection"
    monitor = "map"
    may_find_nothing = True

    def __init__(
        self,
        classes: Sequence[str],
        rules: DetectionRules,
        size: tuple[int, int],
        choice: Choice,
        tree: WordTree | None = None,
    ) -> None:
        self.classes = tuple(classes)
        self.rules = rules
        self.size = size
        self.choice = choice
        self.tree = tree

    def examples(self, count: int) -> Objects:
        """One object in the middle of each picture."""
        height, width = self.size
        box_xyxy = torch.tensor([width / 4, height / 4, width * 3 / 4, height * 3 / 4])
        return Objects.of(box_xyxy.repeat(count, 1), torch.zeros(count).long(), torch.ones(count).long())

    def in_input(self, targets: Objects, frames: Sequence[Frame]) -> Objects:
        """The objects where they lie in the network input, cut at its edge; those hardly in it are crowds."""
        height, width = self.size
        return cut_objects(objects_in_input(targets, frames), torch.tensor([[0, 0, width, height]]))

    def inputs(self, images: Tensor, targets: Objects, seeds: Tensor | None = None) -> tuple[Any, ...]:
        """As the detector's rules say."""
        return self.rules.inputs(images, targets, seeds)

    def loss(self, outputs: Outputs, targets: Objects) -> dict[str, Tensor]:
        """As the detector's rules say; ``targets`` in pixels of the network input."""
        return self.rules.loss(outputs, targets)

    def scores(self, outputs: Outputs, targets: Objects) -> dict[str, Tensor]:
        """Nothing: to decode and match the boxes of every batch would take too long."""
        return {}

    def decode(self, outputs: Outputs, frames: Sequence[Frame]) -> list[Detections]:
        """One ``Detections`` per picture, in its own pixels, cut at its edge."""
        found = self.rules.decode(outputs, self.choice)
        return [
            Detections(boxes_in_picture(d.boxes_xyxy, frame).cpu(), d.scores.cpu(), d.labels.cpu())
            for d, frame in zip(found, frames, strict=True)
        ]

    def metrics(self) -> AveragePrecision | HierarchicalAveragePrecision:
        """Average precision as COCO and as PASCAL VOC define it; of a tree for all of its nodes."""
        if self.tree:
            return HierarchicalAveragePrecision(self.classes, self.tree.paths)
        return AveragePrecision(self.classes)

    def keeping(self, most: int) -> Self:
        """The same, which keeps at least so many boxes of a picture."""
        other = copy(self)
        other.choice = replace(self.choice, most=max(self.choice.most, most))
        return other

    def mirror(self, outputs: Outputs, mirrored: Outputs) -> Outputs:
        """Raises InputError: the boxes of a picture and its mirror image are not joined."""
        raise InputError("mirror images are not joined in detection", "evaluate.mirror", "leave it out")

    def draw(self, image: Tensor, prediction: Detections, target: Objects | None = None) -> Image.Image:
        """The picture with the boxes that were found, and the true ones where they are known."""
        return draw_boxes(image, prediction, self.classes, target)
