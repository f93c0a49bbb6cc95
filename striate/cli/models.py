"""``striate models``: the catalogue of networks, and of detectors."""

import fnmatch
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from striate.models.catalog import ModelFacts
    from striate.tasks.detection.catalog import DetectorFacts


def models(
    pattern: Annotated[str, typer.Argument(help='Part of a name, or a pattern: yolo, "resnet*".')] = "*",
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    markdown: Annotated[
        bool, typer.Option("--markdown", help="Print a Markdown table of all facts.")
    ] = False,
) -> None:
    """List the networks, with parameters and multiply-accumulates for one picture; and the detectors.

    Example: striate models yolo
    """
    from striate.cli.output import print_json
    from striate.errors import InputError
    from striate.models.catalog import CATALOG, list_models
    from striate.tasks.detection.catalog import DETECTORS

    pattern = pattern if set(pattern) & set("*?[") else f"*{pattern}*"
    chosen = {name: CATALOG[name] for name in list_models(pattern)}
    detectors = {name: DETECTORS[name] for name in DETECTORS if fnmatch.fnmatchcase(name, pattern)}
    if not chosen and not detectors:
        raise InputError("no network has such a name", pattern, "`striate models` lists all")
    if json:
        networks = [as_json(name, facts) for name, facts in chosen.items()]
        print_json([*networks, *(detector_as_json(name, facts) for name, facts in detectors.items())])
    elif markdown:
        typer.echo(markdown_table(chosen))
    else:
        if chosen:
            _print_networks(chosen)
        if detectors:
            typer.echo("", nl=bool(chosen))
            _print_detectors(detectors)


def _print_networks(chosen: "dict[str, ModelFacts]") -> None:
    from striate.cli.output import print_table
    from striate.models.published import WEIGHTS

    rows = [
        (
            name,
            str(facts.year),
            f"{facts.params:,}",
            millions(facts.macs),
            "x".join(map(str, facts.input)),
            f"{WEIGHTS[name].top1:.1f} %" if name in WEIGHTS else "",
            facts.summary,
        )
        for name, facts in chosen.items()
    ]
    print_table(("network", "year", "params", "MMAC", "input", "top-1", "for"), rows, numbers=(2, 3, 5))


def _print_detectors(detectors: "dict[str, DetectorFacts]") -> None:
    from striate.cli.output import print_table

    rows = [
        (
            name,
            str(facts.year),
            f"{facts.params:,}",
            "" if facts.macs is None else millions(facts.macs),
            "x".join(map(str, (3, *facts.size))),
            facts.title,
        )
        for name, facts in detectors.items()
    ]
    print_table(("detector", "year", "params", "MMAC", "input", "what"), rows, numbers=(2, 3))


def as_json(name: str, facts: "ModelFacts") -> dict[str, object]:
    """One network for machines; params, macs and input are those at its own size and classes."""
    from striate.models.published import WEIGHTS

    weights = WEIGHTS.get(name)  # of the same keys as those of a detector
    return {
        "name": name,
        "params": facts.params,
        "macs": facts.macs,
        "input": list(facts.input),
        "classes": facts.num_classes,
        "minimum": facts.minimum,
        "year": facts.year,
        "weights": weights and weights.url,
        "top1": weights and weights.top1,
        "top5": weights and weights.top5,
        "map": None,
        "task": "classification",
    }


def detector_as_json(name: str, facts: "DetectorFacts") -> dict[str, object]:
    """One detector for machines, with the keys of a network; macs are null where they depend on what it
    finds, and map is what its weights reach on COCO, in per cent."""
    from striate.tasks.detection.catalog import FACTS_CLASSES
    from striate.tasks.detection.published import DETECTOR_WEIGHTS

    weights = DETECTOR_WEIGHTS.get(name)
    return {
        "name": name,
        "params": facts.params,
        "macs": facts.macs,
        "input": [3, *facts.size],
        "classes": FACTS_CLASSES,
        "minimum": facts.minimum,
        "year": facts.year,
        "weights": weights and weights.url,
        "top1": None,
        "top5": None,
        "map": weights and weights.map,
        "task": "detection",
    }


def markdown_table(chosen: "dict[str, ModelFacts]") -> str:
    """The table of the README."""
    from urllib.parse import urlsplit

    from striate.models.published import WEIGHTS

    lines = [
        "| network | year | params | GMAC | input | minimum | weights from | top-1 / top-5 | compared with |",
        "| --- | ---: | ---: | ---: | --- | ---: | --- | --- | --- |",
    ]
    for name, facts in chosen.items():
        weights = WEIGHTS.get(name)
        cells = [
            f"`{name}`",
            str(facts.year),
            f"{facts.params:,}",
            f"{facts.macs / 1e9:.4f}" if facts.macs < 1e8 else f"{facts.macs / 1e9:.3f}",
            "x".join(map(str, facts.input)),
            str(facts.minimum),
            str(urlsplit(weights.url).hostname) if weights else "",
            f"{weights.top1:.1f} / {weights.top5:.1f}" if weights else "",
            facts.peer,
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def millions(count: int) -> str:
    """Multiply-accumulates in millions, with a decimal where there are few."""
    return f"{count / 1e6:,.1f}" if count < 1e8 else f"{count / 1e6:,.0f}"
