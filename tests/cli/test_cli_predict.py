"""``striate predict``: its JSON, its table, its pictures, and what it refuses."""

import csv
import io
import json
import shutil
import weakref
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from small_data import contents, write_digits

import striate.data.unlabelled


@pytest.fixture
def pictures(tmp_path) -> Sequence[Path]:
    """Ten 8x8 PNG files of digits."""
    return write_digits(tmp_path / "pictures", range(10))


def test_json_is_the_best_five_of_each_file_in_the_order_given(run_cli, digits_run, pictures):
    outcome = run_cli("predict", digits_run.path, *reversed(pictures), "--json")
    assert (outcome.code, outcome.err) == (0, "")
    result = json.loads(outcome.out)
    assert [entry["file"] for entry in result] == [str(path) for path in reversed(pictures)]
    for entry in result:
        assert list(entry) == ["file", "predictions"]
        assert all(list(guess) == ["class", "score"] for guess in entry["predictions"])
        classes = [guess["class"] for guess in entry["predictions"]]
        scores = [guess["score"] for guess in entry["predictions"]]
        assert len(set(classes)) == 5
        assert set(classes) <= set("0123456789")
        assert scores == sorted(scores, reverse=True)
        assert 0.5 < sum(scores) <= 1 + 1e-6
    right = [entry["predictions"][0]["class"] == Path(entry["file"]).parent.name for entry in result]
    assert sum(right) >= 8


def test_the_command_line_and_python_say_the_same(run_cli, digits_run, pictures):
    result = json.loads(run_cli("predict", digits_run.path, pictures[3], "--json").out)
    expected = [{"class": p.label, "score": p.score} for p in digits_run.predict(pictures[3])]
    assert result[0]["predictions"] == expected


def test_a_run_of_two_classes_gives_two(run_cli, shapes_run, shapes_folder):
    outcome = run_cli("predict", shapes_run.path, shapes_folder / "disc" / "0.png", "--json")
    predictions = json.loads(outcome.out)[0]["predictions"]
    assert {guess["class"] for guess in predictions} == {"disc", "square"}
    assert sum(guess["score"] for guess in predictions) == pytest.approx(1)


def test_the_table_has_a_line_for_each_picture(run_cli, digits_run, pictures):
    outcome = run_cli("predict", digits_run.path, *pictures)
    heading, *lines = outcome.out.splitlines()
    assert heading.split() == ["picture", "class", "score", "then"]
    for path, line in zip(pictures, lines, strict=True):
        best = digits_run.predict(path)[0]
        assert line.split()[:3] == [str(path), best.label, f"{100 * best.score:.2f}"]


def test_draw_writes_a_picture_for_each_and_spares_the_originals(run_cli, digits_run, pictures, tmp_path):
    before = contents(tmp_path / "pictures")
    outcome = run_cli("predict", digits_run.path, *pictures, "--draw", tmp_path / "new" / "drawn")
    assert outcome.code == 0, outcome.err
    assert contents(tmp_path / "pictures") == before
    drawn = sorted((tmp_path / "new" / "drawn").iterdir())
    assert [path.name for path in drawn] == sorted(path.name for path in pictures)
    for path in drawn:
        with Image.open(path) as image:
            assert image.format == "PNG"
            assert image.width == 256
            assert image.height > 256  # the predictions stand below


def test_drawing_never_writes_over_a_file(run_cli, digits_run, pictures, tmp_path):
    before = contents(tmp_path)
    outcome = run_cli("predict", digits_run.path, pictures[0], "--draw", pictures[0].parent)
    assert outcome.code == 2
    assert str(pictures[0]) in outcome.err
    assert contents(tmp_path) == before


def test_two_pictures_of_one_name_are_not_drawn_over_each_other(run_cli, digits_run, pictures, tmp_path):
    twin = tmp_path / pictures[0].name
    twin.write_bytes(pictures[1].read_bytes())
    outcome = run_cli("predict", digits_run.path, pictures[0], twin, "--draw", tmp_path / "drawn")
    assert outcome.code == 2
    assert pictures[0].name in outcome.err
    assert not (tmp_path / "drawn").exists()


@pytest.mark.parametrize("fault", ["missing", "empty", "cut off", "text", "an empty folder"])
def test_one_bad_picture_is_named_and_the_others_are_predicted(
    run_cli, digits_run, pictures, tmp_path, fault
):
    bad = tmp_path / "bad.png"
    if fault == "an empty folder":
        bad.mkdir()
    elif fault != "missing":
        good = pictures[0].read_bytes()
        bad.write_bytes({"empty": b"", "cut off": good[:-30], "text": b"no picture at all"}[fault])
    files = [*pictures[:2], bad, *pictures[2:]]
    outcome = run_cli("predict", digits_run.path, *files, "--json", "--draw", tmp_path / "drawn")
    assert outcome.code == 1
    told, summary, _ = outcome.err.splitlines()
    assert str(bad) in told
    assert summary == "error: 1 of 11 pictures cannot be predicted"
    entries = json.loads(outcome.out)
    assert [entry["file"] for entry in entries] == list(map(str, files))
    assert entries.pop(2)["error"] in told
    alone = json.loads(run_cli("predict", digits_run.path, *pictures, "--json").out)
    assert_same_predictions(entries, alone)
    assert sorted(path.name for path in (tmp_path / "drawn").iterdir()) == sorted(p.name for p in pictures)


def assert_same_predictions(entries, expected):
    """The same classes, and the same scores but for rounding: batches differ."""
    for entry, other in zip(entries, expected, strict=True):
        found, wanted = entry["predictions"], other["predictions"]
        assert [guess["class"] for guess in found] == [guess["class"] for guess in wanted]
        assert [g["score"] for g in found] == pytest.approx([g["score"] for g in wanted], abs=1e-5)


def test_where_every_picture_is_bad_each_is_named_and_nothing_is_made(run_cli, digits_run, tmp_path):
    bad = [tmp_path / "a.png", tmp_path / "b.png"]
    for path in bad:
        path.write_text("no picture")
    outcome = run_cli("predict", digits_run.path, *bad, "--draw", tmp_path / "drawn")
    assert (outcome.code, outcome.out) == (2, "")
    assert all(str(path) in line for path, line in zip(bad, outcome.err.splitlines(), strict=False))
    assert not (tmp_path / "drawn").exists()
    outcome = run_cli("predict", digits_run.path, bad[0], "--json")
    assert outcome.code == 2
    assert outcome.err.splitlines()[1] == f"  in: {bad[0]}"
    assert [list(entry) for entry in json.loads(outcome.out)] == [["file", "error"]]


# Folders and archives ---------------------------------------------------------------------------------------


@pytest.fixture
def photographs(tmp_path) -> Path:
    """A folder of colour pictures of several sizes in sub-folders, with what is no data beside them."""
    root = tmp_path / "photographs"
    for k, name in enumerate(["10.jpg", "2.jpg", "cats/1.jpg", "dogs/1.jpg", "dogs/old/1.PNG", "a.bmp"]):
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(noise(20 + 7 * k, 31)).save(path)
    for junk in (".hidden.jpg", "Thumbs.db", "__MACOSX/x.jpg", "notes.txt"):
        (root / junk).parent.mkdir(exist_ok=True)
        (root / junk).write_bytes(b"no picture")
    return root


def noise(height, width):
    return np.random.default_rng(height).integers(0, 256, (height, width, 3), dtype=np.uint8)


IN_ORDER = ["2.jpg", "10.jpg", "a.bmp", "cats/1.jpg", "dogs/1.jpg", "dogs/old/1.PNG"]


@pytest.mark.parametrize("kind", ["folder", "zip", "tar"])
def test_all_pictures_below_a_folder_or_in_an_archive_are_predicted(
    run_cli, shapes_run, photographs, tmp_path, kind
):
    source = photographs
    if kind != "folder":
        source = Path(shutil.make_archive(str(tmp_path / "packed"), kind, photographs))
    outcome = run_cli("predict", shapes_run.path, source, "--json", "--draw", tmp_path / "drawn")
    assert outcome.code == 0
    assert outcome.err == f"{source}: left aside what is no picture: 1 (notes.txt)\n"
    entries = json.loads(outcome.out)
    assert [entry["file"] for entry in entries] == [str(source / name) for name in IN_ORDER]
    files = [photographs / name for name in IN_ORDER]
    assert_same_predictions(entries, json.loads(run_cli("predict", shapes_run.path, *files, "--json").out))
    drawn = {p.relative_to(tmp_path / "drawn").as_posix(): p for p in (tmp_path / "drawn").rglob("*.*")}
    assert sorted(drawn) == sorted(name.replace("a.bmp", "a.png") for name in IN_ORDER)
    for name, path in drawn.items():
        with Image.open(path) as image:
            assert image.format == ("JPEG" if name.endswith(".jpg") else "PNG")


def test_of_several_folders_each_has_its_own_for_drawings(run_cli, shapes_run, photographs, tmp_path):
    folders = (photographs / "cats", photographs / "dogs", photographs / "2.jpg")
    outcome = run_cli("predict", shapes_run.path, *folders, "--draw", tmp_path / "drawn")
    assert (outcome.code, outcome.err) == (0, "")
    drawn = [path.relative_to(tmp_path / "drawn").as_posix() for path in (tmp_path / "drawn").rglob("*.*")]
    assert sorted(drawn) == ["2.jpg", "cats/1.jpg", "dogs/1.jpg", "dogs/old/1.PNG"]


def test_pictures_that_differ_by_their_suffix_alone_are_all_drawn(run_cli, digits_run, tmp_path):
    (tmp_path / "pictures").mkdir()
    for suffix in ("bmp", "gif", "png"):
        Image.fromarray(noise(9, 9)[:, :, 0]).save(tmp_path / "pictures" / f"a.{suffix}")
    outcome = run_cli("predict", digits_run.path, tmp_path / "pictures", "--draw", tmp_path / "drawn")
    assert outcome.code == 0, outcome.err
    assert sorted(path.name for path in (tmp_path / "drawn").iterdir()) == ["a.bmp.png", "a.gif.png", "a.png"]


def test_results_come_while_later_pictures_are_not_read_yet(run_cli, digits_run, tmp_path, monkeypatch):
    """What is read ahead is a batch; so is what is held."""
    files = write_digits(tmp_path / "digits", range(100))
    run = replace_batch_size(digits_run, tmp_path / "small", 8)
    alive, most, read, printed = set(), [0], [], []
    decode = striate.data.unlabelled.decode_image

    def watched(path, channels, white):
        image = decode(path, channels=channels, white=white)
        read.append(path)
        alive.add(key := id(image))
        weakref.finalize(image, alive.discard, key)
        most[0] = max(most[0], len(alive))
        return image

    class Output(io.StringIO):
        def write(self, text):
            printed.append((len(read), text.count("\n")))
            return len(text)

    monkeypatch.setattr("striate.data.unlabelled.decode_image", watched)
    monkeypatch.setattr("striate.cli.predict_output.standard_output", Output)
    assert run_cli("predict", run, tmp_path / "digits", "--draw", tmp_path / "drawn").code == 0
    assert len(read) == len(files)
    assert most[0] <= 9
    assert printed[0] == (8, 9)  # with the heading
    assert [rows for _, rows in printed[1:]] == [1] * 92


def replace_batch_size(run, folder, size):
    shutil.copytree(run.path, folder)
    config = json.loads((folder / "config.json").read_text())
    config["recipe"]["evaluate"]["batch_size"] = size
    (folder / "config.json").write_text(json.dumps(config))
    return folder


# CSV --------------------------------------------------------------------------------------------------------


def test_csv_has_a_row_for_each_picture_and_says_what_is_wrong(run_cli, digits_run, pictures, tmp_path):
    bad = tmp_path / "pictures" / 'bad, "too".png'
    bad.write_bytes(b"")
    outcome = run_cli("predict", digits_run.path, *pictures, bad, "--csv", tmp_path / "found.csv", "--json")
    assert outcome.code == 1
    with (tmp_path / "found.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    entries = json.loads(outcome.out)
    assert [row["path"] for row in rows] == [entry["file"] for entry in entries]
    assert list(rows[0]) == ["path", "class", "score", "error"]
    for row, entry in zip(rows[:-1], entries[:-1], strict=True):
        best = entry["predictions"][0]
        assert (row["class"], row["error"]) == (best["class"], "")
        assert float(row["score"]) == pytest.approx(best["score"], abs=1e-6)
    assert rows[-1] == {"path": str(bad), "class": "", "score": "", "error": entries[-1]["error"]}


def test_csv_alone_prints_nothing_and_writes_over_nothing(run_cli, digits_run, pictures, tmp_path):
    (tmp_path / "found.csv").write_text("of the user")
    outcome = run_cli("predict", digits_run.path, pictures[0], "--csv", tmp_path / "found.csv")
    assert outcome.code == 2
    assert "exists already" in outcome.err
    assert (tmp_path / "found.csv").read_text() == "of the user"
    outcome = run_cli("predict", digits_run.path, pictures[0], "--csv", tmp_path / "new.csv")
    assert (outcome.code, outcome.out, outcome.err) == (0, "", "")
    assert len((tmp_path / "new.csv").read_text().splitlines()) == 2
    outcome = run_cli("predict", digits_run.path, pictures[0], "--csv", tmp_path / "none" / "new.csv")
    assert outcome.code == 2
    assert "--csv" in outcome.err


def test_ctrl_c_leaves_whole_drawings_valid_json_and_no_csv(
    run_cli, digits_run, pictures, tmp_path, monkeypatch
):
    run = replace_batch_size(digits_run, tmp_path / "small", 2)
    save, saved = Image.Image.save, []

    def stopped(image, path, *arguments, **options):
        save(image, path, *arguments, **options)
        saved.append(path)
        if len(saved) == 4:
            raise KeyboardInterrupt

    monkeypatch.setattr(Image.Image, "save", stopped)
    results = ("--draw", tmp_path / "drawn", "--csv", tmp_path / "found.csv", "--json")
    before = set(tmp_path.iterdir())
    outcome = run_cli("predict", run, *pictures, *results)
    assert outcome.code == 130
    assert len(json.loads(outcome.out)) == 3
    assert sorted(path.name for path in (tmp_path / "drawn").iterdir()) == sorted(
        p.name for p in pictures[:3]
    )
    assert set(tmp_path.iterdir()) - before == {tmp_path / "drawn"}


def test_a_grey_picture_saved_as_colour_is_the_grey_picture(run_cli, digits_run, pictures, tmp_path):
    Image.open(pictures[0]).convert("RGB").save(tmp_path / "colour.png")
    outcome = run_cli("predict", digits_run.path, pictures[0], tmp_path / "colour.png", "--json")
    grey, colour = json.loads(outcome.out)
    assert grey["predictions"] == colour["predictions"]


def test_a_colour_picture_is_refused_by_a_grey_network(run_cli, digits_run, tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (8, 8, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "colour.png")
    outcome = run_cli("predict", digits_run.path, tmp_path / "colour.png")
    assert outcome.code == 2
    assert "colour" in outcome.err
    assert "grey" in outcome.err
