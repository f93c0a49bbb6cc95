"""What a phase trains on: pictures as an epoch shows them, or the features of a frozen backbone.

pictures ─► augment ─► normalize ─► backbone ─► head          every epoch
pictures ──────────► normalize ─► backbone ─► features        once, where nothing before the head changes
                                              features ─► head                   every epoch
"""

from typing import Any

import torch
from torch import Tensor, nn

from striate.data.changes import Changes
from striate.data.loader import Loader, MemoryPictures, Pictures
from striate.data.sampling import BalancedOrder
from striate.device import to_input
from striate.prepared import PreparedData, Reading, unwatched
from striate.recipe import Recipe
from striate.samples import Batch, Frame
from striate.tasks.classifier import Classifier
from striate.tasks.task import Task
from striate.train.checkpoint import TrainingState
from striate.train.fit import Feed
from striate.train.memory import with_smaller_parts
from striate.train.precision import Precision, autocast
from striate.train.transfer import choose_phases, parts_of


class HeadOnly(nn.Module):
    """The head of a classifier, on feature maps that were computed before: (N, C, h, w) -> its outputs."""

    def __init__(self, classifier: Classifier) -> None:
        super().__init__()
        self.classifier = classifier

    def forward(self, last_map: Tensor) -> dict[str, Tensor]:
        return self.classifier.from_last_map(last_map)


def phase_feed(
    state: TrainingState,
    task: Task,
    recipe: Recipe,
    prepared: PreparedData,
    precision: Precision,
    reading: Reading | None = None,
) -> Feed:
    """What the state's phase trains on; sets the state's ``network`` to what takes it."""
    phase = choose_phases(recipe.train, recipe.optimizer.lr)[state.phase]
    pictures, seed = prepared.pictures["train"], recipe.train.seed
    device = next(state.model.parameters()).device
    num_classes = len(prepared.dataset.classes)
    changes = Changes(recipe.augment, seed, num_classes, task.in_input, task.least_visible)
    is_plain = not (phase.augment and changes.is_on)
    order = BalancedOrder(pictures.targets, seed) if recipe.data.sampling == "balanced" else None
    state.network = None

    def to_device(targets: Any) -> Any:
        return targets.to(device, non_blocking=True)

    def prepare_plain(batch: Batch) -> Tensor:
        return prepared.preprocessing.normalize(to_input(to_device(batch.images)))

    def prepare(epoch: int, batch: Batch) -> tuple[Tensor, Any]:
        if is_plain:
            return prepare_plain(batch), to_device(task.in_input(batch.targets, batch.frames))
        images, targets = changes(batch, epoch, state.step, device)
        return prepared.preprocessing.normalize(to_input(images)), to_device(targets)

    def prepare_features(epoch: int, batch: Batch) -> tuple[Tensor, Tensor]:
        return to_device(batch.images), to_device(batch.targets)

    batch_size, part = batch_size_of(recipe), state.processes.part
    sharded = recipe.train.shard and state.processes.size > 1  # its stages compute only as a whole
    if is_plain and isinstance(state.model, Classifier) and trains_head_alone(state) and not sharded:
        batches = Loader(pictures, recipe.evaluate.batch_size)
        watched = reading if reading and state.processes.is_first else unwatched
        features = last_maps(state.model, batches, prepare_plain, precision, recipe.data.memory_mb, watched)
        if features is not None:
            state.network = HeadOnly(state.model)
            return Feed(Loader(features, batch_size, seed, order, None, part), prepare_features)
    partners = None if is_plain else changes.partners
    return Feed(Loader(pictures, batch_size, seed, order, partners, part), prepare)


def batch_size_of(recipe: Recipe) -> int:
    """The batch size, which is a number by the time that training begins."""
    assert isinstance(recipe.train.batch_size, int)
    return recipe.train.batch_size


def trains_head_alone(state: TrainingState) -> bool:
    """Whether nothing moves but what sees the last feature map only."""
    moving = [name for name, parameter in state.model.named_parameters() if parameter.requires_grad]
    is_still = len(state.frozen) == len(parts_of(state.model))
    return is_still and all(name.startswith("backbone.head.") for name in moving)


@torch.no_grad()
def last_maps(
    model: Classifier, loader: Loader, prepare: Any, precision: Precision, memory_mb: float, reading: Reading
) -> Pictures | None:
    """The last feature map of every picture, as the head would get it; None if ``memory_mb`` are too few."""
    backbone, pictures = model.backbone.eval(), loader.pictures
    maps: Tensor | None = None
    progress = reading("features", len(pictures))
    parts = 1
    for batch in loader.batches():
        images = prepare(batch)

        def compute(parts: int, images: Tensor = images) -> Tensor:
            with autocast(precision, images.device):
                return torch.cat([_last(backbone.features(part)) for part in images.tensor_split(parts)])

        last, needed = with_smaller_parts(compute, backbone, min(parts, len(images)), most=len(images))
        parts = max(parts, needed)  # as in training
        if maps is None:
            if last[0].nbytes * len(pictures) > memory_mb * 2**20:
                return None
            maps = torch.empty(len(pictures), *last.shape[1:], dtype=last.dtype)
        maps[batch.indices] = last.cpu()
        progress(len(last))
    assert maps is not None
    return MemoryPictures(maps, [Frame(0, 0)] * len(maps), pictures.names, pictures.targets)


def _last(features: dict[str, Tensor]) -> Tensor:
    return next(reversed(features.values()))
