"""``striate tune``: hyper-parameter search, with Optuna."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from striate.tune import Study, Trial

SETTINGS = {  # the setting of the recipe that each flag stands for
    "model": "model.name",
    "epochs": "train.epochs",
    "batch_size": "train.batch_size",
    "image_size": "input.size",
    "device": "train.device",
    "seed": "train.seed",
}
SHOWN = 5  # trials


def tune(
    context: typer.Context,
    data: Annotated[
        str | None, typer.Argument(help="Folder, archive or data set name; the recipe's if left out.")
    ] = None,
    model: Annotated[str | None, typer.Option(help="A network of `striate models`.")] = None,
    trials: Annotated[int, typer.Option(help="How many the study shall have.")] = 20,
    epochs: Annotated[int | None, typer.Option(help="Of each trial.")] = None,
    batch_size: Annotated[str | None, typer.Option(help="Pictures per step, or auto.")] = None,
    image_size: Annotated[int | None, typer.Option(help="Side of the network input in pixels.")] = None,
    device: Annotated[str | None, typer.Option(help="auto, cpu, cuda, ...")] = None,
    seed: Annotated[int | None, typer.Option(help="Of proposals, weights, order, augmentation.")] = None,
    space: Annotated[
        list[str] | None,
        typer.Option(metavar="KEY=LOW:HIGH[:log]", help="A setting to try, or KEY=A,B,C; more than once."),
    ] = None,
    config: Annotated[Path | None, typer.Option(help="A recipe: a TOML file with all settings.")] = None,
    change: Annotated[
        list[str] | None, typer.Option("--set", metavar="SECTION.KEY=VALUE", help="Any other setting.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="The folder of the study.")] = None,
    json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """Search for better settings: short runs, compared on the validation split.

    Without --space: learning rate, weight decay, label smoothing, shift and
    rotation. Trials worse than most are stopped early. The same command goes
    on with a study that was stopped, or that is to have more --trials. The
    test split has no say. Needs pip install 'striate[tune]'.

    Example: striate tune digits --model lenet5 --trials 20 --epochs 5
    """
    from striate.cli.output import print_json
    from striate.recipe import parse_override

    settings: dict[str, Any] = {
        SETTINGS[flag]: value
        for flag, value in context.params.items()
        if flag in SETTINGS and value is not None
    }
    settings |= dict(parse_override(text) for text in change or [])
    study = _search(data or "", config, settings, space or [], trials, out)
    if json:
        print_json(_as_json(study))
    else:
        _print(study)


def _search(
    data: str,
    config: Path | None,
    settings: dict[str, Any],
    space: list[str],
    trials: int,
    out: Path | None,
) -> "Study":
    from striate import tune as tuning
    from striate.cli.output import percent
    from striate.cli.progress import TrainingProgress

    class Progress(TrainingProgress):
        """One line per trial; in a terminal also a bar per epoch."""

        def start(self, state: Any, epochs: int, steps_per_epoch: int, note: str) -> None:
            self._remove_bars()
            self.epochs, self.steps_per_epoch = epochs, steps_per_epoch

        def phase(self, state: Any, note: str) -> None:
            """Trials are many; their phases are not told."""

        def epoch(self, row: dict[str, Any]) -> None:
            self._remove_bars()
            self.bar = None

        def after_trial(self, trial: "Trial") -> None:
            self._remove_bars()
            self.bar = None
            result = "failed: " + trial.fault if trial.value is None else percent(trial.value)
            pruned = " (pruned)" if trial.state == "pruned" else ""
            values = "  ".join(f"{_short(key)} {_show(value)}" for key, value in trial.settings.items())
            line = f"trial {trial.number:3d}/{trials}   {result}{pruned}   {values}"
            self.console.print(line, markup=False, soft_wrap=True)

    with Progress() as progress:
        return tuning.tune(
            data,
            out=out,
            config=config,
            settings=settings,
            space=space,
            trials=trials,
            watchers=[progress],
            reading=progress.reading,
            after_trial=progress.after_trial,
        )


def _print(study: "Study") -> None:
    from striate.cli.output import percent, print_table
    from striate.tune.record import HISTORY, ranked

    keys = list(study.best.settings)
    rows = [
        (
            str(trial.number),
            percent(trial.value or 0.0),
            f"{trial.log_loss:.4f}",
            *(_show(trial.settings[key]) for key in keys),
        )
        for trial in ranked(study.trials)[:SHOWN]
    ]
    columns = ("trial", "val accuracy", "log loss", *map(_short, keys))
    print_table(columns, rows, numbers=range(len(columns)))
    counts = {state: sum(t.state == state for t in study.trials) for state in ("pruned", "failed")}
    others = "".join(f", {count} {state}" for state, count in counts.items() if count)
    typer.echo(f"\n{len(study.trials)} trials{others}")
    if study.importance:
        shares = ", ".join(f"{_short(key)} {share:.0%}" for key, share in study.importance.items())
        typer.echo(f"importance   {shares}")
    typer.echo(f"history      {study.folder / HISTORY}")
    typer.echo(f"striate train --config {study.recipe}")


def _as_json(study: "Study") -> dict[str, Any]:
    from dataclasses import asdict

    from striate.tune.record import HISTORY

    return {
        "best": asdict(study.best),
        "recipe": str(study.recipe),
        "history": str(study.folder / HISTORY),
        "importance": study.importance,
        "trials": [asdict(trial) for trial in study.trials],
    }


def _short(key: str) -> str:
    return key.rpartition(".")[2]


def _show(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)
