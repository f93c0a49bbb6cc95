"""Names in archives of old programs: right where anything tells their encoding, else kept and told."""

import gzip
import io
import struct
import tarfile
import zipfile
import zlib

import pytest
from faulty_pictures import good_pictures

from striate.data.archive import open_archive
from striate.data.load import load_data
from striate.errors import InputError

PNG = good_pictures()["colour.png"]


def old_zip(path, names: dict[bytes, bytes]):
    """A zip file of pictures by stored name, without the flag of UTF-8; the values are extra fields."""
    with zipfile.ZipFile(path, "w") as packed:
        for letter, (name, extra) in zip("abc", names.items(), strict=False):
            info = zipfile.ZipInfo(letter * len(name))
            info.extra = extra
            packed.writestr(info, PNG)
    content = path.read_bytes()
    for letter, name in zip("abc", names, strict=False):
        content = content.replace(letter.encode() * len(name), name)
    path.write_bytes(content)
    return path


def old_tar(path, names: list[bytes]):
    with tarfile.open(path, "w", format=tarfile.GNU_FORMAT, encoding="latin-1") as packed:
        for name in names:
            info = tarfile.TarInfo(name.decode("latin-1"))
            info.size = len(PNG)
            packed.addfile(info, io.BytesIO(PNG))
    return path


def unicode_path(stored: bytes, name: str) -> bytes:
    field = b"\x01" + struct.pack("<I", zlib.crc32(stored)) + name.encode()
    return struct.pack("<HH", 0x7075, len(field)) + field


def test_utf_8_without_its_flag_is_recognized(tmp_path):
    archive = open_archive(
        old_zip(tmp_path / "a.zip", {"größe/übung.png".encode(): b"", "花/1.png".encode(): b""})
    )
    assert archive.files == ("größe/übung.png", "花/1.png")
    assert archive.doubtful == ()
    assert all(archive.read(name) == PNG for name in archive.files)


def test_the_unicode_path_beside_the_name_counts_if_it_belongs_to_it(tmp_path):
    stored = "花/玫瑰.png".encode("gbk")
    right = unicode_path(stored, "花/玫瑰.png")
    other = struct.pack("<HH", 0x5455, 5) + bytes(5)  # times, as unzip writes them
    for extra in (right, other + right):
        archive = open_archive(old_zip(tmp_path / "a.zip", {stored: extra}))
        assert archive.files == ("花/玫瑰.png",)
        assert archive.read("花/玫瑰.png") == PNG
    stale = open_archive(old_zip(tmp_path / "a.zip", {stored: unicode_path(b"another", "花/玫瑰.png")}))
    assert stale.files == (stored.decode("cp437"),)


@pytest.mark.parametrize("encoding", ["gbk", "shift-jis", "cp1252", "cp850"])
def test_an_unknown_encoding_is_kept_readable_and_told(encoding, tmp_path):
    word = {"gbk": "花", "shift-jis": "花"}.get(encoding, "größe")
    names = [f"{word}/0.png", f"{word}/1.png", "plain/0.png"]
    path = old_zip(tmp_path / "a.zip", {name.encode(encoding): b"" for name in names})
    archive = open_archive(path)
    assert (
        archive.doubtful == archive.files[:2] == tuple(n.encode(encoding).decode("cp437") for n in names[:2])
    )
    assert all(name.isprintable() for name in archive.files)
    dataset = load_data(path)
    assert [len(split) for split in dataset.splits.values()] == [3]
    assert dataset.splits["all"].images.read(0).shape == (3, 40, 48)
    (remark,) = dataset.remarks
    assert "2 names are in an unknown old encoding" in remark
    assert str(path) in remark


@pytest.mark.parametrize("suffix", [".tar", ".tgz"])
def test_names_in_a_tar_likewise(suffix, tmp_path):
    names = ["größe/0.png".encode(), "plain/größe.png".encode("latin-1"), b"plain/0.png"]
    path = tmp_path / f"a{suffix}"
    content = old_tar(tmp_path / "a.tar", names).read_bytes()
    path.write_bytes(gzip.compress(content) if suffix == ".tgz" else content)
    archive = open_archive(path)
    assert archive.files[0] == "größe/0.png"
    assert archive.doubtful == archive.files[1:2]
    assert archive.files[1].encode("utf-8", "surrogateescape") == names[1]
    assert "1 name is in an unknown old encoding" in load_data(path).remarks[0]
    assert all(archive.read(name) == PNG for name in archive.files)


def test_an_error_tells_of_names_in_an_unknown_encoding(tmp_path):
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w") as packed:
        packed.writestr("zz.png", PNG)
        packed.writestr("boxes.csv", "filename,xmin,ymin,xmax,ymax,class\n狗.png,0,0,20,20,dog\n")
    path.write_bytes(path.read_bytes().replace(b"zz.png", "狗.png".encode("gbk")))
    with pytest.raises(InputError, match="unknown old encoding") as caught:
        load_data(path)
    assert "pack it anew" in caught.value.what
