"""Masks are never pictures to learn from."""

import pytest
from test_image_folder import pack

from striate.data.dataset import POOL
from striate.data.formats.image_folder import load
from striate.data.formats.masks import find_masks
from striate.errors import InputError

PAIRS = [
    ("images", "masks"), ("Images", "mask"), ("img", "labels"), ("JPEGImages", "SegmentationClass"),
    ("images", "GT"), ("imgs", "annotations"), ("pictures", "ground_truth"), ("train_images", "train_masks"),
    ("train", "train_masks"), ("images", "annotations/trimaps"), ("images/train", "masks/train"),
    ("leftImg8bit", "gtFine"),
]  # fmt: skip


@pytest.mark.parametrize(("images", "masks"), PAIRS)
@pytest.mark.parametrize("suffix", ["", ".zip"])
def test_pictures_beside_their_masks_are_no_two_classes(make_classes, images, masks, suffix):
    folder = make_classes({images: 3, masks: 3})
    path = pack(folder, suffix) if suffix else folder
    with pytest.raises(InputError, match="pictures with masks") as caught:
        load(path)
    assert caught.value.where == str(path)
    assert masks.split("/")[0] in caught.value.what
    assert "segmentation" in caught.value.what


@pytest.mark.parametrize("wrapper", ["", "train/"])
def test_masks_below_each_class_are_left_aside(make_classes, wrapper):
    folder = make_classes(
        {
            f"{wrapper}{label}/{kind}": count
            for label, count in (("cat", 3), ("dog", 2))
            for kind in ("images", "masks")
        }
    )
    dataset = load(folder)
    split = dataset.splits["train" if wrapper else POOL]
    assert split.names == [
        *(f"{wrapper}cat/images/{i}.png" for i in range(3)),
        *(f"{wrapper}dog/images/{i}.png" for i in range(2)),
    ]
    assert dataset.remarks == (f"{wrapper}cat/masks, {wrapper}dog/masks: 5 masks of pictures left aside",)


def test_masks_beside_folders_of_classes_are_left_aside(make_classes):
    dataset = load(
        make_classes({f"{kind}/{label}": 2 for kind in ("images", "masks") for label in ("cat", "dog")})
    )
    assert dataset.classes == ("cat", "dog")
    assert len(dataset.splits[POOL]) == 4
    assert dataset.remarks == ("masks: 4 masks of pictures left aside",)


def test_masks_among_the_pictures_themselves_are_left_aside(make_classes):
    folder = make_classes({"benign": 2, "malignant": 1})
    for name in ("benign/0", "benign/1", "malignant/0"):
        (folder / f"{name}_mask.png").write_bytes((folder / f"{name}.png").read_bytes())
    (folder / "benign/1_mask_1.png").write_bytes((folder / "benign/1.png").read_bytes())
    dataset = load(folder)
    assert dataset.splits[POOL].names == ["benign/0.png", "benign/1.png", "malignant/0.png"]
    assert dataset.remarks == ("benign, malignant: 4 masks of pictures left aside",)


@pytest.mark.parametrize(
    "classes",
    [("mask", "no mask"), ("masks", "faces"), ("label", "bottle"), ("alpha", "beta"), ("target", "wall")],
)
def test_classes_called_like_masks_stay_classes(make_classes, classes):
    dataset = load(make_classes(dict.fromkeys(classes, 2)))
    assert set(dataset.classes) == set(classes)
    assert dataset.remarks == ()


def test_names_that_end_like_masks_are_none_without_their_picture():
    assert find_masks(["a/with_mask.png", "a/7_mask.png", "b/7.png", "b/mask_1.png"]).paths == frozenset()


@pytest.mark.parametrize(
    ("images", "masks", "ending"),
    [
        ("ISIC2018_Task1-2_Training_Input", "ISIC2018_Task1_Training_GroundTruth", "_segmentation"),
        ("scenes", "answers", "_mask"),
    ],
)
def test_a_folder_whose_pictures_are_called_as_masks_of_those_beside_it_is_no_class(
    make_classes, images, masks, ending
):
    folder = make_classes({images: 3, masks: 3})
    for path in (folder / masks).iterdir():
        path.rename(path.with_stem(path.stem + ending))
    with pytest.raises(InputError, match="pictures with masks") as caught:
        load(folder)
    assert masks in caught.value.what
    assert images in caught.value.what


def test_a_folder_of_which_one_picture_masks_none_beside_it_is_a_class():
    pictures = ["cat/1.png", "cat/2.png", "dog/1_mask.png", "dog/3_mask.png"]
    assert not find_masks(pictures).paths


def test_what_was_drawn_by_hand_beside_pictures_of_vessels_is_no_class(make_classes):
    names = [f"{split}/{kind}" for split in ("training", "test") for kind in ("images", "1st_manual", "mask")]
    with pytest.raises(InputError, match="pictures with masks"):
        load(make_classes(dict.fromkeys(names, 2)))
