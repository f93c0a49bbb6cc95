"""Training curves for TensorBoard."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from striate.errors import InputError
from striate.files import unwritten

if TYPE_CHECKING:
    from striate.train.checkpoint import TrainingState


def check_tensorboard() -> None:
    """Find out early whether ``TensorBoardLogger`` can be used.

    Raises:
        InputError: TensorBoard is not installed.
    """
    try:
        import torch.utils.tensorboard  # noqa: F401 - slow to import, and an extra
    except ImportError as error:
        raise InputError(
            "TensorBoard is not installed", "train.tensorboard", "pip install 'striate[logging]'"
        ) from error


class TensorBoardLogger:
    """Writes the rows of metrics.jsonl as TensorBoard scalars.

    Args:
        folder: where the event file goes; made if absent.

    Raises:
        InputError: TensorBoard is not installed, or the folder cannot be written.
    """

    def __init__(self, folder: Path) -> None:
        check_tensorboard()
        from torch.utils.tensorboard import SummaryWriter

        self.folder = folder
        with self._told():
            self._writer = SummaryWriter(str(folder))

    def log(self, row: Mapping[str, Any]) -> None:
        """Write every number of ``row`` at its ``step``: ``{"val": {"loss": 0.4}}`` becomes ``val/loss``.

        The row is on disk when this returns, so a killed run keeps what it has logged.
        """
        with self._told():
            for tag, value in _scalars(row):
                if tag != "step":
                    self._writer.add_scalar(tag, value, row["step"])
            self._writer.flush()

    def start(self, state: "TrainingState", epochs: int, steps_per_epoch: int, note: str) -> None:
        """Nothing is measured before the first epoch."""

    def phase(self, state: "TrainingState", note: str) -> None:
        """A row says which phase it belongs to."""

    def step(self, state: "TrainingState", loss: float) -> None:
        """Single steps are not logged: an epoch's mean says more and costs nothing."""

    def epoch(self, row: dict[str, Any]) -> None:
        """Log the row of a finished epoch."""
        self.log(row)

    def close(self) -> None:
        """Finish the event file."""
        self._writer.close()

    @contextmanager
    def _told(self) -> Iterator[None]:
        """TensorBoard's own error does not say which folder it is."""
        try:
            yield
        except OSError as error:
            raise unwritten(self.folder, error) from error


def _scalars(row: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, float]]:
    for key, value in row.items():
        if isinstance(value, Mapping):
            yield from _scalars(value, f"{prefix}{key}/")
        else:
            yield f"{prefix}{key}", value
