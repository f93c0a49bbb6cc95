"""Near copies of labelled pictures: the same photograph has the same objects, a fixed camera has others."""

import numpy as np
import pytest
import torch
from faulty_pictures import encode, smooth_pixels, write_files
from PIL import Image, ImageDraw

from striate.audit import audit
from striate.audit.same_objects import SHARE, in_halves, nearly_same
from striate.ops.boxes import box_iou
from striate.samples import Objects

HEAD = "filename,xmin,ymin,xmax,ymax,class,split"
SIDE = 256  # of a board of 8 x 8 squares


def board(pieces):
    """A board as a fixed camera sees it, with a small disc on each of the squares."""
    picture = Image.fromarray(smooth_pixels(SIDE, SIDE, seed=7))
    draw = ImageDraw.Draw(picture)
    for square in range(64):
        y, x = divmod(square, 8)
        if (x + y) % 2:
            draw.rectangle((32 * x, 32 * y, 32 * x + 31, 32 * y + 31), fill=(40, 30, 20))
    for square in pieces:
        x1, y1, x2, y2 = box_of(square)
        draw.ellipse((x1, y1, x2 - 1, y2 - 1), fill=(128, 120, 110))
    return picture


def box_of(square):
    y, x = divmod(square, 8)
    return 32 * x + 10, 32 * y + 10, 32 * x + 22, 32 * y + 22


def write_set(root, pictures):
    """A data set of CSV: name -> (picture, boxes of class piece, split)."""
    lines = [
        f"{name},{','.join(map(str, box))},piece,{split}"
        for name, (_, boxes, split) in pictures.items()
        for box in boxes
    ]
    files = {name: encode(np.asarray(picture), "PNG") for name, (picture, *_) in pictures.items()}
    write_files(root, files | {"labels.csv": "\n".join([HEAD, *lines]).encode()})
    return root


def copies(result):
    """The groups of copies that an audit tells, by kind."""
    return {
        kind: [sorted(result.entries[i].name for i in one.entries) for one in found]
        for kind, found in result.by_kind().items()
        if kind in ("near-duplicate", "mirrored", "leak", "duplicate")
    }


def test_boards_of_a_fixed_camera_are_copies_only_with_the_same_pieces(tmp_path):
    games = {"a.png": [1, 20, 30], "b.png": [3, 40, 50], "c.png": [9, 33, 62]}
    pictures = {name: (board(game), map(box_of, game), "train") for name, game in games.items()}
    brighter = Image.eval(board(games["a.png"]), lambda value: min(255, value + 9))
    pictures["again.png"] = (brighter, map(box_of, games["a.png"]), "val")  # a leak that is one
    pictures["moved.png"] = (board([1, 20, 31]), map(box_of, [1, 20, 31]), "val")
    assert copies(audit(write_set(tmp_path / "labelled", pictures))) == {"leak": [["a.png", "again.png"]]}
    folders = {f"data/{name}": encode(np.asarray(one), "PNG") for name, (one, *_) in pictures.items()}
    write_files(
        tmp_path / "classes", {**folders, "other/x.png": encode(smooth_pixels(64, 64, seed=1), "PNG")}
    )
    (group,) = copies(audit(tmp_path / "classes"))["near-duplicate"]
    assert len(group) == 5  # by the pictures alone all of them are alike


@pytest.mark.parametrize("right", [True, False])
def test_a_crop_is_a_copy_if_its_boxes_are_where_the_crop_shows_them(tmp_path, right):
    whole = Image.fromarray(smooth_pixels(200, 300, seed=3))
    boxes = [(60, 40, 120, 90), (180, 100, 260, 170), (0, 0, 9, 9)]  # the last is not in the crop
    left, top = 15, 10
    crop = whole.crop((left, top, 285, 190))
    shown = [(x1 - left, y1 - top, x2 - left, y2 - top) for x1, y1, x2, y2 in boxes[:2]]
    pictures = {
        "whole.png": (whole, boxes, ""),
        "crop.png": (crop, shown if right else [shown[0], (10, 100, 90, 160)], ""),
        "mirror.png": (whole.transpose(Image.Transpose.FLIP_LEFT_RIGHT),
                       [(300 - x2, y1, 300 - x1, y2) for x1, y1, x2, y2 in boxes] if right else boxes, ""),
    }  # fmt: skip
    found = copies(audit(write_set(tmp_path / "data", pictures)))
    if right:
        assert found["near-duplicate"] == [["crop.png", "whole.png"]]
        assert ["mirror.png", "whole.png"] in [[one for one in group if one != "crop.png"]
                                               for group in found["mirrored"]]  # fmt: skip
    else:
        assert found == {}


def test_pictures_without_objects_are_compared_by_their_pixels(tmp_path):
    """An empty board twice; and with a piece, once."""
    empty = Image.eval(board([]), lambda value: min(255, value + 9))
    pictures = {
        "a.png": (board([]), [], ""),
        "b.png": (empty, [], ""),
        "c.png": (board([5]), [box_of(5)], ""),
    }
    root = write_set(tmp_path / "data", pictures)
    with (root / "labels.csv").open("a") as file:
        file.write("\na.png,,,,,,\nb.png,,,,,,")
    assert copies(audit(root)) == {"near-duplicate": [["a.png", "b.png"]]}


def test_counterparts_are_those_that_one_by_one_comparison_finds():
    generator = torch.Generator().manual_seed(0)
    counts = torch.randint(0, 6, (60,), generator=generator)
    corners = torch.rand(int(counts.sum()), 2, generator=generator) * 60
    boxes = torch.cat([corners, corners + 40], dim=1)
    labels = torch.randint(0, 2, (len(boxes),), generator=generator)
    first = Objects.of(boxes, labels, counts)
    changed = labels.where(torch.rand(len(labels), generator=generator) < 0.9, 1 - labels)
    jitter = boxes + torch.randint(-4, 5, boxes.shape, generator=generator)
    second = Objects.of(jitter, changed, counts)
    sizes = torch.full((60, 2), 100)
    found = nearly_same(in_halves(first, sizes), in_halves(second, sizes), torch.zeros(60, 4))
    for i, same in enumerate(found.tolist()):
        one, other = first[i], second[i]
        grown = [side.boxes_xyxy + torch.tensor([-1, -1, 1, 1]) for side in (one, other)]
        met = (box_iou(*grown) >= 0.5) & (one.labels[:, None] == other.labels)
        count = len(one.labels)
        enough = [met.any(axis).sum() >= SHARE * count for axis in (0, 1)] if count else [True]
        assert same == all(enough), i
    assert 10 < sum(found.tolist()) < 50
