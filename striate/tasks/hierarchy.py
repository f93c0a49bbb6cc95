"""Classification in a tree of classes: as fine as the network is sure (``striate.tasks.wordtree``).

Outputs: as ``striate.tasks.classifier``, with a logit for each of the V nodes. Targets: int64 (N,) node ids
at any level, or of mixed pictures the nodes' shares, float (N, V). Predictions: ``TreeClassification``.
"""

from collections.abc import Sequence

from PIL import Image
from torch import Tensor, nn

from striate.metrics.hierarchy import HierarchicalAccuracy
from striate.models.backbone import Backbone
from striate.samples import Frame, TreeClassification
from striate.tasks.classifier import Classifier, draw_classes, sum_losses
from striate.tasks.task import Outputs, Task
from striate.tasks.wordtree import WordTree


class HierarchicalTask(Task):
    """Minus the logarithm of the probability of a picture's node: the sum of cross-entropies on its path.

    Args:
        tree: whose V nodes are the classes.
        class_weights: float (V,) or None; as for ``ClassificationTask``.
    """

    name = "classification"
    monitor = "accuracy"
    loss_between_runs = "log_loss"

    def __init__(self, tree: WordTree, class_weights: Tensor | None = None) -> None:
        self.tree = tree
        self.classes = tree.names
        self.class_weights = class_weights

    def build(self, backbone: Backbone, classes: Sequence[str]) -> nn.Module:
        """The backbone; its head has one unit per node already."""
        return Classifier(backbone)

    def loss(self, outputs: Outputs, targets: Tensor) -> dict[str, Tensor]:
        """The mean over the batch, in nats; as ``sum_losses``."""
        return sum_losses(outputs, targets, self.of_logits)

    def of_logits(self, logits: Tensor, targets: Tensor) -> Tensor:
        """The mean loss of one head, with this task's weights."""
        if self.class_weights is None:
            return self.tree.losses(logits, targets).mean()
        weights = self.class_weights.to(targets.device)
        if targets.is_floating_point():
            return self.tree.losses(logits, targets * weights).mean()
        return (self.tree.losses(logits, targets) * weights[targets]).mean()

    def scores(self, outputs: Outputs, targets: Tensor) -> dict[str, Tensor]:
        """The accuracy of the batch: {"accuracy": ()}; a prediction below its label is right."""
        labels = targets.argmax(1) if targets.is_floating_point() else targets
        nodes, _ = self.tree.predict(outputs["logits"])
        on_path = self.tree.paths.to(nodes.device)[nodes] == labels[:, None]
        return {"accuracy": on_path.any(1).double().mean()}

    def decode(self, outputs: Outputs, frames: Sequence[Frame]) -> list[TreeClassification]:
        """One ``TreeClassification`` per picture."""
        logits = outputs["logits"].float().cpu()
        nodes, _ = self.tree.predict(logits)
        rows = zip(self.tree.log_probs(logits).exp(), nodes.tolist(), strict=True)
        return [TreeClassification(probs, self.tree.path(node)) for probs, node in rows]

    def metrics(self) -> HierarchicalAccuracy:
        """Accuracy, over all and at each level."""
        return HierarchicalAccuracy(self.tree.paths)

    def mirror(self, outputs: Outputs, mirrored: Outputs) -> Outputs:
        """The mean of both logits."""
        return {"logits": (outputs["logits"].float() + mirrored["logits"].float()) / 2}

    def draw(
        self, image: Tensor, prediction: TreeClassification, target: int | None = None, side: int = 256
    ) -> Image.Image:
        """The picture above what it shows, and the two most probable nodes that are not on the way to it."""
        return draw_classes(image, prediction.top(3), self.classes, target, side)
