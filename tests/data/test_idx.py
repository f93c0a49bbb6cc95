import gzip
import struct
import zipfile

import numpy as np
import pytest
import torch

from striate.data.formats import cifar_binary, idx
from striate.errors import InputError

NAMES = ("train-images-idx3", "train-labels-idx1", "t10k-images-idx3", "t10k-labels-idx1")


def write_set(folder, spelling="{}-ubyte.gz", train=5, test=3):
    """A tiny data set in MNIST's four files; its training pixels."""
    folder.mkdir(exist_ok=True)
    rng = np.random.default_rng(0)
    arrays = []
    for count in (train, test):
        arrays += [rng.integers(0, 256, (count, 4, 6), dtype=np.uint8), np.arange(count, dtype=np.uint8) % 3]
    for name, array in zip(NAMES, arrays, strict=True):
        idx.write_idx(folder / spelling.format(name), array)
    return arrays[0]


@pytest.mark.parametrize("shape", [(7,), (2, 3), (2, 3, 5), (1, 2, 3, 4)])
@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_read_inverts_write(tmp_path, shape, suffix):
    values = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    idx.write_idx(tmp_path / f"a{suffix}", values)
    read = idx.read_idx(tmp_path / f"a{suffix}")
    assert read.dtype == np.uint8
    assert read.shape == shape
    assert (read == values).all()


def test_the_bytes_are_those_of_the_format(tmp_path):
    idx.write_idx(tmp_path / "a", np.array([[1, 2, 3], [4, 5, 6]], dtype=np.uint8))
    assert (tmp_path / "a").read_bytes() == bytes([0, 0, 8, 2, 0, 0, 0, 2, 0, 0, 0, 3, 1, 2, 3, 4, 5, 6])


GOOD = struct.pack(">HBB2I", 0, 8, 2, 2, 3) + bytes(6)


def packed(content: bytes) -> bytes:
    """By gzip, without the time: the names of tests must not change from one process to the next."""
    return gzip.compress(content, mtime=0)


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        (b"", "not an IDX file"),
        (b"\0\0\x08", "not an IDX file"),
        (b"\1" + GOOD[1:], "not an IDX file"),
        (b"\0\0\x08\0", "not an IDX file"),
        (b"\0\0\x0d" + GOOD[3:], "0x0d, not unsigned bytes"),
        (GOOD[:9], "within its header"),
        (GOOD[:-1], "fewer values than the 6"),
        (GOOD + b"\0", "more values than the 6"),
        (struct.pack(">HBB2I", 0, 8, 2, 70_000, 70_000), "more than 2,147,483,648"),
        (packed(GOOD)[:-9], "damaged"),
        (packed(GOOD)[:12] + b"\xff\xff\xff" + packed(GOOD)[15:], "damaged"),
        (packed(GOOD + bytes(10_000_000)), "more values than the 6"),
    ],
)
def test_damaged_file_is_an_input_error(tmp_path, content, fault):
    (tmp_path / "a.gz").write_bytes(content)
    with pytest.raises(InputError, match=fault) as caught:
        idx.read_idx(tmp_path / "a.gz")
    assert caught.value.where == str(tmp_path / "a.gz")


def test_missing_file_is_an_input_error(tmp_path):
    with pytest.raises(InputError, match="No such file"):
        idx.read_idx(tmp_path / "none")


@pytest.mark.parametrize("spelling", ["{}-ubyte.gz", "{}-ubyte"])
@pytest.mark.parametrize("dot", [False, True])
def test_load_takes_the_official_names_in_all_spellings(tmp_path, spelling, dot):
    pixels = write_set(tmp_path / "digits", spelling)
    if dot:
        for path in list((tmp_path / "digits").iterdir()):
            path.rename(path.with_name(path.name.replace("-idx", ".idx")))
    dataset = idx.load(tmp_path / "digits")
    assert {name: len(split) for name, split in dataset.splits.items()} == {"train": 5, "test": 3}
    assert (dataset.name, dataset.format, dataset.channels) == ("digits", "idx", 1)
    assert dataset.classes == ("0", "1", "2")
    image, target = dataset.splits["train"][4]
    assert (image.numpy() == pixels[4:]).all()
    assert image.shape == (1, 4, 6)
    assert (target.dtype, int(target)) == (torch.int64, 1)


def test_a_zip_holds_the_same_data_as_its_folder(tmp_path):
    write_set(tmp_path / "digits")
    with zipfile.ZipFile(tmp_path / "digits.zip", "w") as archive:
        for path in (tmp_path / "digits").iterdir():
            archive.write(path, f"inside/{path.name}")
    fingerprints = {idx.load(tmp_path / name).fingerprint() for name in ("digits", "digits.zip")}
    assert len(fingerprints) == 1


def test_load_refuses_what_does_not_fit_together(tmp_path):
    write_set(tmp_path / "a")
    (tmp_path / "a" / "t10k-labels-idx1-ubyte.gz").unlink()
    with pytest.raises(InputError, match="t10k-labels-idx1-ubyte is missing"):
        idx.load(tmp_path / "a")
    write_set(tmp_path / "b")
    write_set(tmp_path / "b", "{}-ubyte")
    with pytest.raises(InputError, match="are the same part"):
        idx.load(tmp_path / "b")
    write_set(tmp_path / "c")
    idx.write_idx(tmp_path / "c" / "train-labels-idx1-ubyte.gz", np.zeros(4, dtype=np.uint8))
    with pytest.raises(InputError, match="do not fit together"):
        idx.load(tmp_path / "c")
    write_set(tmp_path / "d")
    idx.write_idx(tmp_path / "d" / "t10k-labels-idx1-ubyte.gz", np.array([0, 1, 9], dtype=np.uint8))
    with pytest.raises(InputError, match=r"the training labels have not: \[9\]"):
        idx.load(tmp_path / "d")


@pytest.mark.parametrize(
    ("name", "mean"),
    [("mnist", 0.1307), ("fashion-mnist", 0.2860)],  # as published
)
def test_the_official_files_have_their_published_statistics(real_data, name, mean):
    dataset = idx.load(real_data / name)
    assert {split: len(part) for split, part in dataset.splits.items()} == {"train": 60_000, "test": 10_000}
    assert len(dataset.classes) == 10
    pixels = dataset.splits["train"].images.pixels
    assert pixels.shape == (60_000, 1, 28, 28)
    assert pixels.sum(dtype=torch.int64).item() / pixels.numel() / 255 == pytest.approx(mean, abs=1e-4)


def write_cifar(folder, records=4):
    """The six files with ``records`` records each; record r of file f has label r, red f, green r, blue 7."""
    folder.mkdir(parents=True)
    files = [f"data_batch_{i}.bin" for i in range(1, 6)] + ["test_batch.bin"]
    for f, name in enumerate(files):
        rows = [
            bytes([r]) + bytes([f]) * 1024 + bytes([r]) * 1024 + bytes([7]) * 1024 for r in range(records)
        ]
        (folder / name).write_bytes(b"".join(rows))


def test_cifar_records_are_a_label_then_three_planes(tmp_path):
    write_cifar(tmp_path / "cifar" / "cifar-10-batches-bin")
    dataset = cifar_binary.load(tmp_path / "cifar")
    assert {name: len(split) for name, split in dataset.splits.items()} == {"train": 20, "test": 4}
    image, target = dataset.splits["train"][4 * 2 + 3]  # third file, fourth record
    assert int(target) == 3
    assert image.shape == (3, 32, 32)
    assert [plane.unique().tolist() for plane in image] == [[2], [3], [7]]
    assert dataset.classes[3] == "cat"


def test_damaged_cifar_files_are_input_errors(tmp_path):
    write_cifar(tmp_path / "a")
    first = tmp_path / "a" / "data_batch_1.bin"
    whole = first.read_bytes()
    for content, fault in (
        (whole[:-1], "whole records"),
        (b"", "whole records"),
        (b"\x0a" + whole[1:], "above 9"),
    ):
        first.write_bytes(content)
        with pytest.raises(InputError, match=fault):
            cifar_binary.load(tmp_path / "a")
    first.unlink()
    with pytest.raises(InputError, match=r"data_batch_1\.bin is missing"):
        cifar_binary.load(tmp_path / "a")
