"""All random changes of a batch: pictures and boxes change together, as functions of their keys."""

import pytest
import torch

from striate.data.batch_sizes import STEPS, resize_batch
from striate.data.changes import Changes
from striate.data.scenes import make_scenes
from striate.ops.frames import objects_in_input
from striate.recipe import AugmentSettings
from striate.samples import Batch, Frame, Objects

CPU = torch.device("cpu")
STILL = {"shift": 0.0}


def a_batch(count=4, others=0):
    pixels, objects, _ = make_scenes(count + others, 64, (1, 3))
    frames = [Frame(64, 64)] * (count + others)

    def part(rows):
        keys = torch.arange(rows.start, rows.stop)
        return Batch(pixels[rows], objects[rows], keys, [], frames[rows], keys)

    batch = part(slice(0, count))
    if others:
        batch = Batch(**{**vars(batch), "partners": part(slice(count, count + others))})
    return batch


def changes(**settings):
    return Changes(AugmentSettings(**settings), 0, 10, objects_in_input)


def boxes_of_squares(images: torch.Tensor) -> torch.Tensor:
    """The box of what is brighter than half, for each picture."""
    found = []
    for bright in images[:, 0] > 127:
        rows, columns = bright.any(1).nonzero()[:, 0], bright.any(0).nonzero()[:, 0]
        found.append([columns[0], rows[0], columns[-1] + 1, rows[-1] + 1])
    return torch.tensor(found, dtype=torch.float32)


def test_nothing_is_on_unless_it_is_asked_for():
    assert not changes(**STILL).is_on
    for one in (
        {"flip": True},
        {"mosaic": 0.5},
        {"sizes": [64]},
        {"box_crop": True},
        {"expand": 2.0},
        {"mixup": 1},
    ):
        assert changes(**STILL, **one).is_on, one


@pytest.mark.parametrize("settings", [{"flip": True}, {"shift": 0.2}, {"expand": 2.0}, {"rescale": 0.5}])
def test_boxes_are_where_the_pictures_show_them(settings):
    images = torch.zeros(6, 1, 64, 64, dtype=torch.uint8)
    images[:, :, 24:36, 12:36] = 255
    objects = Objects.of(torch.tensor([[12.0, 24, 36, 36]] * 6), torch.zeros(6).long(), torch.ones(6).long())
    keys = torch.arange(6)
    batch = Batch(images, objects, keys, [], [Frame(64, 64)] * 6, keys)
    moved, boxes = changes(**(STILL | settings))(batch, 4, 0, CPU)
    assert not torch.equal(moved.float(), images.float())
    whole = boxes.counts == 1
    assert whole.any()
    found = boxes_of_squares(moved[whole])
    assert (found - boxes[whole.nonzero()[:, 0]].boxes_xyxy).abs().max() <= 1.0  # whole pixels of a soft edge


def test_a_mosaic_takes_the_partners_of_each_picture():
    batch = a_batch(2, others=6)
    images, objects = changes(**STILL, mosaic=1.0)(batch, 0, 0, CPU)
    assert images.shape == (2, 3, 64, 64)
    assert len(objects) == 2
    known = set(batch.targets[0].labels.tolist()) | set(batch.partners.targets[:3].labels.tolist())
    assert set(objects[0].labels.tolist()) <= known


def test_what_happens_depends_on_the_keys_alone():
    batch = a_batch(4)
    change = changes(flip=True, rotate=20, brightness=0.3, box_crop=True)
    images, objects = change(batch, 5, 0, CPU)
    rows = torch.tensor([3, 1])
    part = Batch(batch.images[rows], batch.targets[rows], rows, [], [Frame(64, 64)] * 2, rows)
    some, those = change(part, 5, 99, CPU)
    assert torch.equal(some, images[rows])
    assert torch.equal(those.boxes_xyxy, objects[rows].boxes_xyxy)
    assert not torch.equal(change(batch, 6, 0, CPU)[0], images)


def test_a_size_stays_for_ten_steps_and_boxes_go_along():
    batch = a_batch(3)
    sizes = ((32, 48), (64, 64), (96, 80))
    seen = []
    for step in range(12 * STEPS):
        images, objects = resize_batch(batch.images, batch.targets, sizes, 7, step)
        height, width = images.shape[-2:]
        seen.append((height, width))
        factors = torch.tensor([width / 64, height / 64] * 2)
        torch.testing.assert_close(objects.boxes_xyxy, batch.targets.boxes_xyxy * factors)
    assert set(seen) == set(sizes)
    for block in range(12):
        assert len(set(seen[block * STEPS : (block + 1) * STEPS])) == 1
    same = [resize_batch(batch.images, batch.targets, sizes, 7, step)[0].shape[-2:] for step in (25, 25)]
    assert same[0] == same[1]


def test_the_same_size_leaves_pictures_as_they_are():
    batch = a_batch(2)
    images, objects = resize_batch(batch.images, batch.targets, ((64, 64),), 0, 0)
    assert images is batch.images
    assert objects is batch.targets
