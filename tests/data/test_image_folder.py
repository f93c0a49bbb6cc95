import bz2
import gzip
import io
import lzma
import os
import pickle
import shutil
import tarfile
import zipfile
from multiprocessing import get_context

import numpy as np
import pytest
import torch
from faulty_pictures import encode, faulty_headers, good_pictures, smooth_pixels, write_files

from striate.data import archive as archive_module
from striate.data.archive import open_archive
from striate.data.dataset import POOL, ArrayImages, JoinedImages
from striate.data.formats.image_folder import load, natural_order
from striate.errors import InputError

COMPRESSIONS = {
    **{".tar": "", ".tar.gz": "gz", ".tgz": "gz", ".tar.bz2": "bz2", ".tbz2": "bz2", ".tbz": "bz2"},
    **{".tar.xz": "xz", ".txz": "xz"},
}
SUFFIXES = (".zip", *COMPRESSIONS)


def pack(folder, suffix, inside=""):
    """An archive beside ``folder`` with its content, below the folder ``inside``."""
    path = folder.parent / f"packed{suffix}"
    files = [file for file in sorted(folder.rglob("*")) if file.is_file()]
    names = [
        str(inside / file.relative_to(folder)) if inside else str(file.relative_to(folder)) for file in files
    ]
    if suffix == ".zip":
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as packed:
            for file, name in zip(files, names, strict=True):
                packed.write(file, name)
    else:
        with tarfile.open(path, f"w:{COMPRESSIONS[suffix]}") as packed:
            for file, name in zip(files, names, strict=True):
                packed.add(file, name)
    return path


def test_classes_are_folders_and_targets_their_position(make_classes):
    dataset = load(make_classes({"rose": 2, "daisy": 3}))
    assert dataset.classes == ("daisy", "rose")
    assert list(dataset.splits) == [POOL]
    split = dataset.splits[POOL]
    assert split.names == ["daisy/0.png", "daisy/1.png", "daisy/2.png", "rose/0.png", "rose/1.png"]
    assert split.targets.tolist() == [0, 0, 0, 1, 1]
    assert split.targets.dtype == torch.int64
    assert (split[4][0].permute(1, 2, 0).numpy() == smooth_pixels(8, 10, seed=1)).all()
    assert (dataset.name, dataset.format, dataset.channels) == ("flowers", "image-folder", 3)


@pytest.mark.parametrize(
    "names", [("train", "val", "test"), ("Training", "validation", "testing"), ("train", "valid", "TEST")]
)
def test_split_folders_in_all_spellings(make_classes, names):
    counts = {f"{name}/{label}": k + 1 for k, name in enumerate(names) for label in ("a", "b")}
    dataset = load(make_classes(counts))
    assert {name: len(split) for name, split in dataset.splits.items()} == {"train": 2, "val": 4, "test": 6}
    assert list(dataset.splits) == ["train", "val", "test"]
    assert dataset.classes == ("a", "b")
    assert names[0] in dataset.why


@pytest.mark.parametrize("splits", [("train",), ("train", "test"), ("train", "val")])
def test_splits_that_are_absent_stay_absent(make_classes, splits):
    dataset = load(make_classes({f"{split}/{label}": 1 for split in splits for label in "ab"}))
    assert tuple(dataset.splits) == splits


def test_one_folder_train_among_other_classes_is_a_class(make_classes):
    assert load(make_classes({"bus": 1, "train": 1, "car": 1})).classes == ("bus", "car", "train")


def test_a_wrapping_folder_is_skipped(make_classes):
    plain = load(make_classes({"a": 1, "b": 1}))
    for wrapper in ("wrapped/", "two/wrappers/"):
        folder = make_classes({f"{wrapper}a": 1, f"{wrapper}b": 1}, name=wrapper.replace("/", "-"))
        assert load(folder).fingerprint() == plain.fingerprint()
    in_train = make_classes({"w/train/a": 1, "w/train/b": 1, "w/test/a": 1}, name="split")
    assert list(load(in_train).splits) == ["train", "test"]


def test_the_name_is_the_folders_or_the_archives_without_its_suffix(make_classes):
    folder = make_classes({"a": 1, "b": 1}, name="version 1.2")
    assert load(folder).name == "version 1.2"
    assert load(pack(folder, ".tar.gz")).name == "packed"


def test_folders_inside_a_class_belong_to_it(make_classes):
    dataset = load(make_classes({"a": 1, "a/deep": 1, "a/deep/er": 1, "b": 1}))
    assert dataset.classes == ("a", "b")
    assert dataset.splits[POOL].targets.tolist() == [0, 0, 0, 1]


def test_class_names_sort_naturally(make_classes):
    dataset = load(make_classes(dict.fromkeys(("10", "9", "class 2", "class 10", "b", "B"), 1)))
    assert dataset.classes == ("9", "10", "B", "b", "class 2", "class 10")
    assert sorted(["01", "1", "001"], key=natural_order) == ["001", "01", "1"]


def test_leftovers_are_ignored_text_is_named_and_the_rest_are_faults(make_classes):
    folder = make_classes({"a": 2, "b": 1})
    write_files(
        folder,
        {
            ".hidden.png": b"x", "a/.DS_Store": b"x", ".git/config.png": b"x", "__MACOSX/a/._0.png": b"x",
            "a/Thumbs.db": b"x", "LICENSE.txt": b"x", "b/labels.csv": b"x",
            "a/model.bin": b"x", "b/README": b"x", "loose.png": good_pictures()["colour.png"],
            "a/broken.png": faulty_headers()["text.jpg"],
        },
    )  # fmt: skip
    dataset = load(folder)
    assert len(dataset.splits[POOL]) == 3
    assert "2 (LICENSE.txt, b/labels.csv)" in dataset.why
    assert {fault.name: fault.what.split(",")[0] for fault in dataset.faults} == {
        "a/model.bin": ".bin is no suffix of a picture",
        "b/README": "no suffix is no suffix of a picture",
        "loose.png": "the picture lies in no class folder",
        "a/broken.png": "this is not a picture",
    }


@pytest.mark.parametrize("name", faulty_headers())
def test_a_picture_with_a_faulty_header_is_a_fault_and_left_out(make_classes, name):
    folder = make_classes({"a": 1, "b": 1})
    write_files(folder / "a", {name: faulty_headers()[name]})
    dataset = load(folder)
    assert len(dataset.splits[POOL]) == 2
    assert [fault.name for fault in dataset.faults] == [f"a/{name}"]


def test_channels_are_one_only_if_every_picture_is_grey(make_classes):
    folder = make_classes({"a": 2, "b": 2}, channels=1)
    dataset = load(folder)
    assert dataset.channels == 1
    assert dataset.splits[POOL][0][0].shape == (1, 8, 10)
    write_files(folder, {"a/colour.png": encode(smooth_pixels(8, 10), "PNG")})
    dataset = load(folder)
    images = dataset.splits[POOL].images
    assert dataset.channels == 3
    assert {images.read(i).shape[0] for i in range(len(images))} == {3}
    assert {images.facts(i).channels for i in range(len(images))} == {3}


@pytest.mark.parametrize(
    ("counts", "fault"),
    [
        ({}, "no pictures"),
        ({"a": 2}, "only one class, a"),
        ({".": 3}, "no class folders"),
        ({"train/a": 1, "train/b": 1, "test/c": 1}, "test has a class that train has not: c"),
        ({"test/a": 1, "test/b": 1}, "no train folder"),
        ({"train/a": 1, "train/b": 1, "test/a": 1, "more/a": 1}, r"beside other folders \(more\)"),
        ({"train/a": 1, "val/a": 1, "valid/a": 1}, "same split: val, valid"),
        ({"train/a": 1, "test/a": 1}, "only one class"),
    ],
)
def test_unusable_layouts_are_input_errors(make_classes, counts, fault):
    folder = make_classes(counts)
    with pytest.raises(InputError, match=fault) as caught:
        load(folder)
    assert caught.value.where == str(folder)
    assert caught.value.what_to_do


@pytest.mark.parametrize("folder_name", ["c", "train/b"])
def test_a_class_folder_without_pictures_is_named(make_classes, folder_name):
    folder = make_classes({"train/a": 1, "train/c": 1} if "/" in folder_name else {"a": 1, "b": 1})
    (folder / folder_name).mkdir()
    with pytest.raises(InputError, match=f"class folder {folder_name} has no readable picture"):
        load(folder)
    write_files(folder / folder_name, {"broken.png": b"x"})
    with pytest.raises(InputError, match=f"class folder {folder_name} has no readable picture"):
        load(folder)


def test_links_are_followed_also_to_places_outside(make_classes, tmp_path):
    folder = make_classes({"a": 2, "b": 1})
    elsewhere = make_classes({".": 3}, name="elsewhere")
    (folder / "b" / "link.png").symlink_to(folder / "a" / "0.png")
    (folder / "b" / "away.png").symlink_to(elsewhere / "0.png")
    (folder / "c").symlink_to(elsewhere)
    (folder / ".hidden").symlink_to(folder.parent)
    dataset = load(folder)
    assert dataset.classes == ("a", "b", "c")
    assert torch.bincount(dataset.splits[POOL].targets).tolist() == [2, 3, 3]
    assert dataset.faults == ()
    assert torch.equal(dataset.splits[POOL][4][0], dataset.splits[POOL][0][0])
    (tmp_path / "way").symlink_to(folder)
    assert load(tmp_path / "way").fingerprint() == dataset.fingerprint()


def test_links_that_lead_nowhere_and_what_is_no_file_are_faults(make_classes):
    folder = make_classes({"a": 2, "b": 1})
    (folder / "b" / "loop.png").symlink_to("loop.png")
    (folder / "b" / "gone.png").symlink_to("/no/such/picture.png")
    (folder / "c").symlink_to("no-such-folder")
    os.mkfifo(folder / "b" / "pipe.png")
    dataset = load(folder)
    assert {fault.name: fault.what.split(",")[0] for fault in dataset.faults} == {
        "b/loop.png": "the link leads nowhere",
        "b/gone.png": "the link leads nowhere",
        "c": "the link leads nowhere",
        "b/pipe.png": "it is no file",
    }
    assert len(dataset.splits[POOL]) == 3


@pytest.mark.parametrize("circle", ["self", "two"])
def test_links_in_a_circle_are_named(make_classes, circle):
    folder = make_classes({"a": 2, "b": 1})
    if circle == "self":
        (folder / "b" / "all").symlink_to(folder)
    else:
        (folder / "b" / "one").symlink_to(folder / "a")
        (folder / "a" / "other").symlink_to(folder / "b")
    with pytest.raises(InputError, match="leads to a folder around it") as caught:
        load(folder)
    assert ("all" if circle == "self" else "other") in caught.value.where


def test_an_unreadable_folder_is_an_input_error(make_classes, monkeypatch):
    folder = make_classes({"a": 1, "b": 1})
    scan = os.scandir

    def refuse(path):
        if str(path).endswith("b"):
            raise PermissionError(13, "Permission denied", str(path))
        return scan(path)

    monkeypatch.setattr(os, "scandir", refuse)
    with pytest.raises(InputError, match="Permission denied") as caught:
        load(folder)
    assert caught.value.where == str(folder / "b")


def test_loading_and_reading_leave_the_folder_as_it_was(make_classes):
    folder = make_classes({"a": 2, "b": 1})
    before = {path: path.stat().st_mtime_ns for path in [folder, *folder.rglob("*")]}
    dataset = load(folder)
    dataset.fingerprint()
    assert {path: path.stat().st_mtime_ns for path in [folder, *folder.rglob("*")]} == before


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("inside", ["", "wrapper"])
def test_an_archive_holds_the_same_data_as_its_folder(make_classes, suffix, inside):
    folder = make_classes({"train/a": 2, "train/b": 3, "test/b": 1})
    write_files(folder / "train" / "a", {"broken.png": b"x"})
    expected, packed = load(folder), load(pack(folder, suffix, inside))
    assert packed.fingerprint() == expected.fingerprint()
    assert packed.classes == expected.classes
    assert packed.faults == expected.faults
    for name, split in expected.splits.items():
        assert packed.splits[name].names == split.names
        for i in range(len(split)):
            assert torch.equal(packed.splits[name][i][0], split[i][0])
            assert packed.splits[name].images.facts(i) == split.images.facts(i)


def read_sums(images):
    return [int(images.read(i).sum()) for i in range(len(images))]


@pytest.mark.parametrize("suffix", ["", *SUFFIXES])
def test_pictures_cross_to_worker_processes(make_classes, suffix):
    folder = make_classes({"a": 3, "b": 3})
    images = load(pack(folder, suffix) if suffix else folder).splits[POOL].images
    expected = read_sums(images)  # the parent's handle is open by now
    copy = pickle.loads(pickle.dumps(images))
    assert read_sums(copy) == expected
    with get_context("fork").Pool(2) as pool:
        assert pool.map(read_sums, [images] * 4) == [expected] * 4


def test_pickled_archives_carry_no_pictures(make_classes):
    folder = make_classes({"a": 30, "b": 30})
    images = load(pack(folder, ".tgz")).splits[POOL].images
    assert len(pickle.dumps(images)) < 60 * 100


def zip_of(path, members):
    with zipfile.ZipFile(path, "w") as packed:
        for name in members:
            packed.writestr(zipfile.ZipInfo(name), good_pictures()["colour.png"])
    return path


def tar_of(path, members, **fields):
    with tarfile.open(path, f"w:{COMPRESSIONS[path.suffix]}") as packed:
        for name in members:
            info = tarfile.TarInfo(name)
            content = b"" if fields else good_pictures()["colour.png"]
            info.size = len(content)
            for key, value in fields.items():
                setattr(info, key, value)
            packed.addfile(info, io.BytesIO(content))
    return path


@pytest.mark.parametrize("make", [zip_of, tar_of])
@pytest.mark.parametrize("name", ["/etc/a.png", "../a.png", "a/../../b.png", "C:/a.png", "..\\a.png"])
def test_archive_paths_that_lead_out_are_refused(tmp_path, make, name):
    suffixes = [".zip"] if make is zip_of else [".tar", ".tgz"]
    for suffix in suffixes:
        with pytest.raises(InputError, match="leads out of it"):
            load(make(tmp_path / f"a{suffix}", ["a/0.png", name]))


@pytest.mark.parametrize("suffix", [".tar", ".tgz"])
@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE, tarfile.CHRTYPE])
def test_links_and_special_files_in_a_tar_are_refused(tmp_path, suffix, kind):
    with pytest.raises(InputError, match="link or a special file: a/link"):
        load(tar_of(tmp_path / f"a{suffix}", ["a/link"], type=kind, linkname="../../etc/passwd"))


def test_links_in_a_zip_are_refused(tmp_path):
    info = zipfile.ZipInfo("a/link.png")
    info.create_system, info.external_attr = 3, 0o120777 << 16
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as packed:
        packed.writestr(info, "/etc/passwd")
    with pytest.raises(InputError, match="link"):
        load(tmp_path / "a.zip")


def test_an_encrypted_zip_is_refused(tmp_path):
    path = zip_of(tmp_path / "a.zip", ["a/0.png", "b/0.png"])
    content = bytearray(path.read_bytes())
    content[content.index(b"PK\x01\x02") + 8] |= 1  # the flag of the first entry
    path.write_bytes(content)
    with pytest.raises(InputError, match="encrypted") as caught:
        load(path)
    assert "password" in caught.value.what_to_do


def test_a_name_twice_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"holds a/0\.png twice"):
        load(tar_of(tmp_path / "a.tar", ["a/0.png", "b/0.png", "a/0.png"]))


def test_a_member_of_too_many_bytes_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(archive_module, "MAX_FILE_BYTES", 100)
    for path in (zip_of(tmp_path / "a.zip", ["a/0.png"]), tar_of(tmp_path / "a.tar", ["a/0.png"])):
        with pytest.raises(InputError, match=r"a/0\.png in the archive is larger"):
            load(path)


@pytest.mark.parametrize("suffix", [".tgz", ".tbz2", ".txz"])
def test_a_compressed_tar_above_the_memory_budget_is_refused(tmp_path, monkeypatch, suffix):
    path = tar_of(tmp_path / f"a{suffix}", [f"a/{i}.png" for i in range(10)])
    monkeypatch.setattr(archive_module, "MAX_UNPACKED_BYTES", 5 * len(good_pictures()["colour.png"]))
    with pytest.raises(InputError, match="cannot be read out of order") as caught:
        load(path)
    assert "unpack it" in caught.value.what_to_do


@pytest.mark.parametrize("suffix", [".tar", ".tgz", ".tbz", ".txz"])
def test_a_tar_damaged_between_two_files_does_not_lose_the_rest_silently(make_classes, suffix):
    plain = pack(make_classes({"a": 2, "b": 2}), ".tar")
    content = bytearray(plain.read_bytes())
    with tarfile.open(plain) as tar:
        second, last = tar.getmembers()[1], tar.getmembers()[-1]
    damaged = content.copy()
    damaged[second.offset + 150] ^= 0xFF  # its checksum field
    path = plain.parent / f"damaged{suffix}"
    for mutant in (damaged, content[: last.offset]):
        compress = {".tar": bytes, ".tgz": gzip.compress, ".tbz": bz2.compress, ".txz": lzma.compress}[suffix]
        path.write_bytes(compress(mutant))
        with pytest.raises(InputError, match="between two files"):
            load(path)


@pytest.mark.parametrize("suffix", [".tgz", ".tbz", ".txz"])
def test_a_compressed_tar_with_a_wrong_checksum_or_without_its_end_is_refused(make_classes, suffix):
    path = pack(make_classes({"a": 2, "b": 2}), suffix)
    content = path.read_bytes()
    changed = bytearray(content)
    changed[-6] ^= 1  # the checksums are at the end of each of these formats
    for damaged in (changed, content[:-1], content[: len(content) // 2]):
        path.write_bytes(damaged)
        with pytest.raises(InputError, match="cannot be read"):
            load(path)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_corrupt_archives_are_input_errors_or_faults(make_classes, suffix):
    path = pack(make_classes({"a": 4, "b": 4}), suffix)
    content = path.read_bytes()
    for damaged in (b"", b"nonsense" * 100, content[: len(content) // 2], content[:200]):
        path.write_bytes(damaged)
        with pytest.raises(InputError):
            load(path)
    rng = np.random.default_rng(0)
    outcomes = set()
    for _ in range(60):
        mutant = bytearray(content)
        mutant[rng.integers(len(mutant))] ^= 1 << rng.integers(8)
        path.write_bytes(mutant)
        try:
            read_sums(load(path).splits[POOL].images)
            outcomes.add("read")
        except InputError:
            outcomes.add("refused")
    assert "refused" in outcomes


def test_a_damaged_zip_member_is_a_fault(make_classes):
    path = pack(make_classes({"a": 2, "b": 2}), ".zip")
    content = bytearray(path.read_bytes())
    with zipfile.ZipFile(path) as packed:
        info = packed.getinfo("a/1.png")
    content[info.header_offset + 30 + len(info.filename) + info.compress_size // 2] ^= 0xFF
    path.write_bytes(content)
    dataset = load(path)
    assert [fault.name for fault in dataset.faults] == ["a/1.png"]
    assert len(dataset.splits[POOL]) == 3


def test_an_archive_that_vanishes_is_an_input_error(make_classes):
    path = pack(make_classes({"a": 2, "b": 2}), ".tar")
    images = load(path).splits[POOL].images
    path.unlink()
    with pytest.raises(InputError, match="No such file"):
        images.read(0)


def test_windows_separators_in_a_zip_are_folders(tmp_path):
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w") as packed:
        for name in ("a\\0.png", "b\\0.png"):
            packed.writestr(zipfile.ZipInfo(name), good_pictures()["colour.png"])
    assert load(path).classes == ("a", "b")
    assert open_archive(path).read("b/0.png") == good_pictures()["colour.png"]


def test_the_fingerprint_changes_with_a_byte_a_name_a_label_and_a_split(make_classes):
    folder = make_classes({"train/a": 2, "train/b": 2, "test/a": 1})
    first = load(folder).fingerprint()
    assert load(folder).fingerprint() == first

    def changed(change):
        copy = folder.parent / "copy"
        shutil.copytree(folder, copy)
        assert load(copy).fingerprint() == first
        change(copy)
        fingerprint = load(copy).fingerprint()
        shutil.rmtree(copy)
        return fingerprint

    def flip(copy):
        path = copy / "train/a/1.png"
        content = bytearray(path.read_bytes())
        content[-20] ^= 1  # in the pixels: the header stays good
        path.write_bytes(content)

    fingerprints = [
        changed(flip),
        changed(lambda copy: (copy / "train/a/1.png").rename(copy / "train/a/2.png")),
        changed(lambda copy: (copy / "train/a/1.png").rename(copy / "train/b/2.png")),
        changed(lambda copy: (copy / "train/a/1.png").rename(copy / "test/a/1.png")),
        changed(lambda copy: (copy / "train/b").rename(copy / "train/c")),
        changed(lambda copy: (copy / "train/a/1.png").unlink()),
    ]
    assert len({first, *fingerprints}) == 7


def test_array_images_keep_their_names_when_selected_twice():
    pixels = torch.arange(5 * 4, dtype=torch.uint8).reshape(5, 1, 2, 2)
    images = ArrayImages(pixels, "train").select(torch.tensor([4, 2, 0])).select(torch.tensor([2, 0]))
    assert [images.name(i) for i in range(2)] == ["train/00000", "train/00004"]
    assert torch.equal(images.pixels, pixels[[0, 4]])
    assert torch.equal(images.read(1), pixels[4])
    assert images.content(1) == bytes([16, 17, 18, 19])


def test_joined_images_are_their_parts_in_order():
    first = ArrayImages(torch.zeros(2, 1, 2, 2).byte(), "a")
    second = ArrayImages(torch.ones(3, 3, 4, 5).byte(), "b")
    joined = JoinedImages([first, second])
    assert [joined.name(i) for i in range(len(joined))] == [
        "a/00000",
        "a/00001",
        "b/00000",
        "b/00001",
        "b/00002",
    ]
    assert joined.read(2).shape == (3, 4, 5)
    assert joined.facts(1).channels == 1
    chosen = joined.select(torch.tensor([3, 0]))
    assert [chosen.name(0), chosen.name(1)] == ["b/00001", "a/00000"]


@pytest.mark.parametrize("suffix", ["", ".zip"])
@pytest.mark.parametrize("inside", ["test", "test/test", "test/unknown", "data/test"])
def test_a_split_without_class_folders_is_left_aside_and_counted(make_classes, suffix, inside):
    home = "data/" if inside.startswith("data/") else ""
    folder = make_classes({f"{home}train/a": 2, f"{home}train/b": 2, inside: 3})
    path = pack(folder, suffix) if suffix else folder
    dataset = load(path)
    assert {name: len(split) for name, split in dataset.splits.items()} == {"train": 4}
    assert dataset.faults == ()
    (remark,) = dataset.remarks
    assert remark.startswith("test: 3 pictures without class folders")
    assert f"striate predict RUN {f'the unpacked {path.name}' if suffix else path}/{home}test" in remark


def test_pictures_beside_the_class_folders_of_a_split_are_still_faults(make_classes):
    dataset = load(make_classes({"train/a": 1, "train/b": 1, "test/a": 1, "test": 2}))
    assert [fault.name for fault in dataset.faults] == ["test/0.png", "test/1.png"]
    assert len(dataset.splits["test"]) == 1


@pytest.mark.parametrize("suffix", ["", ".zip"])
def test_what_systems_leave_behind_is_no_data_at_any_depth(make_classes, suffix):
    folder = make_classes({"a": 2, "b": 1})
    junk = (
        "@eaDir", "$RECYCLE.BIN", "System Volume Information", "#recycle", "lost+found", "__pycache__",
        ".AppleDouble", "__MACOSX", ".ipynb_checkpoints", "$Recycle.Bin", "__macosx",
    )  # fmt: skip
    picture = good_pictures()["colour.png"]
    write_files(folder, {f"{home}{name}/x.png": picture for name in junk for home in ("", "a/", "a/deep/")})
    write_files(
        folder,
        {
            f"a/{name}": b"x"
            for name in ("Thumbs.db", "THUMBS.DB", "ehthumbs.db", "Desktop.ini", "Icon\r", "._0.png")
        },
    )
    dataset = load(pack(folder, suffix) if suffix else folder)
    assert dataset.classes == ("a", "b")
    assert len(dataset.splits[POOL]) == 3
    assert dataset.faults == ()


@pytest.mark.parametrize("suffix", ["", ".zip"])
def test_an_accent_may_be_written_in_two_ways(make_classes, suffix):
    one, other = "\u00e9t\u00e9", "e\u0301te\u0301"
    folder = make_classes({f"train/{one}": 2, "train/b": 1, f"train/{other}": 1, f"val/{other}": 3})
    dataset = load(pack(folder, suffix) if suffix else folder)
    assert dataset.classes == ("b", one)
    assert torch.bincount(dataset.splits["train"].targets).tolist() == [1, 3]
    assert dataset.splits["val"].targets.tolist() == [1, 1, 1]
    assert dataset.splits["val"].names[0] == f"val/{other}/0.png"


def test_where_nothing_is_left_one_reason_is_told(make_classes):
    folder = make_classes({"a": 1})
    write_files(folder, {"b/0.png": faulty_headers()["text.jpg"], "b/1.png": b"x"})
    with pytest.raises(
        InputError, match=r"class folder b has no readable picture \(b/0\.png: this is not a picture"
    ):
        load(folder)
    shutil.rmtree(folder)
    write_files(folder, {"a/0.nef": b"x", "b/0.nef": b"x"})
    with pytest.raises(InputError, match=r"no pictures \(a/0\.nef: \.nef is no suffix of a picture"):
        load(folder)


def test_real_flowers(real_data):
    dataset = load(real_data / "flowers.zip")
    assert dataset.classes == ("daisy", "dandelion", "rose", "sunflower", "tulip")
    assert len(dataset.splits[POOL]) == 4317
    assert dataset.faults == ()
    image, target = dataset.splits[POOL][4316]
    assert image.shape == (3, 128, 128)
    assert int(target) == 4
