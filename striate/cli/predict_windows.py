"""``striate predict --windows``: a localizer searches pictures, and how far it has come is shown."""

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from striate.errors import InputError

if TYPE_CHECKING:
    from striate.cli.progress import TrainingProgress
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


def watched(predictor: "Predictor", progress: "TrainingProgress") -> "Predictor":
    """The predictor, with a bar for the windows of the picture under way if it looks through any."""
    from striate.window_predictor import Watch, WindowPredictor

    if not isinstance(predictor, WindowPredictor):
        return predictor
    bars: list[Any] = []

    def watch(picture: str, count: int) -> Watch:
        while bars:
            progress.live.remove_task(bars.pop())
        bars.append(bar := progress.live.add_task(f"windows of {picture}", total=count, note=""))
        return lambda done: progress.live.advance(bar, done)

    return replace(predictor, watch=watch)
