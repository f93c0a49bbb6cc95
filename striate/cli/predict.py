"""``striate predict``: what a network sees in pictures."""

from dataclasses import replace
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from striate.errors import InputError

if TYPE_CHECKING:
    from striate.predictor import LabelScore, Predictor


ScoreFlag = Annotated[
    float, typer.Option(min=0, max=1, help="Where there may be nothing: only boxes that it is so sure of.")
]
DrawFlag = Annotated[
    Path | None, typer.Option(help="Folder for copies with the predictions; of videos also as JSON.")
]
FpsFlag = Annotated[
    float | None, typer.Option(min=0.01, max=1000, help="Frames per second of a folder, else 25.")
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


class Fit(StrEnum):
    """How pictures of other shapes become network input."""

    crop = "crop"
    stretch = "stretch"
    letterbox = "letterbox"


def predict(
    run: Annotated[str, typer.Argument(help="A run folder, or the name of a published network: resnet50.")],
    pictures: Annotated[list[Path], typer.Argument(help="Pictures; or videos and folders of frames.")],
    weights: Annotated[
        Path | None, typer.Option(help="A file of a network's weights, instead of the download.")
    ] = None,
    score: ScoreFlag = 0.5,
    fit: Annotated[
        Fit | None, typer.Option(help="How a picture becomes square for a published network.")
    ] = None,
    crop: CropFlag = None,
    windows: WindowsFlag = None,
    one_pass: OnePassFlag = False,
    overlap: OverlapFlag = None,
    draw: DrawFlag = None,
    fps: FpsFlag = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, ...")] = "auto",
    json: Annotated[bool, typer.Option("--json", help="Print JSON, the best five classes each.")] = False,
) -> None:
    """Name what is in pictures or videos, with probabilities; a detector also says where.

    Example: striate predict runs/digits seven.png --draw drawn

    Example: striate predict resnet50 cat.jpg

    Example: striate predict runs/cells blood.jpg --draw drawn --score 0.3

    Example: striate predict runs/cells blood.jpg --draw drawn --crop 0 0.5 1 1

    Example: striate predict runs/cells microscope.mp4 --draw drawn

    Example: striate predict runs/localizer photo.jpg --windows 48 --windows 96
    """
    from striate.cli.predict_video import predict_videos
    from striate.cli.predict_windows import looking_through
    from striate.video_reading import is_footage

    predictor = _cropped(replace(_load(run, device, weights, fit), score=score), crop)
    if windows or one_pass or overlap is not None:
        predictor = looking_through(predictor, windows or [], one_pass, overlap, whole=crop is None)
    if any(map(is_footage, pictures)):
        predict_videos(predictor, run, pictures, draw, fps, json)
    elif fps is not None:
        raise InputError("only a folder of frames is shown at a rate", "--fps", "leave it out")
    else:
        _predict_pictures(predictor, pictures, draw, json)


def _cropped(predictor: "Predictor", crop: tuple[float, float, float, float] | None) -> "Predictor":
    """The predictor that looks at this box only."""
    if crop is None:
        return predictor
    y1, x1, y2, x2 = crop
    if not (0 <= y1 < y2 <= 1 and 0 <= x1 < x2 <= 1):
        raise InputError("the box is not inside the picture", "--crop", "0 <= Y1 < Y2 <= 1, and so for X")
    return replace(predictor, box_norm=crop)


def _predict_pictures(predictor: "Predictor", pictures: list[Path], draw: Path | None, json: bool) -> None:
    from striate.cli.output import print_json
    from striate.cli.predict_windows import watched

    if draw:
        predictor.drawing_names(pictures, draw)  # a clash is told before the work
    found_in_each = watched(predictor, pictures)
    predictions = [predictor.named(found) for found in found_in_each]
    if draw:
        predictor.draw_all(pictures, draw, found_in_each)
    if json:
        print_json(
            [
                {"file": str(file), "predictions": [prediction.facts for prediction in found]}
                for file, found in zip(pictures, predictions, strict=True)
            ]
        )
    elif predictor.task.name != "classification":
        _print_boxes(pictures, [predictor.named(found, count=1) for found in found_in_each])
    else:
        (_print_synsets if predictor.wnids else _print_classes)(pictures, predictions)


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


def _print_boxes(pictures: list[Path], predictions: list[list["LabelScore"]]) -> None:
    """One line for each box, and one for a picture without any."""
    from striate.cli.output import percent, print_table
    from striate.predictor import FoundBox

    rows = []
    for file, found in zip(pictures, predictions, strict=True):
        for box in found:
            assert isinstance(box, FoundBox)
            rows.append((str(file), box.label, percent(box.score), *(f"{at:.1f}" for at in box.box_xyxy)))
        if not found:
            rows.append((str(file), "nothing", "", "", "", "", ""))
    print_table(("picture", "class", "score", "x1", "y1", "x2", "y2"), rows, numbers=(2, 3, 4, 5, 6))


def _print_classes(pictures: list[Path], predictions: list[list["LabelScore"]]) -> None:
    from striate.cli.output import percent, print_table

    rows = []
    for file, scores in zip(pictures, predictions, strict=True):
        others = ", ".join(f"{p.label} {percent(p.score)}" for p in scores[1:3])
        rows.append((str(file), scores[0].label, percent(scores[0].score), others))
    print_table(("picture", "class", "score", "then"), rows, numbers=(2,))


def _print_synsets(pictures: list[Path], predictions: list[list["LabelScore"]]) -> None:
    """One line for each class: ImageNet's names are long."""
    from striate.cli.output import percent, print_table

    rows = [
        (str(file), p.wnid or "", percent(p.score), p.label)
        for file, scores in zip(pictures, predictions, strict=True)
        for p in scores
    ]
    print_table(("picture", "wnid", "score", "class"), rows, numbers=(2,))
