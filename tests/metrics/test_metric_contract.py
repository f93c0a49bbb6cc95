"""Every metric keeps the contract."""

import torch
from contracts.metric_contract import MetricContract
from torch import Tensor

from striate.metrics import ClassificationMetric
from striate.samples import Classification


class TestClassificationMetric(MetricContract):
    def metric(self) -> ClassificationMetric:
        return ClassificationMetric(7)

    def samples(self, count: int, seed: int) -> tuple[list[Classification], Tensor]:
        generator = torch.Generator().manual_seed(seed)
        targets = torch.randint(0, 7, (count,), generator=generator)
        logits = 2 * torch.randn(count, 7, generator=generator)
        logits[torch.arange(count), targets] += 2
        return [Classification(probs) for probs in logits.softmax(1)], targets

    def choose(self, targets: Tensor, indices: list[int]) -> Tensor:
        return targets[indices]
