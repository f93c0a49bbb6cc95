"""The cache of scaled pictures: the very pixels that decoding gives, after whatever happened to it."""

import itertools
import multiprocessing
import os
import pickle
import random
import resource
import shutil
import signal
import time
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np
import PIL
import pytest
import simplejpeg
import torch
from faulty_pictures import encode, faulty_pixels, smooth_pixels, write_files
from small_data import contents, draw_shapes
from torch import Tensor

from striate import api
from striate.data import picture_cache, picture_packs, survey
from striate.data.archive import open_archive
from striate.data.dataset import ArchiveImages, FolderImages, Images, JoinedImages, Split
from striate.data.images import decode_image
from striate.data.loader import Loader, MemoryPictures, Pictures, StreamedPictures, prepare_pictures
from striate.data.picture_cache import PictureCache
from striate.data.picture_packs import Place
from striate.data.places import Places
from striate.data.preprocessing import Preprocessing
from striate.errors import InputError

RGB = Preprocessing((12, 16), 3, "crop", 0, (0.0,) * 3, (1.0,) * 3)
ROOM = 1e9  # bytes on disk, enough for everything


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The cache's folder, which is not there yet."""
    monkeypatch.setenv("STRIATE_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "pictures"


@pytest.fixture
def split(tmp_path: Path) -> Split:
    """Thirteen pictures of different sizes in files; every third one is grey, one is there twice."""
    files = {
        f"{i:02d}.png": encode(smooth_pixels(20 + i, 30 - i, 1 if i % 3 == 0 else 3, seed=i), "PNG")
        for i in range(12)
    }
    files["12.png"] = files["05.png"]
    write_files(tmp_path / "data", files)
    return Split(FolderImages(tmp_path / "data", list(files), channels=3), torch.arange(13))


def prepared(
    split: Split, preprocessing: Preprocessing = RGB, workers: int = 0, room: float = ROOM
) -> StreamedPictures:
    """The pictures of a split that does not fit in memory, as a run would read them."""
    pictures, faults = prepare_pictures(split, preprocessing, 0.0, workers, cache_bytes=room)
    assert isinstance(pictures, StreamedPictures)
    assert faults == []
    return pictures


def pixels_of(pictures: Pictures, batch_size: int = 4) -> Tensor:
    """All pictures in their order, uint8 (n, C, H, W)."""
    return torch.cat([batch.images for batch in Loader(pictures, batch_size).batches()])


def decoded(split: Split, preprocessing: Preprocessing = RGB) -> Tensor:
    """The same, each decoded by itself."""
    return torch.stack([preprocessing.place(split.images.read(i))[0] for i in range(len(split))])


@pytest.fixture
def decodings(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the pictures that this process decoded."""
    names: list[str] = []

    def count(source: object, name: str = "", *args: object, **options: object) -> Tensor:
        names.append(name or str(source))
        return decode_image(source, name, *args, **options)  # type: ignore[arg-type]

    monkeypatch.setattr("striate.data.dataset.decode_image", count)
    return names


def pack_files(folder: Path, suffix: str) -> list[Path]:
    return sorted(folder.glob(f"*/*{suffix}"))


def size_of(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


# The same pixels


@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(("margin", "resize"), [(0, None), (3, None), (0, 20), (2, 14)])
@pytest.mark.parametrize("fit", ["crop", "stretch", "letterbox"])
def test_cached_pictures_are_those_that_decoding_gives(
    tmp_path: Path, fit: str, margin: int, resize: int | None, channels: int, interpolation: str
) -> None:
    shapes = [(20, 30), (31, 11), (12, 16), (50, 9), (7, 5), (13, 16)]
    files = {
        f"{i}.png": encode(smooth_pixels(*shape, channels, seed=i), "PNG") for i, shape in enumerate(shapes)
    }
    files["photo.jpg"] = encode(smooth_pixels(41, 37, channels), "JPEG", quality=90)
    write_files(tmp_path / "data", files)
    split = Split(FolderImages(tmp_path / "data", list(files), channels), torch.arange(len(files)))
    preprocessing = Preprocessing(
        (12, 16), channels, fit, margin, (0.0,) * channels, (1.0,) * channels, resize, interpolation
    )
    expected = decoded(split, preprocessing)
    frames = [preprocessing.frame(*split.images.read(i).shape[-2:]) for i in range(len(split))]
    for _ in range(2):
        (batch,) = Loader(prepared(split, preprocessing), 10).batches()
        assert torch.equal(batch.images, expected)
        assert batch.images.is_contiguous(memory_format=torch.channels_last)
        assert list(batch.frames) == frames


def test_a_picture_is_decoded_once_for_all_epochs_and_runs(split: Split, decodings: list[str]) -> None:
    expected = decoded(split)
    decodings.clear()
    pictures = prepared(split)
    assert len(decodings) == 12  # of 13, two of which are the same
    for _ in range(2):
        assert torch.equal(pixels_of(pictures), expected)
        assert pictures.notes == ()
        pictures = prepared(split)
    assert len(decodings) == 12


def test_the_pixels_are_found_by_content_wherever_the_file_lies(
    split: Split, tmp_path: Path, decodings: list[str]
) -> None:
    prepared(split)
    decodings.clear()
    with zipfile.ZipFile(tmp_path / "data.zip", "w") as archive:
        for path in sorted((tmp_path / "data").iterdir()):
            archive.write(path, path.name)
    assert isinstance(split.images, FolderImages)
    zipped = ArchiveImages(open_archive(tmp_path / "data.zip"), "", split.images.paths, channels=3)
    joined: Images = JoinedImages([zipped, split.images.select(torch.tensor([3, 1]))])
    pictures = prepared(Split(joined, torch.arange(15)))
    found = pixels_of(pictures)
    assert decodings == []
    assert torch.equal(found[:13], decoded(split))
    assert torch.equal(found[13:], decoded(split)[[3, 1]])
    os.utime(tmp_path / "data.zip")  # the archive was touched, its content is the same
    assert torch.equal(pixels_of(pictures), found)


@pytest.mark.parametrize(
    "changes",
    [
        {"size": (12, 17)},
        {"margin": 1},
        {"fit": "letterbox"},
        {"fit": "stretch"},
        {"resize": 15},
        {"interpolation": "bicubic"},
    ],
)
def test_other_settings_have_pixels_of_their_own(split: Split, changes: dict[str, object]) -> None:
    prepared(split)
    other = replace(RGB, **changes)  # type: ignore[arg-type]
    assert torch.equal(pixels_of(prepared(split, other)), decoded(split, other))


def test_what_is_cut_out_later_does_not_matter(split: Split, decodings: list[str]) -> None:
    prepared(split, replace(RGB, resize=20))
    decodings.clear()
    other = replace(RGB, resize=20, size=(9, 11), margin=1, mean=(0.5,) * 3)
    assert torch.equal(pixels_of(prepared(split, other)), decoded(split, other))
    assert len(decodings) == 13  # those of the comparison


@pytest.mark.parametrize(("module", "name"), [(simplejpeg, "simplejpeg"), (PIL, "pillow"), (torch, "torch")])
def test_another_version_of_a_decoder_decodes_anew(
    split: Split, decodings: list[str], monkeypatch: pytest.MonkeyPatch, module: object, name: str
) -> None:
    prepared(split)
    decodings.clear()
    monkeypatch.setattr(module, "__version__", "99.0")
    prepared(split)
    assert len(decodings) == 12


@pytest.mark.parametrize("room", [ROOM, 10_000, 0], ids=["all", "some", "none"])
def test_workers_cache_and_memory_give_identical_epochs_also_from_the_middle(
    split: Split, room: float
) -> None:
    memory, _ = prepare_pictures(split, RGB, 1e9)
    assert isinstance(memory, MemoryPictures)
    expected = [list(Loader(memory, 4, seed=3).batches(epoch, start)) for epoch, start in ((0, 0), (1, 2))]
    for workers, _ in itertools.product((0, 2, 4), range(2)):  # twice: empty and full
        pictures = prepared(split, workers=workers, room=room)
        for (epoch, start), batches in zip(((0, 0), (1, 2)), expected, strict=True):
            found = Loader(pictures, 4, seed=3).batches(epoch, start)
            for batch, other in zip(found, batches, strict=True):
                assert torch.equal(batch.images, other.images)
                assert batch.indices.tolist() == other.indices.tolist()
                assert list(batch.frames) == list(other.frames)
                assert list(batch.names) == list(other.names)


def test_pictures_that_cannot_be_decoded_are_faults_with_and_without_a_cache(
    split: Split, tmp_path: Path
) -> None:
    write_files(tmp_path / "data", {f"{i:02d}.png": faulty_pixels()["cut_colour.png"] for i in (0, 7)})
    without, faults = prepare_pictures(split, RGB, 0.0)
    for _ in range(2):
        pictures, same = prepare_pictures(split, RGB, 0.0, cache_bytes=ROOM)
        assert same == faults
        assert [fault.name for fault in faults] == ["00.png", "07.png"]
        assert list(pictures.names) == list(without.names)
        assert torch.equal(pixels_of(pictures), pixels_of(without))


def test_pictures_that_fit_in_memory_and_a_cache_of_nothing_write_nothing(split: Split, folder: Path) -> None:
    prepare_pictures(split, RGB, 1e9, cache_bytes=ROOM)
    assert prepared(split, room=0.0).notes == ()
    assert not folder.exists()


def test_users_files_stay_as_they_are(split: Split, tmp_path: Path) -> None:
    before = contents(tmp_path / "data")
    pixels_of(prepared(split, workers=2))
    assert contents(tmp_path / "data") == before


def test_a_cache_crosses_to_another_process_by_pickle(split: Split, folder: Path) -> None:
    prepared(split)
    cache = PictureCache(folder.parent, RGB, ROOM)
    places = {digest: cache.find(digest) for digest in cache.records}
    other = pickle.loads(pickle.dumps(cache))
    assert len(places) == 12
    assert {digest: other.find(digest) for digest in other.records} == places
    for place in places.values():
        assert place
        assert (other.pixels(place) == cache.pixels(place)).all()


# Pictures that change


def same_stamp(path: Path, content: bytes) -> None:
    """Write another content that leaves the file's size and time of change as they are."""
    before = path.stat()
    path.write_bytes(content)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert path.stat().st_size == before.st_size


def bmp(value: int) -> bytes:
    """A picture whose file is as long as every other one."""
    return encode(np.full((20, 30, 3), value, dtype=np.uint8), "BMP")


def test_the_cache_is_never_wrong_after_pictures_changed_between_runs(tmp_path: Path) -> None:
    rng = random.Random(0)
    names = [f"{i}.bmp" for i in range(6)]
    write_files(tmp_path / "data", {name: bmp(i) for i, name in enumerate(names)})
    split = Split(FolderImages(tmp_path / "data", names, 3), torch.arange(6))
    for _ in range(25):
        for name in rng.sample(names, 2):
            same_stamp(tmp_path / "data" / name, bmp(rng.randrange(20)))
        a, b = rng.sample(names, 2)
        (tmp_path / "data" / a).rename(tmp_path / "data" / "other")
        (tmp_path / "data" / b).rename(tmp_path / "data" / a)
        (tmp_path / "data" / "other").rename(tmp_path / "data" / b)
        assert torch.equal(pixels_of(prepared(split)), decoded(split))


@pytest.fixture
def bitmaps(tmp_path: Path) -> Split:
    names = [f"{i}.bmp" for i in range(6)]
    write_files(tmp_path / "data", {name: bmp(i) for i, name in enumerate(names)})
    return Split(FolderImages(tmp_path / "data", names, 3), torch.arange(6))


@pytest.mark.parametrize("room", [ROOM, 0.0], ids=["cache", "no cache"])
@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("change", ["content", "removed", "replaced"])
def test_a_picture_that_changes_while_the_run_reads_is_an_input_error_that_names_it(
    bitmaps: Split, tmp_path: Path, workers: int, change: str, room: float
) -> None:
    path = tmp_path / "data" / "3.bmp"
    pictures = prepared(bitmaps, workers=workers, room=room)
    before = pixels_of(pictures, 2)
    if change == "removed":
        path.unlink()
    elif change == "content":
        same_stamp(path, bmp(77))
    else:
        (tmp_path / "new.bmp").write_bytes(bmp(77))
        (tmp_path / "new.bmp").replace(path)
    with pytest.raises(InputError) as caught:
        pixels_of(pictures, 2)
    assert caught.value.where == "3.bmp"
    assert ("changed" if change != "removed" else "No such file") in caught.value.what
    assert caught.value.what_to_do == "put the picture back and resume the run"
    path.write_bytes(bmp(3))  # put back: as another file, with the same content
    assert torch.equal(pixels_of(pictures, 2), before)


def test_a_change_within_the_grain_of_the_clock_is_seen(
    bitmaps: Split, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A file system with coarse times: what is written at once has the same stamp.
    now = time.time_ns()
    monkeypatch.setattr(FolderImages, "stamp", lambda self, index: (1854, now, now, 5))
    pictures = prepared(bitmaps)
    (tmp_path / "data" / "3.bmp").write_bytes(bmp(77))
    with pytest.raises(InputError, match="changed"):
        pixels_of(pictures)


def test_a_picture_whose_stamp_is_old_and_the_same_is_not_read_again(
    bitmaps: Split, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(survey, "_COARSE", -1)
    pictures = prepared(bitmaps)
    expected = decoded(bitmaps)

    def read(self: FolderImages, index: int) -> bytes:
        raise AssertionError("the file is read")

    monkeypatch.setattr(FolderImages, "content", read)
    assert torch.equal(pixels_of(pictures), expected)


class Meddler:
    """Does something after the first epoch of a run."""

    def __init__(self, meddle: Callable[[], object]) -> None:
        self.meddle = meddle

    def start(self, *arguments: object) -> None:
        pass

    phase = step = start

    def epoch(self, row: dict[str, object]) -> None:
        if row["epoch"] == 1:
            self.meddle()


@pytest.mark.parametrize("settings", [{}, {"data.cache_mb": 0}, {"data.workers": 1}], ids=str)
def test_a_run_that_loses_a_picture_ends_by_name_and_goes_on_exactly_when_it_is_back(
    tmp_path: Path, settings: dict[str, object]
) -> None:
    data = draw_shapes(tmp_path / "shapes", 12)
    settings = {"data.memory_mb": 0, "train.epochs": 2, "train.batch_size": 4, **settings}
    train = partial(api.train, data, model="lenet5", settings=settings)
    expected = train(out=tmp_path / "whole")
    lost = next(data / name for name in prepared(expected.training_data().splits["train"]).names)
    content = lost.read_bytes()
    with pytest.raises(InputError) as caught:
        train(out=tmp_path / "run", watchers=[Meddler(lost.unlink)])
    assert caught.value.where.endswith(lost.name)
    lost.write_bytes(content)
    api.resume(tmp_path / "run")
    for name in ("model.safetensors", "metrics.jsonl"):
        assert (tmp_path / "run" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


# A cache that is damaged, or was being written


@pytest.fixture
def three(tmp_path: Path) -> Split:
    files = {f"{i}.png": encode(smooth_pixels(9, 7 + i, 3, seed=i), "PNG") for i in range(3)}
    write_files(tmp_path / "data", files)
    return Split(FolderImages(tmp_path / "data", list(files), 3), torch.arange(3))


TINY = replace(RGB, size=(4, 4))


@pytest.mark.parametrize("suffix", [".index", ".pixels"])
def test_a_file_cut_off_anywhere_gives_the_same_pixels(three: Split, folder: Path, suffix: str) -> None:
    expected = decoded(three, TINY)
    prepared(three, TINY)
    (path,) = pack_files(folder, suffix)
    whole, kept = path.read_bytes(), set(folder.rglob("*"))
    for length in range(0, len(whole), 1 if suffix == ".index" else 7):
        path.write_bytes(whole[:length])
        assert torch.equal(pixels_of(prepared(three, TINY)), expected)
        for added in set(folder.rglob("*")) - kept:  # what was decoded anew
            added.unlink()


@pytest.mark.parametrize("suffix", [".index", ".pixels"])
def test_any_damaged_byte_gives_the_same_pixels_and_is_told(three: Split, folder: Path, suffix: str) -> None:
    expected = decoded(three, TINY)
    prepared(three, TINY)
    (path,) = pack_files(folder, suffix)
    whole, told, kept = path.read_bytes(), 0, set(folder.rglob("*"))
    places = range(0, len(whole), 1 if suffix == ".index" else 3)
    for place in places:
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 0x81]) + whole[place + 1 :])
        pictures = prepared(three, TINY)
        assert torch.equal(pixels_of(pictures), expected)
        told += any("1 damaged pictures in the cache were decoded anew" in note for note in pictures.notes)
        assert prepared(three, TINY).notes == ()  # it was mended
        for added in set(folder.rglob("*")) - kept:
            added.unlink()
    digests = 3 * 32 if suffix == ".index" else 0  # a record of another picture: not damaged, only useless
    assert told == len(places) - digests


def test_pixels_of_another_picture_are_never_taken(three: Split, folder: Path) -> None:
    expected = decoded(three, TINY)
    prepared(three, TINY)
    (index,) = pack_files(folder, ".index")
    size = picture_packs.RECORD_BYTES
    records = [index.read_bytes()[i : i + size] for i in range(0, 3 * size, size)]
    index.write_bytes(b"".join(records[i][:32] + records[(i + 1) % 3][32:] for i in range(3)))
    assert torch.equal(pixels_of(prepared(three, TINY)), expected)


def filled_until_killed(split: Split, connection: Connection) -> None:
    os.setpgid(0, 0)
    prepare_pictures(split, RGB, 0.0, 2, connection.send, cache_bytes=ROOM)
    connection.send(None)
    signal.pause()


def test_a_run_killed_at_any_moment_loses_nothing_that_was_finished(
    tmp_path: Path, folder: Path, decodings: list[str]
) -> None:
    files = {f"{i:03d}.png": encode(smooth_pixels(20, 30, seed=i), "PNG") for i in range(150)}
    write_files(tmp_path / "data", files)
    split = Split(FolderImages(tmp_path / "data", list(files), channels=3), torch.arange(150))
    expected = decoded(split)
    for number in range(6):
        shutil.rmtree(folder, ignore_errors=True)
        near, far = multiprocessing.Pipe(duplex=False)
        child = multiprocessing.Process(target=filled_until_killed, args=(split, far))
        child.start()
        os.setpgid(child.pid, child.pid)  # type: ignore[arg-type]  # whoever is the first to do so
        far.close()
        done = sum(near.recv() or 0 for _ in range(number))  # of five chunks, the last smaller
        time.sleep(random.Random(number).uniform(0, 0.01))
        os.killpg(child.pid, signal.SIGKILL)  # type: ignore[arg-type]
        child.join()
        decodings.clear()
        pictures = prepared(split)
        assert len(decodings) <= 150 - done
        assert torch.equal(pixels_of(pictures), expected)
        assert pictures.notes == ()


def test_runs_at_the_same_time_share_the_cache(split: Split, decodings: list[str]) -> None:
    expected = decoded(split)
    children = [
        multiprocessing.Process(target=prepare_pictures, args=(split, RGB, 0.0), kwargs={"cache_bytes": ROOM})
        for _ in range(3)
    ]
    for child in children:
        child.start()
    for child in children:
        child.join()
        assert child.exitcode == 0
    decodings.clear()
    assert torch.equal(pixels_of(prepared(split)), expected)
    assert decodings == []


def test_a_pack_that_another_run_removes_meanwhile_is_no_loss(
    split: Split, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pictures = prepared(split)
    finish = PictureCache.finish
    shutil.rmtree(folder)
    assert torch.equal(pixels_of(pictures), decoded(split))  # it has them open

    def remove_first(self: PictureCache) -> None:
        finish(self)
        shutil.rmtree(folder)

    monkeypatch.setattr(PictureCache, "finish", remove_first)
    pictures = prepared(split, workers=2)  # the packs are the workers'
    (note,) = pictures.notes
    assert note.startswith("13 of 13 pictures will be decoded each time: another run removed them")
    assert torch.equal(pixels_of(pictures), decoded(split))


# Room


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("room", [100, 2000, 6000, 8000])
def test_the_cache_stays_within_its_budget_and_says_what_is_left_out(
    split: Split, folder: Path, room: float, workers: int
) -> None:
    for _ in range(2):
        pictures = prepared(split, workers=workers, room=room)
        assert size_of(folder) <= room
        assert torch.equal(pixels_of(pictures), decoded(split))
        (note,) = pictures.notes
        left = 13 - len(pictures.survey.places)
        assert note.startswith(f"{left} of 13 pictures will be decoded each time: the picture cache is full")
        assert (left == 13) == (room == 100)


def age(paths: list[Path], seconds: float) -> None:
    for path in paths:
        os.utime(path, (time.time() - seconds,) * 2)


def test_the_least_recently_used_packs_make_room_and_those_of_this_run_stay(
    split: Split, folder: Path, decodings: list[str]
) -> None:
    parts = [split.select(torch.arange(start, start + 4)) for start in (0, 4, 8)]
    packs = []
    for part in parts[:2]:
        prepared(part)
        packs.append(sorted(set(pack_files(folder, ".*")) - set(itertools.chain(*packs))))
    age(packs[0], 1000)
    age(packs[1], 2000)
    room = size_of(folder) * 1.2
    prepared(parts[0], room=room)  # is used again: now the other one is older
    prepared(parts[2], room=room)
    assert all(path.exists() for path in packs[0])
    assert not any(path.exists() for path in packs[1])
    assert size_of(folder) <= room
    decodings.clear()
    full = prepared(parts[1], room=room)  # everything is of this run
    assert len(decodings) == 4
    assert "is full" in full.notes[0]
    assert all(path.exists() for path in packs[0])


def test_packs_of_other_settings_count_and_are_removed_too(split: Split, folder: Path) -> None:
    prepared(split, replace(RGB, fit="stretch"))
    old = pack_files(folder, ".*")
    age(old, 1000)
    assert prepared(split, room=12_000).notes == ()
    assert not any(path.exists() for path in old)


def test_pixels_without_records_are_removed_in_time(split: Split, folder: Path) -> None:
    stray = folder / "0123456789abcdef" / "00000000000000000001-1.pixels"
    write_files(folder, {str(stray.relative_to(folder)): bytes(50_000)})
    age([stray], 1000)
    assert prepared(split, room=50_000).notes == ()
    assert not stray.exists()


def test_a_full_pack_is_followed_by_another(
    split: Split, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(picture_cache, "MAX_PACK_BYTES", 2000)
    for _ in range(2):
        assert torch.equal(pixels_of(prepared(split)), decoded(split))
        assert 3 <= len(pack_files(folder, ".pixels")) <= 6


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="counts open files as Linux tells them")
def test_any_number_of_packs_needs_no_open_files(
    split: Split, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(picture_cache, "MAX_PACK_BYTES", 1)
    before = len(list(Path("/proc/self/fd").iterdir()))
    pictures = prepared(split)
    assert torch.equal(pixels_of(pictures), decoded(split))
    assert len(pack_files(folder, ".pixels")) == 12  # one for each that is not there twice
    assert len(list(Path("/proc/self/fd").iterdir())) == before


def test_places_keep_every_number_whole() -> None:
    places = Places(5)
    rows = {
        3: (Place("b", 2**45, 70_000, 3, 224, 2**31), (2**40, 10**18, -1, 2**64 - 1)),
        1: (Place("a", 0, 1, 1, 1, 1), (0, 0, 0, 0)),
        4: (Place("b", 5, 6, 7, 8, 9), (1, -(10**15), 2, 2**63)),
    }
    for index, (place, stamp) in rows.items():
        places.put(index, place, stamp)
    assert list(places) == [1, 3, 4]
    assert len(places) == 3
    for index, (place, stamp) in rows.items():
        assert places[index] == place
        assert places.has_stamp(index, stamp)
        assert not places.has_stamp(index, (*stamp[:3], stamp[3] ^ 1))
    places.set_stamp(3, (1, 2, 3, 4))
    assert places.has_stamp(3, (1, 2, 3, 4))
    places.forget(3)
    assert (3 in places, 1 in places, 0 in places) == (False, True, False)


@contextmanager
def files_up_to(size: int) -> Iterator[None]:
    """As on a disk that gets full: no file can grow beyond ``size`` bytes."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("size", [0, 100, 1500])
def test_a_disk_that_gets_full_is_told_and_pictures_are_decoded_each_time(
    split: Split, size: int, workers: int
) -> None:
    expected = decoded(split)
    with files_up_to(size):
        pictures = prepared(split, workers=workers)
        assert torch.equal(pixels_of(pictures), expected)
    (note,) = pictures.notes
    assert "pictures will be decoded each time: the picture cache cannot be written (File too large)" in note
    assert torch.equal(pixels_of(prepared(split)), expected)  # nothing half-written is used
    assert prepared(split).notes == ()


def test_the_last_of_the_disk_is_left_free(
    split: Split, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk = shutil.disk_usage("/")
    monkeypatch.setattr(
        shutil, "disk_usage", lambda path: disk._replace(free=picture_packs.KEPT_FREE + 3000 - size_of(path))
    )
    (note,) = prepared(split).notes
    assert "the picture cache leaves the last of the disk free" in note
    assert 2000 < size_of(folder) <= 3000


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("place", ["a file", "no file system for files", "a closed folder"])
def test_a_folder_that_cannot_be_written_is_told_once_and_pictures_are_decoded_each_time(
    split: Split, tmp_path: Path, place: str, workers: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = Path("/proc") if place.startswith("no") else tmp_path / "cache"
    monkeypatch.setenv("STRIATE_CACHE", str(folder))
    if place == "a file":
        folder.write_bytes(b"")
    elif place == "a closed folder":
        if os.geteuid() == 0:
            pytest.skip("root may write everywhere")
        folder.mkdir(mode=0o500)
    pictures = prepared(split, workers=workers)
    assert torch.equal(pixels_of(pictures), decoded(split))
    (note,) = pictures.notes
    assert note.startswith("13 of 13 pictures will be decoded each time: the picture cache cannot be written")
    assert str(folder) in note
