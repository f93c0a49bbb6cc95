"""``striate predict`` of video files, and of folders of camera frames where ``--fps`` is given."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from striate.errors import InputError, RunError
from striate.files import UnwrittenError

if TYPE_CHECKING:
    from striate.cli.predict_output import JsonList
    from striate.cli.progress import TrainingProgress
    from striate.predictor import Predictor
    from striate.video import VideoPrediction
    from striate.video_reading import Footage


def predict_videos(
    predictor: "Predictor", run: str, videos: Sequence[Path], draw: Path | None, fps: float | None, json: bool
) -> None:
    """Make an annotated video and a record of each, and say so; without ``draw``, print the records.

    Raises:
        InputError: none can be read, or a result cannot be written.
        RunError: one cannot be read, or not to its end; the results have the others, and the frames before.
    """
    from striate.cli.predict_output import JsonList
    from striate.cli.progress import TrainingProgress
    from striate.video import result_files

    _check(videos, fps)
    if draw is not None:
        result_files(videos, draw)  # a clash is told before the work
    elif not json:
        told = "--draw drawn for a video and a record, --json to print the record"
        raise InputError("what is in a video is drawn into a folder, or printed as JSON", videos[0], told)
    _check_av(videos, draw)
    look = predictor.preprocessing
    footage = [_open(video, look.channels, fps, look.white) for video in videos]
    made: list[VideoPrediction] = []
    faults: list[InputError] = []
    with TrainingProgress() as progress, JsonList() as printed:
        for video, source in zip(videos, footage, strict=True):
            try:
                result = _predict(predictor, run, source, draw, progress, printed)
            except UnwrittenError:
                raise  # this hinders the others too
            except InputError as fault:
                faults.append(fault)
                if json:
                    printed.add({"source": str(video), "error": fault.what})
                continue
            made.append(result)
            if json and draw is not None:
                printed.add(_as_json(result))
            if result.fault:
                faults.append(_with_what_there_is(result))
    if not json and made:
        _print_table(made)
    _raise_faults(faults, len(videos), len(made))


def _check(videos: Sequence[Path], fps: float | None) -> None:
    """Raise InputError where pictures and videos are mixed."""
    from striate.video_reading import is_video

    for path in videos:
        if fps is not None and not path.is_dir() and not is_video(path):
            raise InputError("only a folder of frames is shown at a rate", "--fps", "leave it out")
    others = [path for path in videos if not is_video(path) and fps is None]
    if others:
        first = next(path for path in videos if is_video(path))
        told = "predict them apart; with --fps a folder is a video too"
        raise InputError(f"this is a video, {others[0].name} is not", first, told)


def _check_av(videos: Sequence[Path], draw: Path | None) -> None:
    """Say what is missing for reading or writing videos."""
    from striate.video_reading import check_av, is_video

    if draw is None and not any(map(is_video, videos)):
        return
    check_av()
    from striate.video_writing import choose_encoder

    if draw is not None and choose_encoder() != "libx264":
        typer.echo("this PyAV has no H.264: browsers will not play the MPEG-4 that is made", err=True)


def _open(video: Path, channels: int, fps: float | None, white: float | None) -> "Footage | InputError":
    """Look at a source before the work begins."""
    from striate.cli.predict_pictures import tell_left_aside
    from striate.video_reading import open_footage

    try:
        source = open_footage(video, channels, fps, white)
    except InputError as fault:
        return fault
    if source.left_aside:
        tell_left_aside(source.path, source.left_aside)
    return source


def _predict(
    predictor: "Predictor",
    run: str,
    source: "Footage | InputError",
    draw: Path | None,
    progress: "TrainingProgress",
    printed: "JsonList",
) -> "VideoPrediction":
    """Predict one source, with a bar. Raises InputError if it cannot be read."""
    from striate.video import predict_video, record_video

    if isinstance(source, InputError):
        raise source
    bar = progress.live.add_task(source.path.name, total=source.count, note="")

    def watch(done: int) -> None:
        progress.live.advance(bar, done)

    try:
        if draw is None:
            return record_video(predictor, source, printed.begin, run, watch)
        return predict_video(predictor, source, draw, run, watch)
    finally:
        progress.live.remove_task(bar)


def _with_what_there_is(result: "VideoPrediction") -> InputError:
    """Why a source ends early, and where the frames before that are."""
    assert result.fault is not None
    there = f"are in {result.video}" if result.video else "are told"
    told = f"{result.fault.what_to_do}; the {result.frames:,} frames before {there}"
    return InputError(result.fault.what, result.fault.where, told)


def _raise_faults(faults: Sequence[InputError], count: int, made: int) -> None:
    from striate.cli.predict_pictures import raise_faults, tell_fault

    if len(faults) == 1 and made:
        raise RunError(faults[0].what, faults[0].where, faults[0].what_to_do)
    if count > 1:
        for fault in faults:
            tell_fault(fault, fault.where)
    raise_faults(faults, count, made, "videos")


def _print_table(made: "Sequence[VideoPrediction]") -> None:
    from striate.cli.output import print_table

    heading = ("source", "frames", "predicted per second", "annotated", "record")
    rows = [
        (str(r.source.path), f"{r.frames:,}", f"{r.per_second:.1f}", str(r.video), str(r.record))
        for r in made
    ]
    print_table(heading, rows, numbers=(1, 2))


def _as_json(result: "VideoPrediction") -> dict[str, Any]:
    return {
        "source": str(result.source.path),
        "frames": result.frames,
        "frame_rate": result.source.rate,
        "width": result.source.width,
        "height": result.source.height,
        "predicted_per_second": result.per_second,
        "video": str(result.video),
        "record": str(result.record),
        "fault": result.fault.what if result.fault else None,
    }
