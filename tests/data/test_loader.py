"""Batches: which pictures, in which order, the same from memory, from disk and from worker processes."""

import multiprocessing
import random
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from faulty_pictures import encode, faulty_pixels, smooth_pixels, write_files
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from sklearn.datasets import load_sample_images  # type: ignore[import-untyped]
from torch import Tensor

from striate.data.dataset import ArrayImages, FolderImages, Split
from striate.data.loader import (
    Loader,
    MemoryPictures,
    Pictures,
    StreamedPictures,
    epoch_order,
    measure_pixels,
    prepare_pictures,
)
from striate.data.preprocessing import Preprocessing
from striate.errors import InputError
from striate.samples import Batch, Frame

RGB = Preprocessing((12, 16), 3, "crop", 0, (0.0,) * 3, (1.0,) * 3)
GREY = Preprocessing((12, 16), 1, "letterbox", 2, (0.0,), (1.0,))
FITS, NOTHING_FITS = 1e9, 0.0  # bytes of memory


def numbered(count: int) -> MemoryPictures:
    """Pictures of one pixel, whose value is their number; their target too."""
    numbers = torch.arange(count)
    pixels = numbers.byte().view(-1, 1, 1, 1)
    frames = [Frame(1, 1, offset_x=i) for i in range(count)]
    return MemoryPictures(pixels, frames, [f"picture {i}" for i in range(count)], numbers)


def indices(batches: Iterator[Batch]) -> list[list[int]]:
    return [batch.indices.tolist() for batch in batches]


@pytest.fixture
def folder_split(tmp_path: Path) -> Split:
    """Thirteen pictures of different sizes in files; every third one is grey."""
    files = {
        f"{i:02d}.png": encode(smooth_pixels(20 + i, 30 - i, 1 if i % 3 == 0 else 3, seed=i), "PNG")
        for i in range(13)
    }
    write_files(tmp_path, files)
    return Split(FolderImages(tmp_path, list(files), channels=3), torch.arange(13) % 4)


@pytest.fixture
def faulty_split(folder_split: Split, tmp_path: Path) -> Split:
    """The same with three pictures of them that have a good header and damaged pixels."""
    bad = faulty_pixels()
    write_files(tmp_path, {f"{i:02d}.png": bad["cut_colour.png"] for i in (0, 7, 12)})
    return folder_split


counts = given(
    count=st.integers(1, 60), batch_size=st.integers(1, 25), seed=st.integers(0, 5), epoch=st.integers(0, 5)
)


@counts
@settings(max_examples=60, deadline=None)
def test_an_epoch_has_every_picture_once_in_batches_of_nearly_equal_size(
    count: int, batch_size: int, seed: int, epoch: int
) -> None:
    loader = Loader(numbered(count), batch_size, seed)
    batches = indices(loader.batches(epoch))
    assert sorted(i for batch in batches for i in batch) == list(range(count))
    lengths = [len(batch) for batch in batches]
    assert max(lengths) <= batch_size
    assert max(lengths) - min(lengths) <= 1
    assert len(batches) == len(loader) == -(-count // batch_size)  # as few as can be


@counts
@settings(max_examples=30, deadline=None)
def test_starting_later_gives_the_rest_of_the_same_epoch(
    count: int, batch_size: int, seed: int, epoch: int
) -> None:
    loader = Loader(numbered(count), batch_size, seed)
    whole = indices(loader.batches(epoch))
    for start in range(len(whole) + 1):
        assert indices(loader.batches(epoch, start)) == whole[start:]


def test_the_order_is_a_function_of_seed_and_epoch() -> None:
    orders = {(seed, epoch): epoch_order(100, seed, epoch) for seed in range(4) for epoch in range(4)}
    assert len({tuple(order.tolist()) for order in orders.values()}) == 16
    torch.manual_seed(5)
    np.random.seed(5)
    random.seed(5)
    for (seed, epoch), order in orders.items():
        assert torch.equal(epoch_order(100, seed, epoch), order)
        assert order.sort().values.tolist() == list(range(100))
        assert torch.cat([b.indices for b in Loader(numbered(100), 7, seed).batches(epoch)]).equal(order)


def test_positions_are_uniform_over_epochs() -> None:
    # Where picture 0 comes in 2,000 epochs of ten: 200 times at each place, with a deviation of 13.4.
    places = torch.stack([epoch_order(10, 0, epoch) for epoch in range(2000)]).argmin(dim=1)
    assert (places.bincount(minlength=10) - 200).abs().max() < 5 * 13.4


def test_without_a_seed_the_pictures_keep_their_order_in_every_epoch() -> None:
    loader = Loader(numbered(10), 4)
    assert indices(loader.batches(0)) == indices(loader.batches(3)) == [[0, 1, 2, 3], [4, 5, 6], [7, 8, 9]]


def test_everything_in_a_batch_is_of_the_same_pictures() -> None:
    for batch in Loader(numbered(10), 4, seed=1).batches():
        order = batch.indices.tolist()
        assert batch.images.flatten().tolist() == order
        assert batch.targets.tolist() == order
        assert list(batch.names) == [f"picture {i}" for i in order]
        assert [frame.offset_x for frame in batch.frames] == order


@pytest.fixture(scope="module")
def array_split() -> Split:
    """Thirty grey pictures in memory."""
    pixels = torch.from_numpy(np.stack([smooth_pixels(9, 14, 1, seed=i) for i in range(30)]))
    images = ArrayImages(pixels[:, None], "train").select(torch.arange(29, -1, -1))  # in another order
    return Split(images, torch.arange(30) % 3)


def batches_of(pictures: Pictures) -> list[Batch]:
    """Two epochs, one from its second batch on."""
    loader = Loader(pictures, 4, seed=3)
    return [*loader.batches(0), *loader.batches(1, start=1)]


def assert_same_batches(found: list[Batch], expected: list[Batch]) -> None:
    for batch, other in zip(found, expected, strict=True):
        assert torch.equal(batch.images, other.images)
        assert batch.images.dtype == other.images.dtype == torch.uint8
        assert torch.equal(batch.targets, other.targets)
        assert torch.equal(batch.indices, other.indices)
        assert list(batch.names) == list(other.names)
        assert list(batch.frames) == list(other.frames)


@pytest.mark.parametrize("fixture", ["folder_split", "faulty_split", "array_split"])
@pytest.mark.parametrize("preprocessing", [RGB, GREY], ids=["rgb", "grey"])
def test_memory_disk_and_workers_give_identical_batches_and_faults(
    fixture: str, preprocessing: Preprocessing, request: pytest.FixtureRequest
) -> None:
    split: Split = request.getfixturevalue(fixture)
    if preprocessing is GREY and fixture != "array_split":
        split = grey_only(split)
    expected, faults = prepare_pictures(split, preprocessing, FITS)
    assert isinstance(expected, MemoryPictures)
    assert len(expected) + len(faults) == len(split)
    for memory, workers in ((FITS, 2), (NOTHING_FITS, 0), (NOTHING_FITS, 2), (NOTHING_FITS, 4)):
        pictures, same_faults = prepare_pictures(split, preprocessing, memory, workers)
        assert isinstance(pictures, MemoryPictures if memory else StreamedPictures)
        assert same_faults == faults
        assert list(pictures.names) == list(expected.names)
        assert torch.equal(pictures.targets, expected.targets)
        assert_same_batches(batches_of(pictures), batches_of(expected))


def grey_only(split: Split) -> Split:
    """Its grey pictures, read as such."""
    assert isinstance(split.images, FolderImages)
    paths = list(split.images.paths[::3])
    return Split(FolderImages(split.images.root, paths, channels=1), split.targets[::3])


def test_pictures_are_those_of_the_files_in_their_place(folder_split: Split) -> None:
    pictures, faults = prepare_pictures(folder_split, RGB, FITS)
    assert faults == []
    for batch in Loader(pictures, 5, seed=2).batches():
        for image, target, index, name, frame in zip(
            batch.images, batch.targets, batch.indices.tolist(), batch.names, batch.frames, strict=True
        ):
            pixels, label = folder_split[index]
            placed, place = RGB.place(pixels)
            assert torch.equal(image, placed)
            assert (target, name, frame) == (label, folder_split.images.name(index), place)


@pytest.mark.parametrize("memory", [FITS, NOTHING_FITS])
def test_photographs_are_pillows_decoded_and_resized_within_one_grey_level(
    tmp_path: Path, memory: float
) -> None:
    photographs = [np.ascontiguousarray(photograph[:375, :500]) for photograph in load_sample_images().images]
    names = [f"{i}.jpg" for i in range(2)]
    write_files(tmp_path, {name: encode(photographs[i], "JPEG", quality=90) for i, name in enumerate(names)})
    split = Split(FolderImages(tmp_path, names, channels=3), torch.arange(2))
    usual = Preprocessing((224, 224), 3, "crop", 0, (0.0,) * 3, (1.0,) * 3)
    (batch,) = Loader(prepare_pictures(split, usual, memory)[0], 2).batches()
    for image, name in zip(batch.images, names, strict=True):
        resized = Image.open(tmp_path / name).resize((299, 224), Image.Resampling.BILINEAR)
        expected = torch.from_numpy(np.array(resized.crop((38, 0, 262, 224)))).permute(2, 0, 1)
        assert (image.int() - expected.int()).abs().max() <= 1


@pytest.mark.parametrize("memory", [FITS, NOTHING_FITS])
def test_a_picture_that_cannot_be_decoded_is_a_fault_and_left_out(memory: float, faulty_split: Split) -> None:
    pictures, faults = prepare_pictures(faulty_split, RGB, memory)
    assert [fault.name for fault in faults] == ["00.png", "07.png", "12.png"]
    assert all("damaged" in fault.what for fault in faults)
    left = [i for i in range(13) if i not in (0, 7, 12)]
    assert list(pictures.names) == [f"{i:02d}.png" for i in left]
    assert torch.equal(pictures.targets, faulty_split.targets[left])
    seen = torch.cat([batch.targets for batch in Loader(pictures, 3).batches()])
    assert torch.equal(seen, pictures.targets)


def test_a_picture_that_cannot_be_placed_is_a_fault_too(tmp_path: Path) -> None:
    files = {"a.png": encode(smooth_pixels(20, 30), "PNG"), "b.png": encode(smooth_pixels(1, 60_000), "PNG")}
    write_files(tmp_path, files)
    split = Split(FolderImages(tmp_path, list(files)), torch.tensor([0, 1]))
    large = Preprocessing((300, 300), 3, "crop", 0, (0.0,) * 3, (1.0,) * 3)
    pictures, faults = prepare_pictures(split, large, FITS)
    assert list(pictures.names) == ["a.png"]
    assert [fault.name for fault in faults] == ["b.png"]


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("change", ["removed", "damaged"])
def test_a_picture_lost_after_the_run_began_is_an_input_error_that_names_it(
    folder_split: Split, tmp_path: Path, workers: int, change: str
) -> None:
    pictures, faults = prepare_pictures(folder_split, RGB, NOTHING_FITS, workers)
    assert faults == []
    if change == "removed":
        (tmp_path / "05.png").unlink()
    else:
        (tmp_path / "05.png").write_bytes(b"nothing that is a picture")
    with pytest.raises(InputError) as caught:
        list(Loader(pictures, 4, seed=0).batches())
    assert caught.value.where.endswith("05.png")
    assert "put the picture back" in caught.value.what_to_do


def random_states() -> tuple[object, ...]:
    name, keys, *rest = np.random.get_state()
    return random.getstate(), name, np.asarray(keys).tolist(), rest, torch.get_rng_state().tolist()


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("memory", [FITS, NOTHING_FITS])
def test_reading_does_not_move_the_random_states_of_the_run(
    folder_split: Split, memory: float, workers: int
) -> None:
    before = random_states()
    pictures, _ = prepare_pictures(folder_split, RGB, memory, workers)
    batches_of(pictures)
    measure_pixels(pictures)
    assert random_states() == before


def test_leaving_an_epoch_early_ends_the_workers(folder_split: Split) -> None:
    pictures, _ = prepare_pictures(folder_split, RGB, NOTHING_FITS, workers=2)
    batches = Loader(pictures, 2).batches()
    next(batches)
    assert len(multiprocessing.active_children()) == 2
    batches.close()  # type: ignore[attr-defined]
    assert multiprocessing.active_children() == []


@pytest.mark.parametrize("fixture", ["folder_split", "faulty_split", "array_split"])
@pytest.mark.parametrize("memory", [FITS, NOTHING_FITS])
def test_progress_counts_every_picture_once(
    fixture: str, memory: float, request: pytest.FixtureRequest
) -> None:
    split: Split = request.getfixturevalue(fixture)
    read: list[int] = []
    prepare_pictures(split, RGB, memory, progress=read.append)
    assert sum(read) == len(split)


@pytest.mark.parametrize("fixture", ["folder_split", "array_split"])
def test_the_memory_that_pictures_may_take_is_counted_at_the_size_of_the_input(
    fixture: str, request: pytest.FixtureRequest
) -> None:
    split: Split = request.getfixturevalue(fixture)
    needed = len(split) * 3 * 12 * 16
    assert isinstance(prepare_pictures(split, RGB, needed)[0], MemoryPictures)
    assert isinstance(prepare_pictures(split, RGB, needed - 1)[0], StreamedPictures)


@pytest.mark.parametrize("memory", [FITS, NOTHING_FITS])
def test_grey_pictures_become_rgb_for_a_network_that_sees_colour(array_split: Split, memory: float) -> None:
    pictures, faults = prepare_pictures(array_split, RGB, memory)
    assert faults == []
    assert len(pictures) == 30
    for batch in Loader(pictures, 8).batches():
        assert batch.images.shape[1:] == (3, 12, 16)
        assert torch.equal(batch.images[:, :1].expand(-1, 3, -1, -1), batch.images)


@pytest.mark.parametrize("memory", [FITS, NOTHING_FITS])
def test_mean_and_deviation_equal_numpys(folder_split: Split, memory: float) -> None:
    pictures, _ = prepare_pictures(folder_split, RGB, memory)
    pixels = stacked(pictures).double().numpy() / 255
    mean, std = measure_pixels(pictures)
    assert mean == pytest.approx(pixels.mean((0, 2, 3)).tolist(), abs=1e-6)
    assert std == pytest.approx(pixels.std((0, 2, 3)).tolist(), abs=1e-6)


def test_a_sample_is_measured_where_there_are_many_pictures() -> None:
    pixels = torch.randint(0, 256, (1000, 1, 4, 4), generator=torch.Generator().manual_seed(0)).byte()
    pictures = MemoryPictures(pixels, [Frame(4, 4)] * 1000, [str(i) for i in range(1000)], torch.zeros(1000))
    chosen = pixels[epoch_order(1000, 0, 0)[:300]].double() / 255
    mean, std = measure_pixels(pictures, sample=300)
    assert mean == pytest.approx([chosen.mean().item()], abs=1e-6)
    assert std == pytest.approx([chosen.std(correction=0).item()], abs=1e-6)
    assert measure_pixels(pictures, sample=300) == (mean, std)


def test_blank_pictures_have_a_deviation_that_one_can_divide_by() -> None:
    pictures = MemoryPictures(
        torch.full((4, 1, 3, 3), 51, dtype=torch.uint8), [Frame(3, 3)] * 4, list("abcd"), torch.zeros(4)
    )
    assert measure_pixels(pictures) == ((0.2,), (0.001,))


def stacked(pictures: Pictures) -> Tensor:
    """All pictures in their order, uint8 (n, C, H, W)."""
    return torch.cat([batch.images for batch in Loader(pictures, 5).batches()])
