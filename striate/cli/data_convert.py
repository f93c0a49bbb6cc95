"""``striate data convert``: a data set in another format."""

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from striate.data.convert import Conversion

SHOWN = 5  # pictures left out that are named; --json has all


def convert(
    data: Annotated[
        str, typer.Argument(metavar="DATA", help="Folder, archive, data set name or address of shards.")
    ],
    out: Annotated[Path, typer.Argument(metavar="OUT", help="The folder to make.")],
    to: Annotated[str, typer.Option(help="image-folder, idx or tar-shards.")],
    split: Annotated[
        str | None, typer.Option(help="Only this split, as a set of its own: train, val, test.")
    ] = None,
    shard_mb: Annotated[int, typer.Option(min=1, help="Size of a tar shard in MiB.")] = 256,
    strict: Annotated[bool, typer.Option("--strict", help="Stop at a picture that cannot be read.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Write a data set as class folders, MNIST's IDX files or tar shards; picture files keep their bytes.

    Example: striate data convert mnist mnist-folder --to image-folder
    """
    from striate.cli.progress import TrainingProgress
    from striate.data import convert as conversion
    from striate.data.load import load_data

    dataset = load_data(data)
    if split is not None:
        dataset = conversion.only_split(dataset, split)
    with TrainingProgress() as progress:
        done = conversion.convert(
            dataset, out, to, shard_bytes=shard_mb << 20, strict=strict, reading=progress.reading
        )
    show(done, json, trains=split is None)


def show(done: "Conversion", json: bool, trains: bool = True) -> None:
    """Print what was written, what was left out, what else a person should know, and how to train on it."""
    from striate.cli.output import print_json
    from striate.data.dataset import POOL

    if json:
        print_json(done.facts())
        return
    counts = ", ".join(f"{n:,} {'pictures' if name == POOL else name}" for name, n in done.counts.items())
    print(f"{done.out}: {done.format}")
    print(f"{counts}; {len(done.classes)} classes, {done.files:,} files, {done.bytes / 1e6:,.1f} MB")
    for note in done.notes:
        print(note)
    if done.left_out:
        print(f"left out, because they cannot be read: {len(done.left_out):,}")
        for fault in done.left_out[:SHOWN]:
            print(f"  {fault.name}: {fault.what}")
        if len(done.left_out) > SHOWN:
            print("  ... (--json names all)")
    if trains:
        print(shlex.join(["striate", "train", str(done.out)]))
