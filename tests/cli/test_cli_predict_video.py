"""``striate predict RUN VIDEO --draw DIR``: what it writes and prints, and what it refuses."""

import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from small_data import contents, write_digits
from small_videos import moving_digit, read_video, write_frames, write_video

import striate
from striate.data.builtin import DIGITS
from striate.data.dataset import ArrayImages, Dataset, Split
from striate.data.scenes import scenes
from striate.run import Run


@pytest.fixture(scope="module")
def detector_run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A detector of digits, hardly trained. Not to be changed."""
    splits = {
        split: Split(ArrayImages(pixels, split), torch.zeros(len(pixels), dtype=torch.int64), objects)
        for split, (pixels, objects) in scenes(16, 4, 4, size=64, objects=(1, 3)).items()
    }
    data = Dataset("few", "few", "built-in", "", "detection", DIGITS, 3, splits)
    return striate.train(
        data,
        model="yolo_light",
        out=tmp_path_factory.mktemp("runs") / "few",
        settings={
            "train.epochs": 1,
            "train.batch_size": 8,
            "model.arguments": {"backbone": "mobilenet_v2"},
            "evaluate.score": 0.0,  # it is sure of nothing yet
            "evaluate.most": 5,
        },
    )


@pytest.fixture
def walk(tmp_path: Path) -> Path:
    """A video of ten frames."""
    return write_video(tmp_path / "walk.mkv", moving_digit(10))


def test_a_video_becomes_an_annotated_video_and_a_record(
    run_cli: Any, detector_run: Run, walk: Path, tmp_path: Path
) -> None:
    drawn = tmp_path / "new" / "drawn"
    outcome = run_cli("predict", detector_run.path, walk, "--draw", drawn, "--score", 0, "--json")
    assert (outcome.code, outcome.err) == (0, "")
    assert sorted(path.name for path in drawn.iterdir()) == ["walk.json", "walk.mp4"]
    record = json.loads((drawn / "walk.json").read_text())
    assert (record["run"], record["task"]) == (str(detector_run.path), "detection")
    predictor = detector_run.predictor
    for image, frame in zip(read_video(walk)[0], record["frames"], strict=True):
        (prediction,) = predictor.predictions([image])
        scores = prediction.surer_than(0).scores.tolist()
        assert [found["score"] for found in frame["objects"][: len(scores)]] == pytest.approx(
            scores, abs=1e-3
        )
    assert sum(len(frame["objects"]) for frame in record["frames"]) > 0
    assert len(read_video(drawn / "walk.mp4")[0]) == 10
    (summary,) = json.loads(outcome.out)
    assert summary.pop("predicted_per_second") == pytest.approx(record["predicted_per_second"], abs=0.01)
    assert summary == {
        "source": str(walk),
        "frames": 10,
        "frame_rate": 25.0,
        "width": 64,
        "height": 48,
        "video": str(drawn / "walk.mp4"),
        "record": str(drawn / "walk.json"),
        "fault": None,
    }


def test_score_leaves_out_what_is_less_sure(
    run_cli: Any, detector_run: Run, walk: Path, tmp_path: Path
) -> None:
    def scores(least: float) -> list[list[float]]:
        folder = tmp_path / str(least)
        assert run_cli("predict", detector_run.path, walk, "--draw", folder, "--score", least).code == 0
        record = json.loads((folder / "walk.json").read_text())
        assert record["least_score"] == least
        return [[found["score"] for found in frame["objects"]] for frame in record["frames"]]

    every = scores(0)
    assert [len(row) for row in every] == [5] * 10
    middle = (every[0][1] + every[0][2]) / 2
    assert scores(middle) == [[score for score in row if score >= middle] for row in every]


def test_crop_looks_at_a_part_and_tells_boxes_in_the_whole_picture(
    run_cli: Any, detector_run: Run, tmp_path: Path
) -> None:
    (file,) = write_frames(tmp_path / "pictures", moving_digit(1))
    half = ("--crop", 0, 0.5, 1, 1)
    outcome = run_cli(
        "predict", detector_run.path, file, "--score", 0, *half, "--draw", tmp_path / "drawn", "--json"
    )
    assert (outcome.code, outcome.err) == (0, "")
    (entry,) = json.loads(outcome.out)
    boxes = torch.tensor([found["box_xyxy"] for found in entry["predictions"]])
    assert len(boxes) == 5
    assert (boxes[:, 0] >= 32).all()
    assert (boxes[:, 2] <= 64).all()
    assert (boxes[:, 3] <= 48).all()
    by_hand = replace(detector_run.predictor, score=0.0).predictions([moving_digit(1)[0, :, :, 32:]])
    torch.testing.assert_close(boxes, next(by_hand).boxes_xyxy + torch.tensor([32, 0, 32, 0]))
    assert [path.name for path in (tmp_path / "drawn").iterdir()] == [f"{file.stem}.png"]


def test_several_folders_of_frames_have_a_line_each(run_cli: Any, detector_run: Run, tmp_path: Path) -> None:
    write_frames(tmp_path / "camera", moving_digit(4))
    (tmp_path / "camera" / "log.txt").touch()
    write_frames(tmp_path / "other", moving_digit(10))
    folders = (tmp_path / "other", tmp_path / "camera")
    outcome = run_cli("predict", detector_run.path, *folders, "--fps", 25, "--draw", tmp_path / "drawn")
    assert outcome.code == 0
    assert outcome.err == f"{tmp_path / 'camera'}: left aside what is no picture: 1 (log.txt)\n"
    heading, *lines = outcome.out.splitlines()
    assert heading.split() == ["source", "frames", "predicted", "per", "second", "annotated", "record"]
    assert [line.split()[:2] for line in lines] == [
        [str(tmp_path / "other"), "10"],
        [str(tmp_path / "camera"), "4"],
    ]
    assert len(list((tmp_path / "drawn").iterdir())) == 4


def test_the_current_folder_has_a_name_too(
    run_cli: Any, detector_run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_frames(tmp_path / "camera", moving_digit(2))
    monkeypatch.chdir(tmp_path / "camera")
    assert run_cli("predict", detector_run.path, ".", "--fps", 9, "--draw", tmp_path / "drawn").code == 0
    assert sorted(path.name for path in (tmp_path / "drawn").iterdir()) == ["camera.json", "camera.mp4"]


def test_a_folder_of_frames_has_the_rate_that_is_given(
    run_cli: Any, detector_run: Run, tmp_path: Path
) -> None:
    write_frames(tmp_path / "camera", moving_digit(3))
    arguments = ("predict", detector_run.path, tmp_path / "camera", "--draw", tmp_path / "drawn")
    assert run_cli(*arguments, "--fps", 4).code == 0
    assert read_video(tmp_path / "drawn" / "camera.mp4")[1] == [0, 0.25, 0.5]


def test_a_classifier_names_what_is_in_frames(run_cli: Any, digits_run: Run, tmp_path: Path) -> None:
    files = write_digits(tmp_path / "digits", range(4))
    (tmp_path / "camera").mkdir()
    for file in files:
        file.rename(tmp_path / "camera" / file.name)
    flags = ("--fps", 25, "--draw", tmp_path / "drawn")
    outcome = run_cli("predict", digits_run.path, tmp_path / "camera", *flags)
    assert outcome.code == 0, outcome.err
    frames = json.loads((tmp_path / "drawn" / "camera.json").read_text())["frames"]
    for i, frame in enumerate(frames):
        expected = digits_run.predict(tmp_path / "camera" / f"{i}.png")
        assert frame["file"] == f"{i}.png"
        assert [p["class"] for p in frame["predictions"]] == [p.label for p in expected]
        assert [p["score"] for p in frame["predictions"]] == pytest.approx(
            [p.score for p in expected], abs=1e-4
        )


def test_a_folder_without_a_rate_holds_pictures(run_cli: Any, detector_run: Run, tmp_path: Path) -> None:
    files = write_frames(tmp_path / "camera", moving_digit(2))
    outcome = run_cli(
        "predict", detector_run.path, tmp_path / "camera", "--json", "--draw", tmp_path / "drawn"
    )
    assert (outcome.code, outcome.err) == (0, "")
    assert [entry["file"] for entry in json.loads(outcome.out)] == list(map(str, files))
    assert sorted(path.name for path in (tmp_path / "drawn").iterdir()) == ["0.png", "1.png"]


def test_without_draw_json_has_the_records(
    run_cli: Any, detector_run: Run, walk: Path, tmp_path: Path
) -> None:
    short = write_video(tmp_path / "short.mkv", moving_digit(3))
    (tmp_path / "text.mp4").write_text("no video")
    sources = (walk, tmp_path / "text.mp4", short)
    outcome = run_cli("predict", detector_run.path, *sources, "--score", 0, "--json")
    assert outcome.code == 1
    first, bad, second = json.loads(outcome.out)
    assert (bad["source"], list(bad)) == (str(tmp_path / "text.mp4"), ["source", "error"])
    assert outcome.err.splitlines()[1] == f"  in: {tmp_path / 'text.mp4'}"
    flags = ("--draw", tmp_path / "drawn", "--score", 0)
    assert run_cli("predict", detector_run.path, walk, short, *flags).code == 0
    for record, name in ((first, "walk"), (second, "short")):
        drawn = json.loads((tmp_path / "drawn" / f"{name}.json").read_text())
        for either in (record, drawn):
            either.pop("predicted_per_second")
        assert record == drawn
    assert len(first["frames"]) == 10


def test_a_folder_of_frames_needs_no_pyav_for_its_record(
    run_cli: Any, detector_run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_frames(tmp_path / "camera", moving_digit(2))
    monkeypatch.setitem(sys.modules, "av", None)
    outcome = run_cli("predict", detector_run.path, tmp_path / "camera", "--fps", 4, "--json")
    assert (outcome.code, outcome.err) == (0, "")
    assert [frame["time"] for frame in json.loads(outcome.out)[0]["frames"]] == [0, 0.25]


def test_of_several_bad_videos_each_is_named(run_cli: Any, detector_run: Run, tmp_path: Path) -> None:
    bad = [tmp_path / "a.mp4", tmp_path / "b.mp4"]
    bad[0].write_text("no video")
    good = write_video(tmp_path / "good.mp4", moving_digit(5))
    outcome = run_cli("predict", detector_run.path, *bad, good, "--draw", tmp_path / "drawn")
    assert outcome.code == 1
    assert all(str(path) in line for path, line in zip(bad, outcome.err.splitlines(), strict=False))
    assert "error: 2 of 3 videos cannot be predicted" in outcome.err
    assert len(read_video(tmp_path / "drawn" / "good.mp4")[0]) == 5


def test_a_damaged_video_ends_with_exit_code_1_and_what_was_before(
    run_cli: Any, detector_run: Run, tmp_path: Path
) -> None:
    bad = write_video(tmp_path / "bad.mp4", moving_digit(40), movflags="faststart")
    bad.write_bytes(bad.read_bytes()[: bad.stat().st_size * 2 // 3])
    good = write_video(tmp_path / "good.mp4", moving_digit(5))
    outcome = run_cli("predict", detector_run.path, bad, good, "--draw", tmp_path / "drawn", "--json")
    first, second = json.loads(outcome.out)
    assert 10 < first["frames"] < 35
    assert (second["frames"], second["fault"]) == (5, None)
    assert outcome.code == 1
    lines = outcome.err.splitlines()
    assert len(lines) == 3
    assert lines[0] == f"error: {first['fault']}"
    assert f"frame {first['frames']} " in lines[0]
    assert lines[1] == f"  in: {bad}"
    assert len(read_video(tmp_path / "drawn" / "bad.mp4")[0]) == first["frames"]
    assert len(read_video(tmp_path / "drawn" / "good.mp4")[0]) == 5


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["WALK"], "--draw"),
        (["WALK"], "--json"),
        (["WALK", "--csv", "DRAWN", "--json"], "--csv"),
        (["none.mp4", "--draw", "DRAWN"], "no such file"),
        (["WALK", "PICTURE", "--draw", "DRAWN"], "predict them apart"),
        (["WALK", "EMPTY", "--draw", "DRAWN"], "predict them apart"),
        (["EMPTY", "--draw", "DRAWN", "--fps", "10"], "no pictures"),
        (["EMPTY", "--draw", "DRAWN"], "no pictures"),
        (["WALK", "--draw", "DRAWN", "--fps", "10"], "--fps"),
        (["PICTURE", "--fps", "10"], "--fps"),
        (["PICTURE", "--crop", "0", "0", "1", "1.1"], "--crop"),
        (["WALK", "WALK", "--draw", "DRAWN"], "both be drawn"),
        (["WALK", "--draw", "TAKEN"], "exists already"),
        (["TEXT", "--draw", "DRAWN"], "text.mp4"),
    ],
)
def test_what_makes_no_sense_is_refused_before_the_work(
    run_cli: Any, detector_run: Run, walk: Path, tmp_path: Path, arguments: list[str], told: str
) -> None:
    meant = {
        "WALK": walk,
        "PICTURE": write_frames(tmp_path / "pictures", moving_digit(1))[0],
        "EMPTY": tmp_path / "empty",
        "TEXT": tmp_path / "text.mp4",
        "DRAWN": tmp_path / "drawn",
        "TAKEN": tmp_path / "taken",
    }
    meant["EMPTY"].mkdir()
    meant["TEXT"].write_text("no video")
    meant["TAKEN"].mkdir()
    (meant["TAKEN"] / "walk.json").touch()
    before = contents(tmp_path)
    outcome = run_cli("predict", detector_run.path, *(meant.get(word, word) for word in arguments))
    assert (outcome.code, outcome.out) == (2, "")
    assert told in outcome.err
    assert len(outcome.err.splitlines()) <= 3
    assert contents(tmp_path) == before


def test_without_pyav_it_is_told_what_to_install(
    run_cli: Any, detector_run: Run, walk: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_frames(tmp_path / "camera", moving_digit(2))
    monkeypatch.setitem(sys.modules, "av", None)
    for arguments in ((walk, "--json"), (tmp_path / "camera", "--fps", 9, "--draw", tmp_path / "drawn")):
        outcome = run_cli("predict", detector_run.path, *arguments)
        assert outcome.code == 2
        assert "pip install 'striate[video]'" in outcome.err


def test_a_colour_video_is_refused_by_a_grey_network(
    run_cli: Any, digits_run: Run, walk: Path, tmp_path: Path
) -> None:
    outcome = run_cli("predict", digits_run.path, walk, "--draw", tmp_path / "drawn")
    assert (outcome.code, outcome.out) == (2, "")
    assert "grey" in outcome.err
    assert not (tmp_path / "drawn").exists()
