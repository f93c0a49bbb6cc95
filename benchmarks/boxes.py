"""Suppression of overlapping boxes, the loop of the definition against Striate: python benchmarks/boxes.py

The loop keeps the surest box, drops what overlaps it by more than a threshold, and repeats: one comparison
with all that are left for each box that is kept, in plain torch. Both sides have Striate's run-time settings.
Before anything is measured both must give the same boxes in the same order.

| layout    | boxes                                                                                |
| --------- | ------------------------------------------------------------------------------------ |
| scattered | 10 to 100 pixels a side, anywhere in 1000x1000: much is kept                         |
| clustered | around 200 objects, corners off by 15 % of a side: a detector's, most are dropped    |
"""

import argparse
from collections.abc import Callable, Iterator

import turns

SIDES = ("loop", "striate")
LAYOUTS = ("scattered", "clustered")


def main() -> None:
    """Run the comparisons and print one line for each."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--boxes", type=int, default=10_000)
    parser.add_argument("--iou", type=float, nargs="+", default=[0.3, 0.5, 0.7])
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--serve", nargs=2, metavar=("SIDE", "LAYOUT"), help="be one side")
    arguments = parser.parse_args()
    if arguments.serve:
        turns.serve(suppressions(*arguments.serve, arguments.boxes, arguments.iou[0]), 1)
        return
    title = f"loop / striate, {arguments.boxes} boxes, {arguments.rounds} rounds"
    print(f"{title:44} ratio  quartiles")
    for layout in LAYOUTS:
        for iou in arguments.iou:
            kept = check(layout, arguments.boxes, iou)
            common = [__file__, "--boxes", str(arguments.boxes), "--iou", str(iou), "--serve"]
            sides = ([*common, SIDES[0], layout], [*common, SIDES[1], layout])
            turns.compare(f"{layout}, iou {iou}, {kept} kept", sides, arguments.rounds)


def check(layout: str, count: int, iou: float) -> int:
    """How many boxes are kept, after a comparison of both sides' results."""
    import torch

    boxes, scores = make_boxes(layout, count)
    expected, found = (suppress(boxes, scores, iou) for suppress in map(suppression, SIDES))
    if not torch.equal(expected, found):
        raise SystemExit(f"{layout}, iou {iou}: the results differ")
    return len(found)


def suppressions(side: str, layout: str, count: int, iou: float) -> Iterator[None]:
    """The same boxes suppressed again and again."""
    from striate import runtime

    runtime.prepare()
    suppress = suppression(side)
    boxes, scores = make_boxes(layout, count)
    while True:
        suppress(boxes, scores, iou)
        yield


def suppression(side: str) -> Callable:
    """What a side does: (boxes, scores, iou) -> indices."""
    import torch

    from striate.ops.boxes import broadcast_iou
    from striate.ops.nms import nms

    def loop(boxes, scores, iou):
        rest = scores.argsort(descending=True, stable=True)
        kept = []
        while len(rest):
            best, rest = rest[0], rest[1:]
            kept.append(best)
            rest = rest[broadcast_iou(boxes[best], boxes[rest]) <= iou]
        return torch.stack(kept)

    return {"loop": loop, "striate": nms}[side]


def make_boxes(layout: str, count: int):
    """Boxes (count, 4) in random order and their scores."""
    import torch

    generator = torch.Generator().manual_seed(0)

    def scattered(count):
        centre = 1000 * torch.rand(count, 2, generator=generator)
        sides = 10 + 90 * torch.rand(count, 2, generator=generator)
        return torch.cat([centre - sides / 2, centre + sides / 2], dim=1)

    if layout == "scattered":
        boxes = scattered(count)
    else:
        boxes = scattered(200)[torch.randint(200, (count,), generator=generator)]
        sides = (boxes[:, 2:] - boxes[:, :2]).repeat(1, 2)
        boxes = boxes + 0.15 * sides * torch.randn(count, 4, generator=generator)
    return boxes, torch.rand(count, generator=generator)


if __name__ == "__main__":
    main()
