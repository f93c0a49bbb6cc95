"""What ``striate predict`` prints and writes as it goes: a table, a JSON list, a CSV file, drawings."""

import csv
import json
import shutil
import sys
import tempfile
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from textwrap import indent
from types import TracebackType
from typing import IO, TYPE_CHECKING, Any, Self

from rich.cells import cell_len

from striate.cli.output import percent
from striate.drawn_files import drawing_names, save_drawing
from striate.errors import InputError, one_line
from striate.files import UnwrittenError, unwritten, write_atomically

if TYPE_CHECKING:
    from striate.data.unlabelled import NamedPicture
    from striate.predictor import LabelScore, Predictor, Seen

Kind = type[BaseException] | None


class Output(ABC):
    """Receives pictures one by one; for a ``with`` block.

    Args:
        predictor: whose predictions they are.
    """

    def __init__(self, predictor: "Predictor") -> None:
        self.predictor = predictor
        self.has_boxes = predictor.task.name != "classification"

    @abstractmethod
    def found(self, picture: "NamedPicture", seen: "Seen") -> None:
        """What was found in a picture."""

    def fault(self, picture: "NamedPicture", fault: InputError) -> None:  # noqa: B027 - not for all
        """Why nothing can be said of a picture."""

    def __enter__(self) -> Self:
        return self

    def __exit__(  # noqa: B027 - nor is this
        self, kind: Kind, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Ends what was begun; there may be an error."""


def standard_output() -> IO[str]:
    """Where results are printed. While a bar is shown, rich stands in for sys.stdout: what is for a terminal
    goes through it, above the bar, but what is for a pipe or a file must not."""
    plain: IO[str] = getattr(sys.stdout, "rich_proxied_file", sys.stdout)
    return sys.stdout if plain.isatty() else plain


# JSON -------------------------------------------------------------------------------------------------------


class JsonList:
    """A list on standard output, entry by entry; it is valid JSON whenever the work ends between two."""

    def __init__(self) -> None:
        self.is_begun = False

    def add(self, entry: Any) -> None:
        """One more entry."""
        text = indent(json.dumps(entry, indent=2), "  ")
        self.begin().write(text)

    def begin(self) -> IO[str]:
        """Where the next entry is to be written by someone else."""
        output = standard_output()
        output.write(",\n" if self.is_begun else "[\n")
        self.is_begun = True
        return output

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: Kind, error: BaseException | None, trace: TracebackType | None) -> None:
        if self.is_begun and not isinstance(error, BrokenPipeError):
            standard_output().write("\n]\n")


class JsonPredictions(JsonList, Output):
    """The best five classes of each picture, or its boxes, or the error."""

    def __init__(self, predictor: "Predictor") -> None:
        Output.__init__(self, predictor)
        JsonList.__init__(self)

    def found(self, picture: "NamedPicture", seen: "Seen") -> None:
        found = self.predictor.named(seen.prediction)
        self.add({"file": picture.name, "predictions": [prediction.facts for prediction in found]})

    def fault(self, picture: "NamedPicture", fault: InputError) -> None:
        self.add({"file": picture.name, "error": fault.what})


# A table ----------------------------------------------------------------------------------------------------

BOXES = ("picture", "class", "score", "x1", "y1", "x2", "y2")
CLASSES = ("picture", "class", "score", "then")
SYNSETS = ("picture", "wnid", "score", "class")


class Table(Output):
    """A line for each box, or for each picture; for ImageNet's classes, whose names are long, for each of the
    best five. Those of the first batch are held until they show how wide the columns must be.

    Args:
        predictor: whose predictions they are.
        pictures: the names of all.
    """

    def __init__(self, predictor: "Predictor", pictures: Iterable[str]) -> None:
        super().__init__(predictor)
        self.heading = BOXES if self.has_boxes else SYNSETS if predictor.wnids else CLASSES
        self.to_the_right = {"score", *BOXES[3:]}
        self.widths = [cell_len(word) for word in self.heading]
        self.widths[0] = max(map(cell_len, ["picture", *map(one_line, pictures)]))
        self.rows: list[tuple[str, ...]] = []
        self.held = predictor.batch_size
        self.is_begun = False

    def found(self, picture: "NamedPicture", seen: "Seen") -> None:
        self.rows += self.rows_of(one_line(picture.name), seen.prediction)
        self.held -= 1
        if self.held <= 0:
            self.flush()

    def rows_of(self, picture: str, prediction: Any) -> list[tuple[str, ...]]:
        """The cells of one picture."""
        if self.has_boxes:
            boxes = self.predictor.named(prediction, count=1)
            rows = [(picture, b.label, percent(b.score), *(f"{at:.1f}" for at in corners(b))) for b in boxes]
            return rows or [(picture, "nothing", "", "", "", "", "")]
        found = self.predictor.named(prediction)
        if self.predictor.wnids:
            return [(picture, p.wnid or "", percent(p.score), p.label) for p in found]
        others = ", ".join(f"{p.label} {percent(p.score)}" for p in found[1:3])
        return [(picture, found[0].label, percent(found[0].score), others)]

    def flush(self) -> None:
        """Print the rows that are held."""
        if not self.rows:
            return
        for row in self.rows:
            self.widths = [max(width, cell_len(cell)) for width, cell in zip(self.widths, row, strict=True)]
        rows = self.rows if self.is_begun else [self.heading, *self.rows]
        output = standard_output()
        output.write("".join(map(self._line, rows)))
        output.flush()
        self.is_begun, self.rows = True, []

    def _line(self, row: Sequence[str]) -> str:
        cells = []
        for name, cell, width in zip(self.heading, row, self.widths, strict=True):
            space = " " * (width - cell_len(cell))
            cells.append(space + cell if name in self.to_the_right else cell + space)
        return "  ".join(cells).rstrip() + "\n"

    def __exit__(self, kind: Kind, error: BaseException | None, trace: TracebackType | None) -> None:
        if not isinstance(error, BrokenPipeError):
            self.flush()


def corners(box: "LabelScore") -> tuple[float, ...]:
    """x1, y1, x2, y2 in pixels."""
    from striate.predictor import FoundBox

    assert isinstance(box, FoundBox)
    return box.box_xyxy


# CSV --------------------------------------------------------------------------------------------------------

PLAIN: Any = {"encoding": "utf-8", "newline": "", "errors": "surrogateescape"}  # names of files are bytes


class CsvFile(Output):
    """A row for each picture, or for each box, as a file that is there when all is done.

    Columns: path, class, score, where there are boxes x1, y1, x2, y2 in pixels, for ImageNet's classes wnid,
    and error. A picture in which nothing was found has a row with its path alone.

    Raises:
        InputError: there is such a file already, or it cannot be written.
    """

    def __init__(self, predictor: "Predictor", path: Path) -> None:
        super().__init__(predictor)
        if path.exists():
            raise InputError("the file exists already", path, "choose another one with --csv")
        self.path = path
        more = BOXES[3:] if self.has_boxes else ("wnid",) if predictor.wnids else ()
        with self._told():  # nobody else sees this file, and a process that is killed leaves none
            self.rows = tempfile.TemporaryFile("w+", dir=path.parent, **PLAIN)  # noqa: SIM115
        self.writer = csv.DictWriter(self.rows, ["path", "class", "score", *more, "error"])
        self.writer.writeheader()

    def found(self, picture: "NamedPicture", seen: "Seen") -> None:
        found = self.predictor.named(seen.prediction, count=1)
        for best in found:
            row: dict[str, Any] = {"path": picture.name, "class": best.label, "score": round(best.score, 6)}
            if self.has_boxes:
                row |= {name: round(at, 2) for name, at in zip(BOXES[3:], corners(best), strict=True)}
            if best.wnid:
                row["wnid"] = best.wnid
            self._add(row)
        if not found:
            self._add({"path": picture.name})

    def fault(self, picture: "NamedPicture", fault: InputError) -> None:
        self._add({"path": picture.name, "error": fault.what})

    def _add(self, row: dict[str, Any]) -> None:
        with self._told():
            self.writer.writerow(row)

    def __exit__(self, kind: Kind, error: BaseException | None, trace: TracebackType | None) -> None:
        with self._told(), self.rows:
            if kind is None:
                self.rows.seek(0)
                write_atomically(self.path, self._copy)

    def _copy(self, path: Path) -> None:
        with path.open("w", **PLAIN) as file:
            shutil.copyfileobj(self.rows, file)

    @contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except (OSError, UnwrittenError) as error:
            what = error.what if isinstance(error, UnwrittenError) else unwritten(self.path, error).what
            mend = "free some space, or choose another place with --csv"
            raise UnwrittenError(what, self.path, mend) from error


# Drawings ---------------------------------------------------------------------------------------------------


class Drawings(Output):
    """A copy of each picture with its prediction, below ``folder``, in the sub-folder where the picture lies.

    Raises:
        InputError: as ``drawing_names`` and ``save_drawing``.
    """

    def __init__(self, predictor: "Predictor", folder: Path, pictures: "Sequence[NamedPicture]") -> None:
        super().__init__(predictor)
        places = [picture.place for picture in pictures]
        self.folder = folder
        self.names = dict(zip(places, drawing_names(places, folder), strict=True))

    def found(self, picture: "NamedPicture", seen: "Seen") -> None:
        assert seen.pixels is not None
        save_drawing(
            self.predictor.draw(seen.pixels, seen.prediction), self.folder, self.names[picture.place]
        )
