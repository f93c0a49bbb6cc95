"""The audit of labels that cannot be read: every bad file and line is named, and all others are looked at."""

import json

import pytest
from faulty_pictures import encode, smooth_pixels, write_files

from striate.audit import audit

VOC = """<annotation><object><name>{name}</name><bndbox><xmin>5</xmin><ymin>6</ymin>
<xmax>{right}</xmax><ymax>40</ymax></bndbox></object></annotation>
"""


def pictures(names, side=64):
    """Pictures, each another."""
    return {name: encode(smooth_pixels(side, side, seed=k), "PNG") for k, name in enumerate(names)}


def invalid(result):
    """File and line of each invalid label, with the picture where it is known."""
    return {
        finding.detail.partition(": ")[0]: [result.entries[i].name for i in finding.entries]
        for finding in result.by_kind()["invalid-label"]
    }


@pytest.fixture
def voc(tmp_path):
    """VOC files of which three are no XML, and two hold lines that cannot be trained on."""
    names = [f"p{k}" for k in range(9)]
    labels = {f"{name}.xml": VOC.format(name="cat", right=40).encode() for name in names}
    labels |= {
        "p1.xml": b"hello",
        "p3.xml": b"",
        "p4.xml": labels["p4.xml"].replace(b"</name>", b"</nome>"),
        "p5.xml": VOC.format(name="", right=40).encode(),
        "p7.xml": VOC.format(name="cat", right=4).encode(),
    }
    write_files(tmp_path / "voc", labels | pictures([f"{name}.png" for name in names]))
    return tmp_path / "voc"


def test_every_bad_file_and_line_is_named_and_the_others_are_counted(voc):
    result = audit(voc, near=1)
    assert invalid(result) == {
        "p1.xml, line 1": ["p1.png"],
        "p3.xml, line 1": ["p3.png"],
        "p4.xml, line 1": ["p4.png"],
        "p5.xml, line 1": ["p5.png"],
        "p7.xml, line 1": ["p7.png"],
    }
    assert result.counts == {"all": [4]}  # p5 and p7 without their object
    assert len(result.entries) == 9  # the pictures of unread labels are looked at, too
    assert "left-out" not in result.by_kind()  # they are told once
    assert result.by_kind()["refused"][0].detail.startswith(
        "2 labels cannot be trained on"
    )  # the others are left out


def test_the_command_names_them_all_in_words_and_as_json(voc, run_cli):
    bad = ["p1.xml, line 1", "p3.xml, line 1", "p4.xml, line 1", "p5.xml, line 1", "p7.xml, line 1"]
    words = run_cli("data", "audit", voc)
    assert words.code == 0
    part = words.out[words.out.index("invalid-label: ") :]
    assert all(f"{place}: " in part for place in bad)
    found = json.loads(run_cli("data", "audit", voc, "--json").out)
    places = [one["detail"].partition(": ")[0] for one in found["findings"] if one["kind"] == "invalid-label"]
    assert places == bad


def test_where_no_label_is_left_each_is_named_and_the_pictures_are_looked_at(tmp_path):
    files = {f"p{k}.xml": b"<annotation>\n<object" for k in range(4)}
    names = [f"p{k}.png" for k in range(4)]
    write_files(tmp_path / "data", files | pictures(names))
    (tmp_path / "data" / "copy.png").write_bytes((tmp_path / "data" / "p0.png").read_bytes())
    result = audit(tmp_path / "data")
    assert set(invalid(result)) == {f"p{k}.xml, line 2" for k in range(4)}
    assert len(result.entries) == 5
    assert len(result.by_kind()["duplicate"]) == 1


def test_one_file_of_several_of_a_format_does_not_hide_the_others(tmp_path):
    coco = {
        "images": [{"id": 1, "file_name": "a.png", "width": 64, "height": 64}],
        "annotations": [{"id": 1, "image_id": 1, "category_id": 1, "bbox": [5, 5, 20, 20]}],
        "categories": [{"id": 1, "name": "cat"}],
    }
    files = {"instances_train.json": json.dumps(coco).encode(), "instances_val.json": b'{"images": [\n1,]'}
    write_files(tmp_path / "data", files | pictures(["a.png", "b.png"]))
    result = audit(tmp_path / "data", near=1)
    assert list(invalid(result)) == ["instances_val.json, line 2"]
    assert result.counts == {"train": [1]}


def test_the_only_label_file_is_named_in_the_refusal(tmp_path):
    write_files(tmp_path / "data", {"instances_train.json": b'{"images": [', **pictures(["a.png"])})
    (refused,) = audit(tmp_path / "data").by_kind()["refused"]
    assert "instances_train.json, line 1: the file is no JSON" in refused.detail
