"""``striate summary``: the layers of a network, and what it costs to predict and to train with it."""

import math
import re
import shutil
import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import nn

    from striate.cost import Cost, Layer

UNITS = {"": 1, "kb": 10**3, "mb": 10**6, "gb": 10**9, "kib": 2**10, "mib": 2**20, "gib": 2**30}
COLUMNS = ("layer", "kind", "output", "params", "MMAC", "field", "stride", "MB")
SHORTEST = 12  # characters left of a layer's name, however narrow the terminal


def summary(
    model: Annotated[str, typer.Argument(help="A network, or a detector, of `striate models`.")],
    classes: Annotated[int | None, typer.Option(help="Classes; the network's own if left out.")] = None,
    input_shape: Annotated[
        str | None, typer.Option("--input", metavar="CxHxW", help="Size of the pictures, such as 3x224x224.")
    ] = None,
    batch: Annotated[int, typer.Option(min=1, help="Pictures at a time.")] = 1,
    depth: Annotated[
        int | None, typer.Option(min=0, help="Sum up layers below so many names; 0: one line.")
    ] = None,
    precision: Annotated[str, typer.Option(help="fp32, bf16 or auto.")] = "fp32",
    optimizer: Annotated[
        str, typer.Option(help="sgd (without momentum), momentum, adam, adamw, nadam or rmsprop.")
    ] = "adamw",
    freeze: Annotated[
        str, typer.Option(metavar="WHAT", help="Hold still: backbone, all up to a STAGE, or none.")
    ] = "none",
    memory: Annotated[
        str | None,
        typer.Option(help="To find the largest batch, such as 8GB; what is free here if left out."),
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print JSON: counts, and bytes for memory.")] = False,
) -> None:
    """Show the layers of a network: shapes, parameters, arithmetic, memory.

    Nothing is computed or allocated. MMAC: million multiply-accumulates for
    one picture. Field: pixels that a unit sees, "all" for the whole picture;
    stride: pixels between what neighbours see. MB: million bytes of the
    output for the batch, where it needs new memory.

    Example: striate summary resnet34 --classes 10 --batch 32 --depth 2

    Example: striate summary yolo_light --classes 3 --input 3x288x384 --depth 1
    """
    from striate.cli.output import print_json
    from striate.cost.memory import find_optimizer
    from striate.train.precision import resolve_precision

    find_optimizer(optimizer)  # before the work
    available = free_memory() if memory is None else parse_memory(memory)
    cost = measure(model, classes, input_shape, resolve_precision(precision, "cpu"), freeze)
    layers = cost.layers if depth is None else cost.folded(depth)
    if json:
        print_json(as_json(cost, layers, batch, optimizer, available) | {"model": model})
        return
    draw(layers, batch)
    for line in totals(cost, batch, optimizer, available):
        typer.echo(line)


def measure(
    model: str, classes: int | None, input_shape: str | None, precision: str, freeze: str = "none"
) -> "Cost":
    """The cost of a network of the catalogue, built without memory.

    Raises:
        InputError: there is no such network or stage, or it does not take such pictures.
    """
    from striate.cost import measure_cost
    from striate.tasks.detection.catalog import DETECTORS
    from striate.train.transfer import freeze as hold_still

    if model in DETECTORS:
        network, shape = build_detector(model, classes, input_shape)
    else:
        network, shape = build_classifier(model, classes, input_shape)
    hold_still(network, freeze)
    return measure_cost(network, shape, precision)


def build_classifier(
    model: str, classes: int | None, input_shape: str | None
) -> "tuple[nn.Module, tuple[int, int, int]]":
    """A network of the catalogue without memory, and the shape of its pictures."""
    import torch

    from striate.errors import InputError
    from striate.models.catalog import create_model, model_facts

    facts = model_facts(model)
    shape = facts.input if input_shape is None else parse_shape(input_shape)
    if min(shape[1:]) < facts.minimum:
        raise InputError(
            f"{model} needs pictures of at least {facts.minimum}x{facts.minimum} pixels",
            f"--input {input_shape}",
            f"channels, then height and width, such as --input {times(facts.input)}",
        )
    with torch.device("meta"):
        return create_model(model, classes, shape[0]), shape


def build_detector(
    model: str, classes: int | None, input_shape: str | None
) -> "tuple[nn.Module, tuple[int, int, int]]":
    """A detector without memory, and the shape of its pictures; of 20 classes, as in PASCAL VOC, if not told.

    Raises:
        InputError: it does not take such pictures, or what it computes depends on what it finds.
    """
    import torch

    from striate.errors import InputError
    from striate.tasks.detection.catalog import FACTS_CLASSES, create_detector, detector_facts

    facts = detector_facts(model)
    if facts.depends:
        raise InputError(
            f"what {model} computes depends on what it finds",
            model,
            "measure its backbone, such as: striate summary resnet50 --input 3x640x640",
        )
    shape = (3, *facts.size) if input_shape is None else parse_shape(input_shape)
    if min(shape[1:]) < facts.minimum or any(side % facts.multiple for side in shape[1:]):
        raise InputError(
            f"{model} takes pictures from {facts.minimum} pixels on, in steps of {facts.multiple}",
            f"--input {input_shape}",
            f"channels, then height and width, such as --input {times((3, *facts.size))}",
        )
    with torch.device("meta"):
        return create_detector(model, FACTS_CLASSES if classes is None else classes, shape[0])[0], shape


def parse_shape(text: str) -> tuple[int, int, int]:
    """ "3x224x224" as (3, 224, 224).

    Raises:
        InputError: it is not three positive numbers.
    """
    from striate.errors import InputError

    match = re.fullmatch(r"([1-9]\d{0,4})x([1-9]\d{0,4})x([1-9]\d{0,4})", text.strip().lower())
    if match is None:
        raise InputError(
            f"{text!r} is not a size of pictures", "--input", "channels, height and width, such as 3x224x224"
        )
    channels, height, width = map(int, match.groups())
    return channels, height, width


def parse_memory(text: str) -> int:
    """ "8GB" as bytes; units are kB, MB, GB and KiB, MiB, GiB, and bytes without any.

    Raises:
        InputError: it is not an amount.
    """
    from striate.errors import InputError

    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([a-z]*)", text.strip().lower())
    if match is None or match[2] not in UNITS:
        raise InputError(f"{text!r} is not an amount of memory", "--memory", "such as 8GB or 512MiB")
    return int(float(match[1]) * UNITS[match[2]])


def free_memory() -> int | None:
    """What this machine has left for a process, in bytes; None where it does not tell."""
    from striate.cli import doctor

    found = doctor.memory()
    known = [amount for amount in (found["available"], found["limit"]) if amount is not None]
    return min(known, default=None)


def as_json(
    cost: "Cost", layers: "Sequence[Layer]", batch: int, optimizer: str, available: int | None
) -> dict[str, Any]:
    """Everything that summary tells: counts, and bytes for memory."""
    training = vars(cost.memory_train(batch, optimizer)).copy()
    return {
        "params": cost.params,
        "values": cost.values,
        "trainable": cost.trainable,
        "non_trainable": cost.non_trainable,
        "macs": cost.macs,
        "flops": cost.flops,
        "memory_predict": cost.memory_predict(batch),
        "memory_train": training.pop("peak"),
        "memory_train_parts": training,
        "memory_available": available,
        "largest_batch_predict": None if available is None else cost.largest_batch(available),
        "largest_batch_train": None if available is None else cost.largest_batch(available, optimizer),
        "input": list(cost.input_shape),
        "batch": batch,
        "precision": cost.precision,
        "optimizer": optimizer,
        "layers": [
            {
                "name": layer.name,
                "kind": layer.kind,
                "output_shape": [batch, *layer.output] if layer.output else None,
                "params": layer.params,
                "trainable": layer.trainable,
                "non_trainable": layer.values - layer.trainable,
                "macs": layer.macs,
                "flops": layer.flops,
                "receptive_field": finite(layer.receptive_field),  # null: the whole picture
                "stride": finite(layer.stride),
                "activation_memory": layer.activation * batch,
            }
            for layer in layers
        ],
    }


def finite(sizes: "Sequence[float] | None") -> list[float] | None:
    """Pixels along each axis as whole numbers where they are; None for the whole picture."""
    if sizes is None or any(math.isinf(size) for size in sizes):
        return None
    return [int(size) if size == int(size) else size for size in sizes]


def draw(layers: "Sequence[Layer]", batch: int) -> None:
    """Print the table of layers, as wide as the terminal, or as it needs to be in a pipe."""
    rows = [
        (
            layer.name or "(network)",
            layer.kind,
            times(layer.output) or "-",
            f"{layer.params:,}",
            millions(layer.macs, digits=1),
            pixels(layer.receptive_field),
            pixels(layer.stride),
            millions(layer.activation * batch, digits=2),
        )
        for layer in layers
    ]
    header, *lines = table(rows, shutil.get_terminal_size().columns if sys.stdout.isatty() else 1000)
    typer.secho(header, bold=True)
    typer.echo("\n".join(lines))


def table(rows: "Sequence[tuple[str, ...]]", width: int) -> list[str]:
    """The lines of a table no wider than ``width``; of a name that is too long, the end is shown."""
    widths = [max(map(len, column)) for column in zip(COLUMNS, *rows, strict=True)]
    for_text = width - sum(widths[2:]) - len(COLUMNS) + 1  # a space between columns
    widths[1] = min(widths[1], max(SHORTEST, for_text * 2 // 5))
    widths[0] = min(widths[0], max(SHORTEST, for_text - widths[1]))
    lines = []
    for name, kind, *numbers in (COLUMNS, *rows):
        name = name if len(name) <= widths[0] else "…" + name[1 - widths[0] :]
        kind = kind if len(kind) <= widths[1] else kind[: widths[1] - 1] + "…"
        right = (text.rjust(size) for text, size in zip(numbers, widths[2:], strict=True))
        lines.append(" ".join([name.ljust(widths[0]), kind.ljust(widths[1]), *right]))
    return lines


def totals(cost: "Cost", batch: int, optimizer: str, available: int | None) -> list[str]:
    """The sums, memory and the largest batch, with what they assume."""
    training = cost.memory_train(batch, optimizer)
    lines = [
        "",
        f"input                 {times(cost.input_shape)}",
        f"parameters            {cost.params:,}, of which {cost.trainable:,} are trained",
        f"  with statistics     {cost.values:,}, of which {cost.non_trainable:,} are not trained",
        f"multiply-accumulates  {millions(cost.macs, digits=1)} million for one picture",
        f"FLOPs                 {millions(cost.flops, digits=1)} million for one picture",
        f"memory to predict     {megabytes(cost.memory_predict(batch))} (batch {batch}, {cost.precision})",
        f"memory to train       {megabytes(training.peak)} (batch {batch}, {cost.precision}, {optimizer})",
        "  its parts, which are not all needed at the same time:",
        f"    weights           {megabytes(training.weights)}",
        f"    gradients         {megabytes(training.gradients)}",
        f"    optimizer state   {megabytes(training.optimizer)}",
        f"    saved activations {megabytes(training.activations)}",
        f"    pictures          {megabytes(training.pictures)}",
    ]
    if available is not None:
        predict, train = cost.largest_batch(available), cost.largest_batch(available, optimizer)
        lines.append(
            f"largest batch         {predict:,} to predict, {train:,} to train, in {megabytes(available)}"
        )
    return [*lines, "(tensors only: Python and PyTorch take some 300 MB beside)"]


def megabytes(size: int) -> str:
    """Bytes in millions, from ten billion on in billions."""
    return f"{size / 1e9:,.1f} GB" if size >= 10**10 else f"{millions(size, digits=1)} MB"


def millions(count: int, digits: int) -> str:
    """A count in millions with so many decimals: "0" for none, and never "0.0" for a few."""
    if not count:
        return "0"
    return f"{count / 1e6:,.{digits}f}" if count >= 10 ** (6 - digits) else f"<{10**-digits:g}"


def times(shape: "Sequence[int]") -> str:
    """(64, 56, 56) as "64x56x56"."""
    return "x".join(map(str, shape))


def pixels(sizes: "Sequence[float] | None") -> str:
    """(7, 7) as "7", (1, 7) as "1x7"; "all" for the whole picture, "-" where there is nothing to see."""
    if sizes is None:
        return "-"
    texts = ["all" if math.isinf(size) else f"{size:g}" for size in sizes]
    return texts[0] if len(set(texts)) == 1 else "x".join(texts)
