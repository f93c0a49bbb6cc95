"""``striate evaluate``: metrics of a trained network on a split."""

from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer

from striate.cli.train import FromFlag


def evaluate(
    run: Annotated[Path, typer.Argument(help="The run folder.")],
    data: Annotated[
        str | None, typer.Argument(help="Folder, archive or data set name; the run's own if left out.")
    ] = None,
    from_: FromFlag = None,
    split: Annotated[
        str | None, typer.Option(help="train, val, test or all; if left out test, else val.")
    ] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, ...")] = "auto",
    workers: Annotated[
        int | None, typer.Option(min=0, help="Processes that decode pictures; the run's own if left out.")
    ] = None,
    iou: Annotated[
        list[float] | None,
        typer.Option(help="Average precision at this overlap, not 0.50 to 0.95; several times for the mean."),
    ] = None,
    max_detections: Annotated[
        int | None,
        typer.Option(min=1, help="Boxes of a picture and class that count, the surest; 100 if left out."),
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Measure a trained network on a split of its own or of other data.

    Example: striate evaluate runs/digits --split test
    """
    from striate.cli.output import print_json
    from striate.run import load_run

    result = load_run(run, device).evaluate(
        data,
        split,
        workers,
        partial(typer.echo, err=True),
        from_,
        iou_thresholds=iou or (),
        max_detections=max_detections,
    )
    if json:
        print_json(result)
    else:
        _show(result)


def _show(result: dict[str, Any]) -> None:
    from striate.cli.output import print_table
    from striate.errors import counted

    print(f"{counted(result['num_samples'], 'picture')} of the {result['split']} split")
    print_table(
        ("metric", "value"), [(name, f"{value:.4f}") for name, value in result["metrics"].items()], (1,)
    )
    if classes := result.get("classes"):
        print()
        print_table(("class", "AP", "AP@0.5", "objects", "found"), _rows(classes), (1, 2, 3, 4))


def _rows(classes: dict[str, dict[str, Any]]) -> list[tuple[str, ...]]:
    """A line for each class of which there is or was found an object; without objects it has no precision."""
    return [
        (
            name,
            *("" if row[key] is None else f"{row[key]:.4f}" for key in ("ap", "ap_50")),
            *(f"{row[key]:,}" for key in ("objects", "detections")),
        )
        for name, row in classes.items()
        if row["objects"] or row["detections"]
    ]
