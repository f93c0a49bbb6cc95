"""``striate predict``: what a network sees in pictures."""

from dataclasses import replace
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from striate.errors import InputError

if TYPE_CHECKING:
    from striate.predictor import Predictor


class Fit(StrEnum):
    """How pictures of other shapes become network input."""

    crop = "crop"
    stretch = "stretch"
    letterbox = "letterbox"


WeightsFlag = Annotated[
    Path | None, typer.Option(help="A file of a network's weights, instead of the download.")
]
FitFlag = Annotated[Fit | None, typer.Option(help="How a picture becomes square for a published network.")]
ScoreFlag = Annotated[
    float, typer.Option(min=0, max=1, help="Where there may be nothing: only boxes that it is so sure of.")
]
DrawFlag = Annotated[
    Path | None,
    typer.Option(
        metavar="DIR",
        help="Folder for copies with the predictions, in their sub-folders; of videos also JSON.",
    ),
]
CsvFlag = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="Write a row for each picture or box, instead of the table."),
]
JsonFlag = Annotated[
    bool,
    typer.Option("--json", help="Print JSON: the best five classes, the boxes, or the frames of videos."),
]
FpsFlag = Annotated[
    float | None,
    typer.Option(min=0.01, max=1000, help="A folder is a film: its pictures are so many frames per second."),
]
WindowsFlag = Annotated[
    list[int] | None,
    typer.Option(
        metavar="SIZE",
        help="With a localizer: search through windows so many pixels high; several sizes are possible.",
    ),
]
OnePassFlag = Annotated[
    bool, typer.Option("--one-pass", help="All windows in one pass: quicker, but not quite the same.")
]
OverlapFlag = Annotated[
    float | None,
    typer.Option(
        min=0, max=1, help="Of boxes found through windows that overlap by a larger IoU one stays; else 0.6."
    ),
]
CropFlag = Annotated[
    tuple[float, float, float, float] | None,
    typer.Option(help="Look at a part of each picture only: Y1 X1 Y2 X2, each 0..1.", metavar="Y1 X1 Y2 X2"),
]


def predict(
    run: Annotated[str, typer.Argument(help="A run folder, or the name of a published network: resnet50.")],
    pictures: Annotated[list[Path], typer.Argument(help="Pictures, folders or archives of them, or videos.")],
    weights: WeightsFlag = None,
    score: ScoreFlag = 0.5,
    fit: FitFlag = None,
    crop: CropFlag = None,
    windows: WindowsFlag = None,
    one_pass: OnePassFlag = False,
    overlap: OverlapFlag = None,
    draw: DrawFlag = None,
    csv: CsvFlag = None,
    fps: FpsFlag = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, ...")] = "auto",
    json: JsonFlag = False,
) -> None:
    """Name what is in pictures or videos, with probabilities; a detector also says where.

    Of a folder or archive, all pictures below it. A picture that cannot be read is named, the others go on.

    Example: striate predict runs/digits seven.png --draw drawn

    Example: striate predict runs/flowers photographs/ --csv found.csv

    Example: striate predict resnet50 cat.jpg

    Example: striate predict runs/cells blood.jpg --draw drawn --score 0.3

    Example: striate predict runs/cells blood.jpg --draw drawn --crop 0 0.5 1 1

    Example: striate predict runs/cells microscope.mp4 --draw drawn

    Example: striate predict runs/cells frames/ --fps 10 --draw drawn

    Example: striate predict runs/localizer photo.jpg --windows 48 --windows 96
    """
    from striate.cli.predict_pictures import predict_pictures
    from striate.cli.predict_video import predict_videos
    from striate.cli.predict_windows import looking_through
    from striate.video_reading import is_video

    predictor = _cropped(replace(_load(run, device, weights, fit), score=score), crop)
    if windows or one_pass or overlap is not None:
        predictor = looking_through(predictor, windows or [], one_pass, overlap, whole=crop is None)
    if fps is not None or any(map(is_video, pictures)):
        if csv:
            raise InputError("what is in a video is no table", "--csv", "--json, or --draw DIR")
        predict_videos(predictor, run, pictures, draw, fps, json)
    else:
        predict_pictures(predictor, pictures, draw, csv, json)


def _cropped(predictor: "Predictor", crop: tuple[float, float, float, float] | None) -> "Predictor":
    """The predictor that looks at this box only."""
    if crop is None:
        return predictor
    y1, x1, y2, x2 = crop
    if not (0 <= y1 < y2 <= 1 and 0 <= x1 < x2 <= 1):
        raise InputError("the box is not inside the picture", "--crop", "0 <= Y1 < Y2 <= 1, and so for X")
    return replace(predictor, box_norm=crop)


def _load(run: str, device: str, weights: Path | None, fit: Fit | None) -> "Predictor":
    """The network of a run folder, or else of the catalogue."""
    from striate.models.catalog import CATALOG
    from striate.predictor import load_pretrained
    from striate.run import load_run

    if Path(run).is_dir() or run not in CATALOG:
        if not Path(run).exists():
            raise InputError(
                "there is no such run folder, and no network of that name",
                run,
                "`striate train DATA` makes a run, `striate models` lists networks",
            )
        if weights or fit:
            raise InputError(
                "a run has weights and preprocessing of its own",
                "--weights" if weights else "--fit",
                "leave it out, or name a network of the catalogue",
            )
        return load_run(run, device).predictor
    predictor = load_pretrained(run, device, weights)
    if fit is None:
        return predictor
    return replace(predictor, preprocessing=replace(predictor.preprocessing, fit=fit.value))
