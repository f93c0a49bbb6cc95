"""``striate data audit``: what is wrong with a data set."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from striate.cli.train import FromFlag
from striate.errors import InputError, counted

if TYPE_CHECKING:
    from collections.abc import Iterator

    from striate.audit import Audit, Finding

EXAMPLES = 3  # of each kind that the terminal shows
OF_LABELS = 100  # of wrong labels, which are mended by file and line


def audit(
    source: Annotated[str, typer.Argument(metavar="DATA", help="Folder, archive or data set name.")],
    from_: FromFlag = None,
    run: Annotated[
        Path | None, typer.Option(metavar="RUN", help="A trained network, to find labels that it disputes.")
    ] = None,
    html: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write a page with the pictures here.")
    ] = None,
    near: Annotated[
        float | None,
        typer.Option(
            min=0.5, max=1, help="How alike near copies are, 0.92 by default; 1: exact copies only."
        ),
    ] = None,
    workers: Annotated[
        int | None, typer.Option(min=0, help="Processes that read; by default one per processor.")
    ] = None,
    device: Annotated[str, typer.Option(help="Where RUN computes: auto, cpu, cuda, ...")] = "auto",
    fail: Annotated[bool, typer.Option("--fail", help="End with exit code 1 if anything is found.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print JSON with every finding.")] = False,
) -> None:
    """Look for faults in a data set: damaged files, copies, leaks between splits, doubtful labels.

    Of labelled boxes also wrong lines, tiny objects and rare classes; with --run of a detector, objects that
    are probably forgotten, of another class, or not there. Nothing in the data is changed.

    Example: striate data audit flowers.zip --html audit.html
    """
    if html:
        _check_free(html, Path(source))
    from striate.audit import NEAR, audit, write_page
    from striate.cli.output import print_json
    from striate.cli.progress import TrainingProgress
    from striate.run import load_run

    network = load_run(run, device) if run else None
    with TrainingProgress() as progress:
        result = audit(source, network, NEAR if near is None else near, workers, progress.watch, from_)
    if html:
        write_page(html, result)
    if json:
        print_json(result.as_json())
    else:
        _show(result, html)
    if fail and result.findings:
        raise typer.Exit(1)


def _check_free(html: Path, source: Path) -> None:
    """A page never replaces a file, and never lies among the pictures."""
    if html.exists():
        raise InputError("the file exists already", html, "choose another name for --html")
    if not html.resolve().parent.is_dir():
        raise InputError(
            "there is no such folder", html.parent, "make it, or choose another place for --html"
        )
    if source.is_dir() and html.resolve().is_relative_to(source.resolve()):
        raise InputError("the page would lie among the data", html, "choose another place for --html")


def _show(result: "Audit", html: Path | None) -> None:
    from striate.audit import KINDS
    from striate.cli.output import print_table
    from striate.errors import counted

    listed = result.inventory
    objects = "" if listed.objects is None else f" with {counted(len(listed.objects.labels), 'object')}"
    print(
        f"{listed.name}: {counted(len(listed.entries), 'picture')}{objects} of "
        f"{counted(len(listed.classes), 'class')}, {listed.format}\n"
    )
    found = result.by_kind()
    if found:
        rows = [
            (
                kind,
                KINDS[kind].severity,
                f"{len(findings):,}",
                f"{len({i for finding in findings for i in finding.entries}):,}",
            )
            for kind, findings in found.items()
        ]
        print_table(("kind", "severity", "findings", "pictures"), rows, numbers=(2, 3))
    else:
        print("no faults found")
    for kind, findings in found.items():
        print(f"\n{kind}: {KINDS[kind].title}")
        shown = findings[: OF_LABELS if kind in ("invalid-label", "odd-label") else EXAMPLES]
        for finding in shown:
            for line in _lines(result, finding):
                print(line)
        if len(findings) > len(shown):
            print(f"  ... and {len(findings) - len(shown):,} more")
        print(f"  try: {KINDS[kind].advice}")
    for note in result.notes:
        print(f"\nnote: {note}")
    if html:
        print(f"\nthe pictures are shown in {html}")
    elif any(len(findings) > EXAMPLES for findings in found.values()):
        print("\n--html FILE shows the pictures, --json lists every finding")


def _lines(result: "Audit", finding: "Finding") -> "Iterator[str]":
    """A finding in a terminal: one picture and what was seen, or what was seen and a picture per line."""
    entries = [result.entries[i] for i in finding.entries]
    if len(entries) < 2:
        yield f"  {entries[0].name}: {finding.detail}" if entries else f"  {finding.detail}"
        return
    yield f"  {finding.detail}:"
    for entry in entries[:EXAMPLES]:
        place = "" if entry.split in ("all", entry.name.split("/")[0]) else f" ({entry.split})"
        yield f"    {entry.name}{place}"
    if len(entries) > EXAMPLES:
        yield f"    ... and {counted(len(entries) - EXAMPLES, 'more picture')}"
