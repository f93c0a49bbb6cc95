"""Annotated videos and their records: what is in them, and that they are whole or not there."""

import json
import os
import resource
import sys
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
import torch
from PIL import Image
from small_data import contents
from small_videos import moving_digit, read_video, write_frames, write_video
from torch import nn

from striate import video, video_writing
from striate.data.builtin import DIGITS
from striate.data.preprocessing import Preprocessing
from striate.errors import InputError
from striate.predictor import FoundBox, Predictor
from striate.tasks.classification import ClassificationTask
from striate.tasks.detection.catalog import create_detector
from striate.tasks.detection.rules import Choice
from striate.tasks.detection.task import DetectionTask
from striate.tasks.localization.task import LocalizationTask
from striate.tasks.task import Task
from striate.video import predict_video, result_files
from striate.video_reading import Footage, open_footage
from striate.video_writing import VideoWriter

MEAN = (0.5, 0.5, 0.5)
ONLY_MPEG4 = {"none such": {}, "mpeg4": video_writing.ENCODERS["mpeg4"]}


def untrained(module: nn.Module, task: Task) -> Predictor:
    place = Preprocessing((64, 64), 3, "letterbox", 0, MEAN, MEAN)
    return Predictor(module.eval(), task, place, torch.device("cpu"), DIGITS, batch_size=4, score=0.0)


@pytest.fixture(scope="module")
def detector() -> Predictor:
    """It finds four boxes in every frame."""
    torch.manual_seed(0)
    module, rules = create_detector("yolo_light", 10, 3, backbone="mobilenet_v2")
    return untrained(module, DetectionTask(DIGITS, rules, (64, 64), Choice(0.0, 0.5, 4)))


class Means(nn.Module):
    """A network that sees the mean colour, and where it is bright."""

    def forward(self, images: torch.Tensor) -> dict[str, torch.Tensor]:
        red, green, blue = images.mean((2, 3)).unbind(1)
        logits = torch.stack([red * k - green + blue * k**2 for k in range(10)], dim=1)
        boxes = torch.stack([0.5 + red / 10, 0.5 + green / 10, 0.5 + 0 * red, 0.4 + blue / 10], dim=1)
        return {"logits": logits, "boxes_norm": boxes}


def as_lists(found: list[Any]) -> list[dict[str, Any]]:
    return [f.facts | ({"box_xyxy": list(f.box_xyxy)} if isinstance(f, FoundBox) else {}) for f in found]


def same(found: list[dict[str, Any]], wanted: list[dict[str, Any]]) -> bool:
    """The same but for rounding."""
    numbers = [[entry["score"], *entry.get("box_xyxy", [])] for entry in wanted]
    return (
        [entry["class"] for entry in found] == [entry["class"] for entry in wanted]
        and [[e["score"], *e.get("box_xyxy", [])] for e in found]
        == [pytest.approx(row, abs=1e-3) for row in numbers]
    )  # fmt: skip


# What is made -----------------------------------------------------------------------------------------------


def test_the_record_of_a_folder_says_of_each_frame_what_is_said_of_it_alone(
    detector: Predictor, tmp_path: Path
) -> None:
    files = write_frames(tmp_path / "frames", moving_digit(11))
    made = predict_video(detector, open_footage(tmp_path / "frames", 3, 10), tmp_path / "drawn", "runs/r")
    assert (made.video, made.record) == (tmp_path / "drawn/frames.mp4", tmp_path / "drawn/frames.json")
    record = json.loads(made.record.read_text())
    frames, speed = record.pop("frames"), record.pop("predicted_per_second")
    assert record == {
        "source": str(tmp_path / "frames"),
        "width": 64,
        "height": 48,
        "frame_rate": 10.0,
        "run": "runs/r",
        "task": "detection",
        "classes": list(DIGITS),
        "least_score": 0.0,
        "fault": None,
    }
    assert speed == pytest.approx(made.per_second, abs=0.01)
    assert [frame["file"] for frame in frames] == [file.name for file in files]
    assert [frame["index"] for frame in frames] == list(range(11))
    assert [frame["time"] for frame in frames] == [i / 10 for i in range(11)]
    for file, frame in zip(files, frames, strict=True):
        assert len(frame["objects"]) == 4
        assert same(frame["objects"], as_lists(detector.predict(file)))
    assert (made.frames, made.fault) == (11, None)


def test_the_record_of_a_video_says_of_each_frame_what_is_said_of_it_alone(
    detector: Predictor, tmp_path: Path
) -> None:
    times = [0, 40, 95, 100, 300, 1000]
    source = write_video(tmp_path / "walk.mkv", moving_digit(6), times)
    made = predict_video(detector, open_footage(source, 3), tmp_path, "r")
    pixels, _ = read_video(source)
    frames = json.loads(made.record.read_text())["frames"]
    assert [frame["time"] for frame in frames] == [time / 1000 for time in times]
    assert not any("file" in frame for frame in frames)
    for image, frame in zip(pixels, frames, strict=True):
        assert same(frame["objects"], as_lists(detector.predict(image)))


def test_the_video_shows_each_frame_as_it_is_drawn_at_its_time(detector: Predictor, tmp_path: Path) -> None:
    times = [0, 40, 95, 100, 300, 1000]
    source = write_video(tmp_path / "walk.mkv", moving_digit(6), times)
    made = predict_video(detector, open_footage(source, 3), tmp_path, "r")
    shown, shown_at = read_video(made.video)
    assert shown_at == pytest.approx([time / 1000 for time in times], abs=1 / 60_000)
    for source_image, image in zip(read_video(source)[0], shown, strict=True):
        (prediction,) = detector.predictions([source_image])
        drawn = torch.from_numpy(np.array(detector.task.draw(source_image, prediction))).permute(2, 0, 1)
        assert image.shape == drawn.shape == (3, 384, 512)  # magnified eight times
        assert (image.float() - drawn).abs().mean() < 4
        assert (image.float() - drawn).mean((1, 2)).abs().max() < 2  # colours are not shifted


def test_browsers_play_the_video(detector: Predictor, tmp_path: Path) -> None:
    source = write_video(tmp_path / "walk.mkv", moving_digit(25))
    made = predict_video(detector, open_footage(source, 3), tmp_path, "r")
    with av.open(str(made.video)) as container:
        (stream,) = container.streams
        assert "mp4" in container.format.name
        assert (stream.codec_context.name, stream.codec_context.pix_fmt) == ("h264", "yuv420p")
        assert (stream.frames, stream.average_rate) == (25, 25)
        assert float(stream.duration * stream.time_base) == pytest.approx(1)  # the last is shown as long
        assert (stream.codec_context.colorspace, stream.codec_context.color_range) == (1, 1)
    content = made.video.read_bytes()
    assert content.index(b"moov") < content.index(b"mdat")  # they can begin before they have it all


@pytest.mark.parametrize(("size", "shown"), [((33, 47), (364, 518)), ((513, 515), (514, 516))])
def test_odd_sides_become_even(
    detector: Predictor, tmp_path: Path, size: tuple[int, int], shown: tuple[int, int]
) -> None:
    still = torch.randint(0, 256, (3, 1, 1), dtype=torch.uint8).expand(3, *size)
    write_frames(tmp_path / "frames", still.repeat(2, 1, 1, 1))
    made = predict_video(detector, open_footage(tmp_path / "frames", 3), tmp_path, "r")
    assert read_video(made.video)[0].shape == (2, 3, *shown)


def test_pixels_that_are_not_square_stay_so(detector: Predictor, tmp_path: Path) -> None:
    source = write_video(tmp_path / "walk.mkv", moving_digit(2), aspect=Fraction(4, 3))
    made = predict_video(detector, open_footage(source, 3), tmp_path / "drawn", "r")
    with av.open(str(made.video)) as container:
        assert container.streams.video[0].sample_aspect_ratio == Fraction(4, 3)


@pytest.mark.parametrize("name", ["classification", "localization"])
def test_other_tasks_are_drawn_too(tmp_path: Path, name: str) -> None:
    task = ClassificationTask(DIGITS) if name == "classification" else LocalizationTask(DIGITS, (64, 64))
    predictor = untrained(Means(), task)
    files = write_frames(tmp_path / "frames", moving_digit(5))
    made = predict_video(predictor, open_footage(tmp_path / "frames", 3), tmp_path, "r")
    record = json.loads(made.record.read_text())
    key, count = ("predictions", 5) if name == "classification" else ("objects", 1)
    for file, frame in zip(files, record["frames"], strict=True):
        assert len(frame[key]) == count
        assert same(frame[key], as_lists(predictor.predict(file, count)))
    assert "least_score" not in record
    assert len(read_video(made.video)[0]) == 5


def test_without_h264_it_is_mpeg4(
    detector: Predictor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(video_writing, "ENCODERS", ONLY_MPEG4)
    write_frames(tmp_path / "frames", moving_digit(5))
    made = predict_video(detector, open_footage(tmp_path / "frames", 3, 23.976), tmp_path, "r")
    with av.open(str(made.video)) as container:
        assert container.streams.video[0].codec_context.name == "mpeg4"
    _, times = read_video(made.video)
    assert times == pytest.approx([i / 23.976 for i in range(5)], abs=1e-4)


def test_what_the_video_shows_is_close_to_the_pictures_in_either_code(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    frames = moving_digit(4, 48, 64).repeat_interleave(4, 2).repeat_interleave(4, 3)
    for _ in range(2):
        with VideoWriter(tmp_path / "a.mp4", 25, Fraction(1)) as writer:
            for i, frame in enumerate(frames):
                writer.write(Image.fromarray(frame.permute(1, 2, 0).numpy()), i / 25)
        assert (read_video(tmp_path / "a.mp4")[0].float() - frames).abs().mean() < 4
        monkeypatch.setattr(video_writing, "ENCODERS", ONLY_MPEG4)


# Memory -----------------------------------------------------------------------------------------------------


def counted(footage: Footage, read: list[int]) -> Footage:
    def pictures() -> Any:
        for picture in footage.read():
            read[0] += 1
            yield picture

    return replace(footage, read=pictures)


@pytest.mark.parametrize(
    ("budget", "sizes"), [(2**27, [4, 4, 3]), (64 * 48 * 3 * 2, [2] * 5 + [1]), (1, [1] * 11)]
)
def test_no_more_than_a_batch_is_read_ahead(
    detector: Predictor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, budget: int, sizes: list[int]
) -> None:
    monkeypatch.setattr(video, "BATCH_BYTES", budget)
    write_frames(tmp_path / "frames", moving_digit(11))
    read, done = [0], []

    def watch(count: int) -> None:
        done.append(count)
        assert read[0] == sum(done)

    predict_video(detector, counted(open_footage(tmp_path / "frames", 3), read), tmp_path, "r", watch)
    assert done == sizes


# Ends that are not the end ----------------------------------------------------------------------------------


def test_of_a_damaged_video_what_was_before_is_kept_and_told(detector: Predictor, tmp_path: Path) -> None:
    source = write_video(tmp_path / "walk.mp4", moving_digit(40), movflags="faststart")
    whole = predict_video(detector, open_footage(source, 3), tmp_path / "whole", "r")
    source.write_bytes(source.read_bytes()[: source.stat().st_size * 2 // 3])
    made = predict_video(detector, open_footage(source, 3), tmp_path / "cut", "r")
    record, full = (json.loads(result.record.read_text()) for result in (made, whole))
    assert 10 < made.frames < 35
    for frame, wanted in zip(record["frames"], full["frames"], strict=False):
        assert same(frame["objects"], wanted["objects"])
    assert len(record["frames"]) == len(read_video(made.video)[0]) == made.frames
    assert made.fault is not None
    assert f"frame {made.frames} " in made.fault.what
    assert record["fault"] == made.fault.what


def test_a_folder_that_cannot_be_read_any_more_leaves_nothing(detector: Predictor, tmp_path: Path) -> None:
    files = write_frames(tmp_path / "frames", moving_digit(3))
    footage = open_footage(tmp_path / "frames", 3)
    files[0].unlink()
    with pytest.raises(InputError, match="no such file"):
        predict_video(detector, footage, tmp_path / "drawn", "r")
    assert list((tmp_path / "drawn").iterdir()) == []


def test_ctrl_c_leaves_nothing(detector: Predictor, tmp_path: Path) -> None:
    source = write_video(tmp_path / "walk.mkv", moving_digit(9))

    def stop(done: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        predict_video(detector, open_footage(source, 3), tmp_path / "drawn", "r", stop)
    assert list((tmp_path / "drawn").iterdir()) == []


@pytest.mark.parametrize("taken", ["walk.mp4", "walk.json"])
def test_no_file_is_written_over(detector: Predictor, tmp_path: Path, taken: str) -> None:
    source = write_video(tmp_path / "walk.mkv", moving_digit(2))
    (tmp_path / taken).write_text("mine")
    before = contents(tmp_path)
    with pytest.raises(InputError, match="exists already") as caught:
        predict_video(detector, open_footage(source, 3), tmp_path, "r")
    assert taken in str(caught.value)
    assert contents(tmp_path) == before


def test_two_videos_of_one_name_are_told_before_the_work(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"both be drawn as walk\.mp4"):
        result_files([tmp_path / "walk.mkv", tmp_path / "old" / "walk.avi"], tmp_path)


@pytest.mark.skipif(sys.platform != "linux", reason="limits the size of files as Linux does")
@pytest.mark.parametrize("limit", [100, 6_000])
def test_a_full_disk_is_told_and_leaves_nothing(detector: Predictor, tmp_path: Path, limit: int) -> None:
    source = write_video(tmp_path / "walk.mkv", moving_digit(20))
    footage = open_footage(source, 3)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, before[1]))
    try:
        with pytest.raises(InputError, match=r"cannot write walk\.(mp4|json): ") as caught:
            predict_video(detector, footage, tmp_path / "drawn", "r")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert "--draw" in str(caught.value)
    assert list((tmp_path / "drawn").iterdir()) == []


def test_an_error_that_pyav_has_no_name_for_is_one_of_writing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*arguments: object, **options: object) -> None:
        raise av.error.UndefinedError(27, "File too large")

    monkeypatch.setattr(av, "open", refuse)
    with pytest.raises(OSError, match="too large"):
        VideoWriter(tmp_path / "a.mp4", 25, Fraction(1))


@pytest.mark.skipif(sys.platform != "linux", reason="tells files by Linux's /proc")
def test_where_the_record_cannot_be_finished_no_video_is_left(
    detector: Predictor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, fsync = write_video(tmp_path / "walk.mkv", moving_digit(2)), os.fsync

    def refuse(descriptor: int) -> None:
        if Path(f"/proc/self/fd/{descriptor}").readlink().name == "walk.json":
            raise OSError(28, "No space left on device")
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", refuse)
    with pytest.raises(InputError, match=r"cannot write walk\.json: No space left"):
        predict_video(detector, open_footage(source, 3), tmp_path / "drawn", "r")
    assert list((tmp_path / "drawn").iterdir()) == []


def test_a_folder_that_cannot_be_made_is_told(detector: Predictor, tmp_path: Path) -> None:
    source = write_video(tmp_path / "walk.mkv", moving_digit(2))
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="--draw"):
        predict_video(detector, open_footage(source, 3), tmp_path / "file" / "drawn", "r")
