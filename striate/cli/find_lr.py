"""``striate find-lr``: the learning-rate range test of a run, with its picture."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from striate.train.range_test import RangeTest

SETTINGS = {  # the setting of the recipe that each flag stands for
    "model": "model.name",
    "batch_size": "train.batch_size",
    "image_size": "input.size",
    "device": "train.device",
    "seed": "train.seed",
}
ROWS = 15  # of the table


def find_lr(
    context: typer.Context,
    data: Annotated[
        str | None, typer.Argument(help="Folder, archive or data set name; the recipe's if left out.")
    ] = None,
    model: Annotated[str | None, typer.Option(help="A network of `striate models`.")] = None,
    batch_size: Annotated[str | None, typer.Option(help="Pictures per step, or auto.")] = None,
    image_size: Annotated[int | None, typer.Option(help="Side of the network input in pixels.")] = None,
    device: Annotated[str | None, typer.Option(help="auto, cpu, cuda, ...")] = None,
    seed: Annotated[int | None, typer.Option(help="Of weights, order and augmentation.")] = None,
    config: Annotated[Path | None, typer.Option(help="A recipe: a TOML file with all settings.")] = None,
    change: Annotated[
        list[str] | None, typer.Option("--set", metavar="SECTION.KEY=VALUE", help="Any other setting.")
    ] = None,
    low: Annotated[float, typer.Option(help="The first learning rate.")] = 1e-6,
    high: Annotated[float, typer.Option(help="The last one, unless the loss rises before.")] = 10.0,
    steps: Annotated[int, typer.Option(help="How many, each the same factor above the last.")] = 100,
    plot: Annotated[Path, typer.Option(help="The picture to make: .png, .svg or .pdf.")] = Path(
        "learning-rate.png"
    ),
    json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """Find a learning rate: train a moment while it rises, and watch the loss.

    The suggestion is half-way, on a logarithmic scale, from the rate at which
    the loss falls fastest to the rate above which it rises. It is good for the
    optimizer, batch size and augmentation that it was found with: none of them
    adapts the rate by itself. No network is kept.

    Example: striate find-lr digits --model lenet5 --set optimizer.name=sgd
    """
    from striate.recipe import parse_override

    settings: dict[str, Any] = {
        SETTINGS[flag]: value
        for flag, value in context.params.items()
        if flag in SETTINGS and value is not None
    }
    settings |= dict(parse_override(text) for text in change or [])
    check_plot(plot)
    found = _test(data or "", config, settings, (low, high, steps), plot)
    command = next_command(context.params, found.suggestion)
    if json:
        _print_json(found, plot, command)
    else:
        _print(found, plot, command)


def check_plot(plot: Path) -> None:
    """Find out before the work whether the picture can be made.

    Raises:
        InputError: the file exists, its folder does not, or matplotlib does not know the format.
    """
    from striate.errors import InputError

    if plot.suffix.lower() not in (".png", ".svg", ".pdf"):
        raise InputError(f"{plot.name} is not a .png, .svg or .pdf", plot, "choose another name with --plot")
    if plot.exists():
        raise InputError("the picture exists already", plot, "remove it, or choose another name with --plot")
    if not plot.absolute().parent.is_dir():
        raise InputError("there is no such folder", plot.absolute().parent, "make it, or choose another")


def _test(
    data: str, config: Path | None, settings: dict[str, Any], ramp: tuple[float, float, int], plot: Path
) -> "RangeTest":
    from striate.cli.progress import TrainingProgress
    from striate.learning_rate import Ramp, find_learning_rate, save_range_test

    rising = Ramp(*ramp)
    with TrainingProgress() as progress:
        bars: list[Any] = []

        def after_step(rate: float, loss: float) -> None:
            if not bars:
                bars.append(progress.live.add_task("range test", total=rising.steps, note=""))
            progress.live.update(bars[0], advance=1, note=f"lr {rate:.1e} loss {loss:.3f}")

        found = find_learning_rate(
            data,
            config=config,
            settings=settings,
            ramp=rising,
            reading=progress.reading,
            after_step=after_step,
        )
    save_range_test(found, plot, f"Range test {settings.get('model.name', '')}")
    return found


def next_command(given: dict[str, Any], rate: float) -> str:
    """The line that trains with what was given to this command and the suggested rate."""
    import shlex

    words = ["striate", "train", *([given["data"]] if given["data"] else [])]
    for flag in ("config", *SETTINGS):
        if given[flag] is not None:
            words += [f"--{flag.replace('_', '-')}", str(given[flag])]
    for change in given["change"] or []:
        words += ["--set", change]
    return shlex.join([*words, "--lr", f"{rate:g}"])


def _print_json(found: "RangeTest", plot: Path, command: str) -> None:
    from dataclasses import asdict

    from striate.cli.output import print_json

    marks = {"suggestion": found.suggestion, "plot": str(plot), "command": command}
    print_json(marks | asdict(found))


def _print(found: "RangeTest", plot: Path, command: str) -> None:
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
    typer.echo(command)
