"""``striate tune``: hyper-parameter search, with Optuna."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from striate.cli.train import (
    BatchSizeFlag,
    ChangeFlag,
    ConfigFlag,
    DataFlag,
    DeviceFlag,
    FreezeFlag,
    FromFlag,
    ImageSizeFlag,
    ModelFlag,
    PrecisionFlag,
    PretrainedFlag,
    TaskFlag,
    WeightsFlag,
    WorkersFlag,
    given_settings,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

    from striate.recipe import Recipe
    from striate.tune import Study, Trial

SHOWN = 5  # trials


def tune(
    context: typer.Context,
    data: DataFlag = None,
    from_: FromFlag = None,
    task: TaskFlag = None,
    model: ModelFlag = None,
    pretrained: PretrainedFlag = False,
    weights: WeightsFlag = None,
    freeze: FreezeFlag = None,
    trials: Annotated[int, typer.Option(help="How many the study shall have.")] = 20,
    epochs: Annotated[
        int | None, typer.Option(help="Of each trial; best.toml trains as long as the recipe says.")
    ] = None,
    batch_size: BatchSizeFlag = None,
    image_size: ImageSizeFlag = None,
    precision: PrecisionFlag = None,
    device: DeviceFlag = None,
    workers: WorkersFlag = None,
    seed: Annotated[int | None, typer.Option(help="Of proposals, weights, order, augmentation.")] = None,
    space: Annotated[
        list[str] | None,
        typer.Option(metavar="KEY=LOW:HIGH[:log]", help="A setting to try, or KEY=A,B,C; more than once."),
    ] = None,
    config: ConfigFlag = None,
    change: ChangeFlag = None,
    out: Annotated[Path | None, typer.Option(help="The folder of the study.")] = None,
    json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """Search for better settings: short runs, compared on the validation split.

    Without --space: learning rate, weight decay, shift; of classifiers also
    rotation and label smoothing, where there are boxes zoom, and the weight of
    the box or mosaic. Compared by accuracy, mean IoU or mAP. Trials worse than
    most are stopped early. The same command goes on with a study that was
    stopped, or that is to have more --trials. The test split has no say. Needs
    pip install 'striate\\[tune]'.

    Example: striate tune digits --model lenet5 --trials 20 --epochs 5

    Example: striate tune cells --task detection --batch-size 8 --trials 20
    """
    from striate.cli.output import print_json

    settings = given_settings(context.params, change)
    study = _search(data or "", *_with_length(config, settings, epochs), space or [], trials, out)
    if json:
        print_json(_as_json(study))
    else:
        _print(study)


def _with_length(
    config: Path | None, settings: dict[str, Any], epochs: int | None
) -> "tuple[Path | Recipe | None, dict[str, Any]]":
    """The recipe, whose epochs ``--set`` may change, and the settings of trials, of ``--epochs`` each."""
    from striate.recipe import load_recipe

    if settings.get("train.epochs", epochs) == epochs:
        return config, settings
    recipe = load_recipe(config, {"train.epochs": settings.pop("train.epochs")})
    return recipe, settings | ({} if epochs is None else {"train.epochs": epochs})


def _search(
    data: str,
    config: "Path | Recipe | None",
    settings: dict[str, Any],
    space: list[str],
    trials: int,
    out: Path | None,
) -> "Study":
    from striate import tune as tuning
    from striate.cli.output import measured
    from striate.cli.progress import TrainingProgress, fold

    class Progress(TrainingProgress):
        """One line per trial; in a terminal also a bar per epoch."""

        def start(self, state: Any, epochs: int, steps_per_epoch: int, note: str) -> None:
            self.remove_bars()
            self.epochs, self.steps_per_epoch = epochs, steps_per_epoch

        def phase(self, state: Any, note: str) -> None:
            """Trials are many; their phases are not told."""

        def epoch(self, row: dict[str, Any]) -> None:
            self.remove_bars()
            self.bar = None

        def after_trial(self, trial: "Trial", monitor: str) -> None:
            self.remove_bars()
            self.bar = None
            result = "failed: " + trial.fault if trial.value is None else measured(monitor, trial.value)
            pruned = " (pruned)" if trial.state == "pruned" else ""
            names = short_names(trial.settings)
            values = "  ".join(f"{names[key]}={_show(value)}" for key, value in trial.settings.items())
            line = f"trial {trial.number:3d}/{trials}   {result}{pruned}   {values}"
            self.console.print(fold(line, self.console), markup=False, soft_wrap=True)

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
    from striate.cli.output import measured, print_table
    from striate.report.wording import counted, name_in_text
    from striate.tune.record import HISTORY, ranked

    monitor, loss = study.task.monitor, study.task.loss_between_runs
    keys = list(study.best.settings)
    names = short_names(keys)
    rows = [
        (
            str(trial.number),
            measured(monitor, trial.value or 0.0),
            f"{trial.loss:.4f}",
            *(_show(trial.settings[key]) for key in keys),
        )
        for trial in ranked(study.trials)[:SHOWN]
    ]
    headings = [names[key].replace("_", " ") for key in keys]  # a narrow terminal breaks them at spaces
    columns = ("trial", f"val {name_in_text(monitor)}", name_in_text(loss), *headings)
    print_table(columns, rows, numbers=range(len(columns)))
    counts = {state: sum(t.state == state for t in study.trials) for state in ("pruned", "failed")}
    others = "".join(f", {count} {state}" for state, count in counts.items() if count)
    typer.echo(f"\n{counted(len(study.trials), 'trial')}{others}")
    if study.importance:
        shares = ", ".join(f"{names[key]} {share:.0%}" for key, share in study.importance.items())
        typer.echo(f"importance   {shares}")
    typer.echo(f"history      {study.folder / HISTORY}")
    typer.echo(f"striate train --config {study.recipe}")


def _as_json(study: "Study") -> dict[str, Any]:
    from dataclasses import asdict

    from striate.tune.record import HISTORY

    return {
        "task": study.task.name,
        "monitor": study.task.monitor,
        "best": asdict(study.best),
        "recipe": str(study.recipe),
        "history": str(study.folder / HISTORY),
        "importance": study.importance,
        "trials": [asdict(trial) for trial in study.trials],
    }


def short_names(keys: "Iterable[str]") -> dict[str, str]:
    """Settings without their section, where that is clear: lr, but optimizer.name beside model.name."""
    last = {key: key.rpartition(".")[2] for key in keys}
    return {key: name if list(last.values()).count(name) == 1 else key for key, name in last.items()}


def _show(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)
