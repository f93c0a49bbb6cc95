"""``striate predict`` of video files and folders of camera frames."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from striate.errors import InputError, RunError

if TYPE_CHECKING:
    from striate.predictor import Predictor
    from striate.video import VideoPrediction
    from striate.video_reading import Footage

SHOWN = 3  # names of files that are left aside


def predict_videos(
    predictor: "Predictor", run: str, videos: Sequence[Path], draw: Path | None, fps: float | None, json: bool
) -> None:
    """Make an annotated video and a record of each, and say so.

    Raises:
        InputError: a source cannot be read, or a result cannot be written.
        RunError: a source ends before its end; the results have the frames before.
    """
    from striate.cli.output import print_json, print_table
    from striate.video import result_files

    if draw is None:
        raise InputError("what is in a video is drawn into a folder", videos[0], "name one: --draw drawn")
    footage = _open(videos, predictor.preprocessing.channels, fps)
    result_files(videos, draw)  # a clash is told before the work
    made = list(zip(footage, _predict_all(predictor, run, footage, draw), strict=True))
    if json:
        print_json([_as_json(source, result) for source, result in made])
    else:
        heading = ("source", "frames", "predicted per second", "annotated", "record")
        rows = [
            (str(source.path), f"{r.frames:,}", f"{r.per_second:.1f}", str(r.video), str(r.record))
            for source, r in made
        ]
        print_table(heading, rows, numbers=(1, 2))
    for _, result in made:
        if result.fault:
            told = f"{result.fault.what_to_do}; the {result.frames:,} frames before are in {result.video}"
            raise RunError(result.fault.what, result.fault.where, told)


def _open(videos: Sequence[Path], channels: int, fps: float | None) -> "list[Footage]":
    """Look at every source before the work begins."""
    from striate.video_reading import check_av, is_footage, open_footage

    if others := [path for path in videos if not is_footage(path)]:
        first = next(path for path in videos if is_footage(path))
        raise InputError(
            f"this is a video or a folder of frames, {others[0].name} is not", first, "predict them apart"
        )
    check_av()
    footage = [open_footage(path, channels, fps) for path in videos]
    for source in footage:
        if aside := source.left_aside:
            names = ", ".join(aside[:SHOWN]) + (", ..." if len(aside) > SHOWN else "")
            typer.echo(f"{source.path}: left aside what is no picture: {len(aside)} ({names})", err=True)
    return footage


def _predict_all(
    predictor: "Predictor", run: str, footage: "Sequence[Footage]", folder: Path
) -> "list[VideoPrediction]":
    from striate.cli.progress import TrainingProgress
    from striate.video import predict_video
    from striate.video_writing import choose_encoder

    if choose_encoder() != "libx264":
        typer.echo("this PyAV has no H.264: browsers will not play the MPEG-4 that is made", err=True)
    results = []
    with TrainingProgress() as progress:
        for source in footage:
            bar = progress.live.add_task(source.path.name, total=source.count, note="")

            def watch(done: int, bar: Any = bar) -> None:
                progress.live.advance(bar, done)

            results.append(predict_video(predictor, source, folder, run, watch))
            progress.remove_bars()
    return results


def _as_json(source: "Footage", result: "VideoPrediction") -> dict[str, Any]:
    return {
        "source": str(source.path),
        "frames": result.frames,
        "frame_rate": source.rate,
        "width": source.width,
        "height": source.height,
        "predicted_per_second": result.per_second,
        "video": str(result.video),
        "record": str(result.record),
        "fault": result.fault.what if result.fault else None,
    }
