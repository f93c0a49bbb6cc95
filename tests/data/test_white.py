"""``input.white``: the value of a camera's 12 bits that is white, in training, run folder and prediction."""

import zipfile

import numpy as np
import pytest
import torch
from faulty_pictures import encode, smooth_pixels
from PIL import Image
from tiff_files import tiff_file

import striate
from striate.audit.inventory import take_inventory
from striate.audit.pictures import look_at_all, picture_findings
from striate.data.archive import open_archive
from striate.data.dataset import ArchiveImages, FolderImages, JoinedImages, Split
from striate.data.images import decode_image, to_image
from striate.data.loader import prepare_pictures
from striate.data.preprocessing import Preprocessing
from striate.errors import InputError
from striate.run_folder import read_config


def twelve_bits(seed: int) -> np.ndarray:
    """(20, 24, 1), of 16 bits as stored, 12 as used."""
    values = smooth_pixels(20, 24, 1, seed).astype(np.uint16) * 16 + 15
    values[0, 0] = 4095
    return values[:, :, None]


@pytest.fixture
def camera(tmp_path):
    """An image folder of two classes, four pictures each, TIFF and PNG in turn."""
    for i in range(8):
        folder = tmp_path / "camera" / "ab"[i % 2]
        folder.mkdir(parents=True, exist_ok=True)
        values = twelve_bits(i)
        if i < 4:
            (folder / f"{i}.tif").write_bytes(tiff_file(values, 16, 1))
        else:
            (folder / f"{i}.png").write_bytes(encode(Image.fromarray(values[:, :, 0]), "PNG"))
    return tmp_path / "camera"


def test_pictures_of_every_source_are_read_with_it(camera, tmp_path):
    names = ("a/0.tif", "b/7.png")
    with zipfile.ZipFile(tmp_path / "camera.zip", "w") as file:
        for name in names:
            file.write(camera / name, name)
    folder = FolderImages(camera, names)
    archive = ArchiveImages(open_archive(tmp_path / "camera.zip"), "", names)
    for images in (folder, archive, JoinedImages([folder, archive])):
        told = images.with_white(4095)
        for index, seed in ((0, 0), (1, 7)):
            expected = np.rint(twelve_bits(seed)[:, :, 0] / 4095 * 255)
            assert (told.read(index)[0].numpy() == expected).all()
            assert (told.decode(index, images.content(index))[0].numpy() == expected).all()
            assert images.read(index).max() == 16  # the others are as they were


@pytest.mark.parametrize("memory", [0, 2**30])
def test_it_is_part_of_the_preprocessing(camera, memory, tmp_path, monkeypatch):
    monkeypatch.setenv("STRIATE_CACHE", str(tmp_path / "cache"))
    split = Split(FolderImages(camera, ("a/0.tif",)), torch.tensor([0]))
    for white, brightest in ((None, 16), (4095, 255), (8191, 127), (None, 16)):
        preprocessing = Preprocessing((20, 24), 1, "stretch", 0, (0.0,), (1.0,), white=white)
        pictures, faults = prepare_pictures(split, preprocessing, memory, cache_bytes=2**24)
        assert faults == []
        ((images, _),) = pictures.batches([torch.tensor([0])])
        assert images.max() == brightest


def test_a_run_keeps_it_and_predicts_with_it(camera, tmp_path):
    settings = {"input.white": 4095, "input.size": 20, "train.epochs": 1, "train.batch_size": 2}
    run = striate.train(camera, out=tmp_path / "run", settings=settings)
    assert read_config(tmp_path / "run").input.white == 4095
    again = striate.load_run(tmp_path / "run")
    picture = camera / "a" / "0.tif"
    bright = decode_image(picture, white=4095)
    assert bright.max() == 255
    assert again.predict(picture) == again.predict(bright) == run.predict(picture)


def test_a_value_beyond_white_is_a_fault(camera):
    images = FolderImages(camera, ("a/0.tif",)).with_white(1023)
    with pytest.raises(InputError, match="4095") as caught:
        images.read(0)
    assert "0.tif" in caught.value.where


def test_pictures_in_memory_take_it_too():
    values = twelve_bits(0)
    expected = np.rint(values[:, :, 0] / 4095 * 255)
    for source in (values, Image.fromarray(values[:, :, 0]), values.astype(np.int32), values.astype(float)):
        assert (to_image(source, white=4095)[0].numpy() == expected).all()
    assert (to_image(np.uint8([[7]]), white=4095) == 7).all()


@pytest.mark.parametrize(("top", "part", "levels"), [(1023, 64, 4), (4095, 16, 16), (16383, 4, 64)])
@pytest.mark.parametrize("kind", ["tif", "png"])
def test_the_audit_tells_a_range_that_is_hardly_used(kind, top, part, levels, tmp_path):
    for i in range(4):
        values = smooth_pixels(40, 48, 1, i).astype(np.uint16) * np.uint16((top + 1) // 256)
        values[0, 0] = top if i == 3 else 0
        folder = tmp_path / "ab"[i % 2]
        folder.mkdir(exist_ok=True)
        png = encode(Image.fromarray(values), "PNG")
        content = tiff_file(values[:, :, None], 16, 1) if kind == "tif" else png
        (folder / f"{i}.{kind}").write_bytes(content)
    (tmp_path / "a" / "eight.png").write_bytes(encode(smooth_pixels(40, 48, 1), "PNG"))
    inventory = take_inventory(tmp_path)
    found = picture_findings(inventory.entries, look_at_all(inventory, 0, lambda count: None))
    (finding,) = [finding for finding in found if finding.kind == "narrow-range"]
    assert sorted(inventory.entries[i].name[-5:] for i in finding.entries) == [
        f"{i}.{kind}" for i in range(4)
    ]
    for told in (f"1/{part} ", f"at most {levels} of 256", f"input.white={top}"):
        assert told in finding.detail


def test_the_audit_is_silent_where_one_picture_uses_the_range(tmp_path):
    for i, top in enumerate((4095, 65535)):
        values = np.full((40, 48, 1), top, np.uint16)
        (tmp_path / "ab"[i]).mkdir()
        (tmp_path / "ab"[i] / "0.tif").write_bytes(tiff_file(values, 16, 1))
    inventory = take_inventory(tmp_path)
    found = picture_findings(inventory.entries, look_at_all(inventory, 0, lambda count: None))
    assert not [finding for finding in found if finding.kind == "narrow-range"]
