"""Text of other programs: marks, encodings, and names that are the same in two forms."""

import unicodedata

import pytest

from striate.data.class_names import parse_class_names
from striate.data.json_reading import parse_json
from striate.data.xml_reading import parse_xml, root_tag
from striate.errors import InputError
from striate.recipe import load_recipe
from striate.tasks.wordtree import read_parents
from striate.text_files import as_utf8, composed, decode_text

TEXT = "chien,été,犬\nchat,hiver,猫\n"
UNICODE = ("utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32")


@pytest.mark.parametrize("encoding", UNICODE)
def test_text_is_read_in_each_encoding_of_unicode_without_its_mark(encoding):
    assert decode_text(TEXT.encode(encoding), "labels.csv") == TEXT
    assert as_utf8(TEXT.encode(encoding)) == TEXT.encode()


@pytest.mark.parametrize(
    ("text", "encoding", "name"),
    [("狗和猫\n", "gbk", "GBK"), ("été\n", "cp1252", "Windows-1252"), ("ネコｶ\n", "shift_jis", "Shift JIS")],
)
def test_another_encoding_is_named_with_the_line_and_never_guessed(text, encoding, name):
    with pytest.raises(InputError, match=r"is not UTF-8 text \(byte 0x") as error:
        decode_text(b"first\n" + text.encode(encoding), "labels.csv")
    assert error.value.where == "labels.csv, line 2"
    assert "it may be" in error.value.what
    if encoding == "gbk":
        assert name in error.value.what


@pytest.mark.parametrize("content", [b"\xff\xfe\x00", b"\xff\xfea\x00\x00\xd8"])
def test_utf_16_that_is_cut_off_is_refused(content):
    with pytest.raises(InputError, match="not UTF-16 text"):
        decode_text(content, "labels.csv")


def test_bytes_that_are_no_text_are_searched_as_they_are():
    assert as_utf8(b"\xff\x00\x80\x81") == b"\xff\x00\x80\x81"


def test_accents_apart_and_composed_are_one_name():
    assert composed(unicodedata.normalize("NFD", "été")) == "été"
    assert composed("plain") == "plain"


@pytest.mark.parametrize("encoding", UNICODE)
def test_json_and_xml_are_read_in_each_encoding_of_unicode(encoding):
    assert parse_json('{"é": "猫"}'.encode(encoding), "a.json") == {"é": "猫"}
    xml = f'<?xml version="1.0" encoding="{encoding}"?>\n<a>猫</a>'.encode(encoding)
    assert parse_xml(xml, "a.xml").text == "猫"
    assert root_tag(xml) == "a"


@pytest.mark.parametrize("encoding", ["gbk", "gb2312", "shift_jis", "euc-kr", "iso-8859-1", "windows-1252"])
def test_xml_is_read_in_the_encoding_that_its_first_line_names(encoding):
    word = {"euc-kr": "한"}.get(encoding, "é" if "-" in encoding else "猫")
    xml = f'<?xml version="1.0" encoding="{encoding}"?>\n<a>{word}</a>'.encode(encoding)
    assert parse_xml(xml, "a.xml").text == word


def test_xml_that_is_not_in_the_encoding_it_names_is_refused_with_the_line():
    with pytest.raises(InputError, match="says that it is gbk, and is not") as error:
        parse_xml(b'<?xml version="1.0" encoding="gbk"?>\n<a>\n\xff\xff</a>', "a.xml")
    assert error.value.where == "a.xml, line 3"


def test_class_names_recipes_and_trees_have_no_mark_in_them(tmp_path):
    assert parse_class_names("a\nb\n".encode("utf-8-sig"), "classes.txt") == ("a", "b")
    recipe = tmp_path / "marked.toml"
    recipe.write_bytes("[train]\nepochs = 3\n".encode("utf-8-sig"))
    assert load_recipe(recipe).train.epochs == 3
    tree = tmp_path / "marked.tree"
    tree.write_bytes("root\na root\n".encode("utf-16"))
    assert read_parents(tree) == {"root": [], "a": ["root"]}


@pytest.mark.parametrize("read", [load_recipe, read_parents])
def test_recipes_and_trees_in_another_encoding_name_file_and_line(tmp_path, read):
    path = tmp_path / "old.txt"
    path.write_bytes("# one\n# été\n".encode("cp1252"))
    with pytest.raises(InputError, match="not UTF-8 text") as error:
        read(path)
    assert error.value.where == f"{path}, line 2"
