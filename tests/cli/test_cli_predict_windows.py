"""``striate predict RUN PHOTO --windows SIZE``: its JSON, table, pictures and videos, and what it refuses."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from small_data import contents
from small_videos import write_frames

import striate
from striate.data import builtin
from striate.data.images import save_image
from striate.data.scenes import make_scenes
from striate.ops.boxes import box_iou
from striate.run import Run
from striate.window_predictor import through_windows


@pytest.fixture(scope="module")
def localizer(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A localizer of digits with objectness, hardly trained. Not to be changed."""
    settings = {
        "train.epochs": 1,
        "train.batch_size": 16,
        "train.precision": "fp32",
        "input.size": 32,
        "loss.objectness": True,
    }
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(builtin, "SCENES", {"count_train": 16, "count_val": 4, "count_test": 4})
        out = tmp_path_factory.mktemp("runs") / "localizer"
        return striate.train("scenes-windows", model="lenet5", out=out, settings=settings)


@pytest.fixture
def scenes(tmp_path: Path) -> list[Path]:
    """Two generated scenes of 80 pixels, as files."""
    paths = [tmp_path / "scenes" / f"scene{i}.png" for i in range(2)]
    paths[0].parent.mkdir()
    for path, pixels in zip(paths, make_scenes(2, 80, (2, 3), split="test").pixels, strict=True):
        save_image(pixels, path)
    return paths


def threshold(localizer: Run, scenes: list[Path], one_pass: bool) -> float:
    """A score that some windows of the first scene reach and others do not."""
    looking = replace(through_windows(localizer.predictor, [32, 48], one_pass), score=0.0)
    (found,) = looking.predictions(scenes[:1])
    assert len(found) > 6
    return float(found.scores[4:6].mean())


@pytest.mark.parametrize("one_pass", [False, True])
def test_json_is_what_python_finds_in_each_picture(
    run_cli: Any, localizer: Run, scenes: list[Path], one_pass: bool
) -> None:
    score = threshold(localizer, scenes, one_pass)
    flags = ["--windows", 32, "--windows", 48, "--score", score, *(["--one-pass"] if one_pass else [])]
    outcome = run_cli("predict", localizer.path, *scenes, *flags, "--json")
    assert (outcome.code, outcome.err) == (0, "")
    looking = replace(through_windows(localizer.predictor, [32, 48], one_pass), score=score)
    expected = [[box.facts for box in boxes] for boxes in looking.predict_all(scenes)]
    found = json.loads(outcome.out)
    assert [entry["file"] for entry in found] == [str(path) for path in scenes]
    assert json.loads(json.dumps(expected)) == [entry["predictions"] for entry in found]
    assert len(found[0]["predictions"]) == 5


def test_less_overlap_leaves_fewer_boxes(run_cli: Any, localizer: Run, scenes: list[Path]) -> None:
    flags = ["--windows", 32, "--windows", 48, "--score", 0, "--json"]
    found = []
    for overlap in (0.9, 0.6, 0.1):
        outcome = run_cli("predict", localizer.path, scenes[0], *flags, "--overlap", overlap)
        assert (outcome.code, outcome.err) == (0, "")
        found.append([tuple(box["box_xyxy"]) for box in json.loads(outcome.out)[0]["predictions"]])
    usual = json.loads(run_cli("predict", localizer.path, scenes[0], *flags).out)[0]["predictions"]
    assert found[1] == [tuple(box["box_xyxy"]) for box in usual]
    assert len(found[0]) > len(found[1]) > len(found[2]) > 0
    boxes = torch.tensor(found[2])
    assert (box_iou(boxes, boxes).fill_diagonal_(0) <= 0.1).all()


def test_the_table_has_a_line_for_each_box_or_says_nothing(
    run_cli: Any, localizer: Run, scenes: list[Path]
) -> None:
    score = threshold(localizer, scenes, False)
    flags = ["--windows", 32, "--windows", 48, "--score"]
    heading, *lines = run_cli("predict", localizer.path, scenes[0], *flags, score).out.splitlines()
    assert heading.split() == ["picture", "class", "score", "x1", "y1", "x2", "y2"]
    assert len(lines) == 5
    _, line = run_cli("predict", localizer.path, scenes[0], *flags, 1).out.splitlines()
    assert line.split() == [str(scenes[0]), "nothing"]


def test_without_windows_there_is_one_box_or_nothing(
    run_cli: Any, localizer: Run, scenes: list[Path]
) -> None:
    _, *boxes = run_cli("predict", localizer.path, *scenes, "--score", 0).out.splitlines()
    assert len(boxes) == 2
    assert not any("nothing" in line for line in boxes)
    _, *lines = run_cli("predict", localizer.path, *scenes, "--score", 1).out.splitlines()
    assert [line.split()[1] for line in lines] == ["nothing", "nothing"]


def test_draw_shows_what_was_found_and_looks_once(
    run_cli: Any, localizer: Run, scenes: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks: list[int] = []
    before, find = contents(tmp_path / "scenes"), striate.window_predictor.find_objects  # type: ignore[attr-defined]
    monkeypatch.setattr(
        "striate.window_predictor.find_objects", lambda *given: [looks.append(1), find(*given)][1]
    )
    for name, score in (("many", 0), ("none", 1)):
        flags = ["--windows", 32, "--score", score, "--draw", tmp_path / name]
        outcome = run_cli("predict", localizer.path, *scenes, *flags)
        assert outcome.code == 0, outcome.err
    assert len(looks) == 4
    assert contents(tmp_path / "scenes") == before
    many, none = ((tmp_path / name / "scene0.png").read_bytes() for name in ("many", "none"))
    assert many != none


def test_videos_are_searched_frame_by_frame(run_cli: Any, localizer: Run, tmp_path: Path) -> None:
    pytest.importorskip("av")
    frames = make_scenes(3, 64, (1, 2), split="test").pixels
    write_frames(tmp_path / "walk", frames)
    flags = ["--windows", 32, "--one-pass", "--score", 0, "--fps", 9, "--draw", tmp_path / "drawn"]
    outcome = run_cli("predict", localizer.path, tmp_path / "walk", *flags)
    assert outcome.code == 0, outcome.err
    record = json.loads((tmp_path / "drawn" / "walk.json").read_text())
    assert (record["task"], record["least_score"]) == ("localization", 0)
    looking = replace(through_windows(localizer.predictor, [32], one_pass=True), score=0.0)
    for entry, found in zip(record["frames"], looking.predictions(list(frames)), strict=True):
        assert len(entry["objects"]) == len(found) > 1


@pytest.mark.parametrize(
    ("flags", "what", "where"),
    [
        (["--one-pass"], "through which windows?", "--one-pass"),
        (["--overlap", 0.3], "through which windows?", "--overlap"),
        (["--windows", 0], "windows are at least 1 pixel high", "--windows"),
        (["--windows", 81], "a window of 81 pixels is larger than the picture", "scene0.png"),
        (["--windows", 32, "--windows", 500], "a window of 500 pixels", "scene0.png"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_is_made(
    run_cli: Any, localizer: Run, scenes: list[Path], tmp_path: Path, flags: list[Any], what: str, where: str
) -> None:
    outcome = run_cli("predict", localizer.path, *scenes, *flags, "--draw", tmp_path / "drawn")
    assert (outcome.code, outcome.out) == (2, "")
    assert what in outcome.err
    assert where in outcome.err
    assert len(outcome.err.splitlines()) <= 3
    assert not (tmp_path / "drawn").exists()


def test_other_networks_are_refused(run_cli: Any, digits_run: Run, scenes: list[Path]) -> None:
    outcome = run_cli("predict", digits_run.path, *scenes, "--windows", 32)
    assert outcome.code == 2
    assert "windows are for localizers, this network is for classification" in outcome.err
