"""``striate models``: the catalogue of networks."""

from typing import Annotated

import typer


def models(
    pattern: Annotated[str, typer.Argument(help='Only names like this, for example "lenet*".')] = "*",
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """List the networks, with parameters and multiply-accumulates for one picture.

    Example: striate models "lenet*"
    """
    from striate.cli.output import print_json, print_table
    from striate.errors import InputError
    from striate.models.catalog import CATALOG, list_models

    chosen = {name: CATALOG[name] for name in list_models(pattern)}
    if not chosen:
        raise InputError("no network has such a name", pattern, 'a pattern such as "lenet*", or none for all')
    if json:
        print_json(
            [
                {"name": name, "params": facts.params, "macs": facts.macs, "input": list(facts.input)}
                for name, facts in chosen.items()
            ]
        )
        return
    rows = [
        (
            name,
            str(facts.year),
            f"{facts.params:,}",
            f"{facts.macs / 1e6:,.1f}",
            "x".join(map(str, facts.input)),
            facts.summary,
        )
        for name, facts in chosen.items()
    ]
    print_table(("network", "year", "params", "MMAC", "input", "for"), rows, numbers=(2, 3))
