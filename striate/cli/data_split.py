"""``striate data split``: a data set divided into train, val and test."""

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from striate.cli.train import FromFlag

if TYPE_CHECKING:
    from collections.abc import Callable

    from striate.data.dataset import Dataset
    from striate.data.load import LabelSource

    Divide = Callable[[Dataset], Dataset]


def split(
    data: Annotated[
        str, typer.Argument(metavar="DATA", help="Folder, archive, data set name or address of shards.")
    ],
    out: Annotated[Path, typer.Argument(metavar="OUT", help="The folder to make.")],
    fractions: Annotated[
        str | None, typer.Option(metavar="TRAIN,VAL,TEST", help="Shares of the pictures; 0.75,0.15,0.10.")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Another seed chooses other pictures.")] = 0,
    to: Annotated[
        str | None,
        typer.Option(
            "--to",
            "--format",
            help="image-folder, idx or tar-shards, the first if left out; of boxes: voc, coco, yolo, via, "
            "label-studio, labelme, cvat, csv, or the format they are in if left out.",
        ),
    ] = None,
    link: Annotated[
        bool, typer.Option("--link", help="Hard links instead of copies, where that is possible.")
    ] = False,
    strict: Annotated[bool, typer.Option("--strict", help="Stop at a picture that cannot be read.")] = False,
    source_format: FromFlag = None,
    fix: Annotated[
        bool, typer.Option("--fix", help="Mend boxes in the new folder where that is safe.")
    ] = False,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Divide pictures into train, val and test, each class in proportion, as training itself would.

    Pictures with boxes go by the class of their largest object, and keep all of their labels.

    Example: striate data split flowers flowers-split --fractions 0.8,0.1,0.1
    """
    from striate.cli.data_convert import refuse
    from striate.data.convert import with_splits
    from striate.data.load import find_labels, load_data

    divide = partial(with_splits, fractions=_parse(fractions), seed=seed)
    if labels := find_labels(data, source_format):
        refuse({"--strict": strict}, to or "boxes")
        _split_boxes(labels, out, to, divide, link, fix, json)
        return
    to = to or "image-folder"
    refuse({"--fix": fix}, to)
    _split_classes(divide(load_data(data, source_format)), out, to, link, strict, json)


def _split_boxes(
    labels: "LabelSource",
    out: Path,
    to: str | None,
    divide: "Divide",
    link: bool,
    fix: bool,
    json: bool,
) -> None:
    from striate.cli.data_convert import show_boxes
    from striate.data.convert_boxes import convert_boxes

    done = convert_boxes(
        labels.path,
        out,
        to,
        source_format=labels.format or None,
        fix_problems=fix,
        divide=divide,
        link=link,
    )
    show_boxes(done, json, trains=True)


def _split_classes(chosen: "Dataset", out: Path, to: str, link: bool, strict: bool, json: bool) -> None:
    from striate.cli.data_convert import show
    from striate.cli.progress import TrainingProgress
    from striate.data.convert import convert

    with TrainingProgress() as progress:
        done = convert(chosen, out, to, link=link, strict=strict, reading=progress.reading)
    show(done, json)


def _parse(text: str | None) -> tuple[float, float, float] | None:
    from striate.errors import InputError

    if text is None:
        return None
    try:
        train, val, test = map(float, text.split(","))
        if not all(0 <= fraction <= 1 for fraction in (train, val, test)):
            raise ValueError  # NaN too
    except ValueError:
        raise InputError(
            f"{text!r} is not three numbers from 0 to 1", "--fractions", "write them as 0.75,0.15,0.10"
        ) from None
    return train, val, test
