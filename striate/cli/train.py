"""``striate train``: from pictures to a trained, measured network in a run folder."""

from pathlib import Path
from typing import Annotated, Any

import typer

SETTINGS = {  # the setting of the recipe that each flag stands for
    "data": "data.source",
    "from_": "data.format",
    "task": "task",
    "model": "model.name",
    "tree": "tree.file",
    "epochs": "train.epochs",
    "batch_size": "train.batch_size",
    "lr": "optimizer.lr",
    "image_size": "input.size",
    "precision": "train.precision",
    "device": "train.device",
    "workers": "data.workers",
    "seed": "train.seed",
    "strict": "train.strict",
    "pretrained": "model.pretrained",
    "weights": "model.weights",
    "freeze": "train.freeze",
    "class_weights": "loss.class_weights",
    "sampling": "data.sampling",
    "mixup": "augment.mixup",
    "cutmix": "augment.cutmix",
    "erase": "augment.erase",
}


TRANSFER, NOISE = "Transfer learning", "Imbalance and noise"  # headings of the help

DataFlag = Annotated[
    str | None,
    typer.Argument(metavar="DATA", help="Folder, archive or data set name; the recipe's if left out."),
]
FromFlag = Annotated[
    str | None, typer.Option("--from", metavar="FORMAT", help="How DATA are read; else the files tell it.")
]
TaskFlag = Annotated[
    str | None,
    typer.Option(help="classification, localization or detection; what the data are for if left out."),
]
ModelFlag = Annotated[str | None, typer.Option(help="A network, or a detector, of `striate models`.")]
TreeFlag = Annotated[
    str | None,
    typer.Option(metavar="FILE", help="Classes are nodes of this tree: a line each, NAME PARENT."),
]
OutFlag = Annotated[Path | None, typer.Option(help="The run folder to make.")]
PretrainedFlag = Annotated[
    bool,
    typer.Option(
        "--pretrained", help="Start from the network's published weights.", rich_help_panel=TRANSFER
    ),
]
WeightsFlag = Annotated[
    str | None,
    typer.Option(
        metavar="RUN|FILE", help="Start from the weights of a run or a file.", rich_help_panel=TRANSFER
    ),
]
FreezeFlag = Annotated[
    str | None,
    typer.Option(
        metavar="WHAT", help="Hold still: backbone, all up to a STAGE, or none.", rich_help_panel=TRANSFER
    ),
]
EpochsFlag = Annotated[int | None, typer.Option(help="Passes over the training pictures.")]
BatchSizeFlag = Annotated[str | None, typer.Option(help="Pictures per step; auto: as many as memory holds.")]
LrFlag = Annotated[float | None, typer.Option(help="Peak learning rate.")]
ImageSizeFlag = Annotated[int | None, typer.Option(help="Side of the network input in pixels.")]
PrecisionFlag = Annotated[str | None, typer.Option(help="auto, fp32 or bf16.")]
DeviceFlag = Annotated[str | None, typer.Option(help="auto, cpu, cuda, ...")]
WorkersFlag = Annotated[int | None, typer.Option(help="Processes that decode pictures.")]
SeedFlag = Annotated[int | None, typer.Option(help="Of weights, order and augmentation.")]
ClassWeightsFlag = Annotated[
    str | None,
    typer.Option(metavar="balanced", help="Rare classes weigh more in the loss.", rich_help_panel=NOISE),
]
SamplingFlag = Annotated[
    str | None,
    typer.Option(metavar="balanced", help="Each class equally often in an epoch.", rich_help_panel=NOISE),
]
MixupFlag = Annotated[
    float | None, typer.Option(help="Blend pictures and labels; 0.2 is usual.", rich_help_panel=NOISE)
]
CutmixFlag = Annotated[
    float | None,
    typer.Option(help="Paste a part of another picture, labels too; 1.0 is usual.", rich_help_panel=NOISE),
]
EraseFlag = Annotated[
    float | None,
    typer.Option(help="Probability of blotting a rectangle out; 0.25 is usual.", rich_help_panel=NOISE),
]
ConfigFlag = Annotated[Path | None, typer.Option(help="A recipe: a TOML file with all settings.")]
ChangeFlag = Annotated[
    list[str] | None, typer.Option("--set", metavar="SECTION.KEY=VALUE", help="Any other setting.")
]
ResumeFlag = Annotated[
    Path | None,
    typer.Option(metavar="RUN", help="Go on with a run that was stopped; DATA: where its data are now."),
]
StrictFlag = Annotated[bool, typer.Option("--strict", help="Stop at a picture that cannot be read.")]
PrintConfigFlag = Annotated[
    bool,
    typer.Option("--print-config", help="Print all settings as a recipe, with DATA those for it, and stop."),
]
JsonFlag = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]


def train(
    context: typer.Context,
    data: DataFlag = None,
    from_: FromFlag = None,
    task: TaskFlag = None,
    model: ModelFlag = None,
    tree: TreeFlag = None,
    out: OutFlag = None,
    pretrained: PretrainedFlag = False,
    weights: WeightsFlag = None,
    freeze: FreezeFlag = None,
    epochs: EpochsFlag = None,
    batch_size: BatchSizeFlag = None,
    lr: LrFlag = None,
    image_size: ImageSizeFlag = None,
    precision: PrecisionFlag = None,
    device: DeviceFlag = None,
    workers: WorkersFlag = None,
    seed: SeedFlag = None,
    class_weights: ClassWeightsFlag = None,
    sampling: SamplingFlag = None,
    mixup: MixupFlag = None,
    cutmix: CutmixFlag = None,
    erase: EraseFlag = None,
    config: ConfigFlag = None,
    change: ChangeFlag = None,
    resume: ResumeFlag = None,
    strict: StrictFlag = False,
    print_config: PrintConfigFlag = False,
    json: JsonFlag = False,
) -> None:
    """Train a network on pictures, measure it, and write its run folder.

    Example: striate train flowers --image-size 64 --epochs 30 --set augment.flip=true

    Example: striate train cells.zip --task detection --model yolo_light
    """
    settings = given_settings(context.params, change)
    if print_config:
        typer.echo(_printed(config, settings), nl=False)
        return
    _train(data or "", config, settings, out, resume, json)


def _printed(config: Path | None, settings: dict[str, Any]) -> str:
    """The recipe as TOML: with data what they mean for it, without data the defaults, of its task if any."""
    from striate.recipe import load_recipe

    recipe = load_recipe(config, settings)
    if recipe.data.source:
        from striate.data.load import load_data
        from striate.settle import resolve_recipe, spelled_out

        recipe = resolve_recipe("", None, recipe, None)
        recipe = spelled_out(recipe, load_data(recipe.data.source))
    elif recipe.task:
        from striate.settle import of_task

        recipe = of_task(recipe, recipe.task)
    return recipe.to_toml()


def given_settings(params: dict[str, Any], change: list[str] | None) -> dict[str, Any]:
    """What the flags of a command and its ``--set`` say, by dotted name of the setting.

    Raises:
        InputError: a ``--set`` that cannot be read.
    """
    from striate.recipe import parse_override

    settings: dict[str, Any] = {
        SETTINGS[flag]: value
        for flag, value in params.items()
        if flag in SETTINGS and value is not None and value is not False
    }
    return settings | dict(parse_override(text) for text in change or [])


def _train(
    data: str,
    config: Path | None,
    settings: dict[str, Any],
    out: Path | None,
    resume: Path | None,
    json: bool,
) -> None:
    from striate import api
    from striate.cli.output import headline, print_json
    from striate.cli.progress import TrainingProgress
    from striate.errors import InputError
    from striate.run_folder import resume_command
    from striate.train.distributed import read_environment

    workers = settings.pop("data.workers", None) if resume else None  # no result depends on them
    moved = settings.pop("data.source", None) if resume else None
    if resume and (settings or config or out):
        raise InputError(
            "a resumed run keeps its settings: beside it only DATA, where they were moved, and --workers "
            "may be named",
            "--resume",
            resume_command(resume, moved or ""),
        )
    is_first = read_environment().is_first  # of torchrun's processes: the one that speaks
    with TrainingProgress(quiet=not is_first) as progress:
        if resume:
            run = api.resume(resume, [progress], progress.reading, workers, moved)
        else:
            run = api.train(
                data, out=out, config=config, settings=settings, watchers=[progress], reading=progress.reading
            )
    if not is_first:
        return
    if json:
        print_json({"run": str(run.path), "results": run.results})
        return
    faults = run.config.data.faults
    for name, what in faults[:10]:
        typer.echo(f"skipped {name}: {what}")
    if len(faults) > 10:
        typer.echo(f"skipped {len(faults) - 10} more; the report names all of them")
    for split, metrics in run.results.items():
        typer.echo(f"{split} {headline(metrics)}")
    typer.echo(f"run folder   {run.path}")
    typer.echo(f"report       {run.path / 'report.html'}")
