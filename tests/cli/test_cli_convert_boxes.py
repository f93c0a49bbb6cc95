"""``striate data convert`` between formats of labelled boxes, as a user meets it."""

import json

import pytest
from faulty_pictures import encode, smooth_pixels, write_files

from striate.data.convert_boxes import BOX_FORMATS
from striate.data.formats.annotations import format_of
from striate.data.label_files import LabelFiles


@pytest.fixture
def boxes(tmp_path):
    """Two pictures, the second without objects; the second box is beyond the edge."""
    picture = encode(smooth_pixels(10, 20), "PNG")
    table = b"a.png,1,2,5,6,cat\na.png,2,2,30,8,dog\nb.png,,,,,\n"
    write_files(tmp_path / "in", {"boxes.csv": table, "a.png": picture, "b.png": picture})
    return tmp_path / "in"


@pytest.mark.parametrize("to", BOX_FORMATS)
def test_every_format_is_written_and_the_problems_are_listed(run_cli, boxes, tmp_path, to):
    outcome = run_cli("data", "convert", boxes, tmp_path / "out", "--format", to)
    assert (outcome.code, outcome.err) == (0, "")
    lines = outcome.out.splitlines()
    assert lines[0] == f"{tmp_path / 'out'}: {to}, from csv"
    assert lines[1].startswith("2 pictures; 2 objects of 2 classes, ")
    assert "  boxes.csv, line 2: the box 2, 2, 30, 8 reaches beyond" in outcome.out
    assert "; --fix mends 1\n" in outcome.out
    assert format_of(LabelFiles.open(tmp_path / "out")) == to


def test_fix_says_what_it_did(run_cli, boxes, tmp_path):
    outcome = run_cli("data", "convert", boxes, tmp_path / "out", "--format", "yolo", "--fix")
    assert outcome.code == 0
    assert "pixels: it is cut at the edge\n" in outcome.out
    assert "--fix mends" not in outcome.out
    assert (tmp_path / "out/labels/a.txt").read_text() == "0 0.15 0.4 0.2 0.4\n1 0.55 0.5 0.9 0.6\n"
    assert (tmp_path / "out/labels/b.txt").read_text() == ""


def test_json_has_all_problems_and_a_person_sees_twenty(run_cli, boxes, tmp_path):
    with (boxes / "boxes.csv").open("a") as file:
        file.write("".join(f"a.png,{k},1,{k},2,dog\n" for k in range(30)))
    plain = run_cli("data", "convert", boxes, tmp_path / "plain", "--format", "coco").out
    assert plain.count("  boxes.csv, line") == 20
    assert "wrong in the labels: 32; --fix mends 31\n" in plain
    assert "  ... (--json names all)\n" in plain
    facts = json.loads(run_cli("data", "convert", boxes, tmp_path / "out", "--format", "coco", "--json").out)
    assert len(facts["problems"]) == 32
    assert facts["problems"][1] == {
        "place": "boxes.csv, line 4",
        "what": "the box 0, 1, 0, 2 has no area",
        "mend": "the object is removed",
        "left_out": 0,
    }
    assert (facts["format"], facts["source_format"], facts["objects"]) == ("coco", "csv", 32)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--format", "coco", "--split", "val"], "--split means nothing for --format coco"),
        (["--format", "coco", "--strict"], "--strict means nothing for --format coco"),
        (["--format", "coco", "--shard-mb", "8"], "--shard-mb means nothing for --format coco"),
        (["--format", "idx", "--fix"], "--fix means nothing for --format idx"),
        (["--format", "coco", "--from", "xml"], "'xml' is no format of boxes"),
        (["--format", "coco", "--from", "voc"], "there are no Pascal VOC files"),
    ],
)
def test_options_that_mean_nothing_are_refused_in_three_lines(run_cli, boxes, tmp_path, options, message):
    outcome = run_cli("data", "convert", boxes, tmp_path / "out", *options)
    assert outcome.code == 2
    assert outcome.err.startswith(f"error: {message}")
    assert len(outcome.err.splitlines()) == 3
    assert not (tmp_path / "out").exists()
