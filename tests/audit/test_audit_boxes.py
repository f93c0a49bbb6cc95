"""The audit of labelled boxes: wrong lines, tiny objects, classes by objects, copies with other boxes."""

import base64
import io
import json
import re

import pytest
import torch
from faulty_pictures import encode, smooth_pixels, write_files
from PIL import Image
from small_data import contents

from striate.audit import audit
from striate.audit.boxes import TINY_OBJECT, object_class_findings
from striate.audit.drawing import LEAST, draw_marks, surroundings, visible
from striate.audit.findings import Mark
from striate.audit.page import audit_page
from striate.ops.boxes import box_iou
from striate.samples import Objects
from striate.tasks.drawing import Area

HEAD = "filename,xmin,ymin,xmax,ymax,class,split"


def boxes_as_csv(root, lines, height=80, width=120):
    """Pictures named in ``lines``, each another, and the labels."""
    names = sorted({line.split(",")[0] for line in lines})
    files = {name: encode(smooth_pixels(height, width, seed=k), "PNG") for k, name in enumerate(names)}
    write_files(root, files | {"labels.csv": "\n".join([HEAD, *lines]).encode()})
    return root


@pytest.fixture
def clean(tmp_path):
    """Two classes with enough objects of each in train and val."""
    lines = [
        f"{split}{k}.png,{5 + k},10,{40 + k},50,{label},{split}"
        for split, count in (("train", 20), ("val", 5))
        for k in range(count)
        for label in ("cat", "dog")
    ]
    return boxes_as_csv(tmp_path / "data", lines)


def details(result, kind):
    return [finding.detail for finding in result.by_kind().get(kind, [])]


def test_objects_are_counted_and_a_clean_set_has_no_findings(clean):
    before = contents(clean)
    result = audit(clean)
    assert result.findings == ()
    assert result.counts == {"train": [20, 20], "val": [5, 5]}
    assert result.as_json()["counted"] == "objects"
    assert contents(clean) == before


def test_wrong_lines_are_findings_with_file_line_and_box(clean):
    with (clean / "labels.csv").open("a") as file:
        file.write("\ntrain0.png,5,10,400,50,cat,train\ntrain1.png,6,10,41,50,cat,train")
    result = audit(clean)
    assert [finding.kind for finding in result.findings] == ["refused", "invalid-label", "odd-label"]
    _, invalid, odd = result.findings
    assert invalid.detail.startswith("labels.csv, line 52: the box 5, 10, 400, 50 reaches beyond")
    assert invalid.detail.endswith("(--fix: it is cut at the edge)")
    number = [entry.name for entry in result.entries].index("train0.png")
    assert invalid.entries == (number,)
    assert invalid.marks == (Mark(number, (5, 10, 400, 50), "cat", place="labels.csv, line 52"),)
    assert odd.detail.startswith("labels.csv, line 53: the same box of 'cat' is there already")
    assert result.counts == {"train": [21, 20], "val": [5, 5]}  # as --fix would mend it
    (told,) = result.as_json()["findings"][1]["boxes"]
    assert (told["place"], told["box_xyxy"]) == ("labels.csv, line 52", [5, 10, 400, 50])


def test_pictures_without_objects_are_noted_unless_their_labels_are_wrong(clean):
    with (clean / "labels.csv").open("a") as file:
        file.write("\nnone.png,,,,,,train\nwrong.png,5,10,5,50,cat,train")
    write_files(
        clean, {f"{name}.png": encode(smooth_pixels(80, 120, seed=9), "PNG") for name in ("none", "wrong")}
    )
    result = audit(clean, near=1)
    (empty,) = result.by_kind()["no-object"]
    assert result.entries[empty.entries[0]].name == "none.png"
    assert [detail.split(":")[0] for detail in details(result, "invalid-label")] == ["labels.csv, line 53"]


def test_a_missing_picture_is_told_with_the_line_that_names_it(clean):
    (clean / "val4.png").unlink()
    result = audit(clean)
    assert result.counts["val"] == [4, 4]
    assert [result.entries[one.entries[0]].name for one in result.by_kind()["unreadable"]] == ["val4.png"]
    assert any("val4.png" in detail for detail in details(result, "odd-label"))


def test_tiny_is_what_a_pixel_more_or_less_would_lose():
    square = torch.tensor([[0.0, 0, TINY_OBJECT, TINY_OBJECT]])
    assert float(box_iou(square, square + 1)) < 0.5
    assert float(box_iou(square * 1.2, square * 1.2 + 1)) > 0.5


def test_tiny_objects_are_those_that_are_tiny_in_the_networks_input(tmp_path):
    """640 pixels become 160, so that 5 of them are 20: 19 x 19 is tiny, and so is 40 x 9; 20 x 21 is not."""
    lines = ["a.png,10,10,29,29,cat,", "a.png,100,100,140,109,cat,", "a.png,200,200,220,221,cat,"]
    result = audit(boxes_as_csv(tmp_path / "data", [*lines, "b.png,0,0,100,100,cat,"], 480, 640))
    (finding,) = result.by_kind()["tiny-object"]
    assert finding.detail.startswith(
        "2 of 3 objects; the smallest has 10.0 x 2.2 pixels where a network of 160 x 160"
    )
    assert [mark.place for mark in finding.marks] == ["labels.csv, line 3", "labels.csv, line 2"]


def test_rare_and_absent_classes_are_told_by_objects():
    findings = object_class_findings(["a", "b", "c", "d"], {"train": [200, 41, 39, 0], "val": [9, 0, 4, 0]})
    assert [(one.kind, one.detail.split(";")[0], one.classes) for one in findings] == [
        ("absent-class", "nothing in train is d", ("d",)),
        ("absent-class", "nothing in val is b, d", ("b", "d")),
        ("few-objects", "c has 4 objects in val", ("c",)),
        ("rare-class", "39 objects of c, 200 of a", ("c",)),
    ]


def test_copies_with_other_boxes_are_told_with_what_differs(clean):
    with (clean / "labels.csv").open("a") as file:
        file.write("\nsame.png,5,10,40,50,cat,train\nsame.png,5.4,10,40,50,dog,train")
        file.write("\nother.png,6,10,41,50,cat,train\nother.png,60,10,80,50,dog,train")
    for name, original in (("same", "train0"), ("other", "train1")):
        (clean / f"{name}.png").write_bytes((clean / f"{original}.png").read_bytes())
    result = audit(clean)
    (finding,) = result.by_kind()["relabelled"]
    assert {result.entries[i].name for i in finding.entries} == {"train1.png", "other.png"}
    assert sorted((mark.label, mark.box_xyxy) for mark in finding.marks) == [
        ("dog", (6, 10, 41, 50)),
        ("dog", (60, 10, 80, 50)),
    ]
    assert len(result.by_kind()["duplicate"]) == 2


def test_labels_that_cannot_be_read_leave_their_pictures_to_be_looked_at(clean):
    (clean / "labels.csv").unlink()
    write_files(
        clean, {"instances_train.json": b'{"images": [', "copy.png": (clean / "val0.png").read_bytes()}
    )
    result = audit(clean)
    assert list(result.by_kind()) == ["refused", "duplicate"]
    assert "no JSON" in result.findings[0].detail
    assert len(result.entries) == 26


# --- drawings ------------------------------------------------------------------------------------------


def test_what_is_shown_of_a_picture_is_around_the_box_and_within_it():
    assert surroundings((100, 100, 110, 120), 400, 300) == (52, 52, 158, 168)  # 48 pixels on each side
    assert surroundings((100, 100, 180, 120), 400, 300) == (20, 20, 260, 200)  # or as much as its longer side
    assert surroundings((-9, 380, 20, 999), 400, 300) == (0, 332, 68, 400)
    assert surroundings((500, 500, 600, 600), 400, 300) == (0, 0, 300, 400)  # nowhere


def test_a_box_too_small_to_be_seen_is_drawn_larger():
    assert visible(Area(50, 50, 51, 52)) == Area(46, 47, 55, 56)
    assert visible(Area(10, 10, 60, 30)) == Area(10, 10, 60, 30)
    assert LEAST == 9


def test_labels_are_dashed_and_detections_solid_in_the_colour_of_their_class():
    grey = torch.full((1, 100, 100), 128, dtype=torch.uint8)
    marks = [Mark(0, (40.0, 40, 60, 60), "cat"), Mark(0, (70.0, 70, 95, 95), "dog", score=0.9)]
    others = Objects.of(torch.tensor([[5.0, 5, 20, 20]]), torch.tensor([0]))
    drawn = draw_marks(grey, marks[0].box_xyxy, marks, others, ("cat", "dog"))
    assert drawn.size == (320, 320)  # 48 pixels around 40..60 reach the edges
    edge = {drawn.getpixel((x, round(40 * 3.2))) for x in range(128, 190)}
    assert edge == {(255, 255, 255), (0, 0, 0)}
    assert len({drawn.getpixel((round(70 * 3.2), y)) for y in range(240, 290)}) == 1
    assert {drawn.getpixel((16, y)) for y in range(17, 60)} == {(255, 255, 255), (0, 0, 0)}


def test_the_page_draws_the_boxes_of_findings_about_labels(clean, run_cli, tmp_path):
    with (clean / "labels.csv").open("a") as file:
        file.write("\ntrain0.png,50,20,400,60,<b>,train")
    text = audit_page(audit(clean))
    part = text[text.index('<section id="invalid-label">') :]
    part = part[: part.index("</section>")]
    (picture,) = re.findall(r'src="data:image/jpeg;base64,([^"]+)"', part)
    drawn = Image.open(io.BytesIO(base64.b64decode(picture))).convert("RGB")
    plain = draw_marks(
        torch.full((1, 80, 120), 0, dtype=torch.uint8),
        (50, 20, 400, 60),
        [],
        Objects.of(torch.zeros(0, 4), torch.zeros(0).long()),
        (),
    )
    assert drawn.size == plain.size
    white = [drawn.getpixel((x, y)) for x in range(drawn.width) for y in range(drawn.height)]
    assert sum(min(pixel) > 240 for pixel in white) > 500  # the name and the dashes; the picture has no white
    assert "labels.csv, line 52" in part
    assert "<b>," not in part.replace("<b class", "")
    assert "Objects of each class" in text
    outcome = run_cli("data", "audit", clean, "--html", tmp_path / "audit.html", "--json")
    assert json.loads(outcome.out)["found"] == {
        "refused": 1,
        "invalid-label": 1,
        "few-objects": 1,
        "absent-class": 1,
        "rare-class": 1,
    }
