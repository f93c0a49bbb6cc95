"""``striate predict --windows``: a localizer searches pictures, and how far it has come is shown."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from striate.errors import InputError

if TYPE_CHECKING:
    from striate.predictor import Predictor


def looking_through(
    predictor: "Predictor", sizes: Sequence[int], one_pass: bool, overlap: float | None, whole: bool
) -> "Predictor":
    """The predictor that looks through windows of these sizes.

    Raises:
        InputError: as ``through_windows``, no size, or only a part of each picture is to be looked at.
    """
    from striate.window_predictor import through_windows

    if not sizes:
        option = "--one-pass" if one_pass else "--overlap"
        raise InputError("through which windows?", option, "name their height: --windows 64")
    if not whole:
        raise InputError("windows look at whole pictures", "--crop", "leave it out")
    found = through_windows(predictor, sizes, one_pass)
    return found if overlap is None else replace(found, overlap=overlap)


def watched(predictor: "Predictor", pictures: Sequence[Path]) -> list[Any]:
    """What is predicted for each picture, with a bar for the windows of the one under way."""
    from striate.cli.progress import TrainingProgress
    from striate.window_predictor import Watch, WindowPredictor

    if not isinstance(predictor, WindowPredictor):
        return list(predictor.predictions(pictures))
    with TrainingProgress() as progress:

        def watch(picture: str, count: int) -> Watch:
            progress.remove_bars()
            return progress.watch(f"windows of {picture}", count)

        return list(replace(predictor, watch=watch).predictions(pictures))
