"""What every vision task keeps: a new one says how its samples look and inherits these tests."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar

import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from striate.metrics.metric import Metric
from striate.models.backbone import Backbone
from striate.models.catalog import create_model
from striate.samples import Frame
from striate.tasks.task import Outputs, Task

FRAMES = [
    Frame(28, 28),
    Frame(56, 84, 0.5, 0.5, 0, -7),
    Frame(7, 28, 4, 1),
    Frame(300, 200, 0.1, 0.14, -1, 0),
]


class TaskContract(ABC):
    """The tests of one task.

    Attributes:
        classes: of the task that ``task`` makes.
        best: the best value of the monitored metric.
    """

    classes: ClassVar[Sequence[str]] = ("apple", "pear", "quince")
    best: ClassVar[float] = 1.0

    @abstractmethod
    def task(self) -> Task:
        """A task for ``classes``."""

    @abstractmethod
    def targets(self, count: int) -> Any:
        """What the loss receives for ``count`` pictures; every class occurs."""

    @abstractmethod
    def perfect(self, targets: Any) -> list[Any]:
        """Predictions that are exactly right."""

    @abstractmethod
    def wrong(self, targets: Any) -> list[Any]:
        """Predictions that are all wrong."""

    def mirrored(self, outputs: Outputs) -> Outputs:
        """What a network should say of mirror images where it says ``outputs`` of the pictures."""
        return {name: value.clone() for name, value in outputs.items()}

    def backbone(self) -> Backbone:
        torch.manual_seed(0)
        return create_model("lenet5", num_classes=len(self.classes))

    def network(self) -> nn.Module:
        return self.task().build(self.backbone(), self.classes)

    def pictures(self, count: int) -> Tensor:
        return torch.randn(count, 1, 32, 32, generator=torch.Generator().manual_seed(1))

    def outputs(self, count: int) -> Outputs:
        """Of a network with fresh weights, without gradient."""
        with torch.no_grad():
            outputs: Outputs = self.network().eval()(self.pictures(count))
        return outputs

    def test_it_has_a_name_and_a_metric_to_monitor(self) -> None:
        task = self.task()
        assert task.name == task.name.lower() != ""
        targets = self.targets(6)
        metric = task.metrics()
        metric.update(self.perfect(targets), targets)
        assert task.monitor in metric.compute()

    def test_building_keeps_the_backbone_whole(self) -> None:
        backbone = self.backbone()
        network = self.task().build(backbone, self.classes)
        assert any(part is backbone for part in network.modules())
        assert {id(p) for p in backbone.parameters()} <= {id(p) for p in network.parameters()}

    def test_outputs_are_named_tensors_with_a_row_for_each_picture(self) -> None:
        for name, output in self.outputs(4).items():
            assert isinstance(name, str)
            assert len(output) == 4

    def test_the_loss_is_one_finite_number_with_a_gradient_for_every_parameter(self) -> None:
        network, task = self.network(), self.task()
        terms = task.loss(network(self.pictures(6)), self.targets(6))
        assert "loss" in terms
        for name, term in terms.items():
            assert term.shape == (), name
            assert term.isfinite(), name
        terms["loss"].backward()
        for name, parameter in network.named_parameters():
            assert parameter.grad is not None, name
            assert parameter.grad.isfinite().all(), name

    def test_the_loss_of_a_batch_is_that_of_its_parts_by_their_share(self) -> None:
        # A batch that does not fit in memory is divided; nothing may change by that.
        task, outputs, targets = self.task(), self.outputs(7), self.targets(7)
        whole = task.loss(outputs, targets)
        for parts in (2, 3, 7):
            totals = dict.fromkeys(whole, 0.0)
            pieces = [value.tensor_split(parts) for value in outputs.values()]
            for rows in zip(*pieces, targets.tensor_split(parts), strict=True):
                part = dict(zip(outputs, rows[:-1], strict=True))
                for name, term in task.loss(part, rows[-1]).items():
                    totals[name] += term.item() * len(rows[-1]) / 7
            assert totals == pytest.approx({name: term.item() for name, term in whole.items()}, rel=1e-5)

    def test_the_loss_of_bf16_outputs_is_computed_in_fp32(self) -> None:
        task, outputs, targets = self.task(), self.outputs(6), self.targets(6)
        rounded = {name: value.bfloat16() for name, value in outputs.items()}
        loss = task.loss(rounded, targets)["loss"]
        widened = {name: value.float() for name, value in rounded.items()}
        assert loss.dtype == torch.float32
        assert loss == task.loss(widened, targets)["loss"]

    def test_the_loss_falls_in_training(self) -> None:
        network, task = self.network(), self.task()
        pictures, targets = self.pictures(6), self.targets(6)
        optimizer = torch.optim.Adam(network.parameters(), 2e-3)
        losses = []
        for _ in range(12):
            optimizer.zero_grad()
            loss = task.loss(network(pictures), targets)["loss"]
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
        assert losses[-1] < losses[0] / 2

    def test_scores_are_single_numbers(self) -> None:
        for name, score in self.task().scores(self.outputs(6), self.targets(6)).items():
            assert score.shape == (), name
            assert score.isfinite(), name

    def test_decoding_gives_one_prediction_for_each_frame(self) -> None:
        task = self.task()
        assert len(task.decode(self.outputs(len(FRAMES)), FRAMES)) == len(FRAMES)

    def test_decoding_does_not_depend_on_the_batch(self) -> None:
        task, outputs = self.task(), self.outputs(len(FRAMES))
        together = task.decode(outputs, FRAMES)
        for i, frame in enumerate(FRAMES):
            (alone,) = task.decode({name: value[i : i + 1] for name, value in outputs.items()}, [frame])
            assert_same_record(alone, together[i])

    def test_the_metric_takes_what_decoding_gives(self) -> None:
        task, targets = self.task(), self.targets(len(FRAMES))
        metric = task.metrics()
        metric.update(task.decode(self.outputs(len(FRAMES)), FRAMES), targets)
        assert all(isinstance(value, float) for value in metric.compute().values())

    def test_perfect_predictions_have_the_best_value_and_wrong_ones_a_lower_one(self) -> None:
        task, targets = self.task(), self.targets(9)
        metric = task.metrics()
        metric.update(self.perfect(targets), targets)
        assert metric.compute()[task.monitor] == self.best
        metric.reset()
        metric.update(self.wrong(targets), targets)
        assert metric.compute()[task.monitor] < self.best / 2

    def test_every_metric_is_a_new_one(self) -> None:
        task, targets = self.task(), self.targets(9)
        first, second = task.metrics(), task.metrics()
        assert isinstance(first, Metric)
        first.update(self.wrong(targets), targets)
        second.update(self.perfect(targets), targets)
        assert second.compute()[task.monitor] == self.best

    def test_joining_equal_outputs_changes_nothing(self) -> None:
        outputs = self.outputs(5)
        joined = self.task().mirror(outputs, self.mirrored(outputs))
        assert joined.keys() == outputs.keys()
        for name, value in outputs.items():
            torch.testing.assert_close(joined[name], value, msg=name)

    def test_joining_knows_no_order(self) -> None:
        outputs, task = self.outputs(6), self.task()
        first = {name: value[:3] for name, value in outputs.items()}
        second = {name: value[3:] for name, value in outputs.items()}
        one, other = task.mirror(first, self.mirrored(second)), task.mirror(second, self.mirrored(first))
        for name in one:
            torch.testing.assert_close(one[name], other[name], msg=name)

    @pytest.mark.parametrize(
        "shape",
        [(1, 8, 8), (3, 28, 28), (3, 40, 300), (3, 300, 40), (1, 2000, 2), (1, 2, 2000), (3, 1, 1)],
        ids=str,
    )
    def test_a_drawing_is_an_rgb_picture_that_is_no_smaller_and_no_sheer_giant(
        self, shape: tuple[int, int, int]
    ) -> None:
        task, target = self.task(), self.targets(3)[0]
        image = torch.randint(0, 256, shape, generator=torch.Generator().manual_seed(0)).byte()
        before = image.clone()
        (prediction, *_) = task.decode(self.outputs(1), [Frame(*shape[1:])])
        for drawn in (task.draw(image, prediction), task.draw(image, prediction, target)):
            assert isinstance(drawn, Image.Image)
            assert drawn.mode == "RGB"
            assert drawn.height >= shape[1]
            assert drawn.width >= shape[2]
            assert drawn.height * drawn.width < 2_000_000
        assert torch.equal(image, before)

    def test_a_drawing_shows_what_was_predicted_and_what_is_true(self) -> None:
        task, targets = self.task(), self.targets(3)
        image = torch.full((3, 64, 64), 128, dtype=torch.uint8)
        right, wrong = self.perfect(targets)[0], self.wrong(targets)[0]
        drawings = [task.draw(image, right), task.draw(image, wrong), task.draw(image, right, targets[0])]
        assert len({drawn.tobytes() for drawn in drawings}) == 3


def assert_same_record(found: Any, expected: Any) -> None:
    """Two predictions of the same kind with close values."""
    assert type(found) is type(expected)
    for name, value in vars(expected).items():
        torch.testing.assert_close(getattr(found, name), value)
