"""Windows of generated scenes: they show what their box says, or nothing that a window should show."""

import pytest
import torch

from striate.data.scene_windows import LEAST_FILLED, PER_SCENE, draw_windows, make_windows, shown_digits
from striate.data.scenes import make_scenes
from striate.samples import Objects


def scene_of(*boxes: tuple[float, float, float, float]) -> Objects:
    return Objects.of(torch.tensor(boxes).reshape(-1, 4), torch.arange(len(boxes)))


def shown(scene: Objects, *window: int) -> list[tuple[int, list[float]]]:
    found = shown_digits(scene, torch.tensor([window]), size=20)
    return list(zip(found.labels.tolist(), found.boxes_xyxy.tolist(), strict=True))


def test_a_whole_digit_is_shown_in_pixels_of_the_resized_window() -> None:
    assert shown(scene_of((50, 60, 65, 90)), 40, 55, 80, 95) == [(0, [5, 2.5, 12.5, 17.5])]


@pytest.mark.parametrize(
    ("window", "counts"),
    [
        ((52, 60, 92, 100), 0),  # 2 of 16 pixels in width are out of sight
        ((51, 60, 91, 100), 1),  # 1 of 16
        ((0, 20, 100, 120), 0),  # whole, but small
        ((100, 0, 140, 40), 0),  # elsewhere
    ],
)
def test_a_digit_that_is_cut_or_small_is_not_shown(window: tuple[int, ...], counts: int) -> None:
    assert len(shown(scene_of((50, 60, 66, 90)), *window)) == counts


def test_of_two_the_one_in_the_middle_is_shown() -> None:
    scene = scene_of((0, 0, 18, 20), (21, 10, 39, 32), (60, 60, 80, 90))
    assert [label for label, _ in shown(scene, 0, 0, 40, 40)] == [1]
    assert [label for label, _ in shown(scene, 0, 0, 39, 39)] == [1]
    assert [label for label, _ in shown(scene, 60, 60, 100, 100)] == [2]


def test_windows_lie_in_their_scene_and_every_other_one_is_made_for_a_digit() -> None:
    digits = make_scenes(50).objects[torch.arange(200) // PER_SCENE]
    generator = torch.Generator().manual_seed(0)
    windows = draw_windows(torch.rand(200, 4, generator=generator, dtype=torch.float64), digits)
    assert (windows[:, :2] >= 0).all()
    assert (windows[:, 2:] <= 160).all()
    assert torch.equal(windows[:, 2] - windows[:, 0], windows[:, 3] - windows[:, 1])
    counts = shown_digits(digits, windows, 64).counts
    assert counts.max() == 1
    assert (counts[::2] == 1).all()
    assert 0 < counts[1::2].sum() < 50


def test_windows_are_the_same_at_any_count_and_other_ones_in_other_splits() -> None:
    pixels, objects = make_windows(9)
    more, many = make_windows(14)
    assert torch.equal(pixels, more[:9])
    assert torch.equal(objects.boxes_xyxy, many[:9].boxes_xyxy)
    assert not torch.equal(pixels, make_windows(9, split="val")[0])
    assert pixels.shape == (9, 3, 64, 64)
    assert make_windows(0)[0].shape == (0, 3, 64, 64)


def test_boxes_enclose_what_stands_out_in_a_window() -> None:
    pixels, objects = make_windows(120, split="test")
    sides = objects.boxes_xyxy[:, 2:] - objects.boxes_xyxy[:, :2]
    assert (objects.boxes_xyxy >= 0).all()
    assert (objects.boxes_xyxy <= 64).all()
    assert (sides.amax(1) >= 64 * LEAST_FILLED - 1e-3).all()
    spread = []
    for picture, (x1, y1, x2, y2) in zip(
        objects.pictures.tolist(), objects.boxes_xyxy.long().tolist(), strict=True
    ):
        image = pixels[picture].float()
        spread.append(float(image[:, y1:y2, x1:x2].std() / image.std()))
    assert torch.tensor(spread).mean() > 1
