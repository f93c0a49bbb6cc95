"""``striate predict``: its JSON, its table, its pictures, and what it refuses."""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from small_data import contents, write_digits


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


@pytest.mark.parametrize("fault", ["missing", "empty", "cut off", "text", "a folder"])
def test_one_bad_picture_among_good_ones_is_a_clear_error(run_cli, digits_run, pictures, tmp_path, fault):
    bad = tmp_path / "bad.png"
    if fault == "a folder":
        bad.mkdir()
    elif fault != "missing":
        good = pictures[0].read_bytes()
        bad.write_bytes({"empty": b"", "cut off": good[:-30], "text": b"no picture at all"}[fault])
    outcome = run_cli("predict", digits_run.path, *pictures, bad, "--json", "--draw", tmp_path / "drawn")
    assert (outcome.code, outcome.out) == (2, "")
    assert str(bad) in outcome.err
    assert len(outcome.err.splitlines()) <= 3
    assert not (tmp_path / "drawn").exists()


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
