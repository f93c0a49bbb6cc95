"""Generated scenes: exact boxes and masks, readable digits, no leak between splits, the same at any count."""

from itertools import combinations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from sklearn.datasets import load_digits
from torch import Tensor

from striate.data.scenes import SPLITS, Scenes, _digit_fields, make_scenes, scenes

FROZEN_COUNTS = [4, 8, 4, 8, 8, 4, 5, 7, 8, 5]
FROZEN_LABELS = [6, 3, 6, 0]
FROZEN_BOX = [2.0, 51.0, 13.0, 70.0]


@pytest.fixture(scope="module")
def made() -> Scenes:
    return make_scenes(100, split="test", with_masks=True)


def tight_box(mask: Tensor) -> list[int]:
    rows, columns = mask.nonzero(as_tuple=True)
    return [int(columns.min()), int(rows.min()), int(columns.max()) + 1, int(rows.max()) + 1]


def test_boxes_are_the_tight_boxes_of_the_masks(made: Scenes) -> None:
    assert made.masks is not None
    assert made.masks.shape == (len(made.objects.labels), 160, 160)
    assert [tight_box(mask) for mask in made.masks] == made.objects.boxes_xyxy.tolist()
    assert not made.objects.crowd.any()
    assert not made.objects.difficult.any()


def test_a_pixel_belongs_to_one_object_at_most(made: Scenes) -> None:
    assert made.masks is not None
    owners = torch.zeros(100, 160, 160).index_add_(0, made.objects.pictures, made.masks.float())
    assert owners.max() == 1


def test_every_number_of_objects_and_every_class_is_about_equally_frequent() -> None:
    objects = make_scenes(400, 64, (3, 8)).objects
    assert objects.counts.min() == 3
    assert objects.counts.max() == 8
    per_number = objects.counts.bincount(minlength=9)[3:]
    per_class = objects.labels.bincount(minlength=10)
    assert len(per_class) == 10
    for observed in (per_number, per_class):
        expected = observed.sum() / len(observed)
        assert (observed - expected).abs().max() < 4 * expected.sqrt()


def test_what_is_painted_is_the_digit_that_the_label_says(made: Scenes) -> None:
    # A nearest neighbour among the source's own pictures reads the masks.
    def described(ink: np.ndarray) -> np.ndarray:
        rows, columns = np.nonzero(ink)
        tight = ink[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1]
        small = Image.fromarray(tight.astype(np.uint8) * 255).resize((10, 14), Image.Resampling.BOX)
        return np.asarray(small, dtype=float).ravel() / 255

    digits = load_digits()
    larger = [Image.fromarray((i * 15.9).astype(np.uint8)).resize((48, 48)) for i in digits.images]
    known = np.stack([described(np.asarray(image) > 127) for image in larger])
    assert made.masks is not None
    asked = np.stack([described(mask.numpy()) for mask in made.masks])
    nearest = ((asked[:, None] - known[None]) ** 2).sum(axis=2).argmin(axis=1)
    assert (digits.target[nearest] == made.objects.labels.numpy()).mean() > 0.85


def test_digits_stand_out_from_what_is_around_them(made: Scenes) -> None:
    luma = (made.pixels.float() * torch.tensor([0.299, 0.587, 0.114])[:, None, None]).sum(dim=1)
    assert made.masks is not None
    for mask, picture in zip(made.masks, made.objects.pictures.tolist(), strict=True):
        near, at = (F.max_pool2d(mask[None].float(), k, 1, k // 2)[0] > 0 for k in (9, 3))
        inside, around = luma[picture][mask].mean(), luma[picture][near & ~at].mean()
        assert (inside - around).abs() > 45


def test_digits_hardly_hide_one_another(made: Scenes) -> None:
    for picture in range(100):
        for a, b in combinations(made.objects[picture].boxes_xyxy, 2):
            shared = (torch.minimum(a[2:], b[2:]) - torch.maximum(a[:2], b[:2])).clamp(min=0).prod()
            assert shared <= 0.2 * min((a[2:] - a[:2]).prod(), (b[2:] - b[:2]).prod())


def test_a_picture_is_the_same_however_many_are_made() -> None:
    few, many = make_scenes(3, 96, with_masks=True), make_scenes(70, 96, with_masks=True)
    assert torch.equal(few.pixels, many.pixels[:3])
    assert torch.equal(few.objects.boxes_xyxy, many.objects[:3].boxes_xyxy)
    assert torch.equal(few.objects.labels, many.objects[:3].labels)
    assert few.masks is not None
    assert many.masks is not None
    assert torch.equal(few.masks, many.masks[: len(few.masks)])
    assert torch.equal(many.pixels[64:68], make_scenes(68, 96).pixels[64:])  # of another chunk


def test_seed_and_split_make_other_pictures() -> None:
    plain, seeded = make_scenes(4, 96), make_scenes(4, 96, seed=1)
    split = make_scenes(4, 96, split="val")
    for one, other in combinations((plain, seeded, split), 2):
        assert not (one.pixels == other.pixels).flatten(1).all(dim=1).any()
    assert plain.masks is None


def test_a_data_set_once_drawn_stays() -> None:
    objects = make_scenes(10).objects
    assert objects.counts.tolist() == FROZEN_COUNTS
    assert objects[0].labels.tolist() == FROZEN_LABELS
    assert (objects[0].boxes_xyxy[0] - torch.tensor(FROZEN_BOX)).abs().max() <= 1  # rounding of a platform


def test_no_handwritten_digit_serves_two_splits() -> None:
    fields = {split: {f.numpy().tobytes() for f in _digit_fields(split)[0]} for split in SPLITS}
    for one, other in combinations(fields.values(), 2):
        assert not one & other
    assert sum(len(f) for f in fields.values()) == 1797
    assert all(len(np.unique(_digit_fields(split)[1])) == 10 for split in SPLITS)


def test_one_object_is_large() -> None:
    made = make_scenes(60, 80, (1, 1))
    assert made.objects.counts.tolist() == [1] * 60
    heights = (made.objects.boxes_xyxy[:, 3] - made.objects.boxes_xyxy[:, 1]) / 80
    assert heights.min() > 0.2
    assert heights.max() > 0.55


def test_pictures_without_objects_and_with_very_many() -> None:
    empty, none = make_scenes(2, 64, (0, 0), with_masks=True), make_scenes(0, 64, with_masks=True)
    assert (len(empty.objects), len(empty.objects.labels), len(none.objects), len(none.pixels)) == (
        2,
        0,
        0,
        0,
    )
    assert empty.masks is not None
    assert empty.masks.shape == (0, 64, 64)
    crowded = make_scenes(2, 128, (40, 40), with_masks=True)
    assert crowded.masks is not None
    assert crowded.objects.counts.tolist() == [40, 40]
    assert crowded.masks.flatten(1).any(dim=1).all()


def test_a_data_set_has_three_splits_of_the_sizes_asked_for() -> None:
    splits = scenes(5, 3, 2, size=64, objects=(1, 2), seed=4)
    assert {name: (len(pixels), len(objects)) for name, (pixels, objects) in splits.items()} == {
        "train": (5, 5),
        "val": (3, 3),
        "test": (2, 2),
    }
    assert torch.equal(splits["val"][0], make_scenes(3, 64, (1, 2), 4, "val").pixels)
