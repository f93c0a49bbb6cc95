"""What each setting of striate.runtime is worth: python benchmarks/runtime.py [--pairs N] [NAME ...]

The settings act when a process starts, so every measurement is a process of its own. A pair is one
process without the setting and one with it, in turn first and second; its ratio is time without / time
with. Printed are the median ratio over the pairs and the quartiles, never times. Pairs are short and many
because a neighbour on the machine disturbs both halves of a pair alike, but not one pair and the next.

"stock" is PyTorch as it comes: ``runtime.prepare`` not called, tensors in NCHW.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from turns import FOREIGN


@dataclass(frozen=True)
class Comparison:
    """One workload, in two environments."""

    name: str
    workload: str
    without: dict[str, str]
    with_it: dict[str, str]
    neighbour: bool = False  # a process beside it keeps one processor busy


STOCK = {"BENCHMARK_STOCK": "1"}
# What a container with a quota starts that counts the processors of its host.
OVERSUBSCRIBED = {"STRIATE_THREADS": str(2 * (os.cpu_count() or 1)), "MKL_DYNAMIC": "FALSE"}
COMPARISONS = [
    Comparison("stack, batch 16: all settings / stock", "stack16", STOCK, {}),
    Comparison("stack, batch 8: all settings / stock", "stack8", STOCK, {}),
    Comparison("stack training step: all settings / stock", "stack-train", STOCK, {}),
    Comparison("small training step: all settings / stock", "small-train", STOCK, {}),
    Comparison("stack, batch 16: allocator", "stack16", {"STRIATE_MALLOC": "0"}, {}),
    Comparison("stack training step: allocator", "stack-train", {"STRIATE_MALLOC": "0"}, {}),
    Comparison("stack, batch 16: channels_last", "stack16", {"STRIATE_CHANNELS_LAST": "0"}, {}),
    Comparison("stack training step: channels_last", "stack-train", {"STRIATE_CHANNELS_LAST": "0"}, {}),
    Comparison("small training step: channels_last", "small-train", {"STRIATE_CHANNELS_LAST": "0"}, {}),
    Comparison("stack, batch 8: passive waiting", "stack8", {"STRIATE_PASSIVE_WAIT": "0"}, {}),
    Comparison("small training step: passive waiting", "small-train", {"STRIATE_PASSIVE_WAIT": "0"}, {}),
    Comparison("... beside a busy neighbour", "small-train", {"STRIATE_PASSIVE_WAIT": "0"}, {}, True),
    Comparison("stack, batch 8: threads / one thread", "stack8", {"STRIATE_THREADS": "1"}, {}),
    Comparison("stack, batch 8: threads / twice as many", "stack8", OVERSUBSCRIBED, {}),
    Comparison("small training step: threads / twice as many", "small-train", OVERSUBSCRIBED, {}),
]


def main() -> None:
    """Run the comparisons and print one line for each."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help="only comparisons whose name contains it")
    parser.add_argument("--pairs", type=int, default=9)
    parser.add_argument("--measure", metavar="WORKLOAD", help="what each process of a pair does")
    arguments = parser.parse_args()
    if arguments.measure:
        print(json.dumps(measure(arguments.measure)))
        return
    print(f"{'without / with, medians over ' + str(arguments.pairs) + ' pairs':48}  ratio  quartiles")
    for comparison in COMPARISONS:
        if not arguments.names or any(name in comparison.name for name in arguments.names):
            compare(comparison, arguments.pairs)


def compare(comparison: Comparison, pairs: int) -> None:
    """Run the pairs of one comparison and print its line."""
    ratios, difference = [], 0.0
    with busy_neighbour(comparison.neighbour):
        for pair in range(pairs):
            sides = [comparison.without, comparison.with_it]
            results = [run(comparison.workload, side) for side in (sides if pair % 2 == 0 else sides[::-1])]
            without, with_it = results if pair % 2 == 0 else results[::-1]
            ratios.append(without["seconds"] / with_it["seconds"])
            scale = max(map(abs, without["outputs"]))
            gaps = [abs(a - b) / scale for a, b in zip(without["outputs"], with_it["outputs"], strict=True)]
            difference = max(difference, *gaps)
    low, middle, high = statistics.quantiles(ratios, n=4)
    print(f"{comparison.name:48}  {middle:5.2f}  {low:.2f}-{high:.2f}", end="", flush=True)
    print(f"  outputs differ by {difference:.0e} of the largest" if difference else "  outputs equal")


def run(workload: str, environment: dict[str, str]) -> dict:
    """One process."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith(FOREIGN)}
    command = [sys.executable, __file__, "--measure", workload]
    output = subprocess.run(
        command, env=clean | environment, check=True, capture_output=True, text=True
    ).stdout
    return json.loads(output)


@contextmanager
def busy_neighbour(wanted: bool) -> Iterator[None]:
    """Beside the block, a process that never rests."""
    if not wanted:
        yield
        return
    with subprocess.Popen([sys.executable, "-c", "while True: pass"]) as process:
        try:
            yield
        finally:
            process.kill()


def measure(workload: str) -> dict:
    """Seconds of one pass or step (median), and some outputs, of this process."""
    stock = "BENCHMARK_STOCK" in os.environ
    channels_last = False
    if not stock:
        from striate import runtime  # before torch

        runtime.prepare()
        channels_last = runtime.channels_last()
    import torch

    torch.manual_seed(0)
    model, images, training = {
        "stack16": lambda: (bottleneck_stack((3, 4, 6, 3)), torch.randn(16, 3, 224, 224), False),
        "stack8": lambda: (bottleneck_stack((3, 4, 6, 3)), torch.randn(8, 3, 224, 224), False),
        "stack-train": lambda: (bottleneck_stack((1, 1, 1, 1)), torch.randn(16, 3, 224, 224), True),
        "small-train": lambda: (small_network(), torch.randn(64, 1, 28, 28), True),
    }[workload]()
    if channels_last:
        model = model.to(memory_format=torch.channels_last)
        images = images.contiguous(memory_format=torch.channels_last)
    step = training_step(model, images) if training else inference(model, images)
    outputs = step()  # the first one also builds the kernels
    if training:
        step()
    seconds = []
    for _ in range(30 if workload == "small-train" else 3):
        start = time.perf_counter()
        step()
        seconds.append(time.perf_counter() - start)
    return {"seconds": statistics.median(seconds), "outputs": outputs.flatten()[:64].tolist()}


def inference(model, images):
    """A prediction in exact fp32, batch normalization not folded."""
    import torch

    model.eval()

    @torch.inference_mode()
    def step():
        return model(images)

    return step


def training_step(model, images):
    """Forward, backward and SGD in fp32."""
    import torch
    from torch.nn import functional as F

    labels = torch.arange(len(images)) % 10
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9)

    def step():
        logits = model(images)
        optimizer.zero_grad()
        F.cross_entropy(logits, labels).backward()
        optimizer.step()
        return logits.detach()

    return step


def bottleneck_stack(depths: tuple[int, ...]):
    """Bottleneck units of 64 to 512 channels as in ResNet-50, in plain torch modules."""
    from torch import nn

    def convolution(in_channels, out_channels, size, stride=1, act=True):
        layers = [
            nn.Conv2d(in_channels, out_channels, size, stride, size // 2, bias=False),
            nn.BatchNorm2d(out_channels),
        ]
        return nn.Sequential(*layers, nn.ReLU(inplace=True)) if act else nn.Sequential(*layers)

    class Unit(nn.Module):
        def __init__(self, in_channels, width, stride):
            super().__init__()
            self.residual = nn.Sequential(
                convolution(in_channels, width, 1),
                convolution(width, width, 3, stride),
                convolution(width, 4 * width, 1, act=False),
            )
            same = stride == 1 and in_channels == 4 * width
            self.shortcut = (
                nn.Identity() if same else convolution(in_channels, 4 * width, 1, stride, act=False)
            )
            self.activation = nn.ReLU(inplace=True)

        def forward(self, x):
            return self.activation(self.residual(x) + self.shortcut(x))

    layers, channels = [convolution(3, 64, 7, 2), nn.MaxPool2d(3, 2, 1)], 64
    for stage, depth in enumerate(depths):
        for position in range(depth):
            width, stride = 64 * 2**stage, 2 if stage and not position else 1
            layers.append(Unit(channels, width, stride))
            channels = 4 * width
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, 1000))


def small_network():
    """Three convolutions for 28x28 pictures: many short kernels, so threads wait often."""
    from torch import nn

    layers, channels = [], 1
    for width in (32, 64, 128):
        layers += [nn.Conv2d(channels, width, 3, padding=1, bias=False), nn.BatchNorm2d(width), nn.ReLU()]
        layers += [nn.MaxPool2d(2)]
        channels = width
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, 10))


if __name__ == "__main__":
    main()
