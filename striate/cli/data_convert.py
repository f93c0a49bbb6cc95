"""``striate data convert``: a data set in another format."""

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from striate.cli.train import FromFlag
from striate.errors import counted

if TYPE_CHECKING:
    from striate.data.convert import Conversion
    from striate.data.convert_boxes import BoxConversion
    from striate.data.dataset import Dataset

SHOWN = 5  # pictures left out that are named; --json has all
SHOWN_PROBLEMS = 20
SHARD_MB = 256


def convert(
    data: Annotated[
        str, typer.Argument(metavar="DATA", help="Folder, archive, data set name or address of shards.")
    ],
    out: Annotated[Path, typer.Argument(metavar="OUT", help="The folder to make.")],
    to: Annotated[
        str | None,
        typer.Option(
            "--to",
            "--format",
            help="image-folder, idx or tar-shards; of boxes: voc, coco, yolo, via, label-studio, labelme, "
            "cvat, csv, or the format they are in if left out.",
        ),
    ] = None,
    split: Annotated[
        str | None, typer.Option(help="Only this split, as a set of its own: train, val, test.")
    ] = None,
    shard_mb: Annotated[
        int | None, typer.Option(min=1, help=f"Size of a tar shard in MiB.  [default: {SHARD_MB}]")
    ] = None,
    strict: Annotated[bool, typer.Option("--strict", help="Stop at a picture that cannot be read.")] = False,
    source_format: FromFlag = None,
    fix: Annotated[
        bool, typer.Option("--fix", help="Mend boxes in the new folder where that is safe.")
    ] = False,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Write a data set in another format: class folders, IDX files, tar shards, or labelled boxes.

    Picture files keep their bytes, and the data that are read are never changed.

    Example: striate data convert mnist mnist-folder --to image-folder
    """
    from striate.data.convert_boxes import BOX_FORMATS
    from striate.data.formats.annotations import READERS
    from striate.data.load import load_data

    to = to or _own_format(data, source_format)
    if to in (*BOX_FORMATS, *READERS):
        refuse({"--split": split is not None, "--shard-mb": shard_mb is not None, "--strict": strict}, to)
        _convert_boxes(data, out, to, source_format, fix, json)
        return
    refuse({"--fix": fix}, to)
    _convert_pictures(load_data(data, source_format), out, to, split, shard_mb or SHARD_MB, strict, json)


def _convert_pictures(
    dataset: "Dataset",
    out: Path,
    to: str,
    split: str | None,
    shard_mb: int,
    strict: bool,
    json: bool,
) -> None:
    from striate.cli.progress import TrainingProgress
    from striate.data import convert as conversion

    if split is not None:
        dataset = conversion.only_split(dataset, split)
    with TrainingProgress() as progress:
        done = conversion.convert(
            dataset, out, to, shard_bytes=shard_mb << 20, strict=strict, reading=progress.reading
        )
    show(done, json, trains=split is None)


def _convert_boxes(data: str, out: Path, to: str, source_format: str | None, fix: bool, json: bool) -> None:
    from striate.data.catalog import CATALOG
    from striate.data.convert_boxes import convert_boxes, write_boxes
    from striate.data.load import load_data

    if data in CATALOG and CATALOG[data].format == "built-in":
        refuse({"--from": source_format is not None, "--fix": fix}, f"{to} of {data}, which lies in memory")
        show_boxes(write_boxes(load_data(data), out, to), json, trains=True)
        return
    path, known = _place(data)
    done = convert_boxes(path, out, to, source_format=source_format or known or None, fix_problems=fix)
    show_boxes(done, json)


def _place(data: str) -> tuple[Path, str]:
    """Where labelled boxes are, and their format where a name of the catalogue tells it."""
    from striate.data.catalog import CATALOG
    from striate.data.load import find_labels
    from striate.errors import InputError

    if data not in CATALOG:
        return Path(data), ""
    labels = find_labels(data)
    if labels is None:
        raise InputError("it has no files of labelled boxes", data, "name a folder or an archive")
    return labels.path, labels.format


def _own_format(data: str, source_format: str | None) -> str:
    """The format of labelled boxes. Raises InputError if there are none."""
    from striate.data.formats.annotations import format_of
    from striate.data.label_files import LabelFiles
    from striate.errors import InputError

    if source_format:
        return source_format
    try:
        path, known = _place(data)
        return known or format_of(LabelFiles.open(path))
    except InputError as error:
        raise InputError("in which format? only boxes can keep theirs", data, "name one with --to") from error


def refuse(given: dict[str, bool], to: str) -> None:
    """Raise InputError for the first option that is given and means nothing for a format."""
    from striate.errors import InputError

    for option, is_given in given.items():
        if is_given:
            raise InputError(f"{option} means nothing for --format {to}", option, "leave it out")


def show_boxes(done: "BoxConversion", json: bool, trains: bool = False) -> None:
    """Print what was written, what the format could not hold, what is wrong with the labels, and, if it
    ``trains``, how to train on it."""
    from striate.cli.output import print_json
    from striate.errors import counted

    if json:
        print_json(done.facts())
        return
    print(f"{done.out}: {done.format}, from {done.source_format}")
    print(
        f"{_counts(done.counts)}; {counted(done.objects, 'object')} of "
        f"{counted(len(done.classes), 'class')}, {counted(done.files, 'file')}, {done.bytes / 1e6:,.1f} MB"
    )
    for note in done.notes:
        print(note)
    if done.problems:
        _show_problems(done)
    if trains:
        print(shlex.join(["striate", "train", str(done.out)]))


def _counts(counts: dict[str, int]) -> str:
    """How many pictures each split has."""
    return ", ".join(
        counted(n, "picture") if name == "all" else f"{n:,} {name}" for name, n in counts.items()
    )


def _show_problems(done: "BoxConversion") -> None:
    mendable = sum(bool(problem.mend) for problem in done.problems)
    advice = "" if done.fixed or not mendable else f"; --fix mends {mendable:,}"
    print(f"wrong in the labels: {len(done.problems):,}{advice}")
    for problem in done.problems[:SHOWN_PROBLEMS]:
        mended = f": {problem.mend}" if done.fixed and problem.mend else ""
        print(f"  {problem.place}: {problem.what}{mended}")
    if len(done.problems) > SHOWN_PROBLEMS:
        print("  ... (--json names all)")


def show(done: "Conversion", json: bool, trains: bool = True) -> None:
    """Print what was written, what was left out, what else a person should know, and how to train on it."""
    from striate.cli.output import print_json

    if json:
        print_json(done.facts())
        return
    print(f"{done.out}: {done.format}")
    print(
        f"{_counts(done.counts)}; {counted(len(done.classes), 'class')}, {counted(done.files, 'file')}, "
        f"{done.bytes / 1e6:,.1f} MB"
    )
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
