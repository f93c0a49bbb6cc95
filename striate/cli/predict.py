"""``striate predict``: what a trained network sees in pictures."""

from pathlib import Path
from typing import Annotated

import typer


def predict(
    run: Annotated[Path, typer.Argument(help="The run folder.")],
    pictures: Annotated[list[Path], typer.Argument(help="Picture files.")],
    draw: Annotated[
        Path | None, typer.Option(help="Folder for copies of the pictures with the predictions below.")
    ] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, ...")] = "auto",
    json: Annotated[bool, typer.Option("--json", help="Print JSON, the best five classes each.")] = False,
) -> None:
    """Name what is in pictures, with probabilities.

    Example: striate predict runs/digits seven.png --draw drawn
    """
    from striate.cli.output import percent, print_json, print_table
    from striate.run import load_run

    loaded = load_run(run, device)
    predictions = loaded.predict_all(pictures)
    if draw:
        loaded.draw_all(pictures, draw)
    if json:
        print_json(
            [
                {"file": str(file), "predictions": [{"class": p.label, "score": p.score} for p in scores]}
                for file, scores in zip(pictures, predictions, strict=True)
            ]
        )
        return
    rows = []
    for file, scores in zip(pictures, predictions, strict=True):
        others = ", ".join(f"{p.label} {percent(p.score)}" for p in scores[1:3])
        rows.append((str(file), scores[0].label, percent(scores[0].score), others))
    print_table(("picture", "class", "score", "then"), rows, numbers=(2,))
