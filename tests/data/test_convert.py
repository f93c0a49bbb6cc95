"""Conversion keeps classes, splits, labels and pixels; is whole or not there, and only reads its source."""

import errno
import hashlib
import os
import shutil
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
from faulty_pictures import encode, faulty_pixels, smooth_pixels, write_files
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from PIL import Image
from small_data import contents

from striate.data.convert import FORMATS, convert, only_split, with_splits
from striate.data.dataset import POOL, ArrayImages, Dataset, Split
from striate.data.load import load_data
from striate.data.split import split_dataset
from striate.data.write.names import UniqueNames, file_stem, safe_name
from striate.errors import InputError, one_line
from striate.recipe import DataSettings
from striate.text_files import composed


def samples(dataset, with_content=False):
    """The multiset of (split, class name, size, digest of pixels or of stored bytes)."""
    found = Counter()
    for name, split in dataset.splits.items():
        for i in range(len(split)):
            image, target = split[i]
            data = split.images.content(i) if with_content else image.numpy().tobytes()
            label = dataset.classes[int(target)]
            found[name, label, tuple(image.shape), hashlib.sha256(data).hexdigest()] += 1
    return found


def array_set(classes, counts, channels=1, size=(5, 6), source="memory"):
    """A data set in memory: ``counts`` pictures in each split, labels in turn."""
    splits = {}
    for seed, (name, count) in enumerate(counts.items()):
        pixels = np.random.default_rng(seed).integers(0, 256, (count, channels, *size), dtype=np.uint8)
        targets = torch.arange(count) % len(classes)
        splits[name] = Split(ArrayImages(torch.from_numpy(pixels), name), targets)
    return Dataset("set", source, "built-in", "", "classification", tuple(classes), channels, splits)


@pytest.fixture
def folder(tmp_path):
    """An image folder with splits, subfolders, several formats, and names that clash once flattened."""
    kinds = {"jpg": "JPEG", "PNG": "PNG", "ppm": "PPM", "jpeg": "JPEG"}
    names = ["train/rose/1.jpg", "train/rose/1.PNG", "train/rose/a.b.jpg", "train/rose/deep/er/1.ppm"]
    names += ["train/rose/deep-er-1.ppm", "train/ö x/ü 1.jpeg", "train/ö x/2.jpg"]
    names += ["valid/rose/1.jpg", "valid/ö x/1.ppm", "test/rose/9.ppm", "test/ö x/8.ppm"]
    files = {
        name: encode(smooth_pixels(9 + i, 12, seed=i), kinds[name.rsplit(".", 1)[1]])
        for i, name in enumerate(names)
    }
    write_files(tmp_path / "flowers", files)
    return tmp_path / "flowers"


# --- laws --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("to", ["image-folder", "tar-shards"])
@pytest.mark.parametrize("splits", [{"train": 7, "val": 3, "test": 4}, {"train": 6, "test": 2}, {POOL: 9}])
@pytest.mark.parametrize("channels", [1, 3])
def test_pictures_in_memory_keep_classes_splits_labels_and_pixels(tmp_path, to, splits, channels):
    dataset = array_set(("b", "a 1", "T-shirt"), splits, channels)
    done = convert(dataset, tmp_path / "out", to)
    found = load_data(tmp_path / "out")
    assert found.format == to
    assert list(found.splits) == list(splits)
    assert found.channels == channels
    assert sorted(found.classes) == sorted(dataset.classes)
    assert samples(found) == samples(dataset)
    assert done.counts == splits
    assert done.left_out == ()
    if to == "tar-shards":
        assert found.classes == dataset.classes
    else:
        assert any("class ids are other than before" in note for note in done.notes)


@pytest.mark.parametrize("to", ["image-folder", "tar-shards"])
def test_picture_files_keep_their_bytes(folder, tmp_path, to):
    source = load_data(folder)
    convert(source, tmp_path / "out", to)
    found = load_data(tmp_path / "out")
    assert found.classes == source.classes
    assert samples(found) == samples(source)
    assert samples(found, with_content=True) == samples(source, with_content=True)


def test_file_names_stay_and_are_made_unique(folder, tmp_path):
    convert(load_data(folder), tmp_path / "out", "image-folder")
    found = {str(path.relative_to(tmp_path / "out")) for path in (tmp_path / "out").rglob("*.*")}
    assert found == {
        "train/rose/1.jpg", "train/rose/1.PNG", "train/rose/a.b.jpg", "train/rose/deep-er-1.ppm",
        "train/rose/deep-er-1-2.ppm", "train/ö x/ü 1.jpeg", "train/ö x/2.jpg", "val/rose/1.jpg",
        "val/ö x/1.ppm", "test/rose/9.ppm", "test/ö x/8.ppm",
    }  # fmt: skip


def test_there_and_back_again_is_the_same_folder(tmp_path):
    names = [f"{split}/{label}/{i}.png" for split in ("train", "test") for label in "ab" for i in range(3)]
    files = {name: encode(smooth_pixels(6, 6, seed=i), "PNG") for i, name in enumerate(names)}
    write_files(tmp_path / "first", files)
    convert(load_data(tmp_path / "first"), tmp_path / "shards", "tar-shards", shard_bytes=2000)
    assert len(list((tmp_path / "shards").glob("*.tar"))) > 4
    convert(load_data(tmp_path / "shards"), tmp_path / "again", "tar-shards")
    convert(load_data(tmp_path / "again"), tmp_path / "last", "image-folder")
    assert {
        str(path.relative_to(tmp_path / "last")): path.read_bytes()
        for path in (tmp_path / "last").rglob("*.png")
    } == files
    assert load_data(tmp_path / "last").fingerprint() == load_data(tmp_path / "first").fingerprint()


def test_idx_there_and_back_is_the_same_data(tmp_path):
    classes = ("T-shirt", "Ankle boot", "bag ü")
    dataset = array_set(classes, {"train": 12, "test": 5})
    convert(dataset, tmp_path / "idx", "idx")
    found = load_data(tmp_path / "idx")
    assert found.format == "idx"
    assert found.classes == classes
    for split in ("train", "test"):
        assert torch.equal(found.splits[split].images.pixels, dataset.splits[split].images.pixels)
        assert torch.equal(found.splits[split].targets, dataset.splits[split].targets)
    assert found.fingerprint() == dataset.fingerprint()
    for to in ("image-folder", "tar-shards"):
        convert(found, tmp_path / to, to)
        convert(load_data(tmp_path / to), tmp_path / f"{to}-idx", "idx")
        assert samples(load_data(tmp_path / f"{to}-idx")) == samples(dataset)


def test_idx_files_are_those_that_a_plain_reader_expects(tmp_path):
    dataset = array_set("0123", {"train": 8, "test": 4})
    convert(dataset, tmp_path / "idx", "idx")
    assert sorted(path.name for path in (tmp_path / "idx").iterdir()) == [
        f"{part}-{kind}-ubyte" for part in ("t10k", "train") for kind in ("images-idx3", "labels-idx1")
    ]
    content = (tmp_path / "idx" / "train-images-idx3-ubyte").read_bytes()
    assert content[:16] == bytes([0, 0, 8, 3, 0, 0, 0, 8, 0, 0, 0, 5, 0, 0, 0, 6])
    pixels = np.frombuffer(content, np.uint8, offset=16).reshape(8, 5, 6)
    assert (pixels == dataset.splits["train"].images.pixels[:, 0].numpy()).all()
    labels = (tmp_path / "idx" / "t10k-labels-idx1-ubyte").read_bytes()
    assert labels == bytes([0, 0, 8, 1, 0, 0, 0, 4, 0, 1, 2, 3])


def test_written_pictures_are_read_by_pillow_as_they_were(tmp_path):
    dataset = array_set("ab", {"train": 4, "test": 2}, channels=3)
    convert(dataset, tmp_path / "out", "image-folder")
    for i in range(4):
        path = tmp_path / "out" / "train" / "ab"[i % 2] / f"0000{i}.png"
        expected = dataset.splits["train"].images.read(i).permute(1, 2, 0).numpy()
        assert (np.array(Image.open(path)) == expected).all()


def test_the_same_data_give_the_same_shards_byte_for_byte(folder, tmp_path):
    for name in ("a", "b"):
        convert(load_data(folder), tmp_path / name, "tar-shards", shard_bytes=3000)
    first, second = ({p.name: p.read_bytes() for p in (tmp_path / name).iterdir()} for name in "ab")
    assert first == second


def test_shards_mix_the_classes_and_keep_to_their_size(tmp_path):
    counts = dict.fromkeys("abcd", 40)
    files = {
        f"{label}/{i}.png": encode(smooth_pixels(8, 8, seed=i), "PNG")
        for label, count in counts.items()
        for i in range(count)
    }
    write_files(tmp_path / "in", files)
    convert(load_data(tmp_path / "in"), tmp_path / "out", "tar-shards", shard_bytes=60_000)
    images = load_data(tmp_path / "out").splits[POOL].images
    assert len(images.table.shards) >= 5
    for number, shard in enumerate(images.table.shards):
        assert shard.size <= 60_000 + 20_480  # headers of the last sample, and the end of a tar
        labels = images.table.labels[images.table.shard_ids == number]
        if len(labels) > 20:  # 4 classes: missing one has a probability below 4 * 0.75^20 = 1.3 %
            assert set(labels.tolist()) == {0, 1, 2, 3}


def test_a_picture_larger_than_a_shard_has_one_of_its_own(tmp_path):
    dataset = array_set("ab", {POOL: 4}, size=(40, 40))
    convert(dataset, tmp_path / "out", "tar-shards", shard_bytes=1)
    assert len(list((tmp_path / "out").glob("*.tar"))) == 4
    assert samples(load_data(tmp_path / "out")) == samples(dataset)


@pytest.mark.parametrize("to", FORMATS)
def test_real_digits_keep_every_pixel(tmp_path, to):
    dataset = split_dataset(load_data("digits"), (0.9, 0.0, 0.1))
    convert(dataset, tmp_path / "out", to)
    found = load_data(tmp_path / "out")
    assert found.classes == dataset.classes
    assert samples(found) == samples(dataset)


# --- names -------------------------------------------------------------------------------------------

texts = st.text(st.characters(exclude_categories=()), min_size=1, max_size=12)
readable = texts.filter(lambda text: text == one_line(text))
storable = st.binary(min_size=1, max_size=12).map(os.fsdecode) | texts.filter(str.isprintable)


@settings(max_examples=300, deadline=None)
@given(texts)
def test_a_safe_name_is_one_visible_name_and_stays_if_it_was(text):
    name = safe_name(text)
    assert name not in ("", ".", "..")
    assert not name.startswith(".")
    assert not set(name) & set("/\\\0\n")
    assert len(name.encode()) <= 255
    assert safe_name(name) == name
    assert Path("x", name).name == name


@settings(max_examples=100, deadline=None)
@given(st.lists(st.sampled_from(["a", "A", "a-2", "a-3", "ß", "SS", "é", "e\u0301", "b"]), max_size=12))
def test_unique_names_differ_whatever_the_file_system_folds(stems):
    names = UniqueNames()
    claimed = [names.claim(stem, ".png") for stem in stems]
    assert len({name.casefold() for name in claimed}) == len(stems)
    for i, (stem, name) in enumerate(zip(stems, claimed, strict=True)):
        if stem not in [other for j, other in enumerate(stems) if j != i] and name != f"{stem}.png":
            assert name.startswith(f"{stem}-")


def test_a_stem_drops_the_folders_of_its_split_and_class():
    assert file_stem("train/rose/deep/1.jpg", "train", "rose") == "deep-1"
    assert file_stem("valid/rose/1.jpg", "val", "rose") == "1"
    assert file_stem("valid/rose/1.jpg", POOL, "rose") == "1"
    assert file_stem("train/rose/1.jpg", "val", "rose") == "1"
    assert file_stem("rose/1.jpg", POOL, "rose") == "1"
    assert file_stem("rose/1.jpg", POOL, "tulip") == "rose-1"
    assert file_stem("train/00042", "val", "3") == "train-00042"
    assert file_stem("train/a.b.jpg", "train", "train") == "a.b"
    assert file_stem("rose.png", "train", "rose.png") == "rose"


@settings(max_examples=25, deadline=None)
@given(st.lists(readable, min_size=2, max_size=4, unique=True), st.data())
def test_any_class_names_survive_shards_and_idx_and_any_folder_names_an_image_folder(
    tmp_path_factory, classes, data
):
    root = tmp_path_factory.mktemp("names")
    classes = list(dict.fromkeys(map(composed, classes)))  # as they are read, in whichever form of Unicode
    assume(len(classes) > 1)
    dataset = array_set(classes, {"train": 2 * len(classes), "test": len(classes)}, size=(2, 2))
    for to in ("tar-shards", "idx"):
        convert(dataset, root / to, to)
        assert load_data(root / to).classes == dataset.classes
        assert samples(load_data(root / to)) == samples(dataset)
    if len({safe_name(name) for name in classes}) == len(classes):
        convert(dataset, root / "folder", "image-folder")
        found = load_data(root / "folder")
        assert set(found.classes) == {safe_name(name) for name in classes}
        assert Counter({key[:1] + key[2:]: n for key, n in samples(found).items()}) == Counter(
            {key[:1] + key[2:]: n for key, n in samples(dataset).items()}
        )
    shutil.rmtree(root)


@settings(max_examples=25, deadline=None)
@given(st.lists(storable, min_size=2, max_size=6, unique=True))
def test_any_file_names_stay_inside_and_apart(tmp_path_factory, stems):
    """Names that no file system would hold come from archives."""
    import io
    import tarfile

    root = tmp_path_factory.mktemp("files")
    expected = Counter()
    with tarfile.open(root / "set.tar", "w") as tar:
        for i, stem in enumerate(stems):
            content = encode(smooth_pixels(3, 3, seed=i), "PNG")
            info = tarfile.TarInfo(f"{'ab'[i % 2]}/_{stem.replace('/', '_').replace(chr(0), '_')}.png")
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
            expected["ab"[i % 2], content] += 1
    try:
        dataset = load_data(root / "set.tar")
    except InputError:  # a backslash may lead out, two names may be one
        shutil.rmtree(root)
        return
    read = sum(len(split) for split in dataset.splits.values())
    for to in ("image-folder", "tar-shards"):
        done = convert(dataset, root / "out", to)
        assert done.counts == {POOL: read}
        assert [path.name for path in root.iterdir() if path.name != "set.tar"] == ["out"]
        assert samples(load_data(root / "out"), with_content=True) == samples(dataset, with_content=True)
        shutil.rmtree(root / "out")
    shutil.rmtree(root)


def test_a_class_name_with_a_slash_becomes_a_folder_that_is_named_to_the_user(tmp_path):
    dataset = array_set(("T-shirt/top", "..", "bag"), {"train": 6, "test": 3})
    done = convert(dataset, tmp_path / "out", "image-folder")
    assert set(load_data(tmp_path / "out").classes) == {"T-shirt_top", "_.", "bag"}
    assert "class T-shirt/top is in the folder T-shirt_top" in done.notes


@pytest.mark.parametrize(
    ("classes", "message"),
    [
        (("a/b", "a_b"), "would have the same folder, a_b"),
        (("train", "test"), "taken for splits: train, test"),
        (("Train", "valid", "bus"), "taken for splits: Train, valid"),
    ],
)
def test_class_names_that_a_folder_cannot_hold_are_refused(tmp_path, classes, message):
    dataset = array_set(classes, {POOL: 6})
    with pytest.raises(InputError, match=message):
        convert(dataset, tmp_path / "out", "image-folder")
    assert list(tmp_path.iterdir()) == []
    convert(dataset, tmp_path / "shards", "tar-shards")
    assert load_data(tmp_path / "shards").classes == classes


def test_a_single_class_named_as_a_split_among_others_is_a_class(tmp_path):
    dataset = array_set(("train", "bus"), {POOL: 6})
    convert(dataset, tmp_path / "out", "image-folder")
    assert samples(load_data(tmp_path / "out")) == samples(dataset)


# --- what a format cannot hold ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("dataset", "message"),
    [
        (array_set("ab", {POOL: 4}), "for train and test, the data have all"),
        (array_set("ab", {"train": 4, "val": 2, "test": 2}), "the data have train, val, test"),
        (array_set("ab", {"train": 4, "test": 2}, channels=3), "these have colour"),
        (array_set(list(map(str, range(257))), {"train": 257, "test": 2}), "at most 256 classes"),
    ],
)
def test_idx_refuses_what_it_cannot_hold_and_says_what_can(tmp_path, dataset, message):
    with pytest.raises(InputError, match=message) as caught:
        convert(dataset, tmp_path / "out", "idx")
    assert "--to" in caught.value.what_to_do
    assert list(tmp_path.iterdir()) == []


def test_idx_refuses_pictures_of_several_sizes_and_names_the_first(tmp_path):
    sizes = {"train/a/1.pgm": 5, "train/b/1.pgm": 5, "test/a/1.pgm": 5, "test/b/1.pgm": 6}
    files = {name: encode(smooth_pixels(5, width, channels=1), "PPM") for name, width in sizes.items()}
    write_files(tmp_path / "in", files)
    with pytest.raises(InputError, match="this has 6x5 pixels, the first 5x5") as caught:
        convert(load_data(tmp_path / "in"), tmp_path / "out", "idx")
    assert caught.value.where == "test/b/1.pgm"


def test_unknown_formats_and_links_that_no_format_holds_are_refused(tmp_path):
    dataset = array_set("ab", {POOL: 4})
    with pytest.raises(InputError, match="no format that is written"):
        convert(dataset, tmp_path / "out", "coco")
    with pytest.raises(InputError, match="cannot hold links"):
        convert(dataset, tmp_path / "out", "tar-shards", link=True)


def test_a_class_that_could_not_be_trained_on_is_refused(tmp_path):
    dataset = array_set("abc", {"train": 2, "test": 3})
    with pytest.raises(InputError, match="test has a class that train has not: c"):
        convert(dataset, tmp_path / "out", "image-folder")
    with pytest.raises(InputError, match="one class only"):
        convert(array_set("ab", {POOL: 1}), tmp_path / "out", "image-folder")


# --- faults ------------------------------------------------------------------------------------------


@pytest.fixture
def with_faults(tmp_path):
    """An image folder with a picture that fails to decode, and a file that is none."""
    files = {
        f"{label}/{i}.png": encode(smooth_pixels(5, 5, seed=i), "PNG") for label in "ab" for i in range(4)
    }
    files["a/bad.jpg"] = faulty_pixels()["cut_colour.jpg"]
    files["b/note.exe"] = b"x"
    write_files(tmp_path / "in", files)
    return tmp_path / "in"


@pytest.mark.parametrize("to", ["image-folder", "tar-shards"])
def test_pictures_that_cannot_be_read_are_named_and_left_out(with_faults, tmp_path, to):
    done = convert(load_data(with_faults), tmp_path / "out", to)
    assert sorted(fault.name for fault in done.left_out) == ["a/bad.jpg", "b/note.exe"]
    assert done.counts == {POOL: 8}
    assert load_data(tmp_path / "out").faults == ()
    assert done.facts()["left_out"][0][0] == "b/note.exe"


@pytest.mark.parametrize("name", ["b/note.exe", "a/bad.jpg"])
def test_strict_stops_at_the_first_fault_and_leaves_nothing(with_faults, tmp_path, name):
    for other in {"b/note.exe", "a/bad.jpg"} - {name}:
        (with_faults / other).unlink()
    dataset = load_data(with_faults)
    with pytest.raises(InputError) as caught:
        convert(dataset, tmp_path / "out", "image-folder", strict=True)
    assert caught.value.where == name
    assert [path.name for path in tmp_path.iterdir()] == ["in"]


def test_a_class_of_which_nothing_can_be_read_is_an_error(with_faults, tmp_path):
    write_files(with_faults, {"c/1.jpg": faulty_pixels()["cut_colour.jpg"]})
    with pytest.raises(InputError, match="no picture of class c can be read"):
        convert(load_data(with_faults), tmp_path / "out", "tar-shards")
    assert [path.name for path in tmp_path.iterdir()] == ["in"]


# --- whole or not at all -----------------------------------------------------------------------------


@pytest.mark.parametrize("to", ["image-folder", "tar-shards"])
@pytest.mark.parametrize("link", [False, True])
def test_the_source_stays_as_it_is(folder, tmp_path, to, link):
    def state():
        return {p: (p.stat().st_mtime_ns, p.stat().st_mode) for p in folder.rglob("*")}, contents(folder)

    before = state()
    convert(load_data(folder), tmp_path / "out", to, link=link and to == "image-folder")
    assert state() == before


@pytest.mark.parametrize("kind", ["file", "folder"])
def test_what_is_there_already_is_never_overwritten(folder, tmp_path, kind):
    out = tmp_path / "out"
    if kind == "file":
        out.write_text("mine")
    else:
        write_files(out, {"mine.txt": b"mine"})
    before = contents(tmp_path)
    with pytest.raises(InputError, match="there is something already"):
        convert(load_data(folder), out, "image-folder")
    assert contents(tmp_path) == before


def test_an_empty_folder_is_filled_and_folders_above_are_made(folder, tmp_path):
    (tmp_path / "empty").mkdir()
    for out in (tmp_path / "empty", tmp_path / "a" / "b"):
        convert(load_data(folder), out, "tar-shards")
        assert load_data(out).format == "tar-shards"


def test_a_folder_inside_the_data_is_refused(folder):
    before = contents(folder)
    with pytest.raises(InputError, match="inside the data"):
        convert(load_data(folder), folder / "train" / "out", "image-folder")
    assert contents(folder) == before


@pytest.mark.skipif(os.name == "nt", reason="limits of this kind are Unix's")
@pytest.mark.parametrize("to", FORMATS)
def test_a_disk_without_room_is_a_clear_error_and_leaves_nothing(tmp_path, to):
    import resource

    dataset = array_set("ab", {"train": 40, "test": 4}, size=(60, 60))
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2000, hard))  # a write beyond fails as a full disk does
    try:
        with pytest.raises(InputError, match="cannot be written: File too large") as caught:
            convert(dataset, tmp_path / "out", to)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert caught.value.where == str(tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "No space left on device"), KeyboardInterrupt()])
def test_an_end_at_the_last_moment_leaves_nothing(tmp_path, monkeypatch, error):
    def fail(*arguments):
        raise error

    monkeypatch.setattr(Path, "rename", fail)
    with pytest.raises(InputError if isinstance(error, OSError) else KeyboardInterrupt):
        convert(array_set("ab", {POOL: 4}), tmp_path / "out", "image-folder")
    assert list(tmp_path.iterdir()) == []


def test_nothing_is_at_the_place_before_all_is_written_and_flushed(tmp_path, monkeypatch):
    out, events, fsync = tmp_path / "out", [], os.fsync

    def watched(descriptor):
        events.append(out.exists())
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", watched)
    done = convert(array_set("ab", {POOL: 4}), out, "tar-shards")
    assert events == [False] * done.files
    assert done.bytes == sum(path.stat().st_size for path in out.iterdir())


# --- splits ------------------------------------------------------------------------------------------


def big_pool(tmp_path):
    names = [f"{label}/{i:02d}.png" for label in ("x", "y") for i in range(20)]
    write_files(
        tmp_path / "pool", {name: encode(smooth_pixels(4, 4, seed=i), "PNG") for i, name in enumerate(names)}
    )
    return tmp_path / "pool"


@pytest.mark.parametrize("to", ["image-folder", "tar-shards"])
@pytest.mark.parametrize("seed", [0, 5])
def test_the_splits_are_those_that_training_makes(tmp_path, to, seed):
    pool = big_pool(tmp_path)
    recipe = DataSettings(seed=seed)
    expected = split_dataset(load_data(pool), recipe.fractions, recipe.seed, recipe.val_fraction)
    convert(with_splits(load_data(pool), None, seed), tmp_path / "out", to)
    found = load_data(tmp_path / "out")
    assert {name: len(split) for name, split in found.splits.items()} == {"train": 30, "val": 6, "test": 4}
    assert samples(found) == samples(expected)
    assert split_dataset(found) is found  # training takes them as they are


def test_another_seed_and_other_fractions_give_other_splits(tmp_path):
    dataset = load_data(big_pool(tmp_path))
    a, b = (samples(with_splits(dataset, None, seed)) for seed in (0, 1))
    assert a != b
    shares = with_splits(dataset, (0.5, 0.0, 0.5), 0).splits
    assert {name: len(split) for name, split in shares.items()} == {"train": 20, "test": 20}


def test_a_test_split_stays_and_train_gives_a_tenth_to_val():
    dataset = array_set("ab", {"train": 40, "test": 6})
    found = with_splits(dataset, None, 0)
    assert {name: len(split) for name, split in found.splits.items()} == {"train": 36, "val": 4, "test": 6}
    with pytest.raises(InputError, match="a test split already"):
        with_splits(dataset, (0.8, 0.1, 0.1), 0)
    with pytest.raises(InputError, match="split already"):
        with_splits(found, None, 0)


def test_one_split_becomes_a_set_of_its_own(folder, tmp_path):
    dataset = load_data(folder)
    convert(only_split(dataset, "test"), tmp_path / "out", "image-folder")
    found = load_data(tmp_path / "out")
    assert list(found.splits) == [POOL]
    assert found.classes == dataset.classes
    assert sorted(found.splits[POOL].names) == ["rose/9.ppm", "ö x/8.ppm"]
    with pytest.raises(InputError, match="no split 'dev'"):
        only_split(dataset, "dev")


def test_links_are_the_same_files_and_copies_are_counted(tmp_path, monkeypatch):
    pool = big_pool(tmp_path)
    done = convert(load_data(pool), tmp_path / "linked", "image-folder", link=True)
    assert done.notes == ()
    for path in pool.rglob("*.png"):
        assert (tmp_path / "linked" / path.relative_to(pool)).samefile(path)
    shutil.make_archive(str(tmp_path / "packed"), "zip", pool)
    done = convert(load_data(tmp_path / "packed.zip"), tmp_path / "from_zip", "image-folder", link=True)
    assert done.notes[0].startswith("40 pictures are copies")

    def other_disk(*arguments, **options):
        raise OSError(errno.EXDEV, "Invalid cross-device link")

    monkeypatch.setattr(os, "link", other_disk)
    done = convert(load_data(pool), tmp_path / "copied", "image-folder", link=True)
    assert done.notes[0].startswith("40 pictures are copies")
    assert samples(load_data(tmp_path / "copied")) == samples(load_data(pool))


@pytest.mark.skipif(os.name == "nt", reason="links need rights there")
def test_a_link_to_a_link_is_a_link_to_the_picture(tmp_path):
    pool = big_pool(tmp_path)
    (pool / "x" / "alias.png").symlink_to(pool / "y" / "00.png")
    convert(load_data(pool), tmp_path / "linked", "image-folder", link=True)
    made = tmp_path / "linked" / "x" / "alias.png"
    assert not made.is_symlink()
    assert made.samefile(pool / "y" / "00.png")


def test_real_flowers_go_through_shards_unchanged(real_data, tmp_path):
    source = real_data / "flowers.zip"
    if not source.exists():
        pytest.skip("needs flowers.zip in STRIATE_DATA")
    dataset = load_data(source)
    chosen = torch.arange(0, len(dataset.splits[POOL]), 12)
    part = Dataset(**{**vars(dataset), "splits": {POOL: dataset.splits[POOL].select(chosen)}})
    convert(part, tmp_path / "shards", "tar-shards", shard_bytes=200_000)
    found = load_data(tmp_path / "shards")
    assert len(list((tmp_path / "shards").glob("*.tar"))) > 5
    assert sorted(found.splits[POOL].names) == sorted(part.splits[POOL].names)
    assert samples(found, with_content=True) == samples(part, with_content=True)
