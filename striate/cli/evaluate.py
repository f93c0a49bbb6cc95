"""``striate evaluate``: metrics of a trained network on a split."""

from functools import partial
from pathlib import Path
from typing import Annotated

import typer


def evaluate(
    run: Annotated[Path, typer.Argument(help="The run folder.")],
    data: Annotated[
        str | None, typer.Argument(help="Folder, archive or data set name; the run's own if left out.")
    ] = None,
    split: Annotated[
        str | None, typer.Option(help="train, val, test or all; the test split if left out.")
    ] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, ...")] = "auto",
    workers: Annotated[
        int | None, typer.Option(min=0, help="Processes that decode pictures; the run's own if left out.")
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Measure a trained network on a split of its own or of other data.

    Example: striate evaluate runs/digits --split test
    """
    from striate.cli.output import print_json, print_table
    from striate.report.wording import counted
    from striate.run import load_run

    result = load_run(run, device).evaluate(data, split, workers, partial(typer.echo, err=True))
    if json:
        print_json(result)
        return
    print(f"{counted(result['num_samples'], 'picture')} of the {result['split']} split")
    print_table(
        ("metric", "value"), [(name, f"{value:.4f}") for name, value in result["metrics"].items()], (1,)
    )
