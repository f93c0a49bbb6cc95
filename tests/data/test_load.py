import gzip
import io
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from faulty_pictures import good_pictures, write_files

import striate.data
from striate.data.formats.idx import write_idx
from striate.data.load import load_data
from striate.errors import InputError


def write_idx_set(folder):
    folder.mkdir()
    for part in ("train", "t10k"):
        write_idx(folder / f"{part}-images-idx3-ubyte", np.zeros((4, 2, 2), dtype=np.uint8))
        write_idx(folder / f"{part}-labels-idx1-ubyte", np.array([0, 1, 0, 1], dtype=np.uint8))
    return folder


def write_cifar_archive(path):
    record = bytes([3]) + bytes(3072)
    with tarfile.open(path, "w:gz") as packed:
        for name in [f"data_batch_{i}.bin" for i in range(1, 6)] + ["test_batch.bin", "readme.html"]:
            info = tarfile.TarInfo(f"cifar-10-batches-bin/{name}")
            info.size = len(record)
            packed.addfile(info, io.BytesIO(record))
    return path


def test_the_format_is_told_from_what_is_there(tmp_path, make_classes):
    idx_folder = write_idx_set(tmp_path / "idx")
    with zipfile.ZipFile(tmp_path / "idx.zip", "w") as packed:
        for path in idx_folder.iterdir():
            packed.write(path, path.name)
    cifar = write_cifar_archive(tmp_path / "cifar-10-binary.tar.gz")
    with tarfile.open(cifar) as packed:
        packed.extractall(tmp_path / "cifar", filter="data")
    expected = {
        idx_folder: "idx",
        tmp_path / "idx.zip": "idx",
        cifar: "cifar-binary",
        tmp_path / "cifar": "cifar-binary",
        tmp_path / "cifar" / "cifar-10-batches-bin": "cifar-binary",
        make_classes({"a": 1, "b": 1}): "image-folder",
    }
    for path, kind in expected.items():
        dataset = load_data(str(path))
        assert dataset.format == kind
        assert dataset.why
        assert dataset.source == str(path)
    assert load_data(cifar).fingerprint() == load_data(tmp_path / "cifar").fingerprint()


def test_a_catalogue_name_wins_over_a_folder_unless_it_is_a_path(make_classes, monkeypatch):
    folder = make_classes({"a": 1, "b": 1}, name="digits")
    monkeypatch.chdir(folder.parent)
    assert load_data("digits").format == "built-in"
    for path in ("./digits", str(folder), Path("digits")):
        assert load_data(path).format == "image-folder"


def test_an_unknown_name_gets_close_matches_and_the_list():
    with pytest.raises(InputError, match="no such folder, archive or data set") as caught:
        load_data("Fashon-MNIST")
    assert caught.value.where == "Fashon-MNIST"
    assert "did you mean fashion-mnist" in caught.value.what_to_do
    assert "cifar10" in caught.value.what_to_do


def test_a_path_that_cannot_be_is_an_input_error():
    with pytest.raises(InputError, match="name too long"):
        load_data("x" * 5000)


@pytest.mark.parametrize(
    ("name", "fault"),
    [
        ("a.png", "one picture is no data set"),
        ("a.csv", r"\.csv is no kind of file"),
        ("a.rar", r"\.rar is no kind of file"),
        ("noend", "this is no kind of file"),
    ],
)
def test_files_that_are_no_data_set_are_refused(tmp_path, name, fault):
    (path,) = write_files(tmp_path, {name: good_pictures()["colour.png"]})
    with pytest.raises(InputError, match=fault):
        load_data(path)


def test_a_gzip_file_called_tar_is_still_read(make_classes, tmp_path):
    folder = make_classes({"a": 1, "b": 1})
    with tarfile.open(tmp_path / "plain", "w") as packed:
        packed.add(folder, "flowers")
    (tmp_path / "packed.tar").write_bytes(gzip.compress((tmp_path / "plain").read_bytes()))
    assert load_data(tmp_path / "packed.tar").fingerprint() == load_data(folder).fingerprint()


def test_the_package_offers_what_reads_data(make_classes):
    folder = make_classes({"a": 1, "b": 1})
    dataset = striate.data.load_data(folder)
    assert isinstance(dataset, striate.data.Dataset)
    image, target = dataset.splits["all"][1]
    assert torch.equal(image, striate.data.decode_image(folder / "b" / "0.png"))
    assert int(target) == 1
