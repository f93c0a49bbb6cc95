"""``striate data audit``: its table, its JSON, its page, its exit codes."""

import json
import shutil

import pytest
from faulty_pictures import encode, smooth_pixels, write_files
from small_data import contents, write_digits

from striate.audit import KINDS


@pytest.fixture
def faulty(tmp_path):
    """Two classes with a copy, a leak and a file that is no picture."""
    files = {
        f"{split}/{name}/{i}.png": encode(smooth_pixels(40, 50, seed=seed), "PNG")
        for seed, (split, name, i) in enumerate(
            (split, name, i) for split in ("train", "test") for name in ("cat", "dog") for i in range(5)
        )
    }
    files["train/cat/copy.png"] = files["train/cat/0.png"]
    files["test/dog/leak.png"] = files["train/dog/0.png"]
    files["train/dog/notes.jpg"] = b"no picture"
    write_files(tmp_path / "faulty", files)
    return tmp_path / "faulty"


def test_json_holds_every_finding(run_cli, faulty):
    before = contents(faulty)
    outcome = run_cli("data", "audit", faulty, "--json")
    assert (outcome.code, outcome.err) == (0, "")
    result = json.loads(outcome.out)
    assert result["found"] == {"unreadable": 1, "leak": 1, "duplicate": 1, "few": 2}
    assert result["pictures"] == 23
    assert result["splits"] == {"train": [6, 5], "test": [5, 6]}
    leak = next(finding for finding in result["findings"] if finding["kind"] == "leak")
    assert leak == {
        "kind": "leak",
        "severity": "error",
        "detail": "the same file",
        "score": 1.0,
        "classes": [],
        "pictures": [
            {"name": "train/dog/0.png", "split": "train", "class": "dog"},
            {"name": "test/dog/leak.png", "split": "test", "class": "dog"},
        ],
        "boxes": [],
    }
    assert result["counted"] == "pictures"
    assert contents(faulty) == before


def test_the_table_tells_each_kind_with_examples_and_what_to_do(run_cli, faulty):
    outcome = run_cli("data", "audit", faulty)
    assert (outcome.code, outcome.err) == (0, "")
    lines = outcome.out.splitlines()
    assert lines[0] == "faulty: 23 pictures of 2 classes, image-folder"
    table = [line.split() for line in lines[3:7]]
    assert table == [
        ["unreadable", "error", "1", "1"],
        ["leak", "error", "1", "2"],
        ["duplicate", "warning", "1", "2"],
        ["few", "notice", "2", "0"],
    ]
    assert "  train/dog/notes.jpg: this is not a picture, or its header is damaged" in lines
    assert f"  try: {KINDS['leak'].advice}" in lines
    assert max(map(len, lines)) <= 80


@pytest.mark.parametrize("kind", KINDS.values(), ids=list(KINDS))
def test_what_is_said_of_a_kind_fits_a_terminal(kind):
    assert len(f"{kind.name}: {kind.title}") <= 80
    assert len(f"  try: {kind.advice}") <= 80
    assert kind.severity in ("error", "warning", "notice")


def test_fail_ends_with_1_if_and_only_if_something_is_found(run_cli, faulty):
    assert run_cli("data", "audit", faulty, "--fail").code == 1
    shutil.rmtree(faulty)
    files = {
        f"{name}/{i}.png": encode(smooth_pixels(40, 50, seed=20 * k + i), "PNG")
        for k, name in enumerate(("cat", "dog"))
        for i in range(20)
    }
    write_files(faulty, files)
    outcome = run_cli("data", "audit", faulty, "--fail")
    assert (outcome.code, outcome.out.splitlines()[-1]) == (0, "no faults found")


def test_the_page_is_written_where_it_is_wanted(run_cli, faulty, tmp_path):
    outcome = run_cli("data", "audit", faulty, "--html", tmp_path / "audit.html", "--near", "1")
    assert outcome.code == 0
    assert outcome.out.splitlines()[-1] == f"the pictures are shown in {tmp_path / 'audit.html'}"
    assert "data:image/png;base64," in (tmp_path / "audit.html").read_text(encoding="utf-8")


def test_a_page_never_replaces_a_file_or_lies_among_the_pictures(run_cli, faulty, tmp_path):
    before = contents(faulty)
    (tmp_path / "there.html").write_text("mine")
    for place in (tmp_path / "there.html", faulty / "audit.html", tmp_path / "no" / "audit.html"):
        outcome = run_cli("data", "audit", faulty, "--html", place)
        assert (outcome.code, outcome.out) == (2, "")
        assert "--html" in outcome.err
    assert (tmp_path / "there.html").read_text() == "mine"
    assert contents(faulty) == before


def test_an_archive_and_a_name_of_the_catalogue_are_audited(run_cli, faulty, tmp_path):
    archive = shutil.make_archive(tmp_path / "packed", "zip", faulty)
    found = json.loads(run_cli("data", "audit", archive, "--json").out)["found"]
    assert found == {"unreadable": 1, "leak": 1, "duplicate": 1, "few": 2}
    digits = json.loads(run_cli("data", "audit", "digits", "--json", "--near", "1").out)
    assert (digits["pictures"], digits["found"]) == (1797, {})


def test_what_is_no_data_set_is_an_error_in_three_lines(run_cli, tmp_path):
    outcome = run_cli("data", "audit", tmp_path / "missing")
    assert (outcome.code, outcome.out) == (2, "")
    assert len(outcome.err.splitlines()) == 3


def test_a_run_is_asked_about_labels(run_cli, digits_run):
    outcome = run_cli("data", "audit", "digits", "--run", digits_run.path, "--near", "1", "--json")
    result = json.loads(outcome.out)
    assert outcome.code == 0
    assert list(result["splits"]) == ["train", "val", "test"]
    assert result["found"].keys() <= {"label"}


def test_a_run_disputes_a_digit_in_the_wrong_folder(run_cli, digits_run, tmp_path):
    paths = write_digits(tmp_path / "digits", range(100))
    right = [(path, digits_run.predict(path)[0]) for path in paths if path.parent.name != "7"]
    path, best = max(right, key=lambda one: one[1].score)
    assert best.label == path.parent.name
    path.rename(tmp_path / "digits" / "7" / path.name)
    outcome = run_cli("data", "audit", tmp_path / "digits", "--run", digits_run.path, "--json")
    disputed = [finding for finding in json.loads(outcome.out)["findings"] if finding["kind"] == "label"]
    assert disputed[0]["pictures"] == [{"name": f"7/{path.name}", "split": "all", "class": "7"}]
    assert disputed[0]["classes"] == [best.label]
    assert disputed[0]["score"] == pytest.approx(best.score, abs=1e-3)


def test_of_many_copies_those_are_shown_that_lie_in_different_splits(run_cli, faulty):
    for i in range(8):
        shutil.copy(faulty / "train/dog/0.png", faulty / f"train/dog/again{i}.png")
    lines = run_cli("data", "audit", faulty).out.splitlines()
    place = lines.index("leak: the same picture in two splits")
    assert lines[place + 2 : place + 6] == [
        "    train/dog/0.png",
        "    test/dog/leak.png",
        "    train/dog/again0.png",
        "    ... and 7 more pictures",
    ]


@pytest.mark.parametrize("name", ["train/dog/phone.jpg", "train/dog/phone.heic"])
def test_what_a_phone_saved_as_heic_is_called_that_or_is_to_be_converted(run_cli, faulty, name):
    write_files(faulty, {name: b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(100)})
    lines = run_cli("data", "audit", faulty).out.splitlines()
    (line,) = [place for place, text in enumerate(lines) if text.startswith(f"  {name}: ")]
    advice = next(text for text in lines[line:] if text.startswith("  try: "))
    assert ("HEIC" if name.endswith("jpg") else ".heic") in lines[line]
    assert "JPEG" in advice or "convert" in advice


def test_a_network_that_disputes_most_labels_is_itself_doubted(run_cli, digits_run, tmp_path):
    for path in write_digits(tmp_path / "in", range(100)):
        other = tmp_path / "digits" / str((int(path.parent.name) + 1) % 10) / path.name
        other.parent.mkdir(parents=True, exist_ok=True)
        path.rename(other)
    outcome = run_cli("data", "audit", tmp_path / "digits", "--run", digits_run.path, "--json")
    result = json.loads(outcome.out)
    share = result["found"]["label"] / 100
    assert share > 0.5
    (note,) = result["notes"]
    assert note.startswith(f"the network disputes {share:.0%} of the labels")


def test_a_flag_in_the_advice_of_the_page_stays_in_one_piece(run_cli, faulty, tmp_path):
    for path in (faulty / "train/cat").iterdir():
        path.unlink()
    files = {f"train/cat/{i}.png": encode(smooth_pixels(40, 50, seed=100 + i), "PNG") for i in range(1)}
    files |= {f"train/dog/{i}.png": encode(smooth_pixels(40, 50, seed=200 + i), "PNG") for i in range(9)}
    write_files(faulty, files)
    run_cli("data", "audit", faulty, "--html", tmp_path / "audit.html", "--near", "1")
    assert "<code>--sampling balanced</code>" in (tmp_path / "audit.html").read_text(encoding="utf-8")


def test_one_is_one(run_cli, tmp_path):
    """One picture, one object, one class."""
    data = tmp_path / "data"
    lines = "filename,xmin,ymin,xmax,ymax,class\na.png,5,5,30,30,cat\n"
    write_files(data, {"labels.csv": lines.encode(), "a.png": encode(smooth_pixels(40, 50, seed=1), "PNG")})
    audited = run_cli("data", "audit", data)
    assert audited.out.splitlines()[0] == "data: 1 picture with 1 object of 1 class, csv"
    converted = run_cli("data", "convert", data, tmp_path / "copy", "--to", "csv")
    assert converted.code == 0, converted.err
    assert "1 picture; 1 object of 1 class, 3 files, " in converted.out
