"""``striate predict`` of pictures: files, folders and archives of them, one batch after the other."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from striate.errors import InputError, RunError, one_line

if TYPE_CHECKING:
    from striate.cli.predict_output import Output
    from striate.data.unlabelled import NamedPicture
    from striate.predictor import Predictor, Seen

SHOWN = 3  # names of files that are left aside


def predict_pictures(
    predictor: "Predictor", paths: Sequence[Path], draw: Path | None, csv: Path | None, json: bool
) -> None:
    """Say what is in each picture as soon as it is known; name those that cannot be predicted, and go on.

    Raises:
        InputError: no picture can be predicted, or a result cannot be written.
        RunError: some cannot be predicted; the others are.
    """
    from striate.cli.predict_output import CsvFile, Drawings, JsonPredictions, Table
    from striate.data.unlabelled import list_pictures

    pictures, aside = list_pictures(paths)
    for left in aside:
        tell_left_aside(left.source, left.files)
    outputs: list[Output] = []  # whatever exists already is told before the work
    if draw:
        outputs.append(Drawings(predictor, draw, pictures))
    if csv:
        outputs.append(CsvFile(predictor, csv))
    if json:
        outputs.append(JsonPredictions(predictor))
    elif csv is None:
        outputs.append(Table(predictor, (picture.name for picture in pictures)))
    faults: list[InputError] = []
    with _seen(predictor, pictures, keep=draw is not None) as seen_in_each, ExitStack() as stack:
        for output in outputs:
            stack.enter_context(output)
        for picture, seen in zip(pictures, seen_in_each, strict=True):
            if isinstance(seen, InputError):
                faults.append(seen)
                if len(pictures) > 1:
                    tell_fault(seen, picture.name)
            for output in outputs:
                if isinstance(seen, InputError):
                    output.fault(picture, seen)
                else:
                    output.found(picture, seen)
    raise_faults(faults, len(pictures), len(pictures) - len(faults), "pictures")


@contextmanager
def _seen(
    predictor: "Predictor", pictures: "Sequence[NamedPicture]", keep: bool
) -> "Iterator[Iterator[Seen | InputError]]":
    """The attempts at all pictures, with a bar, and another one for the windows of the picture under way."""
    from striate.cli.predict_windows import watched
    from striate.cli.progress import TrainingProgress
    from striate.predictor import Asked

    channels, white = predictor.preprocessing.channels, predictor.preprocessing.white
    asked = (Asked(picture.name, partial(picture.read, channels, white)) for picture in pictures)
    with TrainingProgress() as progress:
        done = progress.watch("pictures", len(pictures))
        attempts = watched(predictor, progress).attempts(asked, keep)
        yield (seen for seen in attempts if done(1) is None)


def tell_left_aside(source: Path, files: Sequence[str]) -> None:
    """Say what in a folder or archive is no picture."""
    names = ", ".join(files[:SHOWN]) + (", ..." if len(files) > SHOWN else "")
    typer.echo(one_line(f"{source}: left aside what is no picture: {len(files)} ({names})"), err=True)


def tell_fault(fault: InputError, name: str) -> None:
    """Say in one line what is wrong with one of several files."""
    mend = f"; {fault.what_to_do}" if fault.what_to_do else ""
    typer.echo(f"left out {one_line(name)}: {fault.what}{mend}", err=True)


def raise_faults(faults: Sequence[InputError], count: int, done: int, kind: str) -> None:
    """End with the exit code that tells of ``faults`` in ``count`` files: 1 if some were predicted, else 2.

    Raises:
        InputError, RunError: there are faults.
    """
    if count == len(faults) == 1:
        raise faults[0]
    if faults:
        if not done:
            raise InputError(f"none of the {count:,} {kind} can be predicted")  # what to do is told of each
        mend = f"mend or remove the {kind} that are named above"
        raise RunError(f"{len(faults):,} of {count:,} {kind} cannot be predicted", "", mend)
