"""One pass over a picture against 64 windows: python benchmarks/fully_convolutional.py [--rounds N]

A localizer for 224x224 pictures with five classes, objectness and a box looks at pictures of 448x448: through
64 windows 32 pixels apart, in batches, and as a fully convolutional network. Both sides run in one way: fp32,
channels_last, with Striate's settings of the processor. Without padding both give the same numbers, and the
largest difference is printed; the layers of ResNet-18 pad, so there only the time is compared.
"""

import argparse
from collections.abc import Iterator

import turns

WINDOW, PICTURE, STRIDE = 224, 448, 32
NETWORKS = {"patches": "64 windows, no padding", "resnet18": "64 windows, resnet18"}  # name: what is printed
STEPS = 1  # passes over one picture in a turn


def main() -> None:
    """Run the comparisons and print one line for each."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--serve", nargs=2, metavar=("SIDE", "NETWORK"), help="be one side")
    arguments = parser.parse_args()
    if arguments.serve:
        turns.serve(scans(*arguments.serve), STEPS)
        return
    print(f"{'windows / one pass, ' + str(arguments.rounds) + ' rounds':44} ratio  quartiles")
    for network, title in NETWORKS.items():
        sides = [[__file__, "--serve", side, network] for side in ("windows", "one pass")]
        turns.compare(title, (sides[0], sides[1]), arguments.rounds)
    print(f"largest relative difference without padding: {difference():.1e}")


def scans(side: str, network: str) -> Iterator[None]:
    """Passes over a picture without end."""
    scanner, picture = build(side, network)
    import torch

    while True:
        with torch.inference_mode():
            scanner(picture)
        yield


def difference() -> float:
    """The largest difference between the outputs of both sides, relative to the largest of its kind."""
    import torch

    with torch.inference_mode():
        one, other = (
            run(picture) for run, picture in (build("windows", "patches"), build("one pass", "patches"))
        )
    assert one["logits"].shape == (1, 5, 8, 8)
    return max(float((one[name] - other[name]).abs().max() / one[name].abs().max()) for name in one)


def build(side: str, network: str):
    """What gives the outputs of 64 windows, and a picture, as users run them."""
    from striate import runtime

    runtime.prepare()
    import torch

    from striate.device import place_model, to_input
    from striate.models.catalog import create_model
    from striate.tasks.detection.fully_convolutional import fully_convolutional
    from striate.tasks.detection.sliding_window import SlidingWindow
    from striate.tasks.localization.task import Localizer

    torch.manual_seed(0)
    backbone = patches(num_classes=5) if network == "patches" else create_model(network, num_classes=5)
    localizer = Localizer(backbone, objectness=True).eval()
    window = (WINDOW, WINDOW)
    windows = SlidingWindow(localizer, window, STRIDE)
    scanner = windows if side == "windows" else fully_convolutional(localizer, window)
    picture = torch.randn(1, 3, PICTURE, PICTURE, generator=torch.Generator().manual_seed(1))
    return place_model(scanner, torch.device("cpu")), to_input(picture)


def patches(num_classes: int):
    """A backbone of layers that do not overlap, 224 -> 7x7x100, and a dense layer of 200 units."""
    from torch import nn

    from striate.layers import he_normal_, initialize
    from striate.models.backbone import Backbone, FeatureInfo

    def stage(in_channels: int, channels: int, stride: int, depth: int) -> nn.Sequential:
        layers = [nn.Conv2d(in_channels, channels, stride, stride), nn.ReLU(inplace=True)]
        for _ in range(depth):
            layers += [nn.Conv2d(channels, channels, 1), nn.ReLU(inplace=True)]
        return nn.Sequential(*layers)

    class Patches(Backbone):
        def __init__(self) -> None:
            super().__init__()
            self.stem = stage(3, 128, 4, depth=24)
            self.stages = nn.ModuleDict(
                {
                    "stage1": stage(128, 256, 2, depth=8),
                    "stage2": stage(256, 512, 2, depth=4),
                    "stage3": stage(512, 100, 2, depth=1),
                }
            )
            self.head = nn.Sequential(
                nn.Flatten(), nn.Linear(100 * 7 * 7, 200), nn.ReLU(), nn.Linear(200, num_classes)
            )
            self.feature_info = [
                FeatureInfo("stem", 128, stride=4),
                FeatureInfo("stage1", 256, stride=8),
                FeatureInfo("stage2", 512, stride=16),
                FeatureInfo("stage3", 100, stride=32),
            ]
            initialize(self, he_normal_)

        def features(self, x):
            maps = {"stem": self.stem(x)}
            x = maps["stem"]
            for name, layers in self.stages.items():
                x = maps[name] = layers(x)
            return maps

        def classify(self, features):
            return self.head(features["stage3"])

    return Patches()


if __name__ == "__main__":
    main()
