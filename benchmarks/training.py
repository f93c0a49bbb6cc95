"""Training and feeding, Striate against the stock way: python benchmarks/training.py [--rounds N] [NAME ...]

The stock way is what a PyTorch tutorial writes: PIL pictures in a DataLoader, torchvision's RandomCrop,
ToTensor and Normalize on each, NCHW fp32, torch's own run-time settings. Striate's is what
``striate train`` does: one uint8 tensor, batched augmentation, channels_last, bf16 where the processor
has it, ``runtime.prepare``. Both sides train the same network on the same pictures with the same
augmentation (a shift), batch size and optimizer.

The two sides take turns, a few batches each (see turns.py).
"""

import argparse
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import turns

BATCH = 512
COUNT = 8192  # pictures
JOBS = {"feed": 160, "fashion_cnn": 1, "compact_cnn": 2, "lenet5": 6}  # batches a turn


def main() -> None:
    """Run the comparisons and print one line for each."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(JOBS)}")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--workers", type=int, default=0, help="of the stock DataLoader")
    parser.add_argument("--serve", nargs=2, metavar=("SIDE", "JOB"), help="be one side")
    arguments = parser.parse_args()
    if arguments.serve:
        side, job = arguments.serve
        steps = stock_steps(job, arguments.workers) if side == "stock" else striate_steps(job)
        turns.serve(steps, JOBS[job])
        return
    print(f"{'stock / striate, ' + str(arguments.rounds) + ' rounds':44} ratio  quartiles")
    for job in arguments.names or JOBS:
        common = [__file__, "--workers", str(arguments.workers), "--serve"]
        turns.compare(job, ([*common, "stock", job], [*common, "striate", job]), arguments.rounds)


def pixels():
    """Pictures of 28 x 28 as they come from disk: random, because only the time matters here."""
    import torch

    generator = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (COUNT, 1, 28, 28), dtype=torch.uint8, generator=generator)
    return images, torch.randint(0, 10, (COUNT,), generator=generator)


def stock_steps(job: str, workers: int) -> Iterator[None]:
    """The tutorial's loop with torchvision's transforms, one batch at a time."""
    from PIL import Image
    from torch.utils.data import DataLoader, Dataset

    sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
    from peers import declare_torchvision_operators

    declare_torchvision_operators()
    from torchvision import transforms

    images, labels = pixels()
    steps = [transforms.RandomCrop(28, padding=2), transforms.ToTensor(), transforms.Normalize(0.5, 0.25)]
    transform = transforms.Compose(steps)

    class Pictures(Dataset):  # as torchvision.datasets.MNIST
        def __len__(self) -> int:
            return COUNT

        def __getitem__(self, index: int):
            return transform(Image.fromarray(images[index, 0].numpy())), int(labels[index])

    loader = DataLoader(Pictures(), BATCH, shuffle=True, num_workers=workers, drop_last=True)
    train = trainer(job, lambda x: x) if job != "feed" else lambda x, y: None
    while True:
        for x, y in loader:
            train(x, y)
            yield


def striate_steps(job: str) -> Iterator[None]:
    """What ``striate train`` does, one batch at a time."""
    from striate import runtime

    runtime.prepare()
    import torch

    from striate.data.augment import Augment
    from striate.data.loader import Loader, MemoryPictures
    from striate.data.preprocessing import Preprocessing
    from striate.device import to_input
    from striate.recipe import AugmentSettings
    from striate.samples import Frame
    from striate.train.precision import autocast, resolve_precision

    images, labels = pixels()
    names = [str(number) for number in range(COUNT)]
    pictures = MemoryPictures(images, [Frame(28, 28)] * COUNT, names, labels)
    preprocessing = Preprocessing((28, 28), 1, "crop", 0, (0.5,), (0.25,))
    augment = Augment(AugmentSettings(shift=0.07), seed=0)
    loader = Loader(pictures, BATCH, seed=0)
    precision = resolve_precision("auto", torch.device("cpu"))
    if job == "feed":
        train = lambda x, y: None  # noqa: E731
    else:
        train = trainer(job, to_input, lambda: autocast(precision, torch.device("cpu")))
    epoch = 0
    while True:
        for batch in loader.batches(epoch):
            x = to_input(preprocessing.normalize(augment(batch.images, epoch, batch.indices)))
            train(x, batch.targets)
            yield
        epoch += 1


def trainer(job: str, layout: Callable, autocast: Callable | None = None) -> Callable:
    """One step of SGD with momentum on the network called ``job``."""
    import contextlib

    import torch
    from torch.nn import functional as F

    from striate.models.catalog import create_model

    torch.manual_seed(0)
    striate_side = autocast is not None
    model = create_model(job).train()
    if striate_side:
        model = model.to(memory_format=torch.channels_last)
    optimizer = torch.optim.SGD(model.parameters(), 0.01, momentum=0.9, fused=striate_side or None)
    pad = 2 if job.startswith("lenet") else 0

    def train(x, y) -> None:
        with autocast() if striate_side else contextlib.nullcontext():
            logits = model(layout(F.pad(x, (pad,) * 4)))
        F.cross_entropy(logits.float(), y).backward()
        optimizer.step()
        optimizer.zero_grad()

    return train


if __name__ == "__main__":
    main()
