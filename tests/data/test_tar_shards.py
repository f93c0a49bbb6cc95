"""Tar shards: what is in them, what must not be, the order of an epoch, and shards from the network."""

import io
import json
import multiprocessing
import os
import pickle
import tarfile
import time
from collections import Counter
from multiprocessing.reduction import ForkingPickler

import loopback
import pytest
import torch
import webdataset
from faulty_pictures import encode, faulty_headers, smooth_pixels, write_files
from hypothesis import given, settings
from hypothesis import strategies as st
from loopback import serving

from striate.data.convert import convert
from striate.data.dataset import POOL
from striate.data.keyed_random import keyed_uniform
from striate.data.load import load_data
from striate.data.loader import Loader, epoch_order, prepare_pictures
from striate.data.preprocessing import Preprocessing
from striate.data.shards.cache import cache_budget, make_room, open_shard
from striate.data.shards.index import INDEX_NAME, place_of
from striate.data.shards.order import WINDOW, shard_order
from striate.data.split import split_dataset
from striate.errors import InputError, RunError

PICTURE = encode(smooth_pixels(9, 12), "PNG")
PLACED = Preprocessing((8, 8), 3, "stretch", 0, (0.5,) * 3, (0.5,) * 3)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """An image folder of 3 classes, 24 pictures each, all different."""
    root = tmp_path_factory.mktemp("source") / "flowers"
    files = {
        f"{label}/{i}.png": encode(smooth_pixels(10, 12, seed=24 * k + i), "PNG")
        for k, label in enumerate(("daisy", "rose", "tulip"))
        for i in range(24)
    }
    write_files(root, files)
    return root


@pytest.fixture(scope="module")
def shards(folder, tmp_path_factory):
    """The same as about 18 small shards. Not to be changed."""
    out = tmp_path_factory.mktemp("shards") / "flowers"
    convert(load_data(folder), out, "tar-shards", shard_bytes=7000)
    return out


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("STRIATE_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("STRIATE_OFFLINE", raising=False)
    return tmp_path / "cache" / "shards"


def write_tar(path, files):
    """A .tar of (name, content) pairs, or of ready TarInfos."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w") as tar:
        for name, content in files:
            info = name if isinstance(name, tarfile.TarInfo) else tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return path


def two_classes(*more):
    """Files of a shard with a sample of class 0, one of class 1, and ``more``."""
    pairs = [("a.png", PICTURE), ("a.cls", b"0"), ("b.png", PICTURE), ("b.cls", b"1\n")]
    return [*pairs, *more]


def copy_of(shards, to):
    to.mkdir()
    for path in shards.iterdir():
        (to / path.name).write_bytes(path.read_bytes())
    return to


def rewrite_index(shards, change):
    """Change shards.json as a dictionary in place."""
    path = shards / INDEX_NAME
    index = json.loads(path.read_text())
    change(index)
    path.write_text(json.dumps(index))
    return shards


# --- the order of an epoch ---------------------------------------------------------------------------


def naive_order(shard_ids, seed, epoch, window):
    """The same by lists: shards sorted by their draws, then each window's samples by theirs."""
    shards = sorted(set(shard_ids))
    draws = keyed_uniform(seed, epoch, torch.tensor(shards), 1, 101)[:, 0].tolist()
    turn = [shard for _, shard in sorted(zip(draws, shards, strict=True))]
    own = keyed_uniform(seed, epoch, torch.arange(len(shard_ids)), 1, 100)[:, 0].tolist()
    order = []
    for start in range(0, len(turn), window):
        block = set(turn[start : start + window])
        order += sorted((i for i, shard in enumerate(shard_ids) if shard in block), key=own.__getitem__)
    return order


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.integers(0, 12), min_size=1, max_size=60),
    st.integers(0, 2**63 - 1),
    st.integers(0, 100),
    st.integers(1, 5),
)
def test_an_epoch_shows_every_sample_once_and_reads_a_window_of_shards_at_a_time(ids, seed, epoch, window):
    order = shard_order(torch.tensor(ids), seed, epoch, window).tolist()
    assert sorted(order) == list(range(len(ids)))
    visited = [ids[i] for i in order]
    first = {shard: visited.index(shard) for shard in set(ids)}
    last = {shard: len(visited) - 1 - visited[::-1].index(shard) for shard in set(ids)}
    for position in range(len(visited)):
        assert sum(first[shard] <= position <= last[shard] for shard in set(ids)) <= window
    assert order == naive_order(ids, seed, epoch, window)


def test_the_order_of_few_shards_is_that_of_any_other_data_set():
    ids = torch.arange(WINDOW).repeat_interleave(13)
    for epoch in range(3):
        assert torch.equal(shard_order(ids, 7, epoch), epoch_order(len(ids), 7, epoch))


def test_the_order_differs_between_epochs_and_seeds_and_is_mixed_within_a_window():
    ids = torch.arange(40).repeat_interleave(50)
    orders = [shard_order(ids, seed, epoch) for seed, epoch in ((0, 0), (0, 1), (1, 0))]
    assert len({tuple(order.tolist()) for order in orders}) == 3
    starts = {tuple(ids[order[:400]].unique().tolist()) for order in orders}
    assert all(len(start) == WINDOW for start in starts)
    assert len(starts) == 3
    # The first 100 of 400 samples hold each of the 8 shards about 12 times (hypergeometric, 3 sigma = 8).
    assert all(2 <= count <= 24 for count in Counter(ids[orders[0][:100]].tolist()).values())


def test_pictures_of_shards_have_that_order_in_any_selection_and_others_have_none(folder, shards):
    images = load_data(shards).splits[POOL].images
    chosen = torch.arange(len(images)).flip(0)[::2]
    part = images.select(chosen)
    kept = torch.arange(1, 35)
    expected = shard_order(images.table.shard_ids[chosen[kept]], 5, 2)
    assert torch.equal(part.epoch_order(5, 2, kept), expected)
    assert load_data(folder).splits[POOL].images.epoch_order(5, 2, kept) is None


# --- reading -----------------------------------------------------------------------------------------


def test_shards_are_found_by_folder_index_or_single_file(shards):
    by_folder, by_index = load_data(shards), load_data(shards / INDEX_NAME)
    assert by_folder.format == by_index.format == "tar-shards"
    assert by_folder.name == by_index.name == "flowers"
    assert by_folder.fingerprint() == by_index.fingerprint()
    assert INDEX_NAME in by_folder.why
    single = load_data(next(iter(sorted(shards.glob("*.tar")))))
    assert single.format == "tar-shards"
    assert single.classes == ("daisy", "rose", "tulip")  # classes.txt lies beside it


def test_the_index_says_the_same_as_the_shards_themselves(shards, tmp_path):
    with_index = load_data(shards)
    copy = copy_of(shards, tmp_path / "copy")
    (copy / INDEX_NAME).unlink()
    without = load_data(copy)
    assert without.classes == with_index.classes
    assert without.channels == with_index.channels
    assert "without an index" in without.why
    for name, split in with_index.splits.items():
        found = without.splits[name]
        assert torch.equal(found.targets, split.targets)
        assert [name.split("/", 1)[1] for name in found.names] == split.names
        for i in range(len(split)):
            assert found.images.content(i) == split.images.content(i)
            assert found.images.facts(i) == split.images.facts(i)


def test_loading_by_the_index_opens_no_shard(shards, monkeypatch):
    monkeypatch.setattr(tarfile, "open", None)
    dataset = load_data(shards)
    assert dataset.splits[POOL].images.facts(0).width == 12


def test_splits_are_told_by_the_last_word_of_the_names(tmp_path):
    for name in ("im-net_training-0001", "im-net_training-0002", "im-net_val-07", "test"):
        write_tar(tmp_path / "set" / f"{name}.tar", two_classes())
    dataset = load_data(tmp_path / "set")
    assert {name: len(split) for name, split in dataset.splits.items()} == {"train": 4, "val": 2, "test": 2}
    assert dataset.splits["train"].names[2] == "im-net_training-0002.tar/a.png"
    write_tar(tmp_path / "set" / "more-0.tar", two_classes())
    with pytest.raises(InputError, match=r"some shards name a split, and more-0\.tar does not"):
        load_data(tmp_path / "set")


def test_shards_without_split_names_are_one_pool_in_natural_order(tmp_path):
    for number in (10, 9):
        write_tar(tmp_path / "set" / f"part{number}.tar", two_classes())
    split = load_data(tmp_path / "set").splits[POOL]
    assert split.names[0] == "part9.tar/a.png"
    assert len(split) == 4


def test_the_class_comes_from_cls_or_else_from_json(tmp_path):
    more = [("c.png", PICTURE), ("c.json", b'{"label": 2}'), ("d.png", PICTURE), ("d.json", b'{"cls": 3}')]
    more += [("e.png", PICTURE), ("e.json", b'{"label": 9}'), ("e.cls", b"1")]
    write_tar(tmp_path / "set" / "x.tar", two_classes(*more))
    dataset = load_data(tmp_path / "set")
    assert dataset.splits[POOL].targets.tolist() == [0, 1, 2, 3, 1]
    assert dataset.classes == ("0", "1", "2", "3")


@pytest.mark.parametrize("text", [b"rose", b"-1", b"1.0", b"", b"\xff", "²".encode(), b"9" * 30])
def test_a_class_that_is_no_id_is_an_error_that_names_the_file(tmp_path, text):
    write_tar(tmp_path / "set" / "x.tar", two_classes(("c.png", PICTURE), ("c.cls", text)))
    with pytest.raises(InputError, match="not a whole number") as caught:
        load_data(tmp_path / "set")
    assert caught.value.where.endswith("x.tar/c.cls")


@pytest.mark.parametrize("text", [b"{", b"\xff\xfe", b"[" * 100_000])
def test_json_that_is_none_is_an_error_that_names_the_file(tmp_path, text):
    write_tar(tmp_path / "set" / "x.tar", two_classes(("c.png", PICTURE), ("c.json", text)))
    with pytest.raises(InputError, match="not JSON") as caught:
        load_data(tmp_path / "set")
    assert caught.value.where.endswith("x.tar/c.json")


def test_samples_that_cannot_be_used_are_named_and_left_out(tmp_path):
    broken = faulty_headers()["text.jpg"]
    more = [("c.png", PICTURE), ("d.cls", b"1"), ("e.png", PICTURE), ("e.jpg", PICTURE), ("e.cls", b"0")]
    more += [("f.jpg", broken), ("f.cls", b"0"), ("g.png", PICTURE), ("g.json", b'{"caption": "1"}')]
    write_tar(tmp_path / "set" / "x.tar", two_classes(*more))
    dataset = load_data(tmp_path / "set")
    assert len(dataset.splits[POOL]) == 2
    faults = {fault.name: fault.what for fault in dataset.faults}
    assert faults.keys() == {"x.tar/c", "x.tar/d", "x.tar/e", "x.tar/f.jpg", "x.tar/g"}
    assert "no class" in faults["x.tar/c"]
    assert "no pictures" in faults["x.tar/d"]
    assert "2 pictures" in faults["x.tar/e"]
    assert "not a picture" in faults["x.tar/f.jpg"]


class Bomb:
    def __reduce__(self):
        return os.mkdir, ("exploded",)


def test_nothing_is_ever_unpickled_and_other_files_are_counted(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    bomb = pickle.dumps(Bomb())
    names = ("a.pyd", "a.pickle", "b.pyd", "b.seg.png", "__notes__", "README")
    write_tar(tmp_path / "set" / "x.tar", two_classes(*((name, bomb) for name in names)))
    dataset = load_data(tmp_path / "set")
    for i in range(2):
        dataset.splits[POOL].images.read(i)
    assert not (tmp_path / "exploded").exists()
    assert dataset.faults == ()
    assert "files left aside: 6" in dataset.why
    for kind in ("2 .pyd", "1 .seg.png", "2 without a key"):
        assert kind in dataset.why


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE])
def test_links_and_special_files_in_a_shard_are_refused(tmp_path, kind):
    info = tarfile.TarInfo("c.png")
    info.type, info.linkname = kind, "/etc/passwd"
    write_tar(tmp_path / "set" / "x.tar", two_classes((info, b"")))
    with pytest.raises(InputError, match="a link or a special file"):
        load_data(tmp_path / "set")


@pytest.mark.parametrize("name", ["../c.png", "/c.png", "a/../../c.png", "C:/c.png", "\\c.png"])
def test_names_in_a_shard_that_lead_out_are_refused(tmp_path, name):
    write_tar(tmp_path / "set" / "x.tar", two_classes((name, PICTURE)))
    with pytest.raises(InputError, match="leads out"):
        load_data(tmp_path / "set")


def test_a_shard_that_is_cut_off_is_an_error(tmp_path):
    path = write_tar(tmp_path / "set" / "x.tar", two_classes())
    path.write_bytes(path.read_bytes()[:2000])
    with pytest.raises(InputError, match="cannot be read"):
        load_data(tmp_path / "set")


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"x.tar": [("a.png", PICTURE)]}, "have no samples"),
        ({"x.tar": [("a.png", PICTURE), ("a.cls", b"0")]}, "only one class"),
        (
            {"train-0.tar": two_classes(), "test-0.tar": [("c.png", PICTURE), ("c.cls", b"4")]},
            "train has not",
        ),
        ({"train-0.tar": two_classes(), "test-0.tar": [("c.png", PICTURE)]}, "no samples for test"),
        ({"val-0.tar": two_classes()}, "no train shards"),
    ],
)
def test_sets_that_cannot_be_trained_on_are_refused(tmp_path, files, message):
    for name, content in files.items():
        write_tar(tmp_path / "set" / name, content)
    with pytest.raises(InputError, match=message):
        load_data(tmp_path / "set")


def test_names_of_classes_come_from_a_file_and_must_be_enough(tmp_path):
    write_tar(tmp_path / "set" / "x.tar", two_classes())
    names = tmp_path / "set" / "classes.txt"
    names.write_bytes("Gänseblümchen\r\nT-shirt/top\r\n".encode())
    assert load_data(tmp_path / "set").classes == ("Gänseblümchen", "T-shirt/top")
    for content, message in ((b"one\n", "1 name "), (b"a\na\n", "line 2"), (b"a\n\nb\n", "line 2 is empty")):
        names.write_bytes(content)
        with pytest.raises(InputError, match=message):
            load_data(tmp_path / "set")


def test_tar_files_beside_class_folders_are_an_image_folder(folder, tmp_path):
    write_files(tmp_path / "set", {"a/1.png": PICTURE, "b/1.png": PICTURE, "extra.tar": b"x"})
    assert load_data(tmp_path / "set").format == "image-folder"


# --- the index is data, and is not trusted -----------------------------------------------------------


@pytest.mark.parametrize(
    "file", ["../x.tar", "/etc/x.tar", "a/../../x.tar", "C:x.tar", "..\\x.tar", "", "link.tar"]
)
@pytest.mark.parametrize("home", ["folder", "address"])
def test_a_shard_outside_the_folder_of_the_index_is_refused(tmp_path, file, home):
    write_tar(tmp_path / "x.tar", two_classes())
    (tmp_path / "set").mkdir()
    (tmp_path / "set" / "link.tar").symlink_to(tmp_path / "x.tar")
    index = "https://example.org/set/shards.json" if home == "address" else str(tmp_path / "set" / INDEX_NAME)
    if (home, file) in (("address", "link.tar"), ("address", "C:x.tar")):
        assert place_of(file, index).startswith("https://example.org/set/")  # a plain name there
        return
    if os.name != "nt" and file == "C:x.tar":
        assert place_of(file, index) == str(tmp_path / "set" / file)
        return
    with pytest.raises(InputError, match="outside its folder"):
        place_of(file, index)


def test_shards_may_lie_deeper_or_at_an_address_of_their_own(tmp_path):
    index = "https://example.org/a/shards.json"
    assert place_of("b/c d%2e%2e.tar", index) == "https://example.org/a/b/c%20d%252e%252e.tar"
    assert place_of("http://other.org/x.tar", index) == "http://other.org/x.tar"
    assert place_of("b/c.tar", str(tmp_path / INDEX_NAME)) == str(tmp_path / "b" / "c.tar")


def first(index):
    return index["splits"][POOL][0]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda index: index.update(version=2), "version"),
        (lambda index: index.update(format="other"), "format"),
        (lambda index: index.update(more=1), "more"),
        (lambda index: index.update(channels=2), "channels"),
        (lambda index: index.update(classes=["a", "a", "b"]), "named twice"),
        (lambda index: index.update(classes=["a", "b\n", "c"]), "readable text"),
        (lambda index: index.update(classes=["a", "b"]), "class id above 1"),
        (lambda index: index.update(splits={"test": index["splits"][POOL]}), "splits are"),
        (lambda index: index.update(splits={POOL: []}), "no shards"),
        (lambda index: first(index).update(samples=1), "lists are not all of 1"),
        (lambda index: first(index)["labels"].pop(), "lists are not all"),
        (lambda index: first(index)["labels"].__setitem__(0, -1), "labels.0"),
        (lambda index: first(index)["labels"].__setitem__(0, "1"), "labels.0"),
        (lambda index: first(index)["offsets"].__setitem__(0, 0), "lies where none can be"),
        (lambda index: first(index)["offsets"].__setitem__(0, 2**62), "beyond the end"),
        (lambda index: first(index)["sizes"].__setitem__(0, 2**40), "lies where none can be"),
        (lambda index: first(index)["names"].__setitem__(0, first(index)["names"][1]), "a name twice"),
        (lambda index: first(index)["names"].__setitem__(0, "a.sh"), "no picture's"),
        (lambda index: first(index)["names"].__setitem__(0, "a\u001b.png"), "readable text"),
        (lambda index: first(index).update(sha256="0"), "sha256"),
        (lambda index: first(index).update(bytes=5), "beyond the end"),
    ],
)
def test_an_index_that_contradicts_itself_is_refused(shards, tmp_path, change, message):
    copy = rewrite_index(copy_of(shards, tmp_path / "copy"), change)
    with pytest.raises(InputError, match="the index of shards is not right") as caught:
        load_data(copy)
    assert message in caught.value.what
    assert caught.value.where.endswith(INDEX_NAME)


@pytest.mark.parametrize("content", [b"", b"[]", b"{", b"\xff", b'{"classes": ["\\ud800"]}', b"[" * 100_000])
def test_an_index_that_is_no_json_object_is_refused(tmp_path, content):
    (tmp_path / INDEX_NAME).write_bytes(content)
    with pytest.raises(InputError, match="the index of shards is not right"):
        load_data(tmp_path)


def test_a_shard_that_is_missing_or_of_another_length_is_found_at_once(shards, tmp_path):
    copy = copy_of(shards, tmp_path / "copy")
    shard = sorted(copy.glob("*.tar"))[2]
    shard.write_bytes(shard.read_bytes() + b"\0")
    with pytest.raises(InputError, match="its index says") as caught:
        load_data(copy)
    assert caught.value.where == str(shard)
    shard.unlink()
    with pytest.raises(InputError, match="No such file"):
        load_data(copy)


def test_a_shard_that_changes_after_loading_is_found_when_it_is_read(shards, tmp_path):
    copy = copy_of(shards, tmp_path / "copy")
    images = load_data(copy).splits[POOL].images
    shard = sorted(copy.glob("*.tar"))[0]
    content = shard.read_bytes()
    for changed in (bytes(len(content)), content[:1000], content[:600] + b"x" + content[600:]):
        shard.write_bytes(changed)
        with pytest.raises(InputError, match="not the one that was loaded"):
            images.content(1)
    shard.unlink()
    with pytest.raises(InputError, match="No such file"):
        images.content(1)


def test_pictures_cross_to_workers_as_shared_memory(shards):
    images = load_data(shards).splits[POOL].images
    small = len(ForkingPickler.dumps(images))
    table, count = images.table, 1000
    for name in ("labels", "offsets", "sizes", "widths", "heights", "shard_ids", "name_bytes", "name_ends"):
        setattr(table, name, getattr(table, name).repeat(count))
    assert len(ForkingPickler.dumps(images.select(torch.arange(10)))) < small + 500


# --- another library reads what we write, and the reverse ---------------------------------------------


def test_webdataset_reads_the_same_samples_from_our_shards(folder, shards):
    samples = webdataset.WebDataset([str(path) for path in sorted(shards.glob("*.tar"))], shardshuffle=False)
    found = [(sample["__key__"], sample["png"], int(sample["cls"])) for sample in samples]
    split = load_data(shards).splits[POOL]
    expected = [
        (name.removesuffix(".png"), split.images.content(i), int(split.targets[i]))
        for i, name in enumerate(split.names)
    ]
    assert found == expected
    for key, content, label in found:
        assert (folder / f"{key}.png").read_bytes() == content
        assert key.startswith(("daisy", "rose", "tulip")[label])


def test_our_shards_unpack_with_any_tar_program(folder, shards, tmp_path):
    for shard in shards.glob("*.tar"):
        with tarfile.open(shard) as tar:
            tar.extractall(tmp_path / "unpacked", filter="data")
    found = {str(p.relative_to(tmp_path / "unpacked")): p for p in (tmp_path / "unpacked").rglob("*.png")}
    expected = {str(path.relative_to(folder)): path for path in folder.rglob("*.png")}
    assert found.keys() == expected.keys()
    assert all(found[name].read_bytes() == path.read_bytes() for name, path in expected.items())


# --- shards from the network --------------------------------------------------------------------------


def serve(site, shards, prefix="set/"):
    for path in shards.iterdir():
        site.files[prefix + path.name] = path.read_bytes()
    return f"{site.address}/{prefix}{INDEX_NAME}"


def tars(site):
    return [name for name in site.asked if name.endswith(".tar")]


def test_remote_shards_are_the_same_data_and_only_those_needed_are_fetched(shards):
    local = load_data(shards)
    with serving() as site:
        address = serve(site, shards)
        remote = load_data(address)
        assert remote.format == "tar-shards"
        assert remote.name == "set"
        assert remote.source == address
        assert "fetched when they are needed" in remote.why
        remote.splits[POOL].images.facts(0)
        assert tars(site) == []
        remote.splits[POOL].images.read(0)
        assert len(tars(site)) == 1
        assert remote.fingerprint() == local.fingerprint()
        assert load_data(address.removesuffix(INDEX_NAME)).fingerprint() == local.fingerprint()
        assert Counter(tars(site)).most_common(1)[0][1] == 1  # each was fetched once


def test_a_set_may_be_partly_here_and_partly_there(shards, tmp_path):
    copy = copy_of(shards, tmp_path / "copy")
    with serving() as site:
        serve(site, shards)
        name = sorted(copy.glob("*.tar"))[0].name
        (copy / name).unlink()
        rewrite_index(copy, lambda index: first(index).update(file=f"{site.address}/set/{name}"))
        assert load_data(copy).fingerprint() == load_data(shards).fingerprint()
        assert tars(site) == [f"set/{name}"]


@pytest.mark.parametrize("fault", ["altered", "short", "missing"])
def test_a_download_that_is_not_the_shard_stops_the_run_and_leaves_nothing(shards, cache, tmp_path, fault):
    copy = copy_of(shards, tmp_path / "copy")
    rewrite_index(copy, lambda index: first(index).update(file=f"short/{first(index)['file']}"))
    with serving() as site:
        address = serve(site, copy)
        content = (copy / sorted(path.name for path in copy.glob("*.tar"))[0]).read_bytes()
        name = "set/short/all-000000.tar"
        if fault != "missing":
            site.files[name] = content[:-1] + b"x" if fault == "altered" else content
        if fault == "short":  # the server breaks off files whose names begin so
            site.files["short.tar"] = content
            site.redirects[name] = ("short.tar", {})
        images = load_data(address).splits[POOL].images
        message = {"altered": "checksum", "short": "broke off", "missing": "404"}[fault]
        with pytest.raises(RunError, match=message) as caught:
            images.read(0)
    assert caught.value.where.startswith(site.address)
    assert not list(cache.glob("*.tar"))
    assert not list(cache.glob(".*.tmp"))


def test_offline_uses_what_was_fetched_before_and_asks_for_nothing(shards, monkeypatch):
    with serving() as site:
        address = serve(site, shards)
        images = load_data(address).splits[POOL].images
        images.read(0)
        asked = len(site.asked)
        monkeypatch.setenv("STRIATE_OFFLINE", "1")
        images = load_data(address).splits[POOL].images
        images.read(0)
        with pytest.raises(RunError, match="STRIATE_OFFLINE forbids"):
            images.read(len(images) - 1)
        with pytest.raises(InputError, match="STRIATE_OFFLINE forbids"):
            load_data(f"{site.address}/other/{INDEX_NAME}")
        assert len(site.asked) == asked


def give_room(monkeypatch, size):
    """Set what the cache may hold, in bytes."""
    monkeypatch.setattr("striate.data.shards.cache.cache_budget", lambda: size)
    monkeypatch.setattr("striate.data.formats.tar_shards.cache_budget", lambda: size)


def entries(shards):
    """(Address part, sha256, bytes) of every shard in order."""
    index = json.loads((shards / INDEX_NAME).read_text())
    return [(shard["file"], shard["sha256"], shard["bytes"]) for shard in index["splits"][POOL]]


def test_the_shards_that_were_not_used_for_longest_make_room(shards, cache, monkeypatch):
    (a, b, c) = entries(shards)[:3]
    give_room(monkeypatch, a[2] + max(b[2], c[2]))
    with serving() as site:
        serve(site, shards)
        for name, sha256, size in (a, b):
            open_shard(f"{site.address}/set/{name}", sha256, size).close()
        for age, (_, sha256, _) in enumerate((b, a), start=1):
            os.utime(cache / f"{sha256}.tar", (1e9 - age, 1e9 - age))
        open_shard(f"{site.address}/set/{a[0]}", a[1], a[2]).close()  # used: now b is the oldest
        in_use = (cache / f"{b[1]}.tar").open("rb")
        open_shard(f"{site.address}/set/{c[0]}", c[1], c[2]).close()
        assert {path.stem for path in cache.glob("*.tar")} == {a[1], c[1]}
        assert in_use.read() == (shards / b[0]).read_bytes()  # removed under a reader, and still whole
        in_use.close()
        assert tars(site) == [f"set/{name}" for name, _, _ in (a, b, c)]


def test_what_a_killed_download_left_is_removed_when_it_is_old_and_room_is_needed(cache, monkeypatch):
    give_room(monkeypatch, 150)
    for number, age in ((1, 3600), (2, 0)):
        half = cache / f".{number}.tar.{number}.tmp" / f"{number}.tar"
        write_files(half.parent, {half.name: bytes(100)})
        os.utime(half, (time.time() - age, time.time() - age))
    make_room(50)
    assert [path.name for path in cache.glob(".*.tmp")] == [".2.tar.2.tmp"]


def test_the_budget_is_a_number_of_megabytes(monkeypatch):
    assert cache_budget() == 16 * 2**30
    monkeypatch.setenv("STRIATE_SHARD_CACHE_MB", "5")
    assert cache_budget() == 5 * 2**20
    monkeypatch.setenv("STRIATE_SHARD_CACHE_MB", "5 GB")
    with pytest.raises(InputError, match="no number"):
        cache_budget()


def test_a_budget_too_small_for_an_epoch_is_an_error_before_anything_is_fetched(shards, monkeypatch):
    sizes = [size for _, _, size in entries(shards)]
    assert len(sizes) > WINDOW
    with serving() as site:
        address = serve(site, shards)
        give_room(monkeypatch, WINDOW * max(sizes) - 1)
        with pytest.raises(InputError, match="more than the cache holds") as caught:
            load_data(address)
        assert "STRIATE_SHARD_CACHE_MB" in caught.value.what_to_do
        assert tars(site) == []
        give_room(monkeypatch, WINDOW * max(sizes))
        assert load_data(address)
        assert load_data(shards)


def streamed(dataset, workers, timeout=25.0, cache_bytes=0.0):
    return prepare_pictures(
        dataset.splits[POOL],
        PLACED,
        memory_bytes=0,
        workers=workers,
        timeout=timeout,
        cache_bytes=cache_bytes,
    )[0]


def test_an_epoch_fetches_each_shard_once_though_the_cache_holds_but_a_window(shards, cache, monkeypatch):
    sizes = [size for _, _, size in entries(shards)]
    give_room(monkeypatch, WINDOW * max(sizes))
    with serving() as site:
        pictures = streamed(load_data(serve(site, shards)), workers=0)
        for path in cache.glob("*.tar"):
            path.unlink()
        site.asked.clear()
        seen = [int(i) for batch in Loader(pictures, 5, seed=3).batches(1) for i in batch.indices]
        assert sorted(seen) == list(range(72))
        assert len(tars(site)) == len(set(tars(site))) == len(sizes)
        assert sum(path.stat().st_size for path in cache.glob("*.tar")) <= WINDOW * max(sizes)


@pytest.mark.parametrize("place", ["local", "remote"])
def test_batches_do_not_depend_on_workers_or_where_an_epoch_is_taken_up(shards, place):
    with serving() as site:
        dataset = load_data(serve(site, shards) if place == "remote" else shards)
        alone = list(Loader(streamed(dataset, workers=0), 10, seed=1).batches(2))
        for workers, start, cache_bytes in ((2, 0, 0.0), (3, 4, 0.0), (2, 3, 1e9)):
            loader = Loader(streamed(dataset, workers, cache_bytes=cache_bytes), 10, seed=1)
            for batch, expected in zip(loader.batches(2, start), alone[start:], strict=True):
                assert torch.equal(batch.indices, expected.indices)
                assert torch.equal(batch.images, expected.images)
                assert torch.equal(batch.targets, expected.targets)
                assert list(batch.names) == list(expected.names)


def test_the_training_part_of_a_pool_keeps_the_order_of_shards(shards):
    train = split_dataset(load_data(shards)).splits["train"]
    pictures = prepare_pictures(train, PLACED, memory_bytes=0)[0]
    order = pictures.epoch_order(4, 1)
    assert sorted(order.tolist()) == list(range(len(train)))
    shard_ids = train.images.table.shard_ids[train.images.rows]
    assert torch.equal(order, shard_order(shard_ids, 4, 1))


def _read_all(address, room, answers):
    import striate.data.formats.tar_shards
    import striate.data.shards.cache

    striate.data.shards.cache.cache_budget = striate.data.formats.tar_shards.cache_budget = lambda: room
    images = load_data(address).splits[POOL].images
    answers.put(b"".join(images.content(i) for i in range(len(images))))


@pytest.mark.parametrize("is_tight", [False, True])
def test_processes_share_the_cache_and_none_reads_anything_else(shards, cache, is_tight):
    sizes = [size for _, _, size in entries(shards)]
    room = WINDOW * max(sizes) if is_tight else 10 * sum(sizes)
    split = load_data(shards).splits[POOL]
    expected = b"".join(split.images.content(i) for i in range(len(split)))
    context = multiprocessing.get_context("fork")
    with serving() as site:
        answers = context.Queue()
        address = serve(site, shards)
        readers = [context.Process(target=_read_all, args=(address, room, answers)) for _ in range(4)]
        for reader in readers:
            reader.start()
        found = [answers.get(timeout=60) for _ in readers]
        for reader in readers:
            reader.join()
    assert found == [expected] * 4
    if not is_tight:
        assert len(tars(site)) == len(set(tars(site))) == len(sizes)


def test_a_worker_that_waits_for_the_network_has_not_hung(shards, monkeypatch):
    serve_at_once = loopback.Handler.do_GET

    def serve_late(handler):
        if handler.path.endswith("all-000000.tar"):
            time.sleep(3)
        serve_at_once(handler)

    monkeypatch.setattr(loopback.Handler, "do_GET", serve_late)
    with serving() as site:
        pictures = streamed(load_data(serve(site, shards)), workers=2, timeout=2.0)
    assert len(pictures) == 72


def test_a_shard_that_cannot_be_fetched_by_a_worker_ends_the_run_in_three_lines(shards):
    with serving() as site:
        dataset = load_data(serve(site, shards))
        del site.files["set/all-000001.tar"]
        with pytest.raises(RunError, match="a shard cannot be fetched") as caught:
            streamed(dataset, workers=2)
    assert caught.value.where.endswith("all-000001.tar")
    assert len(str(caught.value).splitlines()) == 3
