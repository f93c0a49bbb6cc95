"""What the network sees does not depend on how it is computed: from memory, the cache or files, by any number
of workers and processes, from the first batch or from any other, an epoch shows the same to the last bit."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from faulty_pictures import encode, faulty_pixels, smooth_pixels, write_files
from torch import Tensor

from striate.data.augment import Augment
from striate.data.dataset import FolderImages, Split
from striate.data.loader import Loader, MemoryPictures, Pictures, StreamedPictures, prepare_pictures
from striate.data.mixing import Mixer
from striate.data.preprocessing import Preprocessing
from striate.data.sampling import BalancedOrder
from striate.recipe import AugmentSettings
from striate.samples import Batch
from striate.train.distributed import Processes

COUNT, BATCH, SEED = 21, 6, 3
STARTS = range(4)  # the batches of an epoch
MEMORY = {"memory": 1e9, "cache": 0.0, "files": 0.0}  # bytes, for each place that pictures come from
CACHE = {"memory": 0.0, "cache": 1e9, "files": 0.0}
LOOK = Preprocessing((18, 20), 3, "crop", 1, (0.0,) * 3, (1.0,) * 3)
CHANGES = AugmentSettings(
    crop=(0.5, 1.0), shift=0.1, flip=True, rotate=20.0, brightness=0.3, contrast=0.3, lighting=0.1, erase=0.5
)
MIXED = CHANGES.model_copy(update={"mixup": 0.4, "cutmix": 1.0})


@pytest.fixture(scope="module")
def split(tmp_path_factory: pytest.TempPathFactory) -> Split:
    """Pictures of two formats and several sizes, one of which cannot be read; one class is rare."""
    kinds = ("JPEG", "PNG")
    files = {
        f"{i:02d}.{kinds[i % 2].lower()}": encode(smooth_pixels(20 + i, 40 - i, seed=i), kinds[i % 2])
        for i in range(COUNT)
    }
    files["10a.png"] = faulty_pixels()["cut_colour.png"]
    names = sorted(files)
    folder = tmp_path_factory.mktemp("pictures")
    write_files(folder, files)
    return Split(FolderImages(folder, names, channels=3), (torch.arange(len(names)) % 5 == 0).long())


@pytest.fixture
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STRIATE_CACHE", str(tmp_path / "cache"))


@dataclass(frozen=True)
class Shown:
    """A batch as the network sees it."""

    images: Tensor
    labels: Tensor
    keys: Tensor
    names: list[str]


def prepared(split: Split, place: str, workers: int) -> Pictures:
    pictures, faults = prepare_pictures(split, LOOK, MEMORY[place], workers, cache_bytes=CACHE[place])
    assert [fault.name for fault in faults] == ["10a.png"]
    assert isinstance(pictures, MemoryPictures if place == "memory" else StreamedPictures)
    if isinstance(pictures, StreamedPictures):
        assert len(pictures.survey.places) == (COUNT if place == "cache" else 0)
    return pictures


def shown_by_one(
    pictures: Pictures, settings: AugmentSettings, is_balanced: bool, epoch: int, start: int, one: Processes
) -> Iterator[Shown]:
    """What one process shows of the rest of an epoch, as training does it."""
    augment, mixer = Augment(settings, SEED), Mixer(settings, SEED, num_classes=2)
    order = BalancedOrder(pictures.targets, SEED) if is_balanced else None
    partners = mixer.partners if mixer.is_on else None
    for batch in Loader(pictures, BATCH, SEED, order, partners, one.part).batches(epoch, start):
        images, labels = augment(batch.images, epoch, batch.keys), batch.targets
        if isinstance(other := batch.partners, Batch):
            others = augment(other.images, epoch, other.keys)
            images, labels = mixer(images, labels, others, other.targets, epoch, batch.keys)
        yield Shown(images, labels, batch.keys, list(batch.names))


def shown(
    pictures: Pictures,
    settings: AugmentSettings,
    is_balanced: bool = False,
    epoch: int = 2,
    start: int = 0,
    processes: int = 1,
) -> list[Shown]:
    """What all processes together show of the rest of an epoch, batch by batch."""
    ranks = [
        shown_by_one(pictures, settings, is_balanced, epoch, start, Processes(rank, processes))
        for rank in range(processes)
    ]
    return [
        Shown(
            *(torch.cat([getattr(part, name) for part in parts]) for name in ("images", "labels", "keys")),
            [name for part in parts for name in part.names],
        )
        for parts in zip(*ranks, strict=True)
    ]


def assert_same(found: list[Shown], expected: list[Shown]) -> None:
    assert len(found) == len(expected)
    for one, other in zip(found, expected, strict=True):
        assert one.names == other.names
        assert torch.equal(one.keys, other.keys)
        assert torch.equal(one.labels, other.labels)
        assert torch.equal(one.images, other.images)


@pytest.mark.usefixtures("_own_cache")
@pytest.mark.parametrize(
    ("place", "workers"),
    [("memory", 0), ("cache", 0), ("files", 0), ("cache", 2), ("files", 2), ("cache", 4), ("files", 4)],
)
def test_an_epoch_is_the_same_for_all_workers_processes_and_starts(
    split: Split, place: str, workers: int
) -> None:
    whole = shown(prepared(split, "memory", 0), MIXED)
    assert sorted(name for batch in whole for name in batch.names) == sorted(set(split.names) - {"10a.png"})
    pictures = prepared(split, place, workers)
    for processes in (1, 2):
        for start in STARTS if workers == 0 else (0, 2):
            assert_same(shown(pictures, MIXED, start=start, processes=processes), whole[start:])


@pytest.mark.usefixtures("_own_cache")
@pytest.mark.parametrize("settings", [AugmentSettings(), CHANGES, MIXED], ids=["plain", "changed", "mixed"])
@pytest.mark.parametrize("is_balanced", [False, True], ids=["each", "balanced"])
def test_every_way_to_show_an_epoch_is_the_same_from_memory_cache_and_files(
    split: Split, settings: AugmentSettings, is_balanced: bool
) -> None:
    places = {place: prepared(split, place, 0) for place in MEMORY}
    whole = shown(places["memory"], settings, is_balanced)
    for pictures in places.values():
        for processes, start in ((1, 2), (2, 0), (3, 1)):
            assert_same(shown(pictures, settings, is_balanced, 2, start, processes), whole[start:])


@pytest.mark.usefixtures("_own_cache")
def test_a_cache_that_another_number_of_workers_filled_shows_the_same(split: Split) -> None:
    whole = shown(prepared(split, "memory", 0), MIXED)
    for workers in (4, 0, 2):  # the first fills it, the others find it full
        assert_same(shown(prepared(split, "cache", workers), MIXED), whole)


def test_epochs_and_their_batches_differ(split: Split) -> None:
    """The other tests would pass with pictures that were all alike."""
    pictures = prepared(split, "memory", 0)
    first, second = shown(pictures, MIXED, epoch=0), shown(pictures, MIXED, epoch=1)
    images = torch.cat([batch.images for batch in first + second])
    assert len(images.flatten(1).unique(dim=0)) == 2 * COUNT
    assert [batch.names for batch in first] != [batch.names for batch in second]
