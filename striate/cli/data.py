"""``striate data``: what is in a data set, what is wrong with it, and the same set in another form."""

from typing import Annotated, Any

import typer

from striate.cli import data_audit, data_convert, data_split
from striate.cli.train import FromFlag

app = typer.Typer(no_args_is_help=True)


@app.callback()
def data() -> None:
    """Look at data sets, check them, and write them in other forms.

    Example: striate data info digits
    """


@app.command()
def info(
    data: Annotated[
        str | None, typer.Argument(metavar="DATA", help="Folder, archive or data set name.")
    ] = None,
    from_: FromFlag = None,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Say what a data set holds: format, classes, splits, sizes, faults. Without DATA, list the names.

    Example: striate data info flowers
    """
    from striate.cli.output import print_json

    if data is None:
        _list_catalog(json)
        return
    from striate.data.describe import describe
    from striate.data.load import load_data

    facts = describe(load_data(data, from_))
    if json:
        print_json(facts)
    else:
        _show(facts)


app.command()(data_audit.audit)
app.command()(data_split.split)
app.command()(data_convert.convert)


def _list_catalog(json: bool) -> None:
    from striate.cli.output import print_json, print_table
    from striate.data.catalog import CATALOG

    if json:
        print_json(
            [
                {"name": name, "title": entry.title, "counts": entry.counts, "licence": entry.licence}
                for name, entry in CATALOG.items()
            ]
        )
        return
    rows = [
        (name, f"{sum(entry.counts.values()):,}", str(len(entry.classes)), entry.picture, entry.title)
        for name, entry in CATALOG.items()
    ]
    print_table(("name", "pictures", "classes", "each", "what"), rows, numbers=(1, 2))


def _show(facts: dict[str, Any]) -> None:
    from striate.cli.output import print_table
    from striate.errors import counted

    print(f"{facts['name']}: {facts['format']}")
    print(f"{facts['why']}\n")
    columns = ("class", *facts["splits"])
    counts = [split["per_class"] for split in facts["splits"].values()]
    rows = [(name, *(f"{per_class[k]:,}" for per_class in counts)) for k, name in enumerate(facts["classes"])]
    has_boxes = all("objects" in split for split in facts["splits"].values())
    boxes = {"objects": "objects", "pictures": "pictures", "pictures without any": "without_objects"}
    for what, key in boxes.items() if has_boxes else [("total", "pictures")]:
        rows.append((what, *(f"{split[key]:,}" for split in facts["splits"].values())))
    print_table(columns, rows, numbers=range(1, len(columns)))
    sizes = facts["sizes"]
    colour = "grey" if facts["channels"] == 1 else "colour"
    print(f"\n{colour} pictures, {_range(sizes['width'])} wide, {_range(sizes['height'])} high")
    for name, what in facts["faults"]:
        print(f"left out {name}: {what}")
    for remark in facts["remarks"][:20]:
        print(f"note {remark}")
    if len(facts["remarks"]) > 20:
        print(f"and {counted(len(facts['remarks']) - 20, 'more note')}; --json has all of them")


def _range(limits: list[int]) -> str:
    low, high = limits
    return f"{low}" if low == high else f"{low} to {high}"
