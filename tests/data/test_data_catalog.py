import hashlib
import json
import re
import zipfile
from http.client import HTTPMessage
from urllib.request import HTTPRedirectHandler, Request

import numpy as np
import pytest
import torch
from loopback import serving
from sklearn.datasets import load_digits, load_sample_images

from striate.data import catalog as catalog_module
from striate.data import load as load_module
from striate.data.catalog import CATALOG, list_datasets
from striate.data.dataset import POOL
from striate.data.formats.idx import write_idx
from striate.data.load import load_data
from striate.download import CHECKSUMS, RemoteFile, _Hub, download, fetch
from striate.errors import InputError


@pytest.fixture
def server():
    """(address, files to serve by name, names asked for so far)."""
    with serving() as site:
        yield site.address, site.files, site.asked


@pytest.fixture
def no_data(tmp_path, monkeypatch):
    """Neither data nor cache nor network: the folder of the cache."""
    monkeypatch.delenv("STRIATE_DATA", raising=False)
    monkeypatch.setenv("STRIATE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("STRIATE_OFFLINE", "1")
    return tmp_path / "cache"


CONTENT = bytes(range(256)) * 3000


@pytest.mark.parametrize("digits", [8, None])
@pytest.mark.parametrize("algorithm", [None, "sha256", "md5"])
@pytest.mark.parametrize("name", ["a.bin", "endless.bin"])
def test_download_writes_the_file_and_nothing_else(server, tmp_path, algorithm, name, digits):
    address, files, _ = server
    files[name] = CONTENT
    checksum = f"{algorithm}:{hashlib.new(algorithm, CONTENT).hexdigest()[:digits]}" if algorithm else None
    download(f"{address}/{name}", tmp_path / "new" / "b.bin", checksum=checksum, progress=False)
    assert (tmp_path / "new" / "b.bin").read_bytes() == CONTENT
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["b.bin"]


def test_a_failed_download_leaves_nothing(server, tmp_path):
    address, files, _ = server
    files |= {"a.bin": CONTENT, "short.bin": CONTENT}
    for name, checksum, fault in (
        ("a.bin", "sha256:" + "0" * 64, "has the checksum sha256:"),
        ("a.bin", "sha256:" + hashlib.sha256(CONTENT).hexdigest()[:7] + "x", "has the checksum sha256:"),
        ("short.bin", None, "broke off|IncompleteRead"),
        ("none.bin", None, "404"),
    ):
        with pytest.raises(InputError, match=fault) as caught:
            download(f"{address}/{name}", tmp_path / "b.bin", checksum=checksum)
        assert caught.value.where == f"{address}/{name}"
        assert list(tmp_path.iterdir()) == []


def hub_headers(content):
    return {"X-Linked-Etag": f'"{hashlib.sha256(content).hexdigest()}"', "X-Repo-Commit": "c0ffee"}


def test_what_the_hub_says_of_a_file_is_verified_and_its_commit_returned(tmp_path):
    with serving() as site:
        site.files["blob"] = CONTENT
        site.redirects["model.bin"] = ("blob", hub_headers(CONTENT))
        assert download(f"{site.address}/model.bin", tmp_path / "b.bin") == "c0ffee"
        assert (tmp_path / "b.bin").read_bytes() == CONTENT
        (tmp_path / "b.bin").unlink()
        site.redirects["model.bin"] = ("blob", hub_headers(CONTENT[:-1]))
        with pytest.raises(InputError, match="has the checksum sha256:"):
            download(f"{site.address}/model.bin", tmp_path / "b.bin")
        assert list(tmp_path.iterdir()) == []


def test_what_others_say_in_such_headers_is_not_taken_for_a_checksum(tmp_path):
    with serving() as site:
        site.files["blob"] = CONTENT
        site.redirects["config.json"] = ("blob", {"X-Linked-Etag": '"' + "0" * 40 + '"'})
        assert download(f"{site.address}/config.json", tmp_path / "b") == ""


def test_a_failed_download_keeps_the_older_file(server, tmp_path):
    address, files, _ = server
    files["a.bin"] = CONTENT
    (tmp_path / "b.bin").write_bytes(b"older")
    with pytest.raises(InputError):
        download(f"{address}/a.bin", tmp_path / "b.bin", checksum="md5:" + "0" * 32)
    assert (tmp_path / "b.bin").read_bytes() == b"older"


def test_no_connection_names_the_address_and_the_other_way(tmp_path):
    with pytest.raises(InputError, match="refused") as caught:
        download("http://127.0.0.1:9/a.bin", tmp_path / "a.bin")
    assert caught.value.where == "http://127.0.0.1:9/a.bin"
    assert "STRIATE_DATA" in caught.value.what_to_do


@pytest.mark.parametrize("url", ["file:///etc/passwd", "ftp://127.0.0.1/a", "/etc/passwd"])
def test_only_http_is_downloaded(tmp_path, url):
    with pytest.raises(InputError, match="only http"):
        download(url, tmp_path / "a")


@pytest.mark.parametrize("target", ["file:///etc/hostname", "ftp://127.0.0.1:9/a"])
def test_a_download_is_not_sent_on_to_anything_but_http(tmp_path, target):
    with serving() as site:
        site.redirects["a"] = ("", {"Location": target})
        with pytest.raises(InputError, match=r"not allowed|not as safe"):
            download(f"{site.address}/a", tmp_path / "a")
    assert list(tmp_path.iterdir()) == []


def test_a_download_by_https_is_not_sent_on_to_plain_http():
    request, headers = Request("https://example.org/a"), HTTPMessage()
    sent_on = HTTPRedirectHandler.redirect_request
    assert sent_on(_Hub(), request, None, 302, "", headers, "http://example.org/b")  # urllib would
    with pytest.raises(ValueError, match="not as safe"):
        _Hub().redirect_request(request, None, 302, "", headers, "http://example.org/b")
    assert _Hub().redirect_request(request, None, 302, "", headers, "https://example.com/b")


def test_a_length_that_no_file_has_does_not_count(server, tmp_path, monkeypatch):
    address, files, _ = server
    files["endless.bin"] = CONTENT
    get = HTTPMessage.get
    monkeypatch.setattr(
        HTTPMessage,
        "get",
        lambda self, name, *other: 5000 * "9" if name == "Content-Length" else get(self, name, *other),
    )
    download(f"{address}/endless.bin", tmp_path / "a")
    assert (tmp_path / "a").read_bytes() == CONTENT


def test_a_place_that_cannot_be_written_names_what_chooses_another(server, tmp_path):
    address, files, _ = server
    files["a.bin"] = CONTENT
    (tmp_path / "a").mkdir()
    (tmp_path / "file").touch()
    for place in (tmp_path / "a", tmp_path / "file" / "a"):
        with pytest.raises(InputError, match="cannot") as caught:
            download(f"{address}/a.bin", place)
        assert "STRIATE_CACHE" in caught.value.what_to_do


def test_fetch_records_a_checksum_and_verifies_it_later(server, tmp_path):
    address, files, asked = server
    files["a.bin"] = CONTENT
    remote = [RemoteFile("a.bin", (f"{address}/a.bin",))]
    fetch(remote, tmp_path)
    recorded = json.loads((tmp_path / CHECKSUMS).read_text())
    assert recorded == {"a.bin": "sha256:" + hashlib.sha256(CONTENT).hexdigest()}
    fetch(remote, tmp_path)
    assert asked == ["a.bin"]  # once
    (tmp_path / "a.bin").write_bytes(CONTENT[:-1])
    with pytest.raises(InputError, match="not what was downloaded or published"):
        fetch(remote, tmp_path)


def test_fetch_asks_the_next_address_if_one_fails(server, tmp_path):
    address, files, asked = server
    files["second.bin"] = CONTENT
    fetch([RemoteFile("a.bin", (f"{address}/first.bin", f"{address}/second.bin"))], tmp_path)
    assert asked == ["first.bin", "second.bin"]
    assert (tmp_path / "a.bin").read_bytes() == CONTENT


def test_offline_says_where_to_put_the_file(no_data):
    with pytest.raises(InputError, match="STRIATE_OFFLINE") as caught:
        load_data("cifar10")
    assert caught.value.where == str(no_data / "datasets" / "cifar10" / "cifar-10-binary.tar.gz")
    assert CATALOG["cifar10"].files[0].urls[0] in caught.value.what_to_do
    assert not no_data.exists()


OTHER_TASKS = {
    "scenes": "detection",
    "scenes-one": "localization",
    "scenes-windows": "localization",
    "bccd": "detection",
}


@pytest.mark.parametrize("name", CATALOG)
def test_every_entry_is_complete(name):
    entry = CATALOG[name]
    assert (entry.kind == "built-in") == (not entry.files)
    assert len(set(entry.classes)) == len(entry.classes) >= 2
    assert entry.task == OTHER_TASKS.get(name, "classification")
    assert entry.homepage.startswith("http")
    assert entry.licence
    for file in entry.files:
        assert all(re.fullmatch(r"https?://\S+/" + re.escape(file.name), url) for url in file.urls)
        if name == "bccd":  # an archive that is made when it is asked for: the first download is taken
            assert file.checksum is file.size is None
            continue
        assert re.fullmatch("sha256:[0-9a-f]{64}|md5:[0-9a-f]{32}", file.checksum)
        assert file.size > 4000


def test_list_datasets_takes_patterns():
    built_in = ["digits", "photographs", "scenes", "scenes-one", "scenes-windows"]
    assert list_datasets() == [*built_in, "mnist", "fashion-mnist", "cifar10", "flowers", "bccd"]
    assert list_datasets("*mnist") == ["mnist", "fashion-mnist"]


def test_digits_are_those_of_scikit_learn_scaled_to_255(no_data):
    dataset = load_data("digits")
    pixels, digits = dataset.splits[POOL].images.pixels, load_digits()
    assert pixels.shape == (1797, 1, 8, 8)
    assert pixels.dtype == torch.uint8
    assert np.abs(pixels[:, 0].numpy() - digits.images * 255 / 16).max() <= 0.5
    assert (dataset.splits[POOL].targets.numpy() == digits.target).all()
    assert dataset.classes == CATALOG["digits"].classes


def test_photographs_are_those_of_scikit_learn(no_data):
    dataset = load_data("photographs")
    split = dataset.splits[POOL]
    for i, expected in enumerate(load_sample_images().images):
        assert (split[i][0].permute(1, 2, 0).numpy() == expected).all()
    assert (dataset.classes, split.targets.tolist()) == (("china", "flower"), [0, 1])


def write_mnist(folder):
    folder.mkdir(parents=True)
    for part, count in (("train", 20), ("t10k", 10)):
        write_idx(folder / f"{part}-images-idx3-ubyte.gz", np.zeros((count, 2, 2), dtype=np.uint8))
        write_idx(folder / f"{part}-labels-idx1-ubyte.gz", np.arange(count, dtype=np.uint8) % 10)


def test_named_data_are_found_in_striate_data_and_get_their_class_names(tmp_path, monkeypatch, no_data):
    write_mnist(tmp_path / "data" / "fashion-mnist")
    monkeypatch.setenv("STRIATE_DATA", str(tmp_path / "data"))
    dataset = load_data("fashion-mnist")
    assert dataset.classes[9] == "Ankle boot"
    assert (dataset.name, dataset.source) == ("fashion-mnist", "fashion-mnist")
    assert str(tmp_path / "data" / "fashion-mnist") in dataset.why


def test_named_data_are_downloaded_once(server, tmp_path, monkeypatch, no_data):
    address, files, asked = server
    write_mnist(tmp_path / "published")
    files |= {path.name: path.read_bytes() for path in (tmp_path / "published").iterdir()}
    remote = tuple(RemoteFile(name, (f"{address}/{name}",)) for name in files)
    entry = catalog_module.CatalogEntry(**{**CATALOG["mnist"].__dict__, "files": remote})
    monkeypatch.setitem(load_module.CATALOG, "mnist", entry)
    monkeypatch.setenv("STRIATE_OFFLINE", "0")
    first = load_data("mnist")
    monkeypatch.setenv("STRIATE_OFFLINE", "1")
    assert load_data("mnist").fingerprint() == first.fingerprint()
    assert sorted(asked) == sorted(files)
    assert len(list((no_data / "datasets" / "mnist").iterdir())) == 5  # and checksums.json


@pytest.mark.parametrize("name", ["mnist", "fashion-mnist"])
def test_published_facts_hold_for_the_real_files(real_data, name):
    dataset, entry = load_data(name), CATALOG[name]
    assert {split: len(part) for split, part in dataset.splits.items()} == entry.counts
    assert dataset.classes == entry.classes
    assert dataset.splits["train"].targets.bincount().min() >= 5000


def test_real_flowers_by_name(real_data):
    dataset = load_data("flowers")
    assert len(dataset.classes) == len(CATALOG["flowers"].classes)
    assert dataset.format == "image-folder"


def test_blood_cells_are_found_by_name_among_other_files(tmp_path, monkeypatch):
    """The archive that GitHub makes holds more than the data, a table of boxes among them."""
    inside = "BCCD_Dataset-master/"
    label = (
        "<annotation><filename>{0}.ppm</filename><size><width>8</width><height>6</height><depth>3</depth></size>"
        "<object><name>{1}</name><bndbox><xmin>2</xmin><ymin>1</ymin><xmax>5</xmax><ymax>4</ymax></bndbox></object>"
        "</annotation>"
    )
    with zipfile.ZipFile(tmp_path / "bccd.zip", "w") as archive:
        archive.writestr(inside + "test.csv", "filename,cell_type,xmin,xmax,ymin,ymax\nx.jpg,RBC,1,2,3,4\n")
        archive.writestr(inside + "README.md", "cells")
        for split, cell in zip(("train", "val", "test"), ("RBC", "WBC", "RBC"), strict=True):
            archive.writestr(inside + f"BCCD/JPEGImages/{split}.ppm", b"P6 8 6 255\n" + bytes(144))
            archive.writestr(inside + f"BCCD/Annotations/{split}.xml", label.format(split, cell))
            archive.writestr(inside + f"BCCD/ImageSets/Main/{split}.txt", f"{split}\n")
    monkeypatch.setenv("STRIATE_DATA", str(tmp_path))
    dataset = load_data("bccd")
    assert (dataset.name, dataset.format, dataset.task) == ("bccd", "voc", "detection")
    assert dataset.classes == ("RBC", "WBC")
    assert {name: len(split) for name, split in dataset.splits.items()} == {"train": 1, "val": 1, "test": 1}
    assert dataset.splits["val"].objects.boxes_xyxy.tolist() == [[1, 0, 5, 4]]


def test_a_name_that_cannot_be_had_says_how_the_folder_of_that_name_is_meant(tmp_path, monkeypatch, no_data):
    monkeypatch.setenv("STRIATE_OFFLINE", "1")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "bccd").mkdir()
    with pytest.raises(InputError, match="STRIATE_OFFLINE") as caught:
        load_data("bccd")
    assert caught.value.what_to_do.endswith("the bccd that is here is meant by ./bccd")
