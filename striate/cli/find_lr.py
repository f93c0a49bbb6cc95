"""``striate find-lr``: the learning-rate range test of a run, with its picture."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from striate.cli.train import (
    SETTINGS,
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
    SeedFlag,
    TaskFlag,
    WeightsFlag,
    WorkersFlag,
    given_settings,
)

if TYPE_CHECKING:
    from striate.train.range_test import RangeTest

ROWS = 15  # of the table
NUMBERS = "learning-rate.json"


def find_lr(
    context: typer.Context,
    data: DataFlag = None,
    from_: FromFlag = None,
    task: TaskFlag = None,
    model: ModelFlag = None,
    pretrained: PretrainedFlag = False,
    weights: WeightsFlag = None,
    freeze: FreezeFlag = None,
    batch_size: BatchSizeFlag = None,
    image_size: ImageSizeFlag = None,
    precision: PrecisionFlag = None,
    device: DeviceFlag = None,
    workers: WorkersFlag = None,
    seed: SeedFlag = None,
    config: ConfigFlag = None,
    change: ChangeFlag = None,
    low: Annotated[float, typer.Option(help="The first learning rate.")] = 1e-6,
    high: Annotated[float, typer.Option(help="The last one, unless the loss rises before.")] = 10.0,
    steps: Annotated[int, typer.Option(help="How many, each the same factor above the last.")] = 100,
    out: Annotated[
        Path | None, typer.Option(help="A folder for picture and numbers (learning-rate.json).")
    ] = None,
    plot: Annotated[
        Path, typer.Option(help="The picture to make, in --out if named: .png, .svg or .pdf.")
    ] = Path("learning-rate.png"),
    json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """Find a learning rate: train a moment while it rises, and watch the loss.

    The suggestion is half-way, on a logarithmic scale, from the rate at which
    the loss falls fastest to the rate above which it rises. It is good for the
    optimizer, batch size and augmentation that it was found with: none of them
    adapts the rate by itself. Of a run with phases it is the first one's. No
    network is kept: the picture is, and with --out the numbers are as well.

    Example: striate find-lr digits --model lenet5 --set optimizer.name=sgd
    """
    from striate.cli.output import print_json

    settings = given_settings(context.params, change)
    plot = check_places(out, plot)
    found, own = _test(data or "", config, settings, (low, high, steps)), has_own_rate(config, settings)
    command = next_command(context.params, None if own else found.suggestion)
    result = _as_json(found, plot, command)
    _write(found, result, out, plot, f"Range test {settings.get('model.name', '')}".rstrip())
    if json:
        print_json(result)
        return
    _print(found, plot, command, own)


def check_places(out: Path | None, plot: Path) -> Path:
    """Where the picture will be; found out before the work whether it can be made.

    Raises:
        InputError: a file exists, the folder does not, or matplotlib does not know the format.
    """
    from striate.errors import InputError

    if out and out.exists() and not out.is_dir():
        raise InputError("there is a file of that name", out, "choose another folder with --out")
    if out and (out / NUMBERS).exists():
        raise InputError("the numbers exist already", out / NUMBERS, "choose another folder with --out")
    plot = (out or Path()) / plot
    if plot.suffix.lower() not in (".png", ".svg", ".pdf"):
        raise InputError(f"{plot.name} is not a .png, .svg or .pdf", plot, "choose another name with --plot")
    if plot.exists():
        raise InputError("the picture exists already", plot, "remove it, or choose another name with --plot")
    folder = plot.absolute().parent
    if not folder.is_dir() and (out is None or folder != out.absolute()):  # --out is made
        raise InputError("there is no such folder", folder, "make it, or choose another with --plot")
    return plot


def _test(
    data: str, config: Path | None, settings: dict[str, Any], ramp: tuple[float, float, int]
) -> "RangeTest":
    from striate.cli.progress import TrainingProgress
    from striate.learning_rate import Ramp, find_learning_rate

    rising = Ramp(*ramp)
    with TrainingProgress() as progress:
        bars: list[Any] = []

        def after_step(rate: float, loss: float) -> None:
            if not bars:
                progress.remove_bars()  # of pictures that were read
                bars.append(progress.live.add_task("range test", total=rising.steps, note=""))
            progress.live.update(bars[0], advance=1, note=f"lr {rate:.1e} loss {loss:.3f}")

        return find_learning_rate(
            data,
            config=config,
            settings=settings,
            ramp=rising,
            reading=progress.reading,
            after_step=after_step,
        )


def _write(found: "RangeTest", result: dict[str, Any], out: Path | None, plot: Path, title: str) -> None:
    """The picture, and with ``out`` the numbers as well, in that folder."""
    import json

    from striate.files import write_text
    from striate.learning_rate import save_range_test
    from striate.run_folder import unwritable

    if out:
        try:
            out.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise unwritable(out, error) from None
        write_text(out / NUMBERS, json.dumps(result, indent=2) + "\n")
    save_range_test(found, plot, title)


def has_own_rate(config: Path | None, settings: dict[str, Any]) -> bool:
    """Whether the first phase of the recipe names a learning rate, which ``--lr`` does not change."""
    from striate.recipe import load_recipe

    phases = load_recipe(config, settings).train.phases
    return bool(phases) and phases[0].lr is not None


def next_command(given: dict[str, Any], rate: float | None) -> str:
    """The line that trains with what was given to this command, and with the suggested rate if any."""
    import shlex

    words = ["striate", "train", *([given["data"]] if given["data"] else [])]
    for flag in ("config", *SETTINGS):
        value = given.get(flag)
        if flag != "data" and value is not None and value is not False:
            words += [f"--{flag.rstrip('_').replace('_', '-')}", *([] if value is True else [str(value)])]
    for change in given["change"] or []:
        words += ["--set", change]
    return shlex.join(words if rate is None else [*words, "--lr", f"{rate:g}"])


def _as_json(found: "RangeTest", plot: Path, command: str) -> dict[str, Any]:
    from dataclasses import asdict

    return {"suggestion": found.suggestion, "plot": str(plot), "command": command} | asdict(found)


def _print(found: "RangeTest", plot: Path, command: str, own: bool) -> None:
    from striate.cli.output import print_table

    count = len(found.rates)
    shown = {round(row * (count - 1) / (min(ROWS, count) - 1)) for row in range(min(ROWS, count))}
    marked = {found.rates.index(found.steepest): "falls fastest", found.rates.index(found.bound): "lowest"}
    rows = [
        (f"{found.rates[i]:.1e}", f"{found.losses[i]:.4g}", f"{found.smoothed[i]:.4g}", marked.get(i, ""))
        for i in sorted(shown | set(marked))
    ]
    print_table(("learning rate", "loss", "smoothed", ""), rows, numbers=(0, 1, 2))
    typer.echo(f"\nsuggestion   {found.suggestion:g}")
    typer.echo(f"picture      {plot}")
    if own:
        typer.echo(f"the first phase has its own learning rate: write lr = {found.suggestion:g} there, then")
    typer.echo(command)
