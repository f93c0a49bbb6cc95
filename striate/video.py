"""What a network sees in a video: an annotated video, and a record of every frame.

    frames ──► batches ──► predictor ──┬──► drawn into the frame ──► <name>.mp4
                                       └──► a line of JSON       ──► <name>.json, or wherever it is wanted

One batch of frames is in memory at a time. Both files are whole or not there. Where a frame cannot be read,
they end before it, and the record says so.
"""

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain, islice
from pathlib import Path
from time import perf_counter
from typing import IO, Any

from striate.errors import InputError
from striate.files import UnwrittenError, write_atomically
from striate.ops.frames import part_of
from striate.predictor import Predictor
from striate.run_folder import unwritable
from striate.video_reading import Footage, TimedPicture
from striate.video_writing import VideoWriter

BATCH_BYTES = 2**27  # of the frames in memory


@dataclass(frozen=True)
class VideoPrediction:
    """What was made of a video.

    Attributes:
        source: what was predicted.
        video: the annotated video; None where there is the record alone.
        record: the JSON file; None where it was written elsewhere.
        frames: how many were predicted.
        per_second: frames, of the time that prediction took: from pixels to boxes or classes, without
            reading, drawing and writing.
        fault: why they end before the source does; None: they do not.
    """

    source: Footage
    video: Path | None
    record: Path | None
    frames: int
    per_second: float
    fault: InputError | None


def result_files(sources: Sequence[Path], folder: Path) -> list[tuple[Path, Path]]:
    """Where the annotated video and the record of each source go.

    Raises:
        InputError: two sources have the same name, or a file of that name is there already.
    """
    names = [source.resolve().name if source.is_dir() else source.stem for source in sources]
    if repeated := [name for name in names if names.count(name) > 1]:
        raise InputError(f"two videos would both be drawn as {repeated[0]}.mp4", folder, "draw them apart")
    files = [(folder / f"{name}.mp4", folder / f"{name}.json") for name in names]
    for file in (file for pair in files for file in pair):
        if file.exists():
            raise InputError("the file exists already", file, "choose another folder with --draw")
    return files


def predict_video(
    predictor: Predictor,
    footage: Footage,
    folder: Path,
    run: str,
    watch: Callable[[int], None] = lambda done: None,
) -> VideoPrediction:
    """Predict every frame; write an annotated video and a record into ``folder``, which is made if absent.

    Args:
        predictor: of any task.
        footage: to be predicted.
        folder: for the two files, as ``result_files`` names them.
        run: what the record calls the network.
        watch: is told after each batch how many frames it had.

    Raises:
        InputError: a file of that name is there already, or the folder cannot be written.
    """
    ((video, record),) = result_files([footage.path], folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise unwritable(folder, error, "--draw") from None
    done = _Pass(predictor, footage, run, watch)
    try:
        write_atomically(record, lambda text: write_atomically(video, partial(done.draw, text)))
    except UnwrittenError as error:
        video.unlink(missing_ok=True)  # where only the record could not be written
        mend = "free some space, or choose another folder with --draw"
        raise UnwrittenError(error.what, error.where, mend) from error
    return VideoPrediction(footage, video, record, done.frames, done.per_second, done.fault)


def record_video(
    predictor: Predictor,
    footage: Footage,
    begin: Callable[[], IO[str]],
    run: str,
    watch: Callable[[int], None] = lambda done: None,
) -> VideoPrediction:
    """Predict every frame, and write the record alone, as it comes to be, to where ``begin`` says when there
    is something to write. Other arguments and errors as for ``predict_video``."""
    done = _Pass(predictor, footage, run, watch)
    done.write(begin)
    return VideoPrediction(footage, None, None, done.frames, done.per_second, done.fault)


class _Pass:
    """One pass over the frames."""

    def __init__(
        self, predictor: Predictor, footage: Footage, run: str, watch: Callable[[int], None]
    ) -> None:
        self.predictor = predictor
        self.footage = footage
        self.run = run
        self.watch = watch
        self.frames = 0
        self.seconds = 0.0
        self.fault: InputError | None = None

    @property
    def per_second(self) -> float:
        """Frames predicted, of the time that it took."""
        return self.frames / self.seconds

    def draw(self, record: Path, video: Path) -> None:
        """Make both files, of the frames up to the first that cannot be read."""
        film = VideoWriter(video, self.footage.rate, self.footage.aspect)
        with record.open("w", encoding="utf-8") as text, film:
            self.write(lambda: text, film)
            text.write("\n")

    def write(self, begin: Callable[[], IO[str]], film: VideoWriter | None = None) -> None:
        """Write the record, frame by frame; and the frames into ``film``, with what is predicted."""
        predicted = self._predicted()
        first = next(predicted)  # raises where there is none, before a word is written
        text = begin()
        text.write(json.dumps(self._head(), indent=2)[:-2] + ',\n  "frames": [')
        for picture, prediction in chain([first], predicted):
            if film is not None:
                film.write(self.predictor.draw(picture.image, prediction), picture.time)
            text.write(",\n    " if self.frames else "\n    ")
            text.write(json.dumps(self._line(picture, prediction)))
            self.frames += 1
        text.write("\n  ],\n" + json.dumps(self._tail(), indent=2)[2:])

    def _predicted(self) -> Iterator[tuple[TimedPicture, Any]]:
        """Each frame and what is in it."""
        for batch in self._batches():
            yield from zip(batch, self._predict(batch), strict=True)
            self.watch(len(batch))

    def _batches(self) -> Iterator[list[TimedPicture]]:
        """The frames up to the first that cannot be read; why it cannot is kept as ``fault``."""
        size = self.predictor.preprocessing.channels * self.footage.height * self.footage.width
        most = max(1, min(self.predictor.batch_size, BATCH_BYTES // size))
        pictures = self.footage.read()
        batch: list[TimedPicture] = []
        while self.fault is None:
            try:
                for picture in islice(pictures, most):
                    batch.append(picture)
            except InputError as fault:
                self.fault = fault
            if not batch:
                break
            yield batch
            batch.clear()  # so that two are never in memory
        if self.fault and self.frames == 0:
            raise self.fault

    def _predict(self, batch: list[TimedPicture]) -> list[Any]:
        start = perf_counter()
        try:
            predictions = list(self.predictor.predictions([picture.image for picture in batch]))
        except InputError as error:  # frames of this shape are not for this network
            raise InputError(error.what, self.footage.path, error.what_to_do) from None
        self.seconds += perf_counter() - start
        return predictions

    def _head(self) -> dict[str, Any]:
        facts: dict[str, Any] = {
            "source": str(self.footage.path),
            "width": self.footage.width,
            "height": self.footage.height,
            "frame_rate": self.footage.rate,
            "run": self.run,
            "task": self.predictor.task.name,
            "classes": self.predictor.classes,
        }
        if self.predictor.task.may_find_nothing:
            facts["least_score"] = self.predictor.score
        if box_norm := self.predictor.box_norm:
            rows, columns = part_of(box_norm, self.footage.height, self.footage.width)
            facts["looked_at_xyxy"] = [columns.start, rows.start, columns.stop, rows.stop]
        return facts

    def _line(self, picture: TimedPicture, prediction: Any) -> dict[str, Any]:
        facts: dict[str, Any] = {"index": self.frames, "time": picture.time}
        if picture.file is not None:
            facts["file"] = picture.file
        if self.predictor.task.name == "classification":
            return facts | {"predictions": [found.facts for found in self.predictor.named(prediction)]}
        return facts | {"objects": [found.facts for found in self.predictor.named(prediction, count=1)]}

    def _tail(self) -> dict[str, Any]:
        return {
            "predicted_per_second": round(self.per_second, 2),
            "fault": self.fault.what if self.fault else None,
        }
