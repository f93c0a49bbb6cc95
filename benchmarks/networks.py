"""Networks, Striate's against torchvision's: python benchmarks/networks.py [--rounds N] [NAME ...]

Both sides are the same network at 224x224, as a user runs it: torchvision's modules in PyTorch as it
comes (NCHW, fp32), Striate's with ``runtime.prepare``, channels_last and, in training, the precision and
the optimizer that ``striate train`` takes. Inference is eager and exact fp32 on both sides, under
``torch.inference_mode``; nothing is compiled, folded or quantized.
"""

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path

import turns

JOBS = {  # name: network, batch, training, steps a turn
    "resnet50 inference, batch 16": ("resnet50", 16, False, 1),
    "resnet50 inference, batch 1": ("resnet50", 1, False, 8),
    "mobilenet_v2 inference, batch 16": ("mobilenet_v2", 16, False, 3),
    "mobilenet_v2 inference, batch 1": ("mobilenet_v2", 1, False, 16),
    "resnet50 training, batch 16": ("resnet50", 16, True, 1),
    "resnet50 training, batch 32": ("resnet50", 32, True, 1),
    "mobilenet_v2 training, batch 16": ("mobilenet_v2", 16, True, 2),
    "mobilenet_v2 training, batch 32": ("mobilenet_v2", 32, True, 1),
}


def main() -> None:
    """Run the comparisons and print one line for each."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help="only comparisons whose name contains it")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--serve", nargs=2, metavar=("SIDE", "JOB"), help="be one side")
    arguments = parser.parse_args()
    if arguments.serve:
        side, job = arguments.serve
        network, batch, training, count = JOBS[job]
        turns.serve((stock if side == "stock" else striate)(network, batch, training), count)
        return
    print(f"{'torchvision / striate, ' + str(arguments.rounds) + ' rounds':44} ratio  quartiles")
    for job in JOBS:
        if not arguments.names or any(name in job for name in arguments.names):
            sides = [__file__, "--serve", "stock", job], [__file__, "--serve", "striate", job]
            turns.compare(job, sides, arguments.rounds)


def stock(network: str, batch: int, training: bool) -> Iterator[None]:
    """torchvision's module in PyTorch as it comes."""
    sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
    from peers import declare_torchvision_operators

    declare_torchvision_operators()
    import torch
    from torchvision import models

    model = getattr(models, network)()
    images = torch.randn(batch, 3, 224, 224)
    if not training:
        yield from infer(model, images)
    optimizer = torch.optim.SGD(model.parameters(), 0.01, momentum=0.9, weight_decay=1e-4)
    labels = torch.arange(batch)
    while True:
        loss = torch.nn.functional.cross_entropy(model(images), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        yield


def striate(network: str, batch: int, training: bool) -> Iterator[None]:
    """The same network, as ``striate predict`` and ``striate train`` run it."""
    from striate import runtime

    runtime.prepare()
    import torch

    from striate.device import place_model, to_input
    from striate.models.catalog import create_model
    from striate.recipe import OptimizerSettings
    from striate.train.optimizer import build_optimizer
    from striate.train.precision import autocast, resolve_precision

    device = torch.device("cpu")
    model = place_model(create_model(network), device)
    images = to_input(torch.randn(batch, 3, 224, 224))
    if not training:
        yield from infer(model, images)
    optimizer = build_optimizer(
        model, OptimizerSettings(name="sgd", lr=0.01, nesterov=False, weight_decay=1e-4)
    )
    precision = resolve_precision("auto", device)
    labels = torch.arange(batch)
    while True:
        with autocast(precision, device):
            logits = model(images)
        loss = torch.nn.functional.cross_entropy(logits.float(), labels)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        yield


def infer(model, images) -> Iterator[None]:
    """Predictions without end."""
    import torch

    model.eval()
    while True:
        with torch.inference_mode():
            model(images)
        yield


if __name__ == "__main__":
    main()
