"""Reading photographs, Striate against torchvision's usual pipeline: python benchmarks/loading.py [NAME ...]

The usual pipeline is an ImageFolder (Pillow) with Resize, CenterCrop, ToTensor and Normalize on each
picture, in a DataLoader. Striate's is what ``striate train`` does with pictures that do not fit in memory.
Both end with normalized float32 batches of 224x224 in the memory layout that their networks take, and
both have the same number of workers. Pictures are crops of 500x375 of scikit-learn's photographs with noise,
JPEG of quality 90.

| name   | Striate's side                                                                         |
| ------ | -------------------------------------------------------------------------------------- |
| first  | the first epoch of all: every picture hashed, decoded, kept on disk, and read from there |
| decode | an epoch without a cache                                                               |
| later  | a later epoch, from the cache                                                          |
| pixels | the same, up to the uint8 batch that goes to the device                                |
"""

import argparse
import os
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import turns

COUNT, BATCH, SIDE = 384, 64, 224
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
EPOCHS = {"first": 1, "decode": 1, "later": 4, "pixels": 4}  # a turn


def main() -> None:
    """Run the comparisons and print one line for each."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(EPOCHS)}")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--workers", type=int, default=0, help="of both sides")
    parser.add_argument("--serve", nargs=3, metavar=("SIDE", "JOB", "FOLDER"), help="be one side")
    arguments = parser.parse_args()
    if arguments.serve:
        side, job, folder = arguments.serve
        make_epochs = stock_epochs if side == "stock" else striate_epochs
        turns.serve(make_epochs(job, Path(folder), arguments.workers), EPOCHS[job])
        return
    title = f"usual / striate, {arguments.workers} workers, {arguments.rounds} rounds"
    print(f"{title:44} ratio  quartiles")
    with tempfile.TemporaryDirectory() as folder:
        make_photographs(Path(folder) / "photographs" / "all")
        common = [__file__, "--workers", str(arguments.workers), "--serve"]
        for job in arguments.names or EPOCHS:
            sides = ([*common, "stock", job, folder], [*common, "striate", job, folder])
            turns.compare(job, sides, arguments.rounds)


def make_photographs(folder: Path) -> None:
    """JPEG files of the usual size."""
    import numpy as np
    from PIL import Image
    from sklearn.datasets import load_sample_images

    folder.mkdir(parents=True)
    rng = np.random.default_rng(0)
    photographs = load_sample_images().images
    for number in range(COUNT):
        photograph = photographs[number % len(photographs)]
        top, left = rng.integers(photograph.shape[0] - 375), rng.integers(photograph.shape[1] - 500)
        pixels = photograph[top : top + 375, left : left + 500] + rng.normal(0, 4, (375, 500, 3))
        Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(folder / f"{number:03d}.jpg", quality=90)


def stock_epochs(job: str, folder: Path, workers: int) -> Iterator[None]:
    """Epochs of the usual pipeline; the first is like all others."""
    sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
    from peers import declare_torchvision_operators

    declare_torchvision_operators()
    from torch.utils.data import DataLoader
    from torchvision import datasets, transforms

    steps = [transforms.Resize(SIDE), transforms.CenterCrop(SIDE), transforms.ToTensor()]
    transform = transforms.Compose([*steps, transforms.Normalize(MEAN, STD)])
    pictures = datasets.ImageFolder(folder / "photographs", transform)
    while True:
        for _batch in DataLoader(pictures, BATCH, shuffle=True, num_workers=workers):
            pass
        yield


def striate_epochs(job: str, folder: Path, workers: int) -> Iterator[None]:
    """Epochs of Striate's loader, as the job says."""
    from striate import runtime

    runtime.prepare()
    import torch

    from striate.data.dataset import FolderImages, Split
    from striate.data.loader import Loader, prepare_pictures
    from striate.data.preprocessing import Preprocessing
    from striate.device import to_input

    names = [f"{number:03d}.jpg" for number in range(COUNT)]
    split = Split(FolderImages(folder / "photographs" / "all", names, 3), torch.zeros(COUNT).long())
    preprocessing = Preprocessing((SIDE, SIDE), 3, "crop", 0, MEAN, STD)

    def prepare():
        cache = 0.0 if job == "decode" else 2**34
        return prepare_pictures(split, preprocessing, 0.0, workers, cache_bytes=cache)[0]

    os.environ["STRIATE_CACHE"] = str(folder / job)
    pictures, epoch = prepare(), 0
    while True:
        if job == "first":
            os.environ["STRIATE_CACHE"] = str(folder / f"{job}{epoch}")
            pictures = prepare()
        for batch in Loader(pictures, BATCH, seed=0).batches(epoch):
            if job != "pixels":
                preprocessing.normalize(to_input(batch.images))
        epoch += 1
        yield


if __name__ == "__main__":
    main()
