"""Boxes and masks follow augmented pictures: moved boxes against what is seen in the pixels."""

import math
from typing import Any

import pytest
import torch
from torch import Tensor

from striate.data.augment import Augment
from striate.data.box_crop import draw_view
from striate.data.geometry import draw_affine
from striate.data.moving_objects import cut_objects, move_objects
from striate.data.preprocessing import Preprocessing
from striate.data.scenes import make_scenes
from striate.ops.frames import boxes_in_picture, objects_in_input
from striate.recipe import AugmentSettings
from striate.samples import Frame, Objects

HEIGHT, WIDTH = 60, 80
AXIS_PARALLEL: list[dict[str, Any]] = [
    {"shift": 0.2},
    {"flip": True},
    {"vertical_flip": True},
    {"crop": (0.4, 1.0)},
    {"rescale": 0.5},
    {"shift": 0.1, "flip": True, "vertical_flip": True, "rescale": 0.3, "crop": (0.5, 1.0)},
    {"box_crop": True},
    {"expand": 3.0},
    {"box_crop": True, "expand": 2.0, "flip": True},
]
TURNING: list[dict[str, Any]] = [
    {"rotate": 40.0},
    {"shear": 25.0},
    {"rotate": 20.0, "shear": 10.0, "flip": True},
]


def augment_with(**values: Any) -> Augment:
    return Augment(AugmentSettings(**{"shift": 0.0, **values}), seed=3)


def one_box_each(count: int, seed: int = 0) -> Objects:
    """Boxes of whole pixels anywhere in the picture, at least 8 wide and high."""
    generator = torch.Generator().manual_seed(seed)
    size = torch.tensor([WIDTH, HEIGHT])
    sides = torch.randint(8, 30, (count, 2), generator=generator)
    corner = (torch.rand(count, 2, generator=generator) * (size - sides + 1)).long()
    ones = torch.ones(count, dtype=torch.int64)
    return Objects.of(torch.cat([corner, corner + sides], dim=1), torch.arange(count), ones)


def filled(boxes_xyxy: Tensor, ellipses: bool = False) -> Tensor:
    """Boxes, or the ellipses inscribed in them, bool (T, H, W): pixels whose centres are inside."""
    x, y = torch.arange(WIDTH) + 0.5, torch.arange(HEIGHT)[:, None] + 0.5
    x1, y1, x2, y2 = boxes_xyxy[:, :, None, None].unbind(dim=1)
    across, down = (2 * x - x1 - x2) / (x2 - x1), (2 * y - y1 - y2) / (y2 - y1)  # -1..1 inside
    return across**2 + down**2 <= 1 if ellipses else (across.abs() <= 1) & (down.abs() <= 1)


def seen_boxes(pixels: Tensor) -> tuple[Tensor, Tensor]:
    """The box of what is bright in each (N, H, W), (N, 4), and whether anything is."""
    bright = pixels >= 127.5
    spans = []
    for axis in (1, 2):
        hit = bright.any(dim=axis).byte()
        spans += [hit.argmax(dim=1), hit.shape[1] - hit.flip(1).argmax(dim=1)]
    return torch.stack([spans[0], spans[2], spans[1], spans[3]], dim=1), bright.flatten(1).any(dim=1)


@pytest.mark.parametrize("values", AXIS_PARALLEL, ids=str)
def test_boxes_follow_pictures_to_half_a_pixel(values: dict[str, Any]) -> None:
    objects, keys = one_box_each(200), torch.arange(200)
    images = (filled(objects.boxes_xyxy) * 255).byte()[:, None]
    moved_images, moved = augment_with(**values).with_objects(images, objects, 2, keys)
    boxes, seen = seen_boxes(moved_images[:, 0])
    kept = torch.zeros(200, dtype=torch.bool)
    kept[moved.labels] = True
    assert (seen & ~kept).sum() == 0  # what is seen is not lost
    found = seen[moved.labels]
    assert found.sum() > 100
    assert (moved.boxes_xyxy - boxes[moved.labels])[found].abs().max() <= 0.501
    thin = (moved.boxes_xyxy[~found, 2:] - moved.boxes_xyxy[~found, :2]).amin(dim=1)
    assert (thin <= 1).all()  # less than a pixel of them is left


@pytest.mark.parametrize("values", TURNING, ids=str)
def test_boxes_of_turned_ellipses_are_exact(values: dict[str, Any]) -> None:
    objects, keys = one_box_each(200), torch.arange(200)
    images = (filled(objects.boxes_xyxy, ellipses=True) * 255).byte()[:, None]
    moved_images, moved = augment_with(**values).with_objects(images, objects, 2, keys)
    boxes, _ = seen_boxes(moved_images[:, 0])
    limit = torch.tensor([WIDTH, HEIGHT])
    inside = ((boxes[:, :2] > 0) & (boxes[:, 2:] < limit)).all(dim=1)[moved.labels] & ~moved.crowd
    assert inside.sum() > 80
    errors = (moved.boxes_xyxy - boxes[moved.labels])[inside].abs()
    assert errors.max() <= 1.5  # both ellipses are of pixels
    assert errors.mean() <= 0.5


def test_digits_that_turn_are_enclosed_better_by_ellipses_than_by_corners() -> None:
    made, keys = make_scenes(100, 96, (1, 1), with_masks=True), torch.arange(100)
    settings = AugmentSettings(shift=0.0, rotate=30.0)
    matrices = draw_affine(settings, 0, 0, keys, 96, 96)
    assert made.masks is not None
    masks = Augment(settings, 0).move_masks(made.masks, made.objects.pictures, 0, keys)
    true, _ = seen_boxes(masks * 255)
    everywhere = torch.tensor([[-200.0, -200.0, 300.0, 300.0]])
    ellipses = move_objects(made.objects, matrices, everywhere).boxes_xyxy
    x1, y1, x2, y2 = made.objects.boxes_xyxy.double().unbind(dim=1)
    corners = torch.stack([torch.stack([x, y], dim=1) for x in (x1, x2) for y in (y1, y2)], dim=1)
    back = torch.linalg.inv(matrices[:, None, :, :2])
    turned = (back @ (corners - matrices[:, None, :, 2])[..., None])[..., 0]
    rectangles = torch.cat([turned.amin(dim=1), turned.amax(dim=1)], dim=1)
    inside = ((true > 0) & (true < 96)).all(dim=1)

    def error(boxes: Tensor) -> float:
        return float((boxes - true)[inside].abs().mean())

    assert error(ellipses) < 0.6 * error(rectangles)


def test_boxes_agree_with_a_hand_worked_turn() -> None:
    # By 90 degrees counter-clockwise about (20, 20): (x, y) goes to (y, 40 - x).
    objects = Objects.of(torch.tensor([[10.0, 20.0, 14.0, 30.0]]), torch.tensor([1]))
    turn = torch.tensor([[[0.0, -1.0, 40.0], [1.0, 0.0, 0.0]]], dtype=torch.float64)
    moved = move_objects(objects, turn, torch.tensor([[0, 0, 40, 40]]))
    assert moved.boxes_xyxy.tolist() == [[20.0, 26.0, 30.0, 30.0]]


def test_what_is_hardly_seen_is_a_crowd_and_what_is_not_seen_is_left_out() -> None:
    boxes = torch.tensor(
        [[0.0, 0, 10, 10], [-8, 0, 2, 10], [-6, 0, 4, 10], [-10, 0, 0, 10], [5, 40, 9, 50], [3, 3, 3, 5]]
    )
    objects = Objects.of(boxes, torch.arange(6), torch.tensor([4, 0, 2]))
    cut = cut_objects(objects, torch.tensor([[0, 0, 50, 40]]))
    assert cut.boxes_xyxy.tolist() == [[0, 0, 10, 10], [0, 0, 2, 10], [0, 0, 4, 10], [3, 3, 3, 5]]
    assert cut.labels.tolist() == [0, 1, 2, 5]
    assert cut.counts.tolist() == [3, 0, 1]
    assert cut.crowd.tolist() == [False, True, False, False]


def test_crowds_and_difficult_objects_stay_what_they_are() -> None:
    boxes = torch.tensor([[2.0, 2, 8, 8], [3, 3, 9, 9]])
    flags = torch.tensor([True, False])
    objects = Objects(boxes, torch.tensor([1, 2]), torch.tensor([2]), flags, ~flags)
    moved = augment_with(flip=True).move_objects(objects, 0, torch.tensor([5]), 10, 10)
    assert moved.crowd.tolist() == [True, False]
    assert moved.difficult.tolist() == [False, True]


@pytest.mark.parametrize("values", AXIS_PARALLEL + TURNING, ids=str)
def test_masks_follow_pictures(values: dict[str, Any]) -> None:
    objects, keys, augment = one_box_each(60), torch.arange(60), augment_with(**values)
    masks = filled(objects.boxes_xyxy, ellipses=True)
    images = (masks * 255).byte()[:, None]
    moved_images, _ = augment.with_objects(images, objects, 2, keys)
    settings = augment.settings
    view = None
    if augment.looks_at_objects:
        view = draw_view(objects, settings.box_crop, settings.expand, 3, 2, keys, HEIGHT, WIDTH)
    moved = augment.move_masks(masks, objects.pictures, 2, keys, view)
    assert moved.dtype == torch.bool
    differs = moved != (moved_images[:, 0] >= 128)
    if set(values) <= {"shift", "flip", "vertical_flip"}:
        assert not differs.any()
    # Nearest and bilinear disagree about some pixels at the edge only.
    clear = ((moved_images[:, 0] < 1) | (moved_images[:, 0] > 254)) & differs
    assert clear.sum() <= 0.002 * moved.sum()


def test_several_masks_of_a_picture_move_together() -> None:
    masks = torch.zeros(3, HEIGHT, WIDTH, dtype=torch.uint8)
    for number in range(3):
        masks[number, 10 + 5 * number : 20 + 5 * number, 30:50] = 1
    pictures, keys = torch.tensor([0, 0, 2]), torch.tensor([7, 8, 9])
    augment = augment_with(rotate=20.0, shift=0.1)
    moved = augment.move_masks(masks, pictures, 1, keys)
    assert moved.dtype == torch.uint8
    for number, picture in enumerate(pictures):
        alone = augment.move_masks(masks[number, None], torch.tensor([0]), 1, keys[picture, None])
        assert torch.equal(moved[number], alone[0])


@pytest.mark.parametrize("values", AXIS_PARALLEL + TURNING, ids=str)
def test_objects_move_the_same_in_every_batch(values: dict[str, Any]) -> None:
    made, keys = make_scenes(12, 96), torch.arange(100, 112)
    augment, order = augment_with(**values), torch.tensor([4, 11, 2])
    images, objects = augment.with_objects(made.pixels, made.objects, 5, keys)
    few_images, few = augment.with_objects(made.pixels[order], made.objects[order], 5, keys[order])
    assert torch.equal(images[order], few_images)
    assert torch.equal(objects[order].boxes_xyxy, few.boxes_xyxy)
    assert torch.equal(objects[order].labels, few.labels)


def test_pictures_with_objects_are_augmented_as_those_without() -> None:
    made, keys = make_scenes(6, 96), torch.arange(6)
    augment = augment_with(shift=0.1, rotate=10.0, flip=True, brightness=0.2, erase=0.5, crop=(0.5, 1.0))
    images, _ = augment.with_objects(made.pixels, made.objects, 1, keys)
    assert torch.equal(images, augment(made.pixels, 1, keys))


def test_nothing_on_moves_nothing() -> None:
    made, keys = make_scenes(6, 96), torch.arange(6)
    images, objects = augment_with().with_objects(made.pixels, made.objects, 1, keys)
    assert images is made.pixels
    assert torch.equal(objects.boxes_xyxy, made.objects.boxes_xyxy)
    assert augment_with().is_identity
    assert not augment_with(box_crop=True).is_identity
    assert not augment_with(expand=2.0).is_identity


def test_pictures_without_any_object_pass() -> None:
    nothing = Objects.of(
        torch.empty(0, 4), torch.empty(0, dtype=torch.int64), torch.zeros(3, dtype=torch.int64)
    )
    images = torch.full((3, 1, HEIGHT, WIDTH), 255, dtype=torch.uint8)
    settings: dict[str, Any] = {"rotate": 10.0, "box_crop": True, "expand": 2.0}
    _, moved = augment_with(**settings).with_objects(images, nothing, 0, torch.arange(3))
    assert moved.counts.tolist() == [0, 0, 0]


# Between pictures and network input ---------------------------------------------------------------------


def letterbox(size: tuple[int, int] = (64, 64), fit: str = "letterbox") -> Preprocessing:
    return Preprocessing(size, channels=1, fit=fit, margin=0, mean=(0.0,), std=(1.0,))


@pytest.mark.parametrize("fit", ["letterbox", "stretch", "crop"])
def test_boxes_lie_on_their_pixels_in_the_network_input(fit: str) -> None:
    objects = Objects.of(torch.tensor([[30.0, 15.0, 50.0, 40.0]]), torch.tensor([0]))
    images = (filled(objects.boxes_xyxy) * 255).byte()[:, None]
    placed, frame = letterbox((90, 100), fit).place(images)
    boxes, _ = seen_boxes(placed[:, 0])
    moved = objects_in_input(objects, [frame])
    assert (moved.boxes_xyxy - boxes).abs().max() <= 0.501
    back = boxes_in_picture(moved.boxes_xyxy, frame)
    assert torch.allclose(back, objects.boxes_xyxy, atol=1e-4)


def test_frames_of_different_pictures_are_each_followed() -> None:
    sizes = [(30, 40), (100, 20), (64, 64)]
    frames = [letterbox().frame(*size) for size in sizes]
    box = torch.tensor([[2.0, 3.0, 12.0, 19.0]])
    objects = Objects.of(box.repeat(3, 1), torch.arange(3), torch.tensor([1, 0, 2])[[0, 1, 2]])
    moved = objects_in_input(objects, frames)
    for row, picture in enumerate([0, 2, 2]):
        f = frames[picture]
        expected = [2 * f.scale_x + f.offset_x, 3 * f.scale_y + f.offset_y]
        expected += [12 * f.scale_x + f.offset_x, 19 * f.scale_y + f.offset_y]
        assert moved.boxes_xyxy[row].tolist() == pytest.approx(expected, abs=1e-4)
        assert torch.allclose(boxes_in_picture(moved.boxes_xyxy[row], f), box[0], atol=1e-4)


def test_one_frame_for_all_is_as_each_its_own() -> None:
    objects = one_box_each(5)
    frame = Frame(HEIGHT, WIDTH, 0.7, 0.6, 3.0, 4.0)
    other = Frame(9, 9, 0.1, 0.1, 1.0, 1.0)
    together = objects_in_input(objects, [frame] * 5).boxes_xyxy
    joined = Objects.join([objects, one_box_each(1)])
    assert torch.equal(objects_in_input(joined, [frame] * 5 + [other]).boxes_xyxy[:5], together)
    assert len(objects_in_input(objects[:0], [])) == 0


def test_predictions_are_cut_to_the_picture() -> None:
    frame = letterbox((64, 64)).frame(32, 64)  # 16 rows of border above and below
    boxes = torch.tensor([[[-5.0, 0.0, 70.0, 64.0], [10.0, 20.0, 20.0, 60.0]]])
    assert boxes_in_picture(boxes, frame).tolist() == [[[0, 0, 64, 32], [10, 4, 20, 32]]]
    assert math.prod(boxes_in_picture(torch.empty(0, 4), frame).shape) == 0
