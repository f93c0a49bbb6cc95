"""``striate train``: from pictures to a trained, measured network in a run folder."""

from pathlib import Path
from typing import Annotated, Any

import typer

SETTINGS = {  # the setting of the recipe that each flag stands for
    "data": "data.source",
    "model": "model.name",
    "epochs": "train.epochs",
    "batch_size": "train.batch_size",
    "lr": "optimizer.lr",
    "image_size": "input.size",
    "precision": "train.precision",
    "device": "train.device",
    "workers": "data.workers",
    "seed": "train.seed",
    "strict": "train.strict",
}


def train(
    context: typer.Context,
    data: Annotated[
        str | None, typer.Argument(help="Folder, archive or data set name; the recipe's if left out.")
    ] = None,
    model: Annotated[str | None, typer.Option(help="A network of `striate models`.")] = None,
    out: Annotated[Path | None, typer.Option(help="The run folder to make.")] = None,
    epochs: Annotated[int | None, typer.Option(help="Passes over the training pictures.")] = None,
    batch_size: Annotated[int | None, typer.Option(help="Pictures per step.")] = None,
    lr: Annotated[float | None, typer.Option(help="Peak learning rate.")] = None,
    image_size: Annotated[int | None, typer.Option(help="Side of the network input in pixels.")] = None,
    precision: Annotated[str | None, typer.Option(help="auto, fp32 or bf16.")] = None,
    device: Annotated[str | None, typer.Option(help="auto, cpu, cuda, ...")] = None,
    workers: Annotated[int | None, typer.Option(help="Processes that decode pictures.")] = None,
    seed: Annotated[int | None, typer.Option(help="Of weights, order and augmentation.")] = None,
    config: Annotated[Path | None, typer.Option(help="A recipe: a TOML file with all settings.")] = None,
    change: Annotated[
        list[str] | None, typer.Option("--set", metavar="SECTION.KEY=VALUE", help="Any other setting.")
    ] = None,
    resume: Annotated[
        Path | None, typer.Option(metavar="RUN", help="Go on with a run that was stopped.")
    ] = None,
    strict: Annotated[bool, typer.Option("--strict", help="Stop at a picture that cannot be read.")] = False,
    print_config: Annotated[
        bool, typer.Option("--print-config", help="Print all settings as a recipe, and stop.")
    ] = False,
    json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """Train a network on pictures, measure it, and write its run folder.

    Example: striate train flowers --image-size 64 --epochs 30 --set augment.flip=true
    """
    from striate.recipe import load_recipe, parse_override

    settings: dict[str, Any] = {
        SETTINGS[flag]: value
        for flag, value in context.params.items()
        if flag in SETTINGS and value is not None and value is not False
    }
    settings |= dict(parse_override(text) for text in change or [])
    if print_config:
        typer.echo(load_recipe(config, settings).to_toml(), nl=False)
        return
    _train(data or "", config, settings, out, resume, json)


def _train(
    data: str,
    config: Path | None,
    settings: dict[str, Any],
    out: Path | None,
    resume: Path | None,
    json: bool,
) -> None:
    from striate import api
    from striate.cli.output import percent, print_json
    from striate.cli.progress import TrainingProgress
    from striate.errors import InputError

    if resume and (settings or config or out):
        raise InputError(
            "a resumed run keeps its settings",
            "--resume",
            f"striate train --resume {resume}, and nothing else",
        )
    with TrainingProgress() as progress:
        if resume:
            run = api.resume(resume, watchers=[progress], reading=progress.reading)
        else:
            run = api.train(
                data, out=out, config=config, settings=settings, watchers=[progress], reading=progress.reading
            )
    if json:
        print_json({"run": str(run.path), "results": run.results})
        return
    faults = run.config.data.faults
    for name, what in faults[:10]:
        typer.echo(f"skipped {name}: {what}")
    if len(faults) > 10:
        typer.echo(f"skipped {len(faults) - 10} more; the report names all of them")
    for split, metrics in run.results.items():
        typer.echo(f"{split} accuracy {percent(metrics['accuracy'])}")
    typer.echo(f"run folder   {run.path}")
    typer.echo(f"report       {run.path / 'report.html'}")
