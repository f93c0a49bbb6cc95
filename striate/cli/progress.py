"""Progress of a training run: bars in a terminal, plain lines elsewhere."""

import sys
from collections.abc import Callable
from textwrap import fill
from types import TracebackType
from typing import Any, Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from striate.cli.output import short_headline
from striate.train.checkpoint import TrainingState


def fold(line: str, console: Console) -> str:
    """``line`` folded between words where it is too wide for a terminal; a log keeps it whole."""
    if not console.is_terminal:
        return line
    return fill(line, console.width, subsequent_indent=" " * 14, break_on_hyphens=False)


class TrainingProgress:
    """Watches a run on standard error: one bar per split read and per epoch, one line per epoch done."""

    def __init__(self, quiet: bool = False) -> None:
        self.console = Console(stderr=True, highlight=False, quiet=quiet)
        self.live = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[note]}"),
            console=self.console,
            transient=True,
            disable=quiet or not sys.stderr.isatty(),
        )
        self.bar: Any = None
        self.epochs = 0
        self.steps_per_epoch = 0

    def __enter__(self) -> Self:
        self.live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.live.stop()

    def watch(self, what: str, count: int) -> Callable[[int], None]:
        """A bar for something that is done ``count`` times; to be told how many times it was just done."""
        bar = self.live.add_task(what, total=count, note="")
        return lambda done: self.live.advance(bar, done)

    def reading(self, split: str, count: int) -> Callable[[int], None]:
        """A bar for the pictures of a split."""
        return self.watch(f"reading {split}", count)

    def start(self, state: TrainingState, epochs: int, steps_per_epoch: int, note: str) -> None:
        """Says what is about to be trained."""
        self.remove_bars()
        self.epochs, self.steps_per_epoch = epochs, steps_per_epoch
        self.console.print(note, markup=False, soft_wrap=True)

    def phase(self, state: TrainingState, note: str) -> None:
        """Says what the phase trains."""
        self.console.print(note, markup=False, soft_wrap=True)

    def step(self, state: TrainingState, loss: float) -> None:
        """Moves the epoch's bar."""
        if self.bar is None:
            self.remove_bars()  # of features that were computed
            self.bar = self.live.add_task("epoch", total=self.steps_per_epoch, note="")
        self.live.update(
            self.bar,
            description=f"epoch {state.epoch + 1}/{self.epochs}",
            completed=state.batch,
            note=f"loss {loss:.3f}",
        )

    def epoch(self, row: dict[str, Any]) -> None:
        """One line for an epoch that is done, of at most 80 columns."""
        if self.bar is not None:
            self.live.remove_task(self.bar)
            self.bar = None
        line = f"epoch {row['epoch']:3d}/{self.epochs}"
        for split in ("train", "val"):
            if split in row:
                line += f"   {split} loss {row[split]['loss']:.4f}{short_headline(row[split])}"
        self.console.print(line, markup=False, soft_wrap=True)

    def remove_bars(self) -> None:
        """Takes away what has been done."""
        for bar in self.live.task_ids:
            self.live.remove_task(bar)
