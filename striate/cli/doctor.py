"""``striate doctor``: what this machine offers, and how Striate uses it."""

import importlib.metadata
import os
import platform
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import RenderableType

PACKAGES = ("torch", "numpy", "pillow", "simplejpeg", "safetensors")
EXTRAS = {"logging": ("tensorboard",), "tune": ("optuna",), "video": ("av",), "heic": ("pi-heif",)}
INSTRUCTION_SETS = {
    "x86_64": {"avx2": "AVX2", "avx512_f": "AVX512", "avx512_bf16": "AVX512-BF16", "amx_bf16": "AMX-BF16"},
    "arm64": {"neon": "NEON", "bf16": "BF16", "sve": "SVE", "sve_bf16": "SVE-BF16"},
}
VARIABLES = {
    "STRIATE_DATA": "where named data sets are looked for first",
    "STRIATE_CACHE": "where downloads are kept",
    "STRIATE_OFFLINE": "1: never download",
}


def doctor(
    json: Annotated[bool, typer.Option("--json", help="Print JSON; bytes for sizes.")] = False,
) -> None:
    """Show what this machine offers, how Striate uses it, and how to have it otherwise.

    Example: striate doctor
    """
    from striate.cli.output import print_json

    findings = examine()
    if json:
        print_json(findings)
        return
    from rich.console import Console

    Console(highlight=False).print(draw(findings))


def examine() -> dict[str, Any]:
    """Everything that doctor tells, in sections of plain values; sizes in bytes."""
    from striate import runtime

    settings = runtime.prepare().settings()  # before the other sections import torch
    return {
        "versions": versions(),
        "processor": processor(),
        "accelerators": accelerators(),
        "precision": precision(),
        "memory": memory(),
        "cache": cache(),
        "runtime": [vars(setting) for setting in settings],
        "environment": {name: os.environ.get(name) for name in VARIABLES},
        "extras": {extra: all(map(installed, packages)) for extra, packages in EXTRAS.items()},
    }


def versions() -> dict[str, str | None]:
    """Of Striate, Python, and the packages whose version can change results."""
    from striate import __version__

    own = {"striate": __version__, "python": platform.python_version()}
    return own | {name: installed(name) for name in PACKAGES}


def installed(package: str) -> str | None:
    """The version of a package; None if it is not there."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def processor() -> dict[str, Any]:
    """The model, how many processors may be used, and the instruction sets that matter for convolutions."""
    import torch

    from striate import runtime

    has = torch.cpu.get_capabilities()
    architecture = str(has.get("architecture", platform.machine()))
    return {
        "model": str(has.get("cpu_name") or platform.processor() or architecture),
        "architecture": architecture,
        "count": os.cpu_count(),
        "usable": runtime.usable_processors(),
        "quota": runtime.processor_quota(),
        "threads": torch.get_num_threads(),
        "instruction_sets": {
            name: bool(has.get(key)) for key, name in INSTRUCTION_SETS.get(architecture, {}).items()
        },
    }


def accelerators() -> list[dict[str, Any]]:
    """The CUDA devices with memory and compute capability, and Apple's MPS."""
    import torch

    found: list[dict[str, Any]] = []
    for index in range(torch.cuda.device_count()):
        facts = torch.cuda.get_device_properties(index)
        capability = f"{facts.major}.{facts.minor}"
        found.append(
            {
                "device": f"cuda:{index}",
                "name": facts.name,
                "memory": facts.total_memory,
                "capability": capability,
            }
        )
    if torch.backends.mps.is_available():
        found.append({"device": "mps", "name": platform.machine(), "memory": None, "capability": None})
    return found


def precision() -> dict[str, dict[str, str | None]]:
    """For each device, what ``--precision auto`` means there and which hardware multiplies bf16."""
    from striate.train.precision import native_bf16, resolve_precision

    devices = ["cpu", *(accelerator["device"] for accelerator in accelerators())]
    return {
        device: {"auto": resolve_precision("auto", device), "bf16": native_bf16(device)} for device in devices
    }


def memory() -> dict[str, int | None]:
    """Of the machine, what is available now, and the control group's limit; None where it is not told."""
    from striate import runtime

    limits = []
    for folder in runtime.control_groups("memory"):
        for name in ("memory.max", "memory.limit_in_bytes"):
            text = (folder / name).read_text().strip() if (folder / name).is_file() else "max"
            limits += [int(text)] if text != "max" else []
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") if sys.platform != "win32" else None
    limit = min(limits, default=None)
    if limit is not None and total is not None and limit >= total:
        limit = None  # version 1 writes "no limit" as a huge number
    return {"total": total, "available": available_memory(), "limit": limit}


def available_memory() -> int | None:
    """What Linux could give to a new process, caches given up but nothing swapped out."""
    table = Path("/proc/meminfo")
    for line in table.read_text().splitlines() if table.is_file() else []:
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) * 1024
    return None


def cache() -> dict[str, Any]:
    """Where downloads are kept, and how much its disk can still take."""
    folder = Path(os.environ.get("STRIATE_CACHE") or Path.home() / ".cache" / "striate")
    nearest = next(parent for parent in (folder.absolute(), *folder.absolute().parents) if parent.is_dir())
    return {"folder": str(folder), "free": shutil.disk_usage(nearest).free}


def draw(findings: dict[str, Any]) -> "RenderableType":
    """The findings as one page for a terminal of 80 columns."""
    from rich.console import Group
    from rich.text import Text

    found = findings["versions"]
    title = Text(f"Striate {found['striate']}", style="bold")
    title.append(f" on Python {found['python']}, torch {found['torch']}", style="not bold")
    settings = [
        (setting["name"], setting["state"], setting["why"], Text(setting["switch"], style="dim"))
        for setting in findings["runtime"]
    ]
    places = [
        (name, findings["environment"][name] or Text("not set", style="dim"), meaning)
        for name, meaning in VARIABLES.items()
    ]
    return Group(
        title,
        Text("\nThis machine", style="bold"),
        columns(machine_rows(findings)),
        Text("\nHow Striate uses it, and the environment variable for another way", style="bold"),
        columns(settings),
        Text("\nData", style="bold"),
        columns(places),
    )


def columns(rows: "Sequence[Sequence[RenderableType]]") -> "RenderableType":
    """Rows in columns, the first of them names."""
    from rich.table import Table
    from rich.text import Text

    table = Table.grid(padding=(0, 2))
    table.add_column(style="cyan", no_wrap=True)
    for _ in rows[0][1:]:
        table.add_column(overflow="fold")
    for row in rows:
        table.add_row(*(Text(cell) if isinstance(cell, str) else cell for cell in row))  # no [markup]
    return table


def machine_rows(findings: dict[str, Any]) -> "list[tuple[str, RenderableType]]":
    """What the machine is, as (name, text) lines."""
    from rich.text import Text

    cpu = findings["processor"]
    quota = f", control group quota {cpu['quota']:g}" if cpu["quota"] else ""
    sets = Text("  ").join(
        Text(f"{name} {'yes' if has else 'no'}", style="green" if has else "dim")
        for name, has in cpu["instruction_sets"].items()
    )
    rows: list[tuple[str, RenderableType]] = [
        ("processor", f"{cpu['model']} ({cpu['architecture']})"),
        ("", sets),
        ("threads", f"{cpu['threads']}, on {cpu['usable']} of {cpu['count']} processors{quota}"),
    ]
    for device in findings["accelerators"]:
        facts = [device["name"]]
        facts += [size(device["memory"])] if device["memory"] else []
        facts += [f"compute capability {device['capability']}"] if device["capability"] else []
        rows.append((device["device"], ", ".join(facts)))
    if not findings["accelerators"]:
        rows.append(("accelerator", Text("none: no CUDA device, no MPS", style="dim")))
    for device, answer in findings["precision"].items():
        why = f"{answer['bf16']} multiplies bf16" if answer["bf16"] else "bf16 would only be emulated"
        rows.append(("precision", f"auto is {answer['auto']} on {device}: {why}"))
    amounts = findings["memory"]
    limit = f", limited to {size(amounts['limit'])}" if amounts["limit"] else ""
    rows.append(("memory", f"{size(amounts['total'])}, {size(amounts['available'])} available{limit}"))
    rows.append(("disk", f"{size(findings['cache']['free'])} free at {findings['cache']['folder']}"))
    others = [f"{name} {findings['versions'][name] or 'missing'}" for name in PACKAGES[1:]]
    rows.append(("packages", ", ".join(others)))
    for extra, present in findings["extras"].items():
        rows.append(("extra", f"{extra}: " + ("installed" if present else f"pip install 'striate[{extra}]'")))
    return rows


def size(amount: int | None) -> str:
    """Bytes as GiB."""
    return "unknown" if amount is None else f"{amount / 2**30:.1f} GiB"
