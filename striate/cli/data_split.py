"""``striate data split``: a data set divided into train, val and test."""

from pathlib import Path
from typing import Annotated

import typer


def split(
    data: Annotated[
        str, typer.Argument(metavar="DATA", help="Folder, archive, data set name or address of shards.")
    ],
    out: Annotated[Path, typer.Argument(metavar="OUT", help="The folder to make.")],
    fractions: Annotated[
        str | None, typer.Option(metavar="TRAIN,VAL,TEST", help="Shares of the pictures; 0.75,0.15,0.10.")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Another seed chooses other pictures.")] = 0,
    to: Annotated[str, typer.Option(help="image-folder, idx or tar-shards.")] = "image-folder",
    link: Annotated[
        bool, typer.Option("--link", help="Hard links instead of copies, where that is possible.")
    ] = False,
    strict: Annotated[bool, typer.Option("--strict", help="Stop at a picture that cannot be read.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Divide pictures into train, val and test, each class in proportion, as training itself would.

    Example: striate data split flowers flowers-split --fractions 0.8,0.1,0.1
    """
    from striate.cli.data_convert import show
    from striate.cli.progress import TrainingProgress
    from striate.data.convert import convert, with_splits
    from striate.data.load import load_data

    chosen = with_splits(load_data(data), _parse(fractions), seed)
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
