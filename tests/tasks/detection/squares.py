"""Pictures of a few bright and dark squares, and a short training on them."""

import torch
from torch import Tensor, nn

from striate.metrics.average_precision import AveragePrecision
from striate.samples import Objects
from striate.tasks.detection.rules import Choice, DetectionRules

CLASSES = ("bright", "dark")


def draw_squares(count: int = 8, size: int = 96, seed: int = 0) -> tuple[Tensor, Objects]:
    """Pictures float32 (count, 3, size, size), noise around 0 with up to three squares of 16 to 32 pixels.

    The first picture has none.
    """
    generator = torch.Generator().manual_seed(seed)
    images = torch.randn(count, 3, size, size, generator=generator) * 0.1
    boxes, labels, counts = [], [], []
    for number in range(count):
        counts.append(number % 4)
        for slot in range(number % 4):
            side = int(torch.randint(16, 33, (1,), generator=generator))
            x, y = torch.randint(0, size // 2 - side + 1, (2,), generator=generator).tolist()
            x, y = x + size // 2 * (slot % 2), y + size // 2 * (slot // 2)
            label = int(torch.randint(2, (1,), generator=generator))
            images[number, :, y : y + side, x : x + side] += 1 if label == 0 else -1
            boxes.append([x, y, x + side, y + side])
            labels.append(label)
    return images, Objects.of(torch.tensor(boxes), torch.tensor(labels), torch.tensor(counts))


def map_50_after(model: nn.Module, rules: DetectionRules, steps: int, lr: float) -> float:
    """mAP at IoU 0.5 on the pictures that the model has been trained on for some steps."""
    torch.manual_seed(0)
    images, objects = draw_squares()
    optimizer = torch.optim.AdamW(model.parameters(), lr=lr)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, lr, total_steps=steps)
    model.train()
    for _ in range(steps):
        loss = rules.loss(model(*rules.inputs(images, objects)), objects)["loss"]
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    metric = AveragePrecision(CLASSES)
    with torch.no_grad():
        metric.update(rules.decode(model.eval()(images), Choice()), objects)
    return float(metric.compute()["map_50"])
