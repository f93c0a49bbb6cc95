"""Balanced sampling: laws of its epochs, and what it does for rare classes."""

from collections import Counter
from pathlib import Path

import pytest
import torch
from faulty_pictures import encode, smooth_pixels, write_files
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from striate.data.augment import Augment
from striate.data.builtin import load_digits
from striate.data.dataset import FolderImages, Split
from striate.data.loader import Loader, MemoryPictures, prepare_pictures
from striate.data.mixing import Mixer
from striate.data.preprocessing import Preprocessing
from striate.data.sampling import BalancedOrder
from striate.recipe import AugmentSettings
from striate.samples import Frame
from striate.tasks.classification import ClassificationTask, balanced_class_weights

RGB = Preprocessing((12, 16), 3, "crop", 0, (0.0,) * 3, (1.0,) * 3)


def targets_of(counts: list[int]) -> Tensor:
    """So many pictures of each class, classes mixed."""
    targets = torch.arange(len(counts)).repeat_interleave(torch.tensor(counts))
    return targets[torch.randperm(len(targets), generator=torch.Generator().manual_seed(0))]


def numbered(targets: Tensor) -> MemoryPictures:
    """Pictures of one pixel, whose value is their number."""
    numbers = torch.arange(len(targets))
    names = [f"picture {i}" for i in range(len(targets))]
    return MemoryPictures(numbers.byte().view(-1, 1, 1, 1), [Frame(1, 1)] * len(targets), names, targets)


def differ_by_one_at_most(counts: list[int]) -> bool:
    return max(counts) - min(counts) <= 1


# Laws ---------------------------------------------------------------------------------------------------

cases = given(
    counts=st.lists(st.integers(0, 30), min_size=1, max_size=7).filter(any),
    seed=st.integers(0, 3),
    epoch=st.integers(0, 9),
)


@cases
@settings(max_examples=100, deadline=None)
def test_every_class_and_every_picture_of_a_class_comes_equally_often(
    counts: list[int], seed: int, epoch: int
) -> None:
    targets = targets_of(counts)
    indices = BalancedOrder(targets, seed)(epoch) % len(targets)
    assert len(indices) == len(targets)
    of_classes = targets[indices].bincount(minlength=len(counts)).tolist()
    assert differ_by_one_at_most([shown for shown, count in zip(of_classes, counts, strict=True) if count])
    shown = indices.bincount(minlength=len(targets))
    for label in targets.unique():
        assert differ_by_one_at_most(shown[targets == label].tolist())  # so few repeat, and many do not


@cases
@settings(max_examples=50, deadline=None)
def test_over_many_epochs_nothing_is_left_behind(counts: list[int], seed: int, epoch: int) -> None:
    targets = targets_of(counts)
    order = BalancedOrder(targets, seed)
    shown = torch.cat([order(e) % len(targets) for e in range(epoch + 1)]).bincount(minlength=len(targets))
    assert differ_by_one_at_most([int(shown[targets == label].sum()) for label in targets.unique()])
    for label in targets.unique():
        assert differ_by_one_at_most(shown[targets == label].tolist())


def test_a_class_of_many_pictures_shows_all_of_them_before_one_comes_again() -> None:
    targets = targets_of([60, 10, 5])  # 25 of each class in an epoch
    order = BalancedOrder(targets, 0)
    seen = [set((order(epoch) % 75)[targets[order(epoch) % 75] == 0].tolist()) for epoch in range(3)]
    assert [len(pictures) for pictures in seen] == [25, 25, 25]
    assert not seen[0] & seen[1]
    assert len(seen[0] | seen[1] | seen[2]) == 60


@cases
@settings(max_examples=50, deadline=None)
def test_keys_are_distinct_and_count_the_showings_of_a_picture(
    counts: list[int], seed: int, epoch: int
) -> None:
    targets = targets_of(counts)
    keys = BalancedOrder(targets, seed)(epoch).tolist()
    assert len(set(keys)) == len(keys)
    size = len(targets)
    shown = Counter(key % size for key in keys)
    assert sorted(keys) == sorted(index + size * r for index, times in shown.items() for r in range(times))


def test_balanced_pictures_come_once_each() -> None:
    for epoch in range(3):
        assert BalancedOrder(targets_of([8, 8, 8]), 0)(epoch).sort().values.tolist() == list(range(24))


def test_the_order_is_a_function_of_targets_seed_and_epoch() -> None:
    targets = targets_of([40, 7, 3])
    orders = {(seed, e): BalancedOrder(targets, seed)(e).tolist() for seed in range(3) for e in range(3)}
    assert len({tuple(order) for order in orders.values()}) == 9
    torch.manual_seed(5)
    for (seed, epoch), order in orders.items():
        later = BalancedOrder(targets, seed)  # as after a resumption: without the epochs before
        assert later(epoch).tolist() == order


def test_classes_do_not_come_in_turns() -> None:
    targets = targets_of([50, 50])
    labels = targets[BalancedOrder(targets, 0)(0)]
    assert 30 < int((labels[1:] == labels[:-1]).sum()) < 70  # 49.5 on average, with a deviation of 5


# Batches ------------------------------------------------------------------------------------------------


def test_batches_are_of_the_pictures_that_the_order_names() -> None:
    targets = targets_of([20, 4, 2])
    order, pictures = BalancedOrder(targets, 3), numbered(targets)
    loader = Loader(pictures, 8, seed=3, order=order)
    batches = list(loader.batches(1))
    assert [len(batch.indices) for batch in batches] == [7, 7, 6, 6]
    assert torch.cat([batch.keys for batch in batches]).tolist() == order(1).tolist()
    for batch in batches:
        assert batch.images.flatten().tolist() == batch.indices.tolist() == (batch.keys % 26).tolist()
        assert torch.equal(batch.targets, targets[batch.indices])
        assert list(batch.names) == [f"picture {i}" for i in batch.indices.tolist()]
    for start in range(5):
        rest = list(loader.batches(1, start))
        assert [batch.keys.tolist() for batch in rest] == [batch.keys.tolist() for batch in batches[start:]]


def test_each_showing_of_a_picture_looks_different_and_always_the_same(tmp_path: Path) -> None:
    files = {f"{i}.png": encode(smooth_pixels(16, 20, 3, seed=i), "PNG") for i in range(12)}
    write_files(tmp_path, files)
    split = Split(FolderImages(tmp_path, list(files), channels=3), torch.tensor([0] * 10 + [1] * 2))
    augment = Augment(AugmentSettings(crop=(0.3, 1.0), brightness=0.3), 2)

    def looks(memory: float, workers: int, batch_size: int, start: int = 0) -> dict[int, Tensor]:
        pictures, _ = prepare_pictures(split, RGB, memory, workers)
        loader = Loader(pictures, batch_size, 2, BalancedOrder(pictures.targets, 2))
        batches = loader.batches(4, start)
        return {
            key: picture
            for batch in batches
            for key, picture in zip(batch.keys.tolist(), augment(batch.images, 4, batch.keys), strict=True)
        }

    whole = looks(1e9, 0, 12)
    assert len(whole) == 12
    for index in (10, 11):  # three times each
        showings = [whole[index + 12 * repeat] for repeat in range(3)]
        assert all((showings[a] - showings[b]).abs().mean() > 1 for a, b in ((0, 1), (0, 2), (1, 2)))
    for part in (looks(1e9, 0, 1), looks(0, 0, 5), looks(0, 2, 5), looks(1e9, 0, 5, start=1)):
        assert all(torch.equal(picture, whole[key]) for key, picture in part.items())
        assert len(part) in (12, 8)


def test_partners_of_a_balanced_epoch_are_balanced() -> None:
    targets = targets_of([90, 10])
    pictures, mixer = numbered(targets), Mixer(AugmentSettings(mixup=1.0), 0, 2)
    loader = Loader(pictures, 50, 0, BalancedOrder(targets, 0), mixer.partners)
    partners = [batch.partners for epoch in range(20) for batch in loader.batches(epoch)]
    labels = torch.cat([batch.targets for batch in partners if batch is not None])
    assert len(labels) == 2000
    assert labels.double().mean().item() == pytest.approx(0.5, abs=4.5 * 0.5 / 2000**0.5)


# Learning -----------------------------------------------------------------------------------------------

COMMON, RARE = 100, 10  # training pictures of each of the digits 0 to 4, and 5 to 9


def digits(seed: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Pictures and labels to train on, unbalanced, and to test on."""
    (pool,) = load_digits().splits.values()
    images, labels = torch.stack([pool[i][0] for i in range(len(pool))]), pool.targets
    order = torch.randperm(len(labels), generator=torch.Generator().manual_seed(seed))
    test, rest = order[:600], order[600:]
    train = torch.cat([rest[labels[rest] == k][: COMMON if k < 5 else RARE] for k in range(10)])
    return images[train], labels[train], images[test], labels[test]


def rare_recall(seed: int, way: str) -> float:
    """The recall of the rare digits after ten epochs."""
    images, labels, test_images, test_labels = digits(seed)
    torch.manual_seed(seed)
    model = nn.Sequential(nn.Flatten(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10))
    names = [str(i) for i in range(len(labels))]
    pictures = MemoryPictures(images, [Frame(8, 8)] * len(labels), names, labels)
    loader = Loader(pictures, 32, seed, BalancedOrder(labels, seed) if way == "balanced sampling" else None)
    weights = balanced_class_weights(labels, 10) if way == "class weights" else None
    task = ClassificationTask([str(k) for k in range(10)], class_weights=weights)
    optimizer = torch.optim.Adam(model.parameters(), 2e-3)
    for epoch in range(10):
        for batch in loader.batches(epoch):
            optimizer.zero_grad()
            task.loss({"logits": model(batch.images / 255)}, batch.targets)["loss"].backward()
            optimizer.step()
    rare = test_labels >= 5
    hits = model(test_images[rare] / 255).argmax(1) == test_labels[rare]
    return hits.double().mean().item()


def test_balanced_sampling_and_class_weights_find_more_of_the_rare_classes() -> None:
    for seed in range(3):
        plain, sampled, weighted = (
            rare_recall(seed, way) for way in ("plain", "balanced sampling", "class weights")
        )
        assert sampled > plain + 0.3
        assert weighted > plain + 0.3
        assert sampled > 0.7
