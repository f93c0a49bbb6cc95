"""Metrics of predictions in a tree of classes, where a label may be at any level and so may a prediction.

A label says what is true down to its level and nothing below it: to a picture of a "dog" both "dog" and
"poodle" are right answers, and "animal" is a right one that stops too early.

Shapes: N pictures of a batch, V nodes, D depth of the deepest node plus 1. ``paths`` are int64 (V, D): the
nodes from the root down to each one, then V.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from striate.metrics.average_precision import AveragePrecision
from striate.metrics.classification import SMALLEST_PROB, ClassificationMetric
from striate.metrics.inputs import check_probabilities, checked_ids, stacked
from striate.metrics.metric import Metric
from striate.samples import Detections, Objects, TreeClassification


class HierarchicalAccuracy(Metric):
    """How often a classifier is right, over all and at each level of the tree.

    Attributes:
        nodes: judges each prediction at the level of its label: what goes deeper is cut there.
    """

    def __init__(self, paths: Tensor) -> None:
        self.paths = paths
        self.depths = (paths < len(paths)).sum(1) - 1
        self.nodes = ClassificationMetric(len(paths), top_k=())
        self.reset()

    def reset(self) -> None:
        """Forget everything taken in."""
        self.nodes.reset()
        self._log_loss = 0.0
        self._right, self._answered, self._labelled = torch.zeros(3, self.paths.shape[1], dtype=torch.int64)

    def update(self, predictions: Sequence[TreeClassification], targets: Tensor) -> None:
        """Take in one batch: predictions and their int64 (N,) node ids.

        Raises:
            ValueError: another number of pictures or nodes, a node id that is no whole number or outside
                0..V-1, or a probability that is not a number in 0..1.
        """
        if len(predictions) != len(targets):
            raise ValueError(
                f"expected as many predictions as targets, got {len(predictions)}, {len(targets)}"
            )
        if not predictions:
            return
        targets = checked_ids(targets, len(self.paths)).cpu()
        probs = stacked([prediction.probs for prediction in predictions], (len(self.paths),), "probs").cpu()
        check_probabilities(probs, sum_to_one=False)
        found = checked_ids(torch.tensor([prediction.label for prediction in predictions]), len(self.paths))
        level = self.depths[found].minimum(self.depths[targets])
        judged = self.paths[found, level][:, None]
        self.nodes.update_parts(torch.zeros_like(probs).scatter_(1, judged, probs.gather(1, judged)), targets)
        of_labels = probs.gather(1, targets[:, None]).double()
        self._log_loss -= float(of_labels.clamp_min(SMALLEST_PROB).log().sum())
        self._count_levels(self.paths[found], self.paths[targets])

    def _count_levels(self, found: Tensor, true: Tensor) -> None:
        none = len(self.paths)
        self._labelled += (true < none).sum(0)
        self._answered += ((true < none) & (found < none)).sum(0)
        self._right += ((true < none) & (true == found)).sum(0)

    def compute(self) -> dict[str, float]:
        """The results over everything since the last reset, shares in 0..1.

        Returns:
            What ``ClassificationMetric`` says of predictions at the levels of their labels: one that stops
            above its label is wrong. And for each level d, the root's being 0, over the pictures whose label
            is that deep or deeper:

            - accuracy_level<d>: label and prediction have the same ancestor there, or are it;
            - answered_level<d>: the prediction reaches that level, right or not.

        Raises:
            ValueError: no samples were taken in.
        """
        results = self.nodes.compute()
        results["log_loss"] = self._log_loss / int(self._labelled[0])
        for level in self._labelled.nonzero()[:, 0].tolist():
            labelled = int(self._labelled[level])
            results[f"accuracy_level{level}"] = int(self._right[level]) / labelled
            results[f"answered_level{level}"] = int(self._answered[level]) / labelled
        return results


class HierarchicalAveragePrecision(Metric):
    """Average precision of detections in a tree: a poodle that was found is also a dog that was found.

    Objects and detections count for their node and all above it (as in the Open Images challenge). To a class
    below its label an object is a crowd: whether it is one is not known, and to find it there is no mistake.

    Args:
        classes: names of the V nodes.

    Attributes:
        nodes: average precision of every node, by what lies below it too.
        named: average precision by the labels alone; what is drawn of it is what was found.
    """

    def __init__(self, classes: Sequence[str], paths: Tensor) -> None:
        self.paths = paths
        self.depths = ((paths < len(paths)).sum(1) - 1).tolist()
        above = torch.zeros(len(paths), len(paths) + 1, dtype=torch.bool).scatter_(1, paths, True)
        self.above = above[:, :-1]  # (V, V): whether the second is on the path to the first
        self.nodes, self.named = AveragePrecision(classes), AveragePrecision(classes)

    def average_precision(self) -> AveragePrecision:
        """Of every node, by what lies below it too."""
        return self.nodes

    def reset(self) -> None:
        """Forget everything taken in."""
        self.nodes.reset()
        self.named.reset()

    def update(self, predictions: Sequence[Detections], targets: Objects) -> None:
        """As ``AveragePrecision.update``."""
        targets = targets.to("cpu")
        self.named.update(predictions, targets)
        self.nodes.update([self._upwards(found) for found in predictions], self._spread(targets))

    def compute(self) -> dict[str, float]:
        """What ``AveragePrecision`` says of all nodes, and for each level d that has objects map_50_level<d>,
        the mean over its nodes.

        Raises:
            ValueError, InputError: as ``AveragePrecision``.
        """
        results = self.nodes.compute()
        of_nodes = [scores.ap_50 for scores in self.nodes.per_class()]
        for level in range(max(self.depths) + 1):
            known = [
                ap
                for ap, depth in zip(of_nodes, self.depths, strict=True)
                if depth == level and ap is not None
            ]
            if known:
                results[f"map_50_level{level}"] = sum(known) / len(known)
        return results

    def _upwards(self, found: Detections) -> Detections:
        """Each detection once for every node on its path."""
        rows, labels = self.above[found.labels.cpu()].nonzero(as_tuple=True)
        return Detections(found.boxes_xyxy.cpu()[rows], found.scores.cpu()[rows], labels)

    def _spread(self, objects: Objects) -> Objects:
        """Each object once for every node on its path, and as a crowd for every node below it."""
        on_path, below = self.above[objects.labels], self.above.T[objects.labels]
        rows, labels = (on_path | below).nonzero(as_tuple=True)
        crowd = objects.crowd[rows] | ~on_path[rows, labels]
        counts = torch.zeros_like(objects.counts).index_add_(
            0, objects.pictures[rows], torch.ones_like(labels)
        )
        areas = None if objects.areas is None else objects.areas[rows]
        return Objects(objects.boxes_xyxy[rows], labels, counts, crowd, objects.difficult[rows], areas)
