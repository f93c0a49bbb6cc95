"""The history of a study as a picture: each trial's result, and the best so far."""

from pathlib import Path

from striate.files import write_atomically
from striate.report.wording import name_in_text
from striate.tune.record import Trial


def save_history(trials: list[Trial], path: Path, monitor: str) -> None:
    """Draw the metric ``monitor`` on the validation split over trials as a .png: of complete and pruned
    ones, and the best so far."""
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    figure = Figure(figsize=(7.0, 4.2), layout="constrained")
    axes = figure.subplots()
    for state, colour, marker in (("complete", "tab:blue", "o"), ("pruned", "0.6", "x")):
        points = [(t.number, t.value) for t in trials if t.state == state and t.value is not None]
        if points:
            axes.scatter(*zip(*points, strict=True), color=colour, marker=marker, label=state)
    complete = [trial for trial in trials if trial.state == "complete" and trial.value is not None]
    if complete:
        best = [max(t.value or 0.0 for t in complete[: i + 1]) for i in range(len(complete))]
        numbers = [trial.number for trial in complete]
        axes.step(numbers, best, where="post", color="tab:orange", label="best so far")
        axes.legend(frameon=False, fontsize="small")
    axes.set(xlabel="trial", ylabel=f"validation {name_in_text(monitor)}")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.spines[["top", "right"]].set_visible(False)
    write_atomically(path, lambda temporary: figure.savefig(temporary, dpi=150))
