"""Views drawn by what they show: overlaps against plain arithmetic, and the laws of the keys."""

from collections import Counter

import pytest
import torch
from torch import Tensor

from striate.data.box_crop import LEAST_IOU, draw_box_crop, draw_expand, draw_view, within
from striate.data.keyed_random import keyed_uniform
from striate.data.scenes import make_scenes
from striate.data.streams import Stream
from striate.samples import Objects

HEIGHT, WIDTH = 96, 96
COUNT = 600


def objects_of(count: int = COUNT) -> Objects:
    """One to three boxes in each picture."""
    generator = torch.Generator().manual_seed(1)
    counts = torch.randint(1, 4, (count,), generator=generator)
    total = int(counts.sum())
    sides = 10 + 60 * torch.rand(total, 2, generator=generator)
    corner = torch.rand(total, 2, generator=generator) * (96 - sides)
    return Objects.of(
        torch.cat([corner, corner + sides], dim=1), torch.zeros(total, dtype=torch.int64), counts
    )


def overlap(box: list[float], patch: list[float]) -> float:
    across = min(box[2], patch[2]) - max(box[0], patch[0])
    down = min(box[3], patch[3]) - max(box[1], patch[1])
    shared = max(across, 0) * max(down, 0)
    areas = [(b[2] - b[0]) * (b[3] - b[1]) for b in (box, patch)]
    return shared / (sum(areas) - shared)


def has_centre(box: list[float], patch: list[float]) -> bool:
    x, y = (box[0] + box[2]) / 2, (box[1] + box[3]) / 2
    return patch[0] <= x <= patch[2] and patch[1] <= y <= patch[3]


def patches(view: tuple[Tensor, Tensor]) -> list[list[float]]:
    corner, size = view
    scale = torch.tensor([WIDTH, HEIGHT])
    boxes: list[list[float]] = torch.cat([corner * scale, (corner + size) * scale], dim=1).tolist()
    return boxes


def test_a_patch_shows_an_object_by_as_much_as_was_drawn() -> None:
    objects, keys = objects_of(), torch.arange(COUNT)
    drawn = patches(draw_box_crop(objects, 1, 2, keys, HEIGHT, WIDTH))
    choices = (keyed_uniform(1, 2, keys, 1, Stream.BOX_CROP)[:, 0] * 7).long().tolist()
    whole = Counter[int]()
    for picture, (patch, choice) in enumerate(zip(drawn, choices, strict=True)):
        if patch == [0, 0, WIDTH, HEIGHT]:
            whole[choice] += 1
            continue
        shown = [
            overlap(box, patch) for box in objects[picture].boxes_xyxy.tolist() if has_centre(box, patch)
        ]
        assert max(shown) >= LEAST_IOU[choice] - 1e-9
        assert min(patch) >= -1e-9
        assert max(patch) <= 96 + 1e-9
        width, height = patch[2] - patch[0], patch[3] - patch[1]
        assert width * height >= 0.1 * 96**2 - 1e-6
        assert 0.5 - 1e-9 <= width / height <= 2 + 1e-9
    numbers = Counter(choices)
    assert len(numbers) == 7
    assert min(numbers.values()) > 50
    assert whole[6] == numbers[6]  # one in seven stays whole
    assert whole[0] == 0  # of fifty patches one shows a centre


def test_small_overlaps_give_smaller_patches_than_large_ones() -> None:
    # One object that fills a ninth of the picture: an IoU of 0.9 needs a patch of its size.
    boxes = torch.tensor([[32.0, 32.0, 64.0, 64.0]]).repeat(COUNT, 1)
    objects = Objects.of(boxes, torch.zeros(COUNT, dtype=torch.int64), torch.ones(COUNT, dtype=torch.int64))
    keys = torch.arange(COUNT)
    _, size = draw_box_crop(objects, 1, 2, keys, HEIGHT, WIDTH)
    choices = (keyed_uniform(1, 2, keys, 1, Stream.BOX_CROP)[:, 0] * 7).long()
    areas, taken = size.prod(dim=1), (size < 1).any(dim=1)
    assert areas[taken & (choices == 0)].mean() > 2 * areas[taken & (choices == 3)].mean()


def test_pictures_without_objects_and_crowds_are_cropped_freely() -> None:
    keys, none = torch.arange(200), torch.zeros(200, dtype=torch.int64)
    empty = Objects.of(torch.empty(0, 4), torch.empty(0, dtype=torch.int64), none)
    tiny = torch.tensor([[0.0, 0.0, 1.0, 1.0]]).repeat(200, 1)  # no patch could have an IoU of 0.9 with it
    yes, ones = torch.ones(200, dtype=torch.bool), torch.ones(200, dtype=torch.int64)
    crowds = Objects(tiny, none, ones, yes, ~yes)
    free = draw_box_crop(empty, 4, 0, keys, HEIGHT, WIDTH)
    assert torch.equal(free[1], draw_box_crop(crowds, 4, 0, keys, HEIGHT, WIDTH)[1])
    whole = (free[1] == 1).all(dim=1)
    assert 10 < whole.sum() < 50


def test_where_no_patch_will_do_the_picture_stays_whole() -> None:
    tiny = torch.tensor([[10.0, 10.0, 11.0, 11.0]]).repeat(200, 1)
    objects = Objects.of(tiny, torch.zeros(200, dtype=torch.int64), torch.ones(200, dtype=torch.int64))
    corner, size = draw_box_crop(objects, 4, 0, torch.arange(200), HEIGHT, WIDTH)
    choices = (keyed_uniform(4, 0, torch.arange(200), 1, Stream.BOX_CROP)[:, 0] * 7).long()
    assert (size[choices >= 1] == 1).all()
    assert (corner[choices >= 1] == 0).all()
    assert (size[choices == 0] < 1).any()


def test_zooming_out_holds_the_whole_picture_in_half_of_all_cases() -> None:
    corner, size = draw_expand(4.0, 1, 1, torch.arange(1000))
    out = (size > 1).all(dim=1)
    assert 430 < out.sum() < 570
    assert (corner[~out] == 0).all()
    assert (corner <= 0).all()
    assert (corner + size >= 1 - 1e-12).all()
    assert torch.equal(size[:, 0], size[:, 1])  # keeps the aspect
    ratios = size[out, 0]
    assert 1 < ratios.min() < 1.1
    assert 3.9 < ratios.max() < 4
    assert ratios.mean() == pytest.approx(2.5, abs=0.15)
    assert (draw_expand(1.0, 1, 1, torch.arange(50))[1] == 1).all()


def test_a_crop_of_a_crop_is_worked_by_hand() -> None:
    outer = torch.tensor([[0.5, 0.0]]), torch.tensor([[0.5, 1.0]])
    inner = torch.tensor([[0.5, 0.25]]), torch.tensor([[0.5, 0.5]])
    corner, size = within(outer, inner)
    assert corner.tolist() == [[0.75, 0.25]]
    assert size.tolist() == [[0.25, 0.5]]


def test_a_patch_of_a_zoomed_out_picture_still_shows_its_object() -> None:
    objects, keys = objects_of(), torch.arange(COUNT)
    drawn = patches(draw_view(objects, True, 3.0, 1, 2, keys, HEIGHT, WIDTH))
    for picture, patch in enumerate(drawn):
        assert any(has_centre(box, patch) for box in objects[picture].boxes_xyxy.tolist())


def test_a_view_depends_on_its_key_and_objects_alone() -> None:
    made, keys = make_scenes(8, 96), torch.arange(8)
    corner, size = draw_view(made.objects, True, 2.0, 1, 2, keys, 96, 96)
    some = torch.tensor([6, 1])
    few = draw_view(made.objects[some], True, 2.0, 1, 2, keys[some], 96, 96)
    assert torch.equal(corner[some], few[0])
    assert torch.equal(size[some], few[1])
    assert not torch.equal(size, draw_view(made.objects, True, 2.0, 1, 3, keys, 96, 96)[1])
    assert not torch.equal(size, draw_view(made.objects, True, 2.0, 2, 2, keys, 96, 96)[1])
