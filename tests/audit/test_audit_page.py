"""The page of an audit: whole without any other file, and safe whatever pictures are called."""

from html.parser import HTMLParser

import pytest
from faulty_pictures import encode, smooth_pixels, write_files

from striate.audit import KINDS, audit, write_page
from striate.audit.page import audit_page

NASTY = "<script>alert(1)</script>"


class Reader(HTMLParser):
    """Gathers tags, attributes and text."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.links, self.ids, self.words = [], [], set(), []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        values = dict(attributes)
        self.ids |= {values["id"]} if "id" in values else set()
        self.links += [value for name, value in values.items() if name in ("src", "href")]

    def handle_data(self, data):
        self.words.append(data)


@pytest.fixture
def result(tmp_path):
    """An audit that found several kinds."""
    files = {
        f"train/{name}/{i}.png": encode(smooth_pixels(40, 50, seed=10 * k + i), "PNG")
        for k, name in enumerate(("cat", "dog & co"))
        for i in range(6)
    }
    files["train/cat/<b>.png"] = files["train/cat/0.png"]
    files["test/cat/leak.png"] = files["train/cat/1.png"]
    files["test/dog & co/1.png"] = encode(smooth_pixels(40, 50, seed=77), "PNG")
    files["train/cat/empty.png"] = b""
    write_files(tmp_path / "data", files)
    return audit(tmp_path / "data")


def test_the_page_shows_every_kind_and_needs_nothing_else(result):
    page = Reader(audit_page(result))
    assert {"unreadable", "leak", "duplicate", "few"} == result.by_kind().keys()
    assert result.by_kind().keys() <= page.ids
    assert all(link.startswith(("#", "data:image/")) for link in page.links)
    assert {link[1:] for link in page.links if link.startswith("#")} <= page.ids
    assert page.tags.count("img") == 4  # the two copies and both sides of the leak
    assert "script" not in page.tags
    text = " ".join(page.words)
    for words in ("train/cat/empty.png", "the file is empty", "train/cat/<b>.png", "test/cat/leak.png"):
        assert words in text
    for kind in result.by_kind():
        assert KINDS[kind].title in text


def test_names_are_text_and_never_markup(result):
    text = audit_page(result)
    assert "<b>.png" not in text
    assert "&lt;b&gt;.png" in text
    assert "dog &amp; co" in text


def test_a_clean_set_says_so(tmp_path):
    files = {
        f"{k}/{i}.png": encode(smooth_pixels(40, 50, seed=30 * k + i), "PNG")
        for k in (0, 1)
        for i in range(20)
    }
    write_files(tmp_path / "data", files)
    page = Reader(audit_page(audit(tmp_path / "data")))
    assert "No faults were found." in page.words


def test_many_findings_are_listed_by_name_beyond_those_shown(tmp_path):
    files = {
        f"{k}/{i}.png": encode(smooth_pixels(40, 50, seed=50 * k + i), "PNG")
        for k in (0, 1)
        for i in range(40)
    }
    files |= {name.replace(".png", "_again.png"): content for name, content in files.items()}
    write_files(tmp_path / "data", files)
    page = Reader(audit_page(audit(tmp_path / "data")))
    assert page.tags.count("img") == 48
    text = " ".join(page.words)
    assert all(f"{name} " in text or f"{name}" in text for name in files)


def test_the_page_is_written_whole(result, tmp_path):
    write_page(tmp_path / "audit.html", result)
    text = (tmp_path / "audit.html").read_text(encoding="utf-8")
    assert text.startswith("<!doctype html>")
    assert text.endswith("</html>\n")
